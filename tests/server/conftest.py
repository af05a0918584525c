"""The finished workspace behind the pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

import kundig
from kundig.server.app import make_app
from kundig.workspace import Workspace
from tests.workspaces import finished, fixtures, shop

root, workspace = fixtures(finished)


@pytest.fixture(scope="session")
def client(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(make_app(workspace), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture(scope="module")
def own_shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the made-up shop that the tests of a file may write to."""
    root = tmp_path_factory.mktemp("own") / "shop"
    return kundig.open(shutil.copytree(shop(tmp_path_factory), root, ignore=shutil.ignore_patterns("truth", "exports")))


@pytest.fixture(scope="module")
def shown(own_shop: Workspace) -> Iterator[TestClient]:
    """The pages of `own_shop`."""
    with TestClient(make_app(own_shop), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture(scope="session")
def known(workspace: Workspace) -> str:
    """The person who was sent a message."""
    return str(workspace.rows("SELECT p.person_id FROM profiles p JOIN audience_members m USING (person_key) ORDER BY 1 LIMIT 1")[1][0][0])


@pytest.fixture(scope="session")
def addresses(known: str) -> dict[str, str]:
    """Every kind of page → its address."""
    pages = {name: f"/{name}" for name in ("overview", "people", "value", "segments", "matrix", "usecases", "audiences", "creatives", "measure", "consent", "data", "sources", "requests", "legal", "leads")}
    return pages | {"chosen": "/people?state=active", "person": f"/people/{known}", "identity": "/identity", "identity_person": f"/identity/{known}", "person_audience": f"/people/{known}?audience=win_back", "heard": "/people/new-device", "unknown": "/people?q=nobody", "legal_quarter": "/legal?quarter=2026-Q3", "missing": "/nothing"}
