"""The history of each attribute of a person, after the records that say different things were merged by strategy."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from kundig.config.unify import ATTRIBUTES, CORRECTION, NO, YES, ProfileRules
from kundig.schema import step
from kundig.store.engines import portable
from kundig.tables.collect import CONTACTS, SURVEY_ANSWERS
from kundig.tables.unify import IDENTIFIERS, IDENTITIES, TRAIT_CHANGES
from kundig.unify.person_days import owned

ADDRESSES = ("email", "phone")
"""Attributes that are identifiers too: known from these where no record of the person has them."""

_LEAST_TRUSTED = 1_000
_ROW = ("person_key", "trait", "value", "occurred_at", "received_at", "source", "record")
_IN_ORDER = ("occurred_at", "received_at", "record")


@step(reads=(CONTACTS, IDENTITIES, IDENTIFIERS, SURVEY_ANSWERS), writes=TRAIT_CHANGES, by="person_key")
def trait_changes(contacts: ir.Table, identities: ir.Table, identifiers: ir.Table, survey_answers: ir.Table, *, profiles: ProfileRules) -> ir.Table:
    """Each value that won at the moment it became true, with the source and the record that said it.

    A record says its values at its `occurred_at`. By `latest` each word wins; by `trusted` that of a source trusted at least as much as
    all before; by `frequent` one said at least as often as any; by `minimum` and `maximum` one beyond all before; by `union`
    a list grows. After a correction only corrections win, by whatever strategy, and a corrected list is that of the newest correction.
    A value said again without a change between is no change. Lists are JSON text.
    """
    records = owned(contacts, identities)
    records = records.mutate(trust=trust_of(records.source, profiles.trust), alone=records.count().over(group_by="person_key") == 1)
    said = _said(records, profiles)
    plain = said.alone & ~said.trait.isin(ADDRESSES)
    first = said.filter(plain).select(*_ROW, seq=ibis.literal(0, type="int64"))
    contested = said.filter(~plain).drop("alone").union(_addresses(identifiers, identities, records, profiles), distinct=False)
    if any(attribute.question for attribute in profiles.attributes.values()):
        contested = contested.union(answered(owned(survey_answers, identities), profiles), distinct=False)
    won = _winners(contested, profiles)
    for attribute in [name for name, type_ in ATTRIBUTES.items() if type_ == "list<string>"]:
        won = won.union(_grown(records, attribute), distinct=False)
    place = ibis.row_number().over(group_by=("person_key", "trait"), order_by=_IN_ORDER)
    numbered = won.select(*_ROW, seq=place.cast("int64"))
    return first.union(numbered, distinct=False).mutate(until=ibis.null("timestamp('UTC', 6)"))


def trust_of(source: ir.StringColumn, trust: Sequence[str]) -> ir.IntegerValue:
    """The rank of a source: 0 is trusted most; sources not named come after all named ones."""
    if not trust:
        return ibis.literal(0, type="int64")
    ranks = [(source == name, ibis.literal(rank, type="int64")) for rank, name in enumerate(trust)]
    return ibis.cases(*ranks, else_=ibis.literal(len(trust), type="int64"))


def stated(records: ir.Table, attribute: str) -> ir.Value:
    """What records state of an attribute that is no list: null where they are silent or hold blanks."""
    column = records[attribute]
    return column.strip().nullif("") if ATTRIBUTES[attribute] == "string" else column


def _said(records: ir.Table, profiles: ProfileRules) -> ir.Table:
    """One row per record and attribute that it states: value as text, and as a number where it is one."""
    statements = []
    for name, type_ in ATTRIBUTES.items():
        if type_ == "list<string>":
            continue
        value = stated(records, name)
        text = value.strftime("%Y-%m-%d") if type_ == "date" else value.cast("string")
        statements.append(ibis.struct({"trait": ibis.literal(name), "value": text, "number": _number(value, type_)}))
    for name, attribute in profiles.attributes.items():
        if attribute.field:
            text = in_form(portable.json_text(records.attributes, attribute.field), attribute.type)
            statements.append(ibis.struct({"trait": ibis.literal(name), "value": text, "number": _number_of(text, attribute.type)}))
    kept = ("person_key", "occurred_at", "received_at", "source", "trust", "alone")
    each = records.select(*kept, record=records.contact_id, said=ibis.array(statements).unnest())
    flat = each.select(*kept, "record", trait=each.said["trait"], value=each.said["value"], number=each.said["number"])
    return flat.filter(flat.value.notnull())


def _number(column: ir.Column, type_: str) -> ir.IntegerValue:
    if type_ == "date":
        return column.strftime("%Y%m%d").cast("int64")
    return column.cast("int64") if type_ == "int64" else ibis.null("int64")


def answered(answers: ir.Table, profiles: ProfileRules) -> ir.Table:
    """One row per answer that a declared attribute is taken from, as records state theirs."""
    parts = []
    for name, attribute in profiles.attributes.items():
        if attribute.question:
            asked = answers.filter(answers.question == attribute.question, *([answers.survey == attribute.survey] if attribute.survey else []))
            given = in_form(asked.answer if attribute.take == "answer" else asked.score.cast("string"), attribute.type)
            parts.append(
                asked.select(
                    "person_key", "occurred_at", "received_at", "source", trust=trust_of(asked.source, profiles.trust), record=asked.answer_id,
                    trait=ibis.literal(name), value=given, number=_number_of(given, attribute.type),
                )
            )  # fmt: skip
    every = functools.reduce(lambda above, below: above.union(below, distinct=False), parts)
    return every.filter(every.value.notnull())


def in_form(text: ir.StringValue, type_: str) -> ir.StringValue:
    """A free text in the form that values of a type are kept in; null where it is none.

    Whole numbers may be written with decimals (4.0000), decimals with a comma, yes and no in German and English.
    """
    said = text.strip().nullif("")
    match type_:
        case "int64":
            return said.re_extract(r"^(-?[0-9]{1,18})([.,]0+)?$", 1).nullif("")
        case "decimal(18,4)":
            return said.re_extract(r"^-?[0-9]{1,14}([.,][0-9]{1,4})?$", 0).nullif("").replace(",", ".").try_cast("decimal(18,4)").cast("string")
        case "date":
            return said.re_extract(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", 0).nullif("").try_cast("date").cast("string")
        case "bool":
            spelt = said.lower()
            return ibis.cases((spelt.isin(YES), "true"), (spelt.isin(NO), "false"), else_=ibis.null("string"))
    return said


def _number_of(text: ir.StringValue, type_: str) -> ir.IntegerValue:
    """A value kept as text as a whole number to compare by; decimals in ten-thousandths."""
    match type_:
        case "int64":
            return text.try_cast("int64")
        case "decimal(18,4)":
            return (text.try_cast("decimal(18,4)") * 10_000).cast("int64")
        case "date":
            return text.replace("-", "").try_cast("int64")
    return ibis.null("int64")


def _addresses(identifiers: ir.Table, identities: ir.Table, records: ir.Table, profiles: ProfileRules) -> ir.Table:
    """Addresses known as identifiers and from no record of the person, believed less than any; one that has gone to somebody else is left out."""
    mine = identities.filter(~identities.shared & identities.valid_until.isnull()).select("person_key", "valid_from", owner_key=identities.identifier_key)
    found = identifiers.filter(identifiers.namespace.isin(ADDRESSES))
    joined = found.inner_join(mine, found.identifier_key == mine.owner_key)
    parts = [records.select(there=records.person_key, kind=ibis.literal(name), said=records[name].strip()) for name in ADDRESSES]
    there = functools.reduce(lambda above, below: above.union(below, distinct=False), parts)
    new = joined.anti_join(there, [joined.person_key == there.there, joined.namespace == there.kind, joined.value == there.said])
    since = ibis.greatest(new.first_at, new.valid_from)
    return new.select(
        "person_key", occurred_at=since, received_at=since, source=new.source, trust=trust_of(new.source, profiles.trust) + _LEAST_TRUSTED, trait=new.namespace,
        value=new.value, number=ibis.null("int64"), record=ibis.literal("identifier:") + new.identifier_key.cast("string"),
    )  # fmt: skip


def _winners(said: ir.Table, profiles: ProfileRules) -> ir.Table:
    so_far = ibis.cumulative_window(group_by=("person_key", "trait"), order_by=_IN_ORDER)
    by = {name: profiles.strategy(name) for name, type_ in profiles.types.items() if type_ != "list<string>"}
    trusting = [name for name, strategy in by.items() if strategy == "trusted"]
    own = [(said.trait == name, _own_trust(said, profiles.trusted(name))) for name in profiles.trusted_for]
    plain = ibis.ifelse(said.trait.isin(trusting), said.trust, ibis.literal(0, type="int64"))
    rows = said.mutate(trust=ibis.cases(*own, else_=plain) if own else plain)
    counted = [name for name, strategy in by.items() if strategy == "frequent"]
    often = ibis.row_number().over(group_by=("person_key", "trait", "value"), order_by=_IN_ORDER).cast("int64")
    rows = rows.mutate(often=ibis.ifelse(rows.trait.isin(counted), often, 0) if counted else ibis.literal(0, type="int64"))
    wins = (rows.trust <= rows.trust.min().over(so_far)) & (rows.often >= rows.often.max().over(so_far))
    for strategy, extreme in (("minimum", rows.number.min()), ("maximum", rows.number.max())):
        names = [name for name, chosen in by.items() if chosen == strategy]
        if names:
            wins &= ~rows.trait.isin(names) | (rows.number == extreme.over(so_far))
    by_person = rows.source == CORRECTION
    corrected = by_person.cast("int64").max().over(so_far)
    judged = rows.mutate(wins=ibis.ifelse(corrected == 1, by_person, wins))
    won = judged.filter(judged.wins)
    before = won.value.lag().over(group_by=("person_key", "trait"), order_by=_IN_ORDER)
    changed = won.mutate(before=before)
    return changed.filter(changed.before.isnull() | (changed.before != changed.value)).select(*_ROW)


def _own_trust(said: ir.Table, trust: Sequence[str]) -> ir.IntegerValue:
    """The rank of a statement's source about one attribute; what is known as an identifier alone stays behind every record."""
    return trust_of(said.source, trust) + ibis.ifelse(said.trust >= _LEAST_TRUSTED, ibis.literal(_LEAST_TRUSTED, type="int64"), ibis.literal(0, type="int64"))


def _grown(records: ir.Table, attribute: str) -> ir.Table:
    """A list attribute after each record that added something to it."""
    stated = _as_corrected(records.filter(records[attribute].length() > 0))
    items = stated.select("person_key", "occurred_at", "received_at", "source", record=stated.contact_id, item=stated[attribute].unnest())
    items = items.filter(items.item.notnull() & (items.item.strip() != "")).mutate(item=items.item.strip())
    place = ibis.row_number().over(group_by=("person_key", "item"), order_by=_IN_ORDER)
    ranked = items.mutate(place=place)
    first = ranked.filter(ranked.place == 0).drop("place")
    moments = first.select("person_key", "occurred_at", "received_at", "source", "record").distinct()
    there = first.select("item", owner_key=first.person_key, since=first.occurred_at)
    joined = moments.inner_join(there, (moments.person_key == there.owner_key) & (there.since <= moments.occurred_at))
    grown = joined.group_by("person_key", "occurred_at", "received_at", "source", "record").aggregate(items=joined.item.collect(distinct=True).sort())
    return grown.mutate(trait=ibis.literal(attribute), value=json_list(grown["items"])).select(*_ROW)


def _as_corrected(stated: ir.Table) -> ir.Table:
    """The newest correction of each person alone; all records of those who corrected nothing."""
    by_person = (stated.source == CORRECTION).cast("int64")
    newest = [ibis.desc(by_person), ibis.desc("occurred_at"), ibis.desc("received_at"), ibis.desc("contact_id")]
    judged = stated.mutate(corrected=by_person.max().over(group_by="person_key"), place=ibis.row_number().over(group_by="person_key", order_by=newest))
    return judged.filter((judged.corrected == 0) | (judged.place == 0)).drop("corrected", "place")


def json_list(items: ir.ArrayColumn) -> ir.StringColumn:
    """A list of texts as JSON."""
    escaped = items.map(lambda item: item.replace("\\", "\\\\").replace('"', '\\"'))
    return ibis.literal('["') + escaped.join('","') + ibis.literal('"]')


def list_of(text: ir.StringColumn) -> ir.ArrayColumn:
    """The list of texts that `json_list` wrote."""
    inner = text.substr(2, text.length() - 4)
    return inner.split('","').map(lambda item: item.replace('\\"', '"').replace("\\\\", "\\"))
