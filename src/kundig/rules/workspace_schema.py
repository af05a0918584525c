"""The schema of a workspace's rules, from its tracking plan, its purposes and the names of its scores, segments and lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kundig.config.unify import ATTRIBUTES
from kundig.rules.rule import parse_all
from kundig.rules.schema import COLUMN_TYPES, STANDARD_PROPERTIES, EventType, Field, RuleSchema

if TYPE_CHECKING:
    from kundig.config.collect import Source, TrackingPlan
    from kundig.config.decide import Audience
    from kundig.config.law import Purposes
    from kundig.config.load import Config
    from kundig.config.understand import SegmentRule
    from kundig.config.unify import ProfileRules
    from kundig.rules.rule import Rule

STANDARD_EVENTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "page_viewed": {"de": "Seite angesehen", "en": "page viewed"},
        "screen_viewed": {"de": "Ansicht geöffnet", "en": "screen viewed"},
        "order_completed": {"de": "Bestellung", "en": "order"},
        "identify": {"de": "Erkannt", "en": "identified"},
    }
)
"""Events that landing makes whatever the tracking plan says, with their labels."""

_LABELS = {
    "channel": {"de": "Kanal", "en": "channel"}, "campaign": {"de": "Kampagne", "en": "campaign"}, "platform": {"de": "Plattform", "en": "platform"},
    "page_path": {"de": "Seite", "en": "page"}, "value": {"de": "Wert", "en": "value"},
}  # fmt: skip


def schema_of(config: Config, *, scores: Iterable[str] = (), lists: Iterable[str] = (), traits: Mapping[str, Any] | None = None) -> RuleSchema:
    """The schema of a workspace's rules, from its files.

    Known are the tracking plan's events and those that landing and the sources emit, the attributes of profiles (built in and declared) and `traits`, the
    purposes with their channels, the segments of the matrix, the predictions as scores, and the scores and lists given.

    Raises:
        RuleError: An unknown zone or type; carries all faults.
    """
    settings = config.settings.workspace
    return schema_from(
        zone=settings.zone,
        plans=config.tracking_plan,
        purposes=config.purposes,
        currency=settings.currency,
        events=_emitted(config.sources.values()),
        traits={**declared_traits(config.profiles), **(traits or {})},
        scores={**{name: dict(prediction.title) for name, prediction in config.predictions.items()}, **{name: {} for name in scores}},
        segments=[row["segment_id"] for row in config.matrix.rows],
        lists=lists,
        computed=computed_traits(config),
    )


def trait_schema(config: Config) -> RuleSchema:
    """The schema that computed traits are read with: they rest on events, attributes and consents, not on the scores, segments and lists that are made later."""
    return dataclasses.replace(schema_of(config), segments={}, scores={}, lists={})


def computed_traits(config: Config) -> dict[str, Any]:
    """The definitions of the traits that `traits/*.yaml` computes, by name."""
    return {name: trait.definition for name, trait in sorted(config.traits.items())}


def declared_traits(profiles: ProfileRules) -> dict[str, Field]:
    """The attributes that profiles.yaml declares beyond the built-in ones, as rules know them."""
    return {name: Field(type=COLUMN_TYPES[attribute.type], labels=attribute.labels) for name, attribute in profiles.attributes.items()}


def parse_many(sources: Mapping[str, Any], config: Config) -> dict[str, Rule]:
    """Rules of a workspace by name, parsed with its schema; they may refer to each other.

    Raises:
        RuleError: Carries the faults of all of them; paths begin with the rule's name.
    """
    return parse_all(sources, schema_of(config))


def audience_rules(audiences: Mapping[str, Audience], segments: Mapping[str, SegmentRule], schema: RuleSchema) -> dict[str, Rule]:
    """Who is a candidate of each audience: its rule, within the segments it includes and without those it excludes.

    A segment by rule stands in it as the rule itself, so that whatever reads the audience's rule, in the warehouse or for one person, follows the segment.

    Raises:
        RuleError: Carries the faults of all of them; paths begin with the audience's name.
    """
    known = {name: one.rule for name, one in sorted(segments.items())} if any(one.include or one.exclude for one in audiences.values()) else {}
    return parse_all({name: _within(audience, known) for name, audience in sorted(audiences.items())}, schema, first=known)


def _within(audience: Audience, segments: Mapping[str, Any]) -> Any:
    """The source of an audience's rule with its segments: by rule, or by the matrix."""
    included, excluded = ([{"rule" if name in segments else "segment": name} for name in names] for names in (audience.include, audience.exclude))
    parts = [audience.rule, *([{"any": included}] if included else []), *([{"not": {"any": excluded}}] if excluded else [])]
    return parts[0] if len(parts) == 1 else {"all": parts}


def _emitted(sources: Iterable[Source]) -> list[str]:
    """Names of the events that mapping files make of other records; those with placeholders are known only to the data."""
    made = (name for source in sources for given in source.inputs for landing in given.landings for name in landing.emits.values())
    return sorted({name for name in made if "{" not in name})


def schema_from(
    *,
    zone: str,
    plans: Mapping[str, TrackingPlan] | None = None,
    purposes: Purposes | None = None,
    currency: str = "",
    events: Iterable[str] = (),
    traits: Mapping[str, Any] | None = None,
    scores: Iterable[str] | Mapping[str, Mapping[str, str]] = (),
    segments: Iterable[str] = (),
    lists: Iterable[str] = (),
    rules: Mapping[str, Any] | None = None,
    computed: Mapping[str, Any] | None = None,
) -> RuleSchema:
    """The schema of these parts of a workspace; amounts are shown in `currency`, every event carries the standard properties.

    Examples:
        >>> schema = schema_from(zone="Europe/Berlin", scores=["churn_90d"])
        >>> schema.events["order_completed"].properties["value"].type, schema.traits["hobbies"].type
        ('number', 'list')
    """
    shared = {name: Field(type=type, labels=_LABELS[name], unit=_sign(currency) if name == "value" else "") for name, type in STANDARD_PROPERTIES.items()}
    planned: dict[str, EventType] = {name: EventType(labels=labels) for name, labels in STANDARD_EVENTS.items()}
    planned |= {name: EventType() for name in events if name not in planned}
    for plan in (plans or {}).values():
        for name, event in plan.events.items():
            planned[name] = _event(name, {word: {"type": spec.type} for word, spec in event.properties.items() if not spec.drop})
    channels = {name: {"channels": list(purpose.channels)} for name, purpose in (purposes.purposes if purposes is not None else {}).items()}
    return RuleSchema.of(
        zone=zone, events=planned, everywhere=shared, traits={**ATTRIBUTES, **(traits or {})}, scores=scores, purposes=channels, segments=segments,
        lists=lists, rules=rules, computed=computed,
    )  # fmt: skip


def _event(name: str, properties: Mapping[str, Any]) -> EventType:
    made = RuleSchema.of(events={name: {"properties": properties, "labels": STANDARD_EVENTS.get(name, {})}})
    return made.events[name]


def _sign(currency: str) -> str:
    return {"EUR": "€", "USD": "$", "GBP": "£"}.get(currency, currency)
