"""Identity without a workspace: `kundig.identity.resolve(pairs)` tells who is who from pairs of identifiers."""

from __future__ import annotations

from kundig.unify.identity_graph import resolve
from kundig.unify.resolving import resolve_parquet

__all__ = ["resolve", "resolve_parquet"]
