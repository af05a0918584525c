"""Guards: which links between identifiers make a person, and which would glue people together.

A shared device, a mistyped address or a reassigned phone looks like a link between two people. Three things tell them apart: how
many people one identifier serves, whether names and birth dates of those people contradict, and when each of them used it. Topology
alone cannot (a shared device is a star, as is a normal phone).

Accounts, record numbers, addresses and phones are joined first, each address and phone checked pair by pair; where two values of a unique
namespace still meet, the weakest evidence between them is cut. Devices come last: a device belongs to the one person found
on it, and joins two only where their attributes agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from kundig.clock import DAY
from kundig.config.unify import Identity
from kundig.unify.pair_check import Attributes
from kundig.unify.union_find import compiled, components, crowded, one_owner, spread, within_limits

STATUSES = ("used", "blocked", "hub_limit", "overlap", "shared", "handover", "unique_conflict", "contradicted", "decided")
USED, BLOCKED, HUB, OVERLAP, SHARED, HANDOVER, UNIQUE, CONTRADICTED, DECIDED = range(9)
PERSON, CONTACT, DEVICE = range(3)
REFUSED, PEERS, CLAIM, OWNS, DEVICES = range(5)
"""What is between the ends of a link: a blocked value; people and addresses alike; an address claimed; a device held; two devices."""

Roles = npt.NDArray[np.int8]

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Identifiers, sorted by key: namespace as a number into `names` (strongest first), earliest sight in microseconds, blocked or not."""

    keys: Ints
    namespace: Codes
    first_at: Ints
    blocked: Flags
    names: tuple[str, ...]
    identity: Identity

    def by_namespace(self, values: list[int]) -> Codes:
        """One number per node from one number per namespace."""
        return np.asarray(np.array(values or [0], np.int32)[self.namespace]) if self.keys.size else np.empty(0, np.int32)

    @property
    def kind(self) -> Codes:
        """Per node 0 person, 1 contact, 2 device."""
        return self.by_namespace([("person", "contact", "device").index(self.identity.namespace(name).kind) for name in self.names])

    @property
    def shared_above(self) -> Codes:
        """Per node, how many people it may serve; 0: any number."""
        return self.by_namespace([self.identity.namespace(name).shared_above or 0 for name in self.names])

    @property
    def most(self) -> Codes:
        """Per namespace, how many values one person may hold; 0: any number."""
        return np.array([self.identity.namespace(name).most for name in self.names], np.int32)


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Links between nodes, one row per pair and evidence; times in microseconds."""

    left: Codes
    right: Codes
    records: Ints
    first_at: Ints
    last_at: Ints
    ranks: Roles | None = None
    """How much a link weighs where one must go: 0 a model's, 1 a record's, 2 a person's word; None: all are records'."""


@dataclass(frozen=True, kw_only=True)
class _Claims:
    """Links of some nodes to who claims them, one row per node and claimant; `rows[starts[i]:starts[i + 1]]` are the edges of claim i."""

    node: Codes
    claimant: Codes
    records: Ints
    first_at: Ints
    last_at: Ints
    rows: Ints
    starts: Ints

    def spans(self) -> list[tuple[int, int]]:
        """Where each node's claims begin and end."""
        cuts = np.flatnonzero(np.diff(self.node)) + 1
        bounds = [0, *cuts.tolist(), self.node.size]
        return list(pairwise(bounds)) if self.node.size else []

    def edges(self, claim: int) -> Ints:
        """The edges of one claim."""
        return np.asarray(self.rows[self.starts[claim] : self.starts[claim + 1]])


NOBODY = np.empty((0, 2), np.int32)


def judge(nodes: Nodes, edges: Edges, known: Attributes, *, ranks: Roles | None = None, apart: Codes = NOBODY) -> Roles:
    """The status of each link, as a number into `STATUSES`.

    The answer depends on the set of links alone, not on their order.

    Args:
        nodes: The identifiers.
        edges: The links between them.
        known: Names and birth dates.
        ranks: Per link 0 (the model's), 1 (a record's) or 2 (a person's word); None: all are records'. A person's word is checked by no attribute.
        apart: (pairs × 2) nodes that people said are two persons'.
    """
    status = np.zeros(edges.left.size, np.int8)
    if not edges.left.size:
        return status
    edges = replace(edges, ranks=ranks)
    weak, strong, role = _sides(edges.left, edges.right, nodes.namespace, nodes.kind, nodes.blocked)
    if ranks is not None:
        role[(ranks == 2) & (role == CLAIM)] = PEERS
    status[role == REFUSED] = BLOCKED
    if len(apart):
        direct = np.isin(_packed(edges.left, edges.right), _packed(apart[:, 0], apart[:, 1]))
        status[direct] = DECIDED
    person = _people(nodes, edges, known, weak, strong, role, status, apart)
    _devices(nodes, edges, known.regrouped(person), weak, strong, role, person, status, apart)
    if len(apart):
        _part_said(nodes, edges, weak, status, apart)
    return status


def _packed(one: Codes, other: Codes) -> Ints:
    return np.asarray((np.minimum(one, other).astype(np.int64) << 32) | np.maximum(one, other))


def _part_said(nodes: Nodes, edges: Edges, weak: Codes, status: Roles, apart: Codes) -> None:
    """What people said is not a person's, at no time: of the two the weaker goes, with the links that still tie it to that person or hand it over to it."""
    label = components(edges.left, edges.right, nodes.keys.size, status == USED)
    moved = np.flatnonzero(status == HANDOVER)
    node = weak[moved]
    owner = np.where(node == edges.left[moved], edges.right[moved], edges.left[moved])

    def handed(to: int) -> Flags:
        return np.asarray((node == to) & (status[moved] == HANDOVER))

    for one, other in apart.tolist():
        strong, weaker = sorted((one, other), key=lambda end: (int(nodes.kind[end]), int(nodes.namespace[end]), int(nodes.keys[end])))
        holders = {int(label[strong]), *label[owner[handed(strong)]].tolist()}
        status[moved[handed(weaker) & np.isin(label[owner], list(holders))]] = DECIDED
        if int(label[weaker]) in holders:
            status[(status == USED) & ((edges.left == weaker) | (edges.right == weaker))] = DECIDED
            label = components(edges.left, edges.right, nodes.keys.size, status == USED)


@compiled
def _sides(left: Any, right: Any, level: Any, kind: Any, blocked: Any) -> Any:
    """Per link its weaker end, its stronger end, and what is between them."""
    weak, strong, role = left.copy(), right.copy(), np.zeros(left.size, np.int8)
    for i in range(left.size):
        a, b = left[i], right[i]
        if level[a] < level[b]:
            weak[i], strong[i] = b, a
            a, b = b, a
        if blocked[a] or blocked[b]:
            role[i] = REFUSED
        elif kind[a] != DEVICE:
            role[i] = CLAIM if kind[a] == CONTACT and level[a] > level[b] else PEERS
        else:
            role[i] = OWNS if kind[b] != DEVICE else DEVICES
    return weak, strong, role


# accounts, record numbers, addresses and phones


def _people(nodes: Nodes, edges: Edges, known: Attributes, weak: Codes, strong: Codes, role: Roles, status: Roles, apart: Codes) -> Codes:
    claiming = (role == CLAIM) & (status == USED)
    several, _ = spread(weak, strong, nodes.keys.size, claiming)
    claims = _collected(edges, np.flatnonzero(claiming & several[weak]), weak, strong)
    hub = _hubs(nodes, claims)
    _check_pairs(nodes, edges, known, claims, hub, status)
    _shadow(edges, np.flatnonzero(hub), status)
    firm = (status == USED) & ((role == CLAIM) | (role == PEERS))
    person = components(edges.left, edges.right, nodes.keys.size, firm)
    too_many = crowded(person, nodes.namespace, nodes.most)
    together = apart[person[apart[:, 0]] == person[apart[:, 1]]]
    too_many[person[together[:, 0]]] = True
    return _cut_to_limits(nodes, edges, np.flatnonzero(firm & too_many[person[edges.left]]), person, status, together) if too_many.any() else person


def _hubs(nodes: Nodes, claims: _Claims) -> Flags:
    """Nodes that more people claim than their namespace allows, counted within one namespace of claimants."""
    hub = np.zeros(nodes.keys.size, np.bool_)
    if claims.node.size:
        width = len(nodes.names)
        group = claims.node.astype(np.int64) * width + nodes.namespace[claims.claimant]
        found, counts = np.unique(group, return_counts=True)
        node = found // width
        limit = nodes.shared_above[node]
        hub[node[(limit > 0) & (counts > limit)]] = True
    return hub


def _check_pairs(nodes: Nodes, edges: Edges, known: Attributes, claims: _Claims, hub: Flags, status: Roles) -> None:
    """Compare each two claimants of an address or phone; where they contradict, give it to one of them, or to each in its time."""
    identity = nodes.identity
    login = nodes.by_namespace([1 if identity.namespace(name).unique else 0 for name in nodes.names]).astype(bool)
    judged = known.known | login
    spans = [(start, end) for start, end in claims.spans() if not hub[claims.node[start]]]
    for start, end in [(start, end) for start, end in claims.spans() if hub[claims.node[start]]]:
        status[claims.rows[claims.starts[start] : claims.starts[end]]] = HUB
    one, other, at = _pairs(spans, judged[claims.claimant], identity.check_most)
    a, b = claims.claimant[one], claims.claimant[other]
    conflict = login[a] & login[b] & (nodes.namespace[a] == nodes.namespace[b])
    score = known.scores(a, b)
    against = conflict | (score < identity.contradiction)
    troubled = np.unique(at[against])
    pairs_from, pairs_to = np.searchsorted(at, troubled), np.searchsorted(at, troubled, side="right")
    waited: list[int] = []
    for span, low, high in zip(troubled.tolist(), pairs_from.tolist(), pairs_to.tolist(), strict=True):
        start, end = spans[span]
        pairs = (one[low:high] - start, other[low:high] - start, score[low:high], against[low:high], conflict[low:high])
        group = _groups(nodes, claims, start, end, *pairs)
        if _in_turn(claims, start, group, identity.handover_days):
            status[claims.rows[claims.starts[start] : claims.starts[end]]] = HANDOVER
            waited.append(int(claims.node[start]))
        else:
            keep = _strongest(nodes, claims, start, end, group)
            refused = UNIQUE if conflict[low:high].any() else CONTRADICTED
            for claim in np.flatnonzero(group != keep).tolist():
                status[claims.edges(start + claim)] = refused
    _shadow(edges, np.array(waited, np.int64), status)


def _pairs(spans: list[tuple[int, int]], judged: Flags, most: int) -> tuple[Ints, Ints, Ints]:
    """All pairs of judged claims of each node, as claim numbers, and the number of their span."""
    one: list[Ints] = []
    other: list[Ints] = []
    at: list[Ints] = []
    by_size: dict[int, list[tuple[int, Ints]]] = {}
    for number, (start, end) in enumerate(spans):
        members = np.flatnonzero(judged[start:end]) + start
        if 2 <= members.size <= most:
            by_size.setdefault(members.size, []).append((number, members))
    for size, found in by_size.items():
        i, j = np.triu_indices(size, 1)
        members = np.stack([m for _, m in found])
        one.append(members[:, i].ravel())
        other.append(members[:, j].ravel())
        at.append(np.repeat(np.array([number for number, _ in found]), i.size))
    if not one:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, nothing
    spans_of = np.concatenate(at)
    order = np.argsort(spans_of, kind="stable")
    return np.concatenate(one)[order], np.concatenate(other)[order], spans_of[order]


def _groups(
    nodes: Nodes, claims: _Claims, start: int, end: int, one: Ints, other: Ints, score: npt.NDArray[np.float64], against: Flags, conflict: Flags
) -> Codes:  # fmt: skip
    """Claimants of one node that can be one person.

    Those who agree go together; then those of whom too little is known go with whom they are nearest to in time, if nobody there contradicts.
    """
    size = end - start
    contradicts, excludes, agrees = np.zeros((size, size), np.bool_), np.zeros((size, size), np.bool_), np.zeros((size, size))
    for matrix, values in ((contradicts, against), (excludes, conflict), (agrees, score)):
        matrix[one, other] = values
        matrix[other, one] = values
    first, last, weight = claims.first_at[start:end], claims.last_at[start:end], claims.records[start:end]
    keys = nodes.keys[claims.claimant[start:end]]
    i, j = np.triu_indices(size, 1)
    gaps = np.maximum(np.maximum(first[j] - last[i], first[i] - last[j]), 0)
    low, high = np.minimum(keys[i], keys[j]), np.maximum(keys[i], keys[j])
    positive = np.maximum(agrees[i, j], 0)
    group = np.arange(size, dtype=np.int32)
    for pair in np.lexsort((high, low, -(weight[i] + weight[j]), gaps, -positive)).tolist():
        a, b = group[i[pair]], group[j[pair]]
        if a == b or contradicts[i[pair], j[pair]]:
            continue
        between = np.ix_(group == a, group == b)
        if not (excludes if positive[pair] > 0 else contradicts)[between].any():
            group[group == max(a, b)] = min(a, b)
    return group


def _in_turn(claims: _Claims, start: int, group: Codes, days: int) -> bool:
    """Whether the groups had a node one after the other, so many days apart."""
    spans = []
    for label in np.unique(group).tolist():
        members = np.flatnonzero(group == label) + start
        spans.append((int(claims.first_at[members].min()), int(claims.last_at[members].max())))
    spans.sort()
    return all(after[0] - before[1] >= max(1, days * DAY) for before, after in pairwise(spans))


def _strongest(nodes: Nodes, claims: _Claims, start: int, end: int, group: Codes) -> int:
    """The group with most records; then the earlier one, then the smaller key."""
    best: tuple[int, int, int] | None = None
    keep = 0
    for label in np.unique(group).tolist():
        members = np.flatnonzero(group == label) + start
        rank = (-int(claims.records[members].sum()), int(claims.first_at[members].min()), int(nodes.keys[claims.claimant[members]].min()))
        if best is None or rank < best:
            best, keep = rank, label
    return keep


def _cut_to_limits(nodes: Nodes, edges: Edges, rows: Ints, person: Codes, status: Roles, apart: Codes) -> Codes:
    """Where a person holds more values of a namespace than one person can, or two that people said are apart, grow it again from its strongest links."""
    limited = np.flatnonzero(nodes.most > 0)
    members, (left, right) = _local(edges.left[rows], edges.right[rows])
    held = (nodes.namespace[members][:, None] == limited[None, :]).astype(np.int32)
    said = ((members[:, None] == apart[None, :, 0]) | (members[:, None] == apart[None, :, 1])).astype(np.int32)
    most = np.concatenate([nodes.most[limited], np.ones(len(apart), np.int32)])
    order = _by_strength(nodes, edges, rows)
    grown = within_limits(left[order], right[order], np.concatenate([held, said], axis=1), most)
    person = person.copy()
    by_word = np.isin(person[members], person[apart[:, 0]])
    person[members] = members[grown]
    cut = rows[person[edges.left[rows]] != person[edges.right[rows]]]
    status[cut] = np.where(by_word[np.searchsorted(members, edges.left[cut])], DECIDED, UNIQUE)
    return person


def _by_strength(nodes: Nodes, edges: Edges, rows: Ints) -> Ints:
    """The order of links, strongest first: strongest namespaces, most records in all evidence, earliest, keys."""
    left, right = nodes.keys[edges.left[rows]], nodes.keys[edges.right[rows]]
    low, high = np.minimum(left, right), np.maximum(left, right)
    _, pair = np.unique(np.stack([low, high], axis=1), axis=0, return_inverse=True)
    pair = pair.ravel()
    total = np.bincount(pair, weights=edges.records[rows])[pair]
    first = np.full(pair.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, pair, edges.first_at[rows])
    weakest = np.maximum(nodes.namespace[edges.left[rows]], nodes.namespace[edges.right[rows]])
    ranks = np.zeros(rows.size, np.int8) if edges.ranks is None else -edges.ranks[rows]
    return np.lexsort((high, low, first[pair], -total, weakest, ranks))


# devices


def _devices(nodes: Nodes, edges: Edges, known: Attributes, device: Codes, held_by: Codes, role: Roles, person: Codes, status: Roles, apart: Codes) -> None:
    claiming, among = (role == OWNS) & (status == USED), (role == DEVICES) & (status == USED)
    owner = person[held_by]
    several, first = spread(device, owner, nodes.keys.size, claiming)
    if several.any():
        owner = _agreeing(nodes, known, _collected(edges, np.flatnonzero(claiming & several[device]), device, owner), owner, person, apart)
        several, first = spread(device, owner, nodes.keys.size, claiming)
    claims = _collected(edges, np.flatnonzero(claiming & several[device]), device, owner)
    limit = nodes.shared_above
    for start, end in claims.spans():
        node = int(claims.node[start])
        group = np.arange(end - start, dtype=np.int32)
        if 0 < limit[node] < end - start:
            verdict = HUB
        else:
            verdict = HANDOVER if _in_turn(claims, start, group, nodes.identity.handover_days) else OVERLAP
        status[claims.rows[claims.starts[start] : claims.starts[end]]] = verdict
    _shadow(edges, np.flatnonzero(several), status)
    _among_devices(nodes, edges, np.flatnonzero(among & (status == USED)), np.where(several, -1, first), status)


def _agreeing(nodes: Nodes, known: Attributes, claims: _Claims, owner: Codes, person: Codes, apart: Codes) -> Codes:
    """The owners after joining those who meet on a device and whose attributes agree, within the limits of a person."""
    one, other, _ = _pairs(claims.spans(), known.known[claims.claimant], nodes.identity.check_most)
    a, b = claims.claimant[one], claims.claimant[other]
    score = known.scores(a, b)
    agree = score > nodes.identity.evidence
    if not agree.any():
        return owner
    a, b, score = a[agree], b[agree], score[agree]
    members, (left, right) = _local(a, b)
    order = np.lexsort((nodes.keys[np.maximum(a, b)], nodes.keys[np.minimum(a, b)], -score))
    limited = np.flatnonzero(nodes.most > 0)
    held = np.zeros((members.size, limited.size + len(apart)), np.int32)
    for column, pair in enumerate(apart.tolist(), limited.size):
        held[:, column] = np.isin(members, person[pair])
    for column, namespace in enumerate(limited.tolist()):
        held[:, column] = np.bincount(person[nodes.namespace == namespace], minlength=nodes.keys.size)[members]
    joined = members[within_limits(left[order], right[order], held, np.concatenate([nodes.most[limited], np.ones(len(apart), np.int32)]))]
    final = np.arange(nodes.keys.size, dtype=np.int32)
    final[members] = joined
    return np.asarray(final[owner])


def _among_devices(nodes: Nodes, edges: Edges, rows: Ints, owner: Codes, status: Roles) -> None:
    """Devices seen together are one user's, but never those of two owners: the weakest link between these is cut."""
    left, right = edges.left[rows], edges.right[rows]
    together = components(left, right, nodes.keys.size)
    owned = np.flatnonzero(owner >= 0)
    several, _ = spread(together[owned], owner[owned], nodes.keys.size)
    troubled = rows[several[together[left]]]
    if not troubled.size:
        return
    order = _by_strength(nodes, edges, troubled)
    members, (left, right) = _local(edges.left[troubled], edges.right[troubled])
    label = one_owner(left[order], right[order], owner[members])
    status[troubled[label[left] != label[right]]] = CONTRADICTED


# selecting


def _local(left: Codes, right: Codes) -> tuple[Codes, tuple[Codes, Codes]]:
    """The nodes of some links, sorted, and the links as numbers of these."""
    members = np.unique(np.concatenate([left, right]))
    return members, (np.searchsorted(members, left).astype(np.int32), np.searchsorted(members, right).astype(np.int32))


def _shadow(edges: Edges, unsure: Ints, status: Roles) -> None:
    """All other links of a node that is shared or changed hands say nothing."""
    if unsure.size:
        flagged = np.zeros(int(max(edges.left.max(), edges.right.max(), unsure.max())) + 1, np.bool_)
        flagged[unsure] = True
        status[(status == USED) & (flagged[edges.left] | flagged[edges.right])] = SHARED


def _collected(edges: Edges, rows: Ints, node: Codes, claimant: Codes) -> _Claims:
    """Links gathered by node and claimant: records summed, first and last sight."""
    key = (node[rows].astype(np.int64) << 32) | claimant[rows]
    order = np.argsort(key, kind="stable")
    rows, key = rows[order], key[order]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if rows.size else np.empty(0, np.int64)
    heads = rows[starts] if rows.size else rows
    return _Claims(
        node=node[heads], claimant=claimant[heads],
        records=np.add.reduceat(edges.records[rows], starts) if rows.size else np.empty(0, np.int64),
        first_at=np.minimum.reduceat(edges.first_at[rows], starts) if rows.size else np.empty(0, np.int64),
        last_at=np.maximum.reduceat(edges.last_at[rows], starts) if rows.size else np.empty(0, np.int64),
        rows=rows, starts=np.append(starts, rows.size),
    )  # fmt: skip
