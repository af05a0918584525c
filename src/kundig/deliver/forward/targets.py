"""Ways out: HTTP requests, rows of a database, JSON lines. A target says of each sending whether it was taken, may be tried later, or is refused."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from kundig.clock import Clock, now
from kundig.config.deliver import FilesTarget, HttpTarget, SqlTarget
from kundig.deliver.forward.events import filled
from kundig.errors import ConfigError

if TYPE_CHECKING:
    import httpx2

LATER = frozenset({401, 403, 404, 407, 408, 410, 425, 429})
"""Client errors that somebody or time can mend: a key that ran out, an address that moved, a limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """One event as a target gets it: `key` is the same whenever it is sent again."""

    key: str
    message_id: str
    view: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What became of a sending. `everybody` says that the destination as a whole asks for a pause, `wait` how many seconds it asks for."""

    verdict: Literal["taken", "later", "refused"]
    reason: str = ""
    wait: float | None = None
    everybody: bool = False


TAKEN = Answer(verdict="taken")


class Target(Protocol):
    """Takes parcels, all of them or none."""

    @property
    def batch(self) -> int:
        """Most parcels in one sending."""

    def send(self, parcels: Sequence[Parcel]) -> Answer:
        """Send them; never raises for what the other side does."""

    def close(self) -> None:
        """Give back connections."""


class Http:
    """Sends requests. The body of one event is the tree filled with it; a batch is a list of bodies, under `batch_into` where that is set."""

    def __init__(self, target: HttpTarget, *, secret: Callable[[str], str], clock: Clock = now) -> None:
        import httpx2

        self.batch = target.batch
        self._target, self._clock = target, clock
        self._url = secret(target.url)
        self._headers = {name: secret(value) for name, value in target.headers.items()}
        self._sign = secret(target.sign) if target.sign else ""
        self._body = _secrets_in(target.body, secret)
        self._client: httpx2.Client = httpx2.Client(timeout=target.timeout, follow_redirects=False)

    def send(self, parcels: Sequence[Parcel]) -> Answer:
        """One request for all of them."""
        import httpx2

        bodies = [filled(self._body, parcel.view) for parcel in parcels]
        content: Any = bodies[0] if self._target.batch == 1 else {self._target.batch_into: bodies} if self._target.batch_into else bodies
        data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        key = parcels[0].key if len(parcels) == 1 else f"{parcels[0].key}+{len(parcels) - 1}:{parcels[-1].message_id}"
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "User-Agent": "kundig"} | self._headers | self._signature(key, data)
        try:
            answer = self._client.request(self._target.method, self._url, content=data, headers=headers)
        except httpx2.TransportError as error:
            return Answer(verdict="later", reason=f"no answer: {type(error).__name__}", everybody=True)
        if 200 <= answer.status_code < 300:
            return TAKEN
        told = " ".join(answer.text[:200].split())
        reason = f"HTTP {answer.status_code}" + (f": {told}" if told else "")
        if answer.status_code in LATER or answer.status_code >= 500 or answer.status_code < 400:
            return Answer(verdict="later", reason=reason, wait=self._wait(answer.headers.get("retry-after")), everybody=answer.status_code in LATER | {503})
        return Answer(verdict="refused", reason=reason)

    def _signature(self, key: str, data: bytes) -> dict[str, str]:
        if not self._sign:
            return {}
        from standardwebhooks import Webhook

        moment = self._clock()
        signature = Webhook(self._sign).sign(msg_id=key, timestamp=moment, data=data.decode())
        return {"webhook-id": key, "webhook-timestamp": str(int(moment.timestamp())), "webhook-signature": signature}

    def _wait(self, header: str | None) -> float | None:
        """Seconds of a Retry-After header, whether it gives seconds or a moment; None where it says nothing."""
        if not header:
            return None
        with suppress(ValueError):
            return min(max(float(header), 0.0), 86_400.0)
        with suppress(ValueError, TypeError):
            moment = parsedate_to_datetime(header)
            return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)) - self._clock()).total_seconds())
        return None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class Sql:
    """Writes rows: those whose message is in the table already change nothing, in one transaction a sending."""

    batch = 500

    def __init__(self, target: SqlTarget, *, secret: Callable[[str], str]) -> None:
        import sqlalchemy as sa

        self._columns = target.columns
        self._engine = sa.create_engine(secret(target.url), pool_pre_ping=True)
        schema, _, name = target.table.rpartition(".")
        columns = [sa.Column(column, self._type(spec)) for column, spec in target.columns.items() if column != "message_id"]
        self._table = sa.Table(name, sa.MetaData(schema=schema or None), sa.Column("message_id", sa.String(255), primary_key=True), *columns)
        self._made = False

    @staticmethod
    def _type(spec: Any) -> Any:
        import sqlalchemy as sa

        form = spec.get("as", "text") if isinstance(spec, dict) else "text"
        return {"number": sa.Numeric(18, 4), "whole": sa.BigInteger(), "unix": sa.BigInteger(), "unix_ms": sa.BigInteger(), "unix_us": sa.BigInteger(), "iso": sa.DateTime(timezone=True)}.get(form, sa.Text())

    def send(self, parcels: Sequence[Parcel]) -> Answer:
        """One transaction for all of them."""
        import sqlalchemy as sa

        rows = {parcel.message_id: {name: self._cell(spec, parcel.view) for name, spec in self._columns.items()} | {"message_id": parcel.message_id} for parcel in parcels}
        try:
            with self._engine.begin() as connection:
                if not self._made:
                    self._table.create(connection, checkfirst=True)
                known = set(connection.execute(sa.select(self._table.c.message_id).where(self._table.c.message_id.in_(rows))).scalars())
                new = [row for name, row in rows.items() if name not in known]
                if new:
                    connection.execute(sa.insert(self._table), new)
            self._made = True
        except sa.exc.SQLAlchemyError as error:
            refused = isinstance(error, sa.exc.DataError | sa.exc.IntegrityError) or type(error) is sa.exc.StatementError
            return Answer(verdict="refused" if refused else "later", reason=_first_line(error), everybody=not refused)
        return TAKEN

    @staticmethod
    def _cell(spec: Any, view: dict[str, Any]) -> Any:
        value = filled(spec, view)
        if isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=False)
        if value is not None and isinstance(spec, dict) and spec.get("as") == "iso":
            return dt.datetime.fromisoformat(value)
        return value

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


class Files:
    """Writes JSON lines below a folder, a file a sending, named by the first and last message: sent again, it is the same file."""

    batch = 5_000

    def __init__(self, target: FilesTarget, *, folder: Path) -> None:
        self._body, self.folder = target.body, folder / target.folder

    def send(self, parcels: Sequence[Parcel]) -> Answer:
        """One file, there whole or not at all."""
        name = hashlib.sha256("\n".join(parcel.key for parcel in parcels).encode()).hexdigest()[:16]
        day = str(parcels[0].view["received_at"])[:10]
        lines = b"".join(json.dumps(filled(self._body, parcel.view), ensure_ascii=False).encode() + b"\n" for parcel in parcels)
        path = self.folder / day / f"{name}.ndjson"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            staged = path.with_name(f".{path.name}")
            with staged.open("wb") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            staged.replace(path)
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            return Answer(verdict="later", reason=f"{error.strerror or error}", everybody=True)
        return TAKEN

    def close(self) -> None:
        """Nothing is held open."""


def _secrets_in(tree: Any, secret: Callable[[str], str]) -> Any:
    if isinstance(tree, dict):
        return {name: _secrets_in(part, secret) for name, part in tree.items()}
    if isinstance(tree, list):
        return [_secrets_in(part, secret) for part in tree]
    return secret(tree) if isinstance(tree, str) else tree


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


def opened(destination: Any, *, secret: Callable[[str], str], folder: Path, clock: Clock = now) -> Target:
    """The target of a destination, ready.

    Raises:
        ConfigError: A secret is not set.
    """
    if destination.http is not None:
        return Http(destination.http, secret=secret, clock=clock)
    if destination.sql is not None:
        return Sql(destination.sql, secret=secret)
    if destination.files is not None:
        return Files(destination.files, folder=folder)
    raise ConfigError("a destination without a way out", mend="give one of http, sql and files")
