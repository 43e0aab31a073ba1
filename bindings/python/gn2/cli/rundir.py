# SPDX-License-Identifier: Apache-2.0
"""A run directory: what is written during a fit, and read to go on with it.

config.txt      every option, resolved
run.json        files, start, version, state ("running", "stopped", "failed", "done")
metrics.csv     a row a step, a validation inside an epoch, an epoch (column "event")
metrics.log     name=value lines with time, one an epoch and such a validation
probe.csv       a row a module and a tensor, at the steps of --probe
checkpoint.gn2  to go on from, to the bit
best.gn2        model with the least validation loss
model.gn2       model at the end
lock            while a fit is at work: which process

metrics.csv and metrics.log are written line by line, each by one write(): a process
that is killed leaves all that it told, and no part of a line. metrics.log is what
Katib's file collector reads while it grows; it is there, empty, before the data are
opened. A line is the time in UTC, then `name=value` words, finite values only: `epoch`,
`step`, `val_loss` and all else that metrics.csv has of a validation, `train_loss` and
`train_loss_TASK`, the means over the steps since the line before. Names are those of
metrics.csv, with `_` for what is neither letter, digit, `_` nor `-`. A run that goes on
adds to it; lines of steps that are done again are cut off first.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _lines as lines, tasks
from .._figure_names import listed
from .._lock import FolderLock
from .._record import run_of
from ..hpo.contract import line, name_of, value_of
from ..model import Model
from ..scores import rules_of
from ..training_stats import Metrics, Progress, StepStats
from .common import Failure

LOG = "metrics.log"
FILES = (
    "config.txt",
    "run.json",
    "metrics.csv",
    LOG,
    "probe.csv",
    "checkpoint.gn2",
    "best.gn2",
    "model.gn2",
    "report.html",
)


def columns_of(model: Model) -> tuple[str, ...]:
    """Columns of metrics.csv of a run of this model; refuses those of one name."""
    losses = dict.fromkeys(model.tasks, 0.0)
    figures = {
        f"{task.name}.{figure}": 0.0
        for task in model.tasks.values()
        for figure in tasks.FIGURES[task.kind]
    }
    for name, rule in rules_of(model).items():
        others = [c for i, c in enumerate(model.classes) if i != rule.signal]
        figures.update({found.figure: 0.0 for found in listed(name, others)})
    blank = np.zeros(4), np.zeros((4, 3))
    stats = StepStats(0, 0, 0, 0.0, losses, 0.0, 0.0, 0.0)
    metrics = Metrics(0, 0.0, losses, figures, 0.0, 0.0, *blank)
    found = [name for name, _ in (*stats.columns(), *metrics.columns())]
    seen: dict[str, str] = {}
    for name in found:
        if seen.setdefault(name_of(name), name) != name or found.count(name) > 1:
            raise Failure(
                f"two columns of metrics.csv and {LOG} would be '{name_of(name)}': "
                "give a task, class or discriminant of the model another name"
            )
    return "event", "epoch", "seconds", *found


class RunDirectory:
    """Paths and files of a run."""

    def __init__(self, path: str) -> None:
        self.path = pathlib.Path(path)
        self.lock = FolderLock(self.path)
        self._made: list[pathlib.Path] = []

    def __getitem__(self, name: str) -> str:
        return str(self.path / name)

    def there(self) -> list[str]:
        """Files of an earlier run. A log without a line is of one that never began."""
        found = [name for name in FILES if (self.path / name).exists()]
        return [n for n in found if n != LOG or os.path.getsize(self[n]) > 0]

    def refuse(self, force: bool) -> None:
        """Refuses to overwrite an earlier run unless asked to, and one under way
        whatever is asked."""
        self.lock.check()
        there = self.there()
        if there and not force:
            raise Failure(
                f"'{self.path}' holds a run already ({', '.join(there)}); "
                "--resume goes on with it, --force starts over"
            )

    def spare(self, path: str | None) -> None:
        """Refuses to begin with a file that the beginning would remove."""
        mine = [self.path / name for name in self.there()]
        if path and any(os.path.exists(path) and p.samefile(path) for p in mine):
            raise Failure(
                f"'{path}' is of the run that --force removes: choose another folder"
            )

    def begin(self, force: bool) -> None:
        """Makes the folder and its log and locks it: what follows may take long. Files
        of an earlier run stay until empty(); abandon() takes back what was made."""
        folders = (self.path, *self.path.parents)
        self._made = [path for path in folders if not path.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        self.lock.take()
        self.refuse(force)
        self._made[:0] = [] if os.path.exists(self[LOG]) else [self.path / LOG]
        self.make_log()

    def make_log(self) -> None:
        """Whoever waits for a log finds it."""
        lines.Lines(self[LOG]).close()

    def empty(self) -> None:
        """Removes what there is of an earlier run: a new one begins."""
        for name in self.there():
            if name == LOG:  # a reader may hold it open
                os.truncate(self[name], 0)
            else:
                (self.path / name).unlink()
        self._made = []

    def abandon(self) -> None:
        """Gives the lock back; of a run that could not begin nothing is left."""
        self.lock.release()
        for path in self._made:
            with contextlib.suppress(OSError):  # somebody else's files are in it
                path.unlink() if path.name == LOG else path.rmdir()
        self._made = []

    def check(self) -> None:
        """That there is something to go on with."""
        for name in ("config.txt", "run.json"):
            if not (self.path / name).exists():
                raise Failure(f"'{self.path}' holds no run to resume: no {name}")

    def read(self) -> dict[str, Any]:
        """run.json."""
        return run_of(self.path)

    def write(self, facts: dict[str, Any]) -> None:
        """run.json, whole or not at all."""
        text = json.dumps(facts, indent=2, ensure_ascii=False)
        lines.replace(self["run.json"], text + "\n")


# ---- rows of an earlier run ----


def step_of(row: Mapping[str, str]) -> int | None:
    """The step of a row; None: it is no row of a run."""
    word = row.get("step", "")
    return int(word) if word.isdecimal() else None


def kept_rows(path: str, progress: Progress) -> list[dict[str, str]]:
    """Rows of an earlier run before the first event of one that goes on; what is behind
    is done again."""

    def kept(row: Mapping[str, str]) -> bool:
        step = step_of(row)
        if step is None or step > progress.step:
            return False
        of_step = row.get("event", "step") == "step"
        return step < progress.step or (of_step and progress.event != "step")

    return [row for row in lines.rows(path) if kept(row)]


def once(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Rows of metrics.csv without those of an event that there is already."""
    found: dict[tuple[bool, str], dict[str, str]] = {}
    for row in rows:
        found.setdefault((row.get("event") == "step", row["step"]), row)
    return list(found.values())


def missing(rows: Iterable[Mapping[str, str]], progress: Progress) -> str:
    """What rows of metrics.csv lack before the first event of a run that goes on."""
    # a step is known by column "step", an epoch by "epoch"
    there = {(row.get("event", ""), row.get(row.get("event", ""))) for row in rows}
    steps = range(1, progress.step + (progress.event != "step"))
    lacks = {
        "steps": [n for n in steps if ("step", str(n)) not in there],
        "epochs": [n for n in range(progress.epoch) if ("epoch", str(n)) not in there],
    }
    return ", ".join(
        f"{len(found)} {what} ({found[0]} … {found[-1]})"
        for what, found in lacks.items()
        if found
    )


# ---- what a run tells ----


_STEP = re.compile(r" step=(\d+)[ \n]")


def cut_log(path: str, step: int) -> None:
    """Takes lines of a step and of later ones off a log, which will tell of them again,
    and what is no whole line."""
    found = lines.whole(path)
    told = (_STEP.search(line) for line in found)
    kept = [line for line, m in zip(found, told) if m is None or int(m[1]) < step]
    lines.put(path, "".join(kept))


class _Means:
    """Means of the losses of some steps, of what stands in their rows, so that a run
    that goes on has them too."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.names = [n for n in columns if n == "loss" or n.startswith("loss_")]
        self.clear()

    def clear(self) -> None:
        self.count = 0
        self.sums = dict.fromkeys(self.names, 0.0)

    def add(self, row: Mapping[str, str]) -> None:
        self.count += 1
        for name in self.names:
            self.sums[name] += float(row.get(name) or "nan")

    def figures(self) -> dict[str, float]:
        count = self.count or math.nan
        return {f"train_{name}": total / count for name, total in self.sums.items()}


class Recorder:
    """A callback of ``Trainer.fit`` that writes metrics.csv and metrics.log."""

    def __init__(self, run: RunDirectory, resumed: bool, model: Model) -> None:
        self.run = run
        self.columns = columns_of(model)
        self.best = math.inf  #: least validation loss, as it stands in the table
        self._means = _Means(self.columns)
        self._step: Mapping[str, str] = {}  # row of the last one
        self._resumed = resumed
        self._table: lines.Table | None = None
        self._log: lines.Lines | None = None

    def _open(self, progress: Progress) -> lines.Table:
        """At the first event."""
        kept = self._kept(progress) if self._resumed else []
        self._log = lines.Lines(self.run[LOG])
        self._table = lines.Table(self.run["metrics.csv"], self.columns, kept)
        return self._table

    def _kept(self, progress: Progress) -> list[dict[str, str]]:
        rows = once(kept_rows(self.run["metrics.csv"], progress))
        lacks = missing(rows, progress)
        if lacks:
            say = f"gn2: '{self.run['metrics.csv']}' lacks rows of the run: {lacks}"
            print(say, file=sys.stderr)
        for row in rows:
            self._note(row)
        cut_log(self.run[LOG], progress.step)
        return rows

    def _note(self, row: Mapping[str, str]) -> None:
        if row.get("event") == "step":
            self._means.add(row)
            self._step = row
        else:
            self._means.clear()
            self.note_loss(float(row.get("val_loss") or "nan"))

    def note_loss(self, loss: float) -> bool:
        """Is a validation's loss the least so far? Losses are compared as they stand in
        the table, where a run that goes on finds them."""
        loss = float(value_of(loss))
        better = loss < self.best
        if better:
            self.best = loss
        return better

    @property
    def started(self) -> bool:
        """Did anything happen in this fit?"""
        return self._table is not None

    def __call__(self, progress: Progress) -> None:
        if progress.event == "early stop":
            return
        table = self._table or self._open(progress)
        row = self._row(progress)
        table.add(row)
        if progress.event == "step":
            self._note(row)
        else:
            self._tell(progress)

    def _row(self, progress: Progress) -> dict[str, str]:
        """A validation's repeats its step, which may be of the fit before this one."""
        place = {
            "event": progress.event,
            "epoch": progress.epoch,
            "seconds": round(progress.seconds, 3),
        }
        step: Mapping[str, Any] = progress.stats.flat()
        if self._step.get("step") == value_of(progress.step):
            step = self._step
        found = progress.validation.flat() if progress.validation is not None else {}
        return {n: value_of(v) for n, v in {**step, **place, **found}.items()}

    def _tell(self, progress: Progress) -> None:
        figures: dict[str, Any] = {"epoch": progress.epoch, "step": progress.step}
        figures.update(self._means.figures())
        self._means.clear()
        if progress.validation is not None:
            figures.update(progress.validation.flat())
        self.tell(figures)

    def tell(self, figures: Mapping[str, float]) -> None:
        """Adds a line to the log."""
        text = line(figures)
        assert self._log is not None
        self._log.add(text)
        sys.stdout.write(text)
        sys.stdout.flush()

    def close(self) -> None:
        """Lets go of the files."""
        for file in (self._table, self._log):
            if file is not None:
                file.close()
