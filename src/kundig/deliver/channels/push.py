"""Push messages as JSON that a gateway takes: title, text, target; within the 4,096 bytes that all push services allow."""

from __future__ import annotations

import json
from dataclasses import dataclass

from kundig.deliver.branches import Values
from kundig.deliver.personal import Known, Personal, personal
from kundig.errors import TemplateError

MOST_BYTES = 4_096


@dataclass(frozen=True, kw_only=True, slots=True)
class Push:
    """A creative ready to be written for many persons."""

    title: Personal
    text: Personal
    link: str

    def __call__(self, values: Values, *, message_id: str) -> bytes:
        """The payload for one person.

        Raises:
            TemplateError: It is heavier than push services take.
        """
        payload = {"message_id": message_id, "to": values["message"]["address"], "title": self.title(values), "body": self.text(values), "link": self.link}
        written = json.dumps(payload, ensure_ascii=False).encode()
        if len(written) > MOST_BYTES:
            raise TemplateError(f"the payload has {len(written):,} bytes, push services take {MOST_BYTES:,}", at=message_id, mend="shorten the texts")
        return written


def push(*, title: str, text: str, link: str, at: str, known: Known | None = None) -> Push:
    """A creative's templates, compiled.

    Raises:
        TemplateError: A template cannot be compiled.
    """
    first = personal(title, html=False, at=f"{at}, title", known=known)
    return Push(title=first, text=personal(text, html=False, at=f"{at}, text", known=known), link=link)
