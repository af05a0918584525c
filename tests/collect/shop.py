"""A small workspace on disk with whatever sources a test gives it, and a lake to land in."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from kundig.collect.land import Landed, import_source
from kundig.collect.tracking_plan import event_columns
from kundig.config.load import Config, load
from kundig.store import Lake
from kundig.store.engines.duckdb import connect
from kundig.tables import LAKE

NOW = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)

ORDERS = """
inputs:
  - files: in/orders*.csv
    {more}
    lands:
      - table: orders
        columns: {{order_id: no, occurred_at: day, gross: total, channel: {{value: shop}}}}
        identifiers: [{{namespace: shop_customer, column: customer}}, {{namespace: email, column: mail}}]
"""


class Shop:
    """A workspace folder and its lake."""

    def __init__(self, root: Path, *, zone: str = "Europe/Berlin", currency: str = "EUR") -> None:
        self.root = root
        for folder in ("sources", "tracking_plan", "in"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self.write("kundig.toml", f'[workspace]\nzone = "{zone}"\ncurrency = "{currency}"\n')
        self._lake: Lake | None = None

    def write(self, name: str, content: str | bytes) -> Path:
        """A file of the workspace."""
        path = self.root / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def source(self, text: str, name: str = "shop") -> None:
        """A source's mapping."""
        self.write(f"sources/{name}.yaml", text)

    @property
    def config(self) -> Config:
        """The workspace's files."""
        return load(self.root)

    @property
    def lake(self) -> Lake:
        """The lake, opened once."""
        if self._lake is None:
            tables = dict(LAKE) | {"events": LAKE["events"].with_columns(event_columns(self.config.tracking_plan))}
            self._lake = Lake(f"sqlite:///{self.root}/lake.sqlite", self.root / "lake", tables, duck=connect(threads=2, memory="1GB"))
        return self._lake

    def land(self, name: str = "shop", files: list[str] | None = None, **more: Any) -> Landed:
        """Import the source."""
        return import_source(self.lake, self.config, name, files, now=more.pop("now", NOW), **more)

    def rows(self, table: str, columns: str = "*", rest: str = "") -> list[tuple[Any, ...]]:
        """Rows of a landed table."""
        return self.lake.duck.execute(f"SELECT {columns} FROM {self.lake.scan(table)} {rest}").fetchall()

    def is_empty(self) -> bool:
        """Nothing has landed and no file lies in the tables' folder."""
        folder = self.root / "lake" / "main"
        return self.lake.snapshot() == 0 and not (folder.exists() and list(folder.rglob("*.parquet")))
