# SPDX-License-Identifier: Apache-2.0
"""Initial × maximum learning rate of OneCycle, the standard parametrisation beside μP.

A heat map a width and parametrisation, from one start; runs that diverge are marked:
not finite, or nearer to where they began than to the best of the width when they end.
Then the loss a step from initial rate 1e-5, for the largest maximum rate at which no
start of μP diverges at the widest width.

    gn2 study schedule jets_train.h5 -v jets_val.h5 -o studies
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .bench import DIV_END, FORM, ONECYCLE, Bench, name_of
from .plan import rate_list
from .store import Run
from .task import Task

COLUMNS = ("form", "width", "initial", "max", "seed", "state", "val_loss", "train_loss")
DEFAULTS: dict[str, Any] = {
    "widths": [64, 256],
    "jets": 32000,
    "initial": [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2],
    "max": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
    "widest_initial": [1e-7, 1e-5, 1e-4, 1e-3],
    "widest_max": [1e-3, 3e-3, 1e-2, 3e-2],
}
SMALL: dict[str, Any] = {
    "widths": [16, 64],
    "jets": 2500,
    "initial": [1e-7, 1e-5, 1e-3],
    "max": [1e-3, 3e-3, 1e-2, 1e-1],
    "widest_initial": [1e-5, 1e-3],
    "widest_max": [1e-3, 3e-3, 1e-2],
}
#: initial rate of the loss curves
OVERLAY = 1e-5
#: how much worse than the best a cell may be to count as good
NEAR = 0.05
ARGUMENTS = (
    rate_list("initial", "learning rates at the first step"),
    rate_list("max", "largest learning rates"),
    rate_list("widest_initial", "as --initial, at the widest width"),
    rate_list("widest_max", "as --max, at the widest width"),
)


def grid(bench: Bench, width: int) -> tuple[list[float], list[float]]:
    """Initial and maximum rates of a width."""
    plan = bench.plan
    if width == max(plan.widths):
        return plan.widest_initial, plan.widest_max
    return plan.initial, plan.max


def cells(bench: Bench, width: int) -> Iterator[tuple[float, float]]:
    """(initial, maximum) of a width, where initial is not above maximum."""
    for first, top in itertools.product(*grid(bench, width)):
        if first <= top:
            yield first, top


def task(
    bench: Bench, width: int, form: str, seed: int, first: float, top: float
) -> Task:
    """A training with this OneCycle."""
    options = {**bench.options(width, form, seed), **ONECYCLE}
    options["schedule.initial"] = first
    options["schedule.max"] = top
    options["schedule.end"] = min(first, top / DIV_END)
    return bench.task(options)


def candidates(bench: Bench) -> list[float]:
    """Maximum rates of which one is chosen for the loss curves, rising."""
    least = min(bench.plan.widest_max)
    return sorted({top for top in bench.plan.max if top >= least})


def overlay_tasks(bench: Bench, form: str, top: float) -> list[Task]:
    """The starts whose loss curves are shown."""
    width = max(bench.plan.widths)
    return [task(bench, width, form, s, OVERLAY, top) for s in bench.seeds]


def tasks(bench: Bench) -> Iterator[Task]:
    for form in bench.forms:
        for width in bench.plan.widths:
            for first, top in cells(bench, width):
                yield task(bench, width, form, 1, first, top)
    for top in candidates(bench):
        yield from overlay_tasks(bench, bench.forms[-1], top)


def limit(bench: Bench, width: int) -> float:
    """Training loss half-way between where the runs of a width begin, the least of
    them, and the best end. A run that ends above it diverged: the norms keep a network
    that got stuck finite, so that finite alone says little."""
    runs = bench.runs(t for t in tasks(bench) if t["model.embed_dim"] == str(width))
    good = [run for run in runs if not run.diverged]
    if not good:
        return -math.inf
    start = min(run["first_loss"] for run in good)
    return (start + min(run["train_loss"] for run in good)) / 2


def learns(run: Run | None, most: float) -> bool:
    """Finite, and below the limit at the end."""
    return run is not None and not run.diverged and run["train_loss"] < most


def _map(bench: Bench, form: str, width: int) -> Any:
    """Losses by (initial, maximum): NaN = not run, inf = not finite or stuck."""
    initial, top = grid(bench, width)
    losses = np.full((len(initial), len(top)), np.nan)
    most = limit(bench, width)
    for first, last in cells(bench, width):
        run = bench.find(task(bench, width, form, 1, first, last))
        if run is not None:
            loss = run["val_loss"] if learns(run, most) else math.inf
            losses[initial.index(first), top.index(last)] = loss
    return initial, top, losses


def chosen(bench: Bench) -> float | None:
    """The largest maximum rate at which every start of μP, from the initial rate of the
    loss curves, learns at the widest width."""
    most = limit(bench, max(bench.plan.widths))
    for top in reversed(candidates(bench)):
        found = [bench.find(t) for t in overlay_tasks(bench, bench.forms[-1], top)]
        if all(learns(run, most) for run in found):
            return float(top)
    return None


def conclude(bench: Bench) -> str:
    maps = {(f, w): _map(bench, f, w) for f in bench.forms for w in bench.plan.widths}
    top = chosen(bench)
    beside = []
    if top is not None:
        for form in bench.forms[:-1]:
            beside += overlay_tasks(bench, form, top)
    bench.run(beside)
    bench.table(COLUMNS, _rows(bench, [*tasks(bench), *beside]))
    curves = {
        form: [
            bench.store.curve(run)
            for run in bench.runs(overlay_tasks(bench, form, top))
        ]
        for form in bench.forms
        if top is not None
    }
    width = max(bench.plan.widths)
    overlay = f"width {width}, initial {OVERLAY:g}, maximum {top:g}" if top else ""
    bench.draw("pictures_runs.schedules", maps, curves, overlay, bench.title())
    lines = [f"Schedule: {bench.title()}", ""]
    lines += [_words(form, width, *found) for (form, width), found in maps.items()]
    return "\n".join([*lines, *_overlay_words(bench, top)])


def _rows(bench: Bench, shown: list[Task]) -> Iterator[tuple[Any, ...]]:
    wanted = {task.key: task for task in shown}
    limits = {str(width): limit(bench, width) for width in bench.plan.widths}
    for one in wanted.values():
        run = bench.find(one)
        if run is None:
            continue
        words = [one[f"schedule.{name}"] for name in ("initial", "max")]
        most = limits[one["model.embed_dim"]]
        state = "done" if learns(run, most) else "diverged"
        yield (
            one[FORM], one["model.embed_dim"], *words,
            one["model.seed"], state, run["val_loss"], run["train_loss"],
        )  # fmt: skip


def _words(
    form: str, width: int, initial: list[float], top: list[float], losses: Any
) -> str:
    name = f"{name_of(form)} width {width}"
    if not np.isfinite(losses).any():
        return f"{name}: no finite run"
    i, k = np.unravel_index(np.nanargmin(losses), losses.shape)
    near = np.isfinite(losses) & (losses < losses[i, k] + NEAR)
    place = f"initial {initial[i]:g}, maximum {top[k]:g}"
    return (
        f"{name}: best {losses[i, k]:.4f} at {place}; {near.sum()} of "
        f"{(~np.isnan(losses)).sum()} cells within {NEAR} of it, "
        f"{np.isinf(losses).sum()} diverged"
    )


def _overlay_words(bench: Bench, top: float | None) -> Iterator[str]:
    width, form = max(bench.plan.widths), name_of(bench.forms[-1])
    alone = len(bench.seeds) < 2
    every = f"the one start of {form}" if alone else f"every start of {form}"
    if top is None:
        yield f"no maximum rate lets {every} learn at width {width}"
        return
    yield (
        f"from initial rate {OVERLAY:g} {every} learns at width {width} "
        f"up to a maximum of {top:g}; there:"
    )
    most = limit(bench, width)
    for form in bench.forms:
        runs = bench.runs(overlay_tasks(bench, form, top))
        ends = ", ".join(
            f"{run['train_loss']:.4f}{'' if learns(run, most) else ' (diverged)'}"
            for run in runs
        )
        yield f"    {name_of(form)}: training loss at the end {ends}"
