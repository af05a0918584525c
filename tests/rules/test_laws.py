"""Laws that need no engine: complements, De Morgan, late facts, explanations, sentences, two notations."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

from tests.rules.generator import Generator
from tests.rules.world import DAY, FULL, SCHEMA, crowd, instant, moment

from kundig import rules
from kundig.rules.clauses import All, AnyOf, Count, Named, Not, Resumed, Stopped
from kundig.rules.evaluate import judge
from kundig.rules.explain import Explanation
from kundig.rules.values import POSITIVE_OF

ROUNDS = 4_000 if FULL else 500


def scene(seed: int) -> tuple[int, rules.Timeline, Generator]:
    chance = random.Random(seed)
    at = moment(chance)
    return at, crowd(chance, at, 1)[0], Generator(chance)


def answer(source: Any, person: rules.Timeline, at: int) -> bool:
    return rules.parse(source, SCHEMA).evaluate(person, at=at)


def test_not_is_the_complement_and_de_morgan_holds() -> None:
    for seed in range(ROUNDS):
        at, person, draw = scene(seed)
        one, other = draw.rule(), draw.rule()
        a, b = answer(one, person, at), answer(other, person, at)
        assert answer({"not": one}, person, at) is not a
        assert answer({"all": [one, other]}, person, at) is (a and b)
        assert answer({"any": [one, other]}, person, at) is (a or b)
        assert answer({"not": {"all": [one, other]}}, person, at) is answer({"any": [{"not": one}, {"not": other}]}, person, at)
        assert answer([one, other], person, at) is (a and b)


def test_a_negative_test_is_not_of_its_positive() -> None:
    checked = 0
    for seed in range(ROUNDS * 3):
        at, person, draw = scene(seed)
        source = draw.trait()
        operator = next((name for name in source if name in POSITIVE_OF or source.get(name) is False), None)
        if operator is None or len([name for name in source if name not in ("trait", "exact")]) > 1:
            continue
        positive = {POSITIVE_OF.get(name, name): (True if name == "exists" else value) for name, value in source.items()}
        if positive == source:
            continue
        checked += 1
        assert answer(source, person, at) is not answer(positive, person, at), source
    assert checked > ROUNDS // 10


def test_macros_mean_their_expansion() -> None:
    for seed in range(ROUNDS):
        at, person, _ = scene(seed)
        stopped = {"stopped": "order", "silent": "3 days", "active": "2 weeks"}
        expansion = [{"not": {"event": "order", "within": "3 days"}}, {"event": "order", "within": {"from": "17 days", "to": "3 days"}}]
        assert answer(stopped, person, at) is answer(expansion, person, at)
        resumed = {"resumed": "order", "within": "3 days", "silent": "7 days"}
        expansion = [{"event": "order", "within": "3 days"}, {"not": {"event": "order", "within": {"from": "10 days", "to": "3 days"}}}, {"event": "order", "within": {"to": "10 days"}}]
        assert answer(resumed, person, at) is answer(expansion, person, at)
        none = {"event": "order", "within": "7 days", "count": {"is": 0}}
        assert answer(none, person, at) is not answer({"event": "order", "within": "7 days"}, person, at)


def test_what_comes_later_or_is_not_known_changes_nothing() -> None:
    for seed in range(ROUNDS):
        at, person, draw = scene(seed)
        rule = rules.parse(draw.rule(), SCHEMA)
        visible = rules.Timeline(
            person=person.person,
            events=tuple(event for event in person.events if event.at <= at and event.received <= at),
            states=tuple(state for state in person.states if state.at <= at and state.received <= at),
        )
        assert rule.evaluate(person, at=at) is rule.evaluate(visible, at=at)
        known = instant(random.Random(seed), at)
        before = rules.Timeline(person=person.person, events=tuple(e for e in person.events if e.received <= known), states=tuple(s for s in person.states if s.received <= known))
        assert rule.evaluate(person, at=at, known_at=known) is rule.evaluate(before, at=at, known_at=at + 400 * DAY)


def test_the_order_of_facts_changes_nothing() -> None:
    for seed in range(ROUNDS // 2):
        at, person, draw = scene(seed)
        rule = rules.parse(draw.rule(), SCHEMA)
        turned = rules.Timeline(person=person.person, events=person.events[::-1], states=person.states[::-1])
        assert rule.evaluate(person, at=at) is rule.evaluate(turned, at=at)
        assert rule.next_change(person, at=at) == rule.next_change(turned, at=at)


def combined(clause: Any, found: Explanation) -> bool:
    """The answer that the answers of the parts make."""
    inner = [part.answer for part in found.parts]
    match clause:
        case All():
            return all(inner)
        case AnyOf():
            return any(inner)
        case Not():
            return not inner[0]
        case Named() | Stopped() | Resumed():
            return inner[0]
        case _:
            return found.answer


def test_explanations_combine_to_the_answer() -> None:
    def check(clause: Any, found: Explanation) -> None:
        assert found.answer is combined(clause, found)
        assert found.sentence
        parts = clause.parts if isinstance(clause, All | AnyOf) else (clause.part,) if found.parts else ()
        for part, explanation in zip(parts, found.parts, strict=True):
            check(part, explanation)

    for seed in range(ROUNDS):
        at, person, draw = scene(seed)
        rule = rules.parse(draw.rule(), SCHEMA)
        found = rule.explain(person, at=at, language=("de", "en")[seed % 2])
        assert found.answer is rule.evaluate(person, at=at)
        check(rule.clause, found)
        json.dumps(found.as_dict())
        assert len(found.lines()) >= 1


def test_an_explanation_names_what_the_answer_rests_on() -> None:
    at = moment(random.Random(1))
    events = tuple(rules.Event(id=f"e{number}", name="order", at=at - number * DAY, received=at, properties={"total": Decimal(number)}) for number in range(3))
    person = rules.Timeline(person="x", events=events)
    counted = rules.parse({"event": "order", "within": "30 days", "sum": {"of": "total", "at_least": 3}}, SCHEMA).explain(person, at=at)
    assert counted.values["sum of total"] == {"is": Decimal(3), "wanted": "at least 3"}
    assert counted.values["window"]["before"] is not None
    chosen = rules.parse({"first": "order", "has": {"total": {"at_least": 2}}}, SCHEMA).explain(person, at=at)
    assert chosen.answer
    assert chosen.values["event"] == "e2"
    missing = rules.parse({"trait": "city", "is": "Köln"}, SCHEMA).explain(person, at=at)
    assert missing.values["value"] is None
    assert "missing" in missing.lines()[0]
    assert 0 <= rules.parse({"bucket": "x"}, SCHEMA).explain(person, at=at).values["share"] < 100


def normal(clause: Any) -> Any:
    """A clause without lists of one part and with one order of aggregates, which mean the same whether written or not."""
    if isinstance(clause, All | AnyOf):
        parts = tuple(normal(part) for part in clause.parts)
        return parts[0] if len(parts) == 1 else type(clause)(parts=parts)
    if isinstance(clause, Not):
        return Not(part=normal(clause.part))
    if isinstance(clause, Count):
        return Count(events=clause.events, window=clause.window, thresholds=tuple(sorted(clause.thresholds, key=lambda t: t.aggregate != "count")))
    return clause


def test_different_rules_read_differently() -> None:
    read: dict[tuple[str, str], Any] = {}
    for seed in range(ROUNDS * 4):
        draw = Generator(random.Random(seed))
        for source in (draw.rule(), *draw.focused()[:4]):
            rule = rules.parse(source, SCHEMA)
            for language in ("de", "en"):
                said = rule.sentence(language)
                assert said.strip()
                before = read.setdefault((language, said), rule.clause)
                assert normal(before) == normal(rule.clause), (said, source)
    assert len(read) > ROUNDS * 4


def test_yaml_and_json_are_the_same_thing() -> None:
    from ruamel.yaml import YAML
    from ruamel.yaml.compat import StringIO

    for seed in range(ROUNDS // 2):
        source = json.loads(json.dumps(Generator(random.Random(seed)).rule(), default=float))
        stream = StringIO()
        writer = YAML(typ="safe", pure=True)
        writer.representer.sort_base_mapping_type_on_output = False  # type: ignore[attr-defined]
        writer.dump(source, stream)
        from_yaml, from_json, from_plain = rules.parse(stream.getvalue(), SCHEMA), rules.parse(json.dumps(source), SCHEMA), rules.parse(source, SCHEMA)
        assert from_yaml == from_json == from_plain


def test_parsed_clauses_answer_themselves() -> None:
    """A rule by name answers as its clause written in place."""
    for seed in range(ROUNDS // 4):
        at, person, _ = scene(seed)
        rule = rules.parse({"rule": "deep"}, SCHEMA)
        assert rule.evaluate(person, at=at) is judge(rules.parse({"any": [{"event": "order", "within": "7 days"}, {"trait": "vip", "is": True}]}, SCHEMA).clause, person.known(at), at, SCHEMA.zone)
