"""Persons: against an oracle that walks the graph, and the laws that the order of facts changes nothing."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unify.small import Record, records, solve, walked
from tests.unify.world import World, key, lazy, persons

from kundig.config.unify import Identity
from kundig.errors import IdentityError
from kundig.tables.unify import IDENTIFIERS
from kundig.unify.guards import Edges, Nodes
from kundig.unify.identity_graph import ORIGIN, hands, identities, resolve
from kundig.unify.links import CARRIERS, links
from kundig.unify.resolving import resolve_parquet

IDENTITY = Identity()
COUNTED: dict[str, int] = defaultdict(int)
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@quick
@given(records())
def test_persons_are_what_used_links_connect_named_by_the_earliest(found: list[Record]) -> None:
    rows, statuses = solve(found, IDENTITY)
    for _, _, status in statuses:
        COUNTED[status] += 1
    first: dict[str, int] = {}
    for record in found:
        for i in record.identifiers:
            first[i] = min(first.get(i, record.at), record.at)
    used = {link for link in statuses if link[2] == "used"}
    moved = {r[0] for r in rows if r[2] != ORIGIN or r[3] is not None}
    for group in walked(used, set(first)):
        name = min(group, key=lambda i: (first[i], IDENTITY.strength(i.split(":")[0]), key(i)))
        single = group - moved
        assert {r[1] for r in rows if r[0] in single} <= {name}
        assert len(group) == 1 or not group & moved, "an identifier that changed hands joins nobody"


@quick
@given(records())
def test_rows_of_an_identifier_follow_each_other(found: list[Record]) -> None:
    rows, _ = solve(found, IDENTITY)
    for identifier in {i for record in found for i in record.identifiers}:
        mine = sorted((r for r in rows if r[0] == identifier), key=lambda r: r[2])
        assert mine[0][2] == ORIGIN
        assert mine[-1][3] is None
        for before, after in itertools.pairwise(mine):
            assert before[3] == after[2]
            assert before[2] < after[2], "an identifier and a moment name one row"
            assert before[1] != after[1]
            assert not after[4]


def test_of_those_who_took_it_over_at_one_moment_the_last_one_holds_it() -> None:
    persons = np.array([10, 11, 12, 13])
    nodes = Nodes(keys=persons, namespace=np.array([1, 0, 0, 0], np.int32), first_at=np.zeros(4, np.int64), blocked=np.zeros(4, np.bool_), names=("crm_id", "phone"), identity=IDENTITY)
    edges = Edges(left=np.zeros(3, np.int32), right=np.array([1, 2, 3], np.int32), records=np.ones(3, np.int64), first_at=np.array([5, 90, 90]), last_at=np.array([6, 90, 90]))
    node, person, since, until = hands(nodes, edges, edges.left, np.arange(3), persons)
    assert (node.tolist(), person.tolist()) == ([0, 0], [11, 13]), "an identifier and a moment name one row"
    assert since.tolist()[1:] == until.tolist()[:-1] == [90]


@quick
@given(records())
def test_no_person_holds_two_logins_and_no_used_link_parts_its_ends(found: list[Record]) -> None:
    rows, statuses = solve(found, IDENTITY)
    owners = {r[0]: r[1] for r in rows if r[2] == ORIGIN and r[3] is None}
    logins: dict[str, set[str]] = defaultdict(set)
    for identifier, person in owners.items():
        if identifier.startswith("customer_id:"):
            logins[person].add(identifier)
    assert all(len(held) == 1 for held in logins.values())
    assert all(owners[a] == owners[b] for a, b, status in statuses if status == "used")
    shared = {r[0] for r in rows if r[4]}
    assert not any(status == "used" and (a in shared or b in shared) for a, b, status in statuses)


@quick
@given(records(), st.integers(0, 2**32))
def test_order_and_repeats_of_records_change_nothing(found: list[Record], seed: int) -> None:
    shuffled = list(found)
    random.Random(seed).shuffle(shuffled)
    assert solve(shuffled, IDENTITY) == solve(found, IDENTITY)
    assert solve(shuffled + found, IDENTITY) == solve(found, IDENTITY)


def test_the_random_graphs_need_every_guard() -> None:
    """The laws above say something only if each status occurs; counted over their examples."""
    if not COUNTED:
        test_persons_are_what_used_links_connect_named_by_the_earliest()
    missing = {"used", "shared", "overlap", "handover", "unique_conflict", "contradicted"} - {name for name, count in COUNTED.items() if count >= 5}
    assert not missing, dict(COUNTED)


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(records(most=20))
def test_the_steps_give_what_the_arrays_give(found: list[Record]) -> None:
    world = World()
    for record in found:
        world.contact(record.at, record.identifiers, first_name=record.first, last_name=record.last, birth_date=record.birth)
    result = world.run()
    names = {key(i): i for record in found for i in record.identifiers}
    rows, statuses = solve(found, IDENTITY)
    assert {(names[r["left_key"]], names[r["right_key"]], r["status"]) for r in result["links"].to_pylist()} == statuses
    got = {(names[r["identifier_key"]], names[r["person_key"]], r["valid_from"], r["valid_until"], r["shared"]) for r in result["identities"].to_pylist()}
    assert got == rows


def test_batch_cuts_change_nothing() -> None:
    """Landing in one batch or in many gives the same rows, whatever the tables' physical order."""
    world = World()
    chance = random.Random(7)
    for number in range(200):
        person = 1 + chance.randrange(40)
        world.see(number % 90, [f"anonymous_id:{person}-{chance.randrange(2)}", *([f"customer_id:{person}"] if chance.random() < 0.4 else [])])
        if chance.random() < 0.3:
            world.order(number % 90, [f"email:{person}@example.org", f"customer_id:{person}"])
    whole = world.run()
    read = [world.table(table) for table in (IDENTIFIERS, *CARRIERS)]
    cut = [pa.concat_tables([t.slice(i, 7) for i in range(0, t.num_rows, 7)][::-1]) if t.num_rows else t for t in read]
    none = [lazy(world.pairs(IDENTITY)), lazy(world.decided())]
    again = links(*[lazy(t) for t in cut], *none, identity=IDENTITY)
    second = identities(lazy(again), lazy(cut[0]), identity=IDENTITY)
    order = [("identifier_key", "ascending"), ("valid_from", "ascending")]
    assert second.sort_by(order).to_pylist() == whole["identities"].sort_by(order).to_pylist()
    customers = {key(i) for r in [*world.facts["events"], *world.facts["orders"]] for i in r["identifiers"] if i.startswith("customer_id:")}
    assert sum(1 for members in persons(second).values() if members & customers) == len(customers) > 20


def test_an_identifier_missing_from_identifiers_still_gets_a_row() -> None:
    world = World()
    world.see(0, ["email:a@example.org", "anonymous_id:x"])
    result = world.run()
    lost = identities(lazy(result["links"]), lazy(result["identifiers"].slice(0, 0)), identity=IDENTITY)
    assert lost.num_rows == 2
    assert len(set(lost["person_key"].to_pylist())) == 1


def test_nothing_in_nothing_out() -> None:
    result = World().run()
    assert result["links"].num_rows == 0
    assert result["identities"].num_rows == 0


@quick
@given(st.lists(st.tuples(st.one_of(st.none(), st.sampled_from("abcdefgß")), st.one_of(st.none(), st.sampled_from("abcdefgh"))), max_size=20), st.integers(0, 99))
def test_resolve_is_connected_components(pairs: list[tuple[str | None, str | None]], seed: int) -> None:
    kind = pa.string()
    table = resolve(pa.table({"left": pa.array([a for a, _ in pairs], kind), "right": pa.array([b for _, b in pairs], kind)}))
    every = {end for pair in pairs for end in pair if end is not None}
    assert sorted(table["identifier"].to_pylist()) == sorted(every), "each identifier once"
    got: dict[int, set[str]] = defaultdict(set)
    for identifier, person in zip(table["identifier"].to_pylist(), table["person_id"].to_pylist(), strict=True):
        got[person].add(identifier)
    wanted = walked({(a, b, "") for a, b in pairs if a is not None and b is not None}, every)
    assert sorted(map(sorted, got.values())) == sorted(map(sorted, wanted))
    random.Random(seed).shuffle(pairs)
    again = resolve(pa.table({"left": pa.array([b for _, b in pairs], kind), "right": pa.array([a for a, _ in pairs], kind)}))
    assert dict(zip(again["identifier"].to_pylist(), again["person_id"].to_pylist())) == dict(zip(table["identifier"].to_pylist(), table["person_id"].to_pylist()))


def test_resolve_reads_frames_files_integers_and_every_kind_of_text(tmp_path) -> None:  # type: ignore[no-untyped-def]
    random_ = np.random.default_rng(5)
    left, right = random_.integers(0, 30_000, 20_000), random_.integers(0, 30_000, 20_000)
    whole = resolve(pa.table({"left": left, "right": right}))
    expected = dict(zip(whole["identifier"].to_pylist(), whole["person_id"].to_pylist()))
    groups: dict[int, set[int]] = defaultdict(set)
    for identifier, person in expected.items():
        groups[person].add(identifier)
    assert all(person == min(members) for person, members in groups.items()), "integers: named by the smallest"
    wanted = walked({(str(a), str(b), "") for a, b in zip(left.tolist(), right.tolist())}, {str(i) for i in expected})
    assert sorted(map(len, groups.values())) == sorted(map(len, wanted))
    texts = pa.table({"a": [f"email:{i}@example.org" for i in left], "b": [f"email:{i}@example.org" for i in right]})
    partition = sorted(map(len, groups.values()))

    def sizes(table: pa.Table) -> list[int]:
        return sorted(np.unique(np.asarray(table["person_id"]), return_counts=True)[1].tolist())

    for form in (texts, texts.to_pandas(), texts.cast(pa.schema([("a", pa.large_string()), ("b", pa.large_string())])), lazy(texts)):
        assert sizes(resolve(form, columns=("a", "b"))) == partition
    sliced = pa.table({"a": texts["a"].combine_chunks().slice(10), "b": texts["b"].combine_chunks().slice(10)})
    assert len(resolve(sliced, columns=("a", "b"))) < len(expected)
    pq.write_table(texts, tmp_path / "pairs.parquet", row_group_size=3_000)
    assert resolve(tmp_path / "pairs.parquet", columns=("a", "b")).sort_by("identifier") == resolve(texts, columns=("a", "b")).sort_by("identifier")
    count = resolve_parquet(tmp_path / "pairs.parquet", tmp_path / "out.parquet", columns=("a", "b"))
    assert count == len(expected) == len(pq.read_table(tmp_path / "out.parquet")) + len(pq.read_table(tmp_path / "out.parquet.right"))


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (pa.table({"links": ["a"], "right": ["b"]}), "column 'left' is missing"),
        (pa.table({"left": ["a"], "right": [1]}), "different types"),
    ],
)
def test_resolve_says_what_is_wrong(table: pa.Table, what: str) -> None:
    with pytest.raises(IdentityError, match=what):
        resolve(table)
