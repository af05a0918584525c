"""What `make test` runs: contracts, style, types, then every kind of check at small counts; says what did not run, and why."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

STAGES: tuple[tuple[str, list[str]], ...] = (
    ("imports", [str(BIN / "lint-imports"), "--no-cache"]),
    ("style", [str(BIN / "ruff"), "check", "--no-cache", "src", "tests", "bench"]),
    ("types", [str(BIN / "mypy"), "--no-error-summary"]),
    ("tests", [sys.executable, "-m", "pytest", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", "-rs"]),
)


def main() -> int:
    """Run every stage, also after one failed; returns 1 when any failed."""
    os.chdir(ROOT)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # many processes import the same modules
    environment = kept | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    results = []
    for name, command in STAGES:
        print(f"── {name}: {' '.join(Path(word).name if word.startswith('/') else word for word in command)}", flush=True)
        began = time.perf_counter()
        code = subprocess.run(command, env=environment, check=False).returncode
        done = code in (0, 5)
        results.append((name, done, time.perf_counter() - began))
    print("\nstage            result    seconds")
    for name, good, seconds in results:
        print(f"{name:<16} {'passed' if good else 'FAILED':<8} {seconds:>8.1f}")
    return 0 if all(good for _, good, _ in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
