"""Predictions as people read them: which there are, how good the model that stands is, what has moved, and the model card in words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kundig.understand.predictions.models import CHAMPION, Kept, fingerprint, kept
from kundig.understand.propensity.card import Card, Language, card

if TYPE_CHECKING:
    from kundig.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One prediction: its file, the model that stands (None: nothing was fitted for this question yet), its history and who was scored.

    `drift` is the newest look, by column; `history` every fit and look, newest first.
    """

    name: str
    title: str
    asked: Any
    model: Kept | None
    drift: Mapping[str, float]
    history: tuple[dict[str, Any], ...]
    scored: int
    mean: float | None

    @property
    def moved(self) -> tuple[str, float] | None:
        """The probability or leading feature that has moved most; None before the first look."""
        if self.model is None or not self.drift:
            return None
        leading = ["probability", *list(self.model.model.report.importance)[:10]]
        found = [(name, self.drift[name]) for name in leading if self.drift.get(name) is not None]
        return max(found, key=lambda pair: pair[1]) if found else None


def standings(workspace: Workspace, locale: str) -> list[Standing]:
    """Every prediction of the workspace's files, by name, as of the newest release."""
    asked = workspace.config.predictions
    if not asked:
        return []
    apart = workspace.lake.apart()
    rows = workspace.table("prediction_models", backend=apart).to_pyarrow().to_pylist()
    scores = workspace.table("scores", backend=apart)
    counted = scores.group_by("model").aggregate(scored=scores.value.count(), mean=scores.value.mean()).to_pyarrow().to_pylist()
    by_name = {row["model"]: row for row in counted}
    return [_standing(name, prediction, rows, by_name.get(name, {}), locale) for name, prediction in sorted(asked.items())]


def _standing(name: str, prediction: Any, rows: list[dict[str, Any]], counted: Mapping[str, Any], locale: str) -> Standing:
    own = sorted((row for row in rows if row["model"] == name), key=lambda row: (row["fitted_at"], row["version"]), reverse=True)
    print_ = fingerprint(prediction)
    champion = next((row for row in own if row["role"] == CHAMPION and row["fingerprint"] == print_), None)
    looks = [row for row in own if row["fingerprint"] == print_ and json.loads(row["drift"] or "{}")]
    history = tuple({column: row[column] for column in ("fitted_at", "version", "role", "verdict", "reason")} for row in own)
    return Standing(
        name=name, title=title_of(name, prediction, locale), asked=prediction, model=kept(champion) if champion is not None else None, drift=json.loads(looks[0]["drift"]) if looks else {}, history=history,
        scored=int(counted.get("scored") or 0), mean=counted.get("mean"),
    )  # fmt: skip


def title_of(name: str, prediction: Any, locale: str) -> str:
    """What people call a prediction in a language; the file's name where it says nothing."""
    return str(prediction.title.get(locale) or next(iter(prediction.title.values()), name))


def card_of(one: Standing, language: Language) -> Card | None:
    """The model card; None where nothing stands. Groups are called as the file calls them."""
    if one.model is None:
        return None
    report = one.model.model.report
    groups = {name.removeprefix("group: "): parts for name, parts in report.fairness.items()}
    return card(dataclasses.replace(report, target=one.title, fairness=groups), name=one.title, language=language)
