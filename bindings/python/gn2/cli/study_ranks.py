# SPDX-License-Identifier: Apache-2.0
"""The command ``gn2 study ranks``, whose measurements are no trainings to an end."""

from __future__ import annotations

import argparse
import dataclasses
import math
from typing import Any

from .. import Config, features
from ..errors import InvalidArgument
from ..group import Group
from ..study import ranks as study
from ..study.exchanges import Network
from ..study.plan import numbers
from . import common, ranks

__doc__ = study.__doc__

#: what is set here, and by what
OWN = {
    "model.embed_dim": "--widths",
    "data.batch_size": "--batches and --measure",
    "data.max_jets": "--measure",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    common.options(parser)
    add = parser.add_argument
    add("train", nargs="+", help="HDF5 files with training jets, or patterns")
    add("-o", "--out", default="studies", help="folder of all studies (studies)")
    lists: Any = numbers(int)
    add("--widths", type=lists, default=[64, 256], help="(64,256)")
    add("--batches", type=lists, default=[1000, 2000, 4000, 8000],
        help="to predict (1000,2000,4000,8000)")  # fmt: skip
    add("--ranks", type=lists, default=[1, 2, 4, 8, 16, 32, 64],
        help="to predict (1,2,4,8,16,32,64)")  # fmt: skip
    add("--measure", type=lists, default=[250, 1000],
        help="batches that are measured (250,1000)")  # fmt: skip
    add("--bandwidth", type=numbers(float), default=[1.0, 10.0, 25.0, 100.0],
        metavar="GB/S", help="of networks, in Gb/s (1,10,25,100)")  # fmt: skip
    add("--latency", type=float, default=30.0, metavar="US",
        help="of these networks, in µs (30)")  # fmt: skip
    add("--steps", type=common.positive, default=3, help="of each measurement (3)")
    add("--group", choices=["torch"], help="as of gn2 fit")


def _options(args: argparse.Namespace) -> dict[str, Any]:
    for key, _ in args.settings:
        if key in OWN:
            raise InvalidArgument(f"{key}: this study sets it: {OWN[key]}")
    config = common.apply(Config(), args.settings)
    common.check_objects([key for key, _ in args.settings], config)
    usual = {"train.threads": 1, "train.shards": 64, "schedule.steps": 1000000}
    return {**usual, **dict(args.settings)}


def _check(args: argparse.Namespace) -> None:
    lists = ("widths", "batches", "ranks", "measure", "bandwidth")
    for name in lists:
        values = getattr(args, name)
        if not values or not all(0 < value < math.inf for value in values):
            raise InvalidArgument(f"--{name}: numbers above 0")
    if not 0 < args.latency < math.inf:
        raise InvalidArgument("--latency: above 0")
    if len(set(args.measure)) < 2:
        raise InvalidArgument("--measure: two batches at least, to tell apart costs")


def _networks(args: argparse.Namespace, group: Group | None) -> dict[str, Network]:
    found = {f"{g:g} Gb/s": Network.of(args.latency, g) for g in args.bandwidth}
    if group is not None and group.size > 1:
        rounds = (group.size - 1).bit_length()
        found["measured"] = study.fit_network(study.time_messages(group), rounds)
    return found


def _ranks_to_measure(ranks_: list[int], shards: int) -> list[int]:
    """One, all, and one between."""
    top = max([r for r in ranks_ if r <= shards], default=1)
    middle = min(ranks_, key=lambda r: abs(r * r - top))
    found = sorted({1, middle, top})
    if len(found) < 2:
        raise InvalidArgument("--ranks: one at least above 1")
    return found


def run(args: argparse.Namespace) -> int:
    _check(args)
    args.train = common.files_of(args.train)
    options = _options(args)
    shards = int(options["train.shards"])
    args.ranks = sorted({1, *args.ranks})
    study.check_ranks(args.ranks, shards)
    measured = _ranks_to_measure(args.ranks, shards)
    group = ranks.group(kind=args.group)
    networks = _networks(args, group)
    if not ranks.leads(group):
        return 0
    rank = study.Rank(args.train, options)
    reading = rank.reading(max(args.measure))
    costs = {
        width: dataclasses.replace(
            rank.cost(width, args.measure, measured, args.steps, study.say),
            reading=reading,
        )
        for width in args.widths
    }
    threads = options["train.threads"]
    title = (
        f"ranks of {threads} thread{'' if str(threads) == '1' else 's'}, "
        f"{features()['isa']}, train.shards = {shards}"
    )
    found = study.Study(costs, networks, args.ranks, args.batches, title)
    print(study.write(found, args.out, study.say))
    return 0
