"""Probabilistic matching of people's records: spelling, blocking, levels, model, linkage; `match` is its face."""

from __future__ import annotations

from kundig.unify.matching.matching import Matches, match
from kundig.unify.matching.model import Model

__all__ = ["Matches", "Model", "match"]
