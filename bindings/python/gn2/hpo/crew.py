# SPDX-License-Identifier: Apache-2.0
"""Trial programs at work: started, followed by their files, stopped, understood.

A trial program is a child in a session of its own: Ctrl-C in a terminal reaches us
only, and we ask the children to stop. It is asked to stop as well when we are killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from .._lock import FolderLock
from ..errors import FormatError, StateError
from ..group import alone
from . import books, contract
from .lease import Lease, Leases

PROGRAM = (sys.executable, "-m", "gn2", "hpo", "trial")
#: seconds a trial program has to stop with a checkpoint (it promises 10)
GRACE = 20.0
#: a program that failed is tried so often in all
ATTEMPTS = 2
#: exit statuses of the contract
DONE, WRONG, DIVERGED = 0, 2, 3
STOPPED = (130, 143, -signal.SIGINT, -signal.SIGTERM)
_PDEATHSIG = 1  # of <sys/prctl.h>
_LIBC = ctypes.CDLL(None)


def _die_with(parent: int) -> Callable[[], None]:
    """In the child: to be told to stop when the parent ends, however that is."""

    def ask() -> None:
        if sys.platform == "linux":
            _LIBC.prctl(_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(143)

    return ask


@dataclass(frozen=True)
class Job:
    """A training that is wanted."""

    name: str  #: of its folder and its lease
    space: str  #: file
    parameters: Mapping[str, str]
    metrics: tuple[str, ...]  #: that it must tell


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    state: str  #: of books.STATES
    book: books.Trial
    message: str = ""


@dataclass
class Crew:
    """What all trainings of a command have in common."""

    folder: pathlib.Path
    leases: Leases
    program: Sequence[str] = PROGRAM
    arguments: Sequence[str] = ()
    active: list[Work] = field(default_factory=list)

    def start(self, job: Job, lease: Lease) -> Work:
        """Begins, or goes on with, a training whose lease was taken."""
        work = Work(self, job, lease)
        self.active.append(work)
        return work

    def drop(self, work: Work) -> None:
        """Gives the lease of a training back, which has ended."""
        self.active.remove(work)
        work.lease.release()

    def stop(self) -> None:
        """Asks all to stop with a checkpoint; waits for that; frees their leases."""
        for work in self.active:
            work.stop()
        while any(work.is_running() for work in self.active):
            for work in self.active:
                work.lease.renew()
            time.sleep(0.05)
        for work in list(self.active):
            self.drop(work)


class Work:
    """One training, under a lease."""

    def __init__(self, crew: Crew, job: Job, lease: Lease) -> None:
        self.crew = crew
        self.job = job
        self.lease = lease
        self._child: subprocess.Popen[bytes] | None = None
        self._attempts = 0
        self._until = math.inf  # when a child that was asked to stop is killed
        self._wanted = time.monotonic()
        self._seen: object = None  # of the metrics file whose validations are known
        self._validations: list[tuple[int, float]] = []
        self.folder = self._newest()

    # ---- its folder ----

    def _newest(self) -> pathlib.Path:
        """NAME, or its copy NAME.2, … where NAME is still written by another."""
        place = self.crew.folder / self.job.name
        number = 2
        while (after := place.with_name(f"{self.job.name}.{number}")).exists():
            place, number = after, number + 1
        return place

    def _is_ours(self) -> bool:
        """Has whoever was at work in the folder left it? It was told to stop, if only
        its worker was killed; else a copy is what we go on in."""
        lock = FolderLock(self.folder)
        if not lock.is_elsewhere():
            with contextlib.suppress(StateError):
                lock.check()
                return True
        patience = min(GRACE, 4 * self.crew.leases.seconds)
        if time.monotonic() - self._wanted < patience:
            return False
        number = int(self.folder.suffix[1:] or 1) + 1
        copy = self.folder.with_name(f"{self.job.name}.{number}")
        draft = copy.with_name(copy.name + ".tmp")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        # first of all what the others must not be behind
        names = sorted(os.listdir(self.folder), key=lambda n: n != "checkpoint.gn2")
        for name in names:
            if name != "lock":
                shutil.copy2(self.folder / name, draft / name)
        draft.replace(copy)
        self.folder = copy
        return True

    def book(self) -> books.Trial | None:
        """What the trial program wrote of this trial, if it did."""
        try:
            found = books.load(self.folder)
        except (OSError, FormatError):
            return None
        return found if dict(found.parameters) == dict(self.job.parameters) else None

    # ---- its program ----

    def poll(self) -> Outcome | None:
        """Goes on; tells how it ended, once it has.

        Raises:
            StateError: there is no room for its files. That is no fault of the trial,
                and would be one of all that came after it.
        """
        if self._child is None:
            return self._begin()
        status = self._child.poll()
        if status is None:
            if time.monotonic() > self._until:
                self._child.kill()
            return None
        found = self._outcome(status)
        again = found.state in ("failed", "stopped") and status != WRONG
        if again and self._attempts < ATTEMPTS and self._until == math.inf:
            return self._begin()
        return found

    def _begin(self) -> Outcome | None:
        if self._until < math.inf:
            return Outcome("stopped", self.book() or self._empty("stopped"))
        if not self._is_ours():
            return None
        book = self.book()
        if book is not None and book.state in ("done", "diverged"):
            failed = book.state == "diverged" and not self._told(book)
            return self._outcome(DIVERGED if failed else DONE)
        self._attempts += 1
        words = [f"{name}={text}" for name, text in self.job.parameters.items()]
        command = [*self.crew.program, self.job.space, *words, "-o", str(self.folder)]
        log = self._log()
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as file:
            self._child = self._started([*command, *self.crew.arguments], file)
        return None

    @staticmethod
    def _started(command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=alone(os.environ),  # workers may be several, a trial is one
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )
        except OSError as problem:
            raise StateError(
                f"the trial program '{command[0]}' cannot be started: "
                f"{problem.strerror}; look at --program"
            ) from None

    def _log(self) -> pathlib.Path:
        return self.crew.folder.parent / "logs" / f"{self.job.name}.log"

    def _empty(self, state: str) -> books.Trial:
        return books.Trial(self.job.name, state, self.job.parameters)

    def _outcome(self, status: int) -> Outcome:
        book = self.book()
        if status == DONE:
            if book is not None and self._told(book):
                return Outcome(book.state, book)
            wanted = ", ".join(self.job.metrics)
            why = f"the trial program ended well, but told no value of {wanted}"
            return Outcome("failed", book or self._empty("failed"), why)
        if status == DIVERGED:
            return Outcome("diverged", book or self._empty("diverged"), "diverged")
        state = "stopped" if status in STOPPED else "failed"
        why = (book.message if book else "") or self._last_words()
        if status == contract.NO_ROOM:
            raise StateError(
                f"training {self.job.name} has no room ({why}): make space, or raise "
                "the quota or `ulimit -f`; the same command goes on then, no trial is "
                "lost"
            )
        return Outcome(
            state, book or self._empty(state), f"exit status {status}: {why}"
        )

    def _told(self, book: books.Trial) -> bool:
        values = [book.metrics.get(name, math.nan) for name in self.job.metrics]
        return all(map(math.isfinite, values))

    def _last_words(self) -> str:
        try:
            lines = self._log().read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line for line in reversed(lines) if line.strip()), "no message")

    def validations(self) -> list[tuple[int, float]]:
        """(step, first metric) of all whole lines of its metrics file, by step."""
        path = self.folder / "metrics.log"
        try:
            status = path.stat()
        except OSError:
            return []
        seen = (str(path), status.st_ino, status.st_size, status.st_mtime_ns)
        if seen != self._seen:  # it is asked for at every tick
            name = self.job.metrics[0]
            rows = contract.rows(str(path))
            found = {step: row[name] for step, row in rows if step and name in row}
            self._seen, self._validations = seen, sorted(found.items())
        return self._validations

    def is_running(self) -> bool:
        """Is there a program at work? Kills one that should have stopped."""
        if self._child is None or self._child.poll() is not None:
            return False
        if time.monotonic() > self._until:
            self._child.kill()
        return True

    def stop(self) -> None:
        """Asks the program to stop with a checkpoint."""
        if self._until == math.inf:
            self._until = time.monotonic() + GRACE
            if self._child is not None and self._child.poll() is None:
                self._child.terminate()
