"""Subject requests: who is suppressed, and is not taken in again."""

from __future__ import annotations

from kundig.privacy.suppressing import Named, named, suppress, unsuppress

__all__ = ["Named", "named", "suppress", "unsuppress"]
