"""Nothing in the house reads the made-up shop or its truth; only the command line makes it."""

from __future__ import annotations

import ast
from pathlib import Path

import kundig

SOURCE = Path(kundig.__file__).parent
MAY = ("cli", "simulate")
TRUTH = ("people.parquet", "identifiers.parquet", "channels.parquet", "variants.parquet", "effects.parquet", "counts.parquet", "world.json")


def test_no_module_imports_the_simulator() -> None:
    found = []
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] in MAY:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [f"{path}: {name}" for name in names if name.startswith("kundig.simulate")]
    assert found == []


def test_no_module_names_a_file_of_the_truth() -> None:
    found = [f"{path}: {name}" for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] != "simulate" for name in TRUTH if name in path.read_text("utf-8")]
    assert found == []
