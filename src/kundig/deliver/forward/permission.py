"""Whether an event may leave for a destination: its rule, the event's own categories, suppression, and the consent of the destination's purpose, from the log as it is now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from kundig import consent, rules
from kundig.clock import micros
from kundig.config.deliver import Destination
from kundig.config.law import Purposes
from kundig.consent import suppression
from kundig.deliver.forward.events import Event
from kundig.store.state import State


class Permission:
    """Asked for each event, when it is about to leave."""

    def __init__(self, destination: Destination, *, state: State, purposes: Purposes, rule: rules.Rule | None = None, secret: Callable[[], bytes | None] = lambda: None) -> None:
        self._destination, self._state, self._purposes, self._rule, self._secret = destination, state, purposes, rule, secret

    def __call__(self, event: Event, at: dt.datetime) -> str:
        """Why it may not leave: rule, category, suppressed, no_identifier, or the standing of the consent; '' where it may."""
        if self._rule is not None and not self._rule.evaluate(_timeline(event), at=max(micros(at), micros(event.occurred_at) + 1)):
            return "rule"
        if not _categories_allow(self._destination.categories, event.context):
            return "category"
        if self._suppressed(event):
            return "suppressed"
        if self._destination.no_consent_needed:
            return ""
        if not event.identifiers:
            return "no_identifier"
        keys = [key for _, _, key in event.identifiers]
        standing = consent.status(self._state, keys, purposes=self._purposes, purpose=self._destination.purpose, channel=self._destination.channel, at=at)
        return "" if standing.allowed else standing.reason

    def _suppressed(self, event: Event) -> bool:
        if not event.identifiers or not self._state.select("suppressions", most=1):
            return False
        secret = self._secret()
        if secret is None:
            return True  # nobody can tell who is on the list
        table = self._state.sql("suppressions")
        digests = [of(*form, secret=secret) for name, value, _ in event.identifiers for form in suppression.forms(name, value) for of in (suppression.digest, suppression.restricted_digest)]
        return bool(self._state.select("suppressions", table.c.digest.in_(digests)))


def _timeline(event: Event) -> rules.Timeline:
    known = rules.Event(id=event.message_id, name=event.name, at=micros(event.occurred_at), received=micros(event.received_at), properties=dict(event.properties))
    return rules.Timeline(person="", events=(known,))


def _categories_allow(needed: tuple[str, ...], context: Mapping[str, Any]) -> bool:
    """Whether the event's own preferences allow all categories; one that carries none is not held back by them."""
    told = context.get("consent")
    if not needed or not isinstance(told, Mapping):
        return True
    preferences = told.get("categoryPreferences")
    return isinstance(preferences, Mapping) and all(preferences.get(category) is True for category in needed)
