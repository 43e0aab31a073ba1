# SPDX-License-Identifier: Apache-2.0
"""How the pictures look: neutral, readable in grey and by the colour-blind.

Colours are Okabe and Ito's; a flavour or model never differs by its colour alone, but
by line style, marker or a label at the curve too. Legends stand above the axes, so
they cover nothing. Figures are made without pyplot: no window, no global state.
"""

from __future__ import annotations

import functools
import os
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

try:
    import matplotlib as mpl
    from matplotlib.lines import Line2D as Line2D
    from matplotlib.ticker import NullFormatter as NullFormatter
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
except ImportError as problem:
    raise ImportError("pictures need matplotlib: pip install matplotlib") from problem

BLACK, BLUE, VERMILLION, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY, GREY = "#CC79A7", "#E69F00", "#56B4E9", "#777777"


class Look(NamedTuple):
    """Of a flavour or an origin."""

    color: str
    line: Any
    marker: str


FLAVOURS = {
    "b": Look(BLUE, "-", "o"),
    "c": Look(VERMILLION, "--", "s"),
    "light": Look(GREEN, "-.", "^"),
    "tau": Look(PURPLE, ":", "D"),
}
SEVERAL = (
    Look(BLUE, "-", "o"),
    Look(VERMILLION, "--", "s"),
    Look(GREEN, "-.", "^"),
    Look(PURPLE, ":", "D"),
    Look(BLACK, (0, (5, 1)), "v"),
    Look(ORANGE, (0, (3, 1, 1, 1)), "P"),
    Look(SKY, (0, (1, 1)), "X"),
    Look(GREY, (0, (8, 2)), "*"),
)
MODEL_LINES = ("-", "--", ":", "-.")

STYLE = {
    "font.size": 10,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "xaxis.labellocation": "right",
    "yaxis.labellocation": "top",
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.handlelength": 2.6,
    "figure.titlesize": 10,
    "savefig.dpi": 150,
    "figure.dpi": 100,
}

Function = TypeVar("Function", bound=Callable[..., Any])


def styled(function: Function) -> Function:
    """The function's figure gets the style above, whatever the user's is."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with mpl.rc_context({**mpl.rcParamsDefault, **_keep(), **STYLE}):
            figure = function(*args, **kwargs)
            figure.draw_without_rendering()  # ticks are made now, in this style
            figure.set_layout_engine("none")  # laid out; again would double the time
        return figure

    return wrapped  # type: ignore[return-value]


def _keep() -> dict[str, Any]:
    """What is not a matter of style; asking for the backend by [] would start one."""
    keys = ("backend", "interactive", "toolbar")
    return {key: dict.__getitem__(mpl.rcParams, key) for key in keys}


_LABEL: ContextVar[tuple[str, str]] = ContextVar("gn2_label", default=("", ""))
_LINE = 0.19  # inches, of a line at the top of a figure
_LETTER = 0.083  # inches, a mean one of the title
_FORMULA = re.compile(r"\\[a-z]+|[${}]")  # what is not seen of one
# what makes a line of 10 points so high: a line of text is 0.76 of its size without
# what is below its base
_SPACING = _LINE * 72 / 7.6


@contextmanager
def label(experiment: str = "", sample: str = "") -> Iterator[None]:
    """All figures made inside say whose they are, at the top; the default is nothing.

        with plots.style.label("ATLAS Simulation Internal", "√s = 13.6 TeV"):
            figure = plots.roc(tagged)

    Args:
        experiment: its name, set in bold italics, and what follows it.
        sample: a line below: energy, process, selection.
    """
    before = _LABEL.set((experiment.strip(), sample.strip()))
    try:
        yield
    finally:
        _LABEL.reset(before)


def verbatim(name: str) -> str:
    """A name as text that is shown as it is: no formula, which it may not be, and no
    first _, at which a legend leaves it out."""
    text = name.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def new(width: float, height: float, title: str | None = None) -> Figure:
    """An empty figure, inches; label and further lines of the title make it higher."""
    experiment, sample = _LABEL.get()
    letters = int((width - 0.2) / _LETTER)
    below = [*textwrap.wrap(sample, letters)]
    heading = textwrap.wrap(verbatim(title or ""), letters)
    above = len(below) + bool(experiment)
    higher = _LINE * (above + max(0, len(heading) - 1))
    figure = Figure(figsize=(width, height + higher), layout="constrained")
    FigureCanvasAgg(figure)
    if above or heading:
        # empty lines hold the place of the label
        text = "\n".join([*[" "] * above, *heading])
        figure.suptitle(text, x=0.01, ha="left", color="#444444", linespacing=_SPACING)
    if experiment:
        _experiment(figure, experiment)
    for line, words in enumerate(below, bool(experiment)):
        figure.text(0.01, _height(figure, line), words, va="top", fontsize=10)
    return figure


def _height(figure: Figure, line: int) -> float:
    """Where a line begins, as a share of the height."""
    return 1 - (0.05 + _LINE * line) / float(figure.get_figheight())


def _experiment(figure: Figure, words: str) -> None:
    """The first word in bold italics, the others after it."""
    name, _, rest = words.partition(" ")
    y = _height(figure, 0) + 0.01 / figure.get_figheight()
    bold = {"weight": "bold", "style": "italic", "fontsize": 12}
    first = figure.text(0.01, y, name, va="top", **bold)
    if rest:
        after = Annotation(
            rest, (1, 0), (4, 0), first, "offset points", va="bottom", fontsize=12
        )
        figure.add_artist(after)


def legend_above(axes: Any, columns: int = 4, *, rows: int = 0, **kwargs: Any) -> Any:
    """A legend above the axes, where no curve is; ``rows`` of others stand below it."""
    handles = kwargs.get("handles") or axes.get_legend_handles_labels()[0]
    longest = max(len(_FORMULA.sub("", str(h.get_label()))) for h in handles)
    # what fits: a letter is about 0.085 inch wide, handle and gap about 6 letters
    width = axes.get_figure().get_figwidth() - 0.9
    shape = axes.get_subplotspec()
    width = width / shape.get_gridspec().ncols if shape else width
    columns = max(1, min(columns, len(handles), int(width / 0.085 / (longest + 6))))
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1.0)}
    pad = 0.2 + 1.55 * rows
    return axes.legend(
        **place, borderaxespad=pad, ncols=columns, columnspacing=1.4, **kwargs
    )


def legends_above(axes: Any, *groups: list[Any]) -> None:
    """Legends one above the other, the first the lowest; empty ones are left out."""
    rows, below = 0, None
    for handles in filter(None, groups):
        legend = legend_above(axes, 4, rows=rows, handles=handles)
        if below is not None:
            axes.add_artist(below)  # axes.legend() lets go of the one before
        rows, below = rows + _rows(legend), legend


def _rows(legend: Any) -> int:
    return -(-len(legend.get_texts()) // getattr(legend, "_ncols", 1))


def save(figure: Figure, path: str | os.PathLike[str], **kwargs: Any) -> None:
    """Writes a picture; the name's ending gives the format. Replaced in one step."""
    path = os.fspath(path)
    stem, ending = os.path.splitext(path)
    temporary = f"{stem}.tmp{os.getpid()}{ending}"
    try:
        figure.savefig(temporary, dpi=kwargs.pop("dpi", 150), **kwargs)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
