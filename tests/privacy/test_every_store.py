"""The search finds a planted person in every store, by name, before an erasure; afterwards in none but files that kundig cannot rewrite, and those are named."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import sqlite3
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.broker import broker
from tests.postgres import postgres
from tests.privacy.test_erasing import REVENUE, buyer

import kundig as kd
from kundig.clock import now
from kundig.errors import IdentityError
from kundig.live import Live
from kundig.privacy import erase, search
from kundig.privacy.subjects import subject
from kundig.store.broker import open_inbox

__all__ = ["broker", "postgres"]


@pytest.fixture
def shop(copy, monkeypatch):
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    for path in (copy / "exports", copy / "out"):
        shutil.rmtree(path, ignore_errors=True)
    workspace = kd.open(copy)
    yield workspace
    workspace.state.close()
    workspace.lake.close()


def parquet(text):
    out = io.BytesIO()
    pq.write_table(pa.table({"a": [[text.upper()]]}), out, compression="zstd")
    return out.getvalue()


def plant(workspace, email):
    """The person in state (three tables), inbox and live store, beside somebody else; the tables hold them already."""
    of, place = subject(workspace, email), workspace.config.settings.store.inbox
    key = of.keys[0]
    calls = [{"messageId": name, "type": "track", "event": "Note Left", "anonymousId": name, "properties": {"note": f"write to {address}"}, "context": {"traits": {"email": address}}} for name, address in (("x1", email), ("x2", "else@example.org"))]
    inbox = open_inbox(place if "://" in place else workspace.config.path(place), writing=True)
    inbox.append(json.dumps({"batch": calls}).encode(), source="web", kind="call")
    inbox.register("later")
    Live(workspace.lake, workspace.config, workspace.tables["events"], workspace.heard, state=workspace.state).fold(inbox)
    inbox.close()
    state, body = workspace.state, json.dumps({"traits": {"email": email}})
    state.insert("dead_letters", [{"letter_id": "d1", "destination": "crm", "identifier_key": 7, "body": body, "reason": "x", "failed_at": now(), "status": "held"}, {"letter_id": "d2", "destination": "crm", "identifier_key": 8, "body": "{}", "reason": "x", "failed_at": now(), "status": "held"}])
    state.insert("forwards", [{"destination": "crm", "seq": 1, "position": 0, "identifier_key": key, "body": body, "attempts": 1}])
    state.insert("messages", [{"message_id": "planted", "person_key": of.persons[0], "address": email, "channel": "email", "status": "queued"}])


def found(workspace, email):
    return {name: count for name, count in search(workspace, [email]).counts.items() if count}


def test_each_store_is_named_before_and_the_search_sees_through_what_hides(shop, copy):
    email, person = buyer(shop)
    before, merged = shop.rows(REVENUE)[1], f"p{int(person[1:], 16) ^ 1:015x}"
    assert found(shop, email)["tables"] > 1
    plant(shop, email)
    stores = found(shop, email)
    assert set(stores) >= {"tables", "state", "inbox", "live"}, stores
    hidden = {
        "audience.csv": email.encode(), "models/m.bin": b"\0" + email.upper().encode() + b"\0", "logs/app.log.gz": gzip.compress(email.encode()), "spill/part.tmp": email.encode(),
        "rendered/m1.eml": f"To: <{email}>".encode(), "out/t.parquet": parquet(email),
    }  # fmt: skip
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("lake/x.parquet")
        info.size = len(parquet(email))
        tar.addfile(info, io.BytesIO(parquet(email)))
    hidden["backup/nightly.tar.gz"] = gzip.compress(archive.getvalue())
    book = io.BytesIO()
    with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/sharedStrings.xml", f"<t>{email}</t>")
    hidden["exports/list.xlsx"] = book.getvalue()
    for name, content in hidden.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    catalogue = sqlite3.connect(shop.config.path(shop.config.settings.store.catalogue))
    catalogue.execute("CREATE TABLE planted (a TEXT)")
    catalogue.execute("INSERT INTO planted VALUES (?)", (email,))
    catalogue.commit()
    whole = search(shop, [email])
    assert {name for name, count in whole.counts.items() if count} == {"tables", "catalogue", "state", "inbox", "live", "files"}
    assert set(hidden) <= set(whole.places), set(hidden) - set(whole.places)
    catalogue.execute("PRAGMA secure_delete=ON")
    catalogue.execute("DROP TABLE planted")
    catalogue.commit()
    catalogue.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    catalogue.close()
    done = erase(shop, email)
    assert {name for name, count in search(shop, [email]).counts.items() if count} == {"files"}
    assert set(done.places) == set(hidden) and not done.complete, set(done.places) ^ set(hidden)
    assert shop.rows(REVENUE)[1] == before
    assert [row["letter_id"] for row in shop.state.select("dead_letters") if row["destination"] == "crm"] == ["d2"]
    with pytest.raises(IdentityError, match="was erased"):
        shop.person(person)
    with pytest.raises(IdentityError, match="nobody"):
        shop.person(merged)


@pytest.mark.skipif(not os.environ.get("KUNDIG_FULL"), reason="with KUNDIG_FULL=1")
def test_an_old_id_that_was_merged_answers_erased_and_a_split_one_stays(shop):
    """A split's other side is another person, whom an erasure must not touch."""
    email, person = buyer(shop)
    key = int(person[1:], 16)
    other = shop.rows(f"SELECT person_key, person_id FROM profiles WHERE person_key <> {key} ORDER BY 1 LIMIT 1")[1][0]
    rows = [{"merge_id": "m:1", "kind": "merge", "person_key": key, "other_key": 4_711, "run_id": 1, "occurred_at": now()}, {"merge_id": "s:1", "kind": "split", "person_key": key, "other_key": other[0], "run_id": 1, "occurred_at": now()}]
    from kundig.store.lake import Append, ReleaseMark

    schema = shop.lake.ibis("merges").to_pyarrow().schema
    release = shop.lake.release()
    shop.lake.commit([Append(table="merges", source=pa.Table.from_pylist(rows, schema))], release=ReleaseMark(run_id=release.run_id + 1, moment=release.moment))
    assert shop.person(f"p{4_711:015x}").person_id == person
    erase(shop, email)
    for old in (person, f"p{4_711:015x}"):
        with pytest.raises(IdentityError, match="was erased"):
            shop.person(old)
    assert shop.person(other[1]).person_id == other[1]


def test_a_restored_backup_is_played_after_and_a_later_import_brings_nobody_back(copy, kundig, tmp_path, monkeypatch):
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    workspace = kd.open(copy)
    email, person = buyer(workspace)
    workspace.lake.close()
    workspace.state.close()
    backup = tmp_path / "backup"
    shutil.copytree(copy / "data", backup)
    shutil.rmtree(copy / "out", ignore_errors=True)
    assert kundig("privacy", "erase", email, "--workspace", copy).code == 1, "its sources name the person still"
    assert kundig("privacy", "digests", tmp_path / "erased.jsonl", "--workspace", copy).code == 0
    assert email not in (tmp_path / "erased.jsonl").read_text()
    again = kd.open(copy)
    rows = again.rows_now("SELECT count(*) FROM contacts")[1]
    for path in (path for path in (copy / "exports").rglob("*") if path.is_file()):
        with path.open("ab") as file:
            file.write(b"")
        os.utime(path)
    landed = again.import_()
    assert landed and again.rows_now("SELECT count(*) FROM contacts")[1] == rows
    assert again.rows_now(f"SELECT count(*) FROM identifiers WHERE value = '{email}'")[1] == [(0,)]
    again.lake.close()
    again.state.close()
    shutil.rmtree(copy / "data")
    shutil.copytree(backup, copy / "data")
    restored = kd.open(copy)
    assert restored.person(email).person_id == person, "the backup holds the person"
    restored.lake.close()
    restored.state.close()
    shutil.rmtree(copy / "exports")
    done = kundig("privacy", "replay", tmp_path / "erased.jsonl", "--workspace", copy)
    assert done.code == 0 and "1 people were erased again" in done.out, done.out + done.err
    played = kd.open(copy)
    for name in (email, person):
        with pytest.raises(IdentityError):
            played.person(name)
    assert kundig("privacy", "replay", "--workspace", copy).out.strip().endswith("0 people were erased again")
    (tmp_path / "odd.jsonl").write_text('{"digest": 1}\n')
    assert kundig("privacy", "replay", tmp_path / "odd.jsonl", "--workspace", copy).code != 0
    played.lake.close()
    played.state.close()


@pytest.mark.skipif(not os.environ.get("KUNDIG_FULL"), reason="one server each: with KUNDIG_FULL=1")
@pytest.mark.needs_postgres
def test_state_on_postgresql_and_an_inbox_on_nats_are_searched_and_emptied(copy, postgres, broker, monkeypatch):
    monkeypatch.delenv("KUNDIG_SUPPRESSION_KEY", raising=False)
    for path in (copy / "exports", copy / "out"):
        shutil.rmtree(path, ignore_errors=True)
    toml = (copy / "kundig.toml").read_text(encoding="utf-8")
    store = f'state = "{postgres.database()}"\ninbox = "nats://127.0.0.1:{broker.port}/people"\n'
    (copy / "kundig.toml").write_text(toml.replace("[store]\n", f"[store]\n{store}") if "[store]\n" in toml else f"{toml}\n[store]\n{store}", encoding="utf-8")
    for old in [*(copy / "data").glob("state.sqlite*"), *(copy / "data").glob("inbox.sqlite*")]:
        old.unlink()
    workspace = kd.open(copy)
    email, _ = buyer(workspace)
    plant(workspace, email)
    before = search(workspace, [email])
    assert before.counts["state"] >= 3 and before.counts["inbox"] == 1 and (before.ways["state"], before.ways["inbox"]) == ("rows", "stream"), before.counts
    assert {"state: table messages", "state: table dead_letters", "inbox: stream"} <= set(before.places)
    done = erase(workspace, email)
    assert done.complete, done.places
    held = []
    inbox = workspace.inbox()
    inbox.erase(lambda entry: held.append(entry.body.decode()))
    inbox.close()
    assert "else@example.org" in "".join(held) and email not in "".join(held)
    told = {one.store: one for one in done.stores}
    assert told["state"].way == "rows" and told["state"].found_before >= 3 and told["inbox"].found_before == 1 and told["inbox"].changed == 1
    workspace.state.close()
    workspace.lake.close()
