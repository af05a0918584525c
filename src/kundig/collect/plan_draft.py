"""A tracking plan drafted from what was seen: events that no plan names yet, with types, what is always there, and values where they are few.

A draft is a proposal: it says what was sent, not what was meant. Meanings and owners are left for people to fill in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kundig.collect.plan_seen import SeenEvent, SeenProperty
from kundig.collect.tracking_plan import CALLS, Plan, spellings
from kundig.config.collect import Property, TrackingPlan
from kundig.schema import snake
from kundig.tables.collect import EVENTS

SURE = 50
"""Events from which on it is said what always comes."""

PER_VALUE = 10
"""How often each of few values must have come, on average, to be proposed as the only ones."""

_MONEY = re.compile(r"(^|_)(price|total|revenue|value|amount|tax|shipping|discount|net|gross|cost|margin)($|_)")
_NAME = re.compile(r"(^|_)(id|sku|code|number|no|zip|postcode|plz|phone|ean|isbn|token|key)$")
_PERSONAL = re.compile(r"(^|_)(e?mail|phone|mobile|first_?name|last_?name|full_?name|street|address|birth\w*|iban|ip)($|_)")
_PSEUDONYM = re.compile(r"(^|_)(user|customer|account|session|order|device|anonymous|visitor)_?(id|number|no)$")
_AMOUNTS = ("revenue", "total", "value", "price")


@dataclass(frozen=True, kw_only=True, slots=True)
class Drafted:
    """One property as drafted: the name it gets, the key it came under, and what is said of it; `why` where it is left out."""

    name: str
    key: str
    property: Property
    why: str = ""


def draft(found: Mapping[str, SeenEvent], plan: Plan, *, owners: Mapping[str, str] | None = None) -> str:
    """The text of a file for `tracking_plan/`: every event seen that the plan does not name; empty where there is none.

    Args:
        found: What was seen.
        plan: The plan as it is; its types hold for properties of the same name.
        owners: Source → who answers for it: proposed as the owner of what that source alone sends.
    """
    unplanned = [event for name, event in sorted(found.items()) if name not in plan.events]
    if not unplanned:
        return ""
    new = [event for event in unplanned if re.fullmatch(r"[a-z][a-z0-9_]*", event.name)]
    types = _types(new, plan)
    lines = ["# Drafted from what was seen: fill in meanings and owners, strike what is not meant.", "on_violation: mark", "unplanned: keep", "events:" if new else "events: {}"]
    for event in new:
        lines += _event(event, types, plan, owners or {})
    lines += [f"# {_said(event.name)}: left out, its name is not in snake case; rename it in its source" for event in unplanned if event not in new]
    text = "\n".join(lines) + "\n"
    _demand_valid(text)
    return text


def unnamed(found: Mapping[str, SeenEvent], plan: Plan) -> list[str]:
    """Events seen that the plan does not name, the page views and logins of every tracker left out."""
    return sorted(name for name in found if name not in plan.events and name not in CALLS)


def _types(events: list[SeenEvent], plan: Plan) -> dict[str, str]:
    """One type per name over all events: the plan's, else what fits all values."""
    kinds: dict[str, dict[str, int]] = {}
    for event in events:
        for key, one in event.properties.items():
            whole = kinds.setdefault(_column(event.name, key), {})
            for kind, count in one.kinds.items():
                whole[kind] = whole.get(kind, 0) + count
    return {name: plan.properties[name].type if name in plan.properties else type_of(name, some) for name, some in kinds.items()}


def type_of(name: str, kinds: Mapping[str, int]) -> str:
    """The type that fits a property's values.

    Examples:
        >>> type_of("price", {"whole": 3}), type_of("quantity", {"whole": 3}), type_of("sku", {"whole": 3}), type_of("ratio", {"whole": 1, "number": 2})
        ('decimal(18,4)', 'int64', 'string', 'float64')
        >>> type_of("size", {"whole": 9, "text": 1}), type_of("at", {"day": 1, "moment": 2})
        ('string', 'timestamp')
    """
    have = {kind for kind, count in kinds.items() if count}
    if have <= {"whole", "number"} and have and not _NAME.search(name):
        return "decimal(18,4)" if _MONEY.search(name) else "int64" if have == {"whole"} else "float64"
    if have <= {"day", "moment"} and have:
        return "date" if have == {"day"} else "timestamp"
    return {"bool": "bool", "list": "list<string>"}.get(next(iter(have)) if len(have) == 1 else "", "string")


def _column(event: str, key: str) -> str:
    name = snake(key) or key
    return f"{event}_{name}" if name in EVENTS.names else name


def _event(event: SeenEvent, types: Mapping[str, str], plan: Plan, owners: Mapping[str, str]) -> list[str]:
    owner = owners.get(event.sources[0], "") if len(event.sources) == 1 else ""
    lines = [f"  {event.name}:  # {event.count:,} times", "    meaning: ''", f"    owner: {_said(owner)}", f"    sources: [{', '.join(map(_said, event.sources))}]"]
    rows: list[str] = []
    amounts: list[str] = []
    for key, one in event.properties.items():
        if one.columned:
            rows.append(f"      {key}: {{type: {_said(plan.properties[key].type)}}}")
            continue
        name = _column(event.name, key)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            rows.append(f"      # {_said(key)}: left out, its name is not in snake case; give it one, with spelled: [{_said(key)}]")
        elif one.kinds.get("object"):
            rows.append(f"      # {name}: left out, it holds fields of its own")
        else:
            rows.append(f"      {name}: {{{_property(event, name, key, one, types[name])}}}")
            if key in _AMOUNTS and types[name].startswith("decimal"):
                amounts.append(name)
    if amounts:
        lines.append(f"    value: {min(amounts, key=lambda name: next(n for n, amount in enumerate(_AMOUNTS) if name.endswith(amount)))}")
    return [*lines, "    properties:", *rows] if any(not row.lstrip().startswith("#") for row in rows) else [*lines, *rows]


def _property(event: SeenEvent, name: str, key: str, one: SeenProperty, type: str) -> str:
    parts = [f"type: {_said(type)}", "meaning: ''"]
    count = one.before + one.recent
    if key not in spellings(name, Property()):
        parts.append(f"spelled: [{_said(key)}]")
    if count >= event.looked >= SURE:
        parts.append("required: true")
    if _PERSONAL.search(name) or one.addresses * 2 > count:
        parts.append("personal: contact, drop: true")
    elif _PSEUDONYM.search(name):
        parts.append("personal: pseudonym")
    elif type == "string" and one.values and set(one.kinds) == {"text"} and not _NAME.search(name) and count >= PER_VALUE * len(one.values):
        parts.append(f"allowed: [{', '.join(_said(value) for value in one.values)}]")
    return ", ".join(parts)


def _said(text: str) -> str:
    """A text as YAML writes it: plain words as they are, others in quotes, with what no line may hold as escapes."""
    if re.fullmatch(r"[a-z][a-z0-9_-]*", text) and text not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n"):
        return text
    return '"' + "".join(char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}" for char in text) + '"'


def _demand_valid(text: str) -> None:
    """A draft that is no valid file would be a fault of ours: it is seen here, not by the next command."""
    from ruamel.yaml import YAML

    TrackingPlan.model_validate(YAML(typ="safe").load(text))
