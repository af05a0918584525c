"""Identity without a workspace: `resolve(pairs)` tells who is who from pairs of identifiers, `match(records)` from what records of people say."""

from __future__ import annotations

from kundig.unify.identity_graph import resolve
from kundig.unify.matching import Matches, Model, match
from kundig.unify.resolving import resolve_parquet

__all__ = ["Matches", "Model", "match", "resolve", "resolve_parquet"]
