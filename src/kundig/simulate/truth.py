"""The truth of a world, apart from what its systems hand over; only tests may read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kundig.simulate.messages import CLICK, FATIGUE, OPEN, UNSUBSCRIBE, VARIANT_LIFT, sensitivity
from kundig.simulate.people import ORIGINS, PERSONAS, People
from kundig.simulate.purchases import GROUPS, Process
from kundig.simulate.records import Held
from kundig.simulate.service import BRAND_LIFT, CANCELS
from kundig.simulate.shop import CAUSED, CAUSES, Catalogue, cost_share, kept_share
from kundig.simulate.text import DAY, Ints, pick, pool, rows, uuids
from kundig.simulate.visits import Visits
from kundig.simulate.world import Span, World
from kundig.simulate.writers import Bundle, moment


def keep_people(bundle: Bundle, people: People, process: Process, items: Catalogue, seed: int, block: int) -> None:
    """One row a person: household, persona, true process, true future, response to contact pressure."""
    everyone = np.arange(len(people))
    weight, intensive = sensitivity(people, seed, block)
    revenue = process.expected_purchases * process.mean_value
    kept = revenue * kept_share(people)
    bundle.keep(
        "people",
        {
            "person": people.number, "household": people.household, "customer_number": _blank(people.customer_numbers(everyone)), "email": people.email, "customer": people.customer, "guest": people.guest,
            "persona": pick(pool([one.name for one in PERSONAS]), people.persona), "group": pick(pool(GROUPS), process.group), "origin": pick(ORIGINS, people.origin), "registered_at": moment(people.registered),
            "rate_week": process.rate, "leave": process.leave, "mean_value": process.mean_value, "alive": process.alive, "left_at": moment(process.left_at, process.left_at < 0),
            "expected_purchases_365": process.expected_purchases, "buys_within_365": process.buys_again, "expected_revenue_365": revenue, "expected_net_365": kept,
            "expected_margin_365": kept * (1 - cost_share(people, items)), "pressure": weight, "intensive_arm": intensive,
        },
    )  # fmt: skip


def keep_identifiers(bundle: Bundle, people: People, visits: Visits, held: Sequence[Held], seed: int, span: Span) -> None:
    """Which identifier belongs to whom and when: addresses, customer numbers, records, phones, and each device with whoever sat at it."""
    everyone = np.arange(len(people))
    parts = [("email", people.email, everyone), ("email", people.second_email.filter(pa.array(people.writes_twice | people.second_account)), np.flatnonzero(people.writes_twice | people.second_account)), ("phone", people.phone, everyone)]
    parts += [(one.namespace, one.value, one.person) for one in held]
    for namespace, values, who in parts:
        nobody = np.ones(len(who), dtype=np.bool_)
        _keep(bundle, namespace, values, people.number[who], np.zeros(len(who), np.int64), nobody, np.zeros(len(who), np.int64), nobody, np.zeros(len(who), np.bool_))
    person, device, at = visits.person, visits.device, visits.at
    order = np.lexsort((at, person, device))
    person, device, at = person[order], device[order], at[order]
    begins = np.ones(len(person), dtype=np.bool_)
    begins[1:] = (person[1:] != person[:-1]) | (device[1:] != device[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(person))[: len(first)] - 1
    users = np.bincount(np.unique(device[first], return_inverse=True)[1])[np.unique(device[first], return_inverse=True)[1]] if len(first) else np.zeros(0, np.int64)
    sold = np.isin(device[first], people.device[people.sold_to >= 0])
    none = np.zeros(len(first), dtype=np.bool_)
    _keep(bundle, "anonymous_id", rows(uuids(device[first], seed), count=len(first)), people.number[person[first]], at[first], none, at[last], none, (users > 1) & ~sold)
    bundle.count(devices=len(np.unique(device)), devices_shared=len(np.unique(device[first][(users > 1) & ~sold])), devices_sold=int(((people.sold_to >= 0) & (people.sold_at < span.end - DAY)).sum()))


def _keep(bundle: Bundle, namespace: str, values: pa.Array, person: Ints, since: Ints, open_since: Any, until: Ints, open_until: Any, shared: Any) -> None:
    bundle.keep(
        "identifiers",
        {
            "namespace": pool([namespace] * len(person)), "value": values, "person": person, "valid_from": moment(since, open_since), "valid_until": moment(until, open_until), "shared": shared,
        },
    )  # fmt: skip


def write_world(folder: Path, world: World, span: Span, seed: int, persons: int, counts: Mapping[str, int], spend: float) -> None:
    """Settings of the world, true effects, and how many of each fault were planted."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = asdict(world) | {"persons": persons, "seed": seed, "first_day": span.first_day.isoformat(), "last_day": span.last_day.isoformat(), "ad_spend": spend}
    pq.write_table(pa.table({"name": list(settings), "value": [json.dumps(value, ensure_ascii=False) for value in settings.values()]}), folder / "world.parquet")
    pq.write_table(pa.table({"name": sorted(counts), "count": pa.array([counts[name] for name in sorted(counts)], pa.int64())}), folder / "counts.parquet")
    pq.write_table(_channels(counts), folder / "channels.parquet")
    rates = {"open_email": OPEN[0], "open_push": OPEN[1], "open_in_app": OPEN[2], "click_of_opened": CLICK, "unsubscribe": UNSUBSCRIBE, "fatigue": FATIGUE, "brand_lift": BRAND_LIFT, "subscription_cancels": CANCELS}
    variants = {"variant": ["a", "b"], "open_rate_factor": [1.0, 1 + VARIANT_LIFT]}
    pq.write_table(pa.table(variants), folder / "variants.parquet")
    pq.write_table(pa.table({"name": list(rates), "value": list(rates.values())}), folder / "effects.parquet")
    text = json.dumps({"world": settings, "effects": rates, "caused": CAUSED, "counts": counts}, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "world.json").write_text(text + "\n", encoding="utf-8")


def _channels(counts: Mapping[str, int]) -> pa.Table:
    """What each channel caused: orders and net value that would not have been without it, and its share of all online orders."""
    orders = [counts[f"online_orders_by_{cause}"] for cause in CAUSES[1:]]
    net = [counts[f"online_cents_by_{cause}"] / 100 for cause in CAUSES[1:]]
    every = max(sum(orders) + counts["online_orders_by_nothing"], 1)
    return pa.table({"channel": list(CAUSES[1:]), "incremental_orders": orders, "incremental_net": net, "share_of_online_orders": [number / every for number in orders]})


def _blank(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
