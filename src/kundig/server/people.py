"""What the pages about people show: a list by a choice, and one person with the answers first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from kundig.answers import Answer, Found, Person
from kundig.answers.chances import Reason
from kundig.answers.origins import CATEGORIES, Value
from kundig.live import LivePerson
from kundig.report.cells import Cell, address
from kundig.report.facts import LISTED, Choice, Facts
from kundig.report.views import View, amount, count, grid, reason_text, told
from kundig.report.words import DASH, Words

SHARES = frozenset({"returned_share", "discount_share", "order_value_spread", "regularity"})
AMOUNTS = frozenset({"revenue", "net_revenue", "order_value", "first_order_value", "margin"})
UNTOLD = frozenset({"due_at", "acquisition_channel"})
"""Columns of features that are not told with them: when a row is computed anew, and what the profile tells."""


def link(person_id: str, w: Words) -> Cell:
    """A person's id, leading to the person's page."""
    return Cell(text=person_id, value=person_id, href=address(f"/people/{person_id}", lang=w.locale))


def search(facts: Facts, w: Words, *, note: str = "", asked: str = "", audience: str = "") -> View:
    """The search, and the most urgent buyers."""
    rows = [(link(row["person_id"], w), amount(w, row["value_at_stake"]), amount(w, row["urgency"]), reason_text(row["reason"], w)) for row in facts.urgent]
    heads = [(w("people.person"), False), (w("people.stake"), True), (w("people.urgency"), True), (w("common.reason"), False)]
    return {
        "title": w("people.title"), "answer": told(w, "people.answer", persons=w.number(facts.people["persons"])), "note": note, "asked": asked, "audience": audience,
        "audiences": sorted(facts.workspace.config.audiences), "aside": Cell(text=w("identity.title"), href=address("/identity", lang=w.locale)), "tables": [grid(heads, rows, title=w("people.top"), empty=w("empty.urgent"))],
    }  # fmt: skip


def found(facts: Facts, w: Words, asked: str, people: tuple[Found, ...], *, audience: str = "") -> View:
    """The people who may be meant by a search, the nearest first."""
    rows = [
        (Cell(text=one.name or one.person_id, value=one.person_id, href=address(f"/people/{one.person_id}", audience=audience, lang=w.locale)), one.company or DASH, one.city or DASH, one.email or DASH, one.phone or DASH, w.day(one.last_seen_at))
        for one in people
    ]  # fmt: skip
    heads = [(w("people.person"), False), *((w.named("attributes", name), False) for name in ("company", "city", "email", "phone")), (w("people.seen"), False)]
    key = "people.matches" if people and people[0].off < 1 else "people.near"
    return search(facts, w, asked=asked, audience=audience) | {"answer": told(w, key, count=w.number(len(people)), q=asked), "tables": [grid(heads, rows, title=w("people.list"), empty=w("empty.chosen"))]}


def chosen(facts: Facts, w: Words, choice: Choice) -> View:
    """The people behind a number."""
    rows, total = facts.listed(choice)
    cells = [
        (link(row["person_id"], w), w.named("kinds", row["kind"] or ""), w.named("states", row["state"]) if row["state"] else DASH, row["segment_id"] or DASH,
         Cell(text=w.money(row["expected_value"]) + w.interval(row["expected_value_low"], row["expected_value_high"]), value=row["expected_value"]), w.day(row["last_seen_at"]))
        for row in rows
    ]  # fmt: skip
    heads = [(w("people.person"), False), (w("person.kind"), False), (w("segments.state"), False), (w("segments.segment"), False), (w("measure.clv"), True), (w("people.seen"), False)]
    note = w("people.cut", most=w.number(LISTED)) if total > LISTED else ""
    parts = "; ".join(f"{w.named('choices', name)}: {_part(name, text, w)}" for name, text in choice.given().items())
    return {"title": w("people.chosen"), "answer": told(w, "people.found", persons=w.number(total), choice=parts), "tables": [grid(heads, cells, title=w("people.list"), note=note, empty=w("empty.chosen"))]}


def _part(name: str, text: str, w: Words) -> str:
    if name == "channel":
        return w.channel(text)
    if name == "reason":
        return reason_text(text, w).rstrip(".")
    if name == "acquired":
        return w.channel(text)
    if name == "cohort":
        return w.iso_month(text)
    groups = {"kind": "kinds", "state": "states", "status": "statuses", "part": "parts"}
    return w.named(groups[name], text) if name in groups else text


def one(found: Person, answers: tuple[Answer, ...], w: Words, *, audience: str = "", fresh: LivePerson | None = None, titles: Mapping[str, str] | None = None) -> View:
    """A person: the answers first, then who it is, what was heard since the release, what may be written, what is known and what happened; `titles`: what predictions are called."""
    first = [answer for answer in answers if answer.audience == audience]
    since = [] if fresh is None else _since(fresh, w)
    return {
        "title": w("person.title", person=found.person_id), "asked": [answer.sentence for answer in first], "answers": [answer.sentence for answer in answers if answer not in first],
        "answer": _summary(found, w), "aside": Cell(text=w("identity.to_graph"), href=address(f"/identity/{found.person_id}", lang=w.locale)),
        "tables": [*since, _consents(found, w), *_values(found, w, language=w.locale), _traits(found, w), _profile(found, w), _identifiers(found, w), _expected(found, w), *_chances(found, titles or {}, w), _numbers(found, w), _spoken(found, w), _timeline(found, w)],
    }  # fmt: skip


def heard(fresh: LivePerson, w: Words) -> View:
    """Somebody no release knows yet: all there is was heard since."""
    answer = told(w, "person.answer_heard", events=w.number(sum(counted["count"] for counted in fresh.counters.values())), at=w.moment(fresh.heard_at))
    names = [(w.named("namespaces", one["namespace"]), one["value"], one["source"]) for one in fresh.identifiers]
    known = grid([(w("person.kind"), False), (w("common.value"), False), (w("person.origin"), False)], names, title=w("person.identifiers"), empty=w("empty.profile"))
    return {"title": w("person.title", person=fresh.person_id), "answer": answer, "tables": [*_since(fresh, w), known]}


def _since(fresh: LivePerson, w: Words) -> list[View]:
    """What was heard since the release: the events, the session that runs, the basket."""
    rows = [
        (w.moment(event["at"]), w.named("happenings", event["name"]), str(event.get("page_path") or event.get("product_id") or DASH), w.channel(event.get("channel")) if event.get("channel") else DASH, amount(w, event.get("value")))
        for event in fresh.events
    ]  # fmt: skip
    heads = [(w("person.when"), False), (w("person.what"), False), (w("person.where"), False), (w("person.channel"), False), (w("common.value"), True)]
    facts = []
    if fresh.session is not None:
        facts.append((w("person.session"), w("person.session_told", start=w.moment(fresh.session["started_at"]), events=w.number(fresh.session["events"]), pages=w.number(fresh.session["pages"]))))
    if fresh.basket:
        facts.append((w("person.basket"), ", ".join(f"{w.number(pieces)} × {article}" for article, pieces in sorted(fresh.basket.items()))))
    tables = [grid(heads, rows, title=w("person.since"), note=w("person.since_note"), empty=w("empty.timeline"))]
    if facts:
        tables.append(grid([(w("person.attribute"), False), (w("common.value"), False)], facts, title=w("person.just_now"), empty=w("empty.profile")))
    return tables


def _summary(found: Person, w: Words) -> Any:
    known = {"kind": w.named("kinds", str(found.profile.get("kind") or "")), "since": w.day(found.profile.get("first_seen_at"))}
    if not found.value:
        return told(w, "person.answer_plain", **known)
    interval = w.interval(found.value["expected_value_low"], found.value["expected_value_high"])
    segment = str(found.segment.get("segment_id") or DASH)
    state = w.named("states", str(found.lifecycle.get("state") or DASH))
    return told(
        w, "person.answer", **known, orders=w.number(found.features.get("purchase_days")), value=amount(w, found.value["expected_value"]), interval=interval, state=state,
        segment=Cell(text=segment, value=segment, href=address("/people", segment=segment, lang=w.locale)), verdict=w.named("verdicts", str(found.value["verdict"])),
    )  # fmt: skip


def _consents(found: Person, w: Words) -> View:
    rows = [(c.purpose, w.channel(c.channel), Cell(text=w("common.yes" if c.allow else "common.no"), value=c.allow, tone="good" if c.allow else "bad"), c.sentence) for c in found.consents]
    heads = [(w("person.purpose"), False), (w("person.channel"), False), (w("person.allowed"), False), (w("common.reason"), False)]
    return grid(heads, rows, title=w("person.consents"), empty=w("empty.person_consents"))


def _values(found: Person, w: Words, *, language: str) -> list[View]:
    """What sources say of the person, a table a category, each value with its origin."""
    heads = [(w("person.attribute"), False), (w("common.value"), False), (w("person.origin"), False), (w("person.party"), False), (w("person.age"), False), (w("person.others"), False)]
    tables = []
    for category in CATEGORIES:
        mine = [value for value in found.values if value.category == category]
        rows = [
            (
                value.label(language) or w.named("attributes", value.name), _told(value.name, value.value, w), " ".join(part for part in (value.source, value.record) if part) or DASH, w.named("parties", value.party),
                _age(value, w), "; ".join(f"{one.value} ({one.source}, {w.day(one.at)})" for one in value.others) or DASH,
            )
            for value in mine
        ]  # fmt: skip
        if rows:
            tables.append(grid(heads, rows, title=w.named("categories", category), empty=w("empty.profile")))
    return tables


def _age(value: Value, w: Words) -> Any:
    """Since when a value holds, when it was last said, and whether that is too long ago."""
    if value.at is None:
        return DASH
    parts = [w("person.holds", day=w.day(value.at))]
    parts += [w("person.said_again", day=w.day(value.said_at))] if value.said_at is not None and value.said_at != value.at else []
    if not value.stale:
        return "; ".join(parts)
    return Cell(text="; ".join([*parts, w("person.stale", days=w.number(value.stale_after))]), value=value.at, tone="bad")


def _traits(found: Person, w: Words) -> View:
    rows = [(trait.meaning, _trait(trait.value, trait.unit, w), w.named("categories", trait.category), w.moment(trait.last_fact_at)) for trait in found.traits]
    heads = [(w("person.trait"), False), (w("common.value"), False), (w("person.category"), False), (w("person.newest"), False)]
    return grid(heads, rows, title=w("person.traits"), empty=w("empty.traits"))


def _trait(value: str, unit: str, w: Words) -> str:
    if value in ("true", "false"):
        return w("common.yes" if value == "true" else "common.no")
    try:
        number = Decimal(value)
    except InvalidOperation:
        return value
    return w.number(number, 0 if number == number.to_integral_value() else 2) + (f" {unit}" if unit else "") if number.is_finite() else value


def _spoken(found: Person, w: Words) -> View:
    rows = [
        (w.moment(one.at), one.purpose, w.channel(one.channel), w.named("statuses", one.status), w.named("bases", one.basis) if one.basis else DASH, w.day(one.until), one.wording or DASH, one.record_id or DASH) for one in found.consent_history
    ]  # fmt: skip
    heads = [(w("person.when"), False), (w("person.purpose"), False), (w("person.channel"), False), (w("consent.status"), False), (w("person.basis"), False), (w("person.lapses"), False), (w("person.wording"), False), (w("person.record"), False)]
    return grid(heads, rows, title=w("person.consent_history"), empty=w("empty.person_consents"))


def _profile(found: Person, w: Words) -> View:
    """What is known beside what sources say: first and last sign, kind."""
    known = {value.name for value in found.values}
    rows = [(w.named("attributes", name), _told(name, value, w)) for name, value in found.profile.items() if name not in known and value not in (None, "", [])]
    return grid([(w("person.attribute"), False), (w("common.value"), False)], rows, title=w("person.profile"), empty=w("empty.profile"))


def _identifiers(found: Person, w: Words) -> View:
    rows = [(w.named("namespaces", namespace), value, source) for namespace, value, source in found.identifiers]
    return grid([(w("person.kind"), False), (w("common.value"), False), (w("person.origin"), False)], rows, title=w("person.identifiers"), empty=w("empty.profile"))


def _numbers(found: Person, w: Words) -> View:
    rows = [(w.named("attributes", name), _told(name, value, w)) for name, value in found.features.items() if value is not None and name not in UNTOLD]
    return grid([(w("person.attribute"), False), (w("common.value"), True)], rows, title=w("person.numbers"), empty=w("empty.profile"))


def _expected(found: Person, w: Words) -> View:
    """What the lifetime model expects of the person within the horizon."""
    value, rows = found.value, []
    if value:
        due = reason_text(value["next_purchase_reason"], w) if value["next_purchase_at"] is None else Cell(text=w("person.bought_by", day=w.day(value["next_purchase_at"])), value=value["next_purchase_at"])
        rows = [(w("person.next_purchase"), due)]
        if value["probability_alive"] is not None:
            rows += [(w(f"person.{name}"), Cell(text=w.percent(value[name]), value=value[name])) for name in ("probability_alive", "probability_purchase")]
            rows += [(w("person.expected_purchases"), Cell(text=w.number(value["expected_purchases"], 1), value=value["expected_purchases"]))]
        if value.get("acquisition_cost") is not None:
            rows += [(w(f"person.{name}"), amount(w, value[name])) for name in ("acquisition_cost", "value_less_acquisition")]
    return grid([(w("person.attribute"), False), (w("common.value"), False)], rows, title=w("person.expected"), note=w("person.expected_note"), empty=w("empty.expected"))


def _chances(found: Person, titles: Mapping[str, str], w: Words) -> list[View]:
    """What predictions say of the person, each with the features that raise or lower it most, or the way there; nothing where there is none."""
    way = Cell(text=w("person.show_reasons"), href=address(f"/people/{found.person_id}", reasons="yes", lang=w.locale))
    rows = [
        (
            Cell(text=titles.get(chance.prediction, chance.prediction), value=chance.prediction, href=address(f"/predictions/{chance.prediction}", lang=w.locale)), Cell(text=w.percent(chance.probability), value=chance.probability),
            Cell(text=w.number(chance.percentile), value=chance.percentile), w("person.not_asked") if chance.probability is None else "; ".join(_reason(one, w) for one in chance.reasons) or way,
        )
        for chance in found.chances
    ]  # fmt: skip
    heads = [(w("predictions.prediction"), False), (w("predictions.probability"), True), (w("person.higher"), True), (w("person.because"), False)]
    return [grid(heads, rows, title=w("person.chances"), note=w("person.chances_note") if any(chance.reasons for chance in found.chances) else "")] if rows else []


def _reason(reason: Reason, w: Words) -> str:
    """A feature with its value, and by how much it raises or lowers the log-odds."""
    value = w("predictions.unknown") if reason.value is None else _trait(reason.value, "", w)
    return f"{reason.feature}: {value} ({'+' if reason.effect > 0 else ''}{w.number(reason.effect, 2)})"


def _timeline(found: Person, w: Words) -> View:
    rows = []
    for entry in found.timeline:
        what = w.named("happenings", entry.what) + (f" {entry.detail}" if entry.detail else "")
        rows.append((w.moment(entry.at), w.named("kinds", entry.kind), what, w.channel(entry.channel) if entry.channel else DASH, amount(w, entry.value)))
    heads = [(w("person.when"), False), (w("person.kind"), False), (w("person.what"), False), (w("person.channel"), False), (w("common.value"), True)]
    return grid(heads, rows, title=w("person.timeline"), empty=w("empty.timeline"))


def _told(name: str, value: Any, w: Words) -> Any:
    if name in SHARES:
        return Cell(text=w.percent(value), value=value)
    if name in AMOUNTS:
        return amount(w, value)
    if isinstance(value, bool):
        return w("common.yes") if value else w("common.no")
    if isinstance(value, dt.datetime):
        return w.moment(value)
    if isinstance(value, dt.date):
        return w.day(value)
    if isinstance(value, (float, Decimal)):
        return Cell(text=w.number(value, 1), value=value)
    if isinstance(value, int):
        return count(w, value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    groups = {"kind": "kinds", "acquisition_channel": "channels", "language": "languages"}
    return w.named(groups[name], str(value)) if name in groups else str(value)
