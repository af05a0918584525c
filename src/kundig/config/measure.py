"""metrics/*.yaml: one file a KPI, with who owns it, how often it is read, and what it may deviate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kundig.config.base import FileKind, Record

Layer = Literal["topline", "experience", "action", "guardrail"]


class Tolerance(Record):
    """What a KPI may be before it is told; bounds are in the KPI's unit."""

    at_least: float | None = Field(default=None, description="Told when below.")
    at_most: float | None = Field(default=None, description="Told when above.")


class Metric(Record):
    """One KPI."""

    measure: str = Field(description="Name of the built-in measure that computes it (`kundig show kpis`).")
    title: dict[Literal["de", "en"], str] = Field(default_factory=dict, description="Title by language; the measure's own where absent.")
    layer: Layer | None = Field(default=None, description="topline, experience, action or guardrail; the measure's own where absent.")
    owner: str = Field(default="", description="Who answers for it.")
    reader: str = Field(default="", description="Who reads it.")
    rhythm: Literal["daily", "weekly", "biweekly", "monthly", "quarterly"] = Field(default="monthly", description="How often it is read.")
    leading: bool = Field(default=False, description="Moves before the result (leading) or with it (lagging).")
    tolerance: Tolerance = Field(default=Tolerance(), description="What it may be before it is told.")


FILES = (FileKind(name="metrics", pattern="metrics/*.yaml", model=Metric, meaning="One KPI a file: owner, source, rhythm, tolerance, reader.", many=True),)
