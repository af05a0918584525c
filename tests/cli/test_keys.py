"""Write keys from the command line: shown once, listed without themselves, taken out of use."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Kundig


def test_a_key_is_made_listed_and_revoked(kundig: Kundig, copy: Path) -> None:
    made = kundig("key", "create", "web", "--label", "main site", "-w", copy)
    key = made.out.strip()
    assert made.code == 0 and len(key) > 20
    other = json.loads(kundig("key", "create", "nowhere", "-w", copy, "--json").out)
    assert other["described"] is False and other["key"] != key
    listed = [one for one in json.loads(kundig("key", "list", "web", "-w", copy, "--json").out) if one["label"] != "demo"]
    assert [(one["source"], one["label"], one["revoked_at"]) for one in listed] == [("web", "main site", None)]
    assert key not in kundig("key", "list", "-w", copy).out, "it is shown once"
    revoked = kundig("key", "revoke", "web", "--key", listed[0]["id"], "-w", copy)
    assert revoked.code == 0 and listed[0]["id"] in revoked.out
    assert all(one["revoked_at"] is not None for one in json.loads(kundig("key", "list", "web", "-w", copy, "--json").out)), "the demo's own was taken out of use after its feed"
    assert kundig("key", "revoke", "wbe", "-w", copy).code != 0
