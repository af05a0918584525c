"""ZIP files of many messages that are mostly alike: what messages share is compressed once, and each message only joins the pieces.

A deflate stream (RFC 1951) may be put together from blocks that end on whole bytes and look back at nothing. Fixed pieces are
such blocks, compressed as well as can be; what is a person's own stands between them uncompressed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

from kundig.errors import StoreError

MOST_ENTRIES, MOST_BYTES = 65_535, 2**32 - 1
"""What a ZIP file can hold without the extensions that not every tool reads."""

END = b"\x03\x00"
"""The last block of a stream: empty."""

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_DIRECTORY_END = struct.Struct("<4s4H2LH")
_STORED = struct.Struct("<BHH")
_VERSION, _DEFLATED, _NAMES_ARE_UTF8, _DAY = 20, 8, 0x800, (1 << 5) | 1  # 1 January 1980: the same messages give the same file


def compressed(data: bytes) -> bytes:
    """The bytes as deflate blocks that may stand anywhere in a stream, and are not its last."""
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    return made.compress(data) + made.flush(zlib.Z_FULL_FLUSH) if data else b""


def verbatim(data: bytes) -> bytes:
    """The bytes as they are, as deflate blocks that may stand anywhere in a stream, and are not its last.

    Examples:
        >>> zlib.decompress(verbatim(b"Kim") + compressed(b" & Co") + END, -15)
        b'Kim & Co'
    """
    size = len(data)
    if size <= 0xFFFF:
        return _STORED.pack(0, size, size ^ 0xFFFF) + data
    return b"".join([verbatim(data[start : start + 0xFFFF]) for start in range(0, size, 0xFFFF)])


def deflated(data: bytes) -> bytes:
    """The bytes as one whole deflate stream, compressed quickly."""
    made = zlib.compressobj(1, zlib.DEFLATED, -15)
    return made.compress(data) + made.flush()


def pack(path: Path, entries: Iterable[tuple[str, bytes, bytes]]) -> None:
    """Write a ZIP file of entries: name, content, and the content as a whole deflate stream (empty: it is compressed here).

    Raises:
        StoreError: There are more entries or bytes than a ZIP file holds.
    """
    directory: list[bytes] = []
    place = 0
    with path.open("xb", buffering=1 << 20) as file:
        for name, content, stream in entries:
            stream = stream or deflated(content)
            known = name.encode()
            shape = (_VERSION, _NAMES_ARE_UTF8, _DEFLATED, 0, _DAY, zlib.crc32(content), len(stream), len(content), len(known), 0)
            if len(directory) == MOST_ENTRIES or place + len(stream) > MOST_BYTES:
                raise StoreError(f"one ZIP file holds at most {MOST_ENTRIES:,} messages and 4 GiB", at=str(path), mend="hand over fewer messages at once")
            file.write(_LOCAL.pack(b"PK\x03\x04", *shape) + known)
            file.write(stream)
            directory.append(_CENTRAL.pack(b"PK\x01\x02", _VERSION, *shape, 0, 0, 0, 0, place) + known)
            place += _LOCAL.size + len(known) + len(stream)
        listed = b"".join(directory)
        file.write(listed)
        file.write(_DIRECTORY_END.pack(b"PK\x05\x06", 0, 0, len(directory), len(directory), len(listed), place, 0))
