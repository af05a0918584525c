"""The channel `files`: a folder per run with messages.csv and each rendered message; a part of it is there whole, or not at all.

Few messages stand as files of their own; many are packed into messages.zip, with some beside it to look at. A part is written
below a name that begins with a dot, flushed, and then renamed. The rename is the handing over: whoever
crashed before it handed nothing over, whoever crashed after it finds the part when it looks.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

from kundig.deliver.channels.packing import pack
from kundig.errors import Conflict, StoreError
from kundig.store.files import fsync

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY})
_WORD = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A message as a destination takes it, and the columns of messages.csv.

    `deflated` is the content as a whole deflate stream, where whoever rendered it had most of that at hand; else empty.
    """

    message_id: str
    person_id: str
    address: str
    channel: str
    purpose: str
    audience: str
    scenario: str
    creative_id: str
    segment_id: str
    offer_code: str
    locale: str
    subject: str
    file: str
    content: bytes
    deflated: bytes = b""


COLUMNS = tuple(field.name for field in fields(Rendered) if field.name not in ("content", "deflated"))
"""Columns of messages.csv; `file` comes last."""

PACKED = "messages.zip"
"""The file that holds the messages of a large part."""

_CELLS = attrgetter(*COLUMNS[:-1])


@dataclass(frozen=True, kw_only=True)
class FilesChannel:
    """Hands messages over by writing them below `folder`.

    `durable` flushes a part to disk before its rename, so that a power cut leaves no renamed part with empty files. A part of
    more than `loose` messages is packed (a file system makes some thousand files a second), with `samples` of them unpacked.
    """

    folder: Path
    durable: bool = True
    loose: int = 1_000
    samples: int = 20

    def hand_over(self, run_id: int, part: str, messages: Sequence[Rendered]) -> None:
        """Write the messages as one part of the run's folder: all of them, or none.

        Raises:
            Conflict: The part is there already, or was taken back by `withdraw`: nothing is handed over.
            StoreError: The folder cannot be written.
        """
        run = self.folder / str(run_id)
        final, staging = run / _name(part), run / f".{_name(part)}"
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            packed = len(messages) > self.loose
            for message in messages[: self.samples] if packed else messages:
                (staging / _name(message.file)).write_bytes(message.content)
            if packed:
                pack(staging / PACKED, ((_name(message.file), message.content, message.deflated) for message in messages))
            (staging / "messages.csv").write_bytes(csv_of(messages, packed=packed))
            if self.durable and packed:
                for path in staging.iterdir():
                    fsync(path)
                fsync(staging)
            elif self.durable:
                os.sync()  # one call for up to `loose` files
            staging.rename(final)
            fsync(run)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            if error.errno in _TAKEN or final.is_dir():
                raise Conflict(f"the part '{part}' is there already", at=str(run), mend="its messages were handed over or taken back; run again") from error
            raise StoreError(f"the messages cannot be written: {error.strerror}", at=str(run), mend="free space or mend rights, and run again") from error

    def withdraw(self, run_id: int, part: str) -> frozenset[str]:
        """Take back a part that its claimant did not hand over; gives the ids of those it did after all.

        An empty part is put in its place. A claimant that was only slow then finds the place taken and hands nothing over, so
        whoever asks here may queue the other messages again.
        """
        run = self.folder / str(run_id)
        final, staging = run / _name(part), run / f".{_name(part)}.taken-back"
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            (staging / "messages.csv").write_bytes(csv_of(()))
            staging.rename(final)
            fsync(run)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            if error.errno not in _TAKEN:
                raise StoreError(f"the part '{part}' cannot be taken back: {error.strerror}", at=str(run), mend="mend rights, and run again") from error
        shutil.rmtree(run / f".{_name(part)}", ignore_errors=True)
        return self.handed_over(run_id, part)

    def handed_over(self, run_id: int, part: str) -> frozenset[str]:
        """Ids of the messages of a part that was handed over; empty where it was not."""
        path = self.folder / str(run_id) / _name(part) / "messages.csv"
        return frozenset(row[0] for row in _rows(path)) if path.is_file() else frozenset()

    def finish(self, run_id: int) -> Path:
        """Join the parts' lists to one messages.csv of the run, with each file's place; gives the run's folder."""
        run = self.folder / str(run_id)
        if not run.is_dir():
            return run
        staging = run / ".messages.csv"
        with staging.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for part in self.parts(run_id):
                writer.writerows([*cells, f"{part}/{place}"] for *cells, place in _rows(run / part / "messages.csv"))
        staging.replace(run / "messages.csv")
        return run

    def parts(self, run_id: int) -> list[str]:
        """The parts of a run that were handed over, in order."""
        run = self.folder / str(run_id)
        return sorted(path.name for path in run.iterdir() if path.is_dir() and not path.name.startswith(".")) if run.is_dir() else []


def csv_of(messages: Iterable[Rendered], *, packed: bool = False) -> bytes:
    """The messages as CSV (RFC 4180, UTF-8): what a spreadsheet would take for a formula begins with an apostrophe."""
    place = f"{PACKED}/" if packed else ""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([*map(safe_cell, _CELLS(message)), place + message.file] for message in messages)
    return text.getvalue().encode()


def safe_cell(value: str) -> str:
    """The value, such that no spreadsheet runs it.

    Examples:
        >>> safe_cell("=HYPERLINK(1)"), safe_cell("Kim"), safe_cell("+49 30 1")
        ("'=HYPERLINK(1)", 'Kim', "'+49 30 1")
    """
    return f"'{value}" if value.startswith(_FORMULA) else value


def _rows(path: Path) -> Iterator[list[str]]:
    """The rows of a part's list, in the order of `COLUMNS`."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows, None)
        yield from rows


def _name(text: str) -> str:
    if not _WORD.fullmatch(text) or text.startswith("."):
        raise StoreError(f"'{text}' cannot be a file's name", mend="use letters, digits, dots, dashes and underscores")
    return text
