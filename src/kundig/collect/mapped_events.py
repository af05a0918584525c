"""Events that come from mapped files, databases and webhooks, judged by the tracking plan where it names them, as Segment calls are."""

from __future__ import annotations

import json
from dataclasses import replace

from kundig.collect.identifiers import literal, quoted
from kundig.collect.plain_json import decoded
from kundig.collect.rows import Canonical
from kundig.collect.sources.raw import Broken, Connection, Raw
from kundig.collect.sources.readers import json_path
from kundig.collect.tracking_plan import Plan, holding_sql, marked_sql, property_sql, spellings, violations_sql

MEND = "mend the mapping or the plan; kundig quarantine fix, then replay"


def judge_events(con: Connection, plan: Plan, source: str, rows: Canonical, raw: Raw) -> list[Broken]:
    """The events of a landing that the plan holds, taken out of its temporary table; in the others `properties` are parted as the plan says.

    Of events that the plan names, its properties become typed columns, dropped ones go, hashed ones are hashed, and what breaks the plan is held,
    or marked under `_violations`. Others stay as they came: what a mapping lands was agreed on when it was written.

    Args:
        con: DuckDB connection.
        plan: The plan, keyed.
        source: The source.
        rows: Canonical rows in `events`, in a temporary table.
        raw: The raw rows they were made of.
    """
    plan = replace(plan, unplanned="keep")
    name = quoted(rows.relation)
    con.execute(f"CREATE OR REPLACE TEMP TABLE _judged AS {_judged_sql(plan, source, name)}")
    held = con.execute(
        f"SELECT e._file, e._row, j._breaks, e.identifier_key, CAST(json_merge_patch(to_json(r), json_object('_file', NULL, '_row', NULL)) AS VARCHAR) "
        f"FROM _judged j JOIN {name} e ON e.rowid = j._id JOIN {quoted(raw.relation)} r ON r._file = e._file AND r._row = e._row WHERE j._breaks IS NOT NULL ORDER BY 1, 2"
    ).fetchall()
    typed = "".join(f", {quoted(property)} = j.{quoted('v:' + property)}" for property, planned in sorted(plan.properties.items()) if not planned.drop)
    con.execute(f"UPDATE {name} SET properties = j._kept{typed} FROM _judged j WHERE {name}.rowid = j._id")
    if held:
        con.execute(f"DELETE FROM {name} WHERE rowid IN (SELECT _id FROM _judged WHERE _breaks IS NOT NULL)")
    con.execute("DROP TABLE _judged")
    return [Broken(file=file, row=row, what=f"the tracking plan is broken: {fault}", mend=MEND, body=_whole(body), stage="contract", identifier_key=key) for file, row, fault, key, body in held]


def _judged_sql(plan: Plan, source: str, name: str) -> str:
    """One row an event that the plan names: its properties typed, what is left of them with what is marked, and the first reason for which it is held."""
    named = ", ".join(map(literal, plan.events))
    paths = {property: spellings(property, planned) for property, planned in plan.properties.items()}
    texts = "".join(f", {_first([f'json_extract_string(properties, {literal(json_path(path))})' for path in some])} AS {quoted('p:' + property)}" for property, some in paths.items())
    values = "".join(f", {property_sql(property, planned)} AS {quoted('v:' + property)}" for property, planned in sorted(plan.properties.items()) if not planned.drop)
    gone = literal("{" + ", ".join(f'"{word}": null' for some in paths.values() for word in some) + "}")
    rest = f"CASE WHEN json_type(properties) = 'OBJECT' THEN json_merge_patch(properties, {gone}) ELSE properties END" if paths else "properties"
    holding = holding_sql(plan, source) or "CAST(NULL AS VARCHAR)"
    return f"""
WITH picked AS (SELECT rowid AS _id, name, {rest} AS rest{texts} FROM {name} WHERE name IN ({named})),
typed AS (SELECT *{values} FROM picked),
marked AS (SELECT *, {violations_sql(plan, source)} AS _marks, {holding} AS _breaks FROM typed)
SELECT *, CAST({marked_sql(plan)} AS JSON) AS _kept FROM marked"""


def _whole(body: str) -> str:
    """A raw row in which texts that are objects or lists are these: so that their fields can be mended."""
    return json.dumps({name: _nested(value) for name, value in decoded(body).items()}, ensure_ascii=False)


def _nested(value: object) -> object:
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return decoded(value)
    except (ValueError, RecursionError):
        return value


def _first(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})"
