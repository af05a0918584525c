"""The records in a webhook's body: cut out, named by kind and message, lists apart, amounts in whole units; and what they say of consent."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from kundig.collect.cdc.lines import readable
from kundig.collect.hearing import GRANTS, Heard, Identified, Row
from kundig.collect.identifiers import Rules, identifier_key, normalise
from kundig.config.webhooks import ConsentSaid, Webhook

WITHOUT_CENTS = frozenset({"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"})
"""Currencies whose smallest unit is the whole one, as Stripe counts."""
IN_THOUSANDS = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})

Told = dict[str, Any]
"""A record: what was sent, and `_kind`, `_message`, `_at` (when it came)."""


class Unreadable(Exception):
    """The body holds no records."""


def records(webhook: Webhook, body: bytes, headers: Mapping[str, str], at: dt.datetime) -> list[Told]:
    """The records of a body.

    Args:
        webhook: How they are written.
        body: The body.
        headers: Headers that the mapping names, by their names in small letters.
        at: When it came.

    Raises:
        Unreadable: It is not written so.
    """
    told = _form(body) if webhook.body == "form" else _json(body)
    found = pick(told, webhook.records) if webhook.records else told
    if found is None:
        return []
    sent = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) for one in sent):
        raise Unreadable("its records are no objects")
    made: list[Told] = []
    for one in sent:
        kind, message = _named(webhook.kind, one, headers), _named(webhook.message, one, headers)
        message = message or hashlib.sha256(json.dumps(one, sort_keys=True, default=str).encode()).hexdigest()[:32]
        if len(sent) > 1 and webhook.message.startswith("header:"):
            message = f"{message}:{len(made)}"
        base: Told = {**one, "_kind": kind or "record", "_message": message, "_at": at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")}
        made.append(base)
        for path in webhook.lists:
            elements = pick(one, path)
            for number, element in enumerate(elements if isinstance(elements, list) else ()):
                made.append(_with(base, path, element) | {"_kind": f"{base['_kind']}#{path}", "_message": f"{message}#{path}{number}"})
    for record in made:
        _whole_units(webhook, record)
    return made


def pick(value: Any, path: str) -> Any:
    """What a path with dots leads to; None where it leads nowhere.

    Examples:
        >>> pick({"data": {"object": {"id": 7}}}, "data.object.id"), pick({"data": None}, "data.id")
        (7, None)
    """
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def heard(webhook: Webhook, source: str, told: list[Told], *, rules: Rules, country: str, jurisdictions: Mapping[str, str | None], at: dt.datetime) -> Heard:
    """What these records say of consent, and of whom; those that name nobody say nothing.

    Args:
        webhook: What counts as a word on consent.
        source: Source that they belong to.
        told: The records.
        rules: Values that name nobody.
        country: Country of phone numbers without one.
        jurisdictions: Purpose to the country whose law holds.
        at: When they came.
    """
    rows: list[Row] = []
    named_in: list[Identified] = []
    for record in told:
        for word in webhook.consents:
            if not all(_passes(record, test.column, test.matches) for test in word.when):
                continue
            named = _named_by(word, record, rules, country)
            keys = [key for key, _, _ in named]
            named_in += named
            if keys:
                rows.append(
                    {
                        "record_id": f"{source}:{record['_message']}:{word.purpose}:{word.channel}", "source": source, "occurred_at": min(_moment(pick(record, word.occurred_at)) or at, at) if word.occurred_at else at,
                        "received_at": at, "identifier_key": keys[0], "other_keys": sorted(set(keys[1:]) - {keys[0]}), "purpose": word.purpose, "channel": word.channel, "status": word.status,
                        "basis": "consent" if word.status in GRANTS else None, "until": None, "wording": None, "wording_hash": None,
                        "evidence": f"{source}: {record['_kind']} {record['_message']}"[:200], "jurisdiction": jurisdictions.get(word.purpose),
                    }
                )  # fmt: skip
    return Heard(said=tuple(rows), named=tuple(named_in))


def _named_by(word: ConsentSaid, record: Told, rules: Rules, country: str) -> list[Identified]:
    """All that names the person, the strongest first."""
    found: list[tuple[tuple[int, int, str], Identified]] = []
    for one in word.identifiers:
        value = pick(record, one.column)
        text = "" if value is None or isinstance(value, dict | list) else str(value)
        if one.extract and (match := re.search(one.extract, text)):
            text = match[1] if match.re.groups else match[0]
        elif one.extract:
            text = ""
        normal = normalise(one.namespace, text, country=country, rules=rules) if text else None
        if normal is not None:
            found.append((rules.rank(one.namespace), (identifier_key(one.namespace, normal), one.namespace, normal)))
    return [one for _, one in sorted(found)]


def _passes(record: Told, column: str, pattern: str) -> bool:
    value = pick(record, column)
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return re.fullmatch(pattern, text.strip()) is not None


def _moment(value: Any) -> dt.datetime | None:
    """A moment as vendors write it: ISO, or seconds or milliseconds since 1970."""
    try:
        if isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()):
            number = float(value)
            return dt.datetime.fromtimestamp(number / 1_000 if number > 1e11 else number, dt.UTC)
        found = dt.datetime.fromisoformat(re.sub(r" ([+-]\d\d:?\d\d)$", r"\1", value)) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
    return None if found is None else found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


def _named(place: str, record: Told, headers: Mapping[str, str]) -> str:
    value = headers.get(place[7:].lower()) if place.startswith("header:") else pick(record, place) if place else None
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _with(record: Told, path: str, element: Any) -> Told:
    """The record with one element where the list was."""
    first, _, rest = path.partition(".")
    return {**record, first: _with(record.get(first) or {}, rest, element) if rest else element}


def _whole_units(webhook: Webhook, record: Told) -> None:
    currency = str(pick(record, webhook.currency_column) or webhook.currency).upper() if webhook.minor_units else ""
    digits = 0 if currency in WITHOUT_CENTS else 3 if currency in IN_THOUSANDS else 2
    for path in webhook.minor_units:
        *before, last = path.split(".")
        parent = pick(record, ".".join(before)) if before else record
        if isinstance(parent, dict) and parent.get(last) is not None:
            try:
                whole = str(Decimal(str(parent[last])).scaleb(-digits))
            except ArithmeticError:
                continue
            record.update(_replaced(record, path.split("."), whole))


def _replaced(value: Told, parts: list[str], new: str) -> Told:
    return {**value, parts[0]: new if len(parts) == 1 else _replaced(value[parts[0]], parts[1:], new)}


def _json(body: bytes) -> Any:
    try:
        return readable(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable("the body is no JSON") from error


def _form(body: bytes) -> Told:
    """A form's fields, `data[merges][FNAME]` as names within names."""
    try:
        pairs = parse_qsl(body.decode("utf-8").replace("\x00", ""), keep_blank_values=True, strict_parsing=bool(body.strip()), max_num_fields=1_000)
    except ValueError as error:
        raise Unreadable("the body is no form") from error
    found: Told = {}
    for name, value in pairs:
        parts = [part for part in re.split(r"[\[\]]+", name) if part][:8]
        place = found
        for part in parts[:-1]:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                inner = place[part] = {}
            place = inner
        if parts:
            place[parts[-1]] = value
    return found


def headers_of(webhook: Webhook, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that the mapping names, which are kept with the body."""
    return {name: headers[name][:200] for name in _wanted(webhook) if name in headers}


def _wanted(webhook: Webhook) -> Iterator[str]:
    yield from (place[7:].lower() for place in (webhook.kind, webhook.message) if place.startswith("header:"))
