"""Steps of personas: a fit for each file, membership of everybody, and the cards' tables. A workspace without such files has no work here."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from kundig.clock import local_day
from kundig.config.personas import Answers, Finding
from kundig.config.traits import Trait
from kundig.config.unify import Attribute, ProfileRules
from kundig.schema import step
from kundig.store.engines.session import arrow_schema
from kundig.tables.collect import CAMPAIGN_MESSAGES
from kundig.tables.understand import (
    FEATURES,
    LIFETIME_VALUES,
    PERSONA_ATTRIBUTES,
    PERSONA_MEMBERS,
    PERSONA_MODELS,
    PERSONA_STREAM,
    PERSONAS,
    SEGMENT_MEMBERS,
    TRAITS,
)
from kundig.tables.unify import IDENTITIES, PERSON_DAYS, PROFILES
from kundig.understand.models import model_row
from kundig.understand.personas import stream
from kundig.understand.personas.finding import Model
from kundig.understand.personas.fitting import ANSWERS, FOUND, current, find_in, newest, tell_of
from kundig.understand.personas.knowing import among, flat, known
from kundig.understand.personas.told import holds
from kundig.understand.purchases import of_persons

FILES = ("personas", "persona_answers")
PERSONS = 40_000
"""Persons that a fit looks at; beyond that, an even share of them."""


def declared(profiles: ProfileRules, traits: Mapping[str, Trait]) -> dict[str, str]:
    """Attributes of the workspace beyond the built-in ones, with their category."""
    both: list[tuple[str, Attribute | Trait]] = [*profiles.attributes.items(), *traits.items()]
    return {name: one.category for name, one in both if one.personal != "sensitive"}


@step(reads=(PROFILES, FEATURES, TRAITS, PERSON_DAYS, PERSONA_MODELS), writes=PERSONA_MODELS, kind="fit", needs=FILES)
def persona_models(
    people: ir.Table, features: ir.Table, trait_values: ir.Table, person_days: ir.Table, models: ir.Table,
    *, as_of: dt.datetime, zone: str, personas: Mapping[str, Finding], persona_answers: Mapping[str, Answers], profiles: ProfileRules, traits: Mapping[str, Trait],
) -> pa.Table:  # fmt: skip
    """A row for each file of personas: the groups found among at most 40,000 persons, or what the data say of those that people told."""
    rows = []
    if personas or persona_answers:
        free = declared(profiles, traits)
        everybody = known(people, features, trait_values, person_days, zone=zone, declared=free)
        before = models.to_pyarrow()
        for name, finding in sorted(personas.items()):
            chosen = _some(among(everybody, finding.population))
            rows.append(model_row(f"{FOUND}{name}", **find_in(chosen, name, finding, free, newest(before, f"{FOUND}{name}")), as_of=as_of))
        for name, answers in sorted(persona_answers.items()):
            chosen = _some(among(everybody, answers.population))
            rows.append(model_row(f"{ANSWERS}{name}", **tell_of(chosen, name, answers, free), as_of=as_of))
    return pa.concat_tables(rows) if rows else arrow_schema(PERSONA_MODELS).empty_table()


def _some(people: ir.Table) -> pa.Table:
    stride = -(-int(people.count().to_pyarrow().as_py()) // PERSONS)
    chosen = people if stride <= 1 else people.filter(people.person_key % stride == 0)
    return chosen.to_pyarrow().sort_by("person_key")


@step(reads=(PROFILES, FEATURES, TRAITS, PERSON_DAYS, PERSONA_MODELS), writes=PERSONA_MEMBERS, kind="array", by="person_key", bound=1_500, needs=FILES)
def persona_members(
    people: ir.Table, features: ir.Table, trait_values: ir.Table, person_days: ir.Table, models: ir.Table,
    *, zone: str, personas: Mapping[str, Finding], persona_answers: Mapping[str, Answers], profiles: ProfileRules, traits: Mapping[str, Trait],
) -> pa.Table:  # fmt: skip
    """The most probable persona of each person, for each file, by the model of the last fit; and the persons of whom all holds that is told of a persona."""
    parts = []
    if personas or persona_answers:
        free = declared(profiles, traits)
        everybody = known(people, features, trait_values, person_days, zone=zone, declared=free)
        fitted = models.to_pyarrow()
        for name, finding in sorted(personas.items()):
            told = newest(fitted, f"{FOUND}{name}")
            if told is not None and told["finder"] is not None:
                parts.append(_placed(among(everybody, finding.population).to_pyarrow(), told))
        for name, answers in sorted(persona_answers.items()):
            rows = among(everybody, answers.population).to_pyarrow()
            chosen = rows["person_key"].filter(pa.array(holds(rows, answers.who)))
            parts.append(_rows(chosen, pa.array([name] * len(chosen), pa.string()), np.ones(len(chosen))))
    return pa.concat_tables(parts) if parts else _rows(pa.array([], pa.int64()), pa.array([], pa.string()), np.zeros(0))


def _placed(people: pa.Table, told: dict[str, Any]) -> pa.Table:
    model = Model.of(told["finder"])
    names = [column.name for column in model.plan.columns]
    frame = flat(people, list(dict.fromkeys(name.partition(": ")[0] for name in names)), listed=names)
    probabilities = model.memberships(frame)
    label = probabilities.argmax(axis=1)
    return _rows(frame["person_key"], pa.array(np.array(told["ids"], dtype=object)[label], pa.string()), probabilities[np.arange(len(label)), label])


def _rows(persons: pa.Array, ids: pa.Array, probability: Any) -> pa.Table:
    return pa.table({"person_key": persons, "persona_id": ids, "probability": pa.array(probability, pa.float64())})


@step(reads=(PERSONA_MEMBERS, LIFETIME_VALUES, SEGMENT_MEMBERS, PERSONA_MODELS), writes=PERSONAS, kind="array", bound=200, needs=FILES)
def persona_cards(
    members: ir.Table, lifetime_values: ir.Table, segment_members: ir.Table, models: ir.Table, *, personas: Mapping[str, Finding], persona_answers: Mapping[str, Answers]
) -> pa.Table:
    """A row for each persona: size, share, value and segment as of now, and what the fit tells of it."""
    rows: list[dict[str, Any]] = []
    if personas or persona_answers:
        fitted = current(models.to_pyarrow())
        sizes, values, cells = _now(members, lifetime_values, segment_members)
        for row in fitted:
            kind, _, file = row["model"].partition(":")
            if file not in (personas if f"{kind}:" == FOUND else persona_answers):
                continue
            told, names = json.loads(row["parameters"]), personas[file].names if f"{kind}:" == FOUND else {}
            total = sum(sizes.get(one["id"], 0) for one in told["stories"]) if f"{kind}:" == FOUND else told["persons"]
            worth = [values[one["id"]] for one in told["stories"] if one["id"] in values]
            for one in told["stories"]:
                rows.append(_card(one, file, names, row, sizes=sizes, values=values, cells=cells, total=total, usual=float(np.mean(worth)) if worth else 0.0))
    return pa.Table.from_pylist(sorted(rows, key=lambda row: (row["file"], -row["size"], row["persona_id"])), schema=arrow_schema(PERSONAS))


def _card(one: dict[str, Any], file: str, names: Mapping[str, str], row: dict[str, Any], *, sizes: Mapping[str, int], values: Mapping[str, float], cells: Mapping[str, tuple[str, float]], total: int, usual: float) -> dict[str, Any]:
    from decimal import Decimal

    name = one["id"]
    size, value = sizes.get(name, 0), values.get(name)
    segment = cells.get(name, (None, None))
    plain = ("recovered", "stability", "channel", "hour", "content", "objection", "rule", "rule_precision", "rule_recall", "drift", "share_before")
    return {key: one.get(key) for key in plain} | {
        "rule_tests": json.dumps(one["rule_tests"], ensure_ascii=False) if one.get("rule_tests") else None, "claims": json.dumps(one["claims"], ensure_ascii=False) if one.get("claims") else None,
        "persons": total, "reason": row["reason"], "persona_id": name, "file": file, "name": names.get(name, one.get("title") or name), "origin": "found" if row["model"].startswith(FOUND) else "told", "size": size,
        "share": size / total if total else None, "value": None if value is None else Decimal(str(round(value, 4))), "next_steps": f"{one['objection']}/{'high' if value is not None and value >= 1.2 * usual > 0 else 'usual'}",
        "segment_id": segment[0], "segment_share": segment[1], "verdict": row["verdict"], "model": f"{row['model']}@{row['version']}", "found_at": row["fitted_at"],
    }  # fmt: skip


def _now(members: ir.Table, lifetime_values: ir.Table, segment_members: ir.Table) -> tuple[dict[str, int], dict[str, float], dict[str, tuple[str, float]]]:
    sizes = {row["persona_id"]: int(row["size"]) for row in members.group_by("persona_id").aggregate(size=members.count()).to_pyarrow().to_pylist()}
    valued = members.inner_join(lifetime_values.select("person_key", value=lifetime_values.expected_value.cast("float64")), "person_key")
    values = {row["persona_id"]: float(row["value"]) for row in valued.group_by("persona_id").aggregate(value=valued.value.mean()).to_pyarrow().to_pylist() if row["value"] is not None}
    placed = members.inner_join(segment_members.filter(segment_members.member).select("person_key", "segment_id"), "person_key")
    counted = placed.group_by("persona_id", "segment_id").aggregate(persons=placed.count()).to_pyarrow().to_pylist()
    cells: dict[str, tuple[str, float]] = {}
    for row in sorted(counted, key=lambda row: (-int(row["persons"]), str(row["segment_id"]))):
        cells.setdefault(row["persona_id"], (row["segment_id"], int(row["persons"]) / max(sizes.get(row["persona_id"], 1), 1)))
    return sizes, values, cells


@step(reads=(PERSONA_MODELS,), writes=PERSONA_ATTRIBUTES, kind="array", bound=500, needs=FILES)
def persona_attributes(models: pa.Table, *, personas: Mapping[str, Finding], persona_answers: Mapping[str, Answers]) -> pa.Table:
    """What sets each persona apart, as its fit tells it."""
    rows: list[dict[str, Any]] = []
    if personas or persona_answers:
        for row in current(models):
            kind, _, file = row["model"].partition(":")
            if file in (personas if f"{kind}:" == FOUND else persona_answers):
                for one in json.loads(row["parameters"])["stories"]:
                    rows += [{"persona_id": one["id"], **dict(zip(("attribute", "level", "weight", "share", "share_elsewhere", "used"), told, strict=True))} for told in one["attributes"]]
    return pa.Table.from_pylist(rows, schema=arrow_schema(PERSONA_ATTRIBUTES))


@step(reads=(PERSONA_MEMBERS, PERSONA_MODELS, PROFILES, PERSON_DAYS, CAMPAIGN_MESSAGES, IDENTITIES), writes=PERSONA_STREAM, kind="array", bound=200, needs=FILES)
def persona_stream(
    members: ir.Table, models: ir.Table, people: ir.Table, person_days: ir.Table, campaign_messages: ir.Table, identities: ir.Table,
    *, zone: str, personas: Mapping[str, Finding], persona_answers: Mapping[str, Answers],
) -> pa.Table:  # fmt: skip
    """What each persona does from day to day since its fit, and whether it still does what it did: a row for each measure."""
    rows: list[dict[str, Any]] = []
    fitted = _fitted(models.to_pyarrow(), personas, persona_answers, zone) if personas or persona_answers else {}
    if fitted:
        until = person_days.local_day.max().to_pyarrow().as_py()
        since = min(fitted.values()) - dt.timedelta(days=stream.LOOK_BACK)
        sums = _by_persona(stream.daily(members, person_days, of_persons(campaign_messages, identities), zone=zone, since=since))
        known = _by_persona(stream.known_from(members, people, zone=zone))
        for persona, day in sorted(fitted.items()):
            began = {row["local_day"]: row["persons"] for row in known.get(persona, [])}
            own = [row for row in sums.get(persona, []) if row["local_day"] >= day - dt.timedelta(days=stream.LOOK_BACK)]
            for measure, days in stream.series(own, began, until).items() if own else ():
                found = stream.learnt(days, day)
                rows.append({"persona_id": persona, "measure": measure, "days": found.days, "at_fit": found.at_fit, "now": found.now, "since": found.since, "level": found.level})
    return pa.Table.from_pylist(rows, schema=arrow_schema(PERSONA_STREAM))


def _fitted(models: pa.Table, personas: Mapping[str, Finding], persona_answers: Mapping[str, Answers], zone: str) -> dict[str, dt.date]:
    """The local day of the fit that each persona comes from."""
    found: dict[str, dt.date] = {}
    for row in current(models):
        kind, _, file = row["model"].partition(":")
        if file in (personas if f"{kind}:" == FOUND else persona_answers):
            found |= {one["id"]: local_day(row["fitted_at"], zone) for one in json.loads(row["parameters"])["stories"]}
    return found


def _by_persona(rows: ir.Table) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_pyarrow().to_pylist():
        found.setdefault(row["persona_id"], []).append(row)
    return found
