"""Decisions: the gate's answer for every candidate on every channel, then one channel per person, then the limits."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig import gate
from kundig.config.decide import Audience
from kundig.config.law import Channels, Policy, Purposes
from kundig.config.understand import SegmentRule
from kundig.consent import suppression
from kundig.decide.policy import parsed_rules, requests
from kundig.schema import step
from kundig.store.engines.session import arrow_type
from kundig.tables.decide import AUDIENCE_CANDIDATES, DECISIONS, GATE_FACTS
from kundig.tables.govern import SUPPRESSIONS
from kundig.tables.unify import IDENTIFIERS, IDENTITIES

if TYPE_CHECKING:
    import ibis.expr.types as ir

Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@step(reads=(GATE_FACTS, AUDIENCE_CANDIDATES, IDENTITIES, IDENTIFIERS, SUPPRESSIONS), writes=DECISIONS, kind="array", bound=400)
def decisions(
    gate_facts: ir.Table, audience_candidates: ir.Table, identities: ir.Table, identifiers: ir.Table, suppressions: ir.Table,
    *, as_of: dt.datetime, config: Any, audiences: Mapping[str, Audience], policies: Mapping[str, Policy], purposes: Purposes, channels: Channels, zone: str,
    rule_segments: Mapping[str, SegmentRule] = MappingProxyType({}),
) -> pa.Table:  # fmt: skip
    """One row per candidate and channel: allowed or not, the reason, and what it rests on.

    The gate answers first. Of the channels it allows a person gets the first of the audience's order; the others say `other_channel`.
    Then the audience's limits cut from the lowest rank up: `below_limit`, `budget_spent`.

    Raises:
        PolicyError: An audience names a scenario, purpose or channel that is not there.
    """
    asked = requests(audiences, parsed_rules(audiences, config, rule_segments), policies=policies, purposes=purposes, channels=channels, at=as_of, zone=zone)
    names = ["audience", "person_key", "channel", "preference", *[name for name in gate.COLUMNS if name in gate_facts.columns]]
    facts = gate_facts.select(*names).to_pyarrow()
    facts = facts.cast(pa.schema([(name, arrow_type(GATE_FACTS.column(name).type)) for name in names]))  # Spark hands over moments without their zone
    ranks = audience_candidates.select("audience", "person_key", "priority", "value").to_pyarrow()
    facts = with_suppressions(facts, gate_facts, identities, identifiers, suppressions, config)
    parts = [_audience(name, audiences[name], facts, ranks, asked, channels, as_of, policies) for name in sorted(audiences)]
    return pa.concat_tables(parts) if parts else _empty()


def with_suppressions(
    facts: pa.Table, gate_facts: ir.Table, identities: ir.Table, identifiers: ir.Table, suppressions: ir.Table, config: Any
) -> pa.Table:
    """The facts with `erased`, `suppressed`, `restricted` and objections from the suppression list; nothing is hashed while that list is empty.

    Raises:
        ConfigError: The list has rows and the secret key is not set: nobody could be compared.
    """
    listed = suppressions.select("digest", "reason").to_pyarrow()
    if listed.num_rows == 0:
        return facts
    secret = config.secret(suppression.SECRET).encode()
    people = gate_facts.select("person_key").distinct()
    held = identities.semi_join(people, "person_key").select("identifier_key", "person_key").distinct()
    named = held.join(identifiers.select("identifier_key", "namespace", "value"), "identifier_key").select("person_key", "namespace", "value").to_pyarrow()
    triples = zip(*(named[name].to_pylist() for name in ("person_key", "namespace", "value")), strict=True)
    reasons = suppression.found(triples, dict(zip(listed["digest"].to_pylist(), listed["reason"].to_pylist(), strict=True)), secret=secret)
    for column in suppression.ORDER:
        hit = pc.is_in(facts["person_key"], value_set=pa.array([key for key, why in reasons.items() if why == column], pa.int64()))
        before = facts[column] if column in facts.column_names else None
        hit = hit if before is None else pc.or_(hit, before)
        facts = facts.set_column(facts.column_names.index(column), column, hit) if before is not None else facts.append_column(column, hit)
    return facts


def _audience(
    name: str, audience: Audience, facts: pa.Table, ranks: pa.Table, asked: Mapping[tuple[str, str], gate.Request], channels: Channels, as_of: dt.datetime,
    policies: Mapping[str, Policy],
) -> pa.Table:  # fmt: skip
    mine = facts.filter(pc.equal(facts["audience"], name))
    order = ranks.filter(pc.equal(ranks["audience"], name))
    keys = np.asarray(order["person_key"].to_numpy())
    by_key = np.argsort(keys, kind="stable")
    keys = keys[by_key]
    answers: list[pa.Table] = []
    allowed = np.zeros((len(keys), len(audience.channels)), bool)
    for place, channel in enumerate(audience.channels):
        rows = mine.filter(pc.equal(mine["preference"], place)).sort_by("person_key")
        answer = gate.decide_many(asked[name, channel], rows.drop_columns(["audience", "channel", "preference"]))
        allowed[np.searchsorted(keys, answer["person_key"].to_numpy()), place] = answer["allow"].to_numpy()
        answers.append(answer)
    chosen = np.where(allowed.any(axis=1), allowed.argmax(axis=1), -1)
    priority = np.asarray(order["priority"].to_numpy())[by_key]
    value = np.asarray(pc.fill_null(order["value"].cast(pa.float64()), 0.0).to_numpy())[by_key]
    rank = places(chosen >= 0, priority, value, keys)
    cut = limits(audience, chosen, rank, [Decimal(str(channels.channels[channel].cost)) for channel in audience.channels])
    version = policies[audience.scenario].version
    parts = []
    for place, channel in enumerate(audience.channels):
        answer = answers[place]
        at = np.searchsorted(keys, answer["person_key"].to_numpy())
        reason, evidence = _limited(answer, at, place, chosen, rank, cut, audience, name)
        size = answer.num_rows
        final = np.asarray(answer["allow"].to_numpy()) & (chosen[at] == place) & ~(cut[0] | cut[1])[at]
        parts.append(
            pa.table(
                {
                    "audience": pa.repeat(name, size), "person_key": answer["person_key"], "channel": pa.repeat(channel, size), "purpose": pa.repeat(audience.purpose, size),
                    "allow": pa.array(final), "reason": reason, "evidence": evidence, "policy_version": pa.repeat(version, size),
                    "decided_at": pa.array([as_of], pa.timestamp("us", "UTC")).take(pa.array(np.zeros(size, np.int64))),
                }
            )
        )  # fmt: skip
    return pa.concat_tables(parts).cast(_empty().schema)


def places(taking_part: Flags, priority: npt.NDArray[np.float64], value: npt.NDArray[np.float64], keys: Places) -> Places:
    """The rank of each person who takes part, 1 first, by priority, value and key; 0 for the others."""
    who = np.flatnonzero(taking_part)
    order = who[np.lexsort((keys[who], -value[who], -priority[who]))]
    rank = np.zeros(len(keys), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return rank


def limits(audience: Audience, chosen: Places, rank: Places, costs: list[Decimal]) -> Flags:
    """Who is cut: one row of flags for `below_limit`, one for `budget_spent`. A cheaper message further down does not slip in."""
    cut = np.zeros((2, len(chosen)), bool)
    inside = rank > 0
    if audience.most is not None:
        cut[0] = inside & (rank > audience.most)
    if audience.budget.amount is not None:
        each = np.array([int(cost * 1_000_000) for cost in costs], np.int64)
        kept = np.flatnonzero(inside & ~cut[0])
        order = kept[np.argsort(rank[kept])]
        spent = np.cumsum(each[chosen[order]])
        cut[1][order[spent > int(audience.budget.amount * 1_000_000)]] = True
    return cut


def _limited(
    answer: pa.Table, at: Places, place: int, chosen: Places, rank: Places, cut: Flags, audience: Audience, name: str
) -> tuple[pa.ChunkedArray | pa.Array, pa.ChunkedArray | pa.Array]:
    """Reason and evidence of one channel's answers, after the choice of channel and the limits."""
    allow = np.asarray(answer["allow"].to_numpy())
    mine = allow & (chosen[at] == place)
    reason, evidence = answer["reason"], answer["evidence"]
    other = allow & ~mine
    if other.any():
        told = [json.dumps({"channel": channel}) for channel in audience.channels]
        reason = pc.if_else(pa.array(other), "other_channel", reason)
        evidence = pc.if_else(pa.array(other), pa.array(told).take(pa.array(np.maximum(chosen[at], 0))), evidence)
    for flags, code in ((cut[0], "below_limit"), (cut[1], "budget_spent")):
        hit = mine & flags[at]
        if hit.any():
            texts = np.full(len(at), "", object)
            for row in np.flatnonzero(hit):
                said = {"rank": int(rank[at[row]]), "most": audience.most} if code == "below_limit" else {"budget": name, "rank": int(rank[at[row]])}
                texts[row] = json.dumps(said)
            reason = pc.if_else(pa.array(hit), code, reason)
            evidence = pc.if_else(pa.array(hit), pa.array(texts, pa.string()), evidence)
    return reason, evidence


def _empty() -> pa.Table:
    types = {"person_key": pa.int64(), "allow": pa.bool_(), "decided_at": pa.timestamp("us", "UTC")}
    return pa.schema([(name, types.get(name, pa.string())) for name in DECISIONS.names if name != "changed_run"]).empty_table()
