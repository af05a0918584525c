"""The models of repeat purchases by name."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from kundig.understand.lifetime_value import bg_nbd, pareto_nbd
from kundig.understand.lifetime_value.bg_nbd import BetaGeometric
from kundig.understand.lifetime_value.pareto_nbd import ParetoNBD
from kundig.understand.lifetime_value.process import Floats, Prior, Purchasing, Tuples

Kind = Literal["bg_nbd", "mbg_nbd", "pareto_nbd", "season"]
EVEN: tuple[Kind, ...] = ("bg_nbd", "mbg_nbd", "pareto_nbd")
"""Those whose clock runs evenly."""


def fitted_process(kind: Kind, tuples: Tuples, *, covariate: bool = False, start: Floats | None = None, prior: Prior | None = None) -> Purchasing:
    """The process of that model with the greatest likelihood; the season model's is the modified BG/NBD, in its own clock."""
    if kind == "pareto_nbd":
        return pareto_nbd.fit(tuples, covariate=covariate, start=start, prior=prior)
    return bg_nbd.fit(tuples, modified=kind != "bg_nbd", covariate=covariate, start=start, prior=prior)


def likelihood_of(process: Purchasing, tuples: Tuples) -> float:
    """Log-likelihood of these persons under a fitted process."""
    if isinstance(process, BetaGeometric):
        return bg_nbd.Likelihood(tuples, modified=process.modified, scale=1.0)(process.z)[0]
    return pareto_nbd.Likelihood(tuples)(process.z)[0]


def as_data(process: Purchasing) -> dict[str, Any]:
    """A process as plain data."""
    return {
        "name": process.name, "z": process.z.tolist(), "covariance": process.covariance.tolist(), "log_likelihood": process.log_likelihood,
        "converged": process.converged,
    }  # fmt: skip


def of_data(data: dict[str, Any]) -> Purchasing:
    """The process of such data; data of releases that knew no names say whether theirs was `modified`."""
    name = data.get("name") or ("mbg_nbd" if data["modified"] else "bg_nbd")
    known = {"z": np.array(data["z"]), "covariance": np.array(data["covariance"]), "log_likelihood": data["log_likelihood"], "converged": data["converged"]}
    return ParetoNBD(**known) if name == "pareto_nbd" else BetaGeometric(**known, modified=name == "mbg_nbd")
