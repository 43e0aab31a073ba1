# SPDX-License-Identifier: Apache-2.0
"""What a study does unless it is told otherwise, and what it can be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Plan = Mapping[str, Any]
#: of all studies; --small is for the sample that ships
COMMON: Plan = {
    "widths": [32, 64, 128, 256],
    "seeds": 2,
    "jets": 80000,
    "val_jets": 10000,
    "batch": 100,
    "base_width": 64,
}
COMMON_SMALL: Plan = {
    "widths": [16, 32, 64],
    "jets": 6000,
    "val_jets": 1500,
    "batch": 50,
    "base_width": 16,
}


def numbers(kind: Any) -> Any:
    """Reads a list with commas."""

    def read(words: str) -> list[Any]:
        return [kind(word) for word in words.split(",") if word]

    return read


def plans(full: Plan, small: Plan) -> tuple[Plan, Plan]:
    """A study's defaults in full, and with --small."""
    whole = {**COMMON, **full}
    return whole, {**whole, **COMMON_SMALL, **small}


class Argument(NamedTuple):
    """What a study can be told on the command line, ``--NAME``."""

    name: str  #: of the plan
    kind: Any  #: what reads the word, or a tuple of the words allowed
    metavar: str | None
    text: str


def rate_list(name: str, text: str) -> Argument:
    """A list of learning rates."""
    return Argument(name, numbers(float), "R,R", text)


#: of all studies; a study's own are its ``ARGUMENTS``
ARGUMENTS = (
    Argument("widths", numbers(int), "W,W", "of the transformer"),
    Argument("seeds", int, "N", "random starts: 1 … N"),
    Argument("jets", int, "N", "first training jets, seen once"),
    Argument("val_jets", int, "N", "first validation jets"),
    Argument("batch", int, "N", "jets a batch"),
    Argument("base_width", int, "W", "width at which μP is SP"),
)
