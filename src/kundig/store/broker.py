"""The inbox on a broker: a stream of NATS JetStream, so that collectors on several hosts share the load and one worker reads.

A request is one message, acknowledged by the broker when it is stored; the server must sync each write (`sync_interval: always`) for "stored" to
mean "on disk". Cursors are values of a key-value bucket, moved by compare-and-set. An entry's `seq` is the stream's.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import zlib
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from kundig.clock import Clock, now
from kundig.errors import Conflict, MissingExtra, StoreError, nearest
from kundig.store.inbox import Batch, Entry, Inbox

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

    from kundig.config.load import Config

BROKER = "KUNDIG_BROKER"
"""Set in the environment, it names the broker instead of kundig.toml."""

PREFIX = "kundig"
"""How the names of stream and bucket begin where the address has no path; workspaces that share a broker have one each."""

LARGEST = 4_500_000
"""Bytes that a message must be allowed to have: the largest body that the intake takes, and what is noted beside it."""

PATIENCE = 30.0
"""Seconds to wait for the broker to read, move or delete."""

ACKNOWLEDGED = 4.0
"""Seconds to wait for it to take a message, or to be reached at all; then the sender is told to come again."""

Result = TypeVar("Result")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, str, str, str, int, bytes]).decode


def open_inbox(place: str | Path, *, writing: bool = False, clock: Clock = now, waiting_bytes: int = 256 << 20) -> Inbox:
    """The inbox at a place: a file, or `nats://…` for a stream on a broker.

    Raises:
        MissingExtra: A broker is named and its library is not installed.
        StoreError: The broker does not answer, or takes no messages of the size that is needed.
    """
    if str(place).startswith(("nats://", "tls://")):
        return BrokerInbox(str(place), writing=writing, clock=clock, waiting_bytes=waiting_bytes)
    return Inbox(place, writing=writing, clock=clock, waiting_bytes=waiting_bytes)


def inbox_place(config: Config) -> str | Path:
    """Where a workspace's inbox is: the broker that the environment or kundig.toml names, else a file."""
    named = os.environ.get(BROKER) or config.settings.store.inbox
    return config.secret(named) if "://" in named else config.path(named)


class BrokerInbox(Inbox):
    """The inbox at a broker's address; any number of processes may append, one at a time moves a cursor.

    Args:
        url: Address, such as nats://host:4222, or nats://host:4222/shop where several workspaces share the broker.
        writing: Start the writer.
        clock: Gives the moment of arrival.
        group: Requests under way to the broker at most.
        waiting: Requests that may wait for it; more are refused.
        waiting_bytes: Bytes of them; more are refused.
    """

    def __init__(
        self, url: str, *, writing: bool = False, clock: Clock = now, group: int = 2_000, waiting: int = 20_000, waiting_bytes: int = 256 << 20
    ) -> None:
        self.url = url
        self.path = Path(url)
        parts = urlsplit(url)
        prefix = parts.path.strip("/") or PREFIX
        if not prefix.isidentifier():
            raise StoreError(f"'{prefix}' cannot name a stream", at=url, mend="use letters, digits and _ after the address")
        self._name = f"{prefix}_inbox"
        self._prepare(clock=clock, group=group, waiting=waiting, waiting_bytes=waiting_bytes)
        self._loop = asyncio.new_event_loop()
        self._runner = threading.Thread(target=self._loop.run_forever, name="broker", daemon=True)
        self._runner.start()
        try:
            self._client, self._stream, self._cursors = self._do(_connected(urlunsplit(parts._replace(path="")), self._name, f"{prefix}_cursors"))
        except BaseException:
            self._end_loop()
            raise
        self._writer = threading.Thread(target=self._write, name="inbox", daemon=True) if writing else None
        if self._writer is not None:
            self._writer.start()

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of work on the broker's loop.

        Raises:
            StoreError: The broker does not answer.
        """
        import nats.errors

        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=PATIENCE)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise StoreError(f"the broker does not do its part: {type(error).__name__}: {error}", at=self.url, mend="see that it runs and that JetStream has room; send again after a pause") from error

    # writing

    def _write(self) -> None:
        ended = False
        while not ended:
            taken, ended = self._next_group()
            if not taken:
                continue
            try:
                answers = self._do(self._publish([one[:5] for one in taken]))
            except Exception as error:
                self._tell_failed(taken, error)
                continue
            stored = [(one, number) for one, number in zip(taken, answers, strict=True) if isinstance(number, int)]
            failed = [(one, answer) for one, answer in zip(taken, answers, strict=True) if isinstance(answer, Exception)]
            if stored:
                self._tell([one for one, _ in stored], [number for _, number in stored])
            for one, failure in failed:
                self._tell_failed([one], failure)

    async def _publish(self, rows: Sequence[tuple[int, str, str, str, bytes]]) -> list[int | Exception]:
        """The number of each row in the stream, or what kept it out."""

        async def one(row: tuple[int, str, str, str, bytes]) -> int | Exception:
            moment, source, kind, meta, body = row
            try:
                told = await self._stream.publish(self._name, _encode((moment, source, kind, meta, zlib.crc32(body), body)), timeout=ACKNOWLEDGED)
            except Exception as error:
                return error
            return int(told.seq)

        return list(await asyncio.gather(*map(one, rows)))

    def close(self) -> None:
        """Store what waits, then let go of the broker."""
        super().close()
        if self._loop.is_closed():
            return
        with suppress(StoreError):
            self._do(self._client.close())
        self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._runner.join()
        self._loop.close()

    # cursors

    def register(self, cursor: str, *, at: str = "start") -> None:
        """Make a cursor, at the start (everything that is held) or at the end (only what comes); one that exists stays where it is."""

        async def work() -> None:
            from nats.js.errors import KeyWrongLastSequenceError

            first, last = await self._bounds()
            past = last if at == "end" else first - 1
            with suppress(KeyWrongLastSequenceError):
                await self._cursors.create(_key(cursor), _place(cursor, past, past))

        self._do(work())

    def forget(self, cursor: str) -> None:
        """Remove a cursor: it holds nothing back any more."""

        async def work() -> None:
            await self._cursors.purge(_key(cursor))

        self._do(work())

    def cursors(self) -> dict[str, int]:
        """Each cursor, and the `seq` it is past."""
        return {name: past for name, past, _, _ in self._do(self._all())}

    def last(self) -> int:
        """The `seq` of the newest entry there ever was; 0 before the first."""
        return self._do(self._bounds())[1]

    async def _all(self) -> list[tuple[str, int, int, int]]:
        """Name, past, until and revision of each cursor, by name."""
        from nats.js.errors import KeyNotFoundError, NoKeysError

        found = []
        try:
            keys = await self._cursors.keys()
        except NoKeysError:
            return []
        for key in keys:
            with suppress(KeyNotFoundError):
                found.append(_read_place(await self._cursors.get(key)))
        return sorted(found)

    async def _cursor(self, cursor: str) -> tuple[int, int, int]:
        from nats.js.errors import KeyNotFoundError

        try:
            _, past, until, revision = _read_place(await self._cursors.get(_key(cursor)))
        except KeyNotFoundError:
            known = [name for name, _, _, _ in await self._all()]
            raise StoreError(f"the inbox has no cursor '{cursor}'", at=self.url, mend=nearest(cursor, known)) from None
        return past, until, revision

    def read(self, cursor: str, *, most: int = 5_000, bytes: int = 64 << 20) -> Batch | None:
        """The next batch of a cursor, or None where nothing is left; until `advance`, it is the same batch, also after a crash.

        Raises:
            StoreError: There is no such cursor, an entry is damaged, or the broker does not answer.
            Conflict: Somebody else reads with this cursor.
        """

        async def work() -> Batch | None:
            past, until, revision = await self._cursor(cursor)
            entries = await self._entries(past, until=until, most=most, bytes=bytes)
            if not entries:
                return None
            if until == past:
                until = entries[-1].seq
                await self._move(cursor, past, until, revision)
            return Batch(cursor=cursor, past=past, until=until, entries=tuple(entries))

        return self._do(work())

    def ahead(self, batch: Batch, *, most: int = 5_000, bytes: int = 64 << 20) -> Batch | None:
        """What the cursor will read after a batch that was read, or None where nothing is left; nothing is noted, so that `take` may find it was changed."""
        entries = self._do(self._entries(batch.until, most=most, bytes=bytes))
        return Batch(cursor=batch.cursor, past=batch.until, until=entries[-1].seq, entries=tuple(entries)) if entries else None

    def take(self, batch: Batch) -> bool:
        """Note that a batch read ahead is the cursor's next one; False where the cursor stands elsewhere, or another batch was noted: then `read` again."""

        async def work() -> bool:
            past, until, revision = await self._cursor(batch.cursor)
            if not past == until == batch.past:
                return False
            await self._move(batch.cursor, past, batch.until, revision)
            return True

        return self._do(work())

    def advance(self, batch: Batch) -> None:
        """Move the batch's cursor past it, once.

        Raises:
            Conflict: The cursor is no longer where the batch begins: somebody else has moved it.
        """

        async def work() -> None:
            past, until, revision = await self._cursor(batch.cursor)
            if (past, until) != (batch.past, batch.until):
                raise Conflict(f"cursor '{batch.cursor}' is not at {batch.past}", at=self.url, mend="read again: this batch was taken by somebody else")
            await self._move(batch.cursor, until, until, revision)

        self._do(work())

    async def _move(self, cursor: str, past: int, until: int, revision: int) -> None:
        from nats.js.errors import KeyWrongLastSequenceError

        try:
            await self._cursors.update(_key(cursor), _place(cursor, past, until), last=revision)
        except KeyWrongLastSequenceError:
            raise Conflict(f"cursor '{cursor}' was moved by somebody else", at=self.url, mend="read again") from None

    def waiting(self, cursor: str) -> int:
        """How many entries a cursor has before it; 0 for one that is not there."""

        async def work() -> int:
            from nats.js.errors import KeyNotFoundError

            try:
                _, past, _, _ = _read_place(await self._cursors.get(_key(cursor)))
            except KeyNotFoundError:
                return 0
            reader = await self._reader(past)
            try:
                return int((await reader.consumer_info()).num_pending or 0)
            finally:
                await reader.unsubscribe()

        return self._do(work())

    def waiting_by_source(self, cursor: str) -> dict[str, int]:
        """How many entries of each source a cursor has before it, of the next ones as far as one batch goes."""

        async def work() -> dict[str, int]:
            found: dict[str, int] = {}
            for entry in await self._next(cursor, most=2_000):
                found[entry.source] = found.get(entry.source, 0) + 1
            return found

        return self._do(work())

    def oldest(self, cursor: str) -> int | None:
        """When the first entry before a cursor came, in microseconds since 1970; None where nothing waits."""

        async def work() -> int | None:
            found = await self._next(cursor, most=1)
            return found[0].received_at if found else None

        return self._do(work())

    async def _next(self, cursor: str, *, most: int) -> list[Entry]:
        from nats.js.errors import KeyNotFoundError

        try:
            _, past, _, _ = _read_place(await self._cursors.get(_key(cursor)))
        except KeyNotFoundError:
            return []
        return await self._entries(past, most=most)

    async def _bounds(self) -> tuple[int, int]:
        state = (await self._stream.stream_info(self._name)).state
        return (int(state.first_seq) if state.messages else int(state.last_seq) + 1), int(state.last_seq)

    async def _reader(self, past: int) -> JetStreamContext.PullSubscription:
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=past + 1, ack_policy=AckPolicy.NONE, inactive_threshold=60.0, mem_storage=True)
        return await self._stream.pull_subscribe(self._name, stream=self._name, config=config)

    async def _entries(self, past: int, *, until: int = 0, most: int = 5_000, bytes: int = 64 << 20) -> list[Entry]:
        """Entries after `past`: those up to `until` where that is beyond it, else as many as fit, and one at least."""
        import nats.errors

        found: list[Entry] = []
        size = 0
        reader = await self._reader(past)
        try:
            left = int((await reader.consumer_info()).num_pending or 0)
            while left:
                try:
                    messages = await reader.fetch(min(left, 256, most - len(found)) if until == past or not until else min(left, 256), timeout=5)
                except nats.errors.TimeoutError:
                    return found
                for message in messages:
                    entry = self._entry(message.metadata.sequence.stream, message.data)
                    size += len(entry.body)
                    if (until > past and entry.seq > until) or (until <= past and found and (size > bytes or len(found) >= most)):
                        return found
                    found.append(entry)
                left -= len(messages)
                if until <= past and len(found) >= most:
                    return found
            return found
        finally:
            await reader.unsubscribe()

    def _entry(self, seq: int, data: bytes) -> Entry:
        try:
            moment, source, kind, meta, check_sum, body = _decode(data)
        except msgspec.DecodeError as error:
            raise StoreError(f"message {seq} of the stream is no entry of an inbox", at=self.url, mend="nothing but kundig may publish there; delete the message by hand and note the loss") from error
        if zlib.crc32(body) != check_sum:
            raise StoreError(f"message {seq} of the stream is damaged", at=self.url, mend="restore the stream from a backup, or delete the message by hand and note the loss")
        return Entry(seq=seq, received_at=moment, source=source, kind=kind, meta=meta, body=body)

    # forgetting

    def trim(self, *, at_once: int = 5_000, bytes: int = 8 << 20) -> int:
        """Delete what every cursor is past; gives how many. Without any cursor nothing is deleted."""

        async def work() -> int:
            pasts = [past for _, past, _, _ in await self._all()]
            first, _ = await self._bounds()
            if not pasts or min(pasts) < first:
                return 0
            before = int((await self._stream.stream_info(self._name)).state.messages)
            await self._stream.purge_stream(self._name, seq=min(pasts) + 1)
            after = (await self._stream.stream_info(self._name)).state
            gone = before - int(after.messages)
            return max(0, gone)

        return self._do(work())

    def erase(self, rewritten: Callable[[Entry], bytes | None]) -> int:
        """Take a person out of what is held: an entry that names them is overwritten by the broker, and what the function leaves of it is appended anew,
        so that readers who are past it read it once more and know it by its message ids. Gives how many entries were rewritten."""

        async def work() -> int:
            changed = 0
            past, (_, last) = 0, await self._bounds()
            while past < last:
                entries = await self._entries(past, most=1_000)
                for entry in entries:
                    if entry.seq <= last and (body := rewritten(entry)) is not None:
                        await self._stream.publish(self._name, _encode((entry.received_at, entry.source, entry.kind, entry.meta, zlib.crc32(body), body)))
                        await self._stream.delete_msg(self._name, entry.seq)
                        changed += 1
                past = entries[-1].seq if entries else last
            return changed

        return asyncio.run_coroutine_threadsafe(work(), self._loop).result()


def _key(cursor: str) -> str:
    """A cursor's name as a key: letters and digits as they are, all else by number."""
    return "".join(sign if sign.isalnum() and sign.isascii() else f"_{ord(sign):x}_" for sign in cursor)


def _place(cursor: str, past: int, until: int) -> bytes:
    return json.dumps([cursor, past, until]).encode()


def _read_place(entry: KeyValue.Entry) -> tuple[str, int, int, int]:
    name, past, until = json.loads(entry.value or b"[]")
    return name, past, until, int(entry.revision or 0)


async def _connected(url: str, name: str, bucket: str) -> tuple[Client, JetStreamContext, KeyValue]:
    """The client, its stream and its bucket, which are made where they are not there."""
    try:
        import nats
        from nats.js.api import DiscardPolicy, KeyValueConfig, RetentionPolicy, StorageType, StreamConfig
        from nats.js.errors import NotFoundError
    except ModuleNotFoundError as error:
        raise MissingExtra("nats", purpose="an inbox on a broker") from error

    async def quiet(error: Exception) -> None:
        """What goes wrong is told to whoever asked."""

    client = await asyncio.wait_for(nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.2, connect_timeout=2, error_cb=quiet), ACKNOWLEDGED)
    if client.max_payload < LARGEST:
        await client.close()
        raise StoreError(f"the broker takes messages of {client.max_payload:,} bytes at most, {LARGEST:,} are needed", at=url, mend="set max_payload: 8MB in its configuration")
    stream = client.jetstream(timeout=PATIENCE / 2, publish_async_max_pending=20_000)
    config = StreamConfig(name=name, subjects=[name], retention=RetentionPolicy.LIMITS, discard=DiscardPolicy.NEW, storage=StorageType.FILE, duplicate_window=0.1)
    try:
        await stream.stream_info(name)
    except NotFoundError:
        await stream.add_stream(config)
    try:
        cursors = await stream.key_value(bucket)
    except NotFoundError:
        cursors = await stream.create_key_value(KeyValueConfig(bucket=bucket, history=1, storage=StorageType.FILE))
    return client, stream, cursors
