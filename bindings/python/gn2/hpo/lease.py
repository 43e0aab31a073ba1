# SPDX-License-Identifier: Apache-2.0
"""Leases: which process is at work on a trial, on one host and between hosts.

The lease NAME is the file ``NAME.GENERATION`` of the highest generation. It is taken
by making the next generation, which succeeds for one of all who try, and whoever had
it before finds that out at the next look. It is free

- when it was given back: the file says so;
- on the host of its holder, when the holder has ended: flock() ends with a process;
- when nobody renewed it for as long as the holder said it would: the holder is on a
  host that is gone, or was frozen. Clocks of hosts differ, so what counts is how long
  *we* saw the file unchanged.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._lock import try_flock

#: first byte of a lease that was given back; written over the holder's record, for
#: which a full disk has room
_FREE = b"-"
#: what file systems without hard links say
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)


def _kernel() -> str:
    """Where flock() is sure to be seen: the same kernel."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return os.uname().nodename


class Lease:
    """A lease that was taken; :meth:`renew` it, :meth:`release` it at the end."""

    def __init__(self, path: pathlib.Path, following: pathlib.Path, file: int) -> None:
        self._path = path
        self._following = following
        self._file = file

    def held(self) -> bool:
        """Is it still ours? It is not where another took it for given up."""
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        ours = os.path.samestat(os.fstat(self._file), there)
        return ours and not self._following.exists()

    def renew(self) -> bool:
        """Says that we are at work; False if the lease is gone."""
        if not self.held():
            return False
        os.utime(self._file)
        return True

    def release(self) -> None:
        """Gives it back. The file stays: generations never begin anew."""
        with contextlib.suppress(OSError):
            os.pwrite(self._file, _FREE, 0)
        os.close(self._file)


@dataclass(frozen=True)
class Holder:
    """Who has a lease that we did not get."""

    host: str
    pid: int
    #: on another host, and was not seen to renew it: nobody knows whether it lives
    unknown: bool
    silent: float  #: seconds that we have seen the lease unchanged
    left: float  #: seconds until it is free, if that stays so

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host}"


class Notices:
    """Says who has leases for which we wait, of each once.

    Args:
        say: takes a line.
        seconds: of a lease: what others have for moments is not worth a line.
    """

    def __init__(self, say: Callable[[str], None], seconds: float) -> None:
        self._say = say
        self._moment = min(1.0, seconds / 4)
        self._told: set[tuple[str, bool]] = set()

    def tell(self, what: str, holder: Holder, renewed: bool = True) -> None:
        """One line of ``what`` a holder has; ``renewed``: by whoever lives."""
        sure = renewed and not holder.unknown
        if holder.silent < self._moment and not sure:
            return
        if (what, holder.unknown) in self._told:
            return
        self._told.add((what, holder.unknown))
        if not holder.unknown:
            self._say(f"waiting for {what}: {holder} is at work on it")
            return
        at = time.strftime("%H:%M:%S", time.localtime(time.time() + holder.left))
        self._say(
            f"waiting for {what}: {holder} has its lease and shows no sign of life; it "
            f"is free at {at} if that stays so (--lease of that worker)"
        )


class Leases:
    """The leases of a folder that all hosts see.

    Args:
        seconds: a holder of ours that was silent for so long has lost its lease.
    """

    def __init__(self, folder: str | os.PathLike[str], seconds: float) -> None:
        self.folder = pathlib.Path(folder)
        self.seconds = seconds
        self.folder.mkdir(parents=True, exist_ok=True)
        self._kernel = _kernel()
        # by path: as it was found, since when, and whether it was seen to change
        self._seen: dict[str, tuple[Any, float, bool]] = {}

    def take(self, name: str) -> Lease | None:
        """Takes a lease; None where another has it, or was faster."""
        last = self._newest(name)
        if last and not self._is_free(self.folder / f"{name}.{last}"):
            return None
        path = self.folder / f"{name}.{last + 1}"
        lease = self._make(path, self.folder / f"{name}.{last + 2}")
        if lease is None:
            return None
        if self._newest(name) != last + 1:  # we looked long ago: others went on
            lease.release()
            path.unlink()
            return None
        with contextlib.suppress(FileNotFoundError):
            (self.folder / f"{name}.{last}").unlink()
        return lease

    def holder(self, name: str) -> Holder | None:
        """Who has a lease that :meth:`take` has just refused; None if nobody has."""
        path = self.folder / f"{name}.{self._newest(name)}"
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        if text.startswith(_FREE):
            return None
        facts, now = _record(text), time.monotonic()
        _, since, changed = self._seen.get(str(path), (None, now, False))
        here = facts.get("kernel") == self._kernel
        return Holder(
            host=str(facts.get("host", "unknown")),
            pid=int(facts.get("pid", 0)),
            unknown=not changed and not here,
            silent=now - since,
            left=max(0.0, since + self._patience(facts) - now),
        )

    def wait(self, name: str, tell: Callable[[Holder], None]) -> Lease:
        """Takes a lease that others have for moments only; tells who has it."""
        pause = 0.005
        while True:
            lease = self.take(name)
            if lease is not None:
                return lease
            holder = self.holder(name)
            if holder is not None:
                tell(holder)
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def _newest(self, name: str) -> int:
        found = [0]
        for path in self.folder.glob(f"{name}.*"):
            number = path.suffix[1:]
            if path.stem == name and number.isdecimal():
                found.append(int(number))
        return max(found)

    def _make(self, path: pathlib.Path, following: pathlib.Path) -> Lease | None:
        """The file appears with its content and locked, or not at all; without hard
        links it may be empty for a moment, and stay so when we are killed then."""
        draft = self.folder / f".{uuid.uuid4().hex}"
        try:
            file = self._write(draft)
            try:
                os.link(draft, path)
            except OSError as problem:
                os.close(file)
                if problem.errno not in _NO_LINKS:
                    raise
                file = self._write(path)
            finally:
                os.unlink(draft)
        except FileExistsError:
            return None
        return Lease(path, following, file)

    def _write(self, path: pathlib.Path) -> int:
        """A new file that says who we are, locked."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(path, flags, 0o644)
        facts = {
            "kernel": self._kernel,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "seconds": self.seconds,
        }
        try:
            try_flock(file)
            os.write(file, json.dumps(facts).encode() + b"\n")
        except BaseException:
            path.unlink()
            os.close(file)
            raise
        return file

    def _is_free(self, path: pathlib.Path) -> bool:
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False  # just taken by another
        try:
            text = os.read(file, 4096)
            if text.startswith(_FREE):
                return True
            holder = _record(text)  # nothing of one that is just being made
            if holder.get("kernel") == self._kernel and try_flock(file):
                return True
            return self._is_silent(str(path), os.fstat(file), holder)
        finally:
            os.close(file)

    def _is_silent(self, path: str, now: os.stat_result, holder: Any) -> bool:
        sign = (now.st_ino, now.st_mtime_ns)
        seen, since, _ = self._seen.get(path, (None, 0.0, False))
        if sign != seen:
            self._seen[path] = (sign, time.monotonic(), seen is not None)
            return False
        return time.monotonic() - since > self._patience(holder)

    def _patience(self, holder: Mapping[str, Any]) -> float:
        return float(holder.get("seconds", self.seconds))


def _record(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
