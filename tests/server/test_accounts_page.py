"""Deliveries and totals on the page, in the API, in the metrics and on the command line: a doubled order and a missing day are told by each of them."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import re
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

import kundig
from kundig.cli import main
from kundig.clock import now
from kundig.server.app import make_app
from kundig.server.health import Watch
from kundig.testing import default_workspace
from kundig.workspace import Workspace
from tests.server.browser import judged

SOURCE = """
received_at: as_occurred
inputs:
  - files: in/orders*.csv
    lands: [{table: orders, columns: {order_id: no, occurred_at: day, gross: total}}]
  - files: in/control.csv
    lands: [{table: source_totals, columns: {local_day: day, total: {value: orders}, quantity: n, amount: sum}}]
totals:
  orders: {table: orders, amount: gross}
  by_hand: {table: orders}
"""
TODAY = now().astimezone(ZoneInfo("Europe/Berlin")).date()
DAYS = [TODAY - dt.timedelta(days=n) for n in range(39, 0, -1)]
GONE, DOUBLED = DAYS[-10], DAYS[-4]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = default_workspace(tmp_path / "shop")
    (root / "sources").mkdir(exist_ok=True)
    (root / "in").mkdir()
    (root / "sources" / "shop.yaml").write_text(SOURCE, encoding="utf-8")
    orders = [f"{day:%m%d},{day} 12:00,5.00" for day in DAYS if day != GONE] + [f"{DOUBLED:%m%d}B,{DOUBLED} 12:00,5.00"]
    (root / "in" / "orders.csv").write_text("no,day,total\n" + "\n".join(orders) + "\n", encoding="utf-8")
    (root / "in" / "control.csv").write_text("day,n,sum\n" + "".join(f"{day},1,5.00\n" for day in DAYS), encoding="utf-8")
    workspace = kundig.open(root)
    workspace.import_()
    return workspace


def command(root: Path, *words: str) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main([*words, "-w", str(root)])
        except SystemExit as stop:
            return (stop.code if isinstance(stop.code, int) else 1), out.getvalue()
    return 0, out.getvalue()


def client(workspace: Workspace) -> TestClient:
    return TestClient(make_app(workspace), base_url="http://127.0.0.1:8000")


def test_the_page_and_the_api_tell_the_day_and_the_difference(workspace: Workspace) -> None:
    asked = client(workspace)
    page = asked.get("/sources?lang=de").text
    assert "Wo Summen abweichen" in page and "Summen weichen ab" in page and "Etwas braucht Aufmerksamkeit" in page
    assert f"{DOUBLED:%d.%m.%Y}" in page and f"{GONE:%d.%m.%Y}" in page and f"{DAYS[-5]:%d.%m.%Y}" not in page
    english = asked.get("/sources?lang=en").text
    assert "Totals that agree" in english and "37 of 39 days" in english
    told = asked.get("/api/sources").json()["accounts"]
    (arrival,) = told["arrivals"]
    assert arrival["missing"] == [str(GONE)] and arrival["late"] is False
    assert len(told["totals"]) == len(DAYS)


def test_metrics_tell_it_to_prometheus(workspace: Workspace) -> None:
    figures = dict(re.findall(r"^(kundig_\S+) (-?[\d.e+]+)$", client(workspace).get("/metrics").text, re.MULTILINE))
    assert figures['kundig_total_days_compared{source="shop",total="orders"}'] == "39.0"
    assert figures['kundig_total_days_differing{source="shop",total="orders"}'] == "2.0"
    assert figures['kundig_total_rows_difference{source="shop",total="orders"}'] == "0.0", "one too many and one too few: the days differ, the sum does not"
    assert figures['kundig_source_missing_days{source="shop"}'] == "1.0" and figures['kundig_source_late{source="shop"}'] == "0.0"
    assert abs(float(figures['kundig_source_last_delivery_timestamp_seconds{source="shop"}']) - now().timestamp()) < 600


def test_the_command_says_so_and_ends_with_one_until_it_is_mended(workspace: Workspace) -> None:
    code, told = command(workspace.root, "source", "check")
    assert code == 1 and "39 days of totals compared, 2 of them differ" in told and str(GONE) in told and str(DOUBLED) in told
    code, told = command(workspace.root, "source", "check", "--json")
    wrong = {one["day"]: one["difference"] for one in json.loads(told)["totals"] if not one["agrees"]}
    assert code == 1 and {day: Decimal(value) for day, value in wrong.items()} == {str(GONE): -1, str(DOUBLED): 1}
    (workspace.root / "in" / "orders_late.csv").write_text(f"no,day,total\nL1,{GONE} 12:00,5.00\n", encoding="utf-8")
    assert command(workspace.root, "import", "shop")[0] == 0
    assert command(workspace.root, "source", "declare", "shop", "orders", str(DOUBLED), "--quantity", "2", "--amount", "10")[0] == 0
    code, told = command(workspace.root, "source", "check", "shop")
    assert code == 0 and "39 days of totals compared, 0 of them differ" in told


def test_what_cannot_be_declared_is_told(workspace: Workspace) -> None:
    assert command(workspace.root, "source", "check", "shp")[1].count("did you mean 'shop'") == 1
    code, told = command(workspace.root, "source", "declare", "shop", "order", str(GONE), "--quantity", "2")
    assert code == 2 and "did you mean 'orders'" in told
    for words in (("shop", "orders", "yesterday", "--quantity", "2"), ("shop", "orders", str(GONE), "--quantity", "two"), ("shop", "orders", str(GONE), "--amount", "1e20"), ("shop", "orders", str(GONE)), ("shop", "by_hand", str(GONE), "--amount", "2")):
        code, told = command(workspace.root, "source", "declare", *words)
        assert code in (1, 2) and "Traceback" not in told, (words, told)


def test_a_fault_in_the_file_hides_no_other_figure(workspace: Workspace) -> None:
    path = workspace.root / "sources" / "shop.yaml"
    path.write_text(SOURCE.replace("amount: gross", "amount: gros"), encoding="utf-8")
    page = client(kundig.open(workspace.root)).get("/sources?lang=en")
    assert page.status_code == 200 and "has no column &#39;gros&#39;" in page.text and "Something needs attention" in page.text


def test_all_is_well_is_said_where_it_is(workspace: Workspace) -> None:
    (workspace.root / "in" / "orders_late.csv").write_text(f"no,day,total\nL1,{GONE} 12:00,5.00\n", encoding="utf-8")
    command(workspace.root, "import", "shop")
    command(workspace.root, "source", "declare", "shop", "orders", str(DOUBLED), "--quantity", "2", "--amount", "10")
    page = client(workspace).get("/sources?lang=en").text
    assert "All is well." in page and "All totals that were declared agree with what landed." in page


@pytest.mark.needs_chromium
@pytest.mark.parametrize("width", (360, 1280))
def test_the_page_fits_and_is_accessible(workspace: Workspace, tmp_path: Path, width: int) -> None:
    asked = client(workspace)
    style = asked.get("/style.css").text
    pages = {locale: asked.get(f"/sources?lang={locale}").text.replace('<link rel="stylesheet" href="/style.css">', f"<style>{style}</style>") for locale in ("de", "en")}
    axe = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
    wide = "<!doctype html><html><head></head><body><div style='width:1900px'>wide</div></body></html>"
    found = judged(pages | {"wide": wide}, axe=axe, folder=tmp_path, width=width)
    control = found.pop("wide")
    assert control["scroll"] > control["width"] and control["violations"], "the look itself must be able to find faults"
    assert {name: page["violations"] for name, page in found.items() if page["violations"]} == {}
    assert all(page["scroll"] <= page["width"] and not page["clipped"] and page["passes"] > 10 for page in found.values()), found


def test_a_source_that_is_added_or_changed_counts_without_a_restart(workspace: Workspace) -> None:
    watch = Watch(workspace, keep=0.0)
    watch.files.every = 0.0
    assert [one.source for one in watch.health().accounts.arrivals] == ["shop"]
    path = workspace.root / "sources" / "shop.yaml"
    path.write_text("sla_hours: 7\n" + SOURCE, encoding="utf-8")
    (workspace.root / "sources" / "till.yaml").write_text(SOURCE.partition("totals:")[0], encoding="utf-8")
    assert [(one.source, one.hours) for one in watch.health().accounts.arrivals] == [("shop", 7), ("till", 24)]
    path.write_text("nonsense: 1\n", encoding="utf-8")
    assert [one.source for one in watch.health().accounts.arrivals] == ["shop", "till"], "the earlier file is in use"
