"""identity.yaml and profiles.yaml: the shipped texts say what is assumed without them, and faults are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

import kundig.config
from kundig.config.base import Record
from kundig.config.unify import FILES, NAMESPACES, Identity, Namespace, ProfileRules

DEFAULTS = Path(kundig.config.__file__).parent / "defaults"


@pytest.mark.parametrize(("name", "model"), [("identity", Identity), ("profiles", ProfileRules)])
def test_the_shipped_file_is_what_is_assumed_without_it(name: str, model: type[Record]) -> None:
    text = (DEFAULTS / f"{name}.yaml").read_text(encoding="utf-8")
    assert model.model_validate(YAML(typ="safe").load(text)) == model()
    assert {kind.name: kind.model for kind in FILES}[name] is model


def test_a_given_namespace_replaces_one_and_leaves_the_others() -> None:
    rules = Identity.model_validate({"namespaces": {"email": {"priority": 5, "kind": "contact"}, "pos_card": {"priority": 6}}})
    assert rules.namespace("email").limit is None
    assert rules.namespace("customer_id") == NAMESPACES["customer_id"]
    assert rules.namespace("pos_card").kind == "person"
    assert sorted(["device_id", "email", "pos_card", "customer_id"], key=rules.strength) == ["customer_id", "pos_card", "email", "device_id"]


@pytest.mark.parametrize(
    ("namespace", "value", "blocked"),
    [
        ("email", "noreply@shop.example", True), ("email", "anna@example.org", False), ("phone", "00000012", True), ("customer_id", "guest", True),
        ("customer_id", "guestbook", False), ("customer_id", "  ", True), ("email", "no.reply@example.org", False), ("crm_id", "x\nnoreply@a", False),
    ],
)  # fmt: skip
def test_blocked_values(namespace: str, value: str, blocked: bool) -> None:
    assert Identity().is_blocked(namespace, value) is blocked


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"namespaces": {"E-Mail": {}}}, "no name of a namespace"),
        ({"namespaces": {"email": {"kind": "device", "unique": True}}}, "any number of devices"),
        ({"namespaces": {"login": {"unique": True, "limit": 3}}}, "unique means a limit of 1"),
        ({"namespace": {}}, "Extra inputs"),
    ],
)
def test_faults_of_identity(given: dict[str, object], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        Identity.model_validate(given)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"strategies": {"emial": "latest"}}, "did you mean 'email'"),
        ({"strategies": {"hobbies": "latest"}}, "cannot be merged by latest"),
        ({"strategies": {"email": "union"}}, "cannot be merged by union"),
        ({"strategies": {"city": "maximum"}}, "has no maximum"),
        ({"trusted_for": {"citi": ["crm"]}}, "did you mean 'city'"),
        ({"trusted_for": {"age": ["crm"]}}, "asks no source"),
        ({"stale_days": {"phone": 0}}, "stale at once"),
        ({"attributes": {"city": {"meaning": "x", "field": "x"}}}, "built in"),
        ({"attributes": {"Shoe": {"meaning": "x", "field": "x"}}}, "no name of an attribute"),
        ({"attributes": {"shoe": {"meaning": "x"}}}, "give one of them"),
        ({"attributes": {"shoe": {"meaning": "x", "field": "a", "question": "b"}}}, "give one of them"),
        ({"attributes": {"shoe": {"meaning": "x", "field": "a", "survey": "b"}}}, "belongs to a `question`"),
        ({"attributes": {"shoe": {"meaning": "x", "field": "a'b"}}}, "has quotes"),
        ({"attributes": {"dog": {"meaning": "x", "field": "a", "type": "bool"}}, "strategies": {"dog": "minimum"}}, "yes or no and has no minimum"),
    ],
)
def test_faults_of_profiles(given: dict[str, object], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        ProfileRules.model_validate(given)


def test_the_limit_of_a_unique_namespace_is_one() -> None:
    assert (Namespace(unique=True).most, Namespace(limit=4).most, Namespace().most) == (1, 4, 0)
