# SPDX-License-Identifier: Apache-2.0
"""The training of a trial: ``gn2 fit`` whose figures go into the metrics file too, and
whose untrained network is validated before the first step."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from .. import Model, Trainer, _lines as lines
from ..errors import FormatError
from ..hpo import contract
from ..hpo.books import Trial
from ..hpo.loggers import Background
from ..hpo.resources import Meter
from ..hpo.space import Objective, Space
from ..training_stats import Progress
from .common import Failure
from .fit import Fit
from .rundir import LOG, Recorder, RunDirectory
from .trial_asked import Refused

#: before the name of a figure of the untrained network
UNTRAINED = "untrained_"


class Mirror(Protocol):
    """Where lines of the log are told once more."""

    def restart(self, lines: Iterable[str] = ()) -> None:
        """These lines are all that was told."""

    def add(self, text: str) -> None:
        """One more line."""


class Book:
    """trial.json of a trial under way, saved whenever something is told."""

    def __init__(self, folder: str, trial: Trial, meter: Meter) -> None:
        self.folder = folder
        self.trial = trial
        self.meter = meter
        self._one = threading.RLock()  # the deadline's thread may have the last word

    def note(self, **changes: Any) -> None:
        """Changes fields and saves."""
        with self._one:
            changes.setdefault("resources", self.meter.read())
            self.trial = dataclasses.replace(self.trial, **changes)
            self.trial.save(self.folder)

    def end(self, state: str, message: str = "", **changes: Any) -> None:
        """How it ended."""
        now = contract.stamp()
        self.note(state=state, message=message, ended=now, **changes)

    def penalty(self, objective: Objective) -> float:
        """What a trial that diverged is told to have, NaN if that is not known."""
        return self.trial.metrics.get(UNTRAINED + objective.metric, math.nan)

    def got_worse(self) -> str:
        """That the loss is no less than at the start; else nothing."""
        found = self.trial.metrics
        loss, start = found.get("val_loss"), found.get(UNTRAINED + "val_loss")
        if start is None:  # without validation data
            loss, start = found.get("train_loss"), found.get(UNTRAINED + "train_loss")
        if loss is None or start is None or loss < start:
            return ""
        return f"the loss is {loss:.6g} at the end and {start:.6g} at the start"


class Told:
    """Where the figures of a trial go: its folder's log, the metrics file, loggers.

    An objective that is worse than the untrained network's is told as that, so that one
    bad trial does not bend what is made of all of them; metrics.csv has what was found.
    It is told at the steps of the budget only, not at ends of epochs in between: Katib
    counts reports to know how far a trial is.
    """

    def __init__(self, book: Book, space: Space, mirror: Mirror | None) -> None:
        self.book = book
        self.space = space
        self.mirror = mirror
        self.loggers: list[Background] = []

    def repeat(self, log: str) -> list[str]:
        """Makes what stands in the log all that was told."""
        kept = [line for line in lines.whole(log) if contract.read(line)]
        if self.mirror is not None:
            self.mirror.restart(kept)
        return kept

    def begin(self, log: str) -> None:
        """The first event: what is behind the log is told again."""
        words = (contract.read(line) or {} for line in self.repeat(log))
        last = max(
            (int(found["step"]) for found in words if "step" in found), default=0
        )
        curve = tuple(point for point in self.book.trial.curve if point[0] <= last)
        self.book.note(curve=curve)

    def bounded(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The figures with objectives no worse than untrained."""
        found = dict(figures)
        for objective in self.space.objectives:
            worst = self.book.penalty(objective)
            value = found.get(objective.metric, math.nan)
            if math.isfinite(worst) and math.isfinite(value):
                best = min if objective.minimize else max
                found[objective.metric] = best(value, worst)
        return found

    def evenly(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The figures, without objectives where the budget has no validation."""
        every, step = self.space.validate_steps, int(figures["step"])
        if not every or step % every == 0 or step == self.space.steps:
            return dict(figures)
        names = [objective.metric for objective in self.space.objectives]
        return {name: value for name, value in figures.items() if name not in names}

    def add(self, log: lines.Lines, figures: Mapping[str, float]) -> None:
        """Tells a line."""
        text = contract.line(figures)
        log.add(text)
        if self.mirror is not None:
            self.mirror.add(text)
        finite = contract.finite(figures)
        curve, name = self.book.trial.curve, self.space.objective.metric
        if "step" in finite:
            step = int(finite["step"])
            for logger in self.loggers:
                logger.log(step, finite)
            if name in finite:
                curve = (*curve, (step, finite[name]))
        self.book.note(metrics={**self.book.trial.metrics, **finite}, curve=curve)

    def finish(self, path: str, figures: Mapping[str, float]) -> None:
        """The last line, of what is known when all is done."""
        log = lines.Lines(path)
        try:
            self.add(log, figures)
        finally:
            log.close()


class TrialRecorder(Recorder):
    """A recorder whose lines are told."""

    def __init__(self, fit: TrialFit) -> None:
        super().__init__(fit.run, fit.args.resume, fit.trainer.model)
        self.told = fit.told

    def _open(self, progress: Progress) -> lines.Table:
        table = super()._open(progress)
        self.told.begin(self.run[LOG])
        return table

    def __call__(self, progress: Progress) -> None:
        if progress.event == "step":
            book, stats = self.told.book, progress.stats
            book.meter.trained(stats.jets, progress.seconds)
            if progress.step == 1:
                start = book.trial.metrics.get(UNTRAINED + "train_loss", stats.loss)
                metrics = {UNTRAINED + "train_loss": start, **book.trial.metrics}
                book.note(metrics=metrics)
        super().__call__(progress)

    def tell(self, figures: Mapping[str, float]) -> None:
        assert self._log is not None
        self.told.add(self._log, self.told.bounded(self.told.evenly(figures)))


class Follower(Fit):
    """A trial as ranks other than 0 train it: as many steps, and nothing is told."""

    def _reopen(self) -> None:
        super()._reopen()
        # a trial whose run is done and that was killed then has its end yet to tell
        self.unfinished = True

    def _open_data(self) -> None:
        super()._open_data()
        # as many as the steps need; the schedule ends the run
        steps = int(str(self.config["schedule.steps"]))
        self.config["train.epochs"] = -(-steps // max(1, len(self.train)))


class TrialFit(Follower):
    """A run whose figures are told."""

    def __init__(
        self, args: argparse.Namespace, told: Told, directory: RunDirectory
    ) -> None:
        self.told = told
        super().__init__(args, directory)

    def _recorder(self) -> Recorder:
        return TrialRecorder(self)

    def _goes_on(self) -> str:
        return "the same command"

    def validate_untrained(self) -> None:
        """Figures of the network before its first step, if they are not known."""
        known = self.told.book.trial.metrics
        if self.val is None or UNTRAINED + "val_loss" in known:
            return
        trainer = self.trainer
        if self.args.resume:
            trainer = Trainer(Model(self.config), self.config)
        found = contract.finite(trainer.evaluate(self.val).flat())
        untrained = {UNTRAINED + name: value for name, value in found.items()}
        self.told.book.note(metrics={**known, **untrained})


def begin(args: argparse.Namespace, told: Told, directory: RunDirectory) -> TrialFit:
    """The fit of a trial. What is damaged in its folder is made once more: the same
    bits come of it."""
    try:
        return TrialFit(args, told, directory)
    except Failure as problem:
        if not args.resume:  # the lock is ours: it would be the same next time
            raise Refused(str(problem)) from None
        why = str(problem)
    except (FormatError, json.JSONDecodeError) as problem:
        in_json = isinstance(problem, json.JSONDecodeError)
        if not args.resume or not (in_json or args.out in str(problem)):
            raise
        why = str(problem)
    print(f"gn2: {why}; the trial begins again", file=sys.stderr)
    args.resume, args.force = False, True
    return TrialFit(args, told, directory)
