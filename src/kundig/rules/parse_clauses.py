"""Reading a rule: from YAML, JSON or plain values to clauses, with every fault found at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

from kundig.errors import RuleError, nearest
from kundig.rules.clauses import (
    All,
    AnyOf,
    Bucket,
    Clause,
    Count,
    Edge,
    Events,
    Everyone,
    Holds,
    Lasting,
    Named,
    Not,
    Now,
    Regular,
    Resumed,
    Sequence,
    Step,
    Stopped,
    Test,
)
from kundig.rules.derived import ONCE, DerivedReader
from kundig.rules.evaluate import asks_for_missing
from kundig.rules.grammar import AGGREGATES, CONSENT_ANSWERS, CONSENT_STATUSES, ELAPSED, KINDS, OPTIONS
from kundig.rules.parse_windows import together
from kundig.rules.reading import plain
from kundig.rules.schema import RuleSchema
from kundig.rules.windows import EVER, Rolling, Span

Options = Mapping[str, Any]
_REGULAR_UNITS = ("day", "week", "month", "quarter")


class RuleReader(DerivedReader):
    """Reads clauses: one method per kind."""

    def __init__(self, schema: RuleSchema) -> None:
        super().__init__(schema)
        self._kinds: dict[str, Callable[[Any, Options, str, str], Clause | None]] = {
            "all": self._list, "any": self._list, "not": self._not, "everyone": self._everyone, "now": self._now, "rule": self._rule,
            "trait": self._trait, "score": self._score, "consent": self._consent, "segment": self._membership, "list": self._membership,
            "event": self._event, "first": self._edge, "last": self._edge, "sequence": self._sequence, "regular": self._regular,
            "bucket": self._bucket, "stopped": self._stopped, "resumed": self._resumed,
        }  # fmt: skip

    def clause(self, given: Any, at: str = "$") -> Clause | None:
        """The clause of a mapping with exactly one kind; a bare list means `all`."""
        self.depth += 1
        found = self._clause(given, at) if self.within_limits(at) else None
        self.depth -= 1
        return found

    def _clause(self, given: Any, at: str) -> Clause | None:
        if isinstance(given, list | tuple):
            given = {"all": given}
        if not isinstance(given, Mapping):
            self.fault(at, f"{given!r} is no rule", "a rule is a mapping with one of the kinds " + ", ".join(KINDS))
            return None
        kinds = [key for key in given if key in OPTIONS]
        if len(kinds) != 1:
            found = kinds or sorted(map(str, given))
            mend = (
                ("join them with `all`; " if len(kinds) > 1 else nearest(str(found[0]), KINDS).partition("known:")[0] if found else "")
                + "kinds: "
                + ", ".join(KINDS)
            )
            self.fault(at, f"exactly one kind is needed, found {found}", mend)
            return None
        kind = kinds[0]
        rest = {str(key): value for key, value in given.items() if key != kind}
        if kind not in ("trait", "score"):
            for option in sorted(set(rest) - OPTIONS[kind]):
                self.fault(
                    f"{at}.{option}", f"unknown option {option!r} of {kind}", nearest(option, OPTIONS[kind]) if OPTIONS[kind] else f"{kind} has no options"
                )
        return self._kinds[kind](given[kind], rest, f"{at}.{kind}", kind)

    def _list(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        if not isinstance(body, list | tuple) or not body:
            holds = "everybody" if kind == "all" else "nobody"
            self.fault(at, f"`{kind}` needs a list of rules, not empty", f"an empty list would be {holds}; for everybody write everyone: true")
            return None
        parts = tuple(part for number, item in enumerate(body) if (part := self.clause(item, f"{at}[{number}]")) is not None)
        return All(parts=parts) if kind == "all" else AnyOf(parts=parts)

    def _not(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        part = self.clause(body, at)
        return None if part is None else Not(part=part)

    def _everyone(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        if body is True:
            return Everyone()
        self.fault(at, f"everyone knows only true, not {body!r}", "for nobody write not: {everyone: true}")
        return None

    def _now(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        if not isinstance(body, Mapping) or not body or set(body) - {"start", "end"}:
            self.fault(at, "`now` needs `start`, `end` or both", "write now: {start: 2026-03-01, end: 2026-04-01}")
            return None
        window = self.absolute(body, at)
        return None if window is None else Now(window=window)

    def _rule(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        if not isinstance(body, str) or body not in self.schema.rules:
            self.unknown(at, "rule", body, self.schema.rules)
            return None
        if body in self.open:
            circle = " -> ".join([*self.open[self.open.index(body) :], body])
            self.fault(at, f"rules refer to each other in a circle: {circle}", "take one of the references out")
            return None
        self.open.append(body)
        part = self.clause(self._source(body), f"rules.{body}")
        self.open.pop()
        return None if part is None else Named(name=body, part=part)

    def _source(self, name: str) -> Any:
        try:
            return plain(self.schema.rules[name])
        except RuleError as error:
            self.faults += [replace(fault, at=f"rules.{name}: {fault.at}") for fault in error.faults]
            return {"everyone": True}

    def _trait(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        if not isinstance(body, str) or body not in self.schema.traits:
            self.unknown(at, "trait", body, self.schema.traits)
            return None
        if body in self.schema.computed:
            return self.derived(body, rest, at)
        type = self.schema.traits[body].type
        tests = self.tests({name: value for name, value in rest.items() if name != "for"}, type, at)
        return None if tests is None else self._holds(Holds(kind="trait", key=body, tests=tests), rest, at)

    def _score(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        if not isinstance(body, str) or body not in self.schema.scores:
            self.unknown(at, "score", body, self.schema.scores)
            return None
        field = rest.get("field", "value")
        if field not in ("value", "percentile"):
            self.fault(f"{at}.field", f"unknown field {field!r}", "use value or percentile")
        tests = self.tests({name: value for name, value in rest.items() if name not in ("for", "field")}, "number", at)
        return None if tests is None else self._holds(Holds(kind="score", key=f"{body}.{field}", tests=tests), rest, at)

    def _consent(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        if not isinstance(body, str) or body not in self.schema.purposes:
            self.unknown(at, "purpose", body, self.schema.purposes)
            return None
        channels, channel = self.schema.purposes[body], rest.get("channel")
        if channel is None:
            self.fault(at, "consent needs a channel", "write channel: …; " + nearest("", channels))
            return None
        if channel not in channels:
            self.unknown(f"{at}.channel", "channel", channel, channels)
        want = rest.get("is", "given")
        if want not in CONSENT_ANSWERS:
            self.fault(f"{at}.is", f"{want!r} is no answer", "use " + ", ".join(CONSENT_ANSWERS))
            return None
        test = Test(operator="in", value=CONSENT_STATUSES[want], type="text", exact=True) if want != "missing" else _NO_CONSENT
        return self._holds(Holds(kind="consent", key=f"{body}/{channel}", tests=(test,)), rest, at)

    def _membership(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        known = self.schema.segments if kind == "segment" else self.schema.lists
        if not isinstance(body, str) or body not in known:
            self.unknown(at, kind, body, known)
            return None
        test = Test(operator="is", value=True, type="boolean")
        return self._holds(Holds(kind="segment" if kind == "segment" else "list", key=body, tests=(test,)), rest, at)

    def _holds(self, state: Holds, rest: Options, at: str) -> Holds | None:
        if "for" not in rest:
            return state
        given = rest["for"]
        how, duration = next(iter(given.items())) if isinstance(given, Mapping) and len(given) == 1 else ("at_least", given)
        if how not in ("at_least", "less_than"):
            self.fault(f"{at}.for", f"{given!r} is no lasting", "write for: 7 days or for: {less_than: 7 days}")
            return None
        span = self.span(duration, f"{at}.for", ELAPSED)
        if any(test.operator in ("within", "anniversary") for test in state.tests):
            self.fault(f"{at}.for", "a test against the clock does not last", "leave `for` out: the window says it alone")
            return None
        if asks_for_missing(state):
            self.fault(f"{at}.for", "a missing value has no beginning", "add exists: true, or ask for events: not: {event: …, within: 30 days}")
            return None
        return None if span is None else Holds(kind=state.kind, key=state.key, tests=state.tests, lasting=Lasting(least=how == "at_least", span=span))

    def _event(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        faults = len(self.faults)
        events = self.events(body, rest.get("where"), at)
        window = self.event_window(rest, at, EVER)
        found = [self.threshold_of(name, rest[name], events, f"{at}.{name}") for name in AGGREGATES if name in rest]
        if events is None or window is None or len(self.faults) > faults:
            return None
        return Count(events=events, window=window, thresholds=tuple(t for t in found if t is not None) or (ONCE,))

    def _edge(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        faults = len(self.faults)
        events = self.events(body, rest.get("where"), at)
        has = self.condition(rest["has"], events.names, f"{at}.has") if events is not None and rest.get("has") is not None else None
        window = self.event_window(rest, at, EVER)
        if events is None or window is None or len(self.faults) > faults:
            return None
        which: Literal["first", "last"] = "first" if kind == "first" else "last"
        return Edge(which=which, events=events, has=has, window=window)

    def _sequence(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        if not isinstance(body, list | tuple) or not 2 <= len(body) <= 5:
            self.fault(at, "a sequence has two to five steps", "write sequence: [{event: product_viewed}, {event: order_completed, within: 3 days}]")
            return None
        faults = len(self.faults)
        steps = [self._step(step, f"{at}[{number}]", first=number == 0) for number, step in enumerate(body)]
        window = self.event_window(rest, at, EVER)
        if window is None or len(self.faults) > faults:
            return None
        return Sequence(steps=tuple(step for step in steps if step is not None), window=window)

    def _step(self, given: Any, at: str, *, first: bool) -> Step | None:
        if isinstance(given, str):
            given = {"event": given}
        if not isinstance(given, Mapping) or "event" not in given or set(given) - {"event", "where", "within", "without"}:
            self.fault(at, f"{given!r} is no step", "a step has event, and may have where, within, without")
            return None
        if first and ("within" in given or "without" in given):
            self.fault(at, "the first step has nothing before it", "move `within` and `without` to the step that follows")
            return None
        events = self.events(given["event"], given.get("where"), f"{at}.event", where_at=f"{at}.where")
        gap = self.span(given["within"], f"{at}.within", ELAPSED) if "within" in given else None
        without = self.events(given["without"], None, f"{at}.without") if "without" in given else None
        return None if events is None else Step(events=events, gap=gap, without=without)

    def _regular(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        events = self.events(body, rest.get("where"), at)
        every: Any = rest.get("every")
        of_last: Any = rest.get("of_last")
        least: Any = rest.get("in_at_least")
        count: Any = rest.get("count", 1)
        if every not in _REGULAR_UNITS:
            self.fault(f"{at}.every", f"{every!r} is no unit", "use " + ", ".join(_REGULAR_UNITS))
        if not _whole(of_last) or not 1 <= of_last <= 60:
            self.fault(f"{at}.of_last", f"of_last must be 1 to 60, not {of_last!r}", "the number of complete units looked at")
            return None
        if not _whole(least) or not 1 <= least <= of_last:
            self.fault(f"{at}.in_at_least", f"in_at_least must be 1 to {of_last}, not {least!r}", "in how many of these units it must happen")
            return None
        if not _whole(count) or count < 1:
            self.fault(f"{at}.count", f"count must be 1 or more, not {count!r}", "how often it must happen in a unit")
            return None
        return None if events is None else Regular(events=events, unit=str(every), of_last=of_last, in_at_least=least, count=count)

    def _bucket(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        if not isinstance(body, str) or not body:
            self.fault(at, f"{body!r} is no salt", "write a text of your own; the same salt is the same split")
            return None
        start, end = self.value(rest.get("from", 0), "number", f"{at}.from"), self.value(rest.get("to", 100), "number", f"{at}.to")
        if not isinstance(start, Decimal) or not isinstance(end, Decimal):
            return None
        if not 0 <= start < end <= 100:
            self.fault(at, f"from {start} to {end} is no share of 100", "0 <= from < to <= 100")
            return None
        return Bucket(salt=body, start=start, end=end)

    def _stopped(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        found = self._quiet(body, rest, at, "silent", "active")
        if found is None:
            return None
        events, silent, active, both = found
        part = All(parts=(Not(part=_some(events, Rolling(start=silent))), _some(events, Rolling(start=both, end=silent))))
        return Stopped(events=events, silent=silent, active=active, part=part)

    def _resumed(self, body: Any, rest: Options, at: str, kind: str) -> Clause | None:
        found = self._quiet(body, rest, at, "within", "silent")
        if found is None:
            return None
        events, within, silent, both = found
        pause = Not(part=_some(events, Rolling(start=both, end=within)))
        part = All(parts=(_some(events, Rolling(start=within)), pause, _some(events, Rolling(end=both))))
        return Resumed(events=events, within=within, silent=silent, part=part)

    def _quiet(self, body: Any, rest: Options, at: str, near: str, far: str) -> tuple[Events, Span, Span, Span] | None:
        events = self.events(body, rest.get("where"), at)
        for name in (near, far):
            if name not in rest:
                self.fault(at, f"`{name}` is missing", f"write {name}: 30 days")
        spans = [self.span(rest[name], f"{at}.{name}") for name in (near, far) if name in rest]
        if events is None or len(spans) < 2 or spans[0] is None or spans[1] is None:
            return None
        both = together(spans[0], spans[1])
        if both is None:
            self.fault(at, f"`{near}` and `{far}` must both be in days or both in months", "give both in the same unit")
            return None
        return events, spans[0], spans[1], both


def _some(events: Events, window: Rolling) -> Count:
    return Count(events=events, window=window, thresholds=(ONCE,))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_NO_CONSENT = Test(operator="not_in", value=tuple(status for statuses in CONSENT_STATUSES.values() for status in statuses), type="text", exact=True)
