"""What a person gets: an access bundle (a page to read in German and in English, and JSON) or the data they provided (JSON and CSV), as a zip."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import zipfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.clock import now
from kundig.privacy.gathering import HOUSE, Found, gather, plain, provided
from kundig.privacy.subjects import Subject
from kundig.privacy.wording import LANGUAGES, column_name, meaning, named, table_name, text
from kundig.report import words
from kundig.report.words import Words

if TYPE_CHECKING:
    from kundig.workspace import Workspace

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Moment of the files in a zip: the same contents give the same bytes."""


def access(workspace: Workspace, of: Subject, *, request: str = "", requested_at: dt.datetime | None = None, at: dt.datetime | None = None) -> tuple[bytes, dict[str, int]]:
    """The access bundle as a zip, and how many rows of each table it holds.

    `auskunft.de.html` and `access.en.html` tell Article 15(1) and (2) GDPR and every row; `data.json` holds the same rows for machines.

    Args:
        workspace: The workspace.
        of: The person.
        request: Id of the request, for the head of the pages.
        requested_at: When it was made.
        at: The present moment.
    """
    found = gather(workspace, of)
    moment = at or now()
    files = {("auskunft.de.html" if locale == "de" else "access.en.html"): _page(workspace, of, found, locale, request, requested_at, moment, "title").encode() for locale in LANGUAGES}
    files["data.json"] = _json(workspace, of, found, moment)
    return _zip(files), {one.table: len(one.rows) for one in found}


def portability(workspace: Workspace, of: Subject, *, request: str = "", requested_at: dt.datetime | None = None, at: dt.datetime | None = None) -> tuple[bytes, dict[str, int]]:
    """The data a person provided, after Article 20 GDPR: `data.json`, a CSV of each table, and how many rows of each there are.

    What was given or done by the person counts (records, orders, visits, answers, consents), not what was computed from it.
    """
    found = gather(workspace, of, tables=provided(workspace))
    moment = at or now()
    files = {"data.json": _json(workspace, of, found, moment)}
    files |= {f"{one.table}.csv": _csv(one) for one in found if one.rows}
    return _zip(files), {one.table: len(one.rows) for one in found}


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            archive.writestr(info, content)
    return out.getvalue()


def _shown(one: Found) -> list[int]:
    """Places of the columns that mean something outside; those without any value are left out."""
    return [place for place, name in enumerate(one.columns) if name not in HOUSE and any(row[place] not in (None, "", []) for row in one.rows)]


def _json(workspace: Workspace, of: Subject, found: Sequence[Found], moment: dt.datetime) -> bytes:
    tables = {one.table: [{name: value for name, value in record.items() if name not in HOUSE} for record in one.records()] for one in found if one.rows}
    told = {
        "controller": workspace.config.settings.brand.name or workspace.config.settings.workspace.name, "as_of": plain(moment),
        "identifiers": [{"kind": one.namespace, "value": one.value} for one in of.identifiers], "tables": tables,
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, indent=1, default=str).encode()


def _csv(one: Found) -> bytes:
    """A table as CSV, UTF-8; texts that a spreadsheet would take for a formula begin with an apostrophe."""
    places = _shown(one)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([one.columns[place] for place in places])
    for row in one.rows:
        writer.writerow([_cell(row[place]) for place in places])
    return out.getvalue().encode()


def _cell(value: Any) -> str:
    told = plain(value)
    if told is None:
        return ""
    if isinstance(told, bool):
        return "true" if told else "false"
    if isinstance(told, list | dict):
        return json.dumps(told, ensure_ascii=False)
    return f"'{told}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") and not value[1:].isdigit() else str(told)


def _page(workspace: Workspace, of: Subject, found: Sequence[Found], locale: str, request: str, requested_at: dt.datetime | None, moment: dt.datetime, title: str) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    w = words(workspace, locale)
    filled = [one for one in found if one.rows]
    rows, name = sum(len(one.rows) for one in filled), workspace.config.settings.brand.name or workspace.config.settings.workspace.name
    lead = text(locale, "access.lead" if rows else "access.none", name=name, rows=w.number(rows), tables=w.number(len(filled)), at=w.moment(moment), zone=w.zone)
    environment = Environment(loader=FileSystemLoader(str(Path(__file__).parent / "templates")), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    empty = [table_name(locale, one.table) for one in found if not one.rows]
    return environment.get_template("access.html.j2").render(
        locale=locale, title=text(locale, f"access.{title}"), lead=lead, request=text(locale, "access.request", id=request, at=w.moment(requested_at)) if request else "",
        parts=_parts(workspace, of, filled, w), data_title=text(locale, "access.data"), data_text=text(locale, "access.data_text"), tables=[_table(workspace, one, w) for one in filled],
        nothing=text(locale, "access.nothing", tables=", ".join(empty)) if empty else "",
    )  # fmt: skip


def _parts(workspace: Workspace, of: Subject, filled: Sequence[Found], w: Words) -> list[dict[str, Any]]:
    """What Article 15(1) asks for beside the data: purposes, kinds, how long, sources, recipients, what is automated, and rights."""

    def part(key: str, heads: Sequence[str] = (), rows: Sequence[Sequence[str]] = (), *, told: bool = True) -> dict[str, Any]:
        said = text(w.locale, f"access.{key}_text") if told else ""
        return {"title": text(w.locale, f"access.{key}"), "text": said, "heads": [text(w.locale, f"access.{head}") for head in heads], "rows": rows}

    why = []
    for one in filled:
        table = workspace.tables.get(one.table)
        if table is not None:
            found = {column.category for column in table.columns if column.name not in HOUSE}
            kinds = sorted(named(w.locale, "categories", category) for category in found - {"technical"} or found)
            kept = text(w.locale, "access.ever") if table.retention_days is None else text(w.locale, "access.days", days=w.number(table.retention_days))
            why.append((table_name(w.locale, one.table), named(w.locale, "purposes", table.purpose), ", ".join(kinds), kept, w.number(len(one.rows))))
    counted: dict[str, int] = {}
    for one in filled:
        if "source" in one.columns:
            place = one.columns.index("source")
            for row in one.rows:
                counted[str(row[place] or "")] = counted.get(str(row[place] or ""), 0) + 1
    sources = [(name, w.number(count)) for name, count in sorted(counted.items()) if name]
    return [
        part("who", ("kind", "value"), [(w.named("namespaces", one.namespace), one.value) for one in of.identifiers]), part("why", ("table", "purpose", "categories", "kept", "rows"), why, told=False),
        part("sources", ("source", "rows"), sources), part("recipients", ("recipient", "purpose"), _recipients(workspace, w)), part("automated"), part("rights"),
    ]  # fmt: skip


def _recipients(workspace: Workspace, w: Words) -> list[tuple[str, str]]:
    """Destinations, connectors of channels, and processors entered by hand."""
    config = workspace.config
    found = [(name, one.meaning or one.purpose) for name, one in sorted(config.destinations.items())]
    found += [(w.channel(name), channel.connector) for name, channel in sorted(config.channels.channels.items())]
    return found + [(row["processor"], row["purpose"] or "") for row in sorted(workspace.state.select("processors"), key=lambda row: str(row["processor"]))]


def _table(workspace: Workspace, one: Found, w: Words) -> dict[str, Any]:
    table, places = workspace.tables.get(one.table), _shown(one)
    heads = [{"name": column_name(w.locale, one.columns[place]), "meaning": meaning(w.locale, table, one.columns[place])} for place in places]
    rows = [[_told(row[place], w) for place in places] for row in one.rows]
    return {"name": one.table, "title": table_name(w.locale, one.table), "meaning": table.meaning if table is not None and w.locale == "en" else "", "heads": heads, "rows": rows}


def _told(value: Any, w: Words) -> str:
    """A value as readers of a language write it."""
    if value is None or value == "" or value == []:
        return text(w.locale, "access.dash")
    if isinstance(value, bool):
        return text(w.locale, "access.yes" if value else "access.no")
    if isinstance(value, dt.datetime):
        return w.moment(value)
    if isinstance(value, dt.date):
        return f"{value:%d.%m.%Y}" if w.locale == "de" else value.isoformat()
    if isinstance(value, Decimal):
        return w.number(value, 2) if value == round(value, 2) else w.number(value, 4)
    if isinstance(value, float):
        return w.number(value, 2)
    if isinstance(value, list | tuple):
        return ", ".join(_told(one, w) for one in value)
    return str(value)
