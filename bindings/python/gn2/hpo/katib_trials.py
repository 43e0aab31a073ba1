# SPDX-License-Identifier: Apache-2.0
"""Reads exported trials of Katib: ``kubectl get trials -o yaml`` (or json)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from .. import _record
from ..errors import Error, FormatError
from . import books
from .document import read_all
from .parameter import LOG2
from .space import Space

#: condition of a Trial -> state in the books, the last that holds counts
STATES = {
    "Created": "running",
    "Running": "running",
    "Killed": "stopped",
    "Failed": "failed",
    "MetricsUnavailable": "failed",
    "EarlyStopped": "pruned",
    "Succeeded": "done",
}
#: figures that are resources in the books
RESOURCES = ("_seconds", "_bytes", "_joules", "jets_per_second")


def load(path: str | os.PathLike[str], space: Space | None = None) -> list[books.Trial]:
    """Trials of an export, in the order in which they started.

    Args:
        space: of the search; brings options, and logarithms back to values.

    Raises:
        FormatError: there is no Trial in the file, or one is damaged.
        SpaceError: the file is no YAML.
    """
    try:
        found = [_trial(item, space) for item in _items(path)]
    except Error:  # which says what is wrong
        raise
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as problem:
        kind = type(problem).__name__
        raise FormatError(
            f"'{os.fspath(path)}' has a Trial that is not as Katib writes it ({kind}: "
            f"{problem})"
        ) from None
    if not found:
        raise FormatError(
            f"'{path}' has no Trial of Katib; kubectl get trials -o yaml > {path}"
        )
    return sorted(found, key=lambda trial: (trial.started, trial.name))


def _items(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    if os.fspath(path).endswith(".json"):
        values = [_record.load(path, "export of kubectl")]
    else:
        values = [document.value for document in read_all(path)]
    for value in values:
        inner = value.get("items", [value]) if isinstance(value, dict) else []
        yield from (row for row in inner if _kind(row) == "Trial")


def _kind(row: Any) -> str:
    return str(row.get("kind", "")) if isinstance(row, dict) else ""


def _metrics(status: Mapping[str, Any]) -> dict[str, float]:
    """Last values; what is no finite number was not measured."""
    found: dict[str, float] = {}
    for row in (status.get("observation") or {}).get("metrics", []):
        try:
            value = float(row.get("latest", ""))
        except ValueError:
            continue
        if math.isfinite(value):
            found[str(row["name"])] = value
    return found


def _state(status: Mapping[str, Any]) -> tuple[str, str]:
    """(state, message)."""
    state, message = "running", ""
    for row in status.get("conditions", []):
        if row.get("status") == "True" and row.get("type") in STATES:
            state, message = STATES[row["type"]], str(row.get("message", ""))
    return state, "" if state == "done" else message


def _parameters(
    given: Mapping[str, str], space: Space | None
) -> tuple[dict[str, str], dict[str, str]]:
    """(parameters, options)."""
    if space is None:
        plain = {
            name[len(LOG2) :]
            if name.startswith(LOG2)
            else name: (repr(2.0 ** float(text)) if name.startswith(LOG2) else text)
            for name, text in given.items()
        }
        return plain, {}
    values = space.values(given)
    texts = {name: space[name].text(value) for name, value in values.items()}
    return texts, space.settings(values)


def _trial(item: Mapping[str, Any], space: Space | None) -> books.Trial:
    meta, spec = item.get("metadata") or {}, item.get("spec") or {}
    status = item.get("status") or {}
    given = {
        str(row["name"]): str(row["value"])
        for row in spec.get("parameterAssignments", [])
    }
    parameters, options = _parameters(given, space)
    found = _metrics(status)
    state, message = _state(status)
    if state == "done" and found.get("diverged"):
        state = "diverged"
    resources = {n: v for n, v in found.items() if n.endswith(RESOURCES)}
    return books.Trial(
        name=str(meta.get("name", "")),
        state=state,
        parameters=parameters,
        options=options,
        metrics={n: v for n, v in found.items() if n not in resources},
        resources=resources,
        space=str((meta.get("labels") or {}).get("katib.kubeflow.org/experiment", "")),
        started=str(status.get("startTime") or ""),
        ended=str(status.get("completionTime") or ""),
        message=message,
    )
