# SPDX-License-Identifier: Apache-2.0
"""What figures of discriminants are called: in the library's list, in tables, in words.

The library says "D_c.rejection_77_bjets", a table "D_c_rejection_77_bjets"; some of
D_b had shorter names from the first and keep them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .scores import readable

AUC, CUT, REJECTION = "auc", "cut", "rejection"
#: working points as names have them
POINTS = ("65", "70", "77", "85")
_FIGURE = re.compile(r"(?:(auc)|(cut)_(\d+)|(rejection)_(\d+))(?:_(.+))?")


class FigureName(NamedTuple):
    """A figure of a discriminant."""

    discriminant: str
    what: str  #: AUC, CUT or REJECTION
    point: str = ""  #: efficiency of the signal in %; of an area none
    other: str = ""  #: the class against the signal; of a cut none

    @property
    def figure(self) -> str:
        """As the library names it."""
        end = "_".join(word for word in self[1:] if word)
        return f"{self.discriminant}.{end}"

    @property
    def column(self) -> str:
        """As tables name it."""
        return _OF_D_B.get(self, self.figure.replace(".", "_", 1))

    @property
    def words(self) -> str:
        """As it is said: "light rejection at 77% of D_b"."""
        if self.what == AUC:
            return f"{self.discriminant} AUC against {readable(self.other)}"
        if self.what == CUT:
            return f"cut at {self.point}% of {self.discriminant}"
        return (
            f"{readable(self.other)} rejection at {self.point}% of {self.discriminant}"
        )


def _of_d_b() -> Iterator[tuple[FigureName, str]]:
    backgrounds = {"ujets": "light", "cjets": "c", "taujets": "tau"}
    yield FigureName("D_b", AUC, "", "ujets"), "auc_b_light"
    yield FigureName("D_b", AUC, "", "cjets"), "auc_b_c"
    for point in POINTS:
        yield FigureName("D_b", CUT, point), f"cut_{point}"
        for other, name in backgrounds.items():
            figure = FigureName("D_b", REJECTION, point, other)
            yield figure, f"rejection_{name}_{point}"


_OF_D_B = dict(_of_d_b())
_BY_COLUMN = {column: figure for figure, column in _OF_D_B.items()}


def of_figure(name: str) -> FigureName | None:
    """From the library's name; None: it is no figure of a discriminant."""
    owner, _, figure = name.partition(".")
    return _made(owner, figure)


def of_column(name: str) -> FigureName | None:
    """From the name in a table; None: it is no figure of a discriminant."""
    if name in _BY_COLUMN:
        return _BY_COLUMN[name]
    owner = re.match(r"(D_\w+?)_(?=auc_|cut_\d|rejection_\d)", name)
    return _made(owner[1], name[owner.end() :]) if owner else None


def _made(owner: str, figure: str) -> FigureName | None:
    match = _FIGURE.fullmatch(figure) if owner.startswith("D_") else None
    if match is None:
        return None
    auc, cut, at_cut, rejection, at, other = match.groups()
    return FigureName(owner, auc or cut or rejection, at_cut or at or "", other or "")


def listed(discriminant: str, others: Iterable[str]) -> Iterator[FigureName]:
    """All that the library tells of a discriminant against these classes."""
    others = list(others)
    yield from (FigureName(discriminant, AUC, "", other) for other in others)
    for point in POINTS:
        yield FigureName(discriminant, CUT, point)
        for other in others:
            yield FigureName(discriminant, REJECTION, point, other)
