"""What the intake asks of a webhook before it answers: is the request its sender's, and what does it say of consent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kundig.collect.hearing import Heard
from kundig.collect.identifiers import Rules
from kundig.collect.webhooks.records import Unreadable, headers_of, heard, records
from kundig.collect.webhooks.signatures import refusal
from kundig.config.webhooks import Webhook
from kundig.errors import ConfigError, nearest

if TYPE_CHECKING:
    from kundig.config.load import Config


class Checked:
    """One webhook of the workspace, with its secret."""

    def __init__(self, config: Config, name: str) -> None:
        self.name = name
        self.webhook: Webhook = config.webhooks[name]
        self.source = self.webhook.source or name
        self.secret = _secret(config, self.webhook.signature.secret)
        self._rules = Rules(identity=config.identity)
        self._country = self.webhook.country or config.settings.workspace.country
        self._jurisdictions = {purpose: one.jurisdiction for purpose, one in config.purposes.purposes.items()}

    def refusal(self, *, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, now: dt.datetime) -> str | None:
        """Why a request is not taken; None where it is the sender's. `headers` by their names in small letters, `body` as it was sent."""
        return refusal(self.webhook.signature, self.secret, headers=headers, query=query, body=body, now=now)

    def noted(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that are kept with the body, since its records need them."""
        return headers_of(self.webhook, headers)

    def heard(self, body: bytes, headers: Mapping[str, str], at: dt.datetime) -> Heard:
        """What a body says of consent, and of whom: it is in the consent log before the sender is answered. A body that cannot be read says nothing."""
        if not self.webhook.consents:
            return Heard()
        try:
            told = records(self.webhook, body, headers, at)
        except Unreadable:
            return Heard()
        return heard(self.webhook, self.source, told, rules=self._rules, country=self._country, jurisdictions=self._jurisdictions, at=at)


def _secret(config: Config, text: str) -> str:
    """The secret; empty where it is not set."""
    try:
        return config.secret(text)
    except ConfigError:
        return ""


def checks(config: Config) -> dict[str, Checked]:
    """Each webhook of the workspace by its name; one whose secret is not set lets nobody in."""
    return {name: Checked(config, name) for name in config.webhooks}


def verify(config: Config, name: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, str], *, now: dt.datetime) -> str | None:
    """Why a request to a webhook is not taken; None where it is its sender's.

    Raises:
        ConfigError: There is no such webhook.
    """
    if name not in config.webhooks:
        raise ConfigError(f"there is no webhook '{name}'", at="webhooks/", mend=nearest(name, config.webhooks))
    return Checked(config, name).refusal(headers={key.lower(): value for key, value in headers.items()}, query=query, body=body, now=now)
