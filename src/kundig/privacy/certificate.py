"""The certificate of an erasure, for the person and for authorities: as text and as a PDF, in German and in English; it names nobody."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.errors import PrivacyError
from kundig.privacy.requests import Request
from kundig.privacy.wording import text
from kundig.report import words

if TYPE_CHECKING:
    from kundig.workspace import Workspace

FONTS = Path(__file__).resolve().parents[1] / "legal" / "fonts"
COLUMNS = ("store", "how", "before", "after", "changed")
WIDTHS = (34, 82, 21, 21, 22)
WIDE = 96
"""Letters of a line of the text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A certificate in words."""

    title: str
    outcome: str
    lines: tuple[str, ...]
    head: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sections: tuple[tuple[str, str], ...]


def told(workspace: Workspace, one: Request, locale: str) -> Told:
    """The certificate of an erasure in a language.

    Raises:
        PrivacyError: The request is no erasure, or nothing was erased yet.
    """
    if one.kind != "erasure" or one.status not in ("finished", "partial"):
        raise PrivacyError(f"there is no certificate of a request that is {one.kind} and {one.status}", at=one.request_id, mend="kundig privacy list shows erasures that are finished or partial")
    w = words(workspace, locale)
    settings, stores = workspace.config.settings, one.certificate.get("stores", [])
    left = sum(int(store["found_after"]) for store in stores)
    rows = tuple(
        (text(locale, f"stores.{store['store']}"), text(locale, f"how.{_how(store)}"), w.number(store["found_before"]), w.number(store["found_after"]), w.number(store["changed"])) for store in stores
    )
    dash = text(locale, "access.dash")
    return Told(
        title=text(locale, "certificate.title"), outcome=text(locale, "certificate.partial" if left else "certificate.complete", count=w.number(left)),
        lines=(
            text(locale, "certificate.lead", id=one.request_id, requested=w.moment(one.requested_at), finished=w.moment(one.finished_at), zone=w.zone, name=settings.brand.name or settings.workspace.name),
            text(locale, "certificate.asked", by=w.named("request_by", one.requested_by) if one.requested_by else dash, how=one.verified_by or dash),
        ),
        head=text(locale, "certificate.head"), heads=tuple(text(locale, f"certificate.{name}") for name in COLUMNS), rows=rows,
        sections=tuple((text(locale, f"certificate.{name}"), text(locale, f"certificate.{name}_text")) for name in ("means", "kept")),
    )  # fmt: skip


def _how(store: dict[str, Any]) -> str:
    """By which way a store was searched, as the texts name it."""
    return str(store.get("way") or ("tables" if store["store"] == "tables" else "files" if store["store"] == "files" else "database"))


def as_text(made: Told) -> str:
    """The certificate as plain text."""
    parts = [made.title, "=" * len(made.title), "", *_wrapped(made.outcome), ""]
    for one in made.lines:
        parts += _wrapped(one)
    parts += ["", made.head, "-" * len(made.head)]
    for row in made.rows:
        parts += ["", row[0], *_wrapped(f"{made.heads[1]}: {row[1]}", "  "), *(f"  {head}: {cell}" for head, cell in zip(made.heads[2:], row[2:], strict=True))]
    for title, said in made.sections:
        parts += ["", title, "-" * len(title), *_wrapped(said)]
    return "\n".join(parts) + "\n"


def _wrapped(said: str, indent: str = "") -> list[str]:
    return textwrap.wrap(said, WIDE, initial_indent=indent, subsequent_indent=indent * 2, break_long_words=False) or [""]


def as_pdf(made: Told, one: Request, locale: str) -> bytes:
    """The certificate as a PDF: A4, our own fonts; the same bytes for the same contents."""
    from fpdf import FPDF
    from fpdf.enums import TableBordersLayout
    from fpdf.fonts import FontFace

    class Pages(FPDF):
        """A document with a foot on each page."""

        def footer(self) -> None:
            self.set_y(-13)
            self.set_font("body", "", 8)
            self.cell(0, 5, text(locale, "certificate.page", page=self.page_no(), pages="{nb}"), align="R")

    document = Pages(orientation="P", unit="mm", format="A4")
    document.add_font("body", "", FONTS / "DejaVuSansCondensed.ttf")
    document.add_font("body", "B", FONTS / "DejaVuSansCondensed-Bold.ttf")
    document.set_margins(15, 15, 15)
    document.set_auto_page_break(True, margin=18)
    document.set_creation_date(one.finished_at or one.requested_at)
    document.set_producer("kundig")
    document.set_title(made.title)
    document.set_lang(locale)
    document.add_page()

    def said(words: str, size: float, style: Any = "", after: float = 2) -> None:
        document.set_font("body", style, size)
        document.multi_cell(0, size * 0.55, words, align="L", new_x="LMARGIN", new_y="NEXT")
        document.ln(after)

    said(made.title, 20, "B", 3)
    said(made.outcome, 11, "B", 3)
    for words_ in made.lines:
        said(words_, 9)
    document.start_section(made.head)
    said(made.head, 13, "B")
    document.set_font("body", "", 8)
    document.set_draw_color(210, 214, 220)
    heads = FontFace(emphasis="BOLD", fill_color=(241, 243, 246))
    with document.table(
        col_widths=WIDTHS, text_align=("LEFT", "LEFT", "RIGHT", "RIGHT", "RIGHT"), headings_style=heads, borders_layout=TableBordersLayout.HORIZONTAL_LINES, line_height=4.2, padding=(1, 1.5), repeat_headings=1
    ) as table:
        table.row(made.heads)
        for row in made.rows:
            table.row(row)
    document.ln(4)
    for title, words_ in made.sections:
        document.start_section(title)
        said(title, 13, "B")
        said(words_, 9, "", 4)
    return bytes(document.output())
