"""The one place that opens DuckDB: no network, no extension, its own spill folder, UTC, a memory limit; then the door is locked."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

_PREFIX = "kundig-duckdb-"
_SPELT = 1_000
"""So many expressions are kept with their SQL."""


def connect(*, threads: int = 0, memory: str = "60%", spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in memory with the house's settings.

    Each process spills into a folder of its own, removed at exit; folders of processes that died are removed here, since DuckDB
    leaves them behind with clear text in them.
    """
    import duckdb as engine

    folder = _spill_folder(spill)
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads or os.cpu_count() or 1,
        "memory_limit": _limit(memory),
        "temp_directory": str(folder),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
        "enable_external_file_cache": False,  # the system keeps files in memory already; the engine would keep their bytes beside it, of files long joined or erased too
    }
    connection = engine.connect(config=settings)
    connection.execute("SET GLOBAL TimeZone='UTC'; SET TimeZone='UTC'; SET preserve_insertion_order=false; SET enable_progress_bar=false; SET lock_configuration=true")
    return connection


def ibis_backend(connection: duckdb.DuckDBPyConnection) -> Any:
    """Ibis over a connection of `connect`; Ibis' own way would set what is set already, and the door is locked."""
    return _locked().from_connection(connection)


@functools.cache
def _locked() -> Any:
    """The class of these backends: one, so that expressions over tables alike are equal whatever connection they stand on, and are put into SQL once."""
    from ibis.backends.duckdb import Backend
    from ibis.expr.operations import InMemoryTable

    @functools.lru_cache(maxsize=_SPELT)
    def spelt(compiler: Any, operation: Any, limit: int | None) -> str:
        return str(Backend.compile(compiler, operation.to_expr(), limit=limit))

    class Locked(Backend):  # type: ignore[misc]  # Ibis is untyped
        def _post_connect(self, extensions: Any = None) -> None:
            self._record_batch_readers_consumed: dict[str, Any] = {}

        def compile(self, expr: Any, /, *, limit: int | None = None, params: Any = None, pretty: bool = False) -> str:
            operation = expr.op()
            if params or pretty or operation.find(InMemoryTable):
                return str(super().compile(expr, limit=limit, params=params, pretty=pretty))
            return spelt(self, operation, limit)

    return Locked


def native(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """The engine's own connection, for the few modules that must speak SQL; the import contract names them."""
    return connection


def _limit(memory: str) -> str:
    if not memory.endswith("%"):
        return memory
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{int(total * int(memory[:-1]) / 100 / 1_000_000)}MB"


def _spill_folder(root: Path | None) -> Path:
    base = root if root is not None else Path(tempfile.gettempdir())
    base.mkdir(parents=True, exist_ok=True)
    sweep_spills(base)
    folder = base / f"{_PREFIX}{os.getpid()}"
    folder.mkdir(exist_ok=True)
    atexit.register(_remove_own, folder, os.getpid())
    return folder


def _remove_own(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a forked child ends while its parent's folder is in use
        shutil.rmtree(folder, ignore_errors=True)


def sweep_spills(base: Path) -> list[Path]:
    """Remove the spill folders of processes that no longer live; returns them."""
    removed = []
    for folder in base.glob(f"{_PREFIX}*"):
        number = re.fullmatch(rf"{_PREFIX}(\d+)", folder.name)
        if number and not _alive(int(number[1])):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
