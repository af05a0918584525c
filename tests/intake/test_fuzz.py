"""No event is dropped silently, whatever is sent: taken + refused = sent, and what was taken is in the inbox byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import json
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kundig.collect.intake import REFUSALS
from tests.intake.asking import calls
from tests.intake.conftest import FULL

EXAMPLES = 2_000 if FULL else 50

NUMBERS = st.one_of(st.integers(), st.integers(-(2**200), 2**200), st.floats(allow_nan=False, allow_infinity=False))
VALUES = st.recursive(st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20)), lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)), max_leaves=12)
CALLS = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from(["track", "identify", "nonsense"]), "event": st.one_of(st.sampled_from(["Unsubscribed", "Viewed"]), VALUES), "userId": VALUES, "messageId": VALUES, "timestamp": VALUES, "context": VALUES, "properties": VALUES}
    ),
)  # fmt: skip
PATHS = st.sampled_from(["/v1/track", "/v1/identify", "/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch", "/api/s/page", "/v1/changes/web", "/v1/form/x", "/v1/nonsense"])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(PATHS, st.lists(CALLS, max_size=4), st.integers(1, 3), st.sampled_from(["batch", "array", "single"]), st.booleans(), st.booleans()), max_size=4))
def test_taken_and_refused_are_all_that_was_sent(intake, requests):
    before = len(intake.stored())
    sent = taken = refused = 0
    expected = []
    for path, events, parts, shape, packed, keyed in requests:
        value = {"batch": events} if shape == "batch" else events if shape == "array" else (events or [{}])[0]
        body = json.dumps(value).encode()
        told = intake.ask("POST", path, gzip.compress(body) if packed else body, keyed=keyed, parts=parts)
        assert told.status in (200, 400, 401, 404), told
        sent += 1
        if told.status == 200:
            taken += 1
            if not path.startswith("/v1/form/"):
                expected.append(body)
        else:
            refused += 1
            assert REFUSALS[told.code].status == told.status
    assert taken + refused == sent
    found = intake.stored()[before:]
    assert [body for _, kind, _, body in found if kind != "form"] == expected
    assert len(found) == taken
    assert intake.app._budget.held == 0


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from(["", "gzip", "deflate", "br", "x"]), st.sampled_from(["/v1/track", "/v1/batch", "/v1/form/x", "/v1/changes/web"]))
def test_any_bytes_are_taken_or_refused_by_name(intake, body, encoding, path):
    before = len(intake.stored())
    told = intake.ask("POST", path, body, {"Content-Encoding": encoding})
    assert told.status in (200, 400, 413, 415)
    assert len(intake.stored()) - before == (told.status == 200)
    assert told.status == 200 or told.code in REFUSALS


def test_many_at_once_are_each_answered_once(intake, track):
    """Good, broken and foreign requests in flight together; the tally is what was sent."""
    draw = random.Random(1)
    kinds = [draw.choice(["good", "good", "consent", "broken", "stranger"]) for _ in range(300)]

    async def all_of_them():
        def one(number, kind):
            body = b"{" if kind == "broken" else json.dumps(track(number, event="Unsubscribed" if kind == "consent" else "Viewed")).encode()
            return intake.asked("POST", "/v1/track", body, keyed=kind != "stranger", parts=draw.choice([1, 3]))

        return await asyncio.gather(*(one(number, kind) for number, kind in enumerate(kinds)))

    answers = intake.loop.run_until_complete(all_of_them())
    expected = {"good": 200, "consent": 200, "broken": 400, "stranger": 401}
    assert [told.status for told in answers] == [expected[kind] for kind in kinds]
    taken = [number for number, kind in enumerate(kinds) if expected[kind] == 200]
    assert sorted(int(call["messageId"][1:]) for call in calls(intake.workspace.root)) == taken
    tally = intake.app.tally
    assert tally.requests["web", "taken"] == tally.events["web"] == len(taken)
    assert sum(tally.requests.values()) == len(kinds)
    state = intake.workspace.state
    assert len(state.select("consent_log")) == 2 * kinds.count("consent")
    assert f'kundig_intake_requests_total{{source="web",result="taken"}} {len(taken)}' in intake.ask("GET", "/metrics").body.decode()
