# SPDX-License-Identifier: Apache-2.0
"""Confusion, calibration, and track origins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import metrics
from ..errors import InvalidArgument
from ..metrics.sample import Tagged
from . import style
from .bins import FEWEST
from .flavours import brief, shown
from .style import GREY, SEVERAL
from .taggers import title_of

_LEAST_SHARE = 1e-3  # of other tracks accepted, where the curve begins


def _matrix(counts: Any, names: Sequence[str], what: str, title: str | None) -> Any:
    """Rows are truth and sum to 1."""
    shares = metrics.share(counts, counts.sum(1, keepdims=True)).value
    side = 1.6 + 0.66 * len(names)
    figure = style.new(side + 0.6, side, title)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    for (row, column), value in np.ndenumerate(shares):
        if np.isfinite(value):
            axes.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                color="white" if value > 0.55 else "black",
                fontsize=10 if len(names) < 6 else 8.5,
            )
    turned = 90 if max(map(len, names)) > 5 else 0
    axes.set_xticks(range(len(names)), names, rotation=turned)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(which="both", length=0)
    axes.minorticks_off()
    axes.set_xlabel(f"Predicted {what}", loc="center")
    axes.set_ylabel(f"True {what}", loc="center")
    return figure


@style.styled
def confusion(
    sample: Tagged, task: str | None = None, *, title: str | None = None
) -> Any:
    """True class against the most probable one; rows sum to 1.

    Args:
        task: a classification; None: the flavour of the jets.
    """
    of = _flavours_of(sample) if task is None else _classes_of(sample, task)
    counts = metrics.confusion(of.truth, of.p.argmax(1), len(of.names))
    return _matrix(counts, of.names, of.noun, title_of([sample], title))


@style.styled
def origin_confusion(sample: Tagged, *, title: str | None = None) -> Any:
    """True track origin against the most probable one; rows sum to 1."""
    of = _origins_of(sample)
    counts = metrics.confusion(of.truth, of.p.argmax(1), len(of.names))
    return _matrix(counts, of.names, of.noun, title_of([sample], title))


class _Classes(NamedTuple):
    """What a classification found."""

    names: tuple[str, ...]
    truth: Any  # (N), negative = none
    p: Any  # (N, classes)
    noun: str
    rows: str  # what the rows are, in words


def _flavours_of(sample: Tagged) -> _Classes:
    p, ways = sample.probabilities, shown(sample)
    nouns = tuple(brief(ways[name].noun) for name in sample.classes)
    return _Classes(nouns, sample.flavour, p, "flavour", "jets")


def _origins_of(sample: Tagged) -> _Classes:
    tracks = sample.tracks
    if tracks is None or tracks.origin is None or tracks.origin_p is None:
        raise InvalidArgument(f"{sample.name}: no track origins and their truth")
    names = tuple(map(style.verbatim, tracks.origins))
    return _Classes(names, tracks.origin, tracks.origin_p, "origin", "tracks")


def _classes_of(sample: Tagged, task: str) -> _Classes:
    of = sample.tasks.get(task)
    if of is None or not of.task.classifies:
        raise InvalidArgument(
            f"{sample.name}: no classification '{task}' and its truth"
        )
    names = tuple(map(style.verbatim, of.task.classes))
    return _Classes(names, of.truth, of.found, of.task.noun, of.task.object)


# ---- calibration ----


@style.styled
def calibration(sample: Tagged, *, bins: int = 10, title: str | None = None) -> Any:
    """Observed against predicted share of each class; weighted as in the training.

    Bins of fewer than 10 jets are left out.
    """
    figure = style.new(5.4, 5.2, title_of([sample], title))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8)
    known = sample.flavour >= 0
    if not sample.probabilities[known].size:
        raise InvalidArgument(f"{sample.name}: no jet of a known class")
    weights, ways = class_weights(sample)[known], shown(sample)
    for flavour in sample.present():
        index, way = sample.index(flavour), ways[flavour]
        found = metrics.calibration(
            sample.probabilities[known, index], sample.of(flavour)[known], bins, weights
        )
        shown_bins = found.count >= FEWEST
        axes.errorbar(
            found.predicted[shown_bins],
            found.observed[shown_bins],
            found.error[shown_bins],
            fmt=way.marker,
            ls=way.line,
            lw=1.2,
            color=way.color,
            label=way.plural,
        )
    axes.set_xlabel("Predicted probability")
    axes.set_ylabel("Share of jets of the class")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.grid(alpha=0.25)
    style.legend_above(axes)
    return figure


def class_weights(sample: Tagged) -> Any:
    """(B) weight of each jet in the loss of the training; 1 if that is not known."""
    if len(sample.class_weights) != len(sample.classes):
        return np.ones(len(sample.flavour))
    return np.array([*sample.class_weights, 0.0])[sample.flavour]


# ---- each class against the others ----


@style.styled
def origin_roc(sample: Tagged, *, title: str | None = None) -> Any:
    """Each track origin against all others, by its probability; AUC in the legend."""
    return _one_against_all(_origins_of(sample), title_of([sample], title))


@style.styled
def class_roc(sample: Tagged, task: str, *, title: str | None = None) -> Any:
    """Each class of a task against all others; AUC in the legend."""
    return _one_against_all(_classes_of(sample, task), title_of([sample], title))


def _one_against_all(of: _Classes, title: str | None) -> Any:
    known = of.truth >= 0
    figure = style.new(6.4, 5.6, title)
    axes = figure.subplots()
    for index, name in enumerate(of.names):
        p, mine = of.p[known, index], of.truth[known] == index
        if not mine.any() or mine.all():
            continue
        false, true = metrics.roc_points(p[mine], p[~mine])
        way = SEVERAL[index % len(SEVERAL)]
        area = metrics.auc(p[mine], p[~mine]).value
        false, true = _thinned(false, true)
        axes.plot(false, true, color=way.color, ls=way.line, label=f"{name} {area:.3f}")
    if not axes.lines:
        raise InvalidArgument(f"the {of.rows} must be of two classes at least")
    axes.set_xscale("log")
    axes.set_xlim(_LEAST_SHARE, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"Share of other {of.rows} accepted")
    axes.set_ylabel(f"Share of {of.rows} of the {of.noun} accepted")
    axes.grid(alpha=0.25)
    title = f"{of.noun.capitalize()} and area under its curve"
    style.legend_above(axes, 3, title=title)
    return figure


def _thinned(false: Any, true: Any) -> tuple[Any, Any]:
    """A point for each step of the grid, not for each track."""
    grid = np.geomspace(_LEAST_SHARE, 1, 400)
    keep = np.unique(np.searchsorted(false, grid, "right") - 1)
    return false[keep], true[keep]
