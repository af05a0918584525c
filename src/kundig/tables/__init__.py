"""All tables of the house, declared once: catalogue, data map, erasure, masking, retention and docs are derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kundig.errors import ContractError, nearest
from kundig.schema import Table
from kundig.tables.collect import COLLECT
from kundig.tables.create import CREATE
from kundig.tables.decide import DECIDE
from kundig.tables.deliver import DELIVER
from kundig.tables.govern import GOVERN
from kundig.tables.measure import MEASURE
from kundig.tables.understand import UNDERSTAND
from kundig.tables.unify import UNIFY

ALL: Mapping[str, Table] = MappingProxyType(
    {table.name: table for room in (COLLECT, UNIFY, UNDERSTAND, DECIDE, CREATE, DELIVER, MEASURE, GOVERN) for table in room}
)
LAKE: Mapping[str, Table] = MappingProxyType({name: table for name, table in ALL.items() if table.home == "lake"})
STATE: Mapping[str, Table] = MappingProxyType({name: table for name, table in ALL.items() if table.home == "state"})


def named(name: str) -> Table:
    """The declared table of that name.

    Raises:
        ContractError: There is none; the mend names the nearest.

    Examples:
        >>> named("orders").subject
        'identifier_key'
    """
    if name not in ALL:
        raise ContractError(f"there is no table '{name}'", mend=nearest(name, ALL, most=90))
    return ALL[name]
