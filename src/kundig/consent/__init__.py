"""Consent: the append-only log, its fold per person, and what it allowed at any moment."""

from __future__ import annotations

from kundig.consent.folding import SPOKEN, STANDINGS, Consent, ConsentRecord, Standing, fold, standing
from kundig.consent.log import append, forget, records_of, status
from kundig.consent.many import fold_table
from kundig.consent.proof import Account, Statement, account, statements

__all__ = [
    "SPOKEN", "STANDINGS", "Account", "Consent", "ConsentRecord", "Standing", "Statement", "account", "append", "fold", "fold_table", "forget", "records_of", "standing", "statements", "status",
]  # fmt: skip
