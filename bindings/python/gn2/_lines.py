# SPDX-License-Identifier: Apache-2.0
"""Files that grow by whole lines while others read them, and files that are there whole
or not at all.

Each addition is one write() behind what there is, so that a reader never sees a number
cut short, and a process that is killed leaves all that it had told. Were a part written
all the same (the disk is full), it is taken away again.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """What goes wrong with a file names it: write() of an open one does not."""
    try:
        yield
    except OSError as problem:
        if problem.filename is None and problem.errno is not None:
            problem.filename = os.fspath(path)
        raise


class Lines:
    """A file to which lines are added; it is made if it is not there."""

    def __init__(self, path: str) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file: int | None = os.open(path, flags, 0o666)

    def add(self, text: str) -> None:
        """Adds whole lines by one write()."""
        assert self._file is not None
        data = text.encode()
        with naming(self.path):
            written = os.write(self._file, data)
        if written < len(data):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Table:
    """A CSV file that grows by whole rows; texts of other columns are left out."""

    def __init__(
        self, path: str, columns: Sequence[str], kept: Iterable[Mapping[str, str]] = ()
    ) -> None:
        self._text = io.StringIO(newline="")
        self._rows = csv.DictWriter(self._text, columns, "", "ignore")
        self._rows.writeheader()
        self._rows.writerows(kept)
        put(path, self._taken())
        self._file = Lines(path)

    def _taken(self) -> str:
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text

    def add(self, *rows: Mapping[str, str]) -> None:
        """Adds rows by one write()."""
        self._rows.writerows(rows)
        self._file.add(self._taken())

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()


def whole(path: str) -> list[str]:
    """The lines of a file, if there is one, with their ends; a last one that was cut
    short is none."""
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            return [line for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def rows(path: str) -> list[dict[str, str]]:
    """The rows of a CSV file that are whole."""
    header, *found = list(csv.reader(whole(path))) or [[]]
    return [dict(zip(header, row)) for row in found if len(row) == len(header)]


def put(path: str, text: str) -> None:
    """Makes the text all that is in a file, or leaves that as it was. Where its end is
    to go it is cut off, for readers that hold the file open."""
    data, old = text.encode(), None
    if os.path.exists(path):
        with open(path, "rb") as file:
            old = file.read()
    if old is not None and old.startswith(data):
        if len(data) < len(old):
            os.truncate(path, len(data))
        return
    replace(path, text)


def replace(path: str, text: str) -> None:
    """Writes a file, whole or not at all."""
    with _becoming(path, path + ".tmp", "w") as out:
        out.write(text)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], mode: str = "w") -> Iterator[Any]:
    """A file to write, of a name that no other process has; it becomes the file of this
    name when all went well, else it is removed."""
    path = os.fspath(path)
    temporary = f"{path}.tmp-{socket.gethostname()}-{os.getpid()}"
    with _becoming(path, temporary, mode) as file:
        yield file


@contextlib.contextmanager
def _becoming(path: str, temporary: str, mode: str) -> Iterator[Any]:
    how: Any = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with naming(path):
            with open(temporary, mode, **how) as file:
                yield file
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
