"""usecases/*.yaml: what a piece of work is for, how it is tried, and by which number it is judged."""

from __future__ import annotations

import datetime as dt

from pydantic import Field, model_validator

from kundig.config.base import FileKind, Record


class Goal(Record):
    """A KPI and the value it is to reach."""

    kpi: str = Field(min_length=1, description="KPI (`kundig show kpis`).")
    dimension: str = Field(default="", description="Its split, such as channel; empty: all.")
    member: str = Field(default="", description="Member of the split.")
    at_least: float | None = Field(default=None, description="Reached from this value on, in the KPI's unit: a share is written 0.12.")
    at_most: float | None = Field(default=None, description="Reached up to this value.")
    until: dt.date | None = Field(default=None, description="Day by which; then the last whole period before it is judged.")

    @model_validator(mode="after")
    def _one_bound(self) -> Goal:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("a goal has exactly one of at_least and at_most")
        if bool(self.dimension) != bool(self.member):
            raise ValueError("dimension and member belong together; give both or neither")
        return self

    @property
    def target(self) -> float:
        """The bound that is given."""
        return float(self.at_least if self.at_least is not None else self.at_most or 0.0)


class UseCase(Record):
    """usecases/<name>.yaml: problem → goal → approach → test → tools."""

    problem: str = Field(min_length=1, description="What goes wrong, or is missed, in one sentence.")
    goal: Goal = Field(description="How one will know.")
    approach: str = Field(default="", description="What is done about it.")
    test: str = Field(default="", description="How it is tried: against whom, how long.")
    tools: tuple[str, ...] = Field(default=(), description="What it takes: tools, channels, people.")
    owner: str = Field(default="", description="Who answers for it.")
    prediction: str = Field(default="", description="Prediction that serves it (predictions/<name>.yaml).")
    audience: str = Field(default="", description="Audience that serves it (audiences/<name>.yaml).")
    experiment: str = Field(default="", description="Experiment that judges it.")


FILES = (FileKind(name="usecases", pattern="usecases/*.yaml", model=UseCase, meaning="Use cases: problem, goal, approach, test, tools.", many=True),)
