"""One pass over a database's changes, in children of a nursery that are killed at a given point. Words: ROOT."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.forks import Crash, serve

from kundig.collect.cdc import following
from kundig.collect.land import import_source
from kundig.config.load import load
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake
from kundig.tables import LAKE


def _around(crash: Crash, method: Callable[..., Any], name: str) -> Callable[..., Any]:
    def wrapped(*given: Any, **named: Any) -> Any:
        crash(f"before {name}")
        result = method(*given, **named)
        crash(f"after {name}")
        return result

    return wrapped


def child(place: str, crash: Crash) -> None:
    """One pass over the changes of the workspace at a place."""
    root = Path(place)
    for of, name in ((following.Server, "create"), (following.Server, "advance"), (following.Reading, "read"), (following.Pass, "_land")):
        setattr(of, name, _around(crash, getattr(of, name), name.strip("_")))
    lake = Lake(f"sqlite:///{root}/lake.sqlite", root / "lake", LAKE, duck=connect(threads=1, memory="1GB", spill=root / "spill"), crash=crash)
    import_source(lake, load(root), "shop", now=dt.datetime.now(dt.UTC))


if __name__ == "__main__":
    import psycopg  # noqa: F401  loaded once, before children are forked
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401  the same

    serve(child)
