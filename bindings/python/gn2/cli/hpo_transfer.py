# SPDX-License-Identifier: Apache-2.0
"""Trains the target of a search (`transfer` of the space) once, with the parameters
that were found best: by `gn2 hpo confirm` where that was run, else by the search.

    gn2 hpo transfer space.yaml -o search
"""

from __future__ import annotations

import argparse

from ..hpo import after
from . import hpo_plan


def arguments(parser: argparse.ArgumentParser) -> None:
    hpo_plan.arguments(parser)


def run(args: argparse.Namespace) -> int:
    space, plan = hpo_plan.read(args)
    book, said = after.transfer(space, plan)
    metric = space.objective.metric
    target = " ".join(f"{key}={text}" for key, text in space.transfer.items())
    words = " ".join(f"{name}={text}" for name, text in book.parameters.items())
    print(f"{target}: {metric}={book.metrics[metric]:.6g} with {words} ({said})")
    print(f"model: {plan.folder / 'transfer' / book.name / 'model.gn2'}")
    return 0
