"""A finished workspace in which one person left a sign of every kind, with declared attributes and traits."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import kundig
from kundig.schema import Table
from kundig.tables.collect import AD_CONTACTS, CAMPAIGN_MESSAGES, CONSENT_RECORDS, CONTACTS, EVENTS, ORDER_LINES, ORDERS, SURVEY_ANSWERS, TICKETS
from kundig.testing import default_workspace, land
from kundig.workspace import Workspace
from tests.unify.world import World, day

LANDED: tuple[Table, ...] = (EVENTS, ORDERS, ORDER_LINES, CONTACTS, TICKETS, SURVEY_ANSWERS, CAMPAIGN_MESSAGES, AD_CONTACTS, CONSENT_RECORDS)
END = day(200)
MAIL, LOGIN, VISITOR = "email:ada@example.org", "customer_id:c1", "anonymous_id:v1"
PROFILES = """
trust: [fair]
trusted_for: {phone: [crm]}
strategies: {price_attitude: latest}
stale_days: {city: 100, phone: 400}
attributes:
  price_attitude: {meaning: What a price means to the person, labels: {de: Haltung zum Preis, en: price attitude}, question: price, survey: attitudes}
  shoe_size: {meaning: Shoe size, field: shoe, type: 'decimal(18,4)', category: sociodemographic, personal: none}
"""
FAIR = """
meaning: Leads of a fair's organiser
party: third
inputs:
  - files: [exports/leads.csv]
    lands:
      - table: contacts
        columns: {contact_id: id, occurred_at: at, first_name: first}
        attributes: [shoe]
        identifiers: [{namespace: lead_id, column: id}]
"""


def story() -> World:
    """What Ada did, told by several sources, and Bea and Cem beside her."""
    world = World()
    world.see(0, [VISITOR], AD_CONTACTS, source="ads", contact_id="ads:1", platform="meta_ads", channel="paid_social", campaign="spring", kind="impression")
    world.see(1, [VISITOR], event_id="web:1", name="page_viewed", channel="paid_social", page_path="/shoes")
    world.see(2, [VISITOR, MAIL], event_id="web:2", name="identify")
    world.contact(3, [MAIL, "lead_id:l1"], source="fair", kind="lead", first_name="Ada", last_name="Müller-Lüdenscheidt", city="Bonn", phone="+491701", attributes='{"shoe": "39,5"}', contact_id="fair:1")
    world.order(10, [LOGIN, MAIL], order_id="shop:1", status="returned", net=Decimal("80.0000"), gross=Decimal("95.2000"), channel="shop")
    for at, line, quantity in ((10, "a", 1), (12, "b", -1)):
        world.see(at, [LOGIN], ORDER_LINES, source="shop", line_id=f"shop:1:{line}", order_id="shop:1", product_id="P1", quantity=Decimal(quantity), net=Decimal(40 * quantity), line_kind="goods")
    world.see(20, [LOGIN], TICKETS, source="support", ticket_id="t:1", topic="delivery", status="solved", channel="email", solved_at=day(21))
    world.contact(30, [LOGIN, MAIL], source="crm", first_name="Ada", last_name="Mueller", city="Köln", phone="+491702", contact_id="crm:1")
    for at, outcome in ((40, "sent"), (40.5, "opened"), (40.6, "clicked")):
        world.see(at, [MAIL], CAMPAIGN_MESSAGES, source="mailer", message_id="m:1", channel="email", campaign="news", outcome=outcome)
    world.see(50, [MAIL], SURVEY_ANSWERS, source="survey", answer_id="s:1", survey="attitudes", question="price", answer="fair", score=Decimal("4.0000"))
    world.order(60, [LOGIN], order_id="shop:2", net=Decimal("20.5000"), gross=Decimal("24.4000"), channel="shop")
    for record, status, at, channel in (("r1", "requested", 2.0, "email"), ("r2", "confirmed", 2.5, "email"), ("r3", "withdrawn", 70.0, "email"), ("r4", "objected", 90.0, "*")):
        world.see(at, [MAIL], CONSENT_RECORDS, source="form", record_id=record, purpose="newsletter", channel=channel, status=status, basis="consent", wording="v1", evidence=f"form {record}", jurisdiction="DE")
    world.contact(5, ["email:bea@example.org", "customer_id:c2"], first_name="Bea", last_name="Weiß", contact_id="crm:2")
    world.contact(6, ["email:cem@example.org", "customer_id:c3"], first_name="Cem", last_name="Yıldız", contact_id="crm:3")
    world.contact(7, ["email:muller@example.org", "customer_id:c4"], first_name="Adam", last_name="Müller", contact_id="crm:4")
    return world


def _write(root: Path) -> None:
    (root / "profiles.yaml").write_text(PROFILES, encoding="utf-8")
    (root / "sources").mkdir(exist_ok=True)
    (root / "sources" / "fair.yaml").write_text(FAIR, encoding="utf-8")


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The workspace, run as of day 200."""
    root = default_workspace(tmp_path_factory.mktemp("told"))
    _write(root)
    workspace = kundig.open(root)
    world = story()
    land(workspace.lake, {table.name: world.table(table) for table in LANDED} | {"identifiers": world.identifiers()}, batch="first")
    workspace.run(as_of=END)
    yield workspace
    workspace.lake.close()
    workspace.state.close()
