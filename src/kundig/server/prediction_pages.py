"""The page of predictions with its form: what a new one would ask, the file it would be, and whom it would learn from, before anything is written."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kundig import access
from kundig.errors import AccessDenied, ConfigError, Fault
from kundig.report import chances
from kundig.report.cells import address
from kundig.report.drafts import OWN, READY, Draft, Given, drafted, written
from kundig.report.facts import Facts
from kundig.report.trials import Count, counted
from kundig.report.views import View
from kundig.report.words import Words
from kundig.server.forms import ACTOR, FormPages

TEXTS = ("name", "title_de", "title_en", "meaning", "owner")
NEEDED = ("name", "meaning", "owner", "horizon")
CATEGORIES = 200
"""Categories of products that the form suggests."""
CHOSEN = {"kind": "buys", "horizon": "30 days"}
"""What the empty form begins with."""


class PredictionPages(FormPages):
    """Answers requests to /predictions."""

    def routes(self) -> list[Route]:
        """Addresses and what answers them."""
        return [Route("/predictions", self._forms.read(self._list), methods=["GET"]), Route("/predictions", self._forms.write(self._asked), methods=["POST"])]

    def _list(self, request: Request, w: Words, given: Given | None = None, faults: tuple[Fault, ...] = (), draft: Draft | None = None, status: int = 200) -> Response:
        view: View = chances.listed(Facts(self.workspace), w)
        name = request.query_params.get("written", "")
        done = name in _files(self.workspace.root) and given is None
        at_fields, amiss = {fault.at: fault for fault in faults}, [fault for fault in faults if fault.at not in (*TEXTS, *CHOSEN, "category", "consent", "target", "population", "gain", "cost")]
        form = {"fields": self._fields(w, given or CHOSEN, at_fields), "may": access.allowed(self._role, "propose", "prediction"), "role": self._role, "exists": (given or {}).get("name", "") in _files(self.workspace.root), "replace": bool((given or {}).get("replace"))}
        preview = None if draft is None else {"file": f"predictions/{draft.name}.yaml", "text": draft.text, "standing": draft.standing, "says": self._says(draft, w)}
        return self._shown(request, w, view | {"written": w("predictions.form.written", file=f"predictions/{name}.yaml") if done else "", "form": form, "faults": amiss, "preview": preview, "token": self._forms.token}, status)

    def _asked(self, request: Request, w: Words, form: dict[str, str]) -> Response:
        """Look at the answers, or write the file they make."""
        given = {name: text.replace("\r\n", "\n") for name, text in form.items()}
        try:
            access.demand(self._role, "propose", "prediction")
            draft = drafted(self.workspace, given)
            if form.get("do") != "write":
                return self._list(request, w, given, draft=draft)
            written(self.workspace, draft, overwrite=form.get("replace") == "yes", role=self._role, actor=ACTOR)
        except AccessDenied as error:
            return self._list(request, w, given, error.faults, status=403)
        except ConfigError as error:
            return self._list(request, w, given, error.faults, status=422)
        return RedirectResponse(address("/predictions", written=draft.name, lang=w.locale), status_code=303, headers=self._headers)

    def _stale(self, request: Request, w: Words, form: dict[str, str]) -> Response:
        return self._list(request, w, form, (Fault(what=w("requests.stale")),), status=403)

    @property
    def _role(self) -> str:
        return str(self.workspace.config.settings.serve.role)

    def _fields(self, w: Words, given: Given, faults: dict[str, Fault]) -> list[dict[str, Any]]:
        pairs = [(f"{purpose}/{channel}", f"{purpose}, {w.channel(channel)}") for purpose, channel in self.workspace.config.purposes.pairs()]
        choices = {"kind": [(name, w(f"predictions.form.kinds.{name}")) for name in (*READY, OWN)], "consent": [("", w("predictions.form.none")), *pairs]}
        products = self.workspace.table("products", backend=self.workspace.lake.apart())
        known = products.filter(products.category.notnull()).select("category").distinct().order_by("category").limit(CATEGORIES).to_pyarrow()["category"].to_pylist()
        return [
            {
                "name": name, "label": w(f"predictions.form.{name}"), "hint": w(f"predictions.form.hints.{name}"), "value": given.get(name, ""), "options": choices.get(name, []), "long": name in ("target", "population"),
                "needed": name in NEEDED, "known": known if name == "category" else [], "fault": faults.get(name),
            }
            for name in (*TEXTS, "kind", "category", "consent", "target", "population", "horizon", "gain", "cost")
        ]  # fmt: skip

    def _says(self, draft: Draft, w: Words) -> list[str]:
        """What learning could begin with, in sentences."""
        found: Count = counted(self.workspace, draft.name, draft.prediction, draft.config)
        if found.start is None:
            return [w("predictions.form.no_past", horizon=w.number(draft.prediction.days))]
        told = w("predictions.form.counted", start=w.day(found.start), end=w.day(found.end), population=w.number(found.population), positives=w.number(found.positives))
        return [told] if found.enough else [told, w("predictions.form.few")]


def _files(root: Any) -> set[str]:
    return {path.stem for path in root.glob("predictions/*.yaml")}


__all__ = ["PredictionPages"]
