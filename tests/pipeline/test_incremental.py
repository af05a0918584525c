"""The law that an incremental run leaves the same tables as a full one, given the same models; and that idle runs commit nothing."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from kundig import pipeline
from kundig.config.load import load
from kundig.pipeline import folding, workbench
from kundig.pipeline.changes import NOTHING
from kundig.store.engines.duckdb import connect
from kundig.store.lake import Lake, Upsert
from kundig.store.state import State
from kundig.tables import ALL, LAKE
from kundig.testing import END, World, default_workspace, land

FULL = "KUNDIG_FULL" in os.environ
SEEDS = range(1, 7) if FULL else (1,)
BOOKS = {"runs", "lineage_edges", "touched"}
FOLDED = () if FULL else tuple(step.writes.name for step in pipeline.steps() if step.folds)
"""What the laws of folds run: at small counts the tables that fold and what those rest on; what rests on them is the first law's."""


class Place:
    """A workspace with its stores, opened anew as another process would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lake = Lake(f"sqlite:///{root}/lake.sqlite", root / "lake", LAKE, duck=connect(threads=2, memory="2GB"))
        self.state = State.open(f"sqlite:///{root}/state.sqlite")
        self.config = load(root)

    def run(self, as_of: dt.datetime, *only: str, full: bool = False) -> pipeline.RunReport:
        return pipeline.run(self.lake, self.state, self.config, ALL, as_of=as_of, full=full, only=only)

    def contents(self, only: str = "") -> dict[str, list[tuple[object, ...]]]:
        """Every table a step writes, or one of them, as sorted rows without the run that wrote them."""
        found = {}
        for step in pipeline.steps():
            name = step.writes.name
            if only not in ("", name):
                continue
            columns = ", ".join(_portable(c.name, c.type) for c in step.writes.columns if c.name != "changed_run")
            rows = self.lake.duck.execute(f"SELECT {columns} FROM {self.lake.scan(name)}").fetchall()
            found[name] = sorted(rows, key=repr)
        return found

    def close(self) -> None:
        self.lake.close()
        self.state.close()


def _portable(name: str, kind: str) -> str:
    return f'round("{name}", 6)' if kind == "float64" else f'"{name}"::VARCHAR' if kind == "json" else f'"{name}"'


def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["kundig.pipeline.run"], "LARGE_SHARE", 2.0)
    monkeypatch.setattr(workbench, "REPLACE_SHARE", 2.0)


Begun = Callable[..., tuple[Place, World]]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """A copy of a workspace that has run once, and the world that goes on in it; each is made once a seed."""

    @functools.cache
    def made(seed: int) -> tuple[Path, World]:
        root = tmp_path_factory.mktemp("begun")
        default_workspace(root, traits=True, predictions=FULL)
        world = World(seed, people=60)
        place = Place(root)
        land(place.lake, world.rows(until=END, events=300), batch="first")
        assert place.run(END).release is not None
        place.close()
        return root, world

    def copied(folder: Path, seed: int = 1) -> tuple[Place, World]:
        root, world = made(seed)
        return Place(shutil.copytree(root, folder)), copy.deepcopy(world)

    return copied


@pytest.mark.parametrize("seed", SEEDS)
def test_incremental_equals_full(seed: int, tmp_path: Path, begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each day for itself against one full run at the end; with full counts, against a full run each day."""
    _eager(monkeypatch)
    states = []
    days = [END + dt.timedelta(days=number) for number in ((1, 2, 40) if FULL else (1, 40))]
    for full in (False, True):
        place, world = begun(tmp_path / f"full {full}", seed)
        for number, day in enumerate(days):
            land(place.lake, world.rows(until=day, days=2, events=15, orders=4, late=0.3), batch=f"day {number}")
            if full and not FULL and day != days[-1]:
                continue
            report = place.run(day, full=full)
            if not full:
                assert any(step.cause in ("touched", "due") for step in report.steps), "nothing was narrowed: the law would say nothing"
        states.append(place.contents())
        place.close()
    for name in states[0]:
        if name not in BOOKS and name != "models":
            assert states[0][name] == states[1][name], f"'{name}' differs between incremental and full"


def test_a_skipped_touch_is_seen(tmp_path: Path, begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: a run that forgets the touched persons must break the law."""
    _eager(monkeypatch)
    monkeypatch.setattr(workbench.Arrivals, "change", lambda self, table: NOTHING)
    place, world = begun(tmp_path / "copy")
    day = END + dt.timedelta(days=1)
    land(place.lake, world.rows(until=day, days=2, events=15, orders=4), batch="second")
    place.run(day, "person_days")
    narrowed = place.contents("person_days")
    place.run(day, "person_days", full=True)
    assert narrowed != place.contents("person_days")
    place.close()


def test_silence_alone_puts_a_person_at_risk_and_moves_the_urgency(tmp_path: Path, begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing lands; only the moment moves, to the last instant before the turn and to the turn itself."""
    _eager(monkeypatch)
    place, _ = begun(tmp_path / "silent")

    causes: list[str] = []

    def at(moment: dt.datetime, key: int) -> tuple[dict[str, object], dict[str, object], object]:
        causes.append({step.table: step.cause for step in place.run(moment).steps}["lifecycle_states"])
        state, urgent = (place.lake.duck.execute(f"SELECT * FROM {place.lake.scan(name)} WHERE person_key = {key}").to_arrow_table().to_pylist()[0] for name in ("lifecycle_states", "urgency"))
        facts = place.lake.duck.execute(f"SELECT purchase_days, last_order_day, last_fact_at FROM {place.lake.scan('features')} WHERE person_key = {key}").fetchone()
        return state, urgent, facts

    sql = f"SELECT person_key, at_risk_at FROM {place.lake.scan('lifecycle_states')} WHERE state IN ('active', 'loyal') AND due_at IS NOT NULL ORDER BY at_risk_at, person_key LIMIT 1"
    key, turn = place.lake.duck.execute(sql).fetchone()
    before, waiting, known = at(turn - dt.timedelta(microseconds=1), key)
    after, pressing, still = at(turn, key)
    assert known == still, "an event came"
    assert causes[-1] in ("due", "touched"), "everybody was counted anew: that due persons are found would not be seen"
    assert before["state"] in ("active", "loyal")
    assert (after["state"], after["since"]) == ("at_risk", turn)
    assert waiting["reason"] in ("on_schedule", "ticket_open") and pressing["reason"] in ("overdue", "value_at_risk", "ticket_open")
    assert (pressing["loss_rise"], pressing["urgency"]) != (waiting["loss_rise"], waiting["urgency"])
    place.close()


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """Table → keys that a fold was given, and keys that it had to compute from all their facts."""
    seen: dict[str, tuple[int, int]] = {}
    whole: list[int] = []
    run = sys.modules["kundig.pipeline.run"]
    recomputed = folding._recomputed

    def counted(bench: object, step: object, filled: object, keys: object) -> object:
        whole.append(len(keys))  # type: ignore[arg-type]
        return recomputed(bench, step, filled, keys)  # type: ignore[arg-type]

    monkeypatch.setattr(folding, "_recomputed", counted)
    for name in ("merged", "folded"):

        def told(bench: object, step: object, filled: object, scope: object, print_: object, inner: object = getattr(folding, name)) -> object:
            whole.clear()
            answer = inner(bench, step, filled, scope, print_)  # type: ignore[operator]
            seen[step.writes.name] = (len(scope.grown), sum(whole))  # type: ignore[attr-defined]
            return answer

        monkeypatch.setattr(run.folding, name, told)
    regrown = run.Run._regrown

    def told_of_all(self: object, step: object, *rest: object) -> object:
        seen[step.writes.name] = (1, 0)  # type: ignore[attr-defined]
        return regrown(self, step, *rest)

    monkeypatch.setattr(run.Run, "_regrown", told_of_all)
    return seen


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_is_folded_and_equals_a_full_run(seed: int, tmp_path: Path, begun: Begun, folds: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of new events, and an hour later some more that go on in the sessions of that day."""
    _eager(monkeypatch)
    place, world = begun(tmp_path / "copy", seed)
    names = ("events", "identifiers", "touched")
    for number, moment in enumerate((END + dt.timedelta(days=1), END + dt.timedelta(days=1, hours=1))):
        rows = world.rows(until=moment, days=1, events=25, orders=0, late=0.0)
        land(place.lake, {name: rows[name] for name in names if name in rows}, batch=f"later {number}")
        folds.clear()
        place.run(moment, *FOLDED)
        assert {"sessions", "person_days", "profiles", "links"} <= set(folds), folds
        if number == 0:
            assert folds["profiles"][0] > 0, "nobody's profile was carried on"
            for table in ("sessions", "person_days"):
                grown, whole = folds[table]
                assert whole < grown, f"'{table}' read the histories of {whole} of {grown} after all"
    folded = place.contents()
    place.run(moment, *FOLDED, full=True)
    whole_run = place.contents()
    for name in folded:
        if name not in BOOKS and name != "models":
            assert folded[name] == whole_run[name], f"'{name}' differs between folded and full"
    place.close()


def test_a_record_written_over_equals_a_full_run(tmp_path: Path, begun: Begun, folds: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Contacts that take the place of others, some under another identifier, beside new events: of contacts the pairs are read anew."""
    _eager(monkeypatch)
    place, world = begun(tmp_path / "copy")
    moment = END + dt.timedelta(days=1)
    rows = world.rows(until=moment, days=1, events=20, orders=0, late=0.0)
    contacts = place.lake.duck.execute(f"SELECT * FROM {place.lake.scan('contacts')} ORDER BY contact_id LIMIT 5").to_arrow_table()
    moved = contacts.set_column(contacts.schema.get_field_index("identifier_key"), "identifier_key", contacts["identifier_key"].combine_chunks()[::-1])
    assert moved != contacts
    place.lake.commit([Upsert(table="contacts", column="contact_id", keys=contacts["contact_id"].combine_chunks(), source=moved)], batch="over")
    land(place.lake, {name: rows[name] for name in ("events", "identifiers", "touched") if name in rows}, batch="second")
    place.run(moment, *FOLDED)
    assert "links" in folds
    narrowed = place.contents()
    place.run(moment, *FOLDED, full=True)
    whole = place.contents()
    assert narrowed == {name: whole[name] if name not in BOOKS and name != "models" else rows for name, rows in narrowed.items()}
    place.close()


def test_a_wrong_fold_is_seen(tmp_path: Path, begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: days that keep the larger count instead of the sum must break the law."""
    monkeypatch.setattr(folding, "_together", lambda rows, step: rows)
    place, _ = begun(tmp_path / "copy")
    events, touched = (place.lake.duck.execute(f"SELECT * FROM {place.lake.scan(name)} LIMIT 20").to_arrow_table() for name in ("events", "touched"))
    twice = events.set_column(events.schema.get_field_index("event_id"), "event_id", pa.array([f"web:again-{i}" for i in range(20)]))
    again = pa.Table.from_pylist([{"batch_id": "again", "identifier_key": key, "received_at": END} for key in events["identifier_key"].to_pylist()], schema=touched.schema)
    land(place.lake, {"events": twice, "touched": again}, batch="second")
    place.run(END + dt.timedelta(hours=1), "person_days")
    folded = place.contents("person_days")
    place.run(END + dt.timedelta(hours=1), "person_days", full=True)
    assert folded != place.contents("person_days")
    place.close()


def test_an_idle_run_commits_nothing(tmp_path: Path, begun: Begun) -> None:
    place, _ = begun(tmp_path / "copy")
    again = place.run(END)
    assert again.release is None
    assert not again.worked
    place.close()


def test_a_new_definition_with_the_same_answer_is_computed_once(tmp_path: Path, begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    place, _ = begun(tmp_path / "copy")
    told = sys.modules["kundig.pipeline.run"].fingerprint
    monkeypatch.setattr(sys.modules["kundig.pipeline.run"], "fingerprint", lambda step, filled: told(step, filled) + ("*" if step.writes.name == "profiles" else ""))
    second, third = place.run(END), place.run(END)
    assert {step.table for step in second.worked} == {"profiles"}
    assert not third.worked
    place.close()


def test_empty_inputs_run(tmp_path: Path) -> None:
    default_workspace(tmp_path)
    place = Place(tmp_path)
    report = place.run(END)
    assert report.release is not None
    kpis = place.lake.duck.execute(f"SELECT kpi, value, reason FROM {place.lake.scan('kpis')}").fetchall()
    assert kpis
    assert all(value is None and reason for _, value, reason in kpis)
    place.close()
