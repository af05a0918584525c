"""Legal's folder: one PDF with the record of processing, consent texts, retention, recipients, objections, and the hashes of the evidence."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig import audit
from kundig.config.load import kinds
from kundig.errors import KundigError
from kundig.legal import processing
from kundig.legal.objections import objections
from kundig.legal.sheets import Quarter, Sheet, as_csv, quarter, quarter_of, sha256

if TYPE_CHECKING:
    from kundig.workspace import Workspace

SHOWN = ("controller", "activities", "purposes", "sources", "wordings", "retention", "processors", "objections", "faults", "evidence")
"""Sheets of the PDF and the page, in their order; `data_map` is a file alone."""
LOG = ("seq", "record_id", "source", "occurred_at", "received_at", "identifier_key", "purpose", "channel", "status", "basis", "until", "wording", "wording_hash", "evidence", "jurisdiction")
"""Columns of consent_log.csv."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """All that the folder holds, as rows."""

    quarter: Quarter
    at: dt.datetime
    release: int
    released_at: dt.datetime
    sheets: dict[str, Sheet]
    files: dict[str, bytes]
    """The files of evidence, by the path that the sheet `evidence` names; what it names as `state:` is no file."""


def folder(workspace: Workspace, *, at: dt.datetime, which: str | None = None, locale: str = "de", with_log: bool = False) -> Folder:
    """The folder as of a moment, for a quarter (2026-Q3; the one the moment lies in by default).

    `with_log` adds the whole consent log as a file; without it, its hash alone is among the evidence.

    Raises:
        KundigError: There is no release yet.
        ValueError: The quarter is written otherwise.
    """
    zone = workspace.config.settings.workspace.zone
    release = workspace.lake.release()
    if release is None:
        raise KundigError("there is no release yet", at=str(workspace.root), mend="kundig import, then kundig run")
    when = quarter(which, zone) if which else quarter_of(at, zone)
    made = [
        _controller(workspace), processing.activities(workspace), processing.data_map(workspace), processing.purposes(workspace, locale), processing.sources(workspace), processing.wordings(workspace),
        processing.retention(workspace, at=at), processing.processors(workspace), objections(workspace, when), processing.faults(workspace),
    ]  # fmt: skip
    sheets = {sheet.name: sheet for sheet in made}
    files = {f"{name}.csv": sheet.csv() for name, sheet in sheets.items()} | definitions(workspace)
    log = consent_log(workspace)
    rows: list[tuple[str, int | None, str]] = [(path, len(content), sha256(content)) for path, content in sorted(files.items())]
    if with_log:
        files["consent_log.csv"] = log
    rows += [("consent_log.csv" if with_log else "state:consent_log", len(log), sha256(log)), ("state:audit_log", None, _head(workspace))]
    sheets["evidence"] = Sheet(name="evidence", columns=("file", "bytes", "sha256"), rows=tuple(rows))
    return Folder(quarter=when, at=at, release=int(release.id), released_at=release.moment, sheets=sheets, files=files)


def write(made: Folder, pdf: bytes, out: Path) -> list[Path]:
    """Write the PDF, and beside it the folder of evidence with its SHA256SUMS; gives what was written."""
    beside = out.with_name(f"{out.stem}-evidence")
    written = []
    for name, content in sorted(made.files.items()):
        path = beside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        written.append(path)
    sums = beside / "SHA256SUMS"
    sums.write_text("".join(f"{sha256(content)}  {name}\n" for name, content in sorted(made.files.items())), encoding="utf-8")
    out.write_bytes(pdf)
    return [out, sums, *written]


def definitions(workspace: Workspace) -> dict[str, bytes]:
    """The workspace's own files that say what is done with data, as `files/<path>`; never secrets."""
    found: dict[str, bytes] = {}
    for kind in kinds():
        for path in sorted(workspace.root.glob(kind.pattern)):
            if path.is_file() and not path.name.startswith("secrets"):
                found[f"files/{path.relative_to(workspace.root).as_posix()}"] = path.read_bytes()
    return found


def consent_log(workspace: Workspace) -> bytes:
    """The consent log as CSV, in the order of arrival."""
    return as_csv(LOG, workspace.rows(f"SELECT {', '.join(LOG)} FROM consent_log ORDER BY seq")[1])


def _head(workspace: Workspace) -> str:
    """The hash of the audit log's newest row, which covers all before it."""
    newest = workspace.rows("SELECT row_hash FROM audit_log ORDER BY seq DESC LIMIT 1")[1]
    return str(newest[0][0]) if newest else audit.START


def _controller(workspace: Workspace) -> Sheet:
    settings = workspace.config.settings
    persons = workspace.rows("SELECT count(*) FROM profiles")[1][0][0]
    rows: list[tuple[str, Any]] = [
        ("name", settings.brand.name or settings.workspace.name), ("website", settings.brand.website), ("imprint", settings.brand.imprint), ("sender", settings.brand.sender),
        ("jurisdiction", settings.workspace.country), ("subjects", persons), ("measures", ""),
    ]  # fmt: skip
    return Sheet(name="controller", columns=("what", "told"), rows=tuple(rows))


__all__ = ["LOG", "SHOWN", "Folder", "consent_log", "definitions", "folder", "write"]
