"""Creatives: from brief, matrix row, copy, template and voice to a message per segment, channel, locale and variant."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from markupsafe import Markup

from kundig.config.create import BrandTokens, Brief, CopyFile, CreativeVariables, TemplateFile, Voice, Words
from kundig.config.settings import Settings
from kundig.create.briefs import GENERATOR, Inputs, Order, digest, fingerprints, orders
from kundig.create.copy import rendered_texts, texts_of
from kundig.create.guardrails import BARE_PERSON, SAMPLE_MESSAGE, Rules, checked
from kundig.create.templates import close_fields, email_html, environment, fill, liquid_value, open_fields, render
from kundig.errors import Fault, TemplateError
from kundig.schema import step
from kundig.tables.create import APPROVALS, CREATIVE_VARIABLES, CREATIVES
from kundig.tables.decide import OFFERS

TEXT_TEMPLATE = """\
{{ copy.greeting }}

{{ copy.headline }}

{{ copy.body }}

{{ copy.cta }}: {{ creative.link }}
{% if copy.closing != "" %}
{{ copy.closing }}
{% endif %}
{{ brand.name }}

--
{{ copy.unsubscribe_sentence }}
{{ copy.unsubscribe }}: {{ message.unsubscribe_url }}
{{ brand.imprint }}
"""
"""The plain text of an e-mail whose folder has no email.txt.liquid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message with only the personal fields open."""

    subject_line: str
    body: str
    text_body: str


@step(reads=(OFFERS, APPROVALS), writes=CREATIVES, kind="array", bound=2_000)
def creatives(
    offers: pa.Table,
    approvals: pa.Table,
    *,
    as_of: dt.datetime,
    matrix: Any,
    briefs: Mapping[str, Brief],
    copies: Mapping[str, CopyFile],
    email_templates: Mapping[str, TemplateFile],
    liquid_templates: Mapping[str, TemplateFile],
    brand_voice: Voice,
    brand_tokens: BrandTokens,
    brand_variables: CreativeVariables,
    brand_words: Words,
    settings: Settings,
) -> pa.Table:
    """Every message the briefs ask for, made from the present files, with its status.

    A creative is `approved` when its newest approval names exactly what it is made from, or when its brief carries a standing
    approval; `stale` when the approval names something older. What a guardrail blocks is a draft, whoever approved it.

    Raises:
        TemplateError: Templates or copy that cannot be rendered; all of them at once.
    """
    inputs = Inputs(
        matrix=tuple(dict(row) for row in matrix.rows), briefs=briefs, copies=copies, email_templates=email_templates, liquid_templates=liquid_templates,
        voice=brand_voice, tokens=brand_tokens, variables=brand_variables, words=brand_words, settings=settings,
        offers={row["offer_code"]: row for row in offers.to_pylist()},
    )  # fmt: skip
    rules = Rules(voice=brand_voice, tokens=brand_tokens, settings=settings)
    latest = latest_approvals(approvals.to_pylist(), as_of=as_of)
    mark = digest(inputs.matrix, dict(copies), {code: str(offer) for code, offer in inputs.offers.items()})
    rows: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for order in orders(inputs):
        try:
            rows.append(_row(order, inputs, rules, latest, as_of, mark))
        except TemplateError as error:
            faults += error.faults
    if faults:
        raise TemplateError(faults=_once(faults))
    types = {"made_at": pa.timestamp("us", "UTC")}
    return pa.table({name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in CREATIVES.names})


@step(reads=(CREATIVES,), writes=CREATIVE_VARIABLES, kind="array", bound=500)
def creative_variables(creatives: pa.Table, *, matrix: Any, brand_variables: CreativeVariables) -> pa.Table:
    """The values of the creative variables each creative was made with: the matrix columns that are declared as such."""
    cells = {row["segment_id"]: row for row in matrix.rows}
    known = ("key_message", "visual_guideline", "offer_code", *brand_variables.known())
    found = [
        (creative, name, cells[segment][name])
        for creative, segment in zip(creatives["creative_id"].to_pylist(), creatives["segment_id"].to_pylist(), strict=True)
        for name in known
        if cells.get(segment, {}).get(name)
    ]
    return pa.table({name: pa.array([row[place] for row in found], pa.string()) for place, name in enumerate(CREATIVE_VARIABLES.names)})


def _row(order: Order, inputs: Inputs, rules: Rules, latest: Mapping[str, Mapping[str, Any]], as_of: dt.datetime, mark: str) -> dict[str, Any]:
    prints = fingerprints(order, inputs)
    message = made(order, inputs, mark=mark)
    row: dict[str, Any] = {
        "creative_id": f"{order.object_id.replace('/', '.')}.{prints.made_from[:12]}",
        "creative": order.creative, "segment_id": order.segment["segment_id"], "channel": order.channel, "locale": order.locale, "variant": order.variant,
        "subject_line": message.subject_line, "body": message.body, "text_body": message.text_body, "link": order.link,
        "matrix_hash": prints.matrix_hash, "template_hash": prints.template_hash, "voice_hash": prints.voice_hash,
        "offer_code": order.segment.get("offer_code") or None, "made_from": prints.made_from, "generator": GENERATOR, "made_at": as_of,
    }  # fmt: skip
    for part, html in (("subject_line", False), ("body", order.channel == "email"), ("text_body", False)):
        fill(row[part], person=BARE_PERSON, message=SAMPLE_MESSAGE, html=html, at=f"{order.at}, {part}")
    blocked = any(finding.severity == "blocks" for finding in checked(row, rules))
    row["status"] = status_of(latest.get(order.object_id), prints.made_from, standing=order.brief.auto_approve is not None, blocked=blocked)
    return row


def made(order: Order, inputs: Inputs, *, mark: str) -> Message:
    """The message of an order, personal fields open. `mark` is a hash over all data, so that none of it can name itself.

    Raises:
        TemplateError: Its copy or its template cannot be rendered.
    """
    workspace, brand = inputs.settings.workspace, inputs.settings.brand
    words = {"locale": order.locale, "currency": workspace.currency, "zone": workspace.zone}
    escaping, verbatim = environment(html=True, **words), environment(html=False, **words)
    context: dict[str, Any] = {
        "segment": _cells(order, inputs),
        "offer": {"code": "", "meaning": "", "valid_until": ""} | {name.removeprefix("offer_"): liquid_value(value) for name, value in order.offer.items()},
        "brand": inputs.tokens.model_dump() | {"name": brand.name or workspace.name, "website": brand.website, "imprint": brand.imprint},
        "creative": {"name": order.creative, "channel": order.channel, "locale": order.locale, "variant": order.variant, "link": order.link},
    }
    fields: list[str] = []

    def opened(source: str, at: str) -> str:
        part = open_fields(source, mark=mark, start=len(fields), at=at)
        fields.extend(part.fields)
        return part.text

    place = f"creatives/{order.creative}/copy.{order.locale}.yaml"
    sources = texts_of(order.copy, locale=order.locale, form=order.form, variant=order.variant, voice=inputs.voice)
    sources = {name: opened(text, f"{place}, text '{name}'") for name, text in sources.items()}
    html_texts, plain_texts = rendered_texts(sources, escaping, context, at=place)

    def closed(text: str) -> str:
        return close_fields(text, tuple(fields), mark=mark)

    if order.channel == "email":
        at = f"creatives/{order.creative}/email.mjml"
        marked = context | {"copy": {name: Markup(text) for name, text in html_texts.items()}}
        mjml = render(escaping, opened(order.template, at), marked, at=at)
        text = render(verbatim, opened(order.text_template or TEXT_TEMPLATE, f"{at} (text)"), context | {"copy": plain_texts}, at=f"{at} (text)")
        return Message(subject_line=closed(_one_line(plain_texts["subject"])), body=closed(email_html(mjml, at=at)), text_body=closed(_tidy(text)))
    at = f"creatives/{order.creative}/push.liquid"
    parts = re.split(r"(?m)^---[ \t]*$", render(verbatim, opened(order.template, at), context | {"copy": plain_texts}, at=at), maxsplit=1)
    title, text = parts if len(parts) == 2 else ("", parts[0])
    return Message(subject_line=closed(_one_line(title)), body=closed(_one_line(text)), text_body=closed(_one_line(text)))


def _cells(order: Order, inputs: Inputs) -> dict[str, str]:
    """The matrix row in the order's language: a text without a translation is empty rather than in the wrong language."""
    known = inputs.variables.known()
    free = {"key_message"} | {name for name, variable in known.items() if not variable.values}
    foreign = order.locale != inputs.settings.workspace.locale
    words = inputs.words.of(order.locale, order.form) | order.copy.words
    row = {name: words.get(value, "" if foreign else value) if name in free else value for name, value in order.segment.items()}
    return dict.fromkeys(known, "") | row


def latest_approvals(approvals: Iterable[Mapping[str, Any]], *, as_of: dt.datetime) -> dict[str, Mapping[str, Any]]:
    """The newest verdict on each creative that was known at `as_of`."""
    known = [row for row in approvals if row["object_kind"] == "creative" and row["decided_at"] <= as_of]
    return {row["object_id"]: row for row in sorted(known, key=lambda row: (row["decided_at"], row["approval_id"]))}


def status_of(approval: Mapping[str, Any] | None, made_from: str, *, standing: bool, blocked: bool) -> str:
    """draft, approved, rejected or stale.

    Examples:
        >>> status_of({"version": "a", "verdict": "approved"}, "b", standing=False, blocked=False)
        'stale'
        >>> status_of(None, "b", standing=True, blocked=False), status_of(None, "b", standing=True, blocked=True)
        ('approved', 'draft')
    """
    if approval is not None and approval["version"] == made_from and approval["verdict"] == "rejected":
        return "rejected"
    if blocked:
        return "draft"
    if standing or (approval is not None and approval["version"] == made_from):
        return "approved"
    return "stale" if approval is not None and approval["verdict"] == "approved" else "draft"


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in text.splitlines())).strip() + "\n"


def _once(faults: Iterable[Fault]) -> list[Fault]:
    return list({(fault.what, re.sub(r" \(.*\)", "", fault.at)): fault for fault in faults}.values())
