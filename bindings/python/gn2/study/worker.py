# SPDX-License-Identifier: Apache-2.0
"""One run in a process of its own: a task as JSON on standard input, what came out as
JSON on standard output.

    python3 -m gn2.study.worker < task.json

A process a run: memory and processor time are the run's own, and a run that dies takes
nothing with it.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import Config, Dataset, Error, Model, NumericError, Trainer
from .task import VALIDATION

#: steps averaged to a point of the training curve
BLOCK = 10
#: share of the steps, at the end, whose mean is the training loss of the run
LAST = 0.1


def _set(config: Config, task: dict[str, Any]) -> Config:
    for key, value in task["options"].items():
        config.set_text(key, value)
    return config


def _validate(trainer: Trainer, task: dict[str, Any]) -> dict[str, float]:
    if not task["val"]:
        return {}
    options = _set(Config(), task)
    options["data.batch_size"] = 500
    options["data.sampling"] = "sequential"
    options["data.max_jets"] = task["val_jets"]
    with Dataset(task["val"], options) as data:
        found = trainer.evaluate(data).flat()
    return {name: found[name] for name in VALIDATION if name in found}


def curve(losses: list[float]) -> list[tuple[int, float]]:
    """(last step, mean) of blocks of BLOCK steps."""
    return [
        (min(start + BLOCK, len(losses)), float(np.mean(losses[start : start + BLOCK])))
        for start in range(0, len(losses), BLOCK)
    ]


def smoothed(losses: list[float]) -> dict[str, float]:
    """Loss at the start, over the first BLOCK steps, and at the end."""
    if not losses:
        return {"first_loss": math.nan, "train_loss": math.nan}
    last = max(1, round(LAST * len(losses)))
    return {
        "first_loss": float(np.mean(losses[:BLOCK])),
        "train_loss": float(np.mean(losses[-last:])),
    }


def _of_network(problem: NumericError) -> str:
    """Why the network diverged; wrong data are no divergence."""
    if not problem.of_network:
        raise problem
    return str(problem)


@contextlib.contextmanager
def _timed(figures: dict[str, float]) -> Iterator[None]:
    start = time.process_time()
    try:
        yield
    finally:
        figures["core_seconds"] = time.process_time() - start


def fit(task: dict[str, Any]) -> dict[str, Any]:
    """Trains over the jets once and validates."""
    losses: list[float] = []
    state, message = "done", ""
    figures: dict[str, float] = {}
    with Dataset(task["train"], _set(Config(), task)) as data:
        config = _set(data.setup(), task)
        with Trainer(Model(config), config) as trainer:
            try:
                with _timed(figures):
                    trainer.fit(
                        data,
                        progress=False,
                        callback=lambda p: losses.append(p.stats.loss)
                        if p.event == "step"
                        else None,
                    )
                figures.update(_validate(trainer, task))
            except NumericError as problem:
                state, message = "diverged", _of_network(problem)
            figures["trainer_mb"] = trainer.memory / 1e6
    figures.update(smoothed(losses))
    return {
        "state": state,
        "message": message,
        "steps": len(losses),
        "figures": figures,
        "curve": curve(losses),
    }


def coordinates(task: dict[str, Any]) -> dict[str, Any]:
    """Steps on one batch, again and again, probed on that batch at the steps asked
    for, 0 being the start."""
    losses: list[float] = []
    probes: list[Any] = []
    state, message = "done", ""
    with Dataset(task["train"], _set(Config(), task)) as data:
        config = _set(data.setup(), task)
        batch = next(iter(data))
    last = max(task["probe_steps"])
    config["schedule.steps"] = last
    with Trainer(Model(config), config) as trainer:
        try:
            for step in range(last + 1):
                if step in task["probe_steps"]:
                    probes += _probe(trainer, batch, step)
                if step < last:
                    losses.append(trainer.step(*batch).loss)
        except NumericError as problem:
            state, message = "diverged", _of_network(problem)
    return {
        "state": state,
        "message": message,
        "steps": len(losses),
        "figures": smoothed(losses),
        "probes": probes,
    }


def _probe(trainer: Trainer, batch: Any, step: int) -> list[Any]:
    return [
        (step, p.name, p.mean_abs, p.change_mean_abs)
        for p in trainer.probe(*batch[:2])
        if p.kind == "module"
    ]


def main() -> int:
    task = json.load(sys.stdin)
    try:
        found = {"fit": fit, "coordinates": coordinates}[task["kind"]](task)
    except (Error, OSError) as problem:
        print(f"{problem}", file=sys.stderr)
        return 1
    found["figures"]["peak_mb"] = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
