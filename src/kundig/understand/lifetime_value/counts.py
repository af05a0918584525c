"""How many purchases a living person still makes: exactly min(Poisson, geometric), mixed over what is known of rate and coin.

Given that a person with x repeat purchases lives, the rate is gamma (r + x, α + T) and the coin beta (a, b + x), independent of each
other. So P(N ≥ k) = P(negative binomial ≥ k) · E[(1 - p)^(k-1)], a closed form that depends on (x, α + T) alone: a small table serves
millions of persons, and the last purchase enters through the probability of being alive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
TAIL = 1e-9
MOST = 20_000
"""Most purchases within a horizon that are counted one by one."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of living persons by the end of each of several spans (rows × spans): mean count, mean squared count, probability to still live, P(N ≥ 1)."""

    mean: Floats
    square: Floats
    living: Floats
    any: Floats


def moments(shape: Floats, rate: Floats, a: float, b: Floats, spans: Floats) -> Moments:
    """Moments of the count of living persons.

    Args:
        shape: r + x, per row.
        rate: α + T, per row.
        a: First parameter of the coin.
        b: b + x (+ 1 for the modified process), per row.
        spans: Time ahead, rows × spans.
    """
    rows, width = spans.shape
    flat = spans.ravel()
    s, c, beta = (np.repeat(part, width) for part in (shape, rate, b))
    share = flat / (c + flat)
    log_pmf = s * (np.log(c) - np.log(c + flat))
    pmf = np.exp(log_pmf)
    log_share = np.log(np.maximum(share, 1e-300))
    above = 1.0 - pmf
    mean, square, living = np.zeros_like(flat), np.zeros_like(flat), pmf.copy()
    first = above.copy()
    active = np.flatnonzero(above > TAIL)
    weight = np.ones_like(flat)
    for k in range(1, MOST):
        if len(active) == 0:
            break
        survives = above[active] * weight[active]
        mean[active] += survives
        square[active] += (2 * k - 1) * survives
        log_pmf[active] += np.log((s[active] + (k - 1)) / k) + log_share[active]
        pmf_k = np.exp(log_pmf[active])
        weight[active] *= (beta[active] + (k - 1)) / (a + beta[active] + (k - 1))
        living[active] += pmf_k * weight[active]
        above[active] -= pmf_k
        active = active[above[active] * weight[active] > TAIL]
    shaped = (rows, width)
    return Moments(mean=mean.reshape(shaped), square=square.reshape(shaped), living=living.reshape(shaped), any=first.reshape(shaped))


def survival(shape: Floats, rate: Floats, a: float, b: Floats, span: Floats, k: Ints) -> Floats:
    """P(N ≥ k) of living persons, row by row."""
    k = np.asarray(k)
    positive = np.maximum(k, 1)
    tail = scipy.special.betainc(positive, shape, span / (rate + span))  # the negative binomial's tail, as the incomplete beta function has it
    stays = np.exp(scipy.special.gammaln(b + positive - 1) - scipy.special.gammaln(b) + scipy.special.gammaln(a + b) - scipy.special.gammaln(a + b + positive - 1))
    return np.where(k <= 0, 1.0, tail * stays)


def quantiles(alive: Floats, group: Ints, table: Floats, levels: tuple[float, ...]) -> list[Ints]:
    """Smallest count k with P(N ≤ k) at least each level.

    Args:
        alive: Probability of being alive, per person.
        group: Row of the table, per person.
        table: P(N ≥ k) of living persons for k = 1, 2, … in columns.
        levels: Levels, such as 0.05.
    """
    found = []
    width = table.shape[1]
    for level in levels:
        # the first k with alive · P(N ≥ k + 1) ≤ 1 - level
        bar = (1.0 - level) / np.maximum(alive, 1e-300)
        low, high = np.zeros(len(alive), np.int64), np.full(len(alive), width, np.int64)
        while np.any(low < high):
            middle = (low + high) // 2
            enough = table[group, np.minimum(middle, width - 1)] <= bar
            high = np.where((low < high) & enough, middle, high)
            low = np.where((low < high) & ~enough, middle + 1, low)
        found.append(low)
    return found


def survivals(shape: Floats, rate: Floats, a: float, b: Floats, span: Floats) -> Floats:
    """P(N ≥ k) of living persons for k = 1, 2, … until it is below one in ten thousand for every row."""
    columns = []
    log_pmf = shape * (np.log(rate) - np.log(rate + span))
    log_share = np.log(np.maximum(span / (rate + span), 1e-300))
    above, weight = 1.0 - np.exp(log_pmf), np.ones_like(rate)
    for k in range(1, MOST):
        column = np.maximum(above * weight, 0.0)
        columns.append(column)
        if column.max(initial=0.0) < 1e-4:
            break
        log_pmf = log_pmf + np.log((shape + (k - 1)) / k) + log_share
        above = above - np.exp(log_pmf)
        weight = weight * (b + (k - 1)) / (a + b + (k - 1))
    return np.stack(columns, axis=1)
