# SPDX-License-Identifier: Apache-2.0
"""Checks a space file, a Katib Experiment or a metrics file; says what is wrong with it
where, and what to do.

SPACE is checked by itself and, with --engine (several times for several), against what
the engine can do and does otherwise than asked. --experiment takes any file with Katib
Experiments, of whoever wrote them; --metrics a file that a trial wrote for Katib's
collector, or a pipe, up to 64 MiB. Exit status: 0 nothing wrong (warnings do not
count), 1 something is.

    gn2 hpo check rates.yaml --engine katib
    gn2 hpo check --experiment experiment.yaml
    gn2 hpo check --metrics run/metrics.log --metric val_loss
"""

from __future__ import annotations

import argparse
import os

from ..hpo import collector, engines, experiment, reader
from ..hpo.algorithms import ENGINES
from ..hpo.document import Problem, SpaceError, bounded, read_all
from .common import Failure


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("space", nargs="?", metavar="SPACE", help="space file")
    parser.add_argument(
        "--engine",
        action="append",
        choices=ENGINES,
        default=[],
        help="what is to run it; several times for several (none)",
    )
    parser.add_argument(
        "--experiment",
        action="append",
        default=[],
        metavar="FILE",
        help="Katib Experiments in YAML",
    )
    parser.add_argument(
        "--metrics",
        action="append",
        default=[],
        metavar="FILE",
        help="metrics file of a trial, TEXT or JSON",
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="that must be in it, the objective first (of SPACE, else val_loss)",
    )


def _experiments(path: str) -> list[Problem]:
    documents = read_all(path)
    if not any(experiment.is_experiment(document) for document in documents):
        return list(experiment.of_document(documents[0])) if documents else []
    return [
        problem
        for document in documents
        if experiment.is_experiment(document)
        for problem in experiment.problems(document)
    ]


def _metrics(path: str, names: list[str]) -> list[Problem]:
    text = bounded(path, collector.MOST).decode("utf-8", "replace")
    form = "JSON" if text.lstrip().startswith("{") else "TEXT"
    return collector.problems(path, text, names, form)


def run(args: argparse.Namespace) -> int:
    files = [*([args.space] if args.space else []), *args.experiment, *args.metrics]
    if not files:
        raise Failure("nothing to check: give a space file, --experiment or --metrics")
    if args.engine and not args.space:
        raise Failure("--engine needs a space file")
    found: list[Problem] = []
    names = args.metric
    try:
        if args.space:
            space = reader.load(args.space)
            names = names or [objective.metric for objective in space.objectives]
            for engine in args.engine:
                found += engines.problems(space, engine)
        for path in args.experiment:
            found += _experiments(path)
        for path in args.metrics:
            found += _metrics(path, names or ["val_loss"])
    except SpaceError as problem:
        found += problem.problems
    for item in found:
        print(item)
    wrong = sum(not item.warning for item in found)
    names = ", ".join(map(os.path.basename, files))
    print(f"{names}: {wrong} wrong, {len(found) - wrong} warnings")
    return int(wrong > 0)
