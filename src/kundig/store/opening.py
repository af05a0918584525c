"""Opening the stores of a workspace from its configuration."""

from __future__ import annotations

from collections.abc import Mapping

from kundig.config.load import Config
from kundig.schema import Table
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake


def open_lake(config: Config, tables: Mapping[str, Table]) -> Lake:
    """The lake of a workspace, with a DuckDB connection as kundig.toml says."""
    store = config.settings.store
    place = store.catalogue
    if "://" in place:
        url = config.secret(place)
    else:
        path = config.path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{path}"
    duck = connect(threads=store.threads, memory=store.memory, spill=config.path("data/spill"))
    return Lake(url, config.path(store.tables), tables, duck=duck)
