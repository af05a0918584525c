"""A made-up population whose truth is known: people with several records, mistyped addresses and shared devices planted among them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kundig.config.unify import Identity
from kundig.unify.guards import USED, Edges, Nodes, judge
from kundig.unify.identity_graph import person_keys
from kundig.unify.pair_check import attributes
from kundig.unify.union_find import components

SYLLABLES = ("ba", "ben", "dor", "el", "fri", "ga", "han", "il", "jo", "ka", "lu", "mar", "ni", "ol", "pe", "ri", "sa", "tom", "ul", "vera", "wil", "zo")
DAY = 86_400_000_000


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Records and their identifiers as a two-sided graph; `bad` marks the planted links."""

    truth: npt.NDArray[np.int64]
    record: npt.NDArray[np.int64]
    identifier: npt.NDArray[np.int64]
    namespace: npt.NDArray[np.str_]
    bad: npt.NDArray[np.bool_]
    at: npt.NDArray[np.int64]
    first: list[str]
    last: list[str]
    birth: list[dt.date | None]

    @property
    def records(self) -> int:
        return self.truth.size


def population(people: int, seed: int) -> Planted:
    """People with about three records each: half have a login, one e-mail in 100 is another person's, and some devices are everybody's."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(people), random.integers(1, 6, people))
    records = truth.size
    first = ["".join(random.choice(SYLLABLES, 2)) for _ in range(people)]
    last = ["".join(random.choice(SYLLABLES, 3)) for _ in range(people)]
    birth = [dt.date(1940, 1, 1) + dt.timedelta(days=int(d)) for d in random.integers(0, 25_000, people)]
    at = random.integers(0, 700, records) * DAY
    firsts = [_mistyped(first[p], random) if random.random() < 0.08 else first[p] for p in truth]
    lasts = [_mistyped(last[p], random) if random.random() < 0.08 else last[p] for p in truth]
    births = [None if random.random() < 0.25 else birth[p] + dt.timedelta(days=int(random.random() < 0.05)) for p in truth]
    parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], str, npt.NDArray[np.bool_]]] = []

    def add(who: npt.NDArray[np.int64], number: npt.NDArray[np.int64], namespace: str, bad: npt.NDArray[np.bool_]) -> None:
        parts.append((who, number, namespace, bad))

    everyone = np.arange(records)
    add(everyone, everyone, "crm_id", np.zeros(records, np.bool_))
    mailed = everyone[random.random(records) < 0.8]
    address = truth[mailed].copy()
    wrong = random.random(mailed.size) < 0.01
    address[wrong] = random.integers(0, people, int(wrong.sum()))
    add(mailed, address, "email", wrong & (address != truth[mailed]))
    called = everyone[random.random(records) < 0.5]
    add(called, truth[called], "phone", np.zeros(called.size, np.bool_))
    logged = everyone[(random.random(people) < 0.5)[truth] & (random.random(records) < 0.6)]
    add(logged, truth[logged], "customer_id", np.zeros(logged.size, np.bool_))
    held = everyone[random.random(records) < 0.7]
    add(held, truth[held] * 2 + random.integers(0, 2, held.size), "device_id", np.zeros(held.size, np.bool_))
    sizes = np.minimum(2 + random.pareto(1.1, people // 40) * 2, 60).astype(np.int64)
    using = random.choice(records, min(int(sizes.sum()), records), replace=False)
    device = np.repeat(np.arange(sizes.size), sizes)[: using.size]
    add(using, 10_000_000 + device, "device_id", np.ones(using.size, np.bool_))
    names = np.concatenate([np.full(p[0].size, p[2]) for p in parts])
    return Planted(
        truth=truth, record=np.concatenate([p[0] for p in parts]), identifier=np.concatenate([p[1] for p in parts]), namespace=names,
        bad=np.concatenate([p[3] for p in parts]), at=at, first=firsts, last=lasts, birth=births,
    )  # fmt: skip


def _mistyped(name: str, random: np.random.Generator) -> str:
    place = int(random.integers(0, len(name)))
    return name[:place] + str(random.choice(list("aeinrst"))) + name[place + 1 :]


def plain(world: Planted, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The cluster of each record when every kept link joins."""
    _, code = np.unique(np.char.add(world.namespace, world.identifier.astype(str)), return_inverse=True)
    left, right = world.record[keep].astype(np.int32), (code[keep] + world.records).astype(np.int32)
    return components(left, right, world.records + int(code.max()) + 1)[: world.records].astype(np.int64)


def hub_limited(world: Planted, most: int) -> npt.NDArray[np.int64]:
    """The cluster of each record when identifiers of more than `most` records are dropped, and nothing else is checked."""
    _, code, count = np.unique(np.char.add(world.namespace, world.identifier.astype(str)), return_inverse=True, return_counts=True)
    return plain(world, count[code] <= most)


def guarded(world: Planted, identity: Identity) -> npt.NDArray[np.int64]:
    """The person of each record by the guards: each record is a star around its strongest identifier."""
    texts = np.char.add(np.char.add(world.namespace, ":"), world.identifier.astype(str))
    keys, code = np.unique(texts, return_inverse=True)
    names = tuple(sorted(set(world.namespace.tolist()), key=identity.strength))
    namespace = np.array([names.index(str(key).split(":")[0]) for key in keys], np.int32)
    order = np.lexsort((code, namespace[code], world.record))
    record, ends = world.record[order], code[order]
    opens = np.concatenate([[True], record[1:] != record[:-1]])
    centre = ends[opens][record]
    spoke = ~opens
    moment = world.at[record]
    first_at = np.full(keys.size, np.iinfo(np.int64).max)
    np.minimum.at(first_at, ends, moment)
    nodes = Nodes(
        keys=np.arange(keys.size, dtype=np.int64), namespace=namespace, first_at=first_at, blocked=np.zeros(keys.size, np.bool_), names=names, identity=identity
    )
    edges = Edges(
        left=centre[spoke].astype(np.int32), right=ends[spoke].astype(np.int32), records=np.ones(int(spoke.sum()), np.int64), first_at=moment[spoke], last_at=moment[spoke]
    )
    hearts = ends[opens].astype(np.int32)
    known = attributes(hearts, pa.array(world.first), pa.array(world.last), pa.array(world.birth, pa.date32()), keys.size)
    status = judge(nodes, edges, known)
    assert (status == USED).mean() > 0.5
    return person_keys(nodes, edges, status)[hearts]


def agreement(found: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """Precision, recall and F1 over all pairs of records."""

    def pairs(label: npt.NDArray[np.int64]) -> float:
        count = np.unique(label, return_counts=True)[1].astype(float)
        return float((count * (count - 1) / 2).sum())

    both = pairs(np.unique(np.stack([found, truth], axis=1), axis=0, return_inverse=True)[1].ravel())
    precision, recall = both / max(1.0, pairs(found)), both / max(1.0, pairs(truth))
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)
