"""What every model of repeat purchases shares: the distinct persons it is fitted on, its parameters and their doubt, and the search for the greatest likelihood.

Parameters are z = (log r, two logarithms of how customers are lost, β0, β1): purchases come at a personal rate that is gamma (r, α) over
persons, where α = exp(β0 + β1·entry). Given that a person lives, what is to come depends on (x, T) alone, not on the day of the last
purchase; that day enters through the probability of being alive. So small tables serve millions of persons.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from kundig.understand.lifetime_value.counts import Moments
from kundig.understand.lifetime_value.descent import axes, covariance_at, least, polished

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BOUND = 9.0
"""Parameters lie between exp(-9) and exp(9) in scaled time."""
SAMPLE = 20_000
"""Distinct persons that a first fit is made on where there are many more: the whole then needs a few steps."""
SIZE = 5


@dataclass(frozen=True, kw_only=True)
class Tuples:
    """Distinct persons: repeat purchases x, time of the last one tx, observed time T, how many such persons, and their covariate."""

    x: Ints
    tx: Floats
    T: Floats
    weight: Floats
    entry: Floats

    def __len__(self) -> int:
        return len(self.x)

    def sample(self, most: int) -> Tuples:
        """Every n-th tuple, so that about so many are left."""
        part = slice(None, None, max(1, len(self) // most))
        return Tuples(x=self.x[part], tx=self.tx[part], T=self.T[part], weight=self.weight[part], entry=self.entry[part])


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is known of z before a group is seen: its mean, and how sure that is (0: nothing)."""

    mean: Floats
    precision: Floats


@dataclass(frozen=True, kw_only=True)
class Purchasing(ABC):
    """A fitted process of repeat purchases; its subclasses say how customers are lost."""

    z: Floats
    covariance: Floats
    log_likelihood: float
    converged: bool
    names: ClassVar[tuple[str, str, str, str]]
    """Parameters, in the order of z."""
    timed: ClassVar[tuple[int, ...]]
    """Which of z are logarithms of a time."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The model's name."""

    @property
    def r(self) -> float:
        """Shape of the rates."""
        return float(np.exp(self.z[0]))

    @property
    def has_entry(self) -> bool:
        """The rate depends on the covariate."""
        return bool(self.z[4] != 0.0)

    def alpha(self, entry: Floats) -> Floats:
        """Scale of the rates of persons with that covariate."""
        return np.asarray(np.exp(self.z[3] + self.z[4] * entry))

    def moved(self, step: Floats) -> Self:
        """The process with parameters a step away."""
        return replace(self, z=self.z + step)

    def axes(self) -> list[Floats]:
        """Principal axes of the parameters' doubt, each one standard deviation long."""
        return axes(self.covariance)

    def parameters(self, unit: float = 1.0) -> dict[str, float]:
        """Parameters by name, where `unit` is how many of the caller's time units a unit of the process has."""
        return {name: float(np.exp(self.z[place])) * (unit if place in self.timed else 1.0) for place, name in self._places()}

    def standard_errors(self, unit: float = 1.0) -> dict[str, float]:
        """Standard errors of the parameters, by the delta method."""
        deviations = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        values = self.parameters(unit)
        return {name: values[name] * float(deviations[place]) for place, name in self._places()}

    def _places(self) -> list[tuple[int, str]]:
        """In the order the literature has them: r, α, then the two of loss."""
        return [(place, self.names[place]) for place in (0, 3, 1, 2)]

    @abstractmethod
    def alive(self, x: Ints, tx: Floats, T: Floats, entry: Floats) -> Floats:
        """Probability that a person is still a customer."""

    @abstractmethod
    def lost_at(self, x: Ints, tx: Floats, T: Floats, entry: Floats) -> Floats:
        """When those who were lost stopped, as expected."""

    @abstractmethod
    def moments(self, x: Ints, T: Floats, entry: Floats, spans: Floats) -> Moments:
        """Of living persons' purchases by the end of each span (rows × spans)."""

    @abstractmethod
    def survivals(self, x: Ints, T: Floats, entry: Floats, span: Floats) -> Floats:
        """P(N ≥ k) of living persons for k = 1, 2, … in columns, until it is below one in ten thousand for all."""

    @abstractmethod
    def survival(self, x: Ints, T: Floats, entry: Floats, span: Floats, k: Ints) -> Floats:
        """P(N ≥ k) of living persons, row by row."""


Likelihood = Callable[[Floats], tuple[float, Floats]]
"""Log-likelihood of z, and its gradient."""


@dataclass(frozen=True, kw_only=True)
class Maximum:
    """Where the likelihood is greatest: z, its covariance, and whether it lies inside the bounds."""

    z: Floats
    covariance: Floats
    log_likelihood: float
    inside: bool


def greatest(
    likelihood_of: Callable[[Tuples, float], Likelihood], tuples: Tuples, *, timed: tuple[int, ...], starts: list[Floats], covariate: bool,
    start: Floats | None = None, prior: Prior | None = None, precision: float = 1e-14,
) -> Maximum:  # fmt: skip
    """The z of greatest likelihood, searched as bounded logarithms in scaled time, with analytic gradients.

    Where there are very many distinct persons, a sample of them is fitted first; the whole then needs a few Newton steps.

    Args:
        likelihood_of: The log-likelihood of these persons in time divided by the second argument.
        tuples: Distinct persons; at least one.
        timed: Which of z are logarithms of a time.
        starts: z to begin at, for data of about 40 units.
        covariate: Whether β1 is free; else it is 0.
        start: z to begin at instead.
        prior: What is known of z beforehand; without it the likelihood alone speaks.
        precision: Relative error of the likelihood.
    """
    metric: Floats | None = None
    if len(tuples) > 2 * SAMPLE:
        sample = tuples.sample(SAMPLE)
        part = greatest(likelihood_of, sample, timed=timed, starts=starts, covariate=covariate, start=start, prior=prior, precision=precision)
        start, metric = part.z, part.covariance * sample.weight.sum()
    scale = max(float(tuples.T.max(initial=0.0)) / 40.0, 1.0)
    shift = np.zeros(SIZE)
    shift[list(timed)] = np.log(scale)
    likelihood = likelihood_of(tuples, scale)
    free = np.array([True, True, True, True, covariate])
    total = tuples.weight.sum()

    def posterior(z: Floats) -> tuple[float, Floats]:
        value, gradient = likelihood(z)
        if prior is not None:
            away = z + shift - prior.mean
            value, gradient = value - float(np.sum(prior.precision * away**2)) / 2, gradient - prior.precision * away
        return value, gradient

    def objective(part: Floats) -> tuple[float, Floats]:
        value, gradient = posterior(_whole(part, free))
        return -value / total, -gradient[free] / total

    begin = [start - shift] if start is not None else starts
    bounds = [(-BOUND, BOUND)] * int(free.sum())
    found = polished(objective, begin[0][free], metric[np.ix_(free, free)], bounds) if metric is not None and start is not None else None
    if found is None:
        found = least(objective, [z[free] for z in begin], bounds, precision)
    z = _whole(found, free)
    covariance = np.zeros((SIZE, SIZE))
    covariance[np.ix_(free, free)] = covariance_at(lambda point: -posterior(_whole(point, free))[1][free], z[free])
    inside = bool(np.all(np.abs(z[free]) < BOUND - 1e-6))
    constant = -float(np.sum(tuples.weight * tuples.x)) * float(np.log(scale))
    return Maximum(z=z + shift, covariance=covariance, log_likelihood=likelihood(z)[0] + constant, inside=inside)


def _whole(z: Floats, free: npt.NDArray[np.bool_]) -> Floats:
    whole = np.zeros(SIZE)
    whole[free] = z
    return whole


__all__ = ["BOUND", "Floats", "Ints", "Likelihood", "Maximum", "Prior", "Purchasing", "Tuples", "greatest"]
