"""Identifiers: spelt alike whatever the source, and person ids that read back."""

from __future__ import annotations

import hashlib

import ibis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundig.errors import IdentityError
from kundig.unify.identifiers import identifier_key, normalised, person_id, person_id_column, person_key


@pytest.mark.parametrize(
    ("namespace", "value", "expected"),
    [
        ("email", "Anna@Example.ORG", "anna@example.org"), ("email", " mailto:anna@example.org ", "anna@example.org"), ("email", "<a@b.de>", "a@b.de"),
        ("email", "an.na+x@gmail.com", "anna@gmail.com"), ("email", "a.b@web.de", "a.b@web.de"), ("email", "anna@münchen.de", "anna@xn--mnchen-3ya.de"),
        ("email", "anna", None), ("email", "a@b", None), ("email", "@b.de", None), ("email", "a@b..de", None), ("email", "", None), ("email", None, None),
        ("email", "an\u200bna@example.org", "anna@example.org"), ("phone", "030/901820", "+4930901820"), ("phone", "+43 1 58858", "+43158858"),
        ("phone", "0049 30 901820", "+4930901820"), ("phone", "abc", None), ("phone", "1", None), ("customer_id", " 0042\n", "0042"), ("customer_id", "ABc", "ABc"),
        ("email_hash", "ABCDEF", "abcdef"), ("customer_id", "\u202e123", "123"), ("customer_id", "x" * 10_000, None), ("customer_id", "u\u0308", "ü"),
    ],
)  # fmt: skip
def test_normalised(namespace: str, value: str | None, expected: str | None) -> None:
    assert normalised(namespace, value) == expected


@given(st.sampled_from(["email", "phone", "customer_id", "email_hash"]), st.text(max_size=40))
def test_normalising_twice_changes_nothing(namespace: str, value: str) -> None:
    once = normalised(namespace, value)
    assert once is None or normalised(namespace, once) == once


def test_the_key_is_what_landing_writes() -> None:
    assert identifier_key("email", "a@b.de") == int(hashlib.md5(b"email:a@b.de").hexdigest()[:15], 16)
    assert 0 <= identifier_key("x", "y") < 2**60


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
