"""Events are written once, from lines that were read once: nothing may hang on hashes, on the order of lines, or on a second look."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.collect.shop import Shop
from tests.collect.test_segment import call, land

from kundig.collect import segment


def visits(count: int) -> list[dict[str, Any]]:
    """Calls of few people from few pages, in no order."""
    chance = random.Random(7)
    made = []
    for number in range(count):
        page = chance.choice(["/", "/lamps", "/lamps?utm_medium=email&utm_campaign=may"])
        who: dict[str, Any] = {"anonymousId": f"a{chance.randrange(count // 3)}"} | ({"userId": f"C{chance.randrange(9)}"} if chance.random() < 0.3 else {})
        if chance.random() < 0.1:
            who |= {"type": "identify", "event": None, "properties": None, "traits": {"email": f"{chance.randrange(9)}@example.org", "plan": "pro"}}
        made.append(call(number, timestamp=f"2026-01-{1 + number % 28:02d}T12:00:{number % 60:02d}Z", context={"page": {"url": f"https://shop.example{page}", "referrer": ""}}, **who))
    return made


def landed(root: Path, calls: list[dict[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """What the calls become in each table."""
    root.mkdir()
    shop = Shop(root)
    land(shop, *calls)
    return {table: sorted(shop.rows(table), key=str) for table in ("events", "contacts", "identifiers")}


def test_hashes_that_meet_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = visits(300)
    expected = landed(tmp_path / "good", calls)
    assert len({row[7] for row in expected["events"]}) > 50, "the calls are of many"
    monkeypatch.setattr(segment, "hashed", lambda columns: f"hash({', '.join(columns)}) % 3")
    assert landed(tmp_path / "poor", calls) == expected
    monkeypatch.setattr(segment, "_tell_apart", lambda *given: None)
    assert landed(tmp_path / "blind", calls) != expected, "without telling them apart, rows would be lost or doubled: the check can fail"


def test_a_file_lies_in_the_order_of_its_subjects(shop: Shop) -> None:
    land(shop, *visits(9_000))
    [file] = shop.lake.files("events")[1]
    keys = [row[0] for row in shop.lake.duck.execute(f"SELECT identifier_key FROM read_parquet('{file.path}', file_row_number=true) ORDER BY file_row_number").fetchall()]
    assert len(keys) == 9_000
    assert keys == sorted(keys)


@pytest.mark.parametrize("turned", [False, True])
def test_the_newest_call_tells_who_somebody_is(shop: Shop, turned: bool) -> None:
    def said(number: int, city: str) -> dict[str, Any]:
        return call(number, type="identify", event=None, properties=None, userId="C1", timestamp=f"2026-01-0{number}T12:00:00Z", traits={"city": city, "email": "a@example.org"})

    calls = [said(1, "Kiel"), said(3, "Bonn"), said(2, "Ulm")]
    land(shop, *(reversed(calls) if turned else calls))
    assert shop.rows("contacts", "contact_id, city") == [("web:C1", "Bonn")]
    assert [row[0] for row in shop.rows("identifiers", "first_at::DATE::VARCHAR", "WHERE namespace = 'email'")] == ["2026-01-01"], "first seen in a call that told of them"


def test_calls_without_an_id_land_once_each(shop: Shop) -> None:
    nameless = [{key: value for key, value in call(number, anonymousId=f"a{number % 2}").items() if key != "messageId"} for number in range(4)]
    result = land(shop, *nameless, call(9))
    assert (result.rows["events"], result.duplicates) == (3, 2)
    shop.write("in/again.ndjson", json.dumps(nameless[0]) + "\n")
    assert shop.land("web", ["in/again.ndjson"]).duplicates == 1
