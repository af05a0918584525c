"""Predictions before they are accepted: the file that answers to a form make, checked as a whole, and what a fit of it would say."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from kundig.config.load import Config
from kundig.config.predictions import Prediction, attributes_of
from kundig.config.unify import NAME
from kundig.errors import ConfigError, Fault, KundigError
from kundig.understand.predictions import fitting, frames
from kundig.understand.predictions.steps import FACTS
from kundig.understand.predictions.targets import Asked, asked
from kundig.understand.propensity.estimate import Propensity
from kundig.understand.propensity.judging import FEWEST

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from kundig.workspace import Workspace

ORDER = ("meaning", "title", "owner", "target", "horizon", "population", "gain", "cost", "groups")
RULES = ("target", "population")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a fit would say: the model with its report, and how many persons the population has now (of a sample, made up to all)."""

    model: Propensity
    population: int


def tried(workspace: Workspace, name: str, prediction: Prediction) -> Trial:
    """Fit a prediction on the newest release, and keep nothing.

    Raises:
        ConfigError: Its rules cannot be read.
        KundigError: There is no release yet.
    """
    config = workspace.config
    rules, facts, as_of = _asked_of(workspace, name, prediction, config)
    kinds = config.profiles.types
    place = frames.Place(zone=config.settings.workspace.zone, costs=config.costs)
    attributes = {key: kinds[key] for key in attributes_of(config.profiles)}
    model, population = fitting.trial(facts, prediction, rules, attributes, config.purposes.pairs(), place, as_of=as_of)
    return Trial(model=model, population=population)


@dataclass(frozen=True, kw_only=True)
class Count:
    """What learning could begin with: the newest past cut-off with the end of its horizon, the persons of the population then, and those of them who did it.

    `start` and `end` are None where the facts do not reach back far enough for one cut-off; both counts are 0 then.
    """

    start: dt.datetime | None
    end: dt.datetime | None
    population: int
    positives: int

    @property
    def enough(self) -> bool:
        """Whether there are as many of either kind as a model needs at the least, at this cut-off alone."""
        return min(self.positives, self.population - self.positives) >= FEWEST


def counted(workspace: Workspace, name: str, prediction: Prediction, config: Config | None = None) -> Count:
    """The population and the outcomes of a prediction at the newest past cut-off; nothing is fitted. `config`: the workspace's files, where they are newer than its own.

    Raises:
        ConfigError: Its rules cannot be read.
        KundigError: There is no release yet.
    """
    files = config or workspace.config
    rules, facts, as_of = _asked_of(workspace, name, prediction, files)
    cuts = frames.cut_offs(frames.first_fact(facts), as_of, files.settings.workspace.zone, prediction)
    if not cuts:
        return Count(start=None, end=None, population=0, positives=0)
    start, end = cuts[-1]
    population, positives = frames.counted(facts, rules, start, end)
    return Count(start=start, end=end, population=population, positives=positives)


def _asked_of(workspace: Workspace, name: str, prediction: Prediction, config: Config) -> tuple[Asked, dict[str, ir.Table], dt.datetime]:
    """The rules of a prediction, the tables as of the newest release, and its moment."""
    release = workspace.lake.release()
    if release is None:
        raise KundigError("there is no release yet", at=str(workspace.root), mend="kundig import, then kundig run")
    rules = asked({name: prediction}, config)[name]
    apart = workspace.lake.apart()
    return rules, frames.until({table.name: workspace.table(table.name, backend=apart) for table in FACTS}, release.moment), release.moment


def checked(config: Config, name: str, given: Mapping[str, Any]) -> Prediction:
    """The prediction that these answers make; rules are given as YAML text.

    Raises:
        ConfigError: Every fault, each at its field.
    """
    faults = []
    import re

    if not re.fullmatch(NAME, name):
        faults.append(Fault(what=f"'{name}' is no name of a prediction", at="name", mend="lower case, digits and _"))
    values: dict[str, Any] = {key: value for key, value in given.items() if value not in (None, "", (), [])}
    for key in RULES:
        if isinstance(values.get(key), str):
            try:
                values[key] = _yaml(values[key])
            except ValueError as error:
                faults.append(Fault(what=f"this is no YAML: {error}", at=key, mend="such as {event: order_completed}"))
                values.pop(key)
    try:
        made = Prediction.model_validate(values)
    except ValidationError as error:
        faults += [Fault(what=problem["msg"].removeprefix("Value error, "), at=".".join(map(str, problem["loc"])) or "gain", mend="fill it in") for problem in error.errors() if not _told(problem, faults)]
        raise ConfigError(faults=faults) from error
    try:
        asked({name: made}, dataclasses.replace(config, origins=MappingProxyType({})))
    except ConfigError as error:
        faults += [dataclasses.replace(fault, at=fault.at.partition(", ")[2]) for fault in error.faults]
    if faults:
        raise ConfigError(faults=faults)
    return made


def _told(problem: Any, faults: list[Fault]) -> bool:
    return any(fault.at == ".".join(map(str, problem["loc"])) for fault in faults)


def file_text(config: Config, name: str, given: Mapping[str, Any]) -> str:
    """The text of predictions/<name>.yaml for these answers.

    Raises:
        ConfigError: Every fault, each at its field.
    """
    return text_of(checked(config, name, given))


def text_of(prediction: Prediction) -> str:
    """A prediction as the text of its file; what stands at its default is left out."""
    from ruamel.yaml import YAML

    made = prediction.model_dump(mode="json", exclude_defaults=True)
    told = {key: made[key] for key in (*ORDER, *(key for key in made if key not in ORDER)) if key in made}
    writer, out = YAML(), io.StringIO()
    writer.default_flow_style = False
    writer.width = 160
    writer.dump(told, out)
    return out.getvalue()


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error
