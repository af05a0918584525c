"""Correcting: what a person says of themselves becomes a record that is believed before every source, and stays so when they are imported again."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kundig.clock import now
from kundig.collect.identifiers import Rules, identifier_key, normalise
from kundig.config.unify import ATTRIBUTES, CORRECTION
from kundig.errors import PrivacyError, nearest
from kundig.privacy.subjects import Subject, strongest
from kundig.store.lake import Append
from kundig.tables.collect import CONTACTS

if TYPE_CHECKING:
    from kundig.workspace import Workspace

ADDRESSES = ("email", "phone")
"""Attributes that are identifiers too."""


def checked(workspace: Workspace, values: Mapping[str, str], of: Subject) -> dict[str, Any]:
    """Corrected values in their types; addresses normalised.

    Raises:
        PrivacyError: There is no such attribute, it is not taken from records, a value is empty or of another type, or an address belongs to somebody else.
    """
    declared = workspace.config.profiles.attributes
    known = {**ATTRIBUTES, **{name: one.type for name, one in declared.items() if one.field}}
    if not values:
        raise PrivacyError("nothing is said to be corrected", mend="give attribute=value, such as --set last_name=Müller")
    found: dict[str, Any] = {}
    for name, given in values.items():
        if name not in known:
            told = "is taken from answers to surveys, which are not corrected here" if name in declared else "is no attribute of a profile"
            raise PrivacyError(f"'{name}' {told}", mend=nearest(name, sorted(known)))
        if not given.strip():
            raise PrivacyError(f"the value of '{name}' is empty", mend="a correction says what is right; to take data away, erase the person or mend the source")
        found[name] = _address(workspace, name, given, of) if name in ADDRESSES else _typed(name, given.strip(), known[name])
    return found


def _typed(name: str, given: str, type: str) -> Any:
    try:
        match type:
            case "int64":
                return int(given)
            case "date":
                return dt.date.fromisoformat(given)
            case "decimal(18,4)":
                return Decimal(given.replace(",", "."))
            case "list<string>":
                return [part.strip() for part in given.split(",") if part.strip()]
    except (ValueError, ArithmeticError):
        raise PrivacyError(f"'{given}' is no {type}", at=name, mend="dates are written 1980-12-31, numbers with digits") from None
    return given


def _address(workspace: Workspace, name: str, given: str, of: Subject) -> str:
    config = workspace.config
    value = normalise(name, given, country=config.settings.workspace.country, rules=Rules(identity=config.identity))
    if value is None:
        raise PrivacyError(f"this is no {name} that names somebody", at=name, mend="compare it with the rules of identity.yaml")
    key = identifier_key(name, value)
    if key not in of.keys and workspace.rows_now(f"SELECT 1 FROM identifiers WHERE identifier_key = {key}")[1]:
        raise PrivacyError(f"this {name} is known already, and not as this person's", at=name, mend="if both are one person, say so first: kundig identity; then correct it")
    return value


def correct(workspace: Workspace, of: Subject, values: Mapping[str, Any], *, request: str, at: dt.datetime | None = None) -> int:
    """Write corrected values (`checked`) as one record of source `correction`; it counts from the next run on. Gives how many values it holds."""
    moment, key, free = at or now(), strongest(workspace, of), {}
    row: dict[str, Any] = {"contact_id": f"{CORRECTION}:{request}", "source": CORRECTION, "occurred_at": moment, "received_at": moment, "identifier_key": key, "batch_id": f"{CORRECTION}:{request}"}
    fresh: list[dict[str, Any]] = []
    for name, value in values.items():
        if name not in ATTRIBUTES:
            free[workspace.config.profiles.attributes[name].field] = value if isinstance(value, str) else str(value)
            continue
        row[name] = value
        if name in ADDRESSES and identifier_key(name, value) not in of.keys:
            fresh.append({"identifier_key": identifier_key(name, value), "namespace": name, "value": value, "first_at": moment, "source": CORRECTION})
    row["other_keys"] = sorted({one["identifier_key"] for one in fresh} | {identifier_key(name, row[name]) for name in ADDRESSES if name in row} - {key})
    row["attributes"] = json.dumps(free, ensure_ascii=False) if free else None
    touched = [{"batch_id": row["batch_id"], "identifier_key": one, "received_at": moment} for one in sorted({key, *row["other_keys"]})]
    changes = [Append(table="contacts", source=_rows(workspace, "contacts", [row])), Append(table="touched", source=_rows(workspace, "touched", touched))]
    if fresh:
        changes.append(Append(table="identifiers", source=_rows(workspace, "identifiers", fresh)))
    workspace.lake.commit(changes, batch=str(row["batch_id"]), message="correction")
    return len(values)


def _rows(workspace: Workspace, name: str, rows: list[dict[str, Any]]) -> pa.Table:
    from kundig.store.engines.session import arrow_type

    table = workspace.tables.get(name, CONTACTS)
    columns = [column for column in table.columns if any(column.name in row for row in rows)]
    return pa.table({column.name: pa.array([row.get(column.name) for row in rows], arrow_type(column.type)) for column in columns})
