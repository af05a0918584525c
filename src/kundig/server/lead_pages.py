"""Pages of leads: the list by score, one lead with the grounds of its score, and the forms to hand it over and to say what came of it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kundig.answers.leads import Lead, Noted, Standing, assign, lead, leads, say, standing
from kundig.errors import Fault, KundigError
from kundig.report.cells import Cell, address
from kundig.report.personas import attribute
from kundig.report.views import View, grid, told
from kundig.report.words import DASH, Words
from kundig.server.forms import ACTOR, FormPages
from kundig.understand.lead_log import STATUSES

SHOWN = 50
"""Leads on the page."""


class LeadPages(FormPages):
    """Answers requests to /leads."""

    def routes(self) -> list[Route]:
        """Addresses and what answers them."""
        return [
            Route("/leads", self._forms.read(self._list), methods=["GET"]), Route("/leads/{person}", self._forms.read(self._one), methods=["GET"]),
            Route("/leads/{person}/assign", self._forms.write(self._assign), methods=["POST"]), Route("/leads/{person}/status", self._forms.write(self._status), methods=["POST"]),
        ]  # fmt: skip

    def _list(self, request: Request, w: Words, fault: Fault | None = None, status: int = 200) -> Response:
        closed = request.query_params.get("closed", "") == "1"
        release = self.workspace.lake.release() is not None
        found = leads(self.workspace, closed=closed) if release else ()
        answer: Any = _answer(standing(self.workspace), w) if found else w("leads.none" if release else "leads.no_release")
        other = Cell(text=w("leads.only_open" if closed else "leads.all"), href=address("/leads", closed="" if closed else "1", lang=w.locale))
        view: View = {"title": w("leads.title"), "answer": answer, "fault": fault, "aside": other, "tables": [self._ranked(found, w)] if found else [], "one": "", "how": w("how.leads")}
        return self._shown(request, w, view, status)

    def _one(self, request: Request, w: Words, fault: Fault | None = None, status: int = 200) -> Response:
        try:
            found, notes = lead(self.workspace, request.path_params["person"])
        except KundigError as error:
            return self._list(request, w, error.faults[0], 404)
        view: View = {
            "title": w("leads.one_title", person=found.name or found.person_id), "answer": told(w, "leads.one", score=w.number(found.score, 2), status=w.named("lead_statuses", found.status), owner=found.owner or w("leads.nobody")),
            "fault": fault, "aside": Cell(text=w("leads.to_person"), href=address(f"/people/{found.person_id}", lang=w.locale)), "tables": [self._grounds(found, w), _work(found, w), _notes(notes, w)], "one": found.person_id,
            "owners": list(self.workspace.config.lead_scoring.owners), "owner": found.owner, "statuses": [(name, w.named("lead_statuses", name)) for name in STATUSES[1:]], "token": self._forms.token, "how": w("how.leads"),
        }  # fmt: skip
        return self._shown(request, w, view, status)

    def _assign(self, request: Request, w: Words, form: dict[str, str]) -> Response:
        return self._written(request, w, lambda person: assign(self.workspace, person, form.get("owner", ""), reason=form.get("reason", ""), actor=ACTOR))

    def _status(self, request: Request, w: Words, form: dict[str, str]) -> Response:
        return self._written(request, w, lambda person: say(self.workspace, person, form.get("status", ""), reason=form.get("reason", ""), actor=ACTOR))

    def _written(self, request: Request, w: Words, write: Any) -> Response:
        person = request.path_params["person"]
        try:
            write(person)
        except KundigError as error:
            return self._one(request, w, error.faults[0], 422)
        return RedirectResponse(address(f"/leads/{person}", lang=w.locale), status_code=303, headers=self._headers)

    def _stale(self, request: Request, w: Words, form: dict[str, str]) -> Response:
        return self._one(request, w, Fault(what=w("requests.stale")), 403)

    def _persona(self, one: Lead, w: Words) -> str:
        answers = self.workspace.config.persona_answers.get(one.persona)
        return DASH if not one.persona else one.persona if answers is None else str(answers.title.get(w.locale, one.persona))

    def _ranked(self, found: tuple[Lead, ...], w: Words) -> View:
        rows = [
            (
                Cell(text=w.number(one.rank), value=one.rank), Cell(text=one.name or one.person_id, value=one.person_id, href=address(f"/leads/{one.person_id}", lang=w.locale)), one.company or DASH, self._persona(one, w),
                Cell(text=w.percent(one.fit), value=one.fit), w.named("lead_bands", one.band), Cell(text=w.number(one.score, 2), value=one.score), w.named("lead_statuses", one.status), one.owner or DASH, _late(one, w),
            )
            for one in found[:SHOWN]
        ]  # fmt: skip
        heads = [
            (w("leads.rank"), True), (w("leads.lead"), False), (w("leads.company"), False), (w("leads.persona"), False), (w("leads.fit"), True), (w("leads.engagement"), False), (w("leads.score"), True), (w("leads.status"), False),
            (w("leads.owner"), False), (w("leads.response"), False),
        ]  # fmt: skip
        return grid(heads, rows, title=w("leads.list"), note=w("leads.more", shown=w.number(SHOWN), all=w.number(len(found))) if len(found) > SHOWN else "")

    def _grounds(self, one: Lead, w: Words) -> View:
        alike = w("leads.alike", count=w.number(one.feedbacks), share=w.percent(one.rate)) if one.rate is not None else w("leads.alike_none")
        rows = [
            (w("leads.persona"), self._persona(one, w)), (w("leads.fit"), Cell(text=w.percent(one.fit), value=one.fit)), (w("leads.met"), _listed(one.met, w)), (w("leads.unmet"), _listed(one.unmet, w)), (w("leads.unknown"), _listed(one.unknown, w)),
            (w("leads.engagement"), Cell(text=w("leads.points", share=w.percent(one.engagement), band=w.named("lead_bands", one.band), points=w.number(one.points)), value=one.engagement)),
            (w("leads.prior"), Cell(text=w.number(one.prior, 2), value=one.prior)), (w("leads.feedback"), alike), (w("leads.score"), Cell(text=w.number(one.score, 2), value=one.score)),
            (w("leads.source"), w.named("lead_sources", one.source) if one.source else DASH), (w("leads.arrived"), w.day(one.arrived_at)), (w("leads.company"), one.company or DASH),
        ]  # fmt: skip
        return grid([(w("leads.ground"), False), (w("common.value"), False)], rows, title=w("leads.why"), note=w("leads.pooling", pooling=w.number(self.workspace.config.lead_scoring.pooling)))


def _answer(one: Standing, w: Words) -> Any:
    cells: dict[str, Cell | str] = {"open": Cell(text=w.number(one.open), value=one.open), "leads": Cell(text=w.number(one.leads), value=one.leads), "feedbacks": w.number(one.feedbacks)}
    if one.response_hours is None:
        return told(w, "leads.answer", **cells)
    return told(w, "leads.answer_times", **cells, hours=w.number(one.response_hours, 1), kept=w.number(one.kept), answered=w.number(one.answered))


def _listed(names: tuple[str, ...], w: Words) -> str:
    return ", ".join(attribute(name, w) for name in names) or DASH


def _late(one: Lead, w: Words) -> Cell:
    if one.due_at is None:
        return Cell(text=DASH)
    if one.response_hours is not None:
        return Cell(text=w("leads.hours", hours=w.number(one.response_hours, 1)), value=one.response_hours, tone="warn" if one.late else "good")
    return Cell(text=w("leads.late" if one.late else "leads.due", at=w.moment(one.due_at)), value=one.due_at, tone="bad" if one.late else "")


def _work(one: Lead, w: Words) -> View:
    rows = [(w("leads.status"), w.named("lead_statuses", one.status)), (w("leads.owner"), one.owner or DASH), (w("leads.assigned"), w.moment(one.assigned_at)), (w("leads.response"), _late(one, w))]
    return grid([(w("leads.ground"), False), (w("common.value"), False)], rows, title=w("leads.work"))


def _notes(notes: tuple[Noted, ...], w: Words) -> View:
    rows = [(w.moment(one.at), w.named("lead_statuses", one.status), one.owner or DASH, one.reason or DASH, one.actor) for one in notes]
    heads = [(w("person.when"), False), (w("leads.status"), False), (w("leads.owner"), False), (w("common.reason"), False), (w("leads.actor"), False)]
    return grid(heads, rows, title=w("leads.log"), empty=w("leads.no_log"))


__all__ = ["LeadPages"]
