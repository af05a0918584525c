"""Scores of leads: the steps against a plain twin; feedback that moves them little by little; silence; and the made-up shop's truth, judged out of time."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

import kundig
from kundig.answers.leads import assign, lead, leads, say, standing
from kundig.cli.demo import examples
from kundig.clock import midnight
from kundig.config.defaults import write_defaults
from kundig.config.leads import LeadScoring
from kundig.config.load import load
from kundig.errors import ConfigError, IdentityError
from kundig.simulate import simulate
from kundig.testing import END, World, default_workspace, land
from kundig.understand.leads import corrected
from kundig.workspace import Workspace

TOLD = "title: {en: Cyclist}\npopulation: leads\nwho: {hobbies: [Rad], language: [de], company_size: {less_than: 20}, decision_power: [decides]}\n"
SETTINGS = "points: {page_viewed: 1, product_viewed: 2}\nwindow_days: 20\nhalf: 4\nowners: [Kim, Lou]\n"
DAY = dt.timedelta(days=1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = default_workspace(tmp_path / "shop", traits=True)
    (folder / "personas/answers/cyclist.yaml").write_text(TOLD, encoding="utf-8")
    (folder / "leads.yaml").write_text(SETTINGS, encoding="utf-8")
    found = kundig.open(folder)
    rows = World(5, people=40).rows(until=END)
    sizes = [number if number % 3 else None for number in (int(one.removeprefix("person").partition("@")[0]) for one in rows["contacts"]["email"].to_pylist())]
    contacts = rows["contacts"]
    rows["contacts"] = contacts.set_column(contacts.column_names.index("company_size"), contacts.schema.field("company_size"), pa.array(sizes, pa.int64()))
    land(found.lake, rows, batch="first")
    found.run(as_of=END, only=["lead_scores"])
    return found


def _scores(workspace: Workspace) -> dict[int, dict[str, Any]]:
    return {row["person_key"]: row for row in workspace.table("lead_scores").drop("changed_run").to_pyarrow().to_pylist()}


def test_fit_and_engagement_are_those_of_a_plain_count(workspace: Workspace) -> None:
    rows = _scores(workspace)
    people = {row["person_key"]: row for row in workspace.table("profiles").to_pyarrow().to_pylist()}
    days = workspace.table("person_days").to_pyarrow().to_pylist()
    today = END.astimezone(dt.UTC).date()
    assert len(rows) > 5 and {row["fit"] for row in rows.values()} > {0.0}
    assert set(rows) == {key for key, one in people.items() if one["kind"] in ("lead", "company_contact") or one["job_title"] or one["company_size"] is not None or one["decision_power"]}
    for key, row in rows.items():
        held = [one for one, holds in (("hobbies", "Rad" in (people[key]["hobbies"] or ())), ("language", people[key]["language"] == "de"), ("company_size", (people[key]["company_size"] or 99) < 20)) if holds]
        assert row["fit"] == pytest.approx(len(held) / 4) and [name for name in row["met"].split(",") if name] == held and "decision_power," in row["unknown"]
        mine = [one for one in days if one["person_key"] == key and one["local_day"] > today - 20 * DAY and one["event"] in ("page_viewed", "product_viewed")]
        points = sum(one["count"] * (1 if one["event"] == "page_viewed" else 2) for one in mine)
        assert row["points"] == points and row["engagement"] == pytest.approx((1 + points) / (5 + points))
        assert row["score"] == row["prior"] == pytest.approx(row["fit"] * row["engagement"]), "without feedback the score is fit × engagement"
        if mine:
            assert row["due_at"] == midnight(min(one["local_day"] for one in mine) + 20 * DAY, workspace.config.settings.workspace.zone)
    assert any(row["points"] > 0 for row in rows.values())


def test_feedback_moves_scores_little_by_little(workspace: Workspace) -> None:
    rows = _scores(workspace)
    people = {row["person_key"]: row["person_id"] for row in workspace.table("profiles").select("person_key", "person_id").to_pyarrow().to_pylist()}
    groups: dict[tuple[Any, ...], list[int]] = {}
    for key, row in rows.items():
        groups.setdefault((row["persona"], row["fit"], row["source"]), []).append(key)
    alike = max(groups.values(), key=len)
    taught, other = alike[0], alike[1]
    with pytest.raises(ConfigError, match="no owner"):
        assign(workspace, people[taught], "Sam")
    with pytest.raises(ConfigError, match="wrong_fit"):
        say(workspace, people[taught], "wrong_fitt")
    outsider = next(people[key] for key in people if key not in rows)
    with pytest.raises(IdentityError, match="is no lead"):
        assign(workspace, outsider, "Kim")
    assign(workspace, people[taught], "Kim", at=END)
    assert [one.person_id for one in leads(workspace, owner="Kim")] == [people[taught]]
    late, _ = lead(workspace, people[taught], at=END + 2 * DAY)
    assert late.late and late.response_hours is None and standing(workspace, at=END + 2 * DAY).kept == 0
    say(workspace, people[taught], "contacted", at=END + DAY / 2)
    say(workspace, people[taught], "won", at=END + DAY)
    found, notes = lead(workspace, people[taught], at=END + 2 * DAY)
    assert (found.owner, found.status, found.late, found.response_hours) == ("Kim", "won", False, 12.0) and [note.status for note in notes] == ["won", "contacted", "assigned"]
    workspace.run(as_of=END, only=["lead_scores"])
    after = _scores(workspace)
    assert after[taught]["status"] == "won" and after[taught]["owner"] == "Kim" and standing(workspace).feedbacks == 1
    gained = after[other]["score"] - rows[other]["score"]
    assert 0 < gained < 3 / 21, "one feedback among twenty that weigh as much moves a score by less than one part in 21 at each of three levels"
    strangers = [key for key, row in rows.items() if (row["persona"], row["fit"]) != (rows[taught]["persona"], rows[taught]["fit"])]
    assert strangers and all(after[key]["score"] == rows[key]["score"] for key in strangers), "others learn nothing of it"
    say(workspace, people[taught], "wrong_fit", at=END + 2 * DAY)
    workspace.run(as_of=END, only=["lead_scores"])
    assert _scores(workspace)[other]["score"] < rows[other]["score"], "the last word counts"


def test_incremental_is_full_and_silence_lowers_a_score(workspace: Workspace) -> None:
    before = _scores(workspace)
    later = END + 12 * DAY
    workspace.run(as_of=later, only=["lead_scores"])
    step = _scores(workspace)
    workspace.run(as_of=later, only=["lead_scores"], full=True)
    assert step == _scores(workspace)
    fell = [key for key in before.keys() & step.keys() if step[key]["points"] < before[key]["points"]]
    assert fell and all(step[key]["score"] < before[key]["score"] for key in fell if step[key]["fit"] == before[key]["fit"] > 0), "no event came, and the window moved on"


def test_feedback_is_pooled_by_level() -> None:
    leads_ = ibis.memtable(pa.table({"persona": ["a", "a"], "fit_band": [1.0, 1.0], "source": ["fair", "form"], "band": ["low", "low"], "fit": [1.0, 1.0], "engagement": [0.2, 0.2]}))
    rows = [("fit", "", "", 30, 15), ("source", "fair", "", 10, 9), ("band", "fair", "low", 5, 5)]
    rates = ibis.memtable(pa.table({"level": [row[0] for row in rows], "persona": ["a"] * 3, "fit_band": [1.0] * 3, "source": [row[1] for row in rows], "band": [row[2] for row in rows], "feedbacks": [row[3] for row in rows], "won": [row[4] for row in rows]}))
    made = {row["source"]: row for row in corrected(leads_, rates, LeadScoring()).to_pyarrow().to_pylist()}
    first = (15 + 20 * 0.2) / 50
    second = (9 + 20 * first) / 30
    assert made["fair"]["score"] == pytest.approx((5 + 20 * second) / 25) and made["fair"]["rate"] == 1.0
    assert made["form"]["score"] == pytest.approx(first) and made["form"]["rate"] is None and made["form"]["feedbacks"] == 0


def test_files_are_checked(tmp_path: Path) -> None:
    folder = default_workspace(tmp_path / "shop", traits=True)
    (folder / "leads.yaml").write_text("personas: [erly]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no persona 'erly'") as told:
        load(folder)
    assert "early" in str(told.value)
    (folder / "leads.yaml").write_text("points: {page_viewed: -1}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="page_viewed"):
        load(folder)


def _auc(scores: np.ndarray, hits: np.ndarray) -> float:
    """Share of pairs of a hit and a miss in which the hit scores higher; ties count half."""
    gap = scores[hits][:, None] - scores[~hits][None, :]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean())


def test_the_score_finds_who_becomes_a_deal(tmp_path: Path) -> None:
    """Rates are learnt up to day 45; scored are those who came after it, their engagement as it is at the end; and the deals they opened judge the score."""
    root = tmp_path / "shop"
    for name in ("shop", "shop_personas"):
        shutil.copytree(examples() / name, root, dirs_exist_ok=True)
    write_defaults(root, name="shop")
    end = dt.date(2026, 10, 31)
    simulate(root / "exports", persons=15_000, days=150, seed=11, truth=root / "truth", end=end)
    workspace = kundig.open(root)
    workspace.import_()
    zone = workspace.config.settings.workspace.zone
    cut = midnight(end - 105 * DAY, zone)
    workspace.run(as_of=cut, only=["lead_scores"])
    rates = ibis.memtable(workspace.table("lead_rates").to_pyarrow())
    workspace.run(as_of=midnight(end + DAY, zone), only=["lead_scores"])
    now = workspace.table("lead_scores").to_pyarrow().to_pylist()
    fresh = [row for row in now if row["arrived_at"] >= cut]
    kept = ("person_key", "persona", "fit", "source", "band", "engagement")
    base = ibis.memtable(pa.Table.from_pylist([{name: row[name] for name in kept} | {"fit_band": float(np.floor(row["fit"] * 4) / 4)} for row in fresh]))
    scored = {row["person_key"]: row["score"] for row in corrected(base, rates, workspace.config.lead_scoring).to_pyarrow().to_pylist()}
    _, dealt = workspace.rows("SELECT DISTINCT i.person_key FROM deals d JOIN identities i USING (identifier_key) WHERE NOT i.shared AND i.valid_until IS NULL")
    hits = np.array([row["person_key"] in {one[0] for one in dealt} for row in fresh])
    figures = {
        "score": _auc(np.array([scored[row["person_key"]] for row in fresh]), hits), "fit": _auc(np.array([row["fit"] for row in fresh]), hits),
        "engagement": _auc(np.array([row["engagement"] for row in fresh]), hits), "chance": 0.5,
    }  # fmt: skip
    feedbacks = sum(row["feedbacks"] for row in rates.to_pyarrow().to_pylist() if row["level"] == "fit")
    print(f"\nleads after the cut {len(fresh)}, with a deal {hits.sum()}, feedbacks before it {feedbacks}; AUC: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    spread = np.sqrt(1 / (12 * hits.sum()) + 1 / (12 * (~hits).sum()))
    assert figures["score"] > 0.5 + 2 * spread and figures["score"] > figures["engagement"] + 0.05
