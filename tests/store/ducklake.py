"""The real ducklake extension as an oracle: it reads a lake of ours in a process of its own, and its rows are compared with ours.

Run as a program by the oracle's own Python, it takes a job as JSON on stdin and writes its answers as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

VERSION = "1.5.5"
WHEELS = tuple(f"{name}=={VERSION}" for name in ("duckdb", "duckdb-extension-ducklake", "duckdb-extension-sqlite-scanner", "duckdb-extension-postgres-scanner"))
_HOME = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kundig-tests" / f"ducklake-{VERSION}"


def oracle_python() -> Path:
    """The Python of a virtual environment with the extension, made at the first use and kept in the user's cache.

    Raises:
        OSError: The wheels cannot be had.
    """
    python = _HOME / "bin" / "python"
    if not (_HOME / "ready").is_file():
        venv.create(_HOME, with_pip=True, clear=True)
        made = subprocess.run([python, "-m", "pip", "install", "-q", *WHEELS], capture_output=True, text=True, timeout=600, check=False)
        if made.returncode:
            raise OSError(made.stderr[-500:])
        (_HOME / "ready").touch()
    return python


def ask(catalogue: str, jobs: list[str | list[str]]) -> list[Any]:
    """What the extension answers to each SQL text, the lake attached as `l`; rows come as lists of texts, an error as its text.

    A job that is a list is run in order, and the answer is its last one's.
    """
    done = subprocess.run([oracle_python(), __file__], input=json.dumps({"catalogue": catalogue, "jobs": jobs}), capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise AssertionError(done.stderr[-2_000:])
    return list(json.loads(done.stdout))


def _main() -> None:
    import duckdb  # the oracle's, not ours

    job = json.load(sys.stdin)
    found = sorted(Path(duckdb.__file__).parent.parent.glob("duckdb_extension_*/extensions/*/*.duckdb_extension"))
    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "threads": 2, "memory_limit": "1GB"})
    connection.execute("SET TimeZone='UTC'")
    for path in sorted(found, key=lambda path: path.stem == "ducklake"):
        connection.execute(f"LOAD '{path}'")
    connection.execute(f"ATTACH 'ducklake:{job['catalogue']}' AS l")
    answers: list[Any] = []
    for texts in job["jobs"]:
        try:
            for text in [texts] if isinstance(texts, str) else texts:
                result = connection.execute(text)
            answers.append([list(row) for row in result.fetchall()] if result.description else [])
        except duckdb.Error as error:
            answers.append(str(error))
    json.dump(answers, sys.stdout, default=str)


if __name__ == "__main__":
    _main()
