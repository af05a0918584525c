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
from kundig.tables.unify import IDENTITIES, PERSON_DAYS
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
    reads=(ORDERS, ORDER_LINES, PRODUCTS, PERSON_DAYS, TICKETS, SURVEY_ANSWERS, SUBSCRIPTIONS, CAMPAIGN_MESSAGES, IDENTITIES),
    writes=FEATURES, by="person_key", due="due_at",
)  # fmt: skip
def features(
    orders: ir.Table, order_lines: ir.Table, products: ir.Table, person_days: ir.Table, tickets: ir.Table, survey_answers: ir.Table,
    subscriptions: ir.Table, campaign_messages: ir.Table, identities: ir.Table, *, as_of: dt.datetime, zone: str, costs: Costs,
) -> ir.Table:  # fmt: skip
    """One row for each person that identities know, also for those without any fact.

    Cancelled orders count nowhere; an order's net value has its returns taken off already. Records that carry nothing but a shared
    identifier, and guests whose identifier is no person's, are nobody's and appear nowhere.
    """
    today = local_day(as_of, zone)
    certain = identities.filter(~identities.shared)
    people = certain.select("person_key").distinct()
    kept = standing(orders)
    mine = of_persons(kept, identities)
    days = daily(mine)
    parts = [
        _bought(mine, days, order_lines, products, costs),
        _rhythm(days),
        _taste(kept, order_lines, products, identities),
        _visits(person_days, today, zone),
        _messages(of_persons(campaign_messages, identities), today, zone),
        _cases(of_persons(tickets, identities)),
        _answers(of_persons(survey_answers, identities)),
        _contracts(of_persons(subscriptions, identities), as_of),
    ]
    wide = functools.reduce(lambda left, right: left.left_join(right, "person_key").drop("person_key_right"), parts, people)
    firsts = [wide[name] for name in wide.columns if name.endswith("_first_at")]
    lasts = [wide[name] for name in wide.columns if name.endswith("_last_at")]
    dues = [wide[name] for name in wide.columns if name.endswith("_due_at")]
    counts = {name: wide[name].fill_null(0) for name in _COUNTS}
    amounts = {name: wide[name].fill_null(ibis.literal(0, type="decimal(38,4)")) for name in ("revenue", "net_revenue", "margin")}
    return wide.select(
        "person_key", "first_order_day", "last_order_day", "order_value", "first_order_value", "order_value_spread", "gap_days", "regularity",
        "returned_share", "discount_share", "top_category", "last_visit_day", "satisfaction", "nps",
        login_frequency=wide.logins.fill_null(0).cast("float64") / (WINDOWS["login_frequency"] / 30), first_fact_at=_least(firsts), last_fact_at=_greatest(lasts),
        due_at=_least(dues), **counts, **amounts,
    )  # fmt: skip


_COUNTS = (
    "orders", "purchase_days", "categories_seen", "visits_30", "visits_365", "messages_90", "opens_90", "clicks_90", "tickets", "open_cases", "subscriptions",
)  # fmt: skip


def _bought(mine: ir.Table, days: ir.Table, order_lines: ir.Table, products: ir.Table, costs: Costs) -> ir.Table:
    """Orders, money and margin of each person, and the value of purchase days."""
    costed = mine.left_join(_line_costs(order_lines, products, costs), "order_id").drop("order_id_right")
    rate = costed.net.cast("float64") * costs.goods_share
    cost = ibis.coalesce(costed.line_cost, costed.product_cost.cast("float64"), rate)
    costed = costed.mutate(earned=(costed.net.cast("float64") - cost).round(4).cast("decimal(38,4)"), given=costed.discount.fill_null(0).cast("decimal(38,4)"))
    money = costed.group_by("person_key").aggregate(
        orders=(costed.net > 0).sum().cast("int64"),
        revenue=costed.gross.sum().cast("decimal(38,4)"),
        net_revenue=costed.net.sum().cast("decimal(38,4)"),
        margin=costed.earned.sum().cast("decimal(38,4)"),
        discount=costed.given.sum().cast("decimal(38,4)"),
        bought_first_at=costed.occurred_at.min(),
        bought_last_at=costed.occurred_at.max(),
    )
    before = (money.net_revenue + money.discount).cast("float64")
    money = money.mutate(discount_share=ibis.ifelse(before > 0, money.discount.cast("float64") / before.nullif(0.0), ibis.null("float64"))).drop("discount")
    value = days.net.cast("float64")
    first = days.filter(days.local_day == days.local_day.min().over(group_by="person_key")).select("person_key", first_order_value=lambda t: t.net)
    spread = days.group_by("person_key").aggregate(
        purchase_days=days.count().cast("int64"),
        first_order_day=days.local_day.min(),
        last_order_day=days.local_day.max(),
        order_value=(value.sum() / days.count().cast("float64").nullif(0.0)).round(4).cast("decimal(18,4)"),
        deviation=value.std(how="pop"),
        mean=value.mean(),
    )
    spread = spread.mutate(order_value_spread=ibis.ifelse(spread.purchase_days > 1, (spread.deviation / spread["mean"].nullif(0.0)).round(9), ibis.null("float64")))
    joined = money.left_join(spread.drop("deviation", "mean"), "person_key").drop("person_key_right")
    return joined.left_join(first, "person_key").drop("person_key_right")


def _line_costs(order_lines: ir.Table, products: ir.Table, costs: Costs) -> ir.Table:
    """What the goods of each order cost: by line, else by catalogue, else by rate; what came back is taken off."""
    goods = order_lines.filter(order_lines.line_kind.fill_null("goods") == "goods").select("order_id", "product_id", "quantity", "net", "product_cost")
    known = products.filter(products.cost.notnull()).select("product_id", "cost")
    lines = goods.left_join(known, "product_id")
    quantity, sign = lines.quantity.cast("float64"), ibis.ifelse(lines.quantity < 0, -1.0, 1.0)
    by_line, by_catalogue = lines.product_cost.cast("float64").abs() * sign, lines.cost.cast("float64") * quantity
    cost = ibis.coalesce(by_line, by_catalogue, lines.net.cast("float64") * costs.goods_share)
    return lines.group_by("order_id").aggregate(line_cost=cost.sum())


def _rhythm(days: ir.Table) -> ir.Table:
    """Gaps between purchase days: their mean, and how regular they are."""
    window = ibis.window(group_by="person_key", order_by="local_day")
    gaps = days.mutate(gap=days.local_day.delta(days.local_day.lag().over(window), unit="day").cast("int64"))
    each = gaps.group_by("person_key").aggregate(
        gaps=gaps.gap.count().cast("int64"), total=gaps.gap.sum().cast("int64"), squares=(gaps.gap * gaps.gap).sum().cast("int64")
    )
    number = each.gaps.cast("float64").nullif(0.0)
    mean = each.total.cast("float64") / number
    variance = ibis.greatest(each.squares.cast("float64") / number - mean * mean, 0.0)
    steady = ibis.greatest(1.0 - variance.sqrt() / mean.nullif(0.0), 0.0)
    return each.select(
        "person_key", gap_days=mean.round(9), regularity=ibis.ifelse(each.gaps >= 2, steady.round(9), ibis.null("float64"))
    )


def _taste(kept: ir.Table, order_lines: ir.Table, products: ir.Table, identities: ir.Table) -> ir.Table:
    """Categories bought, the one bought most (by pieces; of several the first by name), and the share taken back."""
    who = of_persons(kept, identities).select("person_key", "order_id")
    goods = order_lines.filter(order_lines.line_kind.fill_null("goods") == "goods").select("order_id", "product_id", "quantity", "net")
    lines = who.inner_join(goods, "order_id").left_join(products.select("product_id", "category"), "product_id")
    lines = lines.select("person_key", "quantity", "net", category=ibis.ifelse(lines.category == "", ibis.null("string"), lines.category))
    back = lines.group_by("person_key").aggregate(
        bought=lines.net.sum(where=lines.net > 0).cast("float64"), back=(-lines.net).sum(where=lines.net < 0).cast("float64")
    )
    shares = back.select("person_key", returned_share=ibis.ifelse(back.bought > 0, (back.back.fill_null(0.0) / back.bought.nullif(0.0)).round(9), ibis.null("float64")))
    known = lines.filter(lines.category.notnull())
    each = known.group_by("person_key", "category").aggregate(pieces=known.quantity.sum().cast("decimal(38,4)"))
    taken = each.filter(each.pieces > 0)
    order = ibis.window(group_by="person_key", order_by=[ibis.desc("pieces"), "category"])
    ranked = taken.mutate(place=ibis.row_number().over(order))
    tastes = ranked.group_by("person_key").aggregate(
        categories_seen=ranked.count().cast("int64"), top_category=ranked.category.max(where=ranked.place == 0)
    )
    return shares.left_join(tastes, "person_key").drop("person_key_right")


def _visits(person_days: ir.Table, today: dt.date, zone: str) -> ir.Table:
    """Visit days and login days in their windows."""
    there = ~person_days.event.isin(NO_VISITS)
    for prefix in NO_VISIT_PREFIXES:
        there = there & ~person_days.event.startswith(prefix)
    seen = person_days.filter(there)
    each = seen.group_by("person_key", "local_day").aggregate(
        login=seen.event.isin(LOGINS).cast("int64").max(), first_at=seen.first_at.min(), last_at=seen.last_at.max()
    )
    month, year, quarter = (_inside(each.local_day, today, WINDOWS[name]) for name in ("visits_30", "visits_365", "login_frequency"))
    login = each.login == 1
    found = each.group_by("person_key").aggregate(
        visits_30=month.sum().cast("int64"), visits_365=year.sum().cast("int64"), logins=(quarter & login).sum().cast("int64"),
        last_visit_day=each.local_day.max(), visits_first_at=each.first_at.min(), visits_last_at=each.last_at.max(),
        old_30=each.local_day.min(where=month), old_365=each.local_day.min(where=year), old_90=each.local_day.min(where=quarter & login),
    )  # fmt: skip
    dues = [_leaves(found[name], days, today, zone) for name, days in (("old_30", 30), ("old_365", 365), ("old_90", 90))]
    return found.mutate(visits_due_at=_least(dues)).drop("old_30", "old_365", "old_90")


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
