# SPDX-License-Identifier: Apache-2.0
"""Progress and metrics of a TrainJob (Kubeflow Trainer ≥ 2.2, gate TrainJobStatus).

Trainer gives the pod KUBEFLOW_TRAINER_SERVER_URL and the paths of a certificate and a
token, KUBEFLOW_TRAINER_SERVER_CA_CERT and KUBEFLOW_TRAINER_SERVER_TOKEN.
"""

from __future__ import annotations

import datetime
import os
import ssl
import time
from collections.abc import Mapping

from ...errors import InvalidArgument
from ..books import Trial
from . import _http

_PREFIX = "KUBEFLOW_TRAINER_SERVER_"
#: seconds between two messages, at least
INTERVAL = 5.0


class TrainJob:
    """Tells Trainer's server.

    Args:
        interval: seconds between two messages, at least.
    """

    def __init__(self, place: str, folder: str, interval: float = INTERVAL) -> None:
        self.url = place or os.environ.get(f"{_PREFIX}URL", "")
        if not self.url.startswith("https://"):
            raise InvalidArgument(
                f"{_PREFIX}URL is {self.url!r}: Trainer sets it to an https address"
            )
        self.interval = interval
        self._steps, self._first = 1, 0
        self._start = self._last = -float("inf")
        self._figures: dict[str, float] = {}

    def begin(self, trial: Trial, steps: int) -> None:
        self._steps, self._start = max(1, steps), time.monotonic()
        self._first = max((step for step, _ in trial.curve), default=0)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._figures.update(figures)
        if time.monotonic() - self._last >= self.interval:
            self._tell(step)

    def end(self, trial: Trial) -> None:
        done = trial.state in ("done", "cached", "diverged")
        last = max((step for step, _ in trial.curve), default=0)
        self._figures.update(trial.metrics)
        self._tell(self._steps if done else last)

    def _left(self, step: int) -> int | None:
        done = step - self._first
        if done <= 0:
            return None
        spent = time.monotonic() - self._start
        return round(spent / done * (self._steps - step))

    def _tell(self, step: int) -> None:
        self._last = time.monotonic()
        now = datetime.datetime.now(datetime.timezone.utc)
        status: dict[str, object] = {
            "progressPercentage": min(100, 100 * step // self._steps),
            "metrics": [
                {"name": name, "value": f"{value:.9g}"}
                for name, value in self._figures.items()
            ],
            "lastUpdatedTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        left = self._left(step)
        if left is not None:
            status["estimatedRemainingSeconds"] = max(0, left)
        # the token is renewed while the pod lives
        with open(os.environ[f"{_PREFIX}TOKEN"], encoding="utf-8") as file:
            token = file.read().strip()
        trust = ssl.create_default_context(cafile=os.environ[f"{_PREFIX}CA_CERT"])
        headers = {"Authorization": f"Bearer {token}"}
        _http.post(self.url, {"trainerStatus": status}, headers, trust)
