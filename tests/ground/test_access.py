"""Access: the whole matrix of roles as data, four eyes, and no as the answer to everything unknown."""

from __future__ import annotations

import cedarpy
import pytest

from kundig import access
from kundig.access import ACTIONS, KINDS, ROLES, Object, allowed, demand
from kundig.errors import AccessDenied

MATRIX = {
    ("reader", "read"): {"workspace", "report", "table", "audience", "scenario", "campaign", "creative", "experiment", "segment", "prediction", "source"},
    ("designer", "read"): {"workspace", "report", "table", "audience", "scenario", "campaign", "creative", "experiment", "segment", "prediction", "source"},
    ("designer", "propose"): {"creative"},
    ("designer", "reject"): {"creative"},
    ("analyst", "read"): set(KINDS) - {"user", "key"},
    ("analyst", "run"): {"workspace", "table", "report"},
    ("analyst", "export"): {"workspace", "table", "report"},
    ("analyst", "propose"): {"segment", "prediction", "audience", "experiment", "scenario", "source"},
    ("crm_manager", "read"): set(KINDS) - {"user", "key"},
    ("crm_manager", "propose"): {"segment", "prediction", "audience", "experiment", "scenario", "campaign", "creative"},
    ("crm_manager", "approve"): {"audience", "campaign", "creative", "experiment", "segment"},
    ("crm_manager", "reject"): {"audience", "campaign", "creative", "experiment", "segment"},
    ("crm_manager", "run"): {"workspace", "audience", "campaign"},
    ("crm_manager", "send"): {"workspace", "audience", "campaign"},
    ("legal", "read"): set(KINDS) - {"user", "key"},
    ("legal", "approve"): {"scenario", "creative", "campaign", "privacy_request"},
    ("legal", "reject"): {"scenario", "creative", "campaign", "privacy_request"},
    ("legal", "erase"): {"person", "consent", "privacy_request"},
    ("legal", "export"): {"person", "consent", "privacy_request", "audit_log"},
    ("legal", "correct"): {"person", "consent", "privacy_request", "audit_log"},
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", ACTIONS)
def test_matrix(role, action):
    able = {kind for kind in KINDS if allowed(role, action, kind)}
    everything = set(KINDS) - ({"audit_log"} if action == "erase" else set())
    assert able == (everything if role == "owner" else MATRIX.get((role, action), set()))


def test_personal_data_are_for_those_who_need_them():
    table = Object(kind="table", personal=True)
    assert {role for role in ROLES if allowed(role, "read", table)} == {"owner", "analyst", "crm_manager", "legal"}


def test_nobody_approves_their_own():
    own = Object(kind="campaign", author="ada")
    assert allowed("crm_manager", "approve", own, actor="ben")
    assert not allowed(("crm_manager", "owner", "legal"), "approve", own, actor="ada")


@pytest.mark.parametrize(("role", "action", "kind"), [("root", "read", "report"), ("owner", "drop", "table"), ("owner", "read", "secret"), ('owner" || true', "read", "report"), ("", "read", "report")])
def test_unknown_is_a_no(role, action, kind):
    assert not allowed(role, action, kind)


def test_an_error_is_a_no(monkeypatch):
    access._permitted.cache_clear()
    monkeypatch.setattr(access, "policies", lambda: "permit (principal, action, resource) when { resource.nothing == 1 };")
    assert not allowed("owner", "read", "report")
    access._permitted.cache_clear()
    monkeypatch.setattr(access, "policies", lambda: "this is no policy")
    assert not allowed("owner", "read", "report")
    access._permitted.cache_clear()


def test_denial_names_who_may():
    with pytest.raises(AccessDenied, match="role reader may not send campaign") as raised:
        demand("reader", "send", "campaign")
    assert raised.value.mend == "ask one of: owner, crm_manager"
    demand(("reader", "crm_manager"), "send", "campaign")


def test_policies_parse_and_name_only_what_is_known():
    assert cedarpy.format_policies(access.policies())
    for known, marker in ((ROLES, 'Role::"'), (ACTIONS, 'Action::"')):
        for part in access.policies().split(marker)[1:]:
            assert part.partition('"')[0] in known
