"""All commands, by the words users say; heavy modules are imported by the command that needs them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from kundig.cli.consents import consent
from kundig.cli.destinations import destination
from kundig.cli.identity import identity
from kundig.cli.keys import keys
from kundig.cli.leads import lead
from kundig.cli.legal import legal
from kundig.cli.matrix import matrix
from kundig.cli.options import HERE, AsOf, Json, Root, moment, opened
from kundig.cli.output import emit, line, say, table
from kundig.cli.personas import persona
from kundig.cli.predictions import prediction
from kundig.cli.privacy import privacy
from kundig.cli.quarantine import quarantine
from kundig.cli.sources import source
from kundig.cli.trackingplan import trackingplan
from kundig.cli.usecases import usecase
from kundig.cli.webhooks import webhook
from kundig.errors import KundigError

app = typer.Typer(add_completion=True, no_args_is_help=True, pretty_exceptions_enable=False, help="kundig: customer data platform, predictive CRM and growth measurement, on your own machine.")
app.add_typer(quarantine, name="quarantine")
app.add_typer(privacy, name="privacy")
app.add_typer(trackingplan, name="trackingplan")
app.add_typer(consent, name="consent")
app.add_typer(identity, name="identity")
app.add_typer(legal, name="legal")
app.add_typer(keys, name="key")
app.add_typer(lead, name="lead")
app.add_typer(persona, name="persona")
app.add_typer(matrix, name="matrix")
app.add_typer(usecase, name="usecase")
app.add_typer(prediction, name="prediction")
app.add_typer(destination, name="destination")
app.add_typer(source, name="source")
app.add_typer(webhook, name="webhook")



@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to make the demo in.")] = Path("demo"),
    data: Annotated[str, typer.Option(help="shop (a made-up shop with known truth) or online-retail (real data).")] = "shop",
    persons: Annotated[int, typer.Option(min=1_000, help="Persons of the made-up shop.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Seed of the made-up shop.")] = 1,
    serve: Annotated[bool, typer.Option("--serve", help="Show the result in the browser afterwards.")] = False,
) -> None:
    """Run the whole loop on data and say where to look."""
    from kundig.cli.demo import run_demo

    run_demo(folder, data=data, persons=persons, seed=seed)
    if serve:
        _serve(folder)


@app.command()
def init(
    exports: Annotated[Path | None, typer.Argument(help="Folder of exported files to look at; none: an empty workspace.")] = None,
    root: Root = HERE,
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing; take what can be known and list what is open.")] = False,
    as_json: Json = False,
) -> None:
    """Make a workspace: propose sources, keys, currency, identity rules and a first matrix from a folder of exports."""
    from kundig.cli.start import start

    start(exports, root, ask=not no_input, as_json=as_json)


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="Folder for the files that real systems would hand over.")],
    persons: Annotated[int, typer.Option(min=100, help="How many persons.")] = 10_000,
    days: Annotated[int, typer.Option(min=30, help="How many days of history.")] = 730,
    seed: Annotated[int, typer.Option(help="Seed: the same seed gives the same files.")] = 1,
    truth: Annotated[Path | None, typer.Option(help="Folder for the truth; none: it is not written.")] = None,
    world: Annotated[str, typer.Option(help="Which world: plain, or one that breaks the models fitted to it; a wrong name lists them.")] = "plain",
) -> None:
    """Write a made-up German shop, with its dirt, and apart from it the truth."""
    from kundig.simulate import simulate as make

    report = make(folder, persons=persons, days=days, seed=seed, truth=truth, world=world)
    for name, count in report.files.items():
        line(f"{count:>12,}  {name}")


@app.command(name="import")
def import_(sources: Annotated[list[str] | None, typer.Argument(help="Names of sources; all by default.")] = None, root: Root = HERE, as_json: Json = False) -> None:
    """Land what the sources' files hold; what landed before is not taken twice."""
    workspace = opened(root)
    landed = workspace.import_(sources or (), progress=None if as_json else _landed)
    if as_json:
        emit([_plain(one) for one in landed])


def _landed(one: Any) -> None:
    held = f", {one.quarantined:,} held in quarantine" if one.quarantined else ""
    again = f", {one.duplicates:,} there before" if one.duplicates else ""
    gone = f", {sum(one.removed.values()):,} removed" if one.removed else ""
    refused = f", {one.suppressed:,} refused: suppressed" if one.suppressed else ""
    line(f"{sum(one.rows.values()):>12,}  {one.source}{again}{gone}{held}{refused}")
    for told in one.told:
        line(f"              {told}")


@app.command()
def plan(root: Root = HERE, as_of: AsOf = None, as_json: Json = False, effect: Annotated[bool, typer.Option(help="Compute what would happen to people, audiences and messages.")] = True) -> None:
    """Say what apply and the next run would do; changes nothing."""
    workspace = opened(root)
    found = workspace.plan(as_of=moment(as_of, workspace.config.settings.workspace.zone), effect=effect)
    emit(_plain(found)) if as_json else say(found.lines())


@app.command()
def apply(root: Root = HERE, as_json: Json = False) -> None:
    """Accept the workspace's files as they are."""
    changed = opened(root).apply()
    if as_json:
        emit([_plain(change) for change in changed])
    else:
        say([f"{change.kind:>8}  {change.path}" for change in changed] or ["nothing had changed"])


@app.command()
def run(
    root: Root = HERE,
    as_of: AsOf = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="A table to bring up to date, with what it rests on.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Recompute every step but the fits.")] = False,
    as_json: Json = False,
) -> None:
    """Bring every table up to date and release them together."""
    from kundig.cli.progress import steps_shown

    workspace = opened(root)
    with steps_shown(quiet=as_json) as progress:
        report = workspace.run(as_of=moment(as_of, workspace.config.settings.workspace.zone), only=only or (), full=full, progress=progress)
    if as_json:
        emit(_plain(report))
    elif report.release is None:
        line(f"nothing to do as of {report.as_of:%Y-%m-%d %H:%M} UTC ({report.seconds:.1f} s)")
    else:
        taken = f"; {report.resumed} steps were taken over from an attempt that had stopped" if report.resumed else ""
        line(f"release {report.release} as of {report.as_of:%Y-%m-%d %H:%M} UTC: {len(report.worked)} of {len(report.steps)} steps had work, {report.seconds:.1f} s{taken}")


@app.command()
def deliver(root: Root = HERE, at: AsOf = None, as_json: Json = False) -> None:
    """Queue the audiences of the newest release, ask the gate again at each claim, and hand over to the channels."""
    workspace = opened(root)
    report = workspace.deliver(at=moment(at, workspace.config.settings.workspace.zone))
    emit(_plain(report)) if as_json else say(report.lines())


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Table.")],
    root: Root = HERE,
    format: Annotated[str, typer.Option(help="table, csv, json or parquet.")] = "table",
    limit: Annotated[int, typer.Option(min=0, help="Rows; 0: all.")] = 20,
    output: Annotated[Path | None, typer.Option(help="File to write; needed for parquet.")] = None,
) -> None:
    """Show a table of the newest release."""
    from kundig.cli.tables import show_table

    show_table(opened(root), name, format=format, limit=limit, output=output)


@app.command()
def sql(query: Annotated[str, typer.Argument(help="A query over the tables of the newest release; it can only read.")], root: Root = HERE, as_json: Json = False) -> None:
    """Ask the newest release in SQL."""
    columns, rows = opened(root).rows(query)
    emit([dict(zip(columns, row, strict=True)) for row in rows]) if as_json else table(columns, rows)


@app.command()
def person(identifier: Annotated[str, typer.Argument(help="Any identifier (e-mail, customer number, phone, person id), or a name, misspelt or in part.")], root: Root = HERE, as_json: Json = False) -> None:
    """What is known of a person, where it comes from, and what may be done; of several who may be meant, who they are."""
    from kundig.answers import find
    from kundig.answers import person as known
    from kundig.errors import IdentityError

    workspace = opened(root)
    try:
        found = known(workspace, identifier, locale="en", grounds=True)
    except IdentityError:
        near = find(workspace, identifier)
        if not near:
            raise
        if len(near) > 1:
            if as_json:
                emit([_plain(one) for one in near])
                return
            table(["person", "name", "company", "city", "email", "phone"], [(one.person_id, one.name, one.company, one.city, one.email, one.phone) for one in near])
            return
        found = known(workspace, near[0].person_id, locale="en", grounds=True)
    emit(_plain(found)) if as_json else say(found.lines())


@app.command()
def why(
    identifier: Annotated[str, typer.Argument(help="Any identifier of the person.")],
    root: Root = HERE,
    audience: Annotated[str | None, typer.Option(help="An audience; all by default.")] = None,
    segment: Annotated[str | None, typer.Option(help="A segment.")] = None,
    locale: Annotated[str | None, typer.Option(help="de or en; the workspace's by default.")] = None,
    as_json: Json = False,
) -> None:
    """Why did this person (not) get this? In one sentence."""
    answers = opened(root).why(identifier, audience=audience, segment=segment, locale=locale)
    emit([_plain(answer) for answer in answers]) if as_json else say([answer.sentence for answer in answers])


@app.command()
def urgency(
    root: Root = HERE, limit: Annotated[int, typer.Option(min=1, help="Persons at most, the most urgent first.")] = 20,
    locale: Annotated[str | None, typer.Option(help="de or en; the workspace's by default.")] = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Whom to turn to first: value at stake × rise of the loss within the next two weeks, with the reason in words."""
    from kundig.answers.urgent import urgent

    workspace = opened(root)
    found = urgent(workspace, limit=limit, locale=locale)
    if as_json:
        emit([_plain(one) for one in found])
    elif found:
        currency = workspace.config.settings.workspace.currency
        table(
            ["rank", "person", "state", f"at stake {currency}", "loss rises by", f"waiting costs {currency}", "reason"],
            [(one.rank, one.person_id, one.state.replace("_", " ") or None, f"{one.value_at_stake:,.2f}", f"{one.loss_rise:.2%}", f"{one.urgency:,.2f}", one.sentence) for one in found],
        )
    else:
        line("nobody has a lifetime value yet: it takes purchases or running contracts, and kundig run")


@app.command()
def report(root: Root = HERE, output: Annotated[Path | None, typer.Option(help="File; report.<locale>.html in the workspace by default.")] = None, locale: Annotated[str | None, typer.Option(help="de or en; both by default.")] = None) -> None:
    """Write the report of the newest release: one self-contained HTML file a language."""
    from kundig.report import write_reports

    workspace = opened(root)
    known = workspace.config.settings.workspace.locales
    if locale is not None and locale not in known:
        raise typer.BadParameter(f"'{locale}' is no language of this workspace; known: {', '.join(known)}")
    if output is not None:
        from kundig.cli.tables import demand_place

        demand_place(output)
    for path in write_reports(workspace, output=output, locales=(locale,) if locale else workspace.config.settings.workspace.locales):
        line(str(path))


@app.command()
def serve(
    root: Root = HERE, only: Annotated[str | None, typer.Option("--only", help="One of its processes alone: intake (takes events in), pages, or worker (knows people at once, lands what came in).")] = None,
    broker: Annotated[str, typer.Option(help="Keep the inbox on a NATS JetStream broker (nats://host:4222/name), so that several collectors share the load.", envvar="KUNDIG_BROKER")] = "",
) -> None:
    """Take events in, show pages and answers on loopback, and land what comes: three processes, each restarted alone, until Ctrl+C."""
    if broker:
        os.environ["KUNDIG_BROKER"] = broker
    _serve(root, only)


def _serve(root: Path, only: str | None = None) -> None:
    from kundig.server.processes import run_part, serve_all

    workspace = opened(root)
    if only is not None:
        run_part(workspace, only, line)
    elif code := serve_all(workspace):
        raise typer.Exit(code)


@app.command()
def tail(
    root: Root = HERE,
    source: Annotated[str | None, typer.Option("--source", help="Of this source only.")] = None,
    last: Annotated[int, typer.Option("--last", min=0, help="How many that came before are shown first.")] = 10,
    follow: Annotated[bool, typer.Option(help="Go on showing what comes, until Ctrl+C.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: one JSON object a line.")] = False,
) -> None:
    """Show calls as they come, each with its verdict and, where it is held, the reason; kundig serve takes them in."""
    from kundig.cli.tailing import show_calls

    show_calls(opened(root), source=source, last=last, follow=follow, as_json=as_json)


@app.command()
def doctor(root: Root = HERE, as_json: Json = False) -> None:
    """Check files, stores and what optional tools are missing, with the mend for each."""
    from kundig.cli.doctor import examine

    findings = examine(root)
    if as_json:
        emit(findings)
    else:
        table(["", "what", "found", "mend"], [(f["sign"], f["what"], f["found"], f["mend"]) for f in findings])
    if any(f["sign"] == "✗" for f in findings):
        raise typer.Exit(1)


@app.command()
def verify(root: Root = HERE) -> None:
    """Check every file of the lake against its catalogue, and the audit log's chain."""
    from kundig import audit

    workspace = opened(root)
    faults = [*workspace.lake.verify(), *audit.verify(workspace.state)]
    say(faults or ["every file, count and hash is as it should be"])
    if faults:
        raise typer.Exit(1)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="Table.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write into.")],
    root: Root = HERE,
) -> None:
    """Write a table of the newest release as Parquet, for tools that know nothing else."""
    from kundig.cli.tables import show_table

    folder.mkdir(parents=True, exist_ok=True)
    show_table(opened(root), name, format="parquet", limit=0, output=folder / f"{name}.parquet")


@app.command()
def catalogue(markdown: Annotated[bool, typer.Option("--markdown", help="As a page of documentation.")] = False) -> None:
    """Every table with its columns, labels, purpose and retention, as declared."""
    from kundig.govern.catalog import as_markdown, overview

    if markdown:
        typer.echo(as_markdown())
    else:
        table(["table", "room", "home", "key", "subject", "columns", "meaning"], overview())


@app.command()
def schema(folder: Annotated[Path, typer.Argument(help="Folder for the JSON Schema files.")]) -> None:
    """Write the JSON Schema of every kind of workspace file, for editors."""
    from kundig.config.load import json_schemas

    folder.mkdir(parents=True, exist_ok=True)
    for name, body in json_schemas().items():
        (folder / f"{name}.schema.json").write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        line(f"{folder / name}.schema.json")


def _plain(record: Any) -> Any:
    import dataclasses

    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, (list, tuple)):
        return [_plain(item) for item in record]
    if isinstance(record, dict):
        return {str(key): _plain(value) for key, value in record.items()}
    return record


__all__ = ["KundigError", "app", "moment", "opened"]
