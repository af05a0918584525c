"""Subject requests: asked for, fulfilled and listed; who is suppressed and is not taken in again, and who is erased from every store, with what a search found before and after."""

from __future__ import annotations

from kundig.privacy.erasing import Certificate, Store, erase, resume
from kundig.privacy.fulfilling import Fulfilled, fulfil, lift
from kundig.privacy.requests import KINDS, Request, cancel, open_request, request, requests
from kundig.privacy.searching import search
from kundig.privacy.suppressing import Named, named, suppress, unsuppress

__all__ = [
    "KINDS", "Certificate", "Fulfilled", "Named", "Request", "Store", "cancel", "erase", "fulfil", "lift", "named", "open_request", "request", "requests", "resume", "search", "suppress", "unsuppress",
]  # fmt: skip
