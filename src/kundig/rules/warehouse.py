"""Many rules over the warehouse's tables: one table of people with one boolean column a rule, from one scan of the events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import ibis

from kundig.errors import RuleError
from kundig.rules.clauses import All, AnyOf, Bucket, Clause, Count, Edge, Everyone, Holds, Leaf, Not, Now, Regular, Sequence, leaves
from kundig.rules.columns import Column, both, earliest, either
from kundig.rules.due import DueCompiler
from kundig.rules.facts import Moment, to_micros
from kundig.rules.measures import DayFigures, Measure
from kundig.rules.scan import Scan, table_named
from kundig.rules.warehouse_events import EventCompiler
from kundig.rules.warehouse_states import StateCompiler
from kundig.rules.windows import bounded

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from kundig.rules.rule import Rule

Answer = Callable[["ir.Table"], Column]
LEAVES_TOGETHER = 60
"""Rules are compiled in groups of about so many leaves: expressions grow dearer than their number."""
DUE = "_due_at"
_OWN = ("person_key", "person_id")


def compile(rules: Mapping[str, Rule], tables: Mapping[str, ir.Table], *, as_of: Moment, due: bool = False, measures: Collection[Measure] = ()) -> ir.Table:
    """One row a person of `profiles`: `person_key`, `person_id`, and a boolean column per rule that is never null.

    Args:
        rules: Rules by the name of their column.
        tables: `profiles`, and those that the rules need: `events` (with `person_key`, or beside `identities`), `trait_changes`,
            `scores`, `consents`, `segment_members`, `list_members`.
        as_of: Facts count that were received and had happened by then.
        due: Also a column `<rule>_due_at` per rule: a moment not later than the first at which time alone changes the answer; null: never.
        measures: What the table `measure_days` holds, folded with the same `as_of`; windows over these are answered from days,
            and only days that a bound cuts are read from the events.

    Raises:
        RuleError: A needed table is not given, a rule has open parameters or another zone than the others, or a name is taken.
    """
    _check(rules)
    at = to_micros(as_of)
    profiles = table_named(tables, "profiles").select(*_OWN)
    groups = [Plan(group, tables, at, due=due, measures=measures).table(profiles) for group in _groups(rules)]
    if not groups:
        return profiles
    result: Any = groups[0]
    for number, group in enumerate(groups[1:]):
        side = group.drop("person_id").rename({f"group_{number}_person_key": "person_key"})
        result = result.left_join(side, result.person_key == side[f"group_{number}_person_key"]).drop(f"group_{number}_person_key")
    return result


def _check(rules: Mapping[str, Rule]) -> None:
    taken = [name for name in rules if name in _OWN or any(name == f"{other}{DUE}" for other in rules)]
    if taken:
        raise RuleError(f"a rule cannot be called '{taken[0]}': its column has another meaning", at="rules", mend="give it another name")
    if len({rule.zone for rule in rules.values()}) > 1:
        raise RuleError("rules of different zones cannot be compiled together", at="rules", mend="parse them with one schema")
    for rule in rules.values():
        rule.require_bound()


def _groups(rules: Mapping[str, Rule]) -> Iterable[dict[str, Rule]]:
    group: dict[str, Rule] = {}
    size = 0
    for name, rule in rules.items():
        number = sum(1 for _ in leaves(rule.clause))
        if group and size + number > LEAVES_TOGETHER:
            yield group
            group, size = {}, 0
        group[name] = rule
        size += number
    if group:
        yield group


class Plan:
    """Some rules that share scans: gathers what their leaves need, then builds one table."""

    def __init__(self, rules: Mapping[str, Rule], tables: Mapping[str, ir.Table], at: int, *, due: bool, measures: Collection[Measure], zone: str = "") -> None:
        self.rules, self.at = rules, at
        self.zone = zone or next(iter(rules.values())).zone
        self.scan = Scan(tables, at, self.zone, future=due)
        self.events = EventCompiler(scan=self.scan, days=DayFigures(at=at, zone=self.zone, held={measure.id: measure for measure in measures}))
        self.states = StateCompiler(scan=self.scan)
        self.due = DueCompiler(scan=self.scan, events=self.events, states=self.states) if due else None

    def table(self, profiles: ir.Table) -> ir.Table:
        """The people with one column a rule."""
        for rule in self.rules.values():
            for leaf in leaves(rule.clause):
                if isinstance(leaf, Holds):
                    self.states.gather(leaf)
                if self.due is not None:
                    self.due.gather(leaf)
        answers = {name: self.clause(rule.clause) for name, rule in self.rules.items()}
        dues = {f"{name}{DUE}": self.due.rule(rule.clause, self.clause) for name, rule in self.rules.items()} if self.due is not None else {}
        people = self.scan.joined_to(profiles)
        made = {name: answer(people) for name, answer in answers.items()} | {name: earliest(due(people)) for name, due in dues.items()}
        return people.select(*_OWN, **made)

    def clause(self, clause: Clause) -> Answer:
        """A clause as a column over the joined people."""
        match clause:
            case All():
                parts = [self.clause(part) for part in clause.parts]
                return lambda people: both(part(people) for part in parts)
            case AnyOf():
                parts = [self.clause(part) for part in clause.parts]
                return lambda people: either(part(people) for part in parts)
            case Not():
                inner = self.clause(clause.part)
                return lambda people: ~inner(people)
            case Everyone() | Now() | Holds() | Count() | Edge() | Sequence() | Regular() | Bucket():
                return self.leaf(clause)
            case _:
                return self.clause(clause.part)

    def leaf(self, clause: Leaf) -> Answer:
        """A clause without parts as a column."""
        match clause:
            case Everyone():
                return lambda people: ibis.literal(True)
            case Now():
                low, high = bounded(clause.window, self.at, self.zone)
                return lambda people: ibis.literal(low <= self.at < high)
            case Bucket():
                return lambda people: _in_bucket(clause, people)
            case Holds():
                return self.states.answer(clause)
            case Count():
                return self.events.count(clause)
            case Edge():
                return self.events.edge(clause)
            case Sequence():
                return self.events.sequence(clause)
            case Regular():
                return self.events.regular(clause)


def _in_bucket(clause: Bucket, people: ir.Table) -> Column:
    low, high = clause.marks
    digits: Any = (ibis.literal(f"{clause.salt}:") + people.person_id).hexdigest("md5").substr(0, 8)
    return ((digits >= low) & (digits < high)).fill_null(False)
