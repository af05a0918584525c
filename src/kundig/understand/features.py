"""Features: what each person did, as numbers; the axes of segments, the lifecycle and the value models read them.

Nothing here drifts from day to day. A row holds facts (orders, cases), the first and last day of things, and counts over windows of
whole local days; how many days ago something was is arithmetic of who reads it. So a row changes only for three reasons: a fact of
the person came, a window let a day go (`due_at` says when that next happens), or the catalogue changed.
"""

from __future__ import annotations

import datetime as dt
import functools

import ibis
import ibis.expr.types as ir

from kundig.clock import local_day, micros, midnight
from kundig.config.understand import Costs
from kundig.schema import step
from kundig.tables.collect import CAMPAIGN_MESSAGES, ORDER_LINES, ORDERS, PRODUCTS, SUBSCRIPTIONS, SURVEY_ANSWERS, TICKETS
from kundig.tables.understand import FEATURES
from kundig.tables.unify import IDENTITIES, PERSON_DAYS, PROFILES
from kundig.understand.purchases import daily, of_persons, standing

LOGINS = ("login", "logged_in", "signed_in", "sign_in", "user_logged_in", "user_signed_in")
"""Events that are a login."""
NO_VISITS = (
    "order_completed", "order_cancelled", "order_refunded", "order_updated", "order_shipped", "identify", "group", "alias", "consent_given",
    "consent_withdrawn", "unsubscribed", "subscription_started", "subscription_renewed", "subscription_ended",
)  # fmt: skip
"""Events that happen without the person being there."""
NO_VISIT_PREFIXES = ("email_", "push_", "sms_", "message_", "letter_", "ticket_")
"""So begin the names of events about messages and cases, which are no visits either."""
WINDOWS = {"visits_30": 30, "visits_365": 365, "login_frequency": 90, "messages_90": 90, "opens_90": 90, "clicks_90": 90}
"""Days of each window; a window of n days holds the as-of moment's local day and the n - 1 before it."""

Moment = "timestamp('UTC', 6)"


@step(
    reads=(ORDERS, ORDER_LINES, PRODUCTS, PERSON_DAYS, TICKETS, SURVEY_ANSWERS, SUBSCRIPTIONS, CAMPAIGN_MESSAGES, IDENTITIES, PROFILES),
    writes=FEATURES, by="person_key", due="due_at",
)  # fmt: skip
def features(
    orders: ir.Table, order_lines: ir.Table, products: ir.Table, person_days: ir.Table, tickets: ir.Table, survey_answers: ir.Table,
    subscriptions: ir.Table, campaign_messages: ir.Table, identities: ir.Table, profiles: ir.Table, *, as_of: dt.datetime, zone: str, costs: Costs,
) -> ir.Table:  # fmt: skip
    """One row for each person that identities know, also for those without any fact.

    Cancelled orders count nowhere; an order's net value has its returns taken off already. Records that carry nothing but a shared
    identifier, and guests whose identifier is no person's, are nobody's and appear nowhere.
    """
    people = identities.filter(~identities.shared).select("person_key").distinct()
    parts = parts_of(orders, order_lines, products, person_days, tickets, survey_answers, subscriptions, campaign_messages, identities, as_of=as_of, zone=zone, costs=costs)
    parts.append(profiles.select("person_key", "acquisition_channel"))
    wide = functools.reduce(lambda left, right: left.left_join(right, "person_key").drop("person_key_right"), parts, people)
    firsts = [wide[name] for name in wide.columns if name.endswith("_first_at")]
    lasts = [wide[name] for name in wide.columns if name.endswith("_last_at")]
    dues = [wide[name] for name in wide.columns if name.endswith("_due_at")]
    counts = {name: wide[name].fill_null(0) for name in _COUNTS}
    amounts = {name: wide[name].fill_null(ibis.literal(0, type="decimal(38,4)")) for name in ("revenue", "net_revenue")}
    margin = amounts["net_revenue"].cast("float64") - wide.line_cost.fill_null(0.0) - wide.other_cost.fill_null(0.0)
    return wide.select(
        "person_key", "first_order_day", "last_order_day", "order_value", "first_order_value", "order_value_spread", "gap_days", "regularity",
        "returned_share", "discount_share", "top_category", "last_visit_day", "satisfaction", "nps", "acquisition_channel",
        login_frequency=wide.logins.fill_null(0).cast("float64") / (WINDOWS["login_frequency"] / 30), first_fact_at=_least(firsts), last_fact_at=_greatest(lasts),
        margin=margin.round(4).cast("decimal(38,4)"), due_at=_least(dues), **counts, **amounts,
    )  # fmt: skip


def parts_of(
    orders: ir.Table, order_lines: ir.Table, products: ir.Table, person_days: ir.Table, tickets: ir.Table, survey_answers: ir.Table,
    subscriptions: ir.Table, campaign_messages: ir.Table, identities: ir.Table, *, as_of: dt.datetime, zone: str, costs: Costs,
) -> list[ir.Table]:  # fmt: skip
    """What features are joined from: tables of one row a person, for those of whom there is something to say."""
    today = local_day(as_of, zone)
    mine = of_persons(standing(orders), identities)
    return [
        _bought(mine),
        _days(daily(mine)),
        _goods(mine, order_lines, products, costs),
        _without_lines(mine, order_lines, costs),
        _visits(person_days, today, zone),
        _messages(of_persons(campaign_messages, identities), today, zone),
        _cases(of_persons(tickets, identities)),
        _answers(of_persons(survey_answers, identities)),
        _contracts(of_persons(subscriptions, identities), as_of),
    ]


_COUNTS = (
    "orders", "purchase_days", "categories_seen", "visits_30", "visits_365", "messages_90", "opens_90", "clicks_90", "tickets", "open_cases", "subscriptions",
)  # fmt: skip


def _bought(mine: ir.Table) -> ir.Table:
    """Orders and money of each person."""
    money = mine.group_by("person_key").aggregate(
        orders=(mine.net > 0).sum().cast("int64"), revenue=mine.gross.sum().cast("decimal(38,4)"), net_revenue=mine.net.sum().cast("decimal(38,4)"),
        discount=mine.discount.sum().cast("decimal(38,4)").fill_null(ibis.literal(0, type="decimal(38,4)")),
        bought_first_at=mine.occurred_at.min(), bought_last_at=mine.occurred_at.max(),
    )  # fmt: skip
    before = (money.net_revenue + money.discount).cast("float64")
    share = ibis.ifelse(before > 0, (money.discount.cast("float64") / before.nullif(0.0)).round(9), ibis.null("float64"))
    return money.mutate(discount_share=share).drop("discount")


def _days(days: ir.Table) -> ir.Table:
    """Value of purchase days, the gaps between them, and how regular these are."""
    window = ibis.window(group_by="person_key", order_by="local_day")
    gapped = days.mutate(gap=days.local_day.delta(days.local_day.lag().over(window), unit="day").cast("int64"), value=days.net.cast("float64"))
    each = gapped.group_by("person_key").aggregate(
        purchase_days=gapped.count().cast("int64"), first_order_day=gapped.local_day.min(), last_order_day=gapped.local_day.max(),
        total=gapped.net.sum().cast("decimal(38,4)"), first_order_value=gapped.net.argmin(gapped.local_day), deviation=gapped.value.std(how="pop"),
        squares=(gapped.gap * gapped.gap).sum().cast("int64"),
    )  # fmt: skip
    number, gaps = each.purchase_days.cast("float64"), (each.purchase_days - 1).cast("float64").nullif(0.0)
    value = each.total.cast("float64") / number.nullif(0.0)
    mean = each.last_order_day.delta(each.first_order_day, unit="day").cast("float64") / gaps
    variance = ibis.greatest(each.squares.cast("float64") / gaps - mean * mean, 0.0)
    steady = ibis.greatest(1.0 - variance.sqrt() / mean.nullif(0.0), 0.0)
    nothing = ibis.null("float64")
    return each.select(
        "person_key", "purchase_days", "first_order_day", "last_order_day", "first_order_value", order_value=value.round(4).cast("decimal(18,4)"),
        order_value_spread=ibis.ifelse(each.purchase_days >= 2, (each.deviation / value.nullif(0.0)).round(9), nothing),
        gap_days=mean.round(9), regularity=ibis.ifelse(each.purchase_days >= 3, steady.round(9), nothing),
    )  # fmt: skip


def _goods(mine: ir.Table, order_lines: ir.Table, products: ir.Table, costs: Costs) -> ir.Table:
    """What the goods cost (by line, else by catalogue, else by rate; what came back is taken off), the share taken back, and the categories bought."""
    lines = _goods_lines(order_lines).left_join(products.select("product_id", "category", "cost"), "product_id")
    quantity, net = lines.quantity.cast("float64"), lines.net.cast("float64")
    by_line = lines.product_cost.cast("float64").abs() * ibis.ifelse(quantity < 0, -1.0, 1.0)
    paid = ibis.coalesce(by_line, lines.cost.cast("float64") * quantity, net * costs.goods_share)
    lines = lines.select("order_id", "quantity", category=lines.category.fill_null(""), net=net, paid=paid)
    by_order = lines.group_by("order_id", "category").aggregate(
        pieces=lines.quantity.sum().cast("decimal(38,4)"), paid=lines.paid.sum(),
        bought=ibis.ifelse(lines.net > 0, lines.net, 0.0).sum(), back=ibis.ifelse(lines.net < 0, -lines.net, 0.0).sum(),
    )  # fmt: skip
    sold = by_order.inner_join(mine.select("order_id", "person_key"), "order_id")
    each = sold.group_by("person_key", "category").aggregate(
        pieces=sold.pieces.sum().cast("decimal(38,4)"), paid=sold.paid.sum(), bought=sold.bought.sum(), back=sold.back.sum()
    )
    each = each.mutate(taken=(each.category != "") & (each.pieces > 0))
    most = ibis.window(group_by=["person_key", "taken"], order_by=[ibis.desc("pieces"), "category"])
    ranked = each.mutate(place=ibis.row_number().over(most))
    found = ranked.group_by("person_key").aggregate(
        line_cost=ranked.paid.sum(), bought=ranked.bought.sum(), back=ranked.back.sum(), categories_seen=ranked.taken.sum().cast("int64"),
        top_category=ranked.category.max(where=ranked.taken & (ranked.place == 0)),
    )  # fmt: skip
    share = ibis.ifelse(found.bought > 0, (found.back / found.bought.nullif(0.0)).round(9), ibis.null("float64"))
    return found.mutate(returned_share=share).drop("bought", "back")


def _without_lines(mine: ir.Table, order_lines: ir.Table, costs: Costs) -> ir.Table:
    """Cost of orders of which no line of goods is known: the order's own, else by rate."""
    lone = mine.anti_join(_goods_lines(order_lines), "order_id")
    cost = ibis.coalesce(lone.product_cost.cast("float64"), lone.net.cast("float64") * costs.goods_share)
    return lone.group_by("person_key").aggregate(other_cost=cost.sum())


def _goods_lines(order_lines: ir.Table) -> ir.Table:
    kept = order_lines.filter(order_lines.line_kind.fill_null("goods") == "goods")
    return kept.select("order_id", "product_id", "quantity", "net", "product_cost")


def visited(person_days: ir.Table) -> ir.BooleanValue:
    """Whether a row of `person_days` says that the person was there."""
    there = ~person_days.event.isin(NO_VISITS)
    for prefix in NO_VISIT_PREFIXES:
        there &= ~person_days.event.startswith(prefix)
    return there


def _visits(person_days: ir.Table, today: dt.date, zone: str) -> ir.Table:
    """Visit days and login days in their windows."""
    seen = person_days.filter(visited(person_days))
    each = seen.group_by("person_key", "local_day").aggregate(
        login=seen.event.isin(LOGINS).cast("int64").max(), first_at=seen.first_at.min(), last_at=seen.last_at.max()
    )
    year, month = _inside(each.local_day, today, WINDOWS["visits_365"]), _inside(each.local_day, today, WINDOWS["visits_30"])
    login = _inside(each.local_day, today, WINDOWS["login_frequency"]) & (each.login == 1)
    counted = each.group_by("person_key").aggregate(
        last_visit_day=each.local_day.max(), visits_first_at=each.first_at.min(), visits_last_at=each.last_at.max(),
        visits_30=month.sum().cast("int64"), visits_365=year.sum().cast("int64"), logins=login.sum().cast("int64"),
        old_30=each.local_day.min(where=month), old_365=each.local_day.min(where=year), old_90=each.local_day.min(where=login),
    )  # fmt: skip
    dues = [_leaves(counted[name], days, today, zone) for name, days in (("old_30", 30), ("old_365", 365), ("old_90", 90))]
    return counted.mutate(visits_due_at=_least(dues)).drop("old_30", "old_365", "old_90")


def _messages(sent: ir.Table, today: dt.date, zone: str) -> ir.Table:
    """Messages of the last 90 days, and what came of them."""
    days = WINDOWS["messages_90"]
    inside = _inside(sent.local_day, today, days)
    counted = sent.outcome.isin(["sent", "opened", "clicked"])
    found = sent.group_by("person_key").aggregate(
        messages_90=(inside & (sent.outcome == "sent")).sum().cast("int64"), opens_90=(inside & (sent.outcome == "opened")).sum().cast("int64"),
        clicks_90=(inside & (sent.outcome == "clicked")).sum().cast("int64"), oldest=sent.local_day.min(where=inside & counted),
        messages_first_at=sent.occurred_at.min(), messages_last_at=sent.occurred_at.max(),
    )  # fmt: skip
    return found.mutate(messages_due_at=_leaves(found.oldest, days, today, zone)).drop("oldest")


def _cases(cases: ir.Table) -> ir.Table:
    """Support cases and how satisfied they left the person."""
    return cases.group_by("person_key").aggregate(
        tickets=cases.count().cast("int64"), open_cases=(cases.status == "open").sum().cast("int64"), satisfaction=cases.satisfaction.cast("float64").mean().round(9),
        cases_first_at=cases.occurred_at.min(), cases_last_at=cases.occurred_at.max(),
    )  # fmt: skip


def _answers(answers: ir.Table) -> ir.Table:
    """The newest answer to a question about recommending us."""
    question = answers.question.fill_null("").lower() + ibis.literal(" ") + answers.survey.fill_null("").lower()
    asked = answers.mutate(is_nps=question.contains("nps") & answers.score.notnull())
    newest = ibis.window(group_by=["person_key", "is_nps"], order_by=[ibis.desc("occurred_at"), ibis.desc("answer_id")])
    ranked = asked.mutate(place=ibis.row_number().over(newest))
    return ranked.group_by("person_key").aggregate(
        nps=ranked.score.cast("float64").max(where=ranked.is_nps & (ranked.place == 0)),
        answers_first_at=ranked.occurred_at.min(), answers_last_at=ranked.occurred_at.max(),
    )  # fmt: skip


def _contracts(contracts: ir.Table, as_of: dt.datetime) -> ir.Table:
    """Contracts that run at the moment; they begin and end by time alone."""
    now = ibis.literal(as_of, type=Moment)
    running = (contracts.started_at <= now) & (contracts.ended_at.isnull() | (contracts.ended_at > now))
    starts = contracts.started_at.min(where=contracts.started_at > now)
    ends = contracts.ended_at.min(where=contracts.ended_at > now)
    found = contracts.group_by("person_key").aggregate(
        subscriptions=running.sum().cast("int64"), starts=starts, ends=ends, contracts_first_at=contracts.occurred_at.min(), contracts_last_at=contracts.occurred_at.max()
    )
    return found.mutate(contracts_due_at=_least([found.starts, found.ends])).drop("starts", "ends")


def _inside(day: ir.Value, today: dt.date, days: int) -> ir.Value:
    return (day > _date(today - dt.timedelta(days=days))).fill_null(False)


def _date(day: dt.date) -> ir.Value:
    return ibis.literal(day.isoformat()).cast("date")


def _leaves(oldest: ir.Value, days: int, today: dt.date, zone: str) -> ir.Value:
    """The local midnight at which a window's oldest day leaves it; null where the window is empty."""
    return midnights(oldest, zone, today - dt.timedelta(days=days), plus=days, until=today)


def midnights(day: ir.Value, zone: str, first: dt.date, *, plus: int = 0, until: dt.date) -> ir.Value:
    """The first instant, UTC, of the local day `plus` days after a day between `first` and `until`.

    Midnights differ from UTC's by a whole number of seconds that changes at clock changes alone, so the days between two changes make one case.
    """
    span = (until - first).days
    offsets = [_offset(first + dt.timedelta(days=number + plus), zone) for number in range(span + 1)]
    changes = [number for number in range(1, span + 1) if offsets[number] != offsets[number - 1]]
    start = day.cast(Moment)

    def moved(number: int) -> ir.Value:
        return start + ibis.interval(seconds=plus * 86_400 + offsets[number])

    cases = [(day < _date(first + dt.timedelta(days=number)), moved(number - 1)) for number in changes]
    return ibis.cases(*cases, else_=moved(span)) if cases else moved(span)


def _offset(day: dt.date, zone: str) -> int:
    utc = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
    return (micros(midnight(day, zone)) - micros(utc)) // 1_000_000


def _least(moments: list[ir.Value]) -> ir.Value:
    """The earliest of moments some of which are null; null where all are."""
    return _extreme(moments, ibis.least)


def _greatest(moments: list[ir.Value]) -> ir.Value:
    return _extreme(moments, ibis.greatest)


def _extreme(moments: list[ir.Value], choose: object) -> ir.Value:
    assert callable(choose)
    anyone = ibis.coalesce(*moments)
    return choose(*[ibis.coalesce(moment, anyone) for moment in moments])
