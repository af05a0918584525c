"""The intake as a raw ASGI application: find the key, read the body, store it, answer; no framework stands in between.

A request is acknowledged when it is on disk, and when the consent it holds is in the consent log. What an event is worth is judged at landing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from kundig.clock import Clock, now
from kundig.collect.hearing import Heard
from kundig.collect.intake import answers, bootstrap, forms, openapi, pixel
from kundig.collect.intake.answers import Answer
from kundig.collect.intake.bodies import Budget, Content, Gone, Receive, decoded, judged, read
from kundig.collect.intake.consent import Listener, Recorder
from kundig.collect.intake.keys import KeyBook, from_authorization
from kundig.collect.intake.limits import Disk, Rates, Tally
from kundig.collect.intake.refusals import Refused
from kundig.collect.intake.verifying import Delivered, Verifier
from kundig.collect.plain_json import INT64
from kundig.config.settings import IntakeSettings
from kundig.errors import StoreError

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.store.inbox import Inbox

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = dict[bytes, bytes]

KINDS = {"track": "t", "identify": "i", "page": "p", "screen": "s", "group": "g", "alias": "a", "batch": "b", "import": "import"}
"""Kinds of calls, and their short addresses."""

CALLS: dict[str, str] = (
    {f"/v1/{kind}": kind for kind in KINDS} | {f"/v1/{short}": kind for kind, short in KINDS.items()} | {f"/api/s/{kind}": kind for kind in KINDS} | {"/beacon/v1/batch": "batch"}
)
"""Addresses that calls are sent to, and what kind of call each means."""

PIXELS = {f"{stem}/{kind}": kind for stem in ("/v1/pixel", "/pixel/v1") for kind in ("track", "page")}
_SETTINGS = re.compile(r"/v1/projects/([^/]+)/settings")
_NAMED = re.compile(r"/v1/(form|webhook|changes)/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})")
_FULL = ("full", "No space", "disk I/O", "quota")
_START: dict[str, Any] = answers.start_of(answers.TAKEN, b"")
_BODY: dict[str, Any] = {"type": "http.response.body", "body": answers.TAKEN.body}
_meta = msgspec.json.Encoder()


Page = Callable[[str, str, Mapping[str, str], bytes], Answer]
"""Answers method, path, query and body; may take its time, and is asked in a thread."""


class Intake:
    """The application over one workspace.

    Args:
        config: The workspace.
        inbox: Opened for writing.
        keys: The book of write keys, begun.
        recorder: Writes the consent log.
        webhooks: Checks of webhooks, by name.
        pages: What else is shown to the public here, by the first part of its path.
        clock: The present moment.
    """

    def __init__(
        self, config: Config, *, inbox: Inbox, keys: KeyBook, recorder: Recorder, webhooks: Mapping[str, Verifier] | None = None, pages: Mapping[str, Page] | None = None, clock: Clock = now
    ) -> None:
        self.settings: IntakeSettings = config.settings.intake
        self.config = config
        self.inbox = inbox
        self.keys = keys
        self.recorder = recorder
        self.webhooks: Mapping[str, Verifier] = webhooks or {}
        self.pages: Mapping[str, Page] = pages or {}
        self.clock = clock
        self.tally = Tally()
        self.most = self.settings.body_kb * 1_000
        self.files_fault = ""
        """Why sources/ and webhooks/ as they are cannot be read, where the earlier files are in use."""
        self._listener = Listener(config)
        self._budget = Budget(self.settings.waiting_mb * 1_000_000)
        self._rates = Rates(self.settings.events_per_second)
        self._disk = Disk(inbox.path.parent if inbox.path.parent.is_dir() else config.path("data"), self.settings.disk_reserve_mb * 1_000_000)
        self._proxies = frozenset(self.settings.proxies)
        self._keys_sent: dict[bytes, str] = {}

    def take(self, config: Config, webhooks: Mapping[str, Verifier]) -> None:
        """Go on with other files; a request that is being answered ends with those it began with."""
        self._listener, self.config, self.webhooks = Listener(config), config, webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers: Headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        try:
            answer = await self._answer(scope, headers, receive)
        except Refused as error:
            self.tally.refused(error.refusal.code)
            answer = answers.refused(error)
        except Gone:
            self.tally.refused("gone")
            return
        if answer is answers.TAKEN and not origin:
            await send(_START)
            await send(_BODY)
            return
        await send(answers.start_of(answer, origin))
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        path: str = scope["path"]
        method: str = scope["method"]
        kind = CALLS.get(path)
        if kind is not None and method == "POST":
            return await self._call(scope, headers, receive, path, kind)
        path = path.rstrip("/") or "/"
        page = self.pages.get(path.split("/", 2)[1])
        if page is not None and method in ("GET", "HEAD", "POST"):
            return await self._page(page, scope, headers, receive, path)
        if method == "OPTIONS":
            return answers.preflight(headers.get(b"origin", b""), headers.get(b"access-control-request-headers", b""), private=b"access-control-request-private-network" in headers)
        if method == "POST":
            return await self._post(scope, headers, receive, path)
        if method in ("GET", "HEAD"):
            return await self._get(scope, headers, path)
        raise Refused("no_such_method", method[:20])

    async def _post(self, scope: Scope, headers: Headers, receive: Receive, path: str) -> Answer:
        if path in CALLS:
            return await self._call(scope, headers, receive, path, CALLS[path])
        if path == "/v1/m":  # figures that an SDK sends about itself
            self._budget.give(len(await self._read(headers, receive)))
            return answers.TAKEN
        found = _NAMED.fullmatch(path)
        if found is None:
            raise Refused("no_such_method" if path in PIXELS else "no_such_path", path[:80])
        work = {"form": self._form, "webhook": self._webhook, "changes": self._change}[found[1]]
        return await work(scope, headers, receive, path, found[2])

    async def _get(self, scope: Scope, headers: Headers, path: str) -> Answer:
        if path in PIXELS:
            return await self._pixel(scope, headers, path, PIXELS[path])
        if path == "/health":
            return Answer(body=b"ok\nfiles: a change cannot be read, the earlier ones are in use\n" if self.files_fault else b"ok\n", kind=b"text/plain")
        if path == "/ready":
            return self._ready()
        if path == "/metrics":
            lines = (*self.tally.lines(), "# HELP kundig_intake_files_failing 1 where changed files cannot be read and the earlier ones are in use.", "# TYPE kundig_intake_files_failing gauge", f"kundig_intake_files_failing {int(bool(self.files_fault))}")
            return Answer(body=("\n".join(lines) + "\n").encode(), kind=b"text/plain; version=0.0.4")
        if path == "/openapi.json":
            return answers.told(openapi.description(self.most), headers=(answers.NO_STORE,))
        settings = _SETTINGS.fullmatch(path)
        if settings is not None:
            self.keys.source_of(settings[1])
            return answers.told(bootstrap.segment_settings(settings[1], host=_text(headers, b"host"), scheme=self._scheme(scope, headers)), headers=(answers.NO_STORE,))
        if path == "/sourceConfig":
            key, source = self._source(headers, _query(scope), "")
            return answers.told(bootstrap.rudder_config(key, source), headers=(answers.NO_STORE,))
        named = _NAMED.fullmatch(path)
        if named is not None and named[1] == "webhook" and named[2] in self.webhooks:
            return answers.TAKEN  # some vendors ask for the address before they send to it
        raise Refused("no_such_method" if path in CALLS or _NAMED.fullmatch(path) else "no_such_path", path[:80])

    async def _page(self, page: Page, scope: Scope, headers: Headers, receive: Receive, path: str) -> Answer:
        body = await self._read(headers, receive) if scope["method"] == "POST" else b""
        try:
            return await asyncio.get_running_loop().run_in_executor(None, page, scope["method"], path, _query(scope), body)
        except StoreError as error:
            raise Refused("consent_log", error.what[:200]) from None
        finally:
            self._budget.give(len(body))

    # what is sent

    async def _call(self, scope: Scope, headers: Headers, receive: Receive, path: str, kind: str) -> Answer:
        """Calls, one or a batch."""
        source = self._early(headers)
        self._disk.demand_room()
        body = await self._read(headers, receive)
        held = len(body)
        try:
            body = decoded(body, headers.get(b"content-encoding", b""), most=self.most)
            content = judged(body)
            if not source:
                _, source = self._source(headers, _query(scope), content.key)
            self._rates.take(source, content.events)
            await self._store(scope, headers, body, content, source=source, kind="call", path=path, type=kind)
        finally:
            self._budget.give(held)
        return answers.TAKEN

    async def _store(self, scope: Scope, headers: Headers, body: bytes, content: Content, *, source: str, kind: str, path: str, type: str, **more: Any) -> None:
        """Put consent into its log, then the body on disk."""
        sent_at = _text(headers, b"sentat")
        type = "batch" if content.batch and type != "import" and kind == "call" else type
        meta = {"path": path, "type": type, "ip": self._ip(scope, headers), "agent": _text(headers, b"user-agent")[:512], "sent_at": sent_at[:64], **more}
        gpc = headers.get(b"sec-gpc", b"").strip() == b"1"
        if kind == "call" and self._listener.may_speak(body, gpc=gpc):
            await self._hear(self._listener.heard(body, source=source, kind=type, sent_at=sent_at, received_at=self.clock(), gpc=gpc))
        elif kind == "form":
            await self._hear(self._listener.of_form(body, source=source, form=more["form"], received_at=self.clock()))
        try:
            await self.inbox.stored(body, source=source, kind=kind, meta=_meta.encode(meta).decode())
        except StoreError as error:
            told = error.what
            raise Refused("disk_full" if any(word in told for word in _FULL) and "inbox is full" not in told else "busy" if "waits" in told or "full" in told else "stopping") from None
        self.tally.took(source, content.events)

    async def _hear(self, heard: Heard) -> None:
        if heard.said or heard.carried:
            await self.recorder.written(heard)

    async def _pixel(self, scope: Scope, headers: Headers, path: str, kind: str) -> Answer:
        """A call by an image's address; the answer is an image also where it is refused, so that no page shows a broken one."""
        try:
            query = _query(scope)
            body, named = pixel.call_of(query, kind)
            _, source = self._source(headers, query, named)
            self._disk.demand_room()
            self._rates.take(source, 1)
            await self._store(scope, headers, body, judged(body), source=source, kind="call", path=path, type=kind)
        except Refused as error:
            self.tally.refused(error.refusal.code)
            return Answer(status=error.refusal.status, body=answers.GIF, kind=b"image/gif", headers=(answers.NO_STORE, (b"x-refused", error.refusal.code.encode())))
        return answers.PIXEL

    async def _form(self, scope: Scope, headers: Headers, receive: Receive, path: str, name: str) -> Answer:
        """Fields of a plain HTML form, and lists uploaded with it."""
        self._disk.demand_room()
        sent = await self._read(headers, receive)
        try:
            form = forms.read_form(sent, _text(headers, b"content-type"))
            query = _query(scope)
            _, source = self._source(headers, query, form.value(*forms.KEYS))
            self._rates.take(source, 1)
            given = self.config.sources.get(source)
            placed = []
            for upload in form.files:
                forms.check(upload)
                placed.append((forms.place_of(upload, source, given), upload))
            record = form.record()
            if record == b"{}" and not placed:
                raise Refused("no_form")
            try:
                files = await asyncio.get_running_loop().run_in_executor(None, forms.keep, self.config.root, placed) if placed else ()
            except OSError as error:
                raise Refused("disk_full", error.strerror or "") from None
            await self._store(scope, headers, record, Content(1, False, ""), source=source, kind="form", path=path, type="", form=name, **({"files": files} if files else {}))
        finally:
            self._budget.give(len(sent))
        page = forms.next_page(form.value("_next"), {"origin": _text(headers, b"origin"), "referer": _text(headers, b"referer")})
        if page:
            return Answer(status=303, body=b"", kind=b"text/plain", headers=((b"location", page.encode("ascii", "ignore")),))
        return answers.told({"success": True, "files": list(files)}) if files else answers.TAKEN

    async def _webhook(self, scope: Scope, headers: Headers, receive: Receive, path: str, name: str) -> Answer:
        """A vendor's webhook: signed as that vendor signs, and stored as it came."""
        verifier = self.webhooks.get(name)
        if verifier is None:
            raise Refused("no_such_webhook", name)
        self._disk.demand_room()
        sent = await self._read(headers, receive)
        try:
            body = decoded(sent, headers.get(b"content-encoding", b""), most=self.most)
            told = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in headers.items()}
            delivered = Delivered(name=name, headers=told, query=_query(scope), body=body, sent_body=sent, at=self.clock())
            verifier.verify(delivered)
            heard = verifier.heard(delivered)
            if heard.said:
                await self.recorder.written(heard)
            content = judged(body) if body.lstrip()[:1] in (b"{", b"[") else Content(1, False, "")
            await self._store(scope, headers, body, content, source=verifier.source, kind="webhook", path=path, type="", webhook=name, told=dict(verifier.noted(delivered)))
        finally:
            self._budget.give(len(sent))
        return answers.TAKEN

    async def _change(self, scope: Scope, headers: Headers, receive: Receive, path: str, name: str) -> Answer:
        """Changes of a database as Debezium writes them: one object, or a list."""
        source = self._early(headers)
        self._disk.demand_room()
        sent = await self._read(headers, receive)
        try:
            body = decoded(sent, headers.get(b"content-encoding", b""), most=self.most)
            content = judged(body)
            if not source:
                _, source = self._source(headers, _query(scope), "")
            if source != name:
                raise Refused("key_of_other_source", f"not to {name}")
            await self._store(scope, headers, body, content, source=source, kind="change", path=path, type="")
        finally:
            self._budget.give(len(sent))
        return answers.TAKEN

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        """The body as it was sent; its bytes are in the budget."""
        return await read(receive, _length(headers), most=self.most, seconds=self.settings.slow_seconds, budget=self._budget)

    # who sends

    def _early(self, headers: Headers) -> str:
        """The source of a key in the headers, before the body is read; '' where there is none in them.

        Raises:
            Refused: The headers hold a key, and it is no good.
        """
        sent = headers.get(b"authorization") or headers.get(b"x-write-key")
        if sent is None:
            return ""
        key = self._keys_sent.get(sent)
        if key is None:
            key = from_authorization(sent) if b"authorization" in headers and headers[b"authorization"] is sent else sent.decode("latin-1")
            if len(self._keys_sent) >= 20_000:
                self._keys_sent.clear()
            self._keys_sent[sent] = key
        return self.keys.source_of(key) if key else ""

    def _source(self, headers: Headers, query: Mapping[str, str], named: str) -> tuple[str, str]:
        """The key and its source: of the headers, else of the body, else of the query.

        Raises:
            Refused: There is none, or it is no good.
        """
        candidates = (from_authorization(headers.get(b"authorization", b"")), _text(headers, b"x-write-key"), named, query.get("writeKey", ""), query.get("write_key", ""))
        key = next((one for one in candidates if one), "")
        if not key:
            raise Refused("no_key")
        return key, self.keys.source_of(key)

    def _ip(self, scope: Scope, headers: Headers) -> str:
        client = scope.get("client")
        peer: str = client[0] if client else ""
        forwarded = headers.get(b"x-forwarded-for")
        if forwarded is not None and peer in self._proxies:
            return forwarded.rpartition(b",")[2].strip().decode("latin-1")[:64]
        return peer

    def _scheme(self, scope: Scope, headers: Headers) -> str:
        client = scope.get("client")
        told = _text(headers, b"x-forwarded-proto") if client and client[0] in self._proxies else ""
        return told if told in ("http", "https") else str(scope.get("scheme", "http"))

    def _ready(self) -> Answer:
        pressure, free = self.inbox.pressure, self._disk.free()
        good = pressure < 0.9 and free >= self._disk.reserve
        return answers.told({"ready": good, "pressure": round(pressure, 3), "free_mb": free // 1_000_000, "files": "a change cannot be read, the earlier ones are in use" if self.files_fault else "as they are"}, status=200 if good else 503)


def _length(headers: Headers) -> int:
    told = headers.get(b"content-length", b"")
    return int(told) if told.isdigit() and len(told) < 19 else -1 if not told else INT64


def _text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _query(scope: Scope) -> dict[str, str]:
    told: bytes = scope.get("query_string", b"")
    try:
        return dict(parse_qsl(told.decode("latin-1"), keep_blank_values=True, max_num_fields=200)) if told else {}
    except ValueError:
        return {}

