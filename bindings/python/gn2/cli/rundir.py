# SPDX-License-Identifier: Apache-2.0
"""A run directory: what is written during a fit, and read to go on with it.

config.txt      every option, resolved
run.json        files, start, version, state ("running", "stopped", "failed", "done")
metrics.csv     a row a step and a row an epoch (column "event")
metrics.log     name=value lines with time, one an epoch, finite values only
probe.csv       a row a module and a tensor, at the steps of --probe
checkpoint.gn2  to go on from, to the bit
best.gn2        model with the least validation loss
model.gn2       model at the end
lock            while a fit is at work: which process
"""

from __future__ import annotations

import csv
import datetime
import json
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any, TextIO

import numpy as np

from .. import tasks
from ..model import Model
from ..scores import rules_of
from ..training_stats import Metrics, Progress, StepStats
from .common import Failure
from .lock import FolderLock

FILES = (
    "config.txt",
    "run.json",
    "metrics.csv",
    "metrics.log",
    "probe.csv",
    "checkpoint.gn2",
    "best.gn2",
    "model.gn2",
    "report.html",
)


def columns_of(model: Model) -> tuple[str, ...]:
    """Columns of metrics.csv of a run of this model."""
    losses = dict.fromkeys(model.tasks, 0.0)
    figures = {
        f"{task.name}.{figure}": 0.0
        for task in model.tasks.values()
        for figure in tasks.FIGURES[task.kind]
    }
    for name, rule in rules_of(model).items():
        others = [c for i, c in enumerate(model.classes) if i != rule.signal]
        figures[f"{name}.cut_77"] = 0.0
        figures.update({f"{name}.auc_{other}": 0.0 for other in others})
        figures.update({f"{name}.rejection_77_{other}": 0.0 for other in others})
    blank = np.zeros(4), np.zeros((4, 3))
    stats = StepStats(0, 0, 0, 0.0, losses, 0.0, 0.0, 0.0)
    metrics = Metrics(0, 0.0, losses, figures, 0.0, 0.0, *blank)
    return "event", "epoch", "seconds", *stats.flat(), *metrics.flat()


class RunDirectory:
    """Paths and files of a run."""

    def __init__(self, path: str) -> None:
        self.path = pathlib.Path(path)
        self.lock = FolderLock(self.path)

    def __getitem__(self, name: str) -> str:
        return str(self.path / name)

    def there(self) -> list[str]:
        """Files of an earlier run."""
        return [name for name in FILES if (self.path / name).exists()]

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

    def create(self, force: bool) -> None:
        """Makes the directory, or empties it of an earlier run, and locks it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.lock.take()
        self.refuse(force)
        for name in self.there():
            (self.path / name).unlink()

    def check(self) -> None:
        """That there is something to go on with."""
        for name in ("config.txt", "run.json"):
            if not (self.path / name).exists():
                raise Failure(f"'{self.path}' holds no run to resume: no {name}")

    def read(self) -> dict[str, Any]:
        """run.json."""
        with open(self["run.json"], encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
        return found

    def write(self, facts: dict[str, Any]) -> None:
        """run.json, whole or not at all."""
        temporary = self["run.json.tmp"]
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(facts, file, indent=2, ensure_ascii=False)
            file.write("\n")
        os.replace(temporary, self["run.json"])


def done_before(progress: Progress) -> int:
    """Steps done before the first event of a fit. It is an epoch's end when the run was
    stopped after the last step of the epoch."""
    return progress.step - (progress.event == "step")


def kept_rows(
    path: str, done: int, columns: Sequence[str], first: str = "step"
) -> list[dict[str, str]]:
    """Rows of an earlier run up to step `done`; later ones are done again. So is the
    end of the epoch where it is the `first` event to come."""
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["step"] or 0) <= done]
    if first != "step":
        rows = [r for r in rows if r.get("event") != first or int(r["step"]) < done]
    return [{name: row.get(name, "") for name in columns} for row in rows]


def text(value: Any) -> str:
    """A figure as it stands in a table."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def metrics_line(figures: dict[str, Any]) -> str:
    """name=value words with the time before them, as Katib's collector reads them.
    Values that are not finite are left out: it takes them for empty ones."""
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    finite = {n: v for n, v in figures.items() if math.isfinite(v)}
    return " ".join([stamp, *(f"{n}={text(v)}" for n, v in finite.items())])


class Recorder:
    """A callback of ``Trainer.fit`` that writes metrics.csv and metrics.log."""

    def __init__(self, run: RunDirectory, resumed: bool, model: Model) -> None:
        self.run = run
        self.columns = columns_of(model)
        self.sums: list[StepStats] = []
        self.best = math.inf
        self._resumed = resumed
        self._rows: csv.DictWriter[str] | None = None
        self._csv: TextIO | None = None

    def _open(self, progress: Progress) -> csv.DictWriter[str]:
        """At the first event."""
        kept = self._kept(progress) if self._resumed else []
        self._csv = open(self.run["metrics.csv"], "w", newline="", encoding="utf-8")
        self._rows = csv.DictWriter(self._csv, self.columns, restval="")
        self._rows.writeheader()
        self._rows.writerows(kept)
        return self._rows

    def _kept(self, progress: Progress) -> list[dict[str, str]]:
        done = done_before(progress)
        rows = kept_rows(self.run["metrics.csv"], done, self.columns, progress.event)
        losses = [float(row["val_loss"]) for row in rows if row["val_loss"]]
        self.best = min(losses, default=math.inf)
        return rows

    @property
    def started(self) -> bool:
        """Did anything happen in this fit?"""
        return self._rows is not None

    def __call__(self, progress: Progress) -> None:
        if progress.event == "early stop":
            return
        rows = self._rows or self._open(progress)
        row: dict[str, Any] = {
            "event": progress.event,
            "epoch": progress.epoch,
            "seconds": round(progress.seconds, 3),
            **progress.stats.flat(),
        }
        if progress.event == "step":
            self.sums.append(progress.stats)
        elif progress.validation is not None:
            row.update(progress.validation.flat())
        rows.writerow({name: text(value) for name, value in row.items()})
        if progress.event == "epoch" and self._csv is not None:
            self._csv.flush()
            self._log(progress)

    def _log(self, progress: Progress) -> None:
        figures: dict[str, Any] = {"epoch": progress.epoch, "step": progress.step}
        rows = [stats.flat() for stats in self.sums]
        losses = (n for n in self.columns if n == "loss" or n.startswith("loss_"))
        for name in losses:
            values = [row[name] for row in rows]
            figures[f"train_{name}"] = sum(values) / len(values) if values else math.nan
        self.sums = []
        if progress.validation is not None:
            figures.update(progress.validation.flat())
        line = metrics_line(figures)
        with open(self.run["metrics.log"], "a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)

    def close(self) -> None:
        """Finishes metrics.csv."""
        if self._csv is not None:
            self._csv.close()
