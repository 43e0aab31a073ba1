# SPDX-License-Identifier: Apache-2.0
"""Losses, accuracy, AUC and rejections at fixed b-efficiency of one model or several,
on jets with labels. Rejections are 1/efficiency with the model's default D_b.

    gn2 evaluate run/best.gn2 -d jets_test.h5
    gn2 evaluate a.gn2 b.gn2 -d jets_test.h5 --json
"""

from __future__ import annotations

import argparse
import json

from .. import Dataset, Model, Trainer
from ..trainer import REJECTED, WORKING_POINTS, Metrics
from . import common

FIGURES = Metrics._fields[:-2]


def arguments(parser: argparse.ArgumentParser) -> None:
    common.options(parser)
    parser.add_argument("model", nargs="+", help=".gn2 files")
    parser.add_argument(
        "-d",
        "--data",
        action="append",
        required=True,
        metavar="FILE",
        help="HDF5 file with labelled jets; several times for several",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a model")
    common.threads(parser)


def evaluate(path: str, args: argparse.Namespace) -> Metrics:
    """Metrics of a model on the jets asked for."""
    model = Model.load(path)
    config = model.config
    config["data.sampling"] = "sequential"
    config["train.threads"] = args.threads
    common.apply(config, args.settings)
    with Trainer(model, config) as trainer, Dataset(args.data, config) as data:
        return trainer.evaluate(data)


def _table(names: list[str], found: list[Metrics]) -> None:
    width = max(12, *(len(name) + 2 for name in names))
    print(f"{'':24}" + "".join(f"{name:>{width}}" for name in names))
    for figure in FIGURES:
        values = "".join(f"{getattr(m, figure):>{width}.6g}" for m in found)
        print(f"{figure:24}{values}")
    for i, point in enumerate(WORKING_POINTS):
        for k, flavour in enumerate(REJECTED):
            values = "".join(f"{m.rejection[i, k]:>{width}.4g}" for m in found)
            print(f"{f'{flavour} rejection at {point:.0%} b':24}{values}")


def run(args: argparse.Namespace) -> int:
    models = args.model
    found = [evaluate(path, args) for path in models]
    if not args.json:
        _table(models, found)
        return 0
    for name, metrics in zip(models, found):
        print(json.dumps({"model": name, **metrics.flat("")}))
    return 0
