# SPDX-License-Identifier: Apache-2.0
"""Tells others how a trial goes: TensorBoard, MLflow, the status of a TrainJob.

One way only: files of the trial stay the truth. A logger works on a thread of its own
behind a queue of limited length, so none can disturb or slow a training; what it could
not tell is counted and said at the end.

tensorboard.py  event files
mlflow.py       the REST interface of a tracking server
trainjob.py     progress and metrics of Kubeflow Trainer's TrainJob
"""

from __future__ import annotations

import importlib
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from ...errors import InvalidArgument
from ..books import Trial


class Logger(Protocol):
    """Whom to tell."""

    def begin(self, trial: Trial, steps: int) -> None:
        """A trial starts, or goes on.

        Args:
            steps: how many it will have.
        """

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Finite figures of a step, by their names in the metrics file."""

    def end(self, trial: Trial) -> None:
        """It has ended, as the trial says."""


#: word -> (module, class, what the place behind the colon is)
LOGGERS = {
    "tensorboard": ("tensorboard", "TensorBoard", "folder (OUT/tensorboard)"),
    "mlflow": ("mlflow", "MLflow", "address of the server (MLFLOW_TRACKING_URI)"),
    "trainjob": ("trainjob", "TrainJob", "none: KUBEFLOW_TRAINER_SERVER_URL"),
}


def make(word: str, folder: str | os.PathLike[str]) -> Logger:
    """A logger of ``NAME`` or ``NAME:PLACE``; during a training in :class:`Background`.

    Args:
        folder: of the trial.

    Raises:
        InvalidArgument: no such logger, or its place is missing.
    """
    name, _, place = word.partition(":")
    if name not in LOGGERS:
        raise InvalidArgument(f"logger {name!r} is none of {', '.join(LOGGERS)}")
    module, kind, _ = LOGGERS[name]
    made = getattr(importlib.import_module(f"{__name__}.{module}"), kind)
    found: Logger = made(place, os.fspath(folder))
    return found


class Background:
    """A logger on a thread of its own.

    Args:
        length: how many calls may wait; more are dropped and counted.
        patience: seconds that :meth:`end` waits for those that do.
    """

    def __init__(
        self, logger: Logger, name: str, length: int = 1000, patience: float = 5.0
    ) -> None:
        self.name, self.patience = name, patience
        self.lost = 0  #: calls that came to nothing
        self.problem = ""  #: the first that was
        self._logger = logger
        self._calls: queue.Queue[Callable[[], None] | None] = queue.Queue(length)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except (
                Exception
            ) as problem:  # noqa: BLE001  whatever it is, training goes on
                self._note(f"{type(problem).__name__}: {problem}")

    def _note(self, problem: str) -> None:
        self.lost += 1
        self.problem = self.problem or problem

    def _put(self, call: Callable[[], None]) -> None:
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            self._note(f"more than {self._calls.maxsize} figures wait")

    def begin(self, trial: Trial, steps: int) -> None:
        self._put(lambda: self._logger.begin(trial, steps))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        kept = dict(figures)
        self._put(lambda: self._logger.log(step, kept))

    def end(self, trial: Trial) -> str:
        """Tells the end; returns what went wrong, empty if nothing did."""
        until = time.monotonic() + self.patience
        self._put(lambda: self._logger.end(trial))
        try:
            self._calls.put(None, timeout=self.patience)
        except queue.Full:
            pass
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self._note(f"no answer within {self.patience:g} s")
        if not self.lost:
            return ""
        return f"{self.name}: {self.lost} calls came to nothing ({self.problem})"


def replay(
    logger: Logger, trial: Trial, rows: list[tuple[int, dict[str, float]]]
) -> None:
    """Tells a logger of a trial that has ended.

    Args:
        rows: (step, figures) of its metrics file.
    """
    last = max((step for step, _ in rows), default=0)
    logger.begin(trial, last)
    for step, figures in rows:
        logger.log(step, figures)
    logger.end(trial)
