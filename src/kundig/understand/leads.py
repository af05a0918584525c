"""Leads: how well each fits a persona that people tell, how engaged it is, and what came of leads alike.

Before anything came of a lead, the score is fit × engagement: an order, not a probability. Each feedback of sales pulls it towards the share won among
leads alike, first of the same persona and fit, then of the same source too, then of the same engagement too: (won + k · before) / (feedbacks + k) at each
level, the m-estimate of Cestnik (1990), with k from leads.yaml. So few feedbacks change little, and a group of which nothing is known stays with its kin.
"""

from __future__ import annotations

import datetime as dt
import functools
import operator
from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from kundig.clock import local_day
from kundig.config.leads import LeadScoring
from kundig.config.personas import Answers, Said
from kundig.config.traits import Trait
from kundig.config.unify import ProfileRules
from kundig.schema import step
from kundig.store.engines.portable import local_time
from kundig.tables.collect import CONTACTS, DEALS
from kundig.tables.understand import FEATURES, LEAD_LOG, LEAD_RATES, LEAD_SCORES, TRAITS
from kundig.tables.unify import IDENTITIES, PERSON_DAYS, PROFILES
from kundig.understand.features import midnights
from kundig.understand.personas.knowing import LISTS, among, known
from kundig.understand.personas.steps import declared
from kundig.understand.purchases import of_persons

CLOSED = ("won", "lost", "wrong_fit")
"""Feedback: what ends the work on a lead. `wrong_fit` counts as not won."""
BANDS = ((2 / 3, "high"), (1 / 3, "middle"))
LEVELS = ("fit", "source", "band")
MOMENT = "timestamp('UTC', 6)"
BY = {"fit": ("persona", "fit_band"), "source": ("persona", "fit_band", "source"), "band": ("persona", "fit_band", "source", "band")}
"""What leads of a level have in common."""


@step(reads=(PROFILES, FEATURES, TRAITS, PERSON_DAYS, CONTACTS, DEALS, IDENTITIES, LEAD_LOG), writes=LEAD_RATES, needs=("persona_answers",))
def lead_rates(
    person_rows: ir.Table, features: ir.Table, trait_values: ir.Table, person_days: ir.Table, contacts: ir.Table, deals: ir.Table, identities: ir.Table, lead_log: ir.Table,
    *, zone: str, lead_scoring: LeadScoring, persona_answers: Mapping[str, Answers], profiles: ProfileRules, traits: Mapping[str, Trait],
) -> ir.Table:  # fmt: skip
    """What came of leads, at three levels of likeness.

    Engagement counts up to the day on which sales took the lead over (the deal's beginning, else the log's first entry of the person), so that what a customer does later
    teaches nothing. A lead of whom nothing came yet is not counted, neither as won nor as lost.
    """
    leads = fitted(person_rows, features, trait_values, person_days, contacts, identities, zone=zone, asked=chosen(lead_scoring, persona_answers), names=declared(profiles, traits))
    ended = outcomes(deals, lead_log, identities)
    closed = leads.inner_join(ended, "person_key")
    days = person_days.inner_join(ended, "person_key")
    until = local_time(days.taken_at, zone).date()
    days = days.filter(days.local_day <= until, days.local_day > until - ibis.interval(days=lead_scoring.window_days))
    cells = engaged(closed, _points(days, lead_scoring), lead_scoring)
    parts = []
    for level in LEVELS:
        counted = cells.group_by(*BY[level]).aggregate(feedbacks=cells.count().cast("int64"), won=cells.is_won.sum().cast("int64"))
        blank = {name: ibis.literal("") for name in ("source", "band") if name not in BY[level]}
        parts.append(counted.mutate(level=ibis.literal(level), **blank).select("level", "persona", "fit_band", "source", "band", "feedbacks", "won"))
    return functools.reduce(lambda above, below: above.union(below, distinct=False), parts)


@step(
    reads=(PROFILES, FEATURES, TRAITS, PERSON_DAYS, CONTACTS, DEALS, IDENTITIES, LEAD_LOG, LEAD_RATES), writes=LEAD_SCORES, by="person_key", due="due_at", needs=("persona_answers",),
)  # fmt: skip
def lead_scores(
    person_rows: ir.Table, features: ir.Table, trait_values: ir.Table, person_days: ir.Table, contacts: ir.Table, deals: ir.Table, identities: ir.Table, lead_log: ir.Table, rates: ir.Table,
    *, as_of: dt.datetime, zone: str, lead_scoring: LeadScoring, persona_answers: Mapping[str, Answers], profiles: ProfileRules, traits: Mapping[str, Trait],
) -> ir.Table:  # fmt: skip
    """One row for each lead: fit with its grounds, engagement, score, and who has it."""
    leads = fitted(person_rows, features, trait_values, person_days, contacts, identities, zone=zone, asked=chosen(lead_scoring, persona_answers), names=declared(profiles, traits))
    today = local_day(as_of, zone)
    first = today - dt.timedelta(days=lead_scoring.window_days)
    inside = person_days.filter(person_days.local_day > ibis.literal(first.isoformat()).cast("date"), person_days.local_day <= ibis.literal(today.isoformat()).cast("date"))
    points = _points(inside, lead_scoring)
    points = points.mutate(due_at=midnights(points.oldest, zone, first, plus=lead_scoring.window_days, until=today))
    scored = corrected(engaged(leads, points, lead_scoring), rates, lead_scoring)
    return _handed(scored, deals, lead_log, identities)


def chosen(setting: LeadScoring, answers: Mapping[str, Answers]) -> dict[str, Mapping[str, Said]]:
    """What each persona that leads are held against asks: those of leads.yaml in its order, else all told of leads."""
    names = setting.personas or tuple(sorted(name for name, one in answers.items() if one.population == "leads"))
    return {name: answers[name].who for name in names}


def fitted(
    person_rows: ir.Table, features: ir.Table, trait_values: ir.Table, person_days: ir.Table, contacts: ir.Table, identities: ir.Table,
    *, zone: str, asked: Mapping[str, Mapping[str, Said]], names: Mapping[str, str],
) -> ir.Table:  # fmt: skip
    """Each lead with the persona it fits best, the first named one among equals, and what of it holds, does not hold, or is not known."""
    wide = among(known(person_rows, features, trait_values, person_days, zone=zone, declared=names), "leads")
    seen = person_rows.select("person_key", "first_seen_at")
    wide = wide.left_join(seen, "person_key").drop("person_key_right").left_join(_arrivals(contacts, identities), "person_key").drop("person_key_right")
    keep = {"arrived_at": ibis.coalesce(wide.arrived_at, wide.first_seen_at), "source": wide.source.fill_null("")}
    if not asked:
        return wide.select("person_key", **keep, persona=ibis.literal(""), fit=ibis.literal(0.0), fit_band=ibis.literal(0.0), met=ibis.literal(""), unmet=ibis.literal(""), unknown=ibis.literal(""))
    tests = {(name, about): _holds(wide, about, said) for name, who in asked.items() for about, said in who.items()}
    shares = {name: functools.reduce(operator.add, [tests[name, about].fill_null(False).cast("int64") for about in who]).cast("float64") / float(len(who)) for name, who in asked.items()}
    best = functools.reduce(lambda one, other: ibis.greatest(one, other), shares.values())
    told = {}
    for kind, wanted in (("met", True), ("unmet", False), ("unknown", None)):
        texts = {name: functools.reduce(operator.add, [ibis.ifelse(_is(tests[name, about], wanted), ibis.literal(f"{about},"), ibis.literal("")) for about in who]) for name, who in asked.items()}
        told[kind] = ibis.cases(*((shares[name] == best, texts[name]) for name in asked), else_=ibis.literal(""))
    persona = ibis.ifelse(best > 0, ibis.cases(*((shares[name] == best, ibis.literal(name)) for name in asked), else_=ibis.literal("")), ibis.literal(""))
    return wide.select("person_key", **keep, persona=persona, fit=best.round(9), fit_band=(best * 4.0 + 1e-9).floor().cast("float64") / 4.0, **told)


def _is(test: ir.Value, wanted: bool | None) -> ir.Value:
    held = test.cast("int64")  # Spark parses no predicate of a predicate: x IN (…) = TRUE
    return held.isnull() if wanted is None else (held == int(wanted)).fill_null(False)


def _holds(wide: ir.Table, about: str, said: Said) -> ir.Value:
    """Whether it holds; null where it is not known."""
    if about not in wide.columns:
        return ibis.null("bool")
    column = wide[about]
    if said.one_of and about in LISTS:
        return ibis.ifelse(column.isnull(), ibis.null("bool"), functools.reduce(operator.or_, [column.contains(value).fill_null(False) for value in said.one_of]))
    if said.one_of:
        return column.cast("string").isin(said.one_of)
    number = ibis.ifelse(column.re_search(r"^-?\d+(\.\d+)?$"), column, ibis.null("string")).cast("float64") if column.type().is_string() else column.cast("float64")
    bounds = [*([] if said.at_least is None else [number >= said.at_least]), *([] if said.less_than is None else [number < said.less_than])]
    return functools.reduce(operator.and_, bounds)


def _arrivals(contacts: ir.Table, identities: ir.Table) -> ir.Table:
    """First lead record of a person, and the source of the newest."""
    mine = of_persons(contacts.filter(contacts.kind == "lead"), identities)
    ranked = mine.mutate(place=ibis.row_number().over(ibis.window(group_by="person_key", order_by=[ibis.desc("occurred_at"), ibis.desc("contact_id")])))
    return ranked.group_by("person_key").aggregate(arrived_at=ranked.occurred_at.min(), source=ranked.lead_source.max(where=ranked.place == 0))


def _points(days: ir.Table, setting: LeadScoring) -> ir.Table:
    """Points of these days, and the oldest that brings any."""
    each = {name: points for name, points in sorted(setting.points.items()) if points > 0}
    counted = days.filter(days.event.isin(list(each) or [""]))
    worth = ibis.cases(*((counted.event == name, ibis.literal(points)) for name, points in each.items()), else_=0.0) if each else ibis.literal(0.0)
    counted = counted.mutate(worth=worth * counted["count"].cast("float64"))
    return counted.group_by("person_key").aggregate(points=counted.worth.sum().round(6), oldest=counted.local_day.min())


def engaged(leads: ir.Table, points: ir.Table, setting: LeadScoring) -> ir.Table:
    """The leads with engagement and its band; who did nothing has a little of it, so that fit alone still tells such leads apart."""
    beside = leads.left_join(points, "person_key").drop("person_key_right")
    beside = beside.mutate(points=beside.points.fill_null(0.0))
    share = ((beside.points + 1.0) / (beside.points + 1.0 + setting.half)).round(9)
    return beside.mutate(engagement=share, band=ibis.cases(*((share >= bound, ibis.literal(name)) for bound, name in BANDS), else_=ibis.literal("low")))


def corrected(leads: ir.Table, rates: ir.Table, setting: LeadScoring) -> ir.Table:
    """The leads with `prior`, `score`, and the feedbacks on those alike."""
    found = leads.mutate(prior=(leads.fit * leads.engagement).round(9))
    for level in LEVELS:
        here = rates.filter(rates.level == level).select(*BY[level], **{f"n_{level}": rates.feedbacks, f"w_{level}": rates.won})
        found = found.left_join(here, [*BY[level]])
        found = found.drop(*(f"{name}_right" for name in BY[level]))
    score = found.prior
    for level in LEVELS:
        score = (found[f"w_{level}"].fill_null(0).cast("float64") + setting.pooling * score) / (found[f"n_{level}"].fill_null(0).cast("float64") + setting.pooling)
    rate = (found.w_band.cast("float64") / found.n_band.nullif(0).cast("float64")).round(9)
    made = found.mutate(score=score.round(9), feedbacks=found.n_band.fill_null(0).cast("int64"), rate=rate)
    return made.drop(*(f"{letter}_{level}" for level in LEVELS for letter in ("n", "w")))


def outcomes(deals: ir.Table, lead_log: ir.Table, identities: ir.Table) -> ir.Table:
    """Persons of whom sales know what came: `is_won` by the newest word, `ended_at`, and `taken_at`, when sales took the lead over."""
    business = of_persons(deals, identities)
    entries = of_persons(lead_log, identities)
    shut = business.filter(business.stage.isin(["won", "lost"]), business.closed_at.notnull())
    said = entries.filter(entries.status.isin(CLOSED))
    both = shut.select("person_key", at=shut.closed_at.cast(MOMENT), is_won=shut.stage == "won", id=shut.deal_id).union(said.select("person_key", at=said.occurred_at.cast(MOMENT), is_won=said.status == "won", id=said.entry_id))
    ranked = both.mutate(place=ibis.row_number().over(ibis.window(group_by="person_key", order_by=[ibis.desc("at"), ibis.desc("id")])))
    last = ranked.filter(ranked.place == 0).select("person_key", "is_won", ended_at="at")
    starts = business.select("person_key", at=business.occurred_at.cast(MOMENT)).union(entries.select("person_key", at=entries.occurred_at.cast(MOMENT)))
    taken = starts.group_by("person_key").aggregate(taken_at=starts["at"].min())
    return last.inner_join(taken, "person_key").mutate(is_won=ibis._.is_won.cast("int64"))


def _handed(leads: ir.Table, deals: ir.Table, lead_log: ir.Table, identities: ir.Table) -> ir.Table:
    """The leads with owner and status: the log's, else what the newest deal tells."""
    entries = of_persons(lead_log, identities)
    newest = ibis.window(group_by="person_key", order_by=[ibis.desc("entry_id")])
    ranked = entries.mutate(place=ibis.row_number().over(newest))
    owned = entries.filter(entries.owner.notnull())
    owned = owned.mutate(place=ibis.row_number().over(newest))
    status = ranked.filter(ranked.place == 0).select("person_key", said="status")
    owner = owned.filter(owned.place == 0).select("person_key", "owner")
    business = of_persons(deals, identities)
    business = business.mutate(place=ibis.row_number().over(ibis.window(group_by="person_key", order_by=[ibis.desc("occurred_at"), ibis.desc("deal_id")])))
    stage = business.filter(business.place == 0).select("person_key", "stage")
    for other in (status, owner, stage):
        leads = leads.left_join(other, "person_key").drop("person_key_right")
    return leads.mutate(status=ibis.coalesce(leads.said, ibis.ifelse(leads.stage == "open", ibis.literal("deal"), leads.stage), ibis.literal("new")))
