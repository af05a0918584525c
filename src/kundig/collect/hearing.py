"""What a body says of consent, and what of it may be kept: nothing of who was erased, and no consent of who is suppressed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig import consent
from kundig.consent import suppression

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.store.state import State

Row = dict[str, Any]
"""A record of the consent log."""

Identified = tuple[int, str, str]
"""Key, kind and value of an identifier."""

GRANTS = ("given", "confirmed", "requested")
"""Words on consent that allow something, or ask to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What one body says of consent: records of calls that say so outright, and preferences that calls merely carry along."""

    said: tuple[Row, ...] = ()
    carried: tuple[Row, ...] = ()
    named: tuple[Identified, ...] = ()
    """Key, kind and value of all that names somebody in them."""


def may_be_kept(row: Row, refused: Mapping[int, str]) -> bool:
    """Nothing is kept of who was erased, and no consent of who is suppressed; what they withdraw or object to is, since consent only narrows.

    Args:
        row: A record of the consent log.
        refused: Keys of identifiers under which nothing is taken in any more, and why (`suppression.refused`).
    """
    why = {refused[key] for key in (row["identifier_key"], *row["other_keys"]) if key in refused}
    return not why or ("erased" not in why and row["status"] not in GRANTS)


def keep(config: Config, state: State, bodies: Iterable[Heard]) -> int:
    """Write what bodies say outright into the consent log, as far as it may be kept, in one transaction; gives how many records were new.

    Raises:
        ConfigError: The suppression list is not empty, and its secret key is not set.
    """
    heard = [body for body in bodies if body.said]
    if not heard:
        return 0
    with state.transaction() as connection:
        refused = suppression.refused(config, state, {one for body in heard for one in body.named}, connection=connection)
        return consent.append(state, [row for body in heard for row in body.said if may_be_kept(row, refused)], connection=connection)
