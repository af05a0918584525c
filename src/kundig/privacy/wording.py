"""The texts that people get about their data, German and English, from `locales/privacy/`; tables and columns are named for readers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kundig.errors import ContractError
from kundig.schema import Table

TEXTS = Path(__file__).resolve().parents[1] / "locales" / "privacy"
LANGUAGES = ("de", "en")


def text(locale: str, key: str, **values: Any) -> str:
    """The text of a dotted key in a language, filled.

    Raises:
        ContractError: There is no such text.

    Examples:
        >>> text("de", "certificate.title"), text("en", "certificate.title")
        ('Bescheinigung der Löschung', 'Certificate of erasure')
    """
    node: Any = _all(locale)
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            raise ContractError(f"there is no text '{key}'", at=f"locales/privacy/{locale}.yaml", mend="add it in every language")
        node = node[part]
    return str(node).format(**values) if values else str(node)


def named(locale: str, group: str, name: str) -> str:
    """The text of a name that data bring; the name itself where there is none."""
    return str(_all(locale).get(group, {}).get(name, name))


def table_name(locale: str, name: str) -> str:
    """What readers call a table.

    Examples:
        >>> table_name("de", "order_lines"), table_name("en", "order_lines")
        ('Bestellte Artikel', 'Order lines')
    """
    found = named(locale, "tables", name)
    return name.replace("_", " ").capitalize() if found == name else found


def column_name(locale: str, name: str) -> str:
    """What readers call a column.

    Examples:
        >>> column_name("de", "birth_date"), column_name("en", "birth_date")
        ('Geburtsdatum', 'birth date')
    """
    found = named(locale, "columns", name)
    return name.replace("_", " ") if found == name else found


def meaning(locale: str, table: Table | None, name: str) -> str:
    """What a column means, where the declaration says it in the reader's language; '' elsewhere."""
    return table.column(name).meaning if locale == "en" and table is not None and name in table.names else ""


@cache
def _all(locale: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    if locale not in LANGUAGES:
        raise ContractError(f"there are no texts in '{locale}'", at=str(TEXTS), mend=f"known: {', '.join(LANGUAGES)}")
    found: dict[str, Any] = YAML(typ="safe").load((TEXTS / f"{locale}.yaml").read_text(encoding="utf-8"))
    return found
