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

from . import plots_style
from .metrics_sample import (
    Tagged,
    Tracks,
    from_arrays,
    from_model,
    from_scores,
    readable,
)
from .plots_bins import efficiency, vertexing
from .plots_classes import calibration, confusion, origin_confusion, origin_roc
from .plots_roc import discriminant, roc
from .plots_style import FLAVOURS, save
from .plots_training import Curves, Live, training
from .report import PICTURES, report
from .report_command import add_plot_arguments, run_plot

__all__ = [
    "Curves",
    "FLAVOURS",
    "Live",
    "PICTURES",
    "Tagged",
    "Tracks",
    "add_plot_arguments",
    "calibration",
    "confusion",
    "discriminant",
    "efficiency",
    "from_arrays",
    "from_model",
    "from_scores",
    "origin_confusion",
    "origin_roc",
    "plots_style",
    "readable",
    "report",
    "roc",
    "run_plot",
    "save",
    "training",
    "vertexing",
]
