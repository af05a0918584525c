"""Folders in object stores: what is new is downloaded once, and nothing lands twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import obstore.store
import pytest
from tests.collect.shop import Shop

from kundig.collect.sources import objects
from kundig.errors import ConfigError, SourceError

SOURCE = """
party: second
meaning: Orders that a partner hands over
store: {{region: eu-central-1}}
inputs:
  - files: {files}
    lands:
      - table: orders
        columns: {{order_id: no, occurred_at: day, gross: total, channel: {{value: shop}}}}
        identifiers: [{{namespace: shop_customer, column: customer}}]
"""


class Bucket:
    """An object store in memory or in a folder, and what was downloaded from it."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch, store: Any, url: str) -> None:
        self.shop, self.store, self.url = shop, store, url
        self.taken: list[str] = []
        get = obstore.get

        def watched(store: Any, key: str, **more: Any) -> Any:
            self.taken.append(key)
            return get(store, key, **more)

        monkeypatch.setattr(obstore, "get", watched)
        shop.source(SOURCE.format(files=f"{url}/exports/orders-*.csv"))

    def put(self, key: str, *ids: int, total: str = "5") -> None:
        """An object with one order an id."""
        lines = ["no,day,total,customer", *(f"{id},2026-10-0{1 + id % 9},{total},c{id}" for id in ids)]
        obstore.put(self.store, key, "\n".join(lines).encode() + b"\n")

    def landed(self) -> list[int]:
        """Numbers of the orders that landed."""
        return sorted(int(row[0].split(":")[1]) for row in self.shop.rows("orders", "order_id"))


@pytest.fixture(params=["memory", "folder"])
def bucket(request: pytest.FixtureRequest, shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """A bucket; the one in memory stands behind an s3:// URL."""
    if request.param == "folder":
        folder = tmp_path / "bucket"
        yield Bucket(shop, monkeypatch, obstore.store.from_url(f"file://{folder}", mkdir=True), f"file://{folder}")
        return
    store = obstore.store.MemoryStore()

    def opened(root: str, settings: Any, *, at: str) -> Any:
        assert root == "s3://bucket" and settings == {"region": "eu-central-1"}
        return store

    monkeypatch.setattr(objects, "opened", opened)
    yield Bucket(shop, monkeypatch, store, "s3://bucket")


def test_only_new_and_changed_objects_are_downloaded(bucket: Bucket) -> None:
    bucket.put("exports/orders-1.csv", 1, 2)
    bucket.put("exports/orders-2.csv", 3)
    bucket.put("exports/old/orders-0.csv", 90)
    bucket.put("exports/customers.csv", 91)
    assert bucket.shop.land().rows["orders"] == 3
    assert [key.rpartition("/")[2] for key in bucket.taken] == ["orders-1.csv", "orders-2.csv"]
    bucket.taken.clear()
    assert bucket.shop.land().batches == () and bucket.taken == []
    bucket.put("exports/orders-3.csv", 4)
    bucket.put("exports/orders-2.csv", 3, total="7")
    again = bucket.shop.land()
    assert (again.rows["orders"], again.changed["orders"]) == (1, 1) and len(bucket.taken) == 2
    assert bucket.landed() == [1, 2, 3, 4]
    assert bucket.shop.rows("source_systems", "source, party, meaning") == [("shop", "second", "Orders that a partner hands over")]


def test_the_same_content_under_another_name_lands_and_is_fetched_once(bucket: Bucket) -> None:
    bucket.put("exports/orders-1.csv", 1)
    bucket.shop.land()
    bucket.put("exports/orders-1-copy.csv", 1)
    bucket.taken.clear()
    copied = bucket.shop.land()
    assert copied.rows == {} and len(copied.skipped) == 1 and len(bucket.taken) == 1
    assert bucket.shop.land().skipped == () and len(bucket.taken) == 1, "its cursor stands, though nothing of it landed"
    assert bucket.landed() == [1]


def test_a_big_store_lands_in_groups(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "GROUP_BYTES", 100)
    for id in range(1, 6):
        bucket.put(f"exports/orders-{id}.csv", id, id + 10)
    landed = bucket.shop.land()
    assert len(landed.batches) >= 3 and landed.rows["orders"] == 10
    assert not list((bucket.shop.root / "fetched").glob("*/*"))


def test_mistakes_are_told(bucket: Bucket) -> None:
    with pytest.raises(SourceError, match=r"no object matches '.*orders-\*.csv'|there is no folder"):
        bucket.shop.land()
    bucket.put("exports/order-1.csv", 1)
    with pytest.raises(SourceError) as caught:
        bucket.shop.land()
    assert "did you mean" in str(caught.value) and "order-1.csv" in str(caught.value)
    obstore.put(bucket.store, "exports/orders-1.csv", b"nr,day,total,customer\n1,2026-10-01,5,c\n")
    with pytest.raises(SourceError, match="column 'no' is missing"):
        bucket.shop.land()
    assert bucket.shop.lake.snapshot() == 0
    bucket.shop.source(SOURCE.format(files=f"[{bucket.url}/a*.csv, in/b*.csv]"))
    with pytest.raises(ConfigError, match="some of its files lie in an object store and some here"):
        bucket.shop.land()


def test_an_unknown_setting_and_a_store_that_is_not_there_are_told(shop: Shop) -> None:
    shop.source(SOURCE.format(files="s3://bucket/x*.csv").replace("region:", "regoin:"))
    with pytest.raises(SourceError, match="the store 's3://bucket' cannot be opened: Configuration key: 'regoin'"):
        shop.land()
    settings = "region: x, endpoint: 'http://127.0.0.1:1', allow_http: true, access_key_id: '${ID}', secret_access_key: '${KEY}', timeout: 1s"
    shop.source(SOURCE.format(files="s3://bucket/x*.csv").replace("region: eu-central-1", settings))
    with pytest.raises(ConfigError, match="the secret 'ID' is not set"):
        shop.land()
