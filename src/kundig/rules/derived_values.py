"""The values of computed traits in the warehouse, for everybody at once: from the scan and the days that rules use."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import ibis

from kundig.rules.clauses import Edge, Holds, leaves
from kundig.rules.columns import SUM, TIMESTAMP, Column, between, earliest, property_column
from kundig.rules.derived import Made
from kundig.rules.due import DueCompiler, Dues
from kundig.rules.facts import Moment, to_micros
from kundig.rules.grammar import TOTALS, WHOLE
from kundig.rules.measures import Measure
from kundig.rules.scan import table_named
from kundig.rules.warehouse import Answer, Plan
from kundig.rules.windows import FOREVER, bounded

if TYPE_CHECKING:
    import ibis.expr.types as ir

TOGETHER = 30
"""Traits are computed in groups of so many: expressions grow dearer than their number."""


def trait_values(traits: Mapping[str, Made], tables: Mapping[str, ir.Table], *, as_of: Moment, zone: str, measures: Collection[Measure] = ()) -> ir.Table:
    """One row a person and trait: `person_key`, `trait`, `value` (as text), `last_fact_at`, `due_at`.

    A person of whom there is nothing to say has no row: a count or sum of nothing, a rule that is false, nothing that was first or last, and no moment
    at which time alone could change that. `last_fact_at` is when the newest event that counts happened; a rule has none.

    Args:
        traits: Computed traits (`read_traits`).
        tables: As for `compile`.
        as_of: Facts count that were received and had happened by then.
        zone: The workspace's zone.
        measures: As for `compile`.

    Raises:
        RuleError: A table that the traits need is not given.
    """
    profiles = table_named(tables, "profiles").select("person_key", "person_id")
    names = sorted(traits)
    groups = [names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER)]
    parts = [_Values({name: traits[name] for name in group}, tables, to_micros(as_of), zone, measures).rows(profiles) for group in groups]
    if not parts:
        return nothing(profiles)
    return functools.reduce(lambda above, below: above.union(below, distinct=False), parts)


def nothing(profiles: ir.Table) -> ir.Table:
    """No rows, in the columns of `trait_values`."""
    nobody = profiles.filter(ibis.literal(False))
    return nobody.select("person_key", trait=ibis.literal(""), value=ibis.null("string"), last_fact_at=ibis.null(TIMESTAMP), due_at=ibis.null(TIMESTAMP))


class _Values(Plan):
    """Some traits that share a scan."""

    def __init__(self, traits: Mapping[str, Made], tables: Mapping[str, ir.Table], at: int, zone: str, measures: Collection[Measure]) -> None:
        super().__init__({}, tables, at, due=True, measures=measures, zone=zone)
        self.traits = traits

    def rows(self, profiles: ir.Table) -> ir.Table:
        """The rows of these traits."""
        assert self.due is not None
        for made in self.traits.values():
            for leaf in leaves(made.rule) if made.rule is not None else ():
                if isinstance(leaf, Holds):
                    self.states.gather(leaf)
                self.due.gather(leaf)
        asked = {name: (*self._value(made), self._due(made, self.due)) for name, made in self.traits.items()}
        people = self.scan.joined_to(profiles)
        said = []
        for name, (value, last, dues) in asked.items():
            moments = dues(people)
            due = earliest(moments) if moments else ibis.null(TIMESTAMP)
            said.append(ibis.struct({"trait": ibis.literal(name), "value": value(people), "last_fact_at": last(people), "due_at": due}))
        each = people.select("person_key", said=ibis.array(said).unnest())
        flat = each.select("person_key", **{name: each.said[name] for name in ("trait", "value", "last_fact_at", "due_at")})
        silent = flat.value.isnull() | flat.value.isin(("0", "false"))
        return flat.filter(~silent | flat.due_at.notnull())

    def _value(self, made: Made) -> tuple[Answer, Answer]:
        """The trait's value as text, and when its newest event happened."""
        if made.rule is not None:
            answer = self.clause(made.rule)
            return lambda people: ibis.ifelse(answer(people), "true", "false"), lambda people: ibis.null(TIMESTAMP)
        if made.which is not None:
            return self._edge(made)
        bounds = bounded(made.window, self.at, self.zone)
        figure = {part: self.events.figure(made.events, str(made.aggregate), made.of, part, bounds) for part in (("value", "number") if made.aggregate == "average" else ("value",))}
        newest = self.events.figure(made.events, "last", None, "value", bounds)
        return lambda people: _shown(made, {part: column(people) for part, column in figure.items()}), newest

    def _edge(self, made: Made) -> tuple[Answer, Answer]:
        assert made.which is not None
        bounds = bounded(made.window, self.at, self.zone)
        if made.take is None:
            chosen = self.events.figure(made.events, made.which, None, "value", (-FOREVER, FOREVER))

            def inside(people: ir.Table) -> Column:
                return ibis.ifelse(between(chosen(people), bounds), chosen(people), ibis.null(TIMESTAMP))

            return lambda people: inside(people).strftime("%Y-%m-%d %H:%M:%S"), inside
        clause, take, type_ = Edge(which=made.which, events=made.events, window=made.window), made.take, made.type

        def taken() -> ir.Table:
            rows = self.events.chosen(clause)
            kept = rows.filter(between(rows.occurred_at, bounds))
            return kept.select("person_key", value=_text(property_column(kept, take, type_), type_), at=kept.occurred_at)

        prefix = self.scan.join(("taken", clause, take), taken)
        return lambda people: people[f"{prefix}_value"], lambda people: people[f"{prefix}_at"]

    def _due(self, made: Made, compiler: DueCompiler) -> Dues:
        return compiler.rule(made.rule, self.clause) if made.rule is not None else compiler.of_events(made.events, made.window, None)


def _shown(made: Made, figure: dict[str, Column]) -> Column:
    """An aggregate as text; those that are 0 over no events say so."""
    value = figure["value"]
    if made.aggregate in WHOLE:
        return value.fill_null(0).cast("int64").cast("string")
    if made.aggregate == "average":
        number = figure["number"].fill_null(0)
        scaled: Any = (value * 10_000).cast("int64")
        size = ibis.ifelse(number > 0, number, ibis.literal(1, type="int64"))
        half = (scaled.abs() * 2 + size) // (size * 2)
        mean = (ibis.ifelse(scaled < 0, -half, half).cast("decimal(38,4)") / ibis.literal(10_000)).cast("decimal(38,4)")
        return ibis.ifelse(number > 0, _plain(mean), ibis.null("string"))
    if made.aggregate in TOTALS:
        return _plain(value.cast(SUM)).fill_null("0")
    return _plain(value.cast(SUM))


def _text(column: Column, type_: str) -> Column:
    """A property as text."""
    if type_ == "number":
        return _plain(column.cast(SUM))
    if type_ == "time":
        return column.strftime("%Y-%m-%d %H:%M:%S")
    if type_ == "date":
        return column.strftime("%Y-%m-%d")
    if type_ == "list":
        return ibis.literal('["') + column.join('","') + ibis.literal('"]')
    return column.cast("string")


def _plain(number: Column) -> Column:
    """A decimal as text, without the noughts at its end."""
    return number.cast("string").re_replace(r"\.?0+$", "")
