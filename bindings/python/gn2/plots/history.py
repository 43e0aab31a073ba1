# SPDX-License-Identifier: Apache-2.0
"""Training curves: of a metrics.csv, of a History, and live while a fit runs."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._figure_names import AUC, REJECTION, FigureName, of_column
from ..errors import FormatError, InvalidArgument
from ..scores import readable
from . import style
from .flavours import Shown, looks, ordered
from .style import BLACK, BLUE, GREEN, SEVERAL, VERMILLION

Columns = dict[str, NDArray[np.float64]]


class Curves(NamedTuple):
    """Figures of a run by name, each with its "step"."""

    steps: Columns  #: of training
    validation: Columns  #: names begin with val_


class _Line(NamedTuple):
    name: str  # of a column, without val_
    label: str
    color: str
    dash: Any
    marker: str


class _Panel(NamedTuple):
    title: str
    lines: tuple[_Line, ...]
    log: bool = False


_TOTAL = _Line("loss", "", BLACK, "-", "o")
_TASKS = (
    _Line("loss_jets", "jets", BLUE, "-", "o"),
    _Line("loss_origin", "origin", VERMILLION, "--", "s"),
    _Line("loss_vertex", "vertex", GREEN, "-.", "^"),
)
TRAINING = (
    _Panel("Loss", (_TOTAL,)),
    _Panel("Loss × task weight", _TASKS),
    _Panel("Learning rate", (_Line("learning_rate", "", BLACK, "-", ""),)),
    _Panel("Gradient norm", (_Line("gradient_norm", "", BLACK, "-", ""),), True),
)
#: what stands behind the name of a task in that of its accuracy
_ACCURACY = "accuracy"
#: working point of rejections, %
_POINT = "77"


# ---- reading ----


def read(source: Any) -> Curves:
    """Curves of a metrics.csv (a path), a :class:`gn2.History`, or :class:`Live`."""
    if isinstance(source, Curves):
        return source
    if isinstance(source, Live):
        return source.curves()
    if hasattr(source, "validation") and hasattr(source, "steps"):
        return _of_history(source)
    if isinstance(source, (str, os.PathLike)):
        return _of_csv(source)
    raise InvalidArgument(f"no training curves in a {type(source).__name__}")


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def _of_csv(path: str | os.PathLike[str]) -> Curves:
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        # a run may be writing: a last line without an end is a part of one
        reader = csv.DictReader(line for line in file if line.endswith("\n"))
        rows: list[Mapping[str, float]] = [_row(row) for row in reader]
        names = [name for name in reader.fieldnames or [] if name and name != "event"]
    if "step" not in names:
        raise FormatError(f"'{path}': no column 'step'")
    return _split(names, rows)


def _row(texts: Mapping[str, str]) -> dict[str, float]:
    """Figures of a line; a validation's line repeats those of its step."""
    own = texts.get("event") not in ("epoch", "validation")
    return {
        name: _number(text)
        for name, text in texts.items()
        if name and (own or name == "step" or name.startswith("val_"))
    }


def _split(names: Iterable[str], rows: list[Mapping[str, float]]) -> Curves:
    names = list(names)
    own = ["step", *(n for n in names if n != "step" and not n.startswith("val_"))]
    val = ["step", *(n for n in names if n.startswith("val_"))]
    return Curves(_columns(own, rows, "loss"), _columns(val, rows, "val_loss"))


def _columns(names: list[str], rows: list[Mapping[str, float]], key: str) -> Columns:
    """Columns of the rows in which the key is a number."""
    there = [row for row in rows if not np.isnan(row.get(key, np.nan))]
    return {n: np.array([row.get(n, np.nan) for row in there], float) for n in names}


def _of_history(history: Any) -> Curves:
    rows: list[Mapping[str, float]] = [s.flat() for s in history.steps]
    names = list(rows[0]) if rows else ["step"]
    found = [m.flat() for m in history.validation]
    rows += [{"step": s, **m} for s, m in zip(history.validation_steps, found)]
    return _split([*names, *(found[0] if found else ())], rows)


# ---- drawing ----


@style.styled
def training(source: Any, *, title: str | None = None) -> Any:
    """Losses in all and by task, learning rate, gradient norm; of the validation areas
    and rejections of every discriminant, and accuracies.

    Args:
        source: path of a metrics.csv, a :class:`gn2.History`, or :class:`Live`.
    """
    curves = read(source)
    panels = [_with_tasks(p, curves) for p in TRAINING]
    panels = [p for p in panels if _has(curves, p)]
    panels += [p for p in _of_validation(curves) if _has(curves, p)]
    rows = max(1, -(-len(panels) // 2))
    figure = style.new(9.6, 2.9 * rows, title)
    grid = figure.subplots(rows, 2, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, panel in zip(grid.flat, panels):
        _draw(axes, curves, panel)
    return figure


def _with_tasks(panel: _Panel, curves: Curves) -> _Panel:
    """The losses of all tasks there are, GN2's own first."""
    if panel.lines is not _TASKS:
        return panel
    known = {line.name for line in (_TOTAL, *_TASKS)}
    more = [n for n in curves.steps if n.startswith("loss_") and n not in known]
    looks = zip(more, cycle(SEVERAL[3:]))
    lines = (_Line(n, n[5:].replace("_", " "), *look) for n, look in looks)
    return panel._replace(lines=(*_TASKS, *lines))


def _of_validation(curves: Curves) -> Iterator[_Panel]:
    """Areas and rejections of each discriminant, then accuracies of the tasks."""
    names = [n.removeprefix("val_") for n in curves.validation]
    found = {name: of for name in names if (of := of_column(name)) is not None}
    ways = looks(list(dict.fromkeys(of.other for of in found.values() if of.other)))
    for discriminant in dict.fromkeys(of.discriminant for of in found.values()):
        own = {n: of for n, of in found.items() if of.discriminant == discriminant}
        areas = [n for n, of in own.items() if of.what == AUC]
        at = [n for n, of in own.items() if of[1:3] == (REJECTION, _POINT)]
        yield _Panel(f"AUC of {discriminant}", _by_class(areas, own, ways))
        title = f"Rejection at {_POINT} % of {discriminant}"
        yield _Panel(title, _by_class(at, own, ways), True)
    yield _Panel("Accuracy", tuple(_accuracies(names)))


def _accuracies(names: list[str]) -> Iterator[_Line]:
    found = [n for n in names if n == _ACCURACY or n.endswith(f"_{_ACCURACY}")]
    for name, look in zip(found, cycle(SEVERAL)):
        task = name.removesuffix(_ACCURACY).replace("_", " ").strip()
        yield _Line(name, task or "jets", *look)


def _by_class(
    names: list[str], figures: Mapping[str, FigureName], ways: Mapping[str, Shown]
) -> tuple[_Line, ...]:
    by_class = {readable(figures[name].other): name for name in names}
    return tuple(
        _Line(by_class[c], c, ways[c].color, ways[c].line, ways[c].marker)
        for c in ordered(list(by_class))
    )


def _has(curves: Curves, panel: _Panel) -> bool:
    return any(
        np.isfinite(of.get(prefix + line.name, [])).any()
        for of, prefix in ((curves.steps, ""), (curves.validation, "val_"))
        for line in panel.lines
    )


def _used(curves: Curves, line: _Line) -> bool:
    """Whether there is something to draw: the loss of a task that is off is 0."""
    values = np.concatenate(
        [
            curves.steps.get(line.name, np.empty(0)),
            curves.validation.get("val_" + line.name, np.empty(0)),
        ]
    )
    values = values[np.isfinite(values)]
    return bool(len(values)) and bool((values != 0).any())


def _draw(axes: Any, curves: Curves, panel: _Panel) -> None:
    for line in panel.lines:
        if _used(curves, line):
            _train_line(axes, curves.steps, line)
            _val_line(axes, curves.validation, line)
    axes.set_xlabel("Step")
    axes.set_ylabel(panel.title)
    axes.set_xlim(left=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if panel.log:
        _log_scale(axes)
    if axes.get_legend_handles_labels()[1]:
        style.legend_above(axes, 4 if len(panel.lines) < 4 else 2)


def _log_scale(axes: Any) -> None:
    """Logarithmic, with figures at the ticks even where the range is less than ten."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < 300:
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(lambda x, _: f"{x:g}" if _leading(x) else "")


def _leading(x: float) -> bool:
    digit = round(x / 10 ** np.floor(np.log10(x)), 6)
    return bool(digit in (2, 5))


def _train_line(axes: Any, steps: Columns, line: _Line) -> None:
    values = steps.get(line.name, np.empty(0))
    if not len(values) or not np.isfinite(values).any():
        return
    x, window = steps["step"], max(1, len(values) // 50)
    if line.name == "learning_rate" or window == 1:
        label = "training" if line is _TOTAL else line.label
        axes.plot(x, values, color=line.color, ls=line.dash, label=label)
        return
    axes.plot(x, values, color=line.color, lw=0.5, alpha=0.3)
    mean = np.convolve(values, np.full(window, 1 / window), "valid")
    of_steps = f"mean of {window} steps"
    label = f"training, {of_steps}" if line is _TOTAL else line.label or of_steps
    axes.plot(x[window - 1 :], mean, color=line.color, ls=line.dash, label=label)


def _val_line(axes: Any, validation: Columns, line: _Line) -> None:
    values = validation.get("val_" + line.name, np.empty(0))
    shown = np.isfinite(values)
    if not shown.any():
        return
    of_task = line.name.startswith("loss_")
    label = "validation" if line is _TOTAL else "" if of_task else line.label
    axes.plot(
        validation["step"][shown],
        values[shown],
        color=line.color,
        ls="" if line is _TOTAL or of_task else line.dash,
        marker=line.marker,
        mfc="white",
        label=label or None,
    )


# ---- live ----


class Live:
    """Draws the curves while ``Trainer.fit(…, callback=Live())`` runs.

    In a notebook the picture below the cell is renewed; elsewhere, or when a path is
    given, a file is written: after every validation and at most every ``seconds`` s.

    Args:
        path: picture, e.g. "curves.png"; None: only in a notebook.
        seconds: pause between two pictures.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, seconds: float = 5.0
    ) -> None:
        self.path, self.seconds = path, seconds
        self._rows: list[Mapping[str, float]] = []
        self._names: dict[str, None] = {"step": None}
        self._drawn = time.monotonic()
        self._display: Any = None

    def __call__(self, progress: Any) -> None:
        if progress.event == "step":
            row = dict(progress.stats.flat())
        elif progress.event != "early stop" and progress.validation is not None:
            row = {"step": progress.step, **progress.validation.flat()}
        else:
            return
        self._rows.append(row)
        self._names.update(dict.fromkeys(row))
        now = time.monotonic()
        if progress.event != "step" or now - self._drawn > self.seconds:
            self.draw()
            self._drawn = now

    def curves(self) -> Curves:
        """What was noted so far."""
        return _split(self._names, self._rows)

    def draw(self) -> None:
        """Renews the picture."""
        figure = training(self)
        if self.path is not None:
            style.save(figure, self.path)
        shell = _notebook()
        if shell is None:
            return
        if self._display is None:
            self._display = shell(figure, display_id=True)
        else:
            self._display.update(figure)


def _notebook() -> Any:
    """IPython's display(), in a notebook."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    shell = get_ipython()
    return display if shell is not None and hasattr(shell, "kernel") else None
