"""One small world with its truth, made once for these tests."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundig.simulate import Report, simulate

PERSONS, DAYS, SEED = 11_000, 365, 5


@dataclass(frozen=True)
class Made:
    """A world on disk."""

    files: Path
    truth: Path
    report: Report

    def rows(self, name: str, *, delimiter: str = ";", encoding: str = "utf-8") -> list[dict[str, str]]:
        """Rows of a CSV file."""
        with (self.files / name).open(encoding=encoding, newline="") as file:
            return list(csv.DictReader(file, delimiter=delimiter, strict=True))

    def lines(self, pattern: str) -> Iterator[dict[str, Any]]:
        """Records of JSON lines."""
        for path in sorted(self.files.glob(pattern)):
            with path.open(encoding="utf-8") as file:
                yield from map(json.loads, file)

    def true(self, name: str) -> pa.Table:
        """A table of the truth."""
        return pq.read_table(self.truth / f"{name}.parquet")

    @property
    def counts(self) -> Mapping[str, int]:
        """What was planted, as the truth tells it."""
        table = self.true("counts")
        return dict(zip(table["name"].to_pylist(), table["count"].to_pylist(), strict=True))


def make(root: Path, **settings: Any) -> Made:
    """A world made into a folder."""
    given = {"persons": PERSONS, "days": DAYS, "seed": SEED} | settings
    report = simulate(root / "files", truth=root / "truth", **given)
    return Made(root / "files", root / "truth", report)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The plain world: two blocks, a year."""
    return make(tmp_path_factory.mktemp("world"))
