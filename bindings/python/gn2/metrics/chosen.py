# SPDX-License-Identifier: Apache-2.0
"""Which jets of a file are looked at: the first ones, or those that ``data.selection``
chooses, as the library reads it. Needs h5py."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Union

import numpy as np
from numpy.typing import NDArray

from ..dataset import Dataset
from ..errors import InvalidArgument, Unsupported
from ..tasks import FLAVOUR_TASK

Path = Union[str, "os.PathLike[str]"]
#: text of ``data.selection``, or options ``data.*`` with it
Selection = Union[str, Mapping[str, Any]]

_ROWS_A_READ = 10_000


def open_file(path: Path) -> Any:
    """A file to read, by h5py."""
    try:
        import h5py
    except ImportError as problem:
        raise Unsupported("reading HDF5 files for plots needs h5py") from problem
    try:
        import hdf5plugin  # noqa: F401  (LZ4, as UPP and salt write)
    except ImportError:
        pass
    return h5py.File(path, "r")


class Chosen(NamedTuple):
    """Rows of the tables of a file."""

    limit: int | None = None  #: the first so many; None, 0: all
    rows: NDArray[np.int64] | None = None  #: these instead, ascending
    facts: Mapping[str, str] = {}  #: for the report

    def read(self, file: Any, name: str) -> Any:
        """Of a table; of one that is shorter than the others, as many as there are.
        None: there is no such table."""
        if name not in file:
            return None
        table = file[name]
        if self.rows is None:
            return table[: self.limit if self.limit and self.limit > 0 else None]
        parts = [table[:0]]
        for first in range(0, len(table), _ROWS_A_READ):
            end = min(first + _ROWS_A_READ, len(table))
            begin, stop = np.searchsorted(self.rows, [first, end])
            if begin < stop:
                parts.append(table[first:end][self.rows[begin:stop] - first])
        return np.concatenate(parts)


def choose(
    data: Path, selection: Selection, limit: int | None, jets: str = "jets"
) -> Chosen:
    """The jets of a file that a selection leaves; of those, the first ``limit``.

    Args:
        jets: the dataset of the jets.
    """
    options = selection if isinstance(selection, Mapping) else {}
    text = options.get("data.selection", "") if options else selection
    if not text:
        return Chosen(limit)
    with open_file(data) as file:
        tables = _inputs(file, data, jets)
        total = len(file[jets])
    options = {**options, "data.selection": text, **_READING, **tables}
    with Dataset(data, options) as found:
        rows = found.rows
    first = f", the first {limit:,} of {len(rows):,}" if limit else ""
    shown = rows[: limit if limit and limit > 0 else None]
    facts = {
        "selection": f"{text}{first if len(shown) < len(rows) else ''}",
        "jets before it": f"{total:,}",
    }
    return Chosen(limit, shown, facts)


#: nothing is read but what the selection compares
_READING = {
    "data.batch_size": 1,
    "data.max_jets": -1,
    "data.prefetch": 0,
    "data.sampling": "sequential",
    "model.tasks": [FLAVOUR_TASK],
    "model.constituents": ["tracks"],
}


def _inputs(file: Any, path: Path, jets: str) -> dict[str, Any]:
    """A field of the jets and one of some constituents: a dataset has both."""
    tables = {n: t for n, t in file.items() if getattr(t, "dtype", None) is not None}
    if jets not in tables:
        raise InvalidArgument(f"'{path}': no dataset '{jets}' to select jets of")
    slots = {n: t for n, t in tables.items() if t.ndim == 2 and _number(t)}
    if not slots:
        raise InvalidArgument(
            f"'{path}': jets are selected in files with a dataset of their tracks or "
            "other constituents; this one has none"
        )
    tracks = "tracks" if "tracks" in slots else next(iter(slots))
    return {
        "data.dataset.jets": jets,
        "data.dataset.tracks": tracks,
        "inputs.jets": [_number(tables[jets])],
        "inputs.tracks": [_number(slots[tracks])],
    }


def _number(table: Any) -> str | None:
    """A field that is a number."""
    fields = table.dtype.fields or {}
    kinds = ((name, kind[0]) for name, kind in fields.items() if name != "valid")
    return next((n for n, k in kinds if k.shape == () and k.kind in "fiu"), None)
