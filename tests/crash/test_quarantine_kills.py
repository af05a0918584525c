"""Killing fix, replay and drop at every point: a record is as it was or as it becomes, and doing it again lands it once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kundig import audit
from kundig.store.state import State
from tests.collect.shop import ORDERS, Shop
from tests.forks import Nursery

EVERY = 1 if os.environ.get("KUNDIG_FULL") else 9
BAD = "which is no moment"
CONSENTS = """
inputs:
  - files: in/consents.csv
    lands:
      - table: consent_records
        columns: {record_id: id, purpose: {value: newsletter}, channel: {value: email}, status: {value: given}, occurred_at: day}
        identifiers: [{namespace: email, column: mail}]
"""
ACTS = {"fix": f"{BAD}|day=2026-03-05", "replay": "", "drop": BAD}


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery("tests.crash.nursery")
    yield made
    made.close()


def opened(root: Path) -> tuple[Shop, State]:
    return Shop(root), State.open(f"sqlite:///{root}/state.sqlite")


def contents(root: Path) -> dict[str, Any]:
    """What readers see, and whether all is well; `held` is status, whether it was mended, and the note of each record."""
    shop, state = opened(root)
    try:
        shop.lake.sweep()  # what a killed writer left beside the tables
        assert shop.lake.verify() == []
        assert audit.verify(state) == []
        held = shop.rows("quarantined_records", "record_id, status, body::VARCHAR, original::VARCHAR, note, source", "ORDER BY 1")
        assert all((before is None) == ("2026-03-05" not in body) for _, _, body, before, _, _ in held), "a mend without the record as it came"
        return {
            "held": [(name, status, before is not None, note, source) for name, status, _, before, note, source in held], "orders": shop.rows("orders", "order_id", "ORDER BY 1"),
            "consents": shop.rows("consent_records", "record_id", "ORDER BY 1"), "log": sorted(row["record_id"] for row in state.select("consent_log")),
            "audit": [row["action"] for row in state.select("audit_log", order_by=state.sql("audit_log").c.seq)],
        }  # fmt: skip
    finally:
        shop.lake.close()
        state.close()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> dict[str, Path]:
    """The workspace before each act: orders and a consent with wrong days are held; for replay they are mended already."""
    root = tmp_path_factory.mktemp("held")
    shop, state = opened(root)
    shop.source(ORDERS.format(more=""))
    shop.source(CONSENTS, "crm")
    good = "no,day,total,customer,mail\n1,2026-03-01,2,C1,\n2,2026-03-01,2,C2,\n3,2026-03-01,2,C3,\n"
    shop.write("in/orders.csv", good + "4,2026-02-31,2,C4,\n5,2026-02-30,7,C5,\n")
    shop.write("in/consents.csv", "id,day,mail\na,2026-03-01,a@example.org\nb,2026-03-01,b@example.org\nc,2026-03-01,c@example.org\nd,31.31.2026,d@example.org\n")
    assert shop.land(state=state).quarantined == 2
    assert shop.land("crm", state=state).quarantined == 1
    shop.lake.close()
    state.close()
    mended = tmp_path_factory.mktemp("mended") / "shop"
    shutil.copytree(root, mended)
    assert nursery.start(mended, "fix", ACTS["fix"])["code"] == 0
    return {"fix": root, "drop": root, "replay": mended}


@pytest.mark.parametrize("act", sorted(ACTS))
def test_a_killed_act_is_wholly_done_or_not_at_all_and_done_again_is_done_once(act: str, prepared: dict[str, Path], nursery: Nursery, tmp_path: Path) -> None:
    before = contents(prepared[act])
    whole = tmp_path / "whole"
    shutil.copytree(prepared[act], whole)
    counted = nursery.start(whole, act, ACTS[act])
    assert counted["code"] == 0
    after = contents(whole)
    assert after["held"] != before["held"]
    if act == "replay":
        assert len(after["orders"]) == 5 and len(after["consents"]) == len(after["log"]) == 4
        assert {status for _, status, _, _, _ in after["held"]} == {"replayed"}
    points = sorted({*range(2, len(counted["points"]), EVERY), *(number for number, name in enumerate(counted["points"], 1) if "commit" in name)})
    done = 0
    for point in points:
        place = tmp_path / f"kill-{point}"
        shutil.copytree(prepared[act], place)
        died = nursery.start(place, act, ACTS[act], point=point)
        assert died["killed"], "the child was not killed: nothing is tested"
        seen = contents(place)
        assert all(one in (old, new) for one, old, new in zip(seen["held"], before["held"], after["held"], strict=True)), died["points"][-1]
        if act == "replay":  # one commit a source: what landed is marked in the same one
            for table, source in (("orders", "shop"), ("consents", "crm")):
                marked = {status for _, status, _, _, origin in seen["held"] if origin == source} == {"replayed"}
                assert seen[table] == (after if marked else before)[table], f"landed and not marked, or the reverse (killed at {died['points'][-1]})"
        if seen["held"] == after["held"] and act != "replay":
            assert seen["audit"] == after["audit"], f"changed untold (killed at {died['points'][-1]})"
        done += seen["held"] == after["held"]
        assert nursery.start(place, act, ACTS[act])["code"] == 0
        again = contents(place)
        assert {name: again[name] for name in ("held", "orders", "consents", "log")} == {name: after[name] for name in ("held", "orders", "consents", "log")}, died["points"][-1]
        shutil.rmtree(place)
    assert 0 < done < len(points), "kills before and after the commit"
    print(f"\n{act}: {len(points)} kills over {len(counted['points'])} points; lost 0, doubled 0, untold 0")
