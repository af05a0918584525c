"""DuckDB as the house opens it: no network, no extension, nothing left on disk, nothing to unlock."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import ibis
import pytest

from kundig.store import native
from kundig.store.engines.duckdb import connect, ibis_backend, sweep_spills


def test_the_settings_hold_and_cannot_be_changed(tmp_path: Path) -> None:
    connection = connect(threads=2, memory="500MB", spill=tmp_path)
    wanted = {"threads": "2", "TimeZone": "UTC", "autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "lock_configuration": "true", "temp_directory": str(tmp_path / f"kundig-duckdb-{os.getpid()}")}
    found = dict(connection.execute("SELECT name, value FROM duckdb_settings()").fetchall())
    assert {name: found[name] for name in wanted} == wanted
    for text in ("SET threads=1", "SET autoinstall_known_extensions=true", "SET TimeZone='Europe/Berlin'"):
        with pytest.raises(duckdb.InvalidInputException, match="locked"):
            connection.execute(text)
    with pytest.raises(duckdb.Error):
        connection.execute("INSTALL httpfs FROM 'http://127.0.0.1:9/'")
    assert native(connection) is connection


def test_the_engine_keeps_no_bytes_of_the_files_it_read(tmp_path: Path) -> None:
    """The positive control is the engine as it comes, which does."""
    path = tmp_path / "secret.parquet"
    duckdb.sql("SELECT range AS k, md5(range::VARCHAR) AS v FROM range(100000)").write_parquet(str(path))
    kept = []
    for connection in (connect(threads=2, memory="500MB", spill=tmp_path), duckdb.connect()):
        assert connection.execute(f"SELECT count(v), max(v) FROM '{path}'").fetchone()[0] == 100_000
        kept.append(connection.execute("SELECT memory_usage_bytes FROM duckdb_memory() WHERE tag = 'EXTERNAL_FILE_CACHE'").fetchone()[0])
    assert kept[0] == 0 < kept[1]


def test_what_spills_lies_in_the_process_own_folder_and_goes_at_its_end(tmp_path: Path) -> None:
    text = f"""
import sys
from pathlib import Path
from kundig.store.engines.duckdb import connect
connection = connect(threads=2, memory="60MB", spill=Path({str(tmp_path)!r}))
connection.execute("CREATE TEMP TABLE big AS SELECT range AS k, md5(range::VARCHAR) AS v FROM range(2000000)")
print(sum(1 for path in Path({str(tmp_path)!r}).rglob('*') if path.is_file()))
if sys.argv[1] == "die":
    import os, signal
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for way, left in (("end", 0), ("die", 1)):
        done = subprocess.run([sys.executable, "-c", text, way], capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
        assert int(done.stdout) > 0, done.stderr
        assert len(list(tmp_path.iterdir())) == left
    assert len(sweep_spills(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_spares_the_folder_of_a_process_that_lives(tmp_path: Path) -> None:
    (tmp_path / f"kundig-duckdb-{os.getpid()}").mkdir()
    (tmp_path / "kundig-duckdb-notes").mkdir()
    assert sweep_spills(tmp_path) == []


def test_ibis_works_on_the_locked_connection() -> None:
    connection = connect(threads=1, memory="500MB")
    backend = ibis_backend(connection)
    connection.execute("CREATE TEMP VIEW v AS SELECT range AS n FROM range(5)")
    assert backend.table("v").n.sum().execute() == 10
    assert backend.table("v").join(ibis.memtable({"n": [1, 2]}), "n").count().execute() == 2
    assert backend.table("v").limit(2).to_pyarrow().num_rows == 2


def test_the_store_names_what_it_brings_only_when_asked() -> None:
    text = "import sys, kundig.store; print('duckdb' in sys.modules, 'sqlalchemy' in sys.modules); kundig.store.Lake; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.split() == ["False", "False", "True"]


def test_the_sql_of_an_expression_is_kept_and_that_of_another_is_not_taken_for_it() -> None:
    """Over tables alike on two connections it is the same text, which each runs for itself; values that Python takes for equal stay apart."""
    backends = [ibis_backend(connect(threads=1, memory="200MB")) for _ in range(2)]
    for number, backend in enumerate(backends):
        backend.con.execute(f"CREATE TEMP TABLE facts AS SELECT {number}::BIGINT AS a, true AS b")
    tables = [backend.table("facts") for backend in backends]
    texts = [backend.compile(table.filter(table.a >= 0)) for backend, table in zip(backends, tables, strict=True)]
    assert texts[0] is texts[1]
    assert [table.filter(table.a >= 0).to_pyarrow()["a"].to_pylist() for table in tables] == [[0], [1]]
    values = (1, 1.0, True, -1, -2, Decimal("1.0"), "1", dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None)
    first = tables[0]
    assert [first.select(value=ibis.literal(value)).to_pyarrow()["value"].to_pylist() for value in values] == [[value] for value in values]
    assert [len(first.limit(number).to_pyarrow()) for number in (0, 1)] == [0, 1]
    assert [first.cross_join(ibis.memtable({"c": [number]})).to_pyarrow()["c"].to_pylist() for number in (5, 6)] == [[5], [6]]
