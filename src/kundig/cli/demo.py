"""The demo: the whole loop on a made-up shop or on real data, with counts at each step and where to look."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from kundig.cli.output import line, table
from kundig.config.defaults import write_defaults
from kundig.errors import ConfigError

SHOP_END = dt.date(2026, 10, 31)
RETAIL_END = dt.date(2011, 12, 9)
_EXAMPLES = {"shop": "shop", "online-retail": "online_retail"}
_MARK = ".kundig-demo"
FED = "web"
"""The source whose events come through the intake."""


def run_demo(folder: Path, *, data: str, persons: int, seed: int) -> None:
    """Make a workspace in a folder, fill it, run the loop and print what happened.

    Raises:
        ConfigError: The folder holds something that is no demo.
    """
    if data not in _EXAMPLES:
        raise typer.BadParameter(f"'{data}' is no demo; known: {', '.join(_EXAMPLES)}")
    _empty(folder)
    began = time.perf_counter()
    end = SHOP_END if data == "shop" else RETAIL_END
    with _stage("a workspace of files"):
        _prepare(folder, data)
    if data == "shop":
        with _stage(f"a made-up shop of {persons:,} persons"):
            from kundig.simulate import simulate

            report = simulate(folder / "exports", persons=persons, days=365, seed=seed, truth=folder / "truth", end=end)
            line(f"    {sum(report.files.values()):,} records in {len(report.files)} files; its truth lies apart, in {folder / 'truth'}")
    from kundig.workspace import Workspace

    workspace = Workspace(folder)
    with _stage("import"):
        landed = workspace.import_(() if data != "shop" else tuple(name for name in workspace.config.sources if name != FED))
        _show_import(landed)
    if data == "shop":
        with _stage("web events over HTTP, as a tracker sends them"):
            _feed(workspace, folder)
    with _stage("run"):
        from kundig.cli.progress import steps_shown

        moment = _end_of(end, workspace.config.settings.workspace.zone)
        with steps_shown() as progress:
            run = workspace.run(as_of=moment, progress=progress)
        line(f"    release {run.release}: {len(run.worked)} tables as of {moment:%Y-%m-%d %H:%M} UTC, peak memory {max(s.peak_mb for s in run.steps):,.0f} MB")
    with _stage("people through the gate"):
        _show_gate(workspace)
    with _stage("messages"):
        handed = workspace.deliver(at=moment)
        for text in handed.lines():
            line(f"    {text}")
    with _stage("report"):
        from kundig.report import write_reports

        pages = write_reports(workspace)
    _show_result(workspace)
    line("")
    line(f"All of it took {time.perf_counter() - began:.0f} s. Where to look:")
    for page in pages:
        line(f"  {page}")
    for where in handed.folders:
        line(f"  {where}")
    line(f"  kundig serve -w {folder}        pages on http://127.0.0.1:{workspace.config.settings.serve.port}")
    line(f"  kundig why {_someone(workspace)} -w {folder}")


def _feed(workspace: Any, folder: Path) -> None:
    from kundig.cli.feeding import feed

    fed = feed(workspace, FED, sorted((folder / "exports" / FED).glob("*.jsonl")))
    line(f"    {fed.calls:,} calls in {fed.requests:,} requests: {fed.landed:,} landed, {fed.repeated:,} had been sent before, {fed.held:,} held, {fed.refused:,} refused")


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).is_file():
            raise ConfigError("the folder is not empty and holds no demo", at=str(folder), mend="name another folder: kundig demo FOLDER")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).write_text("Made by kundig demo; the next demo here removes everything.\n", encoding="utf-8")


def examples() -> Path:
    """The folder of example workspaces: in the package where it was installed, in the repository where it is developed."""
    here = Path(__file__).resolve().parent.parent
    inside = here / "examples"
    return inside if inside.is_dir() else here.parent.parent / "examples"


def _prepare(folder: Path, data: str) -> None:
    source = examples() / _EXAMPLES[data]
    shutil.copytree(source, folder, dirs_exist_ok=True)
    if data == "shop":
        for more in ("shop_personas", "shop_predictions"):
            shutil.copytree(examples() / more, folder, dirs_exist_ok=True)
    written = write_defaults(folder, name="Muster-Laden" if data == "shop" else "Online Retail", settings={} if data == "shop" else _RETAIL)
    line(f"    {sum(1 for p in folder.rglob('*') if p.is_file()) - 1} files ({len(written)} of them the defaults)")


_RETAIL = {"zone": "Europe/London", "currency": "GBP", "locale": "en", "country": "GB"}


def _end_of(day: dt.date, zone: str) -> dt.datetime:
    from kundig.clock import midnight

    return midnight(day + dt.timedelta(days=1), zone) - dt.timedelta(microseconds=1)


@contextmanager
def _stage(name: str) -> Iterator[None]:
    line(f"› {name}")
    began = time.perf_counter()
    yield
    line(f"    {time.perf_counter() - began:.1f} s")


def _show_import(landed: tuple[Any, ...]) -> None:
    by_source: dict[str, list[int]] = {}
    for one in landed:
        counts = by_source.setdefault(one.source, [0, 0, 0])
        counts[0] += sum(one.rows.values())
        counts[1] += one.duplicates
        counts[2] += one.quarantined
    table(["source", "landed", "there before", "quarantined"], [(name, *counts) for name, counts in sorted(by_source.items())])


def _show_gate(workspace: Any) -> None:
    sql = """
        SELECT audience, count(DISTINCT person_key) AS candidates, count(DISTINCT person_key) FILTER (allow) AS allowed
        FROM decisions GROUP BY audience ORDER BY audience"""
    _, found = workspace.rows(sql)
    _, members = workspace.rows("SELECT audience, count(*) FROM audience_members GROUP BY audience")
    on = dict(members)
    table(["audience", "chosen by the rule", "allowed by the gate", "on the audience"], [(name, *counts, on.get(name, 0)) for name, *counts in found])
    _, reasons = workspace.rows("SELECT reason, count(*) AS n FROM decisions WHERE NOT allow GROUP BY reason ORDER BY n DESC LIMIT 8")
    table(["refused because", "decisions"], reasons)
    _, consents = workspace.rows("SELECT count(*) FROM consent_records")
    if not consents[0][0]:
        line("    no source brings consents, so nobody may be written to: describe one in sources/*.yaml")


def _show_result(workspace: Any) -> None:
    _, people = workspace.rows("SELECT count(*), count(*) FILTER (kind <> 'visitor') FROM profiles")
    _, value = workspace.rows("SELECT sum(expected_value), sum(expected_value_low), sum(expected_value_high), count(*) FROM lifetime_values")
    _, models = workspace.rows("SELECT model, verdict, reason FROM models")
    currency = workspace.config.settings.workspace.currency
    total, low, high, customers = value[0]
    worth = f"expected value of the next year: {total:,.0f} {currency} ({low:,.0f} to {high:,.0f})" if customers else "no purchase yet, so no expected value"
    line("")
    line(f"{people[0][0]:,} persons ({people[0][1]:,} known by name or number), {customers:,} of them buyers; {worth}")
    for model, verdict, reason in models:
        line(f"  model {model}: {verdict}{f' ({reason})' if reason else ''}")


def _someone(workspace: Any) -> str:
    _, found = workspace.rows("SELECT min(person_id) FROM decisions JOIN profiles USING (person_key) WHERE NOT allow")
    return str(found[0][0]) if found and found[0][0] else "PERSON"
