"""Texts in German and English from a folder with one file a language; those that answer people and lawyers stand outside the pages' locales."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kundig.errors import ContractError

LANGUAGES = ("de", "en")


class Texts:
    """The texts of one folder.

    Args:
        folder: Holds `de.yaml` and `en.yaml`.
        shown: What errors call the folder.
    """

    def __init__(self, folder: Path, *, shown: str) -> None:
        self._folder, self._shown = folder, shown

    def text(self, locale: str, key: str, **values: Any) -> str:
        """The text of a dotted key in a language, filled.

        Raises:
            ContractError: There is no such text.
        """
        node: Any = _all(self._folder, locale)
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                raise ContractError(f"there is no text '{key}'", at=f"{self._shown}/{locale}.yaml", mend="add it in every language")
            node = node[part]
        return str(node).format(**values) if values else str(node)

    def named(self, locale: str, *path: str) -> str:
        """The text of a name that data bring, by its group (or groups) and itself; the name itself where there is none."""
        *groups, key = path
        node: Any = _all(self._folder, locale)
        for group in groups:
            node = node.get(group, {})
        return str(node.get(key, key))


@cache
def _all(folder: Path, locale: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    if locale not in LANGUAGES:
        raise ContractError(f"there are no texts in '{locale}'", at=str(folder), mend=f"known: {', '.join(LANGUAGES)}")
    found: dict[str, Any] = YAML(typ="safe").load((folder / f"{locale}.yaml").read_text(encoding="utf-8"))
    return found
