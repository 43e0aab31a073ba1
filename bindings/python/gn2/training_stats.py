# SPDX-License-Identifier: Apache-2.0
"""What a training tells: steps, metrics, progress, probes. As in
``include/gn2/trainer.h``."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _ffi, tasks
from ._figure_names import of_figure
from .errors import NotFound

WORKING_POINTS = (0.65, 0.70, 0.77, 0.85)  #: b-efficiencies of Metrics.rejection


def _by_column(losses: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    return ((tasks.loss_name(task), loss) for task, loss in losses.items())


class StepStats(NamedTuple):
    """Outcome of one optimiser step; losses are already times their weights.

    ``loss_jets``, ``loss_origin`` and ``loss_vertex`` are those of GN2's three tasks,
    NaN if the model has no such task.
    """

    step: int  #: steps done, this one included
    jets: int  #: jets of the batch
    tokens: int  #: constituents and registers of the batch
    loss: float  #: total, before the update
    losses: dict[str, float]  #: of each task, by its name
    learning_rate: float  #: used by this update, before multipliers
    beta1: float  #: AdamW β1 or SGD momentum used by this update
    gradient_norm: float  #: L2, before clipping

    def columns(self) -> Iterator[tuple[str, float]]:
        """All with their names in a table: ``loss_jets``, ``loss_NAME``."""
        for name in self._fields:
            if name == "losses":
                yield from _by_column(self.losses)
            else:
                yield name, getattr(self, name)

    def flat(self) -> dict[str, float]:
        """All by name, as :meth:`columns`."""
        return dict(self.columns())

    @property
    def loss_jets(self) -> float:
        return self.losses.get(tasks.FLAVOUR_TASK, math.nan)

    @property
    def loss_origin(self) -> float:
        return self.losses.get(tasks.ORIGIN_TASK, math.nan)

    @property
    def loss_vertex(self) -> float:
        return self.losses.get(tasks.VERTEX_TASK, math.nan)


class Metrics(NamedTuple):
    """Quality on a dataset.

    ``metrics["NAME.accuracy"]`` is any figure of the library's list (``gn2_metrics`` in
    trainer.h); those of GN2's own tasks and of b-tagging with the model's D_b have
    attributes, NaN where the model has no such task or class.
    """

    jets: int  #: jets evaluated
    loss: float  #: sum of ``losses``: NaN as soon as one of them is
    #: of each task, times its weight; NaN where no row of the jets has a label of it
    losses: dict[str, float]
    figures: dict[str, float]  #: of merit: "TASK.accuracy", "D_b.rejection_77_cjets" …
    auc_b_light: float  #: area under the ROC curve of D_b, b against light
    auc_b_c: float  #: the same, b against c
    cut: NDArray[np.float64]  #: (4) cuts on D_b at WORKING_POINTS
    rejection: NDArray[np.float64]  #: (4, 3) at WORKING_POINTS: light, c, tau

    def __getitem__(self, name: Any) -> Any:
        if not isinstance(name, str):
            return tuple(self)[name]
        if name not in self.figures:
            raise NotFound(f"no metric '{name}'; there are {', '.join(self.figures)}")
        return self.figures[name]

    def _own(self, task: str, figure: str) -> float:
        return self.figures.get(f"{task}.{figure}", math.nan)

    @property
    def loss_jets(self) -> float:
        return self.losses.get(tasks.FLAVOUR_TASK, math.nan)

    @property
    def loss_origin(self) -> float:
        return self.losses.get(tasks.ORIGIN_TASK, math.nan)

    @property
    def loss_vertex(self) -> float:
        return self.losses.get(tasks.VERTEX_TASK, math.nan)

    @property
    def accuracy(self) -> float:
        """Share of jets whose largest probability is right."""
        return self._own(tasks.FLAVOUR_TASK, "accuracy")

    @property
    def origin_accuracy(self) -> float:
        """Share of labelled tracks with the right origin."""
        return self._own(tasks.ORIGIN_TASK, "accuracy")

    @property
    def pair_efficiency(self) -> float:
        """True track pairs found by the vertexing."""
        return self._own(tasks.VERTEX_TASK, "pair_efficiency")

    @property
    def pair_purity(self) -> float:
        """Found track pairs that are true."""
        return self._own(tasks.VERTEX_TASK, "pair_purity")

    def columns(self, prefix: str = "val_") -> Iterator[tuple[str, float]]:
        """Figures with their names in a table: ``val_loss``, ``val_loss_NAME``,
        ``val_accuracy``, and of every discriminant of the model areas, cuts and
        rejections: ``val_D_c_rejection_77_bjets``. Those of D_b that have attributes
        are called as these: ``val_rejection_light_77``."""
        return ((prefix + name, value) for name, value in self._figures())

    def flat(self, prefix: str = "val_") -> dict[str, float]:
        """Figures by name, as :meth:`columns`."""
        return dict(self.columns(prefix))

    def _figures(self) -> Iterator[tuple[str, float]]:
        yield "jets", self.jets
        yield "loss", self.loss
        yield from _by_column(self.losses)
        for name, value in self.figures.items():
            task, _, figure = name.partition(".")
            if task in self.losses:
                yield tasks.figure_name(task, figure), value
            elif (found := of_figure(name)) is not None:
                yield found.column, value

    @property
    def has_d_b(self) -> bool:
        """Does the model have the discriminant D_b?"""
        return "D_b.cut_77" in self.figures


class Progress(NamedTuple):
    """Where a run stands; what callbacks of :meth:`Trainer.fit` get."""

    #: "step"; "validation" after one inside an epoch (``train.validate_steps``);
    #: "epoch" after an epoch and its validation; "early stop" behind the last of
    #: either where ``train.early_stopping`` ends the run
    event: str
    epoch: int  #: current epoch, from 0
    epochs: int  #: epochs planned
    step: int  #: steps done in the run
    steps: int  #: steps planned in the run
    seconds: float  #: since fit() was called
    #: the last step; of counts 0 and figures NaN where this fit() has done none yet
    stats: StepStats
    #: None at "step", and without validation data
    validation: Metrics | None


class Probe(NamedTuple):
    """Statistics of one module or tensor on a batch; see :meth:`Trainer.probe`.

    x are the outputs of a module over valid rows, or the weights of a tensor; x₀ the
    same with the weights of the start, the model the trainer was made of.
    """

    kind: str  #: "module" or "tensor"
    name: str  #: e.g. "layer0", "encoder.out_proj.weight"
    count: int  # type: ignore[assignment]  #: values seen
    mean_abs: float  #: mean abs(x)
    rms: float  #: square root of the mean x²
    max_abs: float  #: largest abs(x)
    change_mean_abs: float  #: mean abs(x - x₀)
    change_rms: float  #: square root of the mean (x - x₀)²
    dead_share: float  #: before a ReLU: share of units ≤ 0 in every row; else NaN
    gradient_rms: float  #: tensor: gradient of the last step, before clipping, or NaN
    update_rms: float  #: tensor: what the last step changed, or NaN


class History:
    """What happened in a :meth:`Trainer.fit`."""

    def __init__(self) -> None:
        self.steps: list[StepStats] = []
        self.validation: list[Metrics] = []  #: of epochs' ends and inside epochs
        self.validation_steps: list[int] = []  #: steps done at each of them
        self.stopped = False  #: whether it was stopped before its last step
        self.early = False  #: whether ``train.early_stopping`` ended it

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """A figure of every step, e.g. ``history["loss"]``, or with ``val_`` before its
        name of every validation."""
        if name.startswith("val_"):
            return np.array([m.flat()[name] for m in self.validation])
        rows = [stats.flat() for stats in self.steps]
        if rows and name not in rows[0]:
            raise KeyError(f"no '{name}'; there are {', '.join(rows[0])}")
        return np.array([row[name] for row in rows], float)

    def __repr__(self) -> str:
        last = f", last loss {self.steps[-1].loss:.4f}" if self.steps else ""
        best = min((m.loss for m in self.validation), default=None)
        more = f", best validation loss {best:.4f}" if best is not None else ""
        return f"gn2.History({len(self.steps)} steps{last}{more})"


def _losses(c: Any, names: Sequence[str]) -> dict[str, float]:
    if not c.task_losses:
        return {}
    values = (ctypes.c_double * c.task_count).from_address(c.task_losses)
    return dict(zip(names, values))


def stats_of(c: _ffi.StepStats, names: Sequence[str]) -> StepStats:
    return StepStats(
        c.step,
        c.jets,
        c.tokens,
        c.loss,
        _losses(c, names),
        c.learning_rate,
        c.beta1,
        c.gradient_norm,
    )


def metrics_of(c: _ffi.Metrics, names: Sequence[str]) -> Metrics:
    figures = (c.metrics[i] for i in range(c.metric_count))
    return Metrics(
        c.jets,
        c.loss,
        _losses(c, names),
        {figure.name.decode(): figure.value for figure in figures},
        c.auc_b_light,
        c.auc_b_c,
        np.array(c.cut),
        np.array(c.rejection),
    )


def probe_of(c: _ffi.ProbeStats) -> Probe:
    module = c.kind == _ffi.CONSTANTS["GN2_PROBE_MODULE"]
    numbers: Any = [getattr(c, name) for name in Probe._fields[2:]]
    return Probe("module" if module else "tensor", c.name.decode(), *numbers)


_EVENTS = {
    _ffi.CONSTANTS["GN2_EVENT_STEP"]: "step",
    _ffi.CONSTANTS["GN2_EVENT_EPOCH"]: "epoch",
    _ffi.CONSTANTS["GN2_EVENT_EARLY_STOP"]: "early stop",
    _ffi.CONSTANTS["GN2_EVENT_VALIDATION"]: "validation",
}


def progress_of(c: _ffi.Progress, names: Sequence[str]) -> Progress:
    return Progress(
        _EVENTS[c.event],
        c.epoch,
        c.epochs,
        c.step,
        c.steps,
        c.seconds,
        stats_of(c.stats.contents, names),
        metrics_of(c.validation.contents, names) if c.validation else None,
    )
