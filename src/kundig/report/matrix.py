"""The page of the matrix: who is in which cell, who moved since last week, and what each segment brings against what winning its buyers cost."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from kundig.report.cells import Cell, Phrase, address
from kundig.report.facts import SMALL_CELL, Facts, Row
from kundig.report.flow import Band, colours_of, flow
from kundig.report.words import DASH, Words

if TYPE_CHECKING:
    from kundig.workspace import Workspace

View = dict[str, Any]
WEEK = dt.timedelta(days=7)
DRAWN, LISTED = 8, 30
"""Moves that the picture shows, and those that the table lists one by one."""


def earlier(workspace: Workspace) -> Any:
    """The release to compare the newest with: the newest that is a week older, else the oldest that is kept; None: there is no older one."""
    releases = sorted(workspace.lake.releases(), key=lambda one: (one.moment, one.id))
    older = [one for one in releases if releases and one.moment < releases[-1].moment]
    week = [one for one in older if one.moment <= releases[-1].moment - WEEK]
    return week[-1] if week else older[0] if older else None


def movement(workspace: Workspace, before: Any, now: Any) -> list[Row]:
    """Persons and expected value by segment before and now, the most first; None: not there then, or not there now."""
    sides = []
    for release, name in ((before, "before"), (now, "after")):
        rows = workspace.lake.ibis("segment_members", release.snapshot_id)
        sides.append(rows.filter(rows.member).select("person_key", **{name: rows.segment_id}))
    both = sides[0].outer_join(sides[1], "person_key")
    both = both.mutate(person=both.person_key.fill_null(both.person_key_right)).select("person", "before", "after")
    values = workspace.lake.ibis("lifetime_values", now.snapshot_id).select("person_key", value="expected_value")
    wide = both.left_join(values, [("person", "person_key")])
    counted = wide.group_by("before", "after").aggregate(persons=wide.count(), value=wide.value.cast("float64").sum())
    found: list[Row] = counted.to_pyarrow().to_pylist()
    return sorted(found, key=lambda row: (-row["persons"], str(row["before"]), str(row["after"])))


def returns(facts: Facts) -> list[Row]:
    """What each segment brought and what winning its buyers cost: `margin` of all its buyers; `cost` and `roi` over those (`paid`) of channels that advertising paid for.

    The cost is each buyer's `acquisition_cost`. What is not known is None, with `reason` no_buyers or no_spend.
    """
    sql = """
        SELECT s.segment_id, f.acquisition_channel AS channel, count(*) AS buyers, sum(f.margin)::DOUBLE AS margin, sum(v.acquisition_cost)::DOUBLE AS cost
        FROM segment_members s JOIN features f USING (person_key) LEFT JOIN lifetime_values v USING (person_key) WHERE s.member AND f.purchase_days > 0 GROUP BY 1, 2"""
    parts = facts.rows(sql)
    channels = {row["channel"] for row in parts if row["cost"]}
    found = []
    for name in facts.workspace.config.matrix.segments:
        mine = [row for row in parts if row["segment_id"] == name]
        paid = [row for row in mine if row["channel"] in channels]
        cost = sum(row["cost"] or 0.0 for row in paid) if paid else None
        gained = sum(row["margin"] or 0.0 for row in paid)
        found.append({
            "segment_id": name, "buyers": sum(row["buyers"] for row in mine), "margin": sum(row["margin"] or 0.0 for row in mine) if mine else None, "paid": sum(row["buyers"] for row in paid),
            "cost": cost, "roi": (gained - cost) / cost if cost else None, "reason": "no_buyers" if not mine else "" if cost else "no_spend",
        })  # fmt: skip
    return found


def matrix(facts: Facts, w: Words) -> View:
    """Who is where in the matrix, and who moved?"""
    from kundig.report.views import amount, count, told

    before = earlier(facts.workspace)
    moves = movement(facts.workspace, before, facts.release) if before is not None else []
    moved = [row for row in moves if row["before"] != row["after"]]
    total = sum(row["persons"] for row in moved)
    members = sum(cell["persons"] for cell in facts.segments)
    small = sum(1 for cell in facts.segments if cell["small"])
    people, segments = count(w, members), w.number(len(facts.segments))
    if before is None:
        answer: Phrase = told(w, "matrix.answer_first", persons=people, segments=segments, small=w.number(small))
    else:
        answer = told(w, "matrix.answer", persons=people, segments=segments, moved=w.number(total), since=w.moment(before.moment), value=amount(w, sum(row["value"] or 0 for row in moved), short=True))
    return {
        "title": w("matrix.title"), "answer": answer, "movement": _movement(moves, moved, facts, w, before), "how": w("how.matrix"),
        "tables": [_cells(facts, w, amount, count), _returns(facts, w, amount, count), *_by_rule(facts, w)], "back": Cell(text=w("matrix.back"), href=address("/segments", lang=w.locale)),
    }  # fmt: skip


def _movement(moves: list[Row], moved: list[Row], facts: Facts, w: Words, before: Any) -> View:
    from kundig.report.views import amount, grid

    heads = [(w("matrix.from"), False), (w("matrix.to"), False), (w("common.persons"), True), (w("matrix.value"), True)]
    rest = moved[LISTED:]
    rows = [(row["before"] or w("matrix.arrived"), row["after"] or w("matrix.left"), Cell(text=w.number(row["persons"]), value=row["persons"]), amount(w, row["value"])) for row in moved[:LISTED]]
    if rest:
        persons, value = sum(row["persons"] for row in rest), sum(row["value"] or 0 for row in rest)
        rows.append((w("matrix.others"), w("matrix.others"), Cell(text=w.number(persons), value=persons), amount(w, value)))
    empty = w("empty.movement") if before is None else w("empty.moved", since=w.moment(before.moment))
    table = grid(heads, rows, title=w("matrix.movement"), empty=empty)
    if not rows:
        return table
    stay = sum(row["persons"] for row in moves if row["before"] == row["after"])
    bands = [Band(before=row["before"] or w("matrix.arrived"), after=row["after"] or w("matrix.left"), size=row["persons"], text=w.number(row["persons"])) for row in moved[:DRAWN]]
    finding = w("matrix.finding", persons=w.number(moved[0]["persons"]), before=moved[0]["before"] or w("matrix.arrived"), after=moved[0]["after"] or w("matrix.left"))
    sub = w("matrix.sub", since=w.moment(before.moment), until=w.moment(facts.release.moment), drawn=w.number(len(bands)), stay=w.number(stay))
    return table | {"finding": finding, "sub": sub, "drawing": flow(bands, colours_of(facts.workspace.config.matrix.segments))}


def _cells(facts: Facts, w: Words, amount: Any, count: Any) -> View:
    from kundig.report.views import grid

    sql = "SELECT value_tier, behavior_cluster, state, segment_id, count(*) AS persons, sum(v.expected_value)::DOUBLE AS value FROM segment_members s LEFT JOIN lifetime_values v USING (person_key) WHERE s.member GROUP BY 1, 2, 3, 4"
    axes = facts.workspace.config.axes.members()
    place = {column: {name: number for number, name in enumerate(names)} for column, names in axes.items()}
    found = sorted(facts.rows(sql), key=lambda row: tuple(place[column].get(row[column], 99) for column in ("state", "value_tier", "behavior_cluster")))
    heads = [(w("segments.state"), False), (w("segments.tier"), False), (w("segments.cluster"), False), (w("common.persons"), True), (w("matrix.value"), True), (w("segments.segment"), False)]
    rows = []
    for row in found:
        small = row["persons"] < SMALL_CELL
        persons = Cell(text=w("segments.small", persons=w.number(row["persons"])) if small else w.number(row["persons"]), value=row["persons"])
        rows.append((*(w.named("axes", row[column]) for column in ("state", "value_tier", "behavior_cluster")), persons, amount(w, row["value"]), Cell(text=row["segment_id"] or DASH, href=address("/people", segment=row["segment_id"], lang=w.locale))))
    possible = 1
    for names in axes.values():
        possible *= len(names)
    filled = len({(row["value_tier"], row["behavior_cluster"], row["state"]) for row in found})
    return grid(heads, rows, title=w("matrix.cells"), note=w("matrix.cells_note", filled=w.number(filled), possible=w.number(possible), small=w.number(SMALL_CELL)), empty=w("empty.segments"))


def _by_rule(facts: Facts, w: Words) -> list[View]:
    from kundig.report.views import grid

    known = facts.workspace.config.rule_segments
    if not known:
        return []
    found = {row["segment"]: row for row in facts.rows("SELECT segment, count(*) AS persons, sum(v.expected_value)::DOUBLE AS value FROM rule_members m LEFT JOIN lifetime_values v USING (person_key) WHERE m.member GROUP BY 1")}
    rows = []
    for name, one in sorted(known.items()):
        row = found.get(name, {"persons": 0, "value": None})
        rows.append((name, Cell(text=w.number(row["persons"]), value=row["persons"]), Cell(text=w.money(row["value"]), value=row["value"]), one.meaning))
    heads = [(w("segments.segment"), False), (w("common.persons"), True), (w("matrix.value"), True), (w("audiences.meaning"), False)]
    return [grid(heads, rows, title=w("matrix.by_rule"))]


def _returns(facts: Facts, w: Words, amount: Any, count: Any) -> View:
    from kundig.report.views import WEAK, grid

    rows = []
    for row in facts.returns:
        why = Cell(text=f"{DASH} {w('matrix.' + row['reason'])}") if row["reason"] else None
        weak = w("matrix.weak", paid=w.number(row["paid"])) if row["paid"] < WEAK else ""
        roi = why or Cell(text=f"{w.percent(row['roi'])} {weak}".strip(), value=row["roi"])
        rows.append((row["segment_id"], Cell(text=w.number(row["buyers"]), value=row["buyers"]), amount(w, row["margin"]), amount(w, row["cost"]), Cell(text=w.number(row["paid"]), value=row["paid"]), roi))
    heads = [(w("segments.segment"), False), (w("measure.buyers"), True), (w("matrix.margin"), True), (w("matrix.cost"), True), (w("matrix.paid"), True), (w("matrix.roi"), True)]
    return grid(heads, rows, title=w("matrix.returns"), note=w("matrix.returns_note"), empty=w("empty.segments"))
