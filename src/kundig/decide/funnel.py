"""The funnel: how many persons are left of each audience after each gate, and which gate stopped the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from kundig import reasons

GATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("known", ("erased", "suppressed", "restricted")),
    ("objection", ("objected",)),
    (
        "legal basis",
        (
            "purpose_undeclared", "consent_missing", "consent_withdrawn", "consent_pending", "consent_expired", "customer_lapsed", "goods_not_similar",
            "contract_missing", "legitimate_interest_not_allowed",
        ),
    ),
    ("scenario", ("scenario_not_approved", "channel_not_in_scenario", "forbidden_attribute")),
    ("creative", ("creative_missing", "creative_not_approved", "creative_stale")),
    ("pressure", ("cap_reached", "quiet_hours")),
    ("offer", ("offer_invalid", "offer_out_of_stock")),
    ("address", ("address_missing", "address_undeliverable")),
    ("budget", ("below_limit", "budget_spent")),
)  # fmt: skip
"""The gates in the order in which they are asked, each with the reasons it refuses for."""

_WIDTH = 1_000
_PLACE = {reason: place for place, (_, codes) in enumerate(GATES) for reason in codes}


@dataclass(frozen=True, kw_only=True, slots=True)
class FunnelRow:
    """One gate of one audience: persons before and after it, and why it stopped the others (reason code to persons)."""

    audience: str
    gate: str
    before: int
    after: int
    reasons: tuple[tuple[str, int], ...] = ()

    @property
    def stopped(self) -> int:
        """Persons this gate stopped."""
        return self.before - self.after


def funnel(decisions: pa.Table) -> list[FunnelRow]:
    """Persons before and after each gate, per audience, in the order the gates are asked.

    A person is counted at the furthest gate that any channel reached: whoever is refused by e-mail for want of an address and by
    push for want of a consent got as far as the address. `before` of a gate is `after` of the one before it; the last `after` is
    the number of members.
    """
    told = decisions.select(["audience", "person_key", "allow", "reason"]).filter(pc.not_equal(decisions["reason"], "other_channel"))
    if told.num_rows == 0:
        return []
    codes = sorted(told["reason"].unique().to_pylist())
    depth = pa.array([_PLACE.get(code, 0) * _WIDTH + number for number, code in enumerate(codes)], pa.int64())
    reached = pc.if_else(told["allow"], pa.scalar(len(GATES) * _WIDTH, pa.int64()), depth.take(pc.index_in(told["reason"], value_set=pa.array(codes))))
    persons = told.select(["audience", "person_key"]).append_column("reached", reached).group_by(["audience", "person_key"]).aggregate([("reached", "max")])
    counted: dict[str, dict[int, int]] = {}
    for row in persons.group_by(["audience", "reached_max"]).aggregate([("person_key", "count")]).to_pylist():
        counted.setdefault(row["audience"], {})[row["reached_max"]] = row["person_key_count"]
    return [row for audience in sorted(counted) for row in _rows(audience, counted[audience], codes)]


def lines(rows: Iterable[FunnelRow]) -> list[str]:
    """The funnel as text: one line per audience and gate that stopped somebody.

    Examples:
        >>> lines([FunnelRow(audience="win_back", gate="objection", before=10, after=9, reasons=(("objected", 1),))])
        ['win_back: 10 → 9 after objection (objected 1)']
    """
    return [
        f"{row.audience}: {row.before:,} → {row.after:,} after {row.gate} ({', '.join(f'{reasons.known(code)} {count:,}' for code, count in row.reasons)})"
        for row in rows
        if row.stopped
    ]


def _rows(audience: str, counted: Mapping[int, int], codes: Sequence[str]) -> list[FunnelRow]:
    total = sum(counted.values())
    rows = []
    for place, (gate, _) in enumerate(GATES):
        stopped = {codes[reached % _WIDTH]: count for reached, count in counted.items() if reached // _WIDTH == place}
        after = total - sum(stopped.values())
        reasons_ = tuple(sorted(stopped.items(), key=lambda pair: (-pair[1], pair[0])))
        rows.append(FunnelRow(audience=audience, gate=gate, before=total, after=after, reasons=reasons_))
        total = after
    return rows
