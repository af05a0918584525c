"""What the intake wrote into the consent log is in the lake's copy after landing, once, and a run folds it."""

from __future__ import annotations

import datetime as dt

from kundig.collect.inbox_landing import land_inbox
from kundig.store.inbox import Inbox


def copied(workspace):
    return workspace.lake.duck.execute(f"SELECT record_id, purpose, channel, status, identifier_key, other_keys, seq FROM {workspace.lake.scan('consent_records')} ORDER BY seq").fetchall()


def landed(workspace):
    with workspace.writing("land"):
        return land_inbox(workspace.lake, workspace.config, Inbox(workspace.root / "data/inbox.sqlite"), state=workspace.state)


def test_the_copy_follows_the_log(intake, track):
    workspace = intake.workspace
    assert intake.post("/v1/track", track(1, event="Unsubscribed", anonymousId="a-1", properties={"email": "anna@example.org"}, timestamp=dt.datetime.now(dt.UTC).isoformat())).status == 200
    assert {name: count for one in landed(workspace) for name, count in one.rows.items()}["consent_records"] == 2
    first = copied(workspace)
    assert [(row[0], row[3], row[6]) for row in first] == [("web:m1:newsletter:email", "withdrawn", 1), ("web:m1:newsletter:push", "withdrawn", 2)]
    logged = workspace.state.select("consent_log")
    assert [(row[4], row[5]) for row in first] == [(row["identifier_key"], row["other_keys"]) for row in logged]
    assert landed(workspace) == ()
    assert intake.post("/v1/track", track(1, event="Unsubscribed")).status == 200
    assert intake.post("/v1/track", track(2, event="Unsubscribed", userId="8")).status == 200
    landed(workspace)
    assert [row[0] for row in copied(workspace)] == ["web:m1:newsletter:email", "web:m1:newsletter:push", "web:m2:newsletter:email", "web:m2:newsletter:push"]
    assert copied(workspace)[:2] == first
    touched = {row[0] for row in workspace.lake.duck.execute(f"SELECT identifier_key FROM {workspace.lake.scan('touched')} WHERE batch_id LIKE 'consent_log:%'").fetchall()}
    assert touched >= {row[4] for row in copied(workspace)}
    workspace.run(only=["consents"])
    standing = workspace.rows("SELECT purpose, channel, status FROM consents ORDER BY person_key, channel")[1]
    assert standing == [("newsletter", "email", "withdrawn"), ("newsletter", "push", "withdrawn")] * 2
