# SPDX-License-Identifier: Apache-2.0
"""The constituents of jets in any form: ragged, padded, lists, awkward arrays.

A track whose values are all masked is padding; flags and masks say the same thing, and
both count. Forms without padding refuse flags and masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._arrays import I64, Rows, Table, Wanted, address, awkward_rows, by_name, flat
from ._arrays import masked_rows, offsets_of, plain, refuse, structured
from ._foreign import array_of, columns_of, filled, is_awkward, is_masked, kind_of
from ._foreign import unmasked
from .errors import InvalidArgument, ShapeError

_ndarray = np.ndarray
# what a NULL-free pointer to nothing points to
_NOTHING = np.zeros(1, np.float32)
FORMS = (
    "give padded (B, slots, F) or structured (B, slots), ragged (values, offsets), "
    "or a list of one array a jet"
)


def _no_rows(jets: int) -> Rows:
    nothing = Table(address(_NOTHING), 0, 0, None, _NOTHING)
    return Rows(nothing, np.zeros(jets + 1, I64), None, 0)


# ---- ragged ----


def _check_all_valid(values: Any, want: Wanted) -> None:
    """Rows of a form without padding are all tracks: a flag that says no is refused."""
    names = getattr(getattr(values, "dtype", None), "names", None) or ()
    if is_awkward(values):
        names = values.fields
    elif isinstance(values, Mapping):
        names = tuple(values)
    if "valid" not in names:
        return
    flags = values["valid"]
    if is_awkward(flags):
        import awkward

        flags = awkward.flatten(flags, axis=None)
    count = int((np.asarray(flags) != 1).sum())
    if count:
        raise InvalidArgument(
            f"{want.name}: field 'valid' is not 1 for {count} rows, and this form has "
            "no padding: leave them out, a[a['valid'] == 1], or give (B, slots)"
        )


def _ragged(values: Any, offsets: Any, jets: int, want: Wanted) -> Rows:
    if type(offsets) is not _ndarray or offsets.dtype != I64:
        offsets = unmasked(offsets, f"{want.name}: offsets")
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
    _check_all_valid(values, want)
    table = flat(values, want)
    if offsets[jets] != table.rows:
        raise ShapeError(
            f"{want.name}: offsets end at {offsets[jets]}, there are {table.rows} rows"
        )
    return Rows(table, offsets, None, 0)


def _item(item: Any, b: int, want: Wanted) -> Any:
    """The rows of a jet of a list, as an array."""
    what = f"{want.name} of jet {b}"
    if item is None:
        raise InvalidArgument(f"{what}: None; a jet without any has an empty list")
    if is_awkward(item) or columns_of(item) is not None:
        return flat(item, want).keep
    array = unmasked(item, what)
    if array.size and array.ndim != (1 if array.dtype.names else 2):
        raise ShapeError(
            f"{what}: shape {array.shape}, must be (rows, {len(want.inputs)}), or "
            "(rows) of a structured array"
        )
    return array


def _is_rows(item: Any) -> bool:
    return type(item) is _ndarray and item.ndim == 2 and item.dtype.names is None


def _jagged(items: Any, valid: Any, jets: int, want: Wanted) -> Rows:
    if len(items) != jets:
        raise ShapeError(f"{want.name}: {len(items)} items for {jets} jets")
    arrays = [i if _is_rows(i) else _item(i, b, want) for b, i in enumerate(items)]
    counts = [len(a) if a.ndim else 0 for a in arrays]
    if valid is not None:
        return _flagged(arrays, counts, valid, want)
    # by rows, not by numbers: rows of no columns are for plain() to judge
    there = [a for a, count in zip(arrays, counts) if count]
    if not there:
        return _no_rows(jets)._replace(offsets=offsets_of(counts))
    refuse(want, "a list is joined into one array")
    return _ragged(_joined(there, want), offsets_of(counts), jets, want)


def _joined(arrays: list[Any], want: Wanted) -> Any:
    """One array; fields in another order are found by name in each."""
    if len(set(a.dtype for a in arrays)) > 1:
        arrays = [by_name(a, want).keep if a.dtype.names else a for a in arrays]
    for a in arrays:
        if a.ndim == 2 and a.shape[1] != len(want.inputs):
            flat(a, want)  # says what is wrong
    return np.concatenate(arrays)


def _flagged(arrays: list[Any], counts: list[int], valid: Any, want: Wanted) -> Rows:
    """A list with flags: as many rows in every jet."""
    if len(set(counts)) > 1:
        raise InvalidArgument(
            f"{want.name}: valid goes with padded constituents, and the list has "
            f"{min(counts)} to {max(counts)} rows a jet; without valid all count"
        )
    refuse(want, "a list is joined into one array")
    if not arrays or not counts[0]:
        return _padded(np.zeros((len(arrays), 0, len(want.inputs))), valid, want)
    joined = _joined(arrays, want)
    return _padded(
        joined.reshape(len(arrays), counts[0], *joined.shape[1:]), valid, want
    )


# ---- padded ----


def _flags(valid: Any, shape: tuple[int, int], want: Wanted) -> Any:
    """(B, slots) uint8 of 0 and 1; a masked flag is 0."""
    what = f"{want.name}: valid"
    if type(valid) is not _ndarray:
        valid = filled(valid, 0, what)
    if valid.shape != shape:
        raise ShapeError(f"{what} of shape {valid.shape}, must be {shape}")
    if valid.dtype == np.bool_:
        return np.ascontiguousarray(valid).view(np.uint8)
    if valid.dtype.kind not in "fiu":
        raise InvalidArgument(f"{what}: must be 0 and 1, not {valid.dtype}")
    one = valid == 1
    if not (one | (valid == 0)).all():
        b, slot = np.argwhere(~one & (valid != 0))[0].tolist()
        raise InvalidArgument(
            f"{what}: {valid[b, slot]} at jet {b}, slot {slot}; flags are 0 or 1"
        )
    return np.ascontiguousarray(one).view(np.uint8)


def _unmasked_slots(data: Any, valid: Any, want: Wanted) -> tuple[Any, Any]:
    """Masked tracks become slots that are not valid."""
    every, some = masked_rows(data, want)
    used = ~every if valid is None else (valid != 0) & ~every
    if (some & used).any():
        b, slot = np.argwhere(some & used)[0].tolist()
        raise InvalidArgument(
            f"{want.name}: some values of jet {b}, slot {slot} are masked, others not; "
            "a track is masked as a whole, or not at all"
        )
    return np.asarray(data), np.ascontiguousarray(used).view(np.uint8)


def _padded(data: Any, valid: Any, want: Wanted) -> Rows:
    names = data.dtype.names
    jets, slots = data.shape[:2]
    if valid is None and names and "valid" in names:
        valid = data["valid"]
    if valid is not None:
        valid = _flags(valid, (jets, slots), want)
    if type(data) is not _ndarray:
        if is_masked(data):
            data, valid = _unmasked_slots(data, valid, want)
        data = np.asarray(data)
    if slots == 0:
        return _no_rows(jets)
    table = structured(data, want) if names else plain(data, want, 3)
    return Rows(table, None, valid, slots)


# ---- any form ----


def _check_padded(data: Any, jets: int, want: Wanted) -> None:
    axes = 2 if data.dtype.names else 3
    if data.ndim != axes:
        events = "; of jets by event, flatten that axis" if data.ndim > axes else ""
        raise ShapeError(f"{want.name}: shape {data.shape}; {FORMS}{events}")
    if data.shape[0] != jets:
        raise ShapeError(f"{want.name}: {data.shape[0]} rows for {jets} jets")


def _check_unflagged(valid: Any, want: Wanted, form: str) -> None:
    if valid is not None:
        raise InvalidArgument(
            f"{want.name}: valid goes with padded constituents, and these are {form}"
        )


def constituents(data: Any, valid: Any, jets: int, want: Wanted) -> Rows:
    """The constituents of ``jets`` jets, in any form."""
    if isinstance(data, tuple):
        if len(data) != 2:
            raise InvalidArgument(
                f"{want.name}: a tuple must be (values, offsets); "
                "one array a jet goes into a list"
            )
        _check_unflagged(valid, want, "(values, offsets)")
        return _ragged(data[0], data[1], jets, want)
    if isinstance(data, list):
        return _jagged(data, valid, jets, want)
    if type(data) is not _ndarray:
        if data is None:
            _check_unflagged(valid, want, "not given")
            return _no_rows(jets)
        if is_awkward(data):
            _check_unflagged(valid, want, "an awkward array")
            _check_all_valid(data, want)
            return awkward_rows(data, jets, want)
        if isinstance(data, Mapping) or columns_of(data) is not None:
            raise InvalidArgument(
                f"{want.name}: a {kind_of(data)} does not say which rows are of which "
                "jet: give (table, offsets)"
            )
        data = array_of(data, want.name)
    if data.dtype == object:
        return _jagged(list(np.atleast_1d(data)), valid, jets, want)
    _check_padded(data, jets, want)
    return _padded(data, valid, want)
