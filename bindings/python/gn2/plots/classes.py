# SPDX-License-Identifier: Apache-2.0
"""Confusion, calibration, and track origins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import metrics
from ..errors import InvalidArgument
from ..metrics.sample import Tagged, Tracks
from . import style
from .style import GREY, SEVERAL, look

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
def confusion(sample: Tagged, *, title: str | None = None) -> Any:
    """True flavour against the most probable one; rows sum to 1."""
    predicted = sample.probabilities.argmax(1)
    counts = metrics.confusion(sample.flavour, predicted, len(sample.classes))
    return _matrix(counts, sample.classes, "flavour", title)


@style.styled
def origin_confusion(sample: Tagged, *, title: str | None = None) -> Any:
    """True track origin against the most probable one; rows sum to 1."""
    tracks = _origin_of(sample)
    predicted = tracks.origin_p.argmax(1)  # type: ignore[union-attr]
    counts = metrics.confusion(
        np.asarray(tracks.origin), predicted, len(tracks.origins)
    )
    return _matrix(counts, tracks.origins, "origin", title)


# ---- calibration ----


@style.styled
def calibration(sample: Tagged, *, bins: int = 10, title: str | None = None) -> Any:
    """Observed against predicted share of each class; weighted as in the training."""
    figure = style.new(5.4, 5.2, title)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8)
    known = sample.flavour >= 0
    weights = class_weights(sample)[known]
    for flavour in sample.present():
        index, way = sample.index(flavour), look(flavour)
        found = metrics.calibration(
            sample.probabilities[known, index], sample.of(flavour)[known], bins, weights
        )
        axes.errorbar(
            found.predicted,
            found.observed,
            found.error,
            fmt=way.marker,
            ls=way.line,
            lw=1.2,
            color=way.color,
            label=f"{flavour}-jets",
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


# ---- tracks ----


def _origin_of(sample: Tagged) -> Tracks:
    tracks = sample.tracks
    if tracks is None or tracks.origin is None or tracks.origin_p is None:
        raise InvalidArgument(f"{sample.name}: no track origins and their truth")
    return tracks


@style.styled
def origin_roc(sample: Tagged, *, title: str | None = None) -> Any:
    """Each track origin against all others, by its probability; AUC in the legend."""
    tracks = _origin_of(sample)
    known = tracks.origin >= 0  # type: ignore[operator]
    figure = style.new(6.4, 5.6, title)
    axes = figure.subplots()
    for index, name in enumerate(tracks.origins):
        p = tracks.origin_p[known, index]  # type: ignore[index]
        mine = tracks.is_origin(name)[known]
        if not mine.any() or mine.all():
            continue
        false, true = metrics.roc_points(p[mine], p[~mine])
        way = SEVERAL[index % len(SEVERAL)]
        area = metrics.auc(p[mine], p[~mine]).value
        label = f"{name} {area:.3f}"
        false, true = _thinned(false, true)
        axes.plot(false, true, color=way.color, ls=way.line, label=label)
    axes.set_xscale("log")
    axes.set_xlim(_LEAST_SHARE, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("Share of other tracks accepted")
    axes.set_ylabel("Share of tracks of the origin accepted")
    axes.grid(alpha=0.25)
    style.legend_above(axes, 3, title="Origin and area under its curve")
    return figure


def _thinned(false: Any, true: Any) -> tuple[Any, Any]:
    """A point for each step of the grid, not for each track."""
    grid = np.geomspace(_LEAST_SHARE, 1, 400)
    keep = np.unique(np.searchsorted(false, grid, "right") - 1)
    return false[keep], true[keep]
