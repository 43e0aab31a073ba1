# SPDX-License-Identifier: Apache-2.0
"""Pictures of regressions: response, bias and resolution, pulls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import metrics
from ..errors import InvalidArgument
from ..metrics import clusters
from ..metrics.found import Found
from ..metrics.sample import Tagged
from . import style
from .bins import FEWEST, MEV_PER_GEV, PT_EDGES
from .style import GREY, SEVERAL
from .taggers import Samples, heading, several, tagger_handles

_BINS = 60


def _with(samples: Samples, task: str) -> list[tuple[Tagged, Found]]:
    found = [(s, s.tasks[task]) for s in several(samples) if task in s.tasks]
    found = [(s, of) for s, of in found if of.task.regresses]
    if not found:
        raise InvalidArgument(f"no regression '{task}' and its truth")
    return found


def _histograms(found: Any, values: Callable[[Found, int], Any], title: Any) -> Any:
    """A panel a target, a line a tagger; tails are in the outer bins."""
    targets = found[0][1].task.targets
    title = heading([s for s, _ in found], title)
    figure = style.new(6.4, 3.6 * len(targets), title)
    panels = figure.subplots(len(targets), 1, squeeze=False)[:, 0]
    for k, axes in enumerate(panels):
        each = [values(of, k) for _, of in found]
        each = [x[np.isfinite(x)] for x in each]
        if not sum(map(len, each)):
            raise InvalidArgument(f"'{targets[k]}' of no jet is known")
        low, high = np.quantile(np.concatenate(each), [0.005, 0.995])
        edges = np.linspace(low, high if high > low else low + 1, _BINS)
        for x, way in zip(each, SEVERAL):
            height = np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0]
            axes.stairs(height / max(1, len(x)), edges, color=way.color, ls=way.line)
        axes.set_ylabel("Share of rows")
        axes.set_xlim(edges[0], edges[-1])
        axes.grid(alpha=0.25)
    looks = [{"color": way.color, "ls": way.line} for way in SEVERAL]
    style.legends_above(panels[0], tagger_handles([s for s, _ in found], looks))
    return figure, panels


@style.styled
def response(samples: Samples, task: str, *, title: str | None = None) -> Any:
    """Predicted over true value of each target of a regression."""
    found = _with(samples, task)
    figure, panels = _histograms(
        found, lambda of, k: metrics.response(of.found[:, k], of.truth[:, k]), title
    )
    for axes, target in zip(panels, found[0][1].task.targets):
        axes.set_xlabel(f"Predicted / true {target}")
        axes.axvline(1, color=GREY, lw=0.8, ls=":")
    return figure


def _pulls(of: Found, k: int) -> Any:
    stddev: Any = of.stddev
    return metrics.pull(of.found[:, k], of.truth[:, k], stddev[:, k])


@style.styled
def pull(samples: Samples, task: str, *, title: str | None = None) -> Any:
    """(predicted − true) / predicted spread; dotted: the normal distribution."""
    found = [(s, of) for s, of in _with(samples, task) if of.stddev is not None]
    if not found:
        raise InvalidArgument(f"'{task}' predicts no spread")
    figure, panels = _histograms(found, _pulls, title)
    for axes, target in zip(panels, found[0][1].task.targets):
        low, high = axes.get_xlim()
        x = np.linspace(low, high, 200)
        share = (high - low) / (_BINS - 1) / np.sqrt(2 * np.pi)
        axes.plot(x, share * np.exp(-(x**2) / 2), color=GREY, ls=":", lw=1)
        axes.set_xlabel(f"(Predicted − true) / spread of {target}")
    return figure


def _edges(found: Any, target: int, against: str) -> tuple[Any, list[Any], str]:
    """Bins, what is binned of each tagger, and its name."""
    if against == "pt":
        if any(s.pt is None for s, _ in found):
            raise InvalidArgument("no 'pt' of the jets")
        x = [of.by_row(s.pt) / MEV_PER_GEV for s, of in found]
        return np.array(PT_EDGES, float), x, "Jet $p_\\mathrm{T}$ [GeV]"
    if against != "target":
        raise InvalidArgument(f"no axis '{against}'; there are pt, target")
    x = [of.truth[:, target] for _, of in found]
    there = x[0][np.isfinite(x[0])]
    edges = np.unique(np.quantile(there, np.linspace(0, 1, 11))) if len(there) else []
    return np.asarray(edges), x, f"True {found[0][1].task.targets[target]}"


@style.styled
def resolution(
    samples: Samples,
    task: str,
    against: str = "target",
    *,
    target: str | None = None,
    title: str | None = None,
) -> Any:
    """Bias (median of predicted / true, minus 1) and half of its central 68 %.

    Args:
        against: "target", the true value, or "pt", the jets' transverse momentum.
        target: of several; None: the first.

    Errors are those of a normal distribution; of constituents, those of a jet not being
    independent, by bootstrap over the jets.
    """
    found = _with(samples, task)
    names = found[0][1].task.targets
    if target is not None and target not in names:
        raise InvalidArgument(f"no target '{target}'; there are {', '.join(names)}")
    k = 0 if target is None else names.index(target)
    edges, each, label = _edges(found, k, against)
    figure = style.new(6.8, 5.2, heading([s for s, _ in found], title))
    panels = figure.subplots(2, 1, sharex=True)
    for (_, of), x, way in zip(found, each, SEVERAL):
        ratio = metrics.response(of.found[:, k], of.truth[:, k])
        _points(panels, clusters.resolution(ratio, x, edges, of.counts), way)
    panels[0].set_ylabel(f"Bias of {names[k]}")
    panels[1].set_ylabel("Relative resolution")
    panels[1].set_xlabel(label)
    panels[0].axhline(0, color=GREY, lw=0.8, ls=":")
    for axes in panels:
        axes.grid(alpha=0.25)
    looks = [{"color": w.color, "marker": w.marker, "ls": ""} for w in SEVERAL]
    style.legends_above(panels[0], tagger_handles([s for s, _ in found], looks))
    return figure


def _points(panels: Any, found: metrics.Resolution, way: Any) -> None:
    shown = found.count >= FEWEST
    if not shown.any():
        raise InvalidArgument(f"fewer than {FEWEST} rows with a truth in all bins")
    middle, half = (found.edges[1:] + found.edges[:-1]) / 2, np.diff(found.edges) / 2
    for axes, y, error in (
        (panels[0], found.bias, found.bias_error),
        (panels[1], found.width, found.width_error),
    ):
        axes.errorbar(
            middle[shown],
            y[shown],
            error[shown],
            half[shown],
            fmt=way.marker,
            color=way.color,
            elinewidth=1,
        )
