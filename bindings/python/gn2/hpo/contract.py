# SPDX-License-Identifier: Apache-2.0
"""The metrics file of a trial, for Katib's collector, the local engine and people.

A line is told by one write(): the time in UTC, then ``name=value`` words, finite
decimal numbers only (TEXT); or an object of strings with the key ``timestamp`` (JSON).
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import time
from collections.abc import Iterable, Mapping

from .._lines import Lines, whole
from ..errors import InvalidArgument

FORMATS = ("text", "json")


def stamp() -> str:
    """The time, as RFC 3339 in UTC with nanoseconds."""
    seconds, rest = divmod(time.time_ns(), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def name_of(word: str) -> str:
    """A name that is read as it is written: of ``a.b`` a collector would take ``b``."""
    return re.sub("[^A-Za-z0-9_-]", "_", word)


def value_of(value: float) -> str:
    """A number as it is written."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures that can be told, by the names they are told under. What is not finite
    would be read as an empty value."""
    return {name_of(n): v for n, v in figures.items() if math.isfinite(v)}


def line(figures: Mapping[str, float]) -> str:
    """A line of the TEXT form, with its end."""
    words = (f"{name}={value_of(value)}" for name, value in finite(figures).items())
    return " ".join([stamp(), *words]) + "\n"


_LINE = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)((?: [A-Za-z0-9_-]+=[-+.\deE]+)+)\n"
)


def read(text: str) -> dict[str, str] | None:
    """The words of a line of the TEXT form, ``timestamp`` among them; None: it is no
    such line."""
    match = _LINE.fullmatch(text)
    if match is None:
        return None
    words = (word.partition("=") for word in match[2].split())
    return {"timestamp": match[1], **{name: value for name, _, value in words}}


def rows(path: str) -> list[tuple[int, dict[str, float]]]:
    """(step, other figures) of the whole lines of a metrics file; a line without a step
    has 0."""
    found: list[tuple[int, dict[str, float]]] = []
    for text in whole(path):
        words = read(text)
        if words is not None:
            del words["timestamp"]
            figures = {name: float(value) for name, value in words.items()}
            found.append((int(figures.pop("step", 0)), figures))
    return found


#: exit status of a trial program for which there is no room
NO_ROOM = 4
#: why nothing can be written before somebody makes room
_REASONS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_no_room(problem: OSError) -> bool:
    """Does a file not fit on a disk, into a quota or under a limit?

    Errors of the library have no errno; they quote the system's words for it.
    """
    if problem.errno is not None:
        return problem.errno in _REASONS
    return any(os.strerror(number) in str(problem) for number in _REASONS)


#: how the first line of either form begins
_FIRST = re.compile(rb'\d{4}-\d\d-\d\dT|\{"timestamp"')


def _check_ours(path: str) -> None:
    """Refuses a file that would lose what it holds: a model, data, the space."""
    if not os.path.isfile(path) or os.path.getsize(path) == 0:
        return
    with open(path, "rb") as file:
        if not _FIRST.match(file.read(16)):
            raise InvalidArgument(f"'{path}' is no metrics file: it would be emptied")


class MetricsFile:
    """A metrics file that is written; it is there, empty, once this is made.

    Raises:
        InvalidArgument: there is a file that is none.
    """

    def __init__(self, path: str, form: str = "text") -> None:
        self.form = form
        _check_ours(path)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self._file = Lines(path)

    def _formed(self, text: str) -> str:
        words = read(text)
        if words is None:
            raise ValueError(f"no line of a metrics file: {text!r}")
        return text if self.form == "text" else json.dumps(words) + "\n"

    def add(self, text: str) -> None:
        """Adds a line of the TEXT form, in the form of this file."""
        self._file.add(self._formed(text))

    def restart(self, lines: Iterable[str] = ()) -> None:
        """Makes these lines, of the TEXT form, all that is in the file. Those that are
        there stay, for who follows it has read them."""
        path = self._file.path
        text, there = "".join(map(self._formed, lines)), "".join(whole(path))
        if not text.startswith(there):
            there = text if there.startswith(text) else ""
        os.truncate(path, len(there.encode()))
        if text != there:
            self._file.add(text[len(there) :])

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()
