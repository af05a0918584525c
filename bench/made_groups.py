"""People of known groups, in attributes of mixed types, with an oracle that knows the densities; and people without groups, of three kinds.

Six numbers (one skewed, one a count) share a factor, so that they go together without groups too; four categories and two answers on a
scale besides; cells are missing at random. `separation`: distance of the groups' means in standard deviations: 1.2 clear, 0.8 medium, 0.5 weak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import logsumexp, ndtr

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
NUMBERS, LEVELS, SCALES = 6, (3, 4, 5, 8), 2
FACTOR, NOISE = 0.45, 0.9
CUTS = np.array([-1.2, -0.3, 0.6, 1.5])


@dataclass(frozen=True, kw_only=True)
class World:
    """Persons, the group each is of, and the one that knowledge of all densities would name."""

    table: pa.Table
    truth: Ints
    oracle: Ints


def groups(persons: int, count: int, separation: float, seed: int, *, missing: float = 0.05) -> World:
    """Persons of so many groups."""
    random = np.random.default_rng(seed)
    share = random.dirichlet(np.full(count, 8.0))
    truth, factor = random.choice(count, persons, p=share), random.normal(size=persons)
    means = random.normal(0, separation, (count, NUMBERS))
    latent = means[truth] + random.normal(size=(persons, NUMBERS)) * NOISE + FACTOR * factor[:, None]
    columns: dict[str, npt.NDArray[np.generic]] = {"spend": np.exp(0.6 * latent[:, 0]), "orders": np.floor(np.exp(0.5 * latent[:, 1] + 1))}
    columns |= {f"number_{j}": latent[:, j] for j in range(2, NUMBERS)}
    joint = np.repeat(np.log(share)[None, :], persons, axis=0)
    densities: list[tuple[str, Ints, Floats]] = []
    for j, levels in enumerate(LEVELS):
        logits = random.normal(0, 0.7, levels) + random.normal(0, separation, (count, levels))
        drawn = (logits[truth] - np.log(-np.log(random.random((persons, levels))))).argmax(axis=1)
        densities.append((f"category_{j}", drawn, logits - logsumexp(logits, axis=1, keepdims=True)))
        columns[f"category_{j}"] = np.array([f"v{level}" for level in range(levels)])[drawn]
    edges = np.r_[-np.inf, CUTS, np.inf]
    for j in range(SCALES):
        centre = random.normal(0, separation, count)
        drawn = np.digitize(centre[truth] + random.normal(size=persons), CUTS)
        densities.append((f"answer_{j}", drawn, np.log(ndtr(edges[1:] - centre[:, None]) - ndtr(edges[:-1] - centre[:, None]) + 1e-300)))
        columns[f"answer_{j}"] = drawn + 1
    known = {name: random.random(persons) >= missing for name in columns}
    for name, drawn, logs in densities:
        joint += np.where(known[name][:, None], logs[:, drawn].T, 0.0)
    joint += _numbers(latent, np.asarray(columns["orders"], np.float64), means, [known[name] for name in list(columns)[:NUMBERS]])
    return World(table=_table(columns, known), truth=truth, oracle=joint.argmax(axis=1))


def _numbers(latent: Floats, orders: Floats, means: Floats, known: list[npt.NDArray[np.bool_]]) -> Floats:
    """Log density of the numbers by group, the factor integrated out."""
    places, weights = np.polynomial.hermite_e.hermegauss(21)
    joint = np.zeros((len(latent), len(means), len(places)))
    low = np.where(orders > 0, (np.log(np.maximum(orders, 0.5)) - 1) / 0.5, -np.inf)
    high = (np.log(orders + 1) - 1) / 0.5
    for j in range(NUMBERS):
        centre = means[None, :, j, None] + FACTOR * places
        if j == 1:
            logs = np.log(ndtr((high[:, None, None] - centre) / NOISE) - ndtr((low[:, None, None] - centre) / NOISE) + 1e-300)
        else:
            logs = -0.5 * ((latent[:, j, None, None] - centre) / NOISE) ** 2
        joint += np.where(known[j][:, None, None], logs, 0.0)
    return np.asarray(logsumexp(joint + np.log(weights / weights.sum()), axis=2))


def _table(columns: dict[str, npt.NDArray[np.generic]], known: dict[str, npt.NDArray[np.bool_]]) -> pa.Table:
    size = len(next(iter(columns.values())))
    rows = {name: pa.array(values, mask=~known[name]) for name, values in columns.items()}
    return pa.table({"person_id": pa.array(np.arange(size))} | rows)


def shuffled(persons: int, seed: int, *, missing: float = 0.05) -> pa.Table:
    """Clear groups whose columns were shuffled, each by itself: the margins of groups, and none."""
    random = np.random.default_rng([seed, 1])
    table = groups(persons, 4, 1.2, seed, missing=missing).table
    return pa.table({name: table[name] if name == "person_id" else table[name].take(pa.array(random.permutation(persons))) for name in table.column_names})


def together(persons: int, seed: int, *, missing: float = 0.05) -> pa.Table:
    """One group whose numbers share a factor."""
    return groups(persons, 1, 0.0, seed, missing=missing).table


def entangled(persons: int, seed: int, *, missing: float = 0.05) -> pa.Table:
    """One group whose numbers, counts, categories and answers all hang together by three factors, strongly."""
    random = np.random.default_rng([seed, 2])
    loads = random.normal(size=(12, 3)) * (random.random((12, 3)) < 0.6) * 0.9
    latent = random.normal(size=(persons, 3)) @ loads.T + random.normal(size=(persons, 12)) * 0.7
    latent /= latent.std(axis=0)
    columns: dict[str, npt.NDArray[np.generic]] = {"spend": np.exp(latent[:, 0]), "orders": np.floor(np.exp(0.8 * latent[:, 1] + 0.5)), "visits": np.floor(np.exp(1.2 * latent[:, 2] - 0.5))}
    columns |= {f"number_{j}": latent[:, j] for j in (3, 4, 5)}
    for j, levels in zip(range(6, 10), LEVELS, strict=True):
        names = np.array([f"v{level}" for level in random.permutation(levels)])
        columns[f"category_{j}"] = names[np.digitize(latent[:, j] + 0.8 * random.normal(size=persons), np.sort(random.normal(size=levels - 1)))]
    columns |= {f"answer_{j}": np.digitize(latent[:, j], CUTS) + 1 for j in (10, 11)}
    return _table(columns, {name: random.random(persons) >= missing for name in columns})


WITHOUT = {"shuffled columns": shuffled, "one factor": together, "three strong factors": entangled}
