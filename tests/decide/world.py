"""A small world for tests of `decide`: rows as plain dicts, the steps run one after the other as the pipeline would."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import ibis
import pyarrow as pa

from kundig.config.create import Brief
from kundig.config.decide import Audience, Offers
from kundig.config.law import Channels, Policy, Purposes
from kundig.decide.audiences import audience_members
from kundig.decide.deciding import decisions
from kundig.decide.facts import gate_facts
from kundig.store.engines.session import arrow_schema
from kundig.tables import ALL

AS_OF = dt.datetime(2026, 11, 3, 11, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
PURPOSES = Purposes.model_validate(
    {"purposes": {"newsletter": {"channels": {"email": {"bases": ["consent", "existing_customer"], "customer_days": 730}, "push": {"bases": ["consent"]}}}}}
)
CHANNELS = Channels.model_validate(
    {
        "caps": [{"days": 7, "most": 3}], "quiet": {"from": "21:00", "until": "08:00"},
        "channels": {"email": {"namespace": "email", "disturbs": False, "cost": 0.01}, "push": {"namespace": "push_token", "cost": 0.001}},
    }
)  # fmt: skip
POLICY = Policy.model_validate({"purpose": "newsletter", "channels": ["email", "push"], "similar_goods": True, "approval": {"role": "crm_manager", "reason": "ok"}})


def rows(name, dicts):
    table = ALL[name]
    return pa.Table.from_pylist([{column: row.get(column) for column in table.names} for row in dicts], schema=arrow_schema(table))


def audience(**changes):
    plain = {"meaning": "x", "rule": {"everyone": True}, "purpose": "newsletter", "channels": ["email", "push"], "scenario": "win_back", "creative": "win_back"}
    return Audience.model_validate(plain | changes)


class World:
    """Tables as lists of dicts; `person` fills the usual rows of one."""

    def __init__(self):
        self.tables = {name: [] for name in (
            "audience_candidates", "creatives", "consents", "contact_pressure", "orders", "subscriptions", "identities", "identifiers", "campaign_messages", "stock_levels", "suppressions",
        )}  # fmt: skip
        self.audiences = {"win_back": audience()}
        self.offers = Offers()
        self.matrix = [{"segment_id": "s1", "offer_code": ""}]
        self.policies = {"win_back": POLICY}
        self.secrets = {"${KUNDIG_SUPPRESSION_KEY}": "key"}
        for channel in ("email", "push"):
            for locale in ("de", "en"):
                self.creative(channel, locale)

    def creative(self, channel, locale, status="approved", variant="a", creative="win_back"):
        row = {"creative_id": f"{creative}.s1.{channel}.{locale}.{variant}", "creative": creative, "segment_id": "s1", "channel": channel, "locale": locale, "variant": variant, "status": status}
        self.tables["creatives"] = [known for known in self.tables["creatives"] if known["creative_id"] != row["creative_id"]] + [row]

    def person(self, key, *, audience="win_back", segment="s1", locale="de", priority=0.0, value=0, email=True, push=True, consents=("email", "push"), **consent):
        self.tables["audience_candidates"].append({"audience": audience, "person_key": key, "segment_id": segment, "locale": locale, "priority": priority, "value": value})
        for namespace, there, text in (("email", email, f"p{key}@example.org"), ("push_token", push, f"token{key}")):
            if there:
                identifier = key * 10 + (1 if namespace == "email" else 2)
                self.tables["identifiers"].append({"identifier_key": identifier, "namespace": namespace, "value": there if isinstance(there, str) else text})
                self.tables["identities"].append({"identifier_key": identifier, "person_key": key, "valid_from": AS_OF - 900 * DAY, "shared": False})
        for channel in consents:
            self.consent(key, channel, **consent)

    def consent(self, key, channel, status="given", basis="consent", at=None, until=None, seq=0, purpose="newsletter"):
        at = at or AS_OF - 30 * DAY
        self.tables["consents"].append({"person_key": key, "purpose": purpose, "channel": channel, "status": status, "basis": basis, "occurred_at": at, "received_at": at, "until": until, "seq": seq})

    def facts(self):
        given = [ibis.memtable(rows(name, self.tables[name])) for name in (
            "audience_candidates", "creatives", "consents", "contact_pressure", "orders", "subscriptions", "identities", "identifiers", "campaign_messages", "stock_levels",
        )]  # fmt: skip
        made = gate_facts(
            *given, as_of=AS_OF, audiences=self.audiences, briefs={"win_back": Brief(goal="x")}, channels=CHANNELS, matrix=SimpleNamespace(rows=self.matrix), offer_list=self.offers,
            zone="Europe/Berlin", locale="de",
        )  # fmt: skip
        names = [name for name in ALL["gate_facts"].names if name != "changed_run"]
        return made.select(*names).to_pyarrow()

    def decisions(self, facts=None):
        facts = self.facts() if facts is None else facts
        given = [ibis.memtable(rows(name, self.tables[name])) for name in ("audience_candidates", "identities", "identifiers", "suppressions")]
        return decisions(
            ibis.memtable(facts), *given, as_of=AS_OF, config=SimpleNamespace(secret=self.secrets.__getitem__), audiences=self.audiences, policies=self.policies, purposes=PURPOSES,
            channels=CHANNELS, zone="Europe/Berlin",
        )  # fmt: skip

    def members(self, decided):
        return audience_members(ibis.memtable(rows("audience_candidates", self.tables["audience_candidates"])), ibis.memtable(decided)).to_pyarrow()

    def reason(self, key, channel="email"):
        found = [row for row in self.decisions().to_pylist() if row["person_key"] == key and row["channel"] == channel]
        assert len(found) == 1
        return found[0]["reason"]
