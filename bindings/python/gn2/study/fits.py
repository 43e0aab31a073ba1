# SPDX-License-Identifier: Apache-2.0
"""Slopes, optima and ranks with their uncertainties. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
#: points on each side of the smallest that a parabola goes through
REACH = 1
DRAWS = 2000


class Slope(NamedTuple):
    """A straight line's slope."""

    value: float
    error: float  #: half of the 95 % confidence interval; NaN with one start


class Optimum(NamedTuple):
    """Where a curve is lowest, in log₂ of the learning rate."""

    log2_rate: float
    low: float  #: 95 % bootstrap interval; NaN with one start
    high: float
    loss: float  #: at the lowest point of the parabola
    draws: Floats  #: bootstrap


def t_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t: the expansion of Cornish and Fisher (Abramowitz
    and Stegun 26.7.5), good to 1 % from 3 degrees of freedom on."""
    if freedom < 1:
        return float("nan")
    z = 1.959964
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    small = {1: 12.706, 2: 4.303}
    beyond = sum(float(t / freedom ** (i + 1)) for i, t in enumerate(terms))
    return small.get(freedom, z + beyond)


def slope(x: ArrayLike, y: ArrayLike) -> Slope:
    """Common slope of straight lines, one a start: least squares with an offset for
    each start, whose weights beyond the width are the same at every width.

    Args:
        x: (n) of a point.
        y: (n, starts); NaN or infinite anywhere: no slope.
    """
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    spread = xs - xs.mean()
    square = float(spread @ spread) * ys.shape[1]
    freedom = ys.size - ys.shape[1] - 1
    if freedom < 1 or square == 0 or not np.isfinite(ys).all():
        return Slope(float("nan"), float("nan"))
    value = float((spread @ ys).sum()) / square
    if ys.shape[1] < 2:
        return Slope(value, float("nan"))
    rest = ys - ys.mean(0) - value * spread[:, None]
    error = float(np.sqrt((rest**2).sum() / freedom / square))
    return Slope(value, t_quantile(freedom) * error)


def _lowest(x: Floats, y: Floats) -> tuple[float, float]:
    """Lowest point (x, y) of a parabola through the points around the smallest, kept
    within them; of a smallest one at the edge, that."""
    best = int(np.nanargmin(y))
    part = slice(max(0, best - REACH), best + REACH + 1)
    near, values = x[part], y[part]
    near, values = near[np.isfinite(values)], values[np.isfinite(values)]
    if len(near) < 3:
        return float(x[best]), float(y[best])
    a, b, c = np.polyfit(near - x[best], values, 2)
    if a <= 0:
        return float(x[best]), float(y[best])
    place = float(np.clip(-b / (2 * a), near[0] - x[best], near[-1] - x[best]))
    return float(x[best]) + place, float(a * place * place + b * place + c)


def _residuals(y: Floats) -> Floats:
    """Scatter of the starts about the mean of their rate, widened for that the mean is
    theirs."""
    count = np.isfinite(y).sum(1)
    rest = y - np.nanmean(y, 1, keepdims=True)
    rest = rest * np.sqrt(count / np.maximum(count - 1, 1))[:, None]
    found: Floats = rest[np.isfinite(rest) & (count > 1)[:, None]]
    return found if found.size else np.zeros(1)


def optimum(log2_rates: ArrayLike, losses: ArrayLike, seed: int = 1) -> Optimum | None:
    """Best rate of losses (rates, starts); NaN marks a diverged run, and a rate at
    which a start diverged is left out. None where fewer than three rates are left.

    The bootstrap draws the scatter between starts anew at every rate, pooled over the
    rates near the best: with two or three starts a rate's own says little. One start
    has no scatter, and its optimum no interval.
    """
    x, y = np.asarray(log2_rates, float), np.asarray(losses, float)
    good = np.isfinite(y).all(1)
    if good.sum() < 3:
        return None
    x, y = x[good], y[good]
    mean = y.mean(1)
    best = int(np.argmin(mean))
    place, loss = _lowest(x, mean)
    if y.shape[1] < 2:
        return Optimum(place, float("nan"), float("nan"), loss, np.full(DRAWS, np.nan))
    near = _residuals(y[max(0, best - REACH) : best + REACH + 1])
    rng = np.random.default_rng(seed)
    shape = (DRAWS, *y.shape)
    drawn = mean + rng.choice(near, shape).mean(2)
    draws = np.array([_lowest(x, values)[0] for values in drawn])
    low, high = np.percentile(draws, (2.5, 97.5))
    return Optimum(place, float(low), float(high), loss, draws)


def drift(
    widths: Sequence[int], optima: Sequence[Optimum]
) -> tuple[float, float, float]:
    """Slope of the best log₂ rate over log₂ of the width, with its 95 % interval, NaN
    where the optima have none."""
    x = np.log2(np.asarray(widths, float))
    if len(x) < 2:
        return (float("nan"),) * 3
    spread = (x - x.mean()) / float((x - x.mean()) @ (x - x.mean()))
    value = float(spread @ [o.log2_rate for o in optima])
    low, high = np.percentile(spread @ np.array([o.draws for o in optima]), (2.5, 97.5))
    return value, float(low), float(high)


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's; diverged settings (NaN) rank last, in one place."""
    x, y = _ranks(a), _ranks(b)
    if len(x) < 3 or x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: ArrayLike) -> Floats:
    found = np.where(np.isfinite(values), values, np.inf)
    _, inverse, counts = np.unique(found, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    mean: Any = ends - (counts - 1) / 2
    return np.asarray(mean[inverse], float)
