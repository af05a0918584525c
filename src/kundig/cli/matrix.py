"""`kundig matrix …`: the segments of persona_matrix.csv, suggested from data, compared, and applied."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kundig.cli.options import HERE, Json, Root, opened
from kundig.cli.output import emit, line, table

matrix = typer.Typer(no_args_is_help=True, help="The matrix of segments: a suggestion from data, what a change moves, and applying it.")

Proposal = Annotated[Path | None, typer.Option("--from", help="Folder with a proposed persona_matrix.csv and segments/axes.yaml, as `matrix suggest --write` makes it; none: the workspace's own files.", file_okay=False)]


@matrix.command("suggest")
def suggest(
    root: Root = HERE,
    least: Annotated[int, typer.Option(min=1, help="Persons that a row of its own needs.")] = 50,
    write: Annotated[Path | None, typer.Option(help="Write both suggested files into this folder, for `matrix diff --from` and `matrix apply --from`.", file_okay=False)] = None,
    as_json: Json = False,
) -> None:
    """A matrix made from the people there are: sizes of rows, what overlaps, what is too small to use; changes nothing."""
    from kundig.answers.matrix import matrix_suggest, plain_suggestion, write_suggestion

    workspace = opened(root)
    found = matrix_suggest(workspace, least=least)
    files = write_suggestion(workspace, found, write) if write is not None else ()
    if as_json:
        emit(plain_suggestion(found) | {"files": [str(path) for path in files]})
        return
    for title, rows in (("the matrix that is there", found.present), ("the one suggested", found.rows)):
        line(f"{title}: {len(rows)} rows, {sum(one.small for one in rows)} of them with fewer than {least} persons")
        table(
            ["segment_id", "value_tier", "behavior_cluster", "state", "persons", "expected_value", "told"],
            [(one.row["segment_id"], one.row["value_tier"], one.row["behavior_cluster"], one.row["state"], one.persons, round(one.value), _told(one, found.least)) for one in rows],
        )
    starts = ", ".join(f"{tier.name} from {tier.start}" for tier in found.axes.value.tiers if tier.start is not None)
    line(f"tiers of {found.axes.value.measure} by {found.axes.value.method}: {starts}")
    line(f"cells without anybody: {len(found.empty)}; cells without a row: 0")
    for path in files:
        line(f"{path}")


def _told(one: Any, least: int) -> str:
    said = [f"too small: fewer than {least}"] if one.small else []
    said += [f"overlaps: rows above take {one.hidden:,} persons of its cells"] if one.hidden else []
    return "; ".join(said + (["new"] if one.new else [])) or "–"


@matrix.command("diff")
def diff(root: Root = HERE, proposal: Proposal = None, as_json: Json = False) -> None:
    """What a changed matrix or changed axes would move, in people and money, before it is applied; changes nothing."""
    from kundig.answers import matrix_diff

    found = matrix_diff(opened(root), proposal)
    if as_json:
        emit(_plain(found))
    else:
        _say(found)


@matrix.command("apply")
def apply(root: Root = HERE, proposal: Proposal = None, as_json: Json = False) -> None:
    """Accept the changed matrix: files, record in `proposals` and the audit log, creatives of changed rows stale at once; `kundig run` moves the people."""
    from kundig.answers import matrix_apply

    done = matrix_apply(opened(root), proposal)
    if as_json:
        emit({"files": list(done.files), "proposal_id": done.proposal_id, "marked": done.marked} | _plain(done.diff))
        return
    if not done.files:
        line("nothing had changed")
        return
    _say(done.diff)
    line(f"accepted {', '.join(done.files)} as proposal {done.proposal_id}; {done.marked} creatives marked stale. kundig run moves the people and makes creatives anew")


def _say(found: Any) -> None:
    if found.text:
        line(found.text)
    for name, kind in found.rows.items():
        line(f"{kind:>8}  {name}")
    if found.moves:
        table(["from", "to", "persons", "expected_value"], [(move.before or "(none)", move.after or "(none)", move.persons, round(move.value)) for move in found.moves])
    line(f"{found.moved:,} of {found.persons:,} persons move, with an expected value of {found.value:,.0f}; {found.stay:,} stay; creatives going stale: {len(found.stale)}")


def _plain(found: Any) -> dict[str, Any]:
    moves = [{"from": move.before, "to": move.after, "persons": move.persons, "value": round(move.value, 2)} for move in found.moves]
    return {"diff": found.text, "rows": dict(found.rows), "persons": found.persons, "stay": found.stay, "moved": found.moved, "value": round(found.value, 2), "moves": moves, "stale": list(found.stale)}
