"""Columns of any frame as numbers: which there are is learnt from the rows trained on, and later frames are read the same way."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.errors import EstimateError, Fault, nearest

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MOST_LEVELS = 60
"""Texts of a column that are told apart; rarer ones are one level together."""
FEWEST_OF_LEVEL = 5
"""Rows from which on a text is a level of its own: what fewer share might name somebody."""
SKEWED = 3.0
"""From this skewness on, the linear model sees the logarithm of a number."""
DAY = 86_400e6


@dataclass(frozen=True, kw_only=True)
class Feature:
    """How one column is read: a number, a text of known levels, or a moment as days before the cut-off."""

    name: str
    kind: Literal["number", "category", "moment"]
    levels: tuple[str, ...] = ()
    logarithm: bool = False
    centre: float = 0.0
    scale: float = 1.0
    gaps: bool = False

    @property
    def width(self) -> int:
        """Columns it makes for the linear model."""
        return (len(self.levels) + 1 if self.kind == "category" else 1) + int(self.gaps)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """The features in their order, and the column that holds each row's cut-off, where there is one."""

    features: tuple[Feature, ...]
    time: str | None = None

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        return [feature.name for feature in self.features]

    @property
    def categories(self) -> list[int]:
        """Places of the features that are texts."""
        return [place for place, feature in enumerate(self.features) if feature.kind == "category"]

    def matrix(self, table: pa.Table) -> Floats:
        """One row per row and one column per feature: numbers, codes of texts, NaN where nothing is known.

        Raises:
            EstimateError: A feature is not in the frame, or is of another type there.
        """
        missing = [
            Fault(what=f"column '{name}' is missing", at="frame", mend=nearest(name, table.column_names)) for name in self.names if name not in table.column_names
        ]
        if missing:
            raise EstimateError(faults=missing)
        out = np.empty((table.num_rows, len(self.features)), np.float64)
        for place, feature in enumerate(self.features):
            out[:, place] = _codes(table, feature) if feature.kind == "category" else self._numbers(table, feature)
        return out

    def _numbers(self, table: pa.Table, feature: Feature) -> Floats:
        if feature.kind == "moment":
            return (micros(table[self.time]) - micros(table[feature.name])) / DAY
        return numbers(table[feature.name], feature.name)

    def design(self, matrix: Floats) -> Floats:
        """What the linear model sees: standardised numbers, one column per level, one per column with gaps."""
        out = np.zeros((len(matrix), sum(feature.width for feature in self.features)))
        start = 0
        for place, feature in enumerate(self.features):
            column = matrix[:, place]
            known = np.isfinite(column)
            if feature.kind == "category":
                rows = np.flatnonzero(known)
                out[rows, start + column[rows].astype(np.int64)] = 1.0
            else:
                out[:, start] = np.where(known, np.clip((_bent(column, feature) - feature.centre) / feature.scale, -6.0, 6.0), 0.0)
            if feature.gaps:
                out[:, start + feature.width - 1] = ~known
            start += feature.width
        return out

    def weighed(self, matrix: Floats, coefficients: Floats) -> Floats:
        """`design(matrix) @ coefficients`, a feature at a time: the design of many rows is never laid down."""
        total = np.zeros(len(matrix))
        start = 0
        for place, feature in enumerate(self.features):
            column = np.ascontiguousarray(matrix[:, place])
            own = coefficients[start : start + feature.width]
            if feature.kind == "category":
                missing = own[-1] if feature.gaps else 0.0
                levels = len(feature.levels) + 1
                codes = np.where(np.isfinite(column), column, levels).astype(np.int64)
                total += np.append(own[:levels], missing)[codes]
            else:
                seen = _bent(column, feature)
                seen -= feature.centre
                seen *= own[0] / feature.scale
                edge = 6.0 * abs(own[0])
                np.clip(seen, -edge, edge, out=seen)
                known = np.isfinite(column)
                if not known.all():
                    seen[~known] = own[-1] if feature.gaps else 0.0
                total += seen
            start += feature.width
        return total

    def spread(self, effects: Floats) -> Floats:
        """Effects of the linear model's columns, added up by feature."""
        starts = np.cumsum([0, *(feature.width for feature in self.features)])[:-1]
        return np.add.reduceat(effects, starts, axis=1) if len(self.features) else effects

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `models`."""
        return {"time": self.time, "features": [asdict(feature) for feature in self.features]}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Encoder:
        """The encoder that `as_dict` told of."""
        return cls(features=tuple(Feature(**{**one, "levels": tuple(one["levels"])}) for one in told["features"]), time=told["time"])


def learn(table: pa.Table, names: list[str], time: str | None) -> Encoder:
    """How the columns are read, from the rows trained on."""
    features = []
    for name in names:
        kind = kind_of(table[name].type)
        if kind == "category":
            counted = pc.value_counts(pc.drop_null(texts(table[name]))).to_pylist()
            ranked = sorted(counted, key=lambda row: (-row["counts"], row["values"]))[:MOST_LEVELS]
            features.append(Feature(name=name, kind=kind, levels=tuple(row["values"] for row in ranked if row["counts"] >= FEWEST_OF_LEVEL), gaps=table[name].null_count > 0))
        else:
            features.append(_number_feature(Encoder(features=(), time=time), table, Feature(name=name, kind=kind)))
    return Encoder(features=tuple(features), time=time)


def _number_feature(reader: Encoder, table: pa.Table, plain: Feature) -> Feature:
    values = reader._numbers(table, plain)
    known = values[np.isfinite(values)]
    if not len(known):
        return plain
    spread = known.std()
    skewed = bool(spread > 0 and abs(((known - known.mean()) ** 3).mean()) > SKEWED * spread**3)
    bent = _bent(known, Feature(name=plain.name, kind=plain.kind, logarithm=skewed))
    scale = float(bent.std())
    return Feature(
        name=plain.name, kind=plain.kind, logarithm=skewed, centre=float(bent.mean()), scale=scale if scale > 1e-12 else 1.0, gaps=len(known) < len(values)
    )


def _bent(values: Floats, feature: Feature) -> Floats:
    return np.sign(values) * np.log1p(np.abs(values)) if feature.logarithm else values.copy()


def _codes(table: pa.Table, feature: Feature) -> Floats:
    said = texts(table[feature.name])
    places = pc.index_in(said, pa.array(feature.levels, pa.string()))
    codes = np.where(pc.is_null(places).to_numpy(zero_copy_only=False), len(feature.levels), pc.fill_null(places, 0).to_numpy(zero_copy_only=False)).astype(np.float64)
    codes[pc.is_null(said).to_numpy(zero_copy_only=False)] = np.nan
    return codes


def texts(column: pa.ChunkedArray) -> pa.Array:
    """The texts of a column, those of a dictionary written out."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_decode()
    return whole.cast(pa.string())


def numbers(column: pa.ChunkedArray, name: str) -> Floats:
    """Numbers of a column, NaN where there is none.

    Raises:
        EstimateError: The column holds no numbers.
    """
    if kind_of(column.type) != "number":
        raise EstimateError(f"column '{name}' is {column.type}, and held numbers when the model was fitted", at="frame", mend="give the same type")
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def micros(column: pa.ChunkedArray) -> Floats:
    """Moments or days as microseconds since 1970, NaN where there is none."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = whole.type
    stamp = whole.cast(pa.timestamp("us", kind.tz if pa.types.is_timestamp(kind) else None), safe=False)
    return np.asarray(stamp.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def instant(moment: dt.datetime | dt.date) -> float:
    """A moment as microseconds since 1970; without a zone it is read as UTC."""
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime(moment.year, moment.month, moment.day, tzinfo=dt.UTC)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return (aware - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(microseconds=1)


def kind_of(kind: pa.DataType) -> Literal["number", "category", "moment"]:
    """What a column of this Arrow type is.

    Raises:
        EstimateError: Neither number, text nor moment.
    """
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "moment"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind) or pa.types.is_null(kind) or pa.types.is_string_view(kind):
        return "category"
    raise EstimateError(f"a column is {kind}", at="frame", mend="give numbers, texts or moments; leave out lists and structures")


def arrow(frame: Any) -> pa.Table:
    """The frame as an Arrow table: a data frame, an Arrow table or an Ibis table.

    Raises:
        EstimateError: It is none of these.
    """
    if isinstance(frame, pa.Table):
        return frame
    if hasattr(frame, "to_pyarrow"):
        return frame.to_pyarrow()
    if hasattr(frame, "columns") and hasattr(frame, "dtypes") and hasattr(frame, "iloc"):
        return pa.Table.from_pandas(frame, preserve_index=False)
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    raise EstimateError(f"the frame is a {type(frame).__name__}", at="frame", mend="give a data frame, an Arrow table or an Ibis table")
