# SPDX-License-Identifier: Apache-2.0
"""What is no plain NumPy array, as one: masked arrays, data frames, Arrow tables.

By what an object can do, never by its type: none of those packages is imported. What
cannot be used is refused here by an error of ours, and a mask is never dropped: masked
values become what the caller of these functions says, or are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .errors import Error, InvalidArgument

_ndarray = np.ndarray
_ma: Any = np.ma  # its functions have no types


def kind_of(given: Any) -> str:
    """A type in words: "polars.DataFrame"."""
    kind = type(given)
    package = kind.__module__.partition(".")[0]
    return kind.__name__ if package == "builtins" else f"{package}.{kind.__name__}"


def is_awkward(given: Any) -> bool:
    """Is it an array of the package awkward?"""
    kind = type(given)
    if hasattr(kind, "__dask_graph__"):  # whose operators are awkward's
        return False
    # packages of four-vectors have kinds of their own
    return any(one.__module__.partition(".")[0] == "awkward" for one in kind.__mro__)


def check_computed(given: Any) -> None:
    """Refuses what is only a plan of an array; dask's own arrays compute themselves."""
    kind = type(given)
    computes = hasattr(kind, "__array__") and not hasattr(kind, "fields")
    if hasattr(kind, "__dask_graph__") and not computes:
        raise InvalidArgument(
            f"a {kind_of(given)} is not computed yet: give its compute(), or tag where "
            "the numbers are, a part at a time, by map_partitions() of its package"
        )


def array_of(given: Any, what: str) -> Any:
    """An array, with its mask if it has one.

    Raises:
        InvalidArgument: it cannot be made one; what was given is named.
    """
    if type(given) is _ndarray:
        return given
    check_computed(given)
    try:
        if is_awkward(given):
            import awkward

            given = awkward.to_numpy(given)  # missing values are masked
        return np.asanyarray(given)
    except Error:
        raise
    except Exception as problem:  # of whatever package it comes from
        text = str(problem).partition("\n")[0]
        hint = "; jets by event are one awkward array of records, or flat"
        raise InvalidArgument(
            f"{what}: cannot use a {kind_of(given)} as an array of numbers: "
            f"{text[:160]}{hint if nested(given) else ''}"
        ) from problem


def nested(given: Any) -> bool:
    """Does it hold rows of different lengths?"""
    return is_awkward(given) or isinstance(given, (list, tuple))


def is_masked(array: Any) -> bool:
    """Is any value masked?"""
    return isinstance(array, np.ma.MaskedArray) and bool(mask_of(array).any())


def mask_of(array: Any) -> Any:
    """Where values are masked; of records with one more axis, the fields."""
    mask = _ma.getmaskarray(array)
    names = mask.dtype.names
    return mask if names is None else np.stack([mask[n] for n in names], -1)


def unmasked(given: Any, what: str) -> Any:
    """An array of which no value is masked.

    Raises:
        InvalidArgument: one is; the first is named.
    """
    array = array_of(given, what)
    if type(array) is _ndarray:
        return array
    if is_masked(array):
        first = np.argwhere(mask_of(array))[0].tolist()
        raise InvalidArgument(
            f"{what}: the value at {first} is masked; there must be one"
        )
    return np.asarray(array)


def joined(arrays: list[Any]) -> Any:
    """Arrays one after another, with their masks."""
    masked = any(isinstance(array, np.ma.MaskedArray) for array in arrays)
    return _ma.concatenate(arrays) if masked else np.concatenate(arrays)


def filled(given: Any, value: Any, what: str) -> Any:
    """An array with ``value`` where it was masked."""
    array = array_of(given, what)
    if isinstance(array, np.ma.MaskedArray):
        if is_masked(array) and array.dtype.kind in "ub":
            array = array.astype(np.int64)  # has room for any value
        array = array.filled(value)
    return np.asarray(array)


# ---- tables of columns ----


def _check_null(column: Any, what: str) -> None:
    """Nulls of Arrow and polars would become NaN, unlike any other missing value."""
    count = getattr(column, "null_count", 0)
    count = count() if callable(count) else count
    if count:
        raise InvalidArgument(
            f"{what}: {count} values are null; there must be one. NaN, as of "
            "fill_null, is replaced where input.non_finite = default"
        )


class Columns(NamedTuple):
    """A table: names, and what gives a column by its number."""

    names: tuple[str, ...]
    table: Any
    keys: tuple[Any, ...]  #: what the table knows its columns by

    def get(self, name: str, what: str) -> Any:
        """A column of numbers."""
        key = self.keys[self.names.index(name)]
        table = self.table
        try:
            column = table.column(key) if type(key) is _Place else table[key]
        except Exception as problem:
            raise InvalidArgument(
                f"{what}: a {kind_of(table)} gives no column {name!r}: {problem}"
            ) from problem
        _check_null(column, f"{what}: {name}")
        return unmasked(column, f"{what}: {name}")


class _Place(int):
    """Number of a column of an Arrow table."""


def columns_of(given: Any) -> Columns | None:
    """The columns of a mapping, data frame or Arrow table; None: it has none."""
    check_computed(given)
    if isinstance(given, Mapping):
        keys = tuple(given.keys())
        return Columns(tuple(map(str, keys)), given, keys)
    names = getattr(given, "column_names", None)  # of Arrow, whose columns are arrays
    if isinstance(names, list) and hasattr(given, "column"):
        places = tuple(_Place(k) for k in range(len(names)))
        return Columns(tuple(map(str, names)), given, places)
    names = getattr(given, "columns", None)
    if names is None or callable(names) or not hasattr(given, "__getitem__"):
        return None
    keys = tuple(names)
    return Columns(tuple(map(str, keys)), given, keys)


def check_unique(names: tuple[str, ...], wanted: tuple[str, ...], what: str) -> None:
    """Refuses a wanted column that is there twice."""
    if len(set(names)) == len(names):
        return
    for name in wanted:
        if names.count(name) > 1:
            raise InvalidArgument(
                f"{what}: {names.count(name)} columns are called {name!r}"
            )
