"""Objects of S3, Google Cloud Storage and Azure: what is new or changed since the last import, downloaded in groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kundig.errors import SourceError, nearest

GROUP_BYTES = 500_000_000
"""Objects of one input that are downloaded and landed together, up to this size."""

_CLIENT = ("allow_http", "timeout", "connect_timeout", "proxy_url")
"""Settings of the connection; all others are the store's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An object: its URL, what tells this version from another, its size, and where it lies once it is downloaded."""

    url: str
    key: str
    version: str
    size: int
    path: Path


def new_objects(globs: Sequence[str], settings: Mapping[str, str | int | bool], landed: Mapping[str, str], folder: Path, *, at: str, optional: bool = False) -> Iterator[tuple[Found, ...]]:
    """Objects that the globs find and that did not land in this version, downloaded, in groups, in order of their names.

    Args:
        globs: URLs with `*`, `**` and `?` in the key; `*` stays within a folder.
        settings: How the store is opened, in obstore's words; secrets filled in.
        landed: Version of the objects that landed, by URL.
        folder: Where they are put; emptied by the caller when a group has landed.
        at: Where the globs are declared, for messages.
        optional: No complaint when nothing is found.

    Raises:
        SourceError: The store cannot be reached, or holds no such object.
    """
    for glob in globs:
        root, pattern = parted(glob)
        store = opened(root, settings, at=at)
        objects = _listed(store, root, pattern, folder, at=at)
        if not objects and not optional:
            raise SourceError(f"no object matches '{glob}'", at=at, mend=_mend(store, pattern))
        group: list[Found] = []
        for found in objects:
            if landed.get(found.url) == found.version:
                continue
            if group and sum(one.size for one in group) + found.size > GROUP_BYTES:
                yield tuple(group)
                group = []
            _download(store, found, at=at)
            group.append(found)
        if group:
            yield tuple(group)


def parted(glob: str) -> tuple[str, str]:
    """The URL of the bucket (of files: of the folder), and the pattern of keys in it.

    Examples:
        >>> parted("s3://shop/exports/orders-*.csv"), parted("file:///data/in/*.csv"), parted("az://account/container/x*.csv")
        (('s3://shop', 'exports/orders-*.csv'), ('file:///data/in', '*.csv'), ('az://account', 'container/x*.csv'))
    """
    scheme, _, rest = glob.partition("://")
    if scheme == "file":
        fixed = rest.split("*")[0].split("?")[0].rpartition("/")[0]
        return f"file://{fixed}", rest[len(fixed) + 1 :]
    bucket, _, pattern = rest.partition("/")
    return f"{scheme}://{bucket}", pattern


def opened(root: str, settings: Mapping[str, str | int | bool], *, at: str) -> Any:
    """The store at a URL.

    Raises:
        SourceError: There is no such kind of store, or a setting is none of its.
    """
    import obstore.store
    from obstore.exceptions import BaseError

    if root.startswith("file://") and not Path(root.removeprefix("file://")).is_dir():
        raise SourceError(f"there is no folder '{root}'", at=at, mend="put the export there, or mend `files`")
    client = {name: value for name, value in settings.items() if name in _CLIENT}
    own = {name: str(value).lower() if isinstance(value, bool) else value for name, value in settings.items() if name not in _CLIENT}
    try:
        if root.startswith(("file://", "memory://")):
            return obstore.store.from_url(root)
        return obstore.store.from_url(root, config=own or None, client_options=client or None)
    except (BaseError, ValueError, TypeError) as error:
        raise SourceError(f"the store '{root}' cannot be opened: {_told(error)}", at=at, mend="look at `store` in the source's file: its settings are named as obstore names them") from error


def _listed(store: Any, root: str, pattern: str, folder: Path, *, at: str) -> list[Found]:
    import obstore
    from obstore.exceptions import BaseError

    fixed = re.split(r"[*?\[]", pattern)[0].rpartition("/")[0]
    matches = matcher(pattern)
    try:
        metas = [meta for chunk in obstore.list(store, prefix=fixed or None) for meta in chunk if matches.fullmatch(meta["path"])]
    except (BaseError, OSError) as error:
        raise _unreachable(root, error, at=at) from error
    found = []
    for number, meta in enumerate(sorted(metas, key=lambda meta: str(meta["path"]))):
        version = meta["e_tag"] or f"{meta['size']} {meta['last_modified'].isoformat()}"
        key = meta["path"]
        found.append(Found(url=f"{root}/{key}", key=key, version=version, size=meta["size"], path=folder / str(number) / key.rpartition("/")[2]))
    return found


def matcher(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern of keys.

    Examples:
        >>> bool(matcher("in/*.csv").fullmatch("in/a.csv")), bool(matcher("in/*.csv").fullmatch("in/old/a.csv")), bool(matcher("in/**/*.csv").fullmatch("in/old/a.csv"))
        (True, False, True)
    """
    parts = re.split(r"(\*\*/|\*|\?)", pattern)
    return re.compile("".join({"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)) for part in parts))


def _download(store: Any, found: Found, *, at: str) -> None:
    import obstore
    from obstore.exceptions import BaseError

    found.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with found.path.open("wb") as file:
            for block in obstore.get(store, found.key).stream():
                file.write(block)
    except (BaseError, OSError) as error:
        raise _unreachable(found.url, error, at=at) from error


def _unreachable(what: str, error: Exception, *, at: str) -> SourceError:
    return SourceError(f"'{what}' cannot be read: {_told(error)}", at=at, mend="check bucket, region and keys (`store` in the source's file, or the environment); nothing of it landed, and a re-run is safe")


def _told(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _mend(store: Any, pattern: str) -> str:
    import obstore

    some: list[str] = [meta["path"] for meta in next(iter(obstore.list(store, chunk_size=50)), [])]
    return f"put the export there, or mend `files`; {nearest(pattern, some)}" if some else "the store is empty; put the export there, or mend `files`"
