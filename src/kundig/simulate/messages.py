"""Messages sent and what came of them: with the true effect of variants and of contact pressure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from kundig.simulate.consents import EMAIL, IN_APP, PUSH, WITHDRAWN, Consents
from kundig.simulate.people import PERSONAS, People
from kundig.simulate.shop import CAUSES, Orders
from kundig.simulate.text import DAY, HOUR, MINUTE, SECOND, Bools, Floats, Ints, berlin, berlin_moment, digits, iso, pick, pool, rows, where
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Bundle

CHANNELS = ("email", "push", "in_app")
_LANE = (EMAIL, PUSH, IN_APP)
OPEN = (0.30, 0.12, 0.45)
CLICK, UNSUBSCRIBE, COMPLAIN, DEAD = 0.12, 0.0022, 0.0003, 0.012
VARIANT_LIFT = 0.20
"""Variant b is opened a fifth more often."""
FATIGUE = 0.10
"""Each other message of the seven days before lowers the chance to open: times exp(-0.1)."""
INTENSIVE = 0.1
"""Share of people, drawn at random, who get three newsletters where others get one."""
TIRED_AFTER = 3
"""Bounces after which the tool stops writing."""


@dataclass(frozen=True, kw_only=True)
class Sends:
    """Messages of one block, in the order of sending; moments are -1 where nothing happened."""

    person: Ints
    at: Ints
    channel: Ints
    campaign: Ints
    variant_b: Bools
    bounced: Bools
    opened: Ints
    clicked: Ints
    unsubscribed: Ints
    complained: Ints

    def __len__(self) -> int:
        return len(self.person)

    def opened_mails(self) -> tuple[Ints, Ints, Ints]:
        """Index, person and moment of opened e-mails, by person and moment."""
        which = np.flatnonzero((self.channel == 0) & (self.opened >= 0))
        order = which[np.lexsort((self.opened[which], self.person[which]))]
        return order, self.person[order], self.opened[order]


def sensitivity(people: People, seed: int, block: int) -> tuple[Floats, Bools]:
    """True response to contact pressure (each other message of the week multiplies the chance to unsubscribe by its exponential), and who is in the intensive arm."""
    rng = stream(seed, block, "pressure")
    spread = rng.gamma(2.0, 0.25, len(people)) * np.where(people.persona == 1, 0.7, 1.1)
    return spread, rng.random(len(people)) < INTENSIVE


def calendar(span: Span) -> list[tuple[int, int, int, bool]]:
    """Campaigns of a span: number, channel, moment of the first message, and whether only the intensive arm gets it."""
    found = []
    first = int(berlin(np.array([span.start]))[0] // DAY)
    for number, day in enumerate(range(first + 9, first + span.days - 4, 14)):
        for channel, ahead, hour, extra in ((0, 0, 9, False), (0, 2, 9, True), (0, 4, 9, True), (1, 1, 17, False), (2, 3, 12, False)):
            if channel and number % 2:
                continue
            found.append((number, channel, int(berlin_moment(np.array([(day + ahead) * DAY + hour * HOUR]))[0]), extra))
    return found


def draw_sends(people: People, kept: Consents, span: Span, seed: int, block: int) -> Sends:
    """Newsletters every two weeks to those who allow them, push and in-app notes every four; adds the unsubscribed to the consents."""
    rng = stream(seed, block, "messages")
    count = len(people)
    weight, intensive = sensitivity(people, seed, block)
    liking = np.array([one.opens for one in PERSONAS])[people.persona]
    dead = rng.random(count) < DEAD
    bounces = np.zeros(count, dtype=np.int64)
    stopped = np.full((len(CHANNELS), count), span.end + DAY)
    recent = np.full((4, count), -DAY * 100)
    made: list[list[Any]] = [[] for _ in range(10)]
    for campaign, channel, first, extra in calendar(span):
        at = first + rng.integers(0, 2 * HOUR // SECOND, count) * SECOND
        goes = kept.may(_LANE[channel], first) & (stopped[channel] > first) & (intensive if extra else True)
        if channel == 0:
            goes &= bounces < TIRED_AFTER
        pressure = (recent > first - 7 * DAY).sum(axis=0)
        variant = rng.random(count) < 0.5
        bounced = goes & dead if channel == 0 else np.zeros(count, dtype=np.bool_)
        reached = goes & ~bounced
        opened = reached & (rng.random(count) < np.minimum(OPEN[channel] * liking * np.where(variant, 1 + VARIANT_LIFT, 1.0) * np.exp(-FATIGUE * pressure), 0.95))
        delay = np.minimum(rng.exponential(5.0, count), 40.0)
        clicked = opened & (rng.random(count) < CLICK)
        leaves = reached & (rng.random(count) < np.minimum(UNSUBSCRIBE * np.exp(weight * pressure), 0.5))
        complains = reached & ~leaves & (channel == 0) & (rng.random(count) < COMPLAIN)
        seen = at + MINUTE + (delay * HOUR).astype(np.int64)
        quits = np.minimum(seen + 2 * MINUTE, span.end - MINUTE)
        bounces += bounced
        who = np.flatnonzero(goes)
        stopped[channel] = np.where(leaves | complains, np.minimum(stopped[channel], quits), stopped[channel])
        recent = np.where(goes, np.vstack([at, recent[:-1]]), recent)
        outcome = (
            who, at[who], np.full(len(who), channel), np.full(len(who), campaign), variant[who], bounced[who], np.where(opened, seen, -1)[who],
            np.where(clicked, seen + 20 * SECOND, -1)[who], np.where(leaves, quits, -1)[who], np.where(complains, quits, -1)[who],
        )  # fmt: skip
        for part, values in zip(made, outcome, strict=True):
            part.append(values)
        gone = np.flatnonzero(leaves | complains)
        for mask, source in ((leaves[gone], 4), (complains[gone], 6)):
            kept.record(gone[mask], quits[gone[mask]], WITHDRAWN, _LANE[channel], source)
    names = ("person", "at", "channel", "campaign", "variant_b", "bounced", "opened", "clicked", "unsubscribed", "complained")
    columns: dict[str, Any] = {name: np.concatenate(part) for name, part in zip(names, made, strict=True)}
    return Sends(**columns)


def with_caused_clicks(sends: Sends, index: Ints, orders: Orders) -> Sends:
    """The messages with a click on each that made somebody order: the last one opened before the order.

    `index` are the opened e-mails by person and moment of opening.
    """
    caused = np.flatnonzero(orders.cause == CAUSES.index("email"))
    clicked = sends.clicked.copy()
    width = 4_000 * DAY // SECOND
    start = int(sends.opened[index].min()) if len(index) else 0
    keys = sends.person[index] * width + (sends.opened[index] - start) // SECOND
    place = np.searchsorted(keys, orders.person[caused] * width + (orders.at[caused] - start) // SECOND) - 1
    which = index[place]
    at = np.maximum(sends.opened[which] + SECOND, orders.at[caused] - 40 * MINUTE)
    clicked[which] = np.where(clicked[which] >= 0, np.minimum(clicked[which], at), at)
    return replace(sends, clicked=clicked)


def write_sends(bundle: Bundle, people: People, sends: Sends, span: Span, block: int) -> None:
    """The files of sends and of outcomes."""
    count = len(sends)
    names = pool([f"newsletter-{number:02d}" for number in range(int(sends.campaign.max(initial=0)) + 1)])
    columns = {
        "message_id": rows(b"M", digits(block * 100_000_000 + np.arange(count), 13), count=count), "sent_at": iso(sends.at), "customer_id": people.customer_numbers(sends.person),
        "email": people.email.take(pa.array(sends.person)), "channel": pick(pool(CHANNELS), sends.channel), "campaign": pick(names, sends.campaign), "variant": where(sends.variant_b, "b", "a"),
    }  # fmt: skip
    bundle.table("email/sends.csv", columns, delimiter=",")
    planted = {}
    for outcome, at in (
        ("delivered", np.where(sends.bounced, -1, sends.at + 5 * SECOND)), ("bounced", np.where(sends.bounced, sends.at + 4 * SECOND, -1)), ("opened", sends.opened), ("clicked", sends.clicked),
        ("unsubscribed", sends.unsubscribed), ("complained", sends.complained),
    ):  # fmt: skip
        which = np.flatnonzero((at >= 0) & (at <= span.end))
        planted[f"messages_{outcome}"] = len(which)
        chosen = pa.array(which)
        rest = {name: column.take(chosen) for name, column in columns.items() if name not in ("message_id", "sent_at")}
        table = {"message_id": columns["message_id"].take(chosen), "at": iso(at[which]), "outcome": pool([outcome] * len(which)), **rest}
        bundle.table("email/outcomes.csv", table, delimiter=",")
    bundle.count(sends=count, outcomes=sum(planted.values()), **planted)
