"""Why a rule is true or false for one person: every clause with its sentence, its answer and the values it rests on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from kundig.clock import instant
from kundig.rules.clauses import All, AnyOf, Clause, Count, Derived, Leaf, Named, Not, parts_of
from kundig.rules.evaluate import judge, label, verdict
from kundig.rules.facts import Timeline
from kundig.rules.sentence import Speaker
from kundig.rules.windows import FOREVER


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One clause explained: `values` are what its answer rests on (None: missing), `parts` the clauses inside it."""

    path: str
    sentence: str
    answer: bool
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)
    parts: tuple[Explanation, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The tree as plain values, ready for JSON: moments are ISO text, numbers text with their decimals."""
        return {
            "path": self.path,
            "sentence": self.sentence,
            "answer": self.answer,
            "values": {name: plain_value(value) for name, value in self.values.items()},
            "parts": [part.as_dict() for part in self.parts],
        }

    def lines(self, depth: int = 0) -> list[str]:
        """The tree as text, one clause a line, indented."""
        mark = "+" if self.answer else "-"
        shown = ", ".join(f"{name}: {_shown(value)}" for name, value in self.values.items())
        own = f"{'  ' * depth}{mark} {self.sentence}" + (f"  ({shown})" if shown else "")
        return [own, *(line for part in self.parts for line in part.lines(depth + 1))]


def plain_value(value: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {name: plain_value(item) for name, item in value.items()}
    return [plain_value(item) for item in value] if isinstance(value, list | tuple) else value


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
    return str(plain_value(value))


def explained(clause: Clause, known: Timeline, at: int, speaker: Speaker, path: str = "$") -> Explanation:
    """The tree of a clause, for a timeline that holds what is known; nothing is cut short."""
    zone = speaker.schema.zone
    inner = [explained(part, known, at, speaker, below(clause, path, number)) for number, part in enumerate(parts_of(clause))]
    if isinstance(clause, Leaf):
        found = verdict(clause, known, at, zone)
        answer, values = found.answer, readable(clause, found.values, speaker)
    else:
        answer, values = judge(clause, known, at, zone), {}
    return Explanation(path=path, sentence=speaker.clause(clause), answer=answer, values=values, parts=tuple(inner))


def below(clause: Clause, path: str, number: int) -> str:
    """The path of a clause's part."""
    match clause:
        case All():
            return f"{path}.all[{number}]"
        case AnyOf():
            return f"{path}.any[{number}]"
        case Not():
            return f"{path}.not"
        case Named():
            return f"rules.{clause.name}"
        case Derived():
            return f"traits.{clause.trait}"
        case _:
            return f"{path}.{type(clause).__name__.lower()}"


def readable(clause: Leaf, values: Mapping[str, Any], speaker: Speaker) -> dict[str, Any]:
    """The values of a verdict with instants in the workspace's zone, and each aggregate beside its threshold."""
    zone = speaker.schema.zone
    thresholds = {label(threshold): speaker.threshold_bound(threshold) for threshold in clause.thresholds} if isinstance(clause, Count) else {}
    shown: dict[str, Any] = {}
    for name, value in values.items():
        if name == "window":
            shown[name] = window_shown(value, zone)
        elif name in ("now", "last", "happened", "ended", "since"):
            shown[name] = None if value is None else local_time(value, zone)
        elif name in thresholds:
            shown[name] = {"is": value, "wanted": thresholds[name]}
        else:
            shown[name] = value
    return shown


def local_time(value: int, zone: str) -> dt.datetime:
    """An instant as a moment of the zone's clock."""
    return instant(value).astimezone(ZoneInfo(zone))


def window_shown(bounds: tuple[int, int], zone: str) -> dict[str, Any]:
    """The window's two instants: from (inside) and before (outside); None: open."""
    if bounds[0] >= FOREVER:
        return {"from": None, "before": None, "empty": "there is no anchor"}
    low, high = (None if abs(bound) >= FOREVER else local_time(bound, zone) for bound in bounds)
    return {"from": low, "before": high}
