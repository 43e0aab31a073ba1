# SPDX-License-Identifier: Apache-2.0
"""Losses, accuracy, AUC and rejections at fixed b-efficiency of one model or several,
on jets with labels. Rejections are 1/efficiency with the model's default D_b. Without
labels of a task neither its loss nor the total is known: nan, and null in JSON.

    gn2 evaluate run/best.gn2 -d jets_test.h5
    gn2 evaluate a.gn2 b.gn2 -d jets_test.h5 --json
    gn2 evaluate run/best.gn2 -d 'jets_*.h5' data.selection='pt_btagJes > 100000'
"""

from __future__ import annotations

import argparse
import math

from .. import Dataset, Trainer
from ..training_stats import Metrics
from . import common

#: options that have an effect
TAKEN = (
    *common.OF_THE_MODEL,
    "task.*",
    *common.OF_CHOOSING,
    "train.threads",
    "train.chunk_tokens",
    "train.precision",
    "compute.*",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    common.options(parser)
    parser.add_argument("model", nargs="+", help=".gn2 files")
    common.labelled_data(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a model")
    common.threads(parser)


def evaluate(path: str, args: argparse.Namespace) -> Metrics:
    """Metrics of a model on the jets asked for."""
    model, config = common.model_for(path, args, TAKEN, "train.threads")
    common.check_shown(args.settings, model)
    files = common.files_of(args.data)
    with Trainer(model, config) as trainer, Dataset(files, config) as data:
        common.say_selected(data, "labelled")
        return trainer.evaluate(data)


def _words(figure: str) -> str:
    """``rejection_light_77`` in words."""
    what, _, of = figure.partition("_")
    background, _, point = of.rpartition("_")
    if what != "rejection" or not point.isdigit():
        return figure
    return f"{background} rejection at {point}% b"


def _table(names: list[str], found: list[Metrics]) -> None:
    width = max(12, *(len(name) + 2 for name in names))
    print(f"{'':24}" + "".join(f"{name:>{width}}" for name in names))
    rows = [metrics.flat("") for metrics in found]
    for figure in dict.fromkeys(name for row in rows for name in row):
        words = (f"{row[figure]:.6g}" if figure in row else "" for row in rows)
        print(f"{_words(figure):24}" + "".join(f"{word:>{width}}" for word in words))


def run(args: argparse.Namespace) -> int:
    models = args.model
    found = [evaluate(path, args) for path in models]
    for path, metrics in zip(models, found):
        lost = [name for name, loss in metrics.losses.items() if math.isnan(loss)]
        if lost:
            common.say_unlabelled(path, lost, "the total loss is not known")
    if not args.json:
        _table(models, found)
        return 0
    for name, metrics in zip(models, found):
        print(common.json_line({"model": name, **metrics.flat("")}))
    return 0
