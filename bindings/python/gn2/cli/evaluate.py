# SPDX-License-Identifier: Apache-2.0
"""Losses, accuracy, AUC and rejections at fixed efficiency of the signal of one model
or several, on jets with labels. Rejections are 1/efficiency, those of every
discriminant; options change them, discriminant.D_c.f_b=0.3, and add some,
discriminant.D_x.signal=CLASS. In JSON figures are called as in metrics.csv. Without
labels of a task neither its loss nor the total is known: nan, and null in JSON.

    gn2 evaluate run/best.gn2 -d jets_test.h5
    gn2 evaluate a.gn2 b.gn2 -d jets_test.h5 --json
    gn2 evaluate run/best.gn2 -d 'jets_*.h5' data.selection='pt_btagJes > 100000'
"""

from __future__ import annotations

import argparse
import math
import sys

from .. import Dataset, Model, Trainer
from .._figure_names import of_column
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
    files = common.files_of(args.data)
    with Trainer(model, config) as trainer:
        with Dataset(files, config, progress=True) as data:
            common.say_selected(data, "labelled")
            found = trainer.evaluate(data)
    _say_what_lacks(path, model, found)
    return found


def _words(figure: str) -> str:
    """``rejection_light_77`` and ``D_hbb_rejection_77_qcd`` in words."""
    found = of_column(figure)
    return found.words if found else figure


def _table(names: list[str], found: list[Metrics]) -> None:
    rows = [metrics.flat("") for metrics in found]
    order = list(dict.fromkeys(name for row in rows for name in row))
    first = max(24, *(len(_words(name)) + 1 for name in order))
    width = max(12, *(len(name) + 2 for name in names))
    print(f"{'':{first}}" + "".join(f"{name:>{width}}" for name in names))
    for figure in order:
        words = (_number(row.get(figure)) for row in rows)
        line = "".join(f"{word:>{width}}" for word in words)
        print(f"{_words(figure):{first}}{line}")


def _number(value: float | None) -> str:
    """ "-" where there are no jets, none that pass, or no labels."""
    return "" if value is None else f"{value:.6g}" if value == value else "-"


def _say_what_lacks(path: str, model: Model, found: Metrics) -> None:
    """Losses without labels; and a model that classifies jets and defines no
    discriminant has no rejections."""
    lost = [name for name, loss in found.losses.items() if math.isnan(loss)]
    if lost:
        common.say_unlabelled(path, lost, "the total loss is not known")
    if model.classes and not any(name.startswith("D_") for name in found.figures):
        first = model.classes[0]
        print(
            f"gn2: {path}: no discriminant of its classes {', '.join(model.classes)}, "
            f"so no rejections; name a signal: discriminant.D_x.signal={first} "
            f"discriminant.D_x.fractions={model.classes[-1]}:rest",
            file=sys.stderr,
        )


def run(args: argparse.Namespace) -> int:
    models = args.model
    found = [evaluate(path, args) for path in models]
    if not args.json:
        _table(models, found)
        return 0
    for name, metrics in zip(models, found):
        print(common.json_line({"model": name, **metrics.flat("")}))
    return 0
