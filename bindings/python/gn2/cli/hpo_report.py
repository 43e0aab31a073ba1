# SPDX-License-Identifier: Apache-2.0
"""Makes the report of a search of `gn2 hpo run`, which may still be on.

    gn2 hpo report space.yaml search -o search.html
"""

from __future__ import annotations

import argparse

from ..hpo import rows
from . import hpo_show, hpo_words


def arguments(parser: argparse.ArgumentParser) -> None:
    hpo_show.arguments(parser)
    hpo_words.report_output(parser)


def run(args: argparse.Namespace) -> None:
    space, folder = hpo_show.search_of(args)
    hpo_words.report(rows.trials(space, args.store, folder), space, None, args)
