# SPDX-License-Identifier: Apache-2.0
"""A trial at work in its folder: begun, gone on with, ended, kept."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import os
import pathlib
import shutil
import sys

from .. import Error, __version__, _lines as lines, errors, features
from ..group import Group
from ..hpo import books, contract, identity, loggers
from ..hpo.books import Trial
from ..hpo.resources import Meter
from . import fit as fit_command, ranks
from .common import Failure, Terminated, files_of
from .deadline import Deadline
from .rundir import LOG, RunDirectory, columns_of
from .trial_asked import Asked, Refused
from .trial_fit import Book, Follower, Mirror, Told, TrialFit, begin

REFUSED, DIVERGED = 2, 3
#: states from which nothing is left to train
ENDED = ("done", "diverged")
#: files of a trial that are kept, besides trial.json
KEPT = ("model.gn2", "best.gn2")
#: what rank 0 tells the others
BEGIN, GO_ON, NOTHING = b"b", b"g", b"n"
#: seconds after a signal; who sends SIGTERM waits for ten or more
STOP_WITHIN = 8.0


def _before(folder: str) -> Trial | None:
    """The trial of a folder."""
    try:
        return books.load(folder)
    except FileNotFoundError:
        names = ("config.txt", "run.json")
        if any(os.path.exists(os.path.join(folder, name)) for name in names):
            raise Refused(f"'{folder}' holds a run that is no trial") from None
        return None


def _same(old: Trial, new: Trial, folder: str) -> None:
    """Refuses another trial's folder."""
    wrong = [
        f"{name} is {old.options.get(name)}, not {new.options.get(name)}"
        for name in dict.fromkeys([*old.options, *new.options])
        if old.options.get(name) != new.options.get(name) and name not in identity.FREE
    ]
    if list(old.data.values()) != list(new.data.values()):
        names = ", ".join(os.path.basename(path) for path in new.data)
        wrong.append(f"the content of the data was another ({names})")
    if wrong or old.config != new.config:
        raise Refused(
            f"'{folder}' holds another trial: {'; '.join(wrong) or 'other options'}; "
            "take a folder of its own"
        )


def row_of(asked: Asked) -> Trial:
    """The row of the books of a trial that begins; reads the data for their digests."""
    data = identity.data_digests(files_of([*asked.space.train, *asked.space.val]))
    return Trial(
        name=asked.name,
        state="running",
        parameters=asked.parameters,
        options=asked.settings,
        data=data,
        config=identity.config_digest(asked.config, data.values()),
        space=asked.space.name,
        version=__version__,
        features=features(),
        started=contract.stamp(),
    )


def keep(trial: Trial, folder: str, where: str) -> None:
    """Copies what is worth keeping to a folder of the trial's name, whole or not at
    all."""
    target = os.path.join(where, trial.name)
    new, old = (os.path.join(where, f".{trial.name}.{w}") for w in ("new", "old"))
    for path in (new, old):
        shutil.rmtree(path, ignore_errors=True)
    os.makedirs(new)
    for name in (*KEPT, books.NAME):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            shutil.copy2(path, new)
    if os.path.exists(target):
        os.rename(target, old)
    os.rename(new, target)
    shutil.rmtree(old, ignore_errors=True)


def options_of(asked: Asked, goes_on: bool) -> argparse.Namespace:
    """What `gn2 fit` would be given."""
    return argparse.Namespace(
        train=list(asked.space.train),
        val=list(asked.space.val),
        out=asked.args.out,
        config=None,
        model=None,
        resume=goes_on,
        finetune=False,
        force=not goes_on,
        probe=[],
        quiet=asked.args.quiet,
        no_report=True,
        settings=list(asked.settings.items()),
    )


class Orders:
    """What rank 0 tells the others to do: one word, the first."""

    def __init__(self, group: Group | None) -> None:
        self.group = group
        self._said = False

    def say(self, word: bytes) -> None:
        """They wait until they are told."""
        if self.group is not None and not self._said:
            self._said = True
            self.group.broadcast(word, 0)


def follow(asked: Asked, group: Group) -> None:
    """Trains a trial with rank 0, which tells how it ends."""
    word = group.broadcast(NOTHING, 0)
    if word == NOTHING:
        return
    options = options_of(asked, word == GO_ON)
    folder = ranks.directory(options.out, group)
    fit_command.begin(lambda: Follower(options, folder), group).follow()


class TrialRun:
    """A trial at work.

    Args:
        mirror: where its log is told once more.
        alone: does this process do all the work?
        orders: for ranks that train with this one, rank 0.
    """

    def __init__(
        self,
        asked: Asked,
        mirror: Mirror | None,
        alone: bool = True,
        orders: Orders | None = None,
    ) -> None:
        self.asked, self.args = asked, asked.args
        self.orders = orders or Orders(None)
        self.folder: str = self.args.out
        if self.args.keep:  # refused now, not when all is done
            os.makedirs(self.args.keep, exist_ok=True)
        made = [(word, loggers.make(word, self.folder)) for word in self.args.log]
        self.directory = RunDirectory(self.folder)
        self.directory.begin(force=True)
        try:
            new = row_of(asked)
            old = _before(self.folder)
            if old is not None:
                _same(old, new, self.folder)
                known = {n: getattr(old, n) for n in ("metrics", "curve", "started")}
                new = dataclasses.replace(new, **known)
        except BaseException:
            self.directory.abandon()
            raise
        self.state = old.state if old else "new"
        meter = Meter(old.resources if old else None, alone=alone)
        self.book = Book(self.folder, new, meter)
        self.told = Told(self.book, asked.space, mirror)
        self.told.loggers = [loggers.Background(logger, word) for word, logger in made]

    @property
    def _log(self) -> str:
        return self.directory[LOG]

    @property
    def _checkpoint(self) -> str:
        return self.directory["checkpoint.gn2"]

    def __call__(self) -> int:
        """Its exit status."""
        try:
            with Deadline(STOP_WITHIN, lambda _: self.book.end("stopped")):
                try:
                    return self._guarded()
                finally:
                    self._tell_loggers()
        finally:
            self.directory.lock.release()

    def _tell_loggers(self) -> None:
        if self.state in ENDED:  # they were told then
            return
        for logger in self.told.loggers:
            if self.book.trial.state == "stopped":
                logger.patience = 1.0  # there is little time
            problem = logger.end(self.book.trial)
            if problem:
                print(f"gn2: {problem}", file=sys.stderr)

    def _guarded(self) -> int:
        try:
            status = self._again() if self.state in ENDED else self._train()
        except (KeyboardInterrupt, Terminated):
            self.book.end("stopped")
            raise
        except (Error, Failure, OSError) as problem:
            with contextlib.suppress(OSError):  # the disk may be full
                self.book.end("failed", str(problem))
            raise
        if self.args.keep:  # whatever comes of it, the trial has ended
            keep(self.book.trial, self.folder, self.args.keep)
        return status

    def _again(self) -> int:
        """It has ended before; the metrics file may be a new one."""
        self.orders.say(NOTHING)
        self.book.trial = books.load(self.folder)
        self.told.repeat(self._log)
        if self.state == "done":
            return 0
        return self._diverged(self.book.trial.message)

    def _train(self) -> int:
        self.book.note()
        self.told.repeat(self._log)
        for logger in self.told.loggers:
            logger.begin(self.book.trial, self.asked.space.steps)
        options = options_of(self.asked, os.path.exists(self._checkpoint))
        self.orders.say(GO_ON if options.resume else BEGIN)

        def make() -> TrialFit:
            fit = begin(options, self.told, self.directory)
            self._check(fit)
            fit.validate_untrained()
            return fit

        try:
            fit_command.begin(make, self.orders.group).go()
        except errors.NumericError as problem:
            if not problem.of_network:
                raise
            return self._diverged(str(problem))
        worse = self.book.got_worse() or self._without_objective()
        if worse:
            return self._diverged(worse)
        self.told.finish(self._log, {"diverged": 0, **self.book.meter.read()})
        self.book.end("done")
        return 0

    def _check(self, fit: TrialFit) -> None:
        """That there will be objectives."""
        columns = columns_of(fit.trainer.model)
        there = [contract.name_of(c) for c in columns if c.startswith("val_")]
        there += [
            f"train_{contract.name_of(c)}" for c in columns if c.startswith("loss")
        ]
        for objective in self.asked.space.objectives:
            if objective.metric not in there:
                raise Refused(
                    f"there is no figure {objective.metric} to be the objective; "
                    f"there are {', '.join(there)}"
                )

    def _without_objective(self) -> str:
        """That an objective is not finite at the end; else nothing."""
        told = (contract.read(line) or {} for line in lines.whole(self._log))
        last = [found for found in told if "step" in found][-1]
        for objective in self.asked.space.objectives:
            if objective.metric not in last:
                return f"{objective.metric} is not finite at the end"
        return ""

    def _diverged(self, why: str) -> int:
        figures: dict[str, float] = {"diverged": 1}
        status = 0
        penalties = {
            o.metric: self.book.penalty(o) for o in self.asked.space.objectives
        }
        unknown = [name for name, value in penalties.items() if math.isnan(value)]
        if self.args.on_divergence == "fail" or unknown:
            status = DIVERGED
            if unknown:
                why += f"; no penalty: untrained, {', '.join(unknown)} is not finite"
        else:
            figures.update(penalties)
        if self.state != "diverged" or not self._has_told(figures):
            self.told.finish(self._log, {**figures, **self.book.meter.read()})
        self.book.end("diverged", why)
        return status

    def _has_told(self, figures: dict[str, float]) -> bool:
        last = contract.read((lines.whole(self._log) or [""])[-1]) or {}
        return all(name in last for name in figures)


def mirror_of(args: argparse.Namespace) -> contract.MetricsFile | None:
    """The metrics file, made; None: it is the folder's own log."""
    path, form = args.metrics_file, args.metrics_format
    own = os.path.join(args.out, LOG)
    if path is None and form == "json":
        path = os.path.join(args.out, "metrics.json")
    if path is None or pathlib.Path(path).absolute() == pathlib.Path(own).absolute():
        if form == "json":
            raise Refused(f"--metrics-file {path}: the folder's own log is text")
        return None
    return contract.MetricsFile(path, form)
