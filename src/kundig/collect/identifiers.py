"""Identifiers: one normalised value per kind, and one int64 key per kind and value, the same in SQL and in Python."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from kundig.config.unify import Identity

CALLING_CODES: Mapping[str, str] = {
    "AT": "43", "AU": "61", "BE": "32", "BG": "359", "BR": "55", "CA": "1", "CH": "41", "CN": "86", "CY": "357", "CZ": "420", "DE": "49", "DK": "45",
    "EE": "372", "ES": "34", "FI": "358", "FR": "33", "GB": "44", "GR": "30", "HR": "385", "HU": "36", "IE": "353", "IN": "91", "IS": "354", "IT": "39",
    "JP": "81", "LI": "423", "LT": "370", "LU": "352", "LV": "371", "MT": "356", "NL": "31", "NO": "47", "NZ": "64", "PL": "48", "PT": "351", "RO": "40",
    "SE": "46", "SI": "386", "SK": "421", "TR": "90", "UA": "380", "US": "1", "ZA": "27",
}  # fmt: skip
"""Country to its calling code; numbers of other countries need their + or 00."""

NO_TRUNK_ZERO = frozenset({"IT"})
"""Countries where the first 0 belongs to the number."""

ONE_BOX = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}
"""Providers that ignore dots before the @, and the name they are known by."""

PHONE_NAMESPACES = frozenset({"phone", "mobile"})

_HIDDEN = "\u00ad\u200b-\u200f\u2060\ufeff"
_BLANKS = " \t\r\n\u00a0"
_EMAIL = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"
_PLUS = r"^\+[1-9][0-9]{6,14}$"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What the identity configuration says of identifiers: strength of namespaces, and values that name nobody."""

    identity: Identity = field(default_factory=Identity)

    def rank(self, namespace: str) -> tuple[int, int, str]:
        """What to sort namespaces by: the strongest is the least."""
        return self.identity.strength(namespace)

    def blocked(self, namespace: str) -> str:
        """Regular expression of whole values that name nobody; '' where there are none."""
        found = self.identity.namespace(namespace)
        return found.blocked_pattern if found.blocked else ""


def identifier_key(namespace: str, value: str) -> int:
    """The int64 key of a normalised value: the first 15 hex digits of md5('namespace:value').

    Examples:
        >>> identifier_key("email", "anna@example.org")
        545648149811739005
    """
    return int(hashlib.md5(f"{namespace}:{value}".encode(), usedforsecurity=False).hexdigest()[:15], 16)


def normalise(namespace: str, value: str | None, *, country: str = "DE", rules: Rules | None = None) -> str | None:
    """The value as it is compared, or None where it names nobody.

    E-mail addresses lose case, blanks, `mailto:`, what follows a `+`, and the dots of providers that ignore them; phones become E.164
    by `country`; hashes lose case; every other kind is trimmed only.

    Examples:
        >>> normalise("email", " mailto:Anna.B+shop@GoogleMail.com "), normalise("email", "noreply@example.org", rules=Rules())
        ('annab@gmail.com', None)
        >>> normalise("phone", "0171 / 234 56 78"), normalise("phone", "0041 44 123 45 67"), normalise("phone", "12")
        ('+491712345678', '+41441234567', None)
        >>> normalise("shop_customer", " 0042 ")
        '0042'
    """
    if value is None:
        return None
    text = value.strip(_BLANKS)
    if namespace == "email":
        text = _email(text)
    elif namespace == "email_hash":
        text = text.replace("İ", "i").lower()
    elif namespace in PHONE_NAMESPACES:
        text = _phone(text, country)
    if not text or (rules is not None and (pattern := rules.blocked(namespace)) and re.fullmatch(pattern, text)):
        return None
    return text


def _email(text: str) -> str:
    plain = re.sub("[" + _HIDDEN + "]", "", unicodedata.normalize("NFC", text))
    address = re.sub("^mailto:", "", plain.replace("İ", "i").lower()).strip("<> ").replace(" ", "")
    if not re.match(_EMAIL, address):
        return ""
    box, _, domain = address.rpartition("@")
    box = re.sub(r"^([^+]+)\+.*$", r"\1", box)
    if domain in ONE_BOX:
        box, domain = box.replace(".", ""), ONE_BOX[domain]
    return f"{box}@{domain}" if box else ""


def _phone(text: str, country: str) -> str:
    digits = re.sub(r"[^0-9+]", "", re.sub(r"\(0\)", "", text))
    code = CALLING_CODES.get(country, "")
    if digits.startswith("00"):
        digits = "+" + digits[2:]
    elif code and digits.startswith("0") and country not in NO_TRUNK_ZERO:
        digits = f"+{code}{digits[1:]}"
    elif code and not digits.startswith("+"):
        digits = f"+{code}{digits}" if not digits.startswith(code) or len(digits) < 11 else f"+{digits}"
    return digits if re.match(_PLUS, digits) else ""


def literal(text: str) -> str:
    """A text as SQL spells it.

    Examples:
        >>> literal("d'or")
        "'d''or'"
    """
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A column's name as SQL spells it.

    Examples:
        >>> quoted('a "b"')
        '"a ""b\"""'
    """
    return '"' + name.replace('"', '""') + '"'


def trimmed_sql(expression: str) -> str:
    """The text without white space around it, NULL where nothing is left; texts between plain letters are passed through at once."""
    plain = f"{expression} >= '!' AND {expression} < '\x7f' AND right({expression}, 1) BETWEEN '!' AND '~'"
    return f"CASE WHEN {plain} THEN {expression} ELSE nullif(trim({expression}, {literal(_BLANKS)}), '') END"


def normalised_sql(namespace: str, expression: str, *, country: str = "DE", rules: Rules | None = None) -> str:
    """DuckDB's form of `normalise`: the expression's value as it is compared, or NULL."""
    text = trimmed_sql(expression)
    if namespace == "email":
        text = _email_sql(text)
    elif namespace == "email_hash":
        text = f"lower(replace({text}, 'İ', 'i'))"
    elif namespace in PHONE_NAMESPACES:
        text = _phone_sql(text, country)
    blocked = rules.identity.namespace(namespace).blocked if rules is not None else ()
    if not blocked:
        return f"nullif({text}, '')" if namespace in PHONE_NAMESPACES else text
    exact = [literal(value) for value in blocked if "*" not in value]
    tests = [f"{text} <> ''"] + ([f"{text} NOT IN ({', '.join(exact)})"] if exact else [])
    if len(exact) < len(blocked):
        wild = "|".join(".*".join(re.escape(part) for part in value.split("*")) for value in blocked if "*" in value)
        tests.append(f"NOT regexp_full_match({text}, {literal(wild)})")
    return f"CASE WHEN {' AND '.join(tests)} THEN {text} END"


def _email_sql(text: str) -> str:
    plain = f"lower(replace(regexp_replace(nfc_normalize({text}), {literal('[' + _HIDDEN + ']')}, '', 'g'), 'İ', 'i'))"
    address = f"replace(trim(regexp_replace({plain}, '^mailto:', ''), '<> '), ' ', '')"
    untagged = f"regexp_replace({address}, '^([^+@]+)\\+[^@]*@', '\\1@')"
    undotted = f"nullif(replace(split_part({untagged}, '@', 1), '.', ''), '')"
    known = {made: ", ".join(literal(given) for given, other in ONE_BOX.items() if other == made) for made in ONE_BOX.values()}
    cases = " ".join(f"WHEN split_part({untagged}, '@', 2) IN ({domains}) THEN {undotted} || {literal('@' + made)}" for made, domains in known.items())
    return f"CASE WHEN regexp_matches({address}, {literal(_EMAIL)}) THEN CASE {cases} ELSE {untagged} END END"


def _phone_sql(text: str, country: str) -> str:
    digits = f"regexp_replace(replace({text}, '(0)', ''), '[^0-9+]', '', 'g')"
    code = CALLING_CODES.get(country, "")
    cases = [f"WHEN starts_with({digits}, '00') THEN '+' || substr({digits}, 3)"]
    if code and country not in NO_TRUNK_ZERO:
        cases.append(f"WHEN starts_with({digits}, '0') THEN '+{code}' || substr({digits}, 2)")
    if code:
        national = f"CASE WHEN starts_with({digits}, '{code}') AND length({digits}) >= 11 THEN '+' || {digits} ELSE '+{code}' || {digits} END"
        cases.append(f"WHEN NOT starts_with({digits}, '+') THEN {national}")
    made = f"CASE {' '.join(cases)} ELSE {digits} END"
    return f"regexp_extract({made}, {literal(_PLUS)})"


def key_sql(namespace: str, value: str) -> str:
    """DuckDB's form of `identifier_key`, NULL for NULL."""
    return f"('0x' || substr(md5({literal(namespace + ':')} || {value}), 1, 15))::BIGINT"
