"""The decoder of replication messages: each kind, what is no message, and cut ones."""

from __future__ import annotations

import contextlib
import datetime as dt
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundig.collect.cdc import pgoutput
from kundig.collect.cdc.pgoutput import UNCHANGED, decode
from kundig.errors import SourceError


def _row(*values: str | pgoutput.Unchanged | None) -> bytes:
    out = struct.pack(">H", len(values))
    for value in values:
        if value is None:
            out += b"n"
        elif isinstance(value, pgoutput.Unchanged):
            out += b"u"
        else:
            out += b"t" + struct.pack(">I", len(value.encode())) + value.encode()
    return out


MESSAGES = {
    b"B" + struct.pack(">QqI", 0x1_00000010, 1_000_000, 7): pgoutput.Begin(lsn=0x1_00000010, committed_at=dt.datetime(2000, 1, 1, 0, 0, 1, tzinfo=dt.UTC), xid=7),
    b"C\0" + struct.pack(">QQq", 16, 32, 0): pgoutput.Commit(lsn=16, end=32, committed_at=dt.datetime(2000, 1, 1, tzinfo=dt.UTC)),
    b"R" + struct.pack(">I", 9) + b"shop\0orders\0d" + struct.pack(">H", 2) + b"\1no\0" + struct.pack(">Ii", 23, -1) + b"\0note\0" + struct.pack(">Ii", 25, -1): pgoutput.Relation(
        oid=9, schema="shop", name="orders", identity="d", columns=(pgoutput.ColumnOf(key=True, name="no", type=23), pgoutput.ColumnOf(key=False, name="note", type=25))
    ),
    b"Y" + struct.pack(">I", 77) + b"public\0mood\0": pgoutput.TypeOf(oid=77, schema="public", name="mood"),
    b"I" + struct.pack(">I", 9) + b"N" + _row("1", "ä"): pgoutput.Insert(relation=9, new=("1", "ä")),
    b"U" + struct.pack(">I", 9) + b"N" + _row("1", UNCHANGED): pgoutput.Update(relation=9, old=None, kind="", new=("1", UNCHANGED)),
    b"U" + struct.pack(">I", 9) + b"K" + _row("1", None) + b"N" + _row("2", ""): pgoutput.Update(relation=9, old=("1", None), kind="K", new=("2", "")),
    b"U" + struct.pack(">I", 9) + b"O" + _row("1", "a") + b"N" + _row("1", "b"): pgoutput.Update(relation=9, old=("1", "a"), kind="O", new=("1", "b")),
    b"D" + struct.pack(">I", 9) + b"K" + _row("1", None): pgoutput.Delete(relation=9, old=("1", None), kind="K"),
    b"D" + struct.pack(">I", 9) + b"O" + _row("1", "b"): pgoutput.Delete(relation=9, old=("1", "b"), kind="O"),
    b"T" + struct.pack(">IBII", 2, 1, 9, 10): pgoutput.Truncate(relations=(9, 10)),
    b"O" + struct.pack(">Q", 1) + b"elsewhere\0": pgoutput.Other(tag="O"),
}  # fmt: skip


@pytest.mark.parametrize("data", MESSAGES, ids=lambda data: chr(data[0]) + str(len(data)))
def test_each_kind_of_message(data: bytes) -> None:
    assert decode(data) == MESSAGES[data]


@pytest.mark.parametrize("data", [data for data in MESSAGES if data[:1] != b"O"], ids=lambda data: chr(data[0]) + str(len(data)))
def test_a_cut_message_is_told(data: bytes) -> None:
    for end in range(1, len(data)):
        with pytest.raises(SourceError, match="cannot be read"):
            decode(data[:end])


def test_a_moment_that_no_calendar_has_is_told() -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        decode(b"B" + bytes(8) + (2**58).to_bytes(8, "big") + bytes(4))


@given(st.binary(max_size=60))
def test_whatever_comes_is_a_message_or_a_fault(data: bytes) -> None:
    with contextlib.suppress(SourceError):
        assert decode(data) is not None


@given(st.integers(1, 2**40), st.integers(0, 40), st.sets(st.integers(0, 60), max_size=8), st.integers(-50, 60))
def test_a_snapshot_tells_transactions_by_the_low_half_of_their_number(first: int, width: int, under_way: set[int], offset: int) -> None:
    """Against the plain rule on whole numbers, also where the low 32 bits run over."""
    from kundig.collect.cdc.server import visible

    last, whole = first + width, first + offset
    waiting = sorted(first + one for one in under_way if first + one < last)
    truth = whole < first or (whole < last and whole not in waiting)
    if whole > 0:
        assert visible(f"{first}:{last}:{','.join(map(str, waiting))}", whole & 0xFFFFFFFF) == truth
