"""What a browser says of itself: the kind of device and the browser, from its user agent; worked out once per user agent.

A tablet of Apple's that asks for desktop pages calls itself a Macintosh: it counts as a desktop.
"""

from __future__ import annotations

from kundig.collect.identifiers import literal

BOTS = "bot|crawl|spider|slurp|preview|headless|monitor"
"""Parts of user agents of programs, in lower case."""

BROWSERS: tuple[tuple[str, str], ...] = (
    ("edge", "Edg(e|A|iOS)?/"), ("opera", "OPR/|OPiOS/|Opera"), ("samsung", "SamsungBrowser/"), ("vivaldi", "Vivaldi/"), ("firefox", "Firefox/|FxiOS/"),
    ("chrome", "Chrome/|CriOS/|Chromium/"), ("safari", "Version/.*Safari/"),
)  # fmt: skip
"""Browsers and how they are told, the first that fits: most call themselves Chrome and Safari besides."""

DEVICES: tuple[tuple[str, str], ...] = (
    ("tablet", "iPad|Tablet|PlayBook|Silk/"), ("mobile", "iPhone|iPod|Android.*Mobile|Mobile.*Firefox|Windows Phone"), ("tablet", "Android"), ("desktop", "Windows|Macintosh|X11|CrOS|Linux"),
)  # fmt: skip
"""Kinds of devices and how they are told, the first that fits."""


def device_sql(agent: str, *, told: str) -> str:
    """Expression of the kind of device, or NULL: bot, mobile, tablet or desktop. `told` is what the sender says itself (ios, android)."""
    cases = " ".join(f"WHEN regexp_matches({agent}, {literal(pattern)}) THEN {literal(kind)}" for kind, pattern in DEVICES)
    return f"CASE WHEN regexp_matches(lower({agent}), {literal(BOTS)}) THEN 'bot' {cases} WHEN lower({told}) IN ('ios', 'android', 'mobile') THEN 'mobile' WHEN lower({told}) IN ('tablet', 'desktop') THEN lower({told}) END"


def browser_sql(agent: str) -> str:
    """Expression of the browser, or NULL where none is told."""
    cases = " ".join(f"WHEN regexp_matches({agent}, {literal(pattern)}) THEN {literal(name)}" for name, pattern in BROWSERS)
    return f"CASE {cases} END"
