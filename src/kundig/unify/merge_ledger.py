"""The merge ledger: every identifier that went into a person, and every link that was refused, with what it rests on."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from kundig.schema import step
from kundig.tables.unify import IDENTITIES, IDENTITY_DECISIONS, LINKS, MERGES
from kundig.unify.guards import STATUSES

REFUSED = tuple(name for name in STATUSES if name not in ("used", "handover"))
"""What a link's status says when it joins nobody."""


@step(reads=(IDENTITIES, LINKS, IDENTITY_DECISIONS), writes=MERGES)
def merges(identities: ir.Table, links: ir.Table, identity_decisions: ir.Table) -> ir.Table:
    """One row per identifier that is not its person's name, and one per refused link.

    A step has no memory, and needs none: facts are append-only, so what joined once stays in the ledger as long as the facts do. An identifier
    alone would be a person named by its own key; its row of kind `merge` says into whom that person went, by which links, and since when. So
    every key that ever named a person resolves. A row of kind `split` says that two identifiers seen together are two people, and
    which guard said so. What people decided stands beside it, undone or not, one row a decision.
    """
    certain = identities.filter(~identities.shared)
    joined = certain.filter(certain.identifier_key != certain.person_key).select("identifier_key", "person_key", "valid_from", "valid_until")
    ends = _ends(links.filter(links.status.isin(("used", "handover"))))
    other = certain.select(end_key=certain.identifier_key, end_person=certain.person_key)
    beside = ends.inner_join(other, ends.to_key == other.end_key)
    rests = beside.group_by("from_key", "end_person").aggregate(evidence=beside.evidence.min(), since=beside.first_at.min())
    merged = joined.left_join(rests, (joined.identifier_key == rests.from_key) & (joined.person_key == rests.end_person))
    none = ibis.null("int64")
    rows = merged.select(
        merge_id=ibis.literal("merge:") + merged.identifier_key.cast("string") + ibis.literal(":") + merged.person_key.cast("string"),
        kind=ibis.literal("merge"), person_key=merged.person_key, other_key=merged.identifier_key,
        evidence=merged.evidence.fill_null(""), run_id=none, occurred_at=ibis.coalesce(merged.since, merged.valid_from),
    )  # fmt: skip
    return rows.union(_splits(links), distinct=False).union(_decided(identity_decisions), distinct=False)


def _decided(decisions: ir.Table) -> ir.Table:
    return decisions.select(
        merge_id=ibis.literal("decision:") + decisions.decision_id, kind=decisions.kind, person_key=decisions.left_key, other_key=decisions.right_key,
        evidence=ibis.coalesce(ibis.literal("takes back ") + decisions.undoes, ibis.literal("decided by ") + decisions.actor, ibis.literal("")),
        run_id=ibis.null("int64"), occurred_at=decisions.decided_at,
    )  # fmt: skip


def _ends(links: ir.Table) -> ir.Table:
    """Each link seen from both its ends."""
    there = links.select("evidence", "first_at", from_key=links.left_key, to_key=links.right_key)
    back = links.select("evidence", "first_at", from_key=links.right_key, to_key=links.left_key)
    return there.union(back, distinct=False)


def _splits(links: ir.Table) -> ir.Table:
    refused = links.filter(links.status.isin(REFUSED))
    pairs = refused.group_by("left_key", "right_key", "status").aggregate(evidence=refused.evidence.min(), first_at=refused.first_at.min())
    return pairs.select(
        merge_id=ibis.literal("split:") + pairs.left_key.cast("string") + ibis.literal(":") + pairs.right_key.cast("string"),
        kind=ibis.literal("split"), person_key=pairs.left_key, other_key=pairs.right_key,
        evidence=pairs.status + ibis.literal(" ") + pairs.evidence, run_id=ibis.null("int64"), occurred_at=pairs.first_at,
    )  # fmt: skip
