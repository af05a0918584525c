"""What a prediction must not lose to: logistic regression and LightGBM with defaults, on the folds it is judged on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from kundig.understand.propensity.folds import Fold, by_time, stratified
from kundig.understand.propensity.frames import Floats, micros
from kundig.understand.propensity.judging import auc


def baselines(table: pa.Table, target: Floats, without: list[str], time: str | None = None, decided: str | None = None) -> dict[str, float]:
    """Mean AUC over folds of scikit-learn's logistic regression (standardised, one-hot) and of LightGBM as it comes."""
    order = micros(table[time]) if time is not None else None
    known = micros(table[decided]) if decided is not None else None
    folds: list[Fold] = stratified(target, 5, 1) if order is None else by_time(order, target, 5, known)
    frame = table.drop_columns(without).to_pandas()
    return {"logistic regression": _mean(_linear(frame, target, folds)), "LightGBM": _mean(_trees(frame, target, folds))}


def _mean(parts: list[tuple[float, int]]) -> float:
    return float(np.average([part for part, _ in parts], weights=[size for _, size in parts]))


def _linear(frame: pd.DataFrame, target: Floats, folds: list[Fold]) -> list[tuple[float, int]]:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    texts = [name for name in frame if frame[name].dtype == object]
    rest = [name for name in frame if name not in texts]
    whole = frame.assign(**{name: frame[name].fillna("") for name in texts})
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), texts), (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), rest))
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    return [(auc(target[held], model.fit(whole.iloc[own], target[own]).predict_proba(whole.iloc[held])[:, 1]), len(held)) for own, held in folds]


def _trees(frame: pd.DataFrame, target: Floats, folds: list[Fold]) -> list[tuple[float, int]]:
    import lightgbm

    whole = frame.copy()
    for name in frame:
        if frame[name].dtype == object:
            whole[name] = frame[name].astype("category")
    found = []
    for own, held in folds:
        model = lightgbm.train({"objective": "binary", "verbosity": -1, "seed": 1}, lightgbm.Dataset(whole.iloc[own], target[own]))
        found.append((auc(target[held], np.asarray(model.predict(whole.iloc[held]))), len(held)))
    return found
