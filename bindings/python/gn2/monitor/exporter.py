# SPDX-License-Identifier: Apache-2.0
"""Runs and searches below some paths, as prometheus_client asks for them."""

from __future__ import annotations

import glob
import logging
import pathlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Union

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily

from .runs import Run, Sample, is_run
from .searches import Search, is_search
from .table import METRICS

logger = logging.getLogger("gn2.monitor")
UNREADABLE = "gn2_monitor_unreadable"
Watched = Union[Run, Search]


class Exporter:
    """Reads when it is asked; runs that appear are found, those that go are left out.

    Args:
        paths: run directories, folders of searches, folders of either, or patterns.
        store: URL of the searches' store; None: what is in their folders.
    """

    def __init__(self, paths: Sequence[str], store: str | None = None) -> None:
        self.paths, self.store = list(paths), store
        self.registry = CollectorRegistry()
        self._known: dict[pathlib.Path, Watched] = {}
        self._told: dict[pathlib.Path, str] = {}
        self._lock = threading.Lock()
        self.registry.register(self)

    def describe(self) -> Iterator[Any]:
        """As prometheus_client asks; nothing is read for it."""
        for metric in METRICS.values():
            yield GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)

    def collect(self) -> Iterator[Any]:
        """As prometheus_client asks its collectors."""
        families = {family.name: family for family in self.describe()}
        with self._lock:
            for folder, samples in self._samples():
                for name, labels, value in samples:
                    families[name].add_metric([str(folder), *labels], value)
        yield from families.values()

    def _samples(self) -> Iterator[tuple[pathlib.Path, list[Sample]]]:
        before, self._known = self._known, {}
        for folder in self._folders():
            if folder in self._known:
                continue
            kind = Search if is_search(folder) else Run
            yield folder, self._read(folder, kind, before)
            watched = self._known[folder]
            for trial in watched.running() if isinstance(watched, Search) else ():
                if trial not in self._known:
                    yield trial, self._read(trial, Run, before)

    def _read(
        self, folder: pathlib.Path, kind: Any, before: Mapping[pathlib.Path, Watched]
    ) -> list[Sample]:
        watched = before.get(folder)
        if type(watched) is not kind:
            watched = Run(folder) if kind is Run else Search(folder, self.store)
        self._known[folder] = watched
        try:
            samples = list(watched.samples())
            self._told.pop(folder, None)
        except Exception as problem:  # whatever is in a file, the others are told
            samples = [(UNREADABLE, (), 1.0)]
            if self._told.get(folder) != str(problem):
                self._told[folder] = str(problem)
                logger.warning("%s cannot be read: %s", folder, problem)
        return samples

    def _folders(self) -> Iterator[pathlib.Path]:
        """The paths, and the folders in those that are neither run nor search."""
        for word in self.paths:
            for name in sorted(glob.glob(word)) or [word]:
                folder = pathlib.Path(name)
                if is_run(folder) or is_search(folder):
                    yield folder
                else:
                    inner = sorted(
                        map(pathlib.Path, glob.glob(f"{glob.escape(name)}/*/"))
                    )
                    yield from (f for f in inner if is_run(f) or is_search(f))
