# SPDX-License-Identifier: Apache-2.0
"""What a task found, beside its truth: of any name, kind and object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from ..model import Model
from ..scores import Scores
from ..tasks import GAUSSIAN, VERTEXING, Task


@dataclass
class Found:
    """Of the rows of a task: jets, or constituents jet by jet."""

    task: Task
    found: NDArray[
        Any
    ]  #: (N, classes) probabilities, (N, targets) values, (N) vertices
    truth: NDArray[
        Any
    ]  #: (N) classes or vertices, negative = none; (N, targets) values
    stddev: NDArray[Any] | None = None  #: (N, targets) of a gaussian regression
    counts: NDArray[np.int64] | None = None  #: rows of each jet; None: one a jet

    def __post_init__(self) -> None:
        for name in ("truth", "stddev"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.found):
                raise ShapeError(
                    f"{self.task.name}: {len(value)} of {name} for "
                    f"{len(self.found)} rows"
                )

    def by_row(self, values: Any) -> Any:
        """A value a jet as one a row."""
        return values if self.counts is None else np.repeat(values, self.counts)

    def select(self, keep: Any) -> Found:
        """The rows of some of the jets."""
        rows = self.by_row(keep)
        return replace(
            self,
            found=self.found[rows],
            truth=self.truth[rows],
            stddev=None if self.stddev is None else self.stddev[rows],
            counts=None if self.counts is None else self.counts[keep],
        )


def wanted(model: Model, tables: Mapping[str, Any]) -> dict[str, Task]:
    """Tasks whose truth the tables have, but the one of the jet classes."""
    return {
        task.name: task
        for task in model.tasks.values()
        if not task.flavour and _has_truth(task, tables.get(task.object))
    }


def _has_truth(task: Task, table: Any) -> bool:
    if table is None or not (task.on_jets or "valid" in table.dtype.names):
        return False
    names = task.targets if task.regresses else (task.label,)
    return all(name in table.dtype.names for name in names)


def outputs(task: Task) -> list[str]:
    """Outputs of the tagger that are asked for."""
    return [task.output(s) for s in ("", "_stddev") if s in task.suffixes]


def found(task: Task, scores: list[Scores], table: Any) -> Found:
    """Rows of a task of consecutive calls, and the table they are of."""
    values = [np.concatenate([s[name] for s in scores]) for name in outputs(task)]
    valid = None if task.on_jets else table["valid"] != 0

    def flat(array: Any) -> Any:
        rows = array if valid is None else array[valid]
        return rows[:, None] if task.regresses and rows.ndim == 1 else rows

    return Found(
        task,
        flat(values[0]),
        _truth(task, table if valid is None else table[valid]),
        flat(values[1]) if task.kind == GAUSSIAN else None,
        None if valid is None else valid.sum(1).astype(np.int64),
    )


def _truth(task: Task, rows: Any) -> Any:
    if task.regresses:
        return np.stack([rows[name].astype(np.float64) for name in task.targets], 1)
    truth = rows[task.label].astype(np.int64)
    if task.kind == VERTEXING:
        return truth
    return np.where(truth < len(task.classes), truth, -1)
