"""Extension points: what is registered is loaded, what does not fit is named."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest

from kundig import hooks
from kundig.errors import ContractError


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package with entry points, as pip would leave it."""
    known = hooks._entries

    def install(entries, module=""):
        folder = tmp_path / "plugin-1.0.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(entries)
        (tmp_path / "a_plugin.py").write_text(module)
        sys.modules.pop("a_plugin", None)
        known.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    sys.modules.pop("a_plugin", None)
    known.cache_clear()


def test_a_plugin_is_loaded_beside_what_is_built_in(plugin):
    before = set(hooks.load("channels"))
    plugin("[kundig.channels]\npigeon = a_plugin:Pigeon\n", "class Pigeon:\n    def hand_over(self, run_id, part, messages): ...\n    def withdraw(self, run_id, part): return frozenset()\n")
    loaded = hooks.load("channels")
    assert set(loaded) == before | {"pigeon"}
    assert isinstance(loaded["pigeon"](), hooks.Channel)
    assert hooks.named("channels", "pigeon") is loaded["pigeon"]


def test_kpis_are_collections_of_kpis(plugin):
    plugin("[kundig.kpis]\nours = a_plugin:KPIS\n", "class K:\n    name = 'x'\n    needs = ('orders',)\n    body = None\nKPIS = (K(),)\n")
    assert [one.name for one in hooks.load("kpis")["ours"]] == ["x"]
    plugin("[kundig.kpis]\nours = a_plugin:KPIS\n", "KPIS = (1,)\n")
    with pytest.raises(ContractError, match="'ours' is not what the point needs"):
        hooks.load("kpis")


@pytest.mark.parametrize(
    ("entries", "module", "message"),
    [
        ("[kundig.sources]\nx = a_plugin:missing\n", "", "'x' cannot be loaded"),
        ("[kundig.sources]\nx = a_plugin:THING\n", "THING = 1", "'x' is not what the point needs"),
        ("[kundig.sources]\nx = a_plugin:read\n", "raise RuntimeError('broken')", "cannot be loaded: broken"),
    ],
)
def test_what_does_not_fit_is_named(plugin, entries, module, message):
    plugin(entries, module)
    with pytest.raises(ContractError, match=message):
        hooks.load("sources")


def test_two_of_one_name_are_refused(plugin, monkeypatch):
    plugin("")
    both = tuple(metadata.EntryPoint(name="x", value=f"{module}:read", group="kundig.sources") for module in ("one", "two"))
    monkeypatch.setattr(hooks, "_entries", lambda point: both)
    with pytest.raises(ContractError, match="'x' is registered twice") as raised:
        hooks.load("sources")
    assert "one:read, two:read" in str(raised.value)


def test_unknown_names_have_a_mend(plugin):
    plugin("[kundig.sources]\nndjson = a_plugin:read\n", "def read(path, options): return iter(())")
    with pytest.raises(ContractError, match="no extension point 'chanels'") as raised:
        hooks.load("chanels")
    assert "did you mean 'channels'" in raised.value.mend
    with pytest.raises(ContractError, match="nothing is registered as 'njson'") as raised:
        hooks.named("sources", "njson")
    assert "did you mean 'ndjson'" in raised.value.mend
