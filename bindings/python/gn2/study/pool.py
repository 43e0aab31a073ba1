# SPDX-License-Identifier: Apache-2.0
"""Runs in processes of their own, some at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

from ..errors import StateError
from .task import Task


def results(
    tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Tasks with what was found, as they end. When the caller stops, all stop."""
    children: set[subprocess.Popen[str]] = set()
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        futures: dict[Future[dict[str, Any]], Task] = {
            pool.submit(_work, task, children): task for task in tasks
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in list(children):
            child.kill()
        pool.shutdown()


def _work(task: Task, children: set[subprocess.Popen[str]]) -> dict[str, Any]:
    request = {**vars(task), "options": dict(task.options)}
    child = subprocess.Popen(
        [sys.executable, "-m", "gn2.study.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    children.add(child)
    try:
        out, err = child.communicate(json.dumps(request))
    finally:
        children.discard(child)
    if child.returncode:
        why = err.strip().splitlines()[-1] if err.strip() else "no message"
        raise StateError(f"a run failed ({child.returncode}): {why}")
    found: dict[str, Any] = json.loads(out)
    return found
