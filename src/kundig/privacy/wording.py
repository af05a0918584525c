"""The texts that people get about their data, German and English, from `locales/privacy/`; tables and columns are named for readers."""

from __future__ import annotations

from pathlib import Path

from kundig.answers.texts import LANGUAGES, Texts
from kundig.schema import Table

_TEXTS = Texts(Path(__file__).resolve().parents[1] / "locales" / "privacy", shown="locales/privacy")
text, named = _TEXTS.text, _TEXTS.named


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


__all__ = ["LANGUAGES", "column_name", "meaning", "named", "table_name", "text"]
