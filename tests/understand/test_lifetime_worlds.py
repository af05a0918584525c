"""Lifetime value in many simulated worlds, half of which break the model; and the eleven back-tests of the real shop (all with KUNDIG_FULL=1)."""

from __future__ import annotations

import datetime as dt
import os

import numpy as np
import pytest
from bench.lifetime_value import RETAIL, retail
from tests.understand.test_lifetime_value import DAYS, _judged, _pit, needs_retail

from kundig.understand.lifetime_value import choice, holdout
from kundig.understand.lifetime_value.histories import day_number, read
from kundig.understand.lifetime_value.kinds import Kind

FULL = os.environ.get("KUNDIG_FULL") == "1"
WORLDS = 200 if FULL else 4
BREAKS = ("christmas", "erlang", "trend", "censored", "wholesale")


def test_where_the_model_holds_nine_in_ten_outcomes_lie_in_the_interval() -> None:
    inside, tenths, plain, totals, worlds = [], [], [], 0, WORLDS // 2
    for seed in range(worlds):
        found, predicted, came, worth = _judged(2_000, 500 + seed, "none", "bg_nbd")
        pit = _pit(found, came, seed)
        inside.append((pit > 0.05) & (pit < 0.95))
        tenths.append(np.argsort(np.argsort(predicted["expected_value"].to_numpy())) * 10 // len(came))
        plain.append((predicted["outcome_low"].to_numpy() - 1e-9 <= worth) & (worth <= predicted["outcome_high"].to_numpy()))
        total = found.total(DAYS, of="purchases")
        totals += int(total.low <= came.sum() <= total.high)
    held, tenth = np.concatenate(inside), np.concatenate(tenths)
    parts = [float(held[tenth == number].mean()) for number in range(10)]
    print(f"\n{worlds} worlds as the model says: {held.mean():.3f} inside, tenths {min(parts):.3f} to {max(parts):.3f}, outcomes {np.concatenate(plain).mean():.3f}, totals {totals}")
    assert held.mean() == pytest.approx(0.9, abs=0.03)
    assert parts == pytest.approx([0.9] * 10, abs=0.04)
    assert np.concatenate(plain).mean() >= 0.9
    assert totals >= 0.85 * worlds


def test_where_it_does_not_hold_the_verdict_falls_or_the_interval_covers() -> None:
    told, worlds = [], WORLDS // 2
    for seed in range(worlds):
        breaks = BREAKS[seed % len(BREAKS)]
        found, _, came, _ = _judged(2_000, 900 + seed, breaks, "bg_nbd")
        total = found.total(DAYS, of="purchases")
        told.append((breaks, found.verdict.level != "usable", bool(total.low <= came.sum() <= total.high)))
    for breaks in BREAKS:
        mine = [row for row in told if row[0] == breaks]
        print(f"\n{breaks}: {len(mine)} worlds, verdict below usable in {sum(row[1] for row in mine)}, total covered in {sum(row[2] for row in mine)}", end="")
    assert sum(fell or covered for _, fell, covered in told) >= 0.9 * worlds


PUBLISHED = {
    ("2010-06-30", 91): 0.775, ("2010-06-30", 365): 2.22, ("2010-09-30", 91): 0.909, ("2010-09-30", 365): 2.09, ("2010-12-09", 91): 0.573, ("2010-12-09", 365): 1.91,
    ("2011-03-31", 91): 0.599, ("2011-03-31", 253): 1.394, ("2011-06-09", 91): 0.570, ("2011-06-09", 183): 1.068, ("2011-09-09", 91): 0.718,
}  # fmt: skip
"""MAE of the season clock with entry date and decay, to be reached."""


@needs_retail
def test_eleven_back_tests_of_the_real_shop() -> None:
    end = dt.date(2011, 12, 9)
    histories, _ = read(retail(RETAIL), zone="UTC", as_of=None)
    errors: dict[tuple[str, int], float] = {}
    for cut in sorted({cut for cut, _ in PUBLISHED}):
        day = day_number(dt.date.fromisoformat(cut))
        kind: Kind = choice.chosen(histories, day, "auto")[0] if FULL else "season"
        model = holdout.counting(kind, histories, day)
        for days in sorted(days for at, days in PUBLISHED if at == cut):
            assert day + days <= day_number(end)
            check = holdout.checked(model, histories, day, days)
            errors[cut, days] = check.error
            print(f"\n{cut} +{days}: {kind} {check.error:+.1%}, MAE {check.mae:.3f} (own rate {check.mae_own_rate:.3f}, mean {check.mae_mean:.3f})", end="")
            assert check.mae <= 1.02 * PUBLISHED[cut, days] + 5e-4, (cut, days)
    assert len(errors) == 11
    assert abs(errors["2010-12-09", 365]) <= 0.10
    assert abs(errors["2011-03-31", 253]) <= 0.10
    assert sum(abs(error) <= 0.10 for error in errors.values()) >= 8
