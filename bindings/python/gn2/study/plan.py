# SPDX-License-Identifier: Apache-2.0
"""What a study does unless it is told otherwise, and how it is told."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ..cli import common

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


def _shown(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


class Arguments:
    """Adds the arguments all studies take, and a study's own. What is not given on the
    command line gets the study's default, which the help shows."""

    def __init__(
        self, parser: argparse.ArgumentParser, full: Plan, small: Plan
    ) -> None:
        self.parser = parser
        self.full, self.small = plans(full, small)
        common.options(parser)
        add = parser.add_argument
        add("train", nargs="+", help="HDF5 files with training jets")
        add("-v", "--val", action="append", default=[], help="validation jets")
        add("-o", "--out", default="studies", help="folder of all studies (studies)")
        add("-s", "--small", action="store_true", help="a small form, for a sample")
        add("-j", "--workers", type=int, default=2, help="one-thread processes (2)")
        add("--no-runs", action="store_true", help="conclude from the runs there are")
        self.add("widths", numbers(int), "W,W", "of the transformer")
        self.add("seeds", int, "N", "random starts: 1 … N")
        self.add("jets", int, "N", "first training jets, seen once")
        self.add("val_jets", int, "N", "first validation jets")
        self.add("batch", int, "N", "jets a batch")
        self.add("base_width", int, "W", "width at which μP is SP")

    def add(self, name: str, kind: Any, metavar: str, text: str) -> None:
        """An argument with a default in the plans; None there is left unsaid."""
        full, small = self.full[name], self.small[name]
        if full is not None:
            text += f" ({_shown(full)}"
            text += f"; --small: {_shown(small)})" if small != full else ")"
        flag = "--" + name.replace("_", "-")
        self.parser.add_argument(flag, type=kind, metavar=metavar, help=text)

    def rates(self, name: str, text: str) -> None:
        """A list of learning rates."""
        self.add(name, numbers(float), "R,R", text)
