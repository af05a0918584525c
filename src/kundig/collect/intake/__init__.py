"""The HTTP intake: what SDKs, forms, pixels, webhooks and databases send, on disk before it is acknowledged."""

from __future__ import annotations

from kundig.collect.intake.app import Intake
from kundig.collect.intake.refusals import REFUSALS, Refused
from kundig.collect.intake.serving import make_intake, run_intake
from kundig.collect.intake.verifying import Delivered, Verifier

__all__ = ["REFUSALS", "Delivered", "Intake", "Refused", "Verifier", "make_intake", "run_intake"]
