"""Typed rows into canonical rows: clocks, local days, money in the workspace's currency, identifier keys, kinds; and what is wrong with a row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kundig.collect import cells, money
from kundig.collect.identifiers import few, literal, people_sql, quoted
from kundig.collect.mapping import LENIENT, SEPARATOR, UNDATED, Context, money_columns, named_columns, named_sql, spec, type_of, typed_sql
from kundig.collect.sources import sniff
from kundig.collect.sources.raw import Broken, Connection, Raw
from kundig.config.collect import Landing
from kundig.errors import Fault, SourceError, nearest
from kundig.schema import Table

Existing = Callable[[str], str | None]
"""The relation of a table's landed rows, as SQL for FROM; None where nothing has landed."""

SPOKEN = ("given", "requested", "confirmed", "withdrawn", "objected", "contract", "customer", "legitimate_interest")
"""Statuses a consent record may have."""

STRUCTURAL = 0.5
"""From this share of unreadable cells on, the mapping is wrong and not the row: the file is refused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Canonical:
    """The canonical rows of one landing: a temporary table (or view), its identifier columns, and the rows that did not become one."""

    relation: str
    table: Table
    namespaces: tuple[str, ...]
    broken: tuple[Broken, ...] = ()
    callers: str = ""
    """Temporary table that holds `_n<n>` and `_k<n>` once per caller, where the rows have only the number of theirs, `_caller`."""
    undated: bool = False
    """The rows bear the moment of the import for want of one of their own: a later one alone makes no newer row."""
    stored: str = ""
    """Of a view: the temporary table each of whose rows is one of its rows, with its key, `received_at`, `occurred_at` and `_caller`; to count and to delete from."""
    order: str = "_file, _row"
    """Columns that tell which of two rows that arrived at once stands first."""
    derived: bool = False
    """Made from other rows of the same import: what it repeats is no record sent again."""


def canonical(con: Connection, context: Context, landing: Landing, table: Table, raw: Raw, paths: Sequence[Any], existing: Existing, *, name: str, strict: bool) -> Canonical:
    """The canonical rows of one landing of an input, in the temporary table `name`.

    The table holds every declared column but `batch_id`, and `_file`, `_row`, `_caller` (a row of the temporary table of people) and `_cancels`.

    Args:
        con: DuckDB connection.
        context: The source, input and workspace.
        landing: The landing.
        table: The canonical table.
        raw: The raw relation.
        paths: The files, for messages.
        existing: Landed rows of other tables (orders, exchange rates).
        name: Name of the temporary table.
        strict: Refuse the files where most cells of a column cannot be read; without it each row stands alone (replay).

    Raises:
        SourceError: Most cells of a column cannot be read.
    """
    named = named_columns(context, landing)
    people = f"{name}_people" if named else ""
    if named:
        query = people_sql(named, named_sql(context, landing, raw.relation), country=context.file_country, rules=context.rules)
        con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(people)} AS {query}")
    nobodys = typed_sql(context, landing, table, raw.relation, raw.columns)
    unpriced = _price(con, context, landing, table, existing, nobodys)
    typed = typed_sql(context, landing, table, raw.relation, raw.columns, people) if named else nobodys
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS {_canonical_sql(context, landing, table, existing, unpriced, typed)}")
    faulty, odd = con.execute(f"SELECT count(*) FILTER (len(_faults) > 0), coalesce(bool_or(_odd), false) FROM {quoted(name)}").fetchone()
    if strict and odd:
        _refuse_structural(con, context, landing, table, paths, nobodys)
    if strict and unpriced:
        _refuse_currency(con, context, name, paths)
    broken = tuple(_broken(con, context, table, name, raw, unpriced)) if faulty else ()
    if broken:
        con.execute(f"DELETE FROM {quoted(name)} WHERE len(_faults) > 0")
    if strict and table.name == "ad_spend":
        _refuse_finer(con, name, paths)
    return Canonical(relation=name, table=table, namespaces=tuple(one.namespace for one in named), broken=broken, callers=people, undated=table.name in UNDATED and "occurred_at" not in landing.columns)


def _refuse_finer(con: Connection, name: str, paths: Sequence[Any]) -> None:
    """Refuse a report that parts a campaign's day into several amounts: the last one would stand for all of them."""
    sql = f"SELECT _file, CAST(local_day AS VARCHAR), campaign, count(*) AS n FROM {quoted(name)} GROUP BY _file, local_day, platform, campaign HAVING count(DISTINCT amount) > 1 ORDER BY ALL LIMIT 1"
    found = con.execute(sql).fetchone()
    if found is not None:
        file, day, campaign, rows = found
        what = f"the report has {rows} rows with several amounts for the campaign '{campaign}' on {day}"
        raise SourceError(what, at=str(paths[file]), mend="export it by campaign and day, or make `campaign` of campaign and ad group: {concat: [Campaign, Ad group], with: ' / '}")


def _refuse_structural(con: Connection, context: Context, landing: Landing, table: Table, paths: Sequence[Any], typed: str) -> None:
    """Refuse files where most cells of a column cannot be read; `typed` is the query of their rows."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE _typed AS {typed}")
    counted = con.execute(
        f"SELECT split_part(f, '{SEPARATOR}', 1) AS c, count(*), list(split_part(f, '{SEPARATOR}', 2))[:200] FROM (SELECT unnest(_faults) AS f FROM _typed) GROUP BY c ORDER BY c"
    ).fetchall()
    faults: list[Fault] = []
    at = ", ".join(str(path) for path in paths[:3]) + (" …" if len(paths) > 3 else "")
    for column, wrong, values in counted:
        if column == "_sign":
            if wrong >= 2 and wrong >= STRUCTURAL * con.execute("SELECT count(*) FROM _typed").fetchone()[0]:
                faults.append(Fault(what=f"the amounts are in {values[0]} as the mapping says", at=at, mend=f"write currency: {values[0][:3]} in the source's mapping"))
            continue
        filled = con.execute(f"SELECT count({quoted('t:' + column)}), count(*) FROM _typed").fetchone()
        empty = not any(values)
        whole = filled[1] if empty else filled[0]
        if wrong < 2 or wrong < STRUCTURAL * whole:
            continue
        picked = spec(landing.columns[column])
        origin = ", ".join(f"'{pick}'" for pick in picked.picks) or f"'{column}'"
        if empty:
            faults.append(Fault(what=f"column {origin} is empty in {wrong:,} of {whole:,} rows, and '{column}' needs it", at=at, mend="map another column"))
            continue
        example = next(value for value in values if value)
        type = type_of(table, column)
        what = f"column {origin} holds '{example}', which is no {_named(type)} as the mapping says ({wrong:,} of {whole:,} cells)"
        faults.append(Fault(what=what, at=at, mend=_format_mend(type, values, picked.map)))
    con.execute("DROP TABLE _typed")
    if faults:
        raise SourceError(faults=faults)


def _named(type: str) -> str:
    return {"timestamp": "moment", "date": "date", "int64": "whole number", "bool": "yes or no", "string": "known value"}.get(type, "number")


def _format_mend(type: str, values: Sequence[str], known: Iterable[str]) -> str:
    if type in ("timestamp", "date"):
        formats = sniff.date_formats(values, least=0.6)
        return f"write dates: [{', '.join(repr(f) for f in formats)}] in the input's mapping" if formats else "write the format under dates, such as '%d.%m.%Y'"
    if type == "string":
        return nearest(next(value for value in values if value), known)
    marks = sniff.decimal_marks(values, least=0.6)
    return f"write decimal: '{marks[0]}' in the input's mapping" if marks else "map another column: these are no numbers"


def _foreign(context: Context, landing: Landing, table: Table) -> bool:
    """Whether an amount may be in another currency than the workspace's."""
    return bool(money_columns(table)) and (bool(landing.from_order or context.given.currency_column) or context.file_currency != context.currency)


def _price(con: Connection, context: Context, landing: Landing, table: Table, existing: Existing, typed: str) -> frozenset[tuple[dt.date, str]]:
    """Fill the temporary table `_rates`; the pairs of day and currency that have no rate. `typed` is the query of the rows."""
    con.execute("CREATE OR REPLACE TEMP TABLE _rates (local_day DATE, currency VARCHAR, rate DOUBLE, source VARCHAR)")
    if not _foreign(context, landing, table):
        return frozenset()
    day = _day_sql(context, table, landing)
    joined, code = _order_join(landing, existing, context)
    pairs = con.execute(f"SELECT DISTINCT {day}, {code} FROM ({typed}) t {joined} WHERE {code} <> {literal(context.currency)} AND {day} IS NOT NULL").fetchall()
    return fill_rates(con, pairs, context.currency, existing)


def fill_rates(con: Connection, pairs: Iterable[tuple[dt.date, str]], currency: str, existing: Existing) -> frozenset[tuple[dt.date, str]]:
    """Put the rates of these days and currencies into `_rates` (new ones carry their source); returns the pairs without one."""
    needed = sorted(set(pairs))
    if not needed:
        return frozenset()
    landed = existing("exchange_rates")
    own = {(day, code): rate for day, code, rate in con.execute(f"SELECT local_day, currency, rate FROM {landed}").fetchall()} if landed else {}
    found, missing = money.rates(needed, currency, own)
    con.register("_found", found)
    con.execute("INSERT INTO _rates SELECT * FROM _found")
    con.unregister("_found")
    known = [{"local_day": day, "currency": code, "rate": own[day, code], "source": ""} for day, code in needed if (day, code) in own]
    if known:
        con.register("_found", pa.Table.from_pylist(known, schema=money.SCHEMA))
        con.execute("INSERT INTO _rates SELECT * FROM _found")
        con.unregister("_found")
    return missing


def _day_sql(context: Context, table: Table, landing: Landing) -> str:
    if landing.from_order:
        return "o.local_day"
    if "local_day" in landing.columns:
        return 't."local_day"'
    return f"CAST(timezone({literal(context.zone)}, t.\"occurred_at\") AS DATE)" if "occurred_at" in landing.columns else "CAST(NULL AS DATE)"


def _order_join(landing: Landing, existing: Existing, context: Context) -> tuple[str, str]:
    """The join that brings a line its order, and the expression of the row's currency."""
    if not landing.from_order:
        return "", "t._currency"
    orders = existing("orders") or "(SELECT NULL::VARCHAR AS order_id, NULL::DATE AS local_day, NULL::VARCHAR AS original_currency, NULL::TIMESTAMPTZ AS occurred_at, NULL::TIMESTAMPTZ AS received_at, NULL::BIGINT AS identifier_key, NULL::BIGINT[] AS other_keys WHERE false)"
    own = "t._currency" if context.given.currency_column else "coalesce(o.original_currency, t._currency)"
    return f'LEFT JOIN {orders} o ON o.order_id = t."order_id"', own


def _canonical_sql(context: Context, landing: Landing, table: Table, existing: Existing, unpriced: frozenset[tuple[dt.date, str]], typed: str) -> str:
    mapped = set(landing.columns)
    joined, code = _order_join(landing, existing, context)
    day = _day_sql(context, table, landing)
    amounts = set(money_columns(table))
    foreign = _foreign(context, landing, table)
    rate = f"CASE WHEN {code} = {literal(context.currency)} THEN 1.0 ELSE r.rate END"
    if foreign:
        joined += f" LEFT JOIN _rates r ON r.local_day = {day} AND r.currency = {code}"
    columns = []
    for column in table.columns:
        if column.name == "batch_id":
            continue
        made = _column_sql(context, landing, table, column.name, mapped, code, day)
        if foreign and column.name in amounts:
            made = f"CASE WHEN {code} = {literal(context.currency)} THEN {made} ELSE CAST(CAST({made} AS DOUBLE) * ({rate}) AS DECIMAL(18, 4)) END"
        columns.append(f"CAST({made} AS {cells.DUCK_TYPES[column.type]}) AS {quoted(column.name)}")
    columns.append("t._caller")
    columns += [f"t.{quoted('o:' + name)} AS {quoted('o:' + name)}" for name in landing.orders or ()]
    if "occurred_at" not in table.names:
        columns.append(f"CAST({'t.occurred_at' if 'occurred_at' in mapped else 'NULL'} AS TIMESTAMPTZ) AS _occurred")
    excused = ", ".join(literal(name) for name in sorted(LENIENT & mapped))
    faults = f"CASE WHEN len(t._faults) = 0 THEN t._faults ELSE list_filter(t._faults, x -> split_part(x, '{SEPARATOR}', 1) NOT IN ({excused})) END" if excused else "t._faults"
    if landing.from_order:
        faults = f"CASE WHEN o.order_id IS NULL AND t.order_id IS NOT NULL THEN list_append({faults}, 'order_id{SEPARATOR}' || t.order_id) ELSE {faults} END"
    if table.name == "consent_records":
        unspoken = " AND ".join(f"t.status NOT IN ({', '.join(map(literal, some))})" for some in few(SPOKEN))
        nobody = f"{_keys_sql(landing, 'identifier_key')} IS NULL"
        told = f"[CASE WHEN {unspoken} THEN 'status{SEPARATOR}' || t.status END, CASE WHEN {nobody} THEN 'identifier_key{SEPARATOR}' END]"
        faults = f"CASE WHEN ({unspoken}) OR {nobody} THEN list_concat({faults}, list_filter({told}, x -> x IS NOT NULL)) ELSE {faults} END"
    if unpriced:
        any_amount = " OR ".join(f't.{quoted(name)} IS NOT NULL' for name in sorted(amounts & mapped)) or "false"
        faults = f"CASE WHEN ({rate}) IS NULL AND ({any_amount}) THEN list_append({faults}, '_currency{SEPARATOR}' || {code}) ELSE {faults} END"
    return f"SELECT t._file, t._row, t._cancels, {', '.join(columns)}, {faults} AS _faults, len(t._faults) > 0 AS _odd FROM ({typed}) t {joined}"


def _column_sql(context: Context, landing: Landing, table: Table, name: str, mapped: set[str], code: str, day: str) -> str:
    own = f"t.{quoted(name)}"
    has = own if name in mapped else "NULL"
    if name == "source":
        return literal(context.name)
    if name == "occurred_at":
        return "o.occurred_at" if landing.from_order else _now_sql(context) if name not in mapped and table.name in UNDATED else has
    if table.name == "orders" and name in ("gross", "net", "tax", "shipping") and {"refunded", "gross"} <= mapped:
        whole = _column_sql(context, landing, table, name, mapped - {"refunded"}, code, day)
        kept = f"CAST(round(CAST({whole} AS DOUBLE) * (1 - CAST(coalesce(abs(t.refunded), 0) AS DOUBLE) / CAST(t.gross AS DOUBLE)), 4) AS DECIMAL(18, 4))"
        return f"CASE WHEN t.gross <> 0 AND t.refunded <> 0 THEN {kept} ELSE {whole} END"
    if name == "received_at":
        return _received_sql(context, landing, mapped)
    if name == "local_day":
        return day
    if name in ("identifier_key", "other_keys"):
        return _keys_sql(landing, name)
    if name == "referred_key":
        return "NULL" if landing.referred is None else f"('0x' || substr(md5({literal(landing.referred.namespace + ':')} || t._referred), 1, 15))::BIGINT"
    if name == "attributes":
        return _attributes_sql(landing, mapped)
    if name == "original_currency":
        return f"coalesce({has}, {code})"
    if name == "line_kind":
        return f"coalesce({has}, t._kind)"
    if name == "status" and table.name == "orders":
        returned = f" WHEN t.refunded <> 0 AND coalesce({has}, 'completed') = 'completed' THEN 'returned'" if "refunded" in mapped else ""
        return f"CASE WHEN t._cancels THEN 'cancelled'{returned} ELSE coalesce({has}, 'completed') END"
    if table.name == "orders" and name == "net" and name not in mapped and "gross" in mapped:
        return "t.gross" + "".join(f" - coalesce(t.{part}, 0)" for part in ("tax", "shipping") if part in mapped)
    if table.name == "orders" and name == "gross" and name not in mapped and "net" in mapped:
        return "t.net" + "".join(f" + coalesce(t.{part}, 0)" for part in ("tax", "shipping") if part in mapped)
    if table.name == "order_lines" and name in ("net", "gross", "product_cost") and name not in mapped:
        return _line_amount_sql(name, mapped)
    if table.name == "order_lines" and name == "unit_price" and name not in mapped and "net" in mapped:
        return "CASE WHEN t.quantity <> 0 THEN round(CAST(t.net AS DOUBLE) / CAST(t.quantity AS DOUBLE), 4) END"
    if table.name == "contacts" and name == "kind":
        return f"coalesce({has}, 'customer')"
    if table.name == "products" and name == "active":
        return f"coalesce({has}, true)"
    if table.name == "stock_levels" and name == "place":
        return f"coalesce({has}, '')"
    return has


def _line_amount_sql(name: str, mapped: set[str]) -> str:
    """A line's value with or without tax, or its cost, from quantity, price, discount (positive, of the whole line), tax rate and unit cost."""
    if name == "product_cost":
        return "CAST(round(t.quantity * t.unit_cost, 4) AS DECIMAL(18, 4))" if "unit_cost" in mapped else "NULL"
    if "unit_price" not in mapped:
        return "NULL"
    discount = " - coalesce(abs(t.discount), 0) * sign(t.quantity)" if "discount" in mapped else ""
    value = f"(t.quantity * t.unit_price{discount})"
    if "tax_rate" not in mapped:
        return "NULL" if name == "gross" else f"CAST(round({value}, 4) AS DECIMAL(18, 4))"
    if name == "gross":
        return f"CAST(round({value}, 4) AS DECIMAL(18, 4))"
    rate = "(CASE WHEN t.tax_rate >= 1 THEN t.tax_rate / 100 ELSE coalesce(t.tax_rate, 0) END)"
    return f"CAST(round(CAST({value} AS DOUBLE) / (1 + {rate}), 4) AS DECIMAL(18, 4))"


def _now_sql(context: Context) -> str:
    return f"TIMESTAMPTZ '{context.now.astimezone(dt.UTC).isoformat(sep=' ')}'"


def _received_sql(context: Context, landing: Landing, mapped: set[str]) -> str:
    how = landing.received_at or context.source.received_at
    now = _now_sql(context)
    occurred = "o.occurred_at" if landing.from_order else "t.occurred_at" if "occurred_at" in mapped else "NULL"
    if how == "import":
        return now
    if how == "as_occurred":
        return "o.received_at" if landing.from_order else f"coalesce({occurred}, {now})"
    read = cells.moment("t._received", formats=context.dates, zone=context.file_zone)
    return f"greatest(coalesce({read}, {now}), {occurred})"


def _keys_sql(landing: Landing, name: str) -> str:
    if not landing.identifiers:
        return f"o.{name}" if landing.from_order else "NULL" if name == "identifier_key" else "[]::BIGINT[]"
    if name == "other_keys":
        return "t._others"
    return "coalesce(t._key, o.identifier_key)" if landing.from_order else "t._key"


def _attributes_sql(landing: Landing, mapped: set[str]) -> str:
    lenient = sorted((LENIENT & mapped) - {"hobbies"})
    if not lenient:
        return "nullif(CAST(t._attributes AS VARCHAR), '{}')::JSON"
    tests = [(name, f"t.{quoted(name)} IS NULL AND t.{quoted('t:' + name)} IS NOT NULL") for name in lenient]
    unread = ", ".join(f"{literal(name)}, CASE WHEN {test} THEN t.{quoted('t:' + name)} END" for name, test in tests)
    kept = f"nullif(CAST(json_merge_patch(coalesce(t._attributes, '{{}}'), json_object({unread})) AS VARCHAR), '{{}}')::JSON"
    return kept if landing.attributes else f"CASE WHEN {' OR '.join(f'({test})' for _, test in tests)} THEN {kept} END"


def _refuse_currency(con: Connection, context: Context, name: str, paths: Sequence[Any]) -> None:
    wrong, whole = con.execute(f"SELECT count(*) FILTER (list_contains(list_transform(_faults, x -> split_part(x, '{SEPARATOR}', 1)), '_currency')), count(*) FROM {quoted(name)}").fetchone()
    if wrong < 2 or wrong < STRUCTURAL * whole:
        return
    code = con.execute(f"SELECT split_part(f, '{SEPARATOR}', 2) FROM (SELECT unnest(_faults) AS f FROM {quoted(name)}) WHERE starts_with(f, '_currency') LIMIT 1").fetchone()[0]
    at = ", ".join(str(path) for path in paths[:3])
    raise SourceError(f"no rate is known for the currency '{code}' ({wrong:,} of {whole:,} rows)", at=at, mend=currency_mend(code, context.currency))


def currency_mend(code: str, into: str) -> str:
    """How to mend a currency without a rate: the nearest code, or where to put the rate."""
    known = money.known_currencies()
    if code not in known:
        return f"{nearest(code, known, most=8)}; or land its rates in exchange_rates"
    return f"the newest rate is too old: land rates of {code} in {into} in exchange_rates, then kundig quarantine replay"


def _broken(con: Connection, context: Context, table: Table, name: str, raw: Raw, unpriced: frozenset[tuple[dt.date, str]]) -> Iterable[Broken]:
    found = con.execute(f"SELECT c._file, c._row, c._faults, {'c.identifier_key' if 'identifier_key' in table.names else 'NULL'}, CAST(json_merge_patch(to_json(r), json_object('_file', NULL, '_row', NULL)) AS VARCHAR) FROM {quoted(name)} c JOIN {quoted(raw.relation)} r USING (_file, _row) WHERE len(c._faults) > 0 ORDER BY 1, 2").fetchall()
    for file, row, faults, key, body in found:
        column, _, value = faults[0].partition(SEPARATOR)
        what, mend = _row_fault(context, table, column, value)
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        yield Broken(file=file, row=row, what=what + more, mend=mend, body=body, stage="mapping", identifier_key=key)


def _row_fault(context: Context, table: Table, column: str, value: str) -> tuple[str, str]:
    if column == "_currency":
        return f"no rate is known for the currency '{value}' on that day", currency_mend(value, context.currency)
    if column == "_sign":
        return f"the amount is in {value} as the mapping says", "mend the cell: kundig quarantine fix, or the mapping's currency"
    if column == "order_id" and value:
        return f"its order '{value}' has not landed", "import the orders first, then kundig quarantine replay"
    if not value:
        return f"'{column}' of '{table.name}' is empty", "fill it: kundig quarantine fix"
    if table.name == "consent_records" and column == "status":
        return f"the consent's status is '{value[:80]}'", f"{nearest(value, SPOKEN)}; map it under columns.status.map"
    type = type_of(table, column)
    return f"'{column}' is '{value[:80]}', which is no {_named(type)} as the mapping says", "mend the cell: kundig quarantine fix, then replay"
