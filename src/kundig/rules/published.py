"""The published JSON Schema of the language, with the names that a workspace knows: for editors, and for tools that write rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kundig.rules.grammar import AGGREGATES, CALENDAR, CONSENT_ANSWERS, ELAPSED, THRESHOLDS, WHOLE
from kundig.rules.schema import EventType, Field, RuleSchema
from kundig.rules.values import OPERATORS

Json = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(schema: RuleSchema) -> Json:
    """The JSON Schema (draft 2020-12) of rules over a schema.

    It accepts every rule that `parse` accepts; a few faults only `parse` finds (reversed bounds, circles, types of a
    property that differ between events).

    Examples:
        >>> published = json_schema(RuleSchema.of(events={"login": {}}, traits={"city": "text"}))
        >>> published["$defs"]["trait_city"]["properties"]["trait"], published["$defs"]["event_name"]["anyOf"][0]
        ({'const': 'city'}, {'enum': ['login']})
    """
    definitions = {**_shared(schema), **_conditions(schema), **_clauses(schema)}
    kinds = [{"$ref": f"#/$defs/{name}"} for name in definitions if name.startswith(("clause_", "trait_", "score_"))]
    definitions["rule"] = {"anyOf": [{"$ref": "#/$defs/rules"}, *kinds]}
    return {"$schema": _DIALECT, "title": "A rule of kundig", "$ref": "#/$defs/rule", "$defs": definitions}


def _ref(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}


def _mapping(properties: Mapping[str, Any], required: Iterable[str] = ()) -> Json:
    """A mapping with these keys and no others."""
    return {"type": "object", "properties": dict(properties), "required": list(required), "additionalProperties": False}


def _enum(names: Iterable[str]) -> Json:
    return {"enum": sorted(names)}


def _duration(units: Iterable[str]) -> Json:
    return {"type": "string", "pattern": f"^0*[1-9][0-9]* ({'|'.join(units)})s?$"}


def _shared(schema: RuleSchema) -> Json:
    names = {"anyOf": [_enum(schema.events), {"type": "string", "pattern": r"^[^*]*\*$"}]}
    anchor = {"anyOf": [_mapping({which: _ref("events"), "where": _ref("condition")}, [which]) for which in ("first", "last")]}
    windows = {
        "elapsed": _duration(ELAPSED),
        "duration": _duration(("minute", "hour", "day", "week", "month", "quarter", "year")),
        "calendar": _duration(CALENDAR),
        "rules": {"type": "array", "minItems": 1, "items": _ref("rule")},
        "event_name": names,
        "events": {"anyOf": [_ref("event_name"), {"type": "array", "minItems": 1, "items": _ref("event_name")}]},
        "moment": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d"},
        "anchor": anchor,
    }
    past = [
        _ref("duration"), _mapping({"last": _ref("duration")}, ["last"]), {**_mapping({"from": _ref("duration"), "to": _ref("duration")}), "minProperties": 1},
        {**_mapping({"start": _ref("moment"), "end": _ref("moment")}), "minProperties": 1},
    ]  # fmt: skip
    of_events = [
        _mapping({"calendar": _ref("calendar"), "shift": {"type": "integer", "maximum": 0}}, ["calendar"]),
        _mapping({"after": _ref("anchor"), "for": _ref("elapsed")}, ["after"]),
    ]
    of_values = [_mapping({"calendar": _ref("calendar"), "shift": {"type": "integer"}}, ["calendar"]), _mapping({"next": _ref("duration")}, ["next"])]
    windows["event_window"] = {"anyOf": [*past, *of_events]}
    windows["value_window"] = {"anyOf": [*past, *of_values]}
    windows["lasting"] = {
        "anyOf": [_ref("elapsed"), _mapping({"less_than": _ref("elapsed")}, ["less_than"]), _mapping({"at_least": _ref("elapsed")}, ["at_least"])]
    }
    return windows | {f"{type}_tests": _tests(type) for type in OPERATORS}


def _operand(type: str) -> Json:
    shapes: Json = {
        "text": {"type": "string", "minLength": 1}, "list": {"type": "string", "minLength": 1}, "number": {"type": "number"}, "boolean": {"type": "boolean"},
        "date": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}, "time": {"not": {}},
    }  # fmt: skip
    found: Json = shapes[type]
    return found


def _bindable(type: str) -> Json:
    """A value, or a parameter."""
    return {"anyOf": [_operand(type), {"type": "string", "pattern": r"^\$[A-Za-z_]"}]}


def _test_values(type: str, operand: Json) -> Json:
    several = {"type": "array", "minItems": 1, "items": operand}
    special = {
        "exists": {"type": "boolean"}, "within": _ref("value_window"), "anniversary": _ref("value_window"), "in": several, "not_in": several,
        "between": {**several, "minItems": 2, "maxItems": 2}, "includes_any": several, "includes_all": several,
    }  # fmt: skip
    exact = {"exact": {"type": "boolean"}} if type in ("text", "list") else {}
    return {operator: special.get(operator, operand) for operator in OPERATORS[type]} | exact


def _tests(type: str) -> Json:
    return {**_mapping(_test_values(type, _bindable(type))), "minProperties": 1}


def _conditions(schema: RuleSchema) -> Json:
    properties: dict[str, list[Field]] = {}
    for event in schema.events.values():
        for name, field in event.properties.items():
            properties.setdefault(name, []).append(field)
    named = {name: {"anyOf": [form for type in sorted({field.type for field in fields}) for form in _short(type)]} for name, fields in properties.items()}
    joints = {
        "all": {"type": "array", "minItems": 1, "items": _ref("condition")},
        "any": {"type": "array", "minItems": 1, "items": _ref("condition")},
        "not": _ref("condition"),
    }
    return {"condition": {**_mapping(named | joints), "minProperties": 1}}


def _short(type: str) -> list[Json]:
    """A test in full, and the short forms: a bare value, a bare list."""
    if type == "time":
        return [_ref("time_tests")]
    return [_ref(f"{type}_tests"), _bindable(type), {"type": "array", "minItems": 1, "items": _bindable(type)}]


def _threshold(aggregate: str, schema: RuleSchema) -> Json:
    bound = {"type": "integer"} if aggregate in WHOLE else {"type": "number"}
    shapes: Json = {name: bound if name != "between" else {"type": "array", "items": bound, "minItems": 2, "maxItems": 2} for name in THRESHOLDS}
    of = {} if aggregate in ("count", "days") else {"of": _enum(_aggregable(aggregate, schema.events.values()))}
    return {**_mapping(shapes | of, of), "minProperties": 1 + len(of), "maxProperties": 1 + len(of)}


def _aggregable(aggregate: str, events: Iterable[EventType]) -> set[str]:
    fields = [(name, field.type) for event in events for name, field in event.properties.items()]
    return {name for name, type in fields if (type != "list" if aggregate == "distinct" else type == "number")}


def _clauses(schema: RuleSchema) -> Json:
    events = {"where": _ref("condition"), "within": _ref("event_window")}
    share = {"type": "number", "minimum": 0, "maximum": 100}
    step = _mapping({"event": _ref("events"), "where": _ref("condition"), "within": _ref("elapsed"), "without": _ref("events")}, ["event"])
    whole = {"type": "integer", "minimum": 1, "maximum": 60}
    found: Json = {
        "clause_all": _mapping({"all": _ref("rules")}, ["all"]),
        "clause_any": _mapping({"any": _ref("rules")}, ["any"]),
        "clause_not": _mapping({"not": _ref("rule")}, ["not"]),
        "clause_everyone": _mapping({"everyone": {"const": True}}, ["everyone"]),
        "clause_rule": _mapping({"rule": _enum(schema.rules)}, ["rule"]),
        "clause_now": _mapping({"now": {**_mapping({"start": _ref("moment"), "end": _ref("moment")}), "minProperties": 1}}, ["now"]),
        "clause_segment": _mapping({"segment": _enum(schema.segments), "for": _ref("lasting")}, ["segment"]),
        "clause_list": _mapping({"list": _enum(schema.lists), "for": _ref("lasting")}, ["list"]),
        "clause_event": _mapping({"event": _ref("events"), **events, **{name: _threshold(name, schema) for name in AGGREGATES}}, ["event"]),
        "clause_first": _mapping({"first": _ref("events"), **events, "has": _ref("condition")}, ["first"]),
        "clause_last": _mapping({"last": _ref("events"), **events, "has": _ref("condition")}, ["last"]),
        "clause_sequence": _mapping(
            {"sequence": {"type": "array", "minItems": 2, "maxItems": 5, "items": {"anyOf": [_ref("event_name"), step]}}, "within": _ref("event_window")}, ["sequence"]
        ),
        "clause_regular": _mapping(
            {
                "regular": _ref("events"), "where": _ref("condition"), "every": _enum(("day", "week", "month", "quarter")), "of_last": whole,
                "in_at_least": whole, "count": {"type": "integer", "minimum": 1},
            },
            ["regular", "every", "of_last", "in_at_least"],
        ),
        "clause_bucket": _mapping({"bucket": {"type": "string", "minLength": 1}, "from": share, "to": share}, ["bucket"]),
        "clause_stopped": _mapping(
            {"stopped": _ref("events"), "where": _ref("condition"), "silent": _ref("duration"), "active": _ref("duration")}, ["stopped", "silent", "active"]
        ),
        "clause_resumed": _mapping(
            {"resumed": _ref("events"), "where": _ref("condition"), "within": _ref("duration"), "silent": _ref("duration")}, ["resumed", "within", "silent"]
        ),
    }  # fmt: skip
    for name, field in schema.traits.items():
        found[f"trait_{name}"] = _state("trait", name, field.type)
    for name in schema.scores:
        found[f"score_{name}"] = _state("score", name, "number", {"field": _enum(("value", "percentile"))})
    for purpose, channels in schema.purposes.items():
        keys = {"consent": {"const": purpose}, "channel": _enum(channels), "is": {"enum": list(CONSENT_ANSWERS)}, "for": _ref("lasting")}
        found[f"clause_consent_{purpose}"] = _mapping(keys, ["consent", "channel"])
    return found


def _state(kind: str, name: str, type: str, more: Mapping[str, Any] | None = None) -> Json:
    keys = {kind: {"const": name}, **_test_values(type, _operand(type)), **(more or {}), "for": _ref("lasting")}
    return {**_mapping(keys, [kind]), "minProperties": 2}
