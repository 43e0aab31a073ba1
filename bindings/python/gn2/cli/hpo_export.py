# SPDX-License-Identifier: Apache-2.0
"""Tells TensorBoard or MLflow of trials that have ended.

Folders of trials hold trial.json and metrics.log, which stay the truth.

    gn2 hpo export search/trials/* --to tensorboard:runs
    gn2 hpo export search/trials/* --to mlflow:http://localhost:5000
"""

from __future__ import annotations

import argparse
import os

from ..hpo import books, contract, loggers
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


def run(args: argparse.Namespace) -> None:
    name, _, place = args.to.partition(":")
    if name not in TARGETS:
        raise Failure(f"--to {args.to}: one of {', '.join(TARGETS)}")
    for folder in args.trials:
        trial = books.load(folder)
        log = os.path.join(folder, "metrics.log")
        os.stat(log)  # one that is not there is an error, not an empty one
        rows = contract.rows(log)
        word = args.to
        if name == "tensorboard" and place:  # a folder a trial
            word = f"{name}:{os.path.join(place, trial.name)}"
        loggers.replay(loggers.make(word, folder), trial, rows)
        print(f"{trial.name}: {len(rows)} lines to {args.to}")
