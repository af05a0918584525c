"""Why a person has a score: the features that raise or lower each prediction's probability most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kundig.answers.who import resolve
from kundig.errors import KundigError
from kundig.understand.predictions import frames
from kundig.understand.predictions.knowing import LANDED, OF_PERSONS
from kundig.understand.predictions.models import champion, fingerprint
from kundig.understand.predictions.steps import FACTS
from kundig.understand.predictions.targets import asked

if TYPE_CHECKING:
    from kundig.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Reason:
    """What one feature adds to the log-odds of a person, against a mean one of those learnt from."""

    feature: str
    value: str | None
    effect: float


@dataclass(frozen=True, kw_only=True)
class Chance:
    """A person's score of one prediction with its reasons; no probability: the person is not of its population."""

    prediction: str
    probability: float | None
    percentile: float | None
    reasons: tuple[Reason, ...] = ()

    def line(self) -> str:
        """In words, for the command line."""
        if self.probability is None:
            return f"prediction {self.prediction}: not of the population"
        because = "; ".join(f"{one.feature} {'unknown' if one.value is None else one.value} ({one.effect:+.2f})" for one in self.reasons)
        return f"prediction {self.prediction}: {self.probability:.1%}, higher than {self.percentile:.0f} of 100" + (f", because of {because}" if because else "")


def chances(workspace: Workspace, identifier: str, *, most: int = 5, only: str = "") -> tuple[Chance, ...]:
    """The scores of a person with their reasons, for each prediction that has a model, or for one alone.

    Features are made anew from the person's own rows, as of the release, over a connection of its own: other threads may use the workspace meanwhile.

    Raises:
        IdentityError: Nobody has the identifier.
        KundigError: There is no release yet.
    """
    config, release = workspace.config, workspace.lake.release()
    if release is None:
        raise KundigError("there is no release yet", at=str(workspace.root), mend="kundig import, then kundig run")
    person, _ = resolve(workspace, identifier)
    apart = workspace.lake.apart()
    rules, models = asked(config.predictions, config), workspace.table("prediction_models", backend=apart).to_pyarrow().to_pylist()
    facts = {table.name: workspace.table(table.name, backend=apart) for table in FACTS}
    for name in ("profiles", "identities", *OF_PERSONS):
        facts[name] = facts[name].filter(facts[name].person_key == person)
    own = facts["identities"].select("identifier_key").to_pyarrow()["identifier_key"].to_pylist()
    for name in LANDED:
        facts[name] = facts[name].filter(facts[name].identifier_key.isin(own))
    known = frames.until(facts, release.moment)
    place = frames.Place(zone=config.settings.workspace.zone, costs=config.costs)
    found = []
    for name, prediction in sorted(config.predictions.items()):
        standing = champion(models, name, fingerprint(prediction))
        if standing is None or (only and name != only):
            continue
        at = frames.boundary(release.moment, place.zone, prediction.score_days)
        frame = frames.present(known, rules[name], standing.plan, place, at=at, heard=release.moment)
        if not frame.num_rows:
            found.append(Chance(prediction=name, probability=None, percentile=None))
            continue
        probability = standing.model.predict(frame)["probability"].to_numpy()
        reasons = tuple(Reason(feature=row["feature"], value=row["value"], effect=row["effect"]) for row in standing.model.reasons(frame, most=most).to_pylist())
        found.append(Chance(prediction=name, probability=float(probability[0]), percentile=float(standing.percentile(probability)[0]), reasons=reasons))
    return tuple(found)
