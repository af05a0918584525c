"""Identifiers: how a value is spelt alike wherever it comes from, its key, and the public name of a person."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

import ibis
import ibis.expr.types as ir

from kundig.errors import IdentityError

_DIGITS = "0123456789abcdef"
_LONGEST = 512
_MAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_ONE_BOX = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}


def normalised(namespace: str, value: str | None, *, country: str = "DE") -> str | None:
    """A value as it is compared: None where it cannot be a value of that namespace.

    E-mail addresses lose case, blanks, `mailto:`, what follows a `+`, and the dots of providers that ignore them; phones become E.164,
    with the workspace's country where they name none; other values lose surrounding blanks and invisible signs, and keep their case.

    Examples:
        >>> normalised("email", " Anna.B+shop@GoogleMail.com "), normalised("phone", "030 / 901820")
        ('annab@gmail.com', '+4930901820')
        >>> normalised("email", "anna@"), normalised("customer_id", "  0042 ")
        (None, '0042')
    """
    text = "".join(c for c in unicodedata.normalize("NFC", value or "") if unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cn")).strip()
    if not text or len(text) > _LONGEST:
        return None
    if namespace == "email":
        return _mail(text)
    if namespace == "phone":
        return _phone(text, country)
    return text.lower() if namespace == "email_hash" else text


def identifier_key(namespace: str, value: str) -> int:
    """The int64 key of a normalised value: the first 15 hex digits of md5 over 'namespace:value'.

    Examples:
        >>> identifier_key("email", "anna@example.org")
        545648149811739005
    """
    return int(hashlib.md5(f"{namespace}:{value}".encode(), usedforsecurity=False).hexdigest()[:15], 16)


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


def _mail(text: str) -> str | None:
    address = text.lower().removeprefix("mailto:").strip("<> ").replace(" ", "")
    if _MAIL.fullmatch(address) is None:
        return None
    box, _, domain = address.rpartition("@")
    try:
        domain = domain.encode("idna").decode() if not domain.isascii() else domain
    except UnicodeError:
        return None
    box = box.split("+", 1)[0] or box
    if domain in _ONE_BOX:
        box, domain = box.replace(".", ""), _ONE_BOX[domain]
    return f"{box}@{domain}" if box else None


@lru_cache(maxsize=65_536)
def _phone(text: str, country: str) -> str | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if phonenumbers.is_possible_number(number) else None
