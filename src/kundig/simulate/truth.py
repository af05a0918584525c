"""The truth of a world, apart from what its systems hand over; only tests may read it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kundig.simulate.marketing import CHANNEL_EFFECT, PRESSURE, VARIANT_LIFT, Consents
from kundig.simulate.people import People
from kundig.simulate.purchases import Process
from kundig.simulate.world import Span, World
from kundig.simulate.writers import Files

_MOMENT = pa.timestamp("us", tz="UTC")


def write_people(files: Files, people: People, process: Process, consents: Consents) -> None:
    """One row a person: identity, household, true process, true future, and whether they may be written to."""
    rows = {
        "person": people.number, "household": people.household, "customer_number": _blank(people.customer_number), "email": people.email.astype(str), "guest": people.guest,
        "group": process.group, "rate_week": process.rate, "leave": process.leave, "mean_value": process.mean_value, "alive": process.alive,
        "left_at": pa.array(process.left_at, mask=process.left_at < 0).cast(_MOMENT), "expected_purchases_365": process.expected_purchases, "expected_revenue_365": process.expected_revenue,
        "newsletter_email": consents.reason.astype(str), "registered_at": pa.array(people.registered).cast(_MOMENT), "origin": people.origin.astype(str),
    }  # fmt: skip
    files.rows("people.parquet", pa.table({name: value if isinstance(value, pa.Array) else pa.array(value) for name, value in rows.items()}))


def write_identifiers(files: Files, people: People, contacts: Any, block: int, span: Span) -> None:
    """Which identifier belongs to whom, and when: e-mail, customer number, devices, CRM records."""
    parts: list[tuple[str, Any, Any, Any, Any, Any]] = []
    everyone = np.arange(len(people))
    forever = np.full(len(people), -1)
    start = np.full(len(people), span.start - 1_000 * 86_400_000_000)
    parts.append(("email", people.email, everyone, start, forever, np.zeros(len(people), bool)))
    has = np.flatnonzero(people.customer & ~people.guest)
    parts.append(("customer", people.customer_number[has], has, start[has], forever[has], np.zeros(len(has), bool)))
    shared_devices = np.isin(people.device, people.device[np.flatnonzero(people.device != people.number * 2)])
    sold = people.sold_to >= 0
    parts.append(("anonymous_id", people.anonymous_id(people.device), everyone, start, np.where(sold, people.sold_at, -1), shared_devices))
    buyers = np.flatnonzero(sold)
    parts.append(("anonymous_id", people.anonymous_id(people.device[buyers]), people.sold_to[buyers], people.sold_at[buyers], forever[buyers], np.zeros(len(buyers), bool)))
    second = np.flatnonzero((people.second_device >= 0) | sold)
    parts.append(("anonymous_id", people.anonymous_id(people.number[second] * 2 + 1), second, start[second], forever[second], np.zeros(len(second), bool)))
    parts.append(("crm", np.array([f"C{block:04d}{n:06d}" for n in range(len(contacts))], dtype=object), contacts, start[contacts], forever[contacts], np.zeros(len(contacts), bool)))
    for namespace, values, who, since, until, shared in parts:
        rows = {
            "namespace": pa.array([namespace] * len(who), pa.string()), "value": pa.array(np.asarray(values).astype(str)), "person": pa.array(people.number[who]),
            "valid_from": pa.array(np.asarray(since)).cast(_MOMENT), "valid_until": pa.array(np.asarray(until), mask=np.asarray(until) < 0).cast(_MOMENT), "shared": pa.array(np.asarray(shared)),
        }  # fmt: skip
        files.rows("identifiers.parquet", pa.table(rows))


def write_world(folder: Path, world: World, span: Span, seed: int, counts: dict[str, int], spend: float) -> None:
    """Settings of the world, true effects, and how many of each fault were planted."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = asdict(world) | {"seed": seed, "first_day": span.first_day.isoformat(), "last_day": span.last_day.isoformat(), "ad_spend": spend}
    effects = {"channels": CHANNEL_EFFECT, "variants": {"a": 0.0, "b": VARIANT_LIFT}, "pressure": PRESSURE}
    text = json.dumps({"world": settings, "effects": effects, "counts": counts}, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "world.json").write_text(text + "\n", encoding="utf-8")


def _blank(texts: Any) -> pa.Array:
    array = np.asarray(texts).astype(str)
    return pa.array(array, mask=array == "")
