# SPDX-License-Identifier: Apache-2.0
"""Figures of merit of a tagger, from arrays.

NumPy only; no files (``sample``) and no pictures (``plots``). Working points as
in the library: on a sample of n signal jets the cut of efficiency e is the
discriminant with index floor((1 − e)·n) of the sorted ones, and a jet passes with
D ≥ cut. Errors are binomial, those of areas under curves Hanley and McNeil's: of jets.
What a jet has several of is in ``clusters``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._foreign import filled, unmasked
from ..errors import InvalidArgument, ShapeError

Floats = NDArray[np.float64]
WORKING_POINTS = (0.65, 0.70, 0.77, 0.85)  #: b-efficiencies, those of gn2_metrics

# Pairs looked at in one go: bounds the memory of pair_counts.
_PAIRS = 4_000_000


class Ratio(NamedTuple):
    """Figures with their errors; NaN where there is nothing to divide by."""

    value: Any
    error: Any


class Roc(NamedTuple):
    """Rejection of a background against the efficiency of the signal."""

    efficiency: Floats  #: asked for
    cut: Floats
    rejection: Floats  #: 1/efficiency of the background; inf where none passes
    error: Floats  #: binomial; inf where none passes


class Binned(NamedTuple):
    """A share of jets in bins."""

    edges: Floats  #: (bins + 1)
    value: Floats  #: (bins), NaN where empty
    error: Floats
    count: NDArray[np.int64]  # type: ignore[assignment]  #: jets in the bin


class Calibration(NamedTuple):
    """Probabilities against what they claim."""

    predicted: Floats  #: mean probability of the bin
    observed: Floats  #: share of jets that are of the class
    error: Floats
    count: NDArray[np.int64]  # type: ignore[assignment]
    ece: float  #: mean |observed − predicted| over jets


class Resolution(NamedTuple):
    """Predicted over true values, in bins."""

    edges: Any  #: (bins + 1)
    bias: Any  #: (bins) median of the ratio, minus 1
    bias_error: Any
    width: Any  #: half of the central 68 % of the ratio
    width_error: Any
    count: NDArray[np.int64]  # type: ignore[assignment]  #: rows in the bin


class PairCounts(NamedTuple):
    """Unordered pairs of constituents, by jet."""

    true: NDArray[np.int64]  #: share a vertex
    found: NDArray[np.int64]  #: got the same vertex index
    both: NDArray[np.int64]


# ---- shares ----


def share(passed: ArrayLike, total: ArrayLike) -> Ratio:
    """passed/total with its binomial error √(ε(1 − ε)/n)."""
    k, n = np.asarray(passed, float), np.asarray(total, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = k / n
        return Ratio(value, np.sqrt(value * (1 - value) / n))


def rejection(passed: ArrayLike, total: ArrayLike) -> Ratio:
    """total/passed with its binomial error; inf where none passes."""
    k, n = np.asarray(passed, float), np.asarray(total, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = n / k
        return Ratio(value, value * np.sqrt((1 - k / n) / k))


def _scores(values: ArrayLike, what: str) -> Floats:
    array = np.asarray(unmasked(values, what), float)
    if array.ndim != 1:
        raise ShapeError(f"{what}: shape {array.shape}, must be (jets)")
    if np.isnan(array).any():
        raise InvalidArgument(f"{what}: {np.isnan(array).sum()} of them are NaN")
    return array


def class_indices(values: ArrayLike) -> NDArray[np.int64]:
    """Whole numbers; a masked one is -1, which is none."""
    array = filled(values, -1, "classes")
    whole = np.asarray(array, np.int64) if array.dtype.kind in "iub" else None
    if whole is None:
        with np.errstate(invalid="ignore"):
            whole = np.asarray(array, float).astype(np.int64)
        if (whole != array).any():
            first = array[whole != array].flat[0]
            raise InvalidArgument(f"classes are whole numbers, not {first}")
    return whole


def probabilities_of(values: ArrayLike) -> Floats:
    """Probabilities, none of which is NaN or masked."""
    array = np.asarray(unmasked(values, "probabilities"), float)
    if np.isnan(array).any():
        raise InvalidArgument(f"probabilities: {np.isnan(array).sum()} of them are NaN")
    return array


def cut_at(signal: ArrayLike, efficiency: ArrayLike) -> Any:
    """The cut that keeps a share of the signal; NaN without signal.

    Args:
        signal: (n) discriminants of the signal jets.
        efficiency: in (0, 1], one or several.
    """
    ordered = np.sort(_scores(signal, "discriminants"))
    asked = np.asarray(efficiency, float)
    if ((asked <= 0) | (asked > 1)).any():
        raise InvalidArgument(f"efficiency {asked} is not in (0, 1]")
    if not len(ordered):
        return np.full(asked.shape, np.nan)[()]
    index = np.floor((1 - asked) * len(ordered)).astype(np.int64)
    return ordered[np.minimum(index, len(ordered) - 1)]


def passing(scores: ArrayLike, cut: ArrayLike) -> Any:
    """How many of the scores are ≥ the cut(s)."""
    ordered = np.sort(_scores(scores, "discriminants"))
    return len(ordered) - np.searchsorted(ordered, np.asarray(cut, float), "left")


def roc(signal: ArrayLike, background: ArrayLike, efficiency: ArrayLike) -> Roc:
    """Rejection of a background at efficiencies of the signal.

    Args:
        signal, background: discriminants of the jets of each kind.
        efficiency: of the signal, in (0, 1].
    """
    asked = np.atleast_1d(np.asarray(efficiency, float))
    cut = cut_at(signal, asked)
    passed, total = passing(background, cut), len(np.asarray(background))
    found = rejection(passed, np.full(len(asked), total))
    error = np.where(passed > 0, found.error, np.inf if total else np.nan)
    return Roc(asked, cut, found.value, error)


def rejections(
    d: ArrayLike,
    flavour: ArrayLike,
    signal: int,
    efficiency: Sequence[float] = WORKING_POINTS,
) -> dict[int, Roc]:
    """Rejections of every other flavour at the working points.

    Args:
        d: (B) discriminants.
        flavour: (B) class index; negative = none.
        signal: class whose efficiency is asked.
    """
    d, flavour = _scores(d, "discriminants"), class_indices(flavour)
    others = [int(f) for f in np.unique(flavour) if f >= 0 and f != signal]
    return {f: roc(d[flavour == signal], d[flavour == f], efficiency) for f in others}


def auc(positive: ArrayLike, negative: ArrayLike) -> Ratio:
    """Area under the ROC curve; ties count half."""
    pos, neg = _scores(positive, "positive"), _scores(negative, "negative")
    n, m = len(pos), len(neg)
    if not n or not m:
        return Ratio(np.nan, np.nan)
    ordered = np.sort(neg)
    below = np.searchsorted(ordered, pos, "left").astype(np.int64)
    upto = np.searchsorted(ordered, pos, "right").astype(np.int64)
    area = float((below + upto).sum()) / 2 / n / m
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (n - 1) * (q1 - area**2) + (m - 1) * (q2 - area**2)
    return Ratio(area, float(np.sqrt(max(spread, 0.0) / n / m)))


def roc_points(positive: ArrayLike, negative: ArrayLike) -> tuple[Floats, Floats]:
    """False and true positive rate at every cut, from (0, 0) to (1, 1)."""
    pos, neg = _scores(positive, "positive"), _scores(negative, "negative")
    if not len(pos) or not len(neg):
        return np.array([np.nan]), np.array([np.nan])
    values = np.concatenate([pos, neg])
    truth = np.concatenate([np.ones(len(pos)), np.zeros(len(neg))])
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # of equal ones
    true, false = np.cumsum(truth)[last], np.cumsum(1 - truth)[last]
    return np.append(0, false / len(neg)), np.append(0, true / len(pos))


# ---- in bins ----


def binned(passed: ArrayLike, x: ArrayLike, edges: ArrayLike) -> Binned:
    """Share of jets that pass in bins of x; the last bin holds its upper edge.

    Args:
        passed: (B) bool.
        x: (B); jets outside the edges are left out.
        edges: (bins + 1), rising.
    """
    passed, x = np.asarray(passed, bool), np.asarray(x, float)
    edges = np.asarray(edges, float)
    if passed.shape != x.shape:
        raise ShapeError(f"{passed.shape} decisions for {x.shape} values")
    total, _ = np.histogram(x, edges)
    kept, _ = np.histogram(x[passed], edges)
    return Binned(edges, *share(kept, total), total)


def confusion(
    truth: ArrayLike, predicted: ArrayLike, classes: int
) -> NDArray[np.int64]:
    """(truth, predicted) counts; rows with a negative truth are left out."""
    truth, predicted = class_indices(truth), class_indices(predicted)
    if truth.shape != predicted.shape:
        raise ShapeError(f"{truth.shape} classes for {predicted.shape} predictions")
    known = truth >= 0
    if known.any() and max(truth[known].max(), predicted[known].max()) >= classes:
        raise InvalidArgument(f"a class index is not below {classes}")
    if (predicted[known] < 0).any():
        raise InvalidArgument(f"{(predicted[known] < 0).sum()} rows have no prediction")
    flat = truth[known] * classes + predicted[known]
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def accuracy(matrix: ArrayLike) -> Ratio:
    """Share on the diagonal of a confusion matrix."""
    counts = np.asarray(matrix)
    return share(np.trace(counts), counts.sum())


def balanced_accuracy(matrix: ArrayLike) -> float:
    """Mean over the classes that occur of the share found."""
    counts = np.asarray(matrix, float)
    rows = counts.sum(1)
    there = rows > 0
    return (
        float(np.mean(np.diag(counts)[there] / rows[there])) if there.any() else np.nan
    )


def cross_entropy(p: ArrayLike, truth: ArrayLike, weights: ArrayLike = ()) -> Ratio:
    """−Σ w log p(truth)/Σ w over jets with a label; w by class, default 1.

    Args:
        p: (B, classes) probabilities.
        truth: (B) class index; negative = none.
    """
    p, truth = probabilities_of(p), class_indices(truth)
    known = truth >= 0
    if not known.any():
        return Ratio(np.nan, np.nan)
    tiny = float(np.finfo(np.float32).tiny)
    loss = -np.log(np.maximum(p[known, truth[known]], tiny))
    w = np.asarray(weights, float)[truth[known]] if len(np.ravel(weights)) else 1.0
    w = w * np.ones(len(loss))
    mean = float((w * loss).sum() / w.sum())
    spread = np.sqrt((w**2 * (loss - mean) ** 2).sum()) / w.sum()
    return Ratio(mean, float(spread))


def calibration(
    p: ArrayLike, is_class: ArrayLike, bins: int = 10, weights: ArrayLike | None = None
) -> Calibration:
    """Predicted against observed share in equal bins of the probability.

    Args:
        p: (B) probability of a class.
        is_class: (B) whether the jet is of it.
        weights: (B), e.g. the class weights of the training: a network trained with
            them learns the shares of the weighted sample.
    """
    p, hit = probabilities_of(p), np.asarray(is_class, bool)
    w = np.ones(len(p)) if weights is None else np.asarray(weights, float)
    bin_of = np.clip((p * bins).astype(int), 0, bins - 1)

    def total(values: Any) -> Floats:
        return np.bincount(bin_of, values, bins).astype(float)

    weight, squares = total(w), total(w**2)
    count = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, seen = total(w * p) / weight, total(w * hit) / weight
        error = np.sqrt(seen * (1 - seen) * squares) / weight
        gap = np.nansum(weight * np.abs(seen - mean)) / weight.sum()
    return Calibration(mean, seen, error, count, float(gap))


# ---- vertices ----


def pair_counts(
    counts: ArrayLike,
    truth: ArrayLike,
    found: ArrayLike,
    among: ArrayLike | None = None,
) -> PairCounts:
    """Pairs of constituents that share a vertex, in truth and as found.

    Args:
        counts: (B) constituents of each jet.
        truth, found: (N) vertex indices, jet by jet; a negative truth is in no vertex.
        among: (N) bool: only pairs in which both are; None: all.
    """
    counts = np.asarray(counts, np.int64)
    truth, found = np.asarray(truth, np.int64), np.asarray(found, np.int64)
    if len(truth) != counts.sum() or len(found) != len(truth):
        raise ShapeError(
            f"{len(truth)} true and {len(found)} found vertices for "
            f"{counts.sum()} constituents"
        )
    among = np.ones(len(truth), bool) if among is None else np.asarray(among, bool)
    first = np.cumsum(counts) - counts
    out = PairCounts(*(np.zeros(len(counts), np.int64) for _ in PairCounts._fields))
    for n in np.unique(counts[counts > 1]):
        jets = np.flatnonzero(counts == n)
        step = max(1, _PAIRS // int(n * (n - 1) // 2))
        for part in np.split(jets, range(step, len(jets), step)):
            rows = first[part, None] + np.arange(n)
            _count_pairs(out, part, truth[rows], found[rows], among[rows])
    return out


def _count_pairs(
    out: PairCounts, jets: Any, truth: Any, found: Any, among: Any
) -> None:
    i, j = np.triu_indices(truth.shape[1], 1)
    use = among[:, i] & among[:, j]
    same = use & (truth[:, i] == truth[:, j]) & (truth[:, i] >= 0)
    match = use & (found[:, i] == found[:, j])
    out.true[jets] = same.sum(1)
    out.found[jets] = match.sum(1)
    out.both[jets] = (same & match).sum(1)


# ---- regression ----


def response(found: ArrayLike, truth: ArrayLike) -> Floats:
    """found / truth; NaN where there is no truth, or it is 0."""
    value, true = np.asarray(found, float), np.asarray(truth, float)
    if value.shape != true.shape:
        raise ShapeError(f"{value.shape} values for {true.shape} targets")
    ratio = np.full(value.shape, np.nan)
    np.divide(value, true, out=ratio, where=np.isfinite(true) & (true != 0))
    return ratio


def resolution(ratio: ArrayLike, x: ArrayLike, edges: ArrayLike) -> Resolution:
    """Bias and width of a response in bins of x; NaN in bins of fewer than two rows.

    Errors are those of a normal distribution: √(π/2) σ/√n of the median, σ/√(2 n) of
    the width.
    """
    r, where = np.asarray(ratio, float), np.asarray(x, float)
    bins: Floats = np.asarray(edges, np.float64)
    r, where = r[np.isfinite(r)], where[np.isfinite(r)]
    index = np.searchsorted(bins, where, "right") - 1
    each = [np.sort(r[index == k]) for k in range(len(bins) - 1)]
    count = np.array([len(part) for part in each])
    low, middle, high = (
        np.asarray([np.quantile(p, q) if len(p) > 1 else np.nan for p in each])
        for q in (0.16, 0.5, 0.84)
    )
    width, root = (high - low) / 2, np.sqrt(np.maximum(count, 1))
    error = np.sqrt(np.pi / 2) * width / root
    return Resolution(
        bins, middle - 1, error, width, width / (np.sqrt(2) * root), count
    )


def pull(found: ArrayLike, truth: ArrayLike, stddev: ArrayLike) -> Floats:
    """(found − truth) / stddev; NaN without truth."""
    value, true, of = (np.asarray(a, float) for a in (found, truth, stddev))
    pulls: Floats = (value - true) / of
    return pulls
