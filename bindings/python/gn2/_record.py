# SPDX-License-Identifier: Apache-2.0
"""JSON objects in files that somebody may have edited, cut off or put something else
in."""

from __future__ import annotations

import json
import os
from typing import Any

from .errors import FormatError

RUN = "run.json"  #: what a run is, in its folder


def load(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        what: it should be, for the message.

    Raises:
        FormatError: it is none.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise FormatError(f"'{os.fspath(path)}' is no {what}: {problem}") from None
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise FormatError(f"'{os.fspath(path)}' is no {what}: it holds a {kind}")
    return found


def run_of(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What run.json says of the run in a folder.

    Raises:
        FormatError: it is damaged.
        OSError: there is none.
    """
    path = os.path.join(folder, RUN)
    found = load(path, "record of a run")
    for name in ("train", "val"):
        files = found.get(name)
        if not (isinstance(files, list) and all(isinstance(f, str) for f in files)):
            raise FormatError(f"'{path}' is no record of a run: {name} = {files!r}")
    return found
