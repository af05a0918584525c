"""What must hold before a creative may go out: required parts, lengths, weights, words; each breach is a row with its mend."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any, Literal

import nh3
import pyarrow as pa

from kundig.config.create import BrandTokens, CreativeVariables, Voice
from kundig.config.settings import Settings
from kundig.create.templates import fill
from kundig.schema import step
from kundig.tables.create import CREATIVES, QA_FINDINGS

FULL_PERSON = {"first_name": "Alexandra", "last_name": "Musterhausen", "company": "Muster GmbH", "offer_code": "CODE10"}
"""A person of whom all is known, with names of ordinary length: lengths are measured with it."""

BARE_PERSON = dict.fromkeys(FULL_PERSON, "")
"""A person of whom nothing is known: the message must still read well."""

SAMPLE_MESSAGE = {"id": "0" * 32, "unsubscribe_url": "https://www.example.org/u/" + "0" * 40, "address": "kim@example.org"}

_LINK = re.compile(r'<a\b[^>]*\bhref="(?P<href>[^"]*)"[^>]*>(?P<label>.*?)</a>', re.DOTALL | re.IGNORECASE)
_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing a check found: `blocks` keeps the creative from going out, `warns` does not."""

    check: str
    where: str
    severity: Literal["blocks", "warns"]
    what: str
    mend: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What checks measure against."""

    voice: Voice
    tokens: BrandTokens
    settings: Settings

    @property
    def brand_name(self) -> str:
        """The brand's name, which stands for the logo in text."""
        return self.settings.brand.name or self.settings.workspace.name


@step(reads=(CREATIVES,), writes=QA_FINDINGS, kind="array", bound=4_000)
def qa_findings(
    creatives: pa.Table, *, brand_voice: Voice, brand_tokens: BrandTokens, brand_variables: CreativeVariables, matrix: Any, settings: Settings
) -> pa.Table:
    """What the checks found wrong with each creative, and with the matrix cells it was made from."""
    rules = Rules(voice=brand_voice, tokens=brand_tokens, settings=settings)
    cells = {row["segment_id"]: row for row in matrix.rows}
    rows: list[dict[str, str]] = []
    for row in creatives.to_pylist():
        found = [*checked(row, rules), *checked_cells(cells.get(row["segment_id"], {}), brand_variables)]
        rows += [{"creative_id": row["creative_id"], **{name: getattr(f, name) for name in Finding.__slots__}} for f in found]
    names = QA_FINDINGS.names
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names})


def checked(row: Mapping[str, Any], rules: Rules) -> list[Finding]:
    """What is wrong with one row of `creatives`; one finding per check and place."""
    found = list(_email(row, rules) if row["channel"] == "email" else _push(row, rules))
    return list({(finding.check, finding.where): finding for finding in found}.values())


def checked_cells(cells: Mapping[str, str], variables: CreativeVariables) -> list[Finding]:
    """What is wrong with a row of the matrix as input of creatives."""
    found = []
    known = variables.known()
    for name, value in cells.items():
        where = f"persona_matrix.csv, {name}"
        if "{{" in value or "{%" in value:
            found.append(_warns("matrix_is_data", where, "it holds Liquid, which is shown as text", "write personal fields in the copy files"))
        if name in known and known[name].values and value and value not in known[name].values:
            found.append(_warns("variable_value", where, f"'{value}' is not a declared value", f"declared: {', '.join(known[name].values)}"))
    return found


def _email(row: Mapping[str, Any], rules: Rules) -> Iterator[Finding]:
    subject = _filled(row["subject_line"], html=False)
    html, text = _filled(row["body"], html=True), _filled(row["text_body"], html=False)
    seen = _visible(html)
    if not subject.strip():
        yield _blocks("subject", "subject", "the subject is empty", "give 'subject' in the copy file")
    if re.search(r"[\r\n\0]", subject):
        yield _blocks("subject", "subject", "the subject has a line break", "write it on one line")
    if len(subject) > 60:
        yield _warns("subject_length", "subject", f"{len(subject)} characters: phones cut it", "stay within 60")
    if not text.strip():
        yield _blocks("text_alternative", "text", "there is no plain text", "give the texts in the copy file, or an email.txt.liquid")
    for where, part in (("html", html), ("text", text)):
        if SAMPLE_MESSAGE["unsubscribe_url"] not in unescape(part):
            yield _blocks("unsubscribe", where, "the unsubscribe link is missing", "add {{ message.unsubscribe_url }} to the template")
    for where, part in (("html", seen + " ".join(_alternatives(html))), ("text", text)):
        if rules.brand_name not in part:
            mend = "add {{ brand.name }} as text or as the logo's alt"
            yield _blocks("logo_as_text", where, f"the brand's name '{rules.brand_name}' does not stand as text", mend)
        imprint = rules.settings.brand.imprint
        if imprint and imprint not in part:
            yield _blocks("imprint", where, "the imprint is missing", "add {{ brand.imprint }} to the template")
    if not rules.settings.brand.imprint:
        yield _warns("imprint", "kundig.toml", "no imprint is set; commercial e-mail must carry one", "set brand.imprint")
    yield from _call_to_action(row, html, text)
    for image in _IMAGE.findall(html):
        if not re.search(r'\balt="', image):
            yield _blocks("image_alternative", "html", "a picture has no text alternative", 'give every mj-image an alt, also an empty alt="" for ornaments')
    if "http://" in " ".join(match["href"] for match in _LINK.finditer(html)):
        yield _warns("https", "html", "a link is not https", "write https")
    size = len(html.encode()) + len(text.encode())
    if size > rules.tokens.email_bytes:
        yield _blocks("weight", "html", f"{size:,} bytes, allowed are {rules.tokens.email_bytes:,}", "shorten it, or raise email_bytes in brand/tokens.json")
    yield from _words(f"{subject}\n{seen}\n{text}", row["locale"], rules, "e-mail")
    longest = max((len(sentence.split()) for sentence in re.split(r"[.!?\n]", text)), default=0)
    if longest > rules.voice.sentence_words:
        yield _warns("sentence_length", "text", f"a sentence has {longest} words", f"stay within {rules.voice.sentence_words}")


def _call_to_action(row: Mapping[str, Any], html: str, text: str) -> Iterator[Finding]:
    labels = [_visible(match["label"]).strip() for match in _LINK.finditer(html) if unescape(match["href"]) == row["link"]]
    if not any(labels):
        yield _blocks("call_to_action", "html", "no link with words leads to the target", 'add a button with {{ copy.cta }} and href="{{ creative.link }}"')
    elif not any(label and label in text for label in labels) or row["link"] not in text:
        yield _blocks("call_to_action", "text", "the call to action does not stand in the plain text", "add {{ copy.cta }}: {{ creative.link }}")


def _push(row: Mapping[str, Any], rules: Rules) -> Iterator[Finding]:
    limits = rules.voice.push
    title, text = _filled(row["subject_line"], html=False), _filled(row["body"], html=False)
    hard = limits.hard.get(row["locale"], min(limits.hard.values(), default=60))
    if not text.strip():
        yield _blocks("push_text", "push", "the text is empty", "give 'push_text' in the copy file")
    if len(text) > hard:
        yield _blocks("push_length", "push", f"{len(text)} characters, allowed are {hard} in '{row['locale']}'", "shorten push_text")
    elif len(text) > limits.soft and row["locale"] == rules.settings.workspace.locale:
        yield _warns("push_length", "push", f"{len(text)} characters, wished are about {limits.soft}", "shorten push_text")
    if len(title) > limits.title:
        yield _blocks("push_title", "push", f"the title has {len(title)} characters, allowed are {limits.title}", "shorten push_title")
    if not row["link"]:
        yield _warns("push_link", "push", "the message leads nowhere", "set app_route in the brief")
    size = len(json.dumps({"title": title, "body": text, "link": row["link"]}, ensure_ascii=False).encode())
    if size > rules.tokens.push_bytes:
        yield _blocks("weight", "push", f"{size:,} bytes, allowed are {rules.tokens.push_bytes:,}", "shorten it")
    yield from _words(f"{title}\n{text}", row["locale"], rules, "push")


def _words(text: str, locale: str, rules: Rules, where: str) -> Iterator[Finding]:
    for word in rules.voice.forbidden.get(locale, ()):
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE):
            yield _blocks("forbidden_words", f"{where}: {word}", f"'{word}' is forbidden in '{locale}'", "say it otherwise, or mend brand/voice.yaml")


def _filled(template: str, *, html: bool) -> str:
    return fill(template, person=FULL_PERSON, message=SAMPLE_MESSAGE, html=html)


def _visible(html: str) -> str:
    body = re.sub(r"<!--.*?-->|<head>.*?</head>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(nh3.clean(re.sub(r"<(?!/?(?:b|strong|em|i|span)\b)", " <", body), tags=set())))


def _alternatives(html: str) -> list[str]:
    return [unescape(found) for image in _IMAGE.findall(html) for found in re.findall(r'\balt="([^"]*)"', image)]


def _blocks(check: str, where: str, what: str, mend: str) -> Finding:
    return Finding(check=check, where=where, severity="blocks", what=what, mend=mend)


def _warns(check: str, where: str, what: str, mend: str) -> Finding:
    return Finding(check=check, where=where, severity="warns", what=what, mend=mend)
