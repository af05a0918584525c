"""Finding the least value of a smooth function of a few bounded parameters, with its gradient; and what the curvature there says of their doubt.

Written out because a general optimiser spends more time in waking linear-algebra threads for five numbers than in the function itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Objective = Callable[[Floats], tuple[float, Floats]]
Bounds = list[tuple[float, float]]
WIDEST = 3.0
"""Standard deviation of a log-parameter of which the data say nothing: a factor of twenty either way."""
EDGE = 1e-9


def least(objective: Objective, starts: list[Floats], bounds: Bounds, precision: float = 1e-14) -> Floats:
    """The point of least objective within bounds, from several starts; `precision` is the relative error the objective is known to.

    Examples:
        >>> def bowl(z):
        ...     return float((z[0] - 1) ** 2 + 3 * (z[1] - 9) ** 2), np.array([2 * (z[0] - 1), 6 * (z[1] - 9)])
        >>> least(bowl, [np.zeros(2)], [(-5, 5), (-5, 5)]).round(6).tolist()
        [1.0, 5.0]
    """
    low, high = np.array(bounds, dtype=np.float64).T
    found = [_descended(objective, np.clip(z, low, high), low, high, precision) for z in starts]
    return min(found, key=lambda pair: pair[0])[1]


def _descended(objective: Objective, z: Floats, low: Floats, high: Floats, precision: float, most: int = 300) -> tuple[float, Floats]:
    """Quasi-Newton steps (BFGS) over the parameters that are not held at a bound."""
    value, gradient = objective(z)
    size = len(z)
    inverse = np.eye(size) / max(1.0, float(np.linalg.norm(gradient)))
    fresh, still = True, 0
    held = np.zeros(size, bool)
    for _ in range(most):
        free = ~(((z <= low + EDGE) & (gradient > 0)) | ((z >= high - EDGE) & (gradient < 0)))
        if not free.any() or float(np.abs(gradient[free]).max()) < 1e-10:
            break
        if bool(np.any(~free != held)):  # what was learnt of curvature mixes in a direction that is now closed, or open again
            inverse, fresh, held = np.eye(size) / max(1.0, float(np.linalg.norm(gradient[free]))), True, ~free
        step = np.zeros(size)
        step[free] = -(inverse[np.ix_(free, free)] @ gradient[free])
        slope = float(step @ gradient)
        if slope >= 0:
            inverse, fresh = np.eye(size) / max(1.0, float(np.linalg.norm(gradient))), True
            step[free] = -gradient[free] / max(1.0, float(np.linalg.norm(gradient)))
            slope = float(step @ gradient)
        length = min(1.0, 3.0 / max(float(np.abs(step).max()), 1e-300))
        for _ in range(40 if precision < 1e-13 else 12):
            moved = np.clip(z + length * step, low, high)
            after, turned = objective(moved)
            if np.isfinite(after) and after <= value + 1e-4 * float(gradient @ (moved - z)):
                break
            length /= 2.0 if length > 1e-3 else 8.0
        else:
            break
        change, bend = moved - z, np.where(free, turned - gradient, 0.0)
        curvature = float(change @ bend)
        if curvature > 1e-300:
            if fresh:
                inverse, fresh = np.eye(size) * (curvature / float(bend @ bend)), False
            keep = np.eye(size) - np.outer(change, bend) / curvature
            inverse = keep @ inverse @ keep.T + np.outer(change, change) / curvature
        gain = value - after
        z, value, gradient = moved, after, turned
        still = still + 1 if gain < precision * max(1.0, abs(value)) else 0
        if still >= 2:
            break
    return value, z


def polished(objective: Objective, z: Floats, metric: Floats, bounds: Bounds) -> Floats | None:
    """The point of least objective near one that a sample gave, by Newton steps with the sample's inverse curvature; None where they do not settle."""
    low, high = np.array(bounds, dtype=np.float64).T
    value, gradient = objective(z)
    for _ in range(12):
        moved = z - metric @ gradient
        if not bool(np.all((moved > low + 1e-6) & (moved < high - 1e-6))):
            return None
        after, slope = objective(moved)
        if not after <= value + 1e-10:
            return None
        z, value, gradient = moved, after, slope
        if float(np.abs(gradient).max()) < 1e-7:
            return z
    return None


def covariance_at(gradient: Callable[[Floats], Floats], z: Floats, step: float = 1e-4) -> Floats:
    """Inverse Hessian by central differences of a negative log-likelihood's gradient.

    A direction of which the data say nothing gets a wide but finite deviation (`WIDEST`).
    """
    size = len(z)
    hessian = np.empty((size, size))
    for i in range(size):
        move = np.zeros(size)
        move[i] = step
        hessian[i] = (gradient(z + move) - gradient(z - move)) / (2 * step)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    variances = 1.0 / np.maximum(values, 1.0 / WIDEST**2)
    return np.asarray((vectors * variances) @ vectors.T)


def axes(covariance: Floats) -> list[Floats]:
    """Principal axes of the parameters' doubt, each one standard deviation long."""
    values, vectors = np.linalg.eigh(covariance)
    return [vectors[:, i] * np.sqrt(values[i]) for i in range(len(values)) if values[i] > 1e-14]
