# SPDX-License-Identifier: Apache-2.0
"""Training, as in ``include/gn2/trainer.h``."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any


from . import _ffi
from ._ffi import lib
from ._handle import Owner, make, path_bytes
from ._progress import Bar
from ._signals import Signals
from ._views import JetsView, LabelsView
from .config import Config, ConfigLike, as_config
from .dataset import Dataset
from .errors import Cancelled, InvalidArgument, StateError
from .group import Group, explained
from .model import Model
from .training_stats import (
    History,
    Metrics,
    Probe,
    Progress,
    StepStats,
    metrics_of,
    probe_of,
    progress_of,
    stats_of,
)

Callback = Callable[[Progress], Any]


class _Run:
    """One fit: what the C callback tells goes to history, bar and callbacks."""

    def __init__(self, callbacks: list[Callback], names: Sequence[str]) -> None:
        self.names = names
        self.history = History()
        self.callbacks = callbacks
        self.failure: BaseException | None = None
        self.asked = False
        self.c = _ffi.ProgressFn(self._tell)

    def _tell(self, _user: Any, progress: Any) -> int:
        # no exception may leave through C: it is kept, and raised by fit()
        try:
            return int(self._told(progress_of(progress.contents, self.names)))
        except BaseException as problem:  # noqa: BLE001
            self.failure = problem
            return 1

    def _told(self, progress: Progress) -> bool:
        if progress.event == "step":
            self.history.steps.append(progress.stats)
        elif progress.event == "early stop":
            self.history.early = True
        elif progress.validation is not None:
            self.history.validation.append(progress.validation)
            self.history.validation_steps.append(progress.step)
        for callback in self.callbacks:
            if callback(progress):
                self.asked = True
        return self.asked


#: beginnings of keys that a trainer reads from the model, not from its config
_FIXED = ("model.", "inputs.", "norm.", "task.", "input.", "discriminant.")


def fixed_by_model(key: str) -> bool:
    """Is an option settled when a model is made, so that a trainer cannot change it?
    What defines a discriminant is of use to :meth:`Trainer.evaluate`."""
    own = key.startswith("discriminant.") and key.endswith((".signal", ".fractions"))
    if own or key.startswith("model.dropout_"):
        return False
    return key.startswith(_FIXED) or key == "optim.decay_scaling"


def check_fixed(config: Config, model: Config, usual: Config | None = None) -> None:
    """Refuses options that a model fixes to something else, for they would do nothing.

    Args:
        usual: values that nobody has asked for, the defaults of a config of its own.

    Raises:
        InvalidArgument: with the key and both values.
    """
    for key, value in config.items():
        if not fixed_by_model(key) or value == model[key]:
            continue
        if usual is None or value != usual.get(key):
            raise InvalidArgument(
                f"{key} = {value!r}, but the model was made with {model[key]!r}, which "
                "a training cannot change"
            )


class Trainer(Owner):
    """Trains a private copy of a model's weights.

    Results depend on config, data and seeds, never on the number of threads, to the
    bit. One thread at a time, but :meth:`request_stop`.

    Args:
        model: a :class:`Model` or the path of a ``.gn2`` file: start of the weights.
        config: ``optim.*``, ``schedule.*``, ``train.*``, ``model.dropout_*``; a mapping
            is laid over the model's.
        group: ranks to train with: :meth:`step`, :meth:`fit`, :meth:`evaluate` and
            :meth:`load_checkpoint` are then calls of all of them, as making the trainer
            is. What fails on one, or stops one, does so on all. fit() has its progress
            bar and writes checkpoints on rank 0 only.

    Raises:
        InvalidArgument: an option that the model fixes (``model.*``, ``inputs.*``,
            ``norm.*``, ``task.*``, …) is set to something else; the ranks differ, or
            their number does not go with ``train.shards``.
    """

    def __init__(
        self,
        model: Model | str | os.PathLike[str],
        config: ConfigLike = None,
        *,
        group: Group | None = None,
    ) -> None:
        if not isinstance(model, Model):
            model = Model.load(model)
        own = model.config
        self.config = as_config(config, base=own).copy()
        check_fixed(self.config, own, Config() if isinstance(config, Config) else None)
        with model._guard as m, self.config._guard as c:
            handle = make(_ffi.Trainer, lib.gn2_trainer_create, m, c)
        super().__init__(handle, lib.gn2_trainer_free)
        self.group: Group | None = None  #: kept alive: the trainer borrows it
        self.history = History()  #: of the last fit
        self._view = JetsView(model.inputs, binds=False, strict=False)
        self.tasks = model.tasks  #: by name, in the order of the model
        self._truth = LabelsView(self.tasks, self._view.objects)
        self._fitting = False
        self._life = threading.Lock()
        if group is not None:
            self.join(group)

    @staticmethod
    def _make_lock() -> Any:
        return threading.RLock()  # callbacks of fit may save a checkpoint and probe

    def close(self) -> None:
        """Frees the C object. Later calls raise :class:`gn2.StateError`."""
        if not self.closed:
            with self._guard:
                self._outside_fit("close")
                with self._life:
                    super().close()

    def _outside_fit(self, what: str) -> None:
        if self._fitting:
            raise StateError(f"{what}() is not allowed in a callback of fit()")

    def join(self, group: Group) -> None:
        """Trains with the other ranks of a group from here on, as the argument of the
        class does; all stand at the same step.

        Raises:
            InvalidArgument: the ranks differ, the first difference is named; or their
                number does not go with ``train.shards``.
            StateError: it has joined a group already.
        """
        with self._guard as handle, group._guard as g:
            self._outside_fit("join")
            with explained(group):
                lib.gn2_trainer_join(handle, g)
            self.group = group

    # ---- training ----

    def step(
        self, jets: Any, tracks: Any, labels: Any, *, valid: Any = None
    ) -> StepStats:
        """One optimiser step on a batch.

        Args:
            jets, tracks, valid: as :meth:`Tagger.tag` takes them.
            labels: (B) class index, -1 = none; or by task, ``{"flavour": (B),
                "origin": rows of the tracks, "vertex": the same}``, negative = ignored;
                other tasks by their names, targets of a regression as (rows, targets)
                with NaN = none; ``"NAME.sample_weight"``: weights of its rows.

        Raises:
            InvalidArgument: a label is out of range, named; labels of a task are
                missing, or the weights ``task.NAME.sample_weight`` asks for;
                ``schedule.steps`` is 0.
            NumericError: an input, the loss or a gradient is not finite; the weights
                are unchanged.
            StateError: after the last step of the schedule.
        """
        c = _ffi.StepStats()
        with self._guard as handle:
            self._outside_fit("step")
            self._view.fill(jets, tracks, valid)
            try:
                self._truth.fill(labels, self._view)
                with explained(self.group):
                    lib.gn2_trainer_step(
                        handle,
                        self._view.pointer,
                        ctypes.byref(self._truth.c),
                        ctypes.byref(c),
                    )
            finally:
                self._view.release()
        return stats_of(c, list(self.tasks))

    def fit(
        self,
        train: Dataset,
        val: Dataset | None = None,
        *,
        progress: bool = True,
        callback: Callback | Iterable[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> History:
        """Trains for ``train.epochs`` epochs from where the trainer stands.

        Args:
            train, val: batches; ``val`` is evaluated after each epoch and every
                ``train.validate_steps`` steps. Inputs, classes and targets are found
                by name. One dataset may be both.
            progress: a bar in terminal or notebook (by tqdm, if installed).
            callback: called after every step, validation and epoch with a
                :class:`Progress`; it may save a checkpoint, take a snapshot and call
                :meth:`probe`; a true result stops the run. What it raises, fit()
                raises, with the trainer in a good state.
            checkpoint: file written after every validation and epoch and when the run
                is stopped or interrupted; ``train.checkpoint`` of the config does the
                same.

        Returns:
            the :class:`History`, also kept as :attr:`history`.

        Raises:
            KeyboardInterrupt: after Ctrl-C, when the step, or a batch of the
                validation, is finished and the checkpoint written; call fit() again
                to go on.
            StateError: no step is left to do.
            InvalidArgument: a dataset lacks inputs or classes of the model or labels of
                a task, ``val`` has no labelled row of a task, or a run that goes on
                gets batches of another size or number.
        """
        callbacks = [callback] if callable(callback) else list(callback)
        first = self.group is None or self.group.rank == 0
        if not first:
            progress, checkpoint = False, None
        if checkpoint is not None:
            callbacks.insert(0, self._saver(checkpoint))
        other = None if val is train else val
        with self._guard as handle, train._guard as t, _optional(other) as v:
            self._outside_fit("fit")
            bar = Bar() if progress else None
            run = _Run([*([bar] if bar else []), *callbacks], list(self.tasks))
            self.history = run.history
            self._fitting = True
            try:
                self._run(handle, t, t if val is train else v, run, checkpoint)
            finally:
                self._fitting = False
                if bar:
                    bar.close()
        return run.history

    def _run(self, handle: Any, train: Any, val: Any, run: _Run, path: Any) -> None:
        with self._stopped_by_signals(handle) as signals:
            try:
                with explained(self.group):
                    lib.gn2_trainer_fit(handle, train, val, run.c, None)
            except Cancelled:
                run.history.stopped = True
        if run.history.stopped and path is not None:
            lib.gn2_trainer_checkpoint_save(handle, path_bytes(path))
        signals.deliver()
        if run.failure is not None:
            raise run.failure

    def _stopped_by_signals(self, handle: Any) -> Signals:
        return Signals(lambda: lib.gn2_trainer_request_stop(handle))

    def _saver(self, path: str | os.PathLike[str]) -> Callback:
        def save(progress: Progress) -> None:
            if progress.event in ("epoch", "validation"):
                self.save_checkpoint(path)

        return save

    def request_stop(self) -> None:
        """Asks a running fit() or evaluate() to stop after the batch under way. From
        any thread."""
        with self._life:
            if self.closed:
                raise StateError("this Trainer is closed")
            lib.gn2_trainer_request_stop(self._guard.handle)

    def evaluate(self, dataset: Dataset) -> Metrics:
        """Losses and metrics of the present weights on a dataset, whose inputs, classes
        and targets are found by name. The loss of a task without a labelled row is NaN,
        and so is the total.

        Raises:
            InvalidArgument: the dataset lacks inputs or classes of the model, or the
                labels of all tasks.
            KeyboardInterrupt, Cancelled: after Ctrl-C, :meth:`request_stop`.
        """
        c = _ffi.Metrics()
        stopped: Cancelled | None = None
        with self._guard as handle, dataset._guard as d:
            self._outside_fit("evaluate")
            with self._stopped_by_signals(handle) as signals:
                try:
                    with explained(self.group):
                        lib.gn2_trainer_evaluate(handle, d, ctypes.byref(c))
                except Cancelled as problem:
                    stopped = problem
        signals.deliver()
        if stopped is not None:
            raise stopped
        return metrics_of(c, list(self.tasks))

    def probe(self, jets: Any, tracks: Any = None, *, valid: Any = None) -> list[Probe]:
        """Statistics of every module and tensor on a batch, for coordinate checks: are
        activations, their changes, gradients and updates of one size at all widths?

        The batch goes forward with the present weights and with those of the start,
        without dropout. Training goes on as if there had been no probe, to the bit. May
        be called in a callback of :meth:`fit`, on its thread.

        Args:
            jets, tracks, valid: as :meth:`Tagger.tag` takes them; at least one jet.

        Returns:
            the modules in the order of the network (``init_pre``, ``init``; of each
            layer ``attn_logits0``, ``attn0``, ``ffn_pre0``, ``ffn0``, ``layer0``;
            ``readout``, ``tokens``, ``gate``, ``pooled``, then the logits of each task
            under its name), then the tensors in that of
            :attr:`Model.params`. Modules are seen before their non-linearity,
            ``attn_logits`` are the scaled q·k. ``dead_share`` is that of ``init_pre``
            and ``ffn_pre``. ``gradient_rms`` and ``update_rms`` are NaN until there was
            a step, ``update_rms`` also unless the trainer was made with
            ``train.probe_updates`` = ``yes`` (one more copy of the weights).

        Raises:
            InvalidArgument: no jets.
            NumericError: an input is not finite, named.
        """
        found: list[Probe] = []

        def note(_: Any, stats: Any) -> None:
            found.append(probe_of(stats.contents))

        with self._guard as handle:
            self._view.fill(jets, tracks, valid)
            try:
                lib.gn2_trainer_probe(
                    handle, self._view.pointer, _ffi.ProbeFn(note), None
                )
            finally:
                self._view.release()
        return found

    # ---- state ----

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, moments, positions of schedule and sampler, atomically."""
        with self._guard as handle:
            lib.gn2_trainer_checkpoint_save(handle, path_bytes(path))

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Goes back to a checkpoint of the same architecture, to the bit."""
        with self._guard as handle:
            self._outside_fit("load_checkpoint")
            with explained(self.group):
                lib.gn2_trainer_checkpoint_load(handle, path_bytes(path))

    def snapshot(self) -> Model:
        """A model with the present weights."""
        with self._guard as handle:
            return Model._adopt(make(_ffi.Model, lib.gn2_trainer_snapshot, handle))

    @property
    def model(self) -> Model:
        """The same as :meth:`snapshot`."""
        return self.snapshot()

    @property
    def memory(self) -> int:
        """Bytes of working memory held."""
        with self._guard as handle:
            return int(lib.gn2_trainer_memory(handle))

    @property
    def precision(self) -> str:
        """``f32`` or ``bf16``: what ``train.precision`` came to."""
        with self._guard as handle:
            return str(lib.gn2_trainer_precision(handle).decode())

    def __repr__(self) -> str:
        return "gn2.Trainer(closed)" if self.closed else f"gn2.Trainer({self.history})"


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        pass


def _optional(dataset: Dataset | None) -> Any:
    return _Nothing() if dataset is None else dataset._guard
