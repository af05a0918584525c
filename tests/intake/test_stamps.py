"""Consent in the words of others: strings of consent tools, Google's signals and Global Privacy Control are in the log before the answer, and what cannot be read allows nothing."""

from __future__ import annotations

import datetime as dt

import pytest

from kundig.collect.intake import keys
from kundig.collect.intake.stamps import Stamps
from kundig.config.law import Signals
from kundig.consent import tcf
from kundig.errors import ConfigError
from kundig.workspace import Workspace
from tests.ground.test_consent_strings import TAKEN
from tests.intake.asking import Here
from tests.intake.conftest import make_workspace

AT = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
AD, WEB = ("advertising", "ad_audience"), ("analytics", "web")
SIGNALS = """
signals:
  tcf: {vendor: 2, covers: {advertising/ad_audience: [1, 2]}}
  google: {analytics_storage: [analytics/web], ad_user_data: [advertising/ad_audience], ad_personalization: [advertising/ad_audience]}
  opt_out: [advertising/ad_audience]
"""
GIVES = next(text for text in TAKEN if tcf.decode(text).allows([1, 2], vendor=2))
DENIES = next(text for text in TAKEN if not tcf.decode(text).allows([1, 2], vendor=2))


@pytest.fixture
def workspace(tmp_path):
    found = make_workspace(tmp_path / "shop", signals=False)
    file = found.root / "purposes.yaml"
    file.write_text(file.read_text(encoding="utf-8") + SIGNALS, encoding="utf-8")
    return Workspace(found.root)


@pytest.fixture
def intake(workspace):
    with Here(workspace, keys.create(workspace.state, "web")) as here:
        yield here


def said(intake):
    state = intake.workspace.state
    return [(row["purpose"], row["channel"], row["status"]) for row in state.select("consent_log", order_by=state.sql("consent_log").c.seq)]


@pytest.mark.parametrize(
    ("carried", "expected"),
    [
        ({"tcString": GIVES}, {AD: "given"}), ({"tcString": DENIES}, {AD: "withdrawn"}), ({"tcString": GIVES[:-3]}, {AD: "withdrawn"}), ({"tcString": 7}, {AD: "withdrawn"}), ({"tcString": None}, {AD: "withdrawn"}),
        ({"gppString": f"DBABMA~{GIVES}"}, {AD: "given"}), ({"gppString": "DBABTA~1YYN"}, {AD: "objected"}), ({"gppString": "DBABTA~1YNN"}, {}), ({"gppString": "DBABTA"}, {AD: "withdrawn"}),
        ({"google": {"analytics_storage": "granted"}}, {WEB: "given"}), ({"google": {"analytics_storage": "denied"}}, {WEB: "withdrawn"}), ({"google": {"analytics_storage": True}}, {WEB: "withdrawn"}),
        ({"google": {"ad_user_data": "granted", "ad_personalization": "denied"}}, {AD: "withdrawn"}), ({"google": {"ad_personalization": "granted", "ad_user_data": "granted"}}, {AD: "given"}),
        ({"google": "granted"}, {WEB: "withdrawn", AD: "withdrawn"}), ({"gpc": True}, {AD: "objected"}), ({"gpc": False}, {}), ({"gpc": True, "tcString": GIVES}, {AD: "objected"}), ({}, {}),
    ],
)  # fmt: skip
def test_what_is_carried_along(workspace, carried, expected):
    assert Stamps(workspace.config.purposes.signals).stated(carried, at=AT) == expected


def test_what_is_not_declared_is_not_read():
    assert Stamps(Signals()).stated({"tcString": GIVES, "gpc": True, "google": {"ad_storage": "granted"}, "gppString": "DBABTA~1YYN"}, at=AT, gpc=True) == {}
    assert Stamps(Signals()).names() == []


def test_a_string_is_in_the_log_before_its_answer_and_once(intake, track):
    for number in range(3):
        assert intake.post("/v1/track", track(number, context={"consent": {"tcString": GIVES}})).status == 200
    assert said(intake) == [(*AD, "given")]
    assert intake.post("/v1/track", track(9, context={"consent": {"tcString": GIVES[:-2]}})).status == 200
    assert said(intake) == [(*AD, "given"), (*AD, "withdrawn")], "a damaged string allows nothing"


def test_the_header_of_global_privacy_control_objects(intake, track):
    assert intake.post("/v1/track", track(1)).status == 200
    assert said(intake) == []
    for number in (2, 3):
        assert intake.post("/v1/track", track(number), headers={"Sec-GPC": "1"}).status == 200
    assert said(intake) == [(*AD, "objected")]
    assert intake.post("/v1/track", track(4), headers={"Sec-GPC": "0"}).status == 200
    assert said(intake) == [(*AD, "objected")]


def test_what_is_said_outright_goes_first(intake, track, workspace):
    file = workspace.root / "purposes.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "  events: {Chosen: {status: given, covers: [advertising/ad_audience]}}\n", encoding="utf-8")
    again = Workspace(workspace.root)
    with Here(again, keys.create(again.state, "web")) as here:
        assert here.post("/v1/track", track(1, event="Chosen", context={"consent": {"tcString": DENIES}})).status == 200
        assert said(here) == [(*AD, "given")]


@pytest.mark.parametrize("broken", ["opt_out: [advertisin/ad_audience]", "tcf: {covers: {}}", "tcf: {covers: {advertising/ad_audience: []}}", "tcf: {covers: {advertising/ad_audience: [25]}}", "google: {ad_store: [analytics/web]}"])
def test_declarations_that_mean_nothing_are_refused(tmp_path, broken):
    found = make_workspace(tmp_path / "shop", signals=False)
    file = found.root / "purposes.yaml"
    file.write_text(file.read_text(encoding="utf-8") + f"\nsignals:\n  {broken}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"purposes.yaml"):
        _ = Workspace(found.root).config
