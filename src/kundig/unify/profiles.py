"""Profiles: what is known of each person now, with where each value comes from."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from kundig.config.unify import ATTRIBUTES, ProfileRules
from kundig.schema import Folded, step
from kundig.tables.collect import CONTACTS, ORDERS
from kundig.tables.unify import IDENTIFIERS, IDENTITIES, PERSON_DAYS, PROFILES, TRAIT_CHANGES
from kundig.unify.person_days import owned
from kundig.unify.person_ids import person_id_column
from kundig.unify.trait_changes import ADDRESSES, list_of, stated

KINDS = ("customer", "lead", "subscriber", "company_contact", "visitor")
"""What a person is to us: the first that applies; who has ordered is a customer, who is only seen is a visitor."""

_VISITOR = KINDS.index("visitor")
SINGLE = tuple(name for name, type_ in ATTRIBUTES.items() if type_ != "list<string>" and name not in ADDRESSES)
"""Attributes that of one record alone need no merging; addresses are known as identifiers too, lists are cleaned."""



def seen_again(
    standing: ir.Table, trait_changes: ir.Table, identities: ir.Table, identifiers: ir.Table, contacts: ir.Table, orders: ir.Table, person_days: ir.Table, *,
    added: Mapping[str, ir.Table], recent: Mapping[str, ir.Table], since: dt.datetime, keys: ir.Table, profiles: ProfileRules,
) -> Folded:  # fmt: skip
    """Who is seen again after all that is known of the person is seen later, and nothing else; others are declined.

    So is who has no first channel yet, since the visit may name it. No rule of merging says anything about visits.
    """
    visits = added["person_days"].group_by(visitor="person_key").aggregate(first_at=added["person_days"].first_at.min(), last_at=added["person_days"].last_at.max())
    both = standing.inner_join(visits, standing.person_key == visits.visitor)
    after = both.filter((both.first_at > both.last_seen_at) & both.acquisition_channel.notnull())
    rows = after.mutate(last_seen_at=after.last_at).select(*standing.columns)
    return Folded(rows=rows, declined=keys.anti_join(rows, "person_key"))


@step(
    reads=(TRAIT_CHANGES, IDENTITIES, IDENTIFIERS, CONTACTS, ORDERS, PERSON_DAYS), writes=PROFILES, by="person_key", fold=seen_again, folds=(PERSON_DAYS,)
)
def profiles(
    trait_changes: ir.Table, identities: ir.Table, identifiers: ir.Table, contacts: ir.Table, orders: ir.Table, person_days: ir.Table,
    *, profiles: ProfileRules,
) -> ir.Table:  # fmt: skip
    """One row per person; a person of whom nothing but visits is known is a visitor. Shared identifiers are no persons.

    Attributes that profiles.yaml declares beyond the built-in ones have no column here: table `traits` has them.
    """
    if profiles.attributes:
        trait_changes = trait_changes.filter(~trait_changes.trait.isin(sorted(profiles.attributes)))
    certain = identities.filter(~identities.shared)
    people = owned(contacts, certain)
    people = people.mutate(alone=people.count().over(group_by="person_key") == 1)
    bought = owned(orders.select("identifier_key", "occurred_at", "source", "acquisition_channel"), certain)
    seen = person_days.group_by("person_key", "channel").aggregate(first_at=person_days.first_at.min(), last_at=person_days.last_at.max())
    known = _signs(certain, identifiers, people, bought, seen)
    single = _of_one_record(people)
    merged = _merged(trait_changes, single)
    channels = _first_channels(people, bought, seen)
    joined = known.left_join(merged, [("person_key", "merged_person")]).left_join(single, [("person_key", "single_person")])
    joined = joined.left_join(channels, [("person_key", "channel_person")])
    columns = {name: ibis.coalesce(joined[f"merged_{name}"], joined[f"single_{name}"]) if name in SINGLE else joined[f"merged_{name}"] for name in ATTRIBUTES}
    said = joined.single_origins.fill_null("") + joined.merged_origins.fill_null("")
    provenance = ibis.literal("{") + said.re_replace(",$", "") + ibis.literal("}")
    return joined.select(
        "person_key", "acquisition_channel", "first_seen_at", "last_seen_at", "records", "sources", person_id=person_id_column(joined.person_key),
        kind=_kind(joined.kind_rank), provenance=provenance, **columns,
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
    ]  # fmt: skip
    signs = functools.reduce(lambda above, below: above.union(below, distinct=False), parts)
    by_source = signs.group_by("person_key", "source").aggregate(
        first=signs["first"].min(), last=signs["last"].max(), records=signs.record.sum(), rank=signs["rank"].min()
    )
    facts = by_source.group_by("person_key").aggregate(
        first=by_source["first"].min(), last=by_source["last"].max(), records=by_source.records.sum().cast("int64"), kind_rank=by_source["rank"].min(),
        sources=by_source.source.collect().sort(),
    )  # fmt: skip
    visits = seen.group_by(visitor=seen.person_key).aggregate(first_at=seen.first_at.min(), last_at=seen.last_at.max())
    both = facts.left_join(visits, facts.person_key == visits.visitor)
    return both.select(
        "person_key", "records", "kind_rank", "sources", first_seen_at=_least(both["first"], both.first_at),
        last_seen_at=ibis.coalesce(_most(both["last"], both.last_at), both["first"]),
    )  # fmt: skip


def _least(one: ir.Value, other: ir.Value) -> ir.Value:
    return ibis.least(ibis.coalesce(one, other), ibis.coalesce(other, one))


def _most(one: ir.Value, other: ir.Value) -> ir.Value:
    return ibis.greatest(ibis.coalesce(one, other), ibis.coalesce(other, one))


def _kind(rank: ir.IntegerColumn) -> ir.StringColumn:
    return ibis.cases(*[(rank == number, name) for number, name in enumerate(KINDS)], else_=KINDS[_VISITOR])


def _of_one_record(people: ir.Table) -> ir.Table:
    """What the one record of a person says, side by side: nothing is to be merged there, and `trait_changes` holds the same."""
    one = people.filter(people.alone)
    values = {name: stated(one, name) for name in SINGLE}
    pieces = [ibis.ifelse(values[name].notnull(), f'"{name}":@,', "") for name in SINGLE]
    origins = functools.reduce(lambda text, piece: text + piece, pieces)
    return one.select(single_person=one.person_key, single_origins=origins.replace("@", _origin(one)), **{f"single_{name}": value for name, value in values.items()})


def _merged(trait_changes: ir.Table, single: ir.Table) -> ir.Table:
    """The newest value of each attribute that records or identifiers had to be merged for, side by side, and who said it when."""
    several = trait_changes.anti_join(single, trait_changes.person_key == single.single_person)
    other = trait_changes.semi_join(single, trait_changes.person_key == single.single_person)
    rows = several.union(other.filter(~other.trait.isin(SINGLE)), distinct=False)
    flagged = rows.mutate(newest=rows.seq == rows.seq.max().over(group_by=("person_key", "trait")))
    now = flagged.filter(flagged.newest)
    values = {name: now.value.max(where=now.trait == name) for name in ATTRIBUTES}
    by_record = now.group_by("person_key", "source", "occurred_at").aggregate(traits=now.trait.collect().sort(), **values)
    text = ibis.literal('"') + by_record.traits.join('":@,"') + ibis.literal('":@')
    said = by_record.mutate(origin=text.replace("@", _origin(by_record)))
    wide = said.group_by(merged_person=said.person_key).aggregate(origins=said.origin.collect().sort(), **{name: said[name].max() for name in ATTRIBUTES})
    typed = {f"merged_{name}": _typed(wide[name], type_) for name, type_ in ATTRIBUTES.items()}
    return wide.select("merged_person", merged_origins=wide.origins.join(","), **typed)


def _origin(rows: ir.Table) -> ir.StringValue:
    """Source and moment of a record as JSON."""
    source = rows.source.fill_null("").replace('"', "'")
    return ibis.literal('{"source":"') + source + ibis.literal('","at":"') + rows.occurred_at.strftime("%Y-%m-%d %H:%M:%S") + ibis.literal('"}')


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
