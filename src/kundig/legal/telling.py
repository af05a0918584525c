"""The folder's sheets in words: titles, sentences and cells as German and English readers write them; for the PDF and the page alike."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kundig.legal.folder import SHOWN, Folder
from kundig.legal.moments import moment
from kundig.legal.sheets import Sheet
from kundig.legal.wording import named, text
from kundig.report.words import DASH, Words

NUMBERS = frozenset({"rows", "records", "consents", "kept_days", "expires_days", "declared_days", "oldest_days", "overdue", "seconds_from_receipt", "seconds_from_saying", "sent_after", "bytes", "seq"})
_GROUPS = {"activity": "activities", "categories": "categories", "personal": "personal", "parties": "parties", "party": "parties", "bases": "bases", "state": "state", "kind": "kind", "home": "home", "status": "status", "fault": "fault"}
HIDDEN = {"retention": frozenset({"home"}), "objections": frozenset({"seconds_from_saying", "last_sent_after", "source"}), "processors": frozenset({"consent", "owner"})}
"""Columns that stand in the files alone."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A sheet in words."""

    name: str
    title: str
    answer: str
    columns: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def told(made: Folder, w: Words, *, most: int | None = None) -> list[Told]:
    """Every sheet that is shown, in order; of long ones the first `most` rows, and a note that says so."""
    found = []
    for name in SHOWN:
        sheet = made.sheets[name]
        columns = tuple(column for column in sheet.columns if column not in HIDDEN.get(name, ()))
        places = [sheet.columns.index(column) for column in columns]
        shown = sheet.rows if most is None else sheet.rows[:most]
        rows = tuple(tuple(_cell(sheet, column, row[place], row, w) for column, place in zip(columns, places, strict=True)) for row in shown)
        note = "" if len(shown) == len(sheet.rows) else text(w.locale, "folder.cut", most=w.number(len(shown)), count=w.number(len(sheet.rows)), file=f"{name}.csv")
        found.append(Told(name=name, title=text(w.locale, f"sheets.{name}.title", quarter=made.quarter.name), answer=answer(made, name, w), columns=columns, heads=tuple(text(w.locale, f"columns.{column}") for column in columns), rows=rows, note=note))
    return found


def answer(made: Folder, name: str, w: Words) -> str:
    """The sentence of a sheet: its figures."""
    sheet = made.sheets[name]
    values: dict[str, Any] = {"count": w.number(len(sheet.rows)), "quarter": made.quarter.name}
    if name == "wordings":
        values |= {"total": w.number(sum(sheet.column("records"))), "hashed": w.number(sum(row["records"] for row in sheet.records() if row["state"] == "declared"))}
    if name == "retention":
        values["overdue"] = w.number(overdue(made))
    if name == "objections":
        seconds = [one for one in sheet.column("seconds_from_receipt") if one is not None]
        values |= {"never": w.number(len(sheet.rows) - len(seconds)), "seconds": w.number(max(seconds), 1) if seconds else DASH, "after": w.number(sum(sheet.column("sent_after")))}
    return text(w.locale, f"sheets.{name}.answer", **values)


def overdue(made: Folder) -> int:
    """Rows older than their table declares, over all tables."""
    return sum(number or 0 for number in made.sheets["retention"].column("overdue"))


def title(made: Folder, w: Words, name: str) -> tuple[str, str]:
    """The folder's title and the line below it."""
    release = text(w.locale, "folder.release", id=made.release, at=w.day(made.released_at))
    return text(w.locale, "folder.title", quarter=made.quarter.name), text(w.locale, "folder.of", name=name, at=moment(made.at, w), zone=w.zone, release=release)


def _cell(sheet: Sheet, column: str, value: Any, row: Sequence[Any], w: Words) -> str:
    if sheet.name == "controller":
        return _controller(column, value, row, w)
    if value is None or value == "" or value == ():
        return text(w.locale, "folder.ever") if column == "kept_days" or (sheet.name == "retention" and column == "declared_days") else DASH
    if isinstance(value, bool):
        return text(w.locale, "folder.yes" if value else "folder.no")
    if isinstance(value, dt.datetime):
        return w.day(value) if column == "oldest" else moment(value, w)
    if column == "tables":
        return ", ".join(value)
    if column == "said":
        return named(w.locale, "said", str(value))
    group = _GROUPS.get(column)
    if isinstance(value, (list, tuple)):
        return ", ".join(_named(w, group, str(one)) for one in value)
    if column == "channel" and sheet.name != "objections":
        return w.channel(value)
    if column in NUMBERS:
        return w.number(value, 1) if isinstance(value, float) and value != int(value) else w.number(value)
    return _named(w, group, str(value))


def _named(w: Words, group: str | None, value: str) -> str:
    if group is None:
        return value
    return named(w.locale, "values", group, value)


def _controller(column: str, value: Any, row: Sequence[Any], w: Words) -> str:
    if column == "what":
        return text(w.locale, f"values.controller.{value}")
    if row[0] == "subjects":
        return text(w.locale, "values.subjects", persons=w.number(value))
    return text(w.locale, "values.measures") if row[0] == "measures" else str(value or text(w.locale, "values.missing"))


__all__ = ["NUMBERS", "Told", "answer", "overdue", "title", "told"]
