"""What is forwarded: one accepted event, as its source sent it, with the identifiers it carries; and the values a destination takes from it."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from kundig.clock import micros

_HOLE = re.compile(r"\{([a-z_][A-Za-z0-9_.]*)\}")
MISSING = object()
"""Stands for a value the event does not have: its key is left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event on its way out. `fault` says why it was not accepted, '' where it was; `identifiers` are (namespace, value, key), strongest first."""

    message_id: str
    source: str
    kind: str
    name: str
    occurred_at: dt.datetime
    received_at: dt.datetime
    user_id: str | None = None
    anonymous_id: str | None = None
    identifiers: tuple[tuple[str, str, int], ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    traits: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""

    @property
    def lane(self) -> int:
        """Who must stay in order: the strongest identifier's key; the message itself where it names nobody."""
        return self.identifiers[0][2] if self.identifiers else int(hashlib.md5(self.message_id.encode(), usedforsecurity=False).hexdigest()[:15], 16)

    def view(self) -> dict[str, Any]:
        """The event as mappings see it."""
        return {
            "message_id": self.message_id, "source": self.source, "type": self.kind, "event": self.name, "occurred_at": _iso(self.occurred_at), "received_at": _iso(self.received_at),
            "user_id": self.user_id, "anonymous_id": self.anonymous_id, "identifiers": {name: value for name, value, _ in reversed(self.identifiers)},
            "properties": dict(self.properties), "traits": dict(self.traits), "context": dict(self.context),
        }  # fmt: skip


def _iso(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def filled(tree: Any, view: Mapping[str, Any]) -> Any:
    """The tree with each origin replaced by its value; keys without a value are left out, and lists keep their other elements.

    Examples:
        >>> event = {"event": "order_completed", "properties": {"total": "12.50", "products": [{"sku": "A"}, {"sku": "B"}]}}
        >>> filled({"name": {"$from": "event", "map": {"order_completed": "purchase"}}, "value": {"$from": "properties.total", "as": "number"}, "tax": {"$from": "properties.tax"}}, event)
        {'name': 'purchase', 'value': 12.5}
        >>> filled([{"$each": "properties.products", "into": {"id": {"$from": "sku"}}}], event)
        [[{'id': 'A'}, {'id': 'B'}]]
    """
    made = _filled(tree, view)
    return None if made is MISSING else made


def _filled(tree: Any, view: Mapping[str, Any]) -> Any:
    if isinstance(tree, Mapping):
        if "$each" in tree:
            held = _at(view, tree["$each"])
            return [made for part in held if isinstance(part, Mapping) and (made := _filled(tree["into"], part)) is not MISSING] if isinstance(held, Sequence) and not isinstance(held, str) else MISSING
        if "$from" in tree or "$text" in tree or "$value" in tree:
            return _value(tree, view)
        return {name: made for name, part in tree.items() if (made := _filled(part, view)) is not MISSING}
    if isinstance(tree, list):
        return [made for part in tree if (made := _filled(part, view)) is not MISSING]
    return tree


def _value(spec: Mapping[str, Any], view: Mapping[str, Any]) -> Any:
    found = _origin(spec, view)
    if found in (None, ""):
        return spec.get("default", MISSING) if spec.get("default") is not None else MISSING
    if "map" in spec:
        found = spec["map"].get(str(found), spec.get("otherwise", found))
    if spec.get("hash"):
        found = hashlib.sha256(str(found).strip().lower().encode()).hexdigest()
    return _formed(found, spec["as"]) if "as" in spec else found


def _origin(spec: Mapping[str, Any], view: Mapping[str, Any]) -> Any:
    if "$value" in spec:
        return view if spec["$value"] is None else spec["$value"]
    if "$text" in spec:
        return _HOLE.sub(lambda hole: str(_at(view, hole[1]) if _at(view, hole[1]) is not None else ""), spec["$text"])
    others = spec.get("or", ())
    for path in (spec["$from"], *([others] if isinstance(others, str) else others)):
        if (found := _at(view, path)) not in (None, ""):
            return found
    return None


def _at(view: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(view, Mapping):
            return None
        view = view.get(name)
    return view


def _formed(value: Any, form: str) -> Any:
    if form == "text":
        return str(value)
    if form in ("number", "whole"):
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            return MISSING
        return MISSING if not number.is_finite() else int(number) if form == "whole" else float(number)
    try:
        moment = dt.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return MISSING
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return _iso(moment) if form == "iso" else micros(moment) // {"unix": 1_000_000, "unix_ms": 1_000, "unix_us": 1}[form]
