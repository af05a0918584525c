"""Columns that cannot be features: known too late, saying nothing, or naming the row. Judged by when and what, never by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.errors import EstimateError, nearest
from kundig.understand.propensity.frames import Bools, Floats, instant, kind_of, micros, texts

Moment = str | dt.datetime | dt.date | dt.timedelta
"""When a column is known: a column of moments, a named moment, a date, or a time after the cut-off."""

DISTINCT = 0.9
"""Texts with more distinct values than this share of the rows name the rows."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a column is no feature; `late` is the share of its values that came too late."""

    code: str
    reason: str
    late: float | None = None

    def __str__(self) -> str:
        return self.reason


def late_columns(
    table: pa.Table, target: str, time: str | None, known_at: Mapping[str, Moment], moments: Sequence[str] = ()
) -> dict[str, Refusal]:
    """The columns known only at or after the moment the target is decided, or after the cut-off at which one would predict.

    A named moment is compared with the target's: the same one is too late, and `moments` (earliest first) orders others.

    Raises:
        EstimateError: `known_at` names no column, or moments that cannot be compared.
    """
    unknown = [name for name in known_at if name not in table.column_names]
    if unknown:
        raise EstimateError(f"known_at names '{unknown[0]}', and the frame has no such column", at="known_at", mend=nearest(unknown[0], table.column_names))
    refused = {}
    for column, moment in known_at.items():
        if column in (target, time):
            continue
        late, after = _late(table, column, moment, target, time, known_at, moments)
        valued = pc.is_valid(table[column]).to_numpy(zero_copy_only=False)
        share = float((late & valued).sum() / max(valued.sum(), 1))
        if share > 0:
            told = "every value is" if share == 1 else f"{share:.1%} of its values are"
            refused[column] = Refusal(code="known_too_late", reason=f"{told} known {after}", late=share)
    return refused


def _late(
    table: pa.Table, column: str, moment: Moment, target: str, time: str | None, known_at: Mapping[str, Moment], moments: Sequence[str]
) -> tuple[Bools, str]:
    """Which rows' values come too late, and after what; a value whose moment is not known counts as late."""
    everyone = np.ones(table.num_rows, np.bool_)
    decided = known_at.get(target)
    if _named(table, moment):
        if decided is None or not _named(table, decided):
            raise EstimateError(f"'{moment}' is a named moment, and that of the target '{target}' is not named", at=f"known_at, {column}", mend=f"add the target: known_at={{'{target}': …}}")
        if moment == decided:
            return everyone, f"at '{moment}', with the outcome"
        for name in (str(moment), str(decided)):
            if name not in moments:
                raise EstimateError(f"whether '{moment}' comes before '{decided}' is not said", at=f"known_at, {column}", mend=f"give the order: moments=(…, '{name}', …), earliest first")
        order = list(moments)
        return everyone & (order.index(str(moment)) > order.index(str(decided))), f"at '{moment}', after the outcome"
    cut = micros(table[time]) if time is not None and kind_of(table[time].type) == "moment" else None
    if isinstance(moment, dt.timedelta) and cut is None:
        end = decided if isinstance(decided, dt.timedelta) else None
        return everyone & (moment > dt.timedelta(0) or (end is not None and moment >= end)), "after the moment at which one would predict"
    known = _instants(table, moment, cut)
    late = ~np.isfinite(known)
    if decided is not None and not _named(table, decided) and (cut is not None or not isinstance(decided, dt.timedelta)):
        late |= known >= _instants(table, decided, cut)
    elif cut is None:
        raise EstimateError(f"when '{target}' is decided is not said", at=f"known_at, {column}", mend=f"add known_at={{'{target}': …}}, or time= with the moment of each row")
    if cut is not None:
        late |= known > cut
    return late, "only after the moment at which one would predict, or with the outcome"


def _named(table: pa.Table, moment: Moment) -> bool:
    return isinstance(moment, str) and moment not in table.column_names


def _instants(table: pa.Table, moment: Moment, cut: Floats | None) -> Floats:
    if isinstance(moment, str):
        if kind_of(table[moment].type) != "moment":
            raise EstimateError(f"column '{moment}' is {table[moment].type}", at="known_at", mend="name a column of moments or days")
        return micros(table[moment])
    if isinstance(moment, dt.timedelta):
        assert cut is not None
        return cut + moment / dt.timedelta(microseconds=1)
    return np.full(table.num_rows, instant(moment))


def empty_columns(table: pa.Table, names: Sequence[str], time: str | None) -> dict[str, Refusal]:
    """The columns that tell nothing: one value everywhere, a text of its own in nearly every row, moments without or after the cut-off."""
    refused = {}
    for name in names:
        column = table[name]
        kind = kind_of(column.type)
        plain = texts(column) if pa.types.is_dictionary(column.type) else column
        distinct = pc.count_distinct(plain, mode="only_valid").as_py()
        valued = len(column) - column.null_count
        if distinct == 0 or (distinct == 1 and column.null_count == 0):
            refused[name] = Refusal(code="says_nothing", reason="one value everywhere" if distinct else "no value anywhere")
        elif kind == "category" and valued >= 50 and distinct > DISTINCT * valued:
            refused[name] = Refusal(code="names_the_row", reason=f"{distinct:,} different texts in {valued:,} rows: it names the row")
        elif kind == "moment" and (time is None or kind_of(table[time].type) != "moment"):
            refused[name] = Refusal(code="moment_without_cut_off", reason="a moment says something only beside the moment at which one would predict: give time=")
        elif kind == "moment":
            late = float(np.nanmean(micros(column) > micros(table[time])))
            if late > 0:
                refused[name] = Refusal(code="known_too_late", reason=f"{late:.1%} of its moments lie after the moment at which one would predict", late=late)
    return refused
