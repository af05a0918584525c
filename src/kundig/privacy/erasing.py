"""Erasing: a person out of every store, one after the other; a request that was cut off is finished by the same call, with the same one-off key."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from kundig import audit
from kundig.clock import now
from kundig.errors import IdentityError, KundigError, PrivacyError
from kundig.govern.privacy import PERSON_COLUMNS, lake_erasures, state_subjects, without
from kundig.privacy.recognising import again, digests, recognised
from kundig.privacy.requests import Request, changed, enter, requests
from kundig.privacy.searching import WAYS, search
from kundig.privacy.subjects import Subject, joined, subject
from kundig.privacy.suppressing import Named, remember, suppress

if TYPE_CHECKING:
    from kundig.workspace import Workspace

@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """One line of the certificate: what became of a store."""

    store: str
    how: str
    found_before: int
    found_after: int
    changed: int = 0
    way: str = ""
    """Key of `searching.WAYS`: how it was searched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What an erasure did and what the search found in each store before and after; `complete` where it found nothing any more."""

    request_id: str
    stores: tuple[Store, ...] = ()
    places: tuple[str, ...] = ()
    """Files in which the person is still found."""
    failure: str = ""
    """Of an erasure that was to be finished and was cut off once more: at which store, and why."""
    identifiers: tuple[Named, ...] = field(default=(), repr=False)
    """Where the person is still found: what has to be named again to close the request. Kept nowhere."""

    @property
    def complete(self) -> bool:
        """Whether all was done, and nothing was found afterwards."""
        return not self.failure and not any(store.found_after for store in self.stores)


def erase(workspace: Workspace, identifier: str, *others: str, actor: str = "cli", requested_by: str = "person", verified_by: str = "", told: Callable[[str], None] = lambda step: None) -> Certificate:
    """Erase a person: suppression and request first, then store by store, then the search once more.

    Orders and their lines keep day, amounts, product and channel under a one-off key; consents keep moment, kind and the hash of the wording.
    An erasure that left something is done once more where all its identifiers are named, and closed where nothing is found any more.

    Args:
        workspace: The workspace.
        identifier: Any identifier of the person.
        others: More of them.
        actor: Who does it, for the audit log.
        requested_by: Who asked: `person`, an account, or the domain of an interface's caller.
        verified_by: How it was checked who asks.
        told: Hears the name of each step that has been done.

    Raises:
        IdentityError: Nobody is known by the identifier.
        PrivacyError: The identifiers belong to several people, or are not all that an erasure had which left something.
        Busy: Another process is writing.
    """
    with workspace.writing("erase"):
        given = (identifier, *others)
        hits = [(sum(each is not None for each in recognised(workspace, one, given)), one) for one in requests(workspace, status="partial") if one.kind == "erasure"]
        before = [one for count, one in sorted(hits, key=lambda hit: -hit[0]) if count]
        try:
            parts = [subject(workspace, each) for each in given]
        except IdentityError:
            if not before:
                raise
            parts = []
        people = {part.persons for part in parts if part.persons}
        if before and not people:
            return repeat(workspace, before[0], given, actor=actor, told=told)
        for one in before:
            try:
                whole = again(workspace, one, given)
            except PrivacyError:
                continue
            return begin(workspace, one, whole, actor=actor, keep_out=_keeps_out(one), told=told)
        if not people:
            raise IdentityError("nobody is known by this identifier", mend="kundig privacy suppress keeps somebody unknown out")
        if len(people) > 1:
            raise PrivacyError(f"the identifiers belong to {len(people)} people", mend="erase each of them by itself: kundig privacy erase PERSON")
        of = joined(parts)
        one = enter(workspace, "erasure", of, requested_by=requested_by, verified_by=verified_by, details={}, requested_at=now(), actor=actor)
        return begin(workspace, one, of, actor=actor, told=told)


def repeat(workspace: Workspace, one: Request, identifiers: Sequence[str], *, actor: str = "cli", told: Callable[[str], None] = lambda step: None) -> Certificate:
    """Do an erasure that left something once more, and search again; the caller has the writer's lease.

    Raises:
        PrivacyError: The identifiers are not those that it had, each of them and no other.
    """
    return begin(workspace, one, again(workspace, one, identifiers), actor=actor, keep_out=_keeps_out(one), told=told)


def _keeps_out(one: Request) -> bool:
    return bool(one.details.get("keep_out", True))


def begin(workspace: Workspace, one: Request, of: Subject, *, actor: str = "cli", keep_out: bool = True, told: Callable[[str], None] = lambda step: None) -> Certificate:
    """Do an erasure that was asked for; the caller has the writer's lease. With `keep_out` nothing of the person is taken in afterwards."""
    if keep_out:
        suppress(workspace, of.identifiers, reason="erased", actor=actor)
    before = search(workspace, of.values)
    plan = {"subject": {"identifiers": [asdict(name) for name in of.identifiers], "persons": list(of.persons)}, "one_off": secrets.randbits(59) | 1, "before": before.counts, "done": {}}
    with workspace.state.transaction() as connection:
        if keep_out:
            remember(workspace, of, connection=connection)
        changed(workspace, one, actor=actor, action="erase", connection=connection, status="in_progress", certificate=plan, stores={name: {"status": "pending"} for name in STEPS})
    told("requested")
    return _finish(workspace, one.request_id, plan, told)


def resume(workspace: Workspace, *, told: Callable[[str], None] = lambda step: None) -> tuple[Certificate, ...]:
    """Finish the erasures that were cut off; one that fails once more tells why in its certificate, and stops none of those behind it.

    Raises:
        Busy: Another process is writing.
    """
    with workspace.writing("erase"):
        return tuple(_resumed(workspace, one, told) for one in requests(workspace, status="in_progress") if one.kind == "erasure")


def _resumed(workspace: Workspace, one: Request, told: Callable[[str], None]) -> Certificate:
    plan = dict(one.certificate)
    try:
        return _finish(workspace, one.request_id, plan, told)
    except Exception as error:  # whatever a store raises: the others' erasures must go on
        names = [str(each.get("value", "")) for each in plan.get("subject", {}).get("identifiers", ())]
        return Certificate(request_id=one.request_id, failure=f"{next((name for name in STEPS if name not in plan.get('done', {})), 'search')}: {reason(error, names)}")


def reason(error: Exception, values: Sequence[str] = ()) -> str:
    """Why something failed, in one line that names nobody; `values` are what it must not hold."""
    what = error.what if isinstance(error, KundigError) else f"{type(error).__name__}: {error}".splitlines()[0][:300]
    hides = audit.looks_personal(what) or any(value.lower() in what.lower() for value in values if value)
    return f"{type(error).__name__} with a value that names the person" if hides else what


def _finish(workspace: Workspace, request: str, plan: dict[str, Any], told: Callable[[str], None]) -> Certificate:
    of = Subject(identifiers=tuple(Named(**one) for one in plan["subject"]["identifiers"]), persons=tuple(plan["subject"]["persons"]))
    table = workspace.state.sql("privacy_requests")
    for name, step in STEPS.items():
        if name in plan["done"]:
            continue
        try:
            plan["done"][name] = step(workspace, of, plan["one_off"])
        except Exception as error:
            _note(workspace, request, plan, {name: {"status": "failed", "reason": reason(error, [*of.values, *(one.value for one in of.identifiers)])}})
            raise
        _note(workspace, request, plan)
        told(name)
    # the requests themselves name the person until here
    with workspace.state.transaction() as connection:
        for one in requests(workspace, connection=connection):
            if one.request_id == request or one.identifier_key in of.keys:
                left = json.dumps(one.without_person(), ensure_ascii=False)
                closed: dict[str, Any] = {"certificate": "{}"} if one.request_id == request else {}
                if one.request_id != request and one.status in ("pending", "failed"):  # there is nobody left to do it for
                    closed = {"status": "finished" if one.kind == "erasure" else "cancelled", "finished_at": now()}
                connection.execute(table.update().where(table.c.request_id == one.request_id).values(identifier_key=None, details=left, **closed))
    workspace.state.scrub()
    after = search(workspace, of.values)
    stores_told = [
        Store(store=name, how=WAYS[way], way=way, found_before=plan["before"].get(name, 0), found_after=after.counts.get(name, 0), changed=plan["done"].get(name, 0))
        for name, way in after.ways.items()
    ]
    certificate = Certificate(request_id=request, stores=tuple(stores_told), places=after.places, identifiers=of.identifiers if after.places else ())
    kept = {} if certificate.complete else {"digests": digests(workspace, request, of.identifiers)}
    values = {"status": "finished" if certificate.complete else "partial", "finished_at": now(), "certificate": json.dumps({"stores": [asdict(store) for store in stores_told], "files": len(after.places), **kept})}
    with workspace.state.transaction() as connection:
        connection.execute(table.update().where(table.c.request_id == request).values(**values))
    told("finished")
    return certificate


def _note(workspace: Workspace, request: str, plan: Mapping[str, Any], failed: Mapping[str, Any] | None = None) -> None:
    """Write down what is done, what is still to be done, and what failed."""
    table = workspace.state.sql("privacy_requests")
    stores = {store: {"status": "done", "rows": plan["done"][store]} if store in plan["done"] else {"status": "pending"} for store in STEPS} | dict(failed or {})
    with workspace.state.transaction() as connection:
        connection.execute(table.update().where(table.c.request_id == request).values(certificate=json.dumps(plan), stores=json.dumps(stores, ensure_ascii=False)))


# the stores


def _lake(workspace: Workspace, of: Subject, one_off: int) -> int:
    lake = workspace.lake
    wanted = lake_erasures(workspace.tables, keys=of.keys, persons=of.persons, one_off=one_off)
    texts = " OR ".join(f"contains(lower(CAST(body AS VARCHAR) || coalesce(CAST(original AS VARCHAR), '')), lower('{value.replace(chr(39), chr(39) * 2)}'))" for value in of.values)
    count = 0
    for one in wanted:
        count += sum(lake.erase(one).values())
    if texts:
        held = [row[0] for row in workspace.rows_now(f"SELECT record_id FROM quarantined_records WHERE {texts}")[1]]
        if held:
            count += sum(lake.erase({"quarantined_records": ("record_id", held)}).values())
    return count


def _state(workspace: Workspace, of: Subject, one_off: int) -> int:
    state, count = workspace.state, 0
    with state.transaction() as connection:
        for name, columns in state_subjects(workspace.tables).items():
            table = state.sql(name)
            for column in columns:
                keys = of.persons if column in PERSON_COLUMNS else of.keys
                count += int(connection.execute(table.delete().where(table.c[column].in_(keys))).rowcount)
            if "body" in table.c:
                key = list(table.primary_key.columns)
                for row in state.select(name, connection=connection):
                    if any(value.lower() in str(row["body"]).lower() for value in of.values):
                        connection.execute(table.delete().where(*(one == row[one.name] for one in key)))
                        count += 1
        count += _consents(workspace, of, one_off, connection)
    state.scrub()
    return count


def _consents(workspace: Workspace, of: Subject, one_off: int, connection: Any) -> int:
    """Records of the log keep moment, kind and hash of the wording under the one-off key."""
    state = workspace.state
    log, named_in = state.sql("consent_log"), state.sql("consent_keys")
    numbers = sorted({row["seq"] for row in state.select("consent_keys", named_in.c.identifier_key.in_(of.keys), connection=connection)})
    numbers = sorted({*numbers, *(row["seq"] for row in state.select("consent_log", log.c.identifier_key.in_(of.keys), connection=connection))})
    for seq in numbers:
        values: Mapping[str, Any] = {"record_id": f"erased:{uuid.uuid4().hex}", "identifier_key": one_off, "other_keys": [], "evidence": None}
        connection.execute(log.update().where(log.c.seq == seq).values(**values))
        connection.execute(named_in.delete().where(named_in.c.seq == seq))
        state.insert("consent_keys", [{"identifier_key": one_off, "seq": seq}], connection=connection)
    return len(numbers)


def _inbox(workspace: Workspace, of: Subject, one_off: int) -> int:
    values = [value.encode() for value in of.values]
    inbox = workspace.inbox()
    try:
        return inbox.erase(lambda entry: without(entry.body, values))
    finally:
        inbox.close()


def _live(workspace: Workspace, of: Subject, one_off: int) -> int:
    return workspace.heard.forget(of.keys)


STEPS: dict[str, Callable[[Workspace, Subject, int], int]] = {"inbox": _inbox, "live": _live, "tables": _lake, "state": _state}
"""What empties each store, in order: what could come again from a store goes first."""
