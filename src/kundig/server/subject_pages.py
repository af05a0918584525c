"""Pages of what people ask about their data: the list with a form, and one request with how each store stands, its file, its certificate, and what can be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request as Asked
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kundig.clock import now
from kundig.config.unify import ATTRIBUTES
from kundig.errors import Fault, KundigError, PrivacyError
from kundig.privacy import KINDS, Request, cancel, fulfil, lift, open_request, request, requests
from kundig.privacy.certificate import as_pdf, told
from kundig.privacy.erasing import Certificate
from kundig.privacy.fulfilling import GIVEN, Fulfilled
from kundig.privacy.gathering import gather
from kundig.privacy.subjects import subject_of_key
from kundig.privacy.wording import table_name
from kundig.report.cells import Cell, address
from kundig.report.views import View, grid
from kundig.report.words import DASH, Words
from kundig.server.forms import ACTOR, FormPages

if TYPE_CHECKING:
    pass

FIELDS = ("kind", "who", "by", "checked", "attribute", "value")
TONES = {"finished": "good", "lifted": "good", "partial": "warn", "failed": "bad"}


class SubjectPages(FormPages):
    """Answers requests to /requests."""

    def routes(self) -> list[Route]:
        """Addresses and what answers them."""
        return [
            Route("/requests", self._forms.read(self._list), methods=["GET"]), Route("/requests", self._forms.write(self._enter), methods=["POST"]), Route("/requests/{number}", self._forms.read(self._one), methods=["GET"]),
            Route("/requests/{number}/file.zip", self._forms.read(self._file), methods=["GET"]), Route("/requests/{number}/certificate.pdf", self._forms.read(self._certificate), methods=["GET"]),
            Route("/requests/{number}/{act:str}", self._forms.write(self._do), methods=["POST"]),
        ]  # fmt: skip

    def _stale(self, request: Asked, w: Words, form: dict[str, str]) -> Response:
        return self._list(request, w, form, Fault(what=w("requests.stale")), 403)

    # the list and the form

    def _list(self, request: Asked, w: Words, given: Mapping[str, str] | None = None, fault: Fault | None = None, status: int = 200) -> Response:
        found, at = requests(self.workspace), now()
        rows = [(_link(one, w), w.named("request_kinds", one.kind), _status(one, w, late=one.overdue(at)), w.day(one.requested_at), w.day(one.due_at), w.day(one.finished_at) if one.finished_at else DASH, _by(one, w)) for one in found]
        heads = [(w(f"requests.{name}"), False) for name in ("request", "kind", "status", "made", "due", "done", "by")]
        waiting = [one for one in found if one.status in ("pending", "in_progress", "partial", "failed")]
        answer = w("requests.answer", waiting=w.number(len(waiting)), late=w.number(sum(one.overdue(at) for one in waiting)), all=w.number(len(found)))
        attributes = [(name, w.named("attributes", name)) for name in ATTRIBUTES]
        view: View = {
            "title": w("requests.title"), "answer": answer, "fault": fault, "one": False, "tables": [grid(heads, rows, title=w("requests.list"), empty=w("requests.none"))],
            "token": self._forms.token, "kinds": [(name, w.named("request_kinds", name)) for name in KINDS], "attributes": attributes, "given": dict.fromkeys(FIELDS, "") | {name: (given or {}).get(name, "") for name in FIELDS},
        }  # fmt: skip
        return self._shown(request, w, view, status)

    def _enter(self, request: Asked, w: Words, form: dict[str, str]) -> Response:
        try:
            details = {"set": {form["attribute"]: form.get("value", "")}} if form.get("kind") == "correction" and form.get("attribute") else None
            if form.get("kind") == "correction" and details is None:
                raise PrivacyError(w("requests.attribute_needed"))
            one = open_request(self.workspace, form.get("kind", ""), form.get("who", ""), requested_by=form.get("by") or "person", verified_by=form.get("checked", ""), details=details, actor=ACTOR)
        except KundigError as error:
            return self._list(request, w, form, error.faults[0], 422)
        return self._to(one.request_id, w)

    # one of them

    def _one(self, asked: Asked, w: Words, fault: Fault | None = None, status: int = 200, *, left: Certificate | None = None, names: str = "") -> Response:
        """The page of a request; of an erasure that just left something with the places and, this once, the identifiers that close it."""
        try:
            one = request(self.workspace, asked.path_params["number"])
        except PrivacyError as error:
            return self._list(asked, w, None, error.faults[0], 404)
        stores = [(table_name(w.locale, name), w.named("request_statuses", str(told.get("status", ""))), w.number(told.get("rows"))) for name, told in one.stores.items()]
        certified = [(w.named("request_stores", row["store"]), w.number(row["found_before"]), w.number(row["found_after"]), w.number(row["changed"])) for row in one.certificate.get("stores", [])]
        tables = [grid([(w("requests.attribute_head"), False), (w("common.value"), False)], self._facts(one, w), title=w("requests.facts"))]
        if certified:
            heads = [(w("requests.store"), False), *((w(f"requests.{name}"), True) for name in ("before", "after", "changed"))]
            tables.append(grid(heads, certified, title=w("requests.certificate")))
        if left is not None and left.places:
            tables.insert(0, grid([(w("requests.place"), False)], [(place,) for place in left.places], title=w("requests.left"), note=w("requests.left_note")))
        if stores and not certified:
            tables.append(grid([(w("requests.store"), False), (w("requests.status"), False), (w("requests.rows"), True)], stores, title=w("requests.stores")))
        files = []
        if one.kind in GIVEN and one.status == "finished" and one.identifier_key is not None:
            files.append((w("requests.file"), address(f"/requests/{one.request_id}/file.zip", lang=w.locale)))
        if one.kind == "erasure" and one.status in ("finished", "partial"):
            files.append((w("requests.certificate_pdf"), address(f"/requests/{one.request_id}/certificate.pdf", lang=w.locale)))
        view: View = {
            "title": w("requests.one_title", kind=w.named("request_kinds", one.kind), id=one.request_id[:8]), "answer": w("requests.one_answer", status=w.named("request_statuses", one.status), made=w.day(one.requested_at), due=w.day(one.due_at)),
            "fault": fault, "one": True, "files": files, "acts": self._acts(one, w, names="\n".join(f"{each.namespace}:{each.value}" for each in left.identifiers) if left is not None else names), "tables": tables, "token": self._forms.token, "kinds": [],
        }  # fmt: skip
        return self._shown(asked, w, view, status)

    def _facts(self, one: Request, w: Words) -> list[tuple[str, str]]:
        return [
            (w("requests.request"), one.request_id), (w("requests.made"), w.moment(one.requested_at)), (w("requests.due"), w.day(one.due_at)), (w("requests.done"), w.moment(one.finished_at)),
            (w("requests.by"), _by(one, w)), (w("requests.checked"), one.verified_by or w("requests.not_checked")),
        ]  # fmt: skip

    def _acts(self, one: Request, w: Words, *, names: str = "") -> list[dict[str, Any]]:
        """What can be done, with what it does before it is done."""
        found = []
        to = f"/requests/{one.request_id}"
        if one.status in ("pending", "failed") and one.identifier_key is not None:
            effect = w(f"requests.effect_{one.kind}" if one.kind in KINDS else "requests.effect_suppression", **self._effect(one, w))
            danger = one.kind == "erasure"
            found.append({"title": w("requests.fulfil"), "effect": effect, "to": address(f"{to}/fulfil", lang=w.locale), "button": w.named("request_acts", one.kind), "word": danger, "ask": w("requests.ask_word", word=w("requests.word")) if danger else ""})
        if one.kind == "erasure" and one.status == "partial":
            found.append({"title": w("requests.close"), "effect": w("requests.effect_close"), "to": address(f"{to}/fulfil", lang=w.locale), "button": w("requests.close_button"), "word": False, "ask": "", "names": w("requests.names"), "given": names})
        if one.status == "pending":
            found.append({"title": w("requests.cancel"), "effect": w("requests.effect_cancel"), "to": address(f"{to}/cancel", lang=w.locale), "button": w("requests.cancel_button"), "word": False, "ask": ""})
        if one.kind == "restriction" and one.status == "finished":
            found.append({"title": w("requests.lift"), "effect": w("requests.effect_lift"), "to": address(f"{to}/lift", lang=w.locale), "button": w("requests.lift"), "word": False, "ask": ""})
        return [{"names": "", "given": ""} | act for act in found]

    def _effect(self, one: Request, w: Words) -> dict[str, str]:
        """Rows and tables that an erasure touches, and orders that stay without the person."""
        if one.kind != "erasure" or one.identifier_key is None:
            return {}
        try:
            counts = {each.table: len(each.rows) for each in gather(self.workspace, subject_of_key(self.workspace, one.identifier_key))}
        except KundigError:
            counts = {}
        return {"rows": w.number(sum(counts.values())), "tables": w.number(sum(bool(count) for count in counts.values())), "orders": w.number(counts.get("orders", 0))}

    def _do(self, asked: Asked, w: Words, form: dict[str, str]) -> Response:
        number, act = asked.path_params["number"], asked.path_params["act"]
        try:
            one = request(self.workspace, number)
            if act == "fulfil" and one.kind == "erasure" and one.status != "partial" and form.get("word", "").upper() != w("requests.word"):
                return self._one(asked, w, Fault(what=w("requests.word_missing", word=w("requests.word"))), 422)
            named = [name.strip() for name in form.get("names", "").splitlines() if name.strip()]
            acts: dict[str, Callable[[], object]] = {
                "fulfil": lambda: fulfil(self.workspace, one.request_id, identifiers=named, actor=ACTOR), "cancel": lambda: cancel(self.workspace, one.request_id, actor=ACTOR), "lift": lambda: lift(self.workspace, one.request_id, actor=ACTOR),
            }  # fmt: skip
            if act not in acts:
                raise PrivacyError(f"'{act}' is nothing that a request can be asked", mend="fulfil, cancel or lift")
            done = acts[act]()
        except KundigError as error:
            return self._one(asked, w, error.faults[0], 422, names=form.get("names", ""))
        if isinstance(done, Fulfilled) and done.certificate is not None and not done.certificate.complete:
            return self._one(asked, w, left=done.certificate)
        return self._to(one.request_id, w)

    def _file(self, asked: Asked, w: Words) -> Response:
        try:
            one = request(self.workspace, asked.path_params["number"])
            if one.kind not in GIVEN or one.status != "finished":
                raise PrivacyError("there is no file of this request")
            made = fulfil(self.workspace, one.request_id, actor=ACTOR).file
        except KundigError as error:
            return self._list(asked, w, None, error.faults[0], 404)
        return Response(made, media_type="application/zip", headers=self._headers | {"Content-Disposition": f'attachment; filename="{one.kind}-{one.request_id[:8]}.zip"'})

    def _certificate(self, asked: Asked, w: Words) -> Response:
        try:
            one = request(self.workspace, asked.path_params["number"])
            content = as_pdf(told(self.workspace, one, w.locale), one, w.locale)
        except KundigError as error:
            return self._list(asked, w, None, error.faults[0], 404)
        return Response(content, media_type="application/pdf", headers=self._headers | {"Content-Disposition": f'inline; filename="certificate-{one.request_id[:8]}.{w.locale}.pdf"'})

    def _to(self, number: str, w: Words) -> Response:
        return RedirectResponse(address(f"/requests/{number}", lang=w.locale), status_code=303, headers=self._headers)


def _link(one: Request, w: Words) -> Cell:
    return Cell(text=one.request_id[:8], value=one.request_id, href=address(f"/requests/{one.request_id}", lang=w.locale))


def _by(one: Request, w: Words) -> str:
    return w.named("request_by", one.requested_by) if one.requested_by else DASH


def _status(one: Request, w: Words, *, late: bool) -> Cell:
    text = w.named("request_statuses", one.status)
    return Cell(text=w("requests.late", status=text) if late else text, value=one.status, tone="bad" if late else TONES.get(one.status, ""))
