# SPDX-License-Identifier: Apache-2.0
"""Figures of what a jet has several of: pairs of tracks, tracks, other constituents.

Those of one jet are not independent: a jet whose vertices are lost loses all its pairs.
Errors here are of jets: the figure is taken again of REPLICAS samples of as many jets,
drawn with replacement from a fixed seed, and the error is the spread of those. Binomial
errors of pairs would be 2 to 3 times too small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ShapeError
from . import figures
from .figures import Binned, Floats, PairCounts, Ratio, Resolution

REPLICAS = 200  #: an error is known to 1/√(2 · REPLICAS) = 5 % of itself
SEED = 1


def _draws(jets: int) -> Iterator[Any]:
    """(jets) how often a jet is in a replica, of each replica."""
    rng = np.random.default_rng(SEED)
    for _ in range(REPLICAS):
        yield np.bincount(rng.integers(0, jets, jets), minlength=jets)


def _spread(replicas: Any) -> Any:
    """Along the first axis; NaN where less than two are known."""
    values = np.asarray(replicas, float)
    known = np.isfinite(values)
    count = known.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0).sum(0) / count
        square = np.where(known, (values - mean) ** 2, 0).sum(0) / (count - 1)
    return np.where(count > 1, np.sqrt(square), np.nan)


def ratio_binned(
    part: ArrayLike, whole: ArrayLike, x: ArrayLike, edges: ArrayLike
) -> Binned:
    """Σ part / Σ whole in bins of x: for counts of several a jet, e.g. track pairs.

    Args:
        part, whole, x: (B) of each jet.
        edges: (bins + 1), rising; the last bin holds its upper edge.

    Returns:
        errors by bootstrap over the jets, NaN of a single jet; ``count`` are the jets
        of which there is something.
    """
    k, n = np.asarray(part, float), np.asarray(whole, float)
    where, bounds = np.asarray(x, float), np.asarray(edges, float)
    if not k.shape == n.shape == where.shape:
        raise ShapeError(f"{k.shape} parts of {n.shape} in {where.shape} jets")
    bins = len(bounds) - 1
    index = np.searchsorted(bounds, where, "right") - 1
    index[where == bounds[-1]] = bins - 1
    use = (index >= 0) & (index < bins) & (n > 0)
    k, n, index = k[use], n[use], index[use]

    def shares(weight: Any) -> Any:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.bincount(index, weight * k, bins) / np.bincount(
                index, weight * n, bins
            )

    count = np.bincount(index, minlength=bins)
    spread = _spread([shares(w) for w in _draws(len(k))]) if len(k) else np.nan
    error: Floats = np.where(count > 1, spread, np.nan)
    return Binned(bounds, shares(np.ones(len(k))), error, count)


def ratio(part: ArrayLike, whole: ArrayLike) -> Ratio:
    """Σ part / Σ whole over jets, as :func:`ratio_binned`."""
    found = ratio_binned(part, whole, np.zeros(np.shape(whole)), [-1, 1])
    return Ratio(float(found.value[0]), float(found.error[0]))


def vertexing(pairs: PairCounts) -> Mapping[str, Ratio]:
    """Efficiency (found true/true) and purity (found true/found) over all jets."""
    return {
        "efficiency": ratio(pairs.both, pairs.true),
        "purity": ratio(pairs.both, pairs.found),
    }


def _jets_of(counts: ArrayLike) -> Any:
    """Number of the jet of each constituent."""
    rows = np.asarray(counts, np.int64)
    return np.repeat(np.arange(len(rows)), rows)


def accuracy(truth: ArrayLike, predicted: ArrayLike, counts: ArrayLike) -> Ratio:
    """Share of labelled constituents whose class is right.

    Args:
        truth: (N) class index, jet by jet; negative = none.
        predicted: (N) class index.
        counts: (B) constituents of each jet.
    """
    true, found = figures.class_indices(truth), figures.class_indices(predicted)
    jet = _jets_of(counts)
    if not len(true) == len(found) == len(jet):
        raise ShapeError(f"{len(true)} classes of {len(jet)} constituents")
    known, jets = true >= 0, len(np.asarray(counts))
    right = np.bincount(jet[known & (true == found)], minlength=jets)
    return ratio(right, np.bincount(jet[known], minlength=jets))


def auc(
    positive: ArrayLike, negative: ArrayLike, jet: tuple[ArrayLike, ArrayLike]
) -> Ratio:
    """Area under the ROC curve of constituents, with the error of independent jets.

    The variance is the sum over jets of the square of what a jet's constituents add
    to area less its mean (N. A. Obuchowski, Biometrics 53 (1997) 567): what a bootstrap
    over jets comes to, without sorting every replica.

    Args:
        positive, negative: scores of the constituents of each kind.
        jet: number of the jet of each of them, from 0.
    """
    pos, neg = np.asarray(positive, float), np.asarray(negative, float)
    area = figures.auc(pos, neg).value
    jets = [np.asarray(index, np.int64) for index in jet]
    if area != area:
        return Ratio(np.nan, np.nan)
    size = int(max(index.max() for index in jets)) + 1
    over, under = _placed(pos, neg), 1 - _placed(neg, pos)
    whole = np.bincount(jets[0], (over - area) / len(pos), size)
    whole += np.bincount(jets[1], (under - area) / len(neg), size)
    there = len(np.unique(np.concatenate(jets)))
    if there < 2:
        return Ratio(area, np.nan)
    return Ratio(area, float(np.sqrt(there / (there - 1) * (whole**2).sum())))


def _placed(values: Any, others: Any) -> Any:
    """Share of the others that each value is above; equal ones count half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left").astype(float)
    return (below + np.searchsorted(ordered, values, "right")) / 2 / len(others)


def resolution(
    ratio: ArrayLike, x: ArrayLike, edges: ArrayLike, counts: ArrayLike | None
) -> Resolution:
    """As :func:`gn2.metrics.resolution`, of rows that are constituents of jets.

    Args:
        counts: (B) rows of each jet; None: a row a jet.
    """
    found = figures.resolution(ratio, x, edges)
    if counts is None:
        return found
    r, where = np.asarray(ratio, float), np.asarray(x, float)
    known, jet = np.isfinite(r), _jets_of(counts)
    index = np.searchsorted(found.edges, where, "right") - 1
    errors = np.full((2, len(found.bias)), np.nan)
    for k in np.flatnonzero(found.count > 1):
        use = np.flatnonzero(known & (index == k))
        use = use[np.argsort(r[use])]
        errors[:, k] = _quantile_errors(r[use], jet[use])
    return found._replace(bias_error=errors[0], width_error=errors[1])


def _quantile_errors(ordered: Any, jet: Any) -> Any:
    """Of the median, and of half the central 68 %, of rising values; (2)."""
    _, jet = np.unique(jet, return_inverse=True)
    jets, replicas = int(jet.max()) + 1, []
    for weight in _draws(jets) if jets > 1 else ():
        reached = np.cumsum(weight[jet])
        places = np.searchsorted(reached, np.multiply((0.16, 0.5, 0.84), reached[-1]))
        low, middle, high = ordered[np.minimum(places, len(ordered) - 1)]
        replicas.append((middle, (high - low) / 2))
    return _spread(replicas) if replicas else np.full(2, np.nan)
