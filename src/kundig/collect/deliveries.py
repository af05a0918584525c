"""Deliveries: the files of a source, in the groups that land together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

from kundig.collect.sources.cursors import Mark
from kundig.config.collect import FORMATS, Input, Source
from kundig.config.fetching import is_remote
from kundig.errors import Fault, SourceError, nearest

GROUP_BYTES = 2_000_000_000
"""Files of one input that land together, up to this size of what they hold: one batch, one look at the log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """Files of one input that land together."""

    number: int
    given: Input
    paths: tuple[Path, ...]
    format: str = ""
    """Format the records first came in, where these files are a replay of theirs, or were written of them."""
    marks: tuple[Mark, ...] = ()
    """How far the source was read with these files; kept in the commit that lands them."""
    part: tuple[int, int] | None = None
    """Of the one file, which is too large to land at once, what lies from the first number up to before the second: rows of Parquet, bytes of lines."""
    last: bool = True
    """Whether the files have landed with it; of a file that lands in parts, the last one."""

    @property
    def told(self) -> str:
        """Which part of the file it is, in words; empty where it is no part."""
        if self.part is None:
            return ""
        unit = "rows" if self.paths[0].suffix == ".parquet" else "bytes"
        return f", {unit} {self.part[0] + 1:,} to {self.part[1]:,}"


def deliveries(root: Path, name: str, source: Source, files: Sequence[Path | str] | None) -> Iterator[Delivery]:
    """The source's files in this workspace, in the order of its inputs, in groups that land together; what lies elsewhere is `fetching`'s.

    Raises:
        SourceError: A file is missing, or belongs to no input.
    """
    faults: list[Fault] = []
    groups: list[Delivery] = []
    asked = [Path(file) if Path(file).is_absolute() else root / file for file in files or ()]
    faults += [Fault(what="the file is missing", at=str(path), mend=nearest(path.name, _neighbours(path))) for path in asked if not path.is_file()]
    left = [path for path in asked if path.is_file()]
    for number, given in enumerate(source.inputs):
        if not given.files or is_remote(given.files[0]):
            continue
        if files is None:
            paths = sorted({path for glob in given.files for path in root.glob(glob) if path.is_file()})
            if not paths and not given.optional:
                at = f"sources/{name}.yaml, inputs[{number}]"
                faults.append(Fault(what=f"no file matches '{given.files[0]}'", at=at, mend=_glob_mend(root, given.files[0])))
        else:
            single = len(source.inputs) == 1
            paths = [path for path in left if single or any(_matches(root, path, glob) for glob in given.files)]
            left = [path for path in left if path not in paths]
        groups += list(_shaped(number, source.of(given), paths))
    patterns = [glob for given in source.inputs for glob in given.files]
    faults += [Fault(what=f"'{path.name}' belongs to no input of '{name}'", at=str(path), mend=f"its inputs are {', '.join(patterns)}") for path in left]
    if faults:
        raise SourceError(faults=faults)
    yield from groups


def _shaped(number: int, given: Input, paths: Sequence[Path]) -> Iterator[Delivery]:
    """Groups of an input's files. A `.parquet` among them holds the same texts as columns (of Segment calls: the column `body`)."""
    stored = [path for path in paths if path.suffix == ".parquet" and given.format in FORMATS and given.format not in ("parquet", "segment_ndjson")]
    plain = [path for path in paths if path not in stored]
    for group in _groups(stored):
        yield Delivery(number=number, given=given.model_copy(update={"format": "parquet"}), paths=group, format=given.format)
    for group in _groups(sorted(plain, key=lambda path: path.suffix == ".parquet")):
        parts = _parts(group[0]) if len(group) == 1 and given.format == "segment_ndjson" else ()
        for part in parts:
            yield Delivery(number=number, given=given, paths=group, part=part, last=part == parts[-1])
        if not parts:
            yield Delivery(number=number, given=given, paths=group)


def _matches(root: Path, path: Path, glob: str) -> bool:
    relative = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return fnmatch(relative, glob) or fnmatch(path.name, glob.rsplit("/", 1)[-1])


def _neighbours(path: Path) -> list[str]:
    return [other.name for other in path.parent.iterdir() if other.is_file()] if path.parent.is_dir() else []


def _glob_mend(root: Path, glob: str) -> str:
    folder = root / (glob.rsplit("/", 1)[0] if "/" in glob else ".")
    if not folder.is_dir():
        return f"there is no folder '{folder}'; put the export there, or mend `files`"
    return f"put the export there, or mend `files`; {nearest(glob.rsplit('/', 1)[-1], _neighbours(folder / 'x'))}"


def _groups(paths: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    group: list[Path] = []
    size = 0
    for path in paths:
        held = _held(path)
        if group and size + held > GROUP_BYTES:
            yield tuple(group)
            group, size = [], 0
        group.append(path)
        size += held
    if group:
        yield tuple(group)


def _held(path: Path) -> int:
    """Bytes of what a file holds: of Parquet, which is packed, its columns unpacked."""
    return max(path.stat().st_size, sum(bytes for _, bytes in _row_groups(path)))


def _row_groups(path: Path) -> list[tuple[int, int]]:
    """Rows and unpacked bytes of each row group, as the footer tells; none where it is no Parquet: what cannot be read is refused where it is read."""
    if path.suffix != ".parquet":
        return []
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return []
    found = [footer.row_group(number) for number in range(footer.num_row_groups)]
    return [(int(group.num_rows), int(group.total_byte_size)) for group in found]


def _parts(path: Path) -> tuple[tuple[int, int], ...]:
    """Where a file that holds more than lands at once is cut: of Parquet ranges of rows, between row groups, of lines ranges of bytes; none where it need not be cut."""
    if path.suffix != ".parquet":
        return _stretches(path)
    parts: list[list[int]] = []
    size, row = 0, 0
    for rows, held in _row_groups(path):
        if not parts or size + held > GROUP_BYTES:
            parts.append([row, row])
            size = 0
        row, size = row + rows, size + held
        parts[-1][1] = row
    return tuple((first, past) for first, past in parts) if len(parts) > 1 else ()


def _stretches(path: Path) -> tuple[tuple[int, int], ...]:
    """Ranges of bytes, each ending where a line ends."""
    size = path.stat().st_size
    cuts = [0]
    with path.open("rb") as file:
        while cuts[-1] + GROUP_BYTES < size:
            file.seek(cuts[-1] + GROUP_BYTES - 1)
            file.readline()
            cuts.append(file.tell())
    cuts += [size] if cuts[-1] < size else []
    return tuple(pairwise(cuts)) if len(cuts) > 2 else ()
