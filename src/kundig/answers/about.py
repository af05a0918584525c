"""Answers about one person: who this is, what is known and where it comes from, and why they did (not) get something."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from kundig import reasons
from kundig.answers.asking import held, numbers, one, rows
from kundig.answers.history import TIMELINE, Entry, timeline
from kundig.answers.origins import Value, values
from kundig.answers.who import resolve
from kundig.errors import ConfigError, KundigError, nearest

if TYPE_CHECKING:
    from kundig.answers.chances import Chance
    from kundig.workspace import Workspace

_HIDDEN = {"person_key", "person_id", "provenance", "changed_run", "sources", "records"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Why a person did or did not get something, in one sentence."""

    audience: str
    outcome: str
    """sent, queued, on_audience, refused or not_chosen."""
    reason: str
    sentence: str
    at: dt.datetime | None = None
    channel: str = ""


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What the consents say of a purpose and channel at a moment."""

    purpose: str
    channel: str
    allow: bool
    reason: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Trait:
    """A computed trait of a person."""

    name: str
    value: str
    meaning: str
    category: str
    unit: str
    last_fact_at: dt.datetime | None
    """When the newest event that counts happened."""

    def line(self) -> str:
        """In words, for the command line."""
        since = "" if self.last_fact_at is None else f", newest event {self.last_fact_at:%Y-%m-%d}"
        return f"{self.name}: {self.value}{f' {self.unit}' if self.unit else ''}  (computed: {self.meaning}{since})"


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """One change of how a purpose and channel stood."""

    purpose: str
    channel: str
    status: str
    """given, pending, withdrawn, objected or missing."""
    basis: str
    at: dt.datetime
    received_at: dt.datetime
    until: dt.datetime | None
    wording: str
    record_id: str


@dataclass(frozen=True, kw_only=True)
class Person:
    """Everything that is known of one person, as of the newest release."""

    person_id: str
    person_key: int
    profile: dict[str, Any]
    provenance: dict[str, Any]
    values: tuple[Value, ...]
    identifiers: tuple[tuple[str, str, str], ...]
    value: dict[str, Any]
    lifecycle: dict[str, Any]
    segment: dict[str, Any]
    features: dict[str, Any]
    traits: tuple[Trait, ...]
    consents: tuple[Allowed, ...]
    consent_history: tuple[Spoken, ...]
    """The newest first."""
    answers: tuple[Answer, ...]
    timeline: tuple[Entry, ...]
    chances: tuple[Chance, ...] = ()
    """Scores of predictions; with their reasons where those were asked for."""
    zone: str = "UTC"
    """Zone of the workspace, whose days count."""

    def local(self, at: dt.datetime) -> dt.datetime:
        """A moment by the workspace's clock."""
        return at.astimezone(ZoneInfo(self.zone))

    def lines(self) -> list[str]:
        """In words, for the command line."""
        found = [f"person {self.person_id}"]
        found += [f"  {value.line()}" for value in self.values]
        found += [f"  {trait.line()}" for trait in self.traits]
        known = {value.name for value in self.values}
        found += [f"  {name}: {value}" for name, value in self.profile.items() if name not in known and value not in (None, "", [])]
        found += [f"  identifier {namespace}: {value} (from {source})" for namespace, value, source in self.identifiers]
        if self.value:
            low, high = self.value["expected_value_low"], self.value["expected_value_high"]
            found.append(f"  expected value: {self.value['expected_value']:,.2f} ({low:,.2f} to {high:,.2f}); {self.value['verdict']}")
            due, gone = self.value["next_purchase_at"], self.value["next_purchase_reason"]
            found.append("  next purchase: " + (reasons.sentence(gone, "en") if due is None else f"expected by {self.local(due):%Y-%m-%d}, if still a customer"))
        if self.lifecycle:
            since = self.lifecycle["since"]
            found.append(f"  state: {self.lifecycle['state']}" + (f" since {since:%Y-%m-%d}" if since else ""))
        if self.segment:
            found.append(f"  segment: {self.segment['segment_id']}")
        found += [f"  {chance.line()}" for chance in self.chances]
        found += [f"  {one.purpose} by {one.channel}: {'allowed' if one.allow else 'not allowed'}. {one.sentence}" for one in self.consents]
        found += [f"  {one.at:%Y-%m-%d %H:%M}  consent   {one.purpose} by {one.channel}: {one.status}{f', {one.basis}' if one.basis else ''} ({one.record_id})" for one in self.consent_history[:15]]
        found += [f"  {answer.sentence}" for answer in self.answers]
        found += [f"  {entry.at:%Y-%m-%d %H:%M}  {entry.kind:<9} {entry.what} {entry.detail}".rstrip() for entry in self.timeline[:15]]
        return found


def person(workspace: Workspace, identifier: str, *, locale: str | None = None, most: int = TIMELINE, grounds: bool = False) -> Person:
    """Everything known of a person, by any identifier; its sentences in a language (the workspace's by default), the newest `most` entries of the timeline.

    Scores of predictions are those of the release; with `grounds` they come with their reasons, for which features are made anew from the person's rows.

    Raises:
        IdentityError: Nobody has the identifier.
    """
    key, public = resolve(workspace, identifier)
    profile = one(workspace, f"SELECT * FROM profiles WHERE person_key = {key}")
    mine, moment = held(workspace, key), _moment(workspace)
    now = numbers(row["identifier_key"] for row in mine if row["valid_until"] is None)
    names = rows(workspace, f"SELECT namespace, value, source FROM identifiers WHERE identifier_key IN ({now}) ORDER BY 1, 2")
    spoken = _spoken_of(workspace, key)
    provenance, language = profile.get("provenance"), locale or workspace.config.settings.workspace.locale
    return Person(
        person_id=public, person_key=key, profile={name: value for name, value in profile.items() if name not in _HIDDEN},
        provenance=json.loads(provenance) if provenance else {}, values=values(workspace, key, profile, mine, moment=moment), identifiers=tuple((row["namespace"], row["value"], row["source"]) for row in names),
        value=one(workspace, f"SELECT * FROM lifetime_values WHERE person_key = {key}"), lifecycle=one(workspace, f"SELECT * FROM lifecycle_states WHERE person_key = {key}"),
        segment=one(workspace, f"SELECT * FROM segment_members WHERE person_key = {key} AND member ORDER BY occurred_at DESC LIMIT 1"),
        features=one(workspace, f"SELECT * EXCLUDE (person_key, changed_run) FROM features WHERE person_key = {key}"),
        traits=_traits(workspace, key, language), consents=_allowances(spoken, moment, language), consent_history=_changes(spoken), answers=_answers(workspace, key, public, sorted(workspace.config.audiences), language), timeline=timeline(workspace, mine, most=most), zone=workspace.config.settings.workspace.zone,
        chances=_chances(workspace, key, public, grounds=grounds),
    )  # fmt: skip


def reasoned(workspace: Workspace, found: Person) -> Person:
    """The same person, the scores of predictions with their reasons; other threads may use the workspace meanwhile."""
    return replace(found, chances=_chances(workspace, found.person_key, found.person_id, grounds=True))


def allowed(workspace: Workspace, identifier: str, at: dt.datetime | None, *, locale: str | None = None) -> tuple[Allowed, ...]:
    """What a person allows, purpose by purpose and channel by channel, at a moment (the release's by default)."""
    return _allowances(_spoken_of(workspace, resolve(workspace, identifier)[0]), at or _moment(workspace), locale or workspace.config.settings.workspace.locale)


def _moment(workspace: Workspace) -> dt.datetime:
    """The moment of the newest release."""
    release = workspace.lake.release()
    if release is None:
        raise KundigError("there is no release yet", at=str(workspace.root), mend="kundig import, then kundig run")
    return release.moment


def _chances(workspace: Workspace, key: int, public: str, *, grounds: bool) -> tuple[Chance, ...]:
    """Scores, with their reasons where those are asked for; nothing is loaded for them where no file asks for a prediction."""
    asked = workspace.config.predictions
    if not asked:
        return ()
    from kundig.answers.chances import Chance, chances

    if grounds:
        return chances(workspace, public)
    sql = f"SELECT model, value, percentile FROM scores WHERE person_key = {int(key)} QUALIFY row_number() OVER (PARTITION BY model ORDER BY occurred_at DESC, seq DESC) = 1 ORDER BY model"
    return tuple(Chance(prediction=row["model"], probability=row["value"], percentile=row["percentile"]) for row in rows(workspace, sql) if row["model"] in asked)


def _traits(workspace: Workspace, key: int, language: str) -> tuple[Trait, ...]:
    """The computed traits, as the release has them; attributes that profiles.yaml declares are among the values."""
    declared = workspace.config.traits
    if not declared:
        return ()
    found = {row["trait"]: row for row in rows(workspace, f"SELECT trait, value, last_fact_at FROM traits WHERE person_key = {int(key)} AND value IS NOT NULL")}
    return tuple(
        Trait(name=name, value=found[name]["value"], meaning=one.labels.get(language) or one.meaning, category=one.category, unit=one.unit, last_fact_at=found[name]["last_fact_at"])
        for name, one in sorted(declared.items())
        if name in found
    )


def _spoken_of(workspace: Workspace, key: int) -> list[dict[str, Any]]:
    """How each purpose and channel of a person stood, the newest first."""
    return rows(workspace, f"SELECT purpose, channel, status, basis, occurred_at, received_at, until, wording, record_id, seq FROM consents WHERE person_key = {int(key)} ORDER BY occurred_at DESC, seq DESC, purpose, channel")


def _changes(found: Iterable[Mapping[str, Any]]) -> tuple[Spoken, ...]:
    return tuple(
        Spoken(
            purpose=row["purpose"], channel=row["channel"], status=row["status"], basis=row["basis"] or "", at=row["occurred_at"], received_at=row["received_at"], until=row["until"],
            wording=row["wording"] or "", record_id=row["record_id"] or "",
        )
        for row in found
    )  # fmt: skip


def _allowances(spoken: Iterable[Mapping[str, Any]], moment: dt.datetime, language: str) -> tuple[Allowed, ...]:
    """Of each purpose and channel what was said last until a moment."""
    said = sorted((row for row in spoken if row["occurred_at"] <= moment), key=lambda row: (row["occurred_at"], row["received_at"], row["seq"]))
    last = {(row["purpose"], row["channel"]): row for row in said}
    return tuple(_allowed(last[pair], moment, language) for pair in sorted(last))


def _allowed(row: Mapping[str, Any], moment: dt.datetime, locale: str) -> Allowed:
    lapsed = row["until"] is not None and row["until"] <= moment
    by_status = {"given": "consent_given", "withdrawn": "consent_withdrawn", "objected": "objected", "pending": "consent_pending", "missing": "consent_missing"}
    code = "consent_expired" if lapsed and row["status"] == "given" else by_status.get(row["status"], "consent_missing")
    channel, purpose = row["channel"], row["purpose"]
    return Allowed(purpose=purpose, channel=channel, allow=code == "consent_given", reason=code, sentence=reasons.sentence(code, locale, purpose=purpose, channel=channel))


def why(workspace: Workspace, identifier: str, *, audience: str | None = None, segment: str | None = None, locale: str | None = None) -> tuple[Answer, ...]:
    """Why a person did (not) get the messages of an audience (of all by default), one sentence each.

    Raises:
        IdentityError: Nobody has the identifier.
        ConfigError: There is no such audience or segment.
    """
    _known("audience", audience, workspace.config.audiences)
    _known("segment", segment, [row["segment_id"] for row in workspace.config.matrix.rows])
    key, public = resolve(workspace, identifier)
    language = locale or workspace.config.settings.workspace.locale
    if segment is not None:
        return (_segment_answer(workspace, key, public, segment, language),)
    chosen = [audience] if audience is not None else sorted(workspace.config.audiences)
    return _answers(workspace, key, public, chosen, language)


def _answers(workspace: Workspace, key: int, public: str, audiences: Iterable[str], language: str) -> tuple[Answer, ...]:
    """The answer of each audience: what was sent, what was decided and who is on it is asked once."""
    messages = _messages(workspace, key)
    members = rows(workspace, f"SELECT audience, channel, rank, reason FROM audience_members WHERE person_key = {key} ORDER BY rank")
    decisions = rows(workspace, f"SELECT audience, channel, purpose, allow, reason, evidence, decided_at FROM decisions WHERE person_key = {key} ORDER BY channel, reason")
    return tuple(
        _audience_answer(workspace, public, name, language, **{what: [row for row in rows if row["audience"] == name] for what, rows in (("messages", messages), ("members", members), ("decisions", decisions))})
        for name in audiences
    )


def _known(what: str, given: str | None, names: Iterable[str]) -> None:
    if given is not None and given not in (known := sorted(names)):
        raise ConfigError(f"there is no {what} '{given}'", mend=nearest(given, known))


_WORDS = {
    "de": {
        "sent": "{person} hat „{audience}“ am {at} über {channel} bekommen{reason}.",
        "queued": "{person} bekommt „{audience}“ über {channel}, die Nachricht wartet noch{reason}.",
        "on_audience": "{person} steht auf „{audience}“, Platz {rank}, und wird über {channel} angesprochen{reason}.",
        "refused": "{person} bekommt „{audience}“ nicht{reason}.",
        "not_chosen": "{person} bekommt „{audience}“ nicht{reason}.",
        "in_segment": "{person} ist im Segment {segment}: Wert {value_tier}, Verhalten {behavior_cluster}, Zustand {state}.",
        "not_in_segment": "{person} ist nicht im Segment {segment}, sondern in {other}.",
        "in_none": "{person} ist in keinem Segment.",
    },
    "en": {
        "sent": "{person} got “{audience}” on {at} by {channel}{reason}.",
        "queued": "{person} will get “{audience}” by {channel}, the message is still waiting{reason}.",
        "on_audience": "{person} is on “{audience}”, rank {rank}, and will be addressed by {channel}{reason}.",
        "refused": "{person} does not get “{audience}”{reason}.",
        "not_chosen": "{person} does not get “{audience}”{reason}.",
        "in_segment": "{person} is in segment {segment}: value {value_tier}, behaviour {behavior_cluster}, state {state}.",
        "not_in_segment": "{person} is not in segment {segment}, but in {other}.",
        "in_none": "{person} is in no segment.",
    },
}


def _audience_answer(workspace: Workspace, public: str, name: str, locale: str, *, messages: list[dict[str, Any]], members: list[dict[str, Any]], decisions: list[dict[str, Any]]) -> Answer:
    zone = workspace.config.settings.workspace.zone
    allowing = [_decision_text(row, locale) for row in decisions if row["allow"]][:1]
    if messages and messages[0]["status"] in _OUTCOMES:
        last = messages[0]
        outcome = _OUTCOMES[last["status"]]
        asked = {"purpose": last["purpose"], "channel": last["channel"]}
        texts = [_spoken(last["reason"] or "", locale, asked)] if outcome == "refused" else allowing
        return _answer(name, outcome, last["reason"] or "", locale, public, zone, texts=texts, at=last["sent_at"] or last["queued_at"], channel=last["channel"])
    if members:
        return _answer(name, "on_audience", members[0]["reason"], locale, public, zone, texts=allowing, channel=members[0]["channel"], rank=members[0]["rank"])
    refused = [row for row in decisions if not row["allow"]]
    if refused:
        texts = [_decision_text(row, locale) for row in refused]
        return _answer(name, "refused", refused[0]["reason"], locale, public, zone, texts=texts, at=refused[0]["decided_at"], channel=refused[0]["channel"])
    return _answer(name, "not_chosen", "rule_not_met", locale, public, zone, texts=[_rule_text(workspace, name, locale)])


_OPENERS = frozenset(("Die", "Der", "Das", "Für", "Über", "Es", "In", "Zu", "The", "There", "It", "No", "An", "A"))
"""Words that begin a reason and are no nouns: small after a semicolon."""

_OUTCOMES = {"sent": "sent", "claimed": "queued", "queued": "queued", "refused": "refused"}


def _answer(name: str, outcome: str, reason: str, locale: str, public: str, zone: str, *, texts: Iterable[str], at: dt.datetime | None = None, channel: str = "", rank: int = 0) -> Answer:
    first, *others = dict.fromkeys(text.strip().rstrip(".") for text in texts if text.strip()) or [""]
    told = "; ".join([first, *(other[:1].lower() + other[1:] if other.split(" ")[0] in _OPENERS else other for other in others)])
    moment = "" if at is None else at.astimezone(ZoneInfo(zone)).strftime("%d.%m.%Y, %H:%M Uhr" if locale == "de" else "%d %b %Y, %H:%M")
    values = {"person": public, "audience": name, "at": moment, "channel": reasons.channel(channel, locale), "reason": f": {told}" if told else "", "rank": rank}
    return Answer(audience=name, outcome=outcome, reason=reason, sentence=_WORDS[locale][outcome].format(**values), at=at, channel=channel)


def _decision_text(row: dict[str, Any], locale: str) -> str:
    evidence = json.loads(row["evidence"]) if row.get("evidence") else {}
    return _spoken(row["reason"], locale, {"purpose": row["purpose"], "channel": row["channel"]} | evidence)


def _spoken(code: str, locale: str, values: dict[str, Any]) -> str:
    if code not in reasons.ALL:
        return code
    missing = dict.fromkeys(reasons.ALL[code].fields - set(values), "–")
    return reasons.sentence(code, locale, **values, **missing)


def _rule_text(workspace: Workspace, name: str, locale: str) -> str:
    from kundig import rules

    config = workspace.config
    sentence = rules.audience_rules({name: config.audiences[name]}, config.rule_segments, rules.schema_of(config))[name].sentence(locale)
    return f"die Regel trifft nicht zu ({sentence})" if locale == "de" else f"its rule does not hold ({sentence})"


def _segment_answer(workspace: Workspace, key: int, public: str, segment: str, locale: str) -> Answer:
    found = one(workspace, f"SELECT * FROM segment_members WHERE person_key = {key} AND member ORDER BY occurred_at DESC LIMIT 1")
    if not found:
        text, code = _WORDS[locale]["in_none"].format(person=public), "not_in_segment"
    elif found["segment_id"] == segment:
        text, code = _WORDS[locale]["in_segment"].format(person=public, segment=segment, **{k: found[k] for k in ("value_tier", "behavior_cluster", "state")}), "selected"
    else:
        text, code = _WORDS[locale]["not_in_segment"].format(person=public, segment=segment, other=found["segment_id"]), "not_in_segment"
    return Answer(audience="", outcome=code, reason=code, sentence=text, at=found.get("occurred_at") if found else None)


def _messages(workspace: Workspace, key: int) -> list[dict[str, Any]]:
    table = workspace.state.sql("messages")
    return workspace.state.select("messages", table.c.person_key == key, order_by=table.c.queued_at.desc())


__all__ = ["Allowed", "Answer", "Person", "allowed", "person", "why"]
