"""kundig privacy: what people may ask of those who hold their data."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kundig.cli.options import HERE, AsOf, Json, Root, moment, opened
from kundig.cli.output import emit, line, table

if TYPE_CHECKING:
    from kundig.privacy import Certificate, Request

privacy = typer.Typer(no_args_is_help=True, help="What people ask about their data: requests, suppression, erasure.")
Who = Annotated[str, typer.Argument(help="Any identifier of the person; of somebody unknown an e-mail address, or kind:value.")]

Id = Annotated[str, typer.Argument(metavar="REQUEST", help="Id of the request, or its beginning.")]


@privacy.command("suppress")
def suppress(who: Who, root: Root = HERE, as_json: Json = False) -> None:
    """Send nothing to a person, forward nothing of them, and take nothing in of them any more; what is kept stays."""
    from kundig.privacy import named
    from kundig.privacy import suppress as put

    workspace = opened(root)
    found = named(workspace, who)
    fresh = put(workspace, found)
    emit({"identifiers": len(found), "new": fresh}) if as_json else line(f"{len(found)} identifiers are suppressed, {fresh} of them are new on the list")


@privacy.command("unsuppress")
def unsuppress(who: Who, root: Root = HERE, as_json: Json = False) -> None:
    """Take a suppressed person off the list; who was erased or objected stays on it."""
    from kundig.privacy import named
    from kundig.privacy import unsuppress as take

    workspace = opened(root)
    gone = take(workspace, named(workspace, who))
    emit({"identifiers": gone}) if as_json else line(f"{gone} identifiers were taken off the list")


@privacy.command("erase")
def erase(
    who: Annotated[list[str] | None, typer.Argument(help="Any identifier of the person; all that they had, where an erasure left something and is to be closed.")] = None, root: Root = HERE,
    resume: Annotated[bool, typer.Option("--resume", help="Finish erasures that were cut off.")] = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Erase a person from every store, and search every file before and after; ends with 1 where the person is still found, or an erasure was cut off again."""
    from kundig.privacy import erase as forget
    from kundig.privacy import resume as finish

    if bool(who) is resume:
        raise typer.BadParameter("name the person, or give --resume")
    workspace = opened(root)
    done = (forget(workspace, *who),) if who else finish(workspace)
    if as_json:
        emit([_certificate(one) for one in done])
    else:
        for one in done:
            _certified(one)
    if not all(one.complete for one in done):
        raise typer.Exit(1)


@privacy.command("request")
def request(
    kind: Annotated[str, typer.Argument(help="access, portability, correction, erasure or restriction.")], who: Who, root: Root = HERE,
    by: Annotated[str, typer.Option("--by", help="Who asked: person, or a name of an office; no personal value.")] = "person",
    checked: Annotated[str, typer.Option("--checked", help="How it was checked who asks, such as: answered from the known address.")] = "",
    values: Annotated[list[str] | None, typer.Option("--set", help="Of a correction: attribute=value; may be given several times.")] = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Enter what a person asks for; the answer is due within a month."""
    from kundig.privacy import open_request, requests

    pairs = [one.partition("=") for one in values or ()]
    if any(not equals for _, equals, _ in pairs) or bool(pairs) != (kind == "correction"):
        raise typer.BadParameter("a correction, and nothing else, names what is right: --set last_name=Müller")
    workspace = opened(root)
    made = open_request(workspace, kind, who, requested_by=by, verified_by=checked, details={"set": {name: value for name, _, value in pairs}} if pairs else None)
    if as_json:
        emit(_told(made))
        return
    line(f"request {made.request_id}: {made.kind}, due {made.due_at:%Y-%m-%d}")
    line(f"next: kundig privacy fulfil {made.request_id[:8]}" + ("" if checked else ", once it is sure who asks"))
    late = sum(one.overdue(made.requested_at) for one in requests(workspace))
    if late:
        line(f"{late} requests are late: kundig privacy list")


@privacy.command("list")
def list_(root: Root = HERE, status: Annotated[str, typer.Option(help="Only those of one status, such as pending.")] = "", as_json: Json = False) -> None:
    """Requests and what became of them, newest first."""
    from kundig.clock import now
    from kundig.privacy import requests

    found, at = requests(opened(root), status=status), now()
    if as_json:
        emit([_told(one) for one in found])
        return
    rows = [(one.request_id[:8], one.kind, f"{one.status}, late" if one.overdue(at) else one.status, _day(one.requested_at), _day(one.due_at), _day(one.finished_at), one.requested_by) for one in found]
    table(["request", "kind", "status", "requested", "due", "finished", "by"], rows)


@privacy.command("show")
def show(request_id: Id, root: Root = HERE, as_json: Json = False) -> None:
    """One request: who asked, how that was checked, and how each store stands."""
    from kundig.privacy import request as named_so

    one = named_so(opened(root), request_id)
    if as_json:
        emit(_told(one))
        return
    line(f"request {one.request_id}: {one.kind}, {one.status}")
    line(f"  made {one.requested_at:%Y-%m-%d} by {one.requested_by}, {f'checked by {one.verified_by}' if one.verified_by else 'not checked'}; due {_day(one.due_at)}, finished {_day(one.finished_at)}")
    if one.stores:
        table(["store", "status", "rows", "why"], [(name, told.get("status", ""), told.get("rows", ""), told.get("reason", "")) for name, told in one.stores.items()])


@privacy.command("fulfil")
def fulfil(
    request_id: Id, root: Root = HERE,
    out: Annotated[Path | None, typer.Option(help="Where the file of an access or portability request goes; beside you as <kind>-<request>.zip by default. It is personal: hand it over, then delete it.")] = None,
    who: Annotated[list[str] | None, typer.Option("--who", help="Of an erasure that left something: an identifier of the person; given once for each that they had, the request is closed.")] = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Do what a request asks for: write its file, correct, restrict, or erase; ends with 1 where an erased person is still found."""
    from kundig.cli.tables import demand_place
    from kundig.privacy import fulfil as do
    from kundig.privacy import request as named_so
    from kundig.privacy.fulfilling import GIVEN

    workspace = opened(root)
    one = named_so(workspace, request_id)
    path = out or Path(f"{one.kind}-{one.request_id[:8]}.zip")
    if one.kind in GIVEN:
        demand_place(path)
    done = do(workspace, one.request_id, identifiers=who or ())
    if done.file:
        path.touch(mode=0o600)
        path.write_bytes(done.file)
    if as_json:
        emit(_told(done.request) | ({"file": str(path)} if done.file else {}))
    elif done.certificate is not None:
        _certified(done.certificate)
    else:
        line(f"{done.request.kind} {done.request.request_id[:8]}: {done.request.status}")
        if done.file:
            line(f"{path}: {sum(told['rows'] for told in done.request.stores.values()):,} rows of {sum(bool(told['rows']) for told in done.request.stores.values())} tables; hand it over, then delete it")
        if done.request.kind == "correction":
            line("it counts from the next run on: kundig run")
    if done.certificate is not None and not done.certificate.complete:
        raise typer.Exit(1)


@privacy.command("certificate")
def certificate(
    request_id: Id, root: Root = HERE, language: Annotated[str | None, typer.Option(help="de or en; the workspace's by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write: a PDF where its name ends so, else text; printed as text by default.")] = None,
) -> None:  # fmt: skip
    """The certificate of an erasure: store, how it was searched, found before, found after. It names nobody."""
    from kundig.cli.tables import demand_place
    from kundig.privacy import request as named_so
    from kundig.privacy.certificate import as_pdf, as_text, told

    workspace = opened(root)
    locale = language or workspace.config.settings.workspace.locale
    if locale not in ("de", "en"):
        raise typer.BadParameter(f"'{language}' is no language of certificates; known: de, en")
    one = named_so(workspace, request_id)
    made = told(workspace, one, locale)
    if out is None:
        line(as_text(made).rstrip("\n"))
        return
    demand_place(out)
    out.write_bytes(as_pdf(made, one, locale) if out.suffix.lower() == ".pdf" else as_text(made).encode())
    line(str(out))


@privacy.command("lift")
def lift(request_id: Id, root: Root = HERE, as_json: Json = False) -> None:
    """End a restriction."""
    from kundig.privacy import lift as end

    one = end(opened(root), request_id)
    emit(_told(one)) if as_json else line(f"restriction {one.request_id[:8]}: lifted")


@privacy.command("cancel")
def cancel(request_id: Id, root: Root = HERE, as_json: Json = False) -> None:
    """Close a request that nothing was done for yet."""
    from kundig.privacy import cancel as close

    one = close(opened(root), request_id)
    emit(_told(one)) if as_json else line(f"request {one.request_id[:8]}: cancelled")


@privacy.command("digests")
def digests(out: Annotated[Path, typer.Argument(help="File to write, to be kept apart from backups.")], root: Root = HERE) -> None:
    """Write the list of suppressed and erased people as digests: what `replay` needs after a restore, beside secrets.toml."""
    from kundig.cli.tables import demand_place
    from kundig.privacy.replaying import as_lines

    demand_place(out)
    content = as_lines(opened(root))
    out.write_bytes(content)
    line(f"{out}: {content.count(10):,} digests")


@privacy.command("replay")
def replay(
    listed: Annotated[Path | None, typer.Argument(metavar="DIGESTS", help="File that `kundig privacy digests` wrote; none: the list that stands.")] = None, root: Root = HERE, as_json: Json = False,
) -> None:  # fmt: skip
    """After a restore, erase once more whoever was erased since the backup; ends with 1 where one is still found."""
    from kundig.privacy.replaying import from_lines
    from kundig.privacy.replaying import replay as again

    if listed is not None and not listed.is_file():
        raise typer.BadParameter(f"there is no file '{listed}'")
    done = again(opened(root), () if listed is None else from_lines(listed.read_bytes()))
    if as_json:
        emit([_certificate(one) for one in done])
    else:
        for one in done:
            _certified(one)
        line(f"{len(done)} people were erased again")
    if not all(one.complete for one in done):
        raise typer.Exit(1)


@privacy.command("expire")
def expire(
    root: Root = HERE, dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is too old.")] = False,
    only: Annotated[str, typer.Option("--table", help="One table; all that have days of retention by default.")] = "",
    as_of: AsOf = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Delete rows that are older than their table says, from every kept release; what was deleted stands in the audit log."""
    from kundig.privacy.expiring import expire as delete
    from kundig.privacy.expiring import expired

    workspace = opened(root)
    at = moment(as_of, workspace.config.settings.workspace.zone)
    found = expired(workspace, at=at, only=only) if dry_run else delete(workspace, at=at, only=only)
    if as_json:
        emit([dataclasses.asdict(one) for one in found])
        return
    table(["table", "days", "by", "before", "too old", "left"], [(one.table, one.days, one.by, _day(one.before), one.rows, one.left) for one in found if one.rows])
    rows = sum(one.rows for one in found)
    line(f"{rows:,} rows of {sum(bool(one.rows) for one in found)} tables are too old" if dry_run else f"{rows - sum(one.left for one in found):,} rows were deleted")


@privacy.command("grant")
def key_create(
    label: Annotated[str, typer.Argument(help="Whose key it is, such as the controller's domain; it stands at requests as who asked.")], root: Root = HERE,
    callback: Annotated[list[str] | None, typer.Option("--callback", help="Where status may be reported to, and below: https://host/path; may be given several times.")] = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Make a key for the calls over HTTP (OpenDSR, regulations). It is shown this once; kundig keeps its hash alone."""
    from kundig.privacy.callers import create

    made = create(opened(root).state, label, callbacks=callback or ())
    emit({"label": label, "key": made}) if as_json else line(made)


@privacy.command("grants")
def key_list(root: Root = HERE, as_json: Json = False) -> None:
    """Keys by their id, without the key itself; the revoked ones too."""
    from kundig.privacy.callers import listed

    found = listed(opened(root).state)
    names = ["id", "label", "callbacks", "created_at", "revoked_at"]
    emit([dataclasses.asdict(one) for one in found]) if as_json else table(names, [(one.id, one.label, ", ".join(one.callbacks), one.created_at, one.revoked_at) for one in found])


@privacy.command("revoke")
def key_revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key: kundig privacy grants.")], root: Root = HERE) -> None:
    """Take a key out of use for ever."""
    from kundig.privacy.callers import revoke

    one = revoke(opened(root).state, key_id)
    line(f"revoked {one.id} of {one.label}")


def _told(one: Request) -> dict[str, Any]:
    """A request as JSON: without the key of whom it is about, and without the values to be corrected."""
    return {name: value for name, value in dataclasses.asdict(one).items() if name not in ("identifier_key", "details")}


def _day(at: dt.datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d}"


def _certificate(one: Certificate) -> dict[str, Any]:
    """A certificate as JSON; it names nobody."""
    return {name: value for name, value in dataclasses.asdict(one).items() if name != "identifiers"} | {"complete": one.complete}


def _certified(one: Certificate) -> None:
    if one.failure:
        line(f"request {one.request_id} was cut off again at {one.failure}; kundig privacy erase --resume goes on with it")
        return
    line(f"request {one.request_id}")
    table(["store", "changed", "found before", "found after", "how"], [(s.store, s.changed, s.found_before, s.found_after, s.how) for s in one.stores])
    for place in one.places:
        line(f"still found in {place}: replace or delete it, then search again")
    if one.identifiers:
        line("to search again and close the request, name every identifier once more; they are kept nowhere, and shown this once:")
        line(f"  kundig privacy fulfil {one.request_id[:8]} {' '.join(shlex.join(['--who', f'{each.namespace}:{each.value}']) for each in one.identifiers)}")
