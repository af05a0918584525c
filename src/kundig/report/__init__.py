"""The report of a release: one self-contained HTML file a language, with tables and charts; nothing in it comes from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.errors import KundigError
from kundig.report.cells import shown
from kundig.report.facts import Facts
from kundig.report.pages import PAGES
from kundig.report.words import Words

if TYPE_CHECKING:
    from kundig.workspace import Workspace

TEMPLATES = Path(__file__).parent / "templates"
IN_REPORT = ("overview", "segments", "audiences", "measure", "consent", "data")


def environment(*folders: Path, linked: bool = False) -> Any:
    """A Jinja environment with the components; everything is escaped, and an unknown name is an error. `linked`: cells lead to their rows."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(loader=FileSystemLoader([str(folder) for folder in (*folders, TEMPLATES)]), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters["shown"] = partial(shown, linked=linked)
    return found


def words(workspace: Workspace, locale: str) -> Words:
    """The language of a page, with the workspace's currency and zone."""
    settings = workspace.config.settings.workspace
    return Words(locale=locale, currency=settings.currency, zone=settings.zone)


def render(workspace: Workspace, locale: str) -> str:
    """The report as one HTML text.

    Raises:
        KundigError: There is no release yet.
    """
    facts, w = Facts(workspace), words(workspace, locale)
    templates = environment()
    parts = [{"key": key, "html": templates.get_template(PAGES[key][0]).render(w=w, v={"how": ""} | PAGES[key][1](facts, w), h=2)} for key in IN_REPORT]
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    name = workspace.config.settings.workspace.name
    page = templates.get_template("report.html.j2")
    return str(page.render(w=w, name=name, style=style, parts_shown=parts, at=w.moment(facts.release.moment), release=facts.release.id))


def write_reports(workspace: Workspace, *, output: Path | None = None, locales: Iterable[str] | None = None) -> tuple[Path, ...]:
    """Write the report in each language; returns the files. A file is there whole or not at all.

    Raises:
        KundigError: One file was named for several languages.
    """
    chosen = tuple(locales or workspace.config.settings.workspace.locales)
    if output is not None and len(chosen) > 1:
        raise KundigError("one file cannot hold two languages", mend="name a language: --locale de")
    written = []
    for locale in chosen:
        path = output or workspace.root / "out" / f"report.{locale}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(render(workspace, locale), encoding="utf-8")
        temporary.replace(path)
        written.append(path)
    return tuple(written)
