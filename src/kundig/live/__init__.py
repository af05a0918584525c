"""Live: what was heard of people since the newest release, known and decidable before the next run."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kundig.live.fold import Live
    from kundig.live.reading import LivePerson, Now

_HOMES = {"Live": "kundig.live.fold", "Now": "kundig.live.reading", "LivePerson": "kundig.live.reading"}
__all__ = ["Live", "LivePerson", "Now"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'kundig.live' has no attribute '{name}'")
