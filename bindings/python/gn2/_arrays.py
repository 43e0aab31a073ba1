# SPDX-License-Identifier: Apache-2.0
"""NumPy arrays as the library's views, without a copy where type and layout allow.

Two steps: recognise the form of the input (plain, structured, columns, ragged, padded,
list, awkward), then describe it as address, stride and columns. Sizes are checked here,
since the library cannot see how long an array is; values are checked there. Masks of
numpy.ma say which tracks are padding; a masked value elsewhere is refused.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, NamedTuple

import numpy as np

from ._foreign import array_of, check_unique, columns_of, is_awkward, is_masked
from ._foreign import mask_of, unmasked
from ._names import resolve
from .errors import CopyRefused, InvalidArgument, NumericError, ShapeError

F32 = np.dtype(np.float32)
I64 = np.dtype(np.int64)
_ndarray = np.ndarray


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

    def used(self, jets: int) -> Any:
        """(jets, slots) of padded rows: which of them are no padding."""
        if self.valid is None:
            return np.ones((jets, self.slots), bool)
        return self.valid.reshape(jets, self.slots) != 0


class Wanted(NamedTuple):
    """What is expected of an object's array."""

    name: str  #: object, e.g. "tracks"
    inputs: tuple[str, ...]  #: of the model, in order
    binds: bool  #: whether columns in another order can be bound
    strict: bool  #: refuse copies
    named: bool = False  #: refuse columns without names


def address(array: Any) -> int:
    """Address of the first element."""
    return int(array.ctypes.data)  # __array_interface__ spells out every field


def array_at(where: int | None, shape: tuple[int, ...], kind: Any) -> Any:
    """A view of memory."""
    count = int(np.prod(shape))
    if not where or not count:
        return np.zeros(shape, kind)
    buffer: Any = (ctypes.c_byte * (count * np.dtype(kind).itemsize)).from_address(
        where
    )
    return np.frombuffer(buffer, dtype=kind).reshape(shape)


def numbers_of(table: Table, width: int) -> Any:
    """A view of the numbers of a table, so many a row."""
    shape = table.rows, table.stride or width
    return array_at(table.address, shape, F32)[:, :width]


def refuse(want: Wanted, why: str) -> None:
    """In strict mode nothing is copied."""
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
    if want.named:
        raise InvalidArgument(
            f"{want.name}: the models take other columns, or in another order: give "
            "them by name, as a structured array, a frame or {name: column}"
        )
    _check_plain(a, want, ndim)
    if a.dtype != F32:
        refuse(want, f"dtype is {a.dtype}")
        stride = None
    else:
        stride = _row_stride(a)
        if stride is None:
            refuse(want, "rows are not adjacent floats")
    if stride is None:
        a, stride = to_float32(a, want), 0
    rows = len(a) if ndim == 2 else a.shape[0] * a.shape[1]
    return Table(address(a), stride, rows, None, a)


def to_float32(a: Any, want: Wanted, column: str = "") -> Any:
    """A copy as float32."""
    if a.dtype.kind not in "fiub":
        of = f" of {column}" if column else ""
        hint = "; are values missing or nested?" if a.dtype == object else ""
        what = f"{want.name}: cannot use dtype {a.dtype}{of}"
        raise InvalidArgument(f"{what} as numbers{hint}")
    with np.errstate(over="ignore"):
        out = np.ascontiguousarray(a, dtype=F32)
    _check_range(a, out, want, column)
    return out


def _check_range(wide: Any, out: Any, want: Wanted, column: str = "") -> None:
    """Inf of the caller is the library's to judge; what became so here is refused."""
    if wide.dtype.kind != "f" or wide.dtype.itemsize <= 4 or not np.isinf(out).any():
        return
    lost = np.argwhere(np.isinf(out) & np.isfinite(wide))
    if len(lost):
        at = lost[0].tolist()
        of = f" of {column}" if column else ""
        raise NumericError(
            f"{want.name}: {wide[tuple(at)]:g} at {at}{of} is beyond 32-bit floats; a "
            "missing value is NaN"
        )


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


# by value: fields of a dtype may be renamed in place, which changes its hash
@functools.lru_cache(maxsize=256)
def _layout(dtype: Any, want: Wanted) -> Layout | None:
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
    if not want.inputs:
        return stack([], a.shape, want)
    layout = _layout(a.dtype, want)
    start = address(a)
    if layout and a.flags.c_contiguous and start % 4 == 0:
        return Table(start + layout.start, layout.stride, a.size, layout.names, a)
    if a.size:
        refuse(want, "the inputs are not all float32, or not aligned")
    return by_name(a, want)


def by_name(a: Any, want: Wanted) -> Table:
    """A table made of the fields of records."""
    columns = _columns(a.dtype, want.inputs, want.name)
    return stack([a[name] for name in columns], a.shape, want)


def masked_rows(a: Any, want: Wanted) -> tuple[Any, Any]:
    """Where all inputs of a masked array's rows are masked, and where only some."""
    if a.dtype.names and want.inputs:
        a = a[list(_columns(a.dtype, want.inputs, want.name))]
    mask = mask_of(a)
    every = mask.all(-1)
    return every, mask.any(-1) & ~every & bool(want.inputs)


def stack(columns: Any, shape: tuple[int, ...], want: Wanted) -> Table:
    """A table made of one array a column."""
    out = np.empty((*shape, len(columns)), F32)
    with np.errstate(over="ignore"):
        for i, column in enumerate(columns):
            if column.dtype.kind not in "fiub":
                to_float32(column, want, want.inputs[i])
            if column.shape != shape:
                raise ShapeError(
                    f"{want.name}: column of {want.inputs[i]} has shape "
                    f"{column.shape}, others {shape}"
                )
            out[..., i] = column
            _check_range(column, out[..., i], want, want.inputs[i])
    rows = int(np.prod(shape))
    return Table(address(out), 0, rows, None, out)


def _named(columns: Any, want: Wanted) -> Table:
    """A mapping, a data frame or an Arrow table: one sequence of numbers a column."""
    found = resolve(want.inputs, columns.names, want.name)
    check_unique(columns.names, found, want.name)
    if want.inputs:
        refuse(want, "columns are apart")
    elif not columns.names:
        raise ShapeError(
            f"{want.name}: the model has no inputs of them, and a table without "
            "columns does not say how many rows there are; give any column"
        )
    read = found or columns.names[:1]  # without inputs the first tells the rows
    arrays = [columns.get(name, want.name) for name in read]
    for name, array in zip(read, arrays):
        if array.ndim != 1:
            raise ShapeError(
                f"{want.name}: column {name!r} has shape {array.shape}, must be "
                "(rows), one number a row"
            )
    return stack(arrays[: len(want.inputs)], arrays[0].shape, want)


# ---- awkward arrays ----


def depth_of(a: Any, want: Wanted) -> int:
    """Axes that an awkward array's rows are in: 1 of jets, 2 of their constituents."""
    fields = tuple(a.fields)
    if not fields:
        return int(a.ndim) - 1
    found = [a[name].ndim for name in resolve(want.inputs, fields, want.name)]
    return int(max(found, default=a.ndim))


def records_of(a: Any, want: Wanted, depth: int, more: tuple[str, ...] = ()) -> Any:
    """Records in so many axes, also where the lists are in the records."""
    import awkward

    fields = tuple(a.fields)
    if not fields or a.ndim >= depth:
        return a
    names = (*resolve(want.inputs, fields, want.name), *more, "valid")
    lists = {name: a[name] for name in names if name in fields}
    try:
        return awkward.zip(lists, depth_limit=depth)
    except ValueError as problem:
        raise ShapeError(
            f"{want.name}: fields {', '.join(lists)} are lists of different lengths"
        ) from problem


def _check_depth(a: Any, want: Wanted, depth: int) -> None:
    """Refuses what has an axis too many, as jets grouped by event have."""
    excess = depth_of(a, want) - depth
    if excess > 0:
        raise ShapeError(
            f"{want.name}: an awkward array of {excess} axes too many, as of jets "
            "grouped by event, which Tagger.tag() takes when jets and constituents "
            "both are; elsewhere flatten them alike, awkward.flatten(array, axis=1), "
            "and group what comes out again: "
            'awkward.unflatten(scores["b"], awkward.num(jets))'
        )


def nested_rows(jets: Any, wanted: dict[str, Wanted]) -> Any:
    """Constituents that jets in an awkward array have inside, by type; None: none."""
    depth = depth_of(jets, wanted["jets"]) + 1
    found = {}
    for name, want in list(wanted.items())[1:]:
        rows = jets[name] if name in jets.fields else None
        numbers = rows is not None and not rows.fields and rows.ndim <= depth
        if rows is not None and not numbers and depth_of(rows, want) == depth:
            found[name] = rows
    return found or None


def _awkward_flat(a: Any, want: Wanted) -> Table:
    fields = tuple(a.fields)
    if not fields:
        return plain(unmasked(a, want.name), want, 2)
    found = resolve(want.inputs, fields, want.name)
    refuse(want, "columns of an awkward array are apart")
    columns = [unmasked(a[name], f"{want.name}: {name}") for name in found]
    return stack(columns, columns[0].shape if columns else (len(a),), want)


def awkward_rows(a: Any, jets: int, want: Wanted) -> Rows:
    """Constituents of an awkward array, jets × rows."""
    import awkward

    _check_depth(a, want, 2)
    a = records_of(a, want, min(2, depth_of(a, want)))
    if a.ndim < 2:
        raise ShapeError(
            f"{want.name}: an awkward array of type {a.type} has no rows by jet"
        )
    counts = unmasked(awkward.num(a, axis=1), f"{want.name}: number of rows")
    if len(counts) != jets:
        raise ShapeError(f"{want.name}: {len(counts)} items for {jets} jets")
    table = _awkward_flat(awkward.flatten(a, axis=1), want)
    return Rows(table, offsets_of(counts), None, 0)


# ---- rows of any form ----


def flat(data: Any, want: Wanted, ndim: int = 2) -> Table:
    """A table over any form of rows: one row a jet, or a constituent."""
    if type(data) is not _ndarray:
        if is_awkward(data):
            _check_depth(data, want, ndim - 1)
            return _awkward_flat(data, want)
        columns = columns_of(data)
        if columns is not None:
            return _named(columns, want)
        data = array_of(data, want.name)
        if data.dtype.names and is_masked(data):  # of the inputs alone
            read = list(_columns(data.dtype, want.inputs, want.name))
            data = data[read] if read else np.asarray(data)
        data = unmasked(data, want.name)
    if data.dtype.names:
        if data.ndim != ndim - 1:
            raise ShapeError(
                f"{want.name}: structured array of shape {data.shape}, "
                f"must have {ndim - 1} axes"
            )
        return structured(data, want)
    return plain(data, want, ndim)


def offsets_of(counts: Any) -> Any:
    """First rows of jets with so many rows."""
    offsets = np.zeros(len(counts) + 1, I64)
    np.cumsum(counts, out=offsets[1:])
    return offsets
