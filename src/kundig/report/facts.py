"""What pages and reports show: the numbers of one release, asked once, as plain rows."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kundig import reasons
from kundig.clock import local_day
from kundig.errors import KundigError

if TYPE_CHECKING:
    from kundig.report.words import Words
    from kundig.workspace import Workspace

Row = dict[str, Any]
BUYERS = ("onboarding", "active", "loyal", "at_risk", "dormant", "former")
SMALL_CELL = 50


LISTED = 200
"""People that a list shows; the number above it counts all."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which people a list shows; every part given must hold."""

    kind: str = ""
    state: str = ""
    segment: str = ""
    tenth: str = ""
    acquired: str = ""
    """Buyers won over that channel."""
    cohort: str = ""
    """Buyers whose first purchase was in that month (2026-10-01)."""
    audience: str = ""
    part: str = ""
    """Of an audience: chosen, allowed, members or refused."""
    reason: str = ""
    channel: str = ""
    purpose: str = ""
    status: str = ""
    """Of a consent."""

    def given(self) -> dict[str, str]:
        """The parts that are given."""
        return {field.name: text for field in fields(self) if (text := getattr(self, field.name))}

    def sql(self, standing: str) -> str:
        """Keys of the people chosen, as a subquery; `standing` is the SQL of the consents in force."""
        found = [f"SELECT person_key FROM {_CHOSEN[part]} = {_text(text)}" for part, text in self.given().items() if part in _CHOSEN]
        if self.kind == "buyers":
            found.append("SELECT person_key FROM features WHERE purchase_days > 0")
        elif self.kind:
            found.append(f"SELECT person_key FROM profiles WHERE kind = {_text(self.kind)}")
        if self.audience or self.part or self.reason:
            found.append(self._decided())
        if self.status or (self.purpose and not self.part and not self.reason):
            where = " AND ".join(f"{name} = {_text(text)}" for name, text in (("purpose", self.purpose), ("channel", self.channel), ("status", self.status)) if text)
            found.append(f"{standing} SELECT person_key FROM standing WHERE {where}")
        return " INTERSECT ".join(f"(SELECT person_key FROM ({one}) chosen)" for one in found) or "SELECT person_key FROM profiles"

    def _decided(self) -> str:
        table = {"members": "audience_members", "chosen": "audience_candidates"}.get(self.part, "decisions")
        asked = [("audience", self.audience)] if table != "decisions" else [("audience", self.audience), ("reason", self.reason), ("channel", self.channel)]
        tests = [f"{name} = {_text(text)}" for name, text in asked if text]
        if table == "decisions":
            tests.append("allow" if self.part == "allowed" else "NOT allow")
        return f"SELECT person_key FROM {table} WHERE {' AND '.join(tests) or 'true'}"


TENTHS = "SELECT person_key, expected_value::DOUBLE AS v, ntile(10) OVER (ORDER BY expected_value DESC, person_key) AS tenth FROM lifetime_values"

_CHOSEN = {
    "state": "lifecycle_states WHERE state", "segment": "segment_members WHERE member AND segment_id", "cohort": "features WHERE strftime(first_order_day, '%Y-%m-01')",
    "acquired": "lifetime_values JOIN profiles USING (person_key) WHERE coalesce(acquisition_channel, 'unknown')", "tenth": f"({TENTHS}) tenths WHERE tenth::VARCHAR",
}  # fmt: skip
"""Parts of a choice that one column holds: tables and the column that is compared."""


def _text(value: str) -> str:
    return "'" + value.replace("\0", "").replace("'", "''") + "'"


@dataclass
class Facts:
    """The numbers of the newest release; each is asked for when it is first needed."""

    workspace: Workspace

    @cached_property
    def release(self) -> Any:
        """The release shown.

        Raises:
            KundigError: There is none yet.
        """
        release = self.workspace.lake.release()
        if release is None:
            raise KundigError("there is no release yet", at=str(self.workspace.root), mend="kundig import, then kundig run")
        return release

    def rows(self, sql: str) -> list[Row]:
        """Rows of a query over the release's tables."""
        columns, found = self.workspace.rows(sql)
        return [dict(zip(columns, row, strict=True)) for row in found]

    def one(self, sql: str) -> Row:
        """The first row, or an empty one."""
        found = self.rows(sql)
        return found[0] if found else {}

    @cached_property
    def people(self) -> Row:
        """How many people, and how many of them bought."""
        counted = self.one("SELECT count(*) AS persons FROM profiles")
        return counted | self.one("SELECT count(*) FILTER (purchase_days > 0) AS customers FROM features")

    @cached_property
    def value(self) -> Row:
        """Expected value of all buyers with the interval of their total, and what is at risk."""
        sql = """
            SELECT sum(expected_value)::DOUBLE AS value, sum(expected_value_low)::DOUBLE AS low, sum(expected_value_high)::DOUBLE AS high,
                   sum(value_at_risk)::DOUBLE AS at_risk, min(verdict) AS verdict FROM lifetime_values"""
        return self.one(sql)

    @cached_property
    def reachable(self) -> int:
        """People with a consent to e-mail that holds at the release's moment."""
        return int(self.one(f"{self._standing()} SELECT count(DISTINCT person_key) AS n FROM standing WHERE channel = 'email' AND status = 'given'")["n"])

    def _standing(self) -> str:
        """SQL of each person's newest consent by purpose and channel at the release's moment; what has lapsed is `expired`."""
        moment = f"TIMESTAMPTZ '{self.release.moment.isoformat()}'"
        return f"""
            WITH standing AS (SELECT person_key, purpose, channel, until, CASE WHEN status = 'given' AND until <= {moment} THEN 'expired' ELSE status END AS status
              FROM consents WHERE occurred_at <= {moment}
              QUALIFY row_number() OVER (PARTITION BY person_key, purpose, channel ORDER BY occurred_at DESC, received_at DESC, seq DESC) = 1)"""

    @cached_property
    def states(self) -> list[Row]:
        """Buyers by lifecycle state."""
        found = {row["state"]: row["n"] for row in self.rows("SELECT state, count(*) AS n FROM lifecycle_states GROUP BY state")}
        return [{"state": state, "persons": found.get(state, 0)} for state in BUYERS]

    @cached_property
    def running(self) -> dt.date:
        """First day of the month that is not over yet; a month whose last instant is the release's moment is over."""
        return local_day(self.release.moment + dt.timedelta(seconds=1), self.workspace.config.settings.workspace.zone).replace(day=1)

    @cached_property
    def revenue(self) -> list[Row]:
        """Net revenue by month, oldest first; `whole`: the month is over."""
        found = self.rows("SELECT period_start AS month, value FROM kpis WHERE kpi = 'revenue' AND dimension = '' AND value IS NOT NULL ORDER BY 1")
        return [row | {"whole": row["month"] < self.running} for row in found]

    @cached_property
    def tenths(self) -> list[Row]:
        """Expected value by tenth of buyers, the most valuable first."""
        return self.rows(f"SELECT tenth, sum(v) AS value, count(*) AS persons FROM ({TENTHS}) GROUP BY tenth ORDER BY tenth")

    @cached_property
    def models(self) -> list[Row]:
        """The newest version of each model, with the figures of its holdout."""
        sql = "SELECT * FROM models QUALIFY row_number() OVER (PARTITION BY model ORDER BY fitted_at DESC, version DESC) = 1 ORDER BY model"
        return [row | {"check": json.loads(row["holdout"]) if row["holdout"] else {}} for row in self.rows(sql)]

    @cached_property
    def segments(self) -> list[Row]:
        """Cells of the matrix with their members, value and message."""
        sql = """
            SELECT s.segment_id, count(*) AS persons, avg(v.expected_value)::DOUBLE AS value FROM segment_members s LEFT JOIN lifetime_values v USING (person_key)
            WHERE s.member GROUP BY 1"""
        counted = {row["segment_id"]: row for row in self.rows(sql)}
        nothing = {"persons": 0, "value": None}
        cells = [row | {k: counted.get(row["segment_id"], nothing)[k] for k in ("persons", "value")} for row in self.workspace.config.matrix.rows]
        return [cell | {"small": 0 < cell["persons"] < SMALL_CELL} for cell in cells]

    @cached_property
    def returns(self) -> list[Row]:
        """What each segment brought, and what winning its buyers cost."""
        from kundig.report.matrix import returns

        return returns(self)

    @cached_property
    def personas(self) -> list[Row]:
        """Cards of personas: those found first, the largest first."""
        return self.rows("SELECT * FROM personas ORDER BY origin, file, size DESC, persona_id")

    @cached_property
    def persona_stream(self) -> list[Row]:
        """What personas do from day to day since their fit; nothing where the release is older than the table."""
        return self.rows("SELECT * FROM persona_stream ORDER BY persona_id, measure")

    @cached_property
    def persona_attributes(self) -> list[Row]:
        """What sets personas apart, the most telling first."""
        return self.rows("SELECT * FROM persona_attributes ORDER BY persona_id, weight DESC, attribute, level")

    @cached_property
    def unsegmented(self) -> int:
        """People in no cell."""
        return int(self.one("SELECT count(*) AS n FROM profiles WHERE person_key NOT IN (SELECT person_key FROM segment_members WHERE member)")["n"])

    @cached_property
    def funnel(self) -> list[Row]:
        """Audiences: chosen by the rule, allowed by the gate, on the audience."""
        sql = """
            SELECT c.audience, count(DISTINCT c.person_key) AS chosen, count(DISTINCT d.person_key) FILTER (d.allow) AS allowed, count(DISTINCT m.person_key) AS members
            FROM audience_candidates c LEFT JOIN decisions d ON d.audience = c.audience AND d.person_key = c.person_key
            LEFT JOIN audience_members m ON m.audience = c.audience AND m.person_key = c.person_key GROUP BY 1"""
        found = {row["audience"]: row for row in self.rows(sql)}
        nothing = {"chosen": 0, "allowed": 0, "members": 0}
        return [{"audience": name, "meaning": a.meaning} | {k: found.get(name, nothing)[k] for k in nothing} for name, a in sorted(self.workspace.config.audiences.items())]

    @cached_property
    def addressed(self) -> int:
        """People on at least one audience."""
        return int(self.one("SELECT count(DISTINCT person_key) AS n FROM audience_members")["n"])

    @cached_property
    def asked(self) -> Row:
        """Requests to the gate, and those it refused."""
        return self.one("SELECT count(*) AS requests, count(*) FILTER (NOT allow) AS refused FROM decisions")

    @cached_property
    def refusals(self) -> list[Row]:
        """Why the gate said no, by reason and channel, most often first."""
        return self.rows("""
            SELECT reason, channel, count(*) AS n, count(DISTINCT person_key) AS persons, min(purpose) AS purpose, min(evidence::VARCHAR) AS evidence
            FROM decisions WHERE NOT allow GROUP BY 1, 2 ORDER BY n DESC, 1, 2""")

    def sentence(self, row: Row, locale: str) -> str:
        """The sentence of a decision's reason."""
        if row["reason"] not in reasons.ALL:
            return str(row["reason"])
        evidence = json.loads(row["evidence"]) if row.get("evidence") else {}
        values = {"purpose": row["purpose"], "channel": row["channel"]} | evidence
        missing = dict.fromkeys(reasons.ALL[row["reason"]].fields - set(values), "–")
        return reasons.sentence(row["reason"], locale, **values, **missing)

    @cached_property
    def kpis(self) -> list[Row]:
        """The newest whole month of each KPI in all, with the month before it; or the null and its reason."""
        first = f"DATE '{self.running.isoformat()}'"
        sql = f"""
            SELECT * FROM kpis WHERE dimension = '' AND (period_start < {first} OR kpi IN (SELECT kpi FROM kpis WHERE dimension = '' GROUP BY kpi HAVING min(period_start) >= {first}))
            QUALIFY row_number() OVER (PARTITION BY kpi ORDER BY period_start DESC) <= 2 ORDER BY kpi, period_start DESC"""
        newest: dict[str, Row] = {}
        for row in self.rows(sql):
            if row["kpi"] not in newest:
                newest[row["kpi"]] = row | {"before": None}
            else:
                newest[row["kpi"]]["before"] = row["value"]
        for row in self.rows("SELECT * FROM kpis WHERE kpi = 'brand_lift' AND dimension = 'exposure' ORDER BY period_start DESC, member DESC LIMIT 2"):
            newest[f"brand_lift · {row['member']}"] = row | {"before": None}
        return list(newest.values())

    def kpi_reason(self, row: Row, w: Words) -> str:
        """Why a KPI is empty, in words."""
        code = row["reason"]
        if not code:
            return ""
        sources = row["basis"].partition("without: ")[2].rstrip(")")
        values = {"source": ", ".join(w.named("tables", name) for name in sources.split(", ")) if sources else w.named("kpis", row["kpi"]), "denominator": w.named("basis", row["kpi"]), "count": 0, "needed": 0}
        missing = dict.fromkeys(reasons.ALL[code].fields - set(values), "–") if code in reasons.ALL else {}
        return reasons.sentence(code, w.locale, **values, **missing) if code in reasons.ALL else code

    @cached_property
    def channels(self) -> list[Row]:
        """Cost of a new customer and expected value per acquisition channel, over the last twelve months."""
        sql = """
            WITH recent AS (SELECT * FROM kpis WHERE dimension = 'acquisition_channel' AND period_start >= (SELECT max(period_start) FROM kpis) - INTERVAL 12 MONTH)
            SELECT member AS channel, sum(numerator) FILTER (kpi = 'cac') AS spent, sum(denominator) FILTER (kpi = 'cac') AS arrived,
                   max(value) FILTER (kpi = 'clv') AS clv, max(denominator) FILTER (kpi = 'clv') AS persons FROM recent WHERE kpi IN ('cac', 'clv') GROUP BY 1 ORDER BY persons DESC NULLS LAST, 1"""
        return [row | {"persons": row["persons"] or 0, "cac": row["spent"] / row["arrived"] if row["spent"] is not None and row["arrived"] else None} for row in self.rows(sql)]

    @cached_property
    def cohorts(self) -> list[Row]:
        """The last twelve cohorts: size and share of active buyers by month since the first purchase, of months that are over."""
        found: dict[dt.date, Row] = {}
        for row in self.rows(f"SELECT cohort, month, persons, active FROM cohorts WHERE cohort + to_months(month::INTEGER) < DATE '{self.running.isoformat()}' ORDER BY cohort, month"):
            cohort = found.setdefault(row["cohort"], {"cohort": row["cohort"], "persons": row["persons"], "months": {}})
            cohort["months"][row["month"]] = row["active"] / row["persons"]
        return list(found.values())[-12:]

    def listed(self, choice: Choice, *, most: int = LISTED) -> tuple[list[Row], int]:
        """The people of a choice, the most valuable first, and how many they are in all."""
        within = choice.sql(self._standing())
        total = int(self.one(f"SELECT count(*) AS n FROM profiles WHERE person_key IN ({within})")["n"])
        sql = f"""
            SELECT p.person_id, p.kind, l.state, s.segment_id, v.expected_value, v.expected_value_low, v.expected_value_high, p.last_seen_at
            FROM profiles p LEFT JOIN lifecycle_states l USING (person_key) LEFT JOIN lifetime_values v USING (person_key)
            LEFT JOIN (SELECT person_key, segment_id FROM segment_members WHERE member) s USING (person_key)
            WHERE p.person_key IN ({within}) ORDER BY v.expected_value DESC NULLS LAST, p.person_id LIMIT {int(most)}"""
        return self.rows(sql), total

    @cached_property
    def urgent(self) -> list[Row]:
        """The most urgent buyers: those with a reason to turn to them now."""
        return self.rows("""
            SELECT p.person_id, u.value_at_stake, u.urgency, u.reason, u.rank FROM urgency u JOIN profiles p USING (person_key)
            WHERE u.urgency > 0 AND u.reason NOT IN ('on_schedule', 'probably_gone') ORDER BY u.rank LIMIT 20""")

    @cached_property
    def creatives(self) -> list[Row]:
        """Creatives with their status, alike ones of many segments together."""
        return self.rows("SELECT creative, channel, locale, subject_line, status, count(*) AS copies, count(DISTINCT segment_id) AS segments FROM creatives GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5")

    @cached_property
    def findings(self) -> list[Row]:
        """What the checks of creatives found, what blocks first."""
        return self.rows("SELECT * FROM qa_findings ORDER BY severity, creative_id, \"check\" LIMIT 100")

    @cached_property
    def consents(self) -> list[Row]:
        """People by purpose, channel and status at the release's moment."""
        moment = f"TIMESTAMPTZ '{self.release.moment.isoformat()}'"
        sql = f"""{self._standing()}
            SELECT purpose, channel, status, count(*) AS persons, count(*) FILTER (status = 'given' AND until > {moment} AND until <= {moment} + INTERVAL 30 DAY) AS expiring
            FROM standing GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
        return self.rows(sql)

    @cached_property
    def objecting(self) -> int:
        """People who objected, on whatever channel."""
        return int(self.one(f"{self._standing()} SELECT count(DISTINCT person_key) AS n FROM standing WHERE status = 'objected'")["n"])

    @cached_property
    def sources(self) -> list[Row]:
        """What each source landed: table, rows, newest record."""
        parts = [
            f"SELECT source, '{name}' AS table_name, count(*) AS records, max(occurred_at) AS newest FROM {name} GROUP BY 1"
            for name in ("events", "orders", "order_lines", "contacts", "tickets", "campaign_messages", "consent_records", "survey_answers", "ad_contacts", "deals", "subscriptions", "referrals")
        ]
        return self.rows(f"SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY source, table_name")

    @cached_property
    def held(self) -> list[Row]:
        """What waits in quarantine, by source and reason."""
        return self.rows("SELECT source, stage, what, any_value(mend) AS mend, count(*) AS records FROM quarantined_records WHERE status = 'held' GROUP BY 1, 2, 3 ORDER BY records DESC LIMIT 50")

    @cached_property
    def steps(self) -> list[Row]:
        """What the release's run did."""
        return self.rows(f"SELECT step, table_name, cause, rows_written, seconds, peak_mb FROM runs WHERE run_id = {int(self.release.run_id)} ORDER BY finished_at")
