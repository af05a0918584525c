"""Digests of files: what the file system says is unchanged is not read again; what changed is, however it hides it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kundig.collect import digests


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read, in order; files count as settled at once."""
    names: list[str] = []
    once = digests._digest

    def told(path: Path) -> str:
        names.append(path.name)
        return once(path)

    monkeypatch.setattr(digests, "_digest", told)
    monkeypatch.setattr(digests, "SETTLED", -60.0)
    return names


def test_an_unchanged_file_is_read_once(tmp_path: Path, read: list[str]) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text(file.name)
    first = digests.FileMemory(tmp_path / "memory").digest(files)
    assert digests.FileMemory(tmp_path / "memory").digest(files) == first == digests.FileMemory().digest(list(reversed(files)))
    assert sorted(read) == ["a", "a", "b", "b"], "once with memory, once without"


def test_a_change_that_hides_itself_is_seen(tmp_path: Path, read: list[str]) -> None:
    """The same size and the same time of change: its inode's own clock tells."""
    file, memory = tmp_path / "a", tmp_path / "memory"
    file.write_text("one")
    was = file.stat()
    first = digests.FileMemory(memory).digest([file])
    file.write_text("two")
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert digests.FileMemory(memory).digest([file]) != first
    assert read == ["a", "a"]


def test_a_file_written_just_now_is_not_remembered(tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "SETTLED", 60.0)
    file, memory = tmp_path / "a", tmp_path / "memory"
    file.write_text("one")
    assert digests.FileMemory(memory).digest([file]) == digests.FileMemory(memory).digest([file])
    assert read == ["a", "a"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', "\x00"])
def test_a_broken_memory_is_forgotten(text: str, tmp_path: Path, read: list[str]) -> None:
    file, memory = tmp_path / "a", tmp_path / "memory"
    file.write_text("one")
    memory.write_text(text.replace('"a"', f'"{file}"'))
    assert digests.FileMemory(memory).digest([file]) == digests.FileMemory().digest([file])


def test_a_long_file_is_told_by_each_of_its_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "PIECE", 10)
    file, data = tmp_path / "a", bytearray(range(95))
    told = set()
    for place in (None, 0, 9, 10, 55, 94):
        changed = bytearray(data)
        if place is not None:
            changed[place] ^= 1
        file.write_bytes(changed)
        told.add(digests._digest(file))
    file.write_bytes(data[10:20] + data[:10] + data[20:])
    assert len(told | {digests._digest(file)}) == 7, "no byte and no order of pieces goes unseen"
