# SPDX-License-Identifier: Apache-2.0
"""Does the best learning rate stay where it is when the network gets wider?

Learning rate × width × random start, the standard parametrisation beside μP, one pass
over the same jets in the same order. The best rate of a width is the lowest point of a
parabola through the losses around the smallest, in log₂ of the rate, with a bootstrap
interval; its drift is the slope over log₂ of the width.

    gn2 study lr jets_train.h5 -v jets_val.h5 -o studies
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import fits
from .bench import Bench, name_of
from .fits import Optimum
from .plan import rate_list
from .task import Task

COLUMNS = ("form", "width", "rate", "seed", "val_loss", "train_loss")
#: 4.9e-4 … 3.1e-2
DEFAULTS: dict[str, Any] = {"rates": [2.0**n for n in range(-11, -4)]}
SMALL: dict[str, Any] = {"rates": [2.0**n for n in range(-10, -4)]}
#: what they are
RATES = "largest learning rates of the schedule"
ARGUMENTS = (rate_list("rates", RATES),)


def tasks(bench: Bench) -> Iterator[Task]:
    for form in bench.forms:
        for width in bench.plan.widths:
            for rate in bench.plan.rates:
                for seed in bench.seeds:
                    yield bench.training(width, form, seed, rate)


def optima(bench: Bench) -> dict[tuple[str, int], Optimum | None]:
    """Best rate by form and width."""
    x = np.log2(bench.plan.rates)
    return {
        (form, width): fits.optimum(x, bench.losses(width, form))
        for form in bench.forms
        for width in bench.plan.widths
    }


def conclude(bench: Bench) -> str:
    best = optima(bench)
    losses = {(form, width): bench.losses(width, form) for form, width in best}
    bench.table(COLUMNS, _rows(bench, losses))
    rates = bench.plan.rates
    bench.draw("pictures.learning_rates", rates, losses, best, bench.title())
    lines = [f"Learning rate and width: {bench.title()}", ""]
    for form in bench.forms:
        lines += _words(bench, form, best)
    return "\n".join(lines)


def _rows(bench: Bench, losses: Any) -> Iterator[tuple[Any, ...]]:
    for (form, width), values in losses.items():
        train = bench.losses(width, form, "train_loss")
        for i, rate in enumerate(bench.plan.rates):
            for k, seed in enumerate(bench.seeds):
                yield form, width, rate, seed, values[i, k], train[i, k]


def _words(bench: Bench, form: str, best: Any) -> Iterator[str]:
    known = [(w, best[form, w]) for w in bench.plan.widths if best[form, w]]
    for width, o in known:
        yield (
            f"{name_of(form)} width {width}: best rate {2**o.log2_rate:.2e}, "
            f"{_interval(o)}, loss there {o.loss:.4f}"
        )
    value, low, high = fits.drift([w for w, _ in known], [o for _, o in known])
    yield f"{name_of(form)}: {drift_words(value, low, high)}"
    yield ""


#: instead of an interval
ONE_START = "no interval from one start"


def _interval(o: Optimum) -> str:
    if o.low != o.low:
        return ONE_START
    return f"95 % from {2**o.low:.2e} to {2**o.high:.2e}"


def drift_words(value: float, low: float, high: float) -> str:
    """How the best rate moves."""
    if value != value:
        return "too few widths to tell a drift"
    factor = f"× {2**value:.2f} a doubling of the width"
    if low != low:
        return f"best rate {factor}; {ONE_START}, so no drift can be told"
    factor += f" (95 %: {2**low:.2f} to {2**high:.2f})"
    if low <= 0 <= high:
        return f"no drift of the best rate can be told: {factor}"
    return f"the best rate {'falls' if value < 0 else 'rises'}: {factor}"
