# SPDX-License-Identifier: Apache-2.0
"""Searches: trials by state, the best, what they cost. Of the store where it can be
read, which knows of pruned and cached trials; else of the trials' own files."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import Error
from ..hpo import books
from .runs import Sample
from .spaces import PATTERN, Spaces

TRIALS = "trials"
JOURNAL = "journal.log"
#: (figure of the books, metric, labels)
_COSTS = (
    ("wall_seconds", "gn2_search_wall_seconds", ()),
    ("core_seconds", "gn2_search_core_seconds", ()),
    ("package_joules", "gn2_search_joules", ("package",)),
    ("dram_joules", "gn2_search_joules", ("dram",)),
)


def is_search(folder: pathlib.Path) -> bool:
    """Is it the folder of a search, of whatever engine?"""
    return os.path.isdir(folder / TRIALS) or any(folder.glob(PATTERN))


class Search:
    """The folder of a search, read again and again.

    Args:
        store: URL; None: a journal or sqlite in the folder.
    """

    def __init__(self, folder: pathlib.Path, store: str | None = None) -> None:
        self.folder, self._store = folder, store
        self._spaces = Spaces(folder)
        self._trials: dict[pathlib.Path, books.Trial] = {}

    def samples(self) -> Iterator[Sample]:
        """What there is to tell now."""
        self._trials = dict(_trials(self.folder / TRIALS))
        url = self._url()
        space = self._spaces.of(url)
        rows, best = self._rows(space, url)
        states = [row.state for row in rows]
        for state in books.STATES:
            yield "gn2_search_trials", (state,), float(states.count(state))
        if space is not None:
            yield "gn2_search_wanted", (), float(space.trials)
        if best is not None and space is not None:
            yield "gn2_search_best", (space.objective.metric,), best
        for name, metric, labels in _COSTS:
            known = [row.resources[name] for row in rows if name in row.resources]
            if known:
                yield metric, labels, float(sum(known))

    def running(self) -> list[pathlib.Path]:
        """Run folders of trials that were under way when samples were taken."""
        return [f for f, trial in self._trials.items() if trial.state == "running"]

    def _rows(
        self, space: Any, url: str | None
    ) -> tuple[Sequence[books.Trial], float | None]:
        """The books, and the best value."""
        if space is not None and url is not None:
            from ..hpo import rows

            found = rows.trials(space, url, self.folder)
            one = len(space.objectives) == 1
            best = rows.best(space, found, 1) if one else []
            return found, best[0].values[0] if best else None
        trials = list(self._trials.values())
        return trials, _best(space, trials)

    def _url(self) -> str | None:
        if self._store:
            return self._store
        if (self.folder / JOURNAL).exists():
            return f"journal:{self.folder / JOURNAL}"
        if (self.folder / "study.db").exists():
            return f"sqlite:///{(self.folder / 'study.db').absolute()}"
        return None


def _trials(place: pathlib.Path) -> Iterator[tuple[pathlib.Path, books.Trial]]:
    """Folders of trials, and what those say of themselves."""
    for folder in sorted(place.glob("*")):
        try:
            trial = books.load(folder)
        except (OSError, Error, TypeError, ValueError):
            continue  # not yet, not any more, or damaged
        yield folder, trial


def _best(space: Any, trials: Sequence[books.Trial]) -> float | None:
    if space is None or len(space.objectives) != 1:
        return None
    metric = space.objective.metric
    done = [t.metrics for t in trials if t.state == "done"]
    values = [metrics[metric] for metrics in done if metric in metrics]
    if not values:
        return None
    return min(values) if space.objective.minimize else max(values)
