"""Destinations from the command line: added, read, mended; their letters listed, sent again, dropped."""

from __future__ import annotations

import json
from pathlib import Path

from kundig.clock import now
from kundig.workspace import Workspace
from tests.cli.conftest import Kundig


def _letter(root: Path, number: int) -> None:
    row = {"letter_id": f"ga4:{number}:0", "destination": "ga4", "identifier_key": number, "message_id": f"m{number}", "body": "{}", "reason": "HTTP 422", "failed_at": now(), "status": "held"}
    Workspace(root).state.insert("dead_letters", [row])


def test_a_ready_destination_is_added_and_its_letters_are_handled(kundig: Kundig, copy: Path) -> None:
    added = kundig("destination", "add", "ga4", "-w", copy)
    assert added.code == 0 and "GA4_MEASUREMENT_ID, GA4_API_SECRET" in added.out
    again = kundig("destination", "add", "ga4", "-w", copy)
    assert again.code == 2 and "the file is there already" in again.err
    wrong = kundig("destination", "add", "ga", "-w", copy)
    assert wrong.code == 2 and "did you mean 'ga4'" in wrong.err
    for number in (1, 2, 3):
        _letter(copy, number)
    (listed,) = json.loads(kundig("destination", "list", "-w", copy, "--json").out)["destinations"]
    assert listed["destination"] == "ga4" and listed["letters"] == 3 and listed["consent"] == "analytics/web"
    assert [one["letter_id"] for one in json.loads(kundig("destination", "letters", "ga4", "-w", copy, "--json").out)] == ["ga4:1:0", "ga4:2:0", "ga4:3:0"]
    assert kundig("destination", "replay", "ga4", "ga4:2:0", "-w", copy).out == "1 letters wait to be sent again\n"
    unsaid = kundig("destination", "drop", "ga4", "-w", copy)
    assert unsaid.code == 2 and "--reason" in unsaid.err
    assert kundig("destination", "drop", "ga4", "-w", copy, "--reason", "a test").out == "2 letters dropped\n"
    (after,) = json.loads(kundig("destination", "list", "-w", copy, "--json").out)["destinations"]
    assert (after["waiting"], after["letters"]) == (1, 0)


def test_what_files_must_agree_on_is_told_when_they_do_not(kundig: Kundig, copy: Path) -> None:
    kundig("destination", "add", "hubspot", "-w", copy)
    path = copy / "destinations" / "hubspot.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("channel: email", "channel: emial"), encoding="utf-8")
    told = kundig("destination", "list", "-w", copy)
    assert told.code == 2 and "purposes.yaml has no rule for personalisation/emial" in told.err and "personalisation/email" in told.err
    assert kundig("destination", "letters", "hubspt", "-w", copy).code == 2
