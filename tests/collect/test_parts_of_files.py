"""A file that holds more than lands at once lands in parts: the same rows, each once, whatever happens in between. Parquet is cut between row groups, lines where a line ends."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.collect.shop import Shop
from tests.collect.test_segment import PLAN, SOURCE, call, lines

from kundig.collect import deliveries, quarantine
from kundig.collect import land as landing
from kundig.collect.parts import APART
from kundig.errors import SourceError

COLUMNS = "event_id, name, occurred_at, identifier_key, product_id"


def calls() -> list[Any]:
    """Forty calls in four row groups; one line of the second and one of the last are broken, and a call comes twice."""
    many: list[Any] = [call(number, timestamp=f"2026-01-01T12:{number:02}:00.000Z") for number in range(40)]
    many[13], many[37] = "no json", call(37, anonymousId=None)
    many[25] = many[3]
    return many


def stored(shop: Shop, kind: str) -> Path:
    shop.source(SOURCE.replace("in/*.ndjson", f"in/*.{kind}"), "web")
    shop.write("tracking_plan/web.yaml", PLAN)
    path = shop.root / f"in/a.{kind}"
    path.parent.mkdir(exist_ok=True)
    if kind == "parquet":
        pq.write_table(pa.table({"body": lines(*calls()).splitlines()}), path, row_group_size=10)
    else:
        path.write_text(lines(*calls()))
    return path


@pytest.fixture(params=["parquet", "ndjson"])
def kind(request: pytest.FixtureRequest) -> str:
    """Of a file that is to land in parts."""
    told: str = request.param
    return told


def cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[tuple[int, int], ...]:
    """Make four parts of a file: a part is one row group, or ten lines."""
    fourth = len("\n".join(path.read_text().splitlines()[:10])) + 1 if path.suffix == ".ndjson" else 1
    monkeypatch.setattr(deliveries, "GROUP_BYTES", fourth)
    parts = deliveries._parts(path)
    assert len(parts) == 4
    return parts


def told(shop: Shop) -> tuple[Any, Any]:
    held = sorted((one.where, one.what) for one in quarantine.held(shop.lake))
    return shop.rows("events", COLUMNS, "ORDER BY event_id"), held


def test_parts_are_cut_between_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": [f"{number:08}" + "x" * 992 for number in range(1_000)]}), path, row_group_size=100, use_dictionary=False, compression="zstd")
    monkeypatch.setattr(deliveries, "GROUP_BYTES", 250_000)
    assert deliveries._parts(path) == ((0, 200), (200, 400), (400, 600), (600, 800), (800, 1_000))
    monkeypatch.setattr(deliveries, "GROUP_BYTES", 50_000)
    assert len(deliveries._parts(path)) == 10, "a row group is never cut"
    monkeypatch.setattr(deliveries, "GROUP_BYTES", 2_000_000)
    assert deliveries._parts(path) == ()


@pytest.mark.parametrize("end", ["\n", ""], ids=["ended", "open"])
def test_lines_are_cut_where_one_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text("\n".join("x" * (number % 7) for number in range(100)) + end)
    for size in range(1, 400):
        monkeypatch.setattr(deliveries, "GROUP_BYTES", size)
        parts = deliveries._parts(path)
        data = path.read_bytes()
        if not parts:
            assert size >= len(data) or data.find(b"\n", size - 1) == len(data) - 1
            continue
        assert [parts[0][0], parts[-1][1]] == [0, len(data)]
        assert all(before[1] == after[0] for before, after in pairwise(parts))
        assert all(data[until - 1 : until] == b"\n" for _, until in parts[:-1])
        assert all(first < past for first, past in parts)
        assert all(past - first <= size + 7 for first, past in parts)


def test_a_file_in_parts_lands_as_the_whole_file_does(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    stored(shop, kind)
    whole = shop.land("web")
    expected = told(shop)
    assert (whole.rows["events"], whole.duplicates, whole.quarantined, len(whole.batches)) == (37, 1, 2, 1)
    other = Shop(tmp_path / "other")
    cut(stored(other, kind), monkeypatch)
    parts = other.land("web")
    assert (parts.rows["events"], parts.duplicates, parts.quarantined, len(parts.batches)) == (37, 1, 2, 4)
    assert told(other) == expected
    assert [where.rpartition(" ")[2] for where, _ in expected[1]] == ["14", "38"], "rows are numbered as in the file"


def test_a_file_that_landed_in_parts_lands_no_second_time(shop: Shop, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = stored(shop, kind)
    cut(path, monkeypatch)
    shop.land("web")
    before = told(shop)
    again = shop.land("web")
    assert (dict(again.rows), again.batches, set(again.skipped)) == ({}, (), {str(path)})
    assert told(shop) == before


def test_an_import_that_dies_between_two_parts_is_finished_by_the_next(shop: Shop, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = stored(shop, kind)
    third = cut(path, monkeypatch)[2][0]
    honest = landing.read_segment

    def dies(*given: Any, part: tuple[int, int] | None = None, **more: Any) -> Any:
        if part is not None and part[0] >= third:
            raise SourceError("the disk is full", at=str(path), mend="make room")
        return honest(*given, part=part, **more)

    monkeypatch.setattr(landing, "read_segment", dies)
    with pytest.raises(SourceError, match="disk is full"):
        shop.land("web")
    half = len(shop.rows("events", "event_id"))
    assert half == {"parquet": 19, "ndjson": 20}[kind]
    monkeypatch.setattr(landing, "read_segment", honest)
    left = shop.lake.data / f"{APART}abc"
    left.write_text("of an import that was killed")
    finished = shop.land("web")
    assert (finished.rows["events"], len(finished.batches)) == (37 - half, 2)
    assert len(shop.rows("events", "event_id")) == 37
    assert dict(shop.land("web").rows) == {}
    assert not left.exists()
