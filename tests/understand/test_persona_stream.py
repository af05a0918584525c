"""What personas do from day to day: a change is told with its day, noise and weekdays are none, and what cannot be said is not."""

from __future__ import annotations

import datetime as dt
import os

import numpy as np
import pyarrow as pa
import pytest
from tests.understand.world import ZONE, Engine, arrow, berlin

from kundig.config.personas import Finding
from kundig.report import personas as cards
from kundig.report.words import Words
from kundig.tables.collect import CAMPAIGN_MESSAGES
from kundig.tables.understand import PERSONA_MEMBERS, PERSONA_MODELS
from kundig.tables.unify import IDENTITIES, PERSON_DAYS, PROFILES
from kundig.understand.personas import steps, stream
from kundig.understand.personas.stream import learnt

FIRST = dt.date(2026, 1, 1)
FIT = 80
FULL = os.environ.get("KUNDIG_FULL") == "1"


def days(values: np.ndarray) -> list[tuple[dt.date, float]]:
    return [(FIRST + dt.timedelta(days=number), float(value)) for number, value in enumerate(values)]


def noise(seed: int, length: int = 200) -> np.ndarray:
    """A share a day of some thousand persons, lower at weekends."""
    draw = np.random.default_rng(seed)
    return 0.1 + 0.01 * np.sin(np.arange(length) * 2 * np.pi / 7) + draw.normal(0, 0.01, length)


def told(values: np.ndarray) -> stream.Learnt:
    return learnt(days(values), FIRST + dt.timedelta(days=FIT))


def test_noise_and_weekdays_are_no_change():
    assert [seed for seed in range(1_000 if FULL else 150) if told(noise(seed)).level != "steady"] == []


@pytest.mark.parametrize(("by", "level"), [(0.025, "risen"), (-0.025, "fallen")])
def test_a_change_is_told_with_its_day(by, level):
    late = []
    for seed in range(20):
        values = noise(seed)
        values[140:] += by
        found = told(values)
        assert found.level == level, seed
        assert found.at_fit == pytest.approx(0.1, abs=0.006)
        assert found.now == pytest.approx(0.1 + by, abs=0.012)
        late.append((found.since - FIRST).days - 140)
    assert abs(np.median(late)) <= 7


def test_what_changed_before_the_fit_or_went_back_is_not_told():
    before = noise(1)
    before[:30] += 0.05
    assert told(before).level == "steady"
    back = noise(2)
    back[100:130] += 0.03
    assert told(back).level == "steady"


def test_too_few_days_say_nothing():
    assert learnt(days(noise(1)), FIRST + dt.timedelta(days=20)).level == "unknown"
    assert told(noise(1)[:FIT]).level == "unknown"
    assert learnt([], FIRST).level == "unknown"


def test_a_measure_that_never_varies_is_steady():
    assert told(np.full(200, 0.25)).level == "steady"


class Shop:
    """Two personas of 60 people; from day 140 on the second one comes twice as often. Who came on a day draws lots."""

    def __init__(self) -> None:
        draw = np.random.default_rng(4)
        self.engine = Engine()
        visits, messages = [], []
        for number in range(200):
            day = FIRST + dt.timedelta(days=number)
            for person in range(1, 121):
                second = person > 60
                if draw.random() < (0.5 if second and number >= 140 else 0.25):
                    at = berlin(f"{day} 09:{int(draw.integers(1, 60)):02d}")
                    visits.append({"person_key": person, "local_day": day, "event": "page_viewed", "channel": "direct", "count": 1, "first_at": at, "last_at": at})
                if draw.random() < 0.1:
                    at = dt.datetime(day.year, day.month, day.day, 7, tzinfo=dt.UTC)
                    sent = {"identifier_key": person, "occurred_at": at, "received_at": at, "local_day": day}
                    messages += [sent | {"message_id": f"m{number}-{person}", "outcome": "sent"}, *([sent | {"message_id": f"m{number}-{person}", "outcome": "opened"}] if draw.random() < 0.4 else [])]
        long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        stories = '{"stories": [{"id": "customers_1"}, {"id": "customers_2"}]}'
        model = {"model": "personas:customers", "version": "1", "fitted_at": dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC) + dt.timedelta(days=FIT), "parameters": stories}
        made = {
            "members": (PERSONA_MEMBERS, [{"person_key": person, "persona_id": f"customers_{1 + (person > 60)}", "probability": 0.9} for person in range(1, 121)]),
            "models": (PERSONA_MODELS, [model]), "people": (PROFILES, [{"person_key": person, "first_seen_at": long_ago} for person in range(1, 121)]),
            "person_days": (PERSON_DAYS, visits), "messages": (CAMPAIGN_MESSAGES, messages),
            "identities": (IDENTITIES, [{"identifier_key": person, "person_key": person, "valid_from": long_ago, "valid_until": None, "shared": False} for person in range(1, 121)]),
        }  # fmt: skip
        self.tables = {name: self.engine.table(arrow(table, rows)) for name, (table, rows) in made.items()}

    def rows(self) -> dict[tuple[str, str], dict[str, object]]:
        found = steps.persona_stream(*self.tables.values(), zone=ZONE, personas={"customers": Finding(meaning="Buyers")}, persona_answers={})
        return {(row["persona_id"], row["measure"]): row for row in found.to_pylist()}


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


def test_the_one_persona_that_changed_is_told(shop):
    rows = shop.rows()
    assert {key: row["level"] for key, row in rows.items() if row["level"] != "unknown"} == {
        ("customers_1", "visits"): "steady", ("customers_1", "purchases"): "steady", ("customers_1", "hour"): "steady", ("customers_1", "opens"): "steady",
        ("customers_2", "visits"): "risen", ("customers_2", "purchases"): "steady", ("customers_2", "hour"): "steady", ("customers_2", "opens"): "steady",
    }  # fmt: skip
    moved = rows["customers_2", "visits"]
    assert moved["at_fit"] == pytest.approx(0.25, abs=0.02)
    assert moved["now"] == pytest.approx(0.5, abs=0.04)
    assert abs((moved["since"] - FIRST).days - 140) <= 5
    assert rows["customers_1", "opens"]["at_fit"] == pytest.approx(0.4, abs=0.08)
    assert rows["customers_1", "hour"]["at_fit"] == pytest.approx(9.5, abs=0.1)  # by the clock in Berlin, in summer too


def test_newcomers_do_not_look_like_a_change(shop):
    """The share is of those who were known on the day: half of them coming in later changes nothing."""
    whole = shop.tables["people"]
    late = dt.datetime(2026, 4, 20, tzinfo=dt.UTC)
    people = shop.engine.table(arrow(PROFILES, [{"person_key": person, "first_seen_at": late if person <= 30 else dt.datetime(2020, 1, 1, tzinfo=dt.UTC)} for person in range(1, 121)]))
    seen = shop.tables["person_days"]
    shop.tables["people"] = people
    shop.tables["person_days"] = shop.engine.table(seen.filter((seen.person_key > 30) | (seen.local_day >= late.date())).to_pyarrow())
    try:
        row = shop.rows()["customers_1", "visits"]
        assert (row["level"], row["at_fit"]) == ("steady", pytest.approx(0.25, abs=0.02))
        members = stream.known_from(shop.tables["members"], shop.tables["people"], zone=ZONE).to_pyarrow().to_pylist()
        assert sorted(one["persons"] for one in members) == [30, 30, 60]
        shop.tables["people"] = whole  # positive control: told of everybody from the start, the same days look like a rise
        assert shop.rows()["customers_1", "visits"]["level"] == "risen"
    finally:
        shop.tables |= {"people": whole, "person_days": seen}


def test_a_workspace_without_files_has_no_rows(shop):
    found = steps.persona_stream(*shop.tables.values(), zone=ZONE, personas={}, persona_answers={})
    assert isinstance(found, pa.Table)
    assert found.num_rows == 0


@pytest.mark.parametrize(("locale", "said"), [
    ("de", "sie kommen seit 21.05.2026 öfter: 50,0 % von ihnen am Tag, vorher 25,0 %; sie kommen seit 21.05.2026 früher am Tag: um 9:30, vorher um 10:45."),
    ("en", "since 21 May 2026 they come more often: 50.0% of them a day, 25.0% before; since 21 May 2026 they come earlier in the day: at 9:30, at 10:45 before."),
])  # fmt: skip
def test_a_change_is_told_in_words(locale, said):
    rows = [
        {"measure": "visits", "days": 199, "at_fit": 0.25, "now": 0.5, "since": dt.date(2026, 5, 21), "level": "risen"},
        {"measure": "hour", "days": 199, "at_fit": 10.75, "now": 9.5, "since": dt.date(2026, 5, 21), "level": "fallen"},
        {"measure": "opens", "days": 199, "at_fit": 0.4, "now": 0.41, "since": None, "level": "steady"},
    ]  # fmt: skip
    assert " ".join(cards.since_then(rows, Words(locale=locale, currency="EUR", zone=ZONE)).split()) == said
    assert "199" in cards.since_then(rows[2:], Words(locale=locale, currency="EUR", zone=ZONE))


def test_all_words_are_there():
    for locale in ("de", "en"):
        w = Words(locale=locale, currency="EUR", zone=ZONE)
        for measure in stream.MEASURES:
            for level in ("risen", "fallen"):
                assert "{" not in w(f"personas.stream_{measure}_{level}", since="x", now="y", before="z")
