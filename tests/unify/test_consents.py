"""Consents by person: parts that are joined never widen each other, and a record after the join speaks for all."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from tests.unify.world import World, day, key, lazy

from kundig.config.law import Purposes
from kundig.tables.collect import CONSENT_RECORDS
from kundig.tables.unify import CONSENTS
from kundig.unify.consents import consents
from kundig.unify.merge_ledger import merges

PURPOSES = Purposes.model_validate(
    {"purposes": {"newsletter": {"channels": {"email": {"bases": ["consent"], "double_opt_in": True, "expires_days": 365}, "push": {"bases": ["consent"]}}}}}
)


def say(world: World, at: float, identifiers: list[str], status: str, channel: str = "push", **more: Any) -> None:
    """One record of the log."""
    world.see(at, identifiers, CONSENT_RECORDS, purpose="newsletter", channel=channel, status=status, **more)


def folded(world: World) -> list[dict[str, Any]]:
    made = world.run()
    identities = lazy(made["identities"])
    ledger = lazy(merges(identities, lazy(made["links"]), lazy(world.decided())).to_pyarrow())
    found: pa.Table = consents(lazy(world.table(CONSENT_RECORDS)), identities, ledger, purposes=PURPOSES)
    assert set(found.column_names) == set(CONSENTS.names) - {"changed_run"}
    return sorted(found.to_pylist(), key=lambda r: (r["person_key"], r["channel"], r["seq"]))


def history(world: World, person: str, channel: str = "push") -> list[tuple[str, float]]:
    return [(r["status"], (r["occurred_at"] - day(0)).days) for r in folded(world) if r["person_key"] == key(person) and r["channel"] == channel]


def test_a_consent_is_given_and_withdrawn_by_one_person() -> None:
    world = World()
    say(world, 0, ["email:a@example.org"], "given")
    say(world, 5, ["email:a@example.org"], "withdrawn")
    assert history(world, "email:a@example.org") == [("given", 0), ("withdrawn", 5)]


def test_double_opt_in_and_lapse_are_in_the_row() -> None:
    world = World()
    say(world, 0, ["email:a@example.org"], "requested", "email")
    say(world, 1, ["email:a@example.org"], "confirmed", "email")
    rows = [r for r in folded(world) if r["channel"] == "email"]
    assert [(r["status"], r["until"]) for r in rows] == [("pending", None), ("given", day(366))]


def test_of_two_parts_the_stricter_wins_until_asked_again() -> None:
    """One address withdrew, another consented later, then a login joins them: the withdrawal stands until the person is asked again."""
    world = World()
    say(world, 0, ["email:a@example.org"], "withdrawn")
    say(world, 3, ["email:b@example.org"], "given")
    world.see(10, ["customer_id:1", "email:a@example.org"])
    world.see(11, ["customer_id:1", "email:b@example.org"])
    person = "email:a@example.org"
    assert history(world, person)[-1][0] == "withdrawn"
    say(world, 20, ["email:b@example.org"], "given")
    assert history(world, person)[-1] == ("given", 20)


def test_a_refused_link_lets_no_consent_pass() -> None:
    world = World()
    for at in (0, 1):
        world.see(at, ["customer_id:1", "email:a@example.org"])
    world.see(2, ["customer_id:2", "email:a@example.org"])
    say(world, 3, ["email:a@example.org"], "given")
    rows = folded(world)
    assert {r["person_key"] for r in rows} == {key("customer_id:1")} | ({key("email:a@example.org")} & {r["person_key"] for r in rows})
    assert len(rows) == 1


def test_a_shared_address_consents_for_nobody() -> None:
    world = World()
    for number in range(40):
        world.see(number, [f"customer_id:{number + 1}", "email:info@example.org"])
    say(world, 50, ["email:info@example.org"], "given")
    assert folded(world) == []


def test_an_empty_log_gives_no_rows() -> None:
    assert folded(World()) == []
