# SPDX-License-Identifier: Apache-2.0
"""Pictures of a search: what was tried, what it gave, what it cost.

Each takes a :class:`Search` and returns a matplotlib figure; a search that has nothing
to show in one raises StateError with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.ticker import NullLocator
from matplotlib.tri import Triangulation

from ..errors import StateError
from ..plots import style
from ..plots.style import BLACK, BLUE, GREY, ORANGE, PURPLE, SKY, VERMILLION
from . import books, sampling
from .space import Objective

#: colour and marker of a state
LOOKS = {
    "done": (BLUE, "o", "done"),
    "cached": (SKY, "s", "told from an equal trial"),
    "pruned": (ORANGE, "v", "ended early"),
    "diverged": (VERMILLION, "X", "diverged (penalty)"),
    "failed": (BLACK, "x", "failed"),
    "stopped": (GREY, "d", "stopped"),
    "running": (PURPLE, "*", "running"),
}
#: states whose objective is that of a whole training
COUNTED = ("done", "cached")
_WIDE, _HIGH = 7.2, 4.2


@dataclass(frozen=True)
class Axis:
    """A parameter as an axis: numbers, on a log scale, or a list of choices."""

    name: str
    log: bool = False
    choices: tuple[str, ...] = ()

    def place(self, text: str) -> float:
        """Of a value; NaN where there is none."""
        if self.choices:
            return float(self.choices.index(text)) if text in self.choices else math.nan
        try:
            return float(text)
        except ValueError:
            return math.nan


@dataclass(frozen=True)
class Search:
    """Trials in the order in which they began, and what was searched."""

    name: str
    trials: Sequence[books.Trial]
    objective: Objective
    axes: Sequence[Axis]

    def value(self, trial: books.Trial) -> float:
        """The objective of a trial; NaN where there is none."""
        return trial.metrics.get(self.objective.metric, math.nan)

    def counted(self) -> list[books.Trial]:
        """Trials that were trained whole and have an objective."""
        return [
            t for t in self.trials if t.state in COUNTED and np.isfinite(self.value(t))
        ]

    def best(self) -> books.Trial | None:
        """The best of them."""
        sign = 1 if self.objective.minimize else -1
        ranked = sorted(self.counted(), key=lambda t: sign * self.value(t))
        return ranked[0] if ranked else None

    def table(self) -> tuple[Any, Any]:
        """(places (trial, axis), objectives) of the counted."""
        counted = self.counted()
        if len(counted) < 2:
            raise StateError(f"{len(counted)} trials are done: two at least are needed")
        rows = [
            [axis.place(t.parameters.get(axis.name, "")) for axis in self.axes]
            for t in counted
        ]
        return np.array(rows, float), np.array([self.value(t) for t in counted])


def axes_of(trials: Sequence[books.Trial]) -> list[Axis]:
    """Axes of the parameters as they were drawn, where there is no space file: a log
    scale where values span more than a factor of 30."""
    names = dict.fromkeys(name for trial in trials for name in trial.parameters)
    found = []
    for name in names:
        texts = [t.parameters[name] for t in trials if name in t.parameters]
        numbers = [Axis(name).place(text) for text in texts]
        if not all(np.isfinite(numbers)):
            found.append(Axis(name, choices=tuple(dict.fromkeys(sorted(texts)))))
        else:
            span = min(numbers) > 0 and max(numbers) > 30 * min(numbers)
            found.append(Axis(name, log=span))
    return found


def _scale(axes: Any, which: str, axis: Axis) -> None:
    """Sets up an axis of a picture."""
    getattr(axes, f"set_{which}label")(axis.name)
    if axis.choices:
        places = range(len(axis.choices))
        getattr(axes, f"set_{which}ticks")(places, axis.choices)
        getattr(axes, f"{which}axis").set_minor_locator(NullLocator())
    elif axis.log:
        getattr(axes, f"set_{which}scale")("log")


def _points(axes: Any, search: Search, rows: Iterable[tuple[float, Any]]) -> None:
    """A marker a trial at (x, objective), by state; objectives far above those of
    whole trainings, as penalties are, stand at the upper end."""
    rows, cap = list(rows), _cap(search)
    axes.set_ylim(*cap)
    for state, (color, marker, label) in LOOKS.items():
        shown = [
            (x, float(np.clip(search.value(trial), *cap)))
            for x, trial in rows
            if trial.state == state and np.isfinite(search.value(trial))
        ]
        if shown:
            x, y = zip(*shown)
            axes.plot(
                x,
                y,
                marker,
                color=color,
                label=label,
                mfc="none",
                mew=1.3,
                clip_on=False,
            )


def _cap(search: Search) -> tuple[float, float]:
    """Ends of the axis of the objective: the whole trainings and those ended early."""
    states = (*COUNTED, "pruned")
    shown = [search.value(t) for t in search.trials if t.state in states]
    finite = [value for value in shown if np.isfinite(value)]
    finite = finite or [v for v in map(search.value, search.trials) if np.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


@style.styled
def history(search: Search) -> Any:
    """Objective of each trial, and the best until then."""
    figure = style.new(_WIDE, _HIGH)
    axes = figure.add_subplot()
    _points(axes, search, enumerate(search.trials, 1))
    sign = 1 if search.objective.minimize else -1
    best, line = math.inf, []
    for trial in search.trials:
        value = search.value(trial)
        if trial.state in COUNTED and np.isfinite(value):
            best = min(best, sign * value)
        line.append(sign * best if np.isfinite(best) else math.nan)
    if not np.isfinite(best):
        raise StateError("no trial is done")
    axes.step(range(1, len(line) + 1), line, where="post", color=GREY, label="best")
    bad = [
        i for i, t in enumerate(search.trials, 1) if not np.isfinite(search.value(t))
    ]
    for place in bad:
        axes.axvline(place, color=VERMILLION, lw=0.7, alpha=0.5, zorder=0)
    axes.set_xlabel("trial")
    axes.set_ylabel(search.objective.metric)
    style.legend_above(axes)
    return figure


@style.styled
def slices(search: Search) -> Any:
    """Objective over each parameter."""
    if not search.counted():
        raise StateError("no trial is done")
    count = len(search.axes)
    columns = 2 if count in (2, 4) else min(3, count)
    rows = -(-count // columns)
    figure = style.new(_WIDE, 2.4 * rows + 0.5)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    places = grid.ravel()
    for axes, axis in zip(places, search.axes):
        _points(
            axes,
            search,
            [(axis.place(t.parameters.get(axis.name, "")), t) for t in search.trials],
        )
        _scale(axes, "x", axis)
    for axes in places[count:]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(search.objective.metric)
    return figure


@style.styled
def importance(search: Search) -> Any:
    """Share of each parameter in the differences between trials."""
    shares = importances(search)
    figure = style.new(_WIDE, 0.5 * len(shares) + 1.3)
    axes = figure.add_subplot()
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color=BLUE, height=0.6)
    for place, name in enumerate(names):
        axes.text(shares[name] + 0.01, place, f"{shares[name]:.2f}", va="center")
    axes.set_xlim(0, 1.1)
    axes.set_xlabel("share of the variation")
    axes.yaxis.set_minor_locator(NullLocator())
    return figure


def importances(search: Search) -> dict[str, float]:
    """Share of each parameter by PED-ANOVA (Optuna's), the largest first.

    Raises:
        StateError: too few trials are done, or Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise StateError("needs Optuna: pip install 'gn2[hpo]'") from None
    counted = search.counted()
    if len(counted) < 5:
        raise StateError(f"{len(counted)} trials are done: five at least are needed")
    direction = search.objective.direction
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction=direction)
        spaces = {axis.name: _distribution(search, axis) for axis in search.axes}
        for trial in counted:
            params = {
                axis.name: trial.parameters[axis.name]
                if axis.choices
                else axis.place(trial.parameters[axis.name])
                for axis in search.axes
            }
            study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=spaces, value=search.value(trial)
                )
            )
        with sampling.without_warnings():
            found = optuna.importance.get_param_importances(
                study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
    except (ValueError, RuntimeError) as problem:
        raise StateError(f"no importance: {problem}") from None
    finally:
        optuna.logging.set_verbosity(before)
    return {name: float(share) for name, share in found.items()}


def _distribution(search: Search, axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if axis.choices:
        return CategoricalDistribution(axis.choices)
    drawn = [axis.place(t.parameters[axis.name]) for t in search.counted()]
    return FloatDistribution(min(drawn), max(drawn), log=axis.log)


@style.styled
def contour(search: Search) -> Any:
    """Objective over the two parameters that matter most."""
    first, second = _two(search)
    places, values = search.table()
    index = [axis.name for axis in search.axes]
    x, y = (places[:, index.index(axis.name)] for axis in (first, second))
    figure = style.new(_WIDE, 4.8)
    axes = figure.add_subplot()
    u, v = (np.log(p) if a.log else p for p, a in ((x, first), (y, second)))
    if len(np.unique(np.c_[u, v], axis=0)) > 3 and min(np.ptp(u), np.ptp(v)) > 0:
        try:
            net = Triangulation(x, y, Triangulation(u, v).triangles)
            drawn = axes.tricontourf(net, values, levels=12, cmap="viridis_r")
        except (RuntimeError, ValueError):  # all points on a line
            drawn = None
    else:
        drawn = None
    points = axes.scatter(
        x, y, c=values, cmap="viridis_r", edgecolor="white", linewidth=0.7, zorder=3
    )
    best = search.best()
    if best is not None:
        at = [a.place(best.parameters[a.name]) for a in (first, second)]
        axes.plot(*at, "*", color=VERMILLION, ms=13, mec="white", zorder=4)
    figure.colorbar(drawn or points, ax=axes, label=search.objective.metric)
    _scale(axes, "x", first)
    _scale(axes, "y", second)
    return figure


def _two(search: Search) -> tuple[Axis, Axis]:
    if len(search.axes) < 2:
        raise StateError("there is one parameter only")
    try:
        names = list(importances(search))[:2]
    except StateError:
        names = [axis.name for axis in search.axes[:2]]
    by_name = {axis.name: axis for axis in search.axes}
    return by_name[names[0]], by_name[names[1]]


@style.styled
def parallel(search: Search) -> Any:
    """A line a trial through all its parameters, coloured by the objective."""
    places, values = search.table()
    figure = style.new(_WIDE, _HIGH)
    axes = figure.add_subplot()
    units = []
    for axis, column in zip(search.axes, places.T):
        column = np.log(column) if axis.log else column
        low, high = np.nanmin(column), np.nanmax(column)
        units.append((column - low) / (high - low) if high > low else 0.5 + 0 * column)
    colors = ScalarMappable(cmap="viridis_r")
    colors.set_array(values)
    order = np.argsort(values)
    order = order[::-1] if search.objective.minimize else order
    for i in order:  # the best on top
        axes.plot(np.array(units)[:, i], color=colors.to_rgba(values)[i], lw=1.2)
    for i, (axis, column) in enumerate(zip(search.axes, places.T)):
        axes.axvline(i, color=GREY, lw=0.8)
        ends = (np.nanmin(column), np.nanmax(column))
        for level, end in zip((-0.06, 1.04), ends):
            text = axis.choices[int(end)] if axis.choices else f"{end:.3g}"
            axes.text(i, level, text, ha="center", fontsize=8.5)
    axes.set_xticks(range(len(search.axes)), [axis.name for axis in search.axes])
    axes.set_yticks([])
    axes.set_ylim(-0.1, 1.12)
    axes.minorticks_off()
    axes.spines[["left", "right", "top", "bottom"]].set_visible(False)
    figure.colorbar(colors, ax=axes, label=search.objective.metric)
    return figure


@style.styled
def curves(search: Search) -> Any:
    """Objective over the steps of each trial; where trials were ended is marked."""
    drawn = [t for t in search.trials if len(t.curve) > 1]
    if not drawn:
        raise StateError("no trial has validations inside its training")
    figure = style.new(_WIDE, _HIGH)
    axes = figure.add_subplot()
    seen: set[str] = set()
    for trial in drawn:
        color, marker, label = LOOKS[trial.state]
        steps, values = zip(*trial.curve)
        named = label if trial.state not in seen else None
        axes.plot(steps, values, color=color, lw=0.9, alpha=0.6, label=named)
        if trial.state not in COUNTED:
            axes.plot(steps[-1], values[-1], marker, color=color, mfc="none")
        seen.add(trial.state)
    final = [search.value(t) for t in search.counted()]
    tops = [trial.curve[0][1] for trial in drawn]
    if final:
        low, high = min(final), max(float(np.median(tops)), *final)
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_xlabel("step")
    axes.set_ylabel(search.objective.metric)
    style.legend_above(axes)
    return figure


#: costs in the order in which one is chosen for the picture, with a label and a unit
COSTS = (
    ("core_seconds", "processor time [s]", 1.0),
    ("wall_seconds", "time [s]", 1.0),
)


@style.styled
def pareto(search: Search) -> Any:
    """Objective over cost; no trial is better and cheaper than those on the line."""
    for name, label, unit in COSTS:
        rows = [
            (t.resources[name] / unit, t)
            for t in search.counted()
            if name in t.resources
        ]
        if rows:
            break
    else:
        raise StateError("no trial tells what it cost")
    figure = style.new(_WIDE, _HIGH)
    axes = figure.add_subplot()
    _points(axes, search, rows)
    sign, front, best = (1 if search.objective.minimize else -1), [], math.inf
    for cost, trial in sorted(rows, key=lambda r: (r[0], sign * search.value(r[1]))):
        if sign * search.value(trial) < best:
            best = sign * search.value(trial)
            front.append((cost, search.value(trial)))
    axes.step(*zip(*front), where="post", color=GREY, label="Pareto front")
    axes.set_xlabel(label)
    axes.set_ylabel(search.objective.metric)
    style.legend_above(axes)
    return figure


@style.styled
def resources(search: Search) -> Any:
    """What each trial took: processor time and peak memory."""
    shown = [
        (name, label, unit)
        for name, label, unit in (
            *COSTS[:1],
            ("peak_memory_bytes", "peak memory [MB]", 1e6),
            ("jets_per_second", "jets/s", 1.0),
        )
        if any(name in trial.resources for trial in search.trials)
    ]
    if not shown:
        raise StateError("no trial tells what it took")
    figure = style.new(_WIDE, 1.7 * len(shown) + 0.6)
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, label, unit) in zip(panels, shown):
        for i, trial in enumerate(search.trials, 1):
            if name in trial.resources:
                color = LOOKS[trial.state][0]
                axes.bar(i, trial.resources[name] / unit, color=color, width=0.7)
        axes.set_ylabel(label, fontsize=9)
        axes.xaxis.set_minor_locator(NullLocator())
    panels[-1].set_xlabel("trial")
    return figure


#: (section, picture, caption)
PICTURES = (
    (
        "History",
        history,
        "Objective of each trial, and the best until then; a vertical "
        "line is a trial without one.",
    ),
    ("Curves", curves, "Validations inside the trials."),
    (
        "Importance",
        importance,
        "Share of each parameter in the variation between " "trials (PED-ANOVA).",
    ),
    ("Slices", slices, "Objective over each parameter."),
    (
        "Contour",
        contour,
        "Objective over the two parameters that matter most; the star "
        "is the best trial. Between the points it is drawn by linear interpolation.",
    ),
    ("Parallel coordinates", parallel, "A line a trial; the best on top."),
    ("Cost", pareto, "Objective over cost."),
    ("Resources", resources, "What each trial took, by its state's colour."),
)
