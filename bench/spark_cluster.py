"""The loop's steps on a standalone Spark cluster of two worker processes on loopback, started and stopped here; DuckDB beside it as the yardstick.

    python -m bench.spark_cluster [--persons 2000]
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=2_000)
    arguments = parser.parse_args()
    if shutil.which("java") is None or importlib.util.find_spec("pyspark") is None:
        print("spark cluster: not run, Java or pyspark not found")
        return
    with tempfile.TemporaryDirectory(prefix="kundig-bench-") as folder:
        root = Path(folder) / "shop"
        _make(root, arguments.persons)
        shutil.copytree(root, Path(folder) / "other")
        duck = _run(root, None)
        with _cluster(Path(folder)) as master:
            spark = _run(Path(folder) / "other", master)
    print(f"steps of {arguments.persons:,} persons on DuckDB                 {duck:8.1f} s")
    print(f"steps of {arguments.persons:,} persons on a cluster of 2 workers {spark:8.1f} s")
    print(f"cluster / DuckDB                              {spark / duck:8.2f}")


def _make(root: Path, persons: int) -> None:
    from kundig.cli.demo import examples
    from kundig.config.defaults import write_defaults
    from kundig.simulate import simulate
    from kundig.workspace import Workspace

    shutil.copytree(examples() / "shop", root)
    write_defaults(root, name="bench")
    simulate(root / "exports", persons=persons, days=365, seed=1)
    workspace = Workspace(root)
    workspace.import_()
    workspace.lake.close()
    workspace.state.close()


def _run(root: Path, master: str | None) -> float:
    from kundig import pipeline
    from kundig.store.engines.portable import DIALECT
    from kundig.workspace import Workspace

    workspace = Workspace(root)
    session = None
    if master is not None:
        from kundig.store.engines.spark import SparkSession

        session = SparkSession.start(master, **{"spark.executorEnv.PYSPARK_PYTHON": sys.executable, "spark.executor.memory": "1g", "spark.cores.max": "2", "spark.sql.shuffle.partitions": "4", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"})
    began = time.perf_counter()
    report = pipeline.run(workspace.lake, workspace.state, workspace.config, workspace.tables, as_of=dt.datetime(2026, 10, 31, 22, tzinfo=dt.UTC), session=session)
    seconds = time.perf_counter() - began
    assert report.release is not None
    if session is not None:
        session.close()
        session.engine.stop()
        DIALECT.set("duckdb")
    workspace.lake.close()
    workspace.state.close()
    return seconds


@contextmanager
def _cluster(folder: Path) -> Iterator[str]:
    """A master and two workers of one core each, listening on loopback alone; stopped by their own pids."""
    import pyspark

    home = Path(pyspark.__file__).parent
    port, page = _free(), _free()
    environment = {key: value for key, value in os.environ.items() if key != "SPARK_HOME"} | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "SPARK_WORKER_DIR": str(folder / "workers"), "SPARK_NO_DAEMONIZE": "1"}
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> None:
        log = (folder / f"spark-{len(started)}.log").open("wb")
        started.append(subprocess.Popen([str(home / "bin" / "spark-class"), *words], env=environment, stdout=log, stderr=log, start_new_session=True))

    try:
        start("org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(page))
        _wait(port)
        for _ in range(2):
            start("org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", str(_free()), f"spark://127.0.0.1:{port}")
        time.sleep(5)
        yield f"spark://127.0.0.1:{port}"
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            process.wait(timeout=30)


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(port: int, seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise TimeoutError(f"the Spark master does not answer on port {port}")


if __name__ == "__main__":
    main()
