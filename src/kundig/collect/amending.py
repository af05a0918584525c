"""Amendments of held records: `field=value`, put into the record's JSON at the place the field names."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kundig.collect.plain_json import decoded
from kundig.errors import SourceError, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class Amendment:
    """One field and its new value; `field` is a column, or a path with dots into JSON."""

    field: str
    value: Any


def amendment(text: str) -> Amendment:
    """The amendment that `field=value` (a text) or `field:=value` (JSON: a number, true, null, a list) says.

    Raises:
        SourceError: It is neither.

    Examples:
        >>> amendment("total=12,50"), amendment("properties.price:=12.5")
        (Amendment(field='total', value='12,50'), Amendment(field='properties.price', value=12.5))
    """
    field, sign, value = text.partition("=")
    typed = field.endswith(":")
    field = field[:-1] if typed else field
    if not sign or not field:
        raise SourceError(f"'{text}' changes no field", mend="write field=value for a text, field:=value for a number, true, false, null or a list")
    if not typed:
        return Amendment(field=field, value=value)
    try:
        return Amendment(field=field, value=json.loads(value))
    except ValueError as error:
        raise SourceError(f"'{value}' is no JSON: {error}", at=field, mend=f"write {field}={value} for the text") from error


def amended(body: str, amendments: Sequence[Amendment]) -> str:
    """The record with its fields changed, as JSON; fields that it lacks are added.

    Raises:
        SourceError: The record has no fields, a path leads through a value, or a field is spelt nearly like one that is there.

    Examples:
        >>> amended('{"event": "A", "properties": {"price": "x"}}', [amendment("properties.price=3"), amendment("userId=7")])
        '{"event": "A", "properties": {"price": "3"}, "userId": "7"}'
    """
    record = decoded(body)
    if not isinstance(record, dict):
        raise SourceError("the record has no fields", mend="give the whole record as JSON: kundig quarantine fix ID '{…}'")
    for one in amendments:
        _put(record, one)
    return json.dumps(record, ensure_ascii=False)


def _put(record: dict[str, Any], one: Amendment) -> None:
    place: Any = record
    parts = [one.field] if one.field in record else one.field.split(".")
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
            if last:
                place[int(part)] = one.value
            else:
                place = place[int(part)]
            continue
        if not isinstance(place, dict):
            raise SourceError(f"'{'.'.join(parts[:number])}' holds no fields", at=one.field, mend=f"name a field that is there: {nearest(parts[0], record)}")
        if part not in place and (near := difflib.get_close_matches(part, place, n=1, cutoff=0.8)):
            raise SourceError(f"the record has no field '{part}'", at=one.field, mend=f"did you mean '{near[0]}'? to add a field of so near a name give the whole record as JSON")
        if last:
            place[part] = one.value
        else:
            place = place.setdefault(part, {})
