"""costs.yaml, segments/axes.yaml and persona_matrix.csv: the defaults serve as they are, and faults say what, where, mend."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import kundig.config
from kundig.config.load import Config, load
from kundig.config.understand import MATRIX_COLUMNS, NUMBERS, TEXTS, VALUES, VARIABLES, Axes, Costs, Matrix, fitting, matrix_faults
from kundig.errors import ConfigError
from kundig.tables.understand import FEATURES, LIFETIME_VALUES

DEFAULTS = Path(kundig.config.__file__).parent / "defaults"
NAMES = ("costs.yaml", "segments/axes.yaml", "persona_matrix.csv")


def _workspace(folder: Path, **changes: tuple[str, str]) -> Path:
    """The default files, each with a text replaced; a name is the file's with _ for . and /."""
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DEFAULTS / name, folder / name)
        if (change := changes.get(name.replace(".", "_").replace("/", "_"))) is not None:
            text = (folder / name).read_text(encoding="utf-8")
            assert change[0] in text
            (folder / name).write_text(text.replace(*change, 1), encoding="utf-8")
    (folder / "kundig.toml").write_text("", encoding="utf-8")
    return folder


def _loaded(folder: Path) -> Config:
    config = load(folder)
    fitting(config.axes, config.matrix)
    return config


def test_the_default_files_say_what_is_assumed_without_them(tmp_path: Path) -> None:
    config = _loaded(_workspace(tmp_path))
    assert config.costs == Costs()
    assert config.axes == Axes()
    assert tuple(config.matrix.rows[0]) == (*MATRIX_COLUMNS, *VARIABLES)
    assert {row["state"] for row in config.matrix.rows} == set(Axes().state.names)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "kundig.toml").write_text("", encoding="utf-8")
    assert _loaded(bare).matrix.segments == ("everyone",)


def test_german_texts_say_du(tmp_path: Path) -> None:
    rows = _loaded(_workspace(tmp_path)).matrix.rows
    assert all(row["key_message"] for row in rows)
    words = " ".join(" ".join(row.values()) for row in rows)
    assert " Ihr" not in words
    assert " Sie " not in words


def test_numbers_and_texts_are_columns_of_the_tables() -> None:
    assert set(NUMBERS) | set(TEXTS) <= set(FEATURES.names)
    assert set(VALUES) <= set(LIFETIME_VALUES.names)


@pytest.mark.parametrize(
    "changes, what, at, mend",
    [
        ({"persona_matrix_csv": ("new_top,top,", "new_top,topp,")}, "the value_tier 'topp' of segment 'new_top' is not defined", "persona_matrix.csv, row 3", "did you mean 'top'"),
        ({"persona_matrix_csv": ("prospect,*,*,prospect", "prospect,*,*,prospekt")}, "the state 'prospekt'", "persona_matrix.csv, row 2", "did you mean 'prospect'"),
        ({"persona_matrix_csv": ("lapsed,*,*,lapsed", "lapsed,plus,*,lapsed")}, "no row fits the cells basic × bargain × lapsed", "persona_matrix.csv", "add rows"),
        ({"persona_matrix_csv": ("new_top,top,*", "new_top,*,*")}, "the segment 'new' can have no member", "persona_matrix.csv, row 4", "move it above"),
        ({"persona_matrix_csv": ("new_top,", "new,")}, "the segment 'new' stands in rows 3 and 4", "persona_matrix.csv", "once"),
        ({"persona_matrix_csv": ("new_top,top,", "new_top,,")}, "row 3 has no value_tier", "persona_matrix.csv", "write * for any"),
        ({"persona_matrix_csv": ("behavior_cluster,", "behaviour_cluster,")}, "the column 'behavior_cluster' is missing", "persona_matrix.csv", "did you mean 'behaviour_cluster'"),
        ({"persona_matrix_csv": ("segment_id,value_tier", "value_tier,segment_id")}, "column 1 is 'value_tier' and should be 'segment_id'", "persona_matrix.csv", "the first seven"),
        ({"segments_axes_yaml": ("measure: expected_value", "measure: expected_valu")}, "there is no number 'expected_valu'", "segments/axes.yaml, line 4", "did you mean 'expected_value'"),
        ({"segments_axes_yaml": ("feature: discount_share", "feature: discount")}, "there is no feature 'discount'", "segments/axes.yaml", "discount_share"),
        ({"segments_axes_yaml": ("start: 0.8", "start: 0.4")}, "the starts of the tiers do not rise", "segments/axes.yaml", "from the lowest up"),
        ({"segments_axes_yaml": ("start: 0.8", "start: 80")}, "quantiles lie between 0 and 1", "segments/axes.yaml", ""),
        ({"segments_axes_yaml": ("at_least: 4", "one_of: [four]")}, "'categories_seen' is a number", "segments/axes.yaml", "at_least"),
        ({"segments_axes_yaml": ("lifecycle: [at_risk]", "lifecycle: [at-risk]")}, "is 'at-risk'", "segments/axes.yaml", "did you mean 'at_risk'"),
        ({"segments_axes_yaml": ("name: new,", "name: active,")}, "the state 'active' stands twice", "segments/axes.yaml", "once"),
        ({"costs_yaml": ("goods_share: 0.55", "goods_share: 55")}, "goods_share", "costs.yaml, line 3", ""),
        ({"costs_yaml": ("return_order:", "retour_order:")}, "unknown key 'retour_order'", "costs.yaml, line 10", "did you mean 'return_order'"),
    ],
)
def test_faults_say_what_where_and_mend(tmp_path: Path, changes, what: str, at: str, mend: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _loaded(_workspace(tmp_path, **changes))
    assert what in str(caught.value)
    assert at in str(caught.value)
    assert mend in str(caught.value)


def test_all_faults_of_the_matrix_come_at_once() -> None:
    rows = Matrix().rows[0]
    wrong = Matrix(rows=({**rows, "segment_id": "a", "state": "x"}, {**rows, "segment_id": "b", "value_tier": "y"}, {**rows, "segment_id": "c"}))
    assert len(list(matrix_faults(Axes(), wrong))) == 2
