# SPDX-License-Identifier: Apache-2.0
"""What a run is: everything its result depends on, and the key made of that.

A run is known by its options, its data (by content, not by name) and what is recorded;
not by the number of threads, which changes no bit, nor by where files lie.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

#: training over the jets once, or steps on one batch with probes
KINDS = ("fit", "coordinates")

#: figures of a validation that are kept
VALIDATION = (
    "val_loss",
    "val_loss_jets",
    "val_loss_origin",
    "val_loss_vertex",
    "val_auc_b_light",
    "val_rejection_light_77",
    "val_rejection_c_77",
)
# of how a run is kept and made; raised when old results are no longer good
_FORM = "1"
_MUP = (
    "model.base_width",
    "model.base_heads",
    "model.zero_readout",
    "model.zero_query",
)


def text(value: object) -> str:
    """A value as options are written; numbers in their shortest exact form."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (
            repr(int(value))
            if value.is_integer() and abs(value) < 1e15
            else repr(value)
        )
    if isinstance(value, (list, tuple)):
        return ",".join(text(item) for item in value)
    return str(value)


@functools.lru_cache(maxsize=None)
def _digest(path: str, _size: int, _mtime: int) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()[:16]


def digest(path: str) -> str:
    """The content of a file, in 16 digits."""
    facts = os.stat(path)
    return _digest(os.path.abspath(path), facts.st_size, facts.st_mtime_ns)


@dataclass(frozen=True)
class Task:
    """One run."""

    kind: str  #: one of KINDS
    options: tuple[tuple[str, str], ...]  #: sorted, as text
    train: tuple[str, ...]  #: HDF5 files
    val: tuple[str, ...]  #: empty: no validation
    val_jets: int = -1  #: first jets of the validation files; -1 = all
    probe_steps: tuple[int, ...] = ()  #: of kind "coordinates"

    def __getitem__(self, name: str) -> str:
        return dict(self.options)[name]

    @property
    def data(self) -> str:
        """The content of the files."""
        parts = [digest(path) for path in (*self.train, "", *self.val) if path]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]

    @property
    def key(self) -> str:
        """What the result is kept under."""
        words = [_FORM, self.kind, self.data, str(self.val_jets)]
        words += [str(step) for step in self.probe_steps]
        words += [f"{name}={value}" for name, value in self.options]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]

    @property
    def cost(self) -> float:
        """Grows like the time it takes: for doing the small ones first."""
        width = float(self["model.embed_dim"])
        return (width + 60) * (width + 60) * float(self["data.max_jets"])


def canonical(options: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Sorted options as text. μP at its base width is the standard parametrisation to
    the bit (a test of the library), so both are one run, under one name."""
    found = {name: text(value) for name, value in options.items()}
    if found.get("model.parametrization") == "mup" and _at_base(found):
        found["model.parametrization"] = "sp"
    if found.get("model.parametrization") == "sp":
        found = {name: value for name, value in found.items() if name not in _MUP}
    return tuple(sorted(found.items()))


def _at_base(options: Mapping[str, str]) -> bool:
    heads = options.get("model.base_heads", "0")
    return (
        options["model.embed_dim"] == options.get("model.base_width", "64")
        and heads in ("0", options.get("model.num_heads", "8"))
        and "yes" not in (options.get(name) for name in _MUP)
    )
