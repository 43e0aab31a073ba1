# SPDX-License-Identifier: Apache-2.0
"""Makes DIR/report.html of a search of `gn2 hpo run`, which may still be on.

    gn2 hpo report space.yaml -o search
"""

from __future__ import annotations

import argparse

from ..hpo import rows
from . import common, hpo_show, hpo_words


def arguments(parser: argparse.ArgumentParser) -> None:
    hpo_show.place(parser)


def run(args: argparse.Namespace) -> None:
    space, folder = hpo_show.search_of(args)
    trials = rows.trials(space, args.store, folder)
    path = common.output(str(folder / "report.html"), True, space.path)
    hpo_words.report(trials, space, None, path)
