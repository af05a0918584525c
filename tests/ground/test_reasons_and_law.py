"""Reasons are a closed list with two whole sentences each; the files of law are read, refused and shipped as they should be."""

from __future__ import annotations

import datetime as dt
import string
from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from kundig import reasons
from kundig.config import law
from kundig.config.law import PROTECTED, Channels, Policy, Purposes, Quiet
from kundig.errors import ContractError

DEFAULTS = Path(law.__file__).parent / "defaults"


@pytest.mark.parametrize("code", reasons.ALL)
def test_each_reason_has_two_whole_sentences(code):
    reason = reasons.ALL[code]
    fields = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (reason.de, reason.en)]
    assert fields[0] == fields[1] == reason.fields
    for text, locale in ((reason.de, "de"), (reason.en, "en")):
        assert text[0].isupper() or text[0] in "„“{c", text
        assert text.endswith((".", ")."))
        assert "{" not in reasons.sentence(code, locale, **dict.fromkeys(reason.fields, "x"))


def test_codes_are_unique():
    listed = [line for text in reasons._LISTED.values() for line in text.strip().splitlines()]
    assert len(listed) == len(reasons.ALL)


def test_unknown_codes_locales_and_missing_values_are_errors():
    with pytest.raises(ContractError, match="no reason code 'objceted'") as raised:
        reasons.sentence("objceted", "de")
    assert "did you mean 'objected'" in raised.value.mend
    with pytest.raises(ContractError, match="no sentences in 'fr'"):
        reasons.sentence("objected", "fr")
    with pytest.raises(ContractError, match="needs days, most"):
        reasons.sentence("cap_reached", "de")


def test_values_are_spoken_by_locale():
    assert reasons.sentence("too_few", "de", count=1234, needed=20_000) == "Nur 1.234 Fälle; 20.000 sind nötig."
    assert reasons.sentence("too_few", "en", count=1234, needed=20_000) == "Only 1,234 cases; 20,000 are needed."
    assert reasons.sentence("rate_missing", "de", currency="SEK", day=dt.date(2026, 3, 29)) == "Kein Wechselkurs für SEK am 29.03.2026."
    assert reasons.sentence("forbidden_attribute", "en", attributes=["gender", "religion"]).endswith("gender, religion.")


def read(name):
    return YAML(typ="safe").load((DEFAULTS / name).read_text(encoding="utf-8"))


def test_shipped_files_are_valid_and_fit_each_other():
    purposes, channels = Purposes(**read("purposes.yaml")), Channels(**read("channels.yaml"))
    assert {channel for _, channel in purposes.pairs()} == set(channels.channels)
    policies = {path.stem: Policy(**read(f"policies/{path.name}")) for path in (DEFAULTS / "policies").glob("*.yaml")}
    assert set(policies) >= {"win_back", "welcome", "loyalty"}
    for policy in policies.values():
        assert policy.approved
        assert all(purposes.rule(policy.purpose, channel) is not None for channel in policy.channels)
        assert policy.refused(PROTECTED) == tuple(sorted(PROTECTED))
    assert channels.quiet_of("push") == Quiet(**{"from": "21:00", "until": "08:00"})
    assert channels.quiet_of("email") is None
    assert len(purposes.purposes["newsletter"].wording_hash("2025-01", "de")) == 64
    assert purposes.purposes["newsletter"].wording_hash("2025-01", "en") != purposes.purposes["newsletter"].wording_hash("2025-01", "de")
    assert purposes.purposes["newsletter"].wording_hash("1999-01", "de") == ""


@pytest.mark.parametrize(
    ("model", "content", "message"),
    [
        (Purposes, {"purposes": {"*": {"channels": {"email": {"bases": ["consent"]}}}}}, "means every purpose"),
        (Purposes, {"purposes": {"n": {"channels": {"*": {"bases": ["consent"]}}}}}, "name each channel"),
        (Purposes, {"purposes": {"n": {"channels": {"email": {"bases": []}}}}}, "at least 1 item"),
        (Purposes, {"purposes": {"n": {"channels": {"email": {"bases": ["hope"]}}}}}, "existing_customer"),
        (Channels, {"caps": [{"days": 2, "most": 1}]}, "1, 7 or 30"),
        (Channels, {"quiet": {"from": "21:00+01:00", "until": "08:00"}}, "local times"),
        (Policy, {"purpose": "n", "approval": {"role": "intern", "reason": "r"}}, "owner"),
        (Policy, {"purpose": "n", "segment": "x"}, "Extra inputs"),
    ],
)
def test_wrong_files_are_refused(model, content, message):
    with pytest.raises(ValidationError, match=message):
        model(**content)
