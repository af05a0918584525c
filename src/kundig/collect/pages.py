"""Parts of a page's address and title that are kept: hosts, the parameters that a source's file names, and a title; never what looks like a secret or a person."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kundig.collect.identifiers import literal

LONGEST = 300
"""Characters of a title or of a parameter's value that are kept."""

PERSONS: tuple[str, ...] = (
    r"[^\s@=,;]+@[^\s@=,;]+\.[A-Za-z]{2,}",  # an address
    r"^\s*(\+|00)[0-9][0-9 ()/.-]{7,}$",  # a telephone number
    r"^\s*[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){2,7} ?[A-Z0-9]{1,4}\s*$",  # an account
)
"""Values that name a person."""

SECRETS: tuple[str, ...] = (
    r"^ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",  # a signed token
    r"^[0-9a-fA-F]{32,}$",  # a hash or key
    r"(?i)\b(bearer|basic) [A-Za-z0-9+/_=.-]{8,}",
    r"(?i)^(sk|pk|rk|ghp|gho|xox[a-z]|whsec|AKIA)[_-]?[A-Za-z0-9_-]{12,}$",
)
"""Values that open something."""

_RANDOM = (r"^[A-Za-z0-9_+/=-]{24,}$", r"[A-Z]", r"[a-z]", r"[0-9]")
"""A long word that mixes large and small letters with digits is a key or a token as a rule; all of these must match."""


def telling(text: str) -> bool:
    """Whether a text looks like a secret or names a person; `telling_sql` is its form in DuckDB.

    Examples:
        >>> [telling(text) for text in ("red shoes", "autumn-sale-banner-2026-germany-red", "mia@example.org", "+49 171 2345678", "eyJhbGciOi.eyJzdWIi.x", "9f86d081884c7d659a2feaa0c55ad015")]
        [False, False, True, True, True, True]
    """
    found = [bool(re.search(pattern.replace("$", r"\Z"), text, re.ASCII)) for pattern in (*PERSONS, *SECRETS, *_RANDOM)]
    return any(found[: -len(_RANDOM)]) or all(found[-len(_RANDOM) :])


def telling_sql(text: str) -> str:
    """Expression of whether a text looks like a secret or names a person."""
    single = "|".join(f"(?:{pattern})" for pattern in (*PERSONS, *SECRETS))  # one automaton for all
    return f"(regexp_matches({text}, {literal(single)}) OR ({' AND '.join(f'regexp_matches({text}, {literal(pattern)})' for pattern in _RANDOM)}))"


def host_sql(url: str) -> str:
    """Expression of an address's host in lower case, without user, password and port; NULL where there is none."""
    plain, named = (f"regexp_extract({url}, '^[a-zA-Z][a-zA-Z0-9+.-]*://{user}([^/?#:@]+)', 1)" for user in ("", "(?:[^/?#@]*@)?"))
    return f"nullif(lower(CASE WHEN contains({url}, '@') THEN {named} ELSE {plain} END), '')"


def title_sql(title: str) -> str:
    """Expression of a title, cut; NULL where it is empty or names a person."""
    return f"CASE WHEN {title} IS NOT NULL AND NOT {telling_sql(title)} THEN nullif(trim(left({title}, {LONGEST})), '') END"


def query_sql(url: str, names: Sequence[str]) -> str:
    """Expression of the named parameters of an address as a JSON object; NULL where it has none of them. Of one that stands twice the first counts."""
    if not names:
        return "CAST(NULL AS VARCHAR)"
    before = f"split_part({url}, '#', 1)"
    parts = []
    for name in names:
        raw = f"regexp_extract({before}, {literal(f'[?&]{re.escape(name)}=([^&]*)')}, 1)"
        text = f"replace(try(url_decode(replace({raw}, '+', ' '))), chr(0), '')"
        parts.append(f"{literal(name)}, list_transform([{text}], x -> CASE WHEN x = '' OR {telling_sql('x')} THEN NULL ELSE left(x, {LONGEST}) END)[1]")
    return f"CASE WHEN contains({url}, '?') THEN nullif(CAST(json_merge_patch('{{}}', json_object({', '.join(parts)})) AS VARCHAR), '{{}}') END"
