"""Prediction as a library: ranking and calibration on real people, leaks found by timing alone, drift, reasons, fairness."""

from __future__ import annotations

import datetime as dt
import sys
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bench.baselines import baselines
from bench.prediction_frames import bank, coupons, mapping

import kundig
from kundig.errors import EstimateError, MissingExtra
from kundig.understand.propensity import Propensity, frames, judging
from kundig.understand.propensity.calibrating import Calibration, steps
from kundig.understand.propensity.card import _texts
from kundig.understand.propensity.folds import by_time, stratified

SOLD = {"target": "y", **mapping("bank_marketing")}


@cache
def sold() -> Propensity:
    """The bank's prediction, from the cut of its calls."""
    return kundig.propensity.fit(bank(), **SOLD, groups=("marital",), gain=10.0, cost=1.0)


@cache
def redeemed() -> Propensity:
    """Who redeems a coupon, judged campaign after campaign."""
    return kundig.propensity.fit(coupons(), target="redeemed", time="start_date", known_at={"redeemed": "end_date"}, leave_out=("household_id", "campaign_id"))


def test_ranking_is_not_below_the_better_baseline() -> None:
    calls, journey = bank(), coupons()
    outcome = np.asarray(pc.equal(calls["y"], "yes").to_numpy(), float)
    rivals = baselines(calls, outcome, ["y", "duration"])
    assert sold().report.auc is not None
    assert sold().report.auc >= max(rivals.values()) - 0.005, rivals
    back = np.asarray(journey["redeemed"].to_numpy(), float)
    rivals = baselines(journey, back, ["redeemed", "household_id", "campaign_id", "start_date", "end_date"], "start_date", "end_date")
    assert redeemed().report.auc is not None
    assert redeemed().report.auc >= max(rivals.values()) - 0.005, rivals


def test_probabilities_come_true() -> None:
    report = sold().report
    assert report.calibration_slope is not None and 0.9 <= report.calibration_slope <= 1.1
    assert report.calibration_error is not None and report.calibration_error < 0.02
    assert report.log_loss is not None and report.log_loss_of_rate is not None and report.log_loss < report.log_loss_of_rate - 0.05
    assert report.verdict == "usable" and report.folds == "stratified"
    assert report.lift[0].lift is not None and report.lift[0].lift > 3 > 1 > (report.lift[-1].lift or 0)
    mean = float(np.mean(sold().predict(bank())["probability"].to_numpy()))
    assert abs(mean - report.rate) < 0.01
    mixed = kundig.propensity.fit(coupons(), target="redeemed", leave_out=("household_id", "campaign_id", "start_date", "end_date"), only="small").report
    assert mixed.calibration_slope is not None and 0.9 <= mixed.calibration_slope <= 1.1
    assert redeemed().report.folds == "time"


def test_a_leak_is_found_by_its_timing_whatever_its_name() -> None:
    assert sold().refused["duration"].code == "known_too_late"
    renamed = bank().rename_columns(["age" if name == "duration" else "duration" if name == "age" else name for name in bank().column_names])
    timing = mapping("bank_marketing")
    timing["known_at"] = {"age": "end_of_call", "y": "end_of_call"}
    other = kundig.propensity.fit(renamed, target="y", **timing, only="linear")
    assert other.refused["age"].code == "known_too_late" and "duration" not in other.refused
    told_nothing = kundig.propensity.fit(bank(), target="y", only="linear").report.auc
    assert told_nothing is not None and other.report.auc is not None and told_nothing > other.report.auc + 0.05


@pytest.mark.parametrize("moment, late", [
    (dt.timedelta(days=-1), False), (dt.timedelta(0), False), (dt.timedelta(hours=1), True), (dt.timedelta(days=40), True),
    (dt.datetime(2025, 12, 31), False), (dt.datetime(2026, 1, 20), True), ("seen_at", True), ("early_at", False),
])  # fmt: skip
def test_every_kind_of_moment_is_compared_with_the_cut_off(moment: object, late: bool) -> None:
    cut = [dt.datetime(2026, 1, 1) + dt.timedelta(days=day % 30) for day in range(300)]
    frame = pa.table({"y": [n % 3 == 0 for n in range(300)], "x": [float(n % 7) for n in range(300)], "z": [float(n % 5) for n in range(300)], "cut": cut,
                      "seen_at": [moment + dt.timedelta(days=2 if n == 7 else -2) for n, moment in enumerate(cut)], "early_at": [moment - dt.timedelta(days=2) for moment in cut]})  # fmt: skip
    found = kundig.propensity.fit(frame, target="y", time="cut", known_at={"x": moment, "y": dt.timedelta(days=30)}, only="linear")  # type: ignore[dict-item]  # the kinds are the point
    assert ("x" in found.refused) is late
    assert "seen_at" not in found.encoder.names or moment != "seen_at"


def test_moments_that_cannot_be_compared_are_told() -> None:
    for timing, words in (({"duration": "end_of_call"}, "named moment"), ({"duration": "later", "y": "end_of_call"}, "is not said"), ({"durations": "x"}, "did you mean 'duration'")):
        with pytest.raises(EstimateError, match=words):
            kundig.propensity.fit(bank(), target="y", known_at=timing)


def test_columns_that_say_nothing_are_refused() -> None:
    frame = pa.table({"y": [n % 4 == 0 for n in range(400)], "same": ["a"] * 400, "mail": [f"p{n}@example.org" for n in range(400)], "born": [dt.date(1990, 1, 1)] * 200 + [dt.date(1980, 1, 1)] * 200, "x": [n % 9 for n in range(400)]})
    found = kundig.propensity.fit(frame, target="y", only="linear")
    assert {name: refusal.code for name, refusal in found.refused.items()} == {"same": "says_nothing", "mail": "names_the_row", "born": "moment_without_cut_off"}
    with pytest.raises(EstimateError, match="did you mean 'same'"):
        kundig.propensity.fit(frame, target="sam")
    with pytest.raises(EstimateError, match="counts as yes is not clear"):
        kundig.propensity.fit(frame, target="x")


def test_too_few_outcomes_give_the_rate_and_say_so() -> None:
    frame = pa.table({"y": [n < 9 for n in range(500)], "x": list(range(500))})
    found = kundig.propensity.fit(frame, target="y")
    assert found.report.verdict == "not_usable" and found.report.because == ("too_few_outcomes",)
    assert np.allclose(found.predict(frame)["probability"].to_numpy(), 9 / 500)
    chance = np.random.default_rng(3)
    noise = pa.table({"y": chance.random(3_000) < 0.3, "x": chance.random(3_000)})
    assert kundig.propensity.fit(noise, target="y", only="linear").report.verdict != "usable"


def test_a_model_survives_being_stored_and_reads_frames_of_every_kind() -> None:
    again = Propensity.from_json(sold().to_json(), sold().report)
    expected = sold().predict(bank())["probability"].to_numpy()
    assert np.array_equal(again.predict(bank())["probability"].to_numpy(), expected)
    assert np.allclose(again.predict(bank().to_pandas())["probability"].to_numpy(), expected)
    job = bank()["job"].combine_chunks().dictionary_encode()
    coded = bank().set_column(1, "job", job)
    assert np.allclose(again.predict(coded)["probability"].to_numpy(), expected)
    assert np.allclose(kundig.propensity.fit(coded, **SOLD, only="linear").report.auc or 0, kundig.propensity.fit(bank(), **SOLD, only="linear").report.auc or 1)
    strange = bank().slice(0, 3).set_column(1, "job", pa.array(["astronaut", None, "admin."]))
    assert np.isfinite(again.predict(strange)["probability"].to_numpy()).all()
    with pytest.raises(EstimateError, match="column 'job' is missing"):
        again.predict(bank().drop_columns(["job"]))


def test_reasons_add_up_to_the_probability() -> None:
    few = bank().slice(0, 50)
    told = sold().reasons(few, most=99)
    sums = np.bincount(told["row"].to_numpy(), told["effect"].to_numpy())
    odds = judging.logit(sold().predict(few)["probability"].to_numpy())
    assert sold().calibration.kind == "line"
    assert np.ptp(odds - sums) < 1e-6, "the effects of a row differ from its log-odds by one number for all rows"
    assert sold().reasons(few).num_rows == 150 and set(told["place"].to_pylist()) == set(range(1, len(sold().encoder.names) + 1))


def test_drift_is_seen_where_it_is() -> None:
    assert max(sold().drift(bank()).values()) < 0.1
    older = bank().set_column(0, "age", pc.add(bank()["age"], 15))
    drift = sold().drift(older)
    assert drift["age"] > judging.PSI_DRIFTED and drift["job"] < 1e-9


def test_fairness_and_money_are_told() -> None:
    report = sold().report
    groups = {group.name: group for group in report.fairness["marital"]}
    assert set(groups) >= {"single", "married", "divorced"} and "marital" not in sold().encoder.names
    assert all(abs(group.expected - group.actual) < 0.05 and group.chosen is not None for group in groups.values() if group.rows > 500)
    assert report.best is not None and report.best.net == max(choice.net for choice in report.curve) > 0
    assert 0.05 < report.best.threshold < 0.2, "acting pays from a probability of cost / gain = 0.1 on"


def test_samples_keep_positives_and_the_level() -> None:
    chance = np.random.default_rng(5)
    x = chance.normal(size=60_000)
    frame = pa.table({"x": x, "y": chance.random(60_000) < judging.expit(x * 1.5 - 5)})
    found = kundig.propensity.fit(frame, target="y", sample=8_000, only="linear")
    assert found.report.rows_trained == 8_000 and found.report.rows == 60_000
    mean = float(np.mean(found.predict(frame)["probability"].to_numpy()))
    assert abs(mean / found.report.rate - 1) < 0.05
    assert found.report.calibration_slope is not None and 0.9 < found.report.calibration_slope < 1.1


def test_folds_in_time_learn_from_what_was_decided_before() -> None:
    time = np.repeat(np.arange(10.0), 30)
    outcome = np.tile([0.0, 1.0], 150)
    folds = by_time(time, outcome, 4, decided=time + 2)
    assert folds and all(time[known].max() + 2 <= time[held].min() for known, held in folds)
    assert any(time[known].max() + 2 > time[held].min() for known, held in by_time(time, outcome, 4))
    assert sorted(np.concatenate([held for _, held in stratified(outcome, 5, 1)]).tolist()) == list(range(300))


def test_measures_agree_with_the_field() -> None:
    from sklearn.isotonic import IsotonicRegression
    from sklearn.metrics import log_loss, roc_auc_score

    chance = np.random.default_rng(2)
    odds = chance.normal(size=4_000).round(2)
    outcome = (chance.random(4_000) < judging.expit(odds)).astype(float)
    weight = chance.random(4_000) + 0.5
    assert judging.auc(outcome, odds, weight) == pytest.approx(roc_auc_score(outcome, odds, sample_weight=weight))
    assert judging.log_loss(outcome, judging.expit(odds), weight) == pytest.approx(log_loss(outcome, judging.expit(odds), sample_weight=weight))
    assert judging.slope(outcome, judging.expit(2 * odds))[0] == pytest.approx(judging.slope(outcome, judging.expit(odds))[0] / 2, rel=1e-4)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(odds, outcome).predict(odds)
    ours: Calibration = steps(odds, outcome, np.ones(4_000))
    assert np.abs(ours(odds) - theirs).mean() < 0.02 and np.all(np.diff(ours(np.sort(odds))) >= 0)


def test_without_lightgbm_one_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtra, match=r"kundig\[ml\]"):
        kundig.propensity.fit(bank(), target="y", only="small")


def _keys(node: object, above: str = "") -> list[str]:
    return [key for name, value in node.items() for key in _keys(value, f"{above}{name}.")] if isinstance(node, dict) else [above]


def test_the_card_tells_the_figures_in_both_languages() -> None:
    english, german = sold().card(name="deposit"), sold().card(name="Festgeld", language="de")
    report = sold().report
    assert f"{report.auc:.3f}" in english.markdown() and f"{report.auc:.3f}".replace(".", ",") in german.markdown()
    assert "Model card: deposit" in english.html() and "Nicht verwendete Spalten" in german.html() and "duration" in german.markdown()
    for text in (english.markdown(), german.html(), kundig.propensity.card(redeemed().report, language="de").markdown()):
        assert not any(word in text.split() for word in ("nan", "None", "inf"))
    assert "&lt;script&gt;" in kundig.propensity.card(report, name="<script>").html()
    assert _keys(dict(_texts("de"))) == _keys(dict(_texts("en")))
    few = kundig.propensity.fit(pa.table({"y": [n < 9 for n in range(500)], "x": list(range(500))}), target="y")
    assert "Nicht verwendbar." in few.card(language="de").markdown()


def test_the_linear_model_weighs_features_as_its_design_does():
    """What is scored a feature at a time is what the model learnt on: gaps, rare texts, skewed numbers and infinite ones."""
    draw = np.random.default_rng(5)
    numbers, skewed = draw.normal(size=400), draw.lognormal(0, 2, 400)
    numbers[::9], skewed[3] = np.nan, np.inf
    texts = [None if place % 11 == 0 else f"level {draw.integers(4)}" for place in range(399)] + ["seen once"]
    frame = pa.table({"number": numbers, "skewed": skewed, "text": texts, "whole": draw.integers(0, 9, 400)})
    encoder = frames.learn(frame.slice(0, 350), frame.column_names, None)
    assert {feature.kind for feature in encoder.features} == {"number", "category"}
    assert any(feature.logarithm for feature in encoder.features)
    coefficients = draw.normal(size=sum(feature.width for feature in encoder.features))
    matrix = encoder.matrix(frame)
    assert np.allclose(encoder.weighed(matrix, coefficients), encoder.design(matrix) @ coefficients, atol=1e-12)
    assert not np.allclose(encoder.weighed(matrix, coefficients), encoder.design(matrix) @ coefficients[::-1])
