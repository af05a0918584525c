"""`kundig tail`: calls as they come, a line each."""

from __future__ import annotations

import json
import time
from typing import Any
from zoneinfo import ZoneInfo

from kundig.cli.output import line
from kundig.clock import instant
from kundig.errors import ConfigError, nearest
from kundig.store.live import Heard

PAUSE = 0.2
"""Seconds between two looks."""


def show_calls(workspace: Any, *, source: str | None, last: int, follow: bool, as_json: bool) -> None:
    """Print the newest calls, then those that come.

    Raises:
        ConfigError: No source of that name is described, and none has sent anything.
    """
    store = workspace.heard
    known = {*workspace.config.sources, *(minute.source for minute in store.minutes())}
    if source is not None and source not in known:
        raise ConfigError(f"there is no source '{source}'", at="sources/", mend=nearest(source, known))
    seen = max((call.number for call in store.heard(after=-1, most=1)), default=0)
    if not seen and not as_json:
        line("nothing has come yet: kundig serve takes events in, kundig key create SOURCE lets a tracker send them")
    for call in store.heard(after=-1, source=source, most=last) if last else ():
        line(_told(call, workspace, as_json=as_json))
    while follow:
        found = store.heard(after=seen, most=500)
        for call in found:
            seen = call.number
            if source in (None, call.source):
                line(_told(call, workspace, as_json=as_json))
        if not found:
            time.sleep(PAUSE)


def _told(call: Heard, workspace: Any, *, as_json: bool) -> str:
    facts = {name: value for name, value in call.facts.items() if name in ("page_path", "channel", "campaign", "value", "product_id", "platform")}
    moment = instant(call.received_at)
    if as_json:
        record = {
            "received_at": moment.isoformat(), "source": call.source, "verdict": call.verdict, "reason": call.reason, "name": call.name, "event_id": call.event_id,
            "occurred_at": None if call.occurred_at is None else instant(call.occurred_at).isoformat(), "identifier_key": call.identifier_key, "facts": dict(call.facts),
        }  # fmt: skip
        return json.dumps(record, ensure_ascii=False)
    local = moment.astimezone(ZoneInfo(workspace.config.settings.workspace.zone))
    shown = " ".join(f"{name}={value}" for name, value in facts.items())
    parts = (f"{local:%Y-%m-%d %H:%M:%S}", f"{call.source:<10}", f"{call.verdict:<8}", f"{call.name or '–':<20}", call.reason, shown)
    return "  ".join(part for part in parts if part).rstrip()
