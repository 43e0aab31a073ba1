# SPDX-License-Identifier: Apache-2.0
"""One process at a time in a folder: a file `lock` that says who is at work.

The lock is flock()'s, which ends with the process, however that ends. Where the file
system has none, the process named in the file must be alive, or be on another machine.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket
from typing import Any

from .errors import StateError

NAME = "lock"
_WITHOUT = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


class _Held(Exception):
    """By another process."""


def try_flock(file: int) -> bool | None:
    """Takes flock() of an open file without waiting.

    Returns:
        Whether it is ours now; None where the file system has no such locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if problem.errno in _WITHOUT:
            return None
        raise
    return True


class FolderLock:
    """The lock of a folder; :meth:`take` and :meth:`release`."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.path = folder / NAME
        self._file: int | None = None

    def take(self) -> None:
        """Takes the lock; refuses where another process has it, and names that."""
        while self._file is None:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._lock(file)
            except _Held:
                who = self._who(file)
                os.close(file)
                raise StateError(self._taken(who)) from None
            except BaseException:
                os.close(file)
                raise
            if self._is_present(file):
                self._file = file
            else:  # whoever had it was about to take the file away
                os.close(file)
        self._sign()

    def check(self) -> None:
        """Refuses where another process has the lock, without taking it."""
        if self._file is None and self.path.exists():
            self.take()
            self.release()

    def is_elsewhere(self) -> bool:
        """Does the file name a process on another machine, which flock() may not reach
        and which ended without taking it away, or did not end?"""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return self._who(file).get("host") not in (None, socket.gethostname())
        finally:
            os.close(file)

    def _lock(self, file: int) -> None:
        taken = try_flock(file)
        if taken is False or (taken is None and _is_alive(self._who(file))):
            raise _Held

    def _is_present(self, file: int) -> bool:
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(file), there)

    def _sign(self) -> None:
        assert self._file is not None
        now = datetime.datetime.now(datetime.timezone.utc)
        mine = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(mine).encode() + b"\n", 0)

    @staticmethod
    def _who(file: int) -> dict[str, Any]:
        try:
            found = json.loads(os.pread(file, 4096, 0))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _taken(self, who: dict[str, Any]) -> str:
        text = f"'{self.path.parent}' is being written by another gn2 fit"
        if who:
            text += f": process {who.get('pid')} on {who.get('host')}"
            text += f", since {who.get('since')}"
        return f"{text} ('{self.path}'); wait for its end, or take another folder"

    def release(self) -> None:
        """Gives the lock back and takes the file away."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def _is_alive(who: dict[str, Any]) -> bool:
    """May the process of a lock's file still run? One of another machine may."""
    pid = who.get("pid")
    if not isinstance(pid, int) or pid == os.getpid():
        return False
    if who.get("host") != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
