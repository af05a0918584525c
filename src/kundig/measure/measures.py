"""The built-in measures: what each KPI counts, of what, and which tables it cannot do without.

Each body returns `period_start, dimension, member, numerator, denominator`; a count has a denominator of null, a share is
their quotient. Months are local months of the workspace's zone (the tables' `local_day`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import ibis

from kundig.measure.sources import Sources
from kundig.store.engines import portable

if TYPE_CHECKING:
    import ibis.expr.types as ir

Layer = Literal["topline", "experience", "action", "guardrail"]
Unit = Literal["currency", "share", "count", "days", "ratio"]
Interval = Literal["share", "given", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One KPI's arithmetic.

    `interval`: how its doubt is told: `share` (Wilson), `mean` (from the estimate's own bounds), or none for exact counts.
    """

    name: str
    layer: Layer
    unit: Unit
    needs: tuple[str, ...]
    basis: str
    body: Callable[[Sources], ir.Table] | None
    period: Literal["month", "total"] = "month"
    interval: Interval = "none"
    absent: str = "source_missing"
    """Reason code when it cannot be computed here at all (`body` is None)."""


def _rows(
    rows: ir.Table, *, period: ir.Value | str = "month", dimension: str = "", member: ir.Value | str | None = None, numerator: str, denominator: str | None
) -> ir.Table:
    start = rows[period] if isinstance(period, str) else period
    who = ibis.literal("") if member is None else (rows[member].fill_null("unknown") if isinstance(member, str) else member)
    below = ibis.null("float64") if denominator is None else rows[denominator].cast("float64")
    return rows.select(
        period_start=start.cast("date"),
        dimension=ibis.literal(dimension),
        member=who.cast("string"),
        numerator=rows[numerator].cast("float64"),
        denominator=below,
    )


def _both(rows: ir.Table, split: str, **measures: Callable[[ir.Table], ir.Value]) -> tuple[ir.Table, ir.Table]:
    everyone = rows.group_by("month").aggregate(**{name: make(rows) for name, make in measures.items()})
    members = rows.group_by(["month", split]).aggregate(**{name: make(rows) for name, make in measures.items()})
    return everyone, members


def revenue(sources: Sources) -> ir.Table:
    """Net revenue a month, in all and by sales channel."""
    everyone, members = _both(sources.purchases, "channel", net=lambda t: t.net.sum().cast("decimal(38,4)"))
    return _rows(everyone, numerator="net", denominator=None).union(_rows(members, dimension="channel", member="channel", numerator="net", denominator=None))


def customer_lifetime_value(sources: Sources) -> ir.Table:
    """Mean expected value of customers, in all, by acquisition channel and by segment; numerator is the sum of values."""
    values = sources["lifetime_values"].select("person_key", "expected_value")
    channels = sources["profiles"].select("person_key", "acquisition_channel")
    known = values.join(channels, "person_key")
    month = sources.this_month()

    def _sum(rows: ir.Table, by: str | None) -> ir.Table:
        grouped = (
            rows.aggregate(total=rows.expected_value.sum().cast("decimal(38,4)"), persons=rows.count())
            if by is None
            else rows.group_by(by).aggregate(total=rows.expected_value.sum().cast("decimal(38,4)"), persons=rows.count())
        )
        return grouped.mutate(month=month)

    segments = sources["segment_members"]
    cells = values.join(segments.filter(segments.member).select("person_key", "segment_id"), "person_key")
    parts = [_rows(_sum(known, None), numerator="total", denominator="persons")]
    parts.append(
        _rows(_sum(known, "acquisition_channel"), dimension="acquisition_channel", member="acquisition_channel", numerator="total", denominator="persons")
    )
    parts.append(_rows(_sum(cells, "segment_id"), dimension="segment_id", member="segment_id", numerator="total", denominator="persons"))
    return ibis.union(*parts)


def recurring_revenue(sources: Sources) -> ir.Table:
    """Annual recurring revenue: running subscriptions at the as-of moment, a year's amount of each."""
    contracts = sources["subscriptions"]
    now = ibis.literal(sources.as_of, type="timestamp('UTC')")
    running = contracts.filter((contracts.started_at <= now) & (contracts.ended_at.isnull() | (contracts.ended_at > now)))
    yearly = running.mutate(yearly=running.amount.cast("float64") * 12.0 / running.period_months.nullif(0).cast("float64"))
    month = sources.this_month()
    total = yearly.aggregate(total=yearly.yearly.sum().fill_null(0.0)).mutate(month=month)
    plans = yearly.group_by("plan").aggregate(total=yearly.yearly.sum()).mutate(month=month)
    return _rows(total, numerator="total", denominator=None).union(_rows(plans, dimension="plan", member="plan", numerator="total", denominator=None))


def churn(sources: Sources) -> ir.Table:
    """Share of customers whose state is dormant or former now, of all who ever bought."""
    states = sources["lifecycle_states"]
    customers = states.filter(states.state.isin(["onboarding", "active", "loyal", "at_risk", "dormant", "former"]))
    lost = customers.state.isin(["dormant", "former"])
    month = sources.this_month()
    total = customers.aggregate(gone=lost.sum(), persons=customers.count()).mutate(month=month)
    return _rows(total, numerator="gone", denominator="persons")


def acquisition_cost(sources: Sources) -> ir.Table:
    """Ad spend over new customers of the month, in all and by acquisition channel."""
    spend = sources["ad_spend"]
    spend = spend.mutate(month=spend.local_day.truncate("M"))
    new = sources.first_purchases.join(sources["profiles"].select("person_key", "acquisition_channel"), "person_key", how="left")
    costs = spend.group_by("month").aggregate(spent=spend.amount.sum().cast("decimal(38,4)"))
    arrivals = new.group_by("month").aggregate(persons=new.count())
    total = costs.join(arrivals, "month", how="left").select("month", "spent", persons=lambda t: t.persons.fill_null(0))
    channel_costs = spend.group_by(["month", "channel"]).aggregate(spent=spend.amount.sum().cast("decimal(38,4)"))
    channel_new = new.group_by("month", channel=new.acquisition_channel).aggregate(persons=new.count())
    split = channel_costs.join(channel_new, ["month", "channel"], how="left").select("month", "channel", "spent", persons=lambda t: t.persons.fill_null(0))
    return _rows(total, numerator="spent", denominator="persons").union(
        _rows(split, dimension="acquisition_channel", member="channel", numerator="spent", denominator="persons")
    )


def channel_return(sources: Sources) -> ir.Table:
    """Net revenue of orders that name the channel, over its spend: credit of the source, not effect."""
    spend = sources["ad_spend"]
    spend = spend.mutate(month=spend.local_day.truncate("M"))
    costs = spend.group_by(["month", "channel"]).aggregate(spent=spend.amount.sum().cast("decimal(38,4)"))
    bought = sources.purchases
    earned = bought.group_by("month", channel=bought.acquisition_channel).aggregate(net=bought.net.sum().cast("decimal(38,4)"))
    split = costs.join(earned, ["month", "channel"], how="left").select("month", "channel", "spent", net=lambda t: t.net.fill_null(0))
    return _rows(split, dimension="acquisition_channel", member="channel", numerator="net", denominator="spent")


def retention(sources: Sources) -> ir.Table:
    """Share of the buyers of a month who bought in one of the following three months; only months whose three are over."""
    months = sources.purchase_months.select("person_key", "month")
    later = months.view()
    pairs = months.join(
        later, [months.person_key == later.person_key, later.month > months.month, later.month <= months.month + ibis.interval(months=3)], how="left"
    )
    per_person = pairs.group_by("month", "person_key").aggregate(back=(pairs.month_right.notnull()).max())
    grouped = per_person.group_by("month").aggregate(kept=per_person.back.sum(), persons=per_person.count())
    whole = sources.this_month()
    return _rows(grouped.filter(grouped.month + ibis.interval(months=4) <= whole), numerator="kept", denominator="persons")


def repeat_purchase_rate(sources: Sources) -> ir.Table:
    """Share of all buyers so far with purchases on at least two days."""
    people = sources["features"]
    buyers = people.filter(people.purchase_days > 0)
    month = sources.this_month()
    total = buyers.aggregate(again=(buyers.purchase_days > 1).sum(), persons=buyers.count()).mutate(month=month)
    return _rows(total, numerator="again", denominator="persons")


def acquisition_velocity(sources: Sources) -> ir.Table:
    """New customers a month."""
    new = sources.first_purchases
    return _rows(new.group_by("month").aggregate(persons=new.count()), numerator="persons", denominator=None)


def conversion_velocity(sources: Sources) -> ir.Table:
    """Days from the first sign of a person to the first purchase, mean of the month's new customers."""
    new = sources.first_purchases.join(sources["profiles"].select("person_key", "first_seen_at"), "person_key")
    new = new.mutate(days=new.first_day.delta(portable.local_day(new.first_seen_at, sources.zone), unit="day"))
    new = new.mutate(days=ibis.greatest(new.days, 0))
    return _rows(new.group_by("month").aggregate(days=new.days.sum(), persons=new.count()), numerator="days", denominator="persons")


def _outcome_share(sources: Sources, outcome: str) -> ir.Table:
    """Messages with an outcome, of those sent, in all, by channel and by variant."""
    rows = sources.outcome_counts

    def _count(name: str) -> Callable[[ir.Table], ir.Value]:
        return lambda t: t.messages.sum(where=t.outcome == name).fill_null(0)

    everyone, channels = _both(rows, "channel", got=_count(outcome), given=_count("sent"))
    _, variants = _both(rows.filter(rows.variant.notnull()), "variant", got=_count(outcome), given=_count("sent"))
    parts = [
        _rows(everyone, numerator="got", denominator="given"),
        _rows(channels, dimension="channel", member="channel", numerator="got", denominator="given"),
    ]
    parts.append(_rows(variants, dimension="variant", member="variant", numerator="got", denominator="given"))
    return ibis.union(*parts)


def open_rate(sources: Sources) -> ir.Table:
    """Messages opened, of those sent."""
    return _outcome_share(sources, "opened")


def click_rate(sources: Sources) -> ir.Table:
    """Messages clicked, of those sent."""
    return _outcome_share(sources, "clicked")


def opt_out_rate(sources: Sources) -> ir.Table:
    """Messages answered by an unsubscribe, of those sent."""
    return _outcome_share(sources, "unsubscribed")


def complaint_rate(sources: Sources) -> ir.Table:
    """Messages marked as spam, of those sent."""
    return _outcome_share(sources, "complained")


def conversion_rate(sources: Sources) -> ir.Table:
    """Sessions with a purchase, of all sessions, in all and by channel of the visit."""
    everyone, members = _both(sources.visit_counts, "channel", bought=lambda t: t.converted.sum(), visits=lambda t: t.visits.sum())
    return _rows(everyone, numerator="bought", denominator="visits").union(
        _rows(members, dimension="channel", member="channel", numerator="bought", denominator="visits")
    )


def content_consumption(sources: Sources) -> ir.Table:
    """Page views a session."""
    visits = sources.visit_counts
    return _rows(visits.group_by("month").aggregate(pages=visits.pages.sum(), visits=visits.visits.sum()), numerator="pages", denominator="visits")


def engagement_rate(sources: Sources) -> ir.Table:
    """Sessions with at least two page views, of all sessions."""
    visits = sources.visit_counts
    return _rows(visits.group_by("month").aggregate(engaged=visits.engaged.sum(), visits=visits.visits.sum()), numerator="engaged", denominator="visits")


def reach(sources: Sources) -> ir.Table:
    """Persons who were sent a message in the month."""
    sent = sources.outcomes
    people = sources.of_persons(sent.filter(sent.outcome == "sent").select("identifier_key", "occurred_at", "month", "channel"))
    everyone, members = _both(people.select("person_key", "month", "channel").distinct(), "channel", persons=lambda t: t.person_key.nunique())
    return _rows(everyone, numerator="persons", denominator=None).union(
        _rows(members, dimension="channel", member="channel", numerator="persons", denominator=None)
    )


def trial_to_paid(sources: Sources) -> ir.Table:
    """Trials that ran out and went on as paid contracts, by the month the trial ended."""
    contracts = sources["subscriptions"]
    now = ibis.literal(sources.as_of, type="timestamp('UTC')")
    over = contracts.filter(contracts.trial_until.notnull() & (contracts.trial_until <= now))
    over = over.mutate(month=sources.month_of(over.trial_until), paid=over.ended_at.isnull() | (over.ended_at > over.trial_until))
    return _rows(over.group_by("month").aggregate(paid=over.paid.sum(), trials=over.count()), numerator="paid", denominator="trials")


def brand_lift(sources: Sources) -> ir.Table:
    """Recall among those who had seen the campaign less recall among those who had not, by split `exposed`."""
    answers = sources["survey_answers"]
    recall = answers.filter(answers.exposed.notnull() & answers.score.notnull())
    recall = recall.mutate(month=sources.month_of(recall.occurred_at))
    recall = recall.mutate(group=recall.exposed.ifelse("exposed", "control"))
    grouped = recall.group_by(["month", "group"]).aggregate(yes=recall.score.sum().cast("float64"), asked=recall.count())
    return _rows(grouped, dimension="exposure", member="group", numerator="yes", denominator="asked")


def referral_lift(sources: Sources) -> ir.Table:
    """Referred people who bought, of those who were referred, by month of the referral."""
    referred = sources["referrals"]
    referred = referred.mutate(month=sources.month_of(referred.occurred_at))
    grouped = referred.group_by("month").aggregate(bought=(referred.status == "bought").sum(), sent=referred.count())
    return _rows(grouped, numerator="bought", denominator="sent")


def activation_cost(sources: Sources) -> ir.Table:
    """Ad spend over persons who first signed in or bought in the month."""
    spend = sources["ad_spend"]
    spend = spend.mutate(month=spend.local_day.truncate("M"))
    costs = spend.group_by("month").aggregate(spent=spend.amount.sum().cast("decimal(38,4)"))
    days = sources["person_days"]
    acts = days.filter(days.event.isin(["signed_in", "order_completed", "checkout_confirmed"]))
    first = acts.group_by("person_key").aggregate(day=acts.local_day.min())
    first = first.mutate(month=first.day.truncate("M"))
    arrivals = first.group_by("month").aggregate(persons=first.count())
    total = costs.join(arrivals, "month", how="left").select("month", "spent", persons=lambda t: t.persons.fill_null(0))
    return _rows(total, numerator="spent", denominator="persons")


def _measure(
    name: str, layer: Layer, unit: Unit, needs: tuple[str, ...], body: Callable[[Sources], ir.Table] | None, basis: str, *, interval: Interval = "none", absent: str = "source_missing"
) -> Measure:
    return Measure(name=name, layer=layer, unit=unit, needs=needs, body=body, basis=basis, interval=interval, absent=absent)


MEASURES: tuple[Measure, ...] = (
    _measure("revenue", "topline", "currency", ("orders",), revenue, "net value of orders, cancellations and returns taken off"),
    _measure(
        "clv",
        "topline",
        "currency",
        ("lifetime_values", "profiles", "orders"),
        customer_lifetime_value,
        "expected net present value of margin a customer",
        interval="given",
    ),
    _measure("arr", "topline", "currency", ("subscriptions",), recurring_revenue, "running subscriptions, a year's amount"),
    _measure("churn", "topline", "share", ("lifecycle_states", "orders"), churn, "customers dormant or former, of all who ever bought", interval="share"),
    _measure("cac", "topline", "currency", ("ad_spend", "orders"), acquisition_cost, "ad spend over new customers of the month"),
    _measure(
        "channel_roi", "topline", "ratio", ("ad_spend", "orders"), channel_return, "net revenue that names the channel over its spend: credit, not effect"
    ),
    _measure("retention", "topline", "share", ("orders",), retention, "buyers of a month who bought again within three months", interval="share"),
    _measure(
        "repeat_purchase_rate", "topline", "share", ("features", "orders"), repeat_purchase_rate, "buyers with purchases on two days or more", interval="share"
    ),
    _measure("acquisition_velocity", "topline", "count", ("orders",), acquisition_velocity, "new customers of the month"),
    _measure("incremental_revenue", "topline", "currency", ("experiment_results",), None, "revenue of a campaign over its hold-out", absent="no_experiment"),
    _measure(
        "attribution_accuracy", "topline", "share", ("experiment_results",), None, "attributed over experimentally measured effect", absent="no_experiment"
    ),
    _measure("content_consumption", "experience", "ratio", ("events", "sessions"), content_consumption, "page views a session"),
    _measure("engagement_rate", "experience", "share", ("events", "sessions"), engagement_rate, "sessions with two page views or more", interval="share"),
    _measure(
        "brand_lift",
        "experience",
        "share",
        ("survey_answers",),
        brand_lift,
        "recall of those who had seen the campaign, and of those who had not",
        interval="share",
    ),
    _measure("referral_lift", "experience", "share", ("referrals",), referral_lift, "referred people who bought", interval="share"),
    _measure("conversion_velocity", "experience", "days", ("orders", "sessions", "profiles"), conversion_velocity, "days from first sign to first purchase"),
    _measure("open_rate", "action", "share", ("campaign_messages",), open_rate, "messages opened, of those sent", interval="share"),
    _measure("click_rate", "action", "share", ("campaign_messages",), click_rate, "messages clicked, of those sent", interval="share"),
    _measure("conversion_rate", "action", "share", ("events", "sessions"), conversion_rate, "sessions with a purchase", interval="share"),
    _measure("reach", "action", "count", ("campaign_messages",), reach, "persons who were sent a message"),
    _measure("cost_per_activation", "action", "currency", ("ad_spend", "events"), activation_cost, "ad spend over persons who first signed in or bought"),
    _measure("trial_to_paid", "action", "share", ("subscriptions",), trial_to_paid, "trials that went on as paid contracts", interval="share"),
    _measure("opt_out_rate", "guardrail", "share", ("campaign_messages",), opt_out_rate, "messages answered by an unsubscribe", interval="share"),
    _measure("complaints", "guardrail", "share", ("campaign_messages",), complaint_rate, "messages marked as spam", interval="share"),
)
"""Every built-in measure, topline first."""
