"""Consent in tracking calls: found by a search for declared names, and in the consent log before the call is acknowledged.

A name can be spelled with escapes in JSON; what is searched for is therefore the longest part of it that JSON writers leave alone, and a
body with escaped letters is a candidate too. Candidates alone are decoded.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kundig import consent
from kundig.collect.hearing import GRANTS, Heard, Identified, Row, may_be_kept
from kundig.collect.identifiers import Rules, identifier_key, normalise
from kundig.collect.intake.refusals import Refused
from kundig.collect.intake.stamps import Pair, Stamps, pairs_of, stricter
from kundig.collect.plain_json import decoded
from kundig.config.collect import SegmentSpec
from kundig.config.law import ConsentCall, Purposes
from kundig.consent import suppression

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.store.state import State

UPDATED = "Segment Consent Preference Updated"
"""The call by which a consent tool says that a person chose."""

CATEGORIES = "categoryPreferences"

FORM = "form:"
"""How the names of forms begin among the declared events."""

_PLAIN = re.compile(r"[A-Za-z0-9 _.:;,()@!?*$%#=|~^-]+")
_LETTER = re.compile(rb"\\u00[2-7]")

def needle(name: str) -> bytes:
    r"""The longest part of a name that JSON writers do not escape, but for letters written as \u00..; empty where there is none.

    Examples:
        >>> needle("Einwilligung geändert"), needle("Segment/Update"), needle("é")
        (b'Einwilligung ge', b'Segment', b'')
    """
    return max(_PLAIN.findall(name), key=len, default="").encode()


class Listener:
    """Finds consent in the bodies of a workspace's sources.

    Args:
        config: The workspace.
    """

    def __init__(self, config: Config) -> None:
        purposes: Purposes = config.purposes
        self._config = config
        self._calls: dict[str, ConsentCall] = dict(purposes.signals.events)
        self._categories = {name: tuple(pairs_of(pairs)) for name, pairs in purposes.signals.categories.items()}
        self._jurisdictions = {name: purpose.jurisdiction for name, purpose in purposes.purposes.items()}
        self._stamps = Stamps(purposes.signals)
        names = [needle(name) for name in self._calls if not name.startswith(FORM)] + ([CATEGORIES.encode()] if self._categories else []) + self._stamps.names()
        self._all = b"" in names
        self._needles = tuple(dict.fromkeys(name for name in names if name))
        self._rules = Rules(identity=config.identity)
        self._namespaces: dict[str, SegmentSpec] = {}

    def may_speak(self, body: bytes, *, gpc: bool = False) -> bool:
        """Whether a body may hold consent, sent with Global Privacy Control or without; no body that does is passed over."""
        if gpc and self._stamps.objects:
            return True
        if not self._needles and not self._all:
            return False
        return self._all or any(name in body for name in self._needles) or (b"\\u00" in body and _LETTER.search(body) is not None)

    def heard(self, body: bytes, *, source: str, kind: str, sent_at: str, received_at: dt.datetime, gpc: bool = False) -> Heard:
        """The consent records of a body; calls that name nobody, or say nothing of consent, give none."""
        envelope, calls = _parts(body)
        sent = envelope.get("sentAt") or sent_at
        said: list[Row] = []
        carried: list[Row] = []
        named_in: list[Identified] = []
        for call in calls:
            context = _dict(call.get("context")) or _dict(envelope.get("context"))
            named = call.get("event") if call.get("type", kind) == "track" else None
            event = named if isinstance(named, str) else ""
            stamped = self._stamped(_dict(context.get("consent")), received_at, gpc)
            rows = list(self._rows(call, context, event, stamped, source=source, sent=sent, received_at=received_at, named_in=named_in))
            (said if event == UPDATED or event in self._calls else carried).extend(rows)
        return Heard(said=tuple(said), carried=tuple(carried), named=tuple(named_in))

    def of_form(self, record: bytes, *, source: str, form: str, received_at: dt.datetime) -> Heard:
        """The consent records of a form that was filled in; the form is declared as the event `form:<name>`."""
        if f"{FORM}{form}" not in self._calls:
            return Heard(said=(), carried=())
        fields = decoded(record)
        call = {"userId": fields.get("userId"), "anonymousId": fields.get("anonymousId"), "traits": fields, "properties": fields}
        digest = hashlib.sha256(record).hexdigest()[:16]
        call["messageId"] = f"form-{digest}-{int(received_at.timestamp() * 1_000_000)}"
        named_in: list[Identified] = []
        said = tuple(self._rows(call, {}, f"{FORM}{form}", {}, source=source, sent=None, received_at=received_at, named_in=named_in))
        return Heard(said=said, carried=(), named=tuple(named_in))

    def _rows(self, call: Row, context: Row, event: str, stamped: Mapping[Pair, str], *, source: str, sent: Any, received_at: dt.datetime, named_in: list[Identified]) -> Iterator[Row]:
        stated = list(self._stated(call, event, stamped))
        if not stated:
            return
        named = self._named(call, context, source)
        if not named:
            return
        named_in.extend(named)
        keys = [key for key, _, _ in named]
        message = call.get("messageId")
        message = message if isinstance(message, str) and message else hashlib.sha256(json.dumps(call).encode()).hexdigest()[:32]
        occurred = _occurred(call, sent, received_at)
        for status, purpose, channel, wording in stated:
            yield {
                "record_id": f"{source}:{message}:{purpose}:{channel}", "source": source, "occurred_at": occurred, "received_at": received_at, "identifier_key": keys[0],
                "other_keys": sorted(set(keys[1:]) - {keys[0]}), "purpose": purpose, "channel": channel, "status": status, "basis": "consent" if status in GRANTS else None, "until": None,
                "wording": wording or None, "wording_hash": None, "evidence": f"{source}: {event or 'call'} {message}"[:200],
                "jurisdiction": self._jurisdictions.get(purpose),
            }  # fmt: skip

    def _stamped(self, carried: Row, at: dt.datetime, gpc: bool) -> dict[Pair, str]:
        """Purpose and channel → status, of all that a call carries along; where two disagree, the stricter."""
        found = self._stamps.stated(carried, at=at, gpc=gpc)
        preferences = carried.get(CATEGORIES)
        if preferences is not None:
            chosen = _dict(preferences)  # what cannot be read allows nothing
            for category, pairs in self._categories.items():
                if category in chosen or not chosen:
                    for pair in pairs:
                        stricter(found, pair, "given" if chosen.get(category) is True else "withdrawn")
        return found

    def _stated(self, call: Row, event: str, stamped: Mapping[Pair, str]) -> Iterator[tuple[str, str, str, str]]:
        """(status, purpose, channel, wording) that a call states; what it says outright goes before what it carries along."""
        outright: set[Pair] = set()
        if (spoken := self._calls.get(event)) is not None:
            wording = spoken.wording or _dict(call.get("properties")).get("wording") or ""
            for purpose, channel in pairs_of(spoken.covers):
                outright.add((purpose, channel))
                yield spoken.status, purpose, channel, wording if isinstance(wording, str) else ""
        for (purpose, channel), status in stamped.items():
            if (purpose, channel) not in outright:
                yield status, purpose, channel, ""

    def _named(self, call: Row, context: Row, source: str) -> list[Identified]:
        """All that names the person, the strongest first."""
        spec = self._namespaces.get(source)
        if spec is None:
            inputs = self._config.sources[source].inputs if source in self._config.sources else ()
            spec = self._namespaces[source] = next((given.segment for given in inputs if given.segment is not None), SegmentSpec())
        traits, inner, properties = _dict(call.get("traits")), _dict(context.get("traits")), _dict(call.get("properties"))
        named = [(spec.user_id, call.get("userId")), (spec.anonymous_id, call.get("anonymousId")), ("device_id", _dict(context.get("device")).get("id"))]
        for namespace in ("email", "phone"):
            named.append((namespace, next((found[namespace] for found in (traits, properties, inner) if found.get(namespace)), None)))
        named.sort(key=lambda one: self._rules.rank(one[0]))
        country = self._config.settings.workspace.country
        values = [(namespace, normalise(namespace, str(value), country=country, rules=self._rules)) for namespace, value in named if isinstance(value, (str, int)) and value != ""]
        return [(identifier_key(namespace, value), namespace, value) for namespace, value in values if value is not None]


class _Envelope(msgspec.Struct):
    batch: list[Raw] | UnsetType | None = UNSET
    sentAt: Raw | UnsetType = UNSET
    context: Raw | UnsetType = UNSET


_envelope = msgspec.json.Decoder(_Envelope)
_array = msgspec.json.Decoder(list[Raw])


def _parts(body: bytes) -> tuple[Row, list[Row]]:
    """The envelope's own words and the calls in it, read as landing reads them; a call that nobody can read is left out, and held at landing."""
    if body.lstrip()[:1] == b"[":
        envelope, raws = _Envelope(), _array.decode(body)
    else:
        envelope = _envelope.decode(body)
        raws = [Raw(body)] if not isinstance(envelope.batch, list) else envelope.batch
    told = {"sentAt": _read(envelope.sentAt), "context": _read(envelope.context)}
    return told, [call for raw in raws if isinstance(call := _read(raw), dict)]


def _read(raw: Raw | UnsetType) -> Any:
    try:
        return None if isinstance(raw, UnsetType) else decoded(bytes(raw))
    except (ValueError, RecursionError):
        return None


def _dict(value: Any) -> Row:
    return value if isinstance(value, dict) else {}


def _occurred(call: Row, sent: Any, received_at: dt.datetime) -> dt.datetime:
    """When it happened, by the difference of the sender's clock at sending; never after it was received."""
    original = _moment(call.get("originalTimestamp")) or _moment(call.get("timestamp"))
    if original is None:
        return received_at
    sent_at = _moment(call.get("sentAt")) or _moment(sent)
    try:
        return min(received_at - (sent_at - original), received_at) if sent_at is not None else min(original, received_at)
    except OverflowError:
        return received_at


def _moment(value: Any) -> dt.datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = dt.datetime.fromisoformat(value)
        return found.astimezone(dt.UTC) if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        return None


class Recorder:
    """Writes consent into the log, many bodies in one transaction, and tells each when its records are there.

    Preferences that a call merely carries along are written where they differ from what was last known of the person: trackers stamp
    them on every call.

    Args:
        state: Where the log is kept.
        config: The workspace, whose key tells who is suppressed; without it nobody is.
        remembered: Persons and purposes whose last word is kept in memory.
        seconds: Within which the log must be written; after that the sender is told to come again, and finds it written or not.
    """

    def __init__(self, state: State, config: Config | None = None, *, remembered: int = 200_000, seconds: float = 10.0) -> None:
        self.state = state
        self.config = config
        self.seconds = seconds
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="consent")
        self._pending: list[tuple[Heard, asyncio.Future[int]]] = []
        self._task: asyncio.Task[None] | None = None
        self._last: OrderedDict[tuple[int, str, str, str], str] = OrderedDict()
        self._most = remembered

    def warm(self) -> None:
        """Load what the first write needs, so that nobody waits for it."""
        consent.append(self.state, [])

    def close(self) -> None:
        """Write what waits, then stop."""
        self._pool.shutdown(wait=True)

    async def written(self, heard: Heard) -> int:
        """Wait until the records are in the log; gives how many were new among those written together.

        Raises:
            Refused: The log cannot be written, or somebody else writes into state for too long.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending.append((heard, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        try:
            return await asyncio.wait_for(future, self.seconds)
        except TimeoutError:
            raise Refused("consent_log", f"not within {self.seconds:.0f} s") from None

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._pending:
                taken, self._pending = self._pending, []
                try:
                    answer: int | Refused = await loop.run_in_executor(self._pool, self._append, [heard for heard, _ in taken])
                except Exception as error:
                    answer = Refused("consent_log", str(error).split("\n")[0][:200])
                for _, future in taken:
                    _tell(future, answer)
        finally:
            self._task = None

    def _append(self, bodies: Sequence[Heard]) -> int:
        with self.state.transaction() as connection:
            refused: Mapping[int, str] = {}
            if self.config is not None:
                refused = suppression.refused(self.config, self.state, {one for heard in bodies for one in heard.named}, connection=connection)
            said = [row for heard in bodies for row in heard.said if may_be_kept(row, refused)]
            fresh = self._changed([row for heard in bodies for row in heard.carried if may_be_kept(row, refused)], connection)
            count = consent.append(self.state, said + fresh, connection=connection)
        for row in said:
            self._remember(row)
        for row in fresh:
            self._remember(row)
        return count

    def _changed(self, rows: Sequence[Row], connection: Any) -> list[Row]:
        """The rows that say something else than was last known of the person by that source."""
        unknown = {row["identifier_key"] for row in rows if _of(row) not in self._last}
        if unknown:
            import sqlalchemy as sa

            log, keys = self.state.sql("consent_log"), self.state.sql("consent_keys")
            wanted = sorted(unknown)
            for start in range(0, len(wanted), 500):
                chosen = sa.select(keys.c.identifier_key, log.c.source, log.c.purpose, log.c.channel, log.c.status).join(log, log.c.seq == keys.c.seq)
                chosen = chosen.where(keys.c.identifier_key.in_(wanted[start : start + 500])).order_by(log.c.seq)
                for key, source, purpose, channel, status in connection.execute(chosen):
                    self._note((key, source, purpose, channel), status)
        fresh: list[Row] = []
        seen: dict[tuple[int, str, str, str], str] = {}
        for row in rows:
            place = _of(row)
            if seen.get(place, self._last.get(place)) != row["status"]:
                seen[place] = row["status"]
                fresh.append(row)
        return fresh

    def _remember(self, row: Row) -> None:
        self._note(_of(row), row["status"])

    def _note(self, place: tuple[int, str, str, str], status: str) -> None:
        self._last[place] = status
        self._last.move_to_end(place)
        while len(self._last) > self._most:
            self._last.popitem(last=False)


def _of(row: Row) -> tuple[int, str, str, str]:
    return row["identifier_key"], row["source"], row["purpose"], row["channel"]


def _tell(future: asyncio.Future[int], answer: int | Refused) -> None:
    if future.done():
        return
    if isinstance(answer, Refused):
        future.set_exception(answer)
    else:
        future.set_result(answer)
