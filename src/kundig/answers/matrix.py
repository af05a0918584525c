"""Changes of the matrix: what a changed persona_matrix.csv or segments/axes.yaml moves, in people and money, before it is applied; and what applying it does."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kundig.config.load import Config, load
from kundig.config.understand import MATRIX_COLUMNS, NUMBERS, VALUES, Axes, Matrix
from kundig.errors import ConfigError, KundigError
from kundig.understand.matrix import Cells, Suggestion

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from kundig.workspace import Workspace

MATRIX, AXES = "persona_matrix.csv", "segments/axes.yaml"
FILES = (MATRIX, AXES)
MARKED = "data/marked_creatives.json"
"""Creatives that an applied change marked stale before the next run makes them anew."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """Persons who go from one segment to another, and the expected value they carry; None: from or to no segment."""

    before: str | None
    after: str | None
    persons: int
    value: float


@dataclass(frozen=True, kw_only=True)
class MatrixDiff:
    """What a changed matrix does to the people of the newest release."""

    text: str
    """The change as a unified diff of the files; empty where the files last applied are not kept or nothing differs."""
    rows: Mapping[str, str]
    """Segment → new, changed, gone."""
    persons: int
    """Persons of the release."""
    stay: int
    """Of them, those who stay where they are."""
    moves: tuple[Move, ...]
    """The moves, most persons first."""
    stale: tuple[str, ...]
    """Creatives made from rows that change: shown, not sent, until the next run makes them anew."""

    @property
    def moved(self) -> int:
        """How many persons move."""
        return sum(move.persons for move in self.moves)

    @property
    def value(self) -> float:
        """The expected value that moves with them."""
        return sum(move.value for move in self.moves)


@dataclass(frozen=True, kw_only=True)
class MatrixApplied:
    """What applying did."""

    diff: MatrixDiff
    files: tuple[str, ...]
    proposal_id: str
    marked: int
    """Creatives marked stale in the release, so that they are not sent."""


def matrix_diff(workspace: Workspace, proposal: Path | None = None) -> MatrixDiff:
    """What the workspace's matrix and axes, or those in the folder `proposal`, would move, were they applied now.

    It is computed with the features, values and states of the newest release, so time moves nobody; tiers by quantiles that change are cut anew.

    Raises:
        ConfigError: The files do not fit each other, or the folder has neither.
        KundigError: There is no release yet.
    """
    axes, matrix = _proposed(workspace, proposal)
    placed = _placed(workspace, axes, matrix)
    before = workspace.table("segment_members")
    before = before.filter(before.member).select("person_key", before_id="segment_id")
    values = workspace.table("lifetime_values").select("person_key", value="expected_value")
    both = placed.select("person_key", after_id="segment_id").outer_join(before, "person_key")
    both = both.mutate(person=both.person_key.fill_null(both.person_key_right)).select("person", "before_id", "after_id").left_join(values, [("person", "person_key")])
    counted = both.group_by("before_id", "after_id").aggregate(persons=both.count(), value=both.value.cast("float64").sum().fill_null(0.0)).to_pyarrow().to_pylist()
    moves = [Move(before=row["before_id"], after=row["after_id"], persons=row["persons"], value=row["value"]) for row in counted if row["before_id"] != row["after_id"]]
    stay = sum(row["persons"] for row in counted if row["before_id"] == row["after_id"])
    before_texts, after_texts = _before(workspace), _texts(workspace, proposal)
    return MatrixDiff(
        text=_unified(before_texts, after_texts), rows=_rows_changed(before_texts.get(MATRIX), matrix), persons=stay + sum(move.persons for move in moves), stay=stay,
        moves=tuple(sorted(moves, key=lambda move: (-move.persons, str(move.before), str(move.after)))), stale=tuple(_outdated(workspace, matrix)),
    )  # fmt: skip


def matrix_apply(workspace: Workspace, proposal: Path | None = None) -> MatrixApplied:
    """Accept a changed matrix: the files stand in the workspace as they were proposed, its creatives are stale at once, and the change is on record.

    The record is a row of `proposals` with the diff and its effect, and one of the audit log: what announces changes reads it there. The next run
    moves the people and makes the creatives anew.

    Raises:
        ConfigError: Other files changed as well, or those proposed do not fit each other.
        KundigError: There is no release yet.
    """
    from kundig import audit
    from kundig.clock import now

    others = [change.path for change in workspace.changed_files() if change.path not in FILES]
    if others:
        raise ConfigError(f"other files changed as well: {', '.join(others[:5])}", at=str(workspace.root), mend="kundig plan shows what they do, kundig apply accepts all of them; then apply the matrix")
    diff = matrix_diff(workspace, proposal)
    texts = _texts(workspace, proposal)
    for name, text in texts.items() if proposal is not None else ():
        target = workspace.root / name
        if not target.is_file() or target.read_bytes() != text.encode("utf-8"):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_suffix(".new").write_text(text, encoding="utf-8", newline="")
            target.with_suffix(".new").replace(target)
    applied = type(workspace)(workspace.root) if proposal is not None else workspace
    try:
        with applied.writing("matrix apply"):
            marked = _mark(applied, diff.stale)
            files = tuple(change.path for change in applied.apply())
            at = now()
            proposal_id = hashlib.sha256(f"{at.isoformat()}\n{json.dumps(texts, sort_keys=True)}".encode()).hexdigest()[:16]
            effect = {
                "persons": diff.persons, "moved": diff.moved, "value": round(diff.value, 2), "creatives_stale": len(diff.stale), "rows": dict(diff.rows),
                "moves": [{"from": move.before, "to": move.after, "persons": move.persons, "value": round(move.value, 2)} for move in diff.moves[:50]],
            }  # fmt: skip
            if files:
                with applied.state.transaction() as connection:
                    row = {"proposal_id": proposal_id, "path": ", ".join(files), "diff": diff.text, "effect": json.dumps(effect, ensure_ascii=False), "author": "cli", "status": "accepted", "created_at": at}
                    applied.state.insert("proposals", [row], connection=connection)
                    details = {"files": list(files), "persons_moved": diff.moved, "value_moved": round(diff.value, 2), "creatives_stale": len(diff.stale)}
                    audit.append(applied.state, actor="cli", role="owner", action="matrix apply", object_kind="proposal", object_id=proposal_id, details=details, connection=connection)
    finally:
        if applied is not workspace:
            applied.state.engine.dispose()
            applied.lake.close()
    return MatrixApplied(diff=diff, files=files, proposal_id=proposal_id if files else "", marked=marked)


def matrix_suggest(workspace: Workspace, *, least: int = 50) -> Suggestion:
    """A matrix made from the people of the newest release: tiers that halve the value, rows of at least `least` persons, no cell without a row.

    Raises:
        KundigError: There is no release yet.
    """
    import numpy as np

    from kundig.understand.matrix import suggest, suggested_axes

    config = workspace.config
    features = workspace.table("features")
    wide = features.filter(features.purchase_days > 0).select("person_key", *NUMBERS).left_join(workspace.table("lifetime_values").select("person_key", *VALUES), "person_key")
    numbers = {name: np.asarray(wide.select(number=wide[name].cast("float64")).to_pyarrow()["number"].to_numpy(zero_copy_only=False), np.float64) for name in _asked(config.axes)}
    axes = suggested_axes(config.axes, numbers[config.axes.value.measure], numbers)
    present = cells_of(workspace, config.axes)
    after = present if axes == config.axes else cells_of(workspace, axes)
    return suggest(config.matrix, axes, after, present=present, before_axes=config.axes, least=least)


def write_suggestion(workspace: Workspace, suggestion: Suggestion, folder: Path) -> tuple[Path, ...]:
    """Write the suggested files into a folder, for `diff` and `apply` to take from there; comments of segments/axes.yaml stay. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    matrix = folder / MATRIX
    matrix.write_text(matrix_text(suggestion.matrix, _texts(workspace, None).get(MATRIX, "")), encoding="utf-8", newline="")
    axes = folder / AXES
    axes.parent.mkdir(parents=True, exist_ok=True)
    axes.write_text(_axes_text(workspace, suggestion.axes), encoding="utf-8")
    return matrix, axes


def matrix_text(matrix: Matrix, before: str = "") -> str:
    """The matrix as CSV, a line a row; a row that stands in `before` keeps its line to the byte, so that a diff shows what changed and no more.

    Examples:
        >>> print(matrix_text(Matrix()), end="")
        segment_id,value_tier,behavior_cluster,state,key_message,visual_guideline,offer_code
        everyone,*,*,*,,,
    """
    columns = [*MATRIX_COLUMNS, *dict.fromkeys(name for row in matrix.rows for name in row if name not in MATRIX_COLUMNS)]
    lines = before.splitlines()
    known = {tuple(next(csv.reader([line]), ())): line for line in lines[1:]} if lines and next(csv.reader(lines[:1])) == columns else {}
    out = [lines[0] if known else ",".join(columns)]
    for row in matrix.rows:
        values = [row.get(name, "") for name in columns]
        written = io.StringIO()
        csv.writer(written, lineterminator="").writerow(values)
        out.append(known.get(tuple(values), written.getvalue()))
    return "\n".join(out) + "\n"


def cells_of(workspace: Workspace, axes: Axes) -> Cells:
    """Persons and expected value of each cell of the axes, in the newest release."""
    from kundig.understand.segments import cells

    placed = cells(*_inputs(workspace, axes), axes)
    values = workspace.table("lifetime_values").select("person_key", amount="expected_value")
    wide = placed.select("person_key", "value_tier", "behavior_cluster", "matrix_state").left_join(values, "person_key")
    counted = wide.group_by("value_tier", "behavior_cluster", "matrix_state").aggregate(persons=wide.count(), value=wide.amount.cast("float64").sum().fill_null(0.0))
    return Cells(held={(row["value_tier"], row["behavior_cluster"], row["matrix_state"]): (row["persons"], row["value"]) for row in counted.to_pyarrow().to_pylist()})


def _asked(axes: Axes) -> set[str]:
    return {axes.value.measure, *(cluster.when[0].feature for cluster in axes.behaviour.clusters if cluster.when[0].at_least is not None)}


def _placed(workspace: Workspace, axes: Axes, matrix: Matrix) -> ir.Table:
    from kundig.understand.segments import segments

    placed: ir.Table = segments(*_inputs(workspace, axes), axes=axes, matrix=matrix)
    return placed


def _inputs(workspace: Workspace, axes: Axes) -> tuple[ir.Table, ir.Table, ir.Table, ir.Table]:
    """Features, values, states and models of the release; the bounds of the tiers cut anew where the axis is another than the fitted one."""
    import ibis

    from kundig.understand.models import TIERS, segment_tiers

    features, values, states, models = (workspace.table(name) for name in ("features", "lifetime_values", "lifecycle_states", "models"))
    if axes.value == workspace.config.axes.value and AXES not in {change.path for change in workspace.changed_files()}:
        return features, values, states, models
    release = workspace.lake.release()
    if release is None:
        raise KundigError("there is no release yet", at=str(workspace.root), mend="kundig import, then kundig run")
    config = workspace.config
    known = models.to_pyarrow()
    fitted = segment_tiers(
        features.to_pyarrow(), known, as_of=release.moment, zone=config.settings.workspace.zone, axes=axes, costs=config.costs,
        horizon_months=config.settings.value.horizon_months, discount_rate=config.settings.value.discount_rate,
    )  # fmt: skip
    parameters = fitted["parameters"][0].as_py()
    return features, values, states, models.mutate(parameters=ibis.cases((models.model == TIERS, ibis.literal(parameters)), else_=models.parameters))


def _proposed(workspace: Workspace, proposal: Path | None) -> tuple[Axes, Matrix]:
    """Axes and matrix as proposed, each from the folder where it is there and from the workspace where it is not."""
    if proposal is None:
        return workspace.config.axes, workspace.config.matrix
    given = [name for name in FILES if (proposal / name).is_file()]
    if not given:
        raise ConfigError(f"the folder has neither {MATRIX} nor {AXES}", at=str(proposal), mend="kundig matrix suggest --write FOLDER makes both")
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in ("kundig.toml", *FILES):
            source = (proposal if path in given else workspace.root) / path
            if source.is_file():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(source.read_bytes())
        read: Config = load(folder)
    return read.axes, read.matrix


def _texts(workspace: Workspace, proposal: Path | None) -> dict[str, str]:
    found = {}
    for name in FILES:
        path = proposal / name if proposal is not None and (proposal / name).is_file() else workspace.root / name
        if path.is_file():
            found[name] = path.read_bytes().decode("utf-8")
    return found


def _before(workspace: Workspace) -> dict[str, str]:
    """The texts of the files as they were last applied, as far as they are kept."""
    kept = workspace.root / "data" / "applied"
    return {name: (kept / name).read_bytes().decode("utf-8") for name in FILES if (kept / name).is_file()}


def _unified(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    parts: list[str] = []
    for name in FILES:
        if name in before or (before and name in after):
            parts += difflib.unified_diff(before.get(name, "").splitlines(keepends=True), after.get(name, "").splitlines(keepends=True), f"a/{name}", f"b/{name}")
    return "".join(parts)


def _rows_changed(before: str | None, matrix: Matrix) -> dict[str, str]:
    if before is None:
        return {}
    old = {row["segment_id"]: {name: text or "" for name, text in row.items()} for row in csv.DictReader(io.StringIO(before))}
    new = {row["segment_id"]: dict(row) for row in matrix.rows}
    told = {name: "new" if name not in old else "changed" for name, row in new.items() if old.get(name) != row}
    return told | {name: "gone" for name in old if name not in new}


def _outdated(workspace: Workspace, matrix: Matrix) -> list[str]:
    """Creatives of the release whose row of the matrix reads otherwise, or is not there any more."""
    from kundig.create.briefs import matrix_prints

    prints = matrix_prints(workspace.config, matrix)
    found = workspace.table("creatives").select("creative_id", "creative", "segment_id", "channel", "locale", "variant", "matrix_hash").to_pyarrow().to_pylist()
    return sorted(row["creative_id"] for row in found if prints.get("/".join(str(row[part]) for part in ("creative", "segment_id", "channel", "locale", "variant"))) != row["matrix_hash"])


def _mark(workspace: Workspace, stale: tuple[str, ...]) -> int:
    """Mark approved creatives as stale in the release, and take marks back that a change before this one had set; returns how many were marked."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from kundig.store.lake import ReleaseMark, Upsert

    release = workspace.lake.release()
    if release is None:
        return 0
    path = workspace.root / MARKED
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    marked = set(kept.get("creatives", ())) if kept.get("run_id") == release.run_id else set()
    rows = workspace.lake.ibis("creatives", release.snapshot_id).to_pyarrow()
    approved = set(rows.filter(pc.equal(rows["status"], "approved"))["creative_id"].to_pylist())
    fresh, healed = (set(stale) & approved), marked - set(stale)
    changes = []
    for name, column in (("creatives", "status"), ("gate_facts", "creative")):
        held = rows if name == "creatives" else workspace.lake.ibis(name, release.snapshot_id).to_pyarrow()
        mine = held.filter(pc.is_in(held["creative_id"], pa.array(sorted(fresh | healed), pa.string())))
        said = pa.array(["stale" if one in fresh else "approved" for one in mine["creative_id"].to_pylist()], pa.string())
        if mine.num_rows:
            changes.append(Upsert(table=name, column="creative_id", keys=pc.unique(mine["creative_id"]), source=mine.set_column(mine.column_names.index(column), column, said)))
    if changes:
        workspace.lake.commit(changes, message="creatives of a changed matrix", release=ReleaseMark(run_id=release.run_id, moment=release.moment))
    path.write_text(json.dumps({"run_id": release.run_id, "creatives": sorted(fresh | (marked - healed))}), encoding="utf-8")
    return len(fresh)


def _axes_text(workspace: Workspace, axes: Axes) -> str:
    """segments/axes.yaml with the suggested starts and thresholds put in their places."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 160
    yaml.indent(mapping=2, sequence=4, offset=2)
    path = workspace.root / AXES
    tree = yaml.load(path.read_text(encoding="utf-8")) if path.is_file() else None
    if tree is None or not {"value", "behaviour"} <= set(tree):
        tree = axes.model_dump(mode="json", exclude_defaults=False, exclude_none=True)
    for node, tier in zip(tree["value"]["tiers"], axes.value.tiers, strict=True):
        if tier.start is not None and node.get("start") != tier.start:
            node["start"] = tier.start
    for node, cluster in zip(tree["behaviour"].get("clusters", ()), axes.behaviour.clusters, strict=True):
        for test, condition in zip(node["when"], cluster.when, strict=True):
            if condition.at_least is not None and test.get("at_least") != condition.at_least:
                test["at_least"] = condition.at_least
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def plain_suggestion(suggestion: Suggestion) -> dict[str, Any]:
    """The suggestion as JSON takes it."""
    def rows(found: Any) -> list[dict[str, Any]]:
        return [{"segment_id": one.row["segment_id"], **{axis: one.row[axis] for axis in MATRIX_COLUMNS[1:4]}, "persons": one.persons, "value": round(one.value, 2), "small": one.small, "hidden": one.hidden, "new": one.new} for one in found]

    return {"least": suggestion.least, "present": rows(suggestion.present), "suggested": rows(suggestion.rows), "empty_cells": [list(key) for key in suggestion.empty], "axes": suggestion.axes.model_dump(mode="json", exclude_none=True)}
