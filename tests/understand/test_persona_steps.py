"""The steps of personas on people of two kinds: fits, membership of each person alone, cards, ids that outlive a refit, and what people told."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from tests.understand.world import ZONE, Engine, arrow

from kundig.config.personas import Answers, Finding, Said
from kundig.config.unify import ProfileRules
from kundig.store.engines.session import conform
from kundig.tables.understand import FEATURES, LIFETIME_VALUES, PERSONA_ATTRIBUTES, PERSONA_MEMBERS, PERSONA_MODELS, PERSONAS, SEGMENT_MEMBERS, TRAITS
from kundig.tables.unify import PERSON_DAYS, PROFILES
from kundig.understand.personas import steps, stories
from kundig.understand.personas.fitting import newest
from kundig.understand.personas.told import holds

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
KINDS = ("hunter", "regular")
RULES = {"customers": Finding(meaning="Buyers", data=("interests", "prices", "habits", "person", "attitudes"), names={"customers_1": "Petra"})}
TOLD = {"owner_kmu": Answers(title={"de": "Inhaber KMU", "en": "Owner of a small firm"}, population="leads", who={"job_title": Said(one_of=("Inhaber",)), "company_size": Said(less_than=250)}, share=0.9, believed={"decision_power": Said(one_of=("decides",)), "hour": Said(at_least=15), "language": Said(one_of=("de",))}, sales="Anrufen.")}  # fmt: skip


class People:
    """Bargain hunters who come in the evening by app, and regular customers who come at noon by e-mail; some are leads of firms."""

    def __init__(self, persons: int = 500, hunters: float = 0.4, seed: int = 1) -> None:
        draw = np.random.default_rng(seed)
        self.kind = (draw.random(persons) >= hunters).astype(int)
        profiles, features, traits, days = [], [], [], []
        for person, kind in enumerate(self.kind.tolist(), 1):
            firm = person % 3 == 0
            profiles.append({
                "person_key": person, "kind": "lead" if firm else "customer", "birth_date": dt.date(int(draw.normal((1992, 1968)[kind], 5)), 5, 1), "language": "de",
                "hobbies": [("laufen", "lesen")[kind]] if draw.random() < 0.7 else None, "job_title": ("Inhaber" if person % 2 else "Einkauf") if firm else None, "company_size": 10 if firm else None,
                "decision_power": ("decides" if draw.random() < 0.8 else "uses") if firm else None,
            })  # fmt: skip
            sure = draw.random() < 0.85
            features.append({
                "person_key": person, "purchase_days": 3, "orders": 3, "top_category": ("Jacken", "Bücher")[kind if sure else 1 - kind], "order_value": Decimal(str(round(float(draw.lognormal((3, 4)[kind], 0.4)), 2))),
                "discount_share": float(np.clip(draw.normal((0.4, 0.05)[kind], 0.08), 0, 1)), "returned_share": 0.1, "messages_90": 10, "opens_90": 3, "clicks_90": 1, "net_revenue": Decimal(100),
            })  # fmt: skip
            traits.append({"person_key": person, "trait": "mood", "value": str(kind), "category": "psychographic"})
            at = dt.datetime(2026, 10, 5, (18, 10)[kind], 30, tzinfo=dt.UTC)
            days.append({"person_key": person, "local_day": at.date(), "event": "page_viewed", "channel": ("app", "email")[kind], "count": 2, "first_at": at, "last_at": at})
        engine = Engine()
        made = ((PROFILES, profiles), (FEATURES, features), (TRAITS, traits), (PERSON_DAYS, days))
        self.tables = [engine.table(arrow(table, rows)) for table, rows in made]
        self.engine, self.persons = engine, persons

    def context(self, personas: Any = RULES, told: Any = TOLD) -> dict[str, Any]:
        attributes = {"attributes": {"mood": {"meaning": "Mood", "question": "Mood?", "personal": "none"}}}
        return {"zone": ZONE, "personas": personas, "persona_answers": told, "profiles": ProfileRules.model_validate(attributes), "traits": {}}

    def fits(self, before: pa.Table | None = None, as_of: dt.datetime = NOW, **chosen: Any) -> pa.Table:
        earlier = self.engine.table(before if before is not None else arrow(PERSONA_MODELS, []))
        return steps.persona_models(*self.tables, earlier, as_of=as_of, **self.context(**chosen))

    def members(self, models: pa.Table, persons: range | None = None, **chosen: Any) -> pa.Table:
        inputs = [table.filter(table.person_key.isin(list(persons))) for table in self.tables] if persons is not None else self.tables
        rows = steps.persona_members(*inputs, self.engine.table(models), **self.context(**chosen))
        return self.engine.con.to_pyarrow(conform(self.engine.table(rows), PERSONA_MEMBERS, changed_run=1)).sort_by([("person_key", "ascending"), ("persona_id", "ascending")])


@pytest.fixture(scope="module")
def people() -> People:
    return People()


@pytest.fixture(scope="module")
def models(people: People) -> pa.Table:
    return people.fits()


def test_two_kinds_become_two_personas_with_members(people: People, models: pa.Table) -> None:
    told = newest(models, "personas:customers")
    assert told is not None and told["ids"] == ["customers_1", "customers_2"] and told["tree"]["accuracy"] > 0.9
    members = people.members(models)
    found = {row["person_key"]: row["persona_id"] for row in members.to_pylist() if row["persona_id"].startswith("customers")}
    assert len(found) == people.persons
    right = np.mean([(found[person] == "customers_1") == (kind == 1) for person, kind in enumerate(people.kind.tolist(), 1)])
    assert right > 0.97
    assert "hobbies: laufen" in [column["name"] for column in told["finder"]["columns"]] and "mood" in [column["name"] for column in told["finder"]["columns"]]


def test_a_persons_membership_does_not_depend_on_the_others(people: People, models: pa.Table) -> None:
    """So that a run may recompute touched persons alone."""
    whole, part = people.members(models), people.members(models, range(40, 61))
    chosen = [row for row in whole.to_pylist() if 40 <= row["person_key"] <= 60]
    assert part.to_pylist() == chosen and len(chosen) >= 21


def test_cards_say_who_where_when_and_what_next(people: People, models: pa.Table) -> None:
    members = people.members(models)
    values = arrow(LIFETIME_VALUES, [{"person_key": person, "expected_value": Decimal((30, 90)[kind])} for person, kind in enumerate(people.kind.tolist(), 1)])
    cells = arrow(SEGMENT_MEMBERS, [{"person_key": person, "segment_id": ("bargain", "loyal")[kind], "member": True} for person, kind in enumerate(people.kind.tolist(), 1)])
    cards = steps.persona_cards(*(people.engine.table(rows) for rows in (members, values, cells, models)), personas=RULES, persona_answers=TOLD)
    conform(people.engine.table(cards), PERSONAS, changed_run=1)
    one, two, owner = cards.to_pylist()
    assert (one["name"], one["channel"], one["content"], one["segment_id"], one["origin"]) == ("Petra", "email", "Bücher", "loyal", "found")
    assert (two["channel"], two["content"], two["objection"], two["segment_id"]) == ("app", "Jacken", "price", "bargain")
    assert one["hour"] == pytest.approx(12) and two["hour"] == pytest.approx(20), "local hours, in summer time"
    assert one["value"] > 80 and two["value"] < 40 and one["next_steps"].endswith("high") and two["next_steps"] == "price/usual"
    assert one["size"] + two["size"] == people.persons and one["share"] + two["share"] == pytest.approx(1)
    assert two["rule_precision"] > 0.9 and two["drift"] == "new" and one["recovered"] > 0.9
    assert owner["origin"] == "told" and owner["name"] == "Inhaber KMU" and owner["size"] == sum(1 for person in range(3, people.persons + 1, 3) if person % 2)
    told = steps.persona_attributes(models, personas=RULES, persona_answers=TOLD)
    conform(people.engine.table(told), PERSONA_ATTRIBUTES, changed_run=1)
    weights = told.group_by("persona_id").aggregate([("weight", "sum")]).to_pylist()
    assert all(0.9 < row["weight_sum"] <= 1 + 1e-9 for row in weights)
    assert {row["attribute"] for row in told.to_pylist() if row["persona_id"] == "customers_2" and row["weight"] > 0.05} >= {"discount_share", "channel", "hour"}


def test_what_people_told_is_held_against_the_data(models: pa.Table) -> None:
    told = newest(models, "persona_answers:owner_kmu")
    assert told is not None
    claims = {claim["about"]: claim for claim in told["stories"][0]["claims"]}
    assert claims["share"]["agrees"] is False and claims["share"]["share"] == pytest.approx(0.5, abs=0.05)
    assert claims["decision_power"]["agrees"] is True and claims["language"]["agrees"] is True
    assert claims["hour"]["agrees"] is False, "most of them come at noon"


def test_ids_outlive_a_refit_and_drift_is_told(people: People, models: pa.Table) -> None:
    later = People(600, hunters=0.7, seed=2)
    again = later.fits(before=models, as_of=NOW + dt.timedelta(days=7))
    told = newest(again, "personas:customers")
    assert told is not None
    cards = {one["id"]: one for one in told["stories"]}
    assert cards["customers_1"]["content"] == "Bücher" and cards["customers_1"]["drift"] == "shrunk", "the same people under the same id, now the smaller group"
    assert cards["customers_2"]["content"] == "Jacken" and cards["customers_2"]["drift"] == "grown" and cards["customers_2"]["share_before"] < 0.5
    assert stories.kept_ids(np.array([0, 0, 1, 1]), np.array([1, 1, -1, -1]), ["c_1", "c_2"], 2, "c") == ["c_2", "c_3"]


def test_without_files_there_is_no_work(people: People) -> None:
    """Nothing is even asked of the engine: the tables may be anything."""
    nothing: Any = object()
    empty = steps.persona_models(nothing, nothing, nothing, nothing, nothing, as_of=NOW, **people.context({}, {}))
    assert empty.num_rows == 0
    assert steps.persona_members(nothing, nothing, nothing, nothing, nothing, **people.context({}, {})).num_rows == 0
    assert steps.persona_cards(nothing, nothing, nothing, nothing, personas={}, persona_answers={}).num_rows == 0


def test_models_hold_no_person(models: pa.Table) -> None:
    """Numbers at the ends of a scale would be those of one person: they are not kept."""
    told = newest(models, "personas:customers")
    assert told is not None
    value = next(column for column in told["finder"]["columns"] if column["name"] == "order_value")
    amounts = sorted(float(row["order_value"]) for row in People().tables[1].to_pyarrow().to_pylist())
    assert value["knots"][0] > amounts[3] and value["knots"][-1] < amounts[-4]
    assert "person_key" not in json.dumps(told)


def test_files_are_checked() -> None:
    with pytest.raises(ValidationError, match=r"there is no data group 'interest'.*interests"):
        Finding(meaning="x", data=("interest",))
    with pytest.raises(ValidationError, match="either values"):
        Said(one_of=("a",), at_least=1)
    assert Answers.model_validate({"title": {"de": "A"}, "who": {"channel": "email", "language": ["de", "fr"]}}).who["language"].one_of == ("de", "fr")


def test_nothing_holds_of_what_is_not_known() -> None:
    rows = pa.table({"channel": ["email", None], "hour": [10.0, None]})
    assert holds(rows, {"channel": Said(one_of=("email",))}).tolist() == [True, False]
    assert holds(rows, {"hour": Said(less_than=12)}).tolist() == [True, False]
    assert holds(rows, {"shoe_size": Said(less_than=12)}).tolist() == [False, False]
