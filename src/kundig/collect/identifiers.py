"""Identifiers: one normalised value per kind, and one int64 key per kind and value, the same in SQL and in Python."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
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
_EMAIL = r"^[^@ \t\r\n\f]+@[^@ \t\r\n\f.]+(\.[^@ \t\r\n\f.]+)+$"  # no \s: it is not the same characters everywhere
_EMAIL_PLAIN = r"[a-z0-9._-]+@([a-z0-9-]+\.)+[a-z0-9-]+"
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
    """The text without white space around it, NULL where nothing is left; texts that begin and end with something else are passed through at once."""
    edges = " OR ".join(f"ends_with({expression}, {literal(blank)})" for blank in _BLANKS)
    plain = f"{expression} >= '!' AND NOT (starts_with({expression}, '\u00a0') OR {edges})"
    return f"CASE WHEN {plain} THEN {expression} ELSE nullif(trim({expression}, {literal(_BLANKS)}), '') END"


def normalised_sql(namespace: str, expression: str, *, country: str = "DE", rules: Rules | None = None) -> str:
    """DuckDB's form of `normalise`: the expression's value as it is compared, or NULL."""
    for form in normal_forms(namespace, country=country, rules=rules):
        expression = form.format(expression)
    return expression


def normal_forms(namespace: str, *, country: str = "DE", rules: Rules | None = None) -> tuple[str, ...]:
    """What `normalised_sql` does, as forms with `{}` for the result of the one before: as columns of nested queries, each is worked out once.

    Examples:
        >>> [form.format("x") for form in normal_forms("till_card")][1:]
        ["nullif(x, '')"]
    """
    forms = [trimmed_sql("{0}"), *_own_forms(namespace, country)]
    blocked = rules.identity.namespace(namespace).blocked if rules is not None else ()
    tests = ["{0} <> ''", *(f"{{0}} NOT IN ({', '.join(some)})" for some in few([_braced(literal(value)) for value in blocked if "*" not in value]))]
    if wild := "|".join(".*".join(re.escape(part) for part in value.split("*")) for value in blocked if "*" in value):
        tests.append(f"NOT regexp_full_match({{0}}, {_braced(literal(wild))})")
    return (*forms, f"CASE WHEN {' AND '.join(tests)} THEN {{0}} END" if blocked else "nullif({0}, '')")


def few(values: Sequence[str], size: int = 4) -> list[Sequence[str]]:
    """The values in groups so small that DuckDB compares each text with them, where it would join a longer list.

    Examples:
        >>> few("abcde")
        ['abcd', 'e']
    """
    return [values[start : start + size] for start in range(0, len(values), size)]


def _own_forms(namespace: str, country: str) -> tuple[str, ...]:
    if namespace == "email":
        return _EMAIL_FORMS
    if namespace == "email_hash":
        return ("lower(replace({0}, 'İ', 'i'))",)
    return _phone_forms(country) if namespace in PHONE_NAMESPACES else ()


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _email_forms() -> tuple[str, ...]:
    plain = f"lower(replace(regexp_replace(nfc_normalize({{0}}), {literal('[' + _HIDDEN + ']')}, '', 'g'), 'İ', 'i'))"
    address = f"replace(trim(regexp_replace({plain}, '^mailto:', ''), '<> '), ' ', '')"
    cases = []
    for made in dict.fromkeys(ONE_BOX.values()):
        ends = " OR ".join(f"ends_with({{0}}, {literal('@' + given)})" for given, other in ONE_BOX.items() if other == made)
        cases.append(f"WHEN {ends} THEN nullif(replace(split_part({{0}}, '@', 1), '.', ''), '') || {literal('@' + made)}")
    return (
        f"CASE WHEN regexp_full_match({{0}}, {literal(_EMAIL_PLAIN)}) THEN {{0}} ELSE {address} END",
        f"CASE WHEN regexp_matches({{0}}, {literal(_EMAIL)}) THEN {{0}} END",
        "CASE WHEN contains({0}, '+') THEN regexp_replace({0}, '^([^+@]+)\\+[^@]*@', '\\1@') ELSE {0} END",
        f"CASE {' '.join(cases)} ELSE {{0}} END",
    )


_EMAIL_FORMS = _email_forms()


def _phone_forms(country: str) -> tuple[str, ...]:
    """Digits, with 00 as +, with the country's code where they begin with 0 or with nothing of that kind; '' where it is no number."""
    made = ["regexp_replace(replace({0}, '(0)', ''), '[^0-9+]', '', 'g')", "regexp_replace({0}, '^00', '+')"]
    code = CALLING_CODES.get(country, "")
    if code and country not in NO_TRUNK_ZERO:
        made.append(f"regexp_replace({{0}}, '^0', '+{code}')")
    if code:
        made.append(f"regexp_replace({{0}}, '^({code}[0-9+]{{{{{11 - len(code)},}}}})$', '+\\1')")
        made.append(f"regexp_replace({{0}}, '^([^+].*)$', '+{code}\\1')")
    return (*made, f"regexp_extract({{0}}, {_braced(literal(_PLUS))})")


def key_sql(namespace: str, value: str) -> str:
    """DuckDB's form of `identifier_key`, NULL for NULL."""
    return f"('0x' || substr(md5({literal(namespace + ':')} || {value}), 1, 15))::BIGINT"


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """One column that names whom a row is about: its namespace, and the column that holds it as sent."""

    namespace: str
    column: str


def people_sql(named: Sequence[Named], source: str, *, country: str, rules: Rules) -> str:
    """Each combination of values as sent, once: `_caller`, its columns, `_n<n>` and `_k<n>` (value that counts, and key), `identifier_key` (the strongest), `other_keys`.

    Args:
        named: Who is named, from the strongest kind to the weakest.
        source: SQL of a query that has the columns.
        country: Country of phone numbers without one.
        rules: Values that name nobody.
    """
    sent = ", ".join(dict.fromkeys(quoted(one.column) for one in named))
    query = f"SELECT {sent}, {', '.join(f'{quoted(one.column)} AS _n{n}' for n, one in enumerate(named))} FROM (SELECT DISTINCT {sent} FROM ({source}))"
    steps = [normal_forms(one.namespace, country=country, rules=rules) for one in named]
    for level in range(max(map(len, steps))):
        made = ", ".join(f"{forms[level].format(f'_n{n}')} AS _n{n}" for n, forms in enumerate(steps) if level < len(forms))
        query = f"SELECT * REPLACE ({made}) FROM ({query})"
    keys = [f"_k{n}" for n in range(len(named))]
    made = ", ".join(f"{key_sql(one.namespace, f'_n{n}')} AS {keys[n]}" for n, one in enumerate(named))
    query = f"SELECT *, {made} FROM ({query})"
    return f"SELECT *, row_number() OVER () AS _caller, coalesce({', '.join(keys)}, NULL) AS identifier_key, {others_sql(keys)} AS other_keys FROM ({query})"


def others_sql(keys: Sequence[str]) -> str:
    """The keys beside the first that there is, each once, in order."""
    if len(keys) < 2:
        return "[]::BIGINT[]"
    if len(keys) == 2:
        return f"CASE WHEN {keys[0]} <> {keys[1]} THEN [{keys[1]}] ELSE [] END"
    strongest = f"coalesce({', '.join(keys)})"
    return f"list_sort(list_distinct(list_filter([{', '.join(keys)}], x -> x IS NOT NULL AND x <> {strongest})))"


def joined_people_sql(named: Sequence[Named], left: str, right: str) -> str:
    """The condition that brings a row the combination it names."""
    return " AND ".join(f"{left}.{column} IS NOT DISTINCT FROM {right}.{column}" for column in dict.fromkeys(quoted(one.column) for one in named))
