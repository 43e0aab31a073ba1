# SPDX-License-Identifier: Apache-2.0
"""Processors this process may use: its affinity mask and the quota of its cgroups."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Iterator


def count(root: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> int:
    """At least 1; as the library's own rule for ``threads = 0``."""
    found = [len(os.sched_getaffinity(0))]
    found += [max(1, math.ceil(quota)) for quota in _quotas(root, membership)]
    return min(found)


def _quotas(root: str, membership: str) -> Iterator[float]:
    try:
        lines = pathlib.Path(membership).read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if not controllers:
            yield from _levels(pathlib.Path(root), path, _v2)
        elif "cpu" in controllers.split(","):
            yield from _levels(pathlib.Path(root, controllers), path, _v1)
            yield from _levels(pathlib.Path(root, "cpu"), path, _v1)


def _levels(mount: pathlib.Path, path: str, read: object) -> Iterator[float]:
    place = mount / path.lstrip("/")
    for folder in (place, *place.parents):
        try:
            quota = read(folder)  # type: ignore[operator]
        except (OSError, ValueError):
            quota = 0.0
        if quota > 0:
            yield quota
        if folder == mount:
            return


def _v2(folder: pathlib.Path) -> float:
    limit, period = (folder / "cpu.max").read_text("utf-8").split()
    return int(limit) / int(period) if limit != "max" else 0.0


def _v1(folder: pathlib.Path) -> float:
    limit = int((folder / "cpu.cfs_quota_us").read_text("utf-8"))
    return limit / int((folder / "cpu.cfs_period_us").read_text("utf-8"))
