# SPDX-License-Identifier: Apache-2.0
"""A distributed trial: a launcher as the trial program's one child.

Rank 0 may run elsewhere than where the metrics file is read, so it tells its lines on
standard output, which the launcher brings here. No shell is between.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence

from . import contract

#: what launchers call the number of a process
RANKS = (
    "GN2_RANK",
    "OMPI_COMM_WORLD_RANK",
    "PMIX_RANK",
    "PMI_RANK",
    "SLURM_PROCID",
)
#: a line of rank 0: what is told from now on is the whole metrics file
RESTART = "gn2: the metrics file begins\n"
#: seconds for the launcher to end after it was told to
STOP_WITHIN = 9.0
_PR_SET_PDEATHSIG = 1


def rank(environment: Mapping[str, str]) -> int | None:
    """The number of this process among those of a launcher; None: it has none."""
    for name in RANKS:
        if environment.get(name, "").isdecimal():
            return int(environment[name])
    return None


class Output:
    """Stands for the metrics file where rank 0 runs; tells on standard output."""

    def restart(self, lines: Iterable[str] = ()) -> None:
        """As :meth:`contract.MetricsFile.restart`."""
        self._write(RESTART + "".join(lines))

    def add(self, text: str) -> None:
        """As :meth:`contract.MetricsFile.add`."""
        self._write(text)

    def close(self) -> None:
        """Nothing is left to do."""

    @staticmethod
    def _write(text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(1, data) :]


def _die_with_parent() -> None:
    """In the child, before it becomes the launcher: no launcher goes on alone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Launcher:
    """A launcher and the lines that it brings.

    Args:
        words: the launcher with its options.
        command: what it runs: arguments of this Python.
        file: where metrics are told; None: rank 0 writes it.
    """

    def __init__(
        self,
        words: Sequence[str],
        command: list[str],
        file: contract.MetricsFile | None,
    ) -> None:
        self.file = file
        self.problem: BaseException | None = None
        self._child = subprocess.Popen(
            [*words, sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C reaches it once, by us
            preexec_fn=_die_with_parent,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for data in self._child.stdout:
            text = data.decode("utf-8", "replace")
            try:
                self._take(text)
            except BaseException as problem:  # told by wait()
                self.problem = self.problem or problem
                self._child.terminate()

    def _take(self, text: str) -> None:
        if contract.read(text) is None and text != RESTART:
            sys.stderr.write(text)
        elif self.file is not None and text == RESTART:
            self.file.restart()
        elif self.file is not None:
            self.file.add(text)

    def wait(self) -> int:
        """Its exit status, when all it told is written. SIGINT and SIGTERM are handed
        on to it, and told when it is gone.

        Raises:
            OSError: the metrics file cannot be written.
        """
        try:
            status = self._child.wait()
        except BaseException as stopped:
            self._stop(stopped)
            raise
        self._reader.join(STOP_WITHIN)
        if self.problem is not None:
            raise self.problem
        return status

    def _stop(self, why: BaseException) -> None:
        interrupted = isinstance(why, KeyboardInterrupt)
        self._child.send_signal(signal.SIGINT if interrupted else signal.SIGTERM)
        try:
            self._child.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        self._reader.join(1.0)
