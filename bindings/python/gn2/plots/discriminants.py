# SPDX-License-Identifier: Apache-2.0
"""ROC curves and distributions of a discriminant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import metrics
from . import style
from .style import GREY, MODEL_LINES, look
from .taggers import (
    LINE_OR_POINTS,
    LINES,
    Samples,
    backgrounds,
    flavour_handles,
    several,
    tagger_handles,
)

# A binomial error of fewer jets is no error: the band would reach to nothing.
_FEWEST_PASSING = 3


@style.styled
def roc(
    samples: Samples,
    *,
    signal: str = "b",
    lowest: float = 0.5,
    title: str | None = None,
    **fractions: float,
) -> Any:
    """Rejection of each flavour against the efficiency of the signal.

    Bands are binomial; where fewer than three jets pass there is no curve. With
    several taggers a panel a flavour gives the ratio to the last one, whose own band
    is about 1.

    Args:
        lowest: lowest efficiency shown.
        fractions: f_<class> of the discriminant; those of the model otherwise.
    """
    samples = several(samples)
    flavours = backgrounds(samples, signal)
    curves = _roc_curves(samples, flavours, signal, lowest, fractions)
    ratios = flavours if len(samples) > 1 else []
    figure = style.new(6.8, 4.8 + 1.05 * len(ratios), title)
    heights = [4.0] + [1.0] * len(ratios)
    panels = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, height_ratios=heights
    )[:, 0]
    _roc_main(panels[0], samples, curves, flavours)
    panels[0].set_ylabel("Rejection = 1 / efficiency")
    for axes, flavour in zip(panels[1:], ratios):
        _roc_ratio(axes, curves, flavour)
    panels[-1].set_xlabel(f"{signal}-jet efficiency")
    panels[-1].set_xlim(lowest, 1.0)
    return figure


def _roc_curves(samples: Any, flavours: Any, signal: str, lowest: float, f: Any) -> Any:
    grid = np.linspace(lowest, 1.0, 101)
    curves = []
    for sample in samples:
        d = sample.discriminant(signal, **f)
        mine = d[sample.of(signal)]
        curves.append({k: metrics.roc(mine, d[sample.of(k)], grid) for k in flavours})
    return curves


def _sure(curve: metrics.Roc) -> tuple[Any, Any]:
    """Rejection and error where enough jets pass, else NaN."""
    # error/rejection is √((1 − ε)/passing), at most 1/√passing
    with np.errstate(invalid="ignore"):
        sure = curve.error / curve.rejection <= _FEWEST_PASSING**-0.5
    return np.where(sure, curve.rejection, np.nan), np.where(sure, curve.error, np.nan)


def _roc_main(axes: Any, samples: Any, curves: Any, flavours: Sequence[str]) -> None:
    for by_flavour, line in zip(curves, MODEL_LINES):
        for flavour in flavours:
            curve, color = by_flavour[flavour], look(flavour).color
            value, error = _sure(curve)
            low = np.maximum(value - error, 1)  # no rejection is below 1
            axes.plot(curve.efficiency, value, color=color, ls=line)
            axes.fill_between(
                curve.efficiency, low, value + error, color=color, alpha=0.2, lw=0
            )
    axes.set_yscale("log")
    axes.set_ylim(bottom=1, top=2 * axes.get_ylim()[1])  # room for a name on top
    for place, flavour in enumerate(flavours):
        # under the lowest curves is room, between others may be none
        side = -1 if 0 < place == len(flavours) - 1 else 1
        at = 0.12 + 0.1 * place
        _label_curve(axes, [c[flavour] for c in curves], flavour, at, side)
    axes.grid(alpha=0.25)
    style.legends_above(axes, tagger_handles(samples, LINES))


def _label_curve(axes: Any, curves: Any, flavour: str, at: float, side: int) -> None:
    """The flavour's name at its curves: grey prints need it."""
    index = int(at * len(curves[0].efficiency))
    heights = [(v + side * e)[index] for v, e in map(_sure, curves)]
    heights = [h for h in heights if np.isfinite(h) and h > 0]
    if not heights:
        return
    place = (curves[0].efficiency[index], min(heights) if side < 0 else max(heights))
    axes.annotate(
        f"{flavour}-jets",
        place,
        (0, 4 * side),
        textcoords="offset points",
        color=look(flavour).color,
        fontweight="bold",
        ha="right" if side < 0 else "left",
        va="top" if side < 0 else "bottom",
    )


def _roc_ratio(axes: Any, curves: Any, flavour: str) -> None:
    reference, color = curves[-1][flavour], look(flavour).color
    grid, base = reference.efficiency, _sure(reference)[0]
    spans = []
    for by_flavour, line in zip(curves, MODEL_LINES):
        curve = by_flavour[flavour]
        value, error = (x / base for x in _sure(curve))
        axes.plot(grid, value, color=color, ls=line, lw=1.3)
        axes.fill_between(
            grid, value - error, value + error, color=color, alpha=0.2, lw=0
        )
        spans.append((np.abs(value - 1) + error)[error < 0.3 * value])
    reach = np.nanmax([*(np.nanmax(s, initial=0) for s in spans), 0.05])
    axes.set_ylim(1 - min(1.1 * reach, 1), 1 + min(1.1 * reach, 2))
    axes.set_ylabel(f"{flavour}\nratio", loc="center", color=color)
    axes.grid(alpha=0.25)


# ---- distributions ----


@style.styled
def discriminant(
    samples: Samples,
    *,
    signal: str = "b",
    bins: int = 60,
    title: str | None = None,
    **fractions: float,
) -> Any:
    """Discriminant by flavour: lines for the first tagger, points for the second.

    Dotted verticals are the cuts of the first tagger at the working points.
    """
    samples = several(samples)[:2]
    values = [s.discriminant(signal, **fractions) for s in samples]
    low, high = np.quantile(np.concatenate(values), [0.001, 0.999])
    edges = np.linspace(low, high, bins + 1)
    figure = style.new(6.8, 4.6, title)
    axes = figure.subplots()
    for flavour in samples[0].present():
        _distribution(axes, samples, values, flavour, edges)
    _cuts(axes, values[0][samples[0].of(signal)], signal)
    axes.set_xlabel(f"$D_\\mathrm{{{signal}}}$")
    axes.set_ylabel(f"Share of jets / {edges[1] - edges[0]:.2g}")
    axes.set_ylim(bottom=0, top=1.1 * axes.get_ylim()[1])
    axes.set_xlim(edges[0], edges[-1])
    by_flavour = flavour_handles(samples[0].present(), "lines")
    by_tagger = tagger_handles(samples, LINE_OR_POINTS) if len(samples) > 1 else []
    style.legends_above(axes, by_flavour, by_tagger)
    return figure


def _distribution(
    axes: Any, samples: Any, values: Any, flavour: str, edges: Any
) -> None:
    way, middle = look(flavour), (edges[1:] + edges[:-1]) / 2
    for number, (sample, d) in enumerate(zip(samples, values)):
        mine = d[sample.of(flavour)]
        if not len(mine):
            continue
        clipped = np.clip(mine, edges[0], edges[-1])  # tails go to the last bins
        height = np.histogram(clipped, edges)[0] / len(mine)
        if number == 0:
            axes.stairs(height, edges, color=way.color, ls=way.line, lw=1.6)
        else:
            axes.plot(middle, height, way.marker, color=way.color, mfc="white", ms=4)


def _cuts(axes: Any, signal: Any, name: str) -> None:
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top * 1.08)
    for efficiency in metrics.WORKING_POINTS:
        cut = float(metrics.cut_at(signal, efficiency))
        axes.axvline(cut, color=GREY, lw=0.8, ls=":")
        text = f"{efficiency:.0%}".replace("%", " %")
        axes.text(
            cut,
            0.98,
            text,
            rotation=90,
            ha="right",
            va="top",
            fontsize=8,
            color="#555555",
            transform=axes.get_xaxis_transform(),
        )
