"""Records of a REST endpoint, page by page, through dlt's client: its paginators and authentications, with patience that has an end."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Generator, Mapping
from typing import Any

from kundig.collect.sources.cursors import Value, is_after, moment
from kundig.config.fetching import Rest, RestCursor, RestInput
from kundig.config.load import Config
from kundig.errors import MissingExtra, SourceError, nearest

_AGAIN = (429, 500, 502, 503, 504)
"""Statuses after which a request is sent again."""


def records(config: Config, interface: Rest, given: RestInput, *, since: Value | None, at: str) -> Generator[tuple[Value | None, Mapping[str, Any]], None, None]:
    """Each record of an endpoint with the value of its cursor (None where there is none).

    Args:
        config: The workspace, for its secrets.
        interface: The interface.
        given: The endpoint.
        since: Ask for records whose cursor is at least this; all else.
        at: Where it is declared, for messages.

    Raises:
        SourceError: The interface cannot be reached, refuses, asks for more patience than there is, or its answer holds no records.
        MissingExtra: dlt is not installed.
    """
    try:
        import requests
        from dlt.sources.helpers.rest_client import RESTClient
    except ModuleNotFoundError as error:
        raise MissingExtra("rest", purpose="reading REST interfaces") from error
    base = config.secret(interface.url)
    place = f"{at} ({base.rstrip('/')}/{given.path.lstrip('/')})"
    parameters = {name: config.secret(value) if isinstance(value, str) else value for name, value in given.parameters.items()}
    cursor = given.cursor
    if cursor is not None and cursor.parameter and since is not None:
        parameters[cursor.parameter] = written(since, cursor)
    client = RESTClient(
        base_url=base, headers={name: config.secret(value) for name, value in interface.headers.items()}, auth=_auth(config, interface, at=at),
        paginator=_paginator(given.paginator or interface.paginator, at=at), session=_session(interface, place),
    )  # fmt: skip
    try:
        for page in client.paginate(given.path, params=parameters, data_selector=given.records or None, timeout=interface.timeout):
            for record in page:
                if not isinstance(record, Mapping):
                    raise SourceError(f"the answer holds {type(record).__name__} where records should be", at=place, mend="say under `records` where the list is, such as data.items")
                value = None if cursor is None else read(record, cursor, at=place)
                if since is None or value is None or _is_since(value, since):
                    yield value, record
    except requests.HTTPError as error:
        status = error.response.status_code
        mend = "check `auth` and what the key may read" if status in (401, 403) else "check `url`, path and parameters" if status < 500 else "import again later: the cursor stands where it was"
        raise SourceError(f"the interface answers {status} {error.response.reason}", at=place, mend=mend) from error
    except requests.RequestException as error:
        raise SourceError(f"the interface cannot be reached: {_told(error)}", at=place, mend="import again later: the cursor stands where it was, and what landed stays") from error
    except ValueError as error:
        raise SourceError(f"the answer cannot be read: {error}", at=place, mend="check the path, and `records` and `paginator` of the endpoint") from error


def _is_since(value: Value, since: Value) -> bool:
    try:
        return not is_after(since, value)
    except TypeError:
        return True


def read(record: Mapping[str, Any], cursor: RestCursor, *, at: str) -> Value | None:
    """The value of a record's cursor, with dots for fields in fields; None where it is empty.

    Examples:
        >>> read({"meta": {"changed": "2026-11-01T10:00:00Z"}}, RestCursor(field="meta.changed"), at="")
        datetime.datetime(2026, 11, 1, 10, 0, tzinfo=datetime.timezone.utc)

    Raises:
        SourceError: It is not written as the mapping says.
    """
    found: Any = record
    for part in cursor.field.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if found is None or found == "":
        return None
    text = str(found)
    value: Value | None = None
    if cursor.written == "text":
        return text
    if cursor.written in ("iso", "date"):
        seen = moment(text)
        value = None if seen is None else seen.date() if cursor.written == "date" else seen if seen.tzinfo is not None else seen.replace(tzinfo=dt.UTC)
    else:
        with contextlib.suppress(ValueError):
            number = float(text)
            value = int(number) if cursor.written == "number" else dt.datetime.fromtimestamp(number / (1_000 if cursor.written == "unix_ms" else 1), dt.UTC)
    if value is None:
        raise SourceError(f"the cursor '{cursor.field}' is '{text[:80]}', which is not written as {cursor.written}", at=at, mend="write under `written` how it is: iso, unix, unix_ms, date, number or text")
    return value


def written(value: Value, cursor: RestCursor) -> str:
    """A value as the interface's parameter takes it; moments in UTC.

    Examples:
        >>> written(dt.datetime(2026, 11, 1, 10, tzinfo=dt.UTC), RestCursor(field="x")), written(dt.datetime(2026, 11, 1, tzinfo=dt.UTC), RestCursor(field="x", written="unix"))
        ('2026-11-01T10:00:00Z', '1793491200')
    """
    if cursor.written in ("unix", "unix_ms") and isinstance(value, dt.date):
        instant = value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time(), dt.UTC)
        instant = instant if instant.tzinfo is not None else instant.replace(tzinfo=dt.UTC)
        return str(int(instant.timestamp() * (1_000 if cursor.written == "unix_ms" else 1)))
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if value.tzinfo is not None else value.isoformat() + "Z"
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _auth(config: Config, interface: Rest, *, at: str) -> Any:
    from dlt.sources.rest_api.config_setup import AUTH_MAP, create_auth

    if not interface.auth:
        return None
    kind = interface.auth.get("type", "bearer")
    if kind not in AUTH_MAP:
        raise SourceError(f"there is no authentication '{kind}'", at=at, mend=nearest(kind, AUTH_MAP))
    settings: Any = {"type": kind} | {name: config.secret(value) for name, value in interface.auth.items() if name != "type"}
    try:
        return create_auth(settings)
    except Exception as error:
        raise SourceError(f"`auth` of kind {kind} is not complete: {_told(error)}", at=at, mend="its settings are named as dlt names them: token, api_key, username, password, …") from error


def _paginator(given: Mapping[str, Any] | str, *, at: str) -> Any:
    from dlt.sources.rest_api.config_setup import PAGINATOR_MAP, create_paginator

    kind = given if isinstance(given, str) else given.get("type", "auto")
    if kind and kind not in PAGINATOR_MAP:
        raise SourceError(f"there is no paginator '{kind}'", at=at, mend=nearest(kind, PAGINATOR_MAP))
    try:
        settings: Any = given if isinstance(given, str) else dict(given)
        return create_paginator(settings) if given else None
    except (TypeError, ValueError) as error:
        raise SourceError(f"the paginator '{kind}' does not take these settings: {_told(error)}", at=at, mend="its settings are named as dlt names them") from error


def _session(interface: Rest, place: str) -> Any:
    """A session that sends again what may succeed later, waiting as the interface asks, but never longer than the source's patience."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import BaseHTTPResponse
    from urllib3.util.retry import Retry

    class Patient(Retry):
        def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
            asked = super().get_retry_after(response)
            if asked is not None and asked > interface.patience:
                again = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=asked)
                raise SourceError(f"the interface asks to come back in {asked:,.0f} s", at=place, mend=f"import again at {again:%Y-%m-%d %H:%M} UTC: the cursor stands where it was; or raise `patience`")
            return asked

    session = requests.Session()
    patient = Patient(total=interface.retries, status_forcelist=_AGAIN, allowed_methods=None, backoff_factor=0.5, raise_on_status=False, respect_retry_after_header=True)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=patient))
    return session


def _told(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
