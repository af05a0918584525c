"""A rule's source as plain values: YAML and JSON are the same thing, and neither turns dates or numbers into something else."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal, InvalidOperation
from typing import Any

from kundig.errors import Fault, RuleError


def plain(source: Any) -> Any:
    """The mapping, list or scalar that a source says; texts are read as JSON or YAML, other values are taken as they are.

    Raises:
        RuleError: The text is neither; says the line.

    Examples:
        >>> plain("{event: order_completed, within: 30 days}") == plain('{"event": "order_completed", "within": "30 days"}')
        True
        >>> plain("country: [DE, NO]\\nsince: 2026-03-01")
        {'country': ['DE', 'NO'], 'since': '2026-03-01'}
    """
    if not isinstance(source, str):
        return source
    try:
        return _json(source) if source.lstrip()[:1] in ("{", "[") else _yaml(source)
    except RecursionError:
        raise RuleError("the rule is nested too deep to be read", at="$", mend="give inner parts a name of their own") from None


def _json(text: str) -> Any:
    """The value of a text that begins as JSON does; YAML in its own brackets is read as such."""
    try:
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError:
        return _yaml(text)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise RuleError(faults=[Fault(what=f"the key '{name}' stands twice in one mapping", at="$", mend="join both with `all`") for name in doubles])
    return dict(pairs)


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.error import YAMLError

    class Plain(SafeConstructor):
        """Dates stay text and numbers exact."""

    Plain.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)
    Plain.add_constructor("tag:yaml.org,2002:float", _exact)
    reader = YAML(typ="safe", pure=True)
    reader.allow_duplicate_keys = False
    reader.Constructor = Plain
    try:
        return reader.load(io.StringIO(text))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = str(getattr(error, "problem", None) or "it cannot be read").splitlines()[0]
        at = f"$, line {mark.line + 1}" if mark is not None else "$"
        raise RuleError(f"this is neither YAML nor JSON: {what}", at=at, mend="check indentation, colons and quotes on this line and the one before") from error


def _exact(constructor: Any, node: Any) -> Any:
    try:
        return Decimal(str(node.value).replace("_", ""))
    except InvalidOperation:
        return constructor.construct_yaml_float(node)


def text_of(value: Any) -> Any:
    """A date or moment that a reader of YAML made, as the text that was written; other values as they are."""
    return value.isoformat() if isinstance(value, dt.date) else value
