"""The guide to extension points is true: its package is installed, and reads, sends and counts in a workspace."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kundig
from kundig import hooks
from kundig.errors import ConfigError, ContractError, SourceError
from kundig.testing import END, World, default_workspace, land
from tests.docs.guides import DOCS, blocks

GUIDE = DOCS / "extending.md"
FILES = {block.file: block.text for block in blocks(GUIDE) if block.file}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The guide's package as pip would leave it: modules, and a dist-info with the entry points of its pyproject.toml."""
    site = tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        if name.endswith(".py"):
            (site / name).parent.mkdir(exist_ok=True)
            (site / name).write_text(text, encoding="utf-8")
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = (f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items()) for group, entries in project["entry-points"].items())
    (info / "entry_points.txt").write_text("\n".join(groups))
    sys.path.insert(0, str(site))
    hooks._entries.cache_clear()
    yield site
    sys.path.remove(str(site))
    for name in [name for name in sys.modules if name.split(".")[0] == "our_plugin"]:
        del sys.modules[name]
    hooks._entries.cache_clear()


@pytest.fixture(scope="module")
def shop(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A small workspace with the guide's files, landed and run."""
    root = default_workspace(tmp_path_factory.mktemp("extended") / "shop")
    for name, text in FILES.items():
        if not name.endswith(".py") and name != "pyproject.toml":
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
    workspace = kundig.open(root)
    land(workspace.lake, World(1, people=40).rows(until=END), batch="first")
    workspace.landed = workspace.import_(["journal"])[0]
    workspace.run(as_of=END)
    yield workspace
    workspace.lake.close()
    workspace.state.close()


def test_the_guide_has_an_entry_for_every_point() -> None:
    assert set(tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]) == set(hooks.POINTS.values())


def test_a_registered_reader_is_the_format_of_an_input(shop: Any) -> None:
    assert shop.landed.rows["orders"] == 2
    assert shop.landed.quarantined == 1
    _, rows = shop.rows("SELECT order_id, gross, strftime(local_day, '%Y-%m-%d') FROM orders WHERE source = 'journal' ORDER BY 1")
    assert [(key.split(":")[-1], float(gross), day) for key, gross, day in rows] == [("T0000001", 12.9, "2026-10-26"), ("T0000002", 7.5, "2026-10-26")]
    assert shop.import_(["journal"])[0].skipped, "the same file lands once"


def test_what_a_reader_gave_can_be_mended_and_replayed(shop: Any) -> None:
    from kundig.collect import quarantine

    held = quarantine.held(shop.lake, source="journal")
    assert [(one.where, "31022026" in one.what) for one in held] == [("monday.txt, row 3", True)]
    body = json.loads(held[0].body) | {"moment": "28022026 1200"}
    quarantine.fix(shop.lake, held[0].record_id, json.dumps(body))
    assert quarantine.replay(shop.lake, shop.config, source="journal", state=shop.state).rows["orders"] == 1
    assert shop.rows_now("SELECT gross FROM orders WHERE order_id LIKE '%T0000003'")[1] == [(9,)]


def test_a_reader_that_stops_refuses_the_file(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop.root / "exports/journal/tuesday.txt"
    path.write_bytes(b"T0000009 26102026 0915  K\xff00017   12,90\n")
    before = shop.lake.snapshot()
    try:
        with pytest.raises(SourceError, match="the reader of 'fixed_width' stopped"):
            shop.import_(["journal"])
    finally:
        path.unlink()
    assert shop.lake.snapshot() == before


def test_a_registered_measure_is_a_kpi(shop: Any) -> None:
    _, rows = shop.rows("SELECT value, reason FROM kpis WHERE kpi = 'till_orders' AND strftime(period_start, '%Y-%m') = '2026-10'")
    counted = shop.rows("SELECT count(*) FROM orders WHERE channel = 'till' AND strftime(local_day, '%Y-%m') = '2026-10'")[1][0][0]
    assert rows == [(counted, "")]
    assert counted >= 2


def test_a_registered_channel_takes_messages_exactly_once(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from our_plugin.spool import Spool  # type: ignore[import-not-found]

    spool = shop.root / "out" / "gateway"
    whole = Spool.hand_over

    def stops(self: Any, run_id: int, part: str, messages: Any) -> None:
        whole(self, run_id, part, messages)
        raise RuntimeError("the power is gone")

    monkeypatch.setattr(Spool, "hand_over", stops)
    with pytest.raises(RuntimeError, match="the power is gone"):
        shop.deliver(at=END)
    monkeypatch.setattr(Spool, "hand_over", whole)
    sent = [json.loads(line)["id"] for path in spool.glob("*.jsonl") for line in path.read_text().splitlines()]
    done = shop.deliver(at=END)
    assert sent
    assert (done.resolved_sent, done.resolved_again) == (len(sent), 0), "what the spool had is sent, and not sent again"
    after = [json.loads(line)["id"] for path in spool.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert len(after) == len(set(after)) == len(sent) + done.sent
    by_mail = {row["message_id"] for row in shop.state.select("messages") if row["channel"] == "email" and row["status"] == "sent"}
    assert by_mail == set(after)
    assert not list((shop.root / "out/messages").glob("*/part-*/*.eml")), "e-mail goes to the spool, not to the folder"


def test_a_slow_claimant_finds_its_part_taken_back(installed: Path, tmp_path: Path) -> None:
    from kundig.errors import Conflict

    spool = hooks.named("channels", "spool")(folder=tmp_path / "messages")
    assert isinstance(spool, hooks.Channel)
    assert spool.withdraw(7, "part-1") == frozenset()
    with pytest.raises(Conflict):
        spool.hand_over(7, "part-1", [])


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("sources/journal.yaml", "format: fixed_width", "format: fixed_with", r"there is no format 'fixed_with'[\s\S]*did you mean 'fixed_width'"),
        ("channels.yaml", "connector: spool", "connector: spol", r"there is no connector 'spol'[\s\S]*did you mean 'spool'"),
        ("sources/journal.yaml", "format: fixed_width", "format: csv", "the format csv takes no `options`"),
    ],
)
def test_a_name_that_nobody_registers_is_refused(installed: Path, tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    root = default_workspace(tmp_path / "shop")
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text(FILES[file].replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        kundig.open(root)


def test_settings_that_a_connector_does_not_take_are_named(installed: Path, shop: Any, tmp_path: Path) -> None:
    from kundig.deliver.handover import _Opened

    odd = shop.config.channels.model_copy(update={"connectors": {"spool": {"plaze": "x"}}})
    config = type("Odd", (), {"channels": odd, "path": lambda self, name: tmp_path / name, "secret": lambda self, text: text})()
    with pytest.raises(ContractError, match=r"'spool' cannot be opened.*plaze"):
        _Opened(config, {})["spool"]
