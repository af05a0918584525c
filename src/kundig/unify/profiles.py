"""Profiles: what is known of each person now, with where each value comes from."""

from __future__ import annotations

import functools

import ibis
import ibis.expr.types as ir

from kundig.config.unify import ATTRIBUTES
from kundig.schema import step
from kundig.tables.collect import CONTACTS, ORDERS
from kundig.tables.unify import IDENTIFIERS, IDENTITIES, PERSON_DAYS, PROFILES, TRAIT_CHANGES
from kundig.unify.person_days import owned
from kundig.unify.person_ids import person_id_column
from kundig.unify.trait_changes import list_of

KINDS = ("customer", "lead", "subscriber", "company_contact", "visitor")
"""What a person is to us: the first that applies; who has ordered is a customer, who is only seen is a visitor."""

_VISITOR = KINDS.index("visitor")


@step(reads=(TRAIT_CHANGES, IDENTITIES, IDENTIFIERS, CONTACTS, ORDERS, PERSON_DAYS), writes=PROFILES, by="person_key")
def profiles(
    trait_changes: ir.Table, identities: ir.Table, identifiers: ir.Table, contacts: ir.Table, orders: ir.Table, person_days: ir.Table
) -> ir.Table:
    """One row per person; a person of whom nothing but visits is known is a visitor. Shared identifiers are no persons."""
    certain = identities.filter(~identities.shared)
    people = owned(contacts.select("identifier_key", "occurred_at", "source", "kind", "acquisition_channel"), certain)
    bought = owned(orders.select("identifier_key", "occurred_at", "source", "acquisition_channel"), certain)
    seen = person_days.group_by("person_key", "channel").aggregate(first_at=person_days.first_at.min(), last_at=person_days.last_at.max())
    known = _signs(certain, identifiers, people, bought, seen)
    traits = _traits(trait_changes)
    channels = _first_channels(people, bought, seen)
    joined = known.left_join(traits, known.person_key == traits.trait_person).left_join(channels, known.person_key == channels.channel_person)
    columns = {name: joined[name] for name in ATTRIBUTES}
    return joined.select(
        "person_key", "acquisition_channel", "first_seen_at", "last_seen_at", "records", "sources", person_id=person_id_column(joined.person_key),
        kind=_kind(joined.kind_rank), provenance=joined.provenance.fill_null("{}"), **columns,
    )  # fmt: skip


def _signs(certain: ir.Table, identifiers: ir.Table, people: ir.Table, bought: ir.Table, seen: ir.Table) -> ir.Table:
    """First and last sign, number of records, sources and kind of each person."""
    named = identifiers.select("first_at", "source", known_key=identifiers.identifier_key)
    owners = certain.left_join(named, certain.identifier_key == named.known_key)
    moment = ibis.greatest(owners.first_at, owners.valid_from)
    record, none, visitor = ibis.literal(1, type="int64"), ibis.literal(0, type="int64"), ibis.literal(_VISITOR, type="int64")
    customer = ibis.literal(KINDS.index("customer"), type="int64")
    rank = ibis.cases(*[(people.kind == name, ibis.literal(number, type="int64")) for number, name in enumerate(KINDS)], else_=visitor)
    parts = [
        owners.select(
            "person_key", "source", first=ibis.ifelse(owners.first_at.isnull(), ibis.null(moment.type()), moment), last=ibis.null(moment.type()),
            record=none, rank=visitor,
        ),
        people.select("person_key", "source", first=people.occurred_at, last=people.occurred_at, record=record, rank=rank),
        bought.select("person_key", "source", first=bought.occurred_at, last=bought.occurred_at, record=none, rank=customer),
        seen.select("person_key", source=ibis.null("string"), first=seen.first_at, last=seen.last_at, record=none, rank=visitor),
    ]  # fmt: skip
    signs = functools.reduce(lambda above, below: above.union(below, distinct=False), parts)
    by_source = signs.group_by("person_key", "source").aggregate(
        first=signs["first"].min(), last=signs["last"].max(), records=signs.record.sum(), rank=signs["rank"].min()
    )
    return by_source.group_by("person_key").aggregate(
        first_seen_at=by_source["first"].min(), last_seen_at=ibis.coalesce(by_source["last"].max(), by_source["first"].max()),
        records=by_source.records.sum().cast("int64"), kind_rank=by_source["rank"].min(), sources=by_source.source.collect().sort(),
    )  # fmt: skip


def _kind(rank: ir.IntegerColumn) -> ir.StringColumn:
    return ibis.cases(*[(rank == number, name) for number, name in enumerate(KINDS)], else_=KINDS[_VISITOR])


def _traits(trait_changes: ir.Table) -> ir.Table:
    """The newest value of each attribute, side by side, and in `provenance` who said it when."""
    newest = trait_changes.seq == trait_changes.seq.max().over(group_by=("person_key", "trait"))
    flagged = trait_changes.mutate(newest=newest)
    now = flagged.filter(flagged.newest)
    values = {name: now.value.max(where=now.trait == name) for name in ATTRIBUTES}
    by_record = now.group_by("person_key", "source", "occurred_at").aggregate(traits=now.trait.collect().sort(), **values)
    origin = (
        ibis.literal('{"source":"') + by_record.source.fill_null("").replace('"', "'") + ibis.literal('","at":"')
        + by_record.occurred_at.strftime("%Y-%m-%d %H:%M:%S") + ibis.literal('"}')
    )  # fmt: skip
    said = by_record.mutate(origin=(ibis.literal('"') + by_record.traits.join('":@,"') + ibis.literal('":@')).replace("@", origin))
    wide = said.group_by(trait_person=said.person_key).aggregate(origins=said.origin.collect().sort(), **{name: said[name].max() for name in ATTRIBUTES})
    typed = {name: _typed(wide[name], type_) for name, type_ in ATTRIBUTES.items()}
    return wide.select("trait_person", provenance=ibis.literal("{") + wide.origins.join(",") + ibis.literal("}"), **typed)


def _typed(text: ir.StringColumn, type_: str) -> ir.Value:
    if type_ == "list<string>":
        return ibis.ifelse(text.isnull(), ibis.null("array<string>"), list_of(text))
    return text if type_ == "string" else text.cast(type_)


def _first_channels(people: ir.Table, bought: ir.Table, seen: ir.Table) -> ir.Table:
    """The channel of the earliest sign that names one; of two at one instant the first by name."""
    parts = [
        people.select("person_key", channel=people.acquisition_channel, at=people.occurred_at),
        bought.select("person_key", channel=bought.acquisition_channel, at=bought.occurred_at),
        seen.select("person_key", "channel", at=seen.first_at),
    ]
    every = functools.reduce(lambda above, below: above.union(below, distinct=False), parts)
    every = every.filter(every.channel.notnull() & (every.channel != ""))
    each = every.group_by("person_key", "channel").aggregate(at=every["at"].min())
    earliest = each.mutate(earliest=each["at"].min().over(group_by="person_key"))
    kept = earliest.filter(earliest["at"] == earliest.earliest)
    return kept.group_by(channel_person=kept.person_key).aggregate(acquisition_channel=kept.channel.min())
