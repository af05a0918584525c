"""Why two identifiers are one person, or are not: the links between them, and what refused the others."""

from __future__ import annotations

import datetime as dt
import heapq
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig.answers.asking import numbers, one, rows, text
from kundig.answers.who import keys_of, resolve
from kundig.errors import IdentityError

if TYPE_CHECKING:
    from kundig.workspace import Workspace

JOINING = ("used", "handover")
"""What a link's status says when it joins."""

MEANING: Mapping[str, str] = {
    "used": "joins", "handover": "holds in its time only: the weaker end changed hands", "blocked": "refused: an end is a value that names nobody", "hub_limit": "refused: the weaker end serves more people than its kind may",
    "overlap": "refused: the device is used by several people at the same time", "shared": "refused: an end is shared, so it proves nothing", "unique_conflict": "refused: it would join two values of which a person has one",
    "contradicted": "refused: names or birth dates say two people", "decided": "refused: people said these are two", "ask": "a question for people: kundig identity review", "household": "two people of one household",
}  # fmt: skip
"""Each status in words."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """An identifier as people read it."""

    identifier_key: int
    namespace: str
    value: str

    def __str__(self) -> str:
        return f"{self.namespace} {self.value}" if self.namespace else f"identifier {self.identifier_key:x}"


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A link between two identifiers, or two records found alike, with what it rests on."""

    left: Named
    right: Named
    status: str
    evidence: str
    """Table and source of the records that carry both; what is alike; or who decided."""
    probability: float
    records: int
    first_at: dt.datetime | None
    last_at: dt.datetime | None

    def line(self) -> str:
        """In words, for the command line."""
        when = "" if self.first_at is None else f" since {self.first_at:%Y-%m-%d}"
        sure = "" if self.probability >= 1 else f", {self.probability:.1%} sure"
        return f"{self.left} — {self.right}: {self.evidence}, {self.records:,} {'record' if self.records == 1 else 'records'}{when}{sure}; {MEANING.get(self.status, self.status)}"


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What lies between two identifiers, or two persons."""

    left: Named
    right: Named
    left_person: str
    right_person: str
    together: bool
    """Whether they are one person's."""
    path: tuple[Edge, ...]
    """The shortest way of links that join, the surest first among equals; empty where there is none."""
    beside: tuple[Edge, ...]
    """Links and likenesses between the two persons that do not join them."""

    def lines(self) -> list[str]:
        """In words, for the command line."""
        if self.together:
            head = f"{self.left} and {self.right} are one person, {self.left_person}"
            return [head, *(f"  {number}. {edge.line()}" for number, edge in enumerate(self.path, start=1))]
        head = f"{self.left} ({self.left_person or 'nobody'}) and {self.right} ({self.right_person or 'nobody'}) are two"
        return [head, *(f"  {edge.line()}" for edge in self.beside)] if self.beside else [head, "  no record, likeness or answer connects them"]


def explain(workspace: Workspace, left: str, right: str) -> Explained:
    """The evidence between two identifiers or persons, as of the newest release.

    Args:
        workspace: A workspace with a release.
        left: Any identifier, or a person id; a person stands for all of its identifiers.
        right: The other.

    Raises:
        IdentityError: Nobody is known by one of them.
    """
    one_end, other_end = _behind(workspace, left), _behind(workspace, right)
    together = one_end.person_key is not None and one_end.person_key == other_end.person_key
    if together:
        edges = _way(_links(workspace, _keys_of_person(workspace, one_end.person_key), joining=True), set(one_end.keys), set(other_end.keys))
    else:
        sides = [_keys_of_person(workspace, end.person_key) | ({end.keys[0]} if not end.whole else set()) for end in (one_end, other_end)]
        edges = _between(workspace, *sides)
    found = tuple(_told(workspace, edges))
    return Explained(
        left=one_end.named, right=other_end.named, left_person=_public(workspace, one_end.person_key), right_person=_public(workspace, other_end.person_key), together=together,
        path=found if together else (), beside=() if together else found,
    )  # fmt: skip


def graph(workspace: Workspace, person_key: int) -> tuple[tuple[Named, ...], tuple[Edge, ...]]:
    """The identifiers of a person, and every link between them or from them to what was refused."""
    mine = _keys_of_person(workspace, person_key)
    edges = _links(workspace, mine, joining=False)
    names = names_of(workspace, mine | {key for edge in edges for key in (edge["left_key"], edge["right_key"])})
    return tuple(names[key] for key in sorted(names)), tuple(_told(workspace, edges))


def keys_behind(workspace: Workspace, given: str) -> tuple[int, ...]:
    """The keys of an identifier as it is known; of a person id those of the person, the strongest that it has now first.

    Raises:
        IdentityError: Nobody is known by it.
    """
    return _behind(workspace, given).keys


def whose(workspace: Workspace, given: str) -> tuple[int, tuple[int, ...]]:
    """The person behind an identifier or a person id, and every identifier that is or was the person's.

    Raises:
        IdentityError: Nobody is known by it, or it is shared and nobody's.
    """
    found = _behind(workspace, given)
    if found.person_key is None:
        raise IdentityError(f"{found.named} is shared, and nobody's", mend=f"kundig identity explain {given} with one of those who use it")
    return found.person_key, tuple(sorted(_keys_of_person(workspace, found.person_key)))


@dataclass(frozen=True, kw_only=True)
class _End:
    """What was meant: an identifier, or a whole person."""

    keys: tuple[int, ...]
    person_key: int | None
    whole: bool
    named: Named


def _behind(workspace: Workspace, given: str) -> _End:
    asked = given.replace("\0", "").strip()
    found = [] if re.fullmatch(r"p[0-9a-f]{15}", asked) else _known_as(workspace, asked)
    if found:
        keys = tuple(row["identifier_key"] for row in found)
        return _End(keys=keys, person_key=_owner(workspace, keys), whole=False, named=names_of(workspace, keys[:1])[keys[0]])
    key, public = resolve(workspace, asked)
    strength = workspace.config.identity.strength
    held = rows(workspace, f"SELECT d.identifier_key, i.namespace, d.valid_until IS NULL AS now FROM identities d JOIN identifiers i USING (identifier_key) WHERE d.person_key = {key} AND NOT d.shared")
    ranked = sorted(held, key=lambda row: (not row["now"], strength(row["namespace"]), row["identifier_key"]))
    keys = tuple(dict.fromkeys(int(row["identifier_key"]) for row in ranked)) or (key,)
    return _End(keys=keys, person_key=key, whole=True, named=Named(identifier_key=key, namespace="person", value=public))


def _known_as(workspace: Workspace, asked: str) -> list[dict[str, Any]]:
    """The identifiers that a value may mean, the strongest first; `namespace:value` means one."""
    prefix, _, rest = asked.partition(":")
    keys = [*keys_of(workspace, asked), *(keys_of(workspace, rest) if rest else [])]
    found = rows(workspace, f"SELECT identifier_key, namespace FROM identifiers WHERE identifier_key IN ({numbers(keys)})")
    if not found:
        forms = sorted({asked, asked.lower(), rest} - {""})
        found = rows(workspace, f"SELECT identifier_key, namespace FROM identifiers WHERE value IN ({', '.join(map(text, forms))})")
    meant = [row for row in found if row["namespace"] == prefix] if rest else []
    return sorted(meant or found, key=lambda row: (workspace.config.identity.strength(row["namespace"]), row["identifier_key"]))[:1]


def _owner(workspace: Workspace, keys: Iterable[int]) -> int | None:
    found = one(workspace, f"SELECT person_key FROM identities WHERE identifier_key IN ({numbers(keys)}) AND NOT shared ORDER BY valid_until IS NULL DESC, valid_from DESC, person_key LIMIT 1")
    return int(found["person_key"]) if found else None


def _public(workspace: Workspace, key: int | None) -> str:
    return "" if key is None else str(one(workspace, f"SELECT person_id FROM profiles WHERE person_key = {int(key)}").get("person_id") or f"p{key:015x}")


def _keys_of_person(workspace: Workspace, person_key: int | None) -> set[int]:
    if person_key is None:
        return set()
    return {int(row["identifier_key"]) for row in rows(workspace, f"SELECT identifier_key FROM identities WHERE person_key = {int(person_key)} AND NOT shared")}


def _links(workspace: Workspace, keys: set[int], *, joining: bool) -> list[dict[str, Any]]:
    """Links that touch these identifiers; those that join have both ends among them."""
    listed = numbers(keys)
    status = f"status IN ('{JOINING[0]}', '{JOINING[1]}') AND left_key IN ({listed}) AND right_key IN ({listed})" if joining else f"(left_key IN ({listed}) OR right_key IN ({listed}))"
    return rows(workspace, f"SELECT left_key, right_key, status, evidence, probability, records, first_at, last_at FROM links WHERE {status} ORDER BY left_key, right_key, evidence")


def _between(workspace: Workspace, left: set[int], right: set[int]) -> list[dict[str, Any]]:
    """What connects two sets of identifiers and does not join them: refused links, records that are alike."""
    one_side, other = numbers(left), numbers(right)
    across = f"((left_key IN ({one_side}) AND right_key IN ({other})) OR (left_key IN ({other}) AND right_key IN ({one_side})))"
    found = rows(workspace, f"SELECT left_key, right_key, status, evidence, probability, records, first_at, last_at FROM links WHERE {across} ORDER BY left_key, right_key, evidence")
    alike = f"SELECT left_key, right_key, verdict AS status, evidence, probability, 1 AS records, since AS first_at, since AS last_at FROM record_pairs WHERE verdict <> 'same' AND {across} ORDER BY left_key, right_key"
    through = _through(workspace, left, right)
    return [*found, *rows(workspace, alike), *through]


def _through(workspace: Workspace, left: set[int], right: set[int]) -> list[dict[str, Any]]:
    """Links of both sides to one shared or refused identifier, where the two have such a one in common."""
    listed = f"SELECT left_key, right_key, status, evidence, probability, records, first_at, last_at FROM links WHERE status NOT IN ('{JOINING[0]}', '{JOINING[1]}')"
    sides = [rows(workspace, f"{listed} AND (left_key IN ({numbers(keys)}) OR right_key IN ({numbers(keys)})) ORDER BY left_key, right_key, evidence") for keys in (left, right)]
    outside = [{key for row in side for key in (row["left_key"], row["right_key"])} - left - right for side in sides]
    common = outside[0] & outside[1]
    return [row for side in sides for row in side if {row["left_key"], row["right_key"]} & common]


def _way(edges: list[dict[str, Any]], starts: set[int], ends: set[int]) -> list[dict[str, Any]]:
    """The links of the shortest way from one of `starts` to one of `ends`, each in the way's direction; of ways of one length the surest, then the one with most records.

    Examples:
        >>> edge = lambda a, b, p=1.0: {"left_key": a, "right_key": b, "probability": p, "records": 1}
        >>> [(e["left_key"], e["right_key"]) for e in _way([edge(1, 2), edge(2, 3), edge(1, 3, 0.9)], {1}, {3})]
        [(1, 3)]
        >>> _way([edge(1, 2)], {1}, {3})
        []
    """
    beside: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    for edge in edges:
        beside.setdefault(edge["left_key"], []).append((edge["right_key"], edge))
        beside.setdefault(edge["right_key"], []).append((edge["left_key"], edge))
    if starts & ends:
        return []
    waiting = [(0, 0.0, -0, node) for node in sorted(starts)]
    cost: dict[int, tuple[int, float, int]] = dict.fromkeys(starts, (0, 0.0, 0))
    before: dict[int, tuple[int, dict[str, Any]]] = {}
    while waiting:
        steps, doubt, weight, node = heapq.heappop(waiting)
        if (steps, doubt, weight) > cost[node]:
            continue
        if node in ends:
            found: list[dict[str, Any]] = []
            while node in before:
                here, (node, edge) = node, before[node]
                found.append({**edge, "left_key": node, "right_key": here})
            return found[::-1]
        for there, edge in beside.get(node, ()):
            price = (steps + 1, doubt + 1 - float(edge["probability"]), weight - int(edge["records"]))
            if there not in cost or price < cost[there]:
                cost[there], before[there] = price, (node, edge)
                heapq.heappush(waiting, (*price, there))
    return []


def _told(workspace: Workspace, edges: list[dict[str, Any]]) -> list[Edge]:
    names = names_of(workspace, {key for edge in edges for key in (edge["left_key"], edge["right_key"])})
    alike = _likeness(workspace, edges)
    who = {row["decision_id"]: row for row in workspace.state.select("identity_decisions")} if any(str(edge["evidence"]).startswith("decision:") for edge in edges) else {}
    found = []
    for edge in edges:
        rests = str(edge["evidence"])
        if rests.startswith("matching:"):
            rests = f"records that are alike ({alike.get(rests.partition(':')[2], 'by the model')})"
        elif rests.startswith("decision:") and (row := who.get(rests.partition(":")[2])) is not None:
            rests = f"decided by {row['actor']}" + (f": {row['reason']}" if row["reason"] else "")
        found.append(
            Edge(left=names[edge["left_key"]], right=names[edge["right_key"]], status=edge["status"], evidence=rests, probability=float(edge["probability"]), records=int(edge["records"]), first_at=edge["first_at"], last_at=edge["last_at"])
        )  # fmt: skip
    return found


def _likeness(workspace: Workspace, edges: list[dict[str, Any]]) -> dict[str, str]:
    """What the model found alike, by the pair of records that a link names."""
    asked = [str(edge["evidence"]).partition(":")[2] for edge in edges if str(edge["evidence"]).startswith("matching:")]
    if not asked:
        return {}
    found = rows(workspace, f"SELECT left_id, right_id, evidence FROM record_pairs WHERE left_id || '~' || right_id IN ({', '.join(map(text, asked))})")
    return {f"{row['left_id']}~{row['right_id']}": row["evidence"] for row in found}


def names_of(workspace: Workspace, keys: Iterable[int]) -> dict[int, Named]:
    """Identifiers by key, as people read them."""
    wanted = set(keys)
    found = rows(workspace, f"SELECT identifier_key, namespace, value FROM identifiers WHERE identifier_key IN ({numbers(wanted)})")
    known = {int(row["identifier_key"]): Named(identifier_key=int(row["identifier_key"]), namespace=row["namespace"], value=row["value"]) for row in found}
    return {key: known.get(key, Named(identifier_key=key, namespace="", value="")) for key in wanted}


__all__ = ["JOINING", "MEANING", "Edge", "Explained", "Named", "explain", "graph", "keys_behind", "names_of", "whose"]
