"""What the next run would do, computed without committing anything: steps with their causes, people moved, audiences, messages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig.pipeline.identity_effect import IdentityEffect, identity_effect
from kundig.pipeline.run import Run, StepReport
from kundig.tables import ALL

if TYPE_CHECKING:
    from kundig.pipeline.workbench import Workbench


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How many persons go from one cell to another; None: from nowhere, or to nowhere."""

    before: str | None
    after: str | None
    persons: int


@dataclass(frozen=True, kw_only=True)
class AudienceEffect:
    """Members of an audience in the last release, and after the next run."""

    audience: str
    before: int
    after: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What apply and the next run would do."""

    as_of: dt.datetime
    files: tuple[Any, ...]
    steps: tuple[StepReport, ...]
    moved: tuple[Moved, ...] = ()
    audiences: tuple[AudienceEffect, ...] = ()
    value_before: float | None = None
    value_after: float | None = None
    stale_creatives: int = 0
    identity: IdentityEffect | None = None
    """Who would be joined and parted; None where the run tells nobody apart anew, or there is no release to compare with."""

    def lines(self) -> list[str]:
        """In words."""
        found = [f"as of {self.as_of:%Y-%m-%d %H:%M} UTC; nothing is changed by a plan"]
        found += [f"file {change.kind}: {change.path}" for change in self.files] or ["no file differs from the last apply"]
        worked = [step for step in self.steps if step.cause != "unchanged"]
        found.append(f"{len(worked)} of {len(self.steps)} steps would have work")
        for step in worked:
            keys = f" for {step.keys:,} persons" if step.keys is not None else ""
            found.append(f"  {step.table:<22} {step.cause}{keys}: {step.rows:,} rows")
        found += self.identity.lines() if self.identity is not None and self.identity.affected else []
        found += [f"{move.persons:>9,} persons: {move.before or '(new)'} → {move.after or '(gone)'}" for move in self.moved]
        found += [f"audience {one.audience}: {one.before:,} → {one.after:,}" for one in self.audiences if one.before != one.after]
        if self.value_after is not None:
            found.append(f"expected value of all customers: {self.value_before or 0:,.0f} → {self.value_after:,.0f}")
        if self.stale_creatives:
            found.append(f"{self.stale_creatives} creatives are stale: shown, not sent, until they are made anew")
        return found


def rehearse(attempt: Run, bench: Workbench, files: Iterable[Any], *, effect: bool) -> Plan:
    """Compute a run without committing it, and compare what it made with the last release."""
    report = attempt.execute(commit=False)
    made = Plan(as_of=report.as_of, files=tuple(files), steps=report.steps)
    if not effect:
        return made
    worked = {step.table for step in report.worked}
    parts: dict[str, Any] = {}
    if "identities" in worked and bench.release is not None:
        parts["identity"] = identity_effect(bench)
    if "segment_members" in worked:
        parts["moved"] = _moved(bench)
    if "audience_members" in worked:
        parts["audiences"] = _audiences(bench)
    if "lifetime_values" in worked:
        parts["value_before"], parts["value_after"] = (_value(bench, "lifetime_values", before=before) for before in (True, False))
    if "creatives" in worked:
        creatives = bench.opened(ALL["creatives"])
        parts["stale_creatives"] = int(creatives.filter(creatives.status == "stale").count().execute())
    return Plan(as_of=made.as_of, files=made.files, steps=made.steps, **parts)


def _moved(bench: Workbench, most: int = 12) -> tuple[Moved, ...]:
    import pyarrow.compute as pc

    def _cells(before: bool) -> dict[int, str]:
        rows = bench.state_of("segment_members", before=before)
        found = bench.session.arrow(rows.filter(rows.member).select("person_key", "segment_id"))
        return dict(zip(pc.cast(found["person_key"], "int64").to_pylist(), found["segment_id"].to_pylist(), strict=True))

    old, new = _cells(True), _cells(False)
    counts: dict[tuple[str | None, str | None], int] = {}
    for person in old.keys() | new.keys():
        move = (old.get(person), new.get(person))
        if move[0] != move[1]:
            counts[move] = counts.get(move, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:most]
    return tuple(Moved(before=before, after=after, persons=persons) for (before, after), persons in ranked)


def _audiences(bench: Workbench) -> tuple[AudienceEffect, ...]:
    sides: list[Mapping[str, int]] = []
    for before in (True, False):
        rows = bench.state_of("audience_members", before=before)
        found = rows.group_by("audience").aggregate(n=rows.count()).to_pyarrow().to_pylist()
        sides.append({row["audience"]: row["n"] for row in found})
    return tuple(AudienceEffect(audience=name, before=sides[0].get(name, 0), after=sides[1].get(name, 0)) for name in sorted({*sides[0], *sides[1]}))


def _value(bench: Workbench, table: str, *, before: bool) -> float | None:
    rows = bench.state_of(table, before=before)
    found = rows.aggregate(total=rows.expected_value.cast("float64").sum()).to_pyarrow()["total"][0].as_py()
    return None if found is None else float(found)
