# SPDX-License-Identifier: Apache-2.0
"""Finished runs in a folder of CSV files, to go on from and to look at.

runs.csv    a row a run: key, options, figures; written last, so a run that is in it is
            complete in the others too
curves.csv  training loss, means over blocks of steps
probes.csv  sizes of activations and of their changes, of coordinate checks

Rows are added when a run ends and never changed. A process that is killed leaves at
most rows of a run that is not in runs.csv, which is then done again; a line cut short
is passed over.
"""

from __future__ import annotations

import csv
import fcntl
import os
import pathlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import __version__
from ..errors import StateError
from .task import VALIDATION, Task

Pair = tuple[float, float]
COSTS = ("core_seconds", "trainer_mb", "peak_mb")
FIGURES = ("first_loss", "train_loss", *VALIDATION, *COSTS)
RUN_COLUMNS: tuple[str, ...] = ("key", "kind", "version", "data", "state", "steps")
RUN_COLUMNS += (*FIGURES, "options", "message")
CURVE_COLUMNS = ("key", "step", "loss")
PROBE_COLUMNS = ("key", "step", "module", "mean_abs", "change_mean_abs")


@dataclass(frozen=True)
class Run:
    """A finished run."""

    key: str
    state: str  #: "done", or "diverged": a loss or gradient was not finite
    steps: int  #: done
    figures: dict[str, float]  #: FIGURES; NaN where there is none

    def __getitem__(self, name: str) -> float:
        return self.figures[name]

    @property
    def diverged(self) -> bool:
        """Not finite, or no better at the end than at the start."""
        return self.state != "done" or not self["train_loss"] < self["first_loss"]


def _number(value: str | None) -> float:
    return float(value) if value else float("nan")


def _rows(path: pathlib.Path, columns: Sequence[str]) -> Iterable[dict[str, str]]:
    """Complete lines of a file; none where there is no file."""
    if not path.exists():
        return
    with open(path, newline="", encoding="utf-8") as file:
        lines = file.read().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    reader = csv.DictReader(whole)
    if whole and tuple(reader.fieldnames or ()) != tuple(columns):
        raise StateError(f"'{path}' has other columns than this version writes")
    yield from reader


class Store:
    """The folder. One study at a time may add to it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = -1
        self._runs: dict[str, Run] = {}
        for row in _rows(self.path / "runs.csv", RUN_COLUMNS):
            self._keep(row)
        self._curves: dict[str, dict[int, float]] | None = None
        self._probes: dict[str, dict[tuple[int, str], Pair]] | None = None

    def _keep(self, row: dict[str, str]) -> None:
        figures = {name: _number(row[name]) for name in FIGURES}
        self._runs[row["key"]] = Run(
            row["key"], row["state"], int(row["steps"]), figures
        )

    def __enter__(self) -> Store:
        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StateError(f"'{self.path}': another study is writing to it") from None
        for name in ("runs.csv", "curves.csv", "probes.csv"):
            _drop_torn(self.path / name)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def find(self, task: Task) -> Run | None:
        """The run of a task, if it is finished."""
        return self._runs.get(task.key)

    def add(self, task: Task, found: dict[str, Any]) -> None:
        """Keeps what a worker found."""
        key = task.key
        self._append("curves.csv", CURVE_COLUMNS, key, found.get("curve", ()))
        self._append("probes.csv", PROBE_COLUMNS, key, found.get("probes", ()))
        row = {
            "key": key,
            "kind": task.kind,
            "version": __version__,
            "data": task.data,
            "state": found["state"],
            "steps": str(found["steps"]),
            "options": " ".join(f"{name}={value}" for name, value in task.options),
            "message": found["message"],
        }
        row.update({n: _text(v) for n, v in found["figures"].items()})
        line = [row.get(name, "") for name in RUN_COLUMNS]
        self._append("runs.csv", RUN_COLUMNS, None, [line])
        self._keep(dict(zip(RUN_COLUMNS, line)))
        self._curves = self._probes = None

    def _append(
        self, name: str, columns: Sequence[str], key: str | None, rows: Iterable[Any]
    ) -> None:
        path = self.path / name
        first = [] if key is None else [key]
        lines = [[*first, *map(_text, row)] for row in rows]
        if not lines:
            return
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if file.tell() == 0:
                writer.writerow(columns)
            writer.writerows(lines)
            file.flush()
            os.fsync(file.fileno())

    def curve(self, run: Run) -> tuple[Any, Any]:
        """Steps and training losses of a run."""
        if self._curves is None:
            self._curves = {}
            for row in _rows(self.path / "curves.csv", CURVE_COLUMNS):
                curve = self._curves.setdefault(row["key"], {})
                curve[int(row["step"])] = _number(row["loss"])
        points = sorted(self._curves.get(run.key, {}).items())
        return np.array([p[0] for p in points]), np.array([p[1] for p in points])

    def probes(self, run: Run) -> dict[tuple[int, str], Pair]:
        """(mean |x|, mean |Δx|) by (step, module) of a coordinate check."""
        if self._probes is None:
            self._probes = {}
            for row in _rows(self.path / "probes.csv", PROBE_COLUMNS):
                sizes = (_number(row["mean_abs"]), _number(row["change_mean_abs"]))
                place = (int(row["step"]), row["module"])
                self._probes.setdefault(row["key"], {})[place] = sizes
        return self._probes.get(run.key, {})


def _text(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _drop_torn(path: pathlib.Path) -> None:
    """Takes away a last line that was cut short."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
