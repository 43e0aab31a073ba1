# SPDX-License-Identifier: Apache-2.0
"""The coordinate check: do activations, and their changes since the start, keep their
size when the network gets wider?

Some steps on one batch, again and again, at a constant learning rate; widths × random
starts × rates, AdamW and SGD, the standard parametrisation beside μP (read-out and
query start at 0, which takes away what only the start does). For every module the slope
of log₂ of mean |x|, and of mean |Δx| since the start, over log₂ of the width: 0 where
the parametrisation does what it should. At the last step a module keeps still when
|slope| and half the 95 % interval together stay below 0.15; it moves when their
difference is above; between, the starts do not tell. Either the number of heads grows
with the width or their size (files coordcheck_head_size.*).

    gn2 study coordcheck jets_train.h5 -o studies
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from . import fits
from .bench import Bench, name_of
from .fits import Slope
from .plan import Argument, numbers, rate_list
from .task import Task, canonical

COLUMNS = ("form", "optimizer", "rate", "step", "module", "quantity", "slope", "error")
DEFAULTS: dict[str, Any] = {
    "widths": [64, 128, 256, 512],
    "seeds": 10,
    "steps": [0, 1, 3, 6],
    "adamw": [2.5e-4, 5e-4, 1e-3, 2e-3],
    "sgd": [0.01, 0.02, 0.05, 0.1],
    "grow": "heads",
}
SMALL: dict[str, Any] = {
    "widths": [32, 64, 128],
    "base_width": 32,
    "steps": [0, 1, 3],
    "seeds": 4,
    "adamw": [1e-3],
    "sgd": [0.05],
}
#: most starts of the standard parametrisation: to see it fail takes fewer
MOST_SP = 6
#: what grows with the width: the number of heads, or their size
GROW = ("heads", "head_size")
#: size of the heads where their number grows, heads where their size does
HEADS = 8
OPTIMIZERS = ("adamw", "sgd")
QUANTITIES = ("x", "change")
#: what |slope| and its error may come to
LIMIT = 0.15
#: options; both forms may be a third one (doc/howto-add-a-parametrisation.md)
SETS = {
    "optim.name": "it compares them",
    "schedule.name": "constant",
    "model.parametrization": None,
}
UNUSED = (
    "discriminant.*",
    "schedule.steps",
    "schedule.pct_start",
    "schedule.decay_share",
    "train.epochs",
)
ARGUMENTS = (
    Argument("grow", GROW, None, "what grows"),
    Argument("steps", numbers(int), "T,T", "steps looked at"),
    *(rate_list(name, f"learning rates of {name}") for name in OPTIMIZERS),
)


def _heads(bench: Bench, width: int) -> dict[str, object]:
    if bench.plan.grow == "head_size":
        return {"model.num_heads": HEADS}
    base = bench.plan.base_width // HEADS
    return {"model.num_heads": width // HEADS, "model.base_heads": base}


def task(
    bench: Bench, width: int, form: str, seed: int, optimizer: str, rate: float
) -> Task:
    """Steps on the first batch of the training files."""
    options = {**bench.options(width, form, seed), **_heads(bench, width)}
    options.update(
        {
            "model.zero_readout": True,
            "model.zero_query": True,
            "data.sampling": "sequential",
            # the batch is the first one; the normalisation is of these
            "data.max_jets": min(10000, bench.plan.jets),
            "optim.name": optimizer,
            "optim.weight_decay": 0,
            "schedule.name": "constant",
            "schedule.max": rate,
            # SGD: no momentum, as in the rules it is checked against
            "schedule.beta1_max": 0 if optimizer == "sgd" else 0.9,
        }
    )
    options.update(dict(bench.plan.settings))
    files = tuple(bench.plan.train), ()
    return Task("coordinates", canonical(options), *files, -1, tuple(bench.plan.steps))


def _cases(bench: Bench) -> Iterator[tuple[str, str, float]]:
    for form in bench.forms:
        for optimizer in OPTIMIZERS:
            for rate in getattr(bench.plan, optimizer):
                yield form, optimizer, rate


def _starts(bench: Bench, form: str) -> range:
    return bench.seeds[:MOST_SP] if form == "sp" else bench.seeds


def tasks(bench: Bench) -> Iterator[Task]:
    for form, optimizer, rate in _cases(bench):
        for width in bench.plan.widths:
            for seed in _starts(bench, form):
                yield task(bench, width, form, seed, optimizer, rate)


class Line(NamedTuple):
    """Sizes of one module over widths and starts at one step."""

    form: str
    optimizer: str
    rate: float
    step: int
    module: str
    quantity: str  #: of QUANTITIES
    sizes: fits.Floats  #: (widths, seeds)
    slope: Slope


def lines(bench: Bench) -> list[Line]:
    """All of them."""
    out: list[Line] = []
    for case in _cases(bench):
        form, optimizer, rate = case
        starts = _starts(bench, form)
        sizes: dict[tuple[int, str], Any] = {}
        for i, width in enumerate(bench.plan.widths):
            for k, seed in enumerate(starts):
                run = bench.find(task(bench, width, form, seed, optimizer, rate))
                for place, pair in (bench.store.probes(run) if run else {}).items():
                    shape = (len(QUANTITIES), len(bench.plan.widths), len(starts))
                    array = sizes.setdefault(place, np.full(shape, np.nan))
                    array[:, i, k] = pair
        for (step, module), found in sizes.items():
            for name, values in zip(QUANTITIES, found):
                slope = _slope(bench.plan.widths, values)
                out.append(Line(*case, step, module, name, values, slope))
    return out


def _slope(widths: Any, sizes: fits.Floats) -> Slope:
    with np.errstate(divide="ignore"):
        return fits.slope(np.log2(widths), np.log2(sizes))


def still(line: Line) -> bool:
    """Whether the size keeps still; one that is 0 or not finite does not."""
    return abs(line.slope.value) + line.slope.error < LIMIT


def moves(line: Line) -> bool:
    """Whether the size changes with the width beyond doubt; so does one that is 0 or
    not finite. One start leaves a doubt."""
    value, error = line.slope
    return value != value or abs(value) - error > LIMIT


def conclude(bench: Bench) -> str:
    if bench.plan.grow == "head_size":
        bench.name += "_head_size"
    found = lines(bench)
    bench.table(
        COLUMNS,
        (
            (l.form, l.optimizer, l.rate, l.step, l.module, l.quantity, *l.slope)
            for l in found
        ),
    )
    last = [line for line in found if line.step == max(bench.plan.steps)]
    bench.draw("pictures.coordinates", bench.plan.widths, last, LIMIT, _title(bench))
    words = [f"Coordinate check: {_title(bench)}", ""]
    for form, optimizer, rate in _cases(bench):
        part = [
            l for l in last if (l.form, l.optimizer, l.rate) == (form, optimizer, rate)
        ]
        words += _verdict(form, optimizer, rate, part)
    return "\n".join(words)


def _title(bench: Bench) -> str:
    plan = bench.plan
    grows = "heads grow in number" if plan.grow == "heads" else "heads grow in size"
    fixed = dict(plan.settings).get("model.num_heads")
    if fixed is not None:  # whatever --grow says
        grows = f"{fixed} heads, which grow in size"
    starts = f"{plan.seeds} start{'s' if plan.seeds > 1 else ''}"
    return (
        f"step {max(plan.steps)} on one batch of {plan.batch} jets, widths "
        f"{', '.join(map(str, plan.widths))}, {grows}, {starts}, base width "
        f"{plan.base_width}"
    )


def _verdict(form: str, optimizer: str, rate: float, part: list[Line]) -> Iterator[str]:
    """How many keep still, do not tell, and move; the largest of the last two."""
    yield f"{name_of(form)} {optimizer} at {rate:g}:"
    for quantity, what in zip(QUANTITIES, ("|x|", "|Δx|")):
        own = [line for line in part if line.quantity == quantity]
        own.sort(key=lambda line: -abs(line.slope.value))
        moving = [line for line in own if moves(line)]
        doubtful = [line for line in own if not (moves(line) or still(line))]
        counts = f"{len(own) - len(moving) - len(doubtful)} of {len(own)} keep still"
        yield f"    {what}: {counts}, {len(moving)} move{_words(moving)}"
        if doubtful:
            alone = doubtful[0].sizes.shape[1] < 2
            why = ", for there is no interval from one start" if alone else ""
            yield f"        {len(doubtful)} do not tell{why}{_words(doubtful)}"


def _slope_words(line: Line) -> str:
    value, error = line.slope
    interval = f" ± {error:.2f}" if error == error else ""
    return f"{line.module} {value:+.2f}{interval}"


def _words(lines: list[Line], most: int = 5) -> str:
    shown = ", ".join(_slope_words(line) for line in lines[:most])
    more = " …" if len(lines) > most else ""
    return f": {shown}{more}" if lines else ""
