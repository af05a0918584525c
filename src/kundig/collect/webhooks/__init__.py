"""Webhooks of other systems: who sent it, what they said of consent before they are answered, and rows of what they told."""

from __future__ import annotations

from kundig.collect.webhooks.checking import Checked, checks, verify
from kundig.collect.webhooks.landing import read_webhooks
from kundig.collect.webhooks.ready import READY, add

__all__ = ["READY", "Checked", "add", "checks", "read_webhooks", "verify"]
