"""The gate: may this person be addressed for this purpose, on this channel, now, and why (not)?

One pure function that audiences, the live path and the claim of an outbox row ask, each with the freshest facts it has. It asks in
this order, and the first no is the answer:

1. erased, suppressed, or restricted (kept, but not used)
2. objection (beats every basis, on every channel; only a consent given to a channel later lifts it there)
3. legal basis of purpose × channel
4. scenario approved, channel in it, no forbidden attribute in its lineage
5. creative approved and not stale
6. rolling caps over all channels, then of the channel; quiet hours by the clock on the person's wall
7. offer valid and in stock
8. address deliverable

What is unknown is a no.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.clock import instant, micros
from kundig.config.law import Cap, ChannelRule, Channels, Policy, Purposes, Quiet
from kundig.errors import ContractError, nearest

Answers = Mapping[str, Any]
Creative = Literal["approved", "draft", "rejected", "stale", "missing", "none"]
Address = Literal["deliverable", "missing", "undeliverable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A targeting scenario, as far as the gate asks: `forbidden` are the attributes found in its lineage that it may not use."""

    name: str
    approved: bool = False
    channels: tuple[str, ...] = ()
    legitimate_interest: bool = False
    similar_goods: bool = False
    forbidden: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, policy: Policy, *, lineage: Iterable[str] = ()) -> Scenario:
        """The scenario of a file `policies/<name>.yaml`; `lineage` names the attributes that the selection rests on."""
        return cls(
            name=name, approved=policy.approved, channels=policy.channels, legitimate_interest=policy.legitimate_interest,
            similar_goods=policy.similar_goods, forbidden=policy.refused(lineage),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is asked for, the same for a whole audience; `Request.of` fills it from the workspace's files."""

    purpose: str
    channel: str
    at: dt.datetime
    scenario: Scenario
    rule: ChannelRule | None
    caps: tuple[Cap, ...] = ()
    channel_caps: tuple[Cap, ...] = ()
    quiet: Quiet | None = None
    zone: str = "Europe/Berlin"
    needs_creative: bool = True

    @classmethod
    def of(
        cls, *, purpose: str, channel: str, at: dt.datetime, scenario: Scenario, purposes: Purposes, channels: Channels, zone: str = "Europe/Berlin", needs_creative: bool = True
    ) -> Request:
        """The request for a purpose on a channel, with the rules of purposes.yaml and channels.yaml; `zone` is used for people whose own is unknown."""
        known = purposes.purposes.get(purpose)
        capped = known is None or known.capped
        own = channels.channels.get(channel)
        return cls(
            purpose=purpose, channel=channel, at=at, scenario=scenario, rule=purposes.rule(purpose, channel), caps=channels.caps if capped else (),
            channel_caps=own.caps if capped and own is not None else (), quiet=channels.quiet_of(channel) if capped else None, zone=zone, needs_creative=needs_creative,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known of one person, fresh as of the request's moment; each field is a column of the table that `decide_many` takes.

    `consent_*` is the standing of the request's purpose × channel in table `consents`; `objected` says that it stands objected there,
    as the fold has it, or that the suppression list holds an objection. `double_opt_in` is for consents that no fold has judged (the fold holds them pending until they are
    confirmed): false is a no where the rule asks for it. `messages_*` count over all channels, `channel_*` on the request's. `offer_valid` is null where no offer
    is made, `offer_stock` null where it is not limited; `zone` null where it is not known.
    """

    erased: bool = False
    suppressed: bool = False
    restricted: bool = False
    objected: bool = False
    consent_status: str = "missing"
    consent_basis: str | None = None
    consent_until: dt.datetime | None = None
    double_opt_in: bool | None = None
    last_order_at: dt.datetime | None = None
    contract_until: dt.datetime | None = None
    creative: str = "missing"
    messages_24h: int = 0
    messages_7d: int = 0
    messages_30d: int = 0
    channel_24h: int = 0
    channel_7d: int = 0
    channel_30d: int = 0
    zone: str | None = None
    offer_valid: bool | None = None
    offer_stock: int | None = None
    address: str = "missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The gate's answer: `reason` is a code of `reasons`, `evidence` fills its sentence."""

    allow: bool
    reason: str
    evidence: Answers = field(default_factory=dict)


def decide(request: Request, facts: Facts) -> Decision:
    """Whether one person may be addressed, with the first reason against it, or the basis that allows it.

    Examples:
        >>> at = dt.datetime(2026, 3, 3, 12, tzinfo=dt.UTC)
        >>> rule = ChannelRule(bases=("consent",))
        >>> request = Request(purpose="newsletter", channel="email", at=at, scenario=Scenario(name="win_back", approved=True, channels=("email",)), rule=rule)
        >>> decide(request, Facts(consent_status="withdrawn")).reason
        'consent_withdrawn'
        >>> decide(request, Facts(consent_status="given", consent_basis="consent", creative="approved", address="deliverable")).reason
        'consent_given'
    """
    if facts.erased:
        return _no("erased")
    if facts.suppressed:
        return _no("suppressed")
    if facts.restricted:
        return _no("restricted")
    if facts.objected or facts.consent_status == "objected":
        return _no("objected")
    basis = _basis(request, facts)
    if not basis.allow:
        return basis
    return _scenario(request) or _creative(request, facts) or _pressure(request, facts) or _offer(facts) or _address(request, facts) or basis


def _no(reason: str, **evidence: Any) -> Decision:
    return Decision(allow=False, reason=reason, evidence=evidence)


def _basis(request: Request, facts: Facts) -> Decision:
    """The first legal basis that holds, else why the first one that is spoken of does not."""
    where = {"purpose": request.purpose, "channel": request.channel}
    rule, name = request.rule, request.scenario.name
    if rule is None:
        return _no("purpose_undeclared", **where)
    if facts.consent_status == "withdrawn":
        return _no("consent_withdrawn", **where)
    given = facts.consent_status == "given" and (facts.consent_until is None or facts.consent_until > request.at)
    refusals: list[Decision] = []
    for basis in rule.bases:
        if basis == "consent":
            sure = not rule.double_opt_in or facts.double_opt_in is not False
            if given and sure and facts.consent_basis == "consent":
                return Decision(allow=True, reason="consent_given", evidence=where)
            refusals.append(_no(_consent_refusal(facts, given=given, sure=sure), **where))
        elif basis == "existing_customer":
            if given and facts.consent_basis == "existing_customer":
                if facts.last_order_at is None or facts.last_order_at < request.at - dt.timedelta(days=rule.customer_days):
                    refusals.insert(0, _no("customer_lapsed", days=rule.customer_days))
                elif not request.scenario.similar_goods:
                    refusals.insert(0, _no("goods_not_similar", scenario=name))
                else:
                    return Decision(allow=True, reason="existing_customer", evidence={"days": rule.customer_days})
        elif basis == "contract":
            if (given and facts.consent_basis == "contract") or (facts.contract_until is not None and facts.contract_until > request.at):
                return Decision(allow=True, reason="contract")
            refusals.append(_no("contract_missing"))
        elif request.scenario.legitimate_interest:
            return Decision(allow=True, reason="legitimate_interest", evidence={"scenario": name})
        else:
            refusals.append(_no("legitimate_interest_not_allowed", scenario=name))
    return refusals[0] if refusals else _no("consent_missing", **where)


def _consent_refusal(facts: Facts, *, given: bool, sure: bool) -> str:
    spoken = facts.consent_status == "given" and facts.consent_basis == "consent"
    if facts.consent_status == "pending" or (given and spoken and not sure):
        return "consent_pending"
    return "consent_expired" if spoken and not given else "consent_missing"


def _scenario(request: Request) -> Decision | None:
    scenario = request.scenario
    if not scenario.approved:
        return _no("scenario_not_approved", scenario=scenario.name)
    if request.channel not in scenario.channels:
        return _no("channel_not_in_scenario", scenario=scenario.name, channel=request.channel)
    if scenario.forbidden:
        return _no("forbidden_attribute", attributes=list(scenario.forbidden))
    return None


def _creative(request: Request, facts: Facts) -> Decision | None:
    if not request.needs_creative or facts.creative == "approved":
        return None
    reason = {"stale": "creative_stale", "missing": "creative_missing", "none": "creative_missing"}.get(facts.creative, "creative_not_approved")
    return _no(reason, channel=request.channel)


def _pressure(request: Request, facts: Facts) -> Decision | None:
    everywhere = {1: facts.messages_24h, 7: facts.messages_7d, 30: facts.messages_30d}
    here = {1: facts.channel_24h, 7: facts.channel_7d, 30: facts.channel_30d}
    for caps, heard in ((request.caps, everywhere), (request.channel_caps, here)):
        for cap in caps:
            if heard[cap.days] >= cap.most:
                return _no("cap_reached", days=cap.days, most=cap.most)
    if request.quiet is not None:
        zone = facts.zone if facts.zone is not None and _exists(facts.zone) else request.zone
        until = quiet_until(request.at, request.quiet, zone)
        if until is not None:
            return _no("quiet_hours", until=f"{until.astimezone(_zone(zone)):%H:%M}", zone=zone, ends=until.isoformat())
    return None


def _offer(facts: Facts) -> Decision | None:
    if facts.offer_valid is None:
        return None
    if not facts.offer_valid:
        return _no("offer_invalid")
    return _no("offer_out_of_stock") if facts.offer_stock is not None and facts.offer_stock <= 0 else None


def _address(request: Request, facts: Facts) -> Decision | None:
    if facts.address == "deliverable":
        return None
    return _no("address_missing" if facts.address == "missing" else "address_undeliverable", channel=request.channel)


@lru_cache(maxsize=4_096)
def quiet_until(at: dt.datetime, quiet: Quiet, zone: str) -> dt.datetime | None:
    """When the quiet hours end that hold at a moment, in UTC; None where none hold.

    The night begins when the clock on the wall first shows `from` and ends when it last shows `until`: in the night in which an
    hour comes twice nobody is woken in between, and where an hour is left out its end counts.

    Examples:
        >>> night = Quiet(**{"from": "22:00", "until": "02:30"})
        >>> [quiet_until(dt.datetime(2026, 10, 25, 1, minute, tzinfo=dt.UTC), night, "Europe/Berlin") is not None for minute in (0, 29, 30)]
        [True, True, False]
        >>> quiet_until(dt.datetime(2026, 3, 29, 0, 30, tzinfo=dt.UTC), night, "Europe/Berlin").isoformat()
        '2026-03-29T01:00:00+00:00'
    """
    if quiet.start == quiet.end:
        return None
    today = at.astimezone(_zone(zone)).date()
    over_night = quiet.end < quiet.start
    ends = []
    for shift in (-1, 0, 1):
        day = today + dt.timedelta(days=shift)
        begins = _wall(day, quiet.start, zone, last=False)
        end = _wall(day + dt.timedelta(days=int(over_night)), quiet.end, zone, last=True)
        if begins <= at < end:
            ends.append(end)
    return max(ends, default=None)


def _wall(day: dt.date, time: dt.time, zone: str, *, last: bool) -> dt.datetime:
    """When the clock on the wall shows a time: the first or last moment, or the end of the gap where it never does."""
    local = dt.datetime.combine(day, time, _zone(zone))
    early, late = (local.replace(fold=number).astimezone(dt.UTC) for number in (0, 1))
    if early <= late:
        return late if last else early
    low, high = micros(late), micros(early)  # a gap: it starts between the two, and the first moment past it reads at least `time`
    while high - low > 1:
        middle = (low + high) // 2
        if instant(middle).astimezone(_zone(zone)).replace(tzinfo=None) < dt.datetime.combine(day, time):
            low = middle
        else:
            high = middle
    return instant(high)


@lru_cache(maxsize=4_096)
def _exists(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return False
    return True


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


COLUMNS = tuple(one.name for one in fields(Facts))
"""Columns that the table of facts may have, beside `person_key`; one that is left out has the default of `Facts`."""

DECIDED = pa.schema([("person_key", pa.int64()), ("allow", pa.bool_()), ("reason", pa.string()), ("evidence", pa.string())])


def decide_many(request: Request, facts: pa.Table) -> pa.Table:
    """The gate's answer for each row of `facts`: person_key, allow, reason, evidence (JSON), in the same order.

    Persons are grouped by what the gate compares (moments become the comparison they are used in, counts stop at the cap), and
    `decide` is asked once per group: the same function, so the same answers.

    Raises:
        ContractError: A column that is no fact.
    """
    unknown = sorted(set(facts.column_names) - {"person_key", *COLUMNS})
    if unknown:
        raise ContractError(f"'{unknown[0]}' is no fact", at="gate.decide_many", mend=nearest(unknown[0], COLUMNS, most=30))
    size = facts.num_rows
    if size == 0:
        return DECIDED.empty_table()
    given = [name for name in COLUMNS if name in facts.column_names]
    code, kinds = np.zeros(size, np.int64), 1
    for name in given:
        part = _compared(request, name, facts[name])
        width = int(part.max()) + 1
        if kinds * width >= 2**62:
            code = np.unique(code, return_inverse=True)[1].astype(np.int64)
            kinds = int(code.max()) + 1
        code, kinds = code * width + part, kinds * width
    _, first, group = np.unique(code, return_index=True, return_inverse=True)
    known: dict[str, Any] = {one.name: one.default for one in fields(Facts)}
    answers = [decide(request, _facts(row, known)) for row in facts.select(given).take(pa.array(first)).to_pylist()]
    place = pa.array(group)
    return pa.table(
        {
            "person_key": facts["person_key"].cast(pa.int64()),
            "allow": pa.array([answer.allow for answer in answers]).take(place),
            "reason": pa.array([answer.reason for answer in answers]).take(place),
            "evidence": pa.array([json.dumps(answer.evidence, ensure_ascii=False, sort_keys=True) for answer in answers]).take(place),
        },
        schema=DECIDED,
    )


def _facts(row: dict[str, Any], defaults: Mapping[str, Any]) -> Facts:
    """Facts of a row; a null where a fact cannot be null is its default, which is the strict one, and an unknown yes or no is a yes to what forbids."""
    forbidding = ("erased", "suppressed", "restricted", "objected")
    filled: dict[str, Any] = {name: (name in forbidding or defaults[name]) if value is None else value for name, value in row.items()}
    return Facts(**filled)


def _compared(request: Request, name: str, column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A column as small whole numbers, equal exactly where the gate cannot tell two rows apart."""
    if name in ("consent_until", "contract_until"):
        return _after(column, request.at)
    if name == "last_order_at":
        days = 0 if request.rule is None else request.rule.customer_days
        return _after(column, request.at - dt.timedelta(days=days) - dt.timedelta(microseconds=1))
    if name.startswith(("messages_", "channel_")):
        window = {"24h": 1, "7d": 7, "30d": 30}[name.rpartition("_")[2]]
        caps = request.caps if name.startswith("messages_") else request.channel_caps
        most = max((cap.most for cap in caps if cap.days == window), default=0)
        counted = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
        return np.asarray(np.clip(counted, 0, most), np.int64)
    if name == "offer_stock":
        return _plain(pc.greater(column.cast(pa.int64()), 0))
    return _plain(column)


def _after(column: pa.ChunkedArray, moment: dt.datetime) -> np.ndarray[Any, np.dtype[np.int64]]:
    return _plain(pc.greater(column.cast(pa.timestamp("us", tz="UTC")), pa.scalar(moment, pa.timestamp("us", tz="UTC"))))


def _plain(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Codes of the values; null is one of them."""
    coded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return np.asarray(coded.indices.to_numpy(zero_copy_only=False), np.int64)
