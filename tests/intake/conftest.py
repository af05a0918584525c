"""A workspace with a web source, the intake over it in this process, and one in a process of its own on a free port."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kundig.collect.intake import keys
from kundig.workspace import Workspace
from tests.intake.asking import Here, Served

FULL = os.environ.get("KUNDIG_FULL") == "1"
SOURCE = """
meaning: Visits and calls of the web shop
inputs:
  - {files: exports/web/*.jsonl, format: segment_ndjson, optional: true, segment: {user_id: customer_id, hosts: [shop.example.org]}}
  - files: [exports/fair/*.csv, exports/fair/*.xlsx]
    optional: true
    lands:
      - {table: contacts, columns: {contact_id: Mail, occurred_at: Tag, kind: {value: lead}, email: Mail}, identifiers: [{namespace: email, column: Mail}]}
"""
SIGNALS = """
signals:
  categories:
    analytics: [analytics/web]
    advertising: [advertising/ad_audience]
  events:
    Unsubscribed: {status: withdrawn, covers: [newsletter/email, newsletter/push]}
    "form:newsletter": {status: requested, covers: [newsletter/email], wording: 2025-01}
    Newsletter "Straße" bestellt: {status: requested, covers: [newsletter/email], wording: 2025-01}
"""


def make_workspace(folder: Path, *, settings: str = "", signals: bool = True) -> Workspace:
    """A workspace with a described source `web`, in which consent is declared."""
    (folder / "sources").mkdir(parents=True)
    (folder / "kundig.toml").write_text(settings or "[intake]\ndisk_reserve_mb = 0\n")
    (folder / "sources/web.yaml").write_text(SOURCE)
    defaults = Path(__file__).resolve().parents[2] / "src/kundig/config/defaults/purposes.yaml"
    plain = defaults.read_text(encoding="utf-8").partition("\nsignals:")[0]
    (folder / "purposes.yaml").write_text(plain + (SIGNALS if signals else ""), encoding="utf-8")
    return Workspace(folder)


@dataclass
class Table:
    """What came of each run of an SDK."""

    rows: list[tuple[str, str, str, int, int, int, str]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """As a table of Markdown."""
        head = ["| SDK | version | case | sent | arrived | sent again | landed |", "|---|---|---|---:|---:|---:|---:|"]
        return head + [f"| {' | '.join(map(str, row))} |" for row in self.rows]


@pytest.fixture(scope="session")
def table():
    """Filled by the tests of SDKs, printed at their end."""
    made = Table()
    yield made
    print("\n" + "\n".join(made.lines()))


@pytest.fixture
def workspace(tmp_path):
    return make_workspace(tmp_path / "shop")


@pytest.fixture
def key(workspace):
    return keys.create(workspace.state, "web")


@pytest.fixture
def intake(workspace, key):
    with Here(workspace, key) as here:
        yield here


@pytest.fixture
def served(workspace, key):
    with Served(workspace.root, key) as server:
        yield server


def batch(*calls, **more):
    """The body of a batch."""
    return json.dumps({"batch": list(calls), **more}).encode()


@pytest.fixture
def track():
    """A track call of a customer."""

    def made(number=1, **more):
        return {"type": "track", "event": "Viewed", "userId": "7", "messageId": f"m{number}", "timestamp": "2026-11-21T18:00:00.000Z", **more}

    return made
