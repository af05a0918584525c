"""A delivery: the release's members are queued, claimed with fresh facts, rendered and handed over."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
import uuid
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from kundig import gate, hooks, rules
from kundig.clock import now
from kundig.config.decide import Audience
from kundig.config.load import Config
from kundig.consent import suppression
from kundig.deliver.channels.email import Sender
from kundig.deliver.fresh import FreshGate, People, Release
from kundig.deliver.outbox import CONTENT, Claimed, Delivered, claim, claim_name, left_behind, message_ids, occasion, queue, resolve, settle
from kundig.deliver.rendering import Links, Renderer
from kundig.errors import ConfigError, Conflict, ContractError, StoreError
from kundig.hooks import Channel, Finishes
from kundig.rules.clauses import Holds, leaves
from kundig.store.state import State

if TYPE_CHECKING:
    from kundig.store.lake import Lake

FOLDER = "out/messages"
"""The place of connectors in the workspace; `files` writes its messages there."""

FILES = "files"
"""The connector that comes with kundig; its parts bear no connector's name."""

LINK_KEY = "KUNDIG_LINK_KEY"
"""Name of the secret that signs unsubscribe links; made at the first delivery where it is not set."""

VARIABLES = ("person_id", "first_name", "last_name", "company", "offer_code")
"""What a message carries of its person."""

BATCH = 10_000


def hand_over(lake: Lake, state: State, config: Config, *, at: dt.datetime | None = None, channel: Channel | None = None) -> Delivered:
    """Queue the newest release's members, ask the gate again at each claim, and hand over what it allows.

    What an earlier delivery left behind is settled first. Running it twice sends nothing twice. Messages go to the connector that
    channels.yaml names for their channel, opened once each; `channel`, where given, stands for the connector `files`.

    Raises:
        ContractError: No package registers a connector, or it cannot be opened with its settings.
        StoreError: There is no release yet, or the folder cannot be written.
        ConfigError: No sender is set although there is e-mail to send.
    """
    release = lake.release()
    if release is None:
        raise StoreError("there is nothing to deliver: no run has finished yet", mend="kundig run")
    moment = at or now()
    opened = _Opened(config, {FILES: channel} if channel is not None else {})
    done = Delivered()
    for connector, names in _by_connector(left_behind(state)).items():
        sent, again = resolve(state, opened[connector], at=moment, names=names)
        done.resolved_sent, done.resolved_again = done.resolved_sent + sent, done.resolved_again + again
    audiences = {name: audience for name, audience in config.audiences.items() if audience.active}
    asked = _requests(audiences, config, moment)
    members = _members(lake, release.snapshot_id, list(asked))
    facts = _identified(members, audiences, moment, config.settings.workspace.zone)
    done.queued = queue(state, _messages(facts, audiences), audiences=config.audiences, at=moment, run_id=release.run_id)
    creatives = {row["creative_id"]: row for row in lake.ibis("creatives", release.snapshot_id).to_pyarrow().to_pylist()}
    ask = FreshGate(
        state=state, requests=asked, facts=facts, creatives=creatives, people=_people(lake, release.snapshot_id, moment), purposes=config.purposes,
        release=Release(run_id=release.run_id, moment=release.moment, consents=_consents_seen(lake, release.snapshot_id, release.moment)), secret=_suppression_key(config, state),
    )  # fmt: skip
    ask.prepare()
    renderer = Renderer(creatives=creatives, sender=_sender(config, facts), links=Links(website=config.settings.brand.preferences or config.settings.brand.website, secret=link_key(config)))
    by_connector: dict[str, list[str]] = {}
    for name, one in sorted(config.channels.channels.items()):
        by_connector.setdefault(one.connector, []).append(name)
    others = [name for connector, names in by_connector.items() if connector != FILES for name in names]
    for connector in sorted({*by_connector, FILES}):
        mine = {"but": others} if connector == FILES else {"channels": by_connector[connector]}
        taker = opened[connector]
        _deliver(state, taker, connector, ask, renderer, done, run_id=release.run_id, at=moment, mine=mine)
        if isinstance(taker, Finishes):
            place = str(taker.finish(release.run_id))
            done.folder = place if connector == FILES else done.folder or place
    return done


class _Opened(dict[str, Channel]):
    """Connectors by name, each opened when it is first needed."""

    def __init__(self, config: Config, given: Mapping[str, Channel]) -> None:
        super().__init__(given)
        self.config = config

    def __missing__(self, connector: str) -> Channel:
        opens = hooks.named("channels", connector)
        given = self.config.channels.connectors.get(connector, {})
        settings = {name: self.config.secret(value) if isinstance(value, str) else value for name, value in given.items()}
        try:
            self[connector] = opens(folder=self.config.path(FOLDER), **settings)
        except TypeError as error:
            raise ContractError(f"the connector '{connector}' cannot be opened: {error}", at=f"channels.yaml, connectors.{connector}", mend="mend its settings") from error
        return self[connector]


def _by_connector(claims: list[str]) -> dict[str, list[str]]:
    """Claims by the connector that their part names.

    Examples:
        >>> _by_connector(["7/part-00000-ab", "7/pigeon.part-00001-cd"])
        {'files': ['7/part-00000-ab'], 'pigeon': ['7/pigeon.part-00001-cd']}
    """
    found: dict[str, list[str]] = {}
    for name in claims:
        connector, dot, _ = name.partition("/")[2].rpartition(".part-")
        found.setdefault(connector if dot else FILES, []).append(name)
    return found


def _deliver(
    state: State, channel: Channel, connector: str, ask: FreshGate, renderer: Renderer, done: Delivered, *, run_id: int, at: dt.datetime, mine: Mapping[str, Any]
) -> None:
    """Claim and render batch by batch, while the batch before is written and settled beside it."""
    prefix = "" if connector == FILES else f"{connector}."
    after, number = "", 0
    before: Future[None] | None = None
    with ThreadPoolExecutor(max_workers=1) as beside:
        while True:
            part = f"{prefix}part-{number:05d}-{uuid.uuid4().hex[:8]}"
            claimed = claim(state, ask, name=claim_name(run_id, part), at=at, limit=BATCH, after=after, **mine)
            if claimed.seen == 0:
                break
            after, number = claimed.last, number + 1
            done.refused.update(claimed.reasons)
            rendered, failed = renderer.render(claimed.rows, at=at)
            if before is not None:
                before.result()
            before = beside.submit(_write, state, channel, claimed, rendered, failed, done, run_id, part, at) if claimed.rows else None
        if before is not None:
            before.result()


def _write(
    state: State, channel: Channel, claimed: Claimed, rendered: list[Any], failed: dict[str, str], done: Delivered, run_id: int, part: str, at: dt.datetime
) -> None:
    if rendered:
        try:
            channel.hand_over(run_id, part, rendered)
        except Conflict:
            done.taken_back += len(claimed.rows)
            return
    done.sent += settle(state, claimed, at=at, failed=failed)
    done.failed += len(failed)
    done.by_channel.update(row["channel"] for row in claimed.rows if row["message_id"] not in failed)


def _requests(audiences: Mapping[str, Audience], config: Config, at: dt.datetime) -> dict[tuple[str, str], gate.Request]:
    """What is asked of the gate, by audience and channel; audiences whose scenario is gone ask nothing, and their messages are refused."""
    parsed = rules.audience_rules(audiences, config.rule_segments, rules.schema_of(config))
    found: dict[tuple[str, str], gate.Request] = {}
    for name, audience in audiences.items():
        policy = config.policies.get(audience.scenario)
        if policy is None:
            continue
        traits = {leaf.key for leaf in leaves(parsed[name].clause) if isinstance(leaf, Holds) and leaf.kind == "trait"}
        scenario = gate.Scenario.of(audience.scenario, policy, lineage=traits | set(audience.attributes))
        for channel in audience.channels:
            if channel in config.channels.channels:
                found[name, channel] = gate.Request.of(
                    purpose=audience.purpose, channel=channel, at=at, scenario=scenario, purposes=config.purposes, channels=config.channels, zone=config.settings.workspace.zone
                )  # fmt: skip
    return found


def _members(lake: Lake, snapshot: int, asked: list[tuple[str, str]]) -> pa.Table:
    """Members with what the gate was told of them, their address and names; only of the audiences and channels asked."""
    members = lake.ibis("audience_members", snapshot).select("audience", "person_key", "channel", "rank")
    facts = lake.ibis("gate_facts", snapshot).drop("changed_run")
    people = lake.ibis("profiles", snapshot).select("person_key", "person_id", "first_name", "last_name", "company")
    named = lake.ibis("identifiers", snapshot).select("value", address_key="identifier_key")
    joined = members.join(facts, ["audience", "person_key", "channel"]).join(people, "person_key").join(named, "address_key")
    wanted: Any = ibis.literal(False)
    for audience, channel in asked:
        wanted = wanted | ((joined.audience == audience) & (joined.channel == channel))
    return joined.filter(wanted).order_by("audience", "rank").to_pyarrow()


def _identified(members: pa.Table, audiences: Mapping[str, Audience], at: dt.datetime, zone: str) -> pa.Table:
    """The members with the key of their message (`message_id`); of several with one key the last."""
    keys: dict[str, int] = {}
    places: dict[str, list[int]] = {}
    for place, name in enumerate(members["audience"].to_pylist()):
        places.setdefault(name, []).append(place)
    for name, chosen in places.items():
        persons = members["person_key"].take(pa.array(chosen)).to_pylist()
        keys |= dict(zip(message_ids(name, persons, audiences[name].creative, occasion(audiences[name].occasion, at, zone)), chosen, strict=True))
    return members.take(pa.array(list(keys.values()), pa.int64())).append_column("message_id", pa.array(list(keys), pa.string()))


def _messages(facts: pa.Table, audiences: Mapping[str, Audience]) -> pa.Table:
    """The outbox rows of the members."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    given = [pc.fill_null(facts[name], "").to_pylist() for name in VARIABLES]
    made = {
        "address": facts["value"], "scenario": pa.array([audiences[name].scenario for name in facts["audience"].to_pylist()], pa.string()),
        "variables": pa.array([encode(dict(zip(VARIABLES, row, strict=True))) for row in zip(*given, strict=True)], pa.string()),
    }  # fmt: skip
    return pa.table({name: made[name] if name in made else facts[name] for name in CONTENT})


def _people(lake: Lake, snapshot: int, at: dt.datetime) -> People:
    """The members' identifiers at the moment (shared ones speak for nobody), and the parts that merges joined to them."""
    persons = lake.ibis("audience_members", snapshot).select("person_key").distinct()

    def identified() -> pa.Table:
        moment = ibis.literal(at, type="timestamp('UTC')")
        identities = lake.ibis("identities", snapshot)
        held = identities.filter(identities.valid_from <= moment, identities.valid_until.isnull() | (identities.valid_until > moment), ~identities.shared.fill_null(False))
        held = held.semi_join(persons, "person_key").select("identifier_key", "person_key")
        return held.join(lake.ibis("identifiers", snapshot).select("identifier_key", "namespace", "value"), "identifier_key").to_pyarrow()

    def merged() -> pa.Table:
        merges = lake.ibis("merges", snapshot)
        return merges.filter(merges.kind == "merge").semi_join(persons, "person_key").select("person_key", "other_key", "occurred_at").to_pyarrow()

    return People(identified=identified, merged=merged)


def _consents_seen(lake: Lake, snapshot: int, moment: dt.datetime) -> pa.ChunkedArray:
    """Ids of the records of consent that the release's fold has seen."""
    records = lake.ibis("consent_records", snapshot)
    then = ibis.literal(moment, type="timestamp('UTC')")
    return records.filter(records.received_at <= then, records.occurred_at <= then).select("record_id").to_pyarrow()["record_id"]


def known_link_key(config: Config) -> bytes | None:
    """The key that signs links; None where none is set, and then no link was made."""
    try:
        return config.secret(f"${{{LINK_KEY}}}").encode()
    except ConfigError:
        return None


def link_key(config: Config) -> bytes:
    """The key that signs links; where none is set, one is made and added to secrets.toml, which git ignores."""
    known = known_link_key(config)
    if known is None:
        path, made = config.path("secrets.toml"), secrets.token_hex(32)
        handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(f'{LINK_KEY} = "{made}"\n')
        return made.encode()
    return known


def _suppression_key(config: Config, state: State) -> bytes | None:
    return config.secret(suppression.SECRET).encode() if state.select("suppressions") else None


def _sender(config: Config, facts: pa.Table) -> Sender:
    brand = config.settings.brand
    if not brand.sender and "email" in facts["channel"].unique().to_pylist():
        raise ConfigError("no sender is set, and there is e-mail to send", at="kundig.toml, brand.sender", mend='set sender = "shop@example.org" in [brand]')
    return Sender(name=brand.name or config.settings.workspace.name, address=brand.sender)
