# SPDX-License-Identifier: Apache-2.0
"""The books of a search: the trials of a store, as rows."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import books, sampling
from .space import Space
from .store import Store, guard


def name_of(number: int) -> str:
    """Name of a trial's folder, lease and row."""
    return f"{number:04d}"


def short(text: str) -> str:
    """A parameter as it is shown."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def book_of(record: Mapping[str, Any]) -> books.Trial:
    """A trial as the store keeps it."""
    names = {f.name for f in dataclasses.fields(books.Trial)}
    known: dict[str, Any] = {k: v for k, v in record.items() if k in names}
    known.setdefault("state", "running")
    return books.Trial(**known)


@dataclass(frozen=True)
class Row(books.Trial):
    """A trial of a search, as it stands in the store."""

    number: int = -1
    values: tuple[float, ...] = ()  #: of the objectives; a pruned one's last
    key: str = ""  #: equal ones are one training
    cached: int | None = None  #: the trial whose result this is
    finishes: int | None = None  #: the pruned trial that was run to its end


def trials(space: Space, store: str | None, folder: pathlib.Path) -> list[Row]:
    """The books of a search, all trials that were begun, in order.

    Raises:
        StateError: there is no such search, or it is of another space: names and values
            would be told of what they are not.
    """
    opened = Store(space, store, folder, create=False)
    with guard(opened.url):
        opened.check_words()
        found = opened.study.get_trials(deepcopy=False)
    return [_row(space, trial) for trial in found if trial.state.name != "WAITING"]


def _row(space: Space, trial: Any) -> Row:
    own = trial.user_attrs
    given = {p.name: trial.params.get(p.name) for p in space.parameters}
    parameters = {n: space[n].text(v) for n, v in given.items() if v is not None}
    record = own.get("record") or {}
    book = book_of({"name": name_of(trial.number), "parameters": parameters, **record})
    facts = {f.name: getattr(book, f.name) for f in dataclasses.fields(books.Trial)}
    facts["curve"] = tuple(sorted(trial.intermediate_values.items()))
    if "cached" in own:
        facts["state"] = "cached"
    return Row(
        **facts,
        number=trial.number,
        values=tuple(trial.values or ()),
        key=str(own.get("key", "")),
        cached=own.get("cached"),
        finishes=own.get("finishes"),
    )


def add_finished(store: Store, row: Row, book: books.Trial, values: list[Any]) -> int:
    """Adds to the store what became of a pruned trial at its end; its new number."""
    found = sampling.optuna()
    old = store.study.get_trials(deepcopy=False)[row.number]
    store.study.add_trial(
        found.trial.create_trial(
            state=found.trial.TrialState.COMPLETE,
            values=values,
            params=old.params,
            distributions=old.distributions,
            user_attrs={
                "finishes": row.number,
                "key": row.key,
                "state": book.state,
                "record": dataclasses.asdict(dataclasses.replace(book, curve=())),
            },
        )
    )
    return len(store.study.get_trials(deepcopy=False)) - 1


def summary(space: Space, rows: Sequence[Row]) -> str:
    """A line: how many trials ended how, and the best."""
    states = [row.state for row in rows]
    counts = {s: states.count(s) for s in books.STATES if s in states}
    text = f"{len(rows)} trials: " + ", ".join(f"{n} {s}" for s, n in counts.items())
    told = best(space, rows, 1)
    if len(space.objectives) == 1 and told:
        row = told[0]
        words = " ".join(f"{n}={v}" for n, v in row.parameters.items())
        text += f"\nbest: trial {row.number}, {space.objective.metric}="
        text += f"{row.values[0]:.6g}, {words}"
    return text


def best(space: Space, rows: Sequence[Row], top: int) -> list[Row]:
    """The best different trials that were run to their end, best first."""
    sign = 1.0 if space.objective.minimize else -1.0
    done = [row for row in rows if row.state == "done" and row.values]
    done.sort(key=lambda row: (sign * row.values[0], row.number))
    different = {row.key: row for row in reversed(done)}
    return [row for row in done if different[row.key] is row][:top]
