"""Where values come from: source, record, moment, party and freshness of each, and what else was said."""

from __future__ import annotations

from kundig.answers import person
from kundig.answers.origins import in_form
from kundig.workspace import Workspace
from tests.answers.conftest import MAIL
from tests.unify.world import day


def test_every_value_has_its_origin(told: Workspace) -> None:
    found = {value.name: value for value in person(told, "ada@example.org").values}
    phone, city, size, attitude = found["phone"], found["city"], found["shoe_size"], found["price_attitude"]
    assert (phone.value, phone.source, phone.record, phone.at, phone.party, phone.strategy) == ("+491702", "crm", "crm:1", day(30), "first", "trusted")
    assert (city.value, city.source, city.record, city.party, city.category) == ("Bonn", "fair", "fair:1", "third", "sociodemographic")
    assert [(one.value, one.source, one.at) for one in city.others] == [("Köln", "crm", day(30))]
    assert (size.value, size.source, size.party, size.category, size.personal) == ("39.5000", "fair", "third", "sociodemographic", "none")
    assert (attitude.value, attitude.source, attitude.record, attitude.category) == ("fair", "survey", "s:1", "psychographic")


def test_what_is_old_is_stale_and_what_was_said_again_is_fresh(told: Workspace) -> None:
    found = {value.name: value for value in person(told, "ada@example.org").values}
    assert (found["city"].stale, found["city"].said_at, found["city"].stale_after) == (True, day(3), 100)
    assert (found["phone"].stale, found["phone"].stale_after) == (False, 400)
    first = found["first_name"]
    assert (first.source, first.at, first.said_at, first.stale) == ("fair", day(3), day(30), False), "the other source said it again later"


def test_the_command_line_says_it_too(told: Workspace) -> None:
    lines = "\n".join(person(told, "ada@example.org").lines())
    assert "city: Bonn  (fair fair:1, third party, since 2026-01-04, stale: older than 100 days, also said: Köln (crm, 2026-01-31))" in lines
    assert MAIL.split(":")[1] in lines


def test_a_free_text_has_the_form_the_step_gives_it() -> None:
    import ibis

    from kundig.unify.trait_changes import in_form as of_step

    spelt = ["4", " 4,0 ", "4.5", "-3", "ja", "NO", "maybe", "2024-02-29", "2023-02-29", "", "12,34567", "1e3", "true", "0"]
    for type_ in ("int64", "decimal(18,4)", "date", "bool", "string"):
        rows = ibis.memtable({"place": list(range(len(spelt))), "said": spelt})
        made = rows.select("place", form=of_step(rows.said, type_)).order_by("place").to_pyarrow()["form"].to_pylist()
        assert made == [in_form(text, type_) for text in spelt], type_
