# SPDX-License-Identifier: Apache-2.0
"""Losses, accuracy, AUC and rejections at fixed efficiency of the signal of one model
or several, on jets with labels. Rejections are 1/efficiency, those of every
discriminant; options change and add some: discriminant.D_x.signal=CLASS. Without
labels of a task neither its loss nor the total is known: nan, and null in JSON.

    gn2 evaluate run/best.gn2 -d jets_test.h5
    gn2 evaluate a.gn2 b.gn2 -d jets_test.h5 --json
    gn2 evaluate run/best.gn2 -d 'jets_*.h5' data.selection='pt_btagJes > 100000'
"""

from __future__ import annotations

import argparse
import math
import re
import sys

from .. import Dataset, Model, Trainer
from ..training_stats import Metrics
from . import common

#: classes that D_b's figures of metrics.csv are of, by their names there
_OF_D_B = {"light": "ujets", "c": "cjets", "tau": "taujets"}
_D_B = ("rejection_", "auc_b_")
#: of the figures of other discriminants, those in the table
_SHORT = re.compile(r"_auc_|_rejection_77_")
_OWN = re.compile(r"(D_.+?)_rejection_(\d+)_(.+)")
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
    with Trainer(model, config) as trainer:
        with Dataset(files, config, progress=True) as data:
            common.say_selected(data, "labelled")
            found = trainer.evaluate(data)
    _say_what_lacks(path, model, found)
    return found


def figures_of(found: Metrics) -> dict[str, float]:
    """Figures by name: those of metrics.csv, without D_b's for classes that the model
    has not, and those of its other discriminants and classes."""
    named = found.figures
    classes = {name.partition(".auc_")[2] for name in named}
    lost = [own for own, name in _OF_D_B.items() if name not in classes]
    out = {
        name: value
        for name, value in found.flat("").items()
        if not (name.startswith(_D_B) and name.split("_")[-2 + ("auc" in name)] in lost)
    }
    others = (name for name in named if name.startswith("D_") and not _in_flat(name))
    out.update((name.replace(".", "_"), named[name]) for name in others)
    return out


def _in_flat(name: str) -> bool:
    """Is it a figure of D_b that metrics.csv has under a name of its own?"""
    of, _, figure = name.partition(".")
    what, _, last = figure.rpartition("_")
    usual = what == "cut" or last in _OF_D_B.values()
    return of == "D_b" and usual and figure != "auc_taujets"


def _words(figure: str) -> str:
    """``rejection_light_77`` and ``D_hbb_rejection_77_qcd`` in words."""
    what, _, of = figure.partition("_")
    background, _, point = of.rpartition("_")
    if what == "rejection" and point.isdigit():
        return f"{background} rejection at {point}% b"
    own = _OWN.fullmatch(figure)
    return f"{own[3]} rejection at {own[2]}% of {own[1]}" if own else figure


def _table(names: list[str], found: list[Metrics]) -> None:
    rows = [figures_of(metrics) for metrics in found]
    names_of = dict.fromkeys(name for row in rows for name in row)
    order = [n for n in names_of if not n.startswith("D_") or _SHORT.search(n)]
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
        print(common.json_line({"model": name, **figures_of(metrics)}))
    return 0
