# SPDX-License-Identifier: Apache-2.0
"""Figures of transfers, widths and schedules, in the look of ``gn2.plots``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..plots import style
from ..plots.style import BLACK
from .bench import FORMS, LABELS
from .fits import Floats
from .pictures import FORM_LOOK, band, limits, log2_ticks, rate_ticks, width_look


@style.styled
def transfer(
    rates: Sequence[float],
    losses: Mapping[tuple[str, int], Floats],
    transfers: Sequence[Any],
    title: str,
) -> Any:
    """What the proxies choose on the target's curve; regrets beside the noise."""
    figure = style.new(12.5, 4.4, title)
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 0.8))
    panels[1].sharey(panels[0])
    target = max(width for _, width in losses)
    low, high = limits({k: v for k, v in losses.items() if k[1] == target})
    for axes, form in zip(panels, FORMS):
        _target(axes, form, target, rates, losses[form, target])
        for index, t in enumerate(t for t in transfers if t.form == form):
            look = width_look(t.proxy)
            place = np.log2(t.rate) + 0.06 * (2 * index - 1)
            axes.axvline(
                place, color=look.color, ls=look.line, label=f"best of {t.proxy}"
            )
        axes.set_ylim(low, high)
        rate_ticks(axes.xaxis, rates)
        axes.set_xlabel("largest learning rate")
        axes.set_title(LABELS[form], loc="right", fontsize=12)
        style.legend_above(axes, 2)
    panels[0].set_ylabel(f"validation loss at width {target}")
    _regrets(panels[2], transfers)
    return figure


def _target(
    axes: Any, form: str, target: int, rates: Sequence[float], values: Floats
) -> None:
    x = np.log2(rates)
    band(axes, x, values, FORM_LOOK[form], f"width {target}")
    mean = values.mean(1)
    if np.isfinite(mean).any():
        best = int(np.nanargmin(mean))
        axes.plot(x[best], mean[best], "*", color=BLACK, ms=13, label="its best")


def _regrets(axes: Any, transfers: Sequence[Any]) -> None:
    """Regret of every transfer with two standard errors."""
    names = [f"{LABELS[t.form]}\n{t.proxy} → {t.target}" for t in transfers]
    colors = [FORM_LOOK[t.form][0] for t in transfers]
    regrets = [t.regret for t in transfers]
    axes.bar(range(len(names)), regrets, color=colors, alpha=0.75)
    known = [k for k, t in enumerate(transfers) if t.noise == t.noise]
    if known:  # not with one start
        errors = [2 * transfers[k].noise for k in known]
        part = [regrets[k] for k in known]
        axes.errorbar(known, part, errors, ls="none", color=BLACK, capsize=4, lw=1)
    axes.axhline(0, color=BLACK, lw=0.6)
    axes.set_xticks(range(len(names)), names, fontsize=9)
    axes.set_xticks([], minor=True)
    axes.set_ylabel("regret: loss − best of the target")


@style.styled
def widths(
    sizes: Sequence[int],
    curves: Mapping[tuple[str, int], tuple[Floats, Floats]],
    losses: Mapping[str, Floats],
    title: str,
) -> Any:
    """Training loss over the steps, a curve a width; the last loss over the width."""
    figure = style.new(12.5, 4.4, title)
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 0.8))
    panels[1].sharey(panels[0])
    ends = [np.nanmin(v) for v in losses.values() if np.isfinite(v).any()]
    for axes, form in zip(panels, FORMS):
        for width in sizes:
            steps, loss = curves[form, width]
            look = width_look(width)
            axes.plot(steps, loss, color=look.color, lw=1.1, label=f"width {width}")
        axes.set_xscale("log")
        axes.set_ylim(min(ends, default=0) - 0.1, None)
        axes.set_xlabel("step")
        axes.set_title(LABELS[form], loc="right", fontsize=12)
        style.legend_above(axes, 2)
    panels[0].set_ylabel("training loss")
    for form in FORMS:
        band(panels[2], np.log2(sizes), losses[form], FORM_LOOK[form], LABELS[form])
    log2_ticks(panels[2].xaxis, sizes)
    panels[2].set_xlabel("width")
    panels[2].set_ylabel("training loss at the end")
    style.legend_above(panels[2], 2)
    return figure


@style.styled
def schedules(
    maps: Mapping[tuple[str, int], tuple[Sequence[float], Sequence[float], Floats]],
    curves: Mapping[str, Sequence[tuple[Floats, Floats]]],
    overlay: str,
    title: str,
) -> Any:
    """Heat maps (initial, maximum, losses) by form and width, NaN where not finite; the
    loss curves of all starts."""
    sizes = sorted({width for _, width in maps})
    figure = style.new(13, 3.9 * len(sizes), title)
    grid = figure.subplots(len(sizes), 3, width_ratios=(1, 1, 1.1), squeeze=False)
    for row, width in zip(grid, sizes):
        found = {form: maps[form, width] for form in FORMS}
        low = min(float(np.nanmin(losses)) for *_, losses in found.values())
        for axes, form in zip(row, FORMS):
            image = _heat(axes, *found[form], low)
            axes.set_title(f"{LABELS[form]}, width {width}", loc="left", fontsize=11)
        figure.colorbar(image, ax=list(row[:2]), label="validation loss", extend="max")
        row[2].set_axis_off()
    grid[0][2].text(0, 1, READING, va="top", fontsize=9.5, linespacing=1.6)
    axes = grid[-1][2]
    axes.set_axis_on()
    _overlay(axes, curves)
    axes.set_title(overlay, loc="left", fontsize=9.5)
    return figure


READING = """× diverged: not finite, or ends nearer to
   where it began than to the best
empty: initial above maximum, not run
At the base width SP and μP are one network."""
#: of the colours, above the least
SPAN = 1.2


def _heat(
    axes: Any,
    initial: Sequence[float],
    top: Sequence[float],
    losses: Floats,
    low: float,
) -> Any:
    """losses (initial, maximum): NaN = not run, inf = diverged."""
    shown = np.where(np.isfinite(losses), losses, np.nan)
    image = axes.imshow(
        shown,
        origin="lower",
        aspect="auto",
        cmap="viridis_r",
        vmin=low,
        vmax=low + SPAN,
    )
    for (i, k), value in np.ndenumerate(losses):
        if np.isinf(value):
            axes.text(k, i, "×", ha="center", va="center", color=BLACK, fontsize=16)
        elif value == value:
            dark = value < low + 0.5 * SPAN
            text = f"{value:.2f}"
            axes.text(
                k, i, text, ha="center", va="center", fontsize=7.5,
                color=BLACK if dark else "white",
            )  # fmt: skip
    axes.set_xticks(range(len(top)), [f"{v:g}" for v in top], fontsize=8)
    axes.set_yticks(range(len(initial)), [f"{v:g}" for v in initial], fontsize=8)
    axes.minorticks_off()
    axes.set_xlabel("maximum learning rate")
    axes.set_ylabel("initial learning rate")
    return image


def _overlay(axes: Any, curves: Mapping[str, Any]) -> None:
    for form in FORMS:
        color, line, _ = FORM_LOOK[form]
        for index, (steps, losses) in enumerate(curves.get(form, ())):
            name = LABELS[form] if index == 0 else None
            axes.plot(steps, losses, color=color, ls=line, lw=1.2, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss")
    if axes.lines:
        axes.legend(loc="upper right")
