"""kundig privacy: what people may ask of those who hold their data."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kundig.cli.options import HERE, Json, Root, opened
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
    who: Annotated[str, typer.Argument(help="Any identifier of the person.")] = "", root: Root = HERE,
    resume: Annotated[bool, typer.Option("--resume", help="Finish erasures that were cut off.")] = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Erase a person from every store, and search every file before and after; ends with 1 where the person is still found."""
    from kundig.privacy import erase as forget
    from kundig.privacy import resume as finish

    if bool(who) == resume:
        raise typer.BadParameter("name the person, or give --resume")
    workspace = opened(root)
    done = finish(workspace) if resume else (forget(workspace, who),)
    if as_json:
        emit([{**dataclasses.asdict(one), "complete": one.complete} for one in done])
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
        table(["store", "status", "rows"], [(name, told.get("status", ""), told.get("rows", "")) for name, told in one.stores.items()])


@privacy.command("fulfil")
def fulfil(
    request_id: Id, root: Root = HERE,
    out: Annotated[Path | None, typer.Option(help="Where the file of an access or portability request goes; beside you as <kind>-<request>.zip by default. It is personal: hand it over, then delete it.")] = None,
    as_json: Json = False,
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
    done = do(workspace, one.request_id)
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


def _told(one: Request) -> dict[str, Any]:
    """A request as JSON: without the key of whom it is about, and without the values to be corrected."""
    return {name: value for name, value in dataclasses.asdict(one).items() if name not in ("identifier_key", "details")}


def _day(moment: dt.datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"


def _certified(one: Certificate) -> None:
    line(f"request {one.request_id}")
    table(["store", "changed", "found before", "found after", "how"], [(s.store, s.changed, s.found_before, s.found_after, s.how) for s in one.stores])
    for place in one.places:
        line(f"still found in {place}: replace or delete it, then search again")
