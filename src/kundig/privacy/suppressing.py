"""Suppressing: digests of a person's identifiers, under which nothing of them is sent, forwarded or taken in any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kundig import audit
from kundig.clock import now
from kundig.collect.identifiers import Rules, normalise
from kundig.consent import suppression
from kundig.errors import IdentityError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from kundig.privacy.subjects import Subject
    from kundig.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Named:
    """An identifier as it is compared: normalised."""

    namespace: str
    value: str


def named(workspace: Workspace, identifier: str) -> tuple[Named, ...]:
    """Every identifier of the person that one belongs to, sorted; the given one alone where nobody is known by it.

    Args:
        workspace: The workspace.
        identifier: A person id, an e-mail address, a number; of somebody unknown also `namespace:value`.

    Raises:
        IdentityError: Nobody is known by it, and it does not say of what kind it is.
    """
    from kundig.answers.who import resolve
    from kundig.errors import KundigError

    given = identifier.strip()
    try:
        if workspace.lake.release() is None:
            raise KundigError("there is no release yet")
        person, _ = resolve(workspace, given)
    except KundigError:
        return (_spelt(workspace, given),)
    sql = f"SELECT DISTINCT i.namespace, i.value FROM identifiers i JOIN identities d USING (identifier_key) WHERE d.person_key = {person} AND d.valid_until IS NULL ORDER BY 1, 2"
    return tuple(Named(namespace=namespace, value=value) for namespace, value in workspace.rows(sql)[1])


def _spelt(workspace: Workspace, given: str) -> Named:
    """The identifier that a text spells: an e-mail address, or 'namespace:value'."""
    namespace, colon, value = given.partition(":")
    if not colon:
        namespace, value = ("email", given) if "@" in given else ("", given)
    known = sorted({*workspace.config.identity.namespaces, *(one.segment.user_id for source in workspace.config.sources.values() for one in source.inputs if one.segment), "email", "phone"})
    if namespace not in known:
        raise IdentityError("nobody is known by this identifier, and it does not say of what kind it is", mend=f"write it as kind:value; known kinds: {', '.join(known)}")
    text = normalise(namespace, value, country=workspace.config.settings.workspace.country, rules=Rules(identity=workspace.config.identity))
    if text is None:
        raise IdentityError(f"this is no identifier of the kind '{namespace}', or one that names nobody", mend="compare it with the rules of identity.yaml")
    return Named(namespace=namespace, value=text)


def suppress(workspace: Workspace, identifiers: Iterable[Named], *, reason: str = "suppressed", actor: str = "cli", connection: sa.Connection | None = None) -> int:
    """Put identifiers on the list; gives how many are new on it, or stand there for a stronger reason than before.

    The secret key is made before the first row is written. `erased` stands above `suppressed`, and is never weakened.

    Raises:
        ConfigError: The list is in use, and its key is not set.
    """
    state = workspace.state
    secret = suppression.key(workspace.config, in_use=bool(state.select("suppressions")))
    marked = {one: suppression.digests(one.namespace, one.value, secret=secret) for one in identifiers}
    digests = sorted({digest for every in marked.values() for digest in every})
    if connection is not None:
        stronger = _put(workspace, connection, digests, reason, actor)
    else:
        with state.transaction() as own:
            stronger = _put(workspace, own, digests, reason, actor)
    return sum(not stronger.isdisjoint(every) for every in marked.values())


def _put(workspace: Workspace, connection: sa.Connection, digests: list[str], reason: str, actor: str) -> frozenset[str]:
    state = workspace.state
    table = state.sql("suppressions")
    order = suppression.ORDER
    before = {row["digest"]: row["reason"] for row in state.select("suppressions", table.c.digest.in_(digests), connection=connection)}
    stronger = [digest for digest in digests if digest not in before or order.index(reason) < order.index(before[digest])]
    connection.execute(table.delete().where(table.c.digest.in_(stronger)))
    state.insert("suppressions", [{"digest": digest, "reason": reason, "at": now()} for digest in stronger], connection=connection)
    if stronger and actor:
        audit.append(state, actor=actor, role="owner", action="suppress", object_kind="suppressions", details={"reason": reason, "identifiers": len(stronger)}, connection=connection)
    return frozenset(stronger)


def remember(workspace: Workspace, of: Subject, *, connection: sa.Connection) -> None:
    """Keep digests of an erased person's ids, so that an old id answers `erased` and leads to nobody."""
    secret = suppression.key(workspace.config, in_use=True)
    _put(workspace, connection, [suppression.digest(suppression.PERSON, f"p{person:015x}", secret=secret) for person in of.persons], "erased", "")


def restrict(workspace: Workspace, identifiers: Iterable[Named], *, lift: bool = False) -> int:
    """Put a person's identifiers on the list as restricted, or with `lift` take them off; gives how many changed.

    A restriction stands under digests of its own: suppressions and objections of the same identifiers stay as they are.
    """
    state = workspace.state
    table = state.sql("suppressions")
    secret = suppression.key(workspace.config, in_use=bool(state.select("suppressions")))
    digests = sorted({suppression.restricted_digest(*form, secret=secret) for one in identifiers for form in suppression.forms(one.namespace, one.value)})
    with state.transaction() as connection:
        if lift:
            return int(connection.execute(table.delete().where(table.c.digest.in_(digests), table.c.reason == "restricted")).rowcount)
        return state.insert("suppressions", [{"digest": digest, "reason": "restricted", "at": now()} for digest in digests], connection=connection, ignore_known=True)


def unsuppress(workspace: Workspace, identifiers: Iterable[Named], *, actor: str = "cli") -> int:
    """Take suppressed identifiers off the list; gives how many were on it. Who was erased or objected stays."""
    state = workspace.state
    table = state.sql("suppressions")
    if not state.select("suppressions"):
        return 0
    secret = suppression.key(workspace.config, in_use=True)
    marked = {one: suppression.digests(one.namespace, one.value, secret=secret) for one in identifiers}
    chosen = (table.c.digest.in_(sorted({digest for every in marked.values() for digest in every})), table.c.reason == "suppressed")
    with state.transaction() as connection:
        there = {row["digest"] for row in state.select("suppressions", *chosen, connection=connection)}
        connection.execute(table.delete().where(*chosen))
        gone = sum(not there.isdisjoint(every) for every in marked.values())
        if gone:
            audit.append(state, actor=actor, role="owner", action="unsuppress", object_kind="suppressions", details={"identifiers": gone}, connection=connection)
    return gone
