"""What landed since the last release: of each table the rows a run did not know yet, and whom they concern."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kundig.pipeline import changes
from kundig.pipeline.changes import IDENTIFIER, NOTHING, WHOLE, Change
from kundig.schema import Table
from kundig.store.engines.session import as_known
from kundig.tables.collect import TOUCHED

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from kundig.store.lake import Lake
    from kundig.store.lake.commit import Release
    from kundig.store.lake.reading import FileRow


class Arrivals:
    """Tables that no step writes, of the snapshot `base`, held against the last release; `opened` gives a table of now by its declaration."""

    def __init__(self, lake: Lake, session: Any, release: Release, base: int, as_of: dt.datetime, opened: Callable[[Table], ir.Table]) -> None:
        self.opened = opened
        self.lake, self.session, self.release, self.base, self.as_of = lake, session, release, base, as_of
        self._now, self._released = lake.versions(base), lake.versions(release.snapshot_id)
        self._added: dict[str, ir.Table | None] = {}
        self._touched: pa.Array | None = None

    def change(self, table: Table) -> Change:
        """How a table differs from what the last release saw."""
        column = changes.key_column(table)
        if column is None:
            return NOTHING if self._still(table) else WHOLE
        if self._still(table):
            return NOTHING
        added = self.added(table)
        if added is not None:
            keys = changes.distinct_keys(self.session, added, column)
            return Change(column=column, keys=keys, grown=keys)
        woken = [changes.distinct_keys(self.session, rows, column) for rows in self._woken(table)]
        moved = self._moved(table, column) if self._fresh(table) else None
        return Change(column=column, keys=changes.union([moved if moved is not None else self._touched_since(), *woken]))

    def added(self, table: Table) -> ir.Table | None:
        """The rows that are known now and were not at the last release; None: other rows are gone or changed as well."""
        if table.name not in self._added:
            self._added[table.name] = self._find_added(table)
        return self._added[table.name]

    def _still(self, table: Table) -> bool:
        return not self._fresh(table) and not any(self.session.arrow(rows.limit(1)).num_rows for rows in self._woken(table))

    def _fresh(self, table: Table) -> bool:
        return self._now.get(table.name, 0) != self._released.get(table.name, 0)

    def _find_added(self, table: Table) -> ir.Table | None:
        before = {file.id: (file.path, file.deletes) for file in self.lake.files(table.name, self.release.snapshot_id)[1]}
        fields, files = self.lake.files(table.name, self.base)
        held = {file.id: (file.path, file.deletes) for file in files}
        if any(held.get(number) != place for number, place in before.items()):
            return None
        fresh = tuple(file for file in files if file.id not in before)
        rows = self.session.open_files(table, fields, fresh, f"{table.name}__landed")
        parts = [as_known(rows, table, self.as_of), *self._woken(table)]
        for part in parts[1:]:
            parts[0] = parts[0].union(part, distinct=False)
        found: ir.Table = self.session.keep(f"{table.name}__added", parts[0], table)
        return found

    def _moved(self, table: Table, column: str) -> pa.Array | None:
        """Keys of rows that came, and of rows that are gone; None: a file was written anew in its place, as an erasure does.

        A key has lost a row where the files that were there before show fewer of it. Compaction moves all keys of the files it joins: more
        than need be, never fewer.
        """
        import ibis

        fields, before = self.lake.files(table.name, self.release.snapshot_id)
        held = {file.id: file for file in self.lake.files(table.name, self.base)[1]}
        fresh = [file for number, file in held.items() if number not in {one.id for one in before}]
        other = [file for file in before if file.id not in held or (held[file.id].path, held[file.id].deletes) != (file.path, file.deletes)]
        still = [held[file.id] for file in other if file.id in held]
        if any(held[file.id].path != file.path for file in other if file.id in held):
            return None
        came = self.session.open_files(table, fields, tuple(fresh), f"{table.name}__came")
        keys = [changes.distinct_keys(self.session, as_known(came, table, self.as_of), column)]
        if other:
            then = self.session.open_files(table, fields, tuple(other), f"{table.name}__then")
            now = self.session.open_files(table, fields, tuple(still), f"{table.name}__now")
            one, minus = ibis.literal(1, type="int64"), ibis.literal(-1, type="int64")
            both = then.select(column, n=one).union(now.select(column, n=minus), distinct=False)
            counted = both.group_by(column).aggregate(lost=both.n.sum())
            keys.append(changes.distinct_keys(self.session, counted.filter(counted.lost != 0), column))
        return changes.union(keys)

    def _woken(self, table: Table) -> list[ir.Table]:
        """Rows that were in the lake at the last release already, and are known by now; files that can hold none are not opened."""
        clocks = changes.clocks_of(table)
        if not clocks:
            return []
        at = self.release.snapshot_id
        late: dict[int, FileRow] = {}
        for clock in clocks:
            fields, files = self.lake.files(table.name, at, ranges={clock: (self.release.moment, None)})
            late |= {file.id: file for file in files}
        if not late:
            return []
        rows = self.session.open_files(table, fields, tuple(late.values()), f"{table.name}__late")
        return [changes.became_visible(rows, table, after=self.release.moment, until=self.as_of)]

    def _touched_since(self) -> pa.Array:
        if self._touched is None:
            now = self.opened(TOUCHED)
            before = self.session.open_table(self.lake, TOUCHED, self.release.snapshot_id, "touched__released")
            fresh = now.anti_join(before.select("batch_id").distinct(), "batch_id")
            self._touched = changes.distinct_keys(self.session, fresh, IDENTIFIER)
        return self._touched
