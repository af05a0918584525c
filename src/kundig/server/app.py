"""The application: one route a page, the same contents as HTML and JSON; every answer from the newest release."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from kundig.answers import Person, find, person, reasoned, why
from kundig.clock import now as present
from kundig.decide.policy import parsed_rules
from kundig.errors import ConfigError, Fault, IdentityError, KundigError
from kundig.legal.wording import text
from kundig.live import LivePerson, Now
from kundig.report import TEMPLATES, chances, environment, words
from kundig.report.cells import Cell, address, plain
from kundig.report.facts import Choice, Facts
from kundig.report.pages import PAGES
from kundig.report.predictions import title_of
from kundig.report.views import View
from kundig.report.words import Words
from kundig.server import health, proofs
from kundig.server import people as about
from kundig.server.forms import Shown
from kundig.server.health import Watch
from kundig.server.identity_pages import IdentityPages
from kundig.server.lead_pages import LeadPages
from kundig.server.loopback import LoopbackOnly
from kundig.server.prediction_pages import PredictionPages
from kundig.server.subject_api import SubjectApi
from kundig.server.subject_pages import SubjectPages

if TYPE_CHECKING:
    from kundig.workspace import Workspace

NAVIGATION = ("overview", "people", "value", "segments", "audiences", "creatives", "measure", "consent", "data", "sources")
ASIDES = {"audiences": ("leads.title", "/leads"), "consent": ("requests.title", "/requests"), "measure": ("usecases.title", "/usecases")}
"""Page → the page it leads to: title and address."""
LANGUAGES = {"de": "Deutsch", "en": "English"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
}  # fmt: skip
MOST = 200
"""Characters of a search that are looked at."""


def make_app(workspace: Workspace) -> Starlette:
    """The application over one workspace."""
    pages = Pages(workspace)
    routes = [Route("/", pages.root), Route("/style.css", pages.style), Route("/health", pages.health), Route("/ready", pages.ready)]
    routes += [Route("/people", pages.people), Route("/people/{identifier:path}", pages.person), Route("/api/people/{identifier:path}", pages.api_person)]
    routes += [Route("/api/why/{identifier:path}", pages.api_why), Route("/api/sources", pages.api_sources), Route("/sources", pages.sources), Route("/metrics", pages.metrics)]
    routes += IdentityPages(workspace, words=pages.words, shown=pages.formed("identity.html.j2", "people", hidden=("token", "undoable")), headers=HEADERS).routes()
    routes += LeadPages(workspace, words=pages.words, shown=pages.formed("leads.html.j2", "people", hidden=("token", "owners", "statuses")), headers=HEADERS).routes()
    routes += SubjectApi(workspace).routes() + SubjectPages(workspace, words=pages.words, shown=pages.formed("requests.html.j2", "consent", hidden=("token",)), headers=HEADERS).routes()
    routes += PredictionPages(workspace, words=pages.words, shown=pages.formed("predictions.html.j2", "segments", hidden=("token", "form", "written"), dated=True), headers=HEADERS).routes()
    routes += [Route("/predictions/{name}", pages.prediction)]
    routes += [Route("/legal", pages.proofs), Route("/legal/folder.pdf", pages.proofs_file), Route("/{page}", pages.page)]
    return Starlette(routes=routes, middleware=[Middleware(LoopbackOnly)], exception_handlers={404: pages.missing, KundigError: pages.failed})


class Pages:
    """Answers requests; one release's facts are kept until a newer one is there."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.templates = environment(Path(__file__).parent / "templates", linked=True)
        self.lock = threading.Lock()
        self.watch = Watch(workspace)
        self.now = Now(workspace.lake, workspace.config, workspace.tables["events"], workspace.heard, state=workspace.state)
        self._facts: Facts | None = None

    def facts(self) -> Facts:
        """The facts of the newest release."""
        fresh = Facts(self.workspace)
        if self._facts is None or self._facts.release.id != fresh.release.id:
            self._facts = fresh
        return self._facts

    def words(self, request: Request) -> Words:
        """The language asked for: `?lang=`, else the workspace's."""
        asked = request.query_params.get("lang", "")
        known = self.workspace.config.settings.workspace.locales
        return words(self.workspace, asked if asked in known and asked in LANGUAGES else self.workspace.config.settings.workspace.locale)

    # pages

    async def root(self, request: Request) -> Response:
        """To the first page."""
        return RedirectResponse(address("/overview", lang=request.query_params.get("lang", "")[:5]))

    async def page(self, request: Request) -> Response:
        """One page of the navigation."""
        key = request.path_params["page"]
        if key not in PAGES:
            return await self.missing(request, KundigError("no such page"))
        template, fill = PAGES[key]
        if key in ASIDES:
            title, path = ASIDES[key]
            return await self._shown(request, template, key, lambda facts, w: fill(facts, w) | {"aside": Cell(text=w(title), href=address(path, lang=w.locale))})
        return await self._shown(request, template, key, fill)

    async def people(self, request: Request) -> Response:
        """The search; a person that was found; or the people of a choice."""
        asked, audience = request.query_params.get("q", "").strip()[:MOST], request.query_params.get("audience", "")[:MOST]
        if asked:
            return await run_in_threadpool(self._search, request, asked, audience)
        choice = Choice(**{name: request.query_params.get(name, "")[:MOST] for name in Choice.__dataclass_fields__})
        if choice.given():
            return await self._shown(request, "tables.html.j2", "people", lambda facts, w: about.chosen(facts, w, choice))
        return await self._shown(request, "people.html.j2", "people", about.search)

    async def prediction(self, request: Request) -> Response:
        """The card of one prediction."""
        name = request.path_params["name"][:MOST]
        if name not in self.workspace.config.predictions:
            return await self.missing(request, KundigError("no such page"))
        return await self._shown(request, "tables.html.j2", "segments", lambda facts, w: chances.one(facts, w, name) or {})

    def _search(self, request: Request, asked: str, audience: str) -> Response:
        w = self.words(request)
        with self.lock:
            key, found, fresh = self._known(asked, w)
            near = () if found is not None or fresh is not None or self.workspace.lake.release() is None else find(self.workspace, asked)
        if near:
            if len(near) == 1 and near[0].off == 0:
                return RedirectResponse(address(f"/people/{near[0].person_id}", audience=audience, lang=w.locale), status_code=303, headers=HEADERS)
            return self._show(request, "people.html.j2", "people", lambda facts, w: about.found(facts, w, asked, near, audience=audience))
        if found is not None or fresh is not None:
            return RedirectResponse(address(f"/people/{found.person_id if found else key}", audience=audience, lang=w.locale), status_code=303, headers=HEADERS)
        return self._show(request, "people.html.j2", "people", lambda facts, w: about.search(facts, w, note=w("people.unknown", q=asked), asked=asked, audience=audience), status=404)

    async def person(self, request: Request) -> Response:
        """Why (not), and everything known of one person."""
        return await run_in_threadpool(self._person, request)

    def _person(self, request: Request) -> Response:
        w, identifier, audience = self.words(request), request.path_params["identifier"][:MOST], request.query_params.get("audience", "")
        with self.lock:
            _, found, fresh = self._known(identifier, w)
            answers = () if found is None else found.answers
        if found is None and fresh is not None:
            if _wants_json(request):
                return _json({"person_id": fresh.person_id, "live": _record(fresh)})
            return self._html("tables.html.j2", request, w, about.heard(fresh, w), "people")
        if found is None:
            return self._show(request, "people.html.j2", "people", lambda facts, w: about.search(facts, w, note=w("people.unknown", q=identifier), asked=identifier), status=404)
        if "reasons" in request.query_params and found.chances:  # without the lock: it takes a while, and has a connection of its own
            found = reasoned(self.workspace, found)
        if _wants_json(request):
            return _json(_record(found) | {"answers": [_record(answer) for answer in answers], "live": _record(fresh)})
        titles = {name: title_of(name, prediction, w.locale) for name, prediction in self.workspace.config.predictions.items()}
        return self._show(request, "person.html.j2", "people", lambda facts, w: about.one(found, answers, w, audience=audience, fresh=fresh, titles=titles))

    def _known(self, identifier: str, w: Words) -> tuple[str, Person | None, LivePerson | None]:
        """The person an identifier belongs to by now: public id, what the release knows, and what was heard since."""
        key = self.now.resolve(identifier)
        public = identifier if key is None else f"p{key:015x}"
        fresh = None if key is None else self.now.person(public)
        try:
            return public, person(self.workspace, public, locale=w.locale), fresh
        except IdentityError:
            return public, None, fresh
        except KundigError:
            if fresh is None:
                raise
            return public, None, fresh  # there is no release yet, and calls have come

    async def sources(self, request: Request) -> Response:
        """How the sources are."""
        return await run_in_threadpool(self._sources, request)

    def _sources(self, request: Request) -> Response:
        w = self.words(request)
        view = health.page(self.workspace, self.watch.health(), w)
        if _wants_json(request):
            return _json(_told(view))
        return self._html("tables.html.j2", request, w, view, "sources", json=True)

    async def proofs(self, request: Request) -> Response:
        """What can be proved about data protection: the sheets of legal's folder."""
        settings = self.workspace.config.settings
        name = settings.brand.name or settings.workspace.name
        asked = request.query_params.get("quarter", "")[:MOST]
        return await self._shown(request, "legal.html.j2", "legal", lambda facts, w: proofs.page(proofs.made(self.workspace, w, asked, at=present()), w, name=name, zone=settings.workspace.zone))

    async def proofs_file(self, request: Request) -> Response:
        """The folder as a PDF."""
        return await run_in_threadpool(self._proofs_file, request)

    def _proofs_file(self, request: Request) -> Response:
        w, asked = self.words(request), request.query_params.get("quarter", "")[:MOST]
        with self.lock:
            found = proofs.made(self.workspace, w, asked, at=present())
            body = proofs.file(found, self.workspace, w)
        named = {"Content-Disposition": f'attachment; filename="folder-{found.quarter.name}.{w.locale}.pdf"'}
        return Response(body, media_type="application/pdf", headers=HEADERS | named)

    # for machines

    async def api_person(self, request: Request) -> Response:
        """Everything known of one person by now, as JSON; with `?audiences=now` also whom the audiences' rules choose at this moment."""
        return await run_in_threadpool(self._api_person, request)

    def _api_person(self, request: Request) -> Response:
        w, asked = self.words(request), request.path_params["identifier"][:MOST]
        with self.lock:
            public, found, fresh = self._known(asked, w)
            if found is None and fresh is None:
                try:
                    person(self.workspace, asked)
                except IdentityError as error:
                    return _json({"error": error.what, "mend": error.mend}, status=404)
            told = _record(found) if found is not None else {"person_id": public}
            told["live"] = _record(fresh)
            if request.query_params.get("audiences") == "now":
                told["audiences_now"] = self.now.judge(parsed_rules(self.workspace.config.audiences, self.workspace.config, self.workspace.config.rule_segments), int(public[1:], 16), at=present())
        return _json(told)

    async def api_sources(self, request: Request) -> Response:
        """How the sources are, as JSON."""
        return _json(_record(await run_in_threadpool(self.watch.health)))

    async def metrics(self, request: Request) -> Response:
        """Figures for Prometheus."""
        seen = await run_in_threadpool(self.watch.health)
        body = await run_in_threadpool(health.metrics, self.workspace, seen)
        return Response(body, media_type="text/plain; version=0.0.4", headers={"Cache-Control": "no-store"})

    async def api_why(self, request: Request) -> Response:
        """Why (not), for one audience or each, as JSON."""
        w, audience = self.words(request), request.query_params.get("audience") or None
        return await run_in_threadpool(self._api, request, lambda who: [_record(answer) for answer in why(self.workspace, who, audience=audience, locale=w.locale)])

    def _api(self, request: Request, answer: Callable[[str], Any]) -> Response:
        with self.lock:
            try:
                return _json(answer(request.path_params["identifier"][:MOST]))
            except (IdentityError, ConfigError) as error:
                return _json({"error": error.what, "mend": error.mend}, status=404)

    async def style(self, request: Request) -> Response:
        """The one stylesheet."""
        return Response((TEMPLATES / "style.css").read_text(encoding="utf-8"), media_type="text/css", headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"})

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n")

    async def ready(self, request: Request) -> Response:
        """There is a release to show."""
        release = await run_in_threadpool(self.workspace.lake.release)
        return PlainTextResponse("ready\n") if release is not None else PlainTextResponse("no release yet\n", status_code=503)

    # what goes wrong

    async def missing(self, request: Request, error: Exception) -> Response:
        """No such page."""
        w = self.words(request)
        view = {"title": w("message.missing"), "answer": w("message.missing_answer"), "faults": ()}
        return _json({"error": view["title"]}, status=404) if _wants_json(request) else self._html("message.html.j2", request, w, view, "", status=404)

    async def failed(self, request: Request, error: Exception) -> Response:
        """An error with its mend."""
        w = self.words(request)
        faults = error.faults if isinstance(error, KundigError) else (Fault(what=str(error)),)
        if _wants_json(request):
            return _json({"error": faults[0].what, "mend": faults[0].mend}, status=503)
        return self._html("message.html.j2", request, w, {"title": w("message.failed"), "answer": w("message.failed_answer"), "faults": faults}, "", status=503)

    # making them

    def formed(self, template: str, current: str, *, hidden: tuple[str, ...], dated: bool = False) -> Shown:
        """What shows a page with forms, or its JSON without what is only for the forms; `dated`: it says of which release it is."""

        def shown(request: Request, w: Words, view: View, status: int) -> Response:
            if _wants_json(request):
                return _json(_told({name: given for name, given in view.items() if name not in hidden}), status=status)
            with self.lock:
                facts = self.facts() if dated else None
            return self._html(template, request, w, view, current, facts=facts, json=True, status=status)

        return shown

    async def _shown(self, request: Request, template: str, current: str, fill: Callable[[Facts, Words], View]) -> Response:
        return await run_in_threadpool(self._show, request, template, current, fill)

    def _show(self, request: Request, template: str, current: str, fill: Callable[[Facts, Words], View], *, status: int = 200) -> Response:
        w = self.words(request)
        with self.lock:
            facts = self.facts()
            view = fill(facts, w)
        return _json(_told(view), status=status) if _wants_json(request) else self._html(template, request, w, view, current, facts=facts, status=status)

    def _html(self, template: str, request: Request, w: Words, view: View, current: str, *, facts: Facts | None = None, json: bool = False, status: int = 200) -> Response:
        settings = self.workspace.config.settings.workspace
        query = {name: given[:MOST] for name, given in request.query_params.items() if name not in ("lang", "format")}
        path = request.url.path
        page = self.templates.get_template("page.html.j2").render(
            w=w, body=self.templates.get_template(template).render(w=w, v={"how": ""} | view, h=1), name=settings.name, navigation=NAVIGATION, current=current, title=view["title"],
            json=address(path, **query, lang=w.locale, format="json") if facts or json else "", languages=LANGUAGES, searching=template == "people.html.j2",
            others=[(locale, address(path, **query, lang=locale)) for locale in settings.locales if locale != w.locale and locale in LANGUAGES],
            at=w.moment(facts.release.moment) if facts else "", release=facts.release.id if facts else "", proofs=text(w.locale, "folder.subject"),
        )  # fmt: skip
        return HTMLResponse(page, status_code=status, headers=HEADERS)


def _wants_json(request: Request) -> bool:
    return request.query_params.get("format") == "json" or request.headers.get("accept", "").startswith("application/json")


def _told(view: Any) -> Any:
    """A view without what only a page can use."""
    if isinstance(view, dict):
        return {name: _told(value) for name, value in view.items() if name not in ("drawing", "empty")}
    return [_told(value) for value in view] if isinstance(view, list) else view


def _record(record: Any) -> Any:
    import dataclasses

    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: _record(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {str(name): _record(value) for name, value in record.items()}
    return [_record(value) for value in record] if isinstance(record, (list, tuple)) else record


def _json(value: Any, *, status: int = 200) -> Response:
    return JSONResponse(plain(value), status_code=status, headers=HEADERS)
