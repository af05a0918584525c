"""What holds of each person now, read from tables with history: matrix cell, language, addresses, the last order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING

import ibis

if TYPE_CHECKING:
    import ibis.expr.types as ir


def cells(segment_members: ir.Table, segments: Iterable[str], as_of: dt.datetime) -> ir.Table:
    """The matrix cell each person is in: `person_key`, `segment_id`; persons in none have no row.

    The newest row of a person and segment decides whether the person is in it; of several cells the one entered last counts.
    """
    now = ibis.literal(as_of, type="timestamp('UTC')")
    rows = segment_members.filter(segment_members.segment_id.isin(sorted(segments)), segment_members.occurred_at <= now, segment_members.received_at <= now)
    newest = _first(rows, ["person_key", "segment_id"], [ibis.desc("occurred_at"), ibis.desc("received_at"), ibis.desc("seq")])
    inside = newest.filter(newest.member, newest.until.isnull() | (newest.until > now))
    return _first(inside, ["person_key"], [ibis.desc("occurred_at"), ibis.asc("segment_id")]).select("person_key", "segment_id")


def languages(profiles: ir.Table, locales: Iterable[str], locale: str) -> ir.Table:
    """The language of copy for each person: `person_key`, `locale`; the workspace's where the person's is not known or not spoken."""
    spoken = profiles.language.fill_null("").lower()
    found = ibis.cases(*((spoken.startswith(known), known) for known in sorted(locales)), else_=locale)
    return profiles.select("person_key", locale=found)


def addresses(identities: ir.Table, identifiers: ir.Table, namespaces: Iterable[str], as_of: dt.datetime) -> ir.Table:
    """Each person's address per namespace: `person_key`, `namespace`, `identifier_key`, `value`; the newest identifier counts.

    An identifier that several people share is nobody's address.
    """
    now = ibis.literal(as_of, type="timestamp('UTC')")
    held = identities.filter(identities.valid_from <= now, identities.valid_until.isnull() | (identities.valid_until > now), ~identities.shared.fill_null(False))
    named = identifiers.filter(identifiers.namespace.isin(sorted(namespaces))).select("identifier_key", "namespace", "value")
    joined = held.select("identifier_key", "person_key", "valid_from").join(named, "identifier_key")
    joined = joined.select("person_key", "namespace", "identifier_key", "value", "valid_from")
    return _first(joined, ["person_key", "namespace"], [ibis.desc("valid_from"), ibis.asc("value")]).drop("valid_from")


def _first(rows: ir.Table, group: list[str], order: list[ir.Value]) -> ir.Table:
    """The first row of each group in that order; the order must be total."""
    place = ibis.row_number().over(ibis.window(group_by=group, order_by=order))
    return rows.mutate(place=place).filter(ibis._.place == 0).drop("place")


def consents_now(consents: ir.Table, as_of: dt.datetime) -> ir.Table:
    """The row of the fold that holds now, per person, purpose and channel."""
    now = ibis.literal(as_of, type="timestamp('UTC')")
    return _first(consents.filter(consents.occurred_at <= now), ["person_key", "purpose", "channel"], [ibis.desc("occurred_at"), ibis.desc("seq")])


def last_orders(orders: ir.Table, identities: ir.Table, as_of: dt.datetime) -> ir.Table:
    """When each person last ordered: `person_key`, `last_order_at`; cancelled orders do not count."""
    kept = orders.filter(orders.status.fill_null("completed") != "cancelled").select("identifier_key", "occurred_at", "received_at")
    mine = _owned(_as_known(kept, as_of), identities)
    return mine.group_by("person_key").aggregate(last_order_at=mine.occurred_at.max())


def contracts(subscriptions: ir.Table, identities: ir.Table, as_of: dt.datetime) -> ir.Table:
    """How long each person's contract runs: `person_key`, `contract_until`; one without an end runs for ever."""
    now = ibis.literal(as_of, type="timestamp('UTC')")
    known = _as_known(subscriptions, as_of)
    running = known.filter(known.started_at <= now, known.ended_at.isnull() | (known.ended_at > now))
    mine = _owned(running.select("identifier_key", "occurred_at", ends=running.ended_at.fill_null(ibis.literal(_FOREVER, type="timestamp('UTC')"))), identities)
    return mine.group_by("person_key").aggregate(contract_until=mine.ends.max())


def undeliverable(campaign_messages: ir.Table) -> ir.Table:
    """Addresses whose newest sign is a bounce: `identifier_key`, `channel`; a later delivery, open or click heals it."""
    bounced = campaign_messages.filter(campaign_messages.outcome == "bounced").select("identifier_key", "channel").distinct()
    signs = campaign_messages.filter(campaign_messages.outcome.isin(["bounced", "delivered", "opened", "clicked"]))
    signs = signs.semi_join(bounced, [signs.identifier_key.identical_to(bounced.identifier_key), signs.channel.identical_to(bounced.channel)])  # few ever bounced: of them alone signs are put in order
    newest = _first(signs.select("identifier_key", "channel", "outcome", "occurred_at", "message_id"), ["identifier_key", "channel"], [ibis.desc("occurred_at"), ibis.asc("outcome"), ibis.asc("message_id")])
    return newest.filter(newest.outcome == "bounced").select("identifier_key", "channel")


def chosen_creatives(asked: ir.Table, creatives: ir.Table) -> ir.Table:
    """The rows of `asked` (`person_key`, `creative_name`, `segment_id`, `channel`, `locale`) with `creative_id` and `status`.

    Approved variants share the persons evenly, by a hash of creative and person; where none is approved, the first one stands for
    all with its status; where there is none, both are null.
    """
    group = ["creative", "segment_id", "channel", "locale"]
    keys = {"creative_name": "creative", "segment_id": "segment_id", "channel": "channel", "locale": "locale"}
    usable = creatives.mutate(ok=(creatives.status == "approved").cast("int64"))
    order = [ibis.desc("ok"), ibis.asc("variant"), ibis.asc("creative_id")]
    ranked = usable.mutate(place=ibis.row_number().over(ibis.window(group_by=group, order_by=order)).cast("int64"))
    parts = usable.group_by(group).aggregate(parts=ibis.greatest(usable.ok.sum().cast("int64"), 1))
    counted = parts.select("parts", **{f"part_{mine}": theirs for mine, theirs in keys.items()})
    rows = asked.left_join(counted, [asked[mine] == counted[f"part_{mine}"] for mine in keys]).drop(*(f"part_{mine}" for mine in keys))
    hashed = (rows.creative_name + ":" + rows.person_key.cast("string")).hexdigest("md5")
    digits = ibis.literal("0123456789abcdef")
    share = digits.find(hashed.substr(0, 1)) * 16 + digits.find(hashed.substr(1, 1))
    rows = rows.mutate(place=share.cast("int64") % rows.parts)
    made = ranked.select("place", "creative_id", "status", **{f"made_{mine}": theirs for mine, theirs in keys.items()})
    made = made.rename(made_place="place")
    joined = rows.left_join(made, [*(rows[mine] == made[f"made_{mine}"] for mine in keys), rows.place == made.made_place])
    return joined.drop(*(f"made_{mine}" for mine in keys), "made_place", "place", "parts")


_FOREVER = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)


def _as_known(rows: ir.Table, as_of: dt.datetime) -> ir.Table:
    now = ibis.literal(as_of, type="timestamp('UTC')")
    return rows.filter(rows.occurred_at <= now, rows.received_at <= now)


def _owned(facts: ir.Table, identities: ir.Table) -> ir.Table:
    """The facts with the person that their identifier belonged to when they occurred; shared identifiers own nothing."""
    sure = identities.filter(~identities.shared.fill_null(False)).select("person_key", "valid_from", "valid_until", owner_key=identities.identifier_key)
    joined = facts.join(sure, facts.identifier_key == sure.owner_key)
    during = (joined.occurred_at >= joined.valid_from) & (joined.valid_until.isnull() | (joined.occurred_at < joined.valid_until))
    return joined.filter(during)
