"""The application: one route a page, the same contents as HTML and JSON; every answer from the newest release."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import threading
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from kundig.answers import Answer, Person, person, why
from kundig.errors import IdentityError, KundigError
from kundig.report import TEMPLATES, environment, words
from kundig.report.facts import Facts
from kundig.report.views import PAGES, View, grid
from kundig.report.words import Words

if TYPE_CHECKING:
    from kundig.workspace import Workspace

NAVIGATION = ("overview", "people", "segments", "audiences", "creatives", "measure", "consent", "data")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
}  # fmt: skip
MOST = 200
"""Characters of a search that are looked at."""


def make_app(workspace: Workspace) -> Starlette:
    """The application over one workspace."""
    pages = Pages(workspace)
    routes = [Route("/", lambda request: RedirectResponse("/overview"), name="root"), Route("/style.css", pages.style), Route("/health", pages.health), Route("/ready", pages.ready)]
    routes += [Route("/people", pages.people), Route("/people/{identifier:path}", pages.person), Route("/api/people/{identifier:path}", pages.api_person)]
    routes += [Route("/api/why/{identifier:path}", pages.api_why), Route("/{page}", pages.page)]
    return Starlette(routes=routes, exception_handlers={404: pages.missing, KundigError: pages.failed})


class Pages:
    """Answers requests; one release's facts are kept until a newer one is there."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.templates = environment(Path(__file__).parent / "templates")
        self.lock = threading.Lock()
        self._facts: Facts | None = None

    def facts(self) -> Facts:
        """The facts of the newest release."""
        release = self.workspace.lake.release()
        if release is None:
            self.workspace.release_snapshot()
        if self._facts is None or (release is not None and self._facts.release.id != release.id):
            self._facts = Facts(self.workspace)
        return self._facts

    def words(self, request: Request) -> Words:
        """The language asked for: `?lang=`, else the workspace's."""
        asked = request.query_params.get("lang", "")
        known = self.workspace.config.settings.workspace.locales
        return words(self.workspace, asked if asked in known else self.workspace.config.settings.workspace.locale)

    async def page(self, request: Request) -> Response:
        """One page of the navigation."""
        key = request.path_params["page"]
        if key not in PAGES:
            return self.missing(request, KundigError("no such page"))
        return await run_in_threadpool(self._page, request, key)

    def _page(self, request: Request, key: str) -> Response:
        w = self.words(request)
        with self.lock:
            facts = self.facts()
            template, fill = PAGES[key]
            view = fill(facts, w)
        if _wants_json(request):
            return _json({name: value for name, value in view.items() if not name.endswith("_chart")})
        return self._html(template, request, w, facts, view, key)

    async def people(self, request: Request) -> Response:
        """Search, and the most urgent buyers."""
        return await run_in_threadpool(self._people, request)

    def _people(self, request: Request) -> Response:
        w, asked = self.words(request), request.query_params.get("q", "").strip()[:MOST]
        note = ""
        with self.lock:
            facts = self.facts()
            if asked:
                try:
                    found = person(self.workspace, asked)
                    return RedirectResponse(f"/people/{found.person_id}?lang={w.locale}", status_code=303)
                except IdentityError:
                    note = w("people.unknown", q=asked)
            view = _people_view(facts, w) | {"note": note}
        if _wants_json(request):
            return _json(view)
        return self._html("people.html.j2", request, w, facts, view, "people", asked=asked, status=404 if note else 200)

    async def person(self, request: Request) -> Response:
        """Everything known of one person."""
        return await run_in_threadpool(self._person, request)

    def _person(self, request: Request) -> Response:
        w, identifier = self.words(request), request.path_params["identifier"][:MOST]
        with self.lock:
            facts = self.facts()
            try:
                found = person(self.workspace, identifier)
                answers = why(self.workspace, found.person_id, locale=w.locale)
            except IdentityError:
                view = _people_view(facts, w) | {"note": w("people.unknown", q=identifier)}
                return self._html("people.html.j2", request, w, facts, view, "people", asked=identifier, status=404)
            view = _person_view(found, answers, w)
        if _wants_json(request):
            return _json(_plain(found))
        return self._html("person.html.j2", request, w, facts, view, "people")

    async def api_person(self, request: Request) -> Response:
        """Everything known of one person, as JSON."""
        return await run_in_threadpool(self._api, request, lambda who: _plain(person(self.workspace, who)))

    async def api_why(self, request: Request) -> Response:
        """Why (not), for each audience, as JSON."""
        w = self.words(request)
        return await run_in_threadpool(self._api, request, lambda who: [_plain(answer) for answer in why(self.workspace, who, locale=w.locale)])

    def _api(self, request: Request, answer: Any) -> Response:
        with self.lock:
            try:
                return _json(answer(request.path_params["identifier"][:MOST]))
            except IdentityError as error:
                return _json({"error": error.what, "mend": error.mend}, status=404)

    async def style(self, request: Request) -> Response:
        """The one stylesheet."""
        return Response((TEMPLATES / "style.css").read_text(encoding="utf-8"), media_type="text/css", headers={"X-Content-Type-Options": "nosniff"})

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n")

    async def ready(self, request: Request) -> Response:
        """There is a release to show."""
        return PlainTextResponse("ready\n") if self.workspace.lake.release() is not None else PlainTextResponse("no release yet\n", status_code=503)

    def missing(self, request: Request, error: Exception) -> Response:
        """No such page."""
        return HTMLResponse("<!doctype html><title>404</title><p>404</p><p><a href='/'>kundig</a></p>", status_code=404, headers=HEADERS)

    def failed(self, request: Request, error: Exception) -> Response:
        """An error with its mend, as text."""
        return PlainTextResponse(f"{error}\n", status_code=503, headers=HEADERS)

    def _html(self, template: str, request: Request, w: Words, facts: Facts, view: View, current: str, *, asked: str = "", status: int = 200) -> Response:
        body = self.templates.get_template(template).render(w=w, v=view)
        other = next((locale for locale in self.workspace.config.settings.workspace.locales if locale != w.locale), "")
        page = self.templates.get_template("page.html.j2").render(
            w=w, body=body, name=self.workspace.config.settings.workspace.name, navigation=NAVIGATION, current=current, title=view["title"], path=request.url.path, other=other,
            at=w.moment(facts.release.moment), release=facts.release.id, asked=asked,
        )  # fmt: skip
        return HTMLResponse(page, status_code=status, headers=HEADERS)


def _people_view(facts: Facts, w: Words) -> View:
    from kundig import reasons

    rows = []
    for row in facts.urgent:
        reason = reasons.ALL.get(row["reason"])
        text = row["reason"] if reason is None or reason.fields else reasons.sentence(row["reason"], w.locale)
        rows.append((row["person_id"], w.money(row["value_at_stake"]), w.number(row["urgency"], 2), text))
    heads = [(w("people.person"), False), (w("people.stake"), True), (w("people.urgency"), True), (w("common.reason"), False)]
    return {"title": w("people.title"), "answer": w("people.answer", persons=w.number(facts.people["persons"])), "urgent": grid(heads, rows), "note": ""}


def _person_view(found: Person, answers: tuple[Answer, ...], w: Words) -> View:
    kind = w.named("kinds", str(found.profile.get("kind") or ""))
    since = w.day(found.profile.get("first_seen_at"))
    if found.value:
        interval = w.interval(found.value["expected_value_low"], found.value["expected_value_high"])
        answer = w("person.answer", kind=kind, since=since, orders=w.number(found.features.get("purchase_days")), value=w.money(found.value["expected_value"]), interval=interval)
    else:
        answer = w("person.answer_plain", kind=kind, since=since)
    profile = [(name, _told(value, w), _origin(found.provenance.get(name))) for name, value in found.profile.items() if value not in (None, "", [])]
    consents = [(c.purpose, c.channel, w("common.yes") if c.allow else w("common.no"), c.sentence) for c in found.consents]
    numbers = [(name, _told(value, w)) for name, value in found.features.items() if value is not None]
    timeline = [(w.moment(e.at), w.named("kinds", e.kind), e.what, e.channel or "–", w.money(e.value) if e.value is not None else "–") for e in found.timeline]
    return {
        "title": w("person.title", person=found.person_id), "answer": answer, "answers": [one.sentence for one in answers],
        "profile": grid([(w("person.attribute"), False), (w("common.value"), False), (w("person.origin"), False)], profile),
        "identifiers": grid([(w("person.namespace"), False), (w("common.value"), False), (w("person.origin"), False)], found.identifiers),
        "consents": grid([(w("person.purpose"), False), (w("person.channel"), False), (w("person.allowed"), False), (w("common.reason"), False)], consents),
        "numbers": grid([(w("person.attribute"), False), (w("common.value"), True)], numbers),
        "timeline": grid([(w("person.when"), False), (w("person.kind"), False), (w("person.what"), False), (w("person.channel"), False), (w("common.value"), True)], timeline),
    }  # fmt: skip


def _told(value: Any, w: Words) -> str:
    if isinstance(value, bool):
        return w("common.yes") if value else w("common.no")
    if isinstance(value, dt.datetime):
        return w.moment(value)
    if isinstance(value, dt.date):
        return w.day(value)
    if isinstance(value, (float, Decimal)):
        return w.number(value, 2)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _origin(origin: Any) -> str:
    if isinstance(origin, dict):
        return ", ".join(str(part) for part in (origin.get("source"), str(origin.get("at") or origin.get("occurred_at") or "")[:10]) if part)
    return "–" if origin is None else str(origin)


def _wants_json(request: Request) -> bool:
    return request.query_params.get("format") == "json" or request.headers.get("accept", "").startswith("application/json")


def _plain(record: Any) -> Any:
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {str(key): _plain(value) for key, value in record.items()}
    return [_plain(item) for item in record] if isinstance(record, (list, tuple)) else record


def _json(value: Any, *, status: int = 200) -> Response:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return JSONResponse(json.loads(text), status_code=status, headers=HEADERS)
