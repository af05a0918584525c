"""Folders in object stores: what is new is downloaded once, and nothing lands twice."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

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


# S3's own protocol ------------------------------------------------------------------------------------------------


class S3:
    """A server that speaks as much of S3 as listing (two keys a page) and reading need; it wants signed requests."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects, self.listed = objects, 0
        self.read: list[str] = []
        s3 = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                s3.answer(self)

            def log_message(self, *given: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: Any) -> None:
        """One request."""
        parts = urlsplit(request.path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if "Credential=reader/" not in request.headers.get("Authorization", ""):
            self.send(request, 403, b"<Error><Code>AccessDenied</Code></Error>")
        elif "list-type" in given:
            self.listed += 1
            keys = [key for key in sorted(self.objects) if key.startswith(given.get("prefix", "")) and key > given.get("continuation-token", "")]
            rows = "".join(f"<Contents><Key>{key}</Key><LastModified>2026-10-01T10:00:00.000Z</LastModified><ETag>&quot;{hashlib.md5(self.objects[key]).hexdigest()}&quot;</ETag><Size>{len(self.objects[key])}</Size></Contents>" for key in keys[:2])
            more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{keys[1]}</NextContinuationToken>" if len(keys) > 2 else "<IsTruncated>false</IsTruncated>"
            self.send(request, 200, f'<?xml version="1.0"?><ListBucketResult><Name>bucket</Name>{more}{rows}</ListBucketResult>'.encode())
        else:
            key = unquote(parts.path).removeprefix("/bucket/")
            self.read.append(key)
            self.send(request, 200, self.objects[key])

    def send(self, request: Any, status: int, body: bytes) -> None:
        """An answer."""
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
        request.send_header("Last-Modified", "Thu, 01 Oct 2026 10:00:00 GMT")
        request.end_headers()
        request.wfile.write(body)


def test_over_s3s_own_protocol(shop: Shop) -> None:
    objects = {f"exports/orders-{id}.csv": f"no,day,total,customer\n{id},2026-10-01,5,c\n".encode() for id in range(1, 6)} | {"exports/other.csv": b"x\n"}
    s3 = S3(objects)
    settings = f"region: eu-central-1, endpoint: '{s3.url}', allow_http: true, access_key_id: '${{ID}}', secret_access_key: '${{KEY}}'"
    shop.source(SOURCE.format(files="s3://bucket/exports/orders-*.csv").replace("region: eu-central-1", settings))
    shop.write("secrets.toml", 'ID = "reader"\nKEY = "hush-hush"\n')
    try:
        assert shop.land().rows["orders"] == 5 and s3.listed == 3 and len(s3.read) == 5
        s3.objects["exports/orders-6.csv"] = b"no,day,total,customer\n6,2026-10-01,5,c\n"
        assert shop.land().rows["orders"] == 1 and s3.read[5:] == ["exports/orders-6.csv"]
        shop.write("secrets.toml", 'ID = "nobody"\nKEY = "hush-hush"\n')
        with pytest.raises(SourceError, match="'s3://bucket' cannot be read") as caught:
            shop.land()
        assert "hush-hush" not in str(caught.value) and "check bucket, region and keys" in str(caught.value)
    finally:
        s3.server.shutdown()
        s3.server.server_close()
