"""kundig webhook: what is there, what is ready, and a ready one in the workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kundig.cli import main


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    try:
        main(list(words))
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    seen = capsys.readouterr()
    return code, seen.out + seen.err


def test_a_ready_webhook_is_added_and_listed_with_what_it_still_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kundig.toml").write_text("")
    code, told = _run(capsys, "webhook", "add", "stripe", "-w", str(tmp_path))
    assert code == 0
    assert "webhooks/stripe.yaml" in told
    assert _run(capsys, "webhook", "add", "stripe", "-w", str(tmp_path))[0] != 0, "nothing is overwritten"
    rows = {row["name"]: row for row in json.loads(_run(capsys, "webhook", "list", "--json", "-w", str(tmp_path))[1])}
    assert rows["stripe"]["address"] == "/v1/webhook/stripe"
    assert "secret is not set" in rows["stripe"]["sender known by"]
    assert rows["sendgrid"]["known from"].startswith("ready")
    (tmp_path / "secrets.toml").write_text('STRIPE_WEBHOOK_SECRET = "whsec_x"\n')
    rows = {row["name"]: row for row in json.loads(_run(capsys, "webhook", "list", "--json", "-w", str(tmp_path))[1])}
    assert (rows["stripe"]["sender known by"], rows["stripe"]["known from"]) == ("hmac", "documentation")
