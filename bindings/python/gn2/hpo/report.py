# SPDX-License-Identifier: Apache-2.0
"""One HTML file about a search, in the style of the reports of runs: nothing is fetched
from elsewhere."""

from __future__ import annotations

import collections
import html
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import Error
from ..report import page
from . import books
from .pictures import PICTURES, Axis, Search, axes_of
from .rows import short
from .space import Objective, Space

#: rows of the table of the best
_BEST = 10


def search_of(
    trials: Sequence[books.Trial],
    space: Space | None = None,
    objective: Objective | None = None,
) -> Search:
    """Trials with what was searched.

    Args:
        space: of the search; without it axes are made of the values that were drawn.
        objective: without a space; ``val_loss`` by default.
    """
    if space is None:
        name = next((t.space for t in trials if t.space), "search")
        found = objective or Objective("val_loss")
        return Search(name, trials, found, axes_of(trials))
    axes = [Axis(p.name, p.log, p.values) for p in space.parameters]
    return Search(space.name, trials, objective or space.objective, axes)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def cells(tag: str, row: Sequence[Any]) -> str:
        return "".join(f"<{tag}>{html.escape(str(c))}</{tag}>" for c in row)

    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    return f"<table><tr>{cells('th', head)}</tr>\n{body}</table>\n"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.6g}"


def summary(search: Search) -> list[tuple[str, str]]:
    """What there is to say first: (word, text)."""
    states = collections.Counter(trial.state for trial in search.trials)
    counts = ", ".join(f"{n} {s}" for s, n in states.most_common())
    rows = [("trials", f"{len(search.trials)} ({counts})")]
    best = search.best()
    if best is not None:
        rows.append(("best", f"{_number(search.value(best))} ({best.name})"))
        rows += [(f"best {name}", text) for name, text in best.parameters.items()]
    seconds = [t.resources.get("core_seconds", math.nan) for t in search.trials]
    known = [s for s in seconds if not math.isnan(s)]
    if known:
        text = f"{sum(known):.0f} s of {len(known)} trials"
        rows.append(("processor time", text))
    return rows


def best_rows(search: Search, count: int = _BEST) -> tuple[list[str], list[list[str]]]:
    """(head, rows) of the best trials."""
    sign = 1 if search.objective.minimize else -1
    best = sorted(search.counted(), key=lambda t: sign * search.value(t))[:count]
    names = [axis.name for axis in search.axes]
    head = ["trial", search.objective.metric, *names]
    rows = [
        [
            t.name,
            _number(search.value(t)),
            *(short(t.parameters.get(n, "–")) for n in names),
        ]
        for t in best
    ]
    return head, rows


def duplicates(search: Search) -> list[list[str]]:
    """(parameters, names of the trials) that were tried more than once."""
    groups: dict[tuple[str, ...], list[str]] = collections.defaultdict(list)
    for trial in search.trials:
        key = tuple(trial.parameters.get(axis.name, "") for axis in search.axes)
        groups[key].append(trial.name)
    return [
        [", ".join(key), ", ".join(names)]
        for key, names in groups.items()
        if len(names) > 1
    ]


def failures(search: Search) -> list[list[str]]:
    """(state, cause, number, names) of trials without an objective of their own."""
    groups: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for trial in search.trials:
        if trial.state in ("failed", "diverged", "stopped", "running"):
            groups[trial.state, trial.message.partition("\n")[0]].append(trial.name)
    return [
        [state, cause or "–", str(len(names)), ", ".join(names)]
        for (state, cause), names in groups.items()
    ]


def _pictures(search: Search) -> Iterable[tuple[str, str]]:
    for section, draw, caption in PICTURES:
        try:
            source = page.encoded(draw(search))
        except Error as problem:
            reason = html.escape(str(problem))
            yield section, f'<p class="none">not drawn: {reason}</p>\n'
            continue
        text = html.escape(caption)
        yield (
            section,
            f'<figure><img alt="{text}" src="{source}">'
            f"<figcaption>{text}</figcaption></figure>\n",
        )


def _sections(search: Search, note: str) -> Iterable[tuple[str, str]]:
    yield "Summary", _table(("", ""), summary(search))
    yield "Best trials", _table(*best_rows(search))
    yield from _pictures(search)
    twice = duplicates(search)
    if twice:
        yield "Duplicates", _table(("parameters", "trials"), twice)
    bad = failures(search)
    if bad:
        yield "Failures by cause", _table(("state", "cause", "number", "trials"), bad)
    if note:
        yield "Search", f"<pre>{html.escape(note)}</pre>\n"


def write(search: Search, path: str | os.PathLike[str], note: str = "") -> str:
    """Writes the page, whole or not at all.

    Args:
        note: shown at the end, the space file for example.

    Returns:
        the path.
    """
    title = f"Search {search.name}"
    return page.save(page.assembled(title, list(_sections(search, note))), path)
