# SPDX-License-Identifier: Apache-2.0
"""Figures of the studies, in the look of ``gn2.plots``. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..plots import style
from ..plots.style import BLACK, BLUE, GREEN, GREY, SEVERAL, VERMILLION
from .bench import name_of
from .fits import Floats, Optimum

FORM_LOOK = {"sp": (VERMILLION, "--", "s"), "mup": (BLUE, "-", "o")}
OTHER_FORM = (GREEN, "-.", "^")


def form_look(form: str) -> Any:
    """Colour, line and marker of a parametrisation."""
    return FORM_LOOK.get(form, OTHER_FORM)


def forms_of(pairs: Iterable[tuple[str, int]]) -> list[str]:
    """The parametrisations of (form, width)."""
    return list(dict.fromkeys(form for form, _ in pairs))


def beside(figure: Any, forms: Sequence[str]) -> Any:
    """A panel a parametrisation, with one axis of losses, and one for what follows."""
    panels = figure.subplots(1, len(forms) + 1, width_ratios=[*(1 for _ in forms), 0.8])
    for axes in panels[1:-1]:
        axes.sharey(panels[0])
    return panels


def width_look(width: int) -> Any:
    """Colour, line and marker of a width, the same in all figures."""
    return SEVERAL[int(np.log2(width)) % len(SEVERAL)]


def log2_ticks(axis: Any, values: Sequence[float]) -> None:
    """Ticks at powers of two, named as numbers."""
    axis.set_ticks(np.log2(values), [f"{v:.2g}" if v < 1 else f"{v:g}" for v in values])
    axis.set_ticks([], minor=True)


def rate_ticks(axis: Any, rates: Sequence[float]) -> None:
    """Ticks at learning rates, as powers of two where they are."""
    powers = np.log2(rates)
    whole = np.allclose(powers, np.round(powers))
    names = [f"$2^{{{p:.0f}}}$" if whole else f"{r:.1e}" for p, r in zip(powers, rates)]
    axis.set_ticks(powers, names)
    axis.set_ticks([], minor=True)


def band(axes: Any, x: Floats, losses: Floats, look: Any, label: str) -> None:
    """Mean over the starts (points, starts) with a band between the least and the
    largest; points where a start is not finite are left out."""
    color, line, marker = look
    good = np.isfinite(losses).all(1)
    part = losses[good]
    axes.plot(x[good], part.mean(1), color=color, ls=line, marker=marker, label=label)
    axes.fill_between(x[good], part.min(1), part.max(1), color=color, alpha=0.18, lw=0)


def limits(losses: Mapping[Any, Floats], room: float = 0.55) -> tuple[float, float]:
    """Around the minima: what is far above them says nothing."""
    lows = [float(np.nanmin(v)) for v in losses.values() if np.isfinite(v).any()]
    low, high = min(lows, default=0), max(lows, default=1)
    return low - 0.04, high + max(room, 0.5 * (high - low))


@style.styled
def learning_rates(
    rates: Sequence[float],
    losses: Mapping[tuple[str, int], Floats],
    optima: Mapping[tuple[str, int], Optimum | None],
    title: str,
) -> Any:
    """Loss over the learning rate, a curve a width; the best rate over the width."""
    forms = forms_of(losses)
    figure = style.new(3.5 + 4.5 * len(forms), 4.4, title)
    panels = beside(figure, forms)
    x = np.log2(rates)
    low, high = limits(losses)
    for axes, form in zip(panels, forms):
        for width in sorted({w for f, w in losses if f == form}):
            values, look = losses[form, width], width_look(width)
            band(axes, x, values, look, f"width {width}")
            bad = ~np.isfinite(values).all(1)
            axes.plot(x[bad], np.full(bad.sum(), high), "x", color=look.color, ms=7)
            best = optima[form, width]
            if best is not None:
                axes.plot(best.log2_rate, best.loss, "*", color=look.color, ms=13)
        axes.set_ylim(low, high)
        rate_ticks(axes.xaxis, rates)
        axes.set_xlabel("largest learning rate")
        axes.set_title(name_of(form), loc="right", fontsize=12)
        style.legend_above(axes, 2)
    panels[0].set_ylabel("validation loss")
    _best_rates(panels[-1], optima)
    return figure


def _best_rates(axes: Any, optima: Mapping[tuple[str, int], Optimum | None]) -> None:
    widths = sorted({width for _, width in optima})
    for form in forms_of(optima):
        color, line, marker = form_look(form)
        found = [(w, o) for w in widths if (o := optima.get((form, w))) is not None]
        if not found:
            continue
        x = np.log2([w for w, _ in found])
        y = np.array([o.log2_rate for _, o in found])
        error = np.abs([y - [o.low for _, o in found], [o.high for _, o in found] - y])
        known = bool(np.isfinite(error).all())  # not with one start
        axes.errorbar(
            x, y, error if known else None, color=color, ls=line, marker=marker,
            capsize=3, label=name_of(form),
        )  # fmt: skip
    low, high = axes.get_ylim()
    ticks = np.arange(np.floor(low), np.ceil(high) + 1)
    rate_ticks(axes.yaxis, list(2.0**ticks))
    log2_ticks(axes.xaxis, widths)
    axes.set_xlabel("width")
    axes.set_ylabel("best learning rate")
    style.legend_above(axes, 2)


#: kinds of modules, and what their names begin with once the layer's number is gone
_KINDS = (
    ("input", ("init",)),
    ("attention", ("attn",)),
    ("feed-forward", ("ffn",)),
    ("layer", ("layer",)),
    ("pooling", ("readout", "tokens", "gate", "pooled")),
)


def _kind(module: str) -> int:
    """Index of a module's kind; what is none of them is a task."""
    for index, (_, starts) in enumerate(_KINDS):
        if module.rstrip("0123456789").startswith(starts):
            return index
    return len(_KINDS)


@style.styled
def coordinates(widths: Sequence[int], lines: Any, limit: float, title: str) -> Any:
    """Sizes over the width for the middle rate, and all slopes, a row an optimiser."""
    optimizers = sorted({line.optimizer for line in lines})
    forms = list(dict.fromkeys(line.form for line in lines))
    figure = style.new(5 + 4 * len(forms), 5 * len(optimizers), title)
    grid = figure.subplots(
        len(optimizers),
        len(forms) + 1,
        width_ratios=[*(1 for _ in forms), 1.5],
        squeeze=False,
    )
    for row, optimizer in zip(grid, optimizers):
        part = [line for line in lines if line.optimizer == optimizer]
        rates = sorted({line.rate for line in part})
        middle = rates[len(rates) // 2]
        for axes, form in zip(row, forms):
            if axes is not row[0]:
                axes.sharey(row[0])
            _sizes(
                axes, widths, [l for l in part if (l.form, l.rate) == (form, middle)]
            )
            text = f"{name_of(form)}, {optimizer} {middle:g}"
            axes.set_xlabel(f"width ({text})")
        row[0].set_ylabel("mean |Δx| since the start")
        _slopes(row[-1], part, limit)
    return figure


def _sizes(axes: Any, widths: Sequence[int], lines: Any) -> None:
    """A line a module, a colour and dash a kind of them."""
    names = [*(name for name, _ in _KINDS), "task"]
    for line in sorted(lines, key=lambda l: _kind(l.module)):
        if line.quantity != "change":
            continue
        kind = _kind(line.module)
        look, name = SEVERAL[kind], names[kind]
        new = name not in axes.get_legend_handles_labels()[1]
        mean = np.exp2(np.log2(line.sizes).mean(1))
        axes.plot(
            np.log2(widths), mean, color=look.color, ls=look.line, lw=1,
            marker=look.marker, ms=3, label=name if new else None,
        )  # fmt: skip
    axes.set_yscale("log", base=2)
    log2_ticks(axes.xaxis, widths)
    if axes.lines:
        style.legend_above(axes, 3)


def _slopes(axes: Any, lines: Any, limit: float) -> None:
    """A row a module: |x| and |Δx| at every rate."""
    modules = list(dict.fromkeys(line.module for line in lines))
    axes.axvspan(-limit, limit, color=GREY, alpha=0.15, lw=0)
    axes.axvline(0, color=BLACK, lw=0.6)
    forms = list(dict.fromkeys(line.form for line in lines))
    for form in forms:
        color, _, marker = form_look(form)
        offset = 0.18 - 0.36 * forms.index(form)
        part = [line for line in lines if line.form == form]
        for quantity, fill in (("x", "none"), ("change", color)):
            found = [
                l for l in part if l.quantity == quantity and np.isfinite(l.slope.value)
            ]
            axes.errorbar(
                [l.slope.value for l in found],
                [offset - modules.index(l.module) for l in found],
                xerr=[l.slope.error for l in found],
                ls="none", marker=marker, ms=3.5, color=color, mfc=fill, elinewidth=0.8,
                label=f"{name_of(form)} {'|Δx|' if quantity == 'change' else '|x|'}",
            )  # fmt: skip
    axes.set_yticks(-np.arange(len(modules)), modules, fontsize=7)
    axes.set_yticks([], minor=True)
    axes.set_xlim(-1, 1.5)  # what is further out has moved, however far
    axes.set_xlabel("slope of log size over log width")
    style.legend_above(axes, 4)
