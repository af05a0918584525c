"""Parts of a page that are kept: title, host of the page before, and named parameters; secrets and addresses in them never land."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus, urlsplit

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.collect.shop import Shop
from tests.collect.test_segment import call, lines

from kundig.collect import pages
from kundig.collect.identifiers import literal
from kundig.config.collect import SegmentSpec

SOURCE = """
received_at: as_occurred
inputs:
  - files: in/*.ndjson
    format: segment_ndjson
    segment: {hosts: [shop.example], query: [q, sort, utm_content, 'filter[size]']}
"""
KEY = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
TOKENS = ("mia@example.org", "+49 171 2345678", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "Zm9vYmFyMTIzNDU2Nzg5MFhZWg0aB", KEY, "DE89 3704 0044 0532 0130 00")
HARMLESS = ("red shoes", "size asc", "autumn-sale-banner-red-2026-germany", "4006381333931", "Größe 42", "0f8fad5b-d9cb-469f-a165-70867728950e", "SOMMER2026")


def land(shop: Shop, *contexts: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """What landed of pages: title, query, host before, by message."""
    shop.source(SOURCE, "web")
    shop.write("in/a.ndjson", lines(*(call(number, context={"page": page}) for number, page in enumerate(contexts))))
    shop.land("web")
    found = shop.rows("events", "event_id, page_title, CAST(page_query AS VARCHAR), referrer_host, page_host, page_path")
    return {row[0][5:]: (row[1], json.loads(row[2]) if row[2] else None, *row[3:]) for row in found}


def test_title_named_parameters_and_the_host_before_land(shop: Shop) -> None:
    found = land(
        shop,
        {"url": "https://Shop.example/list?q=red+shoes&sort=price&token=abc&filter%5Bsize%5D=42&filter[size]=43#x", "title": " Red shoes – Shop ", "referrer": "https://Www.Google.com:443/search?q=secret"},
        {"url": "https://shop.example/plain", "referrer": "android-app://com.example.app/"},
        {"url": "https://shop.example/?Q=1&xq=2&utm_content=banner%20a#q=fragment"},
        {"url": "https://me:pw@shop.example/a?q=%ff%fe", "title": ""},
        {},
    )
    assert found["0"] == ("Red shoes – Shop", {"q": "red shoes", "sort": "price", "filter[size]": "43"}, "www.google.com", "shop.example", "/list")
    assert found["1"] == (None, None, "com.example.app", "shop.example", "/plain")
    assert found["2"][1] == {"utm_content": "banner a"}, "another parameter's end, other case and the fragment are not it"
    assert found["3"] == (None, None, None, "shop.example", "/a"), "the user of an address is not its host, and what is no text is dropped"
    assert found["4"] == (None, None, None, None, None)


@pytest.mark.parametrize("secret", TOKENS)
def test_secrets_and_persons_never_land(shop: Shop, secret: str) -> None:
    url = f"https://shop.example/?q={quote(secret)}&sort=price"
    found = land(shop, {"url": url, "title": f"Welcome {secret}" if "@" in secret else secret}, {"url": url.replace("&sort=price", "")}, {"url": url, "title": "Shop"})
    assert [found[n][:2] for n in "012"] == [(None, {"sort": "price"}), (None, None), ("Shop", {"sort": "price"})]
    kept = json.dumps(shop.rows("events", "* EXCLUDE (occurred_at, received_at, local_day)"), default=str)
    assert secret not in kept and quote(secret) not in kept


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_stays(shop: Shop, text: str) -> None:
    assert land(shop, {"url": f"https://shop.example/?q={quote(text)}", "title": text})["0"][:2] == (text, {"q": text})


def test_a_long_value_is_cut(shop: Shop) -> None:
    title, query = land(shop, {"url": "https://shop.example/?q=" + "red " * 200, "title": "blue " * 200})["0"][:2]
    assert len(title) <= pages.LONGEST and len(query["q"]) == pages.LONGEST


@pytest.mark.parametrize("name", ("token", "access_token", "apiKey", "api_key", "email", "e-mail", "password", "sid", "otp", "user.email", "code", "X-Signature"))
def test_parameters_that_hold_secrets_cannot_be_named(name: str) -> None:
    with pytest.raises(ValueError, match="leave it out"):
        SegmentSpec(query=("q", name))


@pytest.mark.parametrize("name", ("q", "sort", "utm_content", "keyword", "monkey", "zipcode_area", "compass", "hotel"))
def test_parameters_that_sound_alike_can(name: str) -> None:
    assert SegmentSpec(query=(name,)).query == (name,)


def kept(url: str, names: tuple[str, ...]) -> dict[str, str] | None:
    """The plain twin of `query_sql`."""
    found: dict[str, str] = {}
    _, mark, query = url.split("#")[0].partition("?")
    for part in re.split(r"[?&]", query) if mark else ():
        name, equals, raw = part.partition("=")
        if not equals or name not in names or name in found:
            continue
        try:
            found[name] = unquote_plus(raw, errors="strict").replace("\0", "")
        except UnicodeDecodeError:
            found[name] = ""
    told = {name: text[: pages.LONGEST] for name, text in found.items() if text and not pages.telling(text)}
    return told or None


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["q", "sort", "x", "qq"]), st.one_of(st.text(max_size=40), st.sampled_from(TOKENS + HARMLESS))), max_size=5), st.booleans())
def test_the_query_is_read_as_a_plain_reader_reads_it(pairs: list[tuple[str, str]], fragment: bool) -> None:
    url = "https://shop.example/?" + "&".join(f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in pairs) + ("#q=1" if fragment else "")
    with duckdb.connect() as con:
        (found,) = con.execute(f"SELECT {pages.query_sql(literal(url), ('q', 'sort'))}").fetchone() or (None,)
    assert (None if found is None else json.loads(found)) == kept(url, ("q", "sort"))


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=60), st.from_regex(r"[A-Za-z0-9_+/=-]{20,30}", fullmatch=True), st.sampled_from(TOKENS + HARMLESS)))
def test_sql_and_python_find_the_same_texts_telling(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode().replace("\0", "")
    with duckdb.connect() as con:
        (found,) = con.execute(f"SELECT {pages.telling_sql('x')} FROM (SELECT ? AS x)", [text]).fetchone() or (None,)
    assert found == pages.telling(text)


def test_the_plain_reader_agrees_with_the_library_where_both_speak() -> None:
    url = "https://shop.example/?q=a+b&sort=c%2Fd"
    assert kept(url, ("q", "sort")) == dict(parse_qsl(urlsplit(url).query))
