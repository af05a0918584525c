"""Answers about one person: who this is, what is known and where it comes from, what happened, what was allowed, and why they did (not) get something."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Allowed": "about", "Answer": "about", "Entry": "history", "Found": "searching", "Person": "about", "Spoken": "about", "Trait": "about", "Value": "origins", "allowed": "about", "find": "searching", "person": "about", "reasoned": "about", "resolve": "who",
    "matrix_apply": "matrix", "matrix_diff": "matrix", "matrix_suggest": "matrix", "timeline": "history", "values": "origins", "why": "about",
}  # fmt: skip
__all__ = ["Allowed", "Answer", "Entry", "Found", "Person", "Spoken", "Trait", "Value", "allowed", "find", "matrix_apply", "matrix_diff", "matrix_suggest", "person", "reasoned", "resolve", "timeline", "values", "why"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"kundig.answers.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'kundig.answers' has no attribute '{name}'")
