"""Person ids read back, and engines write them as Python does."""

from __future__ import annotations

import ibis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundig.errors import IdentityError
from kundig.unify.person_ids import person_id, person_id_column, person_key


@given(st.integers(0, 2**60 - 1))
def test_person_ids_read_back(key: int) -> None:
    assert person_key(person_id(key)) == key


@pytest.mark.parametrize("text", ["", "p", "p123", "q0000000000000ff", "p0000000000000FF", "p0000000000000ff0"])
def test_what_is_no_person_id_is_refused(text: str) -> None:
    with pytest.raises(IdentityError, match="no person id"):
        person_key(text)


def test_the_engine_writes_the_same_person_id() -> None:
    keys = [0, 1, 15, 16, 255, 2**59 + 12345, 2**60 - 1, 545648149811739005]
    table = ibis.memtable({"key": keys}, schema={"key": "int64"})
    rows = table.select("key", text=person_id_column(table.key)).to_pyarrow().to_pylist()
    assert {r["key"]: r["text"] for r in rows} == {k: person_id(k) for k in keys}
