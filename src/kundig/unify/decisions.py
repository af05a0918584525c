"""What the model and people say about who is who, as links and as pairs that must stay apart: people's answers beat the model's.

Decisions are append-only. An undo is a row of its own that takes another one back, an undo included; of several answers about one pair the last holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

MATCHED, DECISION = "matching:", "decision:"
"""How the evidence of such links begins."""

_TIME = pa.timestamp("us", tz="UTC")
LINK = pa.schema([("left_key", pa.int64()), ("right_key", pa.int64()), ("first_at", _TIME), ("last_at", _TIME), ("records", pa.int64()), ("evidence", pa.string())])


@dataclass(frozen=True, kw_only=True)
class Said:
    """Links beside those that records carry, and pairs of identifiers that are two people's."""

    links: pa.Table
    ranks: npt.NDArray[np.int8]
    """Per link how much it weighs where one must go: 0 the model's, 1 a record's, 2 a person's."""
    probability: npt.NDArray[np.float64]
    apart: npt.NDArray[np.int64]
    """(pairs × 2) keys of identifiers that must not be one person."""


def said(record_pairs: ir.Table, decisions: ir.Table) -> Said:
    """What is said of pairs; a pair that people decided is theirs alone."""
    answers = standing(decisions.to_pyarrow().to_pylist())
    same = [row for row in answers if row["kind"] == "same"]
    apart = np.array([[row["left_key"], row["right_key"]] for row in answers if row["kind"] == "different"], np.int64).reshape(-1, 2)
    found = record_pairs.filter(record_pairs.verdict == "same").select("left_key", "right_key", "probability", "since", "left_id", "right_id").to_pyarrow().to_pylist()
    decided = {(row["left_key"], row["right_key"]) for row in answers}
    best: dict[tuple[int, int], tuple[float, str, Any]] = {}
    for row in found:
        pair = (row["left_key"], row["right_key"])
        if pair not in decided:
            best[pair] = max(best.get(pair, (-1.0, "", None)), (row["probability"], f"{MATCHED}{row['left_id']}~{row['right_id']}", row["since"]))
    matched = sorted(best.items())
    links = [{"left_key": pair[0], "right_key": pair[1], "first_at": since, "last_at": since, "records": 1, "evidence": evidence} for pair, (_, evidence, since) in matched]
    links += [
        {"left_key": row["left_key"], "right_key": row["right_key"], "first_at": row["decided_at"], "last_at": row["decided_at"], "records": 1, "evidence": f"{DECISION}{row['decision_id']}"}
        for row in same
    ]  # fmt: skip
    return Said(
        links=pa.Table.from_pylist(links, schema=LINK), ranks=np.array([0] * len(matched) + [2] * len(same), np.int8),
        probability=np.array([p for _, (p, _, _) in matched] + [1.0] * len(same)), apart=apart,
    )  # fmt: skip


def standing(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The answers that hold, in the order of their ids: what was not taken back, and of one pair the last.

    Examples:
        >>> a = {"decision_id": "d000001", "kind": "same", "left_key": 1, "right_key": 2, "undoes": None}
        >>> b = {"decision_id": "d000002", "kind": "undo", "left_key": 1, "right_key": 2, "undoes": "d000001"}
        >>> c = {"decision_id": "d000003", "kind": "undo", "left_key": 1, "right_key": 2, "undoes": "d000002"}
        >>> len(standing([a])), len(standing([a, b])), len(standing([a, b, c]))
        (1, 0, 1)
    """
    gone: set[str] = set()
    last: dict[tuple[int, int], Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: str(row["decision_id"]), reverse=True):
        if row["decision_id"] in gone:
            continue
        if row["kind"] == "undo":
            gone.add(str(row["undoes"]))
        else:
            last.setdefault((row["left_key"], row["right_key"]), row)
    return sorted(last.values(), key=lambda row: str(row["decision_id"]))


__all__ = ["DECISION", "MATCHED", "Said", "said", "standing"]
