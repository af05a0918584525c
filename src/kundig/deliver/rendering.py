"""Claimed messages become what a channel takes: each creative is compiled once, each person costs only the personal fields."""

from __future__ import annotations

import datetime as dt
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kundig.deliver.channels.email import Email, Sender, email
from kundig.deliver.channels.files import Rendered
from kundig.deliver.channels.push import Push, push
from kundig.deliver.personal import PERSON_FIELDS, Known
from kundig.errors import TemplateError

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """Links of a message that only we can make: each carries its message's id, signed."""

    website: str
    secret: bytes

    def unsubscribe(self, message_id: str) -> str:
        """Where one click withdraws the consent this message rests on; nobody can make one for another's message.

        Examples:
            >>> Links(website="https://shop.example.org/", secret=b"s").unsubscribe("00ff")
            'https://shop.example.org/u/00ff-90c0e79ec6c58afd22fb002d'
        """
        return f"{self.website.rstrip('/')}/u/{message_id}-{self.signature(message_id)}"

    def signature(self, message_id: str) -> str:
        """24 hex digits of the HMAC-SHA256 of the message's id."""
        return hmac.digest(self.secret, f"unsubscribe:{message_id}".encode(), "sha256").hex()[:24]


@dataclass(kw_only=True, slots=True)
class Renderer:
    """Renders messages of the given creatives (rows of `creatives`, by id)."""

    creatives: Mapping[str, Row]
    sender: Sender
    links: Links
    compiled: dict[str, Email | Push] = field(default_factory=dict)
    pieces: Known = field(default_factory=dict)

    def render(self, rows: Iterable[Row], *, at: dt.datetime) -> tuple[list[Rendered], dict[str, str]]:
        """The messages as their channel takes them, and the ids of those that cannot be rendered with their reason code."""
        done: list[Rendered] = []
        failed: dict[str, str] = {}
        for row in rows:
            try:
                done.append(self._one(row, at))
            except TemplateError:
                failed[row["message_id"]] = "rendering_failed"
        return done, failed

    def _one(self, row: Row, at: dt.datetime) -> Rendered:
        made = self.compiled.get(row["creative_id"]) or self._compile(row["creative_id"])
        given = json.loads(row["variables"] or "{}")
        key = row["message_id"]
        message = {"id": key, "unsubscribe_url": self.links.unsubscribe(key), "address": row["address"]}
        values = {"person": {name: given.get(name) or "" for name in PERSON_FIELDS}, "message": message}
        if isinstance(made, Email):
            (content, deflated, subject), file = made(values, message_id=key, at=at), f"{key}.eml"
        else:
            content, deflated, subject, file = made(values, message_id=key), b"", made.title(values), f"{key}.json"
        return Rendered(
            message_id=key, person_id=given.get("person_id") or "", address=row["address"], channel=row["channel"], purpose=row["purpose"], audience=row["audience"],
            scenario=row["scenario"], creative_id=row["creative_id"], segment_id=row["segment_id"] or "", offer_code=row["offer_code"] or "", locale=row["locale"],
            subject=subject, file=file, content=content, deflated=deflated,
        )  # fmt: skip

    def _compile(self, creative_id: str) -> Email | Push:
        row = self.creatives.get(creative_id)
        if row is None:
            raise TemplateError(f"there is no creative '{creative_id}'", mend="queue the message again after a run")
        if row["channel"] == "email":
            made: Email | Push = email(
                subject=row["subject_line"], html=row["body"], text=row["text_body"], sender=self.sender, boundary=row["made_from"], at=creative_id, known=self.pieces
            )
        else:
            made = push(title=row["subject_line"], text=row["body"], link=row["link"], at=creative_id, known=self.pieces)
        self.compiled[creative_id] = made
        return made
