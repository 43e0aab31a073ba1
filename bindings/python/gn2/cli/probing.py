# SPDX-License-Identifier: Apache-2.0
"""probe.csv of a run directory: modules and tensors at some steps of a fit."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .. import _lines as lines
from .._lines import Table
from ..dataset import Batch, Dataset
from ..hpo.contract import value_of
from ..trainer import Trainer
from ..training_stats import Probe, Progress
from .common import Failure
from .rundir import RunDirectory, kept_rows

COLUMNS = ("step", *Probe._fields)


def steps(words: str) -> list[int]:
    """Steps of a word like "0,1,10", in order."""
    try:
        found = sorted({int(word) for word in words.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{words}' is no list of steps") from None
    if found[0] < 0:
        raise argparse.ArgumentTypeError(f"there is no step {found[0]}")
    return found


def first_batch(data: Dataset) -> Batch:
    """The first jets of the files of a dataset, as many as a batch has."""
    options = data.config.copy()
    options.update({"data.sampling": "sequential", "data.prefetch": 0})
    with Dataset(data.paths, options) as first:
        return next(first.batches())


def check_steps(asked: Sequence[int], path: str, done: int, last: int) -> None:
    """Refuses steps that a run will not see.

    Args:
        path: probe.csv of the run that goes on, if there is one: what is in it is kept.
        done: steps that were done before.
        last: of the run.
    """
    kept = {int(row["step"]) for row in lines.rows(path)}
    past = [step for step in asked if 0 < done and step <= done and step not in kept]
    late = [step for step in asked if step > last]
    if past:
        raise Failure(
            f"--probe {_listed(past)}: the run stands at step {done} already; steps "
            f"{done + 1} to {last} can be probed"
        )
    if late:
        raise Failure(f"--probe {_listed(late)}: the last step of the run is {last}")


def _listed(steps: Sequence[int]) -> str:
    return ",".join(map(str, steps))


class Prober:
    """A callback of ``Trainer.fit`` that probes the trainer on one batch at some
    steps."""

    def __init__(
        self, run: RunDirectory, trainer: Trainer, batch: Batch, at: Sequence[int]
    ) -> None:
        self.path = run["probe.csv"]
        self.trainer = trainer
        self.batch = batch
        self.at = set(at)
        self._table: Table | None = None

    def start(self) -> None:
        """Before the first step of a new run; one that is resumed has rows already."""
        self._table = Table(self.path, COLUMNS)
        if 0 in self.at:
            self._probe(self._table, 0)

    def __call__(self, progress: Progress) -> None:
        if self._table is None:
            self._table = Table(self.path, COLUMNS, kept_rows(self.path, progress))
        if progress.event == "step" and progress.step in self.at:
            self._probe(self._table, progress.step)

    def _probe(self, table: Table, step: int) -> None:
        found = self.trainer.probe(self.batch.jets, self.batch.tracks)
        rows = ({"step": step, **probe._asdict()} for probe in found)
        table.add(
            *({name: value_of(value) for name, value in row.items()} for row in rows)
        )

    def close(self) -> None:
        """Finishes probe.csv."""
        if self._table is not None:
            self._table.close()
