"""Files by their content: images, rendered messages, evidence; a name is the SHA-256 of what it names, so nothing is stored twice."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from kundig.errors import StoreError

_HASH = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


class Files:
    """A folder of content-addressed files. A file is there whole and on disk, or not at all."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def put(self, content: bytes | Path) -> str:
        """Store bytes, or a copy of a file; gives its SHA-256. What is stored already is not written again.

        Examples:
            >>> import tempfile
            >>> files = Files(tempfile.mkdtemp())
            >>> name = files.put(b"logo")
            >>> name[:8], files.get(name), files.put(b"logo") == name
            ('3598ce6f', b'logo', True)
        """
        staged = self.folder / ".staged" / uuid.uuid4().hex
        staged.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            with staged.open("wb") as out:
                for chunk in _chunks(content):
                    digest.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            target = self.path(digest.hexdigest())
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                staged.replace(target)
                for folder in (target.parent, target.parent.parent):
                    fsync(folder)
        except OSError as error:
            raise StoreError(f"the file cannot be stored: {error.strerror or error}", at=str(self.folder), mend="make room, or mend the folder's rights; nothing half-written is left") from error
        finally:
            staged.unlink(missing_ok=True)
        return digest.hexdigest()

    def path(self, name: str) -> Path:
        """Where a file is, or would be.

        Raises:
            StoreError: The name is no SHA-256, so that no name leads out of the folder.
        """
        if not _HASH.fullmatch(name):
            raise StoreError(f"'{name}' is no name of a stored file", at=str(self.folder), mend="files are named by 64 hex digits, as `put` gives them")
        return self.folder / name[:2] / name

    def get(self, name: str) -> bytes:
        """The content.

        Raises:
            StoreError: It is not there, or is not what its name says.
        """
        try:
            content = self.path(name).read_bytes()
        except FileNotFoundError:
            raise StoreError(f"the file {name[:12]}… is missing", at=str(self.folder), mend="restore it from a backup, or make the creative anew") from None
        if hashlib.sha256(content).hexdigest() != name:
            raise StoreError(f"the file {name[:12]}… is damaged", at=str(self.path(name)), mend="restore it from a backup, or make the creative anew")
        return content

    def __contains__(self, name: str) -> bool:
        return self.path(name).is_file()

    def names(self) -> Iterator[str]:
        """Names of all stored files, sorted."""
        for path in sorted(self.folder.glob("[0-9a-f][0-9a-f]/*")):
            if _HASH.fullmatch(path.name):
                yield path.name

    def delete(self, name: str) -> bool:
        """Remove a file; gives whether it was there."""
        path = self.path(name)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            fsync(path.parent)
            return True
        return False

    def sweep(self) -> int:
        """Remove what a crash left staged; gives how many. Only where nothing else is being stored."""
        left = list((self.folder / ".staged").glob("*"))
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def verify(self) -> list[str]:
        """Names of files that are not what their name says."""
        return [name for name in self.names() if _digest(self.path(name)) != name]


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while chunk := source.read(_CHUNK):
            yield chunk


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def fsync(path: Path) -> None:
    """Force a file's bytes, or a folder's names, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
