"""The page behind the link in every message: what may be sent to the person, changed without a login, in German and English.

The link carries the message's id, signed. A look changes nothing, since mail programs and virus scanners open links; a form that is
sent, or the one click of RFC 8058, does. What the person says is in the consent log before the answer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import parse_qs

from kundig import consent
from kundig.clock import Clock, now
from kundig.collect.identifiers import Rules, identifier_key, normalise
from kundig.collect.intake.answers import NO_STORE, Answer, told
from kundig.config.law import Purpose
from kundig.consent.folding import Standing
from kundig.deliver.handover import known_link_key
from kundig.deliver.rendering import Links
from kundig.errors import KundigError
from kundig.report import TEMPLATES, environment, words
from kundig.report.words import Words

if TYPE_CHECKING:
    from kundig.workspace import Workspace

STEM = "u"
"""First part of the links' path."""

SOURCE = "preferences"
"""Source of the records in the consent log."""

MOST = 20_000
"""Bytes of a form that are read."""

_TOKEN = re.compile(r"/u/([0-9a-zA-Z]{4,64})-([0-9a-f]{24})/?")
Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Whose preferences a link shows: the message it came with, and all identifiers known of its person."""

    message: Mapping[str, Any]
    address_key: int
    keys: tuple[int, ...]


class Preferences:
    """Answers requests to links of one workspace.

    Args:
        workspace: Files, state, and the newest release.
        clock: The present moment.
    """

    def __init__(self, workspace: Workspace, *, clock: Clock = now) -> None:
        self.workspace = workspace
        self.clock = clock
        self._lock = threading.Lock()
        self._templates = environment(Path(__file__).parent / "templates")
        self._style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self._headers = (
            NO_STORE, (b"referrer-policy", b"no-referrer"), (b"x-content-type-options", b"nosniff"), (b"x-robots-tag", b"noindex"),
            (b"content-security-policy", f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'".encode()),
        )  # fmt: skip

    def answer(self, method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> Answer:
        """The answer to a request: a page, or after one click a plain word."""
        asked = self._asked(path)
        w = self._words(query.get("lang", ""), asked)
        if asked is None:
            return self._page(w, {"title": w("preferences.unknown"), "answer": w("preferences.unknown_hint")}, path, status=404)
        if method != "POST":
            return self._shown(asked, w, path, "")
        form = _form(body)
        if b"List-Unsubscribe" in body and b"One-Click" in body:  # as a plain form, or in parts
            self._write(asked, {(asked.message["purpose"], asked.message["channel"]): "withdrawn"}, w.locale)
            return told({"unsubscribed": True}, headers=(NO_STORE,))
        if "nothing" in form:
            self._write(asked, {(purpose, "*"): "objected" for purpose in self._purposes()}, w.locale)
            return self._shown(asked, w, path, w("preferences.done_nothing"))
        wanted = {pair for value in form.get("allow", ()) if (pair := _pair(value)) in self._pairs()}
        shown = {pair for value in form.get("shown", ()) if (pair := _pair(value)) in self._pairs()}
        self._write(asked, self._changes(asked, shown, wanted), w.locale)
        return self._shown(asked, w, path, w("preferences.done"))

    # who, and what holds

    def _asked(self, path: str) -> Asked | None:
        """The message and person of a link; None where it is not ours, or its message was erased."""
        token, secret = _TOKEN.fullmatch(path), known_link_key(self.workspace.config)
        if token is None or secret is None or not hmac.compare_digest(Links(website="", secret=secret).signature(token[1]), token[2]):
            return None
        state = self.workspace.state
        found = state.select("messages", state.sql("messages").c.message_id == token[1])
        if not found:
            return None
        message = found[0]
        channel = self.workspace.config.channels.channels.get(message["channel"])
        config = self.workspace.config
        value = None if channel is None else normalise(channel.namespace, str(message["address"] or ""), country=config.settings.workspace.country, rules=Rules(identity=config.identity))
        if channel is None or value is None:
            return None
        key = identifier_key(channel.namespace, value)
        return Asked(message=message, address_key=key, keys=(key, *(other for other in self._others(key) if other != key)))

    def _others(self, key: int) -> list[int]:
        """All identifiers of the person that an identifier belongs to now; none before the first release."""
        sql = f"SELECT DISTINCT o.identifier_key FROM identities m JOIN identities o USING (person_key) WHERE m.identifier_key = {key} AND m.valid_until IS NULL AND o.valid_until IS NULL ORDER BY 1"
        try:
            with self._lock:
                return [int(row[0]) for row in self.workspace.rows(sql)[1]]
        except KundigError:
            return []

    def _purposes(self) -> dict[str, Purpose]:
        """Purposes that a person decides about: those with a channel on which consent serves."""
        return {name: purpose for name, purpose in self.workspace.config.purposes.purposes.items() if any("consent" in rule.bases for rule in purpose.channels.values()) and purpose.capped}

    def _pairs(self) -> list[Pair]:
        return [(name, channel) for name, purpose in self._purposes().items() for channel, rule in purpose.channels.items() if "consent" in rule.bases]

    def _standings(self, asked: Asked) -> dict[Pair, Standing]:
        at = self.clock()
        records = [record for found in consent.records_of(self.workspace.state, asked.keys).values() for record in found]
        history = consent.fold(records, purposes=self.workspace.config.purposes, at=at, only=self._pairs())
        return {(purpose, channel): consent.standing(history, purpose=purpose, channel=channel, at=at) for purpose, channel in self._pairs()}

    # what was said

    def _changes(self, asked: Asked, shown: set[Pair], wanted: set[Pair]) -> dict[Pair, str]:
        """Pair → status, of the pairs that the person saw and wants otherwise than they stand."""
        changes: dict[Pair, str] = {}
        for pair, standing in self._standings(asked).items():
            if pair not in shown or (pair in wanted) == standing.allowed:
                continue
            rule = self.workspace.config.purposes.purposes[pair[0]].channels[pair[1]]
            proven = pair[1] == asked.message["channel"]  # who has the link has the address that it was sent to
            if pair in wanted and standing.status == "pending" and not proven:
                continue  # asked for already; a second request confirms nothing
            changes[pair] = "withdrawn" if pair not in wanted else "given" if not rule.double_opt_in else "confirmed" if proven else "requested"
        return changes

    def _write(self, asked: Asked, changes: Mapping[Pair, str], locale: str) -> None:
        at = self.clock()
        message = asked.message["message_id"]
        rows = []
        for (name, channel), status in changes.items():
            purpose = self.workspace.config.purposes.purposes.get(name)
            wording = max(purpose.wordings, default="") if purpose is not None and status in ("given", "confirmed", "requested") else ""
            language = cast('Literal["de", "en"]', locale)
            rows.append({
                "record_id": f"{SOURCE}:{message}:{name}:{channel}:{int(at.timestamp() * 1_000_000)}", "source": SOURCE, "occurred_at": at, "received_at": at, "identifier_key": asked.address_key,
                "other_keys": sorted(set(asked.keys) - {asked.address_key}), "purpose": name, "channel": channel, "status": status, "basis": "consent" if status in ("given", "confirmed", "requested") else None,
                "until": None, "wording": wording or None, "wording_hash": (purpose.wording_hash(wording, language) or None) if purpose is not None and wording else None,
                "evidence": f"preference page of message {message}"[:200], "jurisdiction": None if purpose is None else purpose.jurisdiction,
            })  # fmt: skip
        consent.append(self.workspace.state, rows)

    # what is shown

    def _words(self, asked_for: str, asked: Asked | None) -> Words:
        known = [locale for locale in self.workspace.config.settings.workspace.locales if locale in ("de", "en")]
        language = str(asked.message["locale"] or "")[:2] if asked is not None else ""
        chosen = next((one for one in (asked_for, language, self.workspace.config.settings.workspace.locale) if one in known), "de")
        return words(self.workspace, chosen)

    def _shown(self, asked: Asked, w: Words, path: str, done: str) -> Answer:
        standings = self._standings(asked)
        language = cast('Literal["de", "en"]', w.locale)
        groups = []
        for name, purpose in self._purposes().items():
            rows = [
                {"value": f"{name}/{channel}", "channel": w.channel(channel), "allowed": standings[name, channel].allowed, "told": _told(standings[name, channel], w)}
                for channel in purpose.channels if (name, channel) in standings
            ]  # fmt: skip
            groups.append({"title": purpose.meaning.get(language) or name, "rows": rows, "wording": purpose.wordings[max(purpose.wordings)].get(language, "") if purpose.wordings else ""})
        view = {"title": w("preferences.title"), "answer": w("preferences.answer", address=_masked(str(asked.message["address"]))), "done": done, "groups": groups}
        return self._page(w, view, path)

    def _page(self, w: Words, view: Mapping[str, Any], path: str, *, status: int = 200) -> Answer:
        config = self.workspace.config.settings
        others = [locale for locale in config.workspace.locales if locale in ("de", "en") and locale != w.locale]
        page = self._templates.get_template("preferences.html.j2").render(
            w=w, v={"done": "", "groups": ()} | dict(view), name=config.brand.name or config.workspace.name, style=self._style, path=path if _TOKEN.fullmatch(path) else "", others=others,
            imprint=config.brand.imprint, languages={"de": "Deutsch", "en": "English"},
        )  # fmt: skip
        return Answer(status=status, body=page.encode(), kind=b"text/html; charset=utf-8", headers=self._headers)


def _form(body: bytes) -> dict[str, list[str]]:
    """Fields of a form; one that is longer than ours can be has none."""
    if len(body) > MOST:
        return {}
    try:
        return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=500)
    except ValueError:
        return {}


def _pair(value: str) -> Pair:
    purpose, _, channel = value.partition("/")
    return purpose, channel


def _told(standing: Standing, w: Words) -> str:
    """How it stands, and since when."""
    row = standing.consent
    if standing.allowed and standing.basis != "consent":
        return w(f"preferences.basis_{standing.basis}")
    if row is None or standing.status == "missing":
        return w("preferences.lapsed" if standing.reason == "consent_expired" else "preferences.missing")
    return w(f"preferences.{standing.status}", at=w.day(row.occurred_at))


def _masked(address: str) -> str:
    """An address so that its owner knows it and nobody else learns it: links are forwarded.

    Examples:
        >>> _masked("kim.beispiel@example.org"), _masked("+4930123456"), _masked("x")
        ('k…@example.org', '+…56', '…')
    """
    name, at, domain = address.partition("@")
    if at:
        return f"{name[:1]}…@{domain}"
    return f"{address[:1]}…{address[-2:]}" if len(address) > 5 else "…"


__all__ = ["STEM", "Preferences"]
