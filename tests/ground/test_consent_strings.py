"""TC and GPP strings: what the frameworks' own decoders read from them, and nothing that cannot be read whole allows anything."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundig.consent import gpp, tcf
from kundig.consent.bits import ALPHABET, Bits, Ids
from kundig.errors import ContractError

HERE = Path(__file__).parent / "consent_strings"
FULL = os.environ.get("KUNDIG_FULL") == "1"
LINES = [json.loads(line) for line in (HERE / "strings.jsonl").read_text(encoding="utf-8").splitlines()]
NUMBERS = ("cmp_id", "cmp_version", "screen", "vendor_list_version", "policy_version", "language", "publisher_country", "service_specific", "non_standard_texts", "purpose_one_treatment")
SETS = ("special_features", "purposes", "legitimate_interests", "vendors", "vendor_interests")
CHOICES = ("not_applicable", "opted_out", "did_not_opt_out")


def difference(line: dict) -> str:
    """What a string was read as otherwise than by its framework's decoder; '' where they agree, or where it is refused by rule, and then why."""
    if line["kind"] == "gpp":
        return _gpp(line)
    moment = {name: dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=line[name]) for name in ("created", "last_updated")}
    invalid = (line["disclosed"] is None and moment["last_updated"] >= tcf.DISCLOSED_SINCE) or (not line["service_specific"] and moment["last_updated"] >= tcf.LOCAL_SINCE)
    try:
        read = tcf.decode(line["text"])
    except ContractError as error:
        return "" if invalid else str(error)
    if invalid:
        return "an invalid string was taken"
    wrong = [name for name in NUMBERS if getattr(read, name) != line[name]]
    wrong += [name for name in SETS if sorted(getattr(read, name)) != sorted(line[name])]
    wrong += [name for name, told in moment.items() if getattr(read, name) != told]
    if sorted((one.purpose, int(one.kind), tuple(one.vendors)) for one in read.restrictions) != sorted((purpose, kind, tuple(sorted(vendors))) for purpose, kind, vendors in line["restrictions"]):
        wrong.append("restrictions")
    if (None if read.disclosed is None else list(read.disclosed)) != line["disclosed"]:
        wrong.append("disclosed")
    publisher = read.publisher
    said = [[], [], [], []] if publisher is None else [sorted(part) for part in (publisher.purposes, publisher.legitimate_interests, publisher.custom_purposes, publisher.custom_legitimate_interests)]
    return ", ".join([*wrong, *(["publisher"] if said != line["publisher"] else [])])


def _gpp(line: dict) -> str:
    try:
        read = gpp.decode(line["text"])
    except ContractError as error:
        return str(error)
    found = {one.section: {"sale": CHOICES.index(one.sale), "sharing": CHOICES.index(one.sharing), "targeted_advertising": CHOICES.index(one.targeted_advertising), "gpc": one.gpc} for one in read.usa}
    wrong = [] if list(read.sections) == line["sections"] else ["sections"]
    return ", ".join(wrong + [name for name in set(found) | set(line["said"]) if found.get(name) != line["said"].get(name)])


def test_strings_are_read_as_their_own_decoders_read_them():
    wrong = {line["text"][:60]: told for line in LINES if (told := difference(line))}
    assert not wrong
    assert {line["kind"] for line in LINES} == {"tcf", "gpp"} and len(LINES) > 100


@pytest.mark.needs_node
@pytest.mark.skipif(not FULL, reason="the frameworks' own encoders run with KUNDIG_FULL=1")
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_new_strings_of_the_frameworks_own_encoders(tmp_path):
    for name in ("package.json", "oracle.js"):
        shutil.copy(HERE / name, tmp_path)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=tmp_path, check=True, timeout=300, capture_output=True)
    told = subprocess.run(["node", "oracle.js", "4000", "11"], cwd=tmp_path, check=True, timeout=600, capture_output=True, text=True)
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(lines) == 4_000
    assert not {line["text"][:60]: wrong for line in lines if (wrong := difference(line))}
    print(f"\n4,000 strings of @iabtcf/core and @iabgpp/cmpapi: 0 read otherwise, {sum(map(refused, lines))} refused by the framework's rules")


def refused(line: dict) -> bool:
    """Whether a string is refused."""
    try:
        (tcf if line["kind"] == "tcf" else gpp).decode(line["text"])
    except ContractError:
        return True
    return False


TAKEN = [line["text"] for line in LINES if line["kind"] == "tcf" and not refused(line)]
EVERY_PURPOSE = range(1, 12)


def test_some_strings_allow_something():
    """The control of the laws below: there is something that a damaged string could keep."""
    assert any(tcf.decode(text).allows([1]) or any(tcf.decode(text).allows([1], vendor=vendor) for vendor in range(1, 40)) for text in TAKEN)


@pytest.mark.parametrize("text", ["CPAAAAAAAAAAAAAAAA", "this is no consent string", "", "C", ".", "CP..", "é", "A" * 30_000, "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA"])
def test_what_is_no_string_is_refused(text):
    with pytest.raises(ContractError, match=r"."):
        tcf.decode(text)


@given(st.sampled_from(TAKEN), st.data())
@settings(max_examples=300 if FULL else 60, deadline=None)
def test_a_cut_string_is_refused_or_allows_no_more(text, data):
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    whole = tcf.decode(text)
    try:
        read = tcf.decode(cut)
    except ContractError:
        return
    for purpose in EVERY_PURPOSE:
        assert whole.allows([purpose]) or not read.allows([purpose])
        for vendor in (1, 2, 3, 20, 60):
            assert whole.allows([purpose], vendor=vendor) or not read.allows([purpose], vendor=vendor) or read.disclosed is None


@given(st.text(max_size=80) | st.text(alphabet=sorted(ALPHABET), max_size=200).map(lambda tail: "C" + tail) | st.text(alphabet=[*sorted(ALPHABET), "~", "."], max_size=80).map(lambda tail: "DBA" + tail))
@settings(max_examples=3_000 if FULL else 300, deadline=None)
def test_any_text_is_read_or_refused(text):
    for decode in (tcf.decode, gpp.decode):
        with suppress(ContractError):
            decode(text)


def string(**changes: object) -> tcf.TcString:
    """A string in which vendor 7 may use purposes 1 to 3, by the changes given."""
    day = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    held = {
        "created": day, "last_updated": day, "cmp_id": 31, "cmp_version": 1, "screen": 1, "language": "DE", "vendor_list_version": 100, "policy_version": 5, "service_specific": True,
        "non_standard_texts": False, "special_features": frozenset(), "purposes": frozenset({1, 2, 3}), "legitimate_interests": frozenset({4}), "purpose_one_treatment": False, "publisher_country": "DE",
        "vendors": Ids(((7, 7),)), "vendor_interests": Ids(), "restrictions": (), "disclosed": Ids(((1, 9),)), "publisher": None,
    }  # fmt: skip
    return tcf.TcString(**(held | changes))


@pytest.mark.parametrize(
    ("changes", "purposes", "vendor", "allowed"),
    [
        ({}, (1, 2, 3), 7, True), ({}, (1, 4), 7, False), ({}, (), 7, False), ({}, (1,), 8, False), ({"disclosed": Ids(((8, 9),))}, (1,), 7, False), ({"disclosed": None}, (1,), 7, True),
        ({"restrictions": (tcf.Restriction(purpose=1, kind=tcf.Restricted.NOT_ALLOWED, vendors=Ids(((7, 7),))),)}, (1,), 7, False),
        ({"restrictions": (tcf.Restriction(purpose=1, kind=tcf.Restricted.NEEDS_LEGITIMATE_INTEREST, vendors=Ids(((7, 7),))),)}, (1,), 7, False),
        ({"restrictions": (tcf.Restriction(purpose=1, kind=tcf.Restricted.NEEDS_CONSENT, vendors=Ids(((7, 7),))),)}, (1,), 7, True),
        ({"restrictions": (tcf.Restriction(purpose=2, kind=tcf.Restricted.NOT_ALLOWED, vendors=Ids(((7, 7),))),)}, (1,), 7, True),
        ({}, (1,), None, False),
        ({"publisher": tcf.Publisher(purposes=frozenset({1}), legitimate_interests=frozenset(), custom_purposes=frozenset(), custom_legitimate_interests=frozenset())}, (1,), None, True),
    ],
)  # fmt: skip
def test_what_a_string_allows(changes, purposes, vendor, allowed):
    assert string(**changes).allows(purposes, vendor=vendor) is allowed


def test_a_string_of_the_future_is_refused():
    line = next(line for line in LINES if line["kind"] == "tcf" and not refused(line))
    told = tcf.decode(line["text"]).last_updated
    tcf.decode(line["text"], at=told)
    with pytest.raises(ContractError, match="has not come yet"):
        tcf.decode(line["text"], at=told - dt.timedelta(days=3))


@pytest.mark.parametrize("text", ["DBABTA", "DBABTA~1YNN~1YNN", "DBABTA~2YNN", "DBABTA~1YXN", "AAAA~x", "DBAAAAAAAAAAA", "DBABLA~", "DBABLA~BVVqAAAAAAA_"])
def test_what_is_no_gpp_string_is_refused(text):
    with pytest.raises(ContractError, match=r"."):
        gpp.decode(text)


@pytest.mark.parametrize(("text", "out"), [("DBABTA~1YYN", True), ("DBABTA~1YNN", False), ("DBABTA~1---", False)])
def test_opting_out(text, out):
    assert gpp.decode(text).opted_out is out


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9))))
def test_ids_are_a_set(pairs):
    ranges = [(start, start + more) for start, more in pairs]
    every = {one for start, end in ranges for one in range(start, end + 1)}
    ids = Ids.of(ranges)
    assert list(ids) == sorted(every) and len(ids) == len(every) and all((one in ids) == (one in every) for one in range(75))


@pytest.mark.parametrize(("letter", "number"), [("w", 1), ("Y", 2), ("M", 3), ("s", 4), ("G", 5)])
def test_fibonacci_numbers(letter, number):
    assert Bits(letter, at="x").fibonacci("n") == number
