"""Reports of the small shop as a reader finds them: sections, tables and figures, read back from the HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from kundig.report import render
from kundig.workspace import Workspace
from tests.workspaces import fixtures, shop

LOCALES = ("de", "en")


@dataclass(kw_only=True)
class Read:
    """A table of the report: its heads and its rows, as texts."""

    heads: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def column(self, number: int) -> list[str]:
        return [row[number] for row in self.rows]


class Report(HTMLParser):
    """A report taken apart: tables by section and title, answers, figures' titles, and all that would load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.tables: dict[tuple[str, str], Read] = {}
        self.answers: dict[str, str] = {}
        self.findings: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self._section = ""
        self._table: Read | None = None
        self._into: list[str] | None = None
        self._end = ""
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "srcset", "href", "xlink:href", "action", "data", "poster") and value and not value.startswith("#")]
        self.loads += [str(value) for name, value in attrs if name.startswith("on") or (name == "style" and value)]
        self._style = self._style or tag == "style"
        if tag == "section" and given.get("id"):
            self._section = str(given["id"])
        elif tag == "div" and given.get("role") == "region":
            self._table = self.tables.setdefault((self._section, str(given["aria-label"])), Read())
        elif tag == "tr" and self._table is not None:
            self._table.rows.append([])
        elif (tag in ("th", "td") and self._table is not None) or (tag == "p" and given.get("class") == "answer") or (tag == "strong" and self._section):
            self._collect(tag)

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.words.append(data)
        if self._into is not None:
            self._into.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "style":
            self._style = False
        if self._into is not None and tag == self._end:
            text, self._into = " ".join("".join(self._into).split()), None
            if tag == "p":
                self.answers[self._section] = text
            elif tag == "strong":
                self.findings.append(text)
            elif self._table is not None:
                self._table.rows[-1].append(text)
        elif tag == "thead" and self._table is not None:
            self._table.heads = self._table.rows.pop()
        elif tag == "table":
            self._table = None

    def _collect(self, tag: str) -> None:
        self._into, self._end = [], tag

    @property
    def text(self) -> str:
        return " ".join("".join(f" {word}" for word in self.words).split())


def numbers(text: str, locale: str) -> list[float]:
    """The numbers that stand in a text, as this language writes them."""
    mark, point = (".", ",") if locale == "de" else (",", ".")
    found = re.findall(rf"-?\d{{1,3}}(?:{re.escape(mark)}\d{{3}})+(?:{re.escape(point)}\d+)?|-?\d+(?:{re.escape(point)}\d+)?", text.replace("\u00a0", " ").replace("−", "-"))
    return [float(one.replace(mark, "").replace(point, ".")) for one in found]


root, workspace = fixtures(shop)


@pytest.fixture(scope="session")
def reports(workspace: Workspace) -> dict[str, Report]:
    return {locale: Report(render(workspace, locale)) for locale in LOCALES}
