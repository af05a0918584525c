"""Files by content: whole or absent, never twice, never outside their folder."""

from __future__ import annotations

import os

import pytest

from kundig.errors import StoreError
from kundig.store.files import Files


def test_same_content_is_one_file(tmp_path):
    files = Files(tmp_path / "assets")
    source = tmp_path / "logo.svg"
    source.write_bytes(b"x" * 3_000_000)
    name = files.put(source)
    assert name == files.put(b"x" * 3_000_000)
    assert list(files.names()) == [name]
    assert name in files
    assert files.get(name) == source.read_bytes()
    assert files.delete(name)
    assert not files.delete(name)
    assert name not in files


def test_damage_is_found(tmp_path):
    files = Files(tmp_path)
    name, other = files.put(b"whole"), files.put(b"other")
    assert files.verify() == []
    files.path(name).write_bytes(b"broken")
    assert files.verify() == [name]
    with pytest.raises(StoreError, match="is damaged"):
        files.get(name)
    files.delete(other)
    with pytest.raises(StoreError, match="is missing"):
        files.get(other)


@pytest.mark.parametrize("name", ["../secrets.toml", "", "A" * 64, "0" * 63, f"{'0' * 64}/.."])
def test_no_name_leads_outside(tmp_path, name):
    with pytest.raises(StoreError, match="no name of a stored file"):
        Files(tmp_path).get(name)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    files = Files(tmp_path)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        files.put(b"content")
    assert list(files.names()) == []
    assert files.sweep() == 0


def test_what_a_crash_left_staged_is_swept(tmp_path):
    files = Files(tmp_path)
    kept = files.put(b"kept")
    (tmp_path / ".staged" / "half").write_bytes(b"ha")
    assert list(files.names()) == [kept]
    assert files.sweep() == 1
    assert files.get(kept) == b"kept"
