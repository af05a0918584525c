"""The folder as a PDF: A4, our own fonts, each table with its heads on every page; the same bytes for the same contents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.legal.folder import Folder
from kundig.legal.telling import NUMBERS, Told, title, told
from kundig.legal.wording import text
from kundig.report.words import Words

if TYPE_CHECKING:
    from fpdf import FPDF

FONTS = Path(__file__).resolve().parent / "fonts"
MOST = 400
"""Rows of a table in the PDF; a longer one is whole in its file."""
INK, FAINT, FILL = (33, 37, 41), (110, 118, 128), (241, 243, 246)
WIDTHS: dict[str, tuple[int, ...]] = {
    "controller": (30, 150), "activities": (30, 44, 25, 27, 16, 22, 16), "purposes": (26, 38, 24, 34, 18, 22, 12), "sources": (26, 52, 18, 42, 16, 26), "wordings": (21, 16, 14, 44, 46, 19, 17, 25, 26, 26),
    "retention": (38, 40, 24, 17, 23, 17, 21), "processors": (30, 26, 44, 22, 36, 20), "objections": (13, 34, 20, 24, 20, 31, 31, 31, 19, 26, 19), "faults": (14, 40, 28, 28, 24, 26, 32, 32, 32), "evidence": (54, 16, 110),
}  # fmt: skip
WIDE = frozenset({"wordings", "objections", "faults"})
"""Tables on pages that lie."""


def pdf(made: Folder, w: Words, *, name: str) -> bytes:
    """The folder as a PDF in the language of the words."""
    document = _document(made, w, name)
    head, line = title(made, w, name)
    document.set_title(head)
    document.add_page()
    document.set_font("body", "B", 20)
    document.multi_cell(0, 9, head, new_x="LMARGIN", new_y="NEXT")
    document.set_font("body", "", 9)
    document.set_text_color(*FAINT)
    document.multi_cell(0, 5, line, new_x="LMARGIN", new_y="NEXT")
    document.set_text_color(*INK)
    lying = False
    for sheet in told(made, w, most=MOST):
        if (sheet.name in WIDE) != lying:
            lying = not lying
            document.add_page(orientation="L" if lying else "P")
        _sheet(document, sheet, w)
    return bytes(document.output())


def _document(made: Folder, w: Words, name: str) -> FPDF:
    from fpdf import FPDF

    class Pages(FPDF):
        """A document with the folder's foot on each page."""

        def footer(self) -> None:
            self.set_y(-13)
            self.set_font("body", "", 8)
            self.set_text_color(*FAINT)
            half = self.epw / 2
            self.cell(half, 5, f"{name} · {made.quarter.name}")
            self.cell(half, 5, text(w.locale, "folder.page", page=self.page_no(), pages="{nb}"), align="R")
            self.set_text_color(*INK)

    document = Pages(orientation="P", unit="mm", format="A4")
    document.add_font("body", "", FONTS / "DejaVuSansCondensed.ttf")
    document.add_font("body", "B", FONTS / "DejaVuSansCondensed-Bold.ttf")
    document.set_margins(15, 15, 15)
    document.set_auto_page_break(True, margin=18)
    document.set_creation_date(made.at)
    document.set_producer("kundig")
    document.set_subject(text(w.locale, "folder.subject"))
    document.set_lang(w.locale)
    document.set_text_color(*INK)
    return document


def _sheet(document: FPDF, sheet: Told, w: Words) -> None:
    if document.get_y() > document.h - 60:
        document.add_page()
    document.ln(5)
    document.start_section(sheet.title)
    document.set_font("body", "B", 13)
    document.multi_cell(0, 7, sheet.title, new_x="LMARGIN", new_y="NEXT")
    document.set_font("body", "", 9)
    document.multi_cell(0, 5, sheet.answer, align="L", new_x="LMARGIN", new_y="NEXT")
    document.ln(1)
    if not sheet.rows:
        document.multi_cell(0, 5, text(w.locale, "folder.empty"), new_x="LMARGIN", new_y="NEXT")
        return
    _table(document, sheet)
    if sheet.note:
        document.multi_cell(0, 5, sheet.note, new_x="LMARGIN", new_y="NEXT")


def _table(document: FPDF, sheet: Told) -> None:
    from fpdf.enums import TableBordersLayout
    from fpdf.fonts import FontFace

    document.set_font("body", "", 7.5)
    document.set_draw_color(210, 214, 220)
    aligned: Any = tuple("RIGHT" if column in NUMBERS else "LEFT" for column in sheet.columns)
    heads = FontFace(emphasis="BOLD", fill_color=FILL)
    with document.table(
        col_widths=WIDTHS[sheet.name], text_align=aligned, headings_style=heads, borders_layout=TableBordersLayout.HORIZONTAL_LINES, line_height=3.8, padding=(1, 1.5), repeat_headings=1
    ) as table:
        table.row(sheet.heads)
        for row in sheet.rows:
            table.row(row)
    document.ln(1)


__all__ = ["MOST", "pdf"]
