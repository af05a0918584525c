"""`kundig init`: look, propose, ask what cannot be known, land, run, and say what is in it."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import typer

from kundig.cli.output import emit, line, table
from kundig.clock import now
from kundig.config.defaults import write_defaults
from kundig.errors import ConfigError


def start(exports: Path | None, root: Path, *, ask: bool, as_json: bool) -> None:
    """Make a workspace, from a folder of exports where one is given.

    Raises:
        ConfigError: The folder of exports is missing or empty.
    """
    if exports is None:
        for path in write_defaults(root, name=root.resolve().name):
            line(f"  {path}")
        line("next: put exports below exports/ and describe them in sources/*.yaml, or kundig init EXPORTS; then kundig import and kundig run")
        return
    if not exports.is_dir():
        raise ConfigError(f"there is no folder '{exports}'", at="kundig init", mend="name the folder that holds your exports (CSV, Excel, JSON, Parquet)")
    from kundig.onboarding import propose, write

    place = root / "kundig" if root.resolve() == exports.resolve() else root
    found = propose(exports)
    if not found.sources:
        raise ConfigError("nothing here can be read as orders, people, events, messages or cases", at=str(exports), mend="; ".join(f"{name}: {why}" for name, why in found.unread[:5]) or "export files with a header")
    answers = _ask(found) if ask and not as_json and sys.stdin.isatty() else {}
    written = write(found, exports, place, settings=answers)
    if not as_json:
        _show(found, written)
    inside = _inside(place)
    if as_json:
        emit({"sources": found.sources, "settings": found.settings, "questions": [vars_of(q) for q in found.questions], "unread": list(found.unread), "inside": inside})
    else:
        _show_inside(inside)
        line(f"next: kundig serve -w {place}; read sources/*.yaml and persona_matrix.csv, and put the folder under git")


def vars_of(question: Any) -> dict[str, Any]:
    """A question as plain values."""
    return {"file": question.file, "column": question.column, "asks": question.asks, "options": list(question.options)}


def _ask(found: Any) -> dict[str, str]:
    answers = {}
    for name, text in (("currency", "currency of amounts"), ("zone", "time zone of local times"), ("country", "country of addresses and phones without one")):
        answers[name] = typer.prompt(text, default=found.settings[name])
    return answers


def _show(found: Any, written: list[str]) -> None:
    rows = [(r.seen.path.name, r.table, ", ".join(f"{role.lstrip('_')} ← {column}" for role, column in list(r.columns.items())[:7]) + (" …" if len(r.columns) > 7 else "")) for r in found.readings]
    table(["file", "is", "columns"], rows)
    if found.questions:
        table(["file", "column", "not decided, because"], [(q.file, q.column, q.asks) for q in found.questions])
    if found.unread:
        table(["file", "not used, because"], found.unread)
    line(f"settings: {', '.join(f'{key} {value}' for key, value in found.settings.items())}; {len(written)} files written")


def _inside(root: Path) -> dict[str, Any]:
    from kundig.workspace import Workspace

    workspace = Workspace(root)
    landed = workspace.import_()
    _, newest = workspace.rows_now("SELECT max(occurred_at) FROM (SELECT occurred_at FROM orders UNION ALL SELECT occurred_at FROM contacts UNION ALL SELECT occurred_at FROM events)")
    until = newest[0][0] or now()
    workspace.run(as_of=min(until + dt.timedelta(seconds=1), now()))
    return _numbers(workspace) | {"landed": {one.source: sum(one.rows.values()) for one in landed}, "quarantined": sum(one.quarantined for one in landed)}


def _numbers(workspace: Any) -> dict[str, Any]:
    def first(sql: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = workspace.rows(sql)[1][0]
        return row

    records, people = first("SELECT (SELECT count(*) FROM contacts), (SELECT count(*) FROM profiles WHERE kind <> 'visitor')")
    twice = first("""
        WITH many AS (SELECT d.person_key FROM contacts c JOIN identities d USING (identifier_key) GROUP BY 1 HAVING count(DISTINCT c.contact_id) > 1)
        SELECT coalesce(sum(net_revenue) FILTER (person_key IN (SELECT person_key FROM many)), 0)::DOUBLE, coalesce(sum(net_revenue), 0)::DOUBLE FROM features""")
    value = first("SELECT sum(expected_value)::DOUBLE, sum(expected_value_low)::DOUBLE, sum(expected_value_high)::DOUBLE, sum(value_at_risk)::DOUBLE, min(verdict) FROM lifetime_values")
    _, reasons = workspace.rows("SELECT reason, count(DISTINCT person_key) FROM decisions WHERE channel = 'email' GROUP BY 1 ORDER BY 2 DESC")
    _, consents = workspace.rows("SELECT status, count(DISTINCT person_key) FROM consents WHERE channel = 'email' AND status = 'given' GROUP BY 1")
    return {
        "people_in_records": records, "people": people, "revenue_of_people_held_twice": twice[0] / twice[1] if twice[1] else None, "expected_value": value[0], "expected_value_low": value[1],
        "expected_value_high": value[2], "at_risk": value[3], "verdict": value[4], "may_be_written_to_by_email": dict(consents).get("given", 0), "answers_of_the_gate": dict(reasons),
        "currency": workspace.config.settings.workspace.currency,
    }  # fmt: skip


def _show_inside(inside: dict[str, Any]) -> None:
    def money(value: float | None) -> str:
        return "–" if value is None else f"{value:,.0f} {inside['currency']}"

    share = inside["revenue_of_people_held_twice"]
    line("")
    line(f"{inside['people_in_records']:,} records of people are {inside['people']:,} people; {'–' if share is None else f'{share:.1%}'} of the revenue comes from people who are held twice")
    line(f"expected value of the next year: {money(inside['expected_value'])} ({money(inside['expected_value_low'])} to {money(inside['expected_value_high'])}); {inside['verdict'] or 'no verdict: too few purchases'}")
    line(f"of that at risk: {money(inside['at_risk'])}")
    line(f"{inside['may_be_written_to_by_email']:,} people may be written to by e-mail on a consent")
    if inside["answers_of_the_gate"]:
        table(["what the gate says, by e-mail", "people"], list(inside["answers_of_the_gate"].items()))
    if inside["quarantined"]:
        line(f"{inside['quarantined']:,} records wait in quarantine: kundig quarantine list")
