"""`kundig persona …`: groups of people found in the data, and those that people told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line, table
from kundig.errors import ConfigError, nearest

persona = typer.Typer(no_args_is_help=True, help="Personas: groups found in the data, what sets each apart, and those that people told.")

Name = Annotated[str, typer.Argument(help="Id of the persona, such as customers_1, or the name people gave it.")]


@persona.command("list")
def list_(root: Root = HERE, as_json: Json = False) -> None:
    """Personas with size, value and verdict; and for each file what the search said, also where there are none."""
    workspace = opened(root)
    rows = workspace.table("personas").order_by(["file", "persona_id"]).to_pyarrow().to_pylist()
    fits = _fits(workspace)
    if as_json:
        emit({"personas": rows, "files": fits})
        return
    if rows:
        columns = ["persona_id", "name", "origin", "size", "share", "value", "channel", "content", "objection", "verdict"]
        table(columns, [[row[column] for column in columns] for row in rows])
    for fit in fits:
        line(f"{fit['file']}: {fit['verdict']}, {fit['reason']}")
    if not fits:
        line("no file asks for personas: write personas/customers.yaml with a meaning, then kundig apply and kundig run (docs/personas.md)")


@persona.command("show")
def show(
    name: Name,
    root: Root = HERE,
    locale: Annotated[str, typer.Option(help="Language of the card: de or en; the workspace's by default.")] = "",
    output: Annotated[Path | None, typer.Option(help="Write the card as SVG to this file.")] = None,
    as_json: Json = False,
) -> None:
    """One persona's card: who they are, what sets them apart, where and when they are met, what to do next."""
    from kundig.report import words
    from kundig.report.cells import plain
    from kundig.report.facts import Facts
    from kundig.report.personas import cards, svg

    workspace = opened(root)
    w = words(workspace, locale or workspace.config.settings.workspace.locale)
    found = cards(Facts(workspace), w)
    card = next((one for one in found if name in (one["id"], one["title"])), None)
    if card is None:
        known = [one["id"] for one in found]
        raise ConfigError(f"there is no persona '{name}'", at="personas", mend=nearest(name, known, most=20) if known else "kundig persona list says why there are none")
    if output is not None:
        output.write_text(svg(card, w), encoding="utf-8")
        line(f"{output}")
    elif as_json:
        emit(plain(card))
    else:
        _told(card, w)


def _told(card: dict[str, Any], w: Any) -> None:
    line(f"{card['title']} ({card['id']}): {card['line']}; {card['verdict'].text}")
    for bar in card["bars"]:
        line(f"  {bar['label']}: {bar['text']}")
    for label, said in card["facts"]:
        line(f"  {label}: {said}")
    for claim in card["claims"]:
        line(f"  {claim['about']}: {w('personas.claim', said=claim['said'], found=claim['found'])} {claim['verdict'].text}")


@persona.command("find")
def find(
    people: Annotated[Path, typer.Argument(help="CSV or Parquet file: one row a person, a column an attribute.", exists=True, dir_okay=False)],
    count: Annotated[int, typer.Option(help="Number of personas, where it is known; 0: the data say.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write who belongs to which persona to this CSV file.")] = None,
    as_json: Json = False,
) -> None:
    """Look for personas in a file, without a workspace."""
    import pyarrow.csv as csv
    import pyarrow.parquet as parquet

    from kundig.understand.personas import find as search

    found = search(parquet.read_table(people) if people.suffix == ".parquet" else csv.read_csv(people), count=count or None)
    if output is not None:
        csv.write_csv(found.members, output)
    rules = {name: None if rule is None else {"rule": str(rule), "precision": rule.precision, "recall": rule.recall} for name, rule in found.rules.items()}
    if as_json:
        emit({"count": found.count, "verdict": {"level": found.verdict.level, "reason": found.verdict.reason, "change": found.verdict.change}, "sizes": found.sizes, "stability": found.stability, "attributes": found.attributes.to_pylist(), "rules": rules, "left_out": found.left_out})
        return
    line(f"{found.count} personas; {found.verdict}")
    for name, size in zip(found.names, found.sizes, strict=True):
        rule = rules[name]
        line(f"{name}: {size:,} persons" + (f"; {rule['rule']} (right {rule['precision']:.0%}, finds {rule['recall']:.0%})" if rule is not None else ""))
    rows = [row for row in found.attributes.to_pylist() if row["weight"] >= 0.05]
    if rows:
        table(["persona_id", "attribute", "level", "weight", "share", "share_elsewhere"], [tuple(row.values()) for row in rows])
    for name, why in found.left_out.items():
        line(f"not used: {name} ({why})")


def _fits(workspace: Any) -> list[dict[str, Any]]:
    from kundig.understand.personas.fitting import current

    asked = {f"personas:{name}" for name in workspace.config.personas} | {f"persona_answers:{name}" for name in workspace.config.persona_answers}
    rows = current(workspace.table("persona_models").select("model", "version", "fitted_at", "verdict", "reason", "observations").to_pyarrow())
    return [{"file": row["model"].partition(":")[2], "verdict": row["verdict"], "reason": row["reason"], "persons": row["observations"], "fitted_at": row["fitted_at"]} for row in rows if row["model"] in asked]
