"""An erasure that fails again stops none behind it and says why; one that left something is closed by who names all its identifiers again, and by nobody else."""

from __future__ import annotations

import gzip
import json
import shlex

import pytest
from tests.privacy.test_erasing import Stop, buyer
from tests.privacy.test_interfaces import asked

from kundig.clock import now
from kundig.errors import IdentityError, PrivacyError
from kundig.privacy import erase, erasing, fulfil, resume
from kundig.privacy.callers import Caller
from kundig.privacy.opendsr import create
from kundig.privacy.waiting import fulfil_waiting
from kundig.store.inbox import Inbox


def two(workspace):
    """Addresses of two people, and all identifiers of the first as they are named."""
    first = buyer(workspace)[0]
    sql = f"""SELECT min(i.value) FROM identifiers i JOIN identities d USING (identifier_key) WHERE d.valid_until IS NULL AND i.namespace = 'email'
        AND d.person_key NOT IN (SELECT d.person_key FROM identities d JOIN identifiers i USING (identifier_key) WHERE i.value = '{first}') AND d.person_key IN (SELECT d.person_key FROM orders o JOIN identities d USING (identifier_key))"""
    return first, workspace.rows(sql)[1][0][0], [f"{kind}:{value}" for kind, value, *_ in workspace.person(first).identifiers]


def failing(monkeypatch, store, times, error):
    """A store that fails so many times, then works."""
    step, calls = erasing.STEPS[store], []

    def do(workspace, of, one_off):
        calls.append(of.identifiers)
        if len(calls) <= times:
            raise error(of) if callable(error) else error
        return step(workspace, of, one_off)

    monkeypatch.setitem(erasing.STEPS, store, do)
    return calls


def cut(name):
    if name == "inbox":
        raise Stop


def test_one_that_fails_again_is_named_with_its_reason_and_stops_none_behind_it(shop, kundig, copy, monkeypatch):
    first, second, _ = two(shop)
    for email in (first, second):
        with pytest.raises(Stop):
            erase(shop, email, told=cut)
    failing(monkeypatch, "tables", 1, OSError(28, "No space left on device"))
    done = kundig("privacy", "erase", "--resume", "--workspace", copy)
    assert done.code == 1, done.out
    rows = {row["status"]: row for row in shop.state.select("privacy_requests")}
    assert set(rows) == {"in_progress", "finished"}, "the other was finished"
    failed = rows["in_progress"]
    assert f"request {failed['request_id']} was cut off again at tables: OSError: [Errno 28] No space left on device" in done.out
    assert json.loads(failed["stores"])["tables"] == {"status": "failed", "reason": "OSError: [Errno 28] No space left on device"} and json.loads(failed["stores"])["inbox"]["status"] == "done"
    assert "No space left" in kundig("privacy", "show", failed["request_id"], "--workspace", copy).out
    again = kundig("privacy", "erase", "--resume", "--workspace", copy, "--json")
    (one,) = json.loads(again.out)
    assert again.code == 0 and one["complete"] and not one["failure"] and one["request_id"] == failed["request_id"]
    assert {row["status"] for row in shop.state.select("privacy_requests")} == {"finished"} and resume(shop) == ()


def test_a_reason_names_nobody_and_a_broken_plan_is_told_too(shop, monkeypatch):
    email, _, _ = two(shop)
    with pytest.raises(Stop):
        erase(shop, email, told=cut)
    failing(monkeypatch, "tables", 1, lambda of: ValueError(f"cannot delete {max(one.value for one in of.identifiers if one.namespace != 'email')}"))
    (told,) = resume(shop)
    assert told.failure == "tables: ValueError with a value that names the person" and not told.complete
    table = shop.state.sql("privacy_requests")
    with shop.state.transaction() as connection:
        plan = json.loads(shop.state.select("privacy_requests", connection=connection)[0]["certificate"])
        connection.execute(table.update().values(certificate="{}"))
    (told,) = resume(shop)
    assert told.failure == "inbox: KeyError: 'subject'"
    with shop.state.transaction() as connection:
        connection.execute(table.update().values(certificate=json.dumps(plan)))
    assert resume(shop)[0].complete


def test_the_worker_goes_on_with_the_others_tells_what_failed_and_takes_it_up_again(shop, monkeypatch):
    first, second, _ = two(shop)
    by = Caller(id="k1", label="shop.example", callbacks=(), created_at=now(), revoked_at=None)
    for email in (first, second):
        body = asked(email)
        create(shop, json.dumps(body).encode(), body, by)
    failing(monkeypatch, "tables", 1, OSError(5, "Input/output error"))
    with pytest.raises(PrivacyError, match="Input/output error") as told:
        fulfil_waiting(shop)
    rows = {row["status"]: row["request_id"] for row in shop.state.select("privacy_requests")}
    assert set(rows) == {"in_progress", "finished"} and [(fault.at, "Input/output" in fault.what) for fault in told.value.faults] == [(f"request {rows['in_progress']}", True)]
    assert fulfil_waiting(shop) == 1 and {row["status"] for row in shop.state.select("privacy_requests")} == {"finished"}


def test_what_was_left_is_closed_by_all_identifiers_and_refused_with_fewer(shop, kundig, copy):
    email, other, names = two(shop)
    left = copy / "old.log.gz"
    left.write_bytes(gzip.compress(f"wrote to {email}\n".encode()))
    done = kundig("privacy", "erase", email, "--workspace", copy)
    assert done.code == 1 and "still found in old.log.gz" in done.out
    (row,) = shop.state.select("privacy_requests")
    kept, number = json.loads(row["certificate"])["digests"], row["request_id"]
    assert sum(map(len, kept.values())) == len(names) > 1
    assert not any(name.partition(":")[2] in json.dumps(row, default=str) for name in names), "digests alone are kept"
    command = next(text for text in done.out.splitlines() if text.startswith("  kundig privacy fulfil"))
    said = shlex.split(command)
    assert sorted(said[5::2]) == sorted(names) and said[3] == number[:8]
    # fewer, others, none
    for given, what in ((names[:-1], f"{len(names)} identifiers, and {len(names) - 1} of them were named; missing: 1 "), ([*names, f"email:{other}"], f"number {len(names) + 1} of"), ([], "and 0 of them were named")):
        with pytest.raises(PrivacyError, match=what) as refused:
            fulfil(shop, number, identifiers=given)
        assert refused.value.faults[0].at == f"request {number}" and refused.value.mend and not any(name.partition(":")[2] in str(refused.value) for name in names)
    for words in (["fulfil", number], ["fulfil", number, "--who", email], ["erase", email]):
        refused = kundig("privacy", *words, "--workspace", copy)
        assert refused.code != 0 and "were named; missing: " in refused.err and "mend: name every one of them" in refused.err, (words, refused)
    assert shop.state.select("privacy_requests")[0]["status"] == "partial" and shop.person(other)
    # all of them: the leftover is still there, then it is gone
    assert kundig("privacy", "erase", *names, "--workspace", copy).code == 1
    assert [one["status"] for one in shop.state.select("privacy_requests")] == ["partial"]
    left.unlink()
    closed = kundig(*said[1:], "--workspace", copy)
    assert closed.code == 0, closed.out
    (row,) = shop.state.select("privacy_requests")
    assert row["status"] == "finished" and "digests" not in row["certificate"] and shop.person(other)
    with pytest.raises(IdentityError):
        erase(shop, email)


def test_what_came_since_is_erased_by_the_steps_that_are_repeated(shop, copy):
    """A call in the inbox: the steps, not the search alone, take it away. The identifiers are told as they are typed."""
    email, _, names = two(shop)
    left = copy / "notes.txt"
    left.write_text(email, encoding="utf-8")
    assert not erase(shop, email).complete
    left.unlink()
    inbox = Inbox(shop.config.path(shop.config.settings.store.inbox), writing=True)
    inbox.append(json.dumps({"batch": [{"messageId": "x1", "type": "identify", "anonymousId": "x1", "traits": {"email": email}}]}).encode(), source="web", kind="call")
    inbox.close()
    done = erase(shop, *(name if not name.startswith("email:") else name.removeprefix("email:").upper() for name in names))
    stores = {one.store: one for one in done.stores}
    assert done.complete and stores["inbox"].found_before and stores["inbox"].changed == 1 and len(shop.state.select("privacy_requests")) == 1


def test_identifiers_of_two_people_are_not_erased_as_one(shop):
    first, second, _ = two(shop)
    with pytest.raises(PrivacyError, match="belong to 2 people"):
        erase(shop, first, second)
    assert shop.person(first) and shop.person(second) and shop.state.select("privacy_requests") == []
    with pytest.raises(IdentityError):
        erase(shop, "nobody.known@example.org")
