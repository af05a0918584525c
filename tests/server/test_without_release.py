"""A workspace that never ran: pages say what is missing and which command fills it."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

import kundig
from kundig.server.app import make_app
from kundig.testing import default_workspace


@pytest.mark.parametrize("locale", ("de", "en"))
def test_pages_say_what_to_run(tmp_path: Path, locale: str) -> None:
    client = TestClient(make_app(kundig.open(default_workspace(tmp_path / "new"))), base_url="http://localhost")
    for address in ("/overview", "/people", "/people?q=x", "/people/x", "/data"):
        answer = client.get(address, params={"lang": locale} if "?" not in address else None)
        assert answer.status_code == 503 and "kundig import, then kundig run" in answer.text and "<h1>" in answer.text
    assert client.get("/ready").status_code == 503
    assert client.get("/overview?format=json").json()["mend"] == "kundig import, then kundig run"
