# SPDX-License-Identifier: Apache-2.0
"""What a trial costs: time, memory, energy.

What the machine does not tell is left out, never estimated. Counters of the kernel are
read from files, whose roots are parameters.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from typing import NamedTuple

#: figures that grow from process to process of one trial; the others are maxima
SUMS = (
    "wall_seconds",
    "core_seconds",
    "throttled_seconds",
    "package_joules",
    "dram_joules",
)
MAXIMA = ("peak_memory_bytes", "cgroup_peak_memory_bytes")
#: seconds between readings of counters that wrap around; they take minutes to
OFTEN = 10.0


class Roots(NamedTuple):
    """Where the kernel tells."""

    powercap: str = "/sys/class/powercap"
    cgroup: str = "/sys/fs/cgroup"
    proc: str = "/proc/self"


def _text(*parts: str) -> str | None:
    try:
        with open(os.path.join(*parts), encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeError):
        return None


def _number(*parts: str) -> int | None:
    text = _text(*parts)
    return int(text) if text and text.isdecimal() else None


# ---- energy ----


class _Zone:
    """A counter of energy, in µJ, that starts again from 0 at its range."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.range = _number(path, "max_energy_range_uj")
        self.last = _number(path, "energy_uj")
        self.total: int | None = 0 if self.last is not None else None

    def sample(self) -> None:
        now = _number(self.path, "energy_uj")
        if self.total is None or now is None or self.last is None:
            self.total = None  # a gap: the sum is not known any more
            return
        grown = now - self.last
        if grown < 0:
            if self.range is None:
                self.total = None
                return
            grown += self.range
        self.total += grown
        self.last = now


class Energy:
    """Energy of the processor packages and of the memory, of the whole machine.

    A package is there once by name: some machines show it by two interfaces.
    """

    NAMES = {"package_joules": "package", "dram_joules": "dram"}

    def __init__(self, root: str) -> None:
        self.zones: dict[str, dict[str, _Zone]] = {key: {} for key in self.NAMES}
        there = os.listdir(root) if os.path.isdir(root) else []
        zones = [name for name in there if name.startswith("intel-rapl")]
        for name in sorted(zones, key=lambda name: ("mmio" in name, name)):
            self._add(os.path.join(root, name))

    def _add(self, path: str) -> None:
        name = _text(path, "name") or ""
        upper = path.rpartition(":")[0]  # of dram its package, of that the interface
        if name.startswith("dram"):
            name = f"dram of {_text(upper, 'name')}"
        for key, start in self.NAMES.items():
            if name.startswith(start):
                self.zones[key].setdefault(name, _Zone(path))

    def sample(self) -> None:
        """Often enough, that none wraps around twice."""
        for zones in self.zones.values():
            for zone in zones.values():
                zone.sample()

    def read(self) -> dict[str, float]:
        """Joules since it was made; none where a package does not tell."""
        self.sample()
        found = {}
        for key, zones in self.zones.items():
            totals = [z.total for z in zones.values() if z.total is not None]
            if totals and len(totals) == len(zones):
                found[key] = sum(totals) * 1e-6
        return found


# ---- cgroups ----


class Cgroup:
    """The control group of this process, of version 2 or 1."""

    def __init__(self, roots: Roots) -> None:
        self.memory = self.cpu = ""
        for line in (_text(roots.proc, "cgroup") or "").splitlines():
            number, _, rest = line.partition(":")
            kinds, _, path = rest.partition(":")
            inner = path.lstrip("/")
            if number == "0" and not kinds:
                self.memory = self.memory or os.path.join(roots.cgroup, inner)
                self.cpu = self.cpu or os.path.join(roots.cgroup, inner)
            if "memory" in kinds.split(","):
                self.memory = os.path.join(roots.cgroup, "memory", inner)
            if "cpu" in kinds.split(","):
                self.cpu = os.path.join(roots.cgroup, kinds, inner)
        self.start = self.throttled()

    def peak(self) -> int | None:
        """Bytes, since the group was made; files in memory count."""
        if not self.memory:
            return None
        found = _number(self.memory, "memory.peak")
        old = "memory.max_usage_in_bytes"
        return found if found is not None else _number(self.memory, old)

    def throttled(self) -> float | None:
        """Seconds that its processes were kept waiting by its quota."""
        if not self.cpu:
            return None
        words = (_text(self.cpu, "cpu.stat") or "").split()
        rows = dict(zip(words[::2], words[1::2]))
        for name, unit in (("throttled_usec", 1e-6), ("throttled_time", 1e-9)):
            if rows.get(name, "").isdecimal():
                return int(rows[name]) * unit
        return None

    def read(self) -> dict[str, float]:
        """Figures that are known."""
        found = {}
        peak, throttled = self.peak(), self.throttled()
        if peak is not None:
            found["cgroup_peak_memory_bytes"] = float(peak)
        if throttled is not None and self.start is not None:
            found["throttled_seconds"] = throttled - self.start
        return found


# ---- all ----


class Meter:
    """Counts from when it is made, on top of what earlier processes of the trial
    counted.

    Args:
        before: what they found.
        alone: is all the work done by this process? Else time alone is known.
    """

    def __init__(
        self,
        before: Mapping[str, float] | None = None,
        roots: Roots = Roots(),
        alone: bool = True,
    ) -> None:
        self.before = dict(before or {})
        self.alone = alone
        self._wall = self._sampled = time.monotonic()
        self._core = time.process_time()
        self._energy = Energy(roots.powercap)
        self._cgroup = Cgroup(roots)
        self._jets, self._seconds = 0, 0.0

    def trained(self, jets: int, seconds: float) -> None:
        """A step is done.

        Args:
            jets: of its batch.
            seconds: since the training began in this process.
        """
        self._jets += jets
        self._seconds = seconds
        now = time.monotonic()
        if now - self._sampled > OFTEN:
            self._sampled = now
            self._energy.sample()

    def _own(self) -> dict[str, float]:
        found = {"wall_seconds": time.monotonic() - self._wall}
        if self._seconds > 0:
            found["jets_per_second"] = self._jets / self._seconds
        if self.alone:
            found["core_seconds"] = time.process_time() - self._core
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            found["peak_memory_bytes"] = peak * 1024.0
            found.update(self._cgroup.read())
            found.update(self._energy.read())
        return found

    def read(self) -> dict[str, float]:
        """Figures of the whole trial that are known."""
        found = self._own()
        for name in SUMS:
            if self.before and name in found:
                if name in self.before:
                    found[name] += self.before[name]
                else:  # an earlier process could not tell
                    del found[name]
        for name in MAXIMA:
            if name in found:
                found[name] = max(found[name], self.before.get(name, 0.0))
        if "jets_per_second" in self.before:  # nothing was left to train
            found.setdefault("jets_per_second", self.before["jets_per_second"])
        return found
