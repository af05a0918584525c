"""Links: pairs of identifiers that records carry together, each with what it rests on and whether a guard refused it."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from kundig.config.unify import Identity
from kundig.schema import Table, step
from kundig.tables.collect import (
    AD_CONTACTS,
    CAMPAIGN_MESSAGES,
    CONSENT_RECORDS,
    CONTACTS,
    DEALS,
    EVENTS,
    ORDERS,
    REFERRALS,
    SOCIAL_CONTACTS,
    SUBSCRIPTIONS,
    SURVEY_ANSWERS,
    TICKETS,
)
from kundig.tables.unify import IDENTIFIERS, IDENTITY_DECISIONS, LINKS, RECORD_PAIRS
from kundig.unify.decisions import DECISION, MATCHED, Said, said
from kundig.unify.guards import STATUSES, judge
from kundig.unify.identity_graph import edges_of, nodes_of
from kundig.unify.pair_check import Attributes, attributes
from kundig.unify.union_find import positions

CARRIERS: tuple[Table, ...] = (
    EVENTS, ORDERS, CONTACTS, DEALS, SUBSCRIPTIONS, TICKETS, SURVEY_ANSWERS, REFERRALS, AD_CONTACTS, SOCIAL_CONTACTS, CAMPAIGN_MESSAGES,
    CONSENT_RECORDS,
)  # fmt: skip
"""Tables whose records carry more than one identifier; lines of orders carry the same ones as their orders."""

PAIR = ("left_key", "right_key", "first_at", "last_at", "records", "evidence")
"""What a link says of the records that carry both its ends."""


def with_new_pairs(
    standing: ir.Table, identifiers: ir.Table, *others: ir.Table, added: Mapping[str, ir.Table], anew: frozenset[str], identity: Identity
) -> pa.Table:
    """All links: the pairs of the tables that were only added to are those that stand and those of the new rows; every link is judged anew."""
    carriers, (record_pairs, decisions) = others[: len(CARRIERS)], others[len(CARRIERS) :]
    kept = standing.filter(~standing.evidence.startswith(DECISION) & ~standing.evidence.startswith(MATCHED)).select(*PAIR)
    for name in sorted(anew):
        kept = kept.filter(~kept.evidence.startswith(f"{name}:"))
    whole = {table.name: rows for table, rows in zip(CARRIERS, carriers, strict=True) if table.name in anew}
    both = kept.union(pairs(dict(added) | whole).select(*PAIR), distinct=False)
    found = both.group_by("left_key", "right_key", "evidence").aggregate(first_at=both.first_at.min(), last_at=both.last_at.max(), records=both.records.sum().cast("int64"))
    return _judged(found.select(*PAIR).to_pyarrow(), identifiers, carriers[CARRIERS.index(CONTACTS)], said(record_pairs, decisions), identity)


@step(reads=(IDENTIFIERS, *CARRIERS, RECORD_PAIRS, IDENTITY_DECISIONS), writes=LINKS, kind="array", bound=160, fold=with_new_pairs, folds=CARRIERS)
def links(
    identifiers: ir.Table, events: ir.Table, orders: ir.Table, contacts: ir.Table, deals: ir.Table, subscriptions: ir.Table, tickets: ir.Table,
    survey_answers: ir.Table, referrals: ir.Table, ad_contacts: ir.Table, social_contacts: ir.Table, campaign_messages: ir.Table,
    consent_records: ir.Table, record_pairs: ir.Table, identity_decisions: ir.Table, *, identity: Identity,
) -> pa.Table:  # fmt: skip
    """All links, and for each whether it is used or which guard refused it.

    The engine gathers the pairs; only the distinct ones are held in memory, about 160 bytes each.
    """
    carriers = (
        events, orders, contacts, deals, subscriptions, tickets, survey_answers, referrals, ad_contacts, social_contacts, campaign_messages,
        consent_records,
    )  # fmt: skip
    found = pairs({table.name: rows for table, rows in zip(CARRIERS, carriers, strict=True)}).to_pyarrow()
    return _judged(found, identifiers, contacts, said(record_pairs, identity_decisions), identity)


def _judged(found: pa.Table, identifiers: ir.Table, contacts: ir.Table, heard: Said, identity: Identity) -> pa.Table:
    plain = len(found)
    found = pa.concat_tables([found.select([*PAIR]).cast(heard.links.schema), heard.links])
    nodes, edges = edges_of(found, nodes_of(identifiers, identity))
    ranks = np.concatenate([np.ones(plain, np.int8), heard.ranks])
    apart = np.stack(positions(nodes.keys, heard.apart[:, 0], heard.apart[:, 1]), axis=1) if len(heard.apart) else np.empty((0, 2), np.int32)
    status = judge(nodes, edges, known(contacts, nodes.keys), ranks=ranks if len(heard.ranks) else None, apart=apart[(apart >= 0).all(axis=1)])
    words = pa.DictionaryArray.from_arrays(pa.array(status, pa.int8()), pa.array(STATUSES))
    return found.append_column("status", words.cast(pa.string())).append_column("probability", pa.array(np.concatenate([np.ones(plain), heard.probability])))


def pairs(carriers: dict[str, ir.Table]) -> ir.Table:
    """Distinct pairs of each record's strongest identifier with its others: (left_key, right_key, evidence, first_at, last_at, records).

    A record is a star around its strongest identifier: its weaker ones are linked through that one, so refusing one of them leaves no way round.
    """
    parts = [_pairs(name, rows) for name, rows in carriers.items()]
    return functools.reduce(lambda above, below: above.union(below, distinct=False), parts)


def _pairs(name: str, rows: ir.Table) -> ir.Table:
    several = rows.filter(rows.identifier_key.notnull() & (rows.other_keys.length() > 0))
    each = several.select("identifier_key", "source", "occurred_at", other=several.other_keys.unnest())
    each = each.filter(each.other.notnull() & (each.other != each.identifier_key))
    keyed = each.select(
        "source", "occurred_at", left_key=ibis.least(each.identifier_key, each.other), right_key=ibis.greatest(each.identifier_key, each.other)
    )
    grouped = keyed.group_by("left_key", "right_key", "source").aggregate(
        first_at=keyed.occurred_at.min(), last_at=keyed.occurred_at.max(), records=keyed.count().cast("int64")
    )
    return grouped.select("left_key", "right_key", "first_at", "last_at", "records", evidence=ibis.literal(f"{name}:") + grouped.source.fill_null(""))


def known(contacts: ir.Table, keys: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Attributes:
    """Names and birth dates by node, from the records of people."""
    fields = ("first_name", "last_name", "birth_date")
    said = functools.reduce(operator.or_, [contacts[name].notnull() for name in fields])
    rows = contacts.filter(said & contacts.identifier_key.notnull()).select("identifier_key", *fields).distinct().to_pyarrow()
    (node,) = positions(keys, rows.column("identifier_key").to_numpy())
    here = pa.array(node >= 0)
    rows, node = rows.filter(here), node[node >= 0]
    columns = [rows.column(name).combine_chunks() if rows.num_rows else pa.array([], rows.schema.field(name).type) for name in fields]
    return attributes(node, columns[0], columns[1], columns[2], keys.size)
