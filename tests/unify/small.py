"""Small random identity graphs, and a slow plain-Python twin of what must hold of them."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from tests.unify.world import day, key

from kundig.config.unify import Identity
from kundig.unify.guards import STATUSES, Edges, Nodes, judge
from kundig.unify.identity_graph import _rows, person_keys
from kundig.unify.pair_check import attributes

NAMES = (None, "ada", "bea", "cem", "dora")
BIRTHS = (None, dt.date(1980, 2, 3), dt.date(1991, 11, 7), dt.date(1980, 3, 2))
VALUES = {"customer_id": 3, "crm_id": 2, "email": 2, "phone": 2, "device_id": 2, "anonymous_id": 3}


@dataclass(frozen=True)
class Record:
    """One record: its day, its identifiers, and what it says of the person."""

    at: int
    identifiers: tuple[str, ...]
    first: str | None = None
    last: str | None = None
    birth: dt.date | None = None


@st.composite
def records(draw: st.DrawFn, most: int = 20) -> list[Record]:
    """Records dense enough that guards are needed: few values, few names, days that overlap or lie far apart."""
    identifier = st.sampled_from([f"{name}:{number}" for name, count in VALUES.items() for number in range(1, count + 1)])
    one = st.builds(
        Record, st.sampled_from([0, 1, 2, 5, 30, 60, 61, 90]), st.lists(identifier, min_size=2, max_size=3, unique=True).map(tuple),
        st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(BIRTHS),
    )  # fmt: skip
    return draw(st.lists(one, min_size=1 if draw(st.booleans()) else 8, max_size=most))


Row = tuple[str, str, dt.datetime, dt.datetime | None, bool]
Link = tuple[str, str, str]


def solve(found: Sequence[Record], identity: Identity) -> tuple[set[Row], set[Link]]:
    """Identities and links of records, with identifiers by name."""
    names = {key(i): i for record in found for i in record.identifiers}
    keys = np.array(sorted(names), np.int64)
    place = {k: number for number, k in enumerate(keys.tolist())}
    spaces = tuple(sorted({i.split(":")[0] for i in names.values()}, key=identity.strength))
    first: dict[int, int] = {}
    pairs: dict[tuple[int, int], list[int]] = defaultdict(list)
    said: list[tuple[int, str | None, str | None, dt.date | None]] = []
    for record in found:
        moment = int((day(record.at) - day(0)).total_seconds()) * 1_000_000 + 1_767_225_600_000_000
        ordered = sorted(record.identifiers, key=lambda i: (identity.strength(i.split(":")[0]), i))
        for i in ordered:
            first[key(i)] = min(first.get(key(i), moment), moment)
        for i in ordered[1:]:
            pairs[tuple(sorted((key(ordered[0]), key(i))))].append(moment)  # type: ignore[index]
        said.append((place[key(ordered[0])], record.first, record.last, record.birth))
    nodes = Nodes(
        keys=keys, namespace=np.array([spaces.index(names[k].split(":")[0]) for k in keys.tolist()], np.int32), first_at=np.array([first[k] for k in keys.tolist()]),
        blocked=np.array([identity.is_blocked(*names[k].split(":", 1)) for k in keys.tolist()]), names=spaces, identity=identity,
    )  # fmt: skip
    edges = Edges(
        left=np.array([place[a] for a, _ in pairs], np.int32), right=np.array([place[b] for _, b in pairs], np.int32),
        records=np.array([len(times) for times in pairs.values()], np.int64), first_at=np.array([min(t) for t in pairs.values()], np.int64),
        last_at=np.array([max(t) for t in pairs.values()], np.int64),
    )  # fmt: skip
    who = np.array([s[0] for s in said], np.int32)
    known = attributes(who, pa.array([s[1] for s in said], pa.string()), pa.array([s[2] for s in said], pa.string()), pa.array([s[3] for s in said], pa.date32()), keys.size)
    status = judge(nodes, edges, known)
    rows = _rows(nodes, edges, status, person_keys(nodes, edges, status)).to_pylist()
    links = {(names[a], names[b], STATUSES[code]) for (a, b), code in zip(pairs, status.tolist(), strict=True)}
    return {(names[r["identifier_key"]], names[r["person_key"]], r["valid_from"], r["valid_until"], r["shared"]) for r in rows}, links


def walked(links: set[Link], every: set[str]) -> list[set[str]]:
    """Connected components by walking: the oracle of union-find."""
    beside: dict[str, set[str]] = {i: set() for i in every}
    for a, b, _ in links:
        beside[a].add(b)
        beside[b].add(a)
    found: list[set[str]] = []
    seen: set[str] = set()
    for start in every:
        if start in seen:
            continue
        group, open_ends = {start}, [start]
        while open_ends:
            for other in beside[open_ends.pop()] - group:
                group.add(other)
                open_ends.append(other)
        seen |= group
        found.append(group)
    return found
