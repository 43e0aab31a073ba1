# SPDX-License-Identifier: Apache-2.0
"""Tells TensorBoard or MLflow of trials that have ended.

Folders of trials hold trial.json and metrics.log, which stay the truth.

    gn2 hpo export search/trials/* --to tensorboard:runs
    gn2 hpo export search/trials/* --to mlflow:http://localhost:5000
"""

from __future__ import annotations

import argparse
import os

from ..hpo import books, loggers
from .common import Failure

#: loggers that take trials afterwards
TARGETS = ("tensorboard", "mlflow")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trials", nargs="+", metavar="DIR", help="folders of trials")
    parser.add_argument(
        "--to",
        required=True,
        metavar="NAME[:PLACE]",
        help="tensorboard:FOLDER or mlflow:ADDRESS",
    )


def rows_of(path: str) -> list[tuple[int, dict[str, float]]]:
    """(step, figures) of the whole lines of a metrics file."""
    found: list[tuple[int, dict[str, float]]] = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            pairs = (word.split("=", 1) for word in line.split() if "=" in word)
            figures = {name: float(value) for name, value in pairs}
            step = int(figures.pop("step", 0))
            if line.endswith("\n") and figures:
                found.append((step, figures))
    return found


def run(args: argparse.Namespace) -> None:
    name, _, place = args.to.partition(":")
    if name not in TARGETS:
        raise Failure(f"--to {args.to}: one of {', '.join(TARGETS)}")
    for folder in args.trials:
        trial = books.load(folder)
        rows = rows_of(os.path.join(folder, "metrics.log"))
        word = args.to
        if name == "tensorboard" and place:  # a folder a trial
            word = f"{name}:{os.path.join(place, trial.name)}"
        loggers.replay(loggers.make(word, folder), trial, rows)
        print(f"{trial.name}: {len(rows)} lines to {args.to}")
