"""Prediction: `fit(frame, target=…)` on any table, with `predict`, `reasons`, `drift`, a report and what was refused; see docs/predictions.md."""

from __future__ import annotations

from kundig.understand.propensity.card import Card, card
from kundig.understand.propensity.estimate import Propensity, fit
from kundig.understand.propensity.leaks import Refusal
from kundig.understand.propensity.report import Report

__all__ = ["Card", "Propensity", "Refusal", "Report", "card", "fit"]
