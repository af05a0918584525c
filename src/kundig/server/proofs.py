"""The page of legal's folder: the sheets of the PDF as tables, and the PDF itself, for a quarter."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from kundig.legal import telling
from kundig.legal.folder import Folder, folder
from kundig.legal.pdf import pdf
from kundig.legal.sheets import quarter_of
from kundig.legal.wording import text
from kundig.report.cells import Cell, address
from kundig.report.views import View, grid
from kundig.report.words import Words

if TYPE_CHECKING:
    from kundig.workspace import Workspace

LISTED = 200
"""Rows of a sheet on the page; a longer one says in which file of the evidence it is whole."""


def made(workspace: Workspace, w: Words, asked: str, *, at: dt.datetime) -> Folder:
    """The folder of the quarter asked for; of the present one, where that is no quarter.

    Raises:
        KundigError: There is no release yet.
    """
    try:
        return folder(workspace, at=at, which=asked or None, locale=w.locale)
    except ValueError:
        return folder(workspace, at=at, locale=w.locale)


def page(found: Folder, w: Words, *, name: str, zone: str) -> View:
    """What can we prove about data protection?"""
    sheets = found.sheets
    answer = text(
        w.locale, "folder.page_answer", quarter=found.quarter.name, activities=w.number(len(sheets["activities"].rows)), consents=w.number(sum(sheets["wordings"].column("records"))),
        objections=w.number(len(sheets["objections"].rows)), overdue=w.number(telling.overdue(found)),
    )  # fmt: skip
    empty = text(w.locale, "folder.empty")
    tables = []
    for sheet in telling.told(found, w, most=LISTED):
        rows = [[Cell(text=cell) for cell in row] for row in sheet.rows]
        heads = [(head, column in telling.NUMBERS) for column, head in zip(sheet.columns, sheet.heads, strict=True)]
        tables.append(grid(heads, rows, title=sheet.title, note=" ".join(part for part in (sheet.answer, sheet.note) if part), empty=empty))
    title = text(w.locale, "folder.page_title")
    asked = {"label": text(w.locale, "folder.quarter"), "show": text(w.locale, "folder.show"), "known": quarters(found.at, zone, found.quarter.name), "quarter": found.quarter.name}
    file = {"text": text(w.locale, "folder.pdf"), "href": address("/legal/folder.pdf", quarter=found.quarter.name, lang=w.locale)}
    return {"title": title, "answer": answer, "line": telling.title(found, w, name)[1], "asked": asked, "file": file, "tables": tables}


def quarters(at: dt.datetime, zone: str, chosen: str) -> list[str]:
    """The quarter of a moment and the seven before it, the newest first; and the chosen one."""
    found = []
    for _ in range(8):
        one = quarter_of(at, zone)
        found.append(one.name)
        at = one.start - dt.timedelta(days=1)
    return found if chosen in found else [chosen, *found]


def file(found: Folder, workspace: Workspace, w: Words) -> bytes:
    """The PDF of it."""
    settings = workspace.config.settings
    return pdf(found, w, name=settings.brand.name or settings.workspace.name)
