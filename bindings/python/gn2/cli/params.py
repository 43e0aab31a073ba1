# SPDX-License-Identifier: Apache-2.0
"""Table of the tensors of a model: shape, role, start and multipliers, as the chosen
parametrisation (model.parametrization) sets them.

    gn2 params run/best.gn2
    gn2 params model.parametrization=mup model.embed_dim=512
"""

from __future__ import annotations

import argparse

from .. import Config, Model
from . import common
from .common import Failure

HEAD = ("tensor", "role", "shape", "init std", "lr ×", "decay ×", "forward ×")


def arguments(parser: argparse.ArgumentParser) -> None:
    common.options(parser)
    parser.add_argument("model", nargs="?", help="a .gn2 file; none: a new model")
    parser.add_argument("-c", "--config", metavar="FILE", help="options of a new model")
    parser.add_argument("--csv", action="store_true", help="comma separated")


def _model(args: argparse.Namespace) -> Model:
    settings = args.settings
    if not args.model:
        return Model(common.apply(Config(args.config), settings))
    if settings or args.config:
        raise Failure("options describe a new model; give a file or options, not both")
    return Model.load(args.model)


def _rows(model: Model) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [HEAD]
    for p in model.params.values():
        shape = "×".join(map(str, p.shape))
        numbers = (p.init_std, p.lr_mult, p.wd_mult, p.forward_mult)
        rows.append((p.name, p.role, shape, *(f"{n:.4g}" for n in numbers)))
    return rows


def run(args: argparse.Namespace) -> int:
    model = _model(args)
    rows = _rows(model)
    if args.csv:
        print("\n".join(",".join(row) for row in rows))
        return 0
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    for row in rows:
        left = f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}"
        right = "  ".join(f"{c:>{w}}" for c, w in zip(row[2:], widths[2:]))
        print(f"{left}  {right}")
    print(f"{len(rows) - 1} tensors, {model.size:,} weights")
    return 0
