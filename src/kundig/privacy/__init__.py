"""Subject requests: who is suppressed and is not taken in again, and who is erased from every store, with what a search found before and after."""

from __future__ import annotations

from kundig.privacy.erasing import Certificate, Store, erase, resume
from kundig.privacy.searching import search
from kundig.privacy.suppressing import Named, named, suppress, unsuppress

__all__ = ["Certificate", "Named", "Store", "erase", "named", "resume", "search", "suppress", "unsuppress"]
