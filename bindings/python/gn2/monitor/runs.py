# SPDX-License-Identifier: Apache-2.0
"""Run directories while they grow: each look reads what was added since the last."""

from __future__ import annotations

import csv
import functools
import json
import os
import pathlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

FACTS, TABLE = "run.json", "metrics.csv"
STEPS = 100  #: of which the rate is the mean
#: metric, by the column of a row of any event
_FIGURES = {
    "step": "gn2_run_step",
    "epoch": "gn2_run_epoch",
    "seconds": "gn2_run_seconds",
    "learning_rate": "gn2_run_learning_rate",
    "gradient_norm": "gn2_run_gradient_norm",
}
#: metric, by the beginning of columns of losses
_LOSSES = {"loss": "gn2_run_loss", "val_loss": "gn2_run_validation_loss"}
ALL = "all"  #: stands for the sum of the tasks
#: (metric, labels but the first, value)
Sample = tuple[str, tuple[str, ...], float]


def is_run(folder: pathlib.Path) -> bool:
    """Is, or was, a training at work here?"""
    return any(os.path.isfile(folder / name) for name in (TABLE, FACTS))


class Tail:
    """A CSV file that grows, and may be cut off or made anew."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._file: tuple[int, int] | None = None
        self._at = 0
        self._header: list[str] = []

    def rows(self) -> tuple[bool, Iterator[dict[str, str]]]:
        """Whether it begins anew, and the whole rows that were added."""
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                fresh = self._is_fresh(file, status)
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return False, iter(())
        data = data[: data.rfind(b"\n") + 1]
        self._at += len(data)
        return fresh, self._parsed(data.decode("utf-8", "replace"))

    def _is_fresh(self, file: Any, status: os.stat_result) -> bool:
        same = self._file == (status.st_dev, status.st_ino)
        if same and 0 < self._at <= status.st_size:
            file.seek(self._at - 1)
            if file.read(1) == b"\n":
                return False
        self._file, self._at = (status.st_dev, status.st_ino), 0
        self._header = []
        return True

    def _parsed(self, text: str) -> Iterator[dict[str, str]]:
        for row in csv.reader(text.splitlines()):
            if not self._header:
                self._header = row
            elif len(row) == len(self._header):
                yield dict(zip(self._header, row))


@functools.lru_cache(maxsize=1024)
def _figure(column: str) -> tuple[str, tuple[str, ...]] | None:
    """Metric and label that a column is of."""
    if column in _FIGURES:
        return _FIGURES[column], ()
    for start, name in _LOSSES.items():
        if column == start:
            return name, (ALL,)
        if column.startswith(f"{start}_"):
            return name, (column[len(start) + 1 :],)
    return None


def number(text: str | None) -> float | None:
    """A number of a table; None where there is none."""
    try:
        return float(text or "")
    except ValueError:
        return None


class Run:
    """A run directory, read again and again."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._tail = Tail(folder / TABLE)
        self._clear()

    def _clear(self) -> None:
        self._figures: dict[tuple[str, tuple[str, ...]], float] = {}
        self._best: float | None = None
        self._steps: deque[tuple[float, float]] = deque(maxlen=STEPS)

    def samples(self) -> Iterator[Sample]:
        """What there is to tell now."""
        fresh, rows = self._tail.rows()
        if fresh:
            self._clear()
        for row in rows:
            self._add(row)
        state = self._state()
        if state:
            yield "gn2_run_state", (state,), 1.0
        for (name, labels), value in self._figures.items():
            yield name, labels, value
        if self._best is not None:
            yield "gn2_run_best_loss", (), self._best
        rate = self._rate()
        if rate is not None:
            yield "gn2_run_jets_per_second", (), rate
        try:
            time = os.stat(self.folder / TABLE).st_mtime
        except FileNotFoundError:
            return
        yield "gn2_run_updated_seconds", (), time

    def _state(self) -> str:
        try:
            facts = json.loads((self.folder / FACTS).read_text("utf-8"))
            return str(facts["state"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return ""

    def _add(self, row: Mapping[str, str]) -> None:
        for column, text in row.items():
            figure = _figure(column)
            if figure is None:
                continue
            value = number(text)
            if value is not None:
                self._figures[figure] = value
        loss = number(row.get("val_loss"))
        if loss is not None and loss == loss:
            self._best = loss if self._best is None else min(loss, self._best)
        if row.get("event") == "step":
            self._time(number(row.get("seconds")), number(row.get("jets")))

    def _time(self, seconds: float | None, jets: float | None) -> None:
        if seconds is None or jets is None:
            return
        if self._steps and seconds < self._steps[-1][0]:
            self._steps.clear()  # a run that went on counts anew
        self._steps.append((seconds, jets))

    def _rate(self) -> float | None:
        if len(self._steps) < 2:
            return None
        seconds = self._steps[-1][0] - self._steps[0][0]
        jets = sum(jets for _, jets in self._steps) - self._steps[0][1]
        return jets / seconds if seconds > 0 else None
