"""Targeting scenarios: what an audience asks the gate, on which attributes its selection rests, and the hash of what was asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kundig import gate, rules
from kundig.config.decide import Audience
from kundig.config.law import Channels, Policy, Purposes
from kundig.config.understand import SegmentRule
from kundig.errors import Fault, PolicyError, nearest
from kundig.rules.clauses import traits_of


def lineage(rule: rules.Rule, audience: Audience) -> tuple[str, ...]:
    """The attributes that a selection rests on: the traits of its rule, computed ones with what they are made of, and those the audience says its copy uses, sorted."""
    return tuple(sorted({*traits_of(rule.clause), *audience.attributes}))


def requests(
    audiences: Mapping[str, Audience], parsed: Mapping[str, rules.Rule], *, policies: Mapping[str, Policy], purposes: Purposes, channels: Channels, at: dt.datetime, zone: str
) -> dict[tuple[str, str], gate.Request]:
    """What is asked of the gate, by audience and channel.

    Raises:
        PolicyError: An audience names a scenario, purpose or channel that is not there, or a scenario for another purpose; all at once.
    """
    faults: list[Fault] = []
    found: dict[tuple[str, str], gate.Request] = {}
    for name, audience in sorted(audiences.items()):
        at_file = f"audiences/{name}.yaml"
        policy = policies.get(audience.scenario)
        if policy is None:
            faults.append(Fault(what=f"there is no scenario '{audience.scenario}'", at=at_file, mend=nearest(audience.scenario, policies)))
        elif policy.purpose != audience.purpose:
            what = f"scenario '{audience.scenario}' is for '{policy.purpose}', the audience for '{audience.purpose}'"
            faults.append(Fault(what=what, at=at_file, mend="use a scenario of the same purpose"))
        if audience.purpose not in purposes.purposes:
            faults.append(Fault(what=f"there is no purpose '{audience.purpose}'", at=at_file, mend=nearest(audience.purpose, purposes.purposes)))
        for channel in audience.channels:
            if channel not in channels.channels:
                faults.append(Fault(what=f"there is no channel '{channel}'", at=at_file, mend=nearest(channel, channels.channels)))
            elif policy is not None:
                scenario = gate.Scenario.of(audience.scenario, policy, lineage=lineage(parsed[name], audience))
                found[name, channel] = gate.Request.of(
                    purpose=audience.purpose, channel=channel, at=at, scenario=scenario, purposes=purposes, channels=channels, zone=zone
                )
    if faults:
        raise PolicyError(faults=faults)
    return found


def parsed_rules(audiences: Mapping[str, Audience], config: Any, rule_segments: Mapping[str, SegmentRule] = MappingProxyType({})) -> dict[str, rules.Rule]:
    """The audiences' rules, within and without the segments that they name.

    Raises:
        RuleError: Carries the faults of all of them.
    """
    found: dict[str, rules.Rule] = rules.audience_rules(audiences, rule_segments, rules.schema_of(config))
    return found
