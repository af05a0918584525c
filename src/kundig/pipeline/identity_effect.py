"""What a changed way of telling people apart would do: merges, splits, the people of most value among them, their sends and consents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from kundig.pipeline.workbench import Workbench

MOST = 10
"""How many people are named."""


@dataclass(frozen=True, kw_only=True)
class Affected:
    """A person that would be joined with others, or parted."""

    person_id: str
    becomes: tuple[str, ...]
    """Ids of the persons that its identifiers belong to afterwards."""
    beside: tuple[str, ...]
    """Persons of the last release that it would be one with."""
    value: float
    """Expected value before, in the workspace's currency."""


@dataclass(frozen=True, kw_only=True)
class IdentityEffect:
    """Persons before and after, and what follows for those that change."""

    persons_before: int
    persons_after: int
    merges: int
    """How many persons go into another one: of k that become one, k - 1."""
    splits: int
    """How many persons come out of another one: of one that becomes k, k - 1."""
    affected: int
    """Persons of the last release whose identifiers go elsewhere, or who get others'."""
    sends_before: int
    sends_after: int
    """Places on audiences of those persons."""
    narrowed: int
    """Consents that no longer hold: a person, a purpose and a channel each."""
    widened: int
    """Consents that hold where one part had none: after a split, the part that gave it has its own again."""
    most_valuable: tuple[Affected, ...]

    def lines(self) -> list[str]:
        """In words, for the command line."""
        if not self.affected:
            return [f"nobody is joined and nobody parted: {self.persons_before:,} persons as before"]
        found = [f"merges {self.merges:,}, splits {self.splits:,}: {self.persons_before:,} persons become {self.persons_after:,}; {self.affected:,} of them change"]
        found += [f"sends of these: {self.sends_before:,} → {self.sends_after:,}; consents that no longer hold {self.narrowed:,}, that hold again {self.widened:,}"]
        found += [f"  {one.person_id} (expected value {one.value:,.2f}) → {', '.join(one.becomes) or 'nobody'}{' together with ' + ', '.join(one.beside) if one.beside else ''}" for one in self.most_valuable]
        return found


def identity_effect(bench: Workbench) -> IdentityEffect:
    """Compare who is who in the last release with what the rehearsed run has made; nothing is written."""
    before, after = (_owners(bench, before=side) for side in (True, False))
    goes: dict[int, set[int]] = {}
    comes: dict[int, set[int]] = {}
    for key, person in before.items():
        there = after.get(key)
        if there is not None:
            goes.setdefault(person, set()).add(there)
            comes.setdefault(there, set()).add(person)
    joined = {there for there, parts in comes.items() if len(parts) > 1}
    parted = {person for person, parts in goes.items() if len(parts) > 1}
    old = parted | {person for there in joined for person in comes[there]}
    new = joined | {there for person in parted for there in goes[person]}
    narrowed, widened = _consents(bench, goes, old, new)
    return IdentityEffect(
        persons_before=len(set(before.values())), persons_after=len(set(after.values())), merges=sum(len(comes[there]) - 1 for there in joined), splits=sum(len(goes[person]) - 1 for person in parted),
        affected=len(old), sends_before=_sends(bench, old, before=True), sends_after=_sends(bench, new, before=False), narrowed=narrowed, widened=widened, most_valuable=_most(bench, goes, comes, old),
    )  # fmt: skip


def _owners(bench: Workbench, *, before: bool) -> dict[int, int]:
    """Identifier to person, as it stands at the end."""
    rows = bench.state_of("identities", before=before)
    found = bench.session.arrow(rows.filter(~rows.shared & rows.valid_until.isnull()).select("identifier_key", "person_key"))
    return dict(zip(found["identifier_key"].to_pylist(), found["person_key"].to_pylist(), strict=True))


def _of(bench: Workbench, table: str, columns: tuple[str, ...], people: set[int], *, before: bool) -> pa.Table:
    rows = bench.state_of(table, before=before)
    if len(people) <= 2_000:
        rows = rows.filter(rows.person_key.isin(sorted(people or {-1})))
    found = bench.session.arrow(rows.select("person_key", *columns))
    return found.filter(pc.is_in(found["person_key"], value_set=pa.array(sorted(people), pa.int64())))


def _sends(bench: Workbench, people: set[int], *, before: bool) -> int:
    return int(_of(bench, "audience_members", (), people, before=before).num_rows)


def _holding(bench: Workbench, people: set[int], *, before: bool) -> set[tuple[int, str, str]]:
    """Person, purpose and channel of every consent that stands as given."""
    found = _of(bench, "consents", ("purpose", "channel", "status", "occurred_at", "seq"), people, before=before).sort_by([("occurred_at", "ascending"), ("seq", "ascending")])
    last: dict[tuple[int, str, str], str] = {}
    for row in found.to_pylist():
        last[(row["person_key"], row["purpose"], row["channel"])] = row["status"]
    return {name for name, status in last.items() if status == "given"}


def _consents(bench: Workbench, goes: Mapping[int, set[int]], old: set[int], new: set[int]) -> tuple[int, int]:
    had, have = _holding(bench, old, before=True), _holding(bench, new, before=False)
    narrowed = sum((there, purpose, channel) not in have for person, purpose, channel in had for there in goes.get(person, ()))
    came = {(there, purpose, channel) for person, purpose, channel in had for there in goes.get(person, ())}
    return narrowed, len(have - came)


def _most(bench: Workbench, goes: Mapping[int, set[int]], comes: Mapping[int, set[int]], old: set[int]) -> tuple[Affected, ...]:
    values = {row["person_key"]: float(row["expected_value"] or 0) for row in _of(bench, "lifetime_values", ("expected_value",), old, before=True).to_pylist()}
    ranked = sorted(old, key=lambda person: (-values.get(person, 0.0), person))[:MOST]
    beside = {person: {other for there in goes[person] for other in comes[there]} - {person} for person in ranked}
    names: dict[int, str] = {}
    for side, keys in ((False, {there for person in ranked for there in goes[person]}), (True, {*ranked, *(other for others in beside.values() for other in others)})):
        names |= {row["person_key"]: row["person_id"] for row in _of(bench, "profiles", ("person_id",), keys, before=side).to_pylist()}

    def told(people: set[int]) -> tuple[str, ...]:
        return tuple(names.get(person, f"p{person:015x}") for person in sorted(people))

    return tuple(Affected(person_id=told({person})[0], becomes=told(goes[person]), beside=told(beside[person]), value=values.get(person, 0.0)) for person in ranked)


__all__ = ["Affected", "IdentityEffect", "identity_effect"]
