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
import socket
from collections.abc import Iterator
from typing import Any

from ..group import Group, launched, told
from .common import Failure, NotAsked, natural
from .rundir import RunDirectory

#: for processes of torchrun or Kubeflow
_TOGETHER = "add --group torch"
_MESSAGE = 1024  # bytes of a rank's problem
#: what stands for the options where they are not given: gn2-mpirun sets it
RANKS, HOSTS = "GN2_EXPECT_RANKS", "GN2_EXPECT_HOSTS"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--group",
        choices=["torch"],
        help="train with the processes of torch.distributed (gloo), named by RANK, "
        "WORLD_SIZE, MASTER_ADDR and MASTER_PORT; needs no MPI",
    )
    for option, letter, text in (
        ("--expect-ranks", "N", "number of ranks (mpirun -n N gn2 fit …)"),
        ("--expect-hosts", "M", "number of hosts that the ranks are on"),
    ):
        parser.add_argument(
            option,
            type=natural,
            default=0,
            metavar=letter,
            help=f"refuse to train with another {text}",
        )


def group(ranks: int = 0, hosts: int = 0, kind: str | None = None) -> Group | None:
    """The ranks that were started; None: there is no launcher, or one rank.

    Args:
        ranks: how many there must be; 0: what the environment says, else any number.
        hosts: on how many hosts, likewise.
        kind: ``"torch"``: those of torch.distributed; None: those of MPI.

    Raises:
        Failure: they cannot be reached: several trainings would write over one another.
        NotAsked: they are not those that are expected.
        SystemExit: the same, on ranks other than 0.
    """
    found = Group.torch() if kind == "torch" else _by_mpi()
    problem = _unexpected(found, ranks or _asked(RANKS), hosts or _asked(HOSTS))
    if problem and not leads(found):
        raise SystemExit(NotAsked.status)
    if problem:
        raise NotAsked(problem)
    return found


def _by_mpi() -> Group | None:
    started = launched()
    if started == 1:
        refuse_others(_TOGETHER)
        return None
    found = Group.mpi()
    if found.size != started:
        raise Failure(
            f"started as one of {started} ranks, but MPI knows {found.size}: "
            "libgn2_mpi was built with another MPI than the one that starts the program"
        )
    return found


def refuse_others(remedy: str) -> None:
    """Refuses to be one of several processes that were not told to train together.

    Args:
        remedy: what to do, beside unsetting the variable that tells of the others.
    """
    name, size = told(os.environ)
    if size > 1:
        raise Failure(
            f"{name} = {size}: this is one of {size} processes, each of which would "
            f"train by itself, one over the other: {remedy}, or unset the variable"
        )


def _asked(name: str) -> int:
    text = os.environ.get(name) or "0"
    if not text.isdecimal():
        raise Failure(f"{name} = '{text}' is no number")
    return int(text)


def _unexpected(group: Group | None, ranks: int, hosts: int) -> str:
    """What is not as expected; the same on every rank."""
    size = group.size if group else 1
    if ranks and ranks != size:
        return f"--expect-ranks {ranks}, but there are {size}"
    if not hosts:
        return ""
    found = group.hosts() if group else [socket.gethostname()]
    names = list(dict.fromkeys(found))
    if hosts == len(names):
        return ""
    lines = [f"--expect-hosts {hosts}, but ranks are on {len(names)}:"]
    for name in names:
        of = ", ".join(str(rank) for rank, host in enumerate(found) if host == name)
        lines.append(f"  {name}: rank {of}")
    return "\n".join([*lines, _REMEDY])


_REMEDY = (
    "Launchers read their list of hosts each by another variable, and Open MPI 5 none "
    "of version 4's: set OMPI_MCA_orte_default_hostfile (Open MPI 4), "
    "PRTE_MCA_prte_default_hostfile (5) or HYDRA_HOST_FILE (MPICH) and give mpirun "
    "--hostfile and -n, or start by gn2-mpirun, which does"
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
    said = group.texts(str(problem) if problem else "", _MESSAGE)
    first = next((r for r, text in enumerate(said) if text), None)
    if first is None:
        return
    if leads(group):
        raise problem or Failure(f"rank {first}: {said[first]}")
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
