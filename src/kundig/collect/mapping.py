"""A mapping compiled to one SELECT: raw texts in, typed canonical columns out, with the faults of each row beside them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kundig.collect import cells
from kundig.collect.identifiers import Named, Rules, joined_people_sql, literal, normalised_sql, quoted
from kundig.config.collect import CHANGES, FETCHED, ColumnSpec, IdentifierSpec, Input, Landing, MatchSpec, Source
from kundig.errors import Fault, nearest
from kundig.schema import Table
from kundig.tables import LAKE

PREFIXED = frozenset(
    {"event_id", "order_id", "line_id", "contact_id", "deal_id", "subscription_id", "ticket_id", "answer_id", "referral_id", "record_id", "message_id"}
)
"""Ids that two sources might share: the source's name is put before them."""

LENIENT = frozenset({"birth_date", "age", "company_size", "satisfaction", "hobbies"})
"""What people wrote about themselves: unreadable, it stays as text in `attributes` (or empty), and the record lands."""

MUTABLE: Mapping[str, tuple[str, ...]] = {
    name: LAKE[name].key
    for name in ("orders", "products", "stock_levels", "costs", "contacts", "deals", "subscriptions", "tickets", "referrals", "ad_spend", "exchange_rates", "source_totals")
}
"""Tables whose newer row replaces the older one of the same key; all others are logs."""

TARGETS = frozenset(MUTABLE) | {"order_lines", "survey_answers", "ad_contacts", "social_contacts", "campaign_messages", "consent_records", "events"}
"""Tables a mapping may land in."""

HELPERS: Mapping[str, Mapping[str, str]] = {
    "order_lines": {"tax_rate": "float64", "discount": "decimal(18,4)", "unit_cost": "decimal(18,4)"},
    "orders": {"refunded": "decimal(18,4)"},
}
"""Columns of a mapping that are no column of the table: others are counted from them. A tax rate is 19 or 0.19; what was refunded is taken off gross, and off net, tax and shipping by its share."""

UNDATED = frozenset({"contacts", "stock_levels"})
"""Tables of states: an export that does not say since when tells what is at the import."""

FILLED = frozenset({"source", "batch_id", "identifier_key", "other_keys", "referred_key", "seq"})
"""Columns landing fills by itself."""

SEPARATOR = "\x1f"


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a mapping is compiled with: the source, the input with its defaults, the workspace's zone and currency, the moment of the import."""

    name: str
    source: Source
    given: Input
    zone: str
    currency: str
    country: str
    now: dt.datetime
    rules: Rules = field(default_factory=Rules)
    format: str = ""

    @property
    def decimal(self) -> str:
        """Decimal mark of the texts: files that know numbers write them with a point."""
        return "." if self.format in ("parquet", "json", "ndjson", *CHANGES, *FETCHED) else self.given.decimal or "."

    @property
    def dates(self) -> tuple[str, ...]:
        """Date formats of the texts; files that know dates hand them over as ISO, workbooks also as serial days."""
        given = self.given.dates or ("iso",)
        more = {"xlsx": ("iso", "excel"), "csv": (), "segment_ndjson": ()}.get(self.format, ("iso",))
        return tuple(dict.fromkeys((*given, *more)))

    @property
    def file_zone(self) -> str:
        """Zone of moments without one."""
        return self.given.zone or self.zone

    @property
    def file_currency(self) -> str:
        """Currency of amounts without one."""
        return self.given.currency or self.currency

    @property
    def file_country(self) -> str:
        """Country of phone numbers without one."""
        return self.given.country or self.country


def spec(value: str | ColumnSpec) -> ColumnSpec:
    """The long form of a column's mapping."""
    return ColumnSpec(column=value) if isinstance(value, str) else value


def needed(given: Input) -> tuple[str, ...]:
    """The file's columns that an input's mapping reads, in order of mention.

    Examples:
        >>> needed(Input(files="x.csv", lands=[{"table": "orders", "columns": {"order_id": "no", "gross": {"column": "total"}}}]))
        ('no', 'total')
    """
    found: list[str] = ["_table", "_at"] if given.tables else []
    for landing in given.landings:
        for column in (*landing.columns.values(), *(landing.orders or {}).values()):
            found += spec(column).picks
        tests = [*landing.keep, *landing.leave_out, *landing.line_kinds, *([landing.cancellation] if landing.cancellation else [])]
        found += [test.column for test in tests]
        found += [identifier.column for identifier in (*landing.identifiers, *([landing.referred] if landing.referred else []))]
        found += [column for column in landing.attributes if column != "*"]
        if landing.received_at not in ("", "as_occurred", "import"):
            found.append(landing.received_at)
    if given.currency_column:
        found.append(given.currency_column)
    return tuple(dict.fromkeys(found))


def keeps_all(given: Input) -> bool:
    """Whether columns that no line of the mapping names are read too."""
    return any("*" in landing.attributes for landing in given.landings)


def check(name: str, source: Source) -> list[Fault]:
    """Every fault of a source's mapping that its file alone shows: unknown tables and columns, ids not mapped.

    Examples:
        >>> given = Source(inputs=[{"files": "o.csv", "lands": [{"table": "orders", "columns": {"order_id": "no", "gros": "total"}}]}])
        >>> [fault.what for fault in check("shop", given)]
        ["table 'orders' has no column 'gros'", "'occurred_at' of 'orders' is not mapped"]
    """
    faults: list[Fault] = []
    for number, given in enumerate(source.inputs):
        if given.tables:
            faults += changed_faults(name, number, given)
        for place, landing in enumerate(given.landings):
            at = f"sources/{name}.yaml, inputs[{number}].lands[{place}]"
            if landing.table not in TARGETS:
                faults.append(Fault(what=f"nothing can land in table '{landing.table}'", at=at, mend=nearest(landing.table, TARGETS)))
                continue
            faults += _landing_faults(LAKE[landing.table], landing, at)
            if landing.orders is not None:
                known = [column for column in LAKE["orders"].names if column not in FILLED]
                wrong = [column for column in landing.orders if column not in known]
                faults += [Fault(what=f"table 'orders' has no column '{column}'", at=at, mend=nearest(column, known)) for column in wrong]
    return [*faults, *_total_faults(name, source)]


def _total_faults(name: str, source: Source) -> list[Fault]:
    """What a total cannot be held against: an unknown table or column, or rows without a source or a day."""
    faults: list[Fault] = []
    fit = {table.name: table for table in LAKE.values() if "source" in table.names and {"local_day", "occurred_at", "received_at"} & set(table.names)}
    for total, given in source.totals.items():
        at = f"sources/{name}.yaml, totals.{total}"
        if given.table not in fit:
            faults.append(Fault(what=f"no total is held against table '{given.table}'", at=at, mend=nearest(given.table, fit)))
            continue
        named = [*([given.amount] if given.amount else []), *given.only]
        faults += [Fault(what=f"table '{given.table}' has no column '{column}'", at=at, mend=nearest(column, fit[given.table].names)) for column in named if column not in fit[given.table].names]
        kind = fit[given.table].column(given.amount).type if given.amount in fit[given.table].names else "float64"
        if not kind.startswith(("decimal", "float", "int")):
            faults.append(Fault(what=f"'{given.amount}' of '{given.table}' is no number, so that nothing can be summed", at=at, mend="name a column of amounts, or leave `amount` out"))
    return faults


def changed_faults(name: str, number: int, given: Input) -> list[Fault]:
    """What a mapping of changes cannot have: lines are told one by one, and a row that goes must be known by its key."""
    faults: list[Fault] = []
    seen: dict[str, str] = {}
    for table, changed in given.tables.items():
        for landing in changed.lands:
            at = f"sources/{name}.yaml, inputs[{number}].tables.{table}"
            odd = [word for word in ("counted", "takes_back", "orders") if getattr(landing, word) not in (False, "", None)]
            odd += [f"number_within ({column})" for column, given_spec in landing.columns.items() if spec(given_spec).number_within]
            faults += [Fault(what=f"`{word}` counts over whole documents, and changes come row by row", at=at, mend="leave it out; map the table that holds it") for word in odd]
            if landing.table in (*MUTABLE, "order_lines", "survey_answers"):
                if landing.table in seen:
                    what = f"'{seen[landing.table]}' and '{table}' both land in '{landing.table}': a row that goes could be of either"
                    faults.append(Fault(what=what, at=at, mend="give one of them a source of its own"))
                seen[landing.table] = table
    return faults


def _landing_faults(table: Table, landing: Landing, at: str) -> list[Fault]:
    known = [column for column in table.names if column not in FILLED] + ["occurred_at", *HELPERS.get(table.name, ())]
    faults = [Fault(what=f"table '{table.name}' has no column '{column}'", at=at, mend=nearest(column, known)) for column in landing.columns if column not in known]
    must = required(table, landing)
    faults += [Fault(what=f"'{c}' of '{table.name}' is not mapped", at=at, mend=f"add {c}: <column of the file>") for c in must if c not in landing.columns]
    if landing.from_order and "order_id" not in landing.columns:
        faults.append(Fault(what="from_order without order_id", at=at, mend="map order_id, or leave from_order out"))
    if landing.counted and table.name not in ("orders", "order_lines"):
        faults.append(Fault(what=f"`counted` on {table.name}", at=at, mend="orders and order_lines are counted; leave it out here"))
    if landing.orders is not None and table.name != "order_lines":
        faults.append(Fault(what="`orders` makes orders from order_lines", at=at, mend="move it to the landing in order_lines"))
    return faults


def type_of(table: Table, name: str) -> str:
    """Type of a mapped column; what the table lacks is a helper or the moment of a table without one."""
    return table.column(name).type if name in table.names else HELPERS.get(table.name, {}).get(name, "timestamp")


def required(table: Table, landing: Landing) -> tuple[str, ...]:
    """Columns without which a row cannot land."""
    key = [column for column in table.key if column not in FILLED]
    if "occurred_at" in table.names and not landing.from_order and ("occurred_at" in landing.columns or table.name not in UNDATED):
        key.append("occurred_at")
    if table.name == "order_lines":
        key += ["order_id", "quantity"]
    if table.name == "consent_records":
        key += ["purpose", "channel", "status"]
    return tuple(dict.fromkeys(key))


def text_sql(column: ColumnSpec) -> str:
    """The column's text before `map` and parsing, or NULL; of cells that are trimmed."""
    if column.value is not None:
        text = literal(str(column.value).lower() if isinstance(column.value, bool) else str(column.value))
    elif column.concat:
        text = f"nullif(concat_ws({literal(column.joined_by)}, {', '.join(map(quoted, column.concat))}), '')"
    elif column.first_of:
        text = f"coalesce({', '.join(map(quoted, column.first_of))})"
    elif column.number_within:
        within = quoted(column.number_within)
        text = f"{within} || '-' || row_number() OVER (PARTITION BY {within} ORDER BY _file, _row)"
    else:
        text = quoted(column.column)
    if column.extract:
        text = extracted(text, column.extract)
    if column.strip:
        text = f"nullif(trim({text}, {literal(column.strip)}), '')"
    if column.lower or column.upper:
        text = f"{'lower' if column.lower else 'upper'}({text})"
    return text


def extracted(text: str, pattern: str) -> str:
    """The first group of a pattern (the whole match where it has none), or NULL."""
    group = 1 if re.compile(pattern).groups else 0
    return f"nullif(regexp_extract({text}, {literal(pattern)}, {group}), '')"


def mapped_sql(text: str, column: ColumnSpec) -> str:
    """The text after `map` and `default`."""
    if column.map:
        cases = " ".join(f"WHEN {literal(given)} THEN {literal(made)}" for given, made in column.map.items())
        text = f"CASE {text} {cases}{f' ELSE {text}' if column.otherwise == 'keep' else ''} END"
    return text if column.default is None else f"coalesce({text}, {literal(column.default)})"


def matches_sql(test: MatchSpec) -> str:
    """Whether the whole cell matches."""
    return f"coalesce(regexp_full_match({quoted(test.column)}, {literal(test.matches)}), false)"


def money_columns(table: Table) -> tuple[str, ...]:
    """The table's amounts in the document's currency; costs of goods are in the workspace's already."""
    return tuple(c.name for c in table.columns if c.type.startswith("decimal") and c.name not in ("quantity", "score", "product_cost"))


def ordered_identifiers(landing: Landing, rules: Rules) -> tuple[IdentifierSpec, ...]:
    """The mapping's identifiers from strongest to weakest."""
    return tuple(sorted(landing.identifiers, key=lambda identifier: rules.rank(identifier.namespace)))


def named_columns(context: Context, landing: Landing) -> tuple[Named, ...]:
    """The landing's identifiers from strongest to weakest, as columns of the people it names."""
    return tuple(Named(namespace=identifier.namespace, column=f"i:{n}") for n, identifier in enumerate(ordered_identifiers(landing, context.rules)))


def named_sql(context: Context, landing: Landing, raw: str) -> str:
    """Whom each raw row names, as sent: the columns of `named_columns`."""
    texts = (_identifier_text(identifier, cells.trimmed(quoted(identifier.column))) for identifier in ordered_identifiers(landing, context.rules))
    shown = ", ".join(f"{text} AS {quoted(f'i:{n}')}" for n, text in enumerate(texts))
    return f"SELECT {shown} FROM {quoted(raw)}"


def typed_sql(context: Context, landing: Landing, table: Table, raw: str, columns: Iterable[str], people: str = "") -> str:
    """The SELECT of a landing: typed columns, `_currency`, `_cancels`, `_faults` (column, value pairs), and who it is about: `_caller`, `_key`, `_others`.

    Rows the mapping leaves out are not in it. Ids carry the source's name; amounts are in the document's own currency still.

    Args:
        context: The source, input and workspace.
        landing: The landing.
        table: The canonical table.
        raw: The raw relation.
        columns: Its columns.
        people: The relation of `people_sql`; without it the rows are about nobody.
    """
    columns = tuple(columns)
    specs = {name: spec(value) for name, value in landing.columns.items()}
    texts = [f"{text_sql(column)} AS {quoted('t:' + name)}" for name, column in specs.items()]
    named = named_columns(context, landing) if people else ()
    if landing.referred is not None:
        identifier = landing.referred
        text = _identifier_text(identifier, quoted(identifier.column))
        texts.append(f"{normalised_sql(identifier.namespace, text, country=context.file_country, rules=context.rules)} AS _referred")
    texts.append(f"{_currency_sql(context)} AS _currency")
    texts.append(f"{matches_sql(landing.cancellation) if landing.cancellation else 'false'} AS _cancels")
    if table.name == "order_lines":
        kinds = " ".join(f"WHEN {matches_sql(rule)} THEN {literal(rule.kind)}" for rule in landing.line_kinds)
        texts.append(f"CASE {kinds} ELSE 'goods' END AS _kind" if kinds else "'goods' AS _kind")
    received = landing.received_at or context.source.received_at
    if received not in ("as_occurred", "import"):
        texts.append(f"{quoted(received)} AS _received")
    if "attributes" in table.names:
        texts.append(f"{_attributes_sql(landing, columns)} AS _attributes")
    texts += [f"{quoted('p:' + name)} AS {name}" if people else f"NULL AS {name}" for name in ("_caller", "_key", "_others")]
    tests = [matches_sql(test) for test in landing.keep] + [f"NOT {matches_sql(test)}" for test in landing.leave_out]
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    values = [f"{_value_sql(context, table, name, column)} AS {quoted(name)}" for name, column in specs.items()]
    for name, given in (landing.orders or {}).items():
        texts.append(f"{text_sql(spec(given))} AS {quoted('t:o:' + name)}")
        values.append(f"{_value_sql(context, LAKE['orders'], name, spec(given), prefix='t:o:')} AS {quoted('o:' + name)}")
    trimmed = "".join(f", {cells.trimmed(quoted(column))} AS {quoted(column)}" for column in columns)
    source = f"(SELECT _file, _row{trimmed} FROM {quoted(raw)}) c"
    if people:
        sent = ", ".join(f"{_identifier_text(one, quoted(one.column))} AS {quoted(f'i:{n}')}" for n, one in enumerate(ordered_identifiers(landing, context.rules)))
        shown = ", ".join(quoted(one.column) for one in named)
        source = (
            f'(SELECT *, {sent} FROM {source}) c LEFT JOIN (SELECT {shown}, _caller AS "p:_caller", identifier_key AS "p:_key", other_keys AS "p:_others" FROM {quoted(people)}) p '
            f"ON {joined_people_sql(named, 'c', 'p')}"
        )
    return f"""
WITH texts AS (SELECT _file, _row, {', '.join(texts)} FROM {source}{where}),
typed AS (SELECT *{''.join(f', {value}' for value in values)} FROM texts)
SELECT *, {_faults_sql(table, landing, specs)} AS _faults FROM typed"""


def _identifier_text(identifier: IdentifierSpec, text: str) -> str:
    return extracted(text, identifier.extract) if identifier.extract else text


def _faults_sql(table: Table, landing: Landing, specs: Mapping[str, ColumnSpec]) -> str:
    """The list of a row's faults; made only where it has any."""
    tests = [_fault_test(name, column) for name, column in specs.items() if _may_fail(table, name, column)]
    tests += [(f"{quoted(name)} IS NULL AND {quoted('t:' + name)} IS NULL", literal(name + SEPARATOR)) for name in required(table, landing)]
    if not landing.from_order:
        tests += [_sign_test(name) for name in specs if name in money_columns(table)]
    if not tests:
        return "[]::VARCHAR[]"
    listed = ", ".join(f"CASE WHEN {test} THEN {told} END" for test, told in tests)
    return f"CASE WHEN {' OR '.join(f'({test})' for test, _ in tests)} THEN list_filter([{listed}]::VARCHAR[], x -> x IS NOT NULL) ELSE []::VARCHAR[] END"


def _currency_sql(context: Context) -> str:
    constant = literal(context.file_currency)
    if not context.given.currency_column:
        return constant
    return f"coalesce({cells.currency(quoted(context.given.currency_column))}, {constant})"


def _attributes_sql(landing: Landing, columns: Iterable[str]) -> str:
    used = {pick for column in landing.columns.values() for pick in spec(column).picks} | {i.column for i in landing.identifiers}
    kept = [c for c in columns if c not in used and c not in ("_table", "_at")] if "*" in landing.attributes else list(landing.attributes)
    pairs = ", ".join(f"{literal(c)}, {quoted(c)}" for c in kept)
    return f"json_merge_patch('{{}}', json_object({pairs}))" if pairs else "CAST(NULL AS JSON)"


def _value_sql(context: Context, table: Table, name: str, column: ColumnSpec, *, prefix: str = "t:") -> str:
    type = type_of(table, name)
    text = mapped_sql(quoted(prefix + name), column)
    decimal = {"de": ",", "en": "."}.get(column.number) or context.decimal
    value = cells.value(text, type, decimal=decimal, formats=column.format or context.dates, zone=context.file_zone, split=column.split or "|")
    if column.negate:
        value = f"-({value})"
    if column.without_tax is not None:
        value = f"CAST(round(CAST({value} AS DOUBLE) / {1 + column.without_tax / 100!r}, 4) AS DECIMAL(18, 4))"
    if name in PREFIXED:
        return f"{literal(context.name + ':')} || {value}"
    if name == "email":
        return f"lower({value})"
    if name == "phone":
        return f"coalesce({normalised_sql(name, value, country=context.file_country)}, {value})"
    return value


def _may_fail(table: Table, name: str, column: ColumnSpec) -> bool:
    type = type_of(table, name)
    return (type != "string" and not type.startswith("list")) or (bool(column.map) and column.otherwise == "fault")


def _fault_test(name: str, column: ColumnSpec) -> tuple[str, str]:
    """When a filled cell gave no value, and what is told of it."""
    text, value = quoted("t:" + name), quoted(name)
    excused = f" AND {mapped_sql(text, column)} IS NOT NULL" if column.map and column.otherwise == "null" else ""
    return f"{text} IS NOT NULL AND {value} IS NULL{excused}", f"{literal(name + SEPARATOR)} || {text}"


def _sign_test(name: str) -> tuple[str, str]:
    """When an amount bears the sign of another currency than the row's, and what is told of it."""
    text = quoted("t:" + name)
    sign = cells.money_sign(text)
    return f"NOT regexp_full_match({text}, '[0-9.,-]*') AND {sign} <> _currency", f"'_sign{SEPARATOR}' || {sign} || ', not ' || _currency"
