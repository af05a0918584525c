"""Consent that a call carries along in the words of others: TC and GPP strings, Google's consent signals, Global Privacy Control."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from functools import lru_cache
from typing import Any

from kundig.config.law import Signals, TcfSignal
from kundig.consent import gpp, tcf
from kundig.errors import ContractError

Pair = tuple[str, str]
"""A purpose and a channel."""

TC_STRING, GPP_STRING, GOOGLE, GPC = "tcString", "gppString", "google", "gpc"
"""Where they are, under `context.consent` of a call."""

_STRICT = {"objected": 2, "withdrawn": 1, "given": 0}


def pairs_of(covered: Iterable[str]) -> Iterator[Pair]:
    """Purpose and channel of `newsletter/email`."""
    for pair in covered:
        purpose, _, channel = pair.partition("/")
        yield purpose, channel


def stricter(found: MutableMapping[Pair, str], pair: Pair, status: str) -> None:
    """Note a status, unless a stricter one is noted."""
    if pair not in found or _STRICT[status] > _STRICT[found[pair]]:
        found[pair] = status


class Stamps:
    """Reads what a call carries along.

    Args:
        signals: What a workspace says each of them stands for; what it does not name is not read.
    """

    def __init__(self, signals: Signals) -> None:
        self._tcf: TcfSignal | None = signals.tcf
        self._google = {name: tuple(pairs_of(pairs)) for name, pairs in signals.google.items()}
        self.objects: tuple[Pair, ...] = tuple(pairs_of(signals.opt_out))
        """What Global Privacy Control objects to."""

    def names(self) -> list[bytes]:
        """What a body holds that carries any of them."""
        found = [TC_STRING, GPP_STRING] if self._tcf else [GPP_STRING] if self.objects else []
        return [name.encode() for name in [*found, *self._google, *([GPC] if self.objects else [])]]

    def stated(self, carried: Mapping[str, Any], *, at: dt.datetime, gpc: bool = False) -> dict[Pair, str]:
        """Purpose and channel → `given`, `withdrawn` or `objected`; a string that cannot be read whole allows nothing.

        Args:
            carried: `context.consent` of a call.
            at: The present moment.
            gpc: Whether the request said `Sec-GPC: 1`.
        """
        found: dict[Pair, str] = {}
        self._strings(carried, at, found)
        signals = carried.get(GOOGLE)
        if signals is not None and self._google:
            said: Mapping[str, Any] = signals if isinstance(signals, dict) else {}
            for name, pairs in self._google.items():
                if name in said or not said:
                    for pair in pairs:
                        stricter(found, pair, "given" if said.get(name) == "granted" else "withdrawn")
        if gpc or carried.get(GPC) in (True, 1, "1"):
            for pair in self.objects:
                stricter(found, pair, "objected")
        return found

    def _strings(self, carried: Mapping[str, Any], at: dt.datetime, found: dict[Pair, str]) -> None:
        day = at.replace(hour=0, minute=0, second=0, microsecond=0)
        if self._tcf is not None and TC_STRING in carried:
            self._consents(_tcf(carried[TC_STRING], day) if isinstance(carried[TC_STRING], str) else None, found)
        if GPP_STRING not in carried:
            return
        read = _gpp(carried[GPP_STRING], day) if isinstance(carried[GPP_STRING], str) else None
        if self._tcf is not None and (read is None or read.tcf is not None):
            self._consents(None if read is None else read.tcf, found)
        if read is None or read.opted_out:
            for pair in self.objects:
                stricter(found, pair, "withdrawn" if read is None else "objected")

    def _consents(self, read: tcf.TcString | None, found: dict[Pair, str]) -> None:
        assert self._tcf is not None
        for covered, purposes in self._tcf.covers.items():
            allowed = read is not None and read.allows(purposes, vendor=self._tcf.vendor)
            for pair in pairs_of([covered]):
                stricter(found, pair, "given" if allowed else "withdrawn")


@lru_cache(maxsize=4_096)
def _tcf(text: str, day: dt.datetime) -> tcf.TcString | None:
    """The string, read once a day; None where it cannot be read or is invalid."""
    try:
        return tcf.decode(text, at=day + dt.timedelta(days=1))
    except ContractError:
        return None


@lru_cache(maxsize=4_096)
def _gpp(text: str, day: dt.datetime) -> gpp.GppString | None:
    try:
        return gpp.decode(text, at=day + dt.timedelta(days=1))
    except ContractError:
        return None
