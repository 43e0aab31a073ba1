# SPDX-License-Identifier: Apache-2.0
"""Which taggers and flavours a picture shows, and the legends that tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

from ..errors import InvalidArgument
from ..metrics.sample import Tagged
from . import style
from .style import MODEL_LINES, look

#: one tagger, or several: the first is looked at, the last is the reference of ratios
Samples = Union[Tagged, Sequence[Tagged]]


def several(samples: Samples) -> list[Tagged]:
    found = [samples] if isinstance(samples, Tagged) else list(samples)
    if not found or len(found) > len(MODEL_LINES):
        raise InvalidArgument(f"{len(found)} taggers, must be 1 … {len(MODEL_LINES)}")
    return found


def backgrounds(samples: Sequence[Tagged], signal: str) -> list[str]:
    """Flavours to reject, hardest last: light, tau, c."""
    there: list[str] = [
        f for f in ("light", "tau", "c", "b") if f in samples[0].present()
    ]
    there += [f for f in samples[0].present() if f not in there]
    found = [f for f in there if f != signal]
    if not found or not samples[0].of(signal).any():
        raise InvalidArgument(f"the jets must be {signal}-jets and others")
    return found


def flavour_handles(flavours: Sequence[str], marks: str) -> list[Any]:
    """Entries of a legend by flavour; ``marks`` are "lines" or "points"."""
    made = []
    for flavour in flavours:
        way = look(flavour)
        kind = (
            {"ls": way.line} if marks == "lines" else {"ls": "", "marker": way.marker}
        )
        made.append(
            style.Line2D([], [], color=way.color, label=f"{flavour}-jets", **kind)
        )
    return made


def tagger_handles(samples: Sequence[Tagged], kinds: Sequence[Any]) -> list[Any]:
    """Entries of a legend by tagger, in black; ``kinds`` are Line2D arguments."""
    return [
        style.Line2D([], [], label=s.name, **{"color": "black", **kind})
        for s, kind in zip(samples, kinds)
    ]


FILLED_OR_OPEN: tuple[dict[str, Any], ...] = (
    {"ls": "", "marker": "o"},
    {"ls": "", "marker": "o", "mfc": "white"},
    {"ls": "", "marker": "o", "mfc": "#bbbbbb"},
    {"ls": "", "marker": "o", "fillstyle": "left", "markerfacecoloralt": "white"},
)
LINES: tuple[dict[str, Any], ...] = tuple({"ls": line} for line in MODEL_LINES)
LINE_OR_POINTS: tuple[dict[str, Any], ...] = ({"ls": "-"}, FILLED_OR_OPEN[1])
