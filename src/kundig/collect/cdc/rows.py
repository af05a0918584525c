"""Tables of a source as their changes are read: which columns are wanted, what is missing, and a row's values as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kundig.collect.cdc.pgoutput import Relation, Row, Unchanged
from kundig.collect.mapping import needed, spec
from kundig.collect.versions import VERSIONED
from kundig.config.collect import ChangedTable, Input
from kundig.errors import Fault, nearest
from kundig.tables import LAKE


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """A table of the mapping: its name there, its schema and name in the database, the columns wanted (None: all), and those its keys are made of."""

    mapped: str
    schema: str
    name: str
    wanted: tuple[str, ...] | None
    optional: frozenset[str]
    keys: tuple[str, ...]

    def faults(self, relation: Relation, *, at: str) -> list[Fault]:
        """What the mapping reads and the table has not; and keys of which a row that goes would tell nothing."""
        known = {column.name: column for column in relation.columns}
        if not known:
            return [Fault(what=f"there is no table {self.schema}.{self.name}", at=at, mend="mend the name under `tables`, or restore the table")]
        lost = [name for name in self.wanted or () if name not in known and name not in self.optional]
        faults = [Fault(what=f"column '{name}' is missing from {self.schema}.{self.name}", at=at, mend=f"{nearest(name, known)}; mend the mapping, then kundig import: nothing is lost") for name in lost]
        silent = [name for name in self.keys if name in known and not known[name].key]
        if silent:
            whole = f'"{self.schema}"."{self.name}"'
            what = f"a row that goes from {self.schema}.{self.name} does not tell its '{silent[0]}', which the key is made of"
            faults.append(Fault(what=what, at=at, mend=f"map the key from the primary key, or ALTER TABLE {whole} REPLICA IDENTITY FULL"))
        return faults

    def columns(self, relation: Relation) -> tuple[str, ...]:
        """The columns of the table that are read."""
        return tuple(column.name for column in relation.columns if self.wanted is None or column.name in self.wanted)


def followed(given: Input) -> dict[tuple[str, str], Followed]:
    """The tables of a mapping by schema and name; a name without schema is of `public`."""
    found = {}
    for mapped, table in given.tables.items():
        schema, _, name = mapped.rpartition(".")
        wanted, optional = wanted_columns(table)
        keys = [pick for landing in table.lands if landing.table in VERSIONED for column, one in landing.columns.items() if column in LAKE[landing.table].key for pick in spec(one).picks]
        one = Followed(mapped=mapped, schema=schema or "public", name=name, wanted=wanted, optional=optional, keys=tuple(dict.fromkeys(_top(key) for key in keys)))
        found[one.schema, one.name] = one
    return found


def wanted_columns(table: ChangedTable) -> tuple[tuple[str, ...] | None, frozenset[str]]:
    """The columns that a table's landings read (None: all of them), and those of them that need not be there: `first_of` takes what there is."""
    alone = Input(format="debezium", tables={"t": table})
    if any("*" in landing.attributes for landing in table.lands):
        return None, frozenset()
    columns = tuple(dict.fromkeys(_top(name) for name in needed(alone) if name not in ("_table", "_at")))
    either = {_top(pick) for landing in table.lands for one in landing.columns.values() for pick in spec(one).first_of}
    return columns, frozenset(either)


def _top(name: str) -> str:
    return name.split(".")[0]


def value(text: str | None, kind: str) -> Any:
    """A PostgreSQL text as what stands in a line: truth as such, lists as texts between bars, JSON as JSON.

    Examples:
        >>> value("t", "bool"), value('{a,"b ""c",NULL}', "list"), value('{"a": [1.50]}', "json"), value("12.30", "text")
        ('true', 'a|b "c', {'a': [1.5]}, '12.30')
    """
    if text is None or kind == "text":
        return text
    if kind == "bool":
        return "true" if text in ("t", "true") else "false"
    if kind == "json":
        return json.loads(text)
    if kind == "padded":
        return text.rstrip(" ")
    return "|".join(elements(text))


def elements(text: str) -> list[str]:
    """The elements of an array's text, at any depth; NULLs are left out.

    Examples:
        >>> elements('{1,2,{3,4}}'), elements('{"a,b","c\\\\\\\\d",NULL,"NULL"}'), elements("{}")
        (['1', '2', '3', '4'], ['a,b', 'c\\\\d', 'NULL'], [])
    """
    found: list[str] = []
    current, quoted, was_quoted, escaped = "", False, False, False
    for sign in text[text.find("{") :]:
        if escaped:
            current, escaped = current + sign, False
        elif sign == "\\":
            escaped = True
        elif sign == '"':
            if not quoted and was_quoted:
                current += sign
            quoted, was_quoted = not quoted, True
        elif quoted or sign not in "{},":
            current += sign
        elif sign != "{":
            if was_quoted or (current and current != "NULL"):
                found.append(current)
            current, was_quoted = "", False
    return found


def as_values(row: Row, relation: Relation, columns: Sequence[str], kinds: Mapping[int, str]) -> tuple[dict[str, Any], list[str]]:
    """The columns' values of a row, and the names of those that were not sent because they did not change."""
    chosen = set(columns)
    values: dict[str, Any] = {}
    unsent: list[str] = []
    for column, given in zip(relation.columns, row, strict=True):
        if column.name not in chosen:
            continue
        if isinstance(given, Unchanged):
            unsent.append(column.name)
        else:
            values[column.name] = value(given, kinds.get(column.type, "text"))
    return values, unsent
