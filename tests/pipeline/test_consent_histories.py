"""Consent over random histories through runs: grants, withdrawals, objections, expiry, merges, splits, undo, re-grants and skewed clocks; never wider than any part."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kundig import consent, pipeline
from kundig.collect.consent_copy import copy_consents
from kundig.consent import Consent, ConsentRecord
from kundig.tables import ALL
from kundig.tables.collect import CONTACTS
from kundig.testing import default_workspace, land
from kundig.unify import consents as fold_of_persons
from kundig.unify.deciding import decide
from tests.pipeline.test_incremental import Place
from tests.unify.world import World, key

FULL = "KUNDIG_FULL" in os.environ
LAW = settings(max_examples=60 if FULL else 2, deadline=None, suppress_health_check=list(HealthCheck))
FAMILIES, PARTS = 4, ("crm_id:{}", "loyalty_id:{}", "email:a{}@example.org", "email:b{}@example.org")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PURPOSES = """
purposes:
  newsletter:
    channels:
      email: {bases: [consent, existing_customer], double_opt_in: true, expires_days: 12}
      push: {bases: [consent], expires_days: 20}
      direct_mail: {bases: [legitimate_interest, consent]}
"""
SAYS = ("given", "given", "given", "confirmed", "requested", "customer", "legitimate_interest", "withdrawn", "objected")
FOUND = ("identities", "links", "consents", "profiles")

families, parts = st.integers(0, FAMILIES - 1), st.integers(0, len(PARTS) - 1)
says = st.tuples(st.just("say"), families, parts, st.sampled_from(SAYS), st.sampled_from(("email", "push", "push", "direct_mail", "*")), st.sampled_from((0, 0, 0, -4, 3)), st.sampled_from((None, None, 4, -1)))
joins = st.tuples(st.sampled_from(("link", "link", "same", "different")), families, parts, parts).filter(lambda step: step[2] != step[3])
steps = st.lists(st.one_of(says, says, says, joins, joins, st.tuples(st.just("undo"), families), st.just(("run",))), min_size=12, max_size=60 if FULL else 30)


def part(family: int, number: int) -> str:
    return PARTS[number].format(family + 1)


class History:
    """A workspace in which things happen, half a day after one another, and what happened in it."""

    def __init__(self, root: Path) -> None:
        default_workspace(root)
        (root / "purposes.yaml").write_text(PURPOSES, encoding="utf-8")
        self.place = Place(root)
        self.number = 0
        self.said: list[dict[str, Any]] = []
        self.standing: dict[int, list[str]] = defaultdict(list)
        names = [part(family, number) for family in range(FAMILIES) for number in range(len(PARTS))]
        self._land([[name] for name in names], identifiers=True)

    @property
    def now(self) -> dt.datetime:
        return START + dt.timedelta(days=self.number / 2)

    def _land(self, named: Sequence[Sequence[str]], *, identifiers: bool = False) -> None:
        """A record of a person for each, and the touch of whom it names."""
        world = World()
        for each in named:
            world.contact(0, each, contact_id=f"crm:{self.number}:{each[0]}", occurred_at=self.now, received_at=self.now)
        batch = f"b{self.number}"
        touched = [{"batch_id": batch, "identifier_key": key(one), "received_at": self.now} for each in named for one in each]
        tables = {"contacts": world.table(CONTACTS), "touched": _rows("touched", touched)} | ({"identifiers": world.identifiers()} if identifiers else {})
        land(self.place.lake, {name: _fitting(name, rows) for name, rows in tables.items()}, batch=batch)

    def take(self, step: tuple[Any, ...]) -> None:
        """One thing happens."""
        self.number += 1
        kind, *rest = step
        if kind == "run":
            self.run()
        elif kind == "say":
            self._say(*rest)
        elif kind == "link":
            family, one, other = rest
            self._land([[part(family, one), part(family, other)]])
        elif kind == "undo":
            if self.standing[rest[0]]:
                self.undo(self.standing[rest[0]].pop())
        else:
            family, one, other = rest
            self.standing[family].append(self.decide(kind, part(family, one), part(family, other)))

    def decide(self, kind: str, one: str, other: str) -> str:
        return decide(self.place.state, kind, key(one), key(other), at=self.now)

    def undo(self, decision: str) -> None:
        table = self.place.state.sql("identity_decisions")
        row = self.place.state.select("identity_decisions", table.c.decision_id == decision)[0]
        decide(self.place.state, "undo", row["left_key"], row["right_key"], undoes=decision, at=self.now)

    def _say(self, family: int, number: int, status: str, channel: str, skew: int, until: int | None) -> None:
        occurred = self.now + dt.timedelta(days=skew)
        row = {
            "record_id": f"r{self.number}", "source": "web", "occurred_at": occurred, "received_at": self.now, "identifier_key": key(part(family, number)), "other_keys": [], "purpose": "newsletter", "channel": channel,
            "status": status, "basis": "consent" if status == "given" else None, "until": None if until is None else occurred + dt.timedelta(days=until), "wording": None, "wording_hash": None, "evidence": None, "jurisdiction": None,
        }  # fmt: skip
        self.said.append(row)
        consent.append(self.place.state, [row])

    def run(self, *, full: bool = False) -> None:
        """The log's copy, and a run of what consents and profiles rest on."""
        copy_consents(self.place.lake, self.place.state, now=self.now)
        pipeline.run(self.place.lake, self.place.state, self.place.config, ALL, as_of=self.now, only=("consents", "profiles"), full=full)

    def rows(self, table: str) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if name != "changed_run"} for row in self.place.lake.duck.execute(f"SELECT * FROM {self.place.lake.scan(table)}").to_arrow_table().to_pylist()]

    def contents(self) -> dict[str, list[str]]:
        """What stands of persons, their links, consents and profiles."""
        return {table: sorted(map(repr, self.rows(table))) for table in FOUND}

    def wider(self) -> list[tuple[str, str]]:
        """Channels on which a person may be addressed although one of its parts alone may not: with what was said of it, and by others since they hang together."""
        purposes, now = self.place.config.purposes, self.now
        identities = [row for row in self.rows("identities") if not row["shared"]]
        folded: dict[int, list[Consent]] = defaultdict(list)
        for row in self.rows("consents"):
            folded[row["person_key"]].append(Consent(**{field.name: row[field.name] for field in dataclasses.fields(Consent)}))
        links = [(row["first_at"], row["left_key"], row["right_key"]) for row in self.rows("links") if row["status"] in ("used", "handover")]
        found = []
        for person in {row["person_key"] for row in identities}:
            mine = [row for row in identities if row["person_key"] == person]
            records = {row["identifier_key"]: [_record(one) for one in self.said if one["identifier_key"] == row["identifier_key"] and _in_time(row, one["occurred_at"])] for row in mine}
            for one, own in records.items():
                since = together_since(one, records, links)
                others = [dataclasses.replace(said, part=one) for other, more in records.items() if other != one for said in more if other in since and said.effective_at >= since[other]]
                spoken = {(row.purpose, row.channel) for row in consent.fold(own, purposes=purposes, at=now)}
                alone = consent.fold([*(dataclasses.replace(said, part=one) for said in own), *others], purposes=purposes, at=now)
                for purpose, channel in sorted(spoken):
                    whole = consent.standing(folded[person], purpose=purpose, channel=channel, at=now).allowed
                    if whole and not consent.standing(alone, purpose=purpose, channel=channel, at=now).allowed:
                        found.append((str(one), channel))
        return found


def together_since(one: int, members: Iterable[int], links: Sequence[tuple[dt.datetime, int, int]]) -> dict[int, dt.datetime]:
    """Since when each other member hangs together with one: links are added in order of time until they meet."""
    reached, found = {key: {key} for key in members}, {}
    for moment, left, right in sorted(links):
        if left in reached and right in reached and reached[left] is not reached[right]:
            both = reached[left] | reached[right]
            reached |= dict.fromkeys(both, both)
            found |= {other: moment for other in reached[one] if other not in found and other != one}
    return found


def _in_time(row: dict[str, Any], moment: dt.datetime) -> bool:
    return row["valid_from"] <= moment and (row["valid_until"] is None or moment < row["valid_until"])


def _record(row: dict[str, Any]) -> ConsentRecord:
    return ConsentRecord(**{field.name: row[field.name] for field in dataclasses.fields(ConsentRecord) if field.name != "part"}, part=row["identifier_key"])


def _rows(table: str, rows: list[dict[str, Any]]) -> Any:
    from tests.unify.world import rows as arrow

    return arrow(ALL[table], rows)


def _fitting(table: str, rows: Any) -> Any:
    from kundig.store.engines.session import arrow_schema

    return rows.select([field.name for field in arrow_schema(ALL[table])]).cast(arrow_schema(ALL[table]))


@contextmanager
def history() -> Iterator[History]:
    with tempfile.TemporaryDirectory() as name:
        made = History(Path(name) / "workspace")
        try:
            yield made
        finally:
            made.place.close()


@LAW
@given(steps, families, parts, parts)
def test_runs_never_widen_a_consent_and_an_undo_leaves_no_trace(happened: list[tuple[Any, ...]], family: int, one: int, other: int) -> None:
    """After each run no person is allowed more than any of its parts; at the end a merge taken back is as if it was never made, and runs in parts equal a full one."""
    with history() as made:
        for step in [*happened, ("run",)]:
            made.take(step)
            if step[0] == "run":
                assert made.wider() == []
        before = made.contents()
        decision = made.decide("same", part(family, one), part(family, (one + 1 + other % 3) % 4))
        made.run()
        assert made.wider() == []
        made.undo(decision)
        made.run()
        assert made.contents() == before
        made.run(full=True)
        assert made.contents() == before


MERGED = [("say", 0, 3, "withdrawn", "push", 0, None), ("say", 0, 2, "given", "push", 0, None), ("link", 0, 2, 3), ("run",)]


def test_a_withdrawal_of_one_part_holds_for_the_whole_until_it_is_asked_again() -> None:
    with history() as made:
        for step in MERGED:
            made.take(step)
        assert {row["status"] for row in made.rows("consents") if row["channel"] == "push"} >= {"withdrawn"}
        assert made.wider() == []
        persons = {row["identifier_key"]: row["person_key"] for row in made.rows("identities")}
        assert persons[key(part(0, 2))] == persons[key(part(0, 3))], "else nothing was joined"
        made.take(("say", 0, 2, "given", "push", 0, None))
        made.take(("run",))
        assert [row["status"] for row in sorted(made.rows("consents"), key=lambda row: row["seq"]) if row["channel"] == "push"][-1] == "given"


def test_a_merge_is_seen_in_persons_and_consents_until_it_is_taken_back() -> None:
    """The law of undo compares something: the merge itself changes what stands."""
    with history() as made:
        for step in [*MERGED[:2], ("run",)]:
            made.take(step)
        before = made.contents()
        decision = made.decide("same", part(0, 2), part(0, 3))
        made.run()
        merged = made.contents()
        assert all(merged[table] != before[table] for table in FOUND)
        made.undo(decision)
        made.run()
        assert made.contents() == before


def test_a_run_that_forgets_when_parts_joined_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: a fold that takes parts as one from the start, as if all had always been one person."""
    honest = fold_of_persons.parts

    def forgetful(*given: Any) -> Any:
        found = honest(*given)
        return found.mutate(part=found.person_key, joined_at=found.joined_at.nullif(found.joined_at))

    monkeypatch.setattr(fold_of_persons, "parts", forgetful)
    with history() as made:
        for step in MERGED:
            made.take(step)
        assert made.wider() == [(str(key(part(0, 3))), "push")]
