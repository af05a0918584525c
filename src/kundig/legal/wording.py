"""The texts of what lawyers read, German and English, from `legal/texts/`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kundig.errors import ContractError

TEXTS = Path(__file__).resolve().parent / "texts"
LANGUAGES = ("de", "en")


def text(locale: str, key: str, **values: Any) -> str:
    """The text of a dotted key in a language, filled.

    Raises:
        ContractError: There is no such text.

    Examples:
        >>> text("de", "said.objected"), text("en", "said.objected")
        ('widersprochen', 'objected')
    """
    node: Any = _all(locale)
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            raise ContractError(f"there is no text '{key}'", at=f"legal/texts/{locale}.yaml", mend="add it in every language")
        node = node[part]
    return str(node).format(**values) if values else str(node)


def named(locale: str, *path: str) -> str:
    """The text of a name that data bring, by its group (or groups) and itself; the name itself where there is none."""
    *groups, key = path
    node: Any = _all(locale)
    for group in groups:
        node = node.get(group, {})
    return str(node.get(key, key))


@cache
def _all(locale: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    if locale not in LANGUAGES:
        raise ContractError(f"there are no texts in '{locale}'", at=str(TEXTS), mend=f"known: {', '.join(LANGUAGES)}")
    found: dict[str, Any] = YAML(typ="safe").load((TEXTS / f"{locale}.yaml").read_text(encoding="utf-8"))
    return found


__all__ = ["LANGUAGES", "named", "text"]
