"""A small workspace for tests of `create`: the default files, a matrix of two rows and an offer."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa

import kundig.config
from kundig.config.load import load
from kundig.create.guardrails import qa_findings
from kundig.create.orchestrator import creatives
from kundig.store.engines.session import arrow_schema
from kundig.tables.create import APPROVALS
from kundig.tables.decide import OFFERS

AS_OF = dt.datetime(2026, 11, 1, 9, tzinfo=dt.UTC)
ROW = {"segment_id": "gold_quiet", "value_tier": "gold", "behavior_cluster": "explorer", "state": "at_risk", "key_message": "Wir haben etwas für dich zurückgelegt", "visual_guideline": "warm", "offer_code": "COME10"}
PLAIN_ROW = ROW | {"segment_id": "basic_new", "key_message": "", "offer_code": ""}
OFFER = {"offer_code": "COME10", "meaning": "10 % auf alles", "valid_until": dt.datetime(2026, 12, 31, 22, 59, tzinfo=dt.UTC), "active": True}
TOML = '[workspace]\nname = "nordlicht"\n[brand]\nname = "Nordlicht"\nsender = "shop@example.org"\nimprint = "Nordlicht GmbH, Musterweg 1, 12345 Berlin"\n'


def rows(table, dicts):
    return pa.Table.from_pylist([{name: row.get(name) for name in table.names} for row in dicts], schema=arrow_schema(table))


class World:
    """A workspace's folder, and its creatives and findings as the files stand."""

    def __init__(self, folder: Path, *, defaults: bool = False) -> None:
        self.root = folder / "shop"
        shutil.copytree(Path(kundig.config.__file__).parent / "defaults", self.root)
        for name in () if defaults else ("welcome", "cross_sell"):
            shutil.rmtree(self.root / "creatives" / name)
            (self.root / "audiences" / f"{name}.yaml").unlink()
        (self.root / "kundig.toml").write_text(TOML, encoding="utf-8")
        self.matrix = list(load(self.root).matrix.rows) if defaults else [ROW, PLAIN_ROW]
        self.offers = [OFFER]
        self.approvals: list[dict] = []

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text in a file of the workspace; it must be there."""
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    def creatives(self) -> pa.Table:
        config = load(self.root)
        return creatives(
            rows(OFFERS, self.offers), rows(APPROVALS, self.approvals), as_of=AS_OF, matrix=SimpleNamespace(rows=self.matrix), briefs=config.briefs, copies=config.copies,
            email_templates=config.email_templates, liquid_templates=config.liquid_templates, brand_voice=config.brand_voice, brand_tokens=config.brand_tokens,
            brand_variables=config.brand_variables, brand_words=config.brand_words, settings=config.settings,
        )  # fmt: skip

    def one(self, segment="gold_quiet", channel="email", locale="de", variant="a") -> dict:
        found = [
            row for row in self.creatives().to_pylist() if (row["segment_id"], row["channel"], row["locale"], row["variant"]) == (segment, channel, locale, variant)
        ]
        assert len(found) == 1
        return found[0]

    def findings(self) -> list[dict]:
        config = load(self.root)
        return qa_findings(
            self.creatives(), brand_voice=config.brand_voice, brand_tokens=config.brand_tokens, brand_variables=config.brand_variables,
            matrix=SimpleNamespace(rows=self.matrix), settings=config.settings,
        ).to_pylist()  # fmt: skip

    def blocked(self) -> set[str]:
        return {row["check"] for row in self.findings() if row["severity"] == "blocks"}
