# SPDX-License-Identifier: Apache-2.0
"""How classes of jets are called and look: a table of the names ATLAS uses, and a rule
for all others. What a class is (a signal, a background) is not told here but by the
discriminants of a tagger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..metrics.sample import Tagged
from ..scores import readable, short_name
from .style import BLUE, FLAVOURS, GREEN, ORANGE, PURPLE, SEVERAL, SKY, VERMILLION, Look
from .style import verbatim

#: short name of a class: what one jet of it is called, and its usual colour
KNOWN: dict[str, tuple[str, str]] = {
    **{name: (f"{name}-jet", look.color) for name, look in FLAVOURS.items()},
    "singleb": ("single b-jet", BLUE),
    "singlec": ("single c-jet", VERMILLION),
    "bb": ("bb-jet", "#00008B"),
    "bc": ("bc-jet", SKY),
    "cc": ("cc-jet", ORANGE),
    "s": ("s-jet", SKY),
    "g": ("gluon-jet", ORANGE),
    "ghostb": ("ghost b-jet", BLUE),
    "ghostc": ("ghost c-jet", VERMILLION),
    "ghosts": ("ghost s-jet", SKY),
    "ghostud": ("ghost ud-jet", GREEN),
    "ghostuds": ("ghost uds-jet", GREEN),
    "ghostg": ("ghost gluon-jet", ORANGE),
    "ghosttau": ("ghost tau-jet", PURPLE),
    # no spaces in formulas: titles are broken there
    "hbb": (r"$H{\to}b\bar{b}$", BLUE),
    "hcc": (r"$H{\to}c\bar{c}$", "#B45F06"),
    "htautau": (r"$H{\to}\tau\tau$", ORANGE),
    "top": ("top", "#A300A3"),
    "tqqb": ("full top", "#A300A3"),
    "qcd": ("QCD", "#38761D"),
}
#: of further classes, when those of SEVERAL are used up
MORE_COLORS = ("#882255", "#44AA99", "#999933", "#332288", "#661100", "#AA4499")


class Shown(NamedTuple):
    """A class in pictures; a :class:`Look` with words."""

    color: str
    line: Any
    marker: str
    noun: str  #: "b-jet"
    plural: str  #: "b-jets"


def shown(sample: Tagged) -> dict[str, Shown]:
    """Of all classes of a tagger, by the names of ``sample.classes``."""
    return looks(sample.scores.classes)


def looks(classes: Sequence[str]) -> dict[str, Shown]:
    """Of classes by their full names, by those that are read.

    A known one has its usual colour; any other, and one whose colour another has,
    the first that is free. Lines and markers all differ up to eight classes.
    """
    names = [readable(full) for full in classes]
    known = dict(zip(names, map(_known, names)))
    colors = _distinct((known[n][1] for n in names), _colors())
    usual = [FLAVOURS.get(n, Look("", None, "")) for n in names]
    lines = _distinct((str(w.line) for w in usual), (str(w.line) for w in SEVERAL))
    markers = _distinct((w.marker for w in usual), (w.marker for w in SEVERAL))
    by_text = {str(way.line): way.line for way in SEVERAL}
    found = {}
    for name, full, color, line, marker in zip(names, classes, colors, lines, markers):
        noun = known[name][0] or (f"{name}-jet" if short_name(full) != full else full)
        noun = verbatim(noun)
        plural = f"{noun}s" if noun.endswith("jet") else noun
        found[name] = Shown(color, by_text[line], marker, noun, plural)
    return found


def _known(name: str) -> tuple[str, str]:
    return KNOWN.get(name, ("", ""))


def _colors() -> Iterator[str]:
    yield from (way.color for way in SEVERAL)
    yield from MORE_COLORS


def _distinct(wanted: Iterable[str], free: Iterable[str]) -> list[str]:
    """What is wanted, by who asks first; for the others what nobody has, in turn."""
    out, pool, taken = list(wanted), list(free), set()
    for i, value in enumerate(out):
        if value in taken or value in ("", "None"):
            out[i] = ""
        taken.add(value)
    left = [value for value in pool if value not in out]
    turn = 0
    for i, value in enumerate(out):
        if not value:
            out[i] = (left or pool)[turn % len(left or pool)]
            turn += 1
    return out


def brief(noun: str) -> str:
    """ "b" for "b-jet": where it is said that they are jets."""
    return noun[:-4] if noun.endswith("-jet") else noun


def ordered(flavours: Sequence[str]) -> list[str]:
    """As backgrounds: light, tau, c and b, hardest last, then others as they come."""
    first = [f for f in ("light", "tau", "c", "b") if f in flavours]
    return first + [f for f in flavours if f not in first]
