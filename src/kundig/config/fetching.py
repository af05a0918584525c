"""How what lies elsewhere is fetched: object stores, databases and REST interfaces, as sources/*.yaml name them."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kundig.config.base import Record

SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "file", "memory")
"""Schemes of URLs whose files lie in an object store."""

_SPAN = re.compile(r"(\d+) ?(seconds?|minutes?|hours?|days?)?")


def is_remote(glob: str) -> bool:
    """Whether files of this glob lie in an object store.

    Examples:
        >>> is_remote("s3://shop/exports/orders-*.csv"), is_remote("exports/orders*.csv")
        (True, False)
    """
    return glob.partition("://")[0] in SCHEMES and "://" in glob


def span(text: str) -> int | dt.timedelta:
    """How far a read goes back behind its cursor: a length of time, or a count where no unit stands.

    Examples:
        >>> span("15 minutes"), span("1000")
        (datetime.timedelta(seconds=900), 1000)

    Raises:
        ValueError: It is neither.
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text}' is no overlap; write '15 minutes', '2 days', or a number for a cursor that counts")
    number, unit = int(found[1]), (found[2] or "").rstrip("s")
    return number if not unit else dt.timedelta(**{f"{unit}s": number})


class Cursor(Record):
    """How one knows what is new: a field that rises with every change, and how far a read goes back behind the newest value seen."""

    field: str = Field(description="Column (or dotted field) that rises with every change, such as updated_at.")
    start: str = Field(default="", description="Where the first read begins; everything else.")
    overlap: str = Field(
        default="", description="How far each read goes back: for rows that are committed late, or bear the same moment. 10 minutes, 1 day where the cursor is a date, 1000 where it counts."
    )

    @field_validator("overlap")
    @classmethod
    def _is_span(cls, value: str) -> str:
        if value:
            span(value)
        return value


class SqlInput(Record):
    """Rows of a database: a table or view, or a query."""

    table: str = Field(default="", description="Table or view; schema.table where it is not in the usual schema.")
    query: str = Field(default="", description="A SELECT instead of a table.")
    cursor: Cursor | None = Field(default=None, description="Read only what is new; without it everything is read each time, and what had landed is left out.")
    rows: int = Field(default=100_000, ge=1, description="Rows that land together; after each such part the cursor is kept.")

    @field_validator("cursor", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"field": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_origin(self) -> SqlInput:
        if bool(self.table) == bool(self.query):
            raise ValueError("rows come from a `table` or from a `query`; give one of them")
        if self.query and not re.match(r"\s*(select|with)\b", self.query, re.IGNORECASE):
            raise ValueError("the `query` only reads: begin it with SELECT or WITH")
        return self


class RestCursor(Cursor):
    """A cursor of a REST endpoint: also the parameter that asks for what is new."""

    parameter: str = Field(default="", description="Query parameter that takes the moment or number to begin at; the interface is asked for everything else, and what is old left out.")
    written: Literal["iso", "unix", "unix_ms", "date", "number", "text"] = Field(default="iso", description="How field and parameter are written.")
    ordered: bool = Field(default=False, description="The interface sends the oldest first: then the cursor is kept after each part, else at the end.")


class RestInput(Record):
    """Records of one endpoint of a REST interface."""

    path: str = Field(description="Path behind the interface's `url`, such as orders.json.")
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict, description="Query parameters.")
    records: str = Field(default="", description="JSON path of the list of records in an answer, such as data.items; found by itself else.")
    paginator: dict[str, Any] | str = Field(default="", description="How further pages are found, if not as the interface says: a type and its settings, as dlt names them.")
    cursor: RestCursor | None = Field(default=None, description="Read only what is new; everything else each time.")
    rows: int = Field(default=20_000, ge=1, description="Records that land together.")


class Rest(Record):
    """A REST interface: where it is, how one gets in, how it hands over pages, and how patient we are."""

    url: str = Field(description="Base URL; `${NAME}` is a secret.")
    auth: dict[str, str] = Field(default_factory=dict, description="`type` (bearer, api_key, http_basic, oauth2_client_credentials) and its settings, as dlt names them; `${NAME}` is a secret.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers of each request; `${NAME}` is a secret.")
    paginator: dict[str, Any] | str = Field(default="", description="How pages are found: auto, single_page, json_link, header_link, offset, page_number, cursor (dlt's names), with settings; auto else.")
    retries: int = Field(default=6, ge=0, le=20, description="How often a request is sent again after 429, 500, 502, 503, 504 or no answer.")
    patience: int = Field(default=900, ge=1, description="Longest wait in seconds that a Retry-After may ask for; the import ends with the moment to come back at else.")
    timeout: int = Field(default=60, ge=1, description="Seconds until a request counts as unanswered.")
