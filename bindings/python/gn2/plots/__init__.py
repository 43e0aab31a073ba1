# SPDX-License-Identifier: Apache-2.0
"""Pictures of a tagger: each function returns a matplotlib Figure.

    from gn2 import plots

    new = plots.from_scores("scores.h5", "jets_test.h5", name="new")
    old = plots.from_model("old.gn2", "jets_test.h5", name="old")
    plots.save(plots.roc([new, old]), "roc.png")
    plots.report([new, old], "report.html")

Where several taggers are given the first is the one looked at, the last the reference
of ratios. Cuts are set on the signal jets of each sample given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..metrics.files import from_model, from_scores
from ..metrics.sample import Tagged, Tracks, from_arrays
from ..scores import readable
from . import style
from .bins import efficiency, vertexing
from .classes import calibration, class_roc, confusion, origin_confusion, origin_roc
from .discriminants import discriminant, roc
from .history import Curves, Live, training
from .pictures import PICTURES, pictures
from .regression import pull, resolution, response
from .style import FLAVOURS, save

if TYPE_CHECKING:
    from ..report import report

__all__ = [
    "Curves",
    "FLAVOURS",
    "Live",
    "PICTURES",
    "Tagged",
    "Tracks",
    "calibration",
    "class_roc",
    "confusion",
    "discriminant",
    "efficiency",
    "from_arrays",
    "from_model",
    "from_scores",
    "origin_confusion",
    "origin_roc",
    "pictures",
    "pull",
    "readable",
    "report",
    "resolution",
    "response",
    "roc",
    "save",
    "style",
    "training",
    "vertexing",
]


def __getattr__(name: str) -> Any:
    """``report`` is known by this name too, and lives above: found on first use."""
    if name == "report":
        from ..report import report

        return report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
