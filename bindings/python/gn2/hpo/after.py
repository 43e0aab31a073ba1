# SPDX-License-Identifier: Apache-2.0
"""After a search: the best again with fresh seeds, the target with the result, a pruned
trial to its end.

The best of many noisy trials flatters itself: it is the best partly by luck. What is
confirmed is ranked by the mean over seeds that the search has not seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import pathlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _lines
from .._progress import Count
from .._signals import Signals
from ..errors import FormatError, StateError
from . import books, derive, engine
from .crew import Crew, Job, Outcome
from .engine import Plan
from .lease import Notices
from .rows import Row, add_finished, best, trials
from .space import Space
from .store import Store, guard

CONFIRMED = "confirm.json"


# ---- trainings without a sampler ----


def complete(jobs: Sequence[Job], plan: Plan, place: str) -> dict[str, books.Trial]:
    """Runs all that are not done yet; workers elsewhere may share in it.

    Raises:
        StateError: one failed.
    """
    team = engine.make_crew(plan, place)
    found: dict[str, books.Trial] = {}
    stop = threading.Event()
    with Signals(stop.set) as signals:
        try:
            with Count(len(jobs), "trial", place, plan.quiet) as count:
                say = (lambda _: None) if plan.quiet else count.say
                notices = Notices(say, plan.lease)
                while len(found) < len(jobs) and not stop.is_set():
                    for book in _step(team, jobs, plan.workers, found):
                        count.add(1)
                        say(_line(book, jobs[0].metrics))
                    _tell_who(team, jobs, found, notices)
                    stop.wait(engine.TICK)
        finally:
            team.stop()
        signals.deliver()
    return found


def _step(
    team: Crew, jobs: Sequence[Job], workers: int, found: dict[str, books.Trial]
) -> list[books.Trial]:
    """Goes on with what is under way and begins more; what ended is in ``found``."""
    ended = []
    for work in list(team.active):
        if not work.lease.renew():
            work.stop()
        outcome = work.poll()
        if outcome is None:
            continue
        held = work.lease.held()
        team.drop(work)
        if held:
            _check(work.job, outcome)
            found[work.job.name] = outcome.book
            ended.append(outcome.book)
    busy = {work.job.name for work in team.active}
    for job in jobs:
        if len(team.active) >= workers:
            break
        if job.name not in found and job.name not in busy:
            lease = team.leases.take(job.name)
            if lease is not None:
                team.start(job, lease)
    return ended


def _tell_who(
    team: Crew, jobs: Sequence[Job], found: Mapping[str, object], notices: Notices
) -> None:
    """Where all that is left is leased to others: to whom."""
    if team.active:
        return
    for job in jobs:
        holder = None if job.name in found else team.leases.holder(job.name)
        if holder is not None:
            notices.tell(f"training {job.name}", holder)


def _check(job: Job, outcome: Outcome) -> None:
    if outcome.state not in ("done", "diverged"):
        raise StateError(f"training {job.name}: {outcome.state}: {outcome.message}")


def _line(book: books.Trial, names: Sequence[str]) -> str:
    told = (name for name in names if name in book.metrics)
    figures = " ".join(f"{name}={book.metrics[name]:.6g}" for name in told)
    return f"{book.name}: {book.state} {figures or 'without a value'}"


def _values(book: books.Trial, names: Sequence[str]) -> list[float]:
    """Raises StateError: it diverged, and no value is known."""
    missing = [name for name in names if name not in book.metrics]
    if missing:
        why = f" ({book.message})" if book.message else ""
        raise StateError(
            f"training {book.name} diverged{why} and has no {', '.join(missing)}: take "
            "other parameters, or a smaller schedule.max"
        )
    return [book.metrics[name] for name in names]


# ---- confirm ----


@dataclass(frozen=True)
class Confirmed:
    """Parameters that were run again."""

    trial: int  #: number in the search
    parameters: Mapping[str, str]
    found: float  #: in the search
    values: tuple[float, ...]  #: one a fresh seed; NaN: it diverged and has none
    diverged: int = 0  #: of the seeds, with the untrained network's value or none

    @property
    def mean(self) -> float:
        """NaN where a seed has no value: the others alone would flatter it."""
        return sum(self.values) / len(self.values)

    @property
    def error(self) -> float:
        """Standard error of the mean; NaN of one value."""
        n, mean = len(self.values), self.mean
        if n < 2:
            return math.nan
        return math.sqrt(sum((v - mean) ** 2 for v in self.values) / (n - 1) / n)


def confirm(space: Space, plan: Plan, top: int, seeds: int) -> list[Confirmed]:
    """Trains the best with fresh seeds; ranks them by the mean, those without last.

    Raises:
        StateError: two objectives, which have no order; no trial to confirm.
    """
    _one_objective(space)
    rows = best(space, _rows(space, plan), top)
    if not rows:
        raise StateError(f"'{plan.folder}' has no finished trial yet: gn2 hpo run")
    metric = space.objective.metric
    fresh = [space.seed + 1 + i for i in range(seeds)]
    files = {
        seed: derive.write(space, plan.folder, seed, threads=plan.share)
        for seed in fresh
    }
    jobs = {
        (row.number, seed): Job(
            f"{row.name}-seed{seed}", files[seed], row.parameters, (metric,)
        )
        for row in rows
        for seed in fresh
    }
    told = complete(list(jobs.values()), plan, "confirm")
    found = []
    for row in rows:
        each = [told[jobs[row.number, seed].name] for seed in fresh]
        values = tuple(book.metrics.get(metric, math.nan) for book in each)
        diverged = sum(book.state == "diverged" for book in each)
        found.append(
            Confirmed(row.number, row.parameters, row.values[0], values, diverged)
        )
    sign = 1.0 if space.objective.minimize else -1.0
    found.sort(key=lambda row: (math.isnan(row.mean), sign * row.mean))
    text = json.dumps([_facts(row) for row in found], indent=2) + "\n"
    _lines.replace(str(plan.folder / CONFIRMED), text)
    return found


def _facts(row: Confirmed) -> dict[str, Any]:
    """As JSON has it, which knows no NaN."""
    values = [None if math.isnan(value) else value for value in row.values]
    return {**dataclasses.asdict(row), "values": values}


def _of_facts(row: dict[str, Any]) -> Confirmed:
    values = tuple(math.nan if value is None else value for value in row["values"])
    diverged = row.get("diverged", 0)
    return Confirmed(row["trial"], row["parameters"], row["found"], values, diverged)


def _rows(space: Space, plan: Plan) -> list[Row]:
    """The books of the search, which is still that of the space file."""
    Store(space, plan.store, plan.folder, create=False).check_space()
    return trials(space, plan.store, plan.folder)


def _one_objective(space: Space) -> None:
    if len(space.objectives) > 1:
        names = ", ".join(o.metric for o in space.objectives)
        raise StateError(f"there is no best of two objectives ({names}): choose one")


def confirmed(folder: pathlib.Path) -> list[Confirmed]:
    """What was confirmed, best first; [] if nothing was."""
    path = folder / CONFIRMED
    if not path.exists():
        return []
    try:
        return [_of_facts(row) for row in json.loads(path.read_text("utf-8"))]
    except (AttributeError, ValueError, TypeError, KeyError):
        raise FormatError(
            f"'{path}' is damaged: remove it, and confirm again"
        ) from None


# ---- transfer ----


def transfer(space: Space, plan: Plan) -> tuple[books.Trial, str]:
    """Trains the target once with the best parameters.

    Returns:
        What came of it, and whose parameters those are.

    Raises:
        StateError: the space names no target, nothing was found yet, or the best has no
            value.
    """
    if not space.transfer:
        raise StateError(
            f"'{space.path}' names no target; transfer: {{model.embed_dim: 256}}"
        )
    _one_objective(space)
    found = _rows(space, plan)
    again = confirmed(plan.folder)
    if again:
        _check_confirmed(again, found, plan.folder)
        if math.isnan(again[0].mean):
            raise StateError(
                "of all that was confirmed a seed diverged without a value"
            )
        number, parameters = again[0].trial, again[0].parameters
        said = f"of trial {number}, the best of {len(again)} confirmed"
    else:
        rows = best(space, found, 1)
        if not rows:
            raise StateError(f"'{plan.folder}' has no finished trial yet: gn2 hpo run")
        number, parameters = rows[0].number, rows[0].parameters
        said = f"of trial {number}, the best of the search, not confirmed"
    plan = dataclasses.replace(plan, workers=1)
    file = derive.write(space, plan.folder, None, space.transfer, plan.share)
    words = " ".join(f"{key}={text}" for key, text in sorted(space.transfer.items()))
    target = hashlib.sha256(words.encode()).hexdigest()[:8]
    job = Job(f"{number:04d}-{target}", file, parameters, (space.objective.metric,))
    book = complete([job], plan, "transfer")[job.name]
    _values(book, job.metrics)
    return book, said


def _check_confirmed(
    again: Sequence[Confirmed], rows: Sequence[Row], folder: pathlib.Path
) -> None:
    """Refuses what was confirmed of another search, as of one that was here before."""
    there = {row.number: (dict(row.parameters), row.values) for row in rows}
    for one in again:
        if there.get(one.trial) != (dict(one.parameters), (one.found,)):
            raise StateError(
                f"'{folder / CONFIRMED}' is of another search: trial {one.trial} of "
                "this one is not what it says; remove it, and confirm again"
            )


# ---- a pruned trial to its end ----


def finish(space: Space, plan: Plan, number: int) -> str:
    """Runs a pruned trial to its end, in its folder; the store gets it as a new trial,
    for what was told of a trial stays."""
    rows = _rows(space, plan)
    row = next((r for r in rows if r.number == number), None)
    if row is None or row.state != "pruned":
        state = row.state if row else "not there"
        raise StateError(
            f"trial {number} is {state}; only a pruned one can be finished"
        )
    done = next((r for r in rows if r.finishes == number), None)
    if done is not None:
        return f"trial {number} is finished already, as trial {done.number}"
    metrics = tuple(o.metric for o in space.objectives)
    file = derive.write(space, plan.folder, threads=plan.share)
    job = Job(row.name, file, row.parameters, metrics)
    book = complete([job], plan, "trials")[job.name]
    store = Store(space, plan.store, plan.folder, create=False)
    values = _values(book, metrics)
    with guard(store.url):
        store.check_data()
        told = add_finished(store, row, book, values)
    figures = " ".join(f"{m}={v:.6g}" for m, v in zip(metrics, values))
    return f"trial {number} to its end, as trial {told}: {book.state} {figures}"
