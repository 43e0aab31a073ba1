# SPDX-License-Identifier: Apache-2.0
"""A parameter of a search: its range, its values as text, the options it sets."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Union

from ..errors import InvalidArgument

Value = Union[float, int, str]
KINDS = ("real", "integer", "choice")
SCALES = ("linear", "log")
#: names that every engine, shell and environment takes
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
#: of a grid, in all and of a parameter: they are stored before the first is begun
MOST_CELLS = 100_000
#: a parameter `x` on a log scale may also be given as `log2_x`
LOG2 = "log2_"
# How far beyond a bound a value may be that went through a logarithm and text.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Parameter:
    """One parameter."""

    name: str
    keys: tuple[str, ...]  #: options of the library that get its value
    kind: str  #: one of KINDS
    low: float = math.nan  #: of reals and integers
    high: float = math.nan
    scale: str = "linear"  #: one of SCALES
    step: float | None = None  #: distance of values from ``low`` on; linear scale
    values: tuple[str, ...] = ()  #: of choices, as options are written

    @property
    def log(self) -> bool:
        return self.scale == "log"

    def count(self) -> int | None:
        """How many values it can have; None where there is no end of them."""
        if self.kind == "choice":
            return len(self.values)
        if self.kind == "integer":
            return len(self._integers())
        if self.step is None:
            return None
        return math.floor((self.high - self.low) / self.step + _ROUNDING) + 1

    def cells(self) -> tuple[Value, ...] | None:
        """All values it can have; None where they are more than a grid takes."""
        count = self.count()
        if count is None or count > MOST_CELLS:
            return None
        if self.kind == "choice":
            return self.values
        if self.kind == "integer":
            return tuple(self._integers())
        return tuple(self.low + i * (self.step or 1) for i in range(count))

    def _integers(self) -> range:
        return range(int(self.low), int(self.high) + 1, int(self.step or 1))

    def parse(self, text: str) -> Value:
        """A value of text.

        Raises:
            InvalidArgument: it is none, or out of range; says what is allowed.
        """
        if self.kind == "choice":
            if text not in self.values:
                raise InvalidArgument(
                    f"{self.name} = {text!r} is none of {', '.join(self.values)}"
                )
            return text
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        return self.checked(number, text)

    def checked(self, number: float, text: str | None = None) -> Value:
        """A number brought onto bounds and steps it misses by rounding only."""
        given = repr(number) if text is None else text
        if not math.isfinite(number):
            raise InvalidArgument(f"{self.name} = {given!r} is no number")
        room = _ROUNDING * max(abs(self.low), abs(self.high))
        if not self.low - room <= number <= self.high + room:
            raise InvalidArgument(
                f"{self.name} = {given} is not within {self.low:g} … {self.high:g}"
            )
        number = min(max(number, self.low), self.high)
        if self.kind == "integer":
            return self._whole(number, given)
        return number if self.step is None else self._stepped(number, given)

    def _whole(self, number: float, given: str) -> int:
        step = int(self.step or 1)
        if number != round(number) or (round(number) - int(self.low)) % step:
            allowed = f"in steps of {step} from {self.low:g}" if step > 1 else "whole"
            raise InvalidArgument(f"{self.name} = {given} is not {allowed}")
        return round(number)

    def _stepped(self, number: float, given: str) -> float:
        step = self.step or 1
        place = (number - self.low) / step
        if abs(place - round(place)) > 1e-6:
            raise InvalidArgument(
                f"{self.name} = {given} is not in steps of {step:g} from {self.low:g}"
            )
        return self.low + round(place) * step

    def text(self, value: Value) -> str:
        """A value as it is written: numbers in their shortest exact form."""
        if self.kind == "choice":
            return str(value)
        return repr(float(value)) if self.kind == "real" else str(int(value))
