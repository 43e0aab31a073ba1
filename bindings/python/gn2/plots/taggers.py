# SPDX-License-Identifier: Apache-2.0
"""Which taggers and flavours a picture shows, and the legends that tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

from ..errors import InvalidArgument
from ..metrics.sample import Tagged
from . import style
from .flavours import Shown, ordered, shown
from .style import MODEL_LINES

#: one tagger, or several: the first is looked at, the last is the reference of ratios
Samples = Union[Tagged, Sequence[Tagged]]


def several(samples: Samples) -> list[Tagged]:
    found = [samples] if isinstance(samples, Tagged) else list(samples)
    if not found or len(found) > len(MODEL_LINES):
        raise InvalidArgument(f"{len(found)} taggers, must be 1 … {len(MODEL_LINES)}")
    return found


def having(samples: Samples, signal: str) -> list[Tagged]:
    """The taggers that know the signal, a class or a discriminant: the first must."""
    all_of = several(samples)
    all_of[0].signal_of(signal)
    return [s for s in all_of if signal in s.discriminants() or _has(s, signal)]


def _has(sample: Tagged, name: str) -> bool:
    return name in (*sample.classes, *sample.scores.classes)


def backgrounds(samples: Sequence[Tagged], signal: str) -> list[str]:
    """Flavours to reject, hardest last."""
    mine = samples[0].signal_of(signal)
    found = [f for f in ordered(samples[0].present()) if f != mine]
    if not found or not samples[0].of(mine).any():
        noun = shown(samples[0])[mine].plural
        raise InvalidArgument(f"the jets must be {noun} and others")
    return found


def title_of(samples: Sequence[Tagged], title: str | None) -> str | None:
    """What stands above a picture that names one tagger nowhere else, and of which of
    the jets it is."""
    alone = samples[0].title if len(samples) == 1 else ""
    return heading(samples, alone if title is None else title)


def heading(samples: Sequence[Tagged], title: str | None) -> str | None:
    """A title, and of which of the jets the picture is."""
    return "; ".join(filter(None, [title, samples[0].chosen])) or None


def flavour_handles(ways: Mapping[str, Shown], marks: str) -> list[Any]:
    """Entries of a legend by flavour; ``marks`` are "lines" or "points"."""
    made = []
    for way in ways.values():
        kind = (
            {"ls": way.line} if marks == "lines" else {"ls": "", "marker": way.marker}
        )
        made.append(style.Line2D([], [], color=way.color, label=way.plural, **kind))
    return made


def tagger_handles(samples: Sequence[Tagged], kinds: Sequence[Any]) -> list[Any]:
    """Entries of a legend by tagger, in black; ``kinds`` are Line2D arguments."""
    return [
        style.Line2D(
            [], [], label=style.verbatim(s.title), **{"color": "black", **kind}
        )
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
