"""Predictions of a workspace: their files, what is known at a cut-off and what is not, labels over the horizon, fits, champions and scores."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.understand.world import Engine, World, arrow

from kundig.clock import midnight
from kundig.config.load import Config, load
from kundig.config.predictions import Prediction, attributes_of
from kundig.errors import ConfigError
from kundig.store.engines.session import conform
from kundig.tables import ALL
from kundig.tables.collect import DEALS, EVENTS, SUBSCRIPTIONS, TICKETS
from kundig.tables.understand import PREDICTION_MODELS, SCORES
from kundig.tables.unify import CONSENTS, PROFILES, TRAIT_CHANGES
from kundig.testing import default_workspace
from kundig.understand.predictions import fitting, frames, knowing, steps, targets
from kundig.understand.predictions import models as models_of
from kundig.understand.predictions.frames import Place
from kundig.understand.predictions.making import Plan
from kundig.understand.propensity.judging import auc

ZONE = "Europe/Berlin"
ENGINE = Engine()
NOW = dt.datetime(2026, 11, 20, 13, 0, tzinfo=dt.UTC)
TODAY = midnight(dt.date(2026, 11, 20), ZONE)
ASKED = {"meaning": "Buyers", "owner": "crm@example.org", "target": {"event": "order_completed"}, "horizon": "30 days", "cut_offs": 2, "gain": 10, "cost": 1, "groups": ["gender"]}


def days(number: float) -> dt.datetime:
    return TODAY - dt.timedelta(days=number)


class Shop(World):
    """Persons of whom the keen visit often and then order, over half a year; and rows that are changed after they were first known."""

    def __init__(self, persons: int = 180, seed: int = 1) -> None:
        super().__init__()
        self.facts |= {table.name: [] for table in steps.FACTS if table.name not in self.facts}
        draw = np.random.default_rng(seed)
        self.keen = draw.random(persons) < 0.4
        for person in range(1, persons + 1):
            self.add(PROFILES, person_key=person, person_id=f"p{person}")
            self.person(person, person)
            self.changed(person, "gender", ("f", "m")[person % 2], days(200))
            self.changed(person, "language", "de", days(200))
            for day in np.flatnonzero(draw.random(190) < (0.25 if self.keen[person - 1] else 0.03)):
                self.event(person, "page_viewed", days(float(day) + 0.5))
            for day in np.flatnonzero(draw.random(190) < (0.04 if self.keen[person - 1] else 0.004)):
                self.bought(person, days(float(day) + 0.3))

    def changed(self, person: int, trait: str, value: str, at: dt.datetime, received: dt.datetime | None = None) -> None:
        self.add(TRAIT_CHANGES, at, person_key=person, trait=trait, value=value, seq=0, **({"received_at": received} if received else {}))

    def event(self, person: int, name: str, at: dt.datetime, **values: Any) -> None:
        number = len(self.facts["events"])
        self.add(EVENTS, at, event_id=f"e{number}", identifier_key=person, name=name, channel="direct", **values)

    def bought(self, person: int, at: dt.datetime, product: str = "P1", net: float = 20.0) -> str:
        order = self.order(person, at, net)
        self.line(person, at, order, product, 1, net)
        self.event(person, "order_completed", at)
        return order

    def tables(self, engine: Engine) -> dict[str, Any]:
        found = {table.name: engine.table(arrow(table, self.facts[table.name])) for table in steps.FACTS if table.name != "products"}
        return found | {"products": engine.table(arrow(ALL["products"], [{"product_id": "P1", "category": "Schuhe"}, {"product_id": "P2", "category": "Hemden"}]))}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("predictions")
    default_workspace(root)
    (root / "tracking_plan").mkdir(exist_ok=True)
    (root / "tracking_plan/visits.yaml").write_text("events:\n  page_viewed: {meaning: A page, owner: web@example.org}\n", encoding="utf-8")
    return load(root)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


@pytest.fixture(scope="module")
def facts(shop: Shop) -> dict[str, Any]:
    return shop.tables(ENGINE)


def place(config: Config) -> Place:
    return Place(zone=ZONE, costs=config.costs)


def rules_of(config: Config, **changed: Any) -> targets.Asked:
    return targets.asked({"buys": Prediction.model_validate(ASKED | changed)}, config)["buys"]


PLAN = Plan(events=("order_completed", "page_viewed"), attributes={"gender": "string", "language": "string"}, consents=(("newsletter", "email"),))


def write(root: Path, name: str, text: str) -> None:
    (root / "predictions").mkdir(exist_ok=True)
    (root / f"predictions/{name}.yaml").write_text(text, encoding="utf-8")


def test_every_fault_of_every_file_comes_back_with_its_line(tmp_path: Path) -> None:
    default_workspace(tmp_path)
    write(tmp_path, "buys", "meaning: Buyers\nowner: a@example.org\ntarget: {event: order_completed}\nhorizon: soon\ngain: 3\ntyp: x\n")
    write(tmp_path, "churns", "meaning: Churn\ntarget: {event: order_completed}\n")
    with pytest.raises(ConfigError) as told:
        load(tmp_path)
    text = str(told.value)
    assert "predictions/buys.yaml, line 4" in text and "30 days" in text and "typ" in text and "owner" in text and "predictions/churns.yaml" in text
    write(tmp_path, "buys", "meaning: Buyers\nowner: a@example.org\ntarget: {event: order_completed}\ngroups: [gendre]\n")
    write(tmp_path, "churns", "meaning: Churn\nowner: a@example.org\ntarget:\n  all:\n    - {event: order_complete}\n    - {score: buys, at_least: 0.5}\npopulation: {trait: cty, is: x}\n")
    with pytest.raises(ConfigError, match="did you mean 'gender'"):
        load(tmp_path)
    write(tmp_path, "buys", "meaning: Buyers\nowner: a@example.org\ntarget: {event: order_completed}\n")
    sound = load(tmp_path)
    with pytest.raises(ConfigError) as faults:
        targets.asked(sound.predictions, sound)
    told_all = [(fault.at, fault.what) for fault in faults.value.faults]
    assert len(told_all) == 3, "a score has no past to learn from, and neither has an unknown event or trait"
    assert told_all[0][0].startswith("predictions/churns.yaml, line 5, target") and "order_complete" in told_all[0][1]
    assert told_all[2][0].startswith("predictions/churns.yaml, line 7, population")


def test_what_came_or_changed_later_changes_no_feature(config: Config) -> None:
    """The law against leaks: a frame at a cut-off is the same from all facts as from those of the cut-off."""
    cut = days(30)
    past, whole = Shop(40, seed=2), Shop(40, seed=2)
    for name, rows in past.facts.items():
        if name not in ("identities", "profiles"):
            past.facts[name] = [row for row in rows if row["occurred_at"] <= cut and row["received_at"] <= cut]
    order = whole.order(1, days(50), 30.0, "late", status="cancelled")
    past.order(1, days(50), 30.0, "late", status="completed")
    for world in (past, whole):
        world.line(1, days(50), order, "P1", 1, 30.0)
        world.add(SUBSCRIPTIONS, days(100), subscription_id="s", identifier_key=2, started_at=days(100), ended_at=days(10) if world is whole else None)
        world.add(TICKETS, days(45), ticket_id="t", identifier_key=3, status="solved" if world is whole else "open", solved_at=days(5) if world is whole else None, satisfaction=1 if world is whole else None)
        world.add(DEALS, days(80), deal_id="d", identifier_key=4, stage="won" if world is whole else "open", closed_at=days(2) if world is whole else None)
    whole.line(1, days(20), order, "P1", -1, -30.0)
    whole.changed(5, "language", "en", days(60), received=days(1))
    whole.event(6, "page_viewed", days(40), received_at=days(3))
    whole.add(CONSENTS, days(3), person_key=7, purpose="newsletter", channel="email", status="withdrawn", seq=0)
    for row in whole.facts["tickets"] + whole.facts["deals"] + whole.facts["subscriptions"]:
        row["received_at"] = days(1)
    made = [frames.present(world.tables(ENGINE), rules_of(config, population={"event": "page_viewed"}), PLAN, place(config), at=cut) for world in (past, whole)]
    assert made[0].num_rows > 20
    for name in made[0].column_names:
        assert made[0][name].to_pylist() == made[1][name].to_pylist(), name


def test_a_leak_would_be_seen() -> None:
    """The positive control: what the rows say now is not what was known at the cut-off."""
    cut, world = days(30), Shop(0)
    late = world.order(1, days(50), 0.0, "late", status="cancelled")
    world.line(1, days(50), late, "P1", 1, 30.0)
    world.line(1, days(20), late, "P1", -1, -30.0)
    world.add(TICKETS, days(45), ticket_id="t", identifier_key=3, status="solved", solved_at=days(5), satisfaction=1)
    tables = world.tables(ENGINE)
    for moment, net, status in ((cut, 30, "open"), (days(0), 0, "solved")):
        then = knowing.known(tables, moment)
        assert then["orders"].to_pyarrow()["net"].to_pylist() == [net] and then["tickets"].to_pyarrow()["status"].to_pylist() == [status]


def test_the_outcome_is_what_happened_after_the_cut_off_until_the_end(config: Config) -> None:
    world = Shop(0)
    start, end = days(30), days(16)
    moments = {1: start, 2: start + dt.timedelta(microseconds=1), 3: end, 4: end + dt.timedelta(microseconds=1), 5: days(100)}
    for person, at in moments.items():
        world.add(PROFILES, person_key=person, person_id=f"p{person}")
        world.person(person, person)
        world.bought(person, at, product="P2" if person == 3 else "P1")
    world.add(DEALS, days(40), deal_id="d", identifier_key=5, stage="won", closed_at=days(20), amount=None)
    world.add(CONSENTS, days(25), person_key=4, purpose="newsletter", channel="email", status="withdrawn", seq=0)

    def who(rule: Any) -> list[int]:
        heard = knowing.owned(facts := world.tables(ENGINE), facts["identities"])
        told = targets.done(rules_of(config, target=rule).target, heard, start, end).to_pyarrow()
        return sorted(told.filter(told["outcome"])["person_key"].to_pylist())

    assert who({"event": "order_completed"}) == [2, 3]
    assert who({"not": {"event": "order_completed"}}) == [1, 4, 5], "a churn is silence"
    assert who({"event": "product_bought", "where": {"category": "Hemden"}}) == [3]
    assert who({"event": "deal_won"}) == [5]
    assert who({"consent": "newsletter", "channel": "email", "is": "withdrawn"}) == [4]


def context(config: Config, **changed: Any) -> dict[str, Any]:
    return {"zone": ZONE, "config": config, "predictions": {"buys": Prediction.model_validate(ASKED | changed)}, "costs": config.costs}


def fitted(config: Config, tables: Mapping[str, Any], before: pa.Table | None = None, as_of: dt.datetime = NOW, **changed: Any) -> pa.Table:
    earlier = ENGINE.table(before if before is not None else arrow(PREDICTION_MODELS, []))
    rows = steps.prediction_models(*(tables[table.name] for table in steps.FACTS), earlier, as_of=as_of, profiles=config.profiles, purposes=config.purposes, **context(config, **changed))
    return ENGINE.con.to_pyarrow(conform(ENGINE.table(rows), PREDICTION_MODELS, changed_run=1))


def scored(config: Config, tables: Mapping[str, Any], models: pa.Table, persons: list[int] | None = None, as_of: dt.datetime = NOW) -> pa.Table:
    chosen = dict(tables)
    for name, rows in tables.items():
        for column in ("person_key", "identifier_key"):
            if persons is not None and column in rows.columns:
                chosen[name] = rows.filter(rows[column].isin(persons))
    found = steps.scores(*(chosen[table.name] for table in steps.FACTS), ENGINE.table(models), as_of=as_of, **context(config))
    return ENGINE.con.to_pyarrow(conform(ENGINE.table(found), SCORES, changed_run=1)).sort_by("person_key")


@pytest.fixture(scope="module")
def models(config: Config, facts: dict[str, Any]) -> pa.Table:
    return fitted(config, facts)


def test_a_fit_finds_who_is_keen_and_scores_everybody(config: Config, shop: Shop, facts: dict[str, Any], models: pa.Table) -> None:
    row = models.to_pylist()[0]
    assert (row["model"], row["role"], models.num_rows) == ("buys", "champion", 1) and row["verdict"] in ("usable", "weak")
    rows = scored(config, facts, models)
    assert rows.num_rows == len(shop.keen)
    known = rows.filter(pc.is_valid(rows["value"]))
    keen = np.array([shop.keen[person - 1] for person in known["person_key"].to_pylist()], float)
    assert known.num_rows > 150 and auc(keen, known["value"].to_numpy()) > 0.9
    assert set(known["occurred_at"].to_pylist()) == {TODAY} and set(known["until"].to_pylist()) == {TODAY + dt.timedelta(days=1)}
    assert 0 <= min(known["percentile"].to_pylist()) < 5 and max(known["percentile"].to_pylist()) > 95


def test_a_score_depends_on_its_person_alone(config: Config, facts: dict[str, Any], models: pa.Table) -> None:
    """So that a run may recompute touched persons alone."""
    whole, part = scored(config, facts, models), scored(config, facts, models, [3, 4, 5, 6])
    assert part.num_rows == 4
    assert part.to_pylist() == whole.filter(pc.is_in(whole["person_key"], value_set=pa.array([3, 4, 5, 6]))).to_pylist()


def test_between_schedules_drift_is_watched_and_then_a_challenger_is_fitted(config: Config, shop: Shop, facts: dict[str, Any], models: pa.Table) -> None:
    later = fitted(config, facts, models, NOW + dt.timedelta(days=1), drift=99)
    watched = later.to_pylist()[0]
    assert watched["role"] == "watched" and watched["version"] == models["version"][0].as_py() and "probability" in watched["drift"]
    moved = fitted(config, facts, models, NOW + dt.timedelta(days=1), drift=0.000001).to_pylist()[0]
    assert moved["role"] == "champion" and "drift of" in moved["reason"] and "too few outcomes since" in moved["reason"]
    month = NOW + dt.timedelta(days=30)
    standing = models_of.champion(models.to_pylist(), "buys")
    assert standing is not None and fitting._due(standing, Prediction.model_validate(ASKED), {}, month) == "on schedule"
    assert models_of.champion(models.to_pylist(), "buys", models_of.fingerprint(Prediction.model_validate(ASKED | {"target": {"event": "page_viewed"}}))) is None, "another question is another model"


def test_without_files_or_past_there_is_no_work_to_do(config: Config, models: pa.Table) -> None:
    nothing: Any = object()
    given = context(config) | {"predictions": {}}
    assert steps.prediction_models(*[nothing] * (len(steps.FACTS) + 1), as_of=NOW, profiles=config.profiles, purposes=config.purposes, **given).num_rows == 0
    assert steps.scores(*[nothing] * (len(steps.FACTS) + 1), as_of=NOW, **given).num_rows == 0
    empty = fitted(config, Shop(0).tables(ENGINE))
    assert empty["verdict"].to_pylist() == ["not_usable"]


def test_attributes_that_the_law_protects_are_no_features(config: Config) -> None:
    assert not {"gender", "family_status", "email", "last_name"} & set(attributes_of(config.profiles))


def test_a_challenger_that_is_worse_does_not_stand(config: Config, shop: Shop, facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The champion was fitted six weeks before; since then its outcomes judge both, and a model of shuffled outcomes loses."""
    before = fitted(config, frames.until(facts, NOW - dt.timedelta(days=45)), as_of=NOW - dt.timedelta(days=45))
    honest = fitting._model

    def shuffled(frame: pa.Table, prediction: Prediction, moments: int) -> Any:
        place = frame.column_names.index("outcome")
        return honest(frame.set_column(place, "outcome", frame["outcome"].take(pa.array(np.random.default_rng(1).permutation(frame.num_rows)))), prediction, moments)

    monkeypatch.setattr(fitting, "_model", shuffled)
    row = fitted(config, facts, before).to_pylist()[0]
    assert row["role"] == "challenger" and "against the champion's" in row["reason"]
    standing = models_of.champion([*before.to_pylist(), row], "buys")
    assert standing is not None and standing.version == before["version"][0].as_py()
