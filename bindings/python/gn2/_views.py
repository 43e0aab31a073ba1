# SPDX-License-Identifier: Apache-2.0
"""The structs of a call, filled from arrays. Made once an object and used again: to
build them anew would cost more than all checks together."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import _ffi
from ._arrays import Rows, Table, Wanted, address, flat, nested_rows
from ._constituents import constituents
from ._foreign import array_of, filled, is_awkward, is_masked, joined, unmasked
from .errors import InvalidArgument, NotFound, ShapeError
from .tasks import WEIGHTS, Task, flavour_of


# known without asking, which takes a microsecond
_PLAIN = (np.ndarray, tuple, list)


class JetsView:
    """A gn2_jets over the caller's arrays."""

    def __init__(
        self, inputs: Mapping[str, tuple[str, ...]], binds: bool, strict: bool
    ) -> None:
        self.objects = list(inputs)[1:]
        self.want = {
            name: Wanted(name, columns, binds, strict)
            for name, columns in inputs.items()
        }
        self._sequences = (_ffi.Sequence * max(1, len(self.objects)))()
        for sequence in self._sequences:
            sequence.struct_size = ctypes.sizeof(_ffi.Sequence)
        self.c = _ffi.Jets(sequence_count=len(self.objects), sequences=self._sequences)
        self.pointer = ctypes.pointer(self.c)
        self.jets: Table
        self.rows: list[Rows] = []

    def fill(self, jets: Any, tracks: Any, valid: Any) -> int:
        """Points the structs to the arrays; returns the number of jets."""
        want = self.want
        if tracks is None and type(jets) not in _PLAIN and is_awkward(jets):
            tracks = nested_rows(jets, want)
        self.jets = table = flat(jets, want["jets"])
        count = table.rows
        view = self.c
        view.count, view.features, view.row_stride = count, table[0], table[1]
        objects = self.objects
        if len(objects) == 1 and (
            type(tracks) in _PLAIN or not isinstance(tracks, Mapping)
        ):
            name = objects[0]
            self.rows = [constituents(tracks, valid, count, want[name])]
        else:
            self.rows = self._several(tracks, valid, count)
        for sequence, rows in zip(self._sequences, self.rows):
            table, offsets, mask, slots = rows
            sequence.data, sequence.row_stride = table[0], table[1]
            sequence.offsets = None if offsets is None else address(offsets)
            sequence.valid = None if mask is None else address(mask)
            sequence.slots = slots
        return count

    def point(self, raw: Any) -> int:
        """Points the structs to a batch of a dataset."""
        self.jets, self.rows = raw.table(), raw.rows()
        for name in ("count", "features", "row_stride"):
            setattr(self.c, name, getattr(raw.jets, name))
        for i, sequence in enumerate(self._sequences[: len(self.rows)]):
            ctypes.pointer(sequence)[0] = raw.sequence(i)
        return int(self.c.count)

    def _several(self, given: Any, valid: Any, count: int) -> list[Rows]:
        if given is None:
            given = {}
        if not isinstance(given, Mapping):
            raise InvalidArgument(
                f"give the constituents as {{name: array}} of {self.objects}"
            )
        masks = valid if isinstance(valid, Mapping) else {}
        unknown = [name for name in (*given, *masks) if name not in self.objects]
        if unknown:
            raise NotFound(
                f"no constituents {unknown}; the model has {self.objects}. Columns of "
                "one type are given as ({name: array}, offsets)"
            )
        if valid is not None and not isinstance(valid, Mapping):
            masks = {name: valid for name in given}
        return [
            constituents(given.get(name), masks.get(name), count, self.want[name])
            for name in self.objects
        ]

    def release(self) -> None:
        """Lets go of the caller's arrays."""
        self.rows = []
        del self.jets


class LabelsView:
    """A gn2_labels over the caller's arrays."""

    def __init__(self, tasks: Mapping[str, Task], objects: Sequence[str]) -> None:
        self.tasks, self.objects = tasks, list(objects)
        self.c = _ffi.Labels()
        self.keep: list[Any] = []
        self._labels = (_ffi.Label * (2 * max(1, len(tasks))))()

    def _find(self, name: str) -> tuple[Task, bool]:
        """Task a label is of, by either of its names, and whether it is its weights."""
        weights = name.endswith(WEIGHTS)
        base = name[: -len(WEIGHTS)] if weights else name
        for task in self.tasks.values():
            if base in (task.name, task.label_name):
                return task, weights
        known = ", ".join(task.label_name for task in self.tasks.values())
        raise NotFound(f"no labels '{name}'; known: {known}")

    def _rows(self, task: Task, view: JetsView) -> Rows:
        """What the labels are of; of jets, ragged rows without offsets."""
        if task.on_jets:
            return Rows(view.jets, None, None, 1)
        return view.rows[self.objects.index(task.object)]

    def fill(self, labels: Any, view: JetsView) -> None:
        """``labels``: of the first task, or a mapping by task."""
        if not isinstance(labels, Mapping):
            first = flavour_of(self.tasks) or next(iter(self.tasks.values()))
            labels = {first.name: labels}
        given = {name: value for name, value in labels.items() if value is not None}
        if len(given) > len(self._labels):
            raise NotFound(f"labels of {len(given)} names for {len(self.tasks)} tasks")
        self.keep = []
        for i, (name, value) in enumerate(given.items()):
            task, weights = self._find(name)
            rows, real = self._rows(task, view), weights or task.regresses
            columns = 1 if weights else task.label_columns
            array = _joined(value, rows, name)
            if weights:
                array = unmasked(array, f"labels '{name}'")
            _check_shape(array, rows, columns, name)
            array = _reals(array, name) if real else _integers(array, name)
            full = (task.name + (WEIGHTS if weights else "")).encode()
            self.keep += [array, full]
            label = self._labels[i]
            label.struct_size = ctypes.sizeof(_ffi.Label)
            label.name, label.data, label.columns = full, address(array), columns
            label.type = _ffi.CONSTANTS["GN2_DATA_F32" if real else "GN2_DATA_I32"]
        self.c.label_count = len(given)
        self.c.labels = self._labels


def _joined(value: Any, rows: Rows, what: str) -> Any:
    """Labels as one array: a list of one array a jet, and jagged ones, are joined."""
    what = f"labels '{what}'"
    if rows.offsets is None or not _is_by_jet(value):
        return array_of(value, what)
    items = [array_of(item, what) for item in value]
    counts = np.array([len(item) if item.ndim else 0 for item in items])
    wanted = np.diff(rows.offsets)
    if len(counts) != len(wanted):
        raise ShapeError(f"{what}: {len(counts)} items for {len(wanted)} jets")
    if (counts != wanted).any():
        b = int(np.flatnonzero(counts != wanted)[0])
        raise ShapeError(f"{what}: {counts[b]} of jet {b}, which has {wanted[b]} rows")
    there = [item for item in items if item.size]
    return joined(there) if there else np.zeros(0, np.int32)


def _is_by_jet(value: Any) -> bool:
    if is_awkward(value):
        return bool(value.ndim > 1)
    return isinstance(value, list) and bool(value) and np.ndim(value[0]) > 0


def _check_shape(array: Any, rows: Rows, columns: int, what: str) -> None:
    count = rows.table.rows
    if array.size != count * columns:
        each = f" of {columns} columns, {count * columns} expected"
        each = each if columns > 1 else ""
        raise ShapeError(f"labels '{what}': {array.size} values for {count} rows{each}")
    leading: list[tuple[int, ...]] = [(count,), rows.shape]
    allowed = [shape for of in leading for shape in (of, (*of, columns))]
    if array.size and array.shape not in [(count * columns,), *allowed]:
        raise ShapeError(
            f"labels '{what}': shape {array.shape} for {count} rows, must be "
            f"{leading[-1] if columns == 1 else (*leading[-1], columns)}"
        )


def _reals(array: Any, what: str) -> Any:
    """float32; a masked one is NaN, which is none."""
    if array.dtype.kind not in "fiub" and array.size:
        raise InvalidArgument(f"labels '{what}' must be numbers, not {array.dtype}")
    if is_masked(array):
        array = array.astype(np.float32)
    array = filled(array, np.nan if array.dtype.kind == "f" else 0, what)
    return np.ascontiguousarray(array, dtype=np.float32).reshape(-1)


def _integers(array: Any, what: str) -> Any:
    """int32; a masked one is -1, which is none."""
    if array.dtype.kind not in "iub" and array.size:
        raise InvalidArgument(f"labels '{what}' must be integers, not {array.dtype}")
    array = filled(array, -1, f"labels '{what}'")
    if array.size and array.dtype.itemsize > 4 or array.dtype == np.uint32:
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if low < -(2**31) or high >= 2**31:
            raise InvalidArgument(f"labels '{what}': {low} … {high} exceed 32 bits")
    return np.ascontiguousarray(array, dtype=np.int32).reshape(-1)
