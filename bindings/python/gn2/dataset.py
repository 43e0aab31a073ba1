# SPDX-License-Identifier: Apache-2.0
"""Jets from HDF5 files or arrays, batch by batch. As in
``include/gn2/dataset.h``."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, Union

import numpy as np
from numpy.typing import NDArray

from . import _ffi, tasks
from ._arrays import Ragged, Rows, Table, array_at, numbers_of, offsets_of
from ._ffi import lib
from ._handle import Owner, make, path_bytes
from ._progress import Late
from ._views import JetsView, LabelsView
from ._signals import Signals
from .config import Config, ConfigLike, as_config
from .errors import Cancelled, StateError

T = TypeVar("T")
Paths = Union[str, "os.PathLike[str]", "Sequence[str | os.PathLike[str]]"]


class DatasetInfo(NamedTuple):
    """What a dataset holds."""

    has_labels: bool  #: whether flavour labels were found
    jet_count: int  #: jets used, of those that data.selection chooses
    batch_count: int  #: batches an epoch
    batch_size: int  #: jets a batch
    max_slots: int  #: largest number of constituents a jet can have
    memory: int  #: bytes of buffers held
    unwritten: int = 0  #: jets used that no writer has filled: data.unwritten = keep


class Batch(NamedTuple):
    """A copy of a batch; ``trainer.step(*batch)`` takes it."""

    jets: NDArray[np.float32]  #: (B, F)
    tracks: Any  #: (values, offsets); {name: …} with several constituent types
    #: by task: "flavour" (B), "origin" and "vertex" (N), others under their names;
    #: targets are (rows, targets) float32, weights are "NAME.sample_weight"
    labels: dict[str, NDArray[Any]]


class Raw:
    """A batch in the library's memory, good until the next call on the dataset."""

    def __init__(self, columns: Mapping[str, tuple[str, ...]]) -> None:
        self.columns = columns
        self.jets = _ffi.Jets()
        self.labels = _ffi.Labels()

    def table(self) -> Table:
        names = self.columns["jets"]
        jets = self.jets
        return Table(jets.features or 0, jets.row_stride, jets.count, names, self)

    def rows(self) -> list[Rows]:
        """The constituent types, as views."""
        return [self._rows(i, n) for i, n in enumerate(list(self.columns)[1:])]

    def each_label(self) -> Iterator[Any]:
        """The labels, as gn2_label structs."""
        size = self.labels.label_stride or ctypes.sizeof(_ffi.Label)
        start = ctypes.cast(self.labels.labels, ctypes.c_void_p).value or 0
        for index in range(self.labels.label_count):
            yield _ffi.Label.from_address(start + index * size)

    def sequence(self, index: int) -> Any:
        size = self.jets.sequence_stride or ctypes.sizeof(_ffi.Sequence)
        start = ctypes.cast(self.jets.sequences, ctypes.c_void_p).value or 0
        return _ffi.Sequence.from_address(start + index * size)

    def _rows(self, index: int, name: str) -> Rows:
        sequence, count = self.sequence(index), self.jets.count
        offsets = valid = None
        if sequence.offsets:
            offsets = array_at(sequence.offsets, (count + 1,), np.int64)
            total = int(offsets[-1])
        else:
            total = count * sequence.slots
        if sequence.valid:
            valid = array_at(sequence.valid, (count, sequence.slots), np.uint8)
        start, stride = sequence.data or 0, sequence.row_stride
        table = Table(start, stride, total, self.columns[name], self)
        return Rows(table, offsets, valid, sequence.slots)


class _Opening:
    """Opens files, hears signals between two of them and shows how far it is."""

    def __init__(self, progress: bool) -> None:
        self.stopped = False
        self.failure: BaseException | None = None
        self.files = Late("file", "opening", not progress)
        self.jets = Late("jet", "selecting", not progress)
        self.signals = Signals(self._stop)
        self.c = _ffi.OpeningFn(self._tell)

    def _stop(self) -> None:
        self.stopped = True

    def _tell(self, _user: Any, opening: Any) -> int:
        # no exception may leave through C: it is kept, and raised by finish()
        try:
            seen = opening.contents
            self.files.show(seen.files, seen.file_count)
            self.jets.show(seen.jets, seen.jet_count)
        except BaseException as problem:  # noqa: BLE001
            self.failure = problem
        return int(self.stopped or self.failure is not None)

    def open(self, names: Any, count: int, config: Any, out: Any) -> None:
        """gn2_dataset_open() in other clothes."""
        with self.signals, self.files, self.jets:
            try:
                lib.gn2_dataset_open_watched(names, count, config, self.c, None, out)
            except Cancelled as problem:
                self.failure = self.failure or problem

    def finish(self) -> None:
        """Once nothing is held: whoever handles the signal is told."""
        self.signals.deliver()
        if self.failure is not None:
            raise self.failure


def _numbers(table: Table) -> Any:
    """A view of the numbers of a table, whose columns have names."""
    return numbers_of(table, len(table.names or ()))


class Dataset(Owner):
    """Jets with truth labels, in batches.

    Args:
        paths: one HDF5 file or several, in the layout of ATLAS's dumpers.
        config: ``inputs.*``, ``task.*`` (labels) and ``data.*``; a mapping or Config.
            ``data.selection`` chooses jets by any numeric field of their dataset::

                pt_btagJes > 20000 && abs(eta_btagJes) < 2.5 && eventNumber != 7

        progress: a bar in terminal or notebook while many files are opened or a
            selection is made, once it takes more than a second.

    Raises:
        KeyboardInterrupt: after Ctrl-C, when the file under way is open; all are closed
            again.
        NotFound, FormatError, FileError: file, dataset, field and row are named.
        Unsupported: built without HDF5.

    h5py may have the same file open for reading, before and after, whichever HDF5 it
    uses.
    """

    HAND_OVER = "open it there, with the same paths and config"

    def __init__(
        self, paths: Paths, config: ConfigLike = None, *, progress: bool = False
    ) -> None:
        one = isinstance(paths, (str, bytes, os.PathLike))
        files = [paths] if one else list(paths)  # type: ignore[arg-type]
        encoded = [path_bytes(path) for path in files]
        names = (ctypes.c_char_p * max(1, len(encoded)))(*encoded)
        opening = _Opening(progress)
        try:
            self._own(as_config(config).copy(), opening.open, names, len(encoded))
        finally:
            opening.finish()
        self.paths = tuple(os.fsdecode(path) for path in encoded)

    def _own(self, config: Config, create: Any, *arguments: Any) -> None:
        with config._guard as c:
            handle = make(_ffi.Dataset, create, *arguments, c)
        super().__init__(handle, lib.gn2_dataset_free)
        self.config = config
        self.paths = ()
        self._keep: Any = None
        self._life = threading.Lock()

    @classmethod
    def from_arrays(
        cls,
        jets: Any,
        tracks: Any = None,
        labels: Any = None,
        config: ConfigLike = None,
        *,
        valid: Any = None,
    ) -> Dataset:
        """A dataset over arrays, in any form :meth:`Tagger.tag` takes.

        Args:
            labels: (B) class index, -1 = none; or by task, ``{"flavour": (B),
                "origin": rows of the constituents, "vertex": the same}``; other tasks
                by their names, targets of a regression as (rows, targets) with NaN =
                none; ``"NAME.sample_weight"``: weights of its rows.

        ``data.selection`` is refused here: index the arrays.

        Raises:
            NotFound: labels without the weights ``task.NAME.sample_weight`` asks for.

        The arrays are not copied where their type allows: leave them unchanged while
        the dataset is in use.
        """
        options = as_config(config).copy()
        view = JetsView(_inputs_of(options), binds=False, strict=False)
        view.fill(jets, tracks, valid)
        truth = LabelsView(tasks.read(options), view.objects)
        if labels is not None:
            truth.fill(labels, view)
        pointer = ctypes.byref(truth.c) if labels is not None else None
        dataset = cls.__new__(cls)
        dataset._own(options, lib.gn2_dataset_from_arrays, view.pointer, pointer)
        dataset._keep = (view, truth)
        return dataset

    @property
    def info(self) -> DatasetInfo:
        """What the dataset holds."""
        c = _ffi.DatasetInfo()
        with self._guard as handle:
            lib.gn2_dataset_info_get(handle, ctypes.byref(c))
        return DatasetInfo(
            bool(c.has_labels),
            c.jet_count,
            c.batch_count,
            c.batch_size,
            c.max_slots,
            c.memory,
            c.unwritten,
        )

    @property
    def rows(self) -> NDArray[np.int64]:
        """(jets) rows of the files that the jets are, those that ``data.selection`` and
        ``data.max_jets`` leave: where the truth and the scores of each of them lie.
        Counted from 0, on over the files as they were given; ascending."""
        found = np.empty(self.info.jet_count, np.int64)
        numbers = found.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
        with self._guard as handle:
            lib.gn2_dataset_rows(handle, numbers, len(found))
        return found

    def __len__(self) -> int:
        """Batches an epoch."""
        return self.info.batch_count

    def setup(self, config: ConfigLike = None) -> Config:
        """Puts what the data says into a config: class names, normalisation, class
        weights, provenance, and ``train.shards`` where that is 0.

        Args:
            config: a Config is changed and returned; a mapping is laid over a copy of
                the dataset's own config.

        Returns:
            the config, ready for :class:`Model`.

        Raises:
            KeyboardInterrupt, Cancelled: after Ctrl-C, :meth:`request_stop`.
        """
        config = as_config(config, base=self.config)
        if config is self.config:
            config = config.copy()
        stopped: Cancelled | None = None
        with self._guard as handle, config._guard as c:
            with Signals(lambda: lib.gn2_dataset_request_stop(handle)) as signals:
                try:
                    lib.gn2_dataset_setup(handle, c)
                except Cancelled as problem:
                    stopped = problem
        signals.deliver()
        if stopped is not None:
            raise stopped
        return config

    def request_stop(self) -> None:
        """Asks a running setup() to stop within some thousands of jets. From any
        thread."""
        with self._life:
            if self.closed:
                raise StateError("this Dataset is closed")
            lib.gn2_dataset_request_stop(self._guard.handle)

    def close(self) -> None:
        """Closes the files. Later calls raise :class:`gn2.StateError`."""
        with self._life:
            super().close()

    @functools.cached_property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Columns of the batches, by object."""
        return _inputs_of(self.config)

    def batches(self, epoch: int = 0) -> Iterator[Batch]:
        """Copies of the batches of an epoch, whose order depends on ``data.seed``."""
        self.reset(epoch)
        yield from self._each(self._copy)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def reset(self, epoch: int = 0, batch: int = 0) -> None:
        """Goes to a batch of an epoch, both from 0."""
        with self._guard as handle:
            lib.gn2_dataset_reset(handle, epoch, batch)

    def _next(self, handle: Any, labelled: bool = True) -> Raw | None:
        raw = Raw(self.inputs)
        labels = ctypes.byref(raw.labels) if labelled else None
        lib.gn2_dataset_next(handle, ctypes.byref(raw.jets), labels)
        return raw if raw.jets.count else None

    def _each(self, make: Callable[[Raw], T], labelled: bool = True) -> Iterator[T]:
        """What is made of each batch from here on."""
        while True:
            with self._guard as handle:
                raw = self._next(handle, labelled)
                if raw is None:
                    return
                made = make(raw)
            yield made

    def _unlabelled(self, batch: int) -> Iterator[tuple[Any, dict[str, Ragged]]]:
        """Copies of the jets and constituents of the batches from one on."""
        self.reset(0, batch)
        yield from self._each(lambda raw: self._parts(raw, {}), labelled=False)

    def _copy(self, raw: Raw) -> Batch:
        labels = self._labels(raw)
        jets, parts = self._parts(raw, labels)
        tracks = list(parts.values())[0] if len(parts) == 1 else parts
        return Batch(jets, tracks, labels)

    def _parts(self, raw: Raw, labels: dict[str, Any]) -> tuple[Any, dict[str, Ragged]]:
        """Copies of jets and constituents, without padding; labels lose theirs too."""
        parts = {}
        for name, part in zip(list(raw.columns)[1:], raw.rows()):
            own = [n for n, task in self._labelled.items() if task.object == name]
            parts[name] = _pack(part, labels, own, raw.jets.count)
        return _numbers(raw.table()).copy(), parts

    @functools.cached_property
    def _labelled(self) -> dict[str, tasks.Task]:
        """Tasks by the names of their labels, weights among them."""
        found = {}
        for task in tasks.read(self.config).values():
            found[task.label_name] = task
            found[task.label_name + tasks.WEIGHTS] = task
        return found

    def _labels(self, raw: Raw) -> dict[str, Any]:
        """Copies of the labels of a batch, by the names batches have."""
        short = {n: t.label_name for n, t in tasks.read(self.config).items()}
        objects, rows, found = list(raw.columns)[1:], raw.rows(), {}
        for label in raw.each_label():
            name, weights, _ = label.name.decode().partition(tasks.WEIGHTS)
            name = short[name] + weights
            task = self._labelled[name]
            count = raw.jets.count
            if not task.on_jets:
                count = rows[objects.index(task.object)].table.rows
            real = label.type == _ffi.CONSTANTS["GN2_DATA_F32"]
            shape = (count,) if not real or weights else (count, label.columns)
            kind = np.float32 if real else np.int32
            found[name] = array_at(label.data, shape, kind).copy()
        return found

    def __repr__(self) -> str:
        if self.closed:
            return "gn2.Dataset(closed)"
        info = self.info
        return (
            f"gn2.Dataset({info.jet_count:,} jets, {info.batch_count:,} batches of "
            f"{info.batch_size:,})"
        )


def _pack(part: Rows, labels: dict[str, Any], own: Sequence[str], jets: int) -> Ragged:
    """A copy of rows, padded ones as ragged ones; labels of the constituents alike."""
    values = _numbers(part.table)
    if part.offsets is not None:
        return Ragged(values.copy(), part.offsets.copy())
    keep = part.used(jets).reshape(-1)
    for name in own:
        if name in labels:
            labels[name] = labels[name][keep]
    return Ragged(values[keep], offsets_of(part.counts(jets)))


def _inputs_of(config: Config) -> dict[str, tuple[str, ...]]:
    objects = ["jets", *config["model.constituents"]]  # type: ignore[misc]
    return {name: tuple(config[f"inputs.{name}"]) for name in objects}  # type: ignore
