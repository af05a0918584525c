"""Where everything is kept: the lake (tables), state (rows under transaction), the inbox, and files; the only floor that knows an engine."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kundig.store.engines.duckdb import native
    from kundig.store.lake import Lake
    from kundig.store.opening import open_lake

_HOMES = {"Lake": "kundig.store.lake", "open_lake": "kundig.store.opening", "native": "kundig.store.engines.duckdb"}
__all__ = ["Lake", "native", "open_lake"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'kundig.store' has no attribute '{name}'")
