"""Files that land together are as many as hold no more than a bound, however small they are packed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundig.collect import deliveries


def test_packed_files_count_by_what_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{month}.parquet" for month in (1, 2, 3)]
    for path in paths:
        pq.write_table(pa.table({"body": [f"{number:08}" + "x" * 992 for number in range(1_000)]}), path, compression="zstd", use_dictionary=False)
    assert sum(path.stat().st_size for path in paths) < 200_000
    monkeypatch.setattr(deliveries, "GROUP_BYTES", 2_500_000)
    assert list(deliveries._groups(paths)) == [tuple(paths[:2]), (paths[2],)]


def test_a_file_that_is_no_parquet_counts_as_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "cut.parquet"
    path.write_bytes(b"PAR1 and no more")
    assert deliveries._held(path) == 16
