"""The demo's web events over HTTP: the same events as from the files, and one line that is no call costs no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kundig
from kundig.cli import feeding
from kundig.server.health import look
from kundig.testing import default_workspace

SOURCE = "received_at: as_occurred\ninputs:\n  - {files: 'in/*.jsonl', format: segment_ndjson}\n"


def _workspace(root: Path, lines: list[str]) -> kundig.Workspace:
    default_workspace(root)
    for name, text in (("sources/web.yaml", SOURCE), ("in/a.jsonl", "\n".join(lines) + "\n")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return kundig.open(root)


def _line(number: int) -> str:
    call = {
        "messageId": f"m{number % 40}", "type": "track", "event": "Product Viewed", "anonymousId": f"d{number % 7}", "originalTimestamp": f"2026-01-01T10:00:{number % 60:02d}Z",
        "sentAt": "2026-01-01T10:05:00Z", "receivedAt": "2026-01-01T10:05:02Z", "properties": {"text": "größer"},
    }  # fmt: skip
    return json.dumps(call, ensure_ascii=False)


def _events(workspace: kundig.Workspace) -> list[str]:
    return sorted(map(repr, workspace.rows_now("SELECT event_id, name, occurred_at, received_at, identifier_key, properties FROM events")[1]))


def test_events_over_http_equal_those_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "BODY", 4_000)
    lines = [_line(number) for number in range(45)]
    fed_to, imported = _workspace(tmp_path / "one", lines), _workspace(tmp_path / "other", lines)
    fed = feeding.feed(fed_to, "web", [tmp_path / "one" / "in" / "a.jsonl"])
    assert (fed.calls, fed.landed, fed.repeated, fed.held, fed.refused) == (45, 40, 5, 0, 0) and fed.requests > 2
    imported.import_(["web"])
    assert _events(fed_to) == _events(imported) and len(_events(fed_to)) == 40
    assert fed_to.inbox().waiting("land") == 0
    (web,) = look(fed_to).sources
    assert (web.source, web.taken, web.repeated, web.held) == ("web", 40, 5, 0), "the page of sources tells what came"
    assert (web.landed, web.agrees) == (40, True), "its events stand under the days on which they happened, and are found all the same"


def test_a_line_that_is_no_json_is_refused_alone(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path, [_line(1), '{"type": "tra', _line(2), '{"type": "track", "event": "x"}'])
    fed = feeding.feed(workspace, "web", [tmp_path / "in" / "a.jsonl"])
    assert (fed.landed, fed.refused, fed.held) == (2, 1, 1)
