"""The identity graph: links that passed the guards make persons, and every identifier belongs to one, or to several in turn.

A person's key is the key of its earliest identifier (ties: the stronger namespace, then the smaller key), so it depends on the facts alone,
not on the order in which they came. An identifier that changed hands has a row for each time. A shared or blocked identifier belongs to
nobody: it keeps a row of its own, flagged, and what carries nothing but it stays unassigned.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kundig.clock import micros
from kundig.config.unify import Identity
from kundig.schema import step
from kundig.tables.unify import IDENTIFIERS, IDENTITIES, LINKS
from kundig.unify.guards import BLOCKED, HANDOVER, HUB, OVERLAP, STATUSES, USED, Codes, Edges, Ints, Nodes
from kundig.unify.union_find import compiled, components, positions

ORIGIN = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
"""Since when an identifier belongs to its first person: before anything that is recorded."""

_TIME = pa.timestamp("us", tz="UTC")


@step(reads=(LINKS, IDENTIFIERS), writes=IDENTITIES, kind="array", bound=96)
def identities(links: ir.Table, identifiers: ir.Table, *, identity: Identity) -> pa.Table:
    """Which person each identifier belongs to, and when.

    Rows of one identifier follow each other without gap or overlap. Rows flagged `shared` assign nothing: join with `shared = false`.
    """
    chosen = links.select("left_key", "right_key", "first_at", "last_at", "records", "status").to_pyarrow()
    nodes = nodes_of(identifiers, identity)
    nodes, edges = edges_of(chosen, nodes)
    status = _codes(chosen.column("status"))
    return _rows(nodes, edges, status, person_keys(nodes, edges, status))


def nodes_of(identifiers: ir.Table, identity: Identity) -> Nodes:
    """All identifiers as nodes, sorted by key; what is blocked is decided in the engine."""
    blocked = identifiers.value.strip() == ""
    for name, namespace in sorted(identity.namespaces.items()):
        if namespace.blocked:
            blocked |= (identifiers.namespace == name) & identifiers.value.re_search(f"^(?:{namespace.blocked_pattern})$")
    rows = identifiers.select("identifier_key", "namespace", "first_at", blocked=blocked.fill_null(False)).to_pyarrow()
    keys = rows.column("identifier_key").to_numpy()
    order = np.argsort(keys, kind="stable")
    words = rows.column("namespace").combine_chunks().dictionary_encode() if rows.num_rows else pa.array([], pa.string()).dictionary_encode()
    names = sorted(words.dictionary.to_pylist(), key=identity.strength)
    level = np.array([names.index(word) for word in words.dictionary.to_pylist()] or [0], np.int32)
    return Nodes(
        keys=np.asarray(keys[order], np.int64), namespace=level[words.indices.to_numpy()][order], first_at=_micros(rows.column("first_at"))[order],
        blocked=rows.column("blocked").to_numpy().astype(np.bool_)[order], names=tuple(names), identity=identity,
    )  # fmt: skip


def edges_of(links: pa.Table, nodes: Nodes) -> tuple[Nodes, Edges]:
    """Links as edges between nodes; an end that `identifiers` lacks becomes a node of no namespace."""
    left_keys, right_keys = links.column("left_key").to_numpy(), links.column("right_key").to_numpy()
    left, right = positions(nodes.keys, left_keys, right_keys)
    first_at = _micros(links.column("first_at"))
    if (left < 0).any() or (right < 0).any():
        nodes = _with_unknown(nodes, np.concatenate([left_keys[left < 0], right_keys[right < 0]]), np.concatenate([first_at[left < 0], first_at[right < 0]]))
        left, right = positions(nodes.keys, left_keys, right_keys)
    return nodes, Edges(left=left, right=right, records=links.column("records").to_numpy(), first_at=first_at, last_at=_micros(links.column("last_at")))


def person_keys(nodes: Nodes, edges: Edges, status: npt.NDArray[np.int8]) -> Ints:
    """Per node the key of its person: of the component's identifier that was seen first (then the strongest, then the smallest key)."""
    label = components(edges.left, edges.right, nodes.keys.size, status == USED)
    return np.asarray(nodes.keys[_earliest(label, nodes.first_at, nodes.namespace)])


def resolve(edges: Any, *, columns: Sequence[str] = ("left", "right")) -> pa.Table:
    """Which person each identifier belongs to, from pairs of identifiers that belong together: (identifier, person_id).

    Nothing is guarded here: every pair joins. A person's id is the smallest of the 63-bit keys of its identifiers (of integers: the smallest
    of them), so the order of pairs and repeats change nothing. A pair with a missing end says only that the other end exists.

    Args:
        edges: An Arrow table, a data frame, an Ibis table, or the path of a Parquet file.
        columns: The two columns that hold the ends: text or integers.

    Raises:
        IdentityError: A column is missing, or the two are of different types.

    Examples:
        >>> persons = resolve(pa.table({"left": ["a", "c", "x"], "right": ["b", "b", None]}))
        >>> persons["identifier"].to_pylist(), len(persons["person_id"].unique())
        (['a', 'c', 'x', 'b'], 2)
        >>> resolve(pa.table({"left": [7, 9], "right": [8, 8]})).to_pydict()
        {'identifier': [7, 9, 8], 'person_id': [7, 7, 7]}
    """
    from kundig.unify.resolving import resolved

    return resolved(edges, tuple(columns))


def _rows(nodes: Nodes, edges: Edges, status: npt.NDArray[np.int8], person: Ints) -> pa.Table:
    weak = np.where(nodes.namespace[edges.left] > nodes.namespace[edges.right], edges.left, edges.right) if edges.left.size else edges.left
    shared = nodes.blocked.copy()
    shared[weak[(status == HUB) | (status == OVERLAP)]] = True
    moved = np.flatnonzero(status == HANDOVER)
    node, key, since, until = hands(nodes, edges, weak, moved, person)
    single = np.ones(nodes.keys.size, np.bool_)
    single[node] = False
    origin, never = micros(ORIGIN), np.iinfo(np.int64).max
    count = int(single.sum())
    ends = np.concatenate([np.full(count, never), until])
    return pa.table(
        {
            "identifier_key": np.concatenate([nodes.keys[single], nodes.keys[node]]),
            "person_key": np.concatenate([person[single], key]),
            "valid_from": pa.array(np.concatenate([np.full(count, origin), since]), pa.int64()).cast(_TIME),
            "valid_until": pa.array(np.where(ends == never, 0, ends), pa.int64(), mask=ends == never).cast(_TIME),
            "shared": np.concatenate([shared[single], np.zeros(node.size, np.bool_)]),
        }
    )


def hands(nodes: Nodes, edges: Edges, weak: Codes, moved: Ints, person: Ints) -> tuple[Codes, Ints, Ints, Ints]:
    """Of identifiers that changed hands: node, person, since and until, in order."""
    node = weak[moved]
    owner = person[np.where(weak[moved] == edges.left[moved], edges.right[moved], edges.left[moved])]
    order = np.lexsort((owner, edges.first_at[moved], node))
    node, owner, first = node[order], owner[order], edges.first_at[moved][order]
    begins = np.concatenate([[True], (node[1:] != node[:-1]) | (owner[1:] != owner[:-1])]) if node.size else np.empty(0, np.bool_)
    node, owner, first = node[begins], owner[begins], first[begins].copy()
    opens = np.concatenate([[True], node[1:] != node[:-1]]) if node.size else np.empty(0, np.bool_)
    first[opens] = micros(ORIGIN)
    until = np.full(node.size, np.iinfo(np.int64).max)
    until[:-1] = np.where(opens[1:], until[:-1], first[1:])
    held = until > first  # of several who took it over at one moment, the last one holds it
    return node[held], owner[held], first[held], until[held]


def _with_unknown(nodes: Nodes, keys: Ints, first_at: Ints) -> Nodes:
    found, back = np.unique(keys, return_inverse=True)
    first = np.full(found.size, np.iinfo(np.int64).max)
    np.minimum.at(first, back, first_at)
    names = (*nodes.names, "")
    ordered = sorted(range(len(names)), key=lambda i: nodes.identity.strength(names[i]))
    level = np.empty(len(names), np.int32)
    level[ordered] = np.arange(len(names), dtype=np.int32)
    every = np.concatenate([nodes.keys, found])
    order = np.argsort(every, kind="stable")
    namespace = np.concatenate([level[nodes.namespace], np.full(found.size, level[-1], np.int32)])
    return Nodes(
        keys=every[order], namespace=namespace[order], first_at=np.concatenate([nodes.first_at, first])[order],
        blocked=np.concatenate([nodes.blocked, np.zeros(found.size, np.bool_)])[order], names=tuple(names[i] for i in ordered), identity=nodes.identity,
    )  # fmt: skip


@compiled
def _earliest(label: Any, first_at: Any, level: Any) -> Any:
    best = np.full(label.size, -1, np.int32)
    for i in range(label.size):
        j = best[label[i]]
        if j < 0 or first_at[i] < first_at[j] or (first_at[i] == first_at[j] and level[i] < level[j]):
            best[label[i]] = i  # nodes are sorted by key: among equals the first one stays
    for i in range(label.size):
        if best[i] >= 0 and label[i] == i:
            continue
        best[i] = best[label[i]]
    return best


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int8]:
    words = column.combine_chunks().dictionary_encode() if column.length() else pa.array([], pa.string()).dictionary_encode()
    by_word = np.array([STATUSES.index(word) if word in STATUSES else BLOCKED for word in words.dictionary.to_pylist()] or [0], np.int8)
    return np.asarray(by_word[words.indices.to_numpy()])


def _micros(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.cast(_TIME).cast(pa.int64()).to_numpy())


__all__ = ["ORIGIN", "edges_of", "identities", "nodes_of", "person_keys", "resolve"]
