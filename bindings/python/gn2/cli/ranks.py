# SPDX-License-Identifier: Apache-2.0
"""A command that several ranks run together: who they are, and who writes.

Rank 0 has the run directory and speaks; the others train with it and are silent, but
for what keeps one of them from beginning.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

from ..group import Group, launched, told
from .common import Failure, natural
from .rundir import RunDirectory

_MESSAGE = 1024  # bytes of a rank's problem


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--group",
        choices=["torch"],
        help="train with the processes of torch.distributed (gloo), named by RANK, "
        "WORLD_SIZE, MASTER_ADDR and MASTER_PORT; needs no MPI",
    )
    parser.add_argument(
        "--expect-ranks",
        type=natural,
        default=0,
        metavar="N",
        help="refuse to train with another number of ranks (mpirun -n N gn2 fit …)",
    )


def group(expected: int = 0, kind: str | None = None) -> Group | None:
    """The ranks that were started; None: there is no launcher, or one rank.

    Args:
        expected: how many there must be; 0: any number.
        kind: ``"torch"``: those of torch.distributed; None: those of MPI.

    Raises:
        Failure: they are not those that are expected, or cannot be reached: several
            trainings would write over one another.
    """
    found = Group.torch() if kind == "torch" else _by_mpi()
    size = found.size if found else 1
    if expected and expected != size:
        raise Failure(f"--expect-ranks {expected}, but there are {size}")
    return found


def _by_mpi() -> Group | None:
    started = launched()
    if started == 1:
        _refuse_others()
        return None
    found = Group.mpi()
    if found.size != started:
        raise Failure(
            f"started as one of {started} ranks, but MPI knows {found.size}: "
            "libgn2_mpi was built with another MPI than the one that starts the program"
        )
    return found


def _refuse_others() -> None:
    """Processes of torchrun or Kubeflow that were not told to train together."""
    name, size = told(os.environ)
    if size > 1:
        raise Failure(
            f"{name} = {size}: this is one of {size} processes, each of which would "
            "train by itself, one over the other: add --group torch, or unset the "
            "variable"
        )


def leads(group: Group | None) -> bool:
    """Is this the rank that writes and speaks?"""
    return group is None or group.rank == 0


@contextlib.contextmanager
def silent(group: Group | None) -> Iterator[None]:
    """Nobody hears what ranks other than 0 print."""
    with contextlib.ExitStack() as stack:
        if not leads(group):
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        yield


def agree(group: Group | None, problem: Exception | None) -> None:
    """Every rank says whether it can begin.

    Raises:
        Exception: on rank 0: the problem, or a Failure with that of another rank.
        SystemExit: on the others.
    """
    if group is None:
        if problem is not None:
            raise problem
        return
    mine = str(problem).encode()[:_MESSAGE] if problem else b""
    found = [group.broadcast(mine.ljust(_MESSAGE, b"\0"), r) for r in range(group.size)]
    told = [text.rstrip(b"\0").decode(errors="replace") for text in found]
    first = next((r for r, text in enumerate(told) if text), None)
    if first is None:
        return
    if leads(group):
        raise problem or Failure(f"rank {first}: {told[first]}")
    raise SystemExit(1)


class _NoLock:
    def take(self) -> None:
        pass

    release = check = take


class Onlooker(RunDirectory):
    """The run directory as ranks other than 0 see it: they read and write nothing."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.lock: Any = _NoLock()

    def refuse(self, force: bool) -> None:
        pass

    def begin(self, force: bool) -> None:
        pass

    def make_log(self) -> None:
        pass

    def empty(self) -> None:
        pass

    def write(self, facts: dict[str, Any]) -> None:
        pass


def directory(path: str, group: Group | None) -> RunDirectory:
    """The run directory of this rank."""
    return RunDirectory(path) if leads(group) else Onlooker(path)
