# SPDX-License-Identifier: Apache-2.0
"""Which space file of a folder is that of its search. There are others: of repetitions
with other seeds, of the target, of commands with other threads, of those refused."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Sequence
from typing import Any

from ..errors import Error, StateError

logger = logging.getLogger("gn2.monitor")
PATTERN = "space-*.yaml"


class Spaces:
    """The space files of a folder, looked at again when they change."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._known: tuple[Any, Any] | None = None

    def of(self, url: str | None) -> Any:
        """The space of the search in a store; None: nobody knows which it is.

        Raises:
            Error: a file cannot be read, or none is of the search in the store.
        """
        found = [(p.stat().st_mtime_ns, p) for p in self.folder.glob(PATTERN)]
        files = [path for _, path in sorted(found, reverse=True)]
        key = url, sorted(found)
        if self._known is None or self._known[0] != key:
            self._known = key, self._chosen(files, url) if files else None
        return self._known[1]

    def _chosen(self, files: Sequence[pathlib.Path], url: str | None) -> Any:
        spaces, problem = {}, None
        from ..hpo import reader

        for path in files:  # the newest first: of equal ones it says what is wanted now
            try:
                spaces[path.name] = reader.load(path)
            except Error as wrong:
                problem = wrong
        if not spaces and problem is not None:
            raise problem
        return self._only(spaces) if url is None else self._stored(spaces, url)

    def _only(self, spaces: dict[str, Any]) -> Any:
        """Where all are of one search: a store would know which is."""
        from ..hpo.store import choices_of

        found = list(spaces.values())
        first = choices_of(found[0]), found[0].train, found[0].val
        if all((choices_of(s), s.train, s.val) == first for s in found[1:]):
            return found[0]
        logger.warning(
            "%s: %s are of different searches, and no store tells which is that of "
            "the trials (--store): not told are the best value and how many are wanted",
            self.folder,
            ", ".join(sorted(spaces)),
        )
        return None

    def _stored(self, spaces: dict[str, Any], url: str) -> Any:
        """That of which the study in a store was made."""
        from ..hpo.store import digests

        told, fitting = [], []
        for name, space in spaces.items():
            try:
                wrong, data = self._compared(space, url)
            except StateError as problem:
                wrong, data = [str(problem)], None
            if wrong:
                told.append(f"{name}: {'; '.join(wrong)}")
            else:
                fitting.append((name, space, data))
        if len({(s.name, tuple(s.train), tuple(s.val)) for _, s, _ in fitting}) > 1:
            # files of data, which may be big, are read where their names leave a doubt
            fitting = [one for one in fitting if one[2] in (None, digests(one[1]))]
        if len({space.name for _, space, _ in fitting}) > 1:
            names = ", ".join(name for name, _, _ in fitting)
            raise StateError(f"{names}: two searches in one folder; give each its own")
        if not fitting:
            raise StateError(
                f"no {PATTERN} is that of the search in '{url}': {' | '.join(told)}"
            )
        return fitting[0][1]

    def _compared(self, space: Any, url: str) -> tuple[list[str], Any]:
        """Where a space differs from the study of its name, and the study's data."""
        from ..hpo.store import Store, choices_of, differences, guard

        store = Store(space, url, self.folder, create=False)
        with guard(store.url):
            facts = store.study.user_attrs.get("gn2_space")
        if facts is None:
            return [], None  # it has just begun
        data = facts.pop("data", None)
        return differences(facts, choices_of(space)), data
