"""The two ways to learn: a ridge logistic regression and LightGBM. Both answer log-odds, so that they can be blended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from kundig.errors import MissingExtra
from kundig.understand.propensity.frames import Encoder, Floats
from kundig.understand.propensity.judging import expit

RIDGE = 1.0
MOST_STEPS = 30
SIZES: dict[str, dict[str, Any]] = {
    "small": {"rounds": 150, "num_leaves": 7, "learning_rate": 0.05, "min_data_in_leaf": 100, "feature_fraction": 0.5, "lambda_l2": 10.0},
    "tuned": {"rounds": 300, "num_leaves": 15, "learning_rate": 0.03, "min_data_in_leaf": 60, "feature_fraction": 0.7},
    "default": {"rounds": 100},
}
"""Settings of the trees that stand for election; fewer leaves where rows are few (measured: REFERENCES, prediction)."""


class Learner(Protocol):
    """A fitted model: log-odds of the rows of a matrix, and what each feature added to them."""

    def odds(self, matrix: Floats) -> Floats: ...
    def effects(self, matrix: Floats) -> Floats: ...
    def as_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Logistic regression with a ridge: the intercept and one coefficient per column of the design."""

    encoder: Encoder
    intercept: float
    coefficients: Floats
    means: Floats

    def odds(self, matrix: Floats) -> Floats:
        """Log-odds of the rows."""
        return self.intercept + self.encoder.weighed(matrix, self.coefficients)

    def effects(self, matrix: Floats) -> Floats:
        """What each feature adds to the log-odds of a mean row (Shapley values of a linear model)."""
        return self.encoder.spread((self.encoder.design(matrix) - self.means) * self.coefficients)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `models`."""
        return {"kind": "linear", "intercept": self.intercept, "coefficients": self.coefficients.tolist(), "means": self.means.tolist()}


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Gradient-boosted trees."""

    booster: Any

    def odds(self, matrix: Floats) -> Floats:
        """Log-odds of the rows."""
        return np.asarray(self.booster.predict(matrix, raw_score=True), np.float64)

    def effects(self, matrix: Floats) -> Floats:
        """What each feature adds to the log-odds of a mean row: exact Shapley values of the trees (Lundberg 2018), as LightGBM computes them."""
        return np.asarray(self.booster.predict(matrix, pred_contrib=True), np.float64)[:, :-1]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `models`."""
        return {"kind": "trees", "text": self.booster.model_to_string()}


def linear(encoder: Encoder, matrix: Floats, outcome: Floats, weight: Floats, ridge: float = RIDGE) -> Linear:
    """The ridge logistic regression by Newton's method; the intercept is not shrunk."""
    seen = encoder.design(matrix)
    means = np.average(seen, axis=0, weights=weight) if len(seen) else np.zeros(seen.shape[1])
    design = np.column_stack([np.ones(len(seen)), seen])
    rate = float(np.clip(np.average(outcome, weights=weight), 1e-6, 1 - 1e-6))
    beta = np.zeros(design.shape[1])
    beta[0] = np.log(rate / (1 - rate))
    penalty = np.full(len(beta), ridge)
    penalty[0] = 0.0
    loss = _penalised(design, beta, outcome, weight, penalty)
    for _ in range(MOST_STEPS):
        fitted = expit(design @ beta)
        bend = weight * np.maximum(fitted * (1 - fitted), 1e-9)
        curve = design.T @ (design * bend[:, None])
        curve[np.diag_indices_from(curve)] += penalty + 1e-6
        move = np.linalg.solve(curve, design.T @ (weight * (outcome - fitted)) - penalty * beta)
        reached = loss
        for halving in range(12):
            reached = _penalised(design, beta + move * 0.5**halving, outcome, weight, penalty)
            if reached <= loss:
                beta = beta + move * 0.5**halving
                break
        if loss - reached < 1e-7 * len(outcome):
            break
        loss = reached
    return Linear(encoder=encoder, intercept=float(beta[0]), coefficients=beta[1:], means=means)


def _penalised(design: Floats, beta: Floats, outcome: Floats, weight: Floats, penalty: Floats) -> float:
    """Negative log-likelihood and the ridge; never overflows."""
    odds = design @ beta
    return float((weight * (np.logaddexp(0.0, odds) - outcome * odds)).sum() + 0.5 * (penalty * beta**2).sum())


def trees(encoder: Encoder, matrix: Floats, outcome: Floats, weight: Floats, size: str, seed: int) -> Trees:
    """Boosted trees of that size; the same rows and seed give the same trees.

    Raises:
        MissingExtra: LightGBM is not installed.
    """
    library = lightgbm()
    settings = dict(SIZES[size])
    rounds = settings.pop("rounds")
    settings["min_data_in_leaf"] = min(settings.get("min_data_in_leaf", 20), max(len(matrix) // 20, 1))
    settings |= {"objective": "binary", "verbosity": -1, "seed": seed, "deterministic": True, "force_col_wise": True}
    data = library.Dataset(
        matrix, outcome, weight=weight, categorical_feature=encoder.categories, feature_name=[f"f{place}" for place in range(matrix.shape[1])], params={"verbosity": -1}, free_raw_data=True
    )
    return Trees(booster=library.train(settings, data, num_boost_round=rounds))


def restore(told: dict[str, Any], encoder: Encoder) -> Learner:
    """The learner that `as_dict` told of."""
    if told["kind"] == "linear":
        return Linear(encoder=encoder, intercept=told["intercept"], coefficients=np.asarray(told["coefficients"]), means=np.asarray(told["means"]))
    return Trees(booster=lightgbm().Booster(model_str=told["text"]))


def lightgbm() -> Any:
    """The library LightGBM.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtra("ml", purpose="learning predictions") from error
    return lightgbm
