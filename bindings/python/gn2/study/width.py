# SPDX-License-Identifier: Apache-2.0
"""Is wider always better? One set of hyper-parameters, the best of the base width, at
all widths, the standard parametrisation beside μP. Every jet is seen once, so the
training loss is that of jets never seen before.

    gn2 study width jets_train.h5 -v jets_val.h5 -o studies
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import fits, lr
from .bench import Bench, name_of
from .plan import Argument, rate_list
from .task import Task
from .transfer import noise

COLUMNS = ("form", "width", "rate", "seed", "train_loss", "val_loss")
DEFAULTS: dict[str, Any] = {
    **lr.DEFAULTS,
    "widths": [32, 64, 128, 256, 512],
    "rate": None,
}
SMALL: dict[str, Any] = {**lr.SMALL, "widths": [16, 32, 64, 128]}
ARGUMENTS = (
    rate_list("rates", "of which the best of the base width is taken"),
    Argument("rate", float, "R", "this rate instead"),
)


def _scan(bench: Bench) -> list[Task]:
    width = bench.plan.base_width
    return [
        bench.training(width, bench.forms[0], seed, rate)
        for rate in bench.plan.rates
        for seed in bench.seeds
    ]


def rate(bench: Bench) -> float:
    """The one given, else the best of a scan on the base width."""
    if bench.plan.rate is None:
        bench.run(_scan(bench))
        losses = bench.losses(bench.plan.base_width, bench.forms[0]).mean(1)
        bench.plan.rate = float(bench.plan.rates[int(np.nanargmin(losses))])
    return float(bench.plan.rate)


def tasks(bench: Bench) -> Iterator[Task]:
    for seed in bench.seeds:
        for form in bench.forms:
            for width in bench.plan.widths:
                yield bench.training(width, form, seed, rate(bench))


def _losses(bench: Bench, form: str, figure: str) -> fits.Floats:
    """(widths, seeds)."""
    return np.concatenate(
        [bench.losses(w, form, figure, [rate(bench)]) for w in bench.plan.widths]
    )


def conclude(bench: Bench) -> str:
    top, widths = rate(bench), bench.plan.widths
    train = {form: _losses(bench, form, "train_loss") for form in bench.forms}
    bench.table(COLUMNS, _rows(bench, train))
    curves = {
        (form, width): _curve(bench, form, width)
        for form in bench.forms
        for width in widths
    }
    title = f"rate {top:.2e}, {bench.title()}"
    bench.draw("pictures_runs.widths", widths, curves, train, title)
    lines = [f"Width: {title}", ""]
    for form in bench.forms:
        lines += _words(widths, form, train[form])
    return "\n".join(lines)


def _rows(bench: Bench, train: Any) -> Iterator[tuple[Any, ...]]:
    for form in bench.forms:
        val = _losses(bench, form, "val_loss")
        for i, width in enumerate(bench.plan.widths):
            for k, seed in enumerate(bench.seeds):
                pair = train[form][i, k], val[i, k]
                yield form, width, rate(bench), seed, *pair


def _curve(bench: Bench, form: str, width: int) -> tuple[Any, Any]:
    """Training loss over the steps, mean of the starts that reached the step."""
    chosen = (bench.training(width, form, seed, rate(bench)) for seed in bench.seeds)
    curves = [bench.store.curve(run) for run in bench.runs(chosen)]
    if not curves:
        return np.zeros(0), np.zeros(0)
    length = min(len(steps) for steps, _ in curves)
    mean = np.mean([losses[:length] for _, losses in curves], 0)
    return curves[0][0][:length], mean


def _words(widths: Any, form: str, losses: fits.Floats) -> Iterator[str]:
    mean, error = losses.mean(1), noise(losses)
    text = ", ".join(
        f"{w}: {m:.4f}" if m == m else f"{w}: diverged" for w, m in zip(widths, mean)
    )
    noise_words = f"standard error {error:.4f}"
    if error != error:
        noise_words = "no standard error from one start"
    yield f"{name_of(form)}: training loss by width {text}; {noise_words}"
    steps = [
        (a, b, after - before)
        for a, b, before, after in zip(widths, widths[1:], mean, mean[1:])
    ]
    worse = [(a, b, rise) for a, b, rise in steps if not rise <= 0]
    alone = "" if error == error else "; one start does not tell whether by chance"
    if not worse:
        yield f"{name_of(form)}: each width is better than the one before{alone}"
    for a, b, rise in worse:
        inside = " (within two standard errors)" if rise <= 2 * error else alone
        yield f"{name_of(form)}: {b} is worse than {a} by {rise:.4f}{inside}"
