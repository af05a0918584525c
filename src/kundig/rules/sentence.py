"""A rule as a sentence: composed from its clauses, one template per kind and language, never stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kundig.rules import words
from kundig.rules.clauses import (
    All,
    AllConditions,
    AnyCondition,
    AnyOf,
    Bucket,
    Clause,
    Condition,
    Count,
    Derived,
    Edge,
    Events,
    Everyone,
    Holds,
    Named,
    NoCondition,
    Not,
    Now,
    PropertyTests,
    Regular,
    Resumed,
    Sequence,
    Stopped,
    Test,
    Threshold,
)
from kundig.rules.schema import RuleSchema
from kundig.rules.windows import After, Window

_COMPARED = {
    "is": ("ist", "is"), "is_not": ("ist nicht", "is not"), "in": ("ist", "is"), "not_in": ("ist weder", "is neither"),
    "at_least": ("mindestens", "at least"), "at_most": ("höchstens", "at most"),
    "more_than": ("mehr als", "more than"), "less_than": ("weniger als", "less than"),
    "between": ("zwischen", "between"), "contains": ("enthält den Text", "contains the text"),
    "starts_with": ("beginnt mit", "starts with"), "ends_with": ("endet auf", "ends with"),
    "includes": ("enthält", "includes"), "includes_any": ("enthält", "includes"), "includes_all": ("enthält", "includes"),
}  # fmt: skip
_JOINED = {
    "in": (" oder ", " or "), "not_in": (" noch ", " nor "), "between": (" und ", " and "),
    "includes_any": (" oder ", " or "), "includes_all": (" und ", " and "),
}  # fmt: skip
_AGGREGATES = {
    "sum": ("Summe", "sum of"), "average": ("Durchschnitt", "average of"), "minimum": ("Minimum", "minimum of"), "maximum": ("Maximum", "maximum of"),
}  # fmt: skip


class Speaker:
    """Says clauses in one language, with the labels of a schema."""

    def __init__(self, schema: RuleSchema, language: str) -> None:
        self.schema = schema
        self.language = words.known_language(language)

    def _say(self, german: str, english: str) -> str:
        return words.either(self.language, german, english)

    def _label(self, labels: Mapping[str, str] | None, name: str) -> str:
        return (labels or {}).get(self.language) or name

    def clause(self, clause: Clause, *, inner: bool = False) -> str:
        """The sentence of a clause; `inner` ones with several parts stand in brackets."""
        match clause:
            case All() | AnyOf():
                return self._joined(clause, inner=inner)
            case Not():
                return self._say("nicht ", "not ") + f"({self.clause(clause.part)})"
            case Named():
                name = words.quoted(clause.name, self.language)
                return self._say(f"Regel {name} gilt", f"rule {name} holds")
            case Derived():
                return self.clause(clause.part)
            case Everyone():
                return self._say("alle", "everyone")
            case Now():
                return self._say("die Zeit liegt ", "the time is ") + words.window(clause.window, self.schema.zone, self.language)
            case Holds():
                return self._state(clause)
            case Count():
                return self._count(clause)
            case Edge():
                return self._edge(clause)
            case Sequence():
                return self._sequence(clause)
            case Regular():
                return self._regular(clause)
            case Bucket():
                start, end = words.number(clause.start, self.language), words.number(clause.end, self.language)
                salt = words.quoted(clause.salt, self.language)
                return self._say(f"Zufallsgruppe {salt} von {start} bis unter {end} %", f"random group {salt} from {start} to below {end} %")
            case Stopped():
                return self._stopped(clause)
            case Resumed():
                return self._resumed(clause)

    def _joined(self, clause: All | AnyOf, *, inner: bool) -> str:
        word = self._say(" und ", " and ") if isinstance(clause, All) else self._say(" oder ", " or ")
        text = word.join(self.clause(part, inner=True) for part in clause.parts)
        return f"({text})" if inner or len(clause.parts) == 1 else text

    def events(self, events: Events) -> str:
        """The events by their labels, with what they must pass in square brackets."""
        named = [self._label(self.schema.events[name].labels if name in self.schema.events else None, name) for name in events.names]
        text = self._say(" oder ", " or ").join(named)
        return text if events.where is None else f"{text} [{self.condition(events.where, events)}]"

    def condition(self, condition: Condition, events: Events, *, inner: bool = False) -> str:
        """What an event's properties must pass."""
        match condition:
            case PropertyTests():
                field = self.schema.property(events.names, condition.name)
                label = self._label(field.labels if field is not None else None, condition.name)
                return self._tests(label, condition.tests, field.unit if field is not None else "")
            case NoCondition():
                return self._say("nicht ", "not ") + f"({self.condition(condition.part, events)})"
            case AllConditions() | AnyCondition():
                word = self._say(" und ", " and ") if isinstance(condition, AllConditions) else self._say(" oder ", " or ")
                text = word.join(self.condition(part, events, inner=True) for part in condition.parts)
                return f"({text})" if inner or len(condition.parts) == 1 else text

    def _tests(self, label: str, tests: tuple[Test, ...], unit: str = "") -> str:
        return f"{label} " + self._say(" und auch ", " and also ").join(self.test(test, unit) for test in tests)

    def test(self, test: Test, unit: str = "") -> str:
        """One test, to stand after the name of what is tested."""
        if test.operator == "exists":
            return self._say("ist bekannt", "is known") if test.value else self._say("fehlt", "is missing")
        if test.operator in ("within", "anniversary"):
            window: Any = test.value
            verb = self._say("liegt", "lies") if test.operator == "within" else self._say("hat Jahrestag", "has its anniversary")
            return f"{verb} {words.window(window, self.schema.zone, self.language)}"
        verb = self._say(*_COMPARED[test.operator])
        if isinstance(test.value, tuple):
            joint = self._say(*_JOINED.get(test.operator, (" und ", " and ")))
            text = f"{verb} " + joint.join(words.plain(item, self.language, unit) for item in test.value)
        else:
            text = f"{verb} {words.plain(test.value, self.language, unit)}"
        if test.operator in ("is_not", "not_in"):
            text += self._say(" (oder fehlt)", " (or is missing)")
        return text + (self._say(" (genaue Schreibweise)", " (exact case)") if test.exact else "")

    def when(self, window: Window) -> str:
        """A window, with a space before it; empty for one that holds all."""
        if not isinstance(window, After):
            text = words.window(window, self.schema.zone, self.language)
            return f" {text}" if text else ""
        which = self._say("erstem" if window.which == "first" else "letztem", f"the {window.which}")
        limit = (
            "" if window.span is None else self._say(f", höchstens {words.span(window.span, 'de')} danach", f", at most {words.span(window.span, 'en')} later")
        )
        return self._say(f" nach {which} ", f" after {which} ") + self.events(window.anchor) + limit

    def _count(self, clause: Count) -> str:
        first, *rest = sorted(clause.thresholds, key=lambda threshold: threshold.aggregate != "count")
        if first.aggregate == "count":
            head = f"{self.events(clause.events)} {self._often(first.test)}{self.when(clause.window)}"
            return ", ".join([head, *(self._threshold(threshold, clause.events) for threshold in rest)])
        said = ", ".join(self._threshold(threshold, clause.events) for threshold in (first, *rest))
        return f"{self.events(clause.events)}{self.when(clause.window)}: {said}"

    def _often(self, test: Test) -> str:
        bounds = [int(bound) for bound in test.numbers]
        if test.operator == "between":
            low, high = bounds
            return self._say(f"zwischen {low}- und {high}-mal", f"between {low} and {high} times")
        value = bounds[0]
        if test.operator == "is":
            return self._say("nie", "never") if value == 0 else self._say("genau ", "exactly ") + words.times(value, self.language)
        return f"{self._say(*_COMPARED[test.operator])} {words.times(value, self.language)}"

    def threshold_bound(self, threshold: Threshold) -> str:
        """What an aggregate must reach: `at least 2`."""
        if threshold.test.operator == "is":
            return words.plain(threshold.test.value, self.language)
        return self.test(threshold.test)

    def _threshold(self, threshold: Threshold, events: Events) -> str:
        field = self.schema.property(events.names, threshold.of or "")
        label = self._label(field.labels if field is not None else None, threshold.of or "")
        bound = self.test(threshold.test, field.unit if field is not None and threshold.aggregate != "distinct" else "")
        if threshold.aggregate == "days":
            return self._say(f"Zahl der Tage {bound}", f"number of days {bound}")
        if threshold.aggregate == "distinct":
            return self._say(f"Zahl verschiedener Werte von {label} {bound}", f"number of distinct values of {label} {bound}")
        return f"{self._say(*_AGGREGATES[threshold.aggregate])} {label} {bound}"

    def _edge(self, clause: Edge) -> str:
        which = self._say("erstmals" if clause.which == "first" else "zuletzt", clause.which)
        head = f"{which} {self.events(clause.events)}{self.when(clause.window) or self._say(' irgendwann', ' ever')}"
        return head if clause.has is None else head + self._say(", dabei ", ", with ") + f"[{self.condition(clause.has, clause.events)}]"

    def _sequence(self, clause: Sequence) -> str:
        said = [self.events(clause.steps[0].events)]
        for step in clause.steps[1:]:
            text = self._say("dann ", "then ") + self.events(step.events)
            if step.gap is not None:
                text += self._say(" binnen ", " within ") + words.span(step.gap, self.language)
            if step.without is not None:
                text += self._say(f" ohne {self.events(step.without)} dazwischen", f" without {self.events(step.without)} in between")
            said.append(text)
        window = self.when(clause.window)
        return ", ".join(said) + (self._say(", alles", ", all") + window if window else "")

    def _regular(self, clause: Regular) -> str:
        often, unit = words.times(clause.count, self.language), words.unit_word(clause.unit, self.language)
        units = words.units_word(clause.unit, self.language)
        return f"{self.events(clause.events)} " + self._say(
            f"mindestens {often} je {unit} in mindestens {clause.in_at_least} der letzten {clause.of_last} vollen {units}",
            f"at least {often} a {unit} in at least {clause.in_at_least} of the last {clause.of_last} whole {units}",
        )

    def _stopped(self, clause: Stopped) -> str:
        silent, active = words.span(clause.silent, self.language), words.span(clause.active, self.language)
        return f"{self.events(clause.events)} " + self._say(
            f"hat aufgehört: nie in den letzten {silent}, aber in den {active} davor", f"has stopped: never in the last {silent}, but in the {active} before"
        )

    def _resumed(self, clause: Resumed) -> str:
        within, silent = words.span(clause.within, self.language), words.span(clause.silent, self.language)
        return f"{self.events(clause.events)} " + self._say(
            f"hat wieder begonnen: in den letzten {within}, nach einer Pause von {silent} und Früherem",
            f"has resumed: in the last {within}, after a pause of {silent} and earlier ones",
        )

    def _state(self, clause: Holds) -> str:
        lasting = ""
        if clause.lasting is not None:
            duration = words.span(clause.lasting.span, self.language)
            lasting = (
                self._say(f" seit mindestens {duration}", f" for at least {duration}")
                if clause.lasting.least
                else self._say(f" seit weniger als {duration}", f" for less than {duration}")
            )
        return self._state_itself(clause) + lasting

    def _state_itself(self, clause: Holds) -> str:
        match clause.kind:
            case "segment":
                label = self._label(self.schema.segments.get(clause.key), clause.key)
                return self._say(f"im Segment {label}", f"in segment {label}")
            case "list":
                label = self._label(self.schema.lists.get(clause.key), clause.key)
                return self._say(f"auf der Liste {label}", f"on list {label}")
            case "consent":
                return self._consent(clause)
            case "score":
                model, _, field = clause.key.rpartition(".")
                label = self._label(self.schema.scores.get(model), model)
                of = self._say("Wert", "score") if field == "value" else self._say("Perzentil", "percentile")
                return self._tests(f"{of} {label}", clause.tests)
            case _:
                field_of = self.schema.traits.get(clause.key)
                label = self._label(field_of.labels if field_of is not None else None, clause.key)
                return self._tests(label, clause.tests, field_of.unit if field_of is not None else "")

    def _consent(self, clause: Holds) -> str:
        purpose, _, channel = clause.key.partition("/")
        label, wanted = self._label(self.schema.purpose_labels.get(purpose), purpose), clause.tests[0]
        if wanted.operator == "not_in":
            answer = self._say("fehlt", "is missing")
        else:
            given = isinstance(wanted.value, tuple) and "given" in wanted.value
            answer = self._say("erteilt", "is given") if given else self._say("widerrufen", "is withdrawn")
        return self._say(f"Einwilligung {label} für {channel} {answer}", f"consent to {label} by {channel} {answer}")
