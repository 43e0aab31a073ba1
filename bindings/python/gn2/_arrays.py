# SPDX-License-Identifier: Apache-2.0
"""NumPy arrays as the library's views, without a copy where type and layout allow.

Two steps: recognise the form of the input (plain, structured, columns, ragged, padded,
list, awkward), then describe it as address, stride and columns. Sizes are checked here,
since the library cannot see how long an array is; values are checked there.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ._names import resolve
from .errors import CopyRefused, InvalidArgument, ShapeError

F32 = np.dtype(np.float32)
I64 = np.dtype(np.int64)
_ndarray = np.ndarray
# what a NULL-free pointer to nothing points to
_NOTHING = np.zeros(1, np.float32)


class Ragged(NamedTuple):
    """Constituents of all jets one after another.

    ``values`` is (N, F) or a structured array (N,); jet b owns the rows
    ``offsets[b]`` to ``offsets[b + 1] - 1``.
    """

    values: Any
    offsets: Any


class Table(NamedTuple):
    """Rows of float32 in memory."""

    address: int
    stride: int  #: floats from row to row, 0: the number of columns
    rows: int
    names: tuple[str, ...] | None  #: of the columns, None: the model's order
    keep: Any  #: what must live as long as the address is used


class Rows(NamedTuple):
    """A constituent type of a call."""

    table: Table
    offsets: Any  #: (B + 1) int64 when ragged, else None
    valid: Any  #: (B, slots) uint8 when padded, or None
    slots: int  #: rows a jet when padded, else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """(N,) or (B, slots), the leading shape of outputs."""
        if self.offsets is not None:
            return (self.table.rows,)
        return (self.table.rows // self.slots if self.slots else 0, self.slots)

    def counts(self, jets: int) -> Any:
        """Constituents of each jet."""
        if self.offsets is not None:
            return np.diff(self.offsets)
        if self.valid is None:
            return np.full(jets, self.slots)
        return np.count_nonzero(self.valid, axis=1)


class Wanted(NamedTuple):
    """What is expected of an object's array."""

    name: str  #: object, e.g. "tracks"
    inputs: tuple[str, ...]  #: of the model, in order
    binds: bool  #: whether columns in another order can be bound
    strict: bool  #: refuse copies


def address(array: Any) -> int:
    """Address of the first element."""
    return int(array.ctypes.data)  # __array_interface__ spells out every field


def _refuse(want: Wanted, why: str) -> None:
    if want.strict:
        raise CopyRefused(
            f"{want.name}: {why}; strict mode does not copy. "
            "Give an aligned float32 array with adjacent columns"
        )


# ---- plain arrays ----


def _check_plain(a: Any, want: Wanted, ndim: int) -> None:
    if a.ndim != ndim or a.shape[-1] != len(want.inputs):
        letters = "(B, F)" if ndim == 2 else "(B, slots, F)"
        raise ShapeError(
            f"{want.name}: shape {a.shape}, must be {letters} with F = "
            f"{len(want.inputs)}: {', '.join(want.inputs)}"
        )


def _row_stride(a: Any) -> int | None:
    """Floats from row to row, or None when rows are not evenly spaced."""
    flags = a.flags
    if flags.c_contiguous and flags.aligned:
        return 0
    step, last = a.strides[-2], a.strides[-1]
    if not flags.aligned or last != 4 or step % 4 or step < 4 * a.shape[-1]:
        return None
    if a.ndim == 3 and a.strides[0] != step * a.shape[1]:
        return None
    return int(step // 4)


def plain(a: Any, want: Wanted, ndim: int) -> Table:
    """A table over a (…, F) array of numbers in the model's order."""
    _check_plain(a, want, ndim)
    if a.dtype != F32:
        _refuse(want, f"dtype is {a.dtype}")
        stride = None
    else:
        stride = _row_stride(a)
        if stride is None:
            _refuse(want, "rows are not adjacent floats")
    if stride is None:
        a, stride = to_float32(a, want), 0
    rows = len(a) if ndim == 2 else a.shape[0] * a.shape[1]
    return Table(address(a), stride, rows, None, a)


def to_float32(a: Any, want: Wanted) -> Any:
    """A copy as float32."""
    if a.dtype.kind not in "fiub":
        raise InvalidArgument(f"{want.name}: cannot use dtype {a.dtype} as numbers")
    with np.errstate(over="ignore"):  # Inf is refused later, with its place
        return np.ascontiguousarray(a, dtype=F32)


# ---- structured arrays ----


class Layout(NamedTuple):
    """How the inputs lie in a record, when all are float32 on a grid of floats."""

    start: int  #: byte of the first float
    stride: int  #: floats a record
    names: tuple[str, ...] | None


@functools.lru_cache(maxsize=256)
def _columns(dtype: Any, inputs: tuple[str, ...], what: str) -> tuple[str, ...]:
    scalars = [n for n in dtype.names if not dtype[n].subdtype and not dtype[n].names]
    return resolve(inputs, tuple(scalars), what)


_LAYOUTS: dict[tuple[int, int], tuple[Any, Wanted, Layout | None]] = {}


def _layout(dtype: Any, want: Wanted) -> Layout | None:
    """Remembered by identity: to hash a dtype of twenty fields takes 5 µs. An entry
    keeps its objects alive, so that their identities stay theirs."""
    key = id(dtype), id(want)
    entry = _LAYOUTS.get(key)
    if entry is None:
        if len(_LAYOUTS) >= 256:
            _LAYOUTS.clear()
        entry = _LAYOUTS[key] = dtype, want, _layout_of(dtype, want)
    return entry[2]


def _layout_of(dtype: Any, want: Wanted) -> Layout | None:
    columns = _columns(dtype, want.inputs, want.name)
    places = [dtype.fields[name] for name in columns]
    on_grid = all(kind == F32 and place % 4 == 0 for kind, place, *_ in places)
    if not on_grid or dtype.itemsize % 4:
        return None
    first = places[0][1]
    stride = dtype.itemsize // 4
    if all(place[1] == first + 4 * i for i, place in enumerate(places)):
        return Layout(first, stride, None)
    if not want.binds:
        return None
    grid = [f"(unused {i})" for i in range(stride)]
    for name, wanted in zip(columns, want.inputs):
        grid[dtype.fields[name][1] // 4] = wanted
    return Layout(0, stride, tuple(grid))


def structured(a: Any, want: Wanted) -> Table:
    """A table over records, by column name."""
    layout = _layout(a.dtype, want)
    start = address(a)
    if layout and a.flags.c_contiguous and start % 4 == 0:
        return Table(start + layout.start, layout.stride, a.size, layout.names, a)
    if a.size:
        _refuse(want, "the inputs are not all float32, or not aligned")
    columns = _columns(a.dtype, want.inputs, want.name)
    return stack([a[name] for name in columns], a.shape, want)


def stack(columns: Any, shape: tuple[int, ...], want: Wanted) -> Table:
    """A table made of one array a column."""
    out = np.empty((*shape, len(columns)), F32)
    with np.errstate(over="ignore"):
        for i, column in enumerate(columns):
            if column.dtype.kind not in "fiub":
                raise InvalidArgument(
                    f"{want.name}: cannot use dtype {column.dtype} of "
                    f"{want.inputs[i]} as numbers"
                )
            if column.shape != shape:
                raise ShapeError(
                    f"{want.name}: column of {want.inputs[i]} has shape "
                    f"{column.shape}, others {shape}"
                )
            out[..., i] = column
    rows = int(np.prod(shape))
    return Table(address(out), 0, rows, None, out)


def _named(columns: Any, want: Wanted) -> Table:
    """A mapping or a data frame: one sequence of numbers a column."""
    given = tuple(str(name) for name in columns.keys())
    found = resolve(want.inputs, given, want.name)
    arrays = [np.asarray(columns[name]) for name in found]
    _refuse(want, "columns are apart")
    if arrays[0].ndim == 0:
        raise ShapeError(f"{want.name}: columns must be arrays, not numbers")
    return stack(arrays, arrays[0].shape, want)


# ---- awkward arrays ----


def _is_awkward(a: Any) -> bool:
    return type(a).__module__.partition(".")[0] == "awkward"


def _awkward_numbers(a: Any) -> Any:
    import awkward

    return awkward.to_numpy(a)


def _awkward_flat(a: Any, want: Wanted) -> Table:
    import awkward

    fields = awkward.fields(a)
    if not fields:
        return plain(np.asarray(_awkward_numbers(a)), want, 2)
    found = resolve(want.inputs, tuple(fields), want.name)
    _refuse(want, "columns of an awkward array are apart")
    columns = [np.asarray(_awkward_numbers(a[name])) for name in found]
    return stack(columns, columns[0].shape, want)


def _awkward_rows(a: Any, want: Wanted) -> Rows:
    import awkward

    counts = np.asarray(_awkward_numbers(awkward.num(a, axis=1)))
    flat = awkward.flatten(a, axis=1)
    table = _awkward_flat(flat, want)
    return Rows(table, _offsets_of(counts), None, 0)


# ---- any form ----


def flat(data: Any, want: Wanted, ndim: int = 2) -> Table:
    """A table over any form of rows: one row a jet, or a constituent."""
    if type(data) is not _ndarray:
        if _is_awkward(data):
            return _awkward_flat(data, want)
        if isinstance(data, Mapping) or hasattr(data, "columns"):
            return _named(data, want)
        data = np.asarray(data)
    if data.dtype.names:
        if data.ndim != ndim - 1:
            raise ShapeError(
                f"{want.name}: structured array of shape {data.shape}, "
                f"must have {ndim - 1} axes"
            )
        return structured(data, want)
    return plain(data, want, ndim)


def _offsets_of(counts: Any) -> Any:
    offsets = np.zeros(len(counts) + 1, I64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _ragged(values: Any, offsets: Any, jets: int, want: Wanted) -> Rows:
    if type(offsets) is not _ndarray or offsets.dtype != I64:
        offsets = np.asarray(offsets)
        if offsets.dtype.kind not in "iu":
            raise InvalidArgument(
                f"{want.name}: offsets must be integers, not {offsets.dtype}"
            )
        offsets = offsets.astype(I64)
    if not (offsets.flags.c_contiguous and offsets.flags.aligned):
        offsets = offsets.copy()
    if offsets.shape != (jets + 1,):
        raise ShapeError(
            f"{want.name}: offsets of shape {offsets.shape}, must be ({jets + 1},) "
            f"for {jets} jets"
        )
    table = flat(values, want)
    if offsets[jets] != table.rows:
        raise ShapeError(
            f"{want.name}: offsets end at {offsets[jets]}, there are {table.rows} rows"
        )
    return Rows(table, offsets, None, 0)


def _jagged(items: Any, jets: int, want: Wanted) -> Rows:
    arrays = [np.asarray(item) for item in items]
    if len(arrays) != jets:
        raise ShapeError(f"{want.name}: {len(arrays)} items for {jets} jets")
    offsets = _offsets_of([len(a) if a.ndim else 0 for a in arrays])
    filled = [a for a in arrays if a.size]
    if not filled:
        return Rows(Table(address(_NOTHING), 0, 0, None, _NOTHING), offsets, None, 0)
    _refuse(want, "a list is joined into one array")
    return _ragged(np.concatenate(filled), offsets, jets, want)


def _valid_of(valid: Any, shape: tuple[int, int], want: Wanted) -> Any:
    valid = np.asarray(valid)
    if valid.shape != shape:
        raise ShapeError(f"{want.name}: valid of shape {valid.shape}, must be {shape}")
    if valid.dtype == np.bool_ or valid.dtype == np.uint8:
        return np.ascontiguousarray(valid).view(np.uint8)
    return np.ascontiguousarray(valid != 0).view(np.uint8)


def _padded(data: Any, valid: Any, jets: int, want: Wanted) -> Rows:
    names = data.dtype.names
    if data.ndim != (2 if names else 3):
        raise ShapeError(
            f"{want.name}: shape {data.shape}; give padded (B, slots, F) or structured "
            "(B, slots), ragged (values, offsets), or a list of one array a jet"
        )
    if data.shape[0] != jets:
        raise ShapeError(f"{want.name}: {data.shape[0]} rows for {jets} jets")
    if valid is None and names and "valid" in names:
        valid = data["valid"]
    slots = data.shape[1]
    if valid is not None:
        valid = _valid_of(valid, (jets, slots), want)
    if slots == 0:
        return _no_rows(jets)
    table = structured(data, want) if names else plain(data, want, 3)
    return Rows(table, None, valid, slots)


def _no_rows(jets: int) -> Rows:
    nothing = Table(address(_NOTHING), 0, 0, None, _NOTHING)
    return Rows(nothing, np.zeros(jets + 1, I64), None, 0)


def constituents(data: Any, valid: Any, jets: int, want: Wanted) -> Rows:
    """The constituents of ``jets`` jets, in any form."""
    if data is None:
        return _no_rows(jets)
    if isinstance(data, tuple):
        if len(data) != 2:
            raise InvalidArgument(
                f"{want.name}: a tuple must be (values, offsets); "
                "one array a jet goes into a list"
            )
        if valid is not None:
            raise InvalidArgument(f"{want.name}: valid goes with padded arrays only")
        return _ragged(data[0], data[1], jets, want)
    if _is_awkward(data):
        return _awkward_rows(data, want)
    if type(data) is not _ndarray and isinstance(data, (list, Mapping)):
        if isinstance(data, list):
            return _jagged(data, jets, want)
        raise InvalidArgument(
            f"{want.name}: give columns as ({{name: array}}, offsets)"
        )
    data = np.asarray(data)
    if data.dtype == object:
        return _jagged(list(data), jets, want)
    return _padded(data, valid, jets, want)
