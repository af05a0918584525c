"""Spark over the lake's files: they are read by field id, and what Spark writes is written anew through DuckDB before it is committed.

Spark gives list elements no field id, which other readers take for null, so there is one path for all files: sorted, described and
forced to disk by the lake's own writer.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.errors import MissingExtra
from kundig.schema import Table
from kundig.store.engines.portable import DIALECT
from kundig.store.engines.session import duckdb_type

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from kundig.store.lake import Lake, StagedFiles
    from kundig.store.lake.reading import FileRow
    from kundig.store.lake.shapes import Field

_SETTINGS = {
    "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.session.timeZone": "UTC", "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.parquet.fieldId.read.enabled": "true", "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS", "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.execution.arrow.pyspark.enabled": "true", "spark.log.level": "ERROR",
}  # fmt: skip
_LOCAL = {
    "spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2", "spark.sql.adaptive.enabled": "false", "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -Duser.timezone=UTC",
}  # fmt: skip


def start(master: str = "local[2]", **settings: str) -> Any:
    """A Spark session that keeps time in UTC and writes what DuckDB reads; on `local[…]` it listens on the loopback alone.

    Raises:
        MissingExtra: pyspark is not installed.
    """
    try:
        from pyspark.sql import SparkSession as Engine
    except ImportError:
        raise MissingExtra("spark", purpose="the engine 'spark'") from None
    local = master.startswith("local")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if local:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ.pop("SPARK_HOME", None)  # another installation's jars would not fit this pyspark
    builder = Engine.builder.master(master).appName("kundig")
    for name, value in (_SETTINGS | (_LOCAL if local else {"spark.executorEnv.PYSPARK_PYTHON": sys.executable}) | settings).items():
        builder = builder.config(name, value)
    engine = builder.getOrCreate()
    engine.sparkContext.setLogLevel("ERROR")
    return engine


def schema(fields: Sequence[Field]) -> Any:
    """Fields of the lake as a Spark schema that carries their ids; JSON is text."""
    import pyspark.sql.types as types

    kinds = _kinds()
    return types.StructType([types.StructField(field.name, kinds[field.kind], True, {"parquet.field.id": field.id}) for field in fields])


def _kinds() -> dict[str, Any]:
    """The Spark type of each type of the lake."""
    import pyspark.sql.types as types

    return {
        "BIGINT": types.LongType(), "DOUBLE": types.DoubleType(), "VARCHAR": types.StringType(), "BOOLEAN": types.BooleanType(), "DATE": types.DateType(),
        "TIMESTAMP WITH TIME ZONE": types.TimestampType(), "DECIMAL(18,4)": types.DecimalType(18, 4), "DECIMAL(38,4)": types.DecimalType(38, 4),
        "JSON": types.StringType(), "VARCHAR[]": types.ArrayType(types.StringType()), "BIGINT[]": types.ArrayType(types.LongType()),
    }  # fmt: skip


def read(engine: Any, fields: Sequence[Field], files: Sequence[FileRow]) -> Any:
    """A Spark data frame of the files' rows, less those that delete files hide."""
    shape = schema(fields)
    clean = [Path(file.path).as_uri() for file in files if file.deletes is None]
    frames = [engine.read.schema(shape).parquet(*clean)] if clean else []
    for file in files:
        if file.deletes is not None:
            gone = engine.read.parquet(Path(file.deletes).as_uri()).select("pos")
            held = engine.read.schema(shape).parquet(Path(file.path).as_uri()).select("*", "_metadata.row_index")
            frames.append(held.join(gone, held["row_index"] == gone["pos"], "left_anti").drop("row_index"))
    return reduce(lambda one, other: one.unionAll(other), frames) if frames else engine.createDataFrame([], _plain(shape))


def adopt(lake: Lake, table: str, frame: Any, *, run: str = "", step: str = "") -> StagedFiles:
    """A Spark data frame as staged files of a table: Spark writes them aside, DuckDB writes them anew."""
    from kundig.store.lake.files import STAGING
    from kundig.store.lake.shapes import literal

    folder = lake.data / STAGING / f"{lake.writer.presence.name}-{uuid.uuid4().hex}"
    try:
        frame.write.parquet(folder.as_uri())
        parts = sorted(folder.glob("part-*.parquet"))
        rows = f"SELECT * FROM read_parquet([{', '.join(map(literal, parts))}])" if parts else f"SELECT * FROM {lake.scan(table, 0)}"
        return lake.stage(table, rows, run=run, step=step)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class SparkSession:
    """A run's session on Spark: temporary views over the lake's files, and Ibis over them; see `engines.session`."""

    def __init__(self, engine: Any) -> None:
        DIALECT.set("pyspark")
        self.engine = engine
        self.backend: Any = _backend(engine)
        self._kept: dict[str, Any] = {}
        self._names: set[str] = set()

    @classmethod
    def start(cls, master: str = "local[2]", **settings: str) -> SparkSession:
        """A session on a Spark that is started, or found running, at that master."""
        return cls(start(master, **settings))

    def open_table(self, lake: Lake, table: Table, at: int, name: str) -> ir.Table:
        """Make a table as of a snapshot known by a name."""
        return self._view(name, read(self.engine, *lake.files(table.name, at)))

    def open_files(self, table: Table, fields: Sequence[Field], files: Sequence[FileRow], name: str) -> ir.Table:
        """Make the rows of some files of a table known by a name."""
        return self._view(name, read(self.engine, fields, files))

    def narrow(self, name: str, source: str, table: Table, column: str, keys: pa.Array, held: ir.Table) -> ir.Table:
        """Make those rows of a known table known by a name whose column is among the keys, which are `held` in a column of that name."""
        return self.define(name, self.table(source).semi_join(held, column))

    def overlay(self, lake: Lake, table: Table, at: int, parts: Sequence[tuple[str, Any]], name: str) -> ir.Table:
        """Make a table known by a name as it will be once `parts` are committed: (append | replace, staged) or (upsert, (column, keys, staged))."""
        import pyarrow as pa

        rows = read(self.engine, *lake.files(table.name, at))
        for kind, what in parts:
            if kind == "replace":
                rows = self._staged(lake, what)
            elif kind == "append":
                rows = rows.unionByName(self._staged(lake, what))
            else:
                column, keys, staged = what
                hidden = self.engine.createDataFrame(pa.table({column: keys}))
                rows = rows.join(hidden, column, "left_anti").select(*rows.columns).unionByName(self._staged(lake, staged))
        return self._view(name, rows)

    def stage(self, lake: Lake, table: Table, rows: ir.Table, *, run: str, step: str) -> StagedFiles:
        """Write the rows of an expression as files of the table that nobody sees yet."""
        return adopt(lake, table.name, self._frame(rows), run=run, step=step)

    def table(self, name: str) -> ir.Table:
        """The Ibis table known by that name."""
        return self.backend.table(name)

    def register(self, name: str, rows: pa.Table) -> ir.Table:
        """Make Arrow rows known by a name."""
        return self._view(name, self.engine.createDataFrame(rows.combine_chunks()))  # Spark leaves rows out of tables in several chunks

    def define(self, name: str, expression: ir.Table, table: Table | None = None) -> ir.Table:
        """Make an expression known by a name, computed anew at each use."""
        return self._view(name, self._frame(expression))

    def keep(self, name: str, expression: ir.Table, table: Table | None = None) -> ir.Table:
        """Compute an expression once and make its rows known by a name; of a declared table, in its declared types.

        The cast is written out: the engine numbers rows in a narrower type than Ibis believes.
        """
        frame = self._frame(expression)
        if table is not None:
            kinds = _kinds()
            frame = frame.select(*(frame[column.name].cast(kinds[duckdb_type(column.type)]) for column in table.columns))
        frame = frame.persist()
        frame.count()
        view = self._view(name, frame)
        self._kept[name] = frame
        return view

    def arrow(self, expression: ir.Table) -> pa.Table:
        """The rows of an expression, in its Ibis types; moments stay moments in UTC, as Spark's own type has them."""
        rows: pa.Table = self.backend.to_pyarrow(expression)
        return rows

    def drop(self, name: str) -> None:
        """Forget a name and what it holds."""
        self.engine.catalog.dropTempView(name)
        self._names.discard(name)
        kept = self._kept.pop(name, None)
        if kept is not None:
            kept.unpersist()

    def close(self) -> None:
        """Drop every view this session made; Spark itself runs on."""
        for name in sorted(self._names):
            self.drop(name)

    def _frame(self, expression: ir.Table) -> Any:
        self.backend._run_pre_execute_hooks(expression)
        return self.engine.sql(str(self.backend.compile(expression)))

    def _view(self, name: str, frame: Any) -> ir.Table:
        if name in self._kept:
            self.drop(name)
        frame.createOrReplaceTempView(name)
        self._names.add(name)
        return self.backend.table(name)

    def _staged(self, lake: Lake, staged: StagedFiles) -> Any:
        folder = lake.data / "main" / staged.table
        shape = schema(staged.fields)
        paths = [(folder / file.path).as_uri() for file in staged.files]
        return self.engine.read.schema(shape).parquet(*paths) if paths else self.engine.createDataFrame([], _plain(shape))


def _backend(engine: Any) -> Any:
    """Ibis on that Spark, whose Arrow tables keep moments in UTC: Ibis itself takes the zone off them."""
    import ibis
    import ibis.expr.types as ir
    import pyarrow as pa

    class Zoned(type(ibis.pyspark.connect(engine))):  # type: ignore[misc]  # the class is known at run time alone
        def to_pyarrow(self, expr: ir.Expr, /, **options: Any) -> Any:
            if not isinstance(expr, ir.Table):
                return super().to_pyarrow(expr, **options)
            self._run_pre_execute_hooks(expr)
            rows = engine.sql(str(self.compile(expr))).toArrow()
            wanted = expr.schema().to_pyarrow()
            kinds = [field.with_type(rows.schema.field(number).type) if pa.types.is_timestamp(field.type) else field for number, field in enumerate(wanted)]
            return rows.cast(pa.schema(kinds))

    return Zoned().connect(engine)


def _plain(shape: Any) -> Any:
    import pyspark.sql.types as types

    return types.StructType([types.StructField(field.name, field.dataType, True) for field in shape.fields])
