# SPDX-License-Identifier: Apache-2.0
"""The structs of a call, filled from arrays. Made once an object and used again: to
build them anew would cost more than all checks together."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _ffi
from ._arrays import Rows, Table, Wanted, address, constituents, flat
from .errors import InvalidArgument, NotFound, ShapeError


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
        self.jets = table = flat(jets, want["jets"])
        count = table.rows
        view = self.c
        view.count, view.features, view.row_stride = count, table[0], table[1]
        objects = self.objects
        if len(objects) == 1 and type(tracks) is not dict:
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
        unknown = [name for name in given if name not in self.objects]
        if unknown:
            raise NotFound(f"no constituents {unknown}; the model has {self.objects}")
        masks = valid if isinstance(valid, Mapping) else {}
        if valid is not None and not masks:
            masks = {name: valid for name in self.objects}
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

    def __init__(self) -> None:
        self.c = _ffi.Labels()
        self.keep: dict[str, Any] = {}

    def fill(self, labels: Any, view: JetsView, tasks: Mapping[str, int]) -> None:
        """``tasks`` says which constituent type "origin" and "vertex" belong to."""
        if not isinstance(labels, Mapping):
            labels = {"flavour": labels}
        unknown = [n for n in labels if n not in ("flavour", "origin", "vertex")]
        if unknown:
            raise NotFound(f"no labels {unknown}; known: flavour, origin, vertex")
        self.keep = {}
        for name in ("flavour", "origin", "vertex"):
            value = labels.get(name)
            if value is None:
                setattr(self.c, name, None)
                continue
            rows = view.jets.rows
            if name != "flavour":
                if name not in tasks:
                    raise NotFound(f"the model has no task for the labels '{name}'")
                rows = view.rows[tasks[name]].table.rows
            self.keep[name] = _integers(value, rows, name)
            setattr(self.c, name, address(self.keep[name]))


def _integers(value: Any, rows: int, what: str) -> Any:
    if isinstance(value, list) and value and np.ndim(value[0]):
        value = np.concatenate(value)
    array = np.asarray(value)
    if array.dtype.kind not in "iub" and array.size:
        raise InvalidArgument(f"labels '{what}' must be integers, not {array.dtype}")
    if array.size != rows:
        raise ShapeError(f"labels '{what}': {array.size} values for {rows} rows")
    if array.size and array.dtype.itemsize > 4 or array.dtype == np.uint32:
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if low < -(2**31) or high >= 2**31:
            raise InvalidArgument(f"labels '{what}': {low} … {high} exceed 32 bits")
    return np.ascontiguousarray(array, dtype=np.int32).reshape(-1)
