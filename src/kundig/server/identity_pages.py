"""Pages of who is who: questions that wait for an answer with the records side by side, the ledger with its undo, and one person's links drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kundig.answers.evidence import JOINING, Edge, Named, graph
from kundig.answers.ledger import COMPARED, Entry, Question, answer, entries, questions, undo
from kundig.answers.who import resolve
from kundig.errors import Fault, KundigError
from kundig.report.arcs import Arc, arcs
from kundig.report.cells import Cell, address
from kundig.report.views import View, grid
from kundig.report.words import DASH, Words
from kundig.server.forms import ACTOR, FormPages

if TYPE_CHECKING:
    pass

ASKED, SHOWN, DRAWN = 10, 60, 40
"""Questions on a page, rows of the ledger, and identifiers that are drawn."""


class IdentityPages(FormPages):
    """Answers requests to /identity."""

    def routes(self) -> list[Route]:
        """Addresses and what answers them."""
        return [
            Route("/identity", self._forms.read(self._list), methods=["GET"]), Route("/identity/answer", self._forms.write(self._answer), methods=["POST"]), Route("/identity/undo", self._forms.write(self._undo), methods=["POST"]),
            Route("/identity/{person}", self._forms.read(self._person), methods=["GET"]),
        ]  # fmt: skip

    def _list(self, request: Request, w: Words, fault: Fault | None = None, status: int = 200) -> Response:
        if self.workspace.lake.release() is None:
            return self._shown(request, w, {"title": w("identity.title"), "answer": w("identity.no_release"), "fault": None, "asked": [], "tables": [], "undoable": [], "token": self._forms.token}, status)
        waiting, ledger = questions(self.workspace, most=ASKED), entries(self.workspace, most=SHOWN)
        decided = [one for one in ledger if one.waiting]
        view: View = {
            "title": w("identity.title"), "answer": w("identity.answer", asked=w.number(len(waiting)), waiting=w.number(len(decided))), "fault": fault, "asked": [_question(one, w) for one in waiting], "none": w("identity.none"),
            "tables": [_ledger(ledger, w, title=w("identity.ledger"))], "undoable": _undoable(ledger, w), "token": self._forms.token, "drawing": "", "person": "",
        }  # fmt: skip
        return self._shown(request, w, view, status)

    def _person(self, request: Request, w: Words, fault: Fault | None = None, status: int = 200) -> Response:
        try:
            key, public = resolve(self.workspace, request.path_params["person"])
        except KundigError as error:
            return self._list(request, w, error.faults[0], 404)
        nodes, edges = graph(self.workspace, key)
        ledger = entries(self.workspace, public, most=SHOWN)
        mine = {one.identifier_key for edge in edges if edge.status in JOINING for one in (edge.left, edge.right)}
        view: View = {
            "title": w("identity.person_title", person=public), "answer": w("identity.person_answer", identifiers=w.number(sum(node.identifier_key in mine for node in nodes)), links=w.number(sum(edge.status in JOINING for edge in edges)), refused=w.number(sum(edge.status not in JOINING for edge in edges))),
            "fault": fault, "asked": [], "none": "", "tables": [_links(edges, w), _ledger(ledger, w, title=w("identity.person_ledger"))], "undoable": _undoable(ledger, w), "token": self._forms.token,
            "drawing": _drawn(nodes, edges, mine, w), "person": Cell(text=w("identity.to_person"), href=address(f"/people/{public}", lang=w.locale)),
        }  # fmt: skip
        return self._shown(request, w, view, status)

    def _answer(self, request: Request, w: Words, form: dict[str, str]) -> Response:
        try:
            answer(self.workspace, form.get("pair", ""), form.get("verdict", ""), reason=form.get("reason", ""), actor=ACTOR)
        except KundigError as error:
            return self._list(request, w, error.faults[0], 422)
        return RedirectResponse(address("/identity", lang=w.locale), status_code=303, headers=self._headers)

    def _undo(self, request: Request, w: Words, form: dict[str, str]) -> Response:
        try:
            undo(self.workspace, form.get("merge", ""), reason=form.get("reason", ""), actor=ACTOR)
        except KundigError as error:
            return self._list(request, w, error.faults[0], 422)
        return RedirectResponse(address("/identity", lang=w.locale), status_code=303, headers=self._headers)

    def _stale(self, request: Request, w: Words, form: dict[str, str]) -> Response:
        return self._list(request, w, Fault(what=w("requests.stale")), 403)


def _named(one: Named, w: Words) -> str:
    return f"{w.named('namespaces', one.namespace)} {one.value}" if one.namespace else f"{one.identifier_key:x}"


def _question(one: Question, w: Words) -> dict[str, Any]:
    rows = []
    for name in COMPARED:
        left, right = one.left.get(name), one.right.get(name)
        if left is None and right is None:
            continue
        tone = "" if left == right or left is None or right is None else "warn"
        rows.append((w("identity.source") if name == "source" else w("identity.written") if name == "occurred_at" else w.named("attributes", name), *(Cell(text=_said(value, w), value=str(value or ""), tone=tone if name not in ("source", "occurred_at") else "") for value in (left, right))))
    people = [Cell(text=person, value=person, href=address(f"/people/{person}", lang=w.locale)) for person in (one.left_person, one.right_person)]
    rows.append((w("people.person"), *people))
    heads = [(w("person.attribute"), False), (w("identity.one"), False), (w("identity.other"), False)]
    sure = w("identity.sure", probability=w.percent(one.probability), value=w.money(one.value))
    return {"pair": one.pair, "sure": sure, "table": grid(heads, rows, title=w("identity.question", pair=one.pair), lies=True)}


def _said(value: Any, w: Words) -> str:
    import datetime as dt

    if value is None:
        return DASH
    return w.day(value) if isinstance(value, dt.date) else str(value)


def _ledger(found: tuple[Entry, ...], w: Words, *, title: str) -> View:
    rows = [(w.moment(one.at), w.named("ledger_kinds", one.kind), _named(one.person, w), _named(one.other, w), _ground(one, w), _state(one, w)) for one in found]
    heads = [(w("person.when"), False), (w("person.kind"), False), (w("identity.one"), False), (w("identity.other"), False), (w("identity.evidence"), False), (w("identity.state"), False)]
    return grid(heads, rows, title=title, empty=w("identity.no_ledger"))


def _ground(one: Entry, w: Words) -> str:
    """What a row rests on; of a split first which guard refused it."""
    status, _, rest = one.evidence.partition(" ")
    return f"{w.named('link_statuses', status)}; {rest}" if one.kind == "split" and rest else one.evidence or DASH


def _state(one: Entry, w: Words) -> Cell:
    name = "waiting" if one.waiting else "standing" if one.standing else "undone"
    return Cell(text=w.named("ledger_states", name), value=name, tone="warn" if one.waiting else "")


def _undoable(found: tuple[Entry, ...], w: Words) -> list[tuple[str, str]]:
    """Rows that can be taken back: id, and how it is shown."""
    return [(one.merge_id, f"{w.named('ledger_kinds', one.kind)}: {_named(one.person, w)} + {_named(one.other, w)}, {w.day(one.at)}") for one in found if one.standing and one.kind != "undo"]


def _links(edges: tuple[Edge, ...], w: Words) -> View:
    rows = [(_named(edge.left, w), _named(edge.right, w), w.named("link_statuses", edge.status), edge.evidence, w.number(edge.records), w.day(edge.first_at), w.percent(edge.probability)) for edge in edges]
    heads = [(w("identity.one"), False), (w("identity.other"), False), (w("identity.state"), False), (w("identity.evidence"), False), (w("identity.records"), True), (w("identity.since"), False), (w("identity.probability"), True)]
    return grid(heads, rows, title=w("identity.links"), empty=w("identity.no_links"))


def _drawn(nodes: tuple[Named, ...], edges: tuple[Edge, ...], mine: set[int], w: Words) -> str:
    ranked = sorted(nodes, key=lambda node: (node.identifier_key not in mine, node.namespace, node.value))[:DRAWN]
    row = {node.identifier_key: place for place, node in enumerate(ranked)}
    pairs = {(row[edge.left.identifier_key], row[edge.right.identifier_key], edge.status in JOINING) for edge in edges if edge.left.identifier_key in row and edge.right.identifier_key in row}
    return arcs([_named(node, w) for node in ranked], [Arc(left=left, right=right, joins=joins) for left, right, joins in sorted(pairs)], own=[node.identifier_key in mine for node in ranked])


__all__ = ["IdentityPages"]
