"""Lifetime value: `fit(orders)` on any table of orders, with a verdict, `predict` and intervals; see docs/lifetime_value.md."""

from __future__ import annotations

from kundig.understand.lifetime_value.contracts import ContractValue
from kundig.understand.lifetime_value.estimate import LifetimeValue, Total, estimate, fit
from kundig.understand.lifetime_value.holdout import Check, Verdict

__all__ = ["Check", "ContractValue", "LifetimeValue", "Total", "Verdict", "estimate", "fit"]
