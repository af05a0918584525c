"""The declared state tables, for those who open the state without naming them.

The store stands below `tables/`; the declarations are handed up through this one registry.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from kundig.schema import Table


def state_tables() -> Mapping[str, Table]:
    """The tables with `home="state"`."""
    found: Mapping[str, Table] = importlib.import_module("kundig.tables").STATE
    return found
