# SPDX-License-Identifier: Apache-2.0
"""ROC curves and distributions of a discriminant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import metrics
from ..metrics.sample import Tagged
from . import style
from .flavours import Shown, brief, shown
from .style import GREY, MODEL_LINES
from .taggers import (
    LINE_OR_POINTS,
    LINES,
    Samples,
    backgrounds,
    flavour_handles,
    having,
    heading,
    tagger_handles,
    title_of,
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
        signal: a class, or a discriminant as the model names it ("D_b").
        lowest: lowest efficiency shown.
        fractions: f_<class> of the discriminant; those of the model otherwise.
    """
    samples = having(samples, signal)
    ways = shown(samples[0])
    flavours = {f: ways[f] for f in backgrounds(samples, signal)}
    curves = _roc_curves(samples, flavours, signal, lowest, fractions)
    ratios = flavours if len(samples) > 1 else {}
    title = heading(samples, title)
    figure = style.new(6.8, 4.8 + 1.05 * len(ratios), title)
    heights = [4.0] + [1.0] * len(ratios)
    panels = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, height_ratios=heights
    )[:, 0]
    _roc_main(panels[0], samples, curves, flavours)
    panels[0].set_ylabel("Rejection = 1 / efficiency")
    for axes, (flavour, way) in zip(panels[1:], ratios.items()):
        _roc_ratio(axes, [c.get(flavour) for c in curves], way)
    noun = ways[samples[0].signal_of(signal)].noun
    panels[-1].set_xlabel(f"{noun} efficiency{_of_several(samples[0], signal)}")
    panels[-1].set_xlim(lowest, 1.0)
    return figure


def _of_several(sample: Tagged, signal: str) -> str:
    """The discriminant, where its name says more than its signal does."""
    rules = sample.discriminants()
    mine = sample.signal_of(signal)
    alone = list(rules.values()).count(mine) < 2 or signal not in rules
    return "" if alone else f", {signal}"


def _roc_curves(samples: Any, flavours: Any, signal: str, lowest: float, f: Any) -> Any:
    """Of each tagger by flavour, those it has."""
    grid = np.linspace(lowest, 1.0, 101)
    curves = []
    for sample in samples:
        d = sample.discriminant(signal, **f)
        mine = d[sample.of(sample.signal_of(signal))]
        known = [k for k in flavours if k in sample.classes]
        curves.append({k: metrics.roc(mine, d[sample.of(k)], grid) for k in known})
    return curves


def _sure(curve: metrics.Roc) -> tuple[Any, Any]:
    """Rejection and error where enough jets pass, else NaN."""
    # error/rejection is √((1 − ε)/passing), at most 1/√passing
    with np.errstate(invalid="ignore"):
        sure = curve.error / curve.rejection <= _FEWEST_PASSING**-0.5
    return np.where(sure, curve.rejection, np.nan), np.where(sure, curve.error, np.nan)


def _roc_main(
    axes: Any, samples: Any, curves: Any, flavours: Mapping[str, Shown]
) -> None:
    for by_flavour, line in zip(curves, MODEL_LINES):
        for flavour, curve in by_flavour.items():
            color = flavours[flavour].color
            value, error = _sure(curve)
            low = np.maximum(value - error, 1)  # no rejection is below 1
            axes.plot(curve.efficiency, value, color=color, ls=line)
            axes.fill_between(
                curve.efficiency, low, value + error, color=color, alpha=0.2, lw=0
            )
    axes.set_yscale("log")
    axes.set_ylim(bottom=1, top=2 * axes.get_ylim()[1])  # room for a name on top
    _label_curves(axes, curves, flavours)
    axes.grid(alpha=0.25)
    style.legends_above(axes, tagger_handles(samples, LINES))


class _Place(NamedTuple):
    """Where a name stands: points of the grid, and shares of the height."""

    left: int
    right: int
    low: float
    high: float

    def overlaps(self, other: _Place) -> bool:
        beside = self.left > other.right or other.left > self.right
        return not beside and self.low < other.high and other.low < self.high


_HIGH = 0.06  # of a name, a share of the height
_LETTER = 1.6  # points of the grid


def _label_curves(axes: Any, curves: Any, flavours: Mapping[str, Shown]) -> None:
    """The flavours' names at their curves, where grey prints need them and as few other
    curves as can be run through them."""
    full = np.log(axes.get_ylim()[1])
    bands = []
    for by_flavour in curves:
        for flavour, curve in by_flavour.items():
            value, error = _sure(curve)
            low, high = np.maximum(value - error, 1), value + error
            bands.append((flavour, np.log(low) / full, np.log(high) / full))
    taken: list[_Place] = []
    for flavour, way in flavours.items():
        own = [band for band in bands if band[0] == flavour]
        places = list(_places(own, int(_LETTER * len(way.plural))))
        if not places:  # no curve: fewer than three jets pass, wherever the cut is
            low = 0.93 - _HIGH * len(taken)
            places = [_Place(55, 100, low, low + _HIGH)]
            way = way._replace(plural=f"{way.plural}: fewer than 3 pass")
        best = min(places, key=lambda p: _covered(p, bands, taken))
        taken.append(best)
        axes.text(
            best.left / (len(own[0][1]) - 1),
            (best.low + best.high) / 2,
            way.plural,
            transform=axes.transAxes,
            color=way.color,
            fontweight="bold",
            va="center",
        )


def _places(own: Any, width: int) -> Iterator[_Place]:
    """Above the highest and below the lowest curve of a flavour, from left to right."""
    lows, highs = (np.array([band[k] for band in own]) for k in (1, 2))
    for left in range(2, lows.shape[1] - width - 1, 4):
        part = slice(left, left + width + 1)
        low, high = lows[:, part], highs[:, part]
        if not np.isfinite(low).any():
            continue
        top, bottom = float(np.nanmax(high)) + 0.01, float(np.nanmin(low)) - 0.01
        yield _Place(left, left + width, top, top + _HIGH)
        yield _Place(left, left + width, bottom - _HIGH, bottom)


def _covered(place: _Place, bands: Any, taken: list[_Place]) -> float:
    """What is under a name: other names, the frame, curves; then how far from the
    curve it is, for a steep one."""
    part = slice(place.left, place.right + 1)
    cost = 10.0 * sum(place.overlaps(other) for other in taken)
    cost += 10.0 * (place.low < 0 or place.high > 1)
    for _, low, high in bands:
        hit = (low[part] < place.high) & (high[part] > place.low)
        cost += 2.0 * bool(hit.any())
    return cost + place.left / len(bands[0][1]) / 2


def _roc_ratio(axes: Any, curves: Any, way: Shown) -> None:
    """To the last tagger that has the flavour."""
    reference, color = [c for c in curves if c is not None][-1], way.color
    grid, base = reference.efficiency, _sure(reference)[0]
    spans = []
    for curve, line in zip(curves, MODEL_LINES):
        if curve is None:
            continue
        value, error = (x / base for x in _sure(curve))
        axes.plot(grid, value, color=color, ls=line, lw=1.3)
        axes.fill_between(
            grid, value - error, value + error, color=color, alpha=0.2, lw=0
        )
        spans.append((np.abs(value - 1) + error)[error < 0.3 * value])
    reach = np.nanmax([*(np.nanmax(s, initial=0) for s in spans), 0.05])
    axes.set_ylim(1 - min(1.1 * reach, 1), 1 + min(1.1 * reach, 9))
    axes.set_ylabel(f"{brief(way.noun)}\nratio", loc="center", color=color)
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
    samples = having(samples, signal)[:2]
    ways = {f: w for f, w in shown(samples[0]).items() if f in samples[0].present()}
    values = [s.discriminant(signal, **fractions) for s in samples]
    low, high = np.quantile(np.concatenate(values), [0.001, 0.999])
    edges = np.linspace(low, high, bins + 1)
    figure = style.new(6.8, 4.6, title_of(samples, title))
    axes = figure.subplots()
    for flavour, way in ways.items():
        each = [
            d[s.of(flavour)] if flavour in s.classes else d[:0]
            for s, d in zip(samples, values)
        ]
        _distribution(axes, each, way, edges)
    _cuts(axes, values[0][samples[0].of(samples[0].signal_of(signal))])
    axes.set_xlabel(_symbol(signal))
    axes.set_ylabel(f"Share of jets / {edges[1] - edges[0]:.2g}")
    axes.set_ylim(bottom=0, top=1.1 * axes.get_ylim()[1])
    axes.set_xlim(edges[0], edges[-1])
    by_flavour = flavour_handles(ways, "lines")
    by_tagger = tagger_handles(samples, LINE_OR_POINTS) if len(samples) > 1 else []
    style.legends_above(axes, by_flavour, by_tagger)
    return figure


def _symbol(signal: str) -> str:
    """D_b for "b" and "D_b" alike, as a formula."""
    name = signal[2:] if signal.startswith("D_") else signal
    name = name.replace("_", r"\_")
    return f"$D_\\mathrm{{{name}}}$"


def _distribution(axes: Any, each: Any, way: Shown, edges: Any) -> None:
    middle = (edges[1:] + edges[:-1]) / 2
    for number, mine in enumerate(each):
        if not len(mine):
            continue
        clipped = np.clip(mine, edges[0], edges[-1])  # tails go to the last bins
        height = np.histogram(clipped, edges)[0] / len(mine)
        if number == 0:
            axes.stairs(height, edges, color=way.color, ls=way.line, lw=1.6)
        else:
            axes.plot(middle, height, way.marker, color=way.color, mfc="white", ms=4)


def _cuts(axes: Any, signal: Any) -> None:
    if not len(signal):
        return
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
