# SPDX-License-Identifier: Apache-2.0
"""A run of MLflow (REST interface 2.0), by the standard library.

The environment as for MLflow's own client: MLFLOW_TRACKING_URI, MLFLOW_TRACKING_TOKEN
or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, MLFLOW_EXPERIMENT_NAME.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ...errors import FileError, InvalidArgument
from ..books import Trial
from . import _http

#: what a server takes at once
_METRICS, _PARAMS = 1000, 100
#: state of a trial -> status of a run
_STATUS = {
    "done": "FINISHED",
    "cached": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "pruned": "KILLED",
    "stopped": "KILLED",
    "running": "RUNNING",
}
Item = TypeVar("Item")


def _now() -> int:
    return round(time.time() * 1000)


def _parts(rows: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


class MLflow:
    """Tells a tracking server.

    Args:
        place: its address; empty: MLFLOW_TRACKING_URI.
    """

    def __init__(self, place: str, folder: str) -> None:
        address = place or os.environ.get("MLFLOW_TRACKING_URI", "")
        if not address.startswith(("http://", "https://")):
            raise InvalidArgument(
                f"MLflow's address {address!r} is none: mlflow:http://HOST:PORT or "
                "MLFLOW_TRACKING_URI"
            )
        self.address = address.rstrip("/")
        self._run = ""

    @staticmethod
    def _headers() -> dict[str, str]:
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        user = os.environ.get("MLFLOW_TRACKING_USERNAME")
        if token:
            return {"Authorization": f"Bearer {token}"}
        if user:
            word = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
            coded = base64.b64encode(word.encode()).decode()
            return {"Authorization": f"Basic {coded}"}
        return {}

    def _post(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self.address}/api/2.0/mlflow/{what}"
        return _http.post(url, body, self._headers())

    def _experiment(self, name: str) -> str:
        url = f"{self.address}/api/2.0/mlflow/experiments/get-by-name"
        try:
            found = _http.get(url, {"experiment_name": name}, self._headers())
            return str(found["experiment"]["experiment_id"])
        except FileError as problem:
            if " 404 " not in str(problem):
                raise
        try:
            made = self._post("experiments/create", {"name": name})
            return str(made["experiment_id"])
        except FileError:  # another worker made it
            found = _http.get(url, {"experiment_name": name}, self._headers())
            return str(found["experiment"]["experiment_id"])

    def begin(self, trial: Trial, steps: int) -> None:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or trial.space or "gn2"
        facts = {"gn2.version": trial.version, "gn2.config": trial.config}
        body = {
            "experiment_id": self._experiment(name),
            "run_name": trial.name,
            "start_time": _now(),
            "tags": [{"key": k, "value": v} for k, v in facts.items() if v],
        }
        self._run = str(self._post("runs/create", body)["run"]["info"]["run_id"])
        given = {**trial.options, **trial.parameters}
        rows = [{"key": k, "value": v} for k, v in given.items()]
        for part in _parts(rows, _PARAMS):
            self._post("runs/log-batch", {"run_id": self._run, "params": part})

    def _batch(self, step: int, figures: Mapping[str, float]) -> None:
        now = _now()
        rows = [
            {"key": name, "value": value, "timestamp": now, "step": step}
            for name, value in figures.items()
        ]
        for part in _parts(rows, _METRICS):
            self._post("runs/log-batch", {"run_id": self._run, "metrics": part})

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._batch(step, figures)

    def end(self, trial: Trial) -> None:
        if trial.resources:
            step = max((step for step, _ in trial.curve), default=0)
            self._batch(step, trial.resources)
        body = {"run_id": self._run, "status": _STATUS[trial.state], "end_time": _now()}
        self._post("runs/update", body)
