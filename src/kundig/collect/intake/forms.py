"""Plain HTML forms: their fields as JSON, and uploaded lists (leads of a trade fair) as deliveries of the source, on disk before the answer."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl

from kundig.collect.intake.refusals import Refused
from kundig.config.collect import Source

FIELDS = 200
"""Fields of a form at most."""

INFLATED = 100_000_000
"""Bytes a workbook may become when it is opened."""

KEYS = ("writeKey", "write_key")
OWN = (*KEYS, "_next")
"""Fields that are for the intake: never part of what is stored."""

_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that came with a form."""

    field: str
    name: str
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """Fields that were filled in, in their order, and files."""

    fields: tuple[tuple[str, str], ...]
    files: tuple[Upload, ...] = ()

    def value(self, *names: str) -> str:
        """The first of these fields; '' where there is none."""
        return next((value for name, value in self.fields if name in names), "")

    def record(self) -> bytes:
        """The fields as one JSON object: a field that comes more than once is a list.

        Examples:
            >>> Form(fields=(("email", "anna@example.org"), ("topic", "a"), ("topic", "b"), ("writeKey", "k"))).record()
            b'{"email": "anna@example.org", "topic": ["a", "b"]}'
        """
        told: dict[str, str | list[str]] = {}
        for name, value in self.fields:
            if name in OWN:
                continue
            before = told.get(name)
            told[name] = value if before is None else [*before, value] if isinstance(before, list) else [before, value]
        return json.dumps(told, ensure_ascii=False).encode()


def read_form(body: bytes, kind: str) -> Form:
    """The fields and files of a form.

    Args:
        body: As it was sent.
        kind: Content-Type.

    Raises:
        Refused: It cannot be read as the type says.
    """
    if kind.partition(";")[0].strip().lower() == "multipart/form-data":
        return _multipart(body, kind)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=False, strict_parsing=bool(body), max_num_fields=FIELDS, errors="strict")
    except UnicodeDecodeError:
        raise Refused("json_utf8", "the fields") from None
    except ValueError as error:
        raise Refused("form", str(error)) from None
    return Form(fields=tuple((name, value.strip()) for name, value in pairs if value.strip()))


def _multipart(body: bytes, kind: str) -> Form:
    found = re.search(r'boundary="?([^";,]{1,70})"?', kind, re.IGNORECASE)
    if found is None:
        raise Refused("form", "multipart/form-data without a boundary")
    mark = b"--" + found[1].encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Refused("form", "its last part does not end")
    if len(pieces) > FIELDS + 2:
        raise Refused("form", f"more than {FIELDS} parts")
    fields: list[tuple[str, str]] = []
    files: list[Upload] = []
    for piece in pieces[1:-1]:
        head, separator, content = piece.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name, filename = _disposition(head)
        if not separator or name is None:
            raise Refused("form", "a part without a name")
        if filename is not None:
            if filename or content:
                files.append(Upload(field=name, name=filename, body=content))
            continue
        try:
            value = content.decode().strip()
        except UnicodeDecodeError:
            raise Refused("json_utf8", f"field {name[:40]}") from None
        if value:
            fields.append((name, value))
    return Form(fields=tuple(fields), files=tuple(files))


def _disposition(head: bytes) -> tuple[str | None, str | None]:
    text = head.decode("utf-8", "replace")
    line = next((one for one in text.split("\r\n") if one.lower().startswith("content-disposition:")), "")
    name = re.search(r'[;\s]name="((?:[^"\\]|\\.)*)"', line)
    file = re.search(r'[;\s]filename="((?:[^"\\]|\\.)*)"', line)
    return (name[1] if name else None), (file[1] if file else None)


def place_of(upload: Upload, source: str, given: Source | None) -> PurePosixPath:
    """Where an uploaded file is put below the workspace: beside the files of the source's first input that takes one of its name.

    The name holds a hash of the content, so that the same file sent twice is one delivery.

    Raises:
        Refused: No input of the source takes such a file.
    """
    plain = _NAME.sub("_", PurePosixPath(upload.name.replace("\\", "/")).name)[-80:].lstrip(".") or "upload"
    stem, dot, suffix = plain.rpartition(".")
    if not dot:
        raise Refused("file_kind", f"{plain} has no suffix such as .csv or .xlsx")
    name = f"{stem}-{hashlib.sha256(upload.body).hexdigest()[:10]}.{suffix.lower()}"
    patterns = [pattern for given_input in (given.inputs if given else ()) for pattern in given_input.files]
    for pattern in patterns:
        folder = PurePosixPath(pattern).parent
        if "*" not in str(folder) and ".." not in folder.parts and not folder.is_absolute() and (folder / name).match(pattern):
            return folder / name
    raise Refused("file_kind", f"{source} takes {', '.join(patterns) or 'no files'}; this is {stem}.{suffix}")


def check(upload: Upload) -> None:
    """Pass only files that can be opened without harm.

    Raises:
        Refused: It is empty, or a workbook that is none or becomes too large.
    """
    if not upload.body:
        raise Refused("file_kind", f"{upload.name[:80]} is empty")
    if not upload.name.lower().endswith((".xlsx", ".xlsm")):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(upload.body)) as parts:
            size = sum(part.file_size for part in parts.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        raise Refused("file_kind", f"{upload.name[:80]} is no workbook") from None
    if size > INFLATED:
        raise Refused("bomb", f"{upload.name[:80]} becomes {size:,} bytes")


def keep(root: Path, placed: Sequence[tuple[PurePosixPath, Upload]]) -> tuple[str, ...]:
    """Write files durably and whole below the workspace; gives their paths. One that is there already stays as it is.

    Raises:
        OSError: The disk refuses them.
    """
    for place, upload in placed:
        path = root / place
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with temporary.open("wb") as file:
                file.write(upload.body)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return tuple(str(place) for place, _ in placed)


def next_page(wanted: str, headers: Mapping[str, str]) -> str:
    """Where the browser goes after a form: the page it names, if it is of the site that the form was on; '' else.

    Examples:
        >>> next_page("https://shop.example.org/thanks", {"origin": "https://shop.example.org"}), next_page("https://evil.example", {"origin": "https://shop.example.org"})
        ('https://shop.example.org/thanks', '')
    """
    site = headers.get("origin") or "/".join(headers.get("referer", "").split("/")[:3])
    if not wanted or not site.startswith(("http://", "https://")) or any(ord(letter) < 33 for letter in wanted):
        return ""
    return wanted if wanted == site or wanted.startswith(f"{site}/") else ""
