"""Webhooks from the inbox into tables: records through the same mapping as files, held where they cannot be read, each once."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kundig.collect.hearing import keep
from kundig.collect.inbox_landing import Portion, land_lines, receiving
from kundig.collect.land import Landed
from kundig.collect.mapping import check, needed
from kundig.collect.sources.raw import Broken
from kundig.collect.webhooks.checking import Checked
from kundig.collect.webhooks.records import Unreadable, records
from kundig.config.collect import Input, MatchSpec, Source
from kundig.config.webhooks import Webhook
from kundig.errors import ConfigError

if TYPE_CHECKING:
    from kundig.config.load import Config
    from kundig.store.inbox import Entry

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def as_input(webhook: Webhook) -> Input:
    """The input that a webhook's records are read by."""
    told = MatchSpec(column="_kind", matches="(?s).+")
    lands = tuple(landing.model_copy(update={"keep": (told, *landing.keep), "received_at": landing.received_at or "_at"}) for landing in webhook.lands)
    return Input(
        files=("the inbox",), format="ndjson", optional=True, zone=webhook.zone, currency=webhook.currency, currency_column=webhook.currency_column, country=webhook.country, dates=webhook.dates,
        decimal=webhook.decimal, lands=lands,
    )  # fmt: skip


def with_webhooks(config: Config) -> tuple[Config, dict[str, int]]:
    """The workspace in which each webhook that lands rows is an input of its source, and the number of that input by webhook.

    Webhooks come behind the inputs that sources/ describes and the one for calls, in the order of their names, so that what was held is found again.
    """
    for name in sorted({webhook.source or name for name, webhook in config.webhooks.items() if webhook.lands}):
        config, _ = receiving(config, name)
    sources: dict[str, Source] = dict(config.sources)
    numbers: dict[str, int] = {}
    for name, webhook in sorted(config.webhooks.items()):
        if not webhook.lands:
            continue
        source = webhook.source or name
        inputs = (*sources[source].inputs, as_input(webhook))
        sources[source] = sources[source].model_copy(update={"inputs": inputs})
        numbers[name] = len(inputs) - 1
    return dataclasses.replace(config, values={**config.values, "sources": sources}), numbers


def read_webhooks(portion: Portion) -> Landed:
    """Land what webhooks of a source sent. Words on consent go into the log once more: what is there already changes nothing, and
    who was erased meanwhile does not come back.

    Raises:
        ConfigError: A mapping has faults.
    """
    config, numbers = with_webhooks(portion.config)
    landed = Landed(source=portion.source)
    sent: dict[str, list[Entry]] = defaultdict(list)
    for entry in portion.entries:
        sent[str(_meta(entry).get("webhook") or portion.source)].append(entry)
    for name, entries in sorted(sent.items()):
        one = dataclasses.replace(portion, entries=tuple(entries), batch_id=f"{portion.batch_id}:{name}")
        landed = landed.with_(_land(one, config, name, numbers))
    return landed


def _land(portion: Portion, config: Config, name: str, numbers: Mapping[str, int]) -> Landed:
    webhook: Webhook | None = config.webhooks.get(name)
    if webhook is None:
        told, number = receiving(portion.config, portion.source)
        what, mend = f"there is no webhook '{name}' any more", "restore webhooks/, then kundig quarantine replay"
        broken = [Broken(file=0, row=row, what=what, mend=mend, body=entry.body.decode(errors="replace")) for row, entry in enumerate(portion.entries, 1)]
        return land_lines(portion, told, number, (), broken)
    faults = check(portion.source, config.sources[portion.source]) if name in numbers else []
    if faults:
        raise ConfigError(faults=faults)
    lines, broken = [], []
    checked = Checked(portion.config, name) if webhook.consents and portion.state is not None else None
    for row, entry in enumerate(portion.entries, 1):
        at = _EPOCH + dt.timedelta(microseconds=entry.received_at)
        headers = _meta(entry).get("told") or {}
        try:
            lines += [json.dumps(record, default=str).encode() for record in records(webhook, entry.body, headers, at)]
        except Unreadable as fault:
            broken.append(Broken(file=0, row=row, what=str(fault), mend="look at what the sender is set to send; kundig quarantine fix", body=entry.body.decode(errors="replace")))
        if checked is not None:
            keep(portion.config, portion.state, [checked.heard(entry.body, headers, at)])
    if name not in numbers:
        return Landed(source=portion.source)
    heading = dict.fromkeys(column.split(".")[0] for column in needed(as_input(webhook))) | {"_kind": None}
    return land_lines(portion, config, numbers[name], [json.dumps(heading).encode(), *lines] if lines else (), broken)


def _meta(entry: Entry) -> Mapping[str, Any]:
    try:
        found = json.loads(entry.meta)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
