"""Commands about consent: what was allowed when and why, strings of consent tools, what lapses soon, and records for others to read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kundig.cli.options import HERE, AsOf, Json, Root, moment, opened
from kundig.cli.output import emit, line, table
from kundig.clock import now

consent = typer.Typer(no_args_is_help=True, help="What the consent log says.")


@consent.command("show")
def consent_show(identifier: Annotated[str, typer.Argument(help="Any identifier of the person.")], root: Root = HERE, at: AsOf = None) -> None:
    """What was allowed at a moment, purpose by purpose and channel by channel, and why."""
    from kundig.answers import allowed

    workspace = opened(root)
    rows = allowed(workspace, identifier, moment(at, workspace.config.settings.workspace.zone), locale="en")
    table(["purpose", "channel", "allowed", "why"], [(r.purpose, r.channel, "yes" if r.allow else "no", r.sentence) for r in rows])


@consent.command("decode")
def consent_decode(string: Annotated[str, typer.Argument(help="A TC string (IAB TCF) or a GPP string.")], vendor: Annotated[int | None, typer.Option(help="Number of a vendor, to see what it may do.")] = None) -> None:
    """What a consent string says, read strictly; one that is damaged or invalid is refused with the reason."""
    from kundig.consent import gpp, tcf

    read = gpp.decode(string, at=now()) if "~" in string or string.startswith("DB") else None
    eu = tcf.decode(string, at=now()) if read is None else read.tcf
    rows: list[tuple[str, str]] = []
    if eu is not None:
        purposes = ", ".join(str(purpose) for purpose in range(1, 12) if eu.allows([purpose], vendor=vendor)) or "none"
        whom = "the publisher" if vendor is None else f"vendor {vendor}"
        shown = "not said" if eu.disclosed is None else f"{len(eu.disclosed):,}"
        rows += [("made", f"{eu.created:%Y-%m-%d}"), ("last changed", f"{eu.last_updated:%Y-%m-%d}"), ("consent tool", f"{eu.cmp_id}, version {eu.cmp_version}"), ("vendor list", f"{eu.vendor_list_version}, policy {eu.policy_version}")]
        rows += [("purposes consented to", ", ".join(map(str, sorted(eu.purposes))) or "none"), ("vendors consented to", f"{len(eu.vendors):,}"), ("vendors shown", shown), (f"allowed for {whom}", purposes)]
    for section in () if read is None else read.usa:
        rows.append((section.section, "opted out" if section.opted_out else "did not opt out"))
    rows += [(name, "not read") for name in (() if read is None else read.unread)]
    table(["what", "said"], rows)


@consent.command("expiring")
def consent_expiring(
    root: Root = HERE, days: Annotated[int, typer.Option(min=1, help="Within how many days.")] = 30, at: AsOf = None, csv: Annotated[Path | None, typer.Option(help="Write it to this CSV file.")] = None, json: Json = False
) -> None:  # fmt: skip
    """Consents that hold and lapse soon, the soonest first: whom to ask again while one still may."""
    from kundig.govern.consent_export import expiring_sql

    workspace = opened(root)
    zone = workspace.config.settings.workspace.zone
    release = workspace.lake.release()
    since = moment(at, zone) or (release.moment if release is not None else now())
    columns, rows = workspace.rows(expiring_sql(at=since, days=days))
    if csv is not None:
        import csv as writing

        with csv.open("w", encoding="utf-8", newline="") as file:
            writing.writer(file).writerows([columns, *[[row[0], row[1], row[2], row[3].isoformat()] for row in rows]])
        line(f"{len(rows):,} consents lapse within {days} days of {since:%Y-%m-%d}: {csv}")
    elif json:
        emit([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        table(columns, rows)
        line(f"{len(rows):,} consents lapse within {days} days of {since:%Y-%m-%d}")


@consent.command("export")
def consent_export(
    file: Annotated[Path, typer.Argument(help="The file to write.")], root: Root = HERE, person: Annotated[str | None, typer.Option(help="Of this person alone: any identifier.")] = None
) -> None:  # fmt: skip
    """Consent records after ISO/IEC TS 27560 as JSON-LD: per person and purpose each statement with moment, source, basis, wording and evidence."""
    from kundig.answers import resolve
    from kundig.govern.consent_export import Controller, documents, statements_sql, write

    workspace = opened(root)
    settings = workspace.config.settings
    whom = None if person is None else resolve(workspace, person)[1]
    columns, rows = workspace.rows(statements_sql(whom))
    controller = Controller(name=settings.brand.name or settings.workspace.name, website=settings.brand.website)
    found = documents((dict(zip(columns, row, strict=True)) for row in rows), purposes=workspace.config.purposes, controller=controller, at=now())
    with file.open("w", encoding="utf-8") as out:
        count = write(out, found)
    line(f"{count:,} consent records with {len(rows):,} statements: {file}")


@consent.command("at")
def consent_at(
    identifier: Annotated[str, typer.Argument(help="Any identifier of the person.")],
    when: Annotated[str, typer.Argument(help="The moment asked for: 2026-10-31T10:04 (in the workspace's zone), or with its own, 2026-10-31T10:04+01:00.")],
    root: Root = HERE,
    purpose: Annotated[str | None, typer.Option(help="This purpose alone.")] = None,
    channel: Annotated[str | None, typer.Option(help="This channel alone.")] = None,
    known: Annotated[str | None, typer.Option(help="Count what was received until this moment; without it, until the moment asked for.")] = None,
    language: Annotated[str | None, typer.Option(help="de or en; the workspace's by default.")] = None,
    as_json: Json = False,
) -> None:
    """Was this allowed at that moment, and why? From the consent log alone, with every record it rests on."""
    from kundig.cli.output import say
    from kundig.legal import allowed_at

    workspace = opened(root)
    zone = workspace.config.settings.workspace.zone
    at = moment(when, zone)
    if language not in (None, "de", "en"):
        raise typer.BadParameter(f"'{language}' is no language of these answers; known: de, en")
    answers = allowed_at(workspace, identifier, at or now(), purpose=purpose, channel=channel, known_at=moment(known, zone), locale=language)
    if as_json:
        import dataclasses

        emit([dataclasses.asdict(answer) for answer in answers])
        return
    for answer in answers:
        say([answer.sentence, *(f"    {told}" for told in answer.lines)])
