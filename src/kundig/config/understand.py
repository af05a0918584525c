"""Files of `understand`: what serving a customer costs, the axes of segments, and the matrix whose cells they make."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kundig.config.base import FileKind, Record
from kundig.errors import ConfigError, Fault, nearest

LifecycleState = Literal["prospect", "onboarding", "active", "loyal", "at_risk", "dormant", "former"]
STATES: tuple[LifecycleState, ...] = ("prospect", "onboarding", "active", "loyal", "at_risk", "dormant", "former")

NUMBERS = (
    "orders", "purchase_days", "revenue", "net_revenue", "order_value", "order_value_spread", "margin", "gap_days", "regularity", "returned_share",
    "discount_share", "categories_seen", "visits_30", "visits_365", "login_frequency", "messages_90", "opens_90", "clicks_90", "tickets", "open_cases",
    "satisfaction", "nps", "subscriptions",
)  # fmt: skip
"""Numbers of `features` that conditions and value tiers may name."""
VALUES = ("probability_alive", "probability_purchase", "expected_purchases", "expected_order_value", "expected_revenue", "expected_value", "value_at_risk", "acquisition_cost", "value_less_acquisition")
"""Numbers of `lifetime_values` that conditions and value tiers may name."""
TEXTS = ("top_category", "acquisition_channel")
"""Texts of `features` that conditions may name."""
ANY = "*"
"""In persona_matrix.csv: every member of the axis."""

MATRIX_COLUMNS = ("segment_id", "value_tier", "behavior_cluster", "state", "key_message", "visual_guideline", "offer_code")
"""The first columns of persona_matrix.csv, in this order."""
VARIABLES = ("benefit_offer", "cta_intensity", "onboarding_story", "feature_focus", "reactivation_text", "trust_signals")
"""The built-in creative variables that follow them."""


class Costs(Record):
    """costs.yaml: rates for what no booking tells; each is net of tax, in the workspace's currency, unless it is a share."""

    goods_share: float = Field(default=0.55, ge=0, lt=1, description="Cost of goods as a share of net revenue, where lines and catalogue name none.")
    service_month: float = Field(default=0.10, ge=0, description="Service per living customer and month: support, hosting, tools.")
    contact: float = Field(default=0.02, ge=0, description="One message of the channel mix.")
    contacts_month: float = Field(default=4.0, ge=0, description="Messages a living customer is sent a month.")
    fulfilment_order: float = Field(default=4.50, ge=0, description="Picking, packing and carriage of one order, less what customers pay for it.")
    payment_share: float = Field(default=0.02, ge=0, lt=1, description="Payment fees as a share of the amount paid.")
    payment_order: float = Field(default=0.25, ge=0, description="Payment fee of one order.")
    return_order: float = Field(default=6.00, ge=0, description="Handling of one return: carriage, check, write-off.")
    return_share: float = Field(default=0.12, ge=0, le=1, description="Share of net value that comes back, where a person's own is not known.")
    tax_share: float = Field(default=0.19, ge=0, lt=1, description="Tax on top of net: payment fees are taken from the gross amount.")

    def month(self) -> float:
        """What a living customer costs a month, orders or not.

        Examples:
            >>> round(Costs().month(), 2)
            0.18
        """
        return self.service_month + self.contact * self.contacts_month


class Tier(Record):
    """One step of the value axis."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name as persona_matrix.csv spells it.")
    start: float | None = Field(default=None, description="Lowest value of the tier: an amount, or a quantile between 0 and 1; the first tier has none.")


class ValueAxis(Record):
    """Tiers of value: which number, and where one tier ends."""

    measure: str = Field(default="expected_value", description="Number of features or lifetime_values that is cut.")
    method: Literal["quantiles", "thresholds"] = Field(default="quantiles", description="quantiles of all buyers at the last refit, or fixed amounts.")
    tiers: tuple[Tier, ...] = Field(
        default=(Tier(name="basic"), Tier(name="plus", start=0.5), Tier(name="top", start=0.8)), min_length=1, description="Tiers from the lowest up."
    )

    @field_validator("measure")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in (*NUMBERS, *VALUES):
            raise ValueError(f"there is no number '{value}'; {nearest(value, (*NUMBERS, *VALUES), most=40)}")
        return value

    @model_validator(mode="after")
    def _rising(self) -> ValueAxis:
        if self.tiers[0].start is not None:
            raise ValueError(f"the lowest tier '{self.tiers[0].name}' has a start; leave it out, it takes all that is below the second")
        starts = [tier.start for tier in self.tiers[1:]]
        for tier, start in zip(self.tiers[1:], starts, strict=True):
            if start is None:
                raise ValueError(f"the tier '{tier.name}' has no start; give the lowest value of it")
            if self.method == "quantiles" and not 0 < start < 1:
                raise ValueError(f"the tier '{tier.name}' starts at quantile {start}; quantiles lie between 0 and 1")
        known = [start for start in starts if start is not None]
        if any(high <= low for low, high in pairwise(known)):
            raise ValueError("the starts of the tiers do not rise; order tiers from the lowest up")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tiers, from the lowest up."""
        return tuple(tier.name for tier in self.tiers)


class Condition(Record):
    """One test of one number or text; a missing value fails every test but `missing: true`."""

    feature: str = Field(description="Column of features or lifetime_values.")
    at_least: float | None = Field(default=None, description="Passes from this number on.")
    less_than: float | None = Field(default=None, description="Passes below this number.")
    one_of: tuple[str, ...] = Field(default=(), description="Passes for one of these texts.")
    missing: bool | None = Field(default=None, description="true: passes when the value is not known; false: when it is.")

    @model_validator(mode="after")
    def _one_test(self) -> Condition:
        known = (*NUMBERS, *VALUES, *TEXTS)
        if self.feature not in known:
            raise ValueError(f"there is no feature '{self.feature}'; {nearest(self.feature, known, most=40)}")
        numeric = self.at_least is not None or self.less_than is not None
        if self.one_of and (numeric or self.feature not in TEXTS):
            raise ValueError(f"one_of tests texts, and '{self.feature}' is a number; use at_least or less_than")
        if numeric and self.feature in TEXTS:
            raise ValueError(f"'{self.feature}' is a text; use one_of")
        if not numeric and not self.one_of and self.missing is None:
            raise ValueError(f"nothing is tested of '{self.feature}'; give at_least, less_than, one_of or missing")
        if numeric and self.missing is True:
            raise ValueError(f"'{self.feature}' cannot be missing and a number at once; leave one out")
        return self


class Cluster(Record):
    """One behaviour cluster: all its conditions hold."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name as persona_matrix.csv spells it.")
    when: tuple[Condition, ...] = Field(min_length=1, description="Conditions that all hold.")
    meaning: str = Field(default="", description="Who that is, for people.")


class StateGroup(Record):
    """One state of the matrix: lifecycle states it unites, and further conditions."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name as persona_matrix.csv spells it.")
    lifecycle: tuple[LifecycleState, ...] = Field(default=(), description="Lifecycle states of it; empty: any.")
    when: tuple[Condition, ...] = Field(default=(), description="Conditions that all hold besides.")

    @model_validator(mode="after")
    def _tests_something(self) -> StateGroup:
        if not self.lifecycle and not self.when:
            raise ValueError(f"nothing is tested for the state '{self.name}'; give lifecycle or when, or make it the default")
        return self


def _clusters() -> tuple[Cluster, ...]:
    return (
        Cluster(name="bargain", when=(Condition(feature="discount_share", at_least=0.25),), meaning="Kauft meist mit Rabatt."),
        Cluster(name="explorer", when=(Condition(feature="categories_seen", at_least=4),), meaning="Kauft quer durch viele Warengruppen."),
    )


def _states() -> tuple[StateGroup, ...]:
    return (
        StateGroup(name="prospect", lifecycle=("prospect",)),
        StateGroup(name="new", lifecycle=("onboarding",)),
        StateGroup(name="active", lifecycle=("active", "loyal")),
        StateGroup(name="at_risk", lifecycle=("at_risk",)),
    )


class BehaviourAxis(Record):
    """Behaviour clusters in their order: the first whose conditions hold, else the default."""

    clusters: tuple[Cluster, ...] = Field(default_factory=_clusters, description="Clusters, the first that fits counts.")
    default: str = Field(default="focused", pattern=r"^[a-z][a-z0-9_]*$", description="Cluster of everyone else.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the clusters, the default last."""
        return (*(cluster.name for cluster in self.clusters), self.default)


class StateAxis(Record):
    """States in their order: the first that fits, else the default."""

    states: tuple[StateGroup, ...] = Field(default_factory=_states, description="States, the first that fits counts.")
    default: str = Field(default="lapsed", pattern=r"^[a-z][a-z0-9_]*$", description="State of everyone else.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the states, the default last."""
        return (*(state.name for state in self.states), self.default)


class SegmentRule(Record):
    """segments/rules/<name>.yaml: a segment that a rule defines, beside the cells of the matrix."""

    meaning: str = Field(min_length=1, description="Who that is and what for, for people.")
    rule: Any = Field(description="Who is in it (docs/rules.md); windows open and close as time passes.")


class Axes(Record):
    """segments/axes.yaml: value tiers, behaviour clusters and states that the matrix is made of."""

    value: ValueAxis = Field(default=ValueAxis(), description="Tiers of value.")
    behaviour: BehaviourAxis = Field(default=BehaviourAxis(), description="Behaviour clusters.")
    state: StateAxis = Field(default=StateAxis(), description="States.")

    @model_validator(mode="after")
    def _named_once(self) -> Axes:
        for label, names in (("tier", self.value.names), ("cluster", self.behaviour.names), ("state", self.state.names)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"the {label} '{twice[0]}' stands twice; name each {label} once")
        return self

    def members(self) -> dict[str, tuple[str, ...]]:
        """The members of each axis, by its column of persona_matrix.csv."""
        return {"value_tier": self.value.names, "behavior_cluster": self.behaviour.names, "state": self.state.names}


DEFAULT_ROWS: tuple[dict[str, str], ...] = ({**dict.fromkeys(MATRIX_COLUMNS, ""), "segment_id": "everyone", "value_tier": ANY, "behavior_cluster": ANY, "state": ANY},)
"""The matrix of a workspace without persona_matrix.csv: one segment for all."""


class Matrix(Record):
    """persona_matrix.csv: the rows from above down, each a cell or several (`*`: any member of an axis); the first that fits counts."""

    rows: tuple[dict[str, str], ...] = Field(default=DEFAULT_ROWS, min_length=1, description="Rows, each a value by column.")

    @field_validator("rows")
    @classmethod
    def _whole(cls, rows: tuple[dict[str, str], ...]) -> tuple[dict[str, str], ...]:
        head = tuple(rows[0])
        for place, column in enumerate(MATRIX_COLUMNS):
            if column not in head:
                raise ValueError(f"the column '{column}' is missing; {nearest(column, head)}")
            if head[place] != column:
                raise ValueError(f"column {place + 1} is '{head[place]}' and should be '{column}'; the first seven are {', '.join(MATRIX_COLUMNS)}")
        seen: dict[str, int] = {}
        for number, row in enumerate(rows, 2):
            for column in MATRIX_COLUMNS[:4]:
                if not row[column]:
                    raise ValueError(f"row {number} has no {column}; name it, or write * for any")
            if row["segment_id"] in seen:
                raise ValueError(f"the segment '{row['segment_id']}' stands in rows {seen[row['segment_id']]} and {number}; name each segment once")
            seen[row["segment_id"]] = number
        return rows

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments' names, from above down."""
        return tuple(row["segment_id"] for row in self.rows)

    def cell(self, value_tier: str, behavior_cluster: str, state: str) -> str | None:
        """The segment of a cell; None where no row fits.

        Examples:
            >>> Matrix().cell("top", "explorer", "new")
            'everyone'
        """
        wanted = {"value_tier": value_tier, "behavior_cluster": behavior_cluster, "state": state}
        return next((row["segment_id"] for row in self.rows if all(row[axis] in (ANY, member) for axis, member in wanted.items())), None)


def matrix_faults(axes: Axes, matrix: Matrix) -> Iterator[Fault]:
    """What is wrong between segments/axes.yaml and persona_matrix.csv: unknown members, cells without a row, rows no cell reaches.

    Examples:
        >>> [fault.what for fault in matrix_faults(Axes(), Matrix())]
        []
    """
    axis_of = {"value_tier": "value.tiers", "behavior_cluster": "behaviour.clusters", "state": "state.states"}
    members = axes.members()
    unknown = False
    for number, row in enumerate(matrix.rows, 2):
        for column, known in members.items():
            if row[column] not in (ANY, *known):
                unknown = True
                mend = f"{nearest(row[column], known)}; or add it to {axis_of[column]} in segments/axes.yaml"
                yield Fault(what=f"the {column} '{row[column]}' of segment '{row['segment_id']}' is not defined", at=f"persona_matrix.csv, row {number}", mend=mend)
    if unknown:
        return
    reached: set[str] = set()
    missing: list[str] = []
    for cell in product(*members.values()):
        segment = matrix.cell(*cell)
        if segment is None:
            missing.append(" × ".join(cell))
        else:
            reached.add(segment)
    if missing:
        shown = ", ".join(missing[:5]) + (f" … ({len(missing)} in all)" if len(missing) > 5 else "")
        yield Fault(what=f"no row fits the cells {shown}", at="persona_matrix.csv", mend="add rows for them, or a last row with * in all three axes")
    for number, row in enumerate(matrix.rows, 2):
        if row["segment_id"] not in reached:
            mend = "move it above the row that covers it, or take it out"
            yield Fault(what=f"the segment '{row['segment_id']}' can have no member: rows above it take all its cells", at=f"persona_matrix.csv, row {number}", mend=mend)


def fitting(axes: Axes, matrix: Matrix) -> None:
    """Refuse axes and a matrix that do not fit each other.

    Raises:
        ConfigError: Carries every fault.
    """
    faults = tuple(matrix_faults(axes, matrix))
    if faults:
        raise ConfigError(faults=faults)


FILES = (
    FileKind(name="costs", pattern="costs.yaml", model=Costs, meaning="Rates for costs that no booking tells."),
    FileKind(name="axes", pattern="segments/axes.yaml", model=Axes, meaning="Value tiers, behaviour clusters and states."),
    FileKind(name="rule_segments", pattern="segments/rules/*.yaml", model=SegmentRule, meaning="Segments by rule.", many=True),
    FileKind(name="matrix", pattern="persona_matrix.csv", model=Matrix, meaning="Segments: value × behaviour × state, with message and offer.", format="csv"),
)
