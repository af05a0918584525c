"""What the fold asks of the newest release, laid out in memory once a release: whose an identifier is, what it is, and its newest session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from kundig.clock import micros
from kundig.live.record import Visit
from kundig.live.ties import Known, Name

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.store import Lake
    from kundig.store.lake.commit import Release

_numbers = count(1)
_VISIT = ("identifier_key", "started_at", "ended_at", "events", "pages", "channel", "campaign", "landing_path", "converted")

KNOWN = """
CREATE OR REPLACE TABLE {name} AS
WITH named AS (SELECT identifier_key, any_value(namespace) AS namespace, any_value(value) AS value FROM {identifiers} GROUP BY 1),
firm AS (SELECT DISTINCT d.person_key FROM {identities} d LEFT JOIN named n USING (identifier_key) WHERE n.namespace IS NULL OR n.namespace NOT IN ({devices}))
SELECT d.identifier_key, d.person_key, coalesce(d.shared, false) AS shared, coalesce(p.kind = 'visitor' AND f.person_key IS NULL, false) AS visitor, n.namespace, n.value
FROM {identities} d LEFT JOIN named n USING (identifier_key) LEFT JOIN {profiles} p ON p.person_key = d.person_key LEFT JOIN firm f ON f.person_key = d.person_key
WHERE d.valid_until IS NULL"""

SEEDS = """
CREATE OR REPLACE TABLE {name} AS
SELECT {columns} FROM {sessions} QUALIFY row_number() OVER (PARTITION BY identifier_key ORDER BY started_at DESC) = 1"""


class Base:
    """The release that the fold stands on; empty before the first one."""

    def __init__(self, lake: Lake, config: Config) -> None:
        self.lake, self.config = lake, config
        number = next(_numbers)
        self._known, self._seeds = f"_live_known_{number}", f"_live_seeds_{number}"
        self._stands: int | None = None

    def known(self, keys: Iterable[int]) -> tuple[dict[int, Known], dict[int, Name]]:
        """Whose these identifiers are now, and what they are."""
        if not self._ready():
            return {}, {}
        rows = self._of(keys, f"SELECT k.* FROM {self._known} k SEMI JOIN _live_asked a USING (identifier_key)")
        found = {row["identifier_key"]: Known(person_key=row["person_key"], shared=row["shared"], visitor=row["visitor"]) for row in rows}
        return found, {row["identifier_key"]: Name(namespace=row["namespace"], value=row["value"]) for row in rows if row["namespace"] is not None}

    def seeds(self, keys: Iterable[int]) -> Mapping[int, Visit]:
        """The newest session of each identifier."""
        if not self._ready():
            return {}
        rows = self._of(keys, f"SELECT k.* FROM {self._seeds} k SEMI JOIN _live_asked a USING (identifier_key)")
        return {row["identifier_key"]: _visit(row) for row in rows}

    def _of(self, keys: Iterable[int], sql: str) -> list[dict[str, Any]]:
        import pyarrow as pa

        wanted = sorted(set(keys))
        if not wanted:
            return []
        with self._cursor() as con:
            con.register("_live_asked", pa.table({"identifier_key": pa.array(wanted, pa.int64())}))
            found: list[dict[str, Any]] = con.execute(sql).to_arrow_table().to_pylist()
            con.unregister("_live_asked")
            return found

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        con = self.lake.duck.cursor()
        try:
            yield con
        finally:
            con.close()

    def _ready(self) -> bool:
        """Whether there is a release; what it says is in memory then."""
        release = self.lake.release()
        if release is None:
            return False
        if self._stands != release.id:
            self._lay(release)
            self._stands = release.id
        return True

    def _lay(self, release: Release) -> None:
        at = release.snapshot_id
        names = {name: self.lake.scan(name, at) for name in ("identities", "identifiers", "profiles", "sessions")}
        devices = ", ".join(f"'{name}'" for name in sorted(self._devices())) or "NULL"
        with self._cursor() as con:
            con.execute(KNOWN.format(name=self._known, devices=devices, identities=names["identities"], identifiers=names["identifiers"], profiles=names["profiles"]))
            con.execute(SEEDS.format(name=self._seeds, columns=", ".join(_VISIT), sessions=names["sessions"]))

    def _devices(self) -> set[str]:
        """Namespaces of devices, declared or not."""
        named = set(self.config.identity.namespaces)
        release = self.lake.release()
        at = None if release is None else release.snapshot_id
        named |= set(self.lake.answer(lambda table: f"SELECT DISTINCT namespace FROM {table('identifiers')}", at)["namespace"].to_pylist())
        return {name.replace("'", "''") for name in named if self.config.identity.namespace(name).kind == "device"}


def _visit(row: Mapping[str, Any]) -> Visit:
    return Visit(
        identifier_key=row["identifier_key"], started_at=micros(row["started_at"]), ended_at=micros(row["ended_at"]), events=row["events"], pages=row["pages"], channel=row["channel"],
        campaign=row["campaign"], landing_path=row["landing_path"], converted=bool(row["converted"]), visited=True,
    )  # fmt: skip


__all__ = ["Base"]
