"""Drift of the tracking plan, told in words: what is new, what changed its type, what is gone, and what breaks the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kundig.collect.identifiers import literal
from kundig.collect.plan_draft import unnamed
from kundig.collect.plan_seen import SeenEvent, SeenProperty
from kundig.collect.tracking_plan import UNKNOWN_EVENT, Plan
from kundig.store import Lake, native

ENOUGH = 10
"""Events that should have come by the rate of before from which on their absence is told: by chance it happens once in 20,000 times."""

SHARE = 0.05
"""Share of values of another kind from which on a type has changed, and times of a property from which on it counts as usual (see USUAL)."""

USUAL = 0.5
"""Share of events that had a property, from which on its absence is told."""

Kind = Literal["new_event", "new_property", "changed_type", "wrong_value", "missing_property", "wrong_source", "vanished_event", "vanished_property", "unplanned_event", "unplanned_property", "never_seen"]
_NAMES = {"whole": "whole numbers", "number": "numbers", "bool": "true or false", "day": "days", "moment": "moments", "list": "lists", "object": "objects", "text": "texts"}
QUIET = ("unplanned_event", "unplanned_property", "never_seen")
"""Kinds that are no change: the plan and what is sent have differed all along."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """One way in which events differ from the plan or from before, as a sentence with its mend."""

    kind: Kind
    event: str
    key: str
    count: int
    sentence: str
    mend: str

    @property
    def changed(self) -> bool:
        """It is a change, not a difference that has always been there."""
        return self.kind not in QUIET


_DRAFT = "agree on it: kundig trackingplan draft, or stop sending it"
_TELL = "ask who answers for it{owner}; then mend the tracker, or the plan"


def drift(found: Mapping[str, SeenEvent], plan: Plan, *, days: int = 7, before: int = 28) -> tuple[Drift, ...]:
    """Every difference, changes first, then by how often it came.

    Args:
        found: What was seen, of all sources.
        plan: The plan.
        days: How many days count as lately in `found`.
        before: With how many days they are compared there.
    """
    every: list[Drift] = []
    named = set(unnamed(found, plan))
    for name, event in found.items():
        if name in named:
            every += _unnamed(event, plan, days)
        every += _gone(event, plan, days, before)
        if event.recent:
            for key, one in event.properties.items():
                every += _property(event, key, one, plan, days)
            every += _broken(event, plan)
    for name, agreed in plan.events.items():
        if name not in found:
            owner = f" ({agreed.owner})" if agreed.owner else ""
            every.append(Drift(kind="never_seen", event=name, key="", count=0, sentence=f"'{name}' is planned, and has not come in the last {days + before} days", mend=f"send it, or strike it from the plan{owner}"))
    return tuple(sorted(every, key=lambda one: (not one.changed, -one.count, one.event, one.key, one.kind)))


def _tell(plan: Plan, event: str) -> str:
    owner = plan.events[event].owner if event in plan.events else ""
    return _TELL.format(owner=f", {owner}" if owner else "")


def _from(event: SeenEvent) -> str:
    return " and ".join(event.sources)


def _unnamed(event: SeenEvent, plan: Plan, days: int) -> Iterator[Drift]:
    if event.recent and not event.before:
        since = f" since {event.first_recent:%Y-%m-%d}" if event.first_recent is not None else ""
        yield Drift(kind="new_event", event=event.name, key="", count=event.recent, sentence=f"'{event.name}' is new: {event.recent:,} times{since}, from {_from(event)}", mend=_DRAFT)
    elif plan.events and event.recent:
        yield Drift(kind="unplanned_event", event=event.name, key="", count=event.recent, sentence=f"'{event.name}' came {event.recent:,} times in {days} days from {_from(event)}, and no plan names it", mend=_DRAFT)


def _gone(event: SeenEvent, plan: Plan, days: int, before: int) -> Iterator[Drift]:
    due = event.before * days / before
    if not event.recent and due >= ENOUGH:
        what = f"'{event.name}' is gone: none in {days} days, where about {due:,.0f} would have come from {_from(event)}"
        yield Drift(kind="vanished_event", event=event.name, key="", count=event.before, sentence=what, mend=_tell(plan, event.name))


def _property(event: SeenEvent, key: str, one: SeenProperty, plan: Plan, days: int) -> Iterator[Drift]:
    planned = key in plan.properties and not one.columned  # what could not be read as the plan's type stays in the JSON
    usual = event.looked_before >= ENOUGH and one.before >= USUAL * event.looked_before
    if not one.recent:
        if usual and event.looked_recent >= ENOUGH and not planned:
            what = f"'{key}' of '{event.name}' is gone: it came with {one.before / event.looked_before:.0%} of the events before, and with none of {event.looked_recent:,} in {days} days"
            yield Drift(kind="vanished_property", event=event.name, key=key, count=event.looked_recent, sentence=what, mend=_tell(plan, event.name))
        return
    if planned or one.columned:
        return
    if not one.before and event.looked_before >= ENOUGH:
        what = f"'{key}' of '{event.name}' is new: with {one.recent:,} of {event.looked_recent:,} events in {days} days, as {_mostly(one.kinds_recent)}"
        yield Drift(kind="new_property", event=event.name, key=key, count=one.recent, sentence=what, mend=f"agree on it in tracking_plan/: {key}: {{type: …}}")
    elif one.before >= ENOUGH:
        yield from _changed(event, key, one, plan)
    if one.before and event.name in plan.events and plan.events[event.name].properties:
        what = f"'{key}' of '{event.name}' came {one.recent:,} times in {days} days, and the plan does not name it"
        yield Drift(kind="unplanned_property", event=event.name, key=key, count=one.recent, sentence=what, mend="agree on it in tracking_plan/, or stop sending it")


def _changed(event: SeenEvent, key: str, one: SeenProperty, plan: Plan) -> Iterator[Drift]:
    kind = max(one.kinds_before, key=lambda name: one.kinds_before[name])
    fits = {kind, "whole"} if kind == "number" else {kind}
    if sum(count for name, count in one.kinds_before.items() if name in fits) < (1 - SHARE) * one.before:
        return
    other = {name: count for name, count in one.kinds_recent.items() if name not in fits}
    if sum(other.values()) >= max(2, SHARE * one.recent):
        what = f"'{key}' of '{event.name}' has changed its type: {_NAMES[kind]} before, now {_mostly(other)} in {sum(other.values()) / one.recent:.0%} of {one.recent:,}"
        yield Drift(kind="changed_type", event=event.name, key=key, count=sum(other.values()), sentence=what, mend=_tell(plan, event.name))


def _mostly(kinds: Mapping[str, int]) -> str:
    return _NAMES[max(kinds, key=lambda name: kinds[name])]


def _broken(event: SeenEvent, plan: Plan) -> Iterator[Drift]:
    """What breaks the plan and was let through, where it comes more often than before."""
    for reason, count in event.broken_recent.items():
        share, was = count / event.looked_recent, event.broken_before.get(reason, 0) / event.looked_before if event.looked_before else 0.0
        if reason == UNKNOWN_EVENT or share < max(0.01, 2 * was):
            continue
        name, _, what = reason.partition(": ")
        kind: Kind = "missing_property" if what == "missing" else "wrong_value" if what.startswith("not one") else "wrong_source" if name == "source" else "changed_type"
        told = {
            "missing_property": f"'{name}' of '{event.name}' is missing", "wrong_value": f"'{name}' of '{event.name}' is none of the values agreed on",
            "wrong_source": f"'{event.name}' comes from a source that may not send it ({what.partition(' ')[0]})", "changed_type": f"'{name}' of '{event.name}' cannot be read as {what.removeprefix('no ')}",
        }[kind]  # fmt: skip
        before = f" (before: {was:.0%})" if event.before else ""
        yield Drift(kind=kind, event=event.name, key="" if kind == "wrong_source" else name, count=count, sentence=f"{told} in {share:.0%} of {event.recent:,}{before}; let through and marked", mend=_tell(plan, event.name))


def held(lake: Lake, *, source: str | None = None) -> dict[str, int]:
    """How many events are held because they break the plan, by reason."""
    stem = "the tracking plan is broken: "
    own = f" AND source = {literal(source)}" if source is not None else ""
    sql = f"SELECT substr(what, {len(stem) + 1}), count(*) FROM {lake.scan('quarantined_records')} WHERE status = 'held' AND starts_with(what, {literal(stem)}){own} GROUP BY 1 ORDER BY 2 DESC, 1"
    return dict(native(lake.duck).execute(sql).fetchall())
