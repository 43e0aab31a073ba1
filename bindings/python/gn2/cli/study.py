# SPDX-License-Identifier: Apache-2.0
"""The commands ``gn2 study NAME``: arguments made of what a study says it takes."""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType
from typing import Any

from .. import Config
from ..study import bench, plan
from . import common


def command(name: str) -> Command:
    """The command of the study that is the module ``name`` of gn2.study."""
    return Command(importlib.import_module(f"gn2.study.{name}"))


class Command:
    """A study, as :data:`gn2.cli.COMMANDS` wants it."""

    def __init__(self, study: ModuleType) -> None:
        self.study = study
        self.__doc__ = study.__doc__

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        common.options(parser)
        add = parser.add_argument
        add("train", nargs="+", help="HDF5 files with training jets, or patterns")
        add("-v", "--val", action="append", default=[], help="validation jets")
        add("-o", "--out", default="studies", help="folder of all studies (studies)")
        add("-s", "--small", action="store_true", help="a small form, for a sample")
        add(
            "-j",
            "--workers",
            type=common.positive,
            default=2,
            help="one-thread processes (2)",
        )
        add("--no-runs", action="store_true", help="conclude from the runs there are")
        common.label_arguments(parser)
        plans = plan.plans(self.study.DEFAULTS, self.study.SMALL)
        for argument in (*plan.ARGUMENTS, *self.study.ARGUMENTS):
            _add(parser, argument, *plans)

    def run(self, args: argparse.Namespace) -> int:
        args.train = common.files_of(args.train)
        args.val = common.files_of(args.val)
        config = common.apply(Config(), args.settings)
        common.check_objects([key for key, _ in args.settings], config)
        with common.labelled(args):
            print(bench.conduct(args, self.study))
        return 0


def _add(
    parser: argparse.ArgumentParser,
    argument: plan.Argument,
    full: plan.Plan,
    small: plan.Plan,
) -> None:
    """What is not given on the command line gets the study's default, which the help
    shows; None there is left unsaid."""
    name, kind, metavar, text = argument
    if full[name] is not None:
        shown = _shown(full[name])
        if small[name] != full[name]:
            shown += f"; --small: {_shown(small[name])}"
        text = f"{text} ({shown})"
    words: dict[str, Any] = (
        {"choices": kind} if isinstance(kind, tuple) else {"type": kind}
    )
    flag = "--" + name.replace("_", "-")
    parser.add_argument(flag, metavar=metavar, help=text, **words)


def _shown(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
