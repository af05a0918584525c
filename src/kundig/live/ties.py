"""Certain links, as calls come: who an identifier belongs to before the next run has judged all links together.

Two people the release knows are never joined here. A visitor, of whom nothing but devices is known, becomes the person who signs in on the
device; an identifier nobody knew goes to the person it came with; one that came with two people belongs to nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kundig.config.unify import Identity
from kundig.store.live import Owner


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the release says of an identifier: its person, whether it is shared, and whether that person is a visitor."""

    person_key: int
    shared: bool = False
    visitor: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """Kind and value of an identifier."""

    namespace: str
    value: str


class Ties:
    """Who owns which identifier: the release's word, and what calls have said since.

    Examples:
        >>> ties = Ties(Identity(), {7: Known(person_key=7, visitor=True)}, {7: Name(namespace="anonymous_id", value="a"), 1: Name(namespace="customer_id", value="c")})
        >>> ties.hear([1, 7])
        >>> ties.owner(1), ties.owner(7)
        (7, 7)
    """

    def __init__(
        self, identity: Identity, released: Mapping[int, Known], names: Mapping[int, Name], *, owners: Mapping[int, Owner] | None = None, aliases: Mapping[int, int] | None = None
    ) -> None:
        self.identity = identity
        self.released = dict(released)
        self.names = dict(names)
        self.owners: dict[int, Owner] = dict(owners or {})
        self.aliases: dict[int, int] = dict(aliases or {})
        self.changed: set[int] = set()
        """Identifiers whose owner these calls changed."""
        self._visitors = {known.person_key for known in self.released.values() if known.visitor}
        self._residents = {known.person_key for known in self.released.values() if not known.shared}
        self._held: dict[int, Counter[str]] = {}
        for owner in self.owners.values():
            if owner.person_key is not None:
                self._held.setdefault(self._root(owner.person_key), Counter())[owner.namespace] += 1

    def owner(self, key: int) -> int | None:
        """The person an identifier belongs to now; None for nobody."""
        heard = self.owners.get(key)
        if heard is not None:
            return None if heard.person_key is None else self._root(heard.person_key)
        known = self.released.get(key)
        return None if known is None or known.shared else self._root(known.person_key)

    def hear(self, keys: Sequence[int], *, source: str = "") -> None:
        """Take in a call that carries these identifiers, the strongest first."""
        sure = [key for key in dict.fromkeys(keys) if not self._nobodys(key)]
        if not sure:
            return
        first, others = sure[0], sure[1:]
        person = self.owner(first)
        if person is None:
            person = self._open(first, others)
            self._give(first, person, source)
        for key in others:
            other = self.owner(key)
            if other is None:
                if self._may_hold(person, key):
                    self._give(key, person, source)
            elif other != person:
                self._meet(key, other, person, source)

    def _open(self, first: int, others: Iterable[int]) -> int:
        """Whom an identifier nobody knows belongs to: the one person it came with, if that is sure; else a new one."""
        there = {owner for key in others if (owner := self.owner(key)) is not None}
        if self._kind(first) != "device":
            there = {person for person in there if self._only_devices(person) or (person not in self._residents and self._may_hold(person, first))}
        return there.pop() if len(there) == 1 else first

    def _meet(self, key: int, other: int, person: int, source: str) -> None:
        """An identifier of one person came with another person."""
        if self._kind(key) == "device" and self._only_devices(other):
            self._become(other, person)
        elif self._kind(key) != "person" and (key in self.owners or self._was(key) in self.aliases):
            name = self.names[key]
            self.owners[key] = Owner(identifier_key=key, person_key=None, namespace=name.namespace, value=name.value, source=source)
            self.changed.add(key)

    def _become(self, visitor: int, person: int) -> None:
        self.aliases[visitor] = person
        held = self._held.pop(visitor, Counter())
        self._held.setdefault(person, Counter()).update(held)
        for known, owner in list(self.owners.items()):
            if owner.person_key == visitor:
                self.owners[known] = Owner(identifier_key=known, person_key=person, namespace=owner.namespace, value=owner.value, source=owner.source)
                self.changed.add(known)
        self.changed |= {known for known, told in self.released.items() if told.person_key == visitor}

    def _give(self, key: int, person: int, source: str) -> None:
        name = self.names[key]
        self.owners[key] = Owner(identifier_key=key, person_key=person, namespace=name.namespace, value=name.value, source=source)
        self._held.setdefault(person, Counter())[name.namespace] += 1
        self.changed.add(key)

    def _may_hold(self, person: int, key: int) -> bool:
        """Whether a person may hold one more identifier of that kind."""
        name = self.names.get(key)
        if name is None:
            return False
        rule = self.identity.namespace(name.namespace)
        if rule.kind == "person" and person in self._residents and not self._only_devices(person):
            return False  # what else of that kind the release's person holds is for the run to weigh
        return not rule.most or self._held.get(person, Counter())[name.namespace] < rule.most

    def _only_devices(self, person: int) -> bool:
        resident = person in self._residents
        devices = all(self.identity.namespace(namespace).kind == "device" for namespace, number in self._held.get(person, Counter()).items() if number)
        return devices and (not resident or person in self._visitors)

    def _nobodys(self, key: int) -> bool:
        heard, known = self.owners.get(key), self.released.get(key)
        return (heard is not None and heard.person_key is None) or (heard is None and known is not None and known.shared) or (heard is None and known is None and key not in self.names)

    def _kind(self, key: int) -> str:
        name = self.names.get(key)
        return "person" if name is None else self.identity.namespace(name.namespace).kind

    def _was(self, key: int) -> int | None:
        known = self.released.get(key)
        return None if known is None else known.person_key

    def _root(self, person: int) -> int:
        while person in self.aliases:
            person = self.aliases[person]
        return person
