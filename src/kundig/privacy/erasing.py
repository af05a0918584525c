"""Erasing: a person out of every store, one after the other; a request that was cut off is finished by the same call, with the same one-off key."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kundig import audit
from kundig.clock import now
from kundig.collect.identifiers import identifier_key
from kundig.errors import IdentityError
from kundig.govern.privacy import lake_erasures, state_subjects, without
from kundig.privacy.searching import search
from kundig.privacy.suppressing import Named, named, suppress

if TYPE_CHECKING:
    from kundig.workspace import Workspace

LEAST = 6
"""Letters of a value from which on it is looked for in texts: shorter ones stand in texts of everybody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Whom a request is about, as long as it is not finished; this is kept with the request and goes at its end."""

    identifiers: tuple[Named, ...]
    persons: tuple[int, ...]
    one_off: int
    """Random key that the person's orders and consents stand under afterwards."""

    @property
    def keys(self) -> tuple[int, ...]:
        """Keys of the identifiers."""
        return tuple(sorted({identifier_key(one.namespace, one.value) for one in self.identifiers}))

    @property
    def values(self) -> tuple[str, ...]:
        """Values that are looked for in texts."""
        return tuple(sorted({one.value for one in self.identifiers if len(one.value) >= LEAST}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """One line of the certificate: what became of a store."""

    store: str
    how: str
    found_before: int
    found_after: int
    changed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What an erasure did and what the search found in each store before and after; `complete` where it found nothing any more."""

    request_id: str
    stores: tuple[Store, ...] = ()
    places: tuple[str, ...] = ()
    """Files in which the person is still found."""

    @property
    def complete(self) -> bool:
        """Whether nothing was found afterwards."""
        return not any(store.found_after for store in self.stores)


def erase(workspace: Workspace, identifier: str, *, actor: str = "cli", told: Callable[[str], None] = lambda step: None) -> Certificate:
    """Erase a person: suppression and request first, then store by store, then the search once more.

    Orders and their lines keep day, amounts, product and channel under a one-off key; consents keep moment, kind and the hash of the wording.

    Args:
        workspace: The workspace.
        identifier: Any identifier of the person.
        actor: Who asks, for the audit log.
        told: Hears the name of each step that has been done.

    Raises:
        IdentityError: Nobody is known by the identifier.
        Busy: Another process is writing.
    """
    with workspace.writing("erase"):
        subject = _subject(workspace, identifier)
        request = uuid.uuid4().hex
        suppress(workspace, subject.identifiers, reason="erased", actor=actor)
        plan = {"subject": asdict(subject), "before": search(workspace, subject.values).counts, "done": {}}
        row = {"request_id": request, "kind": "erasure", "identifier_key": None, "status": "in_progress", "requested_at": now(), "finished_at": None, "certificate": json.dumps(plan)}
        with workspace.state.transaction() as connection:
            workspace.state.insert("privacy_requests", [row], connection=connection)
            audit.append(workspace.state, actor=actor, role="owner", action="erase", object_kind="privacy_requests", object_id=request, connection=connection)
        told("requested")
        return _finish(workspace, request, plan, told)


def resume(workspace: Workspace, *, told: Callable[[str], None] = lambda step: None) -> tuple[Certificate, ...]:
    """Finish the erasures that were cut off."""
    table = workspace.state.sql("privacy_requests")
    with workspace.writing("erase"):
        found = workspace.state.select("privacy_requests", table.c.kind == "erasure", table.c.status == "in_progress")
        return tuple(_finish(workspace, row["request_id"], _loaded(row["certificate"]), told) for row in found)


def _loaded(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(value) if isinstance(value, str) else dict(value)
    return found


def _subject(workspace: Workspace, identifier: str) -> Subject:
    from kundig.answers.who import resolve

    person, _ = resolve(workspace, identifier)
    found = named(workspace, identifier)
    if not found:
        raise IdentityError("the person has no identifier", mend="kundig person shows what is known")
    merged = workspace.rows(f"SELECT DISTINCT other_key FROM merges WHERE person_key = {person}")[1]
    return Subject(identifiers=found, persons=tuple(sorted({person, *(int(row[0]) for row in merged if row[0] is not None)})), one_off=secrets.randbits(59) | 1)


def _finish(workspace: Workspace, request: str, plan: dict[str, Any], told: Callable[[str], None]) -> Certificate:
    given = plan["subject"]
    subject = Subject(identifiers=tuple(Named(**one) for one in given["identifiers"]), persons=tuple(given["persons"]), one_off=given["one_off"])
    table = workspace.state.sql("privacy_requests")
    for name, step in STEPS.items():
        if name in plan["done"]:
            continue
        plan["done"][name] = step(workspace, subject)
        with workspace.state.transaction() as connection:
            connection.execute(table.update().where(table.c.request_id == request).values(certificate=json.dumps(plan)))
        told(name)
    # the request itself names the person until here
    with workspace.state.transaction() as connection:
        connection.execute(table.update().where(table.c.request_id == request).values(certificate="{}"))
    workspace.state.scrub()
    after = search(workspace, subject.values)
    stores = [
        Store(store=name, how=how, found_before=plan["before"].get(name, 0), found_after=after.counts.get(name, 0), changed=plan["done"].get(name, 0))
        for name, how in after.how.items()
    ]
    certificate = Certificate(request_id=request, stores=tuple(stores), places=after.places)
    values = {"status": "finished" if certificate.complete else "partial", "finished_at": now(), "certificate": json.dumps({"stores": [asdict(store) for store in stores], "files": len(after.places)})}
    with workspace.state.transaction() as connection:
        connection.execute(table.update().where(table.c.request_id == request).values(**values))
    told("finished")
    return certificate


# the stores


def _lake(workspace: Workspace, subject: Subject) -> int:
    lake = workspace.lake
    wanted = lake_erasures(workspace.tables, keys=subject.keys, persons=subject.persons, one_off=subject.one_off)
    texts = " OR ".join(f"contains(lower(CAST(body AS VARCHAR) || coalesce(CAST(original AS VARCHAR), '')), lower('{value.replace(chr(39), chr(39) * 2)}'))" for value in subject.values)
    count = 0
    for one in wanted:
        count += sum(lake.erase(one).values())
    if texts:
        held = [row[0] for row in workspace.rows_now(f"SELECT record_id FROM quarantined_records WHERE {texts}")[1]]
        if held:
            count += sum(lake.erase({"quarantined_records": ("record_id", held)}).values())
    return count


def _state(workspace: Workspace, subject: Subject) -> int:
    state, count = workspace.state, 0
    with state.transaction() as connection:
        for name, column in state_subjects(workspace.tables).items():
            table = state.sql(name)
            keys = subject.persons if column == "person_key" else subject.keys
            count += int(connection.execute(table.delete().where(table.c[column].in_(keys))).rowcount)
            if "body" in table.c:
                key = list(table.primary_key.columns)
                for row in state.select(name, connection=connection):
                    if any(value.lower() in str(row["body"]).lower() for value in subject.values):
                        connection.execute(table.delete().where(*(one == row[one.name] for one in key)))
                        count += 1
        count += _consents(workspace, subject, connection)
    state.scrub()
    return count


def _consents(workspace: Workspace, subject: Subject, connection: Any) -> int:
    """Records of the log keep moment, kind and hash of the wording under the one-off key."""
    state = workspace.state
    log, named_in = state.sql("consent_log"), state.sql("consent_keys")
    numbers = sorted({row["seq"] for row in state.select("consent_keys", named_in.c.identifier_key.in_(subject.keys), connection=connection)})
    numbers = sorted({*numbers, *(row["seq"] for row in state.select("consent_log", log.c.identifier_key.in_(subject.keys), connection=connection))})
    for seq in numbers:
        values: Mapping[str, Any] = {"record_id": f"erased:{uuid.uuid4().hex}", "identifier_key": subject.one_off, "other_keys": [], "evidence": None}
        connection.execute(log.update().where(log.c.seq == seq).values(**values))
        connection.execute(named_in.delete().where(named_in.c.seq == seq))
        state.insert("consent_keys", [{"identifier_key": subject.one_off, "seq": seq}], connection=connection)
    return len(numbers)


def _inbox(workspace: Workspace, subject: Subject) -> int:
    values = [value.encode() for value in subject.values]
    inbox = workspace.inbox()
    try:
        return inbox.erase(lambda entry: without(entry.body, values))
    finally:
        inbox.close()


def _live(workspace: Workspace, subject: Subject) -> int:
    return workspace.heard.forget(subject.keys)


STEPS: dict[str, Callable[[Workspace, Subject], int]] = {"inbox": _inbox, "live": _live, "tables": _lake, "state": _state}
"""What empties each store, in order: what could come again from a store goes first."""
