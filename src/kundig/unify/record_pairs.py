"""Records of people compared by what they say: a model learnt without labels, and the pairs that are one person's, or a question for people.

Off unless `identity.yaml` says `matching: {enabled: true}`. The model is a fit: it stays as it is until it is due again, so that a pair's probability does
not move from day to day. New records are compared with all others; pairs of records that stood before keep what was found.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import Any

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kundig.config.unify import Identity
from kundig.schema import step
from kundig.tables.collect import CONTACTS
from kundig.tables.unify import MATCH_MODELS, RECORD_PAIRS
from kundig.unify.matching.blocks import Candidates, candidates
from kundig.unify.matching.columns import Records, records
from kundig.unify.matching.levels import components
from kundig.unify.matching.linkage import clusters
from kundig.unify.matching.matching import chosen, evidence, levels_of, scored
from kundig.unify.matching.matching import score as score_of
from kundig.unify.matching.model import Model, fit, probability

COMPARED = ("first_name", "last_name", "birth_date", "street", "house_number", "postcode", "city", "email", "phone")
"""What records of people are compared by."""

VERDICTS = ("same", "ask", "household")

_KINDS = (
    ("left_id", pa.string()), ("right_id", pa.string()), ("left_key", pa.int64()), ("right_key", pa.int64()), ("weight", pa.float64()),
    ("probability", pa.float64()), ("verdict", pa.string()), ("evidence", pa.string()), ("since", pa.timestamp("us", tz="UTC")), ("model", pa.string()),
)  # fmt: skip
_MODEL_KINDS = (("version", pa.string()), ("fitted_at", pa.timestamp("us", tz="UTC")), ("parameters", pa.string()), ("records", pa.int64()))


@step(reads=(CONTACTS,), writes=MATCH_MODELS, kind="fit")
def match_model(contacts: ir.Table, *, identity: Identity, as_of: dt.datetime) -> pa.Table:
    """The model of how records of one person differ, learnt from all records without being told who is who; no row while matching is off."""
    rows = _people(contacts) if identity.matching.enabled else None
    if rows is None or rows.num_rows < 2:
        return pa.schema(_MODEL_KINDS).empty_table()
    of = records(rows.drop_columns(["identifier_key", "occurred_at"]), key="contact_id")
    proposed = chosen(of, most=identity.matching.block_most)
    pairs = candidates(proposed, most=identity.matching.block_most)
    text = fit(of, proposed, pairs, levels_of(of, pairs.left, pairs.right)).to_json()
    version = hashlib.sha256(text.encode()).hexdigest()[:16]
    return pa.Table.from_pylist([{"version": version, "fitted_at": as_of, "parameters": text, "records": of.size}], schema=pa.schema(_MODEL_KINDS))


def with_new_records(standing: ir.Table, contacts: ir.Table, match_models: ir.Table, *, added: Mapping[str, ir.Table], anew: frozenset[str], identity: Identity) -> pa.Table:
    """All pairs, of which only those with a new record are compared: the model is the same, so the others' weights stand."""
    if not identity.matching.enabled:
        return pa.schema(_KINDS).empty_table()
    if anew or "contacts" not in added:
        return _pairs(contacts, match_models, identity)
    known = standing.select("left_id", "right_id", "weight", "model").to_pyarrow()
    return _pairs(contacts, match_models, identity, known=known, new=added["contacts"].select("contact_id").to_pyarrow()["contact_id"])


@step(reads=(CONTACTS, MATCH_MODELS), writes=RECORD_PAIRS, kind="array", bound=600, fold=with_new_records, folds=(CONTACTS,))
def record_pairs(contacts: ir.Table, match_models: ir.Table, *, identity: Identity) -> pa.Table:
    """Pairs of records that are one person's for sure (`same`), perhaps (`ask`), or two people of one household; nothing while matching is off.

    `same` needs more than its own probability: the records must also stay together when all pairs around them speak (average linkage).
    """
    return _pairs(contacts, match_models, identity) if identity.matching.enabled else pa.schema(_KINDS).empty_table()


def _pairs(contacts: ir.Table, match_models: ir.Table, identity: Identity, *, known: pa.Table | None = None, new: pa.ChunkedArray | None = None) -> pa.Table:
    rules = identity.matching
    rows, (version, model) = _people(contacts), newest(match_models)
    if model is None or rows.num_rows < 2:
        return pa.schema(_KINDS).empty_table()
    of = records(rows.drop_columns(["identifier_key", "occurred_at"]), key="contact_id")
    proposed = chosen(of, most=rules.block_most)
    name = f"{version}:{hashlib.sha256(','.join(rule.name for rule in proposed).encode()).hexdigest()[:8]}"
    pairs = candidates(proposed, most=rules.block_most)
    left, right, ids = pairs.left, pairs.right, rows["contact_id"].combine_chunks()
    if known is not None and new is not None and known.num_rows and pc.all(pc.equal(known["model"], name)).as_py():
        fresh = pc.is_in(ids, value_set=new.combine_chunks()).to_numpy(zero_copy_only=False)
        wanted = fresh[left] | fresh[right] | _stood(ids, known, left, right)
        left, right = left[wanted], right[wanted]
    seen = levels_of(of, left, right)
    weight = scored(model, of, Candidates(left=left, right=right, rules=pairs.rules[: left.size]), seen)
    return _told(rows, of, model, left, right, weight, seen, identity, name)


def _stood(ids: pa.Array, known: pa.Table, left: npt.NDArray[np.int32], right: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Whether each proposed pair is one that was found before."""
    one, other = (pc.index_in(known[side].combine_chunks(), value_set=ids).fill_null(-1).to_numpy().astype(np.int64) for side in ("left_id", "right_id"))
    return np.isin((left.astype(np.int64) << 32) | right, (np.minimum(one, other) << 32) | np.maximum(one, other))


def _told(
    rows: pa.Table, of: Records, model: Model, left: npt.NDArray[np.int32], right: npt.NDArray[np.int32], weight: npt.NDArray[np.float32], seen: Any,
    identity: Identity, name: str,
) -> pa.Table:  # fmt: skip
    rules = identity.matching
    sure = probability(weight.astype(np.float64))
    likely = sure >= rules.ask
    label = clusters(of.size, left[likely], right[likely], weight[likely], lambda a, b: score_of(model, of, a, b)).label
    home = _one_home(of, seen)
    keys = rows["identifier_key"].to_numpy()
    kept = (likely | home[seen.of_pair]) & (keys[left] != keys[right])
    left, right, weight, sure, pattern = left[kept], right[kept], weight[kept], sure[kept], seen.of_pair[kept]
    verdict = np.where(sure < rules.ask, 2, np.where((sure >= rules.same) & (label[left] == label[right]), 0, 1))
    words = {one.name: one.words for one in components(of)}
    sentences = pa.array([evidence(seen.names, row, words) for row in seen.levels.tolist()], pa.string())
    ids = rows["contact_id"].combine_chunks()
    written = rows["occurred_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    since = pa.array(np.maximum(written[left], written[right])).cast(pa.timestamp("us", tz="UTC"))
    low, high = np.where(keys[left] < keys[right], left, right), np.where(keys[left] < keys[right], right, left)
    columns = [
        ids.take(pa.array(low)), ids.take(pa.array(high)), pa.array(keys[low]), pa.array(keys[high]), pa.array(weight.astype(np.float64)), pa.array(sure),
        pa.array(np.array(VERDICTS, dtype=object)[verdict], pa.string()), sentences.take(pa.array(pattern)), since, pa.array([name] * left.size, pa.string()),
    ]  # fmt: skip
    found = pa.Table.from_arrays(columns, schema=pa.schema(_KINDS))
    return found.sort_by([("left_id", "ascending"), ("right_id", "ascending")])


def _one_home(of: Records, seen: Any) -> npt.NDArray[np.bool_]:
    """Per pattern of levels, whether surname and address are the same: two people of one household, if they are not one."""
    tops = {one.name: one.top for one in components(of)}
    if "last_name" not in tops or "address" not in tops or not len(seen.levels):
        return np.zeros(max(1, len(seen.levels)), np.bool_)
    at = {name: column for column, name in enumerate(seen.names)}
    same: npt.NDArray[np.bool_] = (seen.levels[:, at["last_name"]] == tops["last_name"]) & (seen.levels[:, at["address"]] == tops["address"])
    return same


def newest(match_models: ir.Table) -> tuple[str, Model | None]:
    """The version and the model fitted last; no model: none was fitted."""
    found = match_models.order_by(match_models.fitted_at.desc(), match_models.version).limit(1).select("version", "parameters").to_pyarrow().to_pylist()
    return (str(found[0]["version"]), Model.from_json(str(found[0]["parameters"]))) if found else ("", None)


def _people(contacts: ir.Table) -> pa.Table:
    """The records that carry an identifier and say something, by id: what is read does not depend on the order in which they came."""
    rows = contacts.filter(contacts.identifier_key.notnull()).select("contact_id", "identifier_key", "occurred_at", *COMPARED).to_pyarrow()
    return rows.sort_by([("contact_id", "ascending")])


__all__ = ["match_model", "newest", "record_pairs", "with_new_records"]
