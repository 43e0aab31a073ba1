# SPDX-License-Identifier: Apache-2.0
"""Trains the best of a search again with fresh seeds and ranks them by the mean.

The best of many noisy trials is the best partly by luck. The search's seed is not used
again; confirm.json in the folder of the search keeps what was found, and `gn2 hpo
transfer` goes by it. A seed that diverged counts with the untrained network's value;
where that is not known there is no mean, and the trial comes last. The same command
goes on with what was stopped.

    gn2 hpo confirm space.yaml -o search --top 5 --seeds 3
"""

from __future__ import annotations

import argparse

from ..hpo import after
from . import common, hpo_plan


def arguments(parser: argparse.ArgumentParser) -> None:
    hpo_plan.arguments(parser)
    add = parser.add_argument
    add("--top", type=common.positive, default=5, metavar="K", help="how many (5)")
    add("--seeds", type=common.positive, default=3, metavar="S", help="seeds each (3)")


def run(args: argparse.Namespace) -> int:
    space, plan = hpo_plan.read(args)
    metric = space.objective.metric
    found = after.confirm(space, plan, args.top, args.seeds)
    print(f"rank trial {metric}: mean ± standard error (in the search), parameters")
    for rank, row in enumerate(found, 1):
        words = " ".join(f"{name}={text}" for name, text in row.parameters.items())
        mean = f"{row.mean:.6g} ± {row.error:.2g}" if row.mean == row.mean else "none"
        of = f", {row.diverged} of {len(row.values)} diverged" if row.diverged else ""
        print(f"{rank:4d} {row.trial:5d} {mean} ({row.found:.6g}{of}) {words}")
    return 0
