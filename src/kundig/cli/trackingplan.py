"""kundig trackingplan: what was agreed on, held against what is sent."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from kundig.cli.options import HERE, Json, Of, Root, opened
from kundig.cli.output import emit, line, table

trackingplan = typer.Typer(no_args_is_help=True, help="The tracking plan: drafted from what was seen, and where events drift from it.")


@trackingplan.command("draft")
def draft(
    root: Root = HERE, source: Of = None,
    days: Annotated[int, typer.Option(min=1, help="How many days back from a source's newest event.")] = 90,
    output: Annotated[str | None, typer.Option(help="Name of a new file in tracking_plan/; none: the draft is printed.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Propose a plan for events that no plan names: types, what always comes, values where they are few."""
    from kundig.collect import plan_draft
    from kundig.collect.plan_seen import seen
    from kundig.collect.tracking_plan import merged
    from kundig.errors import ConfigError

    workspace = opened(root)
    plan = merged(workspace.config.tracking_plan)
    found = seen(workspace.lake, plan, days=days, before=0, source=source)
    text = plan_draft.draft(found, plan, owners={name: one.owner for name, one in workspace.config.sources.items()})
    path = None
    if output is not None and text:
        path = workspace.config.root / "tracking_plan" / f"{Path(output).stem}.yaml"
        if path.exists():
            raise ConfigError(f"tracking_plan/{path.name} is there already", at=str(path), mend="give another name: --output web_new")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if as_json:
        emit({"events": [name for name in sorted(found) if name not in plan.events], "file": None if path is None else str(path), "text": text})
    elif not text:
        line("every event that came is in the plan" if found else "no events have come yet: kundig import")
    elif path is None:
        typer.echo(text, nl=False)
    else:
        line(f"tracking_plan/{path.name}; fill in meanings and owners, then kundig plan and kundig apply")


@trackingplan.command("drift")
def drift(
    root: Root = HERE, source: Of = None,
    days: Annotated[int, typer.Option(min=1, help="How many days back from a source's newest event count as lately.")] = 7,
    before: Annotated[int, typer.Option(min=1, help="With how many days before they are compared.")] = 28,
    changes: Annotated[bool, typer.Option("--changes", help="Only what changed, not what has always differed from the plan.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say in words where events drift: new events and properties, changed types, wrong values, and what is gone."""
    from kundig.collect import plan_drift
    from kundig.collect.plan_seen import seen
    from kundig.collect.tracking_plan import merged

    workspace = opened(root)
    plan = merged(workspace.config.tracking_plan)
    found = seen(workspace.lake, plan, days=days, before=before, source=source)
    every = [one for one in plan_drift.drift(found, plan, days=days, before=before) if (one.changed or not changes) and (source is None or one.kind != "never_seen")]
    held = plan_drift.held(workspace.lake, source=source)
    if as_json:
        emit({"drift": [dataclasses.asdict(one) for one in every], "held": held})
        return
    for one in every:
        line(f"{'!' if one.changed else '·'} {one.sentence}")
        line(f"    {one.mend}")
    if held:
        line("held because they break the plan:")
        table(["reason", "records"], list(held.items()))
    if not every and not held:
        line("what is sent is what was agreed on" if found else "no events have come yet: kundig import")
