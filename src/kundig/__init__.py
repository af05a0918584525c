"""kundig: a self-hosted customer data platform. `kundig.open("shop/")` opens a workspace; the estimators also serve without one.

Importing the package defines names and nothing else; each name brings its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from kundig.workspace import Workspace

__version__ = "0.1.0"

_FACES = {
    "lifetime_value": "kundig.understand.lifetime_value",
    "propensity": "kundig.understand.propensity",
    "personas": "kundig.understand.personas",
    "identity": "kundig.unify.identity",
    "rules": "kundig.rules",
    "errors": "kundig.errors",
    "simulate": "kundig.simulate",
}
__all__ = ["__version__", "open", *sorted(_FACES)]


def open(path: str | Path) -> Workspace:
    """The workspace in that folder, its files read and validated as a whole.

    Raises:
        ConfigError: There is no workspace, or its files have faults; carries all of them.
    """
    workspace: Workspace = importlib.import_module("kundig.workspace").Workspace(path)
    return workspace


def __getattr__(name: str) -> Any:
    if name in _FACES:
        return importlib.import_module(_FACES[name])
    raise AttributeError(f"module 'kundig' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
