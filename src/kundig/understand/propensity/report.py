"""What is known of a prediction's quality, as plain values; the model card is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from kundig.understand.propensity.election import Candidate
from kundig.understand.propensity.judging import FEWEST, Choice, Group
from kundig.understand.propensity.leaks import Refusal

Level = Literal["usable", "weak", "not_usable"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a prediction was made and how good it is, on rows its models did not learn from.

    Rates and probabilities are between 0 and 1; `auc_low` and `auc_high` bound the AUC with 95 % (Hanley, McNeil 1982). `curve` and
    `best` are empty without costs. `fairness` holds one list of groups per column asked for.
    """

    target: str
    rows: int
    positives: int
    rows_trained: int
    folds: Literal["stratified", "time"]
    champion: str
    verdict: Level
    because: tuple[str, ...]
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    log_loss: float | None = None
    log_loss_of_rate: float | None = None
    calibration_error: float | None = None
    calibration_slope: float | None = None
    calibration_intercept: float | None = None
    calibration: str = "line"
    candidates: tuple[Candidate, ...] = ()
    lift: tuple[Group, ...] = ()
    curve: tuple[Choice, ...] = ()
    best: Choice | None = None
    gain: float | None = None
    cost: float | None = None
    fairness: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)
    importance: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, Refusal] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Share of positives."""
        return self.positives / self.rows if self.rows else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `models` and the card."""
        return asdict(self) | {"rate": self.rate}


def judged(positives: int, negatives: int, auc_low: float | None, slope: float | None) -> tuple[Level, tuple[str, ...]]:
    """What a prediction may be used for, and the codes of the reasons.

    Examples:
        >>> judged(12, 900, None, None)
        ('not_usable', ('too_few_outcomes',))
        >>> judged(500, 900, 0.71, 1.02)
        ('usable', ())
    """
    if min(positives, negatives) < FEWEST or auc_low is None or slope is None:
        return "not_usable", ("too_few_outcomes",)
    if auc_low <= 0.5:
        return "not_usable", ("ranks_like_chance",)
    because = []
    if min(positives, negatives) < 100:
        because.append("few_outcomes")
    if auc_low < 0.55:
        because.append("ranks_little")
    if not 0.8 <= slope <= 1.25:
        because.append("not_calibrated")
    return ("weak" if because else "usable"), tuple(because)
