"""The model card: what a prediction is, how good, whom it treats how, and what it rests on; Markdown or a page, German or English."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from kundig.understand.propensity.report import Report

LOCALES = Path(__file__).resolve().parents[2] / "locales" / "prediction"
SHOWN = 12
"""Features and points of the cost curve that a card lists."""
Language = Literal["de", "en"]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, sentences, and a table: its head and its rows of texts."""

    heading: str
    sentences: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Card:
    """A model card in one language; the same sections as Markdown and as a page."""

    title: str
    language: Language
    sections: tuple[Section, ...]

    def markdown(self) -> str:
        """The card as Markdown."""
        parts = [f"# {_plain(self.title)}"]
        for section in self.sections:
            parts += [f"## {_plain(section.heading)}"] if section.heading else []
            parts += [_plain(sentence) for sentence in section.sentences]
            if section.rows:
                lines = [section.head, tuple("---" for _ in section.head), *section.rows]
                parts.append("\n".join(f"| {' | '.join(_plain(cell) for cell in row)} |" for row in lines))
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """The card as the inside of a page: headings, paragraphs and tables, everything escaped."""
        parts = [f"<h1>{html.escape(self.title)}</h1>"]
        for section in self.sections:
            inside = [f"<h2>{html.escape(section.heading)}</h2>"] if section.heading else []
            inside += [f"<p>{html.escape(sentence)}</p>" for sentence in section.sentences]
            if section.rows:
                head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in section.head)
                body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in section.rows)
                inside.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
            parts.append(f"<section>{''.join(inside)}</section>")
        return f'<article lang="{self.language}">{"".join(parts)}</article>'


def card(report: Report, *, name: str = "", language: Language = "en") -> Card:
    """The model card of a report; `name` is the prediction's, its target's by default."""
    words, say = _texts(language), _Numbers(language)
    sections = [_summary(report, words, say)]
    if report.auc is not None:
        sections += [_quality(report, words["quality"], say), _candidates(report, words, say), _lift(report, words["lift"], say)]
    if report.curve:
        sections.append(_money(report, words["money"], say))
    rows: tuple[tuple[str, ...], ...]
    for column, groups in report.fairness.items():
        told = words["fairness"]
        rows = tuple((one.name, say(one.rows), say.share(one.expected), say.share(one.actual), say(one.auc, 3), say.share(one.chosen)) for one in groups)
        sections.append(Section(heading=told["heading"].format(name=column), head=_head(told, "group rows expected actual auc chosen"), rows=rows))
    if report.importance:
        told = words["importance"]
        rows = tuple((feature, say(effect, 3)) for feature, effect in list(report.importance.items())[:SHOWN])
        sections.append(Section(heading=told["heading"], head=_head(told, "feature effect"), rows=rows))
    if report.refused:
        told = words["refused"]
        rows = tuple((column, told[refusal.code].format(late=say.share(refusal.late))) for column, refusal in sorted(report.refused.items()))
        sections.append(Section(heading=told["heading"], head=_head(told, "column why"), rows=rows))
    return Card(title=words["title"].format(name=name or report.target), language=language, sections=tuple(sections))


def _summary(report: Report, words: Mapping[str, Any], say: _Numbers) -> Section:
    verdict = " ".join([words["verdict"][report.verdict], *(words["because"][code] for code in report.because)])
    what = words["what"].format(target=report.target, rows=say(report.rows), positives=say(report.positives), rate=say.share(report.rate), trained=say(report.rows_trained))
    return Section(heading="", sentences=(verdict, what, words["folds"][report.folds], words["champion"].format(name=_model(report.champion, words, say))))


def _quality(report: Report, told: Mapping[str, str], say: _Numbers) -> Section:
    rows = (
        (told["auc"], f"{say(report.auc, 3)} ({say(report.auc_low, 3)} – {say(report.auc_high, 3)})"),
        (told["log_loss"], f"{say(report.log_loss, 4)} ({say(report.log_loss_of_rate, 4)})"),
        (told["slope"], say(report.calibration_slope, 2)),
        (told["error"], say.share(report.calibration_error, 2)),
    )
    return Section(heading=told["heading"], head=_head(told, "figure value"), rows=rows)


def _candidates(report: Report, words: Mapping[str, Any], say: _Numbers) -> Section:
    ranked = sorted(report.candidates, key=lambda one: -one.auc)
    rows = tuple((_model(one.name, words, say), say(one.auc, 4), say(one.log_loss, 4)) for one in ranked)
    return Section(heading=words["candidates"]["heading"], head=_head(words["candidates"], "model auc log_loss"), rows=rows)


def _lift(report: Report, told: Mapping[str, str], say: _Numbers) -> Section:
    rows = tuple((one.name, say(one.rows), say.share(one.expected), say.share(one.actual), say(one.lift, 2)) for one in report.lift)
    return Section(heading=told["heading"], head=_head(told, "tenth rows expected actual lift"), rows=rows)


def _money(report: Report, told: Mapping[str, str], say: _Numbers) -> Section:
    best = report.best
    if best is None or best.net <= 0:
        sentence = told["never"]
    else:
        sentence = told["best"].format(share=say.share(best.share), threshold=say.share(best.threshold, 1), net=say(best.net, 2), found=say.share(best.found))
    rows = tuple((say.share(one.share), say.share(one.threshold, 1), say.share(one.found), say(one.net, 2)) for one in report.curve[1::2][:SHOWN])
    return Section(heading=told["heading"], sentences=(sentence,), head=_head(told, "share threshold found net"), rows=rows)


def _model(name: str, words: Mapping[str, Any], say: _Numbers) -> str:
    kind, _, share = name.partition(" ")
    text: str = words["models"][kind]
    return text.format(share=say.share(float(share))) if share else text


def _head(told: Mapping[str, str], keys: str) -> tuple[str, ...]:
    return tuple(told[key] for key in keys.split())


@dataclass(frozen=True)
class _Numbers:
    """Numbers as readers of the language write them; a dash where there is none."""

    language: Language

    def __call__(self, value: float | None, digits: int = 0) -> str:
        if value is None or value != value:
            return "–"
        text = f"{value:,.{digits}f}"
        return text if self.language == "en" else text.translate(str.maketrans(",.", ".,"))

    def share(self, value: float | None, digits: int = 1) -> str:
        told = self(None if value is None else 100 * value, digits)
        return told if told == "–" else f"{told} %" if self.language == "de" else f"{told}%"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


@cache
def _texts(language: Language) -> Mapping[str, Any]:
    from ruamel.yaml import YAML

    told: Mapping[str, Any] = YAML(typ="safe").load((LOCALES / f"{language}.yaml").read_text(encoding="utf-8"))
    return told

