"""Reading rules: all faults at once with path and mend, warnings, parameters, abbreviations, and both notations."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from kundig import rules
from kundig.errors import RuleError
from kundig.rules.clauses import All, Count, Holds, Stopped

SCHEMA = rules.RuleSchema.of(
    zone="Europe/Berlin",
    events={
        "order": {"properties": {"total": {"type": "number", "labels": {"de": "Betrag"}, "unit": "€"}, "category": {"type": "text", "labels": {"de": "Kategorie"}}, "order_id": "text", "tags": "list", "due": "time"}, "labels": {"de": "Bestellung"}},
        "order_returned": {"total": "number"}, "login": {}, "odd": {"total": "text"},
    },
    traits={"city": "text", "points": "number", "vip": "boolean", "renewal": "time", "birthday": "date", "interests": "list"},
    scores=["churn_90d"], purposes={"newsletter": {"channels": ["email", "push"], "labels": {"de": "Neuigkeiten"}}}, segments={"loyal": {"de": "Treue", "en": "Loyals"}}, lists=["invited"],
    rules={"base": {"event": "order"}, "left": {"not": {"rule": "right"}}, "right": {"any": [{"rule": "left"}]}},
)  # fmt: skip


def parse(source: Any) -> rules.Rule:
    return rules.parse(source, SCHEMA)


def faults(source: Any) -> dict[str, str]:
    with pytest.raises(RuleError) as error:
        parse(source)
    assert all(fault.what and fault.at and fault.mend for fault in error.value.faults), error.value.faults
    return {fault.at: f"{fault.what} | {fault.mend}" for fault in error.value.faults}


def test_all_faults_come_at_once_with_path_cause_and_mend() -> None:
    found = faults(
        {
            "all": [
                {"event": "oder", "within": "0 days"}, {"trait": "points", "contains": "x"}, {"foo": 1}, {"any": []}, {"trait": "city", "is": None},
                {"trait": "city", "exists": False, "for": "7 days"}, {"consent": "newsletter"}, {"segment": "loyl"},
            ]
        }
    )  # fmt: skip
    assert found["$.all[0].event"].startswith("unknown event 'oder' | did you mean 'order'?")
    assert found["$.all[0].event.within.last"] == "a duration of 0 holds nothing | for today write {calendar: 1 day}"
    assert found["$.all[1].trait.contains"].startswith("contains does not fit a number | use is, is_not, in")
    assert found["$.all[2]"].startswith("exactly one kind is needed, found ['foo'] | kinds: all, any, not")
    assert "nobody" in found["$.all[3].any"]
    assert "exists: false" in found["$.all[4].trait.is"]
    assert "no beginning" in found["$.all[5].trait.for"]
    assert "channel" in found["$.all[6].consent"]
    assert "did you mean 'loyal'?" in found["$.all[7].segment"]
    assert len(found) == 9


REFUSED: list[tuple[Any, str, str]] = [
    ({"all": []}, "$.all", "everybody"), ([], "$.all", "everybody"), ({"event": "order", "list": "invited"}, "$", "exactly one kind"), ({"everyone": False}, "$.everyone", "only true"),
    ("nonsense", "$", "no rule"), (7, "$", "no rule"), ({"segment": "loyal", "within": "7 days"}, "$.within", "unknown option"), ({"event": "order", "withn": "7 days"}, "$.withn", "within"),
    ({"trait": "points", "between": [3, 1]}, "$.trait.between", "reversed"), ({"trait": "points", "between": [3]}, "$.trait.between", "two"), ({"trait": "points", "at_least": "3"}, "$.trait.at_least", "no number"),
    ({"trait": "points", "at_least": 0.00001}, "$.trait.at_least", "four decimals"), ({"trait": "points", "is": True}, "$.trait.is", "no number"), ({"trait": "points"}, "$.trait", "no test"),
    ({"trait": "points", "is": float("nan")}, "$.trait.is", "no number"), ({"trait": "city", "is": ""}, "$.trait.is", "exists: false"), ({"trait": "city", "is": "  "}, "$.trait.is", "exists: false"),
    ({"trait": "city", "is": 5}, "$.trait.is", "in quotes"), ({"trait": "city", "in": []}, "$.trait.in", "list of values"), ({"trait": "city", "in": "Köln"}, "$.trait.in", "list of values"),
    ({"trait": "vip", "exact": True, "is": True}, "$.trait.exact", "does not fit"), ({"trait": "vip", "is": "yes"}, "$.trait.is", "no boolean"), ({"trait": "birthday", "within": "3 hours"}, "$.trait.within", "no hours"),
    ({"trait": "birthday", "anniversary": {"next": "400 days"}}, "$.trait.anniversary", "366"), ({"trait": "birthday", "anniversary": {"calendar": "1 month"}}, "$.trait.anniversary", "366"),
    ({"trait": "birthday", "is": "2026-02-30"}, "$.trait.is", "no date"), ({"trait": "renewal", "within": {"after": {"last": "order"}}}, "$.trait.within.after", "for events"),
    ({"trait": "renewal", "within": "7 days", "for": "7 days"}, "$.trait.for", "does not last"), ({"trait": "city", "is": "x", "for": "1 month"}, "$.trait.for", "not allowed"),
    ({"trait": "city", "is_not": "x", "for": "1 day"}, "$.trait.for", "no beginning"), ({"trait": "city", "is": "x", "for": {"more_than": "1 day"}}, "$.trait.for", "no lasting"), ({"trait": "town", "is": "x"}, "$.trait", "unknown trait"),
    ({"event": "order", "within": {"next": "7 days"}}, "$.event.within.next", "future"), ({"event": "order", "within": {"calendar": "1 day", "shift": 1}}, "$.event.within.shift", "future"),
    ({"event": "order", "within": {"from": "7 days", "to": "30 days"}}, "$.event.within", "longer ago"), ({"event": "order", "within": {"from": "2 months", "to": "7 days"}}, "$.event.within", "longer ago"),
    ({"event": "order", "within": {"start": "2026-04-01", "end": "2026-03-01"}}, "$.event.within", "before"), ({"event": "order", "within": {"start": "soon"}}, "$.event.within.start", "no date"),
    ({"event": "order", "within": {"calendar": "7 hours"}}, "$.event.within.calendar", "not allowed"), ({"event": "order", "within": "7 dayz"}, "$.event.within.last", "no duration"), ({"event": "order", "within": {}}, "$.event.within", "no window"),
    ({"event": "order", "within": "7 days ago"}, "$.event.within.last", "no duration"), ({"event": "order", "within": "-7 days"}, "$.event.within.last", "no duration"), ({"event": "order", "within": "9999 years"}, "$.event.within.last", "100 years"),
    ({"event": "order", "within": {"last": "7 days", "shift": 1}}, "$.event.within", "no window"), ({"event": "order", "within": {"after": {"last": "order", "first": "login"}}}, "$.event.within.after", "one of"),
    ({"event": "order", "within": {"after": {"last": "order"}, "for": "1 month"}}, "$.event.within.for", "not allowed"), ({"event": "order", "sum": {"of": "category", "at_least": 3}}, "$.event.sum.of", "which is a text"),
    ({"event": "order", "sum": {"at_least": 3}}, "$.event.sum", "needs `of`"), ({"event": "order", "count": {"of": "total", "at_least": 3}}, "$.event.count.of", "not made of"), ({"event": "order", "count": 3}, "$.event.count", "no threshold"),
    ({"event": "order", "count": {"at_least": 1, "at_most": 3}}, "$.event.count", "exactly one threshold"), ({"event": "order", "count": {"at_least": 1.5}}, "$.event.count", "whole number"), ({"event": "order", "count": {"is_not": 1}}, "$.event.count", "threshold"),
    ({"event": "order", "distinct": {"of": "tags", "at_least": 1}}, "$.event.distinct.of", "a list"), ({"event": "order", "where": {"colour": "red"}}, "$.event.where.colour", "unknown property"), ({"event": "order", "where": {}}, "$.event.where", "no condition"),
    ({"event": "order", "where": {"category": None}}, "$.event.where.category.is", "exists: false"), ({"event": "order", "where": {"any": []}}, "$.event.where.any", "not empty"), ({"event": ["order", "odd"], "where": {"total": 3}}, "$.event.where.total", "number and text"),
    ({"event": "nothing*"}, "$.event", "unknown event"), ({"event": []}, "$.event", "names no event"), ({"sequence": [{"event": "order"}]}, "$.sequence", "two to five"), ({"sequence": [{"event": "order", "within": "1 day"}, {"event": "login"}]}, "$.sequence[0]", "nothing before"),
    ({"sequence": [{"event": "order"}, {"evnt": "login"}]}, "$.sequence[1]", "no step"), ({"regular": "order", "every": "hour", "of_last": 3, "in_at_least": 1}, "$.regular.every", "no unit"), ({"regular": "order", "every": "day", "of_last": 3, "in_at_least": 4}, "$.regular.in_at_least", "1 to 3"),
    ({"bucket": "x", "from": 60, "to": 50}, "$.bucket", "share"), ({"bucket": ""}, "$.bucket", "salt"), ({"now": {}}, "$.now", "start"), ({"now": "7 days"}, "$.now", "start"), ({"rule": "bas"}, "$.rule", "did you mean 'base'?"),
    ({"rule": "left"}, "rules.right.any[0].rule", "left -> right -> left"), ({"score": "churn"}, "$.score", "unknown score"), ({"score": "churn_90d", "field": "rank", "at_least": 1}, "$.score.field", "percentile"), ({"score": "churn_90d", "contains": "x"}, "$.score.contains", "does not fit"),
    ({"consent": "newsletter", "channel": "fax"}, "$.consent.channel", "unknown channel"), ({"consent": "newsletter", "channel": "email", "is": "yes"}, "$.consent.is", "no answer"), ({"consent": "newsletter", "channel": "email", "is": "missing", "for": "1 day"}, "$.consent.for", "no beginning"),
    ({"stopped": "order", "silent": "30 days"}, "$.stopped", "active"), ({"stopped": "order", "silent": "30 days", "active": "2 months"}, "$.stopped", "both"), ({"trait": "city", "is": "$name"}, "$.trait.is", "only in where and has"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "path", "says"), REFUSED, ids=str)
def test_refused(source: Any, path: str, says: str) -> None:
    found = faults(source)
    assert path in found, found
    assert says in found[path]


def test_bad_text_says_the_line() -> None:
    for text, says in (("event: order\n within: [7", "line"), ("event: order\nevent: login", "duplicate"), ('{"event": "order", "event": "login"}', "twice")):
        with pytest.raises(RuleError, match=says):
            parse(text)


def test_numbers_dates_and_countries_survive_yaml() -> None:
    rule = parse("all:\n- trait: city\n  in: [NO, DE, yes]\n- trait: points\n  at_least: 0.1\n- trait: birthday\n  is: 1990-03-01\n- now: {start: 2026-03-01, end: 2026-03-02T12:00:00Z}")
    assert isinstance(rule.clause, All)
    tests = [part.tests[0].value for part in rule.clause.parts if isinstance(part, Holds)]
    assert tests == [("NO", "DE", "yes"), Decimal("0.1"), dt.date(1990, 3, 1)]
    assert rule == parse([{"trait": "city", "in": ["NO", "DE", "yes"]}, {"trait": "points", "at_least": 0.1}, {"trait": "birthday", "is": dt.date(1990, 3, 1)}, {"now": {"start": dt.date(2026, 3, 1), "end": "2026-03-02T13:00:00+01:00"}}])


def test_short_forms_mean_the_long_ones() -> None:
    assert parse({"event": "order", "where": {"category": "Schuhe"}}) == parse({"event": "order", "where": {"category": {"is": "Schuhe"}}})
    assert parse({"event": "order", "where": {"category": ["a", "b"]}}) == parse({"event": "order", "where": {"category": {"in": ["a", "b"]}}})
    assert parse({"event": "order", "where": {"tags": "new"}}) == parse({"event": "order", "where": {"tags": {"includes": "new"}}})
    assert parse({"event": "order"}) == parse({"event": ["order"], "count": {"at_least": 1}})
    assert parse({"event": "order", "within": "7 days"}) == parse({"event": "order", "within": {"last": "7 days"}})
    assert parse([{"everyone": True}]) == parse({"all": [{"everyone": True}]})
    expanded = parse({"event": "order*"}).clause
    assert isinstance(expanded, Count)
    assert expanded.events.names == ("order", "order_returned")
    assert "order_returned" in parse({"event": "order*"}).sentence("en")


def test_text_is_read_as_it_is_landed() -> None:
    assert parse({"trait": "city", "is": " Ko\u0308ln "}) == parse({"trait": "city", "is": "Köln"})


def test_parameters_wait_for_their_values() -> None:
    rule = parse({"last": "order", "where": {"order_id": {"is": "$trigger.order_id"}}, "has": {"total": {"at_least": "$least"}}})
    assert rule.parameters == ("least", "trigger.order_id")
    person = rules.Timeline(person="x", events=(rules.Event(id="1", name="order", at=5, received=5, properties={"order_id": "A7", "total": Decimal(9)}),))
    for ask in (lambda: rule.evaluate(person, at=9), lambda: rule.next_change(person, at=9), lambda: rule.select({}, as_of=9), lambda: rule.explain(person, at=9)):
        with pytest.raises(RuleError, match="open parameters"):
            ask()
    assert rule.bind({"trigger": {"order_id": "a7", "other": 1}, "least": 9}).evaluate(person, at=9)
    assert not rule.bind({"trigger.order_id": "A8", "$least": 9}).evaluate(person, at=9)
    assert "$least" in rule.sentence("en")
    with pytest.raises(RuleError) as error:
        rule.bind({"least": "nine", "lest": 3})
    assert {fault.what for fault in error.value.faults} == {"the parameter '$trigger.order_id' has no value", "there is no parameter '$lest'", "'nine' is no number"}
    assert parse({"event": "order", "where": {"category": "$$five"}}).parameters == ()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"trait": "city", "is_not": "Köln"}, "where it is missing"), ({"event": "order", "where": {"category": {"not_in": ["a"]}}}, "where it is missing"), ({"trait": "points", "at_least": 5, "at_most": 3}, "contradict"),
        ({"all": [{"trait": "city", "is": "Köln"}, {"trait": "city", "is": "Bonn"}]}, "contradict"), ({"all": [{"segment": "loyal"}, {"not": {"segment": "loyal"}}]}, "opposite"), ({"trait": "city", "exists": False, "is": "x"}, "contradict"),
        ({"trait": "points", "more_than": 3, "at_most": 3}, "contradict"), ({"event": "order", "count": {"less_than": 0}}, "never below 0"), ({"event": "order", "sum": {"of": "total", "at_most": 10}}, "over no events is 0"),
        ({"sequence": [{"event": "login"}, {"event": "order"}]}, "whole history"), ({"event": "order", "distinct": {"of": "category", "at_least": 2}}, "whole history"), ({"event": "order", "where": {"due": {"within": {"next": "1 day"}}}}, "follows the clock"),
        ({"event": "order", "within": {"after": {"last": "login"}}}, "anchor"), ({"trait": "points", "in": [1, 2], "at_least": 3}, "contradict"),
    ],
)  # fmt: skip
def test_warned_not_refused(source: Any, says: str) -> None:
    found = parse(source).warnings
    assert any(says in warning.what for warning in found), found
    assert all(warning.mend and warning.at.startswith("$") for warning in found)


@pytest.mark.parametrize(
    "source",
    [
        {"trait": "city", "is_not": "Köln", "exists": True}, {"trait": "city", "exists": False}, {"trait": "points", "at_least": 3, "at_most": 3}, {"event": "order", "sum": {"of": "total", "at_most": 10}, "count": {"at_least": 1}},
        {"trait": "city", "is": "köln", "in": ["KÖLN", "Bonn"]}, {"any": [{"trait": "city", "is": "a"}, {"trait": "city", "is": "b"}]}, {"event": "order", "sum": {"of": "total", "at_least": 10}}, {"trait": "city", "contains": "a", "starts_with": "b"},
    ],
)  # fmt: skip
def test_good_rules_are_not_warned_of(source: Any) -> None:
    assert parse(source).warnings == ()


SENTENCES: list[tuple[Any, str, str]] = [
    ({"event": "order", "where": {"category": "Schuhe"}, "within": "30 days", "count": {"at_least": 2}, "sum": {"of": "total", "at_least": 100}},
     "Bestellung [Kategorie ist „Schuhe“] mindestens zweimal in den letzten 30 Tagen, Summe Betrag mindestens 100,00 €", "order [category is “Schuhe”] at least twice in the last 30 days, sum of total at least 100.00 €"),
    ({"not": {"event": "order", "within": "30 days"}}, "nicht (Bestellung mindestens einmal in den letzten 30 Tagen)", "not (order at least once in the last 30 days)"),
    ({"event": "order", "count": {"is": 0}}, "Bestellung nie", "order never"), ({"trait": "city", "is_not": "Köln"}, "city ist nicht „Köln“ (oder fehlt)", "city is not “Köln” (or is missing)"),
    ({"stopped": "order", "silent": "30 days", "active": "60 days"}, "Bestellung hat aufgehört: nie in den letzten 30 Tagen, aber in den 60 Tagen davor", "order has stopped: never in the last 30 days, but in the 60 days before"),
    ({"segment": "loyal", "for": "30 days"}, "im Segment Treue seit mindestens 30 Tagen", "in segment Loyals for at least 30 days"), ({"consent": "newsletter", "channel": "email"}, "Einwilligung Neuigkeiten für email erteilt", "consent to newsletter by email is given"),
    ({"trait": "birthday", "anniversary": {"next": "7 days"}}, "birthday hat Jahrestag heute oder in den nächsten 6 Tagen", "birthday has its anniversary today or in the next 6 days"), ({"bucket": "w26", "from": 0, "to": 90}, "Zufallsgruppe „w26“ von 0 bis unter 90 %", "random group “w26” from 0 to below 90 %"),
    ({"event": "order", "within": {"start": "2026-03-01"}}, "Bestellung mindestens einmal ab 01.03.2026", "order at least once from 2026-03-01"), ({"regular": "order", "every": "month", "of_last": 6, "in_at_least": 4}, "Bestellung mindestens einmal je Monat in mindestens 4 der letzten 6 vollen Monate", "order at least once a month in at least 4 of the last 6 whole months"),
    ({"any": [{"everyone": True}, {"all": [{"rule": "base"}, {"list": "invited"}]}]}, "alle oder (Regel „base“ gilt und auf der Liste invited)", "everyone or (rule “base” holds and on list invited)"),
    ({"last": "login", "within": {"to": "60 days"}}, "zuletzt login vor mindestens 60 Tagen", "last login at least 60 days ago"),
    ({"event": "order", "within": {"after": {"last": "login"}, "for": "1 hour"}, "count": {"is": 0}}, "Bestellung nie nach letztem login, höchstens 1 Stunde danach", "order never after the last login, at most 1 hour later"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "german", "english"), SENTENCES)
def test_sentences(source: Any, german: str, english: str) -> None:
    rule = parse(source)
    assert (rule.sentence("de"), rule.sentence("en")) == (german, english)


def test_macros_are_kept() -> None:
    assert isinstance(parse({"stopped": "order", "silent": "30 days", "active": "60 days"}).clause, Stopped)


def test_unknown_languages_and_schemas_are_refused() -> None:
    with pytest.raises(RuleError, match="not written in 'fr'"):
        parse({"everyone": True}).sentence("fr")
    with pytest.raises(RuleError) as error:
        rules.RuleSchema.of(zone="Europe/Bern", events={"a": {"b": "nmber"}, "c": {"not": "text"}})
    assert len(error.value.faults) == 3


def test_all_rules_of_a_file_are_read_together() -> None:
    parsed = rules.parse_all({"a": {"rule": "b"}, "b": {"event": "order"}}, SCHEMA)
    assert parsed["a"].sentence("en") == "rule “b” holds"
    with pytest.raises(RuleError) as error:
        rules.parse_all({"a": {"event": "oder"}, "b": {"trait": "ciy", "is": "x"}}, SCHEMA)
    assert [fault.at for fault in error.value.faults] == ["a: $.event", "b: $.trait"]


def test_hostile_sizes_are_refused() -> None:
    deep: Any = {"everyone": True}
    for _ in range(60):
        deep = {"not": deep}
    assert any("deep" in what for what in faults(deep).values())
    assert any("2000 parts" in what for what in faults({"any": [{"everyone": True}] * 3_000}).values())
    bomb = "a: &a [{everyone: true}, {everyone: true}]\n" + "".join(f"{name}: &{name} [{{all: *{before}}}, {{all: *{before}}}]\n" for before, name in zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True))
    with pytest.raises(RuleError):
        parse(f"{bomb}any: *q\n")
    with pytest.raises(RuleError):
        parse('{"not": ' * 20_000 + "1" + "}" * 20_000)


def test_the_fingerprint_follows_the_meaning() -> None:
    here = parse({"rule": "base"})
    assert here.fingerprint == parse("{rule: base}").fingerprint
    assert here.fingerprint != parse({"event": "order"}).fingerprint
    other = rules.RuleSchema.of(zone="Europe/Berlin", events={"order": {}, "login": {}}, rules={"base": {"event": "login"}})
    assert rules.parse({"rule": "base"}, other).fingerprint != here.fingerprint


def test_a_named_rule_that_cannot_be_read_is_a_fault_of_its_name() -> None:
    broken = rules.RuleSchema.of(events={"order": {}}, rules={"bad": "event: [order"})
    with pytest.raises(RuleError) as error:
        rules.parse([{"rule": "bad"}, {"event": "oder"}], broken)
    assert [fault.at.split(",")[0] for fault in error.value.faults] == ["rules.bad: $", "$.all[1].event"]
