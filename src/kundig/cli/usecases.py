"""`kundig usecase …`: what a piece of work is for, and whether it reached its goal."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line, table
from kundig.errors import ConfigError, nearest

usecase = typer.Typer(no_args_is_help=True, help="Use cases: problem, goal, approach, test, tools, and the answer to whether the goal was reached.")

Name = Annotated[str, typer.Argument(help="Name of the use case: the file's, below usecases/.")]


@usecase.command("new")
def new(
    name: Name,
    problem: Annotated[str, typer.Option(help="What goes wrong, or is missed, in one sentence.")],
    kpi: Annotated[str, typer.Option(help="KPI that the goal is judged by.")],
    at_least: Annotated[float | None, typer.Option(help="The goal is reached from this value on.")] = None,
    at_most: Annotated[float | None, typer.Option(help="The goal is reached up to this value.")] = None,
    until: Annotated[str, typer.Option(help="Day by which: 2026-12-31.")] = "",
    approach: Annotated[str, typer.Option(help="What is done about it.")] = "",
    test: Annotated[str, typer.Option(help="How it is tried.")] = "",
    tool: Annotated[list[str] | None, typer.Option(help="What it takes; more than once for several.")] = None,
    owner: Annotated[str, typer.Option(help="Who answers for it.")] = "",
    prediction: Annotated[str, typer.Option(help="Prediction that serves it.")] = "",
    audience: Annotated[str, typer.Option(help="Audience that serves it.")] = "",
    experiment: Annotated[str, typer.Option(help="Experiment that judges it.")] = "",
    root: Root = HERE,
) -> None:
    """Write usecases/NAME.yaml, checked with all other files; an existing one is left as it is."""
    from ruamel.yaml import YAML

    from kundig.config.load import load

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(f"'{name}' is no name of a use case", at="usecases", mend="lower case, digits and _")
    workspace = opened(root)
    path = workspace.root / "usecases" / f"{name}.yaml"
    if path.exists():
        raise ConfigError(f"the use case '{name}' is there already", at=str(path), mend="edit the file, or take another name")
    try:
        day = dt.date.fromisoformat(until) if until else None
    except ValueError as error:
        raise typer.BadParameter(f"'{until}' is no day; write 2026-12-31") from error
    goal = {"kpi": kpi, "at_least": at_least, "at_most": at_most, "until": day}
    given = {"problem": problem, "goal": _given(goal), "approach": approach, "test": test, "tools": list(tool or ()), "owner": owner, "prediction": prediction, "audience": audience, "experiment": experiment}
    path.parent.mkdir(exist_ok=True)
    yaml = YAML()
    yaml.width = 160
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(_given(given), file)
    try:
        load(workspace.root)
    except ConfigError:
        path.unlink()
        raise
    line(f"{path}; kundig apply and kundig run answer it")


@usecase.command("list")
def list_(root: Root = HERE, as_json: Json = False) -> None:
    """Use cases with goal, value and answer."""
    rows = _rows(opened(root))
    if as_json:
        emit(rows)
        return
    table(["use_case", "problem", "metric", "goal", "value", "interval", "until", "answer"], [(row["use_case"], row["problem"], row["metric"], _goal(row), row["value"], _interval(row), row["until"], _answer(row)) for row in rows])
    if not rows:
        line("there is no use case: kundig usecase new NAME --problem … --kpi … --at-least …")


@usecase.command("show")
def show(name: Name, root: Root = HERE, as_json: Json = False) -> None:
    """One use case: problem, goal, approach, test, tools, what serves it, and the answer."""
    workspace = opened(root)
    found = {row["use_case"]: row for row in _rows(workspace)}
    if name not in found:
        raise ConfigError(f"there is no use case '{name}'", at="usecases", mend=nearest(name, found) if found else "kundig usecase new makes one")
    row, one = found[name], workspace.config.usecases[name]
    if as_json:
        emit(row | {"approach": one.approach, "test": one.test, "tools": list(one.tools), "owner": one.owner})
        return
    for label, said in (
        ("problem", one.problem), ("goal", f"{row['metric']} {_goal(row)}" + (f" until {row['until']}" if row["until"] else "")), ("approach", one.approach), ("test", one.test), ("tools", ", ".join(one.tools)), ("owner", one.owner),
        ("prediction", one.prediction), ("audience", one.audience), ("experiment", one.experiment), ("value", "–" if row["value"] is None else f"{row['value']:.4g}{_interval(row)}"), ("reached?", _answer(row)),
    ):  # fmt: skip
        line(f"{label:>10}  {said or '–'}")


def _rows(workspace: Any) -> list[dict[str, Any]]:
    """The answers of the newest release; a use case that no run has answered yet stands with that reason."""
    answered = {row["use_case"]: row for row in workspace.table("use_cases").to_pyarrow().to_pylist()} if workspace.lake.release() is not None else {}
    rows = []
    for name, one in sorted(workspace.config.usecases.items()):
        fresh = {
            "use_case": name, "problem": one.problem, "metric": one.goal.kpi, "direction": "at_least" if one.goal.at_least is not None else "at_most", "target": one.goal.target, "until": one.goal.until,
            "value": None, "low": None, "high": None, "answer": None, "reason": "no_run",
        }  # fmt: skip
        known = answered.get(name)
        same = known is not None and all(known[column] == fresh[column] for column in ("metric", "direction", "target", "until"))
        rows.append(known if known is not None and same else fresh)
    return rows


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def _goal(row: dict[str, Any]) -> str:
    return f"{'≥' if row['direction'] == 'at_least' else '≤'} {row['target']:g}"


def _interval(row: dict[str, Any]) -> str:
    return "" if row["low"] is None or row["high"] is None else f" ({row['low']:.4g} to {row['high']:.4g})"


def _answer(row: dict[str, Any]) -> str:
    return str(row["answer"] or f"– ({row['reason']})").replace("_", " ")
