"""Prediction: real people judged beside logistic regression and LightGBM, and seconds for a million persons × 50 features.

    python -m bench.propensity [--persons N] [--bank FILE] [--only-speed]
"""

from __future__ import annotations

import argparse
import datetime as dt
import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import kundig
from bench.baselines import baselines
from bench.prediction_frames import DATA, bank, coupons, mapping, next_quarter
from kundig.understand.propensity import Propensity
from kundig.understand.propensity.judging import auc, expit

BUDGET = 12.0
SLACK = 0.005


def judged(name: str, found: Propensity, rivals: dict[str, float], *, held_to: bool = True) -> bool:
    """Print one line; false where it is held to the better baseline and a slope near 1, and is not there."""
    report = found.report
    assert report.auc is not None and report.log_loss is not None and report.calibration_slope is not None and report.calibration_error is not None
    good = report.auc >= max(rivals.values()) - SLACK and (not held_to or 0.9 <= report.calibration_slope <= 1.1)
    beside = ", ".join(f"{rival} {value:.4f}" for rival, value in rivals.items())
    told = "ok" if good else "MISSED" if held_to else "printed"
    print(f"{name:<34} {report.champion:<10} AUC {report.auc:.4f} ({beside}) log-loss {report.log_loss:.4f} ECE {report.calibration_error:.4f} slope {report.calibration_slope:.3f} {report.verdict} {told}", flush=True)
    return good or not held_to


def real(calls: pa.Table) -> bool:
    """The three sets of real people; what is held to is stratified, time order is printed."""
    timing = mapping("bank_marketing")
    outcome = np.asarray(pc.equal(calls["y"], "yes").to_numpy(), float)
    sold = kundig.propensity.fit(calls, target="y", **timing)
    print(f"bank: refused {({name: str(refusal) for name, refusal in sold.refused.items()})}")
    good = judged(f"bank, {calls.num_rows:,} calls, stratified", sold, baselines(calls, outcome, ["y", "duration"]))
    ordered = calls.append_column("call", pa.array(np.arange(calls.num_rows), pa.timestamp("us")))
    judged("bank, time order", kundig.propensity.fit(ordered, target="y", time="call", **timing), baselines(ordered, outcome, ["y", "duration", "call"], "call"), held_to=False)
    journey, apart = coupons(), ["household_id", "campaign_id", "start_date", "end_date"]
    back = np.asarray(journey["redeemed"].to_numpy(), float)
    good &= judged("coupons, stratified", kundig.propensity.fit(journey, target="redeemed", leave_out=apart), baselines(journey, back, [*apart, "redeemed"]))
    later = kundig.propensity.fit(journey, target="redeemed", time="start_date", known_at={"redeemed": "end_date"}, leave_out=apart[:2])
    judged("coupons, by campaign start", later, baselines(journey, back, [*apart, "redeemed"], "start_date", "end_date"), held_to=False)
    shop, none = next_quarter(), ["customer_id", "cut_off"]
    buys = np.asarray(shop["buys"].to_numpy(), float)
    good &= judged("next quarter, stratified", kundig.propensity.fit(shop, target="buys", leave_out=none), baselines(shop, buys, [*none, "buys"]))
    shop = shop.append_column("end", pc.add(shop["cut_off"], pa.scalar(dt.timedelta(days=91))))
    quarter = kundig.propensity.fit(shop, target="buys", time="cut_off", known_at={"buys": "end"}, leave_out=["customer_id"])
    judged("next quarter, by cut-off", quarter, baselines(shop, buys, [*none, "buys", "end"], "cut_off", "end"), held_to=False)
    return good


def made(persons: int, seed: int = 1) -> pa.Table:
    """Persons with 45 numbers and 5 texts, of which some tell of the target: bent, together, and as levels."""
    chance = np.random.default_rng(seed)
    numbers = chance.normal(size=(persons, 45)).astype(np.float32)
    texts = chance.integers(0, 12, size=(persons, 5))
    odds = -2.5 + numbers[:, :10] @ np.linspace(0.5, 0.05, 10) + 0.4 * np.abs(numbers[:, 10]) + 0.4 * numbers[:, 11] * numbers[:, 12] + 0.6 * np.isin(texts[:, 0], (2, 5))
    levels = pa.array([f"level {number}" for number in range(12)])
    columns = {f"x{place}": pa.array(numbers[:, place]) for place in range(45)} | {f"t{place}": pa.DictionaryArray.from_arrays(pa.array(texts[:, place], pa.int32()), levels) for place in range(5)}
    return pa.table(columns | {"y": pa.array(chance.random(persons) < expit(odds))})


def speed(persons: int) -> bool:
    """Train on a sample and score everybody, beside LightGBM on all rows."""
    import lightgbm

    frame = made(persons)
    outcome = np.asarray(frame["y"].to_numpy(), float)
    lightgbm.train({"verbosity": -1, "objective": "binary"}, lightgbm.Dataset(np.zeros((100, 1)), np.arange(100) % 2), 1)
    began, cpu = time.perf_counter(), time.process_time()
    found = kundig.propensity.fit(frame, target="y")
    fitted = time.perf_counter()
    scores = found.predict(frame)["probability"].to_numpy()
    ours, ours_cpu = time.perf_counter() - began, time.process_time() - cpu
    fit_seconds = fitted - began
    whole = frame.drop_columns(["y"]).to_pandas()
    began, cpu = time.perf_counter(), time.process_time()
    model = lightgbm.train({"objective": "binary", "verbosity": -1}, lightgbm.Dataset(whole, outcome))
    theirs = np.asarray(model.predict(whole))
    rival, rival_cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"{persons:,} × 50: fit {fit_seconds:.1f} s + score {ours - fit_seconds:.1f} s = {ours:.1f} s ({ours_cpu:.1f} CPU s), budget {BUDGET} s; {found.report.champion}, AUC of all {auc(outcome, scores):.4f}, slope {found.report.calibration_slope:.3f}")
    print(f"LightGBM on all rows: {rival:.1f} s ({rival_cpu:.1f} CPU s), AUC on its own training rows {auc(outcome, theirs):.4f}; ratio {ours / rival:.2f} (CPU {ours_cpu / rival_cpu:.2f})")
    return persons < 1_000_000 or ours <= BUDGET


def main() -> int:
    """Print all figures; 1 where a budget or a bound is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--bank", default=str(DATA / "bank_marketing" / "bank.parquet"))
    parser.add_argument("--only-speed", action="store_true")
    given = parser.parse_args()
    from pathlib import Path

    good = speed(given.persons)
    return 0 if (given.only_speed or real(bank(Path(given.bank)))) and good else 1


if __name__ == "__main__":
    raise SystemExit(main())
