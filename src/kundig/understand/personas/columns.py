"""Attributes of persons as columns a mixture can be fitted on: rank-normal scores for numbers, levels for everything else.

A number with many ties (a count, an answer on a scale) is cut into bands and treated as levels: as a normal score its ties would look like
groups. What names a person (an id, an address, a free text) says nothing about groups and is left out, with the reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy

from kundig.errors import EstimateError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_LEVELS = 12
"""Levels a column keeps; rarer ones become `OTHER`."""
OTHER = "…"
"""The level of all levels that are too rare to be one of their own."""
BANDS = 7
KNOTS = 257
OWN = 5
"""Values at either end of a scale that are not kept: they are those of single persons."""
LEAST_KNOWN = 0.02
IDS = ("person_id", "person_key")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One attribute.

    A `number` has `knots`, the values at evenly spaced ranks, and `scores`, what they become; its `edges` cut it into bands for telling. A
    `banded` number has `edges` alone, `levels` what each band is called; a `level` has `levels`.
    """

    name: str
    kind: Literal["number", "banded", "level"]
    levels: tuple[str, ...]
    edges: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    dated: bool = False

    @property
    def width(self) -> int:
        """Columns of the feature matrix that it takes."""
        return 3 if self.kind == "number" else len(self.levels)

    def codes(self, values: pa.ChunkedArray) -> Ints:
        """The level or band of each person, -1 where it is not known; a level that was not there at the fit is `OTHER`, else not known."""
        if self.kind != "level":
            amounts = numbers(values)
            found = np.searchsorted(np.array(self.edges), np.nan_to_num(amounts), side="right")
            return np.where(np.isfinite(amounts), found, -1).astype(np.int64)
        texts = texts_of(values)
        found = pc.index_in(texts, value_set=pa.array(self.levels, texts.type))
        if OTHER in self.levels:
            rare = pc.and_(pc.is_valid(texts), pc.is_null(found))
            found = pc.if_else(rare, pa.scalar(self.levels.index(OTHER), pa.int32()), found)
        return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)

    def score(self, values: pa.ChunkedArray) -> Floats:
        """The rank-normal score of each person; NaN where the number is not known."""
        return np.asarray(np.interp(numbers(values), np.array(self.knots), np.array(self.scores)), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The columns used, in their order, and those left out with the reason."""

    columns: tuple[Column, ...]
    left_out: dict[str, str]

    @property
    def numbers(self) -> tuple[Column, ...]:
        """Columns that are normal scores."""
        return tuple(column for column in self.columns if column.kind == "number")

    @property
    def levelled(self) -> tuple[Column, ...]:
        """Columns that are levels."""
        return tuple(column for column in self.columns if column.kind != "number")

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where each levelled column stands in the feature matrix, behind three blocks of the numbers."""
        starts = np.cumsum([3 * len(self.numbers), *(column.width for column in self.levelled)])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(starts))

    def features(self, table: pa.Table) -> Floats:
        """The feature matrix (persons × [known, score, score² of each number; one-hot levels]); zeros where a value is not known."""
        d, slices = len(self.numbers), self.slices
        out = np.zeros((table.num_rows, slices[-1].stop if slices else 3 * d))
        for j, column in enumerate(self.numbers):
            score = column.score(table[column.name])
            known = np.isfinite(score)
            out[:, j], out[:, d + j] = known, np.where(known, score, 0.0)
            out[:, 2 * d + j] = out[:, d + j] ** 2
        for column, place in zip(self.levelled, slices, strict=True):
            codes = column.codes(table[column.name])
            rows = np.flatnonzero(codes >= 0)
            out[rows, place.start + codes[rows]] = 1.0
        return out

    def codes(self, table: pa.Table) -> npt.NDArray[np.int16]:
        """The level or band of every attribute (persons × columns), -1 where not known: for telling, not for fitting."""
        return np.stack([column.codes(table[column.name]).astype(np.int16) for column in self.columns], axis=1) if self.columns else np.zeros((table.num_rows, 0), np.int16)


def arrow(profiles: Any) -> pa.Table:
    """A data frame, Arrow or Ibis table as an Arrow table.

    Raises:
        EstimateError: It is none of them.
    """
    if isinstance(profiles, pa.Table):
        return profiles
    if hasattr(profiles, "to_pyarrow"):
        return profiles.to_pyarrow()
    if hasattr(profiles, "columns") and hasattr(profiles, "dtypes"):
        return _from_frame(profiles)
    raise EstimateError(f"profiles are a {type(profiles).__name__}", at="profiles", mend="give a data frame, an Arrow table or an Ibis table")


def _from_frame(frame: Any) -> pa.Table:
    """A data frame column by column: one of mixed types becomes texts."""
    columns = {}
    for name in frame.columns:
        try:
            columns[str(name)] = pa.array(frame[name], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            columns[str(name)] = pa.array([None if value is None or value != value else str(value) for value in frame[name]], pa.string())
    return pa.table(columns)


def planned(table: pa.Table) -> Plan:
    """How each attribute of a table is used."""
    columns: list[Column] = []
    left_out: dict[str, str] = {}
    for name in table.column_names:
        found = None if name in IDS else _column(name, table[name])
        if isinstance(found, Column):
            columns.append(found)
        elif found is not None:
            left_out[name] = found
    return Plan(columns=tuple(columns), left_out=left_out)


def numbers(values: pa.ChunkedArray) -> Floats:
    """Numbers, dates and moments (as days since 1970) as float64; NaN where not known."""
    if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us")).cast(pa.int64())
        return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64) / 86_400e6
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = _readable(values)
    found = np.array(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    found[~np.isfinite(found)] = np.nan
    return found


def _readable(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts that are numbers; the others as not known."""
    return pc.if_else(pc.match_substring_regex(texts, r"^-?\d+(\.\d+)?$"), texts, pa.scalar(None, texts.type))


def texts_of(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Levels as texts; an empty text is not known."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
    if pa.types.is_boolean(values.type):
        values = pc.if_else(values, "yes", "no")
    texts = values.cast(pa.string())
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _column(name: str, values: pa.ChunkedArray) -> Column | str:
    kind = values.type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind) or pa.types.is_dictionary(kind)
    if not number and not text:
        return "not_readable"
    size = len(values)
    if number:
        known = np.sort(numbers(values))
        known = known[: size - int(np.isnan(known).sum())]
        distinct, counts = np.unique(known, return_counts=True)
    else:
        told = texts_of(values).value_counts()
        told = told.filter(pc.is_valid(told.field("values")))
        counts = np.asarray(told.field("counts").to_numpy())
    if counts.sum() < max(LEAST_KNOWN * size, 20):
        return "hardly_known"
    if len(counts) < 2 or counts.max() > 0.995 * counts.sum():
        return "all_alike"
    if number:
        dated = pa.types.is_date(kind) or pa.types.is_timestamp(kind)
        if pa.types.is_integer(kind) and len(counts) == len(known) > 100 and _names(name):
            return "names_persons"
        return _number(name, known, distinct, counts, dated=dated)
    levels = told.field("values").to_pylist()
    if len(levels) > 50 and len(levels) > 0.2 * counts.sum():
        return "names_persons"
    order = sorted(range(len(levels)), key=lambda i: (-int(counts[i]), levels[i]))
    kept = [levels[i] for i in order if counts[i] >= max(0.005 * counts.sum(), 5)][:MOST_LEVELS]
    if len(kept) < len(levels):
        kept = [*kept, OTHER]
    return Column(name=name, kind="level", levels=tuple(kept)) if len(kept) > 1 else "all_alike"


def _names(name: str) -> bool:
    return name == "id" or name.endswith(("_id", "_key", "_number", "_no"))


def _number(name: str, known: Floats, distinct: Floats, counts: Ints, *, dated: bool) -> Column:
    tied = len(distinct) <= 30 or counts.max() > 0.1 * len(known)
    wanted = distinct[1:] if tied and len(distinct) <= BANDS + 1 else np.unique(np.quantile(known, np.arange(1, BANDS if tied else 5) / (BANDS if tied else 5), method="higher"))
    edges = tuple(float(edge) for edge in wanted if edge > known[0])
    if not edges:
        edges = (float(distinct[1]),)
    levels = bands(known, edges, dated=dated)
    if tied:
        return Column(name=name, kind="banded", levels=levels, edges=edges, dated=dated)
    ranks = (np.arange(len(known)) + 0.5) / len(known)
    at = np.unique(np.linspace(min(OWN, len(known) // 3), len(known) - 1 - min(OWN, len(known) // 3), KNOTS).astype(np.int64))
    knots, first = np.unique(known[at], return_index=True)
    scores = scipy.special.ndtri(ranks[at][first])
    return Column(name=name, kind="number", levels=levels, edges=edges, knots=tuple(map(float, knots)), scores=tuple(map(float, scores)), dated=dated)


def bands(known: Floats, edges: tuple[float, ...], *, dated: bool = False) -> tuple[str, ...]:
    """What the bands between edges are called: "0", "1–3", "≥ 4"; the values in them decide how finely they are written.

    Examples:
        >>> bands(np.array([0.0, 0.0, 1.0, 2.0, 5.0, 9.0]), (1.0, 5.0))
        ('0', '1–2', '≥ 5')
    """
    whole = bool(np.all(known == np.floor(known))) and not dated
    names = []
    inner = [-math.inf, *edges, math.inf]
    for low, high in pairwise(inner):
        inside = known[np.searchsorted(known, low) : np.searchsorted(known, high)] if math.isfinite(high) else known[np.searchsorted(known, low) :]
        if whole and len(inside) and inside[0] == inside[-1]:
            names.append(said(inside[0]))
        elif not math.isfinite(high):
            names.append(f"≥ {said(low, dated=dated)}")
        elif not math.isfinite(low):
            names.append(f"≤ {said(inside[-1])}" if whole and len(inside) else f"< {said(high, dated=dated)}")
        else:
            names.append(f"{said(low)}–{said(inside[-1])}" if whole and len(inside) else f"{said(low, dated=dated)}–{said(high, dated=dated)}")
    return tuple(names)


def said(value: float, *, dated: bool = False) -> str:
    """A number as short as it still tells, a date as a date.

    Examples:
        >>> said(12.0), said(0.1234), said(1234.5), said(19000.0, dated=True)
        ('12', '0.123', '1234', '2022-01-08')
    """
    if dated:
        return str(np.datetime64(int(value), "D"))
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}"
