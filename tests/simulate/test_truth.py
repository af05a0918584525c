"""Files and truth tell one story: counts of what was planted, whose each identifier is, what consents hold at the end."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.compute as pc

from kundig.config.defaults import write_defaults
from kundig.config.load import load
from kundig.consent.folding import ConsentRecord, fold, standing
from kundig.simulate.consents import LANES
from kundig.simulate.shop import CAUSED
from tests.simulate.conftest import DAYS, PERSONS, SEED, Made

BERLIN = ZoneInfo("Europe/Berlin")


def moment(text: str) -> dt.datetime:
    return dt.datetime.strptime(text, "%d.%m.%Y %H:%M").replace(tzinfo=BERLIN).astimezone(dt.UTC)


def number(text: str) -> float:
    return float(text.replace(".", "").replace(",", "."))


def test_counts_of_planted_faults_are_those_of_the_files(made: Made) -> None:
    counts = made.counts
    assert counts == dict(made.report.counts)
    orders, positions, receipts = made.rows("shop/bestellungen.csv"), made.rows("shop/bestellpositionen.csv"), made.rows("till/kassenbons.csv")
    statuses = Counter(row["Status"] for row in orders)
    assert len(orders) == counts["orders"]
    assert (statuses["storniert"], statuses["retourniert"]) == (counts["orders_cancelled"], counts["orders_returned"])
    assert sum(int(row["Menge"]) < 0 for row in positions) == counts["orders_returned"]
    assert sum(row["Währung"] == "CHF" for row in orders) == counts["orders_francs"]
    assert sum(not row["Kundennummer"] for row in orders) == counts["orders_of_guests"]
    assert sum(bool(row["Gutschein"]) for row in orders) == counts["orders_with_voucher"]
    assert (len(receipts), sum(not row["Kundenkarte"] for row in receipts)) == (counts["receipts"], counts["receipts_anonymous"])
    assert len(made.rows("crm/kontakte.csv", encoding="cp1252")) == counts["contacts"]
    assert len(made.rows("shop/kunden.csv")) == counts["accounts"]
    consents = Counter(row["Status"] for row in made.rows("consents/einwilligungen.csv"))
    assert consents == {name.removeprefix("consents_"): count for name, count in counts.items() if name.startswith("consents_")}
    outcomes = Counter(row["outcome"] for row in made.rows("email/outcomes.csv", delimiter=","))
    assert outcomes == {name.removeprefix("messages_"): count for name, count in counts.items() if name.startswith("messages_")}
    assert len(made.rows("email/sends.csv", delimiter=",")) == counts["sends"]
    tickets = list(made.lines("support/tickets.ndjson"))
    assert (len(tickets), sum("solved_at" in row for row in tickets), sum("satisfaction" in row for row in tickets)) == (counts["tickets"], counts["tickets_solved"], counts["tickets_rated"])
    assert sum(row["kind"] == "click" for row in made.lines("ads/contacts.ndjson")) == counts["ad_clicks"]
    leads = made.rows("crm/leads_messe.csv") + made.rows("crm/leads_webformular.csv")
    assert (len(leads), len(made.rows("crm/deals.csv"))) == (counts["leads"], counts["deals"])
    for name, rows in made.report.files.items():
        if name.endswith(".csv"):
            assert len(made.rows(name, delimiter="," if name.startswith(("ads", "email")) else ";", encoding="cp1252" if "kontakte" in name else "utf-8")) == rows, name


def test_trackers_lose_double_delay_and_bend_as_told(made: Made) -> None:
    counts = made.counts
    seen: Counter[str] = Counter()
    for platform in ("web", "app"):
        lines = list(made.lines(f"{platform}/*.jsonl"))
        ids = [line["messageId"] for line in lines]
        assert (len(set(ids)), len(ids) - len(set(ids))) == (counts[f"events_{platform}"], counts[f"events_{platform}_resent"])
        for line in {line["messageId"]: line for line in lines}.values():
            seen[line.get("event", line["type"])] += 1
            sent, original, received = (dt.datetime.fromisoformat(line[key]) for key in ("sentAt", "originalTimestamp", "receivedAt"))
            seen["late"] += sent - original > dt.timedelta(hours=12)
            seen["ahead"] += sent - received > dt.timedelta(minutes=30)
            if "timestamp" in line:
                assert received - (sent - original) - dt.datetime.fromisoformat(line["timestamp"]) < dt.timedelta(seconds=1)
    assert counts["confirmations"] - counts["events_blocked"] - seen["Order Completed"] <= 3  # those of the last minutes have not arrived yet
    assert 0.085 < counts["events_blocked"] / (0.9 * counts["confirmations"]) < 0.125
    assert abs(seen["late"] - counts["events_late"]) < 0.05 * counts["events_late"]
    assert abs(seen["ahead"] - counts["events_skewed"]) < 0.02 * counts["events_skewed"]
    assert {"Product Viewed", "Product Added", "Checkout Started", "Signed In", "Application Opened", "identify", "page", "screen"} <= set(seen)
    total = sum(made.report.files.values())
    assert 25 < total / PERSONS < 40


def test_orders_of_the_truth_are_those_of_the_files(made: Made) -> None:
    true = {row["order"]: row for row in made.true("orders").to_pylist()}
    orders = made.rows("shop/bestellungen.csv")
    cards = [row for row in made.rows("till/kassenbons.csv") if row["Kundenkarte"]]
    assert {row["Bestellnummer"] for row in orders} | {row["Bonnummer"] for row in cards} == set(true)
    net: Counter[str] = Counter()
    gross: Counter[str] = Counter()
    for row in made.rows("shop/bestellpositionen.csv"):
        if int(row["Menge"]) > 0:
            paid = int(row["Menge"]) * number(row["Einzelpreis"]) - number(row["Rabatt"])
            gross[row["Bestellnummer"]] += paid
            net[row["Bestellnummer"]] += paid / (1 + int(row["Steuersatz"]) / 100) / (0.94 if row["Währung"] == "CHF" else 1)
    for row in orders:
        one = true[row["Bestellnummer"]]
        assert moment(row["Bestelldatum"]) == one["ordered_at"].replace(second=0, microsecond=0)
        assert abs(net[row["Bestellnummer"]] - one["net_value"]) < 0.06
        assert abs(gross[row["Bestellnummer"]] + number(row["Versand"]) - number(row["Summe"])) < 0.005
    planted = [one["ordered_at"].astimezone(BERLIN) for one in true.values() if one["clock_change"]]
    assert len(planted) == made.counts["orders_clock_change"] >= 2
    assert all((at.hour, at.minute) == (23, 30) and at.utcoffset() != (at - dt.timedelta(days=1)).utcoffset() for at in planted)


def test_every_identifier_of_the_files_has_one_owner_in_the_truth(made: Made) -> None:
    table = made.true("identifiers").to_pylist()
    owners: dict[tuple[str, str], set[int]] = {}
    for row in table:
        owners.setdefault((row["namespace"], row["value"]), set()).add(row["person"])
    alone = {key for key, people in owners.items() if len(people) == 1}
    true = {row["order"]: row["person"] for row in made.true("orders").to_pylist()}
    for row in made.rows("shop/bestellungen.csv"):
        person = true[row["Bestellnummer"]]
        assert not row["Kundennummer"] or owners["customer_id", row["Kundennummer"]] == {person}
        assert not row["E-Mail"] or owners["email", row["E-Mail"]] == {person}
    for name, key, space, encoding in (("crm/kontakte.csv", "Kontakt-ID", "crm_id", "cp1252"), ("shop/kunden.csv", "Kundennummer", "customer_id", "utf-8"), ("crm/leads_messe.csv", "Lead-ID", "lead_id", "utf-8")):
        assert all((space, row[key]) in alone for row in made.rows(name, encoding=encoding)), name
    devices = {row["value"]: row for row in table if row["namespace"] == "anonymous_id"}
    assert {line["anonymousId"] for line in made.lines("*/events-*.jsonl")} <= set(devices)
    shared = {row["value"] for row in table if row["shared"]}
    assert len(shared) == made.counts["devices_shared"] > 50
    assert all(len(owners["anonymous_id", value]) > 1 for value in shared)
    sold = [row for row in table if row["namespace"] == "anonymous_id" and not row["shared"] and len(owners["anonymous_id", row["value"]]) > 1]
    assert len({row["value"] for row in sold}) >= 3


def test_consents_at_the_end_are_what_the_fold_says(made: Made, tmp_path: Path) -> None:
    write_defaults(tmp_path)
    purposes = load(tmp_path).purposes
    for lane in LANES:
        rule = purposes.rule(lane.purpose, lane.channel)
        assert (rule.double_opt_in, "existing_customer" in rule.bases) == (lane.double_opt_in, lane.customers), lane
        assert lane.channel == "direct_mail" or rule.expires_days == lane.expires_days
    owners = {row["value"]: row["person"] for row in made.true("identifiers").to_pylist() if row["namespace"] == "email"}
    said: dict[int, list[ConsentRecord]] = {}
    for row in made.rows("consents/einwilligungen.csv"):
        at = moment(row["Zeitpunkt"])
        until = dt.datetime.strptime(row["Gültig bis"], "%d.%m.%Y").replace(tzinfo=BERLIN).astimezone(dt.UTC) if row["Gültig bis"] else None
        record = ConsentRecord(record_id=row["Eintrag"], purpose=row["Zweck"], channel=row["Kanal"], status=row["Status"], basis=row["Grundlage"], occurred_at=at, received_at=at, until=until)
        said.setdefault(owners[row["E-Mail"]], []).append(record)
    end = dt.datetime(2026, 11, 1, tzinfo=BERLIN).astimezone(dt.UTC) - dt.timedelta(microseconds=1)
    pairs = [(lane.purpose, lane.channel) for lane in LANES]
    found: Counter[str] = Counter()
    for row in made.true("consents").to_pylist():
        person = row["person"]
        if person not in said:
            assert row["reason"] == "consent_missing"
            continue
        if not isinstance(said[person], tuple):
            said[person] = fold(said[person], purposes=purposes, at=end, only=pairs)  # type: ignore[assignment]
        answer = standing(said[person], purpose=row["purpose"], channel=row["channel"], at=end)  # type: ignore[arg-type]
        assert (answer.reason, answer.allowed, answer.until) == (row["reason"], row["allowed"], row["until"]), row
        found[answer.reason] += 1
    assert set(found) == {"consent_given", "existing_customer", "consent_pending", "consent_withdrawn", "objected", "consent_expired", "consent_missing"}


def test_shares_are_those_of_a_real_shop(made: Made) -> None:
    people = made.true("people")
    mail = made.true("consents").filter((pc.field("purpose") == "newsletter") & (pc.field("channel") == "email"))
    customers = np.array(people["customer"])
    reason = np.array(mail["reason"])
    given = np.mean(reason[customers] == "consent_given")
    assert 0.48 < given < 0.62
    assert 0.005 < np.mean(reason[customers] == "objected") < 0.02
    orders = made.true("orders").to_pylist()
    online = [row for row in orders if not row["till"]]
    assert abs(np.mean([row["cause"] == "paid_search" for row in online]) - CAUSED["paid_search"]) < 0.012
    channels = {row["channel"]: row for row in made.true("channels").to_pylist()}
    assert channels["email"]["incremental_orders"] == sum(row["cause"] == "email" for row in online) > 30


def test_messages_answer_to_variants_and_pressure_as_told(made: Made) -> None:
    sends = made.rows("email/sends.csv", delimiter=",")
    outcomes = made.rows("email/outcomes.csv", delimiter=",")
    opened = {row["message_id"] for row in outcomes if row["outcome"] == "opened"}
    left = {row["message_id"] for row in outcomes if row["outcome"] == "unsubscribed"}
    reached = {row["message_id"] for row in outcomes if row["outcome"] == "delivered"}
    rate = {variant: np.mean([row["message_id"] in opened for row in sends if row["variant"] == variant and row["message_id"] in reached]) for variant in "ab"}
    factor = {row["variant"]: row["open_rate_factor"] for row in made.true("variants").to_pylist()}
    assert abs(rate["b"] / rate["a"] - factor["b"]) < 0.06
    owners = {row["value"]: row["person"] for row in made.true("identifiers").to_pylist() if row["namespace"] == "email"}
    arm = dict(zip(made.true("people")["person"].to_pylist(), made.true("people")["intensive_arm"].to_pylist(), strict=True))
    mails = [row for row in sends if row["channel"] == "email"]
    per_arm = {which: [row["message_id"] in left for row in mails if arm[owners[row["email"]]] is which] for which in (True, False)}
    assert np.mean(per_arm[True]) > np.mean(per_arm[False])


def test_customers_who_unsubscribed_get_no_more_mail(made: Made) -> None:
    left = {row["email"]: row["at"] for row in made.rows("email/outcomes.csv", delimiter=",") if row["outcome"] == "unsubscribed" and row["channel"] == "email"}
    asked_again = {row["E-Mail"] for row in made.rows("consents/einwilligungen.csv") if row["Status"] == "requested" and row["Quelle"] == "Kasse"}
    late = [row for row in made.rows("email/sends.csv", delimiter=",") if row["channel"] == "email" and row["email"] in left and row["sent_at"] > left[row["email"]] and row["email"] not in asked_again]
    assert len(left) > 20
    assert late == []


def test_settings_are_kept(made: Made) -> None:
    table = made.true("world")
    kept = dict(zip(table["name"].to_pylist(), table["value"].to_pylist(), strict=True))
    assert (kept["name"], kept["persons"], kept["seed"], kept["last_day"]) == ('"plain"', str(PERSONS), str(SEED), '"2026-10-31"')
    assert dt.date.fromisoformat(kept["last_day"].strip('"')) - dt.date.fromisoformat(kept["first_day"].strip('"')) == dt.timedelta(days=DAYS - 1)
