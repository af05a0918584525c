"""Consent histories for tests: purposes, and records by Hypothesis, dense enough that ties, expiry and skew happen."""

from __future__ import annotations

import datetime as dt
import os

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kundig.config.law import ChannelRule, Purpose, Purposes
from kundig.consent import SPOKEN, ConsentRecord

FULL = os.environ.get("KUNDIG_FULL") == "1"
LAW = settings(max_examples=4_000 if FULL else 150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PURPOSES = Purposes(
    purposes={
        "newsletter": Purpose(
            channels={
                "email": ChannelRule(bases=("consent", "existing_customer"), double_opt_in=True, expires_days=20),
                "push": ChannelRule(bases=("consent",), expires_days=30),
                "direct_mail": ChannelRule(bases=("legitimate_interest", "consent", "existing_customer")),
            }
        ),
        "order_updates": Purpose(channels={"email": ChannelRule(bases=("contract", "consent"))}),
    }
)


def day(number: float) -> dt.datetime:
    """A moment of the test's time."""
    return START + dt.timedelta(days=number)


moments = st.integers(0, 80).map(lambda half: day(half / 2))


@st.composite
def record(draw, *, parts=(0,), ids=st.integers(0, 30)):
    """One record; small ranges on purpose, so that ids, moments and parts meet."""
    occurred = draw(moments)
    skew = draw(st.sampled_from([0, 0, 0, 0, 0.5, 3, -2, 10]))
    status = draw(st.sampled_from([*SPOKEN, "given", "confirmed", "nonsense"]))
    return ConsentRecord(
        record_id=f"r{draw(ids)}",
        purpose=draw(st.sampled_from(["newsletter", "newsletter", "newsletter", "order_updates", "*", "undeclared"])),
        channel=draw(st.sampled_from(["email", "email", "push", "direct_mail", "*", "undeclared"])),
        status=status,
        occurred_at=occurred,
        received_at=occurred + dt.timedelta(days=skew),
        basis=draw(st.sampled_from([None, None, "consent", "existing_customer", "contract", "legitimate_interest"])) if status == "given" else None,
        until=draw(st.sampled_from([None, None, None, occurred + dt.timedelta(days=5), occurred + dt.timedelta(days=15), occurred - dt.timedelta(days=1)])),
        wording=draw(st.sampled_from([None, "v1", "v2"])),
        part=draw(st.sampled_from(parts)),
    )


def unique(records: list[ConsentRecord]) -> list[ConsentRecord]:
    """The records, the first of each id alone."""
    return list({one.record_id: one for one in reversed(records)}.values())


def planted(law, *strategies) -> None:
    """Run a law against planted faults: it stops at the first failure, without shrinking it."""
    quick = settings(max_examples=200, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False)
    quick(given(*strategies)(law.hypothesis.inner_test))()
