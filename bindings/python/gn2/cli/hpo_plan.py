# SPDX-License-Identifier: Apache-2.0
"""What the commands that start trials share: arguments, the space, the plan."""

from __future__ import annotations

import argparse
import pathlib

from ..hpo import crew, reader
from ..hpo.engine import Plan
from ..hpo.space import Space
from . import common


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    add = parser.add_argument
    add("space", metavar="SPACE", help="space file (YAML)")
    add("-o", "--out", metavar="DIR", help="folder of the search (its name)")
    add(
        "--store",
        metavar="URL",
        help="journal:FILE or the URL of a database, for workers on several hosts "
        "(sqlite in DIR)",
    )
    add(
        "-j",
        "--workers",
        type=common.positive,
        default=1,
        metavar="N",
        help="trials at a time (1)",
    )
    add(
        "--threads",
        type=common.positive,
        default=0,
        metavar="N",
        help="threads of a trial (the processors this process may use, shared)",
    )
    add(
        "--program",
        type=common.program,
        default=crew.PROGRAM,
        metavar="CMD",
        help="trial program instead of `gn2 hpo trial`, e.g. one in a container",
    )
    add(
        "--lease",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="a worker that is silent for so long has lost its trial; a search that "
        "goes on on another host waits for that before it asks for a new one (60)",
    )
    add("-q", "--quiet", action="store_true", help="no line a trial, no progress bar")


def seconds(word: str) -> float:
    """Type of an argument: a number above 0."""
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"'{word}' is not a number above 0")
    return number


def read(args: argparse.Namespace) -> tuple[Space, Plan]:
    """The space, and how it is run."""
    space = reader.load(args.space)
    plan = Plan(
        folder=pathlib.Path(args.out or space.name),
        store=args.store,
        workers=args.workers,
        threads=args.threads,
        program=args.program,
        lease=args.lease,
        quiet=args.quiet,
    )
    return space, plan
