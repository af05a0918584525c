"""What a newcomer gets wrong in a workspace's files: each answer says what, where and how to mend it, and nothing half-written stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kundig.config.load import load
from kundig.errors import ConfigError
from kundig.testing import default_workspace


def _append(name: str, text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(before + text, encoding="utf-8")

    return change


def _replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / name).read_text(encoding="utf-8")
        assert old in text, f"{name} does not hold {old!r}: the mistake would not be made"
        (root / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


MISTAKES = {
    "unknown key in toml": (_append("kundig.toml", "\n[store]\nthread = 2\n"), "unknown key 'store.thread'", "did you mean 'threads'"),
    "unknown zone": (_replace("kundig.toml", "Europe/Berlin", "Europe/Belin"), "unknown time zone 'Europe/Belin'", "Europe/Berlin"),
    "bad toml": (_append("kundig.toml", "\nname = \n"), "no TOML", "mend the line"),
    "bad yaml": (_append("audiences/win_back.yaml", "\n  rule: [unclosed\n"), "no YAML", "indentation"),
    "a key merged from a list": (_append("costs.yaml", "\nextra: &extra {x: 1}\nmore:\n  <<: *extra\n"), "unknown key 'extra'", "known:"),
    "no such date": (_append("costs.yaml", "\nsince: 2026-13-45\n"), "no YAML: month must be in 1..12", "dates that do not exist"),
    "a sign that is no text": (_append("costs.yaml", "\nsince: \x00\n"), "no YAML: unacceptable character", "no text"),
    "nested without end": (_append("costs.yaml", "\nx: " + "[" * 3000 + "]" * 3000 + "\n"), "nested too deeply", "levels"),
    "unknown column in a source": (_append("sources/shop.yaml", "inputs:\n  - files: exports/a.csv\n    formt: csv\n    lands: [{table: orders, columns: {order_id: a}}]\n"), "formt", "did you mean 'format'"),
    "a literal key": (_append("brand/voice.yaml", "\napi_key: sk_live_0123456789abcdef\n"), "literal key", "secrets.toml"),
    "unknown segment state in the matrix": (_replace("persona_matrix.csv", "prospect,*,*,prospect", "prospect,*,*,prospekt"), "prospekt", "prospect"),
    "a cell too many": (_append("persona_matrix.csv", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\n"), "cells where the head has", "quote cells"),
    "a wrong amount": (_append("costs.yaml", "\nfulfilment_order: vier\n"), "fulfilment_order", ""),
    "not utf-8": (lambda root: (root / "costs.yaml").write_bytes("goods_share: 0.5 # für".encode("cp1252")), "not UTF-8", "save it as UTF-8"),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_each_mistake_is_told_with_its_mend(name: str, tmp_path: Path) -> None:
    change, what, mend = MISTAKES[name]
    default_workspace(tmp_path)
    load(tmp_path)
    change(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    told = str(caught.value)
    assert what in told, told
    assert mend in told, told
    assert any(fault.at for fault in caught.value.faults)
    assert not (tmp_path / "data").exists()


def test_all_mistakes_come_back_at_once(tmp_path: Path) -> None:
    default_workspace(tmp_path)
    for name in ("unknown zone", "bad yaml", "a literal key", "unknown segment state in the matrix"):
        MISTAKES[name][0](tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert len(caught.value.faults) >= 4
    assert {fault.at.split(",")[0] for fault in caught.value.faults} >= {"kundig.toml", "audiences/win_back.yaml", "brand/voice.yaml", "persona_matrix.csv"}


def test_no_workspace_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kundig init"):
        load(tmp_path)


def test_origin_of_a_value_is_known(tmp_path: Path) -> None:
    default_workspace(tmp_path)
    config = load(tmp_path)
    assert config.origin("settings.workspace.zone").startswith("kundig.toml, line ")
    assert config.origin("settings.store.threads") == "default"


def test_a_secret_is_taken_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default_workspace(tmp_path)
    (tmp_path / "secrets.toml").write_text('STATE_URL = "postgresql://one"\n', encoding="utf-8")
    monkeypatch.setenv("OTHER", "two")
    config = load(tmp_path)
    assert config.secret("${STATE_URL}/${OTHER}") == "postgresql://one/two"
    with pytest.raises(ConfigError, match="'MISSING' is not set"):
        config.secret("${MISSING}")


def test_names_are_not_missed_in_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """One mistake is told once: audiences that name a purpose are right, as long as nobody can read the purposes."""
    default_workspace(tmp_path)
    with (tmp_path / "purposes.yaml").open("a", encoding="utf-8") as file:
        file.write("\n  [unclosed\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert {fault.at.split(",")[0] for fault in caught.value.faults} == {"purposes.yaml"}
