"""Whose data a request is about: every identifier and person key that belongs to somebody, those merged into them among them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kundig.collect.identifiers import identifier_key
from kundig.consent.suppression import forms
from kundig.errors import IdentityError, KundigError
from kundig.privacy.suppressing import Named, named

if TYPE_CHECKING:
    from kundig.workspace import Workspace

LEAST = 6
"""Letters of a value from which on it is looked for in texts: shorter ones stand in texts of everybody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A person by all that names them; nobody is known by the identifiers where `persons` is empty."""

    identifiers: tuple[Named, ...]
    persons: tuple[int, ...] = ()

    @property
    def keys(self) -> tuple[int, ...]:
        """Keys of the identifiers, and of the hash that an e-mail address may come as."""
        return tuple(sorted({identifier_key(*form) for one in self.identifiers for form in forms(one.namespace, one.value)}))

    @property
    def values(self) -> tuple[str, ...]:
        """Values that are looked for in texts: the identifiers, and e-mail addresses as SHA-256, SHA-1 and MD5 too."""
        hashed = {hashlib.new(kind, one.value.encode(), usedforsecurity=False).hexdigest() for one in self.identifiers if one.namespace == "email" for kind in ("sha256", "sha1", "md5")}
        return tuple(sorted({one.value for one in self.identifiers if len(one.value) >= LEAST} | hashed))


def subject(workspace: Workspace, identifier: str) -> Subject:
    """Whom an identifier belongs to; of somebody no release knows, the identifier alone.

    Raises:
        IdentityError: Nobody is known by it, and it does not say of what kind it is.
    """
    from kundig.answers.who import resolve

    found = named(workspace, identifier)
    try:
        person, _ = resolve(workspace, identifier)
    except KundigError:
        return Subject(identifiers=found)
    return Subject(identifiers=found, persons=_merged(workspace, person))


def subject_of_key(workspace: Workspace, key: int) -> Subject:
    """Whom an identifier's key belongs to now.

    Raises:
        IdentityError: Nothing is known under the key, by now.
    """
    held = [] if workspace.lake.release() is None else workspace.rows(f"SELECT person_key FROM identities WHERE identifier_key = {int(key)} AND valid_until IS NULL ORDER BY valid_from DESC LIMIT 1")[1]
    if held:
        person = int(held[0][0])
        sql = f"SELECT DISTINCT i.namespace, i.value FROM identifiers i JOIN identities d USING (identifier_key) WHERE d.person_key = {person} AND d.valid_until IS NULL ORDER BY 1, 2"
        return Subject(identifiers=tuple(Named(namespace=namespace, value=value) for namespace, value in workspace.rows(sql)[1]), persons=_merged(workspace, person))
    sql = f"SELECT namespace, value FROM identifiers WHERE identifier_key = {int(key)}"
    found = workspace.rows_now(sql)[1]
    if not found:
        raise IdentityError("nothing is known of the person whom the request is about", mend="kundig privacy cancel closes the request")
    return Subject(identifiers=tuple(Named(namespace=namespace, value=value) for namespace, value in found))


def joined(parts: Sequence[Subject]) -> Subject:
    """Several that are one person."""
    return Subject(identifiers=tuple(sorted({one for part in parts for one in part.identifiers})), persons=tuple(sorted({person for part in parts for person in part.persons})))


def strongest(workspace: Workspace, of: Subject) -> int:
    """Key of the strongest identifier, by the priorities of identity.yaml."""
    one = min(of.identifiers, key=lambda one: (workspace.config.identity.strength(one.namespace), one.value))
    return identifier_key(one.namespace, one.value)


def _merged(workspace: Workspace, person: int) -> tuple[int, ...]:
    merged = workspace.rows(f"SELECT DISTINCT other_key FROM merges WHERE person_key = {person} AND kind = 'merge'")[1]
    return tuple(sorted({person, *(int(row[0]) for row in merged if row[0] is not None)}))
