# SPDX-License-Identifier: Apache-2.0
"""Trains one trial of a search: what every engine starts.

Values of the parameters are words NAME=VALUE or variables KUBEFLOW_TRAINER_OPT_NAME of
the environment. OUT is a run folder as `gn2 fit` makes it, with trial.json; the same
command goes on with it, to the bit, and one with other values is refused.

--metrics-file is what Katib's collector reads; it is there, empty, before anything that
takes long. A trial diverged if its loss is not finite, or no better at the end than
untrained. --launch starts a distributed trial, e.g. --launch 'mpirun -n 4'; OUT must be
on a volume that its processes share.

    gn2 hpo trial rates.yaml -o trials/7 max_rate=1e-3 initial_rate=1e-6 \\
        warm_up=0.1 decay=1e-5

Exit status: 0 done, and the objective is in the metrics file; 1 failed, trying again
may help; 2 wrong parameters or options, never again; 3 diverged and --on-divergence is
fail; 4 no room for a file (full disk, quota, ulimit -f); 130, 143 stopped by SIGINT,
SIGTERM: the same command goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from .. import errors
from ..group import Group, launched
from ..hpo import books, contract, launch
from ..hpo.document import SpaceError
from ..hpo.loggers import LOGGERS
from . import common, ranks
from .common import Failure
from .trial_asked import Asked, Refused
from .trial_run import (
    DIVERGED,
    NOTHING,
    REFUSED,
    Orders,
    TrialRun,
    follow,
    keep,
    mirror_of,
)

POLICIES = ("penalty", "fail")
#: of the library: the same again next time
_FOR_GOOD = (
    errors.InvalidArgument,
    errors.FormatError,
    errors.VersionError,
    errors.ShapeError,
    errors.NotFound,
    errors.NumericError,
    errors.AbiError,
    errors.Unsupported,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(takes_parameters=True)
    parser.add_argument("space", metavar="SPACE", help="space file")
    parser.add_argument("-o", "--out", required=True, help="folder of the trial")
    parser.add_argument(
        "--metrics-file", metavar="FILE", help="for a collector (OUT/metrics.log)"
    )
    parser.add_argument(
        "--metrics-format", choices=contract.FORMATS, default="text", help="(text)"
    )
    parser.add_argument(
        "--on-divergence",
        choices=POLICIES,
        default="penalty",
        help="penalty (default): told as what the untrained network has; fail: exit 3",
    )
    parser.add_argument(
        "--keep",
        metavar="DIR",
        help="copy models and trial.json to DIR/NAME at the end",
    )
    parser.add_argument(
        "--name", help="of the trial (KATIB_TRIAL_NAME of the environment, else OUT's)"
    )
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="LOGGER",
        help=f"tell another, too: {', '.join(LOGGERS)}, as `gn2 hpo export`; "
        "several times for several",
    )
    parser.add_argument(
        "--launch",
        type=common.program,
        metavar="WORDS",
        help="launcher of a distributed trial",
    )
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


# ---- a distributed trial ----


def _program(args: argparse.Namespace, asked: Asked) -> list[str]:
    """What every rank is told to do."""
    words = ["-m", "gn2", "hpo", "trial", args.space, "-o", args.out, "--rank", "-q"]
    words += ["--on-divergence", args.on_divergence, "--name", asked.name]
    words += [word for logger in args.log for word in ("--log", logger)]
    return words + [f"{name}={value}" for name, value in asked.parameters.items()]


def _launched(args: argparse.Namespace) -> int:
    asked = Asked(args)
    launcher = launch.Launcher(args.launch, _program(args, asked), mirror_of(args))
    status = _status(launcher.wait(), args)
    if args.keep and status in (0, DIVERGED):
        keep(books.load(args.out), args.out, args.keep)
    return status


def _status(status: int, args: argparse.Namespace) -> int:
    """Exit status of a trial whose launcher has ended.

    Launchers tell little of their ranks; the trial's own file does.
    """
    if status in (REFUSED, contract.NO_ROOM):
        return status
    try:
        trial = books.load(args.out)
    except FileNotFoundError:
        raise Failure(
            f"the launcher ended with {status} and no trial in '{args.out}': is that "
            "folder shared with its processes?"
        ) from None
    if trial.state == "diverged":
        return DIVERGED if status == DIVERGED else 0
    if trial.state == "done" and status == 0:
        return 0
    raise Failure(
        f"the launcher ended with {status}, the trial is {trial.state}"
        + (f": {trial.message}" if trial.message else "")
    )


_REMEDY = "start the trial once, with --launch 'mpirun -n N' if it is to be distributed"


def _refuse_others() -> None:
    """Processes that would train one trial each by itself, in one folder."""
    size = launched()
    if size > 1:
        raise Refused(f"a launcher of MPI has started {size} of it: {_REMEDY}")
    try:
        ranks.refuse_others(_REMEDY)
    except Failure as problem:
        raise Refused(str(problem)) from None


def _group() -> Group | None:
    """The ranks of the launcher, if it is one of MPI's."""
    if launched() == 1:
        _refuse_others()
        return None
    return ranks.group()


def _rank(args: argparse.Namespace) -> int:
    """One process of a launcher."""
    number = launch.rank(os.environ)
    if number is None:
        raise Refused(
            f"no rank in the environment: one of {', '.join(launch.RANKS)} is needed"
        )
    asked = Asked(args, {})
    group = _group()
    if number == 0:
        orders = Orders(group)
        try:
            return TrialRun(asked, launch.Output(), alone=False, orders=orders)()
        finally:  # whatever came before: nobody is left waiting
            orders.say(NOTHING)
    if group is None:
        say = f"gn2: rank {number}: its launcher is none of MPI's: rank 0 trains alone"
        print(say, file=sys.stderr)
        return 0
    with ranks.silent(group), contextlib.suppress(errors.Error, SystemExit):
        follow(asked, group)  # rank 0 tells how it ends
    return 0


# ---- all ----


def _trial(args: argparse.Namespace) -> int:
    if args.rank:
        return _rank(args)
    if args.launch is not None:
        return _launched(args)
    asked = Asked(args)
    _refuse_others()
    return TrialRun(asked, mirror_of(args))()


def run(args: argparse.Namespace) -> int:
    try:
        return _trial(args)
    except (*_FOR_GOOD, SpaceError, Refused) as problem:
        print(f"gn2: {problem}", file=sys.stderr)
        return REFUSED
    except OSError as problem:
        if not contract.is_no_room(problem):
            raise
        print(f"gn2: {problem}", file=sys.stderr)
        return contract.NO_ROOM
