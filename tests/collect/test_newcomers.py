"""The failures every newcomer will make: what, where, mend; and nothing half-written remains."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import openpyxl
import pytest
from tests.collect.shop import ORDERS, Shop

from kundig.errors import ConfigError, SourceError

GOOD = "no,day,total,customer,mail\n1,2026-03-01 10:00,12.50,C1,a@example.org\n2,2026-03-02 11:00,7,C2,b@example.org\n"


def exported(shop: Shop, text: str, more: str = "") -> None:
    """The shop's mapping of orders, and one export for it."""
    shop.source(ORDERS.format(more=more))
    shop.write("in/orders.csv", text)


def refused(shop: Shop, *words: str, files: list[str] | None = None) -> SourceError:
    """The error of an import that must be refused, with nothing written."""
    with pytest.raises(SourceError) as caught:
        shop.land(files=files)
    for fault in caught.value.faults:
        assert fault.what
        assert fault.at
        assert fault.mend
    text = str(caught.value)
    for word in words:
        assert word in text, text
    assert shop.is_empty()
    return caught.value


def test_a_good_file_lands(shop: Shop) -> None:
    exported(shop, GOOD)
    landed = shop.land()
    assert (landed.rows["orders"], landed.quarantined) == (2, 0)
    assert shop.rows("orders", "order_id, gross, net", "ORDER BY 1") == [("shop:1", Decimal("12.5"), Decimal("12.5")), ("shop:2", Decimal(7), Decimal(7))]


def test_wrong_column(shop: Shop) -> None:
    exported(shop, GOOD.replace("total", "totals"))
    refused(shop, "column 'total' is missing", "did you mean 'totals'?", "orders.csv")


def test_two_wrong_columns_and_two_files_at_once(shop: Shop) -> None:
    shop.source(ORDERS.format(more=""))
    shop.write("in/orders1.csv", GOOD.replace("total", "totals").replace("customer", "client"))
    shop.write("in/orders2.csv", GOOD.replace("day", "date"))
    assert len(refused(shop).faults) == 3


def test_wrong_date_format_names_the_right_one(shop: Shop) -> None:
    exported(shop, GOOD.replace("2026-03-01 10:00", "31.12.2025").replace("2026-03-02 11:00", "01.01.2026"))
    refused(shop, "'31.12.2025'", "no moment", "dates: ['%d.%m.%Y']")


def test_one_wrong_date_is_held_and_the_rest_lands(shop: Shop) -> None:
    exported(shop, GOOD + "3,31.02.2026,1,C3,\n4,2026-03-04,2,C4,\n")
    landed = shop.land()
    assert (landed.rows["orders"], landed.quarantined) == (3, 1)
    [(what, where, mend, body)] = shop.rows("quarantined_records", 'what, "where", mend, body')
    assert "'31.02.2026'" in what
    assert where == "orders.csv, row 4"
    assert "fix" in mend
    assert '"no":"3"' in body


def test_missing_file(shop: Shop) -> None:
    shop.source(ORDERS.format(more=""))
    shop.write("in/order.csv", GOOD)
    refused(shop, "the file is missing", "did you mean 'order.csv'?", files=["in/orders.csv"])
    (shop.root / "in/order.csv").rename(shop.root / "in/bestellungen.csv")
    refused(shop, "no file matches 'in/orders*.csv'", "bestellungen.csv")


@pytest.mark.parametrize("cut", ["3,2026-03-0", '3,2026-03-03,"5,1', "3,2026-03-03,5,C3"])
def test_half_a_csv_is_refused(shop: Shop, cut: str) -> None:
    exported(shop, GOOD + cut)
    refused(shop, "ends in the middle of a row", "row 4", "export it again")


def test_a_row_with_too_many_cells_is_held(shop: Shop) -> None:
    exported(shop, GOOD + "3,2026-03-03,5,6,C3,c@example.org\n4,2026-03-04,8,C4,\n")
    landed = shop.land()
    assert (landed.rows["orders"], landed.quarantined) == (3, 1)
    assert shop.rows("quarantined_records", 'what, "where"') == [("6 cells where the header has 5", "orders.csv, row 4")]


def test_wrong_currency(shop: Shop) -> None:
    shop.source(ORDERS.format(more="currency_column: cur"))
    head = "no,day,total,customer,mail,cur\n"
    shop.write("in/orders.csv", head + "1,2026-03-01,1,C1,,EURS\n2,2026-03-02,2,C2,,EURS\n")
    refused(shop, "no rate is known for the currency 'EURS'", "EUR")
    shop.write("in/orders.csv", head + "1,2026-03-01,1,C1,,EUR\n2,2026-03-02,2,C2,,EUR\n3,2026-03-02,2,C2,,QQQ\n")
    landed = shop.land()
    assert (landed.rows["orders"], landed.quarantined) == (2, 1)
    assert "'QQQ'" in shop.rows("quarantined_records", "what")[0][0]


def test_bad_encoding(shop: Shop) -> None:
    exported(shop, GOOD.replace("C1", "Größe").encode("cp1252"))
    refused(shop, "the file is not utf-8: byte 0xf6", "encoding: cp1252")
    shop.source(ORDERS.format(more="encoding: cp1252"))
    shop.land()
    assert ("Größe",) in shop.rows("identifiers", "value")


def test_wrong_delimiter(shop: Shop) -> None:
    exported(shop, GOOD.replace(",", ";"))
    refused(shop, "not parted by ','", "delimiter: ';'")


def test_mixed_delimiters_hold_the_odd_rows(shop: Shop) -> None:
    exported(shop, GOOD + "3;2026-03-03;5;C3;c@example.org\n4,2026-03-04,8,C4,\n")
    landed = shop.land()
    assert (landed.rows["orders"], landed.quarantined) == (3, 1)


def test_duplicated_header(shop: Shop) -> None:
    exported(shop, "no,day,total,total,customer,mail\n1,2026-03-01,1,2,C1,\n")
    refused(shop, "the column 'total' stands twice")


def test_header_repeated_in_the_middle_is_held(shop: Shop) -> None:
    exported(shop, GOOD + GOOD.replace("1,2026", "5,2026").replace("2,2026", "6,2026"))
    landed = shop.land()
    assert (landed.rows["orders"], landed.quarantined) == (4, 1)


@pytest.mark.parametrize("name,more", [("orders.csv", ""), ("orders.ndjson", "format: ndjson"), ("orders.json", "format: json"), ("orders.xlsx", "format: xlsx")])
def test_empty_file(shop: Shop, name: str, more: str) -> None:
    shop.source(ORDERS.format(more=more).replace("*.csv", "*"))
    shop.write(f"in/{name}", b"")
    refused(shop, "the file is empty")


def test_header_alone_is_no_fault(shop: Shop) -> None:
    exported(shop, "no,day,total,customer,mail\n")
    assert shop.land().rows == {}


def test_german_numbers(shop: Shop) -> None:
    shop.source(ORDERS.format(more='{delimiter: ";", decimal: ",", dates: "%d.%m.%Y"}').replace('    {delimiter: ";", decimal: ",", dates: "%d.%m.%Y"}', '    delimiter: ";"\n    decimal: ","\n    dates: "%d.%m.%Y"'))
    shop.write("in/orders.csv", "no;day;total;customer;mail\n1;31.12.2025;1.234,56;C1;\n2;01.01.2026;7,5;C2;\n3;01.01.2026;12.5;C2;\n")
    landed = shop.land()
    assert shop.rows("orders", "gross", "ORDER BY order_id") == [(Decimal("1234.56"),), (Decimal("7.5"),)]
    assert landed.quarantined == 1, "12.5 is no number where the mark is a comma"


def test_german_numbers_read_with_a_point_are_refused(shop: Shop) -> None:
    shop.source(ORDERS.format(more='delimiter: ";"'))
    shop.write("in/orders.csv", "no;day;total;customer;mail\n1;2025-12-31;1.234,56;C1;\n2;2026-01-01;7,50;C2;\n")
    refused(shop, "'1.234,56'", "decimal: ','")


def test_excel_serial_dates_and_dates(shop: Shop) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["no", "day", "total", "customer", "mail"])
    sheet.append([1, 46022.5, 12.5, "C1", None])
    sheet.append([2, dt.datetime(2026, 1, 2, 8, 30), "1234.5", 17, "x@example.org"])
    book.save(shop.root / "in/orders.xlsx")
    shop.source(ORDERS.format(more="format: xlsx").replace("*.csv", "*.xlsx"))
    shop.land()
    found = shop.rows("orders", "order_id, occurred_at, gross", "ORDER BY 1")
    assert found[0] == ("shop:1", dt.datetime(2025, 12, 31, 11, 0, tzinfo=dt.UTC), Decimal("12.5"))
    assert found[1] == ("shop:2", dt.datetime(2026, 1, 2, 7, 30, tzinfo=dt.UTC), Decimal("1234.5"))
    assert ("17",) in shop.rows("identifiers", "value")


def test_not_a_workbook(shop: Shop) -> None:
    exported(shop, GOOD, "format: xlsx")
    refused(shop, "no Excel workbook")


def test_not_parquet(shop: Shop) -> None:
    exported(shop, GOOD, "format: parquet")
    refused(shop, "no Parquet file")


def test_unknown_source_and_faulty_mapping(shop: Shop) -> None:
    shop.source(ORDERS.format(more="").replace("gross", "gros"))
    shop.write("in/orders.csv", GOOD)
    with pytest.raises(ConfigError, match="did you mean 'shop'"):
        shop.land("shp")
    with pytest.raises(ConfigError, match="did you mean 'gross'"):
        shop.land()
    assert shop.is_empty()


def test_an_amount_in_another_sign_than_its_currency_is_held(shop: Shop) -> None:
    exported(shop, GOOD + "3,2026-03-03,$ 5.00,C3,\n4,2026-03-04,€ 6.00,C4,\n")
    landed = shop.land()
    assert (landed.rows["orders"], landed.quarantined) == (3, 1)
    assert "USD" in shop.rows("quarantined_records", "what")[0][0]
