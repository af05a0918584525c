"""Lifetime value: published figures reproduced, and seconds for a million persons (`--large`: ten million), beside `lifetimes` and `pymc-marketing` where installed.

    python bench/lifetime_value.py [--persons N] [--large] [--orders FILE]
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kundig.understand.lifetime_value import bg_nbd, fit, gamma_gamma, holdout, season
from kundig.understand.lifetime_value.fitted import Fitted, Terms
from kundig.understand.lifetime_value.histories import Summary, day_number, read
from kundig.understand.lifetime_value.kinds import Kind

RETAIL = Path(__file__).parent.parent / "examples" / "online_retail" / "exports" / "online_retail_II.parquet"
BUDGET = {1_000_000: 3.0, 10_000_000: 15.0}


def cdnow() -> pa.Table | None:
    """The CDNOW sample from the data files of the package `lifetimes`; None where it is not installed."""
    spec = importlib.util.find_spec("lifetimes")
    if spec is None or spec.origin is None:
        return None
    rows = [line.split() for line in (Path(spec.origin).parent / "datasets" / "CDNOW_sample.txt").read_text().splitlines()]
    days = [dt.date(int(row[2][:4]), int(row[2][4:6]), int(row[2][6:])) for row in rows]
    return pa.table({"person_id": [int(row[0]) for row in rows], "ordered_at": days, "value": [float(row[4]) for row in rows]})


def retail(path: Path) -> pa.Table:
    """Goods sold of Online Retail II: with an id, five-digit article, no cancellation, quantity and price above zero."""
    lines = pq.read_table(path)
    kept = pc.and_(pc.is_valid(lines["customer_id"]), pc.match_substring_regex(lines["stock_code"], r"^\d{5}"))
    kept = pc.and_(kept, pc.invert(pc.starts_with(lines["invoice"].cast(pa.string()), "C")))
    kept = pc.and_(kept, pc.and_(pc.greater(lines["quantity"], 0), pc.greater(lines["price"], 0)))
    goods = lines.filter(kept)
    value = pc.multiply(goods["quantity"].cast(pa.float64()), goods["price"])
    return pa.table({"person_id": goods["customer_id"].cast(pa.int64()), "ordered_at": goods["invoice_date"], "value": value})


def simulated(persons: int, seed: int = 1) -> tuple[Summary, int]:
    """Summaries of persons whose purchases follow r 0.55, α 8, a 0.8, b 2.5 over 13 to 104 weeks, spend p 6, q 4, γ 15; days."""
    chance = np.random.default_rng(seed)
    rate, stop = chance.gamma(0.55, 1 / 8.0, persons) / 7, chance.beta(0.8, 2.5, persons)
    age = chance.integers(13 * 7, 104 * 7, persons)
    now, last, count = np.zeros(persons), np.zeros(persons, np.int64), np.ones(persons, np.int64)
    living = np.arange(persons)
    while len(living):
        now[living] += chance.exponential(1.0, len(living)) / rate[living]
        living = living[now[living] < age[living]]
        day = now[living].astype(np.int64)
        new = day > last[living]
        last[living] = day
        count[living] += new
        living = living[chance.random(len(living)) >= stop[living]]
    scale = chance.gamma(4.0, 1 / 15.0, persons)
    value = chance.gamma(6.0 * count) / scale / count
    end = 20_000
    return Summary(first=end - age, last=end - age + last, count=count, value=value), end


def timed(label: str, work: Callable[[], object]) -> tuple[object, float]:
    began, cpu = time.perf_counter(), time.process_time()
    result = work()
    seconds = time.perf_counter() - began
    print(f"  {label:<58} {seconds:8.2f} s wall {time.process_time() - cpu:8.2f} s CPU")
    return result, seconds


def show_cdnow(orders: pa.Table) -> None:
    print("CDNOW, 1/10 sample, fitted to 1997-09-30, 39 weeks ahead")
    cut = dt.date(1997, 9, 30)
    histories, _ = read(orders, zone="UTC", as_of=None, count_free=True)
    persons, summary = histories.until(day_number(cut))
    actual, _ = histories.bought(persons, day_number(cut), day_number(cut) + 273)
    kinds: tuple[tuple[Kind, str], ...] = (("bg_nbd", "BG/NBD"), ("mbg_nbd", "MBG/NBD"), ("pareto_nbd", "Pareto/NBD"))
    for kind, name in kinds:
        model = holdout.counting(kind, histories, day_number(cut))
        expected = model.expected(summary, day_number(cut), 273)
        values, errors = model.process.parameters(), model.process.standard_errors()
        told = ", ".join(f"{key} {value:.4f} ± {errors[key]:.3f}" for key, value in values.items())
        print(f"  {name:<10} {told}; log-likelihood {model.process.log_likelihood:,.2f}; total {expected.sum() / actual.sum() - 1:+.1%}, MAE {np.abs(expected - actual).mean():.4f}")


def show_retail(orders: pa.Table) -> None:
    print("Online Retail II, to 2011-12-09: error of the total, MAE (own past rate, mean)")
    end = dt.date(2011, 12, 9)
    histories, _ = read(orders, zone="UTC", as_of=None)
    for cut in ("2010-06-30", "2010-09-30", "2010-12-09", "2011-03-31", "2011-06-09", "2011-09-09"):
        day = day_number(dt.date.fromisoformat(cut))
        rest = (end - dt.date.fromisoformat(cut)).days
        for kind in ("bg_nbd", "season"):
            model = holdout.counting(kind, histories, day)
            for days in sorted({91, min(rest, 365)}):
                check = holdout.checked(model, histories, day, days)
                print(f"  {cut} +{days:>3} {kind:<7} {check.error:+7.1%}  {check.mae:.3f} ({check.mae_own_rate:.3f}, {check.mae_mean:.3f})")
    for cut in ("2010-12-09", "2011-03-31"):
        for name in ("bg_nbd", "auto"):
            found = fit(orders, name, as_of=dt.date.fromisoformat(cut))
            print(f"  as of {cut}, {name}: {found.model}, {found.verdict}")


def show_speed(persons: int) -> None:
    print(f"Speed, {persons:,} persons (simulated)")
    summary, end = simulated(persons)
    began = time.perf_counter()
    clock = season.even(int(summary.first.min()))
    process, _ = timed("BG/NBD: distinct persons and fit", lambda: bg_nbd.fit(season.tuples_of(summary, clock, end, covariate=False)))
    spending, _ = timed("Gamma-Gamma: fit", lambda: holdout.spending_of(summary))
    assert isinstance(process, bg_nbd.BetaGeometric)
    assert isinstance(spending, gamma_gamma.Spending)
    model = Fitted(kind="bg_nbd", clock=clock, process=process, spending=spending, end=end, shock=0.1)
    terms = Terms(share=0.4, order=3.0, month=0.1, discount=0.1)
    timed("score, 12 months, both intervals", lambda: model.score(summary, end=end, horizon=365, terms=terms))
    total = time.perf_counter() - began
    budget = BUDGET.get(persons)
    print(f"  total {total:.2f} s" + (f", budget {budget:.0f} s" if budget else "") + f"; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    print(f"  r {process.r:.3f} (0.55), alpha {np.exp(process.z[3]):.3f} (8), a {process.a:.3f} (0.8), b {process.b:.3f} (2.5); p {spending.p:.2f} (6), q {spending.q:.2f} (4), gamma {spending.gamma:.2f} (15)")
    _beside_lifetimes(summary, end, total)
    _beside_pymc_marketing(summary, end, total)


def _beside_lifetimes(summary: Summary, end: int, ours: float) -> None:
    if importlib.util.find_spec("lifetimes") is None or importlib.util.find_spec("autograd") is None:
        print("  lifetimes is not installed here: no ratio")
        return
    from lifetimes import BetaGeoFitter

    weeks = (summary.count - 1, (summary.last - summary.first) / 7, (end - summary.first) / 7)
    _, seconds = timed("lifetimes: BG/NBD fit alone", lambda: BetaGeoFitter(penalizer_coef=0.0).fit(*weeks))
    print(f"  ratio of our whole work to its fit: {ours / seconds:.2f}")


def _beside_pymc_marketing(summary: Summary, end: int, ours: float) -> None:
    """Its most probable parameters (MAP) with its own priors; a second fit finds the compiled model in its cache."""
    if importlib.util.find_spec("pymc_marketing") is None:
        print("  pymc-marketing is not installed here: no ratio")
        return
    import pandas as pd
    from pymc_marketing.clv import BetaGeoModel

    weeks = {"frequency": summary.count - 1, "recency": (summary.last - summary.first) / 7, "T": (end - summary.first) / 7}
    frame = pd.DataFrame({"customer_id": np.arange(len(summary)), **weeks})
    for cache in ("first", "compiled before"):
        model = BetaGeoModel()
        found, seconds = timed(f"pymc-marketing: BG/NBD by MAP ({cache})", lambda model=model: model.fit(frame, method="map", progressbar=False))
        told = {name: float(found.posterior[name].values.ravel()[0]) for name in ("r", "alpha", "a", "b")}  # type: ignore[attr-defined]  # ArviZ is untyped
        print(f"  ratio of our whole work to its fit: {ours / seconds:.2f}; " + ", ".join(f"{name} {value:.3f}" for name, value in told.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--large", action="store_true", help="ten million persons as well")
    parser.add_argument("--orders", type=Path, default=RETAIL, help="Online Retail II as Parquet")
    given = parser.parse_args()
    sample = cdnow()
    if sample is None:
        print("CDNOW: its data come with the package `lifetimes`, which is not installed")
    else:
        show_cdnow(sample)
    if given.orders.is_file():
        show_retail(retail(given.orders))
    else:
        print(f"Online Retail II: {given.orders} is not there")
    show_speed(given.persons)
    if given.large:
        show_speed(10_000_000)


if __name__ == "__main__":
    main()
