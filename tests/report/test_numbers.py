"""Every number of the report is the number of the tables: computed here once more, in plain Python over the tables' rows."""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import kundig
from kundig.decide.funnel import funnel
from kundig.report import render
from kundig.report.words import texts
from kundig.store.lake import ReleaseMark, Replace
from kundig.workspace import Workspace
from tests.report.conftest import LOCALES, Report, numbers

Row = dict[str, Any]
RUNNING = dt.date(2026, 11, 1)
"""The release's moment is the last instant of October: the first month that is not over is November."""


class Tables:
    """The release's tables as plain rows."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.moment = workspace.lake.release().moment  # type: ignore[union-attr]
        self._found: dict[str, list[Row]] = {}

    def __getitem__(self, name: str) -> list[Row]:
        if name not in self._found:
            self._found[name] = self.workspace.table(name).to_pyarrow().to_pylist()
        return self._found[name]

    def consents(self) -> dict[tuple[int, str, str], Row]:
        """The newest consent per person, purpose and channel, with the status it has at the release's moment."""
        newest: dict[tuple[int, str, str], Row] = {}
        for row in sorted((row for row in self["consents"] if row["occurred_at"] <= self.moment), key=lambda row: (row["occurred_at"], row["received_at"], row["seq"])):
            lapsed = row["status"] == "given" and row["until"] is not None and row["until"] <= self.moment
            newest[row["person_key"], row["purpose"], row["channel"]] = row | {"status": "expired" if lapsed else row["status"]}
        return newest


@pytest.fixture(scope="session")
def tables(workspace: Workspace) -> Tables:
    return Tables(workspace)


@pytest.fixture(params=LOCALES)
def locale(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def report(reports: dict[str, Report], locale: str) -> Report:
    return reports[locale]


def close(shown: Iterable[float], exact: Iterable[Any], digits: int) -> bool:
    """Numbers as they are shown are the exact ones, rounded to so many digits."""
    left, right = list(shown), [float(value) for value in exact]
    return len(left) == len(right) and all(abs(a - b) <= 0.5000001 * 10**-digits for a, b in zip(left, right, strict=True))


def section(report: Report, key: str, place: int) -> Any:
    """The n-th table of a section."""
    return [read for (where, _), read in report.tables.items() if where == key][place]


def test_answer_of_the_overview(report: Report, tables: Tables, locale: str) -> None:
    values = tables["lifetime_values"]
    reachable = {person for (person, _, channel), row in tables.consents().items() if channel == "email" and row["status"] == "given"}
    buyers = sum(1 for row in tables["features"] if row["purchase_days"] > 0)
    shown = numbers(report.answers["overview"].replace("T€", "").replace("k", ""), locale)
    money = [sum(row[name] for row in values) for name in ("expected_value", "expected_value_low", "expected_value_high", "value_at_risk")]
    scaled = [float(amount) / (1_000 if abs(amount) >= 10_000 else 1) for amount in money]
    assert close(shown, [len(tables["profiles"]), buyers, *scaled, len(reachable)], 0)


def test_revenue_by_month(report: Report, tables: Tables, locale: str) -> None:
    months = sorted((row["period_start"], row["value"]) for row in tables["kpis"] if row["kpi"] == "revenue" and row["dimension"] == "" and row["value"] is not None)
    read = section(report, "overview", 0)
    assert close([numbers(text, locale)[-1] for text in read.column(1)], [value for _, value in months], 2)
    landed: dict[dt.date, float] = defaultdict(float)
    for order in tables["orders"]:
        if order["status"] != "cancelled" and order["net"] > 0 and order["received_at"] <= tables.moment and order["occurred_at"] <= tables.moment:
            landed[order["local_day"].replace(day=1)] += float(order["net"])
    assert close([landed[month] for month, _ in months], [value for _, value in months], 2), "and the months are those of the orders"


def test_states_and_tenths(report: Report, tables: Tables, locale: str) -> None:
    states = Counter(row["state"] for row in tables["lifecycle_states"])
    names = texts(locale)["states"]
    read = section(report, "overview", 1)
    assert {row[0]: numbers(row[1], locale)[0] for row in read.rows} == {names[state]: states[state] for state in ("onboarding", "active", "loyal", "at_risk", "dormant", "former")}
    ordered = sorted((float(row["expected_value"]) for row in tables["lifetime_values"]), reverse=True)
    size, more = divmod(len(ordered), 10)
    sums, sizes, at = [], [], 0
    for tenth in range(10):
        sizes.append(size + (tenth < more))
        sums.append(sum(ordered[at : at + sizes[-1]]))
        at += sizes[-1]
    read = section(report, "overview", 2)
    assert [numbers(text, locale)[0] for text in read.column(1)] == sizes
    assert close([numbers(text, locale)[0] for text in read.column(2)], sums, 2)
    finding = next(text for text in report.findings if texts(locale)["overview"]["value_finding"].partition("{")[0] in text)
    assert close(numbers(finding, locale), [100 * sums[0] / sum(sums)], 1)


def test_segments(report: Report, tables: Tables, locale: str) -> None:
    value = {row["person_key"]: float(row["expected_value"]) for row in tables["lifetime_values"]}
    members = defaultdict(list)
    for row in tables["segment_members"]:
        if row["member"]:
            members[row["segment_id"]].append(row["person_key"])
    for row in section(report, "segments", 0).rows:
        worth = [value[person] for person in members[row[0]] if person in value]
        assert numbers(row[4], locale) == [len(members[row[0]])]
        assert close(numbers(row[5], locale), [sum(worth) / len(worth)] if worth else [], 2)
    assert sum(len(people) for people in members.values()) == len(tables["profiles"]) - numbers(report.text.partition(texts(locale)["segments"]["without"].partition("{")[0])[2], locale)[0]


def test_audiences_agree_with_the_funnel_of_decide(report: Report, tables: Tables, locale: str) -> None:
    """What stands as allowed is what is left after the last gate of decide's own funnel, and what is chosen is what entered the first."""
    counted = {row.audience: (row.before, row.after) for row in reversed(funnel(tables.workspace.table("decisions").to_pyarrow()))}
    entered = {row.audience: row.before for row in reversed(funnel(tables.workspace.table("decisions").to_pyarrow()))}
    left = {row.audience: row.after for row in funnel(tables.workspace.table("decisions").to_pyarrow())}
    members = Counter(row["audience"] for row in tables["audience_members"])
    read = section(report, "audiences", 0)
    assert {row[0] for row in read.rows} == set(counted)
    for name, chosen, allowed, on, _ in read.rows:
        assert [numbers(text, locale) for text in (chosen, allowed, on)] == [[entered[name]], [left[name]], [members[name]]]
    refused = Counter((row["reason"], row["channel"]) for row in tables["decisions"] if not row["allow"])
    assert sorted(numbers(text, locale)[0] for text in section(report, "audiences", 1).column(2)) == sorted(refused.values())
    people = {row["person_key"] for row in tables["audience_members"]}
    assert numbers(report.answers["audiences"], locale) == [len(people), len(read.rows), len(tables["decisions"]), sum(refused.values())]


def test_kpis_and_their_nulls(report: Report, tables: Tables, locale: str) -> None:
    names = texts(locale)["kpis"]
    newest: dict[str, Row] = {}
    whole = [row for row in tables["kpis"] if row["dimension"] == "" and (row["period_start"] < RUNNING)]
    for row in sorted(whole, key=lambda row: row["period_start"]):
        newest[names[row["kpi"]]] = row
    seen = [row for (where, _), read in report.tables.items() if where == "measure" and len(read.heads) == 5 for row in read.rows]
    assert {row[0].partition(" (")[0] for row in seen} - {names["brand_lift"]} == set(newest) - {names["brand_lift"]}
    for name, value, _, month, basis in seen:
        if name not in newest:
            continue
        row = newest[name]
        if row["value"] is None:
            assert value == "–" and month == "–" and len(basis.split()) > 2, "a null is a dash with its reason beside it"
            continue
        assert value != "–" and basis
        exact = [part for part in (row["value"], row["low"], row["high"]) if part is not None]
        shown = numbers(value, locale)
        if row["unit"] == "share":
            assert close(shown, [100 * part for part in exact], 1), name
        elif row["unit"] == "currency":
            short = "T€" in value or value.endswith("k")
            assert close(shown, [float(part) / (1_000 if short else 1) for part in exact], 0 if short else 2), name
        else:
            assert close(shown, exact, 0 if row["unit"] == "count" else 2 if row["unit"] == "ratio" else 1), name


def test_channels_and_cohorts(report: Report, tables: Tables, locale: str) -> None:
    channel = {row["person_key"]: row["acquisition_channel"] or "unknown" for row in tables["profiles"]}
    worth = defaultdict(list)
    for row in tables["lifetime_values"]:
        worth[channel[row["person_key"]]].append(float(row["expected_value"]))
    found = [read for (where, _), read in report.tables.items() if where == "measure" and len(read.heads) != 5]
    buyers = [numbers(text, locale)[0] for text in found[0].column(3)]
    assert sorted(number for number in buyers if number) == sorted(len(values) for values in worth.values())
    assert all((text[0] == "–") == (not number) for text, number in zip(found[0].column(2), buyers, strict=True)), "no buyer, no value, and it says so"
    means = sorted(numbers(text, locale)[0] for text in found[0].column(2) if text[0] != "–")
    assert close(means, sorted(sum(values) / len(values) for values in worth.values()), 2)
    cells = {(row["cohort"], row["month"]): (row["persons"], row["active"]) for row in tables["cohorts"]}
    for shown, cohort in zip(found[1].rows, sorted({cohort for cohort, _ in cells})[-len(found[1].rows) :], strict=True):
        assert numbers(shown[1], locale) == [cells[cohort, 0][0]]
        for month, text in enumerate(shown[2:]):
            over = (cohort.year * 12 + cohort.month + month) < RUNNING.year * 12 + RUNNING.month
            known = cells.get((cohort, month)) if over else None
            assert (text == "–") if known is None else close(numbers(text, locale), [100 * known[1] / known[0]], 1)


def test_consents(report: Report, tables: Tables, locale: str) -> None:
    found = tables.consents()
    counted = Counter((purpose, channel, row["status"]) for (_, purpose, channel), row in found.items())
    read = section(report, "consent", 0)
    assert sorted(numbers(text, locale)[0] for text in read.column(3)) == sorted(counted.values())
    objecting = {person for (person, _, _), row in found.items() if row["status"] == "objected"}
    soon = sum(1 for row in found.values() if row["status"] == "given" and row["until"] and row["until"] <= tables.moment + dt.timedelta(days=30))
    given = sum(number for (_, _, status), number in counted.items() if status == "given")
    said = numbers(report.answers["consent"], locale)
    assert sorted(said) == sorted([given, len(objecting), 30, soon])


def test_data(report: Report, tables: Tables, locale: str) -> None:
    landed = {(row[0], row[1]): numbers(row[2], locale)[0] for row in section(report, "data", 0).rows}
    for (source, name), shown in landed.items():
        assert shown == sum(1 for row in tables[name] if row["source"] == source)
    assert numbers(report.answers["data"], locale)[:2] == [len({source for source, _ in landed}), sum(landed.values())]
    run = tables.workspace.lake.release().run_id  # type: ignore[union-attr]
    steps = [row for row in tables["runs"] if row["run_id"] == run]
    assert sorted(numbers(text, locale)[0] for text in report.tables["data", texts(locale)["data"]["steps"]].column(2)) == sorted(row["rows_written"] for row in steps)


CHANGES: dict[str, tuple[str, Callable[[list[Row]], Any], Callable[[Report], Any]]] = {
    "a person less": ("profiles", lambda rows: rows.pop(), lambda report: report.answers["overview"]),
    "a value of a person": ("lifetime_values", lambda rows: rows[0].update(expected_value=rows[0]["expected_value"] + 50_000), lambda report: section(report, "overview", 2).rows),
    "a KPI": ("kpis", lambda rows: next(row for row in rows if row["kpi"] == "revenue" and row["period_start"] == dt.date(2026, 10, 1) and row["dimension"] == "").update(value=1.0), lambda report: section(report, "overview", 0).rows[-1]),
    "a state": ("lifecycle_states", lambda rows: next(row for row in rows if row["state"] == "active").update(state="loyal"), lambda report: section(report, "overview", 1).rows),
    "a decision": ("decisions", lambda rows: next(row for row in rows if row["allow"]).update(allow=False, reason="objected"), lambda report: section(report, "audiences", 0).rows),
    "a cohort": ("cohorts", lambda rows: max(rows, key=lambda row: (row["cohort"], -row["month"])).update(active=1), lambda report: report.tables["measure", texts("de")["measure"]["cohorts"]].rows),
}  # fmt: skip
"""Table, what is changed in it, and where the report must tell it."""


def test_a_changed_table_changes_the_number(root: Path, reports: dict[str, Report], tmp_path: Path) -> None:
    """The positive control: numbers come from the tables, so another value there is another number here."""
    workspace = kundig.open(shutil.copytree(root, tmp_path / "shop", ignore=shutil.ignore_patterns("truth", "exports", "out")))
    release = workspace.lake.release()
    assert release is not None
    changes = []
    for name in sorted({table for table, _, _ in CHANGES.values()}):
        found = workspace.table(name).to_pyarrow()
        rows = found.to_pylist()
        for table, change, _ in CHANGES.values():
            if table == name:
                change(rows)
        changes.append(Replace(table=name, source=type(found).from_pylist(rows, schema=found.schema)))
    workspace.lake.commit(changes, release=ReleaseMark(run_id=release.run_id, moment=release.moment))
    after = Report(render(workspace, "de"))
    for what, (_, _, place) in CHANGES.items():
        assert place(after) != place(reports["de"]), what
    untouched = section(after, "consent", 0).rows
    assert untouched == section(reports["de"], "consent", 0).rows
