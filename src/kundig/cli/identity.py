"""`kundig identity …`: why two identifiers are one person or two, what was merged, what people say about it, and what a changed rule would do."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from kundig.cli.options import HERE, AsOf, Json, Root, moment, opened
from kundig.cli.output import emit, line, say, table

identity = typer.Typer(no_args_is_help=True, help="Who is who: evidence, ledger, questions, answers, and what a changed identity.yaml would do.")

Someone = Annotated[str, typer.Argument(help="Any identifier, or a person id; namespace:value where a value is known in several.")]
Because = Annotated[str, typer.Option("--because", help="Why, in a few words without personal data.")]
NEXT = "the next kundig run acts on it"


@identity.command("explain")
def explain(left: Someone, right: Someone, root: Root = HERE, as_json: Json = False) -> None:
    """The path of evidence between two identifiers; where there is none, what was refused between them and why."""
    from kundig.answers.evidence import explain as between

    found = between(opened(root), left, right)
    emit(_plain(found)) if as_json else say(found.lines())


@identity.command("merges")
def merges(
    identifier: Annotated[str, typer.Argument(help="Any identifier of a person; none: what was refused and decided among all.")] = "", root: Root = HERE,
    limit: Annotated[int, typer.Option(min=1, help="Rows at most, the newest first.")] = 50, as_json: Json = False,
) -> None:  # fmt: skip
    """The ledger: what was merged, split and decided, on what evidence; decisions that the next run acts on are among it."""
    from kundig.answers.ledger import entries

    found = entries(opened(root), identifier, most=limit)
    emit(_plain(found)) if as_json else say([one.line() for one in found] or ["nothing was refused, and nothing decided"])


@identity.command("undo")
def undo(merge: Annotated[str, typer.Argument(help="Id of a decision or of a row of the ledger, as kundig identity merges shows it.")], root: Root = HERE, because: Because = "", as_json: Json = False) -> None:
    """Take back one decision, merge or split with all that followed from it; messages already sent stay."""
    from kundig.answers.ledger import undo as take_back

    made = take_back(opened(root), merge, reason=because)
    emit({"decision_id": made}) if as_json else line(f"{made} takes back {merge}; {NEXT}")


@identity.command("review")
def review(root: Root = HERE, limit: Annotated[int, typer.Option(min=1, help="Questions at most, those of most value first.")] = 20, as_json: Json = False) -> None:
    """Pairs of records that may be one person's and wait for an answer."""
    from kundig.answers.ledger import COMPARED, questions

    found = questions(opened(root), most=limit)
    if as_json:
        emit(_plain(found))
        return
    for one in found:
        line(f"{one.pair}  {one.probability:.1%} sure, value {one.value:,.2f}: {one.evidence}")
        shown = [name for name in COMPARED if one.left.get(name) is not None or one.right.get(name) is not None]
        table(["field", "one", "other", ""], [(name, one.left.get(name), one.right.get(name), "" if one.left.get(name) == one.right.get(name) else "differs") for name in shown])
    line(f"{len(found):,} questions; answer with: kundig identity answer PAIR same, or different" if found else "no question waits; matching is set in identity.yaml (docs/matching.md)")


@identity.command("answer")
def answer(
    pair: Annotated[str, typer.Argument(help="The pair, as kundig identity review shows it.")], verdict: Annotated[str, typer.Argument(help="same or different.")], root: Root = HERE, because: Because = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Answer a question; the answer is remembered and beats the model until it is taken back."""
    from kundig.answers.ledger import answer as put

    made = put(opened(root), pair, verdict, reason=because)
    emit({"decision_id": made}) if as_json else line(f"{made}: {pair} is {verdict}; {NEXT}")


@identity.command("decide")
def decide(verdict: Annotated[str, typer.Argument(help="same or different.")], left: Someone, right: Someone, root: Root = HERE, because: Because = "", as_json: Json = False) -> None:
    """Say of any two identifiers that they are one person's, or two people's."""
    from kundig.answers.ledger import say as put

    made = put(opened(root), verdict, left, right, reason=because)
    emit({"decision_id": made}) if as_json else line(f"{made}: {verdict}; {NEXT}")


@identity.command("preview")
def preview(root: Root = HERE, as_of: AsOf = None, as_json: Json = False) -> None:
    """What a changed identity.yaml and waiting answers would do: merges, splits, the people of most value, sends and consents; changes nothing."""
    workspace = opened(root)
    effect = workspace.plan(as_of=moment(as_of, workspace.config.settings.workspace.zone)).identity
    if as_json:
        emit(_plain(effect))
    else:
        say(effect.lines() if effect is not None else ["nobody would be told apart anew: neither records, rules nor answers changed"])


def _plain(value: Any) -> Any:
    """Records as JSON takes them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return json.loads(json.dumps(dataclasses.asdict(value), default=str))
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


__all__ = ["identity"]
