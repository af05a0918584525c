"""The rule itself: parsed once, it answers, selects, explains and reads as a sentence."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kundig.errors import Fault, RuleError
from kundig.rules import candidates, evaluate
from kundig.rules.advice import warnings_of
from kundig.rules.binding import bound, open_parameters
from kundig.rules.clauses import Clause
from kundig.rules.explain import Explanation, explained
from kundig.rules.facts import Moment, Timeline, to_micros
from kundig.rules.parse_clauses import RuleReader
from kundig.rules.reading import plain
from kundig.rules.schema import RuleSchema
from kundig.rules.sentence import Speaker

if TYPE_CHECKING:
    import ibis.expr.types as ir


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A parsed rule. Two rules are equal when they were parsed to the same clauses, however they were written."""

    clause: Clause
    schema: RuleSchema = dataclasses.field(repr=False, compare=False)
    source: Any = dataclasses.field(repr=False, compare=False)
    warnings: tuple[Fault, ...] = dataclasses.field(default=(), repr=False, compare=False)
    parameters: tuple[str, ...] = dataclasses.field(default=(), repr=False, compare=False)
    """Names of the parameters that are not bound yet, sorted."""

    @property
    def zone(self) -> str:
        """The workspace's time zone."""
        return self.schema.zone

    @property
    def fingerprint(self) -> str:
        """A hash of what the rule means here: its clauses, the rules and events it names, the types and the zone; labels do not count."""
        return hashlib.sha256(f"{self.zone} {self.clause!r}".encode()).hexdigest()[:16]

    def bind(self, values: Mapping[str, Any]) -> Rule:
        """This rule with `$name` filled in; a nested mapping fills `$outer.inner`.

        Raises:
            RuleError: A value does not fit the declared type, a parameter has no value, or a value no parameter; carries all faults.
        """
        return dataclasses.replace(self, clause=bound(self.clause, values), parameters=())

    def evaluate(self, timeline: Timeline, *, at: Moment, known_at: Moment | None = None) -> bool:
        """The answer at `at` for facts received by `known_at` (default: `at`).

        Raises:
            RuleError: The rule has open parameters.
        """
        moment, known = self._moments(timeline, at, known_at)
        return evaluate.judge(self.clause, known, moment, self.zone)

    def next_change(self, timeline: Timeline, *, at: Moment, known_at: Moment | None = None, tries: int = 1_000) -> int | None:
        """The first instant (microseconds) after `at` at which the answer differs if nothing more is heard; None: never by time alone.

        After `tries` judged moments the last one is returned: early, never late.
        """
        moment, known = self._moments(timeline, at, known_at)
        return candidates.next_change(self.clause, known, moment, self.zone, tries=tries)

    def due_at(self, timeline: Timeline, *, at: Moment, known_at: Moment | None = None) -> int | None:
        """A cheap bound (microseconds): never later than `next_change`, found without judging anything."""
        moment, known = self._moments(timeline, at, known_at)
        return candidates.due_at(self.clause, known, moment, self.zone)

    def explain(self, timeline: Timeline, *, at: Moment, known_at: Moment | None = None, language: str = "en") -> Explanation:
        """The answer of every clause, with its sentence and the values it rests on; all parts are evaluated."""
        moment, known = self._moments(timeline, at, known_at)
        return explained(self.clause, known, moment, Speaker(self.schema, language))

    def sentence(self, language: str) -> str:
        """The rule as a sentence, in `de` or `en`."""
        return Speaker(self.schema, language).clause(self.clause)

    def select(self, tables: Mapping[str, ir.Table], *, as_of: dt.datetime | int) -> ir.Table:
        """The persons for whom the rule is true: `person_key` and `person_id`, lazy.

        Raises:
            RuleError: The rule has open parameters, or a table it needs is not given.
        """
        from kundig.rules.warehouse import compile

        flags = compile({"answer": self}, tables, as_of=as_of)
        return flags.filter(flags.answer).select("person_key", "person_id")

    def _moments(self, timeline: Timeline, at: Moment, known_at: Moment | None) -> tuple[int, Timeline]:
        self.require_bound()
        moment = to_micros(at)
        return moment, timeline.known(moment if known_at is None else to_micros(known_at))

    def require_bound(self) -> None:
        """Nothing, if no parameter is open.

        Raises:
            RuleError: Some are; names them.
        """
        if self.parameters:
            names = ", ".join(f"${name}" for name in self.parameters)
            raise RuleError(f"the rule has open parameters: {names}", at="$", mend="fill them in with rule.bind({name: value})")


def parse(source: Any, schema: RuleSchema) -> Rule:
    """The rule that YAML text, JSON text or plain values say.

    Raises:
        RuleError: Something is wrong; carries every fault with its path, cause and mend.

    Examples:
        >>> schema = RuleSchema.of(zone="Europe/Berlin", events={"order_completed": {"total": "number"}})
        >>> parse("{event: order_completed, within: 30 days, count: {at_least: 2}}", schema).sentence("en")
        'order_completed at least twice in the last 30 days'
        >>> parse({"event": "order_complete"}, schema)
        Traceback (most recent call last):
        ...
        kundig.errors.RuleError: unknown event 'order_complete'
          at:   $.event
          mend: did you mean 'order_completed'? known: order_completed
    """
    reader = RuleReader(schema)
    given = plain(source)
    clause = reader.clause(given)
    if reader.faults or clause is None:
        raise RuleError(faults=reader.faults)
    return Rule(clause=clause, schema=schema, source=given, warnings=warnings_of(clause), parameters=open_parameters(clause))


def parse_all(sources: Mapping[str, Any], schema: RuleSchema, *, first: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Rule]:
    """Several rules by name, which may refer to each other and to those of the schema; a name that `first` has means the rule there.

    Raises:
        RuleError: Carries the faults of all of them; paths begin with the rule's name.
    """
    together = dataclasses.replace(schema, rules={**schema.rules, **sources, **first})
    rules: dict[str, Rule] = {}
    faults: list[Fault] = []
    for name, source in sources.items():
        try:
            rules[name] = parse(source, together)
        except RuleError as error:
            faults += [dataclasses.replace(fault, at=f"{name}: {fault.at}") for fault in error.faults]
    if faults:
        raise RuleError(faults=faults)
    return rules
