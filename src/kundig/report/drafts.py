"""Predictions that a form asks for: ready targets, the file its answers make, and how it is written beside those that stand."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kundig import access, audit
from kundig.config.across import faults_across
from kundig.config.load import Config, load
from kundig.config.predictions import Prediction
from kundig.errors import ConfigError, Fault, nearest
from kundig.report.trials import ORDER, checked, text_of

if TYPE_CHECKING:
    from kundig.workspace import Workspace

Given = Mapping[str, str]
ORDERED = {"event": "order_completed"}
OWN = "rule"
"""The target that is written in the rule language."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A file that is not written yet: its text, the prediction it asks for, the workspace's files it was checked with, and the text that stands in its place."""

    name: str
    text: str
    prediction: Prediction
    config: Config
    standing: str | None


def _bought(given: Given, config: Config) -> tuple[Any, Any]:
    if not given.get("category"):
        raise ConfigError("no category is named", at="category", mend="name the category as the products do")
    return {"event": "product_bought", "where": {"category": given["category"]}}, None


def _withdrawn(given: Given, config: Config) -> tuple[Any, Any]:
    pairs = [f"{purpose}/{channel}" for purpose, channel in config.purposes.pairs()]
    if given.get("consent") not in pairs:
        raise ConfigError(f"'{given.get('consent', '')}' is no consent of purposes.yaml", at="consent", mend=nearest(given.get("consent", ""), pairs))
    purpose, _, channel = given["consent"].partition("/")
    held = {"consent": purpose, "channel": channel}
    return held | {"is": "withdrawn"}, held


READY: Mapping[str, Callable[[Given, Config], tuple[Any, Any]]] = MappingProxyType({
    "buys": lambda given, config: (ORDERED, None),
    "buys_category": _bought,
    "churns": lambda given, config: ({"not": ORDERED}, ORDERED | {"within": "365 days"}),
    "unsubscribes": _withdrawn,
    "lead_deal": lambda given, config: ({"event": "deal_opened"}, {"not": {"event": "deal_opened"}}),
})  # fmt: skip
"""Ready targets: each gives the rule of who did it, and that of whom it is predicted where the form names nobody (None: of everyone)."""
PLACES = {"buys_category": "category", "unsubscribes": "consent", OWN: "target"}
"""Ready target → the field that a fault of its rule stands at; the choice itself for others."""


def drafted(workspace: Workspace, given: Given) -> Draft:
    """The file that the answers to the form make, checked as `kundig apply` checks one written by hand, with the workspace's files as they are now.

    Raises:
        ConfigError: Every fault, each at its field of the form; those of other files at their place.
    """
    config, name, kind, faults = load(workspace.root), given.get("name", ""), given.get("kind", ""), list[Fault]()
    answers: dict[str, Any] = {key: given.get(key, "") for key in ("meaning", "owner", "horizon", "population")}
    answers["title"] = {locale: given[f"title_{locale}"] for locale in ("de", "en") if given.get(f"title_{locale}")}
    answers["target"], everyone = given.get("target", ""), None
    for key in ("gain", "cost"):
        try:
            answers[key] = float(given[key].replace(",", ".")) if given.get(key) else None
        except ValueError:
            faults.append(Fault(what=f"'{given[key]}' is no amount", at=key, mend="write a number such as 18 or 1.20"))
    if kind in READY:
        try:
            answers["target"], everyone = READY[kind](given, config)
        except ConfigError as error:
            faults += error.faults
            answers["target"] = ORDERED  # its fault is told; the others are looked for all the same
    elif kind != OWN:
        faults.append(Fault(what=f"there is no target '{kind}'", at="kind", mend=nearest(kind, [*READY, OWN])))
    answers["population"] = answers["population"] or everyone
    old = config.predictions.get(name)
    kept = {} if old is None else {key: value for key, value in old.model_dump(mode="json", exclude_defaults=True).items() if key not in ORDER or key == "groups"}
    try:
        made = checked(config, name, kept | answers)
    except ConfigError as error:
        raise ConfigError(faults=[*faults, *(_at_field(fault, kind) for fault in error.faults if not _amiss(fault, faults))]) from error
    across = faults_across(dict(config.values) | {"predictions": MappingProxyType({**config.predictions, name: made})})
    faults += [replace(fault, at="name") for fault in across]
    if faults:
        raise ConfigError(faults=faults)
    path = _path(workspace, name)
    return Draft(name=name, text=text_of(made), prediction=made, config=config, standing=path.read_text(encoding="utf-8") if path.is_file() else None)


def written(workspace: Workspace, draft: Draft, *, overwrite: bool, role: str, actor: str) -> Path:
    """Write the file of a draft, whole or not at all, and note it in the audit log; the next apply accepts it.

    Raises:
        AccessDenied: The role may not propose predictions.
        ConfigError: A file of that name stands there, and `overwrite` was not said; or it has changed since the draft.
    """
    access.demand(role, "propose", "prediction")
    path = _path(workspace, draft.name)
    standing = path.read_text(encoding="utf-8") if path.is_file() else None
    if standing is not None and not overwrite:
        raise ConfigError(f"predictions/{draft.name}.yaml is there already", at="name", mend="choose another name, or say that it is to be replaced")
    if standing != draft.standing:
        raise ConfigError(f"predictions/{draft.name}.yaml has changed meanwhile", at="name", mend="look at it once more")
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(draft.text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    audit.append(workspace.state, actor=actor, role=role, action="write", object_kind="prediction", object_id=draft.name, details={"replaced": standing is not None})
    return path


def _path(workspace: Workspace, name: str) -> Path:
    return workspace.root / "predictions" / f"{name}.yaml"


def _at_field(fault: Fault, kind: str) -> Fault:
    """The fault at the form's field: rules within their text, ready targets at what they ask for."""
    field = fault.at.replace("[", ".").partition(".")[0].partition(",")[0]
    if field == "target":
        field = PLACES.get(kind, "kind")
    return replace(fault, at=field, what=f"{fault.what} ({fault.at})" if fault.at not in (field, "target") else fault.what)


def _amiss(fault: Fault, faults: list[Fault]) -> bool:
    """Whether a fault follows from one that is told: gain and cost go together."""
    return fault.at == "gain" and any(one.at in ("gain", "cost") for one in faults)
