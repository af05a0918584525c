"""A workspace's files say what its rules may speak of; the files that come with kundig hold good rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from kundig import rules
from kundig.config.collect import PlannedEvent, Property, TrackingPlan
from kundig.config.law import ChannelRule, Purpose, Purposes
from kundig.errors import RuleError


def test_the_tracking_plan_gives_events_and_types() -> None:
    plan = TrackingPlan(events={"order_completed": PlannedEvent(properties={"coupon": Property(), "items": Property(type="int64"), "ip": Property(drop=True)}), "wished": PlannedEvent()})
    schema = rules.schema_from(zone="Europe/Berlin", plans={"web": plan}, currency="EUR", events=["order_cancelled"], segments=["top"], scores=["churn_90d"])
    assert {"order_completed", "wished", "page_viewed", "order_cancelled"} <= set(schema.events)
    assert schema.events["order_completed"].properties["items"].type == "number"
    assert "ip" not in schema.events["order_completed"].properties
    rule = rules.parse([{"event": "order_completed", "where": {"channel": "email", "coupon": {"exists": True}}, "sum": {"of": "value", "at_least": 50}}, {"segment": "top"}, {"trait": "hobbies", "includes": "Garten"}], schema)
    assert rule.sentence("de").startswith("Bestellung [Kanal ist „email“ und coupon ist bekannt]: Summe Wert mindestens 50,00 €")


def test_purposes_give_consents() -> None:
    purposes = Purposes(purposes={"newsletter": Purpose(channels={"email": ChannelRule(bases=("consent",))})})
    schema = rules.schema_from(zone="UTC", purposes=purposes)
    assert rules.parse({"consent": "newsletter", "channel": "email"}, schema)
    with pytest.raises(RuleError, match="unknown channel 'push'"):
        rules.parse({"consent": "newsletter", "channel": "push"}, schema)


def test_the_audiences_that_come_with_kundig_are_good_rules(tmp_path: Path) -> None:
    from kundig.config.load import load

    (tmp_path / "kundig.toml").write_text("", encoding="utf-8")
    config = load(tmp_path)
    schema = rules.schema_of(config)
    assert schema.zone == config.settings.workspace.zone
    assert set(schema.segments) == {row["segment_id"] for row in config.matrix.rows}
    from importlib.resources import files

    shipped = sorted((entry for entry in files("kundig.config.defaults").joinpath("audiences").iterdir() if entry.name.endswith(".yaml")), key=lambda entry: entry.name)
    assert len(shipped) >= 3
    for entry in shipped:
        source = rules.reading.plain(entry.read_text(encoding="utf-8"))["rule"]
        parsed = rules.parse_many({entry.name: source}, config)[entry.name]
        assert parsed.sentence("de")
        assert parsed.sentence("en")
