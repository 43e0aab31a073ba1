# SPDX-License-Identifier: Apache-2.0
"""What commands of ``gn2 hpo`` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..hpo.books import Trial
from ..hpo.space import Objective, Space
from . import common


def report_output(parser: argparse.ArgumentParser) -> None:
    """Adds --report and --force."""
    parser.add_argument(
        "-o",
        "--report",
        default="search.html",
        metavar="FILE",
        help="one HTML file with pictures and tables (search.html)",
    )
    common.force(parser)


def report(
    trials: Sequence[Trial],
    space: Space | None,
    objective: Objective | None,
    path: str,
) -> None:
    """Writes the report of a search and says the most of it."""
    common.need("matplotlib", "matplotlib", "a report of a search")
    from ..hpo import report as pages

    search = pages.search_of(trials, space, objective)
    note = ""
    if space is not None:
        with open(space.path, encoding="utf-8") as file:
            note = file.read()
    for word, text in pages.summary(search):
        print(f"{word}: {text}")
    print(f"gn2: report: {pages.write(search, path, note)}", file=sys.stderr)
