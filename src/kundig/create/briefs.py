"""Orders: every message that the briefs ask for, per segment, channel, locale and variant, and what each is made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from kundig.config.create import BrandTokens, Brief, CopyFile, CreativeVariables, Form, TemplateFile, Voice, Words
from kundig.config.settings import Settings
from kundig.create.copy import form_of
from kundig.errors import Fault, TemplateError, nearest

GENERATOR = "template 1"
"""What made the creative, with its version: a new version makes what an older one made stale."""

TEMPLATE_OF = {"email": "email.mjml", "push": "push.liquid"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One message to be made."""

    creative: str
    segment: Mapping[str, str]
    channel: str
    locale: str
    variant: str
    form: Form
    link: str
    brief: Brief
    copy: CopyFile
    template: str
    text_template: str
    offer: Mapping[str, Any]

    @property
    def object_id(self) -> str:
        """What approvals name: the creative whatever it is made from.

        Its parts are the folder, segment, channel, locale and variant.
        """
        return "/".join((self.creative, self.segment["segment_id"], self.channel, self.locale, self.variant))

    @property
    def at(self) -> str:
        """Where a fault of it is to be mended."""
        return f"creatives/{self.creative} ({self.segment['segment_id']}, {self.channel}, {self.locale}, {self.variant})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """All files that creatives are made from."""

    matrix: tuple[Mapping[str, str], ...]
    briefs: Mapping[str, Brief]
    copies: Mapping[str, CopyFile]
    email_templates: Mapping[str, TemplateFile]
    liquid_templates: Mapping[str, TemplateFile]
    voice: Voice
    tokens: BrandTokens
    variables: CreativeVariables
    words: Words
    settings: Settings
    offers: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprints:
    """Hashes of what a creative is made from; `made_from` is the hash of all of it."""

    matrix_hash: str
    template_hash: str
    voice_hash: str
    made_from: str


def orders(inputs: Inputs) -> list[Order]:
    """Every message the briefs ask for.

    Raises:
        TemplateError: A template, a copy file or a segment is missing; all of them at once.
    """
    by_id = {row["segment_id"]: row for row in inputs.matrix}
    found: list[Order] = []
    faults: list[Fault] = []
    for name, brief in inputs.briefs.items():
        place = f"creatives/{name}/brief.yaml"
        faults += [Fault(what=f"unknown segment '{s}'", at=place, mend=nearest(s, by_id)) for s in brief.segments if s not in by_id]
        rows = [by_id[s] for s in brief.segments if s in by_id] if brief.segments else list(inputs.matrix)
        for channel in brief.channels:
            template = _template(inputs, name, channel)
            if template is None:
                file = TEMPLATE_OF[channel]
                faults.append(Fault(what=f"the template {file} is missing", at=place, mend=f"add creatives/{name}/{file}, or take '{channel}' out of channels"))
                continue
            for locale in brief.locales or inputs.settings.workspace.locales:
                copy = inputs.copies.get(f"{name}/copy.{locale}")
                if copy is None:
                    faults.append(Fault(what=f"there is no copy in '{locale}'", at=place, mend=f"add creatives/{name}/copy.{locale}.yaml, or set locales"))
                    continue
                for variant in brief.variants:
                    found += [_order(inputs, name, brief, row, channel, locale, variant, copy, template) for row in rows]
    if faults:
        raise TemplateError(faults=list(dict.fromkeys(faults)))
    return found


def _order(
    inputs: Inputs, name: str, brief: Brief, row: Mapping[str, str], channel: str, locale: str, variant: str, copy: CopyFile, template: str
) -> Order:
    website = inputs.settings.brand.website.rstrip("/")
    link = brief.app_route if channel == "push" else (brief.link if brief.link.startswith("https://") else website + brief.link)
    own_text = inputs.liquid_templates.get(f"{name}/email.txt")
    return Order(
        creative=name, segment=row, channel=channel, locale=locale, variant=variant, form=form_of(locale, brief.address or inputs.settings.brand.address),
        link=link, brief=brief, copy=copy, template=template, text_template=own_text.text if own_text and channel == "email" else "",
        offer=inputs.offers.get(row.get("offer_code", ""), {}),
    )  # fmt: skip


def _template(inputs: Inputs, name: str, channel: str) -> str | None:
    files = inputs.email_templates if channel == "email" else inputs.liquid_templates
    found = files.get(f"{name}/{TEMPLATE_OF[channel].split('.')[0]}")
    return found.text if found else None


def fingerprints(order: Order, inputs: Inputs) -> Fingerprints:
    """What the order is made from, as hashes: any change of an input changes `made_from`."""
    words = inputs.words.of(order.locale, order.form)
    matrix = digest(dict(order.segment), {value: words[value] for value in order.segment.values() if value in words})
    template = digest(order.brief, order.copy, order.template, order.text_template, order.channel, order.locale, order.variant)
    voice = digest(inputs.voice, inputs.tokens, inputs.settings.brand, inputs.settings.workspace.name, order.form)
    offer = {key: str(value) for key, value in order.offer.items() if key != "active"}
    made_from = digest(order.object_id, matrix, template, voice, offer, inputs.settings.workspace.currency, inputs.settings.workspace.zone, GENERATOR)
    return Fingerprints(matrix_hash=matrix, template_hash=template, voice_hash=voice, made_from=made_from)


def digest(*parts: object) -> str:
    """Sixteen hex digits over the parts' content, the same on every machine.

    Examples:
        >>> digest({"a": 1}, "x") == digest({"a": 1}, "x"), digest("ab", "c") == digest("a", "bc")
        (True, False)
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=_plain).encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def matrix_prints(config: Any, matrix: Any) -> dict[str, str]:
    """The hash of the matrix row that each creative would be made from, by what approvals name (`Order.object_id`), were `matrix` the workspace's.

    A brief that names a segment the matrix lacks asks for nothing there: its creatives have no hash.
    """
    known = {row["segment_id"] for row in matrix.rows}
    briefs = {
        name: brief.model_copy(update={"segments": tuple(one for one in brief.segments if one in known)})
        for name, brief in config.briefs.items() if not brief.segments or set(brief.segments) & known
    }  # fmt: skip
    inputs = Inputs(
        matrix=tuple(dict(row) for row in matrix.rows), briefs=briefs, copies=config.copies, email_templates=config.email_templates, liquid_templates=config.liquid_templates,
        voice=config.brand_voice, tokens=config.brand_tokens, variables=config.brand_variables, words=config.brand_words, settings=config.settings, offers={},
    )  # fmt: skip
    return {order.object_id: fingerprints(order, inputs).matrix_hash for order in orders(inputs)}
