"""Random rules as plain values: every kind, every option, every window, and one focused rule of each rare detail."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.rules.world import DATES, NUMBERS, PROPERTIES, TEXTS, TRAITS

from kundig.rules.schema import COLUMN_TYPES
from kundig.rules.values import as_landed

Source = dict[str, Any]
SPANS = ["1 hour", "1 day", "2 days", "3 days", "7 days", "1 week", "30 days", "1 month", "6 months", "1 year"]
SHORT = ["1 hour", "1 day", "2 days", "3 days", "7 days", "2 weeks"]
UNITS = ["1 day", "2 days", "1 week", "2 weeks", "1 month", "3 months", "1 quarter", "1 year"]
NAMES = ["order", "visit", "login", ["order", "visit"], "*"]
TYPES = {name: COLUMN_TYPES[type] for name, type in PROPERTIES.items()}


def tidy(source: Source) -> Source:
    """Without the options that were not drawn."""
    return {name: value for name, value in source.items() if value is not None}


class Generator:
    """Draws sources of rules from one chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def pick(self, *options: Callable[[], Any]) -> Any:
        """One of several ways to draw."""
        return self.chance.choice(options)()

    def maybe(self, draw: Callable[[], Any], likely: float = 0.5) -> Any:
        """A draw, or nothing."""
        return draw() if self.chance.random() < likely else None

    def text(self) -> str:
        return next(found for _ in range(99) if (found := as_landed(self.chance.choice(TEXTS))) is not None)

    def number(self) -> Decimal:
        return Decimal(self.chance.choice([*NUMBERS, "0.7", "2.5", "33.3334"]))

    def operand(self, type: str) -> Any:
        return {"text": self.text, "list": self.text, "number": self.number, "boolean": lambda: self.chance.random() < 0.5, "date": lambda: self.chance.choice(DATES).isoformat()}[type]()

    def absolute(self) -> Source:
        days = sorted(self.chance.sample(range(335), 2))
        return {"start": f"2025-12-{days[0] % 28 + 1:02}", "end": f"2026-{days[1] % 12 + 1:02}-{days[1] % 28 + 1:02}"}

    def window(self, type: str = "event") -> Any:
        spans = SPANS if type != "date" else [span for span in SPANS if "hour" not in span]
        pairs = [{"from": "3 days", "to": "1 day"}, {"from": "30 days", "to": "7 days"}, {"to": "2 days"}, {"from": "6 months", "to": "1 month"}, {"to": "1 month"}]
        options = [
            lambda: self.chance.choice(spans),
            lambda: dict(self.chance.choice(pairs)),
            lambda: {"calendar": self.chance.choice(UNITS), "shift": self.chance.choice([0, 0, -1, -2] if type == "event" else [0, 0, -1, 1, 2])},
            self.absolute,
        ]
        if type == "event":
            options.append(lambda: tidy({"after": tidy({self.chance.choice(["first", "last"]): self.chance.choice(["visit", "login"]), "where": self.maybe(self.where, 0.2)}), "for": self.maybe(lambda: self.chance.choice(SHORT))}))
        else:
            ahead = spans if type == "time" else [span for span in spans if "month" not in span and "year" not in span]
            options.append(lambda: {"next": self.chance.choice(ahead)})
        return self.pick(*options)

    def tests(self, type: str) -> Source:
        """Tests of one value of a type."""
        several: Callable[[], list[Any]] = lambda: [self.operand(type) for _ in range(self.chance.randint(1, 2))]  # noqa: E731
        options: list[Callable[[], Source]] = [lambda: {"exists": self.chance.random() < 0.5}]
        if type not in ("time", "list"):
            options += [lambda: {self.chance.choice(["is", "is_not"]): self.operand(type)}] * 2
        if type in ("text", "number", "date"):
            options.append(lambda: {self.chance.choice(["in", "not_in"]): several()})
        if type == "text":
            options += [lambda: {self.chance.choice(["contains", "starts_with", "ends_with", "is", "is_not"]): self.text(), "exact": self.chance.random() < 0.4}] * 2
        if type == "number":
            options += [lambda: self.amount(), lambda: {"between": sorted([self.number(), self.number()])}]
        if type in ("time", "date"):
            options += [lambda: {"within": self.window(type)}] * 3
        if type == "date":
            options += [lambda: {"anniversary": self.anniversary()}] * 2
        if type == "list":
            options += [lambda: {self.chance.choice(["includes_any", "includes_all"]): several()}, lambda: {"includes": self.text(), "exact": self.chance.random() < 0.4}]
        found = self.pick(*options)
        return found | {"exists": True} if self.chance.random() < 0.1 else found

    def anniversary(self) -> Any:
        return self.chance.choice([{"next": "7 days"}, {"calendar": "1 day"}, {"last": "3 days"}, {"next": "1 day"}, {"from": "40 days", "to": "2 days"}, {"calendar": "1 day", "shift": 3}, {"calendar": "300 days"}])

    def where(self) -> Source:
        """A condition on an event's properties."""
        def one() -> Source:
            name = self.chance.choice(list(TYPES))
            if TYPES[name] in ("text", "number", "boolean") and self.chance.random() < 0.3:
                return {name: self.operand(TYPES[name])}
            return {name: self.tests(TYPES[name])}

        return self.pick(one, one, lambda: {"any": [one(), one()]}, lambda: {"not": one()}, lambda: one() | one(), lambda: {"all": [one(), {"not": one()}]})

    def bound(self) -> Source:
        """A threshold of a whole number."""
        return self.pick(lambda: {self.chance.choice(["at_least", "at_most", "is", "more_than", "less_than"]): self.chance.randint(0, 3)}, lambda: {"between": [1, 2]})

    def amount(self) -> Source:
        return {self.chance.choice(["at_least", "at_most", "is", "more_than", "less_than"]): self.number()}

    def threshold(self, aggregate: str) -> Source:
        if aggregate in ("count", "days"):
            return self.bound()
        if aggregate == "distinct":
            return self.bound() | {"of": self.chance.choice(["category", "total", "rating", "paid", "event_day", "delivery"])}
        limit = self.amount() if self.chance.random() < 0.9 else {"between": sorted([self.number(), self.number()])}
        return limit | {"of": self.chance.choice(["total", "total", "rating", "pieces"])}

    def thresholds(self) -> Source:
        names = [name for name in ("count", "days", "sum", "average", "minimum", "maximum", "distinct") if self.chance.random() < 0.25]
        return {name: self.threshold(name) for name in names}

    def lasting(self) -> Any:
        return self.pick(lambda: self.chance.choice(SHORT), lambda: {"less_than": self.chance.choice(SHORT)})

    def names(self) -> Any:
        return self.chance.choice(NAMES)

    def event(self) -> Source:
        return tidy({"event": self.names(), "where": self.maybe(self.where, 0.4), "within": self.maybe(self.window, 0.7)} | self.thresholds())

    def edge(self) -> Source:
        return tidy({self.chance.choice(["first", "last"]): self.names(), "where": self.maybe(self.where, 0.4), "has": self.maybe(self.where), "within": self.maybe(self.window, 0.7)})

    def sequence(self) -> Source:
        first, second = self.names(), self.names()
        steps = [tidy({"event": first, "where": self.maybe(self.where, 0.2)}), tidy({"event": second, "within": self.maybe(lambda: self.chance.choice(SHORT)), "without": self.maybe(lambda: self.chance.choice(["login", ["visit", "login"]]), 0.4)})]
        return tidy({"sequence": steps + ([{"event": first, "within": "7 days"}] if self.chance.random() < 0.3 else []), "within": self.maybe(self.window, 0.6)})

    def regular(self) -> Source:
        least = self.chance.randint(1, 3)
        return tidy({"regular": self.names(), "where": self.maybe(self.where, 0.2), "every": self.chance.choice(["day", "week", "month", "quarter"]), "of_last": least + self.chance.randint(0, 2), "in_at_least": least, "count": self.maybe(lambda: self.chance.randint(1, 2))})

    def quiet(self) -> Source:
        pair = self.chance.choice([("1 hour", "2 days"), ("2 days", "7 days"), ("7 days", "2 weeks"), ("1 month", "6 months"), ("1 week", "3 days")])
        return self.pick(lambda: {"stopped": self.names(), "silent": pair[0], "active": pair[1]}, lambda: tidy({"resumed": self.names(), "where": self.maybe(self.where, 0.2), "within": pair[0], "silent": pair[1]}))

    def trait(self) -> Source:
        name = self.chance.choice(list(TRAITS))
        return {"trait": name} | self.tests(TRAITS[name])

    def state(self) -> Source:
        def clause() -> Source:
            return dict(self.chance.choice([{"segment": "loyal"}, {"list": "invited"}, {"score": "churn", "at_least": Decimal("0.1")}, {"score": "churn", "field": "percentile", "less_than": 50}, {"trait": "city", "in": ["köln", "Strasse", "izmir"]}, {"trait": "vip", "is": True}, {"trait": "points", "at_least": 0}, {"consent": "news", "channel": "email"}, {"trait": "interests", "exists": True}, {"consent": "news", "channel": "email", "is": "withdrawn"}]))

        return self.pick(clause, lambda: clause() | {"for": self.lasting()}, lambda: {"consent": "news", "channel": "email", "is": "missing"})

    def plain(self) -> Source:
        low = self.chance.randint(0, 50)
        return self.pick(lambda: {"rule": "base"}, lambda: {"rule": "deep"}, lambda: {"everyone": True}, lambda: {"now": {"start": "2026-03-29", "end": "2026-10-26"}}, lambda: {"bucket": self.chance.choice(["x", "y"]), "from": low, "to": low + 50})

    def leaf(self) -> Source:
        return self.pick(self.event, self.event, self.event, self.edge, self.edge, self.sequence, self.regular, self.quiet, self.trait, self.trait, self.state, self.state, self.plain)

    def rule(self, depth: int = 2) -> Source:
        """Any rule."""
        if depth == 0 or self.chance.random() < 0.5:
            return self.leaf()
        return self.pick(lambda: {self.chance.choice(["all", "any"]): [self.rule(depth - 1) for _ in range(self.chance.randint(1, 3))]}, lambda: {"not": self.rule(depth - 1)})

    def focused(self) -> list[Source]:
        """One rule of each rare detail: a random mix meets them too seldom."""
        one = self.chance.choice(["count", "days", "distinct", "sum", "average", "minimum", "maximum"])
        short = self.chance.choice(["1 day", "30 days", {"calendar": "2 days"}, "1 year"])
        return [
            {"trait": "birthday", "anniversary": self.anniversary()},
            {"trait": "city"} | self.tests("text"),
            {"trait": "interests"} | self.tests("list"),
            {"trait": "renewal", "within": self.window("time")},
            tidy({self.chance.choice(["first", "last"]): self.names(), "has": {self.chance.choice(["paid", "delivery", "total"]): {"exists": True}}, "within": self.maybe(lambda: self.chance.choice(SPANS))}),
            {"event": self.names(), "within": short, one: self.threshold(one)},
            {"event": self.names(), "within": {"after": {self.chance.choice(["first", "last"]): self.chance.choice(["visit", "login"])}}, one: self.threshold(one)},
            self.state(),
            self.state(),
            {"event": self.names(), "where": {"delivery": {"within": self.window("time")}}},
        ]
