"""Where each value of a profile comes from: source, record and moment, whose data it is, how fresh, and what else was said."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kundig.answers.asking import numbers, rows
from kundig.config.unify import ATTRIBUTES, NO, YES
from kundig.tables.unify import PROFILES

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.workspace import Workspace

CATEGORIES = ("sociodemographic", "behavioural", "psychographic")


@dataclass(frozen=True, kw_only=True)
class Said:
    """Another value that was said of the same attribute, and has not won."""

    value: str
    source: str
    at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value of a profile with its origin."""

    name: str
    value: Any
    category: str
    """sociodemographic, behavioural or psychographic."""
    personal: str
    """none, pseudonym, contact or sensitive."""
    strategy: str
    """How what differs was merged."""
    party: str = "first"
    """Whose data it is: first, second or third party."""
    source: str = ""
    record: str = ""
    at: dt.datetime | None = None
    """When it became true."""
    said_at: dt.datetime | None = None
    """When it was last said, by whatever source."""
    stale_after: int | None = None
    """Days after which nobody having said it again makes it stale."""
    stale: bool = False
    others: tuple[Said, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """What pages call a declared attribute, by language."""

    def label(self, language: str) -> str:
        """What pages call it, where it was declared with a label; '' for the built-in ones."""
        return self.labels.get(language, "")

    def line(self) -> str:
        """In words, for the command line."""
        shown = ", ".join(map(str, self.value)) if isinstance(self.value, (list, tuple)) else str(self.value)
        origin = [f"{self.source} {self.record}".strip(), f"{self.party} party"]
        origin += [f"since {self.at:%Y-%m-%d}"] if self.at is not None else []
        origin += [f"last said {self.said_at:%Y-%m-%d}"] if self.said_at is not None and self.said_at != self.at else []
        origin += [f"stale: older than {self.stale_after} days"] if self.stale else []
        origin += [f"also said: {'; '.join(f'{one.value} ({one.source}, {one.at:%Y-%m-%d})' for one in self.others)}"] if self.others else []
        return f"{self.name}: {shown}  ({', '.join(origin)})"


def values(workspace: Workspace, person_key: int, profile: Mapping[str, Any], held: Iterable[Mapping[str, Any]], *, moment: dt.datetime) -> tuple[Value, ...]:
    """Every value that records, identifiers (`held`: the person's) and surveys gave the profile, in declared order, as old as it is at `moment`."""
    rules = workspace.config.profiles
    newest = rows(
        workspace,
        f"SELECT trait, value, occurred_at, source, record FROM trait_changes WHERE person_key = {int(person_key)} QUALIFY row_number() OVER (PARTITION BY trait ORDER BY seq DESC) = 1",
    )
    origin = {row["trait"]: row for row in newest}
    said = _statements(workspace, [row for row in held if not row["shared"]])
    found = []
    for name, type_ in rules.types.items():
        own = origin.get(name)
        value = profile.get(name) if name in ATTRIBUTES else None if own is None else own["value"]
        if value in (None, "", []):
            continue
        stale_after = rules.stale_after(name)
        text = _text(value, type_) if own is None or type_ != "list<string>" else str(own["value"])
        last = max((one.at for one in said.get(name, ()) if type_ == "list<string>" or one.value == text), default=None)
        last = last if own is None or (last is not None and last > own["occurred_at"]) else own["occurred_at"]
        found.append(
            Value(
                name=name, value=value, category=category(workspace.config, name), personal=personal(workspace.config, name), strategy=rules.strategy(name),
                party=party(workspace.config, own["source"] if own else ""), source=own["source"] if own else "", record=(own["record"] or "") if own else "",
                at=own["occurred_at"] if own else None, said_at=last, stale_after=stale_after,
                stale=stale_after is not None and last is not None and last + dt.timedelta(days=stale_after) <= moment, others=_others(said.get(name, ()), text, type_),
                labels=dict(rules.attributes[name].labels) if name in rules.attributes else {},
            )
        )  # fmt: skip
    return tuple(found)


def party(config: Config, source: str) -> str:
    """Whose data a source is: first, second or third party."""
    for kind in (config.sources, config.webhooks):
        if source in kind:
            return str(kind[source].party)
    return "first"


def category(config: Config, attribute: str) -> str:
    """What kind of thing an attribute tells of a person."""
    own = config.profiles.attributes.get(attribute)
    return str(own.category if own is not None else PROFILES.column(attribute).category)


def personal(config: Config, attribute: str) -> str:
    """How personal an attribute is: none, pseudonym, contact or sensitive."""
    own = config.profiles.attributes.get(attribute)
    return str(own.personal if own is not None else PROFILES.column(attribute).personal)


def _statements(workspace: Workspace, mine: Sequence[Mapping[str, Any]]) -> dict[str, list[Said]]:
    """What the records and answers of a person's identifiers state, by attribute, the oldest first."""
    keys = numbers(row["identifier_key"] for row in mine)
    declared = workspace.config.profiles.attributes
    free = {name: one for name, one in declared.items() if one.field}
    columns = ", ".join((*ATTRIBUTES, *(("attributes",) if free else ())))
    found: dict[str, list[Said]] = {}

    def say(name: str, value: str | None, row: Mapping[str, Any]) -> None:
        if value:
            found.setdefault(name, []).append(Said(value=value, source=row["source"], at=row["occurred_at"]))

    records = rows(workspace, f"SELECT identifier_key, source, occurred_at, {columns} FROM contacts WHERE identifier_key IN ({keys}) ORDER BY occurred_at, contact_id")
    for record in (row for row in records if _during(mine, row["identifier_key"], row["occurred_at"])):
        for name, type_ in ATTRIBUTES.items():
            say(name, None if record[name] in (None, "", []) else _text(record[name], type_), record)
        extra = json.loads(record["attributes"] or "{}") if free else {}
        for name, one in free.items():
            say(name, in_form(extra.get(one.field), one.type), record)
    if any(one.question for one in declared.values()):
        given = rows(workspace, f"SELECT identifier_key, source, occurred_at, survey, question, answer, score FROM survey_answers WHERE identifier_key IN ({keys}) ORDER BY occurred_at, answer_id")
        for row in (row for row in given if _during(mine, row["identifier_key"], row["occurred_at"])):
            for name, one in declared.items():
                if one.question and row["question"] == one.question and one.survey in ("", row["survey"]):
                    say(name, in_form(row[one.take], one.type), row)
    return found


def in_form(said: Any, type_: str) -> str | None:
    """A free text in the form that values of a type are kept in, as the step `trait_changes` does it; None where it is none.

    Examples:
        >>> in_form(" 4,50 ", "decimal(18,4)"), in_form("4.000", "int64"), in_form("Ja", "bool"), in_form("2026-02-30", "date")
        ('4.5000', '4', 'true', None)
    """
    text = "" if said is None else str(said).strip()
    match type_:
        case "int64":
            whole = re.fullmatch(r"(-?[0-9]{1,18})([.,]0+)?", text, re.ASCII)
            return whole[1] if whole else None
        case "decimal(18,4)":
            return f"{Decimal(text.replace(',', '.')):.4f}" if re.fullmatch(r"-?[0-9]{1,14}([.,][0-9]{1,4})?", text, re.ASCII) else None
        case "date":
            try:
                return dt.date.fromisoformat(text).isoformat() if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII) else None
            except ValueError:
                return None
        case "bool":
            return {**dict.fromkeys(YES, "true"), **dict.fromkeys(NO, "false")}.get(text.lower())
    return text or None


def _during(held_by: Iterable[Mapping[str, Any]], key: int, at: dt.datetime) -> bool:
    return any(row["identifier_key"] == key and row["valid_from"] <= at and (row["valid_until"] is None or at < row["valid_until"]) for row in held_by)


def _others(said: Sequence[Said], value: str, type_: str) -> tuple[Said, ...]:
    """The newest word for each other value, the newest first."""
    if type_ == "list<string>":
        return ()
    newest = {one.value: one for one in said if one.value != value}
    return tuple(sorted(newest.values(), key=lambda one: (one.at, one.value), reverse=True))


def _text(value: Any, type_: str) -> str:
    """A value in the form that `trait_changes` keeps it in."""
    if type_ == "list<string>":
        return json.dumps(sorted(map(str, value)), ensure_ascii=False)
    return value.isoformat() if isinstance(value, dt.date) else str(value).strip()
