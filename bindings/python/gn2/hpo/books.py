# SPDX-License-Identifier: Apache-2.0
"""What became of the trials of a search, the same for every engine.

A folder of a trial holds ``trial.json``, written by the trial program; stores of Optuna
and exports of Katib are read into the same rows by the modules of the engines.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import _record
from ..errors import FormatError

NAME = "trial.json"
VERSION = 1
#: running: now, or killed; stopped: can go on; pruned: ended as it was behind;
#: diverged: told as penalty or failed, as asked; cached: told from an equal trial
STATES = ("running", "done", "diverged", "stopped", "pruned", "failed", "cached")


@dataclass(frozen=True)
class Trial:
    """A row of the books."""

    name: str  #: of its folder or object
    state: str  #: one of STATES
    parameters: Mapping[str, str]  #: as given
    options: Mapping[str, str] = field(default_factory=dict)  #: all that are set
    metrics: Mapping[str, float] = field(default_factory=dict)  #: last values
    curve: tuple[tuple[int, float], ...] = ()  #: (step, objective) of validations
    resources: Mapping[str, float] = field(default_factory=dict)  #: that are known
    data: Mapping[str, str] = field(default_factory=dict)  #: file -> digest
    config: str = ""  #: digest of options, data and seed: equal ones are one training
    space: str = ""  #: name of the search
    version: str = ""  #: of the library
    features: Mapping[str, str] = field(default_factory=dict)
    started: str = ""  #: RFC 3339, UTC
    ended: str = ""
    message: str = ""  #: why it failed

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes ``trial.json``, whole or not at all."""
        path = os.path.join(folder, NAME)
        facts = {"gn2_trial": VERSION, **dataclasses.asdict(self)}
        with open(path + ".tmp", "w", encoding="utf-8") as file:
            json.dump(facts, file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".tmp", path)


_KINDS: dict[str, type] = {
    field.name: str if str(field.type) == "str" else Mapping
    for field in dataclasses.fields(Trial)
    if field.name != "curve"
}


def load(folder: str | os.PathLike[str]) -> Trial:
    """Reads ``trial.json`` of a folder.

    Raises:
        FormatError: it is damaged, or of a newer version.
        OSError: there is none.
    """
    path = os.path.join(folder, NAME)
    facts = _record.load(path, "trial of gn2")
    version = facts.pop("gn2_trial", None)
    if version is None:
        raise FormatError(f"'{path}' is no trial of gn2")
    if version != VERSION:
        raise FormatError(f"'{path}' is of form {version}, not {VERSION}: update gn2")
    try:
        return _trial(facts)
    except (OverflowError, TypeError, ValueError) as problem:
        raise FormatError(f"'{path}' is no trial of gn2: {problem}") from None


def _trial(facts: dict[str, Any]) -> Trial:
    facts["curve"] = tuple((int(s), float(v)) for s, v in facts.get("curve", ()))
    for name, kind in _KINDS.items():
        if name in facts and not isinstance(facts[name], kind):
            raise TypeError(f"{name} = {facts[name]!r}")
    names = {f.name for f in dataclasses.fields(Trial)}
    return Trial(**{name: value for name, value in facts.items() if name in names})
