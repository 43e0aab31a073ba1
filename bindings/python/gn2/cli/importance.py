# SPDX-License-Identifier: Apache-2.0
"""How much worse a model gets when one input means nothing: its values are dealt anew
among all jets, or all constituents, all else stays (permutation importance). Of two
inputs that say the same, both look unimportant. Needs jets with labels.

    gn2 importance run/best.gn2 -d jets_test.h5
    gn2 importance run/best.gn2 -d jets_test.h5 -o importance   # .csv and .png
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from typing import Any

from .. import Dataset, Model
from .._figure_names import REJECTION, of_column
from .._lines import replacing
from .._progress import Count
from ..metrics.files import described
from ..metrics.importance import Importances, importance
from . import common

#: options that have an effect
TAKEN = (
    *common.OF_THE_MODEL,
    "task.*",
    *common.OF_CHOOSING,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    common.options(parser)
    parser.add_argument("model", help="a .gn2 file")
    common.labelled_data(parser)
    parser.add_argument(
        "-n",
        "--jets",
        type=common.natural,
        default=10_000,
        metavar="N",
        help="look at the first N (10000), to whole batches; 0: all",
    )
    parser.add_argument(
        "-r",
        "--repeats",
        type=common.positive,
        default=3,
        metavar="N",
        help="deals an input (3); their spread is the error",
    )
    parser.add_argument(
        "--seed", type=common.natural, default=1, help="of the deals (1)"
    )
    parser.add_argument(
        "-o", "--out", metavar="NAME", help="write NAME.csv and NAME.png"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object an input")
    common.threads(parser)
    common.label_arguments(parser)
    common.force(parser)


def _rows(found: Importances) -> list[dict[str, Any]]:
    rows = []
    for one in found.inputs:
        row: dict[str, Any] = {"object": one.object, "input": one.input}
        for name in found.nominal:
            change = one.change(found.nominal, name)
            row[name], row[f"{name}_error"] = change
        rows.append(row)
    return rows


def _print(found: Importances) -> None:
    """Losses, and of each discriminant the rejections at 77 %, a block each."""
    blocks: dict[str, list[str]] = {"": []}
    for name in found.nominal:
        of = of_column(name)
        if of is None and name.startswith("loss"):
            blocks[""].append(name)
        elif of is not None and (of.what, of.point) == (REJECTION, "77"):
            blocks.setdefault(of.discriminant, []).append(name)
    for number, shown in enumerate(blocks.values()):
        print("\n" if number else "", end="")
        _print_block(found, shown)


def _print_block(found: Importances, shown: list[str]) -> None:
    width = {name: max(len(name), 18) + 2 for name in shown}
    names = [f"{one.object}.{one.input}" for one in found.inputs]
    first = max(map(len, [*names, "as it is"])) + 2
    print(f"{'change of':{first}}" + "".join(f"{n:>{width[n]}}" for n in shown))
    words = "".join(f"{found.nominal[n]:>{width[n]}.5g}" for n in shown)
    print(f"{'as it is':{first}}{words}")
    for name, one in zip(names, found.inputs):
        changes = (one.change(found.nominal, figure) for figure in shown)
        cells = (
            f"{c.value:+.3g}" + (f" +- {c.error:.1g}" if found.repeats > 1 else "")
            for c in changes
        )
        line = "".join(f"{cell:>{width[n]}}" for cell, n in zip(cells, shown))
        print(f"{name:{first}}{line}")


def _write(found: Importances, args: argparse.Namespace, names: list[str]) -> None:
    table, picture = names
    rows = _rows(found)
    with replacing(table) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    plots = common.need("gn2.plots.importance", "matplotlib", "--out")
    style = common.need("gn2.plots.style", "matplotlib", "--out")
    name = f"{os.path.basename(args.model)} ({described(Model.load(args.model))})"
    selection = dict(args.settings).get("data.selection")
    name = f"{name}; jets with {selection}" if selection else name
    with common.labelled(args):
        figure = plots.importance(found, name=name)
    style.save(figure, picture)


def run(args: argparse.Namespace) -> int:
    args.data = common.files_of(args.data)
    names = [f"{args.out}.csv", f"{args.out}.png"] if args.out else []
    for name in names:
        common.output(name, args.force, *common.there(args.model, *args.data))
    if names:
        common.need("matplotlib", "matplotlib", "--out")
    model, config = common.model_for(args.model, args, TAKEN, "train.threads")
    total = sum(len(names) for names in model.inputs.values())
    with Dataset(args.data, config, progress=True) as data:
        common.say_selected(data, "labelled")
        with Count(total, "input", "dealt") as bar:
            found = importance(
                model,
                data,
                jets=args.jets,
                repeats=args.repeats,
                seed=args.seed,
                threads=args.threads,
                progress=lambda _done, _total: bar.add(1),
            )
    if found.unlabelled:
        common.say_unlabelled(
            args.model, found.unlabelled, "loss is that of the others"
        )
    if args.json:
        for row in _rows(found):
            print(common.json_line(row))
    else:
        _print(found)
    if names:
        _write(found, args, names)
        print(f"wrote {' and '.join(names)}", file=sys.stderr)
    return 0
