# SPDX-License-Identifier: Apache-2.0
"""Efficiencies in bins of pT or of the number of tracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import metrics
from ..errors import InvalidArgument
from ..metrics.sample import Tagged
from . import style
from .flavours import shown
from .style import GREY, SEVERAL
from .taggers import (
    FILLED_OR_OPEN,
    Samples,
    backgrounds,
    flavour_handles,
    having,
    several,
    tagger_handles,
    heading,
    title_of,
)

MEV_PER_GEV = 1000.0
# puma's bins to 250 GeV, then wider ones for high pT.
PT_EDGES = (20, 30, 40, 60, 85, 110, 140, 175, 250, 400, 600, 1000, 2000, 4000)  # GeV
TRACK_EDGES = (-0.5, 1.5, 3.5, 5.5, 7.5, 9.5, 12.5, 15.5, 20.5, 30.5, 40.5, 100.5)
# A share of fewer jets says nothing, and its error less.
FEWEST = 10


class Axis(NamedTuple):
    """A quantity to bin in."""

    label: str
    edges: tuple[float, ...]
    of: Callable[[Tagged], Any]
    log: bool


AXES = {
    "pt": Axis(
        "Jet $p_\\mathrm{T}$ [GeV]",
        PT_EDGES,
        lambda s: None if s.pt is None else s.pt / MEV_PER_GEV,
        True,
    ),
    "n_tracks": Axis("Tracks in the jet", TRACK_EDGES, lambda s: s.n_tracks, False),
}


def _axis(name: str, samples: Sequence[Tagged]) -> Axis:
    if name not in AXES:
        raise InvalidArgument(f"no axis '{name}'; there are {', '.join(AXES)}")
    axis = AXES[name]
    lost = [s.name for s in samples if axis.of(s) is None]
    if lost:
        raise InvalidArgument(f"no '{name}' of the jets of {', '.join(lost)}")
    values = axis.of(samples[0])
    # bins without jets at the ends would only squeeze the others
    filled = np.flatnonzero(np.histogram(values, axis.edges)[0] >= FEWEST)
    if not len(filled):
        raise InvalidArgument(f"fewer than {FEWEST} jets in all bins of '{name}'")
    return axis._replace(edges=axis.edges[filled[0] : filled[-1] + 2])


@style.styled
def efficiency(
    samples: Samples,
    against: str = "pt",
    *,
    signal: str = "b",
    at: float = 0.77,
    title: str | None = None,
    **fractions: float,
) -> Any:
    """Efficiency of each flavour in bins of pT or the number of tracks.

    One cut for all bins, at efficiency ``at`` of all signal jets. Bins in which no jet
    of a background passes, or of fewer than 10 jets, are left out. Errors are
    binomial: a jet is in one bin, once.
    """
    samples = having(samples, signal)
    mine = samples[0].signal_of(signal)
    ways = shown(samples[0])
    ways = {f: ways[f] for f in (mine, *backgrounds(samples, signal))}
    axis = _axis(against, samples)
    title = title_of(samples, title)
    cut = f"one cut, {at:.0%} {ways[mine].noun} efficiency".replace("%", " %")
    figure = style.new(6.8, 5.6, f"{title}, {cut}" if title else cut.capitalize())
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.4])
    for number, sample in enumerate(samples):
        d, x = sample.discriminant(signal, **fractions), axis.of(sample)
        passed = d >= metrics.cut_at(d[sample.of(sample.signal_of(signal))], at)
        for flavour in filter(sample.classes.__contains__, ways):
            of = sample.of(flavour)
            found = metrics.binned(passed[of], x[of], axis.edges)
            where = top if flavour == mine else bottom
            _points(where, found, (ways[flavour], number, len(samples)), axis)
    _finish_efficiency(top, bottom, axis, ways[mine].noun, at)
    by_tagger = tagger_handles(samples, FILLED_OR_OPEN) if len(samples) > 1 else []
    style.legends_above(top, flavour_handles(ways, "points"), by_tagger)
    return figure


def _points(axes: Any, found: metrics.Binned, who: Any, axis: Axis) -> None:
    """Points with bars: horizontal the bin, vertical the error; side by side."""
    way, number, taggers = who
    edges = np.log(found.edges) if axis.log else found.edges
    x = edges[:-1] + (0.5 + 0.16 * (number - (taggers - 1) / 2)) * np.diff(edges)
    x = np.exp(x) if axis.log else x
    axes.errorbar(
        x,
        np.where((found.value > 0) & (found.count >= FEWEST), found.value, np.nan),
        found.error,
        (x - found.edges[:-1], found.edges[1:] - x),
        elinewidth=1,
        **FILLED_OR_OPEN[number] | {"color": way.color, "marker": way.marker},
    )


def _finish_efficiency(top: Any, bottom: Any, axis: Axis, noun: str, at: float) -> None:
    top.axhline(at, color=GREY, lw=0.8, ls=":")
    top.set_ylabel(f"{noun} efficiency")
    bottom.set_ylabel("Mistag efficiency")
    bottom.set_yscale("log")
    bottom.set_xlabel(axis.label)
    _x_of(bottom, axis)
    for axes in (top, bottom):
        axes.grid(alpha=0.25)
    low = bottom.get_ylim()[0]
    bottom.set_ylim(bottom=max(low, 0.5 * _lowest(bottom)))


def _lowest(axes: Any) -> float:
    """The lowest point, not of an error: those may reach to zero."""
    points = [c.lines[0].get_ydata() for c in axes.containers]
    found = np.concatenate([np.asarray(p, float) for p in points] or [np.empty(0)])
    found = found[np.isfinite(found) & (found > 0)]
    return float(found.min()) if len(found) else 1e-3


def _x_of(axes: Any, axis: Axis) -> None:
    axes.set_xlim(axis.edges[0], axis.edges[-1])
    if axis.log:
        axes.set_xscale("log")
        ticks = [e for e in (20, 30, 50, 100, 200, 500, 1000, 2000, 4000)]
        low, high = axis.edges[0], axis.edges[-1]
        axes.set_xticks([t for t in ticks if low <= t <= high])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(style.NullFormatter())


@style.styled
def vertexing(
    samples: Samples, against: str = "pt", *, title: str | None = None
) -> Any:
    """Efficiency and purity of pairs of tracks put into one vertex.

    Taggers without vertices are left out, and bins of fewer than 10 jets with pairs.
    The pairs of a jet are not independent: errors are by bootstrap over the jets
    (:mod:`gn2.metrics.clusters`).
    """
    asked = [(s, s.pairs()) for s in several(samples)]
    both = [(s, p) for s, p in asked if p is not None]
    if not both:
        raise InvalidArgument("no vertices and their truth")
    figure = style.new(6.8, 5.2, heading([s for s, _ in both], title))
    panels = figure.subplots(2, 1, sharex=True)
    pairs = [p for _, p in both]
    # track scores may be there for the first jets only
    cut = [s.select(np.arange(len(s.scores)) < len(p.true)) for s, p in both]
    axis = _axis(against, cut)
    for number, (sample, p) in enumerate(zip(cut, pairs)):
        way = SEVERAL[number]
        for axes, whole in zip(panels, (p.true, p.found)):
            found = metrics.ratio_binned(p.both, whole, axis.of(sample), axis.edges)
            _points(axes, found, (way, number, len(cut)), axis)
    panels[0].set_ylabel("Pair efficiency")
    panels[1].set_ylabel("Pair purity")
    panels[1].set_xlabel(axis.label)
    _x_of(panels[1], axis)
    for axes in panels:
        axes.grid(alpha=0.25)
    looks = [
        kind | {"color": way.color, "marker": way.marker}
        for kind, way in zip(FILLED_OR_OPEN, SEVERAL)
    ]
    style.legends_above(panels[0], tagger_handles(cut, looks))
    return figure
