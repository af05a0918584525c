"""The gate's facts for all candidates at once: one row per audience, person and channel, joined from what stands in the tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ibis

from kundig.clock import local_day
from kundig.config.create import Brief
from kundig.config.decide import Audience, Offers
from kundig.config.law import Channels
from kundig.decide.pressure import ALL_CHANNELS
from kundig.decide.standing import addresses, chosen_creatives, consents_now, contracts, last_orders, undeliverable
from kundig.schema import step
from kundig.tables.collect import CAMPAIGN_MESSAGES, ORDERS, STOCK_LEVELS, SUBSCRIPTIONS
from kundig.tables.create import CREATIVES
from kundig.tables.decide import AUDIENCE_CANDIDATES, CONTACT_PRESSURE, GATE_FACTS
from kundig.tables.unify import CONSENTS, IDENTIFIERS, IDENTITIES

if TYPE_CHECKING:
    import ibis.expr.types as ir

ADDRESS_FORMS: Mapping[str, str] = {"email": r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$", "phone": r"^\+[1-9][0-9]{6,14}$"}
"""What an address must look like, by namespace; others need only be there."""


@step(
    reads=(AUDIENCE_CANDIDATES, CREATIVES, CONSENTS, CONTACT_PRESSURE, ORDERS, SUBSCRIPTIONS, IDENTITIES, IDENTIFIERS, CAMPAIGN_MESSAGES, STOCK_LEVELS),
    writes=GATE_FACTS,
)
def gate_facts(
    audience_candidates: ir.Table, creatives: ir.Table, consents: ir.Table, contact_pressure: ir.Table, orders: ir.Table, subscriptions: ir.Table,
    identities: ir.Table, identifiers: ir.Table, campaign_messages: ir.Table, stock_levels: ir.Table,
    *, as_of: dt.datetime, audiences: Mapping[str, Audience], briefs: Mapping[str, Brief], channels: Channels, matrix: Any, offer_list: Offers, zone: str, locale: str,
) -> ir.Table:  # fmt: skip
    """What the gate is told of each candidate on each channel of its audience.

    `decisions` asks the gate about these rows, and the claim of a message asks once more with the same rows, refreshed by what
    the state has heard since. A person's own time zone is not known to any table yet, so the workspace's quiet hours hold.
    """
    asked = _asked(audience_candidates, audiences, briefs, channels, {row["segment_id"]: row.get("offer_code", "") for row in matrix.rows}, locale)
    asked = _with_offer(asked, stock_levels, offer_list, as_of, zone)
    people = asked.select("person_key").distinct()
    standing = consents_now(consents.semi_join(people, "person_key"), as_of).select("person_key", "purpose", "channel", consent_status="status", consent_basis="basis", consent_until="until")
    everywhere = contact_pressure.filter(contact_pressure.channel == ALL_CHANNELS)
    everywhere = everywhere.select("person_key", messages_24h="messages_1", messages_7d="messages_7", messages_30d="messages_30")
    here = contact_pressure.select("person_key", "channel", channel_24h="messages_1", channel_7d="messages_7", channel_30d="messages_30")
    held = addresses(identities.semi_join(people, "person_key"), identifiers, {known.namespace for known in channels.channels.values()}, as_of)
    broken = undeliverable(campaign_messages).mutate(bounced=ibis.literal(True))
    named = _left(asked, (held, "person_key", "namespace"))
    joined = _left(
        named, (standing, "person_key", "purpose", "channel"), (last_orders(orders, identities, as_of), "person_key"),
        (contracts(subscriptions, identities, as_of), "person_key"), (everywhere, "person_key"), (here, "person_key", "channel"), (broken, "identifier_key", "channel"),
    )  # fmt: skip
    joined = chosen_creatives(joined, creatives)
    zero = {name: joined[name].fill_null(0) for name in joined.columns if name.startswith(("messages_", "channel_"))}
    return joined.mutate(
        objected=(joined.consent_status == "objected").fill_null(False), consent_status=joined.consent_status.fill_null("missing"), creative=joined.status.fill_null("missing"),
        address=_address(joined), address_key=joined.identifier_key, zone=ibis.null("string"), **zero,
    )  # fmt: skip


def _asked(
    candidates: ir.Table, audiences: Mapping[str, Audience], briefs: Mapping[str, Brief], channels: Channels, offers: Mapping[str, str], locale: str
) -> ir.Table:
    """Candidates once per channel of their audience, with purpose, namespace of the address, creative, language and offer."""
    known = dict(sorted(audiences.items()))
    rows = candidates.select("audience", "person_key", "segment_id", "locale")
    if not known:
        rows = rows.filter(ibis.literal(False))
    places = _by(rows.audience, {name: ibis.array([ibis.literal(place, type="int64") for place in range(len(a.channels))]) for name, a in known.items()}, "array<int64>")
    rows = rows.mutate(preference=places.unnest())
    order = {(name, place): channel for name, audience in known.items() for place, channel in enumerate(audience.channels)}
    channel = ibis.cases(*(((rows.audience == name) & (rows.preference == place), spelled) for (name, place), spelled in order.items()), else_="") if order else ibis.literal("")
    rows = rows.mutate(
        channel=channel, purpose=_by(rows.audience, {name: ibis.literal(a.purpose) for name, a in known.items()}, "string"),
        creative_name=_by(rows.audience, {name: ibis.literal(a.creative) for name, a in known.items()}, "string"),
        offer_code=_by(rows.segment_id, {segment: ibis.literal(code) for segment, code in offers.items() if code}, "string"),
    )  # fmt: skip
    spoken = {name: briefs[audience.creative].locales for name, audience in known.items() if audience.creative in briefs and briefs[audience.creative].locales}
    fallback = {name: (locale if locale in locales else locales[0]) for name, locales in spoken.items()}
    foreign = [((rows.audience == name) & ~rows.locale.isin(locales), fallback[name]) for name, locales in spoken.items()]
    return rows.mutate(
        namespace=_by(rows.channel, {name: ibis.literal(channel.namespace) for name, channel in sorted(channels.channels.items())}, "string"),
        locale=ibis.cases(*foreign, else_=rows.locale) if foreign else rows.locale,
    )  # fmt: skip


def _with_offer(asked: ir.Table, stock_levels: ir.Table, offer_list: Offers, as_of: dt.datetime, zone: str) -> ir.Table:
    today = local_day(as_of, zone)
    valid: dict[str, Any] = {}
    products: dict[str, Any] = {}
    for code, offer in offer_list.offers.items():
        timely = (offer.valid_from is None or offer.valid_from <= today) and (offer.valid_until is None or today <= offer.valid_until)
        valid[code] = ibis.literal(offer.active and timely)
        if offer.product_id:
            products[code] = ibis.literal(offer.product_id)
    stock = stock_levels.group_by("product_id").aggregate(offer_stock=stock_levels.quantity.sum().cast("int64"))
    known = _by(asked.offer_code, valid, "boolean")
    rows = asked.mutate(offer_valid=ibis.ifelse(asked.offer_code.isnull(), ibis.null("boolean"), known.fill_null(False)), product_id=_by(asked.offer_code, products, "string"))
    joined = _left(rows, (stock, "product_id"))
    return joined.mutate(offer_stock=ibis.ifelse(joined.product_id.isnull(), ibis.null("int64"), joined.offer_stock.fill_null(0)))


def _address(rows: ir.Table) -> ir.StringValue:
    malformed = [(rows.namespace == namespace) & ~rows.value.re_search(form) for namespace, form in ADDRESS_FORMS.items()]
    wrong = rows.bounced.fill_null(False)
    for one in malformed:
        wrong = wrong | one
    return ibis.cases((rows.value.isnull() | (rows.value == ""), "missing"), (wrong, "undeliverable"), else_="deliverable")


def _by(column: ir.Value, values: Mapping[str, Any], kind: str) -> ir.Value:
    """The value that belongs to the column's text; null for texts without one."""
    return ibis.cases(*((column == text, value) for text, value in values.items()), else_=ibis.null(kind)) if values else ibis.null(kind)


def _left(rows: ir.Table, *more: tuple[Any, ...]) -> ir.Table:
    """The rows with the columns of tables that have at most one row per key, null where they have none; each table comes with its keys."""
    chain, names = rows, list(rows.columns)
    for number, (table, *keys) in enumerate(more):
        renamed = table.rename({f"key_{number}_{key}": key for key in keys})
        chain = chain.left_join(renamed, [chain[key] == renamed[f"key_{number}_{key}"] for key in keys])
        names += [name for name in table.columns if name not in keys]
    return chain.select(*names)
