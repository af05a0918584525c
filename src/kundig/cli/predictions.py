"""`kundig prediction …`: what each person will probably do, how good the models are, and new predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line, table
from kundig.errors import ConfigError, nearest

prediction = typer.Typer(no_args_is_help=True, help="Predictions: what persons will probably do within a horizon, how good the model is, and why a person has a score.")

Name = Annotated[str, typer.Argument(help="Name of the prediction: its file below predictions/.")]
Locale = Annotated[str, typer.Option(help="Language: de or en; the workspace's by default.")]


@prediction.command("list")
def list_(root: Root = HERE, as_json: Json = False) -> None:
    """Predictions with the model that stands: verdict, ranking, persons scored, what has moved."""
    from kundig.report.predictions import standings

    workspace = opened(root)
    rows = [_row(one) for one in standings(workspace, workspace.config.settings.workspace.locale)]
    if as_json:
        emit(rows)
    elif rows:
        columns = ["name", "title", "horizon", "verdict", "auc", "persons", "mean_probability", "fitted_at", "moved_most", "drift"]
        table(columns, [[row[column] for column in columns] for row in rows])
    else:
        line("no file asks for a prediction: kundig prediction new, then kundig apply and kundig run (docs/predictions.md)")


@prediction.command("show")
def show(
    name: Name,
    root: Root = HERE,
    person: Annotated[str, typer.Option(help="Also why this person has the score: id, e-mail address or any identifier.")] = "",
    locale: Locale = "",
    as_json: Json = False,
) -> None:
    """One prediction: its two rules in words, the model that stands, each fit and look at its drift; and why a person has the score."""
    from kundig.answers.chances import chances
    from kundig.understand.predictions.targets import asked

    workspace = opened(root)
    language = locale or workspace.config.settings.workspace.locale
    one = _named(workspace, name, language)
    rules = asked({name: one.asked}, workspace.config)[name]
    told = _row(one) | {"meaning": one.asked.meaning, "owner": one.asked.owner, "target": rules.target.sentence(language), "population": rules.population.sentence(language), "history": list(one.history)}
    found = chances(workspace, person, only=name) if person else ()
    if as_json:
        import dataclasses

        emit(told | ({"person": [dataclasses.asdict(chance) for chance in found]} if person else {}))
        return
    for key in ("title", "meaning", "owner", "target", "horizon", "population", "verdict", "auc", "persons", "mean_probability"):
        line(f"{key}: {'–' if told[key] is None else told[key]}")
    table(["fitted_at", "version", "role", "verdict", "reason"], [list(row.values()) for row in one.history])
    for chance in found:
        line(f"{person}: not of the population" if chance.probability is None else f"{person}: {chance.probability:.1%}, higher than {chance.percentile:.0f} of 100")
        table(["feature", "value", "effect"], [(reason.feature, reason.value, reason.effect) for reason in chance.reasons])


@prediction.command("card")
def card(
    name: Name,
    root: Root = HERE,
    locale: Locale = "",
    output: Annotated[Path | None, typer.Option(help="Write the card to this file: Markdown, or a page where it ends in .html.")] = None,
) -> None:
    """The model card of a prediction as Markdown: how good, for whom, what pays, what weighs, what was refused."""
    from kundig.report.predictions import card_of

    workspace = opened(root)
    language = _language(locale, workspace)
    made = card_of(_named(workspace, name, language), language)
    if made is None:
        raise ConfigError(f"no model was fitted for '{name}' yet", at=f"predictions/{name}.yaml", mend="kundig apply, then kundig run")
    if output is None:
        line(made.markdown())
        return
    page = f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{name}</title>{made.html()}</html>\n'
    output.write_text(page if output.suffix == ".html" else made.markdown(), encoding="utf-8")
    line(f"{output}")


@prediction.command("fit")
def fit(name: Name, root: Root = HERE, locale: Locale = "", as_json: Json = False) -> None:
    """Try a prediction's file now, on the newest release: the figures a fit would have. Nothing is kept; `kundig run` fits what is due."""
    from kundig.report.trials import tried

    workspace = opened(root)
    if name not in workspace.config.predictions:
        raise _unknown(name, workspace)
    found = tried(workspace, name, workspace.config.predictions[name])
    if as_json:
        emit({"population": found.population, "report": found.model.report.as_dict()})
        return
    language = _language(locale, workspace)
    line(found.model.card(name=name, language=language).markdown())
    line(f"{found.population:,} persons are of the population now; nothing was kept")


@prediction.command("new")
def new(
    name: Name,
    meaning: Annotated[str, typer.Option(help="What is predicted and what for.")],
    owner: Annotated[str, typer.Option(help="Who answers for it.")],
    target: Annotated[str, typer.Option(help='Rule that tells who did it, as YAML: "{event: order_completed}".')],
    population: Annotated[str, typer.Option(help="Rule that tells of whom it is predicted, as YAML; everyone by default.")] = "",
    horizon: Annotated[str, typer.Option(help="Within which time: 30 days, 4 weeks.")] = "30 days",
    gain: Annotated[float | None, typer.Option(help="What a person who does it brings when acted on.")] = None,
    cost: Annotated[float | None, typer.Option(help="What acting on one person costs.")] = None,
    root: Root = HERE,
) -> None:
    """Write predictions/NAME.yaml, checked as a whole first; kundig prediction fit NAME tries it, kundig apply accepts it."""
    from kundig.report.trials import file_text

    workspace = opened(root)
    path = workspace.root / "predictions" / f"{name}.yaml"
    if path.exists():
        raise ConfigError(f"predictions/{name}.yaml is there already", at=str(path), mend="edit it, or choose another name")
    given = {"meaning": meaning, "owner": owner, "target": target, "population": population, "horizon": horizon, "gain": gain, "cost": cost}
    text = file_text(workspace.config, name, given)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    line(f"{path}")
    line(text.rstrip())


def _language(asked: str, workspace: Any) -> Literal["de", "en"]:
    return "de" if (asked or workspace.config.settings.workspace.locale) == "de" else "en"


def _row(one: Any) -> dict[str, Any]:
    report = None if one.model is None else one.model.model.report
    moved = one.moved
    return {
        "name": one.name, "title": one.title, "horizon": one.asked.horizon, "verdict": None if report is None else report.verdict, "auc": None if report is None else report.auc, "persons": one.scored,
        "mean_probability": one.mean, "fitted_at": None if one.model is None else one.model.fitted_at, "moved_most": None if moved is None else moved[0], "drift": None if moved is None else moved[1],
    }  # fmt: skip


def _named(workspace: Any, name: str, language: str) -> Any:
    from kundig.report.predictions import standings

    found = next((one for one in standings(workspace, language) if one.name == name), None)
    if found is None:
        raise _unknown(name, workspace)
    return found


def _unknown(name: str, workspace: Any) -> ConfigError:
    known = list(workspace.config.predictions)
    return ConfigError(f"there is no prediction '{name}'", at="predictions", mend=nearest(name, known) if known else "kundig prediction new writes one")
