"""Consents: the fold of the consent log by person; of two parts that become one, the stricter wins."""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from kundig.consent import fold_table
from kundig.schema import step
from kundig.tables.collect import CONSENT_RECORDS
from kundig.tables.unify import CONSENTS, IDENTITIES
from kundig.unify.person_days import owned


@step(reads=(CONSENT_RECORDS, IDENTITIES), writes=CONSENTS, kind="array", by="person_key", due="until", bound=400)
def consents(consent_records: ir.Table, identities: ir.Table, *, purposes: Any, as_of: dt.datetime) -> pa.Table:
    """The history of each person's consents, one row per change of purpose and channel."""
    return fold_table(owned(consent_records, identities).to_pyarrow(), purposes, as_of)
