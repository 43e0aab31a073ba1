# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of a run directory and gathers them in its report.html.

gn2 plot run
"""

from __future__ import annotations

import argparse

from . import common


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_dir", metavar="RUN", help="directory of a `gn2 fit`")


def run(args: argparse.Namespace) -> int:
    plots = common.need("gn2.plots", "matplotlib", "drawing pictures")
    print(plots.report(args.run_dir))
    return 0
