# SPDX-License-Identifier: Apache-2.0
"""Table of the tensors of a model as its parametrisation (model.parametrization) sets
them.

    gn2 params run/best.gn2
    gn2 params model.parametrization=mup model.embed_dim=512

role        finite: no size grows with the width; input: its outputs grow; hidden: both
            do; output: its inputs do; bias: a vector that grows
fan in/out  inputs and outputs of the linear map
init std    standard deviation of the random start, 0: it starts as a constant
lr ×        its learning rate is that of the schedule times this
decay ×     its weight decay is optim.weight_decay times this
forward ×   factor of its output in the forward pass

lr × and decay × depend on the optimiser: of a new model those of every optimiser
are shown, of a file those stored in it, which are of the optimiser it was made for.
The last line has the factor of q·k in the attention and of the encoder's read-out.
"""

from __future__ import annotations

import argparse

from .. import Config, Model
from ..config import keys
from ..model import Param
from . import common
from .common import Failure

#: (name in the csv, head of the table) of what no optimiser changes
FIXED = (
    ("tensor", "tensor"),
    ("role", "role"),
    ("shape", "shape"),
    ("fan_in", "fan in"),
    ("fan_out", "fan out"),
    ("init_std", "init std"),
    ("forward_mult", "forward ×"),
)
#: options that the table, or its last line, shows
TAKEN = (
    "model.classes",
    "model.constituents",
    "inputs.*",
    "model.init*",
    "model.embed_dim",
    "model.num_*",
    "model.ffn_hidden",
    "model.out_dim",
    "model.encoder",
    "model.final_norm_pos",
    "model.parametrization",
    "model.base_*",
    "model.zero_readout",
    "model.dropout_init",
    "model.dropout_heads",
    "model.tasks",
    "task.*.kind",
    "task.*.object",
    "task.*.hidden",
    "task.*.classes",
    "task.*.targets",
    "optim.decay_scaling",
)
MULTIPLIERS = (("lr_mult", "lr ×"), ("wd_mult", "decay ×"))


def arguments(parser: argparse.ArgumentParser) -> None:
    common.options(parser)
    parser.add_argument("model", nargs="?", help="a .gn2 file; none: a new model")
    parser.add_argument("-c", "--config", metavar="FILE", help="options of a new model")
    parser.add_argument(
        "--csv", action="store_true", help="comma separated, numbers in full"
    )


def _models(args: argparse.Namespace) -> dict[str, Model]:
    """A model each optimiser."""
    if not args.model:
        config = common.apply(Config(args.config), args.settings)
        common.check_taken(args.settings, TAKEN)
        common.check_objects([key for key, _ in args.settings], config)
        optimisers = keys()["optim.name"].choices
        return {name: Model({**config, "optim.name": name}) for name in optimisers}
    if args.settings or args.config:
        raise Failure("options describe a new model; give a file or options, not both")
    model = Model.load(args.model)
    return {model.metadata("optim.name"): model}


def _row(param: Param, number: str, times: str) -> list[str]:
    shape = times.join(map(str, param.shape))
    row = [param.name, param.role, shape, str(param.fan_in), str(param.fan_out)]
    return [*row, f"{param.init_std:{number}}", f"{param.forward_mult:{number}}"]


def _table(models: dict[str, Model], csv: bool) -> list[list[str]]:
    number, times = (".17g", "x") if csv else (".4g", "×")
    head = [names[not csv] for names in FIXED]
    for optimiser in models:
        words = ((csv_name if csv else name) for csv_name, name in MULTIPLIERS)
        head += [f"{optimiser}{'_' if csv else ' '}{word}" for word in words]
    rows = [head]
    for name, param in next(iter(models.values())).params.items():
        row = _row(param, number, times)
        for model in models.values():
            of = model.params[name]
            row += [f"{getattr(of, field):{number}}" for field, _ in MULTIPLIERS]
        rows.append(row)
    return rows


def _print(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        left = f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}"
        right = "  ".join(f"{c:>{w}}" for c, w in zip(row[2:], widths[2:]))
        print(f"{left}  {right}")


def run(args: argparse.Namespace) -> int:
    models = _models(args)
    rows = _table(models, args.csv)
    if args.csv:
        print("\n".join(",".join(row) for row in rows))
        return 0
    _print(rows)
    model = next(iter(models.values()))
    scales = (float(model.metadata(f"scale.{s}")) for s in ("attention", "readout"))
    print(
        f"{len(rows) - 1} tensors, {model.size:,} weights; "
        "attention × {:.6g}, read-out × {:.6g}".format(*scales)
    )
    return 0
