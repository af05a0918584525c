"""Forwarding in the worker: what was sent by a tracker arrives elsewhere as it was sent, what is held does not, and a destination that is down holds up nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kundig.deliver.forward.letters import backlog
from kundig.forwarding import Outgoing
from kundig.worker import Worker
from tests.deliver.destination import destination
from tests.live.test_worker import quick, running, until
from tests.live.world import Street


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    found = Street(tmp_path)
    yield found
    found.close()


def _destination(street: Street, name: str, url: str) -> None:
    folder = street.root / "destinations"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(
        f"meaning: test\nowner: data\nno_consent_needed: a test\nhttp:\n  url: {url}\n  body: {{id: {{$from: message_id}}, event: {{$from: event}}, device: {{$from: anonymous_id}}}}\n", encoding="utf-8"
    )


def test_what_comes_in_goes_out_while_another_destination_is_down(street: Street) -> None:
    with destination() as well, destination(lambda body, number: (503, {})) as sick:
        _destination(street, "well", well.url)
        _destination(street, "sick", sick.url)
        worker = Worker(quick(street, land_seconds=0.3), clock=lambda: street.at)
        thread = running(worker)
        calls = [street.call(device=f"d{number % 3}") for number in range(12)]
        for call in calls:
            street.send(call)
        until(lambda: len(well.taken) == 12)
        until(lambda: street.inbox.waiting("land") == 0)
        worker.stop.set()
        thread.join(timeout=30)
        assert {body["id"] for body in well.taken} == {call["messageId"] for call in calls} and {body["device"] for body in well.taken} == {"d0", "d1", "d2"}
        in_inbox, waiting, letters, said = backlog(street.inbox, worker.workspace.state, worker.workspace.config.destinations)["sick"]
        assert (in_inbox + waiting, letters, said, sick.taken) == (12, 0, "HTTP 503", [])


def test_what_is_held_does_not_leave(street: Street) -> None:
    workspace = quick(street)
    good = street.call(device="d1")
    street.send(good)
    street.send({name: value for name, value in good.items() if name != "anonymousId"} | {"messageId": "of-nobody"})
    street.inbox.register("test")
    batch = street.inbox.read("test")
    assert batch is not None
    assert [event.message_id for _, event in Outgoing(workspace, clock=lambda: street.at)(batch.entries)] == [good["messageId"]]
