"""The public name of a person: `p` and 15 hex digits of its key."""

from __future__ import annotations

import re

import ibis
import ibis.expr.types as ir

from kundig.errors import IdentityError

_DIGITS = "0123456789abcdef"


def person_id(person_key: int) -> str:
    """The public id of a person.

    Examples:
        >>> person_id(255)
        'p0000000000000ff'
    """
    return f"p{person_key:015x}"


def person_key(person_id: str) -> int:
    """The key behind a public id.

    Raises:
        IdentityError: The text is no person id.

    Examples:
        >>> person_key("p0000000000000ff")
        255
    """
    if re.fullmatch(r"p[0-9a-f]{15}", person_id) is None:
        raise IdentityError(f"'{person_id[:40]}' is no person id", mend="a person id is p and 15 hex digits, as `profiles` shows them")
    return int(person_id[1:], 16)


def person_id_column(key: ir.IntegerColumn) -> ir.StringColumn:
    """The public id as an expression: digits by shifting bits, since `//` goes through floats and loses the last ones."""
    digits = ibis.literal(_DIGITS)
    text = ibis.literal("p")
    for place in range(14, -1, -1):
        text = text + digits.substr((key >> 4 * place) & 15, 1)
    return text
