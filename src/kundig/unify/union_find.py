"""Loops over integer graphs, compiled: look-up of keys, connected components, and components that keep within limits."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Nodes = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Given = ParamSpec("Given")
Made = TypeVar("Made")


class Loop(Generic[Given, Made]):
    """A function that becomes machine code when it is first called, with all compiled functions it calls: a run without work for it never loads the compiler."""

    def __init__(self, function: Callable[Given, Made]) -> None:
        self.function, self._machine = function, None
        update_wrapper(self, function)

    def __call__(self, *given: Given.args, **named: Given.kwargs) -> Made:
        return self.machine(*given, **named)  # type: ignore[no-any-return]  # numba is untyped

    @property
    def machine(self) -> Any:
        """The function as machine code, kept on disk, free of the interpreter's lock."""
        if self._machine is None:
            import numba as nb

            names = self.function.__globals__
            for name in self.function.__code__.co_names:
                if isinstance(names.get(name), Loop):
                    names[name] = names[name].machine
            self._machine = nb.njit(cache=True, nogil=True)(self.function)
        return self._machine


def compiled(function: Callable[Given, Made]) -> Loop[Given, Made]:
    """The function as machine code, from its first call on."""
    return Loop(function)


@compiled
def _find(parent: Any, node: Any) -> Any:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@compiled
def _components(left: Any, right: Any, chosen: Any, count: Any) -> Any:
    parent = np.arange(count).astype(np.int32)
    for i in range(left.size):
        if chosen.size and not chosen[i]:
            continue
        x, y = _find(parent, left[i]), _find(parent, right[i])
        if x < y:
            parent[y] = x
        elif y < x:
            parent[x] = y
    for i in range(count):  # a parent has a smaller number, so one pass in order is enough
        parent[i] = parent[parent[i]]
    return parent


_ALL = np.empty(0, np.bool_)


def components(left: Nodes, right: Nodes, count: int, chosen: Flags = _ALL) -> Nodes:
    """The component of each of `count` nodes, named by its smallest node; with `chosen`, by these links alone.

    Examples:
        >>> components(np.array([0, 3], np.int32), np.array([1, 1], np.int32), 5).tolist()
        [0, 0, 2, 0, 4]
    """
    return np.asarray(_components(left.astype(np.int32, copy=False), right.astype(np.int32, copy=False), chosen, count))


@compiled
def _within_limits(left: Any, right: Any, held: Any, most: Any) -> Any:
    count, kinds = held.shape
    parent = np.arange(count).astype(np.int32)
    for i in range(left.size):
        x, y = _find(parent, left[i]), _find(parent, right[i])
        if x == y:
            continue
        fits = True
        for k in range(kinds):
            if held[x, k] + held[y, k] > most[k]:
                fits = False
                break
        if not fits:
            continue
        if y < x:
            x, y = y, x
        parent[y] = x
        for k in range(kinds):
            held[x, k] += held[y, k]
    for i in range(count):
        parent[i] = parent[parent[i]]
    return parent


def within_limits(left: Nodes, right: Nodes, held: npt.NDArray[np.int32], most: npt.NDArray[np.int32]) -> Nodes:
    """Components grown link by link in the order given, leaving out each link that would exceed a limit.

    With the strongest links first, what is left out is the weakest evidence between two that cannot be one.

    Args:
        left: One end of each link, strongest link first.
        right: The other end.
        held: (nodes × kinds) how many values of each limited kind a node stands for.
        most: Per kind, how many a component may hold.
    """
    return np.asarray(_within_limits(left.astype(np.int32, copy=False), right.astype(np.int32, copy=False), held.astype(np.int32), most.astype(np.int32)))


@compiled
def _one_owner(left: Any, right: Any, owner: Any) -> Any:
    parent = np.arange(owner.size).astype(np.int32)
    for i in range(left.size):
        x, y = _find(parent, left[i]), _find(parent, right[i])
        if x == y or (owner[x] >= 0 and owner[y] >= 0 and owner[x] != owner[y]):
            continue
        if y < x:
            x, y = y, x
        parent[y] = x
        owner[x] = max(owner[x], owner[y])
    for i in range(owner.size):
        parent[i] = parent[parent[i]]
    return parent


def one_owner(left: Nodes, right: Nodes, owner: npt.NDArray[np.int32]) -> Nodes:
    """Components grown link by link in the order given, never joining nodes of two owners (-1: owned by nobody)."""
    return np.asarray(_one_owner(left.astype(np.int32, copy=False), right.astype(np.int32, copy=False), owner.astype(np.int32)))


@compiled
def _spread(node: Any, partner: Any, chosen: Any, count: Any) -> Any:
    first = np.full(count, -1, np.int32)
    several = np.zeros(count, np.bool_)
    for i in range(node.size):
        if chosen.size and not chosen[i]:
            continue
        n = node[i]
        if first[n] < 0:
            first[n] = partner[i]
        elif first[n] != partner[i]:
            several[n] = True
    return several, first


def spread(node: Nodes, partner: Nodes, count: int, chosen: Flags = _ALL) -> tuple[Flags, Nodes]:
    """Per node: whether it has two different partners or more, and its first one (-1: none); with `chosen`, by these links alone."""
    several, first = _spread(node.astype(np.int32, copy=False), partner.astype(np.int32, copy=False), chosen, count)
    return np.asarray(several), np.asarray(first)


@compiled
def _crowded(label: Any, kind: Any, most: Any, count: Any) -> Any:
    crowded = np.zeros(count, np.bool_)
    for k in range(most.size):
        if most[k] > 0:
            held = np.zeros(count, np.int32)
            for i in range(label.size):
                if kind[i] == k:
                    held[label[i]] += 1
                    if held[label[i]] > most[k]:
                        crowded[label[i]] = True
    return crowded


def crowded(label: Nodes, kind: Nodes, most: npt.NDArray[np.int32]) -> Flags:
    """Per component (by its name): whether it holds more nodes of some kind than `most` allows (0: any number)."""
    return np.asarray(_crowded(label, kind, most, label.size))


@compiled
def _mix(key: Any) -> Any:
    h = np.uint64(key)
    h ^= h >> np.uint64(32)
    h *= np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(29))


@compiled
def _table(keys: Any, capacity: Any) -> Any:
    slots = np.full(capacity, -1, np.int32)
    mask = np.uint64(capacity - 1)
    for i in range(keys.size):
        j = _mix(keys[i]) & mask
        while slots[j] >= 0 and keys[slots[j]] != keys[i]:
            j = (j + np.uint64(1)) & mask
        if slots[j] < 0:
            slots[j] = i
    return slots


@compiled
def _positions(keys: Any, slots: Any, wanted: Any) -> Any:
    mask = np.uint64(slots.size - 1)
    found = np.empty(wanted.size, np.int32)
    for i in range(wanted.size):
        j = _mix(wanted[i]) & mask
        while slots[j] >= 0 and keys[slots[j]] != wanted[i]:
            j = (j + np.uint64(1)) & mask
        found[i] = slots[j]
    return found


def positions(keys: Ints, *wanted: Ints) -> tuple[Nodes, ...]:
    """Where each wanted key stands in `keys` (its first place), -1 where it does not.

    Examples:
        >>> positions(np.array([7, 5, 9]), np.array([9, 1, 7]))[0].tolist()
        [2, -1, 0]
    """
    keys = np.ascontiguousarray(keys, np.int64)
    capacity = 1 << max(4, int(np.ceil(np.log2(max(1, keys.size) * 1.6))))
    slots = _table(keys, capacity)
    return tuple(np.asarray(_positions(keys, slots, np.ascontiguousarray(values, np.int64))) for values in wanted)


@compiled
def _intern(left: Any, right: Any, capacity: Any) -> Any:
    keys = np.empty(capacity, np.int64)
    slots = np.full(capacity, -1, np.int32)
    mask = np.uint64(capacity - 1)
    codes = np.empty((2, left.size), np.int32)
    count = 0
    for i in range(left.size):
        for side in range(2):
            key = left[i] if side == 0 else right[i]
            j = _mix(key) & mask
            while slots[j] >= 0 and keys[slots[j]] != key:
                j = (j + np.uint64(1)) & mask
            if slots[j] < 0:
                slots[j] = count
                keys[count] = key
                count += 1
            codes[side, i] = slots[j]
    return keys[:count].copy(), codes


def intern(left: Ints, right: Ints) -> tuple[Ints, Nodes, Nodes]:
    """The distinct keys of both columns in order of first sight, and each column as numbers of them."""
    capacity = 1 << max(4, int(np.ceil(np.log2(max(1, left.size) * 2 * 1.3))))
    keys, codes = _intern(np.ascontiguousarray(left, np.int64), np.ascontiguousarray(right, np.int64), capacity)
    return np.asarray(keys), np.asarray(codes[0]), np.asarray(codes[1])
