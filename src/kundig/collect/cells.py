"""Cells into values: DuckDB expressions that read a text as a number, moment, date, list or truth, or give NULL; never a guess."""

from __future__ import annotations

from collections.abc import Sequence

from kundig.collect.identifiers import few, literal, trimmed_sql

SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "EURO": "EUR"}
"""Signs that stand for a currency."""

_SIGN = "(€|\\$|£|EUR|USD|GBP|CHF)"
_FILL = _SIGN + "|[ '\u00a0]"
_DE = "^[+-]?([0-9]{1,3}(\\.[0-9]{3})+|[0-9]+)(,[0-9]+)?$"
_EN = "^[+-]?([0-9]{1,3}(,[0-9]{3})+|[0-9]+)?(\\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_UTC = ("____-__-__T__:__:__Z", "____-__-__T__:__:__.___Z", "____-__-__T__:__:__.______Z")
_OFFSET = "[0-9]:[0-9.:]+ ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)$"
_TRUE = ("true", "1", "yes", "y", "ja", "j", "wahr", "x", "t", "on")
_FALSE = ("false", "0", "no", "n", "nein", "falsch", "f", "off", "-")


trimmed = trimmed_sql
"""The text without white space around it; NULL where nothing is left."""


def number(text: str, *, decimal: str) -> str:
    """The text as decimal(18,4), read strictly by its decimal mark: '12.5' is no number where the mark is a comma.

    Thousands marks are taken only where groups of three stand between them; signs of money, spaces and apostrophes are dropped; a
    trailing minus is a minus.
    """
    cleaned = f"regexp_replace(regexp_replace({text}, {literal(_FILL)}, '', 'g'), '^(.+)-$', '-\\1')"
    if decimal == ",":
        plain = f"CASE WHEN regexp_full_match({text}, '-?[0-9]{{1,14}}(,[0-9]+)?') THEN TRY_CAST(replace({text}, ',', '.') AS DECIMAL(18, 4)) END"
        rest = f"CASE WHEN {text} IS NOT NULL AND regexp_matches({cleaned}, {literal(_DE)}) THEN TRY_CAST(replace(replace({cleaned}, '.', ''), ',', '.') AS DECIMAL(18, 4)) END"
        return f"coalesce({plain}, {rest})"
    plain = f"CASE WHEN regexp_full_match({text}, '-?[0-9]{{1,14}}(\\.[0-9]+)?') THEN TRY_CAST({text} AS DECIMAL(18, 4)) END"
    rest = f"CASE WHEN {text} IS NOT NULL AND regexp_matches({cleaned}, {literal(_EN)}) AND regexp_matches({cleaned}, '[0-9]') THEN TRY_CAST(replace({cleaned}, ',', '') AS DECIMAL(18, 4)) END"
    return f"coalesce({plain}, {rest})"


def money_sign(text: str) -> str:
    """The currency that an amount's own sign names, or NULL."""
    sign = f"nullif(regexp_extract({text}, {literal(_SIGN)}), '')"
    cases = " ".join(f"WHEN {literal(sign)} THEN {literal(code)}" for sign, code in SIGNS.items())
    return f"CASE {sign} {cases} ELSE {sign} END"


def currency(text: str) -> str:
    """The ISO code of a cell that names a currency."""
    upper = f"upper({text})"
    return f"CASE {upper} {' '.join(f'WHEN {literal(sign)} THEN {literal(code)}' for sign, code in SIGNS.items())} ELSE {upper} END"


def moment(text: str, *, formats: Sequence[str], zone: str) -> str:
    """The text as a moment in UTC. What has no offset is local time of the zone.

    A local time that a clock change skips moves on by the hour that was skipped; one that happens twice is the second one. Both
    stay on their local day.
    """
    local = f"timezone({literal(zone)}, {{}})"
    made = []
    for format in formats:
        if format == "iso":
            utc = " OR ".join(f"{text} LIKE {literal(shape)}" for shape in _UTC)
            offset = f"TRY_CAST(replace({text}, ' UTC', 'Z') AS TIMESTAMPTZ)"
            any_ = f"CASE WHEN regexp_matches({text}, {literal(_OFFSET)}) THEN {offset} ELSE {local.format(f'TRY_CAST(replace({text}, chr(44), chr(46)) AS TIMESTAMP)')} END"
            made.append(f"coalesce(CASE WHEN {utc} THEN TRY_CAST({text} AS TIMESTAMPTZ) END, {any_})")
        elif format == "excel":
            made.append(local.format(_excel(text)))
        elif format in ("unix", "unix_ms"):
            factor = 1_000_000 if format == "unix" else 1_000
            made.append(f"make_timestamptz(TRY_CAST(round(TRY_CAST({text} AS DOUBLE) * {factor}) AS BIGINT))")
        elif "%z" in format:
            made.append(f"TRY_STRPTIME({text}, {literal(format)})::TIMESTAMPTZ")
        else:
            made.append(local.format(f"TRY_STRPTIME({text}, {literal(format)})"))
    moment = f"coalesce({', '.join(made)})" if len(made) > 1 else made[0]
    return _within(moment, "TIMESTAMPTZ '1849-12-31 23:59:59.999999Z'", "TIMESTAMPTZ '2200-01-01 00:00:00.000001Z'")


def _within(value: str, below: str, above: str) -> str:
    """The value where it lies between these two, else NULL. The expression, which may be long, stands only once: what lies beyond is put on a bound first."""
    return f"nullif(nullif(greatest(least({value}, {above}), {below}), {above}), {below})"


def _excel(text: str) -> str:
    days = f"TRY_CAST({text} AS DOUBLE)"
    return f"CASE WHEN {days} >= 1 AND {days} < 110000 THEN TIMESTAMP '1899-12-30' + to_microseconds(CAST(round({days} * 86400) AS BIGINT) * 1000000) END"


def date(text: str, *, formats: Sequence[str], zone: str) -> str:
    """The text as a calendar day; of a moment with an offset, the day it is in the zone."""
    made = []
    for format in formats:
        if format == "iso":
            day = f"CASE WHEN regexp_matches({text}, '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ].*)?$') THEN TRY_CAST(substr({text}, 1, 10) AS DATE) END"
            offset = f"CAST(timezone({literal(zone)}, TRY_CAST(replace({text}, ' UTC', 'Z') AS TIMESTAMPTZ)) AS DATE)"
            made.append(f"CASE WHEN regexp_matches({text}, {literal(_OFFSET)}) THEN {offset} ELSE {day} END")
        elif format == "excel":
            made.append(f"CAST({_excel(text)} AS DATE)")
        elif format in ("unix", "unix_ms"):
            made.append(f"CAST(timezone({literal(zone)}, {moment(text, formats=(format,), zone=zone)}) AS DATE)")
        else:
            made.append(f"CAST(TRY_STRPTIME({text}, {literal(format)}) AS DATE)")
    day = f"coalesce({', '.join(made)})" if len(made) > 1 else made[0]
    return _within(day, "DATE '1849-12-31'", "DATE '2200-01-02'")


def value(text: str, type: str, *, decimal: str = ".", formats: Sequence[str] = ("iso",), zone: str = "UTC", split: str = "|") -> str:
    """The text as a value of a declared type, or NULL where it is none."""
    if type == "string":
        return text
    if type.startswith("decimal"):
        return number(text, decimal=decimal)
    if type == "int64":
        exact = number(text, decimal=decimal)
        plain = f"regexp_matches({text}, '^-?[0-9]{{1,14}}$')"
        return f"CASE WHEN {plain} THEN CAST({text} AS BIGINT) WHEN {exact} = floor({exact}) THEN CAST({exact} AS BIGINT) END"
    if type == "float64":
        return f"coalesce(CASE WHEN regexp_matches({text}, {literal(_EN)}) THEN TRY_CAST({text} AS DOUBLE) END, CAST({number(text, decimal=decimal)} AS DOUBLE))"
    if type == "bool":
        return f"CASE WHEN {_any(f'lower({text})', _TRUE)} THEN true WHEN {_any(f'lower({text})', _FALSE)} THEN false END"
    if type == "timestamp":
        return moment(text, formats=formats, zone=zone)
    if type == "date":
        return date(text, formats=formats, zone=zone)
    if type == "list<string>":
        return f"list_filter(list_transform(string_split({text}, {literal(split)}), x -> trim(x)), x -> x <> '')"
    if type == "list<int64>":
        return f"list_filter(list_transform(string_split({text}, {literal(split)}), x -> TRY_CAST(trim(x) AS BIGINT)), x -> x IS NOT NULL)"
    return f"CASE WHEN json_valid({text}) THEN CAST({text} AS JSON) END"


def _any(text: str, words: Sequence[str]) -> str:
    return " OR ".join(f"{text} IN ({', '.join(map(literal, some))})" for some in few(words))


DUCK_TYPES = {
    "int64": "BIGINT", "float64": "DOUBLE", "string": "VARCHAR", "bool": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMPTZ",
    "decimal(18,4)": "DECIMAL(18,4)", "decimal(38,4)": "DECIMAL(38,4)", "json": "JSON", "list<string>": "VARCHAR[]", "list<int64>": "BIGINT[]",
}  # fmt: skip
"""Declared types as DuckDB spells them."""
