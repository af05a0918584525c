"""E-mail as bytes (RFC 5322, MIME, one-click unsubscribe of RFC 8058): the fixed parts are encoded once per creative.

Each part is quoted-printable. A soft line break may stand anywhere, so literal text is encoded once, and per person only the
personal pieces are; a mail then costs little more than joining them.
"""

from __future__ import annotations

import binascii
import datetime as dt
import re
from dataclasses import dataclass, field
from email.utils import format_datetime
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from kundig.deliver.branches import Values
from kundig.deliver.channels.packing import END, compressed, verbatim
from kundig.deliver.personal import Known, Personal, Piece, personal
from kundig.errors import TemplateError

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\x85]")
MOST_PERSONS = 1_000
"""Kinds of persons whose pieces are kept, a creative."""

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """From whom e-mail comes."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """The domain that message ids end with."""
        return self.address.rpartition("@")[2] or "localhost"

    @property
    def line(self) -> str:
        """The From header.

        Raises:
            TemplateError: The name holds a control character, or the address is none.
        """
        if _CONTROL.search(self.name) or not deliverable(self.address):
            raise TemplateError(f"'{self.name} <{self.address}>' cannot be a sender", at="From", mend="set brand.name and brand.sender in kundig.toml")
        plain = self.name.isascii() and len(self.name) <= 60
        escaped = self.name.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))
        name = f'"{escaped}"' if plain else encoded_words(self.name, first=69)
        return f"From: {name}\r\n <{self.address}>"


class Mail(NamedTuple):
    """A mail for one person: its bytes, the same as a deflate stream, and its subject."""

    content: bytes
    deflated: bytes
    subject: str


class Fixed(NamedTuple):
    """What every mail of a creative has at a place, encoded; and the same as deflate blocks, where that is shorter."""

    encoded: bytes
    compressed: bytes


class Own(NamedTuple):
    """What all mails of a creative to persons of the same fields have in common: subject, its header, and the encoded pieces that ask for those fields alone."""

    subject: str
    line: str
    filled: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Email:
    """A creative ready to be written for many persons.

    `sent_by` is the From header, `body` all that follows the headers; `asked` are the person's fields that subject and body ask for.
    """

    subject: Personal
    body: tuple[Fixed | Piece, ...]
    asked: tuple[str, ...]
    sender: Sender
    sent_by: str
    boundary: str
    remembered: dict[tuple[str, ...], Own] = field(default_factory=dict)

    def __call__(self, values: Values, *, message_id: str, at: dt.datetime) -> Mail:
        """The mail for one person.

        Raises:
            TemplateError: A header would hold a control character (somebody tries to add headers), or the address is none.
        """
        address, unsubscribe = values["message"]["address"], values["message"]["unsubscribe_url"]
        if not deliverable(address):
            raise TemplateError("the address cannot stand in a header", at="To", mend="mend the contact's address at its source")
        own = self._own(values)
        mine = (
            f"{self.sent_by}\r\nTo: {address}\r\n{own.line}\r\nDate: {_date(at)}\r\n{header('Message-ID', f'<{message_id}@{self.sender.domain}>')}\r\n"
            f"{header('List-Unsubscribe', f'<{unsubscribe}>')}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nMIME-Version: 1.0\r\n"
            f'Content-Type: multipart/alternative; boundary="{self.boundary}"\r\n\r\n'
        ).encode("ascii")
        plain: list[bytes] = [mine]
        stream: list[bytes] = []
        filled = iter(own.filled)
        for part in self.body:
            if isinstance(part, Piece):
                mine += (piece := _quoted(part(values)) if part.per_message else next(filled))
                plain.append(piece)
                continue
            encoded, packed = part
            plain.append(encoded)
            if packed:
                stream += (verbatim(mine), packed)
                mine = b""
            else:
                mine += encoded
        stream += (verbatim(mine), END)
        return Mail(b"".join(plain), b"".join(stream), own.subject)

    def _own(self, values: Values) -> Own:
        """What depends on the person's fields alone; made once for equal fields, unless the subject asks for more than those."""
        person = values["person"]
        key = tuple([person[name] for name in self.asked])
        found = self.remembered.get(key)
        if found is None:
            subject = self.subject(values)
            own = tuple([_quoted(part(values)) for part in self.body if isinstance(part, Piece) and not part.per_message])
            found = Own(subject, header("Subject", subject), own)
            if len(self.remembered) >= MOST_PERSONS:
                self.remembered.clear()
            if not self.subject.per_message:
                self.remembered[key] = found
        return found


def email(*, subject: str, html: str, text: str, sender: Sender, boundary: str, at: str, known: Known | None = None) -> Email:
    """A creative's templates, compiled and encoded. `boundary` is a word that no body holds, such as a hash.

    Raises:
        TemplateError: A template cannot be compiled, or the sender cannot stand in a header.
    """
    limit = f"=_{boundary}"
    parts = [
        _opening(limit, "plain"), *_encoded(personal(text, html=False, at=f"{at}, text", known=known)), b"\r\n",
        _opening(limit, "html"), *_encoded(personal(html, html=True, at=f"{at}, html", known=known)), f"\r\n--{limit}--\r\n".encode(),
    ]  # fmt: skip
    body: list[Fixed | Piece] = []
    for fixed, run in groupby(parts, key=lambda part: isinstance(part, bytes)):
        if fixed:
            joined = b"".join(part for part in run if isinstance(part, bytes))
            blocks = compressed(joined)
            body.append(Fixed(joined, blocks if len(blocks) < len(joined) else b""))
        else:
            body.extend(part for part in run if isinstance(part, Piece))
    first = personal(subject, html=False, at=f"{at}, subject", known=known)
    pieces = [part for part in (*first.parts, *body) if isinstance(part, Piece)]
    asked = {name for piece in pieces for space, name in piece.fields if space == "person"}
    return Email(subject=first, body=tuple(body), asked=tuple(sorted(asked)), sender=sender, sent_by=sender.line, boundary=limit)


def _opening(boundary: str, kind: str) -> bytes:
    return f'--{boundary}\r\nContent-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'.encode()


def deliverable(address: str) -> bool:
    """Whether the text may stand as an e-mail address in a header: one plain address, nothing that adds another or a header.

    Examples:
        >>> deliverable("kim@example.org"), deliverable("kim@example.org, eve@example.org"), deliverable("kim@example.org\\nBcc: x@y.de")
        (True, False, False)
    """
    return _ADDRESS.fullmatch(address) is not None


def header(name: str, value: str) -> str:
    """One header line, encoded and folded.

    Raises:
        TemplateError: The value holds a control character, such as a line break that would begin another header.

    Examples:
        >>> header("Subject", "Schön, dich zu sehen")
        'Subject: =?utf-8?b?U2Now7ZuLCBkaWNoIHp1IHNlaGVu?='
        >>> header("Subject", "Hello\\nBcc: eve@example.org")
        Traceback (most recent call last):
        ...
        kundig.errors.TemplateError: the header holds a control character
          at:   Subject
          mend: remove line breaks from the field or the template
    """
    if _CONTROL.search(value):
        raise TemplateError("the header holds a control character", at=name, mend="remove line breaks from the field or the template")
    if value.isascii() and len(name) + len(value) + 2 <= 78:
        return f"{name}: {value}"
    if value.isascii() and value.startswith("<"):
        return f"{name}:\r\n {value}"
    return f"{name}: {encoded_words(value, first=75 - len(name) - 2)}"


def encoded_words(text: str, *, first: int = 75) -> str:
    """The text as encoded words (RFC 2047, base 64), one a line, none longer than 75 characters, no character cut in two.

    Examples:
        >>> encoded_words("Schön, dich zu sehen")
        '=?utf-8?b?U2Now7ZuLCBkaWNoIHp1IHNlaGVu?='
    """
    words: list[str] = []
    room, taken = _bytes_within(first), b""
    for sign in text:
        more = sign.encode()
        if taken and len(taken) + len(more) > room:
            words.append(taken.decode())
            room, taken = _bytes_within(75), b""
        taken += more
    words.append(taken.decode())
    return "\r\n ".join(f"=?utf-8?b?{binascii.b2a_base64(word.encode(), newline=False).decode()}?=" for word in words)


def _bytes_within(signs: int) -> int:
    return max(6, (signs - len("=?utf-8?b??=")) // 4 * 3)


@lru_cache(maxsize=16)
def _date(at: dt.datetime) -> str:
    return format_datetime(at)


def _encoded(template: Personal) -> tuple[bytes | Piece, ...]:
    return tuple(_quoted(part) if isinstance(part, str) else part for part in template.parts)


def _quoted(text: str) -> bytes:
    """The text as quoted-printable that ends with a soft break, so that anything may follow."""
    encoded = binascii.b2a_qp(text.replace("\r\n", "\n").replace("\r", "\n").encode(), istext=True, header=False).replace(b"\n", b"\r\n")
    return encoded if encoded.endswith(b"\n") or not encoded else encoded + b"=\r\n"
