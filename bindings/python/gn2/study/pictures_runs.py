# SPDX-License-Identifier: Apache-2.0
"""Figures of transfers, widths and schedules, in the look of ``gn2.plots``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..plots import style
from ..plots.style import BLACK
from .bench import name_of
from .fits import Floats
from .pictures import (
    band,
    beside,
    form_look,
    forms_of,
    limits,
    log2_ticks,
    rate_ticks,
    width_look,
)


@style.styled
def transfer(
    rates: Sequence[float],
    losses: Mapping[tuple[str, int], Floats],
    transfers: Sequence[Any],
    title: str,
) -> Any:
    """What the proxies choose on the target's curve; regrets beside the noise."""
    forms = forms_of(losses)
    figure = style.new(3.5 + 4.5 * len(forms), 4.4, title)
    panels = beside(figure, forms)
    target = max(width for _, width in losses)
    low, high = limits({k: v for k, v in losses.items() if k[1] == target})
    for axes, form in zip(panels, forms):
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
        axes.set_title(name_of(form), loc="right", fontsize=12)
        style.legend_above(axes, 2)
    panels[0].set_ylabel(f"validation loss at width {target}")
    _regrets(panels[-1], transfers)
    return figure


def _target(
    axes: Any, form: str, target: int, rates: Sequence[float], values: Floats
) -> None:
    x = np.log2(rates)
    band(axes, x, values, form_look(form), f"width {target}")
    mean = values.mean(1)
    if np.isfinite(mean).any():
        best = int(np.nanargmin(mean))
        axes.plot(x[best], mean[best], "*", color=BLACK, ms=13, label="its best")


def _regrets(axes: Any, transfers: Sequence[Any]) -> None:
    """Regret of every transfer with two standard errors."""
    names = [f"{name_of(t.form)}\n{t.proxy} → {t.target}" for t in transfers]
    colors = [form_look(t.form)[0] for t in transfers]
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
    forms = forms_of(curves)
    figure = style.new(3.5 + 4.5 * len(forms), 4.4, title)
    panels = beside(figure, forms)
    ends = [np.nanmin(v) for v in losses.values() if np.isfinite(v).any()]
    for axes, form in zip(panels, forms):
        for width in sizes:
            steps, loss = curves[form, width]
            look = width_look(width)
            axes.plot(steps, loss, color=look.color, lw=1.1, label=f"width {width}")
        axes.set_xscale("log")
        axes.set_ylim(min(ends, default=0) - 0.1, None)
        axes.set_xlabel("step")
        axes.set_title(name_of(form), loc="right", fontsize=12)
        style.legend_above(axes, 2)
    panels[0].set_ylabel("training loss")
    for form in forms:
        band(panels[-1], np.log2(sizes), losses[form], form_look(form), name_of(form))
    log2_ticks(panels[-1].xaxis, sizes)
    panels[-1].set_xlabel("width")
    panels[-1].set_ylabel("training loss at the end")
    style.legend_above(panels[-1], 2)
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
    sizes, forms = sorted({width for _, width in maps}), forms_of(maps)
    figure = style.new(4.6 + 4.2 * len(forms), 3.9 * len(sizes), title)
    ratios = [*(1.0 for _ in forms), 1.1]
    shape = len(sizes), len(ratios)
    grid = figure.subplots(*shape, width_ratios=ratios, squeeze=False)
    for row, width in zip(grid, sizes):
        found = {form: maps[form, width] for form in forms}
        low = min(float(np.nanmin(losses)) for *_, losses in found.values())
        for axes, form in zip(row, forms):
            image = _heat(axes, *found[form], low)
            axes.set_title(f"{name_of(form)}, width {width}", loc="left", fontsize=11)
        figure.colorbar(image, ax=list(row[:-1]), label="validation loss", extend="max")
        row[-1].set_axis_off()
    grid[0][-1].text(0, 1, READING, va="top", fontsize=9.5, linespacing=1.6)
    axes = grid[-1][-1]
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
    for form in curves:
        color, line, _ = form_look(form)
        for index, (steps, losses) in enumerate(curves[form]):
            name = name_of(form) if index == 0 else None
            axes.plot(steps, losses, color=color, ls=line, lw=1.2, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss")
    if axes.lines:
        axes.legend(loc="upper right")
