"""Every benchmark at a size that a small machine bears; each prints one line a figure. `make bench` runs this.

    python -m bench.all [--full]
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SMALL: tuple[tuple[str, ...], ...] = (
    ("bench.lake", "--small"), ("bench.rules", "--profiles", "300000", "--events", "3000000"), ("bench.landing",), ("bench.intake", "--seconds", "3"), ("bench.intake_sustained", "--seconds", "20", "--rate", "5000"), ("bench.identity", "--small"), ("bench.matching", "--small"), ("bench.lifetime_value",), ("bench.propensity", "--persons", "100000"), ("bench.personas", "--none", "2", "--persons", "200000"),
    ("bench.live", "--persons", "5000", "--seconds", "6"), ("bench.pages", "--persons", "10000"), ("bench.simulate",), ("bench.loop", "--records", "1"), ("bench.spark_cluster",),
)  # fmt: skip
FULL: tuple[tuple[str, ...], ...] = (
    ("bench.lake",), ("bench.rules",), ("bench.landing",), ("bench.intake",), ("bench.intake_sustained",), ("bench.live",), ("bench.identity",), ("bench.matching",), ("bench.lifetime_value",), ("bench.propensity",), ("bench.personas", "--worlds", "3", "--none", "20"), ("bench.pages",), ("bench.simulate",), ("bench.loop", "--records", "1", "10"), ("bench.spark_cluster",),
)  # fmt: skip


def main() -> int:
    """Run them one after another; returns 1 when one failed."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    failed = []
    for module, *words in FULL if "--full" in sys.argv else SMALL:
        print(f"── {module} {' '.join(words)}", flush=True)
        began = time.perf_counter()
        if subprocess.run([sys.executable, "-m", module, *words], cwd=ROOT, env=environment, check=False).returncode:
            failed.append(module)
        print(f"   {time.perf_counter() - began:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
