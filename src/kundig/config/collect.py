"""sources/*.yaml and tracking_plan/*.yaml: how a system's exports become tables, and which events are agreed on."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from kundig.clock import time_zones
from kundig.config.base import FileKind, Record, plugged
from kundig.config.fetching import Rest, RestInput, SqlInput, is_remote
from kundig.errors import nearest

FORMATS = ("csv", "xlsx", "json", "ndjson", "parquet", "segment_ndjson")
"""Formats of files that kundig reads itself; packages register others at the extension point `sources`."""

CHANGES = ("postgres_changes", "debezium")
"""Formats that tell what changed in a database's tables, row by row."""


WRITTEN = ("epoch_days", "unix_ms", "unix_us", "unix_ns", "day_ms", "day_us", "day_ns", "base64", "json")
"""Ways in which Debezium writes a column, beside decimals, that a value alone does not show."""
FETCHED = ("sql", "rest")
"""Formats without files: rows of a database, records of a REST interface."""


def known_zone(value: str) -> str:
    """The zone's name, if it is one (or empty)."""
    if value and value not in time_zones():
        raise ValueError(f"unknown time zone '{value}'; {nearest(value, time_zones(), most=3)}")
    return value


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Several = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]
"""Some texts; one may stand alone."""

Zone = Annotated[str, AfterValidator(known_zone)]
"""The name of a time zone, or nothing."""


SECRET = re.compile(
    r"(^|[_.-])(access|api|auth|client|refresh|id|reset|session|csrf|xsrf)?[_-]?(token|secret|key|password|passwd|pass|pwd|pin|otp|jwt|sid|auth|authorization|signature|sig|code|hash|nonce|credentials?|e?mail|phone|tel|iban)s?$",
    re.IGNORECASE,
)
"""Names of parameters that hold secrets, or name persons."""


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"'{value}' is no regular expression: {error}; mend the pattern") from error
    return value


class ColumnSpec(Record):
    """How one canonical column is made. Applied in this order: pick, extract, strip, case, map, default, parse, negate."""

    column: str = Field(default="", description="Column of the file; in JSON a path with dots.")
    value: str | int | float | bool | None = Field(default=None, description="A constant instead of a column.")
    concat: tuple[str, ...] = Field(default=(), description="Several columns, joined by `with`.")
    joined_by: str = Field(default=" ", alias="with", description="What `concat` puts between them.")
    first_of: tuple[str, ...] = Field(default=(), description="The first of these columns that holds something.")
    number_within: str = Field(default="", description="This column and the row's running number within it: line numbers where the file has none.")
    extract: str = Field(default="", description="Regular expression; its first group (or the whole match) is kept.")
    strip: str = Field(default="", description="Characters taken off both ends, beside white space.")
    lower: bool = Field(default=False, description="Lower case.")
    upper: bool = Field(default=False, description="Upper case.")
    map: dict[str, str] = Field(default_factory=dict, description="Given value to canonical value.")
    otherwise: Literal["keep", "null", "fault"] = Field(default="keep", description="What happens to values that `map` does not name.")
    default: str | None = Field(default=None, description="Value where the cell is empty.")
    number: Literal["", "de", "en"] = Field(default="", description="1.234,56 or 1,234.56; else as the input says.")
    format: Several = Field(default=(), description="Date formats to try, such as '%d.%m.%Y'; also iso, excel, unix, unix_ms.")
    split: str = Field(default="", description="Separator of a list in one cell.")
    negate: bool = Field(default=False, description="Turn the sign.")
    without_tax: float | None = Field(default=None, ge=0, lt=100, description="Rate in percent that is taken off a gross amount.")

    @field_validator("extract")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        return _pattern(value)

    @model_validator(mode="after")
    def _one_origin(self) -> ColumnSpec:
        given = [n for n in ("column", "concat", "first_of", "number_within") if getattr(self, n)] + (["value"] if self.value is not None else [])
        if len(given) != 1:
            raise ValueError(f"a column comes from one place, not from {len(given)}; give one of column, value, concat, first_of, number_within")
        return self

    @property
    def picks(self) -> tuple[str, ...]:
        """The file's columns that it reads."""
        return tuple(c for c in (self.column, *self.concat, *self.first_of, self.number_within) if c)


class IdentifierSpec(Record):
    """One identifier a record carries, in the order of strength."""

    namespace: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="What kind: email, phone, shop_customer, anonymous_id, …")
    column: str = Field(description="Column of the file.")
    extract: str = Field(default="", description="Regular expression; its first group is the identifier.")

    @field_validator("extract")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        return _pattern(value)


class MatchSpec(Record):
    """A test of one column of the file."""

    column: str = Field(description="Column of the file.")
    matches: str = Field(description="Regular expression that the whole cell must match.")

    @field_validator("matches")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        return _pattern(value)


class LineKind(MatchSpec):
    """Lines whose cell matches are of this kind; the first rule that matches counts, goods else."""

    kind: Literal["goods", "shipping", "fee", "discount", "voucher", "adjustment"] = Field(description="Kind of line.")


class Landing(Record):
    """One canonical table that an input's rows become."""

    table: str = Field(description="Canonical table.")
    columns: dict[str, str | ColumnSpec] = Field(description="Canonical column to the file's column, or how it is made.")
    identifiers: tuple[IdentifierSpec, ...] = Field(default=(), description="Identifiers of the person, strongest first.")
    referred: IdentifierSpec | None = Field(default=None, description="Identifier of the person referred (referrals).")
    keep: tuple[MatchSpec, ...] = Field(default=(), description="Only rows that pass all of these tests; others are counted as left out.")
    leave_out: tuple[MatchSpec, ...] = Field(default=(), description="Rows that pass any of these tests are left out and counted.")
    line_kinds: tuple[LineKind, ...] = Field(default=(), description="Kinds of order lines.")
    cancellation: MatchSpec | None = Field(default=None, description="Which documents are cancellations or returns.")
    takes_back: Literal["", "names", "latest"] = Field(
        default="", description="What a cancellation takes back: the order it `names`, or the `latest` earlier purchase of the article by that customer."
    )
    orders: dict[str, str | ColumnSpec] | None = Field(
        default=None, description="Make `orders` from these lines: further columns of the order (channel, offer_code, …); {} for none."
    )
    counted: bool = Field(
        default=False, description="On orders and on their lines: amounts of orders are counted from the lines, and a cancelled order's lines are taken back."
    )
    from_order: bool = Field(default=False, description="Moment and identifiers come from the order that the line names.")
    emits: dict[str, str] = Field(default_factory=dict, description="Event per status ('*' for any); placeholders in braces are canonical columns.")
    attributes: tuple[str, ...] = Field(default=(), description="Columns kept as JSON in `attributes`; ['*'] keeps all that are not mapped.")
    received_at: str = Field(default="", description="as_occurred, import, or the column that says when we knew; else as the source says.")

    @field_validator("emits", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"*": value} if isinstance(value, str) else value


class SegmentSpec(Record):
    """What Segment JSON lines need to be told: names of identifiers, renames, own hosts."""

    user_id: str = Field(default="customer_id", pattern=r"^[a-z][a-z0-9_]*$", description="Namespace of userId.")
    anonymous_id: str = Field(default="anonymous_id", pattern=r"^[a-z][a-z0-9_]*$", description="Namespace of anonymousId.")
    rename: dict[str, str] = Field(default_factory=dict, description="Event names as sent to names as kept.")
    platform: str = Field(default="", description="web, ios, android, server; else read from the context.")
    hosts: tuple[str, ...] = Field(default=(), description="Own hosts: a referrer from there begins no visit.")
    query: tuple[str, ...] = Field(default=(), description="Parameters of the page's address that are kept in `page_query`, such as q and sort; a value that looks like a secret or names a person is dropped even so.")
    contacts: bool = Field(default=True, description="Traits of identify calls become contacts of kind subscriber.")
    drop: tuple[str, ...] = Field(
        default=("email", "e_mail", "phone", "first_name", "firstName", "last_name", "lastName", "name", "address", "street", "birthday", "ip"),
        description="Properties that name a person: never kept in `events`.",
    )


    @field_validator("query")
    @classmethod
    def _no_secrets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if SECRET.search(name):
                raise ValueError(f"a parameter called '{name}' holds a secret or names a person as a rule, and would be kept for years; leave it out")
        return value


class ChangedTable(Record):
    """One table of a database whose changes are followed, and the canonical tables its rows become."""

    lands: tuple[Landing, ...] = Field(min_length=1, description="Tables; columns are those of the database's table.")
    types: dict[str, str] = Field(
        default_factory=dict,
        description="Debezium without schemas: how a column is written: epoch_days, unix_ms, unix_us, unix_ns, day_ms, day_us, day_ns, decimal:SCALE (base64), base64, json.",
    )

    @field_validator("types")
    @classmethod
    def _known_types(cls, value: dict[str, str]) -> dict[str, str]:
        for written in value.values():
            if written not in WRITTEN and not re.fullmatch(r"decimal:\d{1,2}", written):
                raise ValueError(f"no column is written as '{written}'; {nearest(written, (*WRITTEN, 'decimal:2'))}")
        return value


class Input(Record):
    """Files of one shape, and the tables their rows become."""

    files: Several = Field(default=(), description="Globs below the workspace, or in an object store: s3://bucket/exports/orders-*.csv, gs://…, az://….")
    format: str = Field(
        default="csv", description="Kind of file: csv, xlsx, json, ndjson, parquet, segment_ndjson, or one that a package registers (kundig.sources); sql for a database, rest for a REST interface.",
        json_schema_extra={"examples": [*FORMATS, *FETCHED]},
    )  # fmt: skip
    sql: SqlInput | None = Field(default=None, description="For sql: which rows of the source's `database`.")
    rest: RestInput | None = Field(default=None, description="For rest: which endpoint of the source's `interface`.")
    each: str = Field(default="", description="In JSON documents and REST: a list in the record of which each element becomes a row of its own, beside the record's other fields; rows are counted through.")
    encoding: str = Field(default="", description="utf-8, cp1252, utf-16, …; utf-8 else.")
    delimiter: str = Field(default="", max_length=1, description="Between cells; a comma else.")
    quote: str = Field(default='"', max_length=1, description="Around cells that hold the delimiter.")
    decimal: Literal["", ".", ","] = Field(default="", description="Decimal mark.")
    dates: Several = Field(default=(), description="Date formats of all date columns; iso else.")
    zone: Zone = Field(default="", description="Zone of moments without one.")
    currency: str = Field(default="", description="Currency of the amounts, or of those without one.")
    currency_column: str = Field(default="", description="Column that names the currency.")
    country: str = Field(default="", pattern="^([A-Z]{2})?$", description="Country of phone numbers without one.")
    sheet: str = Field(default="", description="Sheet of the workbook; the first else.")
    optional: bool = Field(default=False, description="No complaint when no such file is there.")
    lands: tuple[Landing, ...] = Field(default=(), description="Tables.")
    segment: SegmentSpec | None = Field(default=None, description="For segment_ndjson.")
    options: dict[str, str | int | float | bool] = Field(default_factory=dict, description="For the reader of a registered format.")
    url: str = Field(default="", description="For postgres_changes: the database, as ${NAME} of secrets.toml: postgresql://user:password@host/database.")
    publication: str = Field(default="", description="For postgres_changes: the publication that names the tables.")
    slot: str = Field(default="", pattern="^([a-z0-9_]{1,63})?$", description="For postgres_changes: the replication slot; made where it is missing.")
    tables: dict[str, ChangedTable] = Field(default_factory=dict, description="For postgres_changes and debezium: the database's tables by name, with schema or without.")

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        return plugged(value, "kundig.sources", also=(*FORMATS, *CHANGES, *FETCHED), what="format")

    @property
    def landings(self) -> tuple[Landing, ...]:
        """What lands, of files and of changed tables; a changed table's landings take only the rows of that table."""
        told = ((landing, MatchSpec(column="_table", matches=re.escape(name))) for name, table in self.tables.items() for landing in table.lands)
        return self.lands or tuple(landing.model_copy(update={"keep": (test, *landing.keep)}) for landing, test in told)

    @model_validator(mode="after")
    def _changes_are_told(self) -> Input:
        if self.format in CHANGES:
            if not self.tables or self.lands:
                raise ValueError(f"{self.format} tells of tables; write what lands under `tables`, not under `lands`")
            wanted = ("url", "publication", "slot") if self.format == "postgres_changes" else ()
            missing = [name for name in wanted if not getattr(self, name)]
            if missing:
                raise ValueError(f"{self.format} lacks {', '.join(missing)}; write them, the url as ${{NAME}} of secrets.toml")
        elif self.tables or self.url or self.publication or self.slot:
            raise ValueError(f"`tables`, `url`, `publication` and `slot` are for changes, not for {self.format}; name the format: postgres_changes or debezium")
        return self

    @model_validator(mode="after")
    def _lands_somewhere(self) -> Input:
        if self.format in CHANGES:
            return self
        if self.format == "segment_ndjson" and self.lands:
            raise ValueError("Segment lines know their tables; leave out `lands`")
        if self.format != "segment_ndjson" and not self.lands:
            raise ValueError("the rows land nowhere; add `lands`")
        if self.options and self.format in (*FORMATS, *FETCHED):
            raise ValueError(f"the format {self.format} takes no `options`; leave them out")
        return self

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Input:
        for kind in FETCHED:
            if (getattr(self, kind) is not None) != (self.format == kind):
                raise ValueError(f"`format: {kind}` and `{kind}:` go together; give both or neither")
        if self.format in FETCHED and self.files:
            raise ValueError(f"its rows come from `files` or from `{self.format}`; give one of them")
        if not self.files and self.format not in (*CHANGES, *FETCHED):
            raise ValueError("no files are named; write `files`, globs below the workspace or in an object store")
        if any(map(is_remote, self.files)) and not all(map(is_remote, self.files)):
            raise ValueError("some of its files lie in an object store and some here; give each place an input of its own")
        if self.each and self.format not in ("json", "rest"):
            raise ValueError(f"the format {self.format} has no lists; leave out `each`")
        if self.format in FETCHED and any(isinstance(column, ColumnSpec) and column.number_within for landing in self.lands for column in landing.columns.values()):
            raise ValueError("`number_within` counts the rows of one file, and each read of a cursor brings others; take a column that names the row")
        return self

    @property
    def place(self) -> str:
        """Where its rows come from, in a word: the first glob, the table, the query, or the path."""
        if self.sql is not None:
            return self.sql.table or "the query"
        return self.rest.path if self.rest is not None else self.files[0] if self.files else self.format


class Total(Record):
    """What the source declares of itself, day by day (rows of `source_totals` of that name), and the landed rows that it is held against."""

    table: str = Field(description="Canonical table whose rows are counted, such as orders or events.")
    amount: str = Field(default="", description="Column of that table whose sum is held against the declared amount, such as gross; none: rows alone are counted.")
    only: dict[str, Several] = Field(default_factory=dict, description="Column to the values that count, such as status: [completed, returned]; every row else.")
    tolerance: float = Field(default=0.01, ge=0, description="By how much the declared amount of a day may differ from the landed one. Numbers of rows never may.")
    every_day: bool = Field(default=False, description="The source declares every day on which there is something: one between its first and last declared day that it leaves out has nothing.")
    days: int = Field(default=92, ge=1, description="How many days back from today are compared. Today never is: it is not over.")


class Source(Record):
    """One system that hands over files: what they mean, who answers for them, and how they are mapped."""

    meaning: str = Field(default="", description="What the system is.")
    connector: Literal["files"] = Field(default="files", description="How it is read.")
    party: Literal["first", "second", "third"] = Field(default="first", description="Whose data it is.")
    owner: str = Field(default="", description="Who answers for it.")
    sla_hours: int = Field(default=24, ge=0, description="Hours after which a missing delivery is a fault.")
    version: str = Field(default="", description="Version of the export.")
    truth_for: tuple[str, ...] = Field(default=(), description="Attributes this system is the source of truth for.")
    transformations: str = Field(default="", description="What is changed on the way, and where.")
    authentication: str = Field(default="", description="How kundig gets in; a reference, never a key.")
    rate_limit: str = Field(default="", description="What the system bears.")
    cleaned_by: str = Field(default="", description="Who cleans the records.")
    enriched_by: str = Field(default="", description="Who enriches them.")
    schema_by: str = Field(default="", description="Who changes the schema.")
    encoding: str = Field(default="utf-8", description="Default of its inputs.")
    delimiter: str = Field(default=",", max_length=1, description="Default of its inputs.")
    decimal: Literal[".", ","] = Field(default=".", description="Default of its inputs.")
    dates: Several = Field(default=("iso",), description="Default of its inputs.")
    zone: Zone = Field(default="", description="Default of its inputs; the workspace's zone else.")
    currency: str = Field(default="", pattern="^([A-Z]{3})?$", description="Default of its inputs; the workspace's currency else.")
    country: str = Field(default="", pattern="^([A-Z]{2})?$", description="Default of its inputs; the workspace's country else.")
    received_at: str = Field(default="import", description="as_occurred for backfills, import, or a column.")
    known_from: Literal["", "documentation", "real export"] = Field(default="", description="What its mapping was made from; a mapping that is known from documentation alone has yet to meet a real export.")
    documentation: str = Field(default="", description="Where its columns are described.")
    store: dict[str, str | int | bool] = Field(
        default_factory=dict, description="How its object store is opened, in obstore's words: region, endpoint, access_key_id, secret_access_key, account_name, …; `${NAME}` is a secret. The environment else."
    )
    database: str = Field(default="", description="URL of its database, as a secret: `${SHOP_DATABASE}`, which holds postgresql://…, mariadb://…, or any other that SQLAlchemy knows.")
    interface: Rest | None = Field(default=None, description="Its REST interface.")
    inputs: tuple[Input, ...] = Field(min_length=1, description="Its files, tables or endpoints.")
    totals: dict[str, Total] = Field(default_factory=dict, description="Totals that the source declares (an input that lands in `source_totals`, or kundig source declare), and what each is held against.")

    @field_validator("database")
    @classmethod
    def _no_password(cls, value: str) -> str:
        if re.search(r"://[^/@:]*:[^/@$]+@", value):
            raise ValueError("the password would stand in git for ever; put the URL into secrets.toml and write ${SHOP_DATABASE} here")
        return value

    @model_validator(mode="after")
    def _says_where(self) -> Source:
        formats = {given.format for given in self.inputs}
        if "sql" in formats and not self.database:
            raise ValueError("an input reads a database, and `database` does not say which; write database: ${SHOP_DATABASE}")
        if "rest" in formats and self.interface is None:
            raise ValueError("an input reads a REST interface, and `interface` does not say which; give its url")
        return self

    def of(self, given: Input) -> Input:
        """The input with this source's defaults filled in."""
        fill = {n: getattr(given, n) or getattr(self, n) for n in ("encoding", "delimiter", "decimal", "dates", "zone", "currency", "country")}
        lands = given.landings
        if given.tables and self.received_at == "import":
            lands = tuple(landing.model_copy(update={"received_at": landing.received_at or "_at"}) for landing in lands)
        return given.model_copy(update=fill | {"lands": lands})


OnViolation = Literal["", "quarantine", "mark"]
"""quarantine: the event is held with the reason; mark: it lands, with the reason beside it; empty: as the level above says."""

PropertyType = Literal["string", "int64", "float64", "bool", "date", "timestamp", "decimal(18,4)", "list<string>"]


class Property(Record):
    """One property of an event."""

    type: PropertyType = Field(default="string", description="Type of the column it becomes.")
    meaning: str = Field(default="", description="What it says.")
    required: bool = Field(default=False, description="An event without it breaks the plan.")
    allowed: tuple[str, ...] = Field(default=(), description="The only values; any else.")
    spelled: tuple[str, ...] = Field(default=(), description="Other spellings it comes under.")
    personal: Literal["none", "pseudonym", "contact", "sensitive"] = Field(default="none", description="Label of personal data.")
    purpose: str = Field(default="analytics", description="What it is collected for.")
    drop: bool = Field(default=False, description="Never kept.")
    hashed_with: str = Field(
        default="", pattern=r"^(\$\{[A-Z][A-Z0-9_]*\})?$", json_schema_extra={"examples": ["${HASH_KEY}"]},
        description="A secret; only a hash that is keyed with it is kept (SHA-256 of the key, a colon, and the text trimmed and in lower case): values can be compared and counted, not read.",
    )  # fmt: skip
    on_violation: OnViolation = Field(default="", description="What happens to an event in which it breaks the plan: quarantine (held) or mark (let through, with the reason); as the event says else.")


    @model_validator(mode="after")
    def _hashes_texts(self) -> Property:
        if self.hashed_with and self.type != "string":
            raise ValueError(f"a hash is text, and the type is {self.type}; leave the type out")
        if self.hashed_with and self.drop:
            raise ValueError("what is dropped is not hashed; write one of the two")
        return self


class PlannedEvent(Record):
    """One event of the plan."""

    meaning: str = Field(default="", description="When it is sent.")
    owner: str = Field(default="", description="Who answers for it.")
    sources: tuple[str, ...] = Field(default=(), description="The only sources that may send it; any else.")
    value: str = Field(default="", description="The property that is its amount.")
    on_violation: OnViolation = Field(default="", description="What happens to it when it breaks the plan: quarantine or mark; as the file says else.")
    properties: dict[str, Property] = Field(default_factory=dict, description="Its properties.")


class TrackingPlan(Record):
    """Events agreed on; a workspace may hold several files, which are read as one plan."""

    on_violation: Literal["quarantine", "mark"] = Field(default="mark", description="What happens to events that break the plan: held, or let through with the reason; an event and a property may say otherwise.")
    unplanned: Literal["keep", "mark", "quarantine"] = Field(default="keep", description="What happens to events the plan does not name; of several files the strictest counts.")
    events: dict[str, PlannedEvent] = Field(default_factory=dict, description="By name in snake case.")

    @field_validator("events")
    @classmethod
    def _snake_names(cls, value: dict[str, PlannedEvent]) -> dict[str, PlannedEvent]:
        for name, event in value.items():
            for word in (name, *event.properties):
                if not re.fullmatch(r"[a-z][a-z0-9_]*", word):
                    raise ValueError(f"'{word}' is not in snake case; write small letters, digits and underscores")
        return value


FILES = (
    FileKind(name="sources", pattern="sources/*.yaml", model=Source, meaning="What a system hands over and how it is mapped.", many=True),
    FileKind(name="tracking_plan", pattern="tracking_plan/*.yaml", model=TrackingPlan, meaning="Events agreed on, with their properties.", many=True),
)
