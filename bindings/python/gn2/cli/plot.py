# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of a run directory, or of models and score files, and gathers them
in one report.html.

gn2 plot run                                     pictures of a fit
gn2 plot run -d jets_test.h5 old=old.gn2         against another model
gn2 plot new=new.h5 salt=salt.h5 -d jets_test.h5 -o pictures --only roc_b
"""

from __future__ import annotations

import argparse

from ..report_command import add_plot_arguments as arguments
from . import common

__all__ = ["arguments", "run"]


def run(args: argparse.Namespace) -> int:
    plots = common.need("gn2.plots", "matplotlib", "drawing pictures")
    status: int = plots.run_plot(args)
    return status
