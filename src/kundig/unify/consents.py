"""Consents: the fold of the consent log by person; of parts that became one person, the stricter wins until it is asked again."""

from __future__ import annotations

import datetime as dt

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from kundig.config.law import Purposes
from kundig.consent import fold_table
from kundig.schema import step
from kundig.tables.collect import CONSENT_RECORDS
from kundig.tables.unify import CONSENTS, IDENTITIES, MERGES
from kundig.unify.person_days import owned


@step(reads=(CONSENT_RECORDS, IDENTITIES, MERGES), writes=CONSENTS, kind="array", by="person_key", bound=400)
def consents(consent_records: ir.Table, identities: ir.Table, merges: ir.Table, *, purposes: Purposes) -> pa.Table:
    """The history of each person's consents, one row per change of purpose and channel.

    A record speaks for the identifiers it names that are its person's; each identifier is a part, joined when the ledger says. What a part
    said before it was joined is not lifted by what another said meanwhile. A consent that lapses needs no new row: `until` says it.
    """
    records = parts(consent_records, identities, merges).to_pyarrow()
    return fold_table(records, purposes=purposes, as_of=_latest(records))


def parts(consent_records: ir.Table, identities: ir.Table, merges: ir.Table) -> ir.Table:
    """Records with `person_key`, once per identifier they name that is this person's: `part`, and since when it is (`joined_at`)."""
    mine = owned(consent_records, identities)
    strongest = mine.mutate(part=mine.identifier_key)
    others = mine.filter(mine.other_keys.length() > 0)
    others = others.mutate(part=others.other_keys.unnest())
    beside = identities.filter(~identities.shared).select(owner_key=identities.identifier_key, owner=identities.person_key).distinct()
    own = others.semi_join(beside, [others.part == beside.owner_key, others.person_key == beside.owner])
    every = strongest.union(own.select(*strongest.columns), distinct=False)
    joined = merges.filter(merges.kind == "merge").select(joined_key=merges.other_key, joined_person=merges.person_key, joined_at=merges.occurred_at)
    known = every.left_join(joined, [every.part == joined.joined_key, every.person_key == joined.joined_person])
    return known.drop("joined_key", "joined_person", "other_keys")


def _latest(records: pa.Table) -> dt.datetime:
    """The moment by which all records are known: they were chosen before, so the fold leaves none of them out."""
    if not records.num_rows:
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    latest: dt.datetime = max(pc.max(records["received_at"]).as_py(), pc.max(records["occurred_at"]).as_py())
    return latest
