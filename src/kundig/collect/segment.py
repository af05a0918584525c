"""Segment's JSON lines into events and contacts: parsed once by DuckDB with given columns, judged by predicates, in one pass.

Only when something is wrong are the lines read a second time, to say which line and why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from kundig.collect import agents, cells, channels, pages
from kundig.collect.identifiers import Named, few, key_sql, literal, normalised_sql, people_sql, quoted
from kundig.collect.mapping import Context
from kundig.collect.parts import apart, lines_before
from kundig.collect.rows import STRUCTURAL, Canonical, Existing, fill_rates
from kundig.collect.sources.raw import Broken, Connection
from kundig.collect.sources.readers import LINE_LIMIT, json_path, store_lines
from kundig.collect.tracking_plan import Plan, holding_sql, marked_sql, property_sql, spellings, violations_sql
from kundig.config.collect import SegmentSpec
from kundig.errors import SourceError
from kundig.schema import Table, snake
from kundig.tables.collect import CONTACTS

KINDS = ("track", "identify", "page", "screen", "group", "alias")

CALLS = {"page": "page_viewed", "screen": "screen_viewed", "identify": "identify", "group": "group", "alias": "alias"}
"""Names of events that are no track call."""

STRUCTURE: dict[str, object] = {
    "messageId": "VARCHAR", "type": "VARCHAR", "event": "VARCHAR", "userId": "VARCHAR", "anonymousId": "VARCHAR", "timestamp": "VARCHAR",
    "originalTimestamp": "VARCHAR", "sentAt": "VARCHAR", "receivedAt": "VARCHAR", "properties": "JSON", "traits": "JSON", "channel": "VARCHAR",
    "context": {
        "page": {"path": "VARCHAR", "url": "VARCHAR", "referrer": "VARCHAR", "title": "VARCHAR"}, "campaign": {"name": "VARCHAR", "source": "VARCHAR", "medium": "VARCHAR"},
        "device": {"id": "VARCHAR", "type": "VARCHAR"}, "os": {"name": "VARCHAR"}, "traits": {"email": "VARCHAR"}, "sessionId": "VARCHAR", "userAgent": "VARCHAR",
    },
}  # fmt: skip
"""What is read of a line; the rest is skipped unparsed."""

LINE_USUAL = 16 * 1024 * 1024
"""Longest line in bytes that is read at first: what a longer one needs would be cleared and paged in for every file."""

LARGEST = 32_768
"""Bytes of properties beyond which an event is held."""

REASONS: dict[str, tuple[str, str]] = {
    "json": ("the line is no JSON object", "mend the line: one object in braces"),
    "type": ("'type' is none of " + ", ".join(KINDS), "mend `type`"),
    "ids": ("the call names nobody: neither userId nor anonymousId", "send one of the two; kundig quarantine fix, then replay"),
    "timestamp": ("no moment can be read from timestamp or originalTimestamp", "write it as 2026-01-31T12:00:00Z"),
    "event": ("a track call without `event`", "name the event"),
    "size": (f"its properties are larger than {LARGEST:,} bytes", "send less; large texts do not belong into events"),
    "currency": ("no rate is known for its currency on that day", "mend `currency`, or land its rates in exchange_rates, then replay"),
}
"""What is wrong with a held line, and the mend."""

VALUES = ("revenue", "total", "value", "price")
"""Properties that are an event's amount where the plan names none."""

TRAITS: dict[str, tuple[str, ...]] = {
    "salutation": ("salutation",), "title": ("title",), "first_name": ("first_name", "firstName", "firstname"), "last_name": ("last_name", "lastName", "lastname"),
    "email": ("email", "e_mail"), "phone": ("phone", "phone_number", "mobile"), "street": ("street", "address.street"), "house_number": ("house_number", "houseNumber"),
    "postcode": ("postcode", "zip", "address.postalCode", "address.zip"), "city": ("city", "address.city"), "country": ("country", "address.country"),
    "birth_date": ("birth_date", "birthday", "birthDate"), "gender": ("gender",), "language": ("language", "locale"), "age": ("age",),
    "company": ("company.name", "company"), "company_size": ("company_size", "company.employee_count"), "job_title": ("job_title", "title", "jobTitle"),
    "industry": ("industry", "company.industry"), "lead_source": ("lead_source", "leadSource"), "acquisition_channel": ("acquisition_channel",),
}  # fmt: skip
"""Columns of contacts and the traits they are read from, first that is there."""


def read_segment(con: Connection, context: Context, plan: Plan, paths: Sequence[Path], existing: Existing, *, table: Table, name: str, strict: bool = True, part: tuple[int, int] | None = None, folder: Path | None = None) -> tuple[Canonical, Canonical | None]:
    """Events (temporary view `name` over the lines, which are read once and written once), and the contacts of identify calls (`name`_contacts) where they are kept.

    Args:
        con: DuckDB connection.
        context: Source, input and workspace.
        plan: The tracking plan.
        paths: Files of JSON lines.
        existing: Landed exchange rates.
        table: `events` with the plan's columns.
        name: Name of the temporary view.
        strict: Refuse files most of whose lines are no calls; without it each stands alone (replay).
        part: Of one file, what lies from the first number up to before the second alone: rows of Parquet, bytes of lines.
        folder: Where a part of lines is laid down while it is read; the system's temporary one by default.

    Raises:
        SourceError: A file is empty, cut, or not made of JSON lines.
    """
    given = context.given.segment or SegmentSpec()
    paths = sorted(paths, key=lambda path: path.suffix == ".parquet")
    _refuse_empty(paths)
    with apart(paths, part, folder) as read:
        try:
            faulty = _judge(con, context, given, plan, existing, table, name, _given_columns(read, LINE_USUAL, part), numbered=False)
        except Exception as error:
            if "maximum_object_size" not in str(error):
                raise
            faulty = _judge(con, context, given, plan, existing, table, name, _given_columns(read, LINE_LIMIT, part), numbered=False)
        if faulty:
            before = lines_before(paths[0], part[0]) if part is not None and read != paths else 0
            _judge(con, context, given, plan, existing, table, name, _numbered_lines(con, read, part, before), numbered=True)
    broken: tuple[Broken, ...] = ()
    if faulty:
        broken = tuple(_explained(con))
        if strict:
            _refuse_foreign(con, broken, paths)
        con.execute("DELETE FROM _lines WHERE rowid IN (SELECT _id FROM _faulty)")
        con.execute("DROP TABLE _numbered")
    contacts = _contacts(con, context, given, name) if given.contacts else None
    return Canonical(relation=name, table=table, namespaces=_namespaces(context, given), broken=broken, callers="_callers", stored="_lines", order="_file, _row" if faulty else "rowid"), contacts


def _judge(
    con: Connection, context: Context, given: SegmentSpec, plan: Plan, existing: Existing, table: Table, name: str, source: str, *, numbered: bool
) -> int:
    """Lay the source's lines down in `_lines`, with the view `name` of the events they are, and `_faulty` with those that cannot be taken; how many these are.

    What depends on few values (who calls, from which page, on which day, under which name) is worked out once per value and joined.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE _lines AS {_lines_sql(context, given, plan, source, numbered=numbered)}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE _callers AS {_callers_sql(context, given)}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE _pages AS {_pages_sql(given)}")
    _tell_apart(con, "_callers", "_caller", _CALLER)
    con.execute(f"CREATE OR REPLACE TEMP TABLE _agents AS {_agents_sql()}")
    _tell_apart(con, "_pages", "_page", _PAGE)
    _tell_apart(con, "_agents", "_agent", _AGENT)
    con.execute(f"CREATE OR REPLACE TEMP TABLE _days AS {_days_sql(context)}")
    con.execute("CREATE OR REPLACE TEMP TABLE _rates (local_day DATE, currency VARCHAR, rate DOUBLE, source VARCHAR)")
    pairs = con.execute(f"SELECT DISTINCT {_day_sql(context)}, currency FROM _lines l {_JOINED_DAY} WHERE currency <> {literal(context.currency)} AND priced AND occurred_at IS NOT NULL").fetchall()
    unpriced = fill_rates(con, pairs, context.currency, existing)
    whole = _names(con, given)
    nameless, without = con.execute("SELECT count(*) - count(event_id), count(*) FILTER (occurred_at IS NULL OR too_large) FROM _lines").fetchone()
    nobody = con.execute("SELECT count(*) FROM _callers WHERE identifier_key IS NULL").fetchone()[0]
    con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {_events_sql(context, given, plan, table, numbered=numbered, priced=bool(pairs))}")
    if nameless:
        said = f"{literal(context.name + ':md5-')} || md5(concat_ws('|', e.kind, e.name, c.said, e.occurred_at, e.rest))"
        con.execute(f"UPDATE _lines SET event_id = {said} FROM {quoted(name)} e JOIN _callers c USING (_caller) WHERE _lines.rowid = e._id AND _lines.event_id IS NULL")
    if whole and not (without or nobody or unpriced or holding_sql(plan, context.name)):
        return 0
    con.execute(f"CREATE OR REPLACE TEMP TABLE _faulty AS SELECT _id, _file, _row, _fault, identifier_key FROM {quoted(name)} WHERE _fault IS NOT NULL")
    return int(con.execute("SELECT count(*) FROM _faulty").fetchone()[0])


def hashed(columns: Sequence[str]) -> str:
    """SQL of a number for what these columns hold together. Two combinations may have the same one: `_tell_apart` sees to it."""
    return f"hash({', '.join(columns)})"


def _tell_apart(con: Connection, values: str, number: str, columns: Sequence[str]) -> None:
    """Give each row of `values` a number of its own, and the lines that hold the same in these columns too, where hashes met."""
    if not con.execute(f"SELECT count(*) - count(DISTINCT {number}) FROM {values}").fetchone()[0]:
        return
    same = " AND ".join(f"l.{column} IS NOT DISTINCT FROM v.{column}" for column in columns)
    con.execute(f"UPDATE {values} SET {number} = rowid")
    con.execute(f"UPDATE _lines l SET {number} = v.{number} FROM {values} v WHERE {same}")


def _given_columns(paths: Sequence[Path], longest: int, part: tuple[int, int] | None) -> str:
    """The files parsed with given columns: what is broken beyond parsing comes as a row of nulls. `longest` is the longest line in bytes."""
    lines = [path for path in paths if path.suffix != ".parquet"]
    stored = [path for path in paths if path.suffix == ".parquet"]
    parts = []
    if lines:
        columns = ", ".join(f"{column}: {literal(_type(type))}" for column, type in STRUCTURE.items())
        parts.append(f"SELECT * FROM read_json([{_listed(lines)}], format='newline_delimited', columns={{{columns}}}, ignore_errors=true, maximum_object_size={longest})")
    if stored:
        body = "CASE WHEN json_valid(body) THEN body ELSE '{}' END"
        parts.append(f"SELECT unnest(from_json({body}, {literal(json.dumps(STRUCTURE))})) FROM read_parquet([{_listed(stored)}], file_row_number=true){_within(part)}")
    return "(" + " UNION ALL ".join(parts) + ")"


def _within(part: tuple[int, int] | None) -> str:
    return f" WHERE file_row_number >= {part[0]} AND file_row_number < {part[1]}" if part is not None else ""


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(literal(str(path)) for path in paths)


def _type(structure: object) -> str:
    if isinstance(structure, dict):
        return "STRUCT(" + ", ".join(f"{name} {_type(type)}" for name, type in structure.items()) + ")"
    return str(structure)


def _numbered_lines(con: Connection, paths: Sequence[Path], part: tuple[int, int] | None, before: int) -> str:
    """The same columns beside each line and its number, `before` lines further on than in the files; slower."""
    plain = [path for path in paths if path.suffix != ".parquet"]
    store_lines(con, "_text_lines", plain)
    for path in paths:
        if path.suffix == ".parquet":
            con.execute(f"INSERT INTO _text_lines SELECT {paths.index(path)}, file_row_number + 1, body, true FROM read_parquet({literal(str(path))}, file_row_number=true){_within(part)}")
    whole = "readable AND CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"
    con.execute(f"CREATE OR REPLACE TEMP TABLE _numbered AS SELECT _file, _row + {before} AS _row, line, {whole} AS whole FROM _text_lines")
    con.execute("DROP TABLE _text_lines")
    return f"(SELECT _file, _row, line, whole, unnest(from_json(CASE WHEN whole THEN line ELSE '{{}}' END, {literal(json.dumps(STRUCTURE))})) FROM _numbered)"


def _explained(con: Connection) -> Iterator[Broken]:
    """The rows that are held, with what is wrong and how to mend it."""
    rows = con.execute("SELECT e._file, e._row, CASE WHEN n.whole THEN e._fault ELSE 'json' END, n.line, e.identifier_key FROM _faulty e JOIN _numbered n USING (_file, _row) ORDER BY 1, 2")
    for file, row, fault, body, key in rows.fetchall():
        what, mend = REASONS.get(fault, (f"the tracking plan is broken: {fault}", "mend the tracker, or the plan; kundig quarantine fix, then replay"))
        yield Broken(file=file, row=row, what=what, mend=mend, body=body, stage="decode" if fault == "json" else "contract", identifier_key=key)


def _refuse_foreign(con: Connection, broken: Sequence[Broken], paths: Sequence[Path]) -> None:
    wrong, whole = con.execute("SELECT count(*) FILTER (_fault IN ('type', 'ids', 'timestamp')), (SELECT count(*) FROM _lines) FROM _faulty").fetchone()
    if wrong >= 2 and wrong >= STRUCTURAL * whole:
        what = f"{wrong:,} of {whole:,} lines are no Segment calls, the first: {broken[0].what}"
        raise SourceError(what, at=str(paths[0]), mend="name the file's real format in the mapping (ndjson, json, csv)")


def _refuse_empty(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.suffix == ".parquet":
            continue
        with path.open("rb") as file:
            head = file.read(1)
            if not head:
                raise SourceError("the file is empty", at=str(path), mend="export it again")
            file.seek(-1, 2)
            if file.read(1) not in b"\n\r}":
                raise SourceError("the file ends in the middle of a line", at=str(path), mend="export it again, whole; nothing was taken from it")


def _namespaces(context: Context, given: SegmentSpec) -> tuple[str, ...]:
    return tuple(sorted((given.user_id, "email", "phone", given.anonymous_id, "device_id"), key=context.rules.rank))


_CALLER = ("user_id", "anonymous_id", "device_id", "email", "phone")
"""What `_lines` knows of who calls, as sent."""

_PAGE = ("url", "path", "referrer", "title", "campaign_name", "campaign_source", "campaign_medium", "os_name", "device", "sender")
"""What `_lines` knows of where a call was made, as sent."""

_AGENT = ("user_agent", "device", "os_name")
"""What `_lines` knows of the device a call was made with, as sent."""

_BUCKET = 900
"""Seconds in which a local day is looked up once; no zone goes there and back in less."""

_JOINED_DAY = f"LEFT JOIN _days d ON d.bucket = epoch_us(l.occurred_at) // {_BUCKET * 1_000_000}"


def _lines_sql(context: Context, given: SegmentSpec, plan: Plan, source: str, *, numbered: bool) -> str:
    """One row a line: moments, properties as texts, who calls and from where as it was sent, with a number for each of the two; nothing judged yet."""
    sent, received, stamp = (f"TRY_CAST({column} AS TIMESTAMPTZ)" for column in ('"sentAt"', '"receivedAt"', '"timestamp"'))
    original = 'TRY_CAST(coalesce("originalTimestamp", "timestamp") AS TIMESTAMPTZ)'
    corrected = "make_timestamptz(epoch_us(received_) - (epoch_us(sent_) - epoch_us(original_)))"
    when = "occurred" if context.source.received_at != "import" else f"TIMESTAMPTZ '{context.now.isoformat(sep=' ')}'"
    picks = _picks(plan)
    fields, apart = _fields(path for paths in picks.values() for path in paths)
    texts = {name: _first([_text(path, fields) for path in paths]) for name, paths in picks.items()}
    kept = "".join(f", {texts[name]} AS {quoted('p:' + name)}" for name in texts)
    rest = _rest_sql(given, plan, fields)
    currency = cells.currency(f"coalesce({texts['currency']}, {literal(context.file_currency)})")
    priced = " OR ".join(f"{texts[value]} IS NOT NULL" for value in VALUES)
    return f"""
WITH flat AS (
  SELECT * EXCLUDE (context), context.page.url AS url, context.page.path AS path, context.page.referrer AS referrer, context.page.title AS title, context.campaign.name AS campaign_name,
    context.campaign.source AS campaign_source, context.campaign.medium AS campaign_medium, context.device.id AS device_id, context.device.type AS device,
    context.os.name AS os_name, context.traits.email AS context_email, context.sessionId AS session, context.userAgent AS user_agent FROM {source}
), moments AS (
  SELECT *, {sent} AS sent_, {received} AS received_, {original} AS original_, from_json(properties, {literal(json.dumps(dict.fromkeys(fields, "VARCHAR")))}) AS p{apart} FROM flat
), corrected AS (
  SELECT *, coalesce({corrected}, {stamp}, original_) AS occurred FROM moments
), clocked AS (
  SELECT *, coalesce(received_, {when}) AS received, least(occurred, coalesce(received_, {when})) AS moment FROM corrected
)
SELECT *, {hashed(_CALLER)} AS _caller, {hashed(_PAGE)} AS _page, {hashed(_AGENT)} AS _agent FROM (
SELECT {"_file, _row, " if numbered else ""}{literal(context.name + ':')} || "messageId" AS event_id, type AS kind, event, moment AS occurred_at, greatest(received, moment) AS received_at{kept},
  {priced} AS priced, {currency} AS currency, CASE WHEN type <> 'identify' THEN {rest} END AS rest, length(properties) > {LARGEST} AS too_large, traits,
  "userId" AS user_id, "anonymousId" AS anonymous_id, device_id, CASE WHEN traits IS NOT NULL THEN json_extract_string(traits, '$.email') ELSE context_email END AS email,
  CASE WHEN traits IS NOT NULL THEN json_extract_string(traits, '$.phone') END AS phone, nullif(session, '') AS session,
  url, path, referrer, title, campaign_name, campaign_source, campaign_medium, os_name, device, channel AS sender, user_agent
FROM clocked)"""


def _picks(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Each property that is read, with the spellings it is read from."""
    return {name: (name,) for name in (*VALUES, "currency")} | {name: spellings(name, planned) for name, planned in plan.properties.items()}


def _fields(paths: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """The paths that one parse gives as fields of a struct `p`; the expressions of the others, which have dots or differ by case only."""
    fields: dict[str, str] = {}
    apart: list[str] = []
    for path in dict.fromkeys(paths):
        if "." not in path and path.lower() not in fields:
            fields[path.lower()] = path
        else:
            apart.append(f", json_extract_string(properties, {literal(json_path(path))}) AS {quoted('apart:' + path)}")
    return tuple(fields.values()), "".join(apart)


def _text(path: str, fields: Sequence[str]) -> str:
    return f"p.{quoted(path)}" if path in fields else quoted("apart:" + path)


def _first(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})"


def _rest_sql(given: SegmentSpec, plan: Plan, fields: Sequence[str]) -> str:
    """What is left of `properties` without the planned and the personal ones; NULL at once where nothing is.

    Where as many fields have a value as there are keys, there is no other key.
    """
    planned = [word for name, p in plan.properties.items() for word in spellings(name, p)]
    known = dict.fromkeys((*planned, *given.drop))
    if not known:
        return "properties"
    keys = "json_keys(properties)"
    both, short = (_nulls((*planned, *given.drop)), _nulls(planned))
    personal = ", ".join(map(literal, given.drop))
    cut = f"CASE WHEN list_has_any({keys}, [{personal}]) THEN json_merge_patch(properties, {both}) ELSE json_merge_patch(properties, {short}) END" if given.drop else f"json_merge_patch(properties, {short})"
    filled = " + ".join(f"(p.{quoted(word)} IS NOT NULL)::BIGINT" for word in known if word in fields) or "0"
    slow = f"CASE WHEN list_has_all([{', '.join(map(literal, known))}], {keys}) THEN NULL ELSE {cut} END"
    return f"CASE WHEN properties IS NULL OR len({keys}) = {filled} THEN NULL ELSE {slow} END"


def _nulls(words: Sequence[str]) -> str:
    """A JSON merge patch that takes these keys off."""
    return literal("{" + ", ".join(json.dumps(word) + ": null" for word in dict.fromkeys(words)) + "}")


def _callers_sql(context: Context, given: SegmentSpec) -> str:
    """Each caller as sent, with the values that count and their keys."""
    texts = {given.user_id: "user_id", given.anonymous_id: "anonymous_id", "device_id": "device_id", "email": "email", "phone": "phone"}
    named = tuple(Named(namespace=namespace, column=texts[namespace]) for namespace in _namespaces(context, given))
    said = ", ".join(f"_n{n}" for n in range(len(named)))
    people = people_sql(named, f"SELECT {', '.join(_CALLER)} FROM _lines", country=context.file_country, rules=context.rules)
    return f"SELECT * REPLACE ({hashed(_CALLER)} AS _caller), nullif(concat_ws('|', {said}), '') AS said FROM ({people})"


def _pages_sql(given: SegmentSpec) -> str:
    """Each page as sent, with its path, campaign, channel and platform."""
    channel = channels.channel_sql(click="click", source="utm_source", medium="utm_medium", host="host", seen="seen", own=given.hosts)
    platform = literal(given.platform) if given.platform else _platform_sql()
    return f"""
WITH parts AS (
  SELECT *, nullif(split_part(coalesce(path, regexp_extract(url, '^[a-z]+://[^/?#]+(/[^?#]*)', 1)), '?', 1), '') AS page_path,
    {pages.host_sql("url")} AS page_host, {pages.title_sql("title")} AS page_title, {pages.query_sql("url", given.query)} AS page_query, url IS NOT NULL OR path IS NOT NULL AS seen, coalesce(nullif(campaign_name, ''), {_parameter("url", "utm_campaign")}) AS campaign,
    coalesce(nullif(campaign_source, ''), {_parameter("url", "utm_source")}) AS utm_source, coalesce(nullif(campaign_medium, ''), {_parameter("url", "utm_medium")}) AS utm_medium,
    CASE WHEN contains(url, '?') THEN nullif(regexp_extract(url, '[?&]({'|'.join(channels.CLICK_IDS)})=', 1), '') END AS click,
    {pages.host_sql("referrer")} AS host, lower(coalesce(os_name, '')) AS os
  FROM (SELECT DISTINCT {', '.join(_PAGE)} FROM _lines)
)
SELECT *, {channels.medium_sql("channel")} AS medium FROM (
SELECT {', '.join(_PAGE)}, {hashed(_PAGE)} AS _page, page_host, page_path, page_title, page_query, host AS referrer_host, campaign, {channel} AS channel, {platform} AS platform FROM parts)"""


def _agents_sql() -> str:
    """Each device as sent, with its kind and its browser."""
    told = "CASE WHEN device IS NOT NULL THEN device WHEN lower(os_name) IN ('ios', 'ipados', 'android') THEN 'mobile' END"
    known = f"{agents.device_sql('user_agent', told=told)} AS kind, {agents.browser_sql('user_agent')} AS browser"
    return f"SELECT {', '.join(_AGENT)}, {hashed(_AGENT)} AS _agent, {known} FROM (SELECT DISTINCT {', '.join(_AGENT)} FROM _lines)"


def _days_sql(context: Context) -> str:
    """The local day of each stretch of time that has calls; NULL where a day ends or the clock changes within it."""
    size = _BUCKET * 1_000_000
    local = f"timezone({literal(context.zone)}, make_timestamptz({{}}))"
    first, last = local.format(f"bucket * {size}"), local.format(f"bucket * {size} + {size - 1}")
    return f"""
SELECT bucket, CASE WHEN CAST(first AS DATE) = CAST(last AS DATE) AND last - first = to_microseconds({size - 1}) THEN CAST(first AS DATE) END AS day
FROM (SELECT bucket, {first} AS first, {last} AS last FROM (SELECT DISTINCT epoch_us(occurred_at) // {size} AS bucket FROM _lines WHERE occurred_at IS NOT NULL))"""


def _day_sql(context: Context) -> str:
    return f"CASE WHEN d.day IS NOT NULL THEN d.day ELSE CAST(timezone({literal(context.zone)}, l.occurred_at) AS DATE) END"


def _parameter(url: str, name: str) -> str:
    """The value of a parameter of an address, or NULL."""
    return f"CASE WHEN contains({url}, '{name}=') THEN nullif(split_part(split_part(split_part({url}, '{name}=', 2), '&', 1), '#', 1), '') END"


def _names(con: Connection, given: SegmentSpec) -> bool:
    """Fill the temporary table `_names`: each event name as sent, and as kept. Whether every line is of a known kind, and has a name."""
    found = con.execute("SELECT DISTINCT kind, CASE WHEN kind = 'track' THEN event END FROM _lines").fetchall()
    renamed = {snake(old): snake(new) for old, new in given.rename.items()}
    names = {event: renamed.get(snake(event), snake(event)) for _, event in found if event is not None}
    con.execute("CREATE OR REPLACE TEMP TABLE _names (sent VARCHAR, kept VARCHAR)")
    if names:  # as rows, not as SQL: a name may hold any character
        con.register("_sent_names", pa.table({"sent": list(names), "kept": list(names.values())}))
        con.execute("INSERT INTO _names SELECT sent, kept FROM _sent_names")
        con.unregister("_sent_names")
    return all(names.get(event) if kind == "track" else kind in CALLS for kind, event in found)


def _events_sql(context: Context, given: SegmentSpec, plan: Plan, table: Table, *, numbered: bool, priced: bool) -> str:
    """The events that the lines are; `priced` says that amounts of theirs are in other currencies."""
    calls = " ".join(f"WHEN {literal(kind)} THEN {literal(kept)}" for kind, kept in CALLS.items())
    planned = "".join(f", {property_sql(name, p)} AS {quoted('v:' + name)}" for name, p in sorted(plan.properties.items()) if not p.drop)
    foreign = " AND ".join(f"kind NOT IN ({', '.join(map(literal, some))})" for some in few(KINDS))
    marks = violations_sql(plan, context.name)
    holding = holding_sql(plan, context.name)
    held, breaks = (f", CASE WHEN len(_marks) > 0 THEN {holding} END AS _breaks", "WHEN _breaks IS NOT NULL THEN _breaks") if holding else ("", "")
    kept = marked_sql(plan)
    columns = ", ".join(quoted(name) for name in table.names if name != "batch_id")
    place = "l._file, l._row" if numbered else "0 AS _file, l.rowid AS _row"
    texts = "".join(f", l.{quoted('p:' + name)}" for name in _picks(plan))
    joined, rate = ("LEFT JOIN _rates r ON r.local_day = j.local_day AND r.currency = j.currency", "r.rate") if priced else ("", "NULL::DOUBLE")
    return f"""
WITH named AS (
  SELECT l.rowid AS _id, {place}, l.event_id, l.kind, CASE l.kind WHEN 'track' THEN n.kept {calls} END AS name, l.occurred_at, l.received_at, {_day_sql(context)} AS local_day{texts},
    l.currency, l.rest, l.too_large, l.traits, l.session, g.page_host, g.page_path, g.page_title, g.page_query, g.referrer_host, g.campaign, g.channel, g.medium, g.platform, a.kind AS device, a.browser, l._caller, c.identifier_key, c.other_keys
  FROM _lines l LEFT JOIN _names n ON l.event = n.sent LEFT JOIN _callers c ON l._caller = c._caller LEFT JOIN _pages g ON l._page = g._page LEFT JOIN _agents a ON l._agent = a._agent {_JOINED_DAY}
), typed AS (
  SELECT *{planned} FROM named
), judged AS (
  SELECT *, {_amount_sql(plan)} AS amount_, {marks} AS _marks{held} FROM typed
), made AS (
  SELECT _id, _file, _row, event_id, {literal(context.name)} AS source, name, kind, occurred_at, received_at, j.local_day, identifier_key, other_keys,
    {key_sql('session', 'session')} AS session_key, channel, medium, campaign, platform, device, browser, page_host, page_path, page_title, page_query, referrer_host,
    CASE WHEN kind IN ('identify', 'group', 'alias') THEN NULL WHEN j.currency = {literal(context.currency)} THEN amount_ ELSE CAST(CAST(amount_ AS DOUBLE) * {rate} AS DECIMAL(18, 4)) END AS "value",
    {kept} AS properties,
    CASE WHEN kind IS NULL OR ({foreign}) THEN 'type' WHEN identifier_key IS NULL THEN 'ids' WHEN occurred_at IS NULL THEN 'timestamp'
      WHEN name IS NULL OR name = '' THEN 'event' WHEN too_large THEN 'size' WHEN amount_ IS NOT NULL AND j.currency <> {literal(context.currency)} AND {rate} IS NULL THEN 'currency' {breaks} END AS _fault,
    traits, rest, _caller{''.join(f', j.{quoted("v:" + n)} AS {quoted(n)}' for n, p in sorted(plan.properties.items()) if not p.drop)}
  FROM judged j {joined}
)
SELECT _id, _file, _row, false AS _cancels, _fault, traits, rest, _caller, {columns} FROM made"""


def _amount_sql(plan: Plan) -> str:
    """The event's amount: of the property its plan names, else of the first of VALUES that it has. What is typed already is not read again."""

    def read(name: str) -> str:
        planned = plan.properties.get(name)
        typed = planned is not None and not planned.drop and planned.type.startswith("decimal")
        return quoted("v:" + name) if typed else cells.number(quoted("p:" + name), decimal=".")

    own = " ".join(f"WHEN name = {literal(event)} THEN {read(agreed.value)}" for event, agreed in plan.events.items() if agreed.value in agreed.properties)
    first = " ".join(f"WHEN {quoted('p:' + value)} IS NOT NULL THEN {read(value)}" for value in VALUES)
    return f"CASE {own} {first} END"


def _platform_sql() -> str:
    return (
        "CASE WHEN device IN ('ios', 'android') THEN device WHEN os LIKE '%ios%' OR os = 'ipados' THEN 'ios' WHEN os = 'android' AND sender = 'mobile' THEN 'android' "
        "WHEN sender = 'server' THEN 'server' WHEN seen THEN 'web' ELSE nullif(sender, '') END"
    )


def _contacts(con: Connection, context: Context, given: SegmentSpec, name: str) -> Canonical | None:
    """The contacts of identify calls: newest traits each, kind subscriber; None where no call has any."""
    if not con.execute("SELECT count(*) FROM _lines WHERE kind = 'identify' AND traits IS NOT NULL").fetchone()[0]:
        return None
    names = _namespaces(context, given)
    user, anonymous = names.index(given.user_id), names.index(given.anonymous_id)
    paths = tuple(dict.fromkeys(path for some in TRAITS.values() for path in some))
    first = ", ".join(f"coalesce({', '.join(f'_t[{paths.index(path) + 1}]' for path in some)}) AS {quoted('t:' + column)}" for column, some in TRAITS.items())
    cut = ", ".join(f"{cells.trimmed(quoted('t:' + column))} AS {quoted('t:' + column)}" for column in TRAITS)
    texts = {column: quoted("t:" + column) for column in TRAITS}
    made: list[str] = []
    for column in CONTACTS.columns:
        value = "NULL"
        if column.name in texts:
            value = cells.value(texts[column.name], column.type, zone=context.zone)
        if column.name == "email":
            value = f"lower({texts['email']})"
        if column.name == "phone":
            value = f"coalesce({normalised_sql('phone', texts['phone'], country=context.file_country)}, {texts['phone']})"
        if column.name == "kind":
            value = "'subscriber'"
        if column.name == "contact_id":
            value = "_contact"
        if column.name in ("source", "occurred_at", "received_at", "identifier_key", "other_keys"):
            value = f"e.{column.name}"
        if column.name == "attributes":
            words = ", ".join('"' + path.split(".")[0] + '": null' for some in TRAITS.values() for path in some)
            value = f"nullif(CAST(json_merge_patch(traits, '{{{words}}}') AS VARCHAR), '{{}}')"
        if column.name != "batch_id":
            made.append(f"CAST({value} AS {cells.DUCK_TYPES[column.type]}) AS {quoted(column.name)}")
    kept = ", ".join(f"_n{n}, _k{n}" for n in range(len(names)))
    called = f"SELECT e.*, {kept}, {literal(context.name + ':')} || coalesce(_n{user}, _n{anonymous}, event_id) AS _contact FROM {quoted(name)} e JOIN _callers USING (_caller)"
    newest = "row_number() OVER (PARTITION BY _contact ORDER BY received_at DESC, _file DESC, _row DESC) = 1"
    picked = f"json_extract_string(traits, [{', '.join(literal(json_path(path)) for path in paths)}]) AS _t"
    read = f"SELECT *, {picked} FROM ({called} WHERE kind = 'identify' AND traits IS NOT NULL QUALIFY {newest})"
    source = f"(SELECT * REPLACE ({cut}) FROM (SELECT * EXCLUDE (_t), {first} FROM ({read}))) e"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name + '_contacts')} AS SELECT _file, _row, _cancels, {kept}, {', '.join(made)} FROM {source}")
    return Canonical(relation=name + "_contacts", table=CONTACTS, namespaces=names)
