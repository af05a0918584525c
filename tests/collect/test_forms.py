"""Each form that exists in SQL and in Python says the same; slow twins for what is cut and matched."""

from __future__ import annotations

import datetime as dt
import itertools
import os
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kundig.collect import cells, channels, money
from kundig.collect.identifiers import Rules, identifier_key, key_sql, normalise, normalised_sql
from kundig.collect.returns import taken_back
from kundig.collect.sessions import sessions
from kundig.collect.sources import sniff
from kundig.collect.tracking_plan import event_columns
from kundig.config.collect import ColumnSpec, TrackingPlan
from kundig.config.unify import Identity
from kundig.errors import ConfigError
from kundig.store.engines.duckdb import connect, ibis_backend
from kundig.tables.collect import EVENTS

CON = connect(threads=1, memory="500MB")
RULES = Rules(identity=Identity.model_validate({"namespaces": {"email": {"kind": "contact", "blocked": ["noreply@*", "info@*", "o'neil@x.de"]}}}))

TEXTS = st.one_of(
    st.text(alphabet=" aAbB.@+-'0123456789()/<>İßÖ\u00a0\u200b\t", max_size=24),
    st.builds("{}@{}.{}".format, st.text("aB.+-_1", min_size=1, max_size=6), st.sampled_from(["x", "gmail", "GoogleMail", "a.b"]), st.sampled_from(["de", "com", "ORG"])),
    st.builds("{}{}".format, st.sampled_from(["0", "00", "+", "+49", "0049", "49", "(0)", ""]), st.text("0123456789 /-", max_size=14)),
    st.sampled_from(["noreply@x.de", "info@shop.de", "o'neil@x.de", "", " "]),
)


@settings(max_examples=200 if os.environ.get("KUNDIG_FULL") else 12, deadline=None)
@example(["0@\u00a0.0"], "email", "DE")
@given(st.lists(TEXTS, min_size=4, max_size=12), st.sampled_from(["email", "phone", "customer_id", "email_hash", "crm_id"]), st.sampled_from(["DE", "IT", "US", "XX"]))
def test_identifiers_in_sql_and_in_python(texts: list[str], namespace: str, country: str) -> None:
    value = normalised_sql(namespace, "x", country=country, rules=RULES)
    found = CON.execute(f"SELECT {value}, {key_sql(namespace, value)} FROM (SELECT unnest(?::VARCHAR[]) AS x)", [texts]).fetchall()
    expected = [normalise(namespace, text, country=country, rules=RULES) for text in texts]
    assert found == [(one, None if one is None else identifier_key(namespace, one)) for one in expected]


def test_channels_in_sql_and_in_python() -> None:
    """Every combination of what is told apart."""
    told = {
        "click": [None, "gclid", "dclid", "fbclid", "ttclid"], "source": [None, "google", "Facebook", "newsletter", "partner.example"],
        "medium": [None, "cpc", "CPC", "email", "social", "weird", "push"],
        "host": [None, "www.google.de", "t.co", "m.facebook.com", "shop.example", "www.shop.example", "mail.google.com", "blog.example", "notshop.example"], "seen": [False, True],
    }  # fmt: skip
    every = pa.Table.from_pylist([dict(zip(told, values, strict=True)) for values in itertools.product(*told.values())])
    sql = channels.channel_sql(**{name: name for name in told}, own=["shop.example"])
    found = CON.register("told", every).execute(f"SELECT *, {sql} FROM told").fetchall()
    assert len(found) == every.num_rows == 3_150
    assert [row for row in found if row[-1] != channels.channel(**dict(zip(told, row, strict=False)), own=["shop.example"])] == []
    assert len({row[-1] for row in found}) > 5


def read(text: str | None, type: str, **more: Any) -> Any:
    """A cell's value."""
    return CON.execute(f"SELECT {cells.value(cells.trimmed('x'), type, **more)} FROM (SELECT ?::VARCHAR AS x)", [text]).fetchone()[0]


@pytest.mark.parametrize("text,comma,point", [
    ("1.234,56", "1234.56", None), ("12.5", None, "12.5"), ("1,234.56", None, "1234.56"), ("1234,5", "1234.5", None), ("7", "7", "7"), ("-3,00", "-3", None),
    ("3,00-", "-3", None), ("€ 1.234,56", "1234.56", None), ("1.23.4", None, None), ("abc", None, None), ("1.234", "1234", "1.234"), ("NaN", None, None),
    ("1e3", None, "1000"), ("1_000", None, None), ("5.", None, None), ("1'234.50", None, "1234.50"), ("", None, None), ("-", None, None),
])  # fmt: skip
def test_numbers_are_read_strictly(text: str, comma: str | None, point: str | None) -> None:
    assert read(text, "decimal(18,4)", decimal=",") == (None if comma is None else Decimal(comma))
    assert read(text, "decimal(18,4)", decimal=".") == (None if point is None else Decimal(point))


@settings(max_examples=200, deadline=None)
@given(st.decimals(min_value=-10**9, max_value=10**9, places=2), st.booleans())
def test_what_is_written_is_read(value: Decimal, grouped: bool) -> None:
    english = f"{value:,.2f}" if grouped else f"{value:.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    assert read(english, "decimal(18,4)", decimal=".") == value
    assert read(german, "decimal(18,4)", decimal=",") == value
    assert "," in sniff.decimal_marks([german]) or value == value.to_integral()


@settings(max_examples=200, deadline=None)
@given(st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2060, 1, 1)), st.sampled_from(["%d.%m.%Y", "%Y-%m-%d %H:%M:%S", "%m/%d/%Y", "%d.%m.%Y %H:%M"]))
def test_dates_written_in_a_format_are_found_and_read(moment: dt.datetime, format: str) -> None:
    moment = moment.replace(microsecond=0)
    text = moment.strftime(format)
    found = sniff.date_formats([text])
    assert format in found or (format.startswith("%Y") and found == ("iso",)), (text, found)
    expected = dt.datetime.strptime(text, format).replace(tzinfo=dt.UTC)
    assert read(text, "timestamp", formats=(format,)) == expected


def test_moments_that_are_none() -> None:
    for text in ("x", "9999-01-01", "0025-12-31", "2026-02-30", "31.12.2025"):
        assert read(text, "timestamp") is None


def test_seconds_since_1970_that_are_none() -> None:
    for text in ("inf", "-inf", "nan", "1e300"):
        assert read(text, "timestamp", formats=("unix",)) is None
    assert read("1767225600", "timestamp", formats=("unix",)) == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def test_excel_days() -> None:
    assert read("46022.5", "timestamp", formats=("excel",), zone="Europe/Berlin") == dt.datetime(2025, 12, 31, 11, 0, tzinfo=dt.UTC)
    assert read("46022", "date", formats=("excel",)) == dt.date(2025, 12, 31)
    assert sniff.date_formats(["46022", "46023.25"]) == ("excel",)


class Slow:
    """Cancellations one piece at a time."""

    def __init__(self, purchases: list[Any], cancellations: list[Any]) -> None:
        self.pieces = [(customer, article, moment, line, order, price) for customer, article, moment, line, order, price, quantity in purchases for _ in range(int(quantity))]
        self.cancellations = sorted(cancellations, key=lambda c: (c[2], c[3]))

    def totals(self) -> dict[tuple[str, str | None], int]:
        """Pieces per cancelled line and order."""
        found: dict[tuple[str, str | None], int] = defaultdict(int)
        for customer, article, moment, line, price, quantity in self.cancellations:
            for _ in range(int(quantity)):
                fitting = [piece for piece in self.pieces if piece[0] == customer and piece[1] == article and piece[2] <= moment]
                best = max(fitting, key=lambda piece: (piece[5] == price, piece[2], piece[3]), default=None)
                if best is not None:
                    self.pieces.remove(best)
                found[line, best[4] if best else None] += 1
        return dict(found)


BOUGHT = st.tuples(st.integers(1, 2), st.sampled_from("AB"), st.integers(1, 9), st.sampled_from([1, 2]), st.integers(1, 4))


@settings(max_examples=300, deadline=None)
@given(st.lists(BOUGHT, max_size=8), st.lists(BOUGHT, max_size=5))
def test_taken_back_like_one_piece_at_a_time(bought: list[Any], cancelled: list[Any]) -> None:
    purchases = [(customer, article, moment, f"l{n}", f"o{n}", Decimal(price), Decimal(quantity)) for n, (customer, article, moment, price, quantity) in enumerate(bought)]
    cancellations = [(customer, article, moment, f"c{n}", Decimal(price), Decimal(quantity)) for n, (customer, article, moment, price, quantity) in enumerate(cancelled)]
    found: dict[tuple[str, str | None], int] = defaultdict(int)
    for part in taken_back(purchases, cancellations):
        found[part.line_id, part.order_id] += int(part.quantity)
    assert dict(found) == Slow(purchases, cancellations).totals()


MOMENT = st.integers(0, 400).map(lambda minutes: dt.datetime(2026, 3, 28, 22, 0, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes * 7.5))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2, None]), MOMENT, st.sampled_from(["page_viewed", "order_completed", "search"]), st.sampled_from(["direct", "email", None]), st.sampled_from(["web", "till", None])), max_size=30), st.randoms())
def test_sessions_like_a_loop(visits: list[Any], random: Any) -> None:

    rows = [
        {"event_id": f"e{n:03d}", "identifier_key": key, "occurred_at": moment, "name": name, "kind": "page" if name == "page_viewed" else "track", "channel": channel, "campaign": None, "page_path": f"/{n}", "platform": platform}
        for n, (key, moment, name, channel, platform) in enumerate(visits)
    ]  # fmt: skip
    random.shuffle(rows)
    types = {"identifier_key": pa.int64(), "occurred_at": pa.timestamp("us", tz="UTC")}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in ("event_id", "identifier_key", "occurred_at", "name", "kind", "channel", "campaign", "page_path", "platform")])
    backend = ibis_backend(CON)
    CON.register("visits", pa.Table.from_pylist(rows, schema=schema))
    found = sessions(backend.table("visits"), zone="Europe/Berlin").to_pyarrow().to_pylist()
    CON.unregister("visits")
    expected = []
    for key in (1, 2):
        run: list[dict[str, Any]] = []
        mine = sorted((row for row in rows if row["identifier_key"] == key), key=lambda row: (row["occurred_at"], row["event_id"]))
        for place, row in enumerate(mine):
            run.append(row)
            if place + 1 == len(mine) or mine[place + 1]["occurred_at"] - row["occurred_at"] > dt.timedelta(minutes=30):
                if any(r["kind"] == "page" or (r["platform"] == "web" and r["name"] != "order_completed") for r in run):
                    expected.append((key, run))
                run = []
    assert len(found) == len(expected)
    by_start = {(row["identifier_key"], row["started_at"]): row for row in found}
    for key, run in expected:
        row = by_start[key, run[0]["occurred_at"]]
        assert (row["ended_at"], row["events"], row["pages"]) == (run[-1]["occurred_at"], len(run), sum(r["kind"] == "page" for r in run))
        assert row["channel"] == next((r["channel"] for r in run if r["channel"]), None)
        assert row["landing_path"] == run[0]["page_path"]
        assert row["converted"] == any(r["name"] == "order_completed" for r in run)
        assert row["session_id"].startswith(f"{key}-")
    assert len({row["session_id"] for row in found}) == len(found)


def test_rates() -> None:
    table, missing = money.rates([(dt.date(2026, 3, 1), "GBP"), (dt.date(2026, 3, 1), "QQQ"), (dt.date(2026, 3, 1), "XBT")], "EUR", {(dt.date(2026, 2, 25), "XBT"): 5.0})
    assert missing == {(dt.date(2026, 3, 1), "QQQ")}
    assert [(row["currency"], row["source"]) for row in table.to_pylist()] == [("GBP", "ecb"), ("XBT", "carried")]


def test_a_property_has_one_type_in_the_whole_plan() -> None:
    one = TrackingPlan.model_validate({"events": {"a": {"properties": {"price": {"type": "decimal(18,4)"}}}}})
    other = TrackingPlan.model_validate({"events": {"b": {"properties": {"price": {}}}, "a": {}, "c": {"properties": {"channel": {}}}}})
    with pytest.raises(ConfigError) as caught:
        event_columns({"x": one, "y": other})
    text = str(caught.value)
    assert len(caught.value.faults) == 3
    assert "'price' is decimal(18,4) in 'a' and string in 'b'" in text
    assert "'channel' of 'c' bears the name of a column of events" in text
    assert EVENTS.with_columns(event_columns(one)).column("price").type == "decimal(18,4)"


def test_a_column_comes_from_one_place() -> None:
    with pytest.raises(ValueError, match="one place"):
        ColumnSpec.model_validate({"column": "a", "value": "b"})
    with pytest.raises(ValueError, match="no regular expression"):
        ColumnSpec.model_validate({"column": "a", "extract": "("})


@pytest.mark.parametrize("code", ["utf-8", "cp1252", "utf-16"])
def test_encodings_are_told_apart(code: str) -> None:
    assert sniff.encoding("Straße;Größe\nMünchen;3 €\n".encode(code)) == code


def test_shapes_of_german_and_english_files(tmp_path: Any) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('Nr;Preis;Ort\n1;"1.234,56";Köln\n2;7,50;Kiel\n'.encode("cp1252"))
    shape = sniff.shape(path)
    assert (shape.encoding, shape.delimiter, shape.header) == ("cp1252", ";", ("Nr", "Preis", "Ort"))
    assert sniff.decimal_marks([row[1] for row in shape.rows]) == (",",)
    path.write_text('no,price,city\n1,"1,234.56",Hull\n2,7.50,Bath\n')
    assert sniff.shape(path).delimiter == ","
    assert sniff.decimal_marks([row[1] for row in sniff.shape(path).rows]) == (".",)
    assert sniff.currencies(["£ 3", "4 €", "£2"]) == ("GBP", "EUR")
