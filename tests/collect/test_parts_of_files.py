"""A file of Parquet that holds more than lands at once lands in parts: the same rows, each once, whatever happens in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.collect.shop import Shop
from tests.collect.test_segment import PLAN, SOURCE, call, lines

from kundig.collect import deliveries, quarantine
from kundig.collect import land as landing
from kundig.errors import SourceError

COLUMNS = "event_id, name, occurred_at, identifier_key, product_id"


def calls() -> list[Any]:
    """Forty calls in four row groups; one line of the second and one of the last are broken, and a call comes twice."""
    many: list[Any] = [call(number, timestamp=f"2026-01-01T12:{number:02}:00.000Z") for number in range(40)]
    many[13], many[37] = "no json", call(37, anonymousId=None)
    many[25] = many[3]
    return many


def stored(shop: Shop, name: str = "in/a.parquet") -> Path:
    shop.source(SOURCE.replace("in/*.ndjson", "in/*.parquet"), "web")
    shop.write("tracking_plan/web.yaml", PLAN)
    path = shop.root / name
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"body": lines(*calls()).splitlines()}), path, row_group_size=10)
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is one row group."""
    monkeypatch.setattr(deliveries, "GROUP_BYTES", 1)


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


def test_a_file_in_parts_lands_as_the_whole_file_does(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(shop)
    whole = shop.land("web")
    expected = told(shop)
    assert (whole.rows["events"], whole.duplicates, whole.quarantined, len(whole.batches)) == (37, 1, 2, 1)
    other = Shop(tmp_path / "other")
    stored(other)
    monkeypatch.setattr(deliveries, "GROUP_BYTES", 1)
    parts = other.land("web")
    assert (parts.rows["events"], parts.duplicates, parts.quarantined, len(parts.batches)) == (37, 1, 2, 4)
    assert told(other) == expected
    assert [where.rpartition(" ")[2] for where, _ in expected[1]] == ["14", "38"], "rows are numbered as in the file"


@pytest.mark.usefixtures("small")
def test_a_file_that_landed_in_parts_lands_no_second_time(shop: Shop) -> None:
    path = stored(shop)
    shop.land("web")
    before = told(shop)
    again = shop.land("web")
    assert (dict(again.rows), again.batches, set(again.skipped)) == ({}, (), {str(path)})
    assert told(shop) == before


@pytest.mark.usefixtures("small")
def test_an_import_that_dies_between_two_parts_is_finished_by_the_next(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(shop)
    honest = landing.read_segment

    def dies(*given: Any, part: tuple[int, int] | None = None, **more: Any) -> Any:
        if part is not None and part[0] >= 20:
            raise SourceError("the disk is full", at=str(path), mend="make room")
        return honest(*given, part=part, **more)

    monkeypatch.setattr(landing, "read_segment", dies)
    with pytest.raises(SourceError, match="disk is full"):
        shop.land("web")
    assert len(shop.rows("events", "event_id")) == 19
    monkeypatch.setattr(landing, "read_segment", honest)
    finished = shop.land("web")
    assert (finished.rows["events"], len(finished.batches)) == (18, 2)
    assert len(shop.rows("events", "event_id")) == 37
    assert dict(shop.land("web").rows) == {}
