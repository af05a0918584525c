"""Whose data a source is: its party and its words are kept beside the tables, whose rows name it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pyarrow as pa

from kundig.collect.identifiers import literal
from kundig.config.collect import Source
from kundig.store import native
from kundig.store.lake import Upsert

if TYPE_CHECKING:
    from kundig.store import Lake

_TOLD = ("party", "meaning", "owner", "known_from", "documentation", "version")


def keep(lake: Lake, name: str, source: Source, *, landed_at: dt.datetime | None = None) -> None:
    """Write what the source's file says of it into `source_systems`, and when something of it landed, where that is new."""
    told = (name, *(getattr(source, column) for column in _TOLD), list(source.truth_for))
    columns = ("source", *_TOLD, "truth_for", "landed_at")
    before = native(lake.duck).execute(f"SELECT {', '.join(columns)} FROM {lake.scan('source_systems')} WHERE source = {literal(name)}").fetchone()
    landed = landed_at or (before[-1] if before else None)
    if before == (*told, landed):
        return
    kinds = {"truth_for": pa.list_(pa.string()), "landed_at": pa.timestamp("us", tz="UTC")}
    row = pa.table({column: pa.array([value], kinds.get(column, pa.string())) for column, value in zip(columns, (*told, landed), strict=True)})
    lake.commit([Upsert(table="source_systems", column="source", keys=pa.array([name], pa.string()), source=row)], message=f"what the file of {name} says")
