"""Consents: what people allowed, confirmed, withdrew and objected to, and what holds of it at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from kundig.simulate.people import People
from kundig.simulate.purchases import Purchases, daytime
from kundig.simulate.text import DAY, HOUR, MINUTE, Bools, Ints, berlin, berlin_moment, digits, hexes, local, local_day, mixed, pick, pool, rows, where
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Bundle, moment

STATUSES = ("given", "confirmed", "customer", "requested", "withdrawn", "objected")
"""In the order in which records of one minute count: the stricter, the later."""
GIVEN, CONFIRMED, CUSTOMER, REQUESTED, WITHDRAWN, OBJECTED = range(6)

SOURCES = ("Registrierung", "Kasse", "App", "Cookie-Hinweis", "Abmeldelink", "Kundenservice", "Beschwerde")

NEVER = 2**60


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One purpose on one channel, and what the shop's law says of it (its purposes.yaml says the same)."""

    purpose: str
    channel: str
    double_opt_in: bool = False
    expires_days: int | None = None
    customers: bool = False
    """Existing customers may be addressed without consent."""


LANES = (
    Lane(purpose="newsletter", channel="email", double_opt_in=True, expires_days=730, customers=True), Lane(purpose="newsletter", channel="push", expires_days=730),
    Lane(purpose="newsletter", channel="in_app", expires_days=730), Lane(purpose="newsletter", channel="sms", double_opt_in=True, expires_days=730), Lane(purpose="newsletter", channel="direct_mail"),
    Lane(purpose="personalisation", channel="web", expires_days=365), Lane(purpose="personalisation", channel="email", expires_days=730), Lane(purpose="analytics", channel="web", expires_days=365),
    Lane(purpose="advertising", channel="ad_audience", expires_days=365),
)  # fmt: skip
EMAIL, PUSH, IN_APP, SMS, LETTER, PERSONAL_WEB, PERSONAL_EMAIL, ANALYTICS, ADVERTISING = range(len(LANES))
NEWSLETTER = (EMAIL, PUSH, IN_APP, SMS, LETTER)


@dataclass
class Consents:
    """Records of one block, and in which spans of time each person may be sent newsletters."""

    person: list[Ints] = field(default_factory=list)
    at: list[Ints] = field(default_factory=list)
    status: list[Ints] = field(default_factory=list)
    lane: list[Ints] = field(default_factory=list)
    """Index of `LANES`; -1: the newsletter on every channel."""
    until: list[Ints] = field(default_factory=list)
    """Moment of lapsing the record itself names; -1: none."""
    source: list[Ints] = field(default_factory=list)
    allowed: dict[int, list[tuple[Ints, Ints]]] = field(default_factory=dict)
    """Per lane of the newsletter: pairs of begin and end."""

    def record(self, who: Ints, at: Ints, status: int, lane: int, source: int, until: Ints | None = None) -> None:
        """Add a record of each of these people, at moments cut to the minute, as the file tells them."""
        count = len(who)
        self.person.append(who)
        self.at.append(at // MINUTE * MINUTE)
        self.status.append(np.full(count, status))
        self.lane.append(np.full(count, lane))
        self.source.append(np.full(count, source))
        self.until.append(np.full(count, -1) if until is None else until)

    def may(self, lane: int, at: int) -> Bools:
        """Who may be written to at a moment."""
        spans = self.allowed[lane]
        found = (spans[0][0] <= at) & (spans[0][1] > at)
        for begin, end in spans[1:]:
            found = found | ((begin <= at) & (end > at))
        return found


def draw_consents(people: People, made: Purchases, span: Span, seed: int, block: int) -> Consents:
    """What people allow, withdraw and object to of their own accord; unsubscribing from messages is added later."""
    rng = stream(seed, block, "consents")
    count = len(people)
    everyone = np.arange(count)
    kept = Consents()

    def later(low: Ints, soonest: float, latest: float) -> Ints:
        moved = low + ((span.end - HOUR - low) * rng.uniform(soonest, latest, count)).astype(np.int64)
        return np.clip(daytime(moved, rng), low + HOUR, span.end - HOUR)

    def some(mask: Bools, share: float) -> Bools:
        return mask & (rng.random(count) < share)

    first = np.full(count, NEVER)
    first[made.person[::-1]] = made.at[::-1]
    begins = np.minimum(daytime(np.minimum(people.registered, span.end - 6 * HOUR), rng), span.end - 4 * HOUR)
    asks = np.where(people.customer, rng.random(count) < 0.68, rng.random(count) < 0.04)
    confirmed = some(asks, 0.9)
    limited = some(confirmed, 0.08)
    lapse = berlin_moment((berlin(begins) // DAY + rng.integers(60, 500, count)) * DAY)
    agreed = begins + rng.integers(2, 50, count) * MINUTE
    ends = np.where(limited, lapse, agreed + 730 * DAY)
    withdrawn = some(confirmed, 0.1)
    away = later(agreed, 0.05, 0.95)
    again = some(withdrawn, 0.2)
    back = later(away, 0.05, 0.9)
    objects = some(people.customer, 0.012)
    against = later(np.maximum(begins, span.start), 0.1, 0.99)
    cut = np.where(objects, against, NEVER)
    stops = np.where(withdrawn, np.minimum(away, ends), ends)
    kept.allowed[EMAIL] = [
        (np.where(confirmed, agreed, NEVER), np.minimum(stops, cut)), (np.where(again, back + 10 * MINUTE, NEVER), np.minimum(back + 730 * DAY, np.where(objects & (against > back), against, NEVER))),
    ]  # fmt: skip
    for mask, at, status, source, until in (
        (asks, begins, REQUESTED, 0, None), (confirmed, agreed, CONFIRMED, 0, np.where(limited, lapse, -1)), (withdrawn, away, WITHDRAWN, 5, None), (again, back, REQUESTED, 1, None),
        (again, back + 10 * MINUTE, CONFIRMED, 1, None), (some((first < NEVER) & people.customer, 0.7), np.where(first < NEVER, first, 0) + 5 * MINUTE, CUSTOMER, 1, None),
    ):  # fmt: skip
        kept.record(everyone[mask], at[mask], status, EMAIL, source, None if until is None else until[mask])
    kept.record(everyone[objects], against[objects], OBJECTED, -1, 5)
    for lane, mask, status, source, leaves in (
        (PUSH, some(people.app, 0.55), GIVEN, 2, 0.12), (IN_APP, some(people.app, 0.8), GIVEN, 2, 0.03), (SMS, some(people.account, 0.05), REQUESTED, 0, 0.05),
        (PERSONAL_WEB, some(people.customer, 0.45), GIVEN, 3, 0.06), (PERSONAL_EMAIL, some(asks, 0.6), GIVEN, 0, 0.05), (ANALYTICS, some(people.customer | (rng.random(count) < 0.3), 0.52), GIVEN, 3, 0.05),
        (ADVERTISING, some(people.customer, 0.3), GIVEN, 3, 0.08),
    ):  # fmt: skip
        kept.record(everyone[mask], begins[mask], status, lane, source)
        sure = some(mask, 0.85) if status == REQUESTED else mask
        if status == REQUESTED:
            kept.record(everyone[sure], begins[sure] + 12 * MINUTE, CONFIRMED, lane, source)
        gone = some(mask, leaves)
        left = later(begins, 0.05, 0.95)
        kept.record(everyone[gone], left[gone], WITHDRAWN, lane, 5)
        expires = LANES[lane].expires_days
        if lane in (PUSH, IN_APP) and expires is not None:
            kept.allowed[lane] = [(np.where(mask, begins, NEVER), np.minimum(np.where(gone, left, begins + expires * DAY), cut))]
    return kept


def write_consents(bundle: Bundle, people: People, kept: Consents, span: Span, block: int) -> None:
    """The file of records in order of time, and the truth of what holds at the end."""
    person, at, status, lane, until, source = (np.concatenate(parts) for parts in (kept.person, kept.at, kept.status, kept.lane, kept.until, kept.source))
    order = np.lexsort((lane, status, at))
    person, at, status, lane, until, source = (array[order] for array in (person, at, status, lane, until, source))
    count = len(person)
    chosen = pa.array(person)
    purposes, channels = pool([one.purpose for one in LANES] + ["newsletter"]), pool([one.channel for one in LANES] + ["*"])
    shown = np.where(lane < 0, len(LANES), lane)
    columns = {
        "Eintrag": rows(b"E", digits(block * 10_000_000 + np.arange(count), 12), count=count), "Zeitpunkt": local(at), "E-Mail": people.email.take(chosen), "Kundennummer": people.customer_numbers(person),
        "Zweck": pick(purposes, shown), "Kanal": pick(channels, shown), "Status": pick(pool(STATUSES), status), "Grundlage": where(status == CUSTOMER, "existing_customer", "consent"),
        "Gültig bis": where(until >= 0, local_day(np.maximum(until, 0))), "Fassung": where(at < _NEW_WORDING, "2024-03", "2025-01"), "Quelle": pick(pool(SOURCES), source),
        "Nachweis": rows(b"ip-", hexes(mixed(people.number[person], 77))[:, :12], count=count), "Land": where(people.swiss[person], "CH", "DE"),
    }  # fmt: skip
    bundle.table("consents/einwilligungen.csv", columns)
    reason, ends = _standing(len(people), person, at, status, lane, until, span.end)
    names = np.array(REASONS)
    flat = reason.ravel()
    bundle.keep(
        "consents",
        {
            "person": np.repeat(people.number, len(LANES)), "purpose": pick(pool([one.purpose for one in LANES]), np.tile(np.arange(len(LANES)), len(people))),
            "channel": pick(pool([one.channel for one in LANES]), np.tile(np.arange(len(LANES)), len(people))), "reason": pick(pool(names.tolist()), flat),
            "allowed": flat <= 1, "until": moment(np.minimum(ends.ravel(), 4_000_000_000_000_000), ends.ravel() >= NEVER),
        },
    )  # fmt: skip
    bundle.count(consents=count, **{f"consents_{name}": (status == number).sum() for number, name in enumerate(STATUSES)}, **{f"newsletter_email_{name}": (reason[:, EMAIL] == number).sum() for number, name in enumerate(REASONS)})


REASONS = ("consent_given", "existing_customer", "consent_pending", "consent_withdrawn", "objected", "consent_expired", "consent_missing")
_GIVEN, _KNOWN, _PENDING, _WITHDRAWN, _OBJECTED, _EXPIRED, _MISSING = range(7)


def _standing(people: int, person: Ints, at: Ints, status: Ints, lane: Ints, until: Ints, end: int) -> tuple[Ints, Ints]:
    """Reason per person and lane at a moment, and when what is allowed lapses: the records of each applied one by one, in their order."""
    everywhere = np.flatnonzero(lane < 0)
    who = np.concatenate([person, *[person[everywhere]] * len(NEWSLETTER)])
    spoken = np.concatenate([status, *[status[everywhere]] * len(NEWSLETTER)])
    when = np.concatenate([at, *[at[everywhere]] * len(NEWSLETTER)])
    where_to = np.concatenate([lane, *[np.full(len(everywhere), one) for one in NEWSLETTER]])
    own = np.concatenate([until, *[until[everywhere]] * len(NEWSLETTER)])
    cell = who * len(LANES) + where_to
    use = np.flatnonzero((where_to >= 0) & (when <= end))
    order = use[np.lexsort((spoken[use], when[use], cell[use]))]
    cell, spoken, when, own = cell[order], spoken[order], when[order], own[order]
    first = np.ones(len(cell), dtype=np.bool_)
    first[1:] = cell[1:] != cell[:-1]
    starts = np.flatnonzero(first)
    turn = np.arange(len(cell)) - np.repeat(starts, np.diff(np.append(starts, len(cell))))
    state, ends, sure = np.full(people * len(LANES), _MISSING), np.full(people * len(LANES), NEVER), np.zeros(people * len(LANES), dtype=np.bool_)
    confirms = np.array([one.double_opt_in for one in LANES])
    lasts = np.array([NEVER if one.expires_days is None else one.expires_days * DAY for one in LANES])
    for number in range(int(turn.max(initial=-1)) + 1):
        now = np.flatnonzero(turn == number)
        here, word, moment_ = cell[now], spoken[now], when[now]
        old = state[here]
        held = np.isin(old, (_GIVEN, _KNOWN)) & (ends[here] > moment_)
        needs = confirms[here % len(LANES)]
        says_yes = (word == CONFIRMED) | ((word == GIVEN) & (~needs | (held & sure[here])))
        asks = (word == REQUESTED) | ((word == GIVEN) & ~says_yes)
        new = old.copy()
        new = np.where(asks & ~held & (old != _OBJECTED), _PENDING, new)
        informed = (word == CUSTOMER) & ~np.isin(old, (_WITHDRAWN, _OBJECTED)) & ~(held & (old == _GIVEN))
        new = np.where(informed, _KNOWN, new)
        new = np.where(says_yes, _GIVEN, new)
        new = np.where((word == WITHDRAWN) & (old != _OBJECTED), _WITHDRAWN, new)
        new = np.where(word == OBJECTED, _OBJECTED, new)
        lasting = np.where(own[now] >= 0, own[now], np.minimum(moment_ + lasts[here % len(LANES)], NEVER))
        ends[here] = np.where(says_yes, lasting, np.where(informed, NEVER, np.where(new == old, ends[here], NEVER)))
        sure[here] = np.where(says_yes, (word == CONFIRMED) | sure[here], np.where(new == old, sure[here], False))
        state[here] = new
    lapsed = np.isin(state, (_GIVEN, _KNOWN)) & (ends <= end)
    return np.where(lapsed, _EXPIRED, state).reshape(people, len(LANES)), ends.reshape(people, len(LANES))


_NEW_WORDING = 1_735_686_000_000_000
"""1 January 2025 in Berlin."""
