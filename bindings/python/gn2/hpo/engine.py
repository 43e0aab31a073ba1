# SPDX-License-Identifier: Apache-2.0
"""The local engine: asks Optuna, runs trial programs, tells Optuna.

Several workers in one process, and any number of such processes on any host, share a
store and a folder:

    study.db        the store, unless another is given
    space-HASH.yaml the space, with full paths, as trials get it
    trials/0007     the run folder of trial 7
    logs/0007.log   what its program printed
    leases/         who is at work on what

A trial is asked, begun, followed and told by whoever has its lease; only this module,
sampling.py and store.py talk to Optuna.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import _processors
from .._progress import Count
from .._signals import Signals
from ..errors import StateError
from . import books, crew, derive, identity, sampling
from .crew import Crew, Job, Outcome, Work
from .lease import Lease, Leases, Notices
from .parameter import Value
from .rows import Row, book_of, name_of, short, trials
from .space import Space
from .store import Store, guard

__all__ = ["Plan", "Row", "Search", "trials"]

#: seconds between two looks at the trials under way
TICK = 0.05
#: states of trials that ended with a figure, and what Optuna calls them
_TOLD = {"done": "COMPLETE", "diverged": "COMPLETE", "pruned": "PRUNED"}


@dataclass(frozen=True)
class Plan:
    """How a search is run, here and now; nothing of it changes what is found."""

    folder: pathlib.Path
    store: str | None = None  #: URL; None: sqlite in the folder
    trials: int | None = None  #: in all; None: as the space says
    workers: int = 1
    threads: int = 0  #: of a trial; 0: its share of the processors
    program: Sequence[str] = crew.PROGRAM
    arguments: Sequence[str] = ()  #: of the program
    lease: float = 60.0  #: seconds
    hours: float | None = None  #: of this command
    core_hours: float | None = None  #: of all trials
    failures: int | None = None  #: more end the search; None: as the space says
    quiet: bool = False

    @property
    def share(self) -> int:
        """Threads of a trial."""
        return self.threads or max(1, _processors.count() // self.workers)


@dataclass
class Active:
    """A trial under way here."""

    number: int
    trial: Any  #: Optuna's
    work: Work
    key: str
    twin: int | None = None  #: an equal trial, under way elsewhere
    reported: set[int] = field(default_factory=set)
    pruned: int | None = None  #: the step at which it was found to be behind


def make_crew(plan: Plan, place: str) -> Crew:
    """Leases and folders of a command; ``place`` is where its trainings lie."""
    folder = plan.folder.absolute()
    (folder / place).mkdir(parents=True, exist_ok=True)
    leases = Leases(folder / "leases", plan.lease)
    return Crew(folder / place, leases, plan.program, plan.arguments)


def text_of(space: Space, values: Mapping[str, Value]) -> dict[str, str]:
    """Parameters as a trial program is given them."""
    return {p.name: p.text(values[p.name]) for p in space.parameters}


class Search:
    """A search under way in this process."""

    def __init__(self, space: Space, plan: Plan) -> None:
        self.space = space
        self.plan = plan
        sampling.check(space)
        self.total, self.said = sampling.count(space, plan.trials)
        self.crew = make_crew(plan, "trials")
        self.judges = sampling.steps_to_judge(space)
        self.limit = ""  #: why it ended before its time
        self._changed = True  #: was a trial told since the limits were looked at?
        self._active: list[Active] = []
        self._began = time.monotonic()
        self._look_again = 0.0
        #: trials that were under way when we began, of which we do not know whether
        #: their worker lives; None: not looked yet
        self._unsure: set[int] | None = None
        self._stop = threading.Event()
        self._count = Count(self.total, "trial", space.name, plan.quiet)
        self._notices = Notices(self._say, plan.lease)
        self.file = derive.write(space, plan.folder, threads=plan.share)
        with self._mutex():  # tables of a new store are made once
            self.store = Store(space, plan.store, plan.folder)
            self.study = self.store.study
            with guard(self.store.url):
                self.store.settle()
                self._enqueue()

    @contextlib.contextmanager
    def _mutex(self) -> Any:
        lease = self.crew.leases.wait(
            "ask", lambda holder: self._notices.tell("the next trial", holder, False)
        )
        try:
            yield
        finally:
            lease.release()

    def _enqueue(self) -> None:
        """Every cell of a grid, once."""
        if not self.space.algorithm.grid:
            return
        trials = self.study.get_trials(deepcopy=False)
        there = {t.user_attrs.get("cell") for t in trials}
        names = [parameter.name for parameter in self.space.parameters]
        cells = itertools.product(*(p.cells() or () for p in self.space.parameters))
        for i, cell in enumerate(itertools.islice(cells, self.total)):
            if i not in there:
                values = dict(zip(names, cell))
                self.study.enqueue_trial(values, user_attrs={"cell": i})

    # ---- the loop ----

    def run(self) -> None:
        """Until all trials are told, a limit is reached, or we are asked to stop."""
        if self.said:
            self._say(self.said)
        with Signals(self._stop.set) as signals:
            try:
                with self._count, guard(self.store.url):
                    while not self._stop.is_set() and self._step():
                        self._stop.wait(TICK)
            finally:
                self.crew.stop()
            signals.deliver()

    def _say(self, text: str) -> None:
        if not self.plan.quiet:
            self._count.say(text)

    def _step(self) -> bool:
        """One look at everything; False when there is nothing left to do."""
        for active in list(self._active):
            self._tend(active)
        self.limit = self._limit()
        if self.limit:
            return False
        now = time.monotonic()
        # one that waits for its twin takes no place: the twin may be the one to adopt
        busy = sum(active.twin is None for active in self._active)
        if busy < self.plan.workers and now >= self._look_again:
            if not self._fill():
                self._look_again = now + min(0.5, self.plan.lease / 8)
                return bool(self._active) or self._unfinished()
        return True

    def _unfinished(self) -> bool:
        """Is there a trial to wait for, or to adopt, or to begin?"""
        trials = self.study.get_trials(deepcopy=False)
        done = sum(t.state.is_finished() for t in _counted(trials))
        return done < self.total or any(t.state.name == "RUNNING" for t in trials)

    def _limit(self) -> str:
        """Why no more may be done; empty if it may."""
        plan, hours = self.plan, (time.monotonic() - self._began) / 3600
        if plan.hours is not None and hours >= plan.hours:
            return f"the {plan.hours:g} hours are over"
        if not self._changed:
            return ""
        self._changed = False
        trials = self.study.get_trials(deepcopy=False)
        self._check_failures([t for t in trials if t.state.name == "FAIL"])
        spent = sum(map(_core_seconds, trials)) / 3600
        if plan.core_hours is not None and spent >= plan.core_hours:
            return f"{spent:.3g} of {plan.core_hours:g} core-hours are spent"
        return ""

    def _check_failures(self, failed: Sequence[Any]) -> None:
        given = self.plan.failures
        allowed = self.space.kubernetes.failures if given is None else given
        if len(failed) > allowed:
            causes = sorted({str(t.user_attrs.get("message", "?")) for t in failed})
            raise StateError(
                f"{len(failed)} trials failed, more than {allowed}: "
                f"{'; '.join(causes[:3])}. Their output is in "
                f"'{self.plan.folder / 'logs'}'; --failures {len(failed)} goes on"
            )

    # ---- beginning ----

    def _fill(self) -> bool:
        """Adopts a trial that nobody is at work on, or asks for a new one."""
        mine = {active.number for active in self._active}
        running = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state.name == "RUNNING" and trial.number not in mine
        ]
        if self._adopt(running) or (not self._awaits(running) and self._ask()):
            return True
        for trial in running if not self._active else []:
            self._is_known(trial.number)
        return False

    def _awaits(self, running: Sequence[Any]) -> bool:
        """Is there a trial whose worker on another host may be gone?

        Only as we begin: if it is gone, it may have been the only one, and then the
        next trial is to be asked for when that one is told. One that lives shows it
        within moments.
        """
        numbers = {trial.number for trial in running}
        found = numbers if self._unsure is None else numbers & self._unsure
        self._unsure = {number for number in found if not self._is_known(number)}
        return bool(self._unsure)

    def _is_known(self, number: int) -> bool:
        """Does the worker live that has a trial? Says who it is."""
        holder = self.crew.leases.holder(name_of(number))
        if holder is None:
            return False
        if holder.unknown or not self._active:
            self._notices.tell(f"trial {number}", holder)
        return not holder.unknown

    def _adopt(self, running: Sequence[Any]) -> bool:
        for found in running:
            lease = self.crew.leases.take(name_of(found.number))
            if lease is None:
                continue
            now = self.store.storage.get_trial(found._trial_id)
            if now.state.name == "RUNNING":
                self._begin(found._trial_id, found.number, lease)
                return True
            lease.release()
        return False

    def _ask(self) -> bool:
        mutex = self.crew.leases.take("ask")
        if mutex is None:
            return False
        try:
            trials = self.study.get_trials(deepcopy=False)
            if len(_counted(trials)) >= self.total:
                return False
            self.store.check_data()
            # parameters come later, as for a trial that is adopted
            self.study.sampler = sampling.optuna().samplers.RandomSampler(seed=0)
            trial = self.study.ask()
            lease = self.crew.leases.take(name_of(trial.number))
        finally:
            mutex.release()
        if lease is not None:  # else another was faster, as if we had been killed
            self._begin(trial._trial_id, trial.number, lease)
        return True

    def _begin(self, trial_id: int, number: int, lease: Lease) -> None:
        try:
            trial, values = sampling.ask(self.study, trial_id, self.space)
            config = identity.config_of(self.space.settings(values))
            key = identity.config_digest(config, self.store.digests)
            trial.set_user_attr("key", key)
        except BaseException:
            lease.release()
            raise
        metrics = tuple(o.metric for o in self.space.objectives)
        job = Job(name_of(number), self.file, text_of(self.space, values), metrics)
        work = self.crew.start(job, lease)
        self._active.append(Active(number, trial, work, key, number))

    # ---- going on ----

    def _tend(self, active: Active) -> None:
        if not active.work.lease.renew():
            self._lose(active)
        elif active.twin is None or not self._waits(active):
            self._follow(active)

    def _lose(self, active: Active) -> None:
        """We were away for too long: another has adopted the trial, and tells it."""
        active.work.stop()
        if not active.work.is_running():
            self._drop(active)
            self._say(f"trial {active.number}: another worker has it now")

    def _drop(self, active: Active) -> None:
        self._active.remove(active)
        self.crew.drop(active.work)

    def _waits(self, active: Active) -> bool:
        """Is an equal trial under way, or told already?"""
        for other in self.study.get_trials(deepcopy=False)[: active.number]:
            if other.user_attrs.get("key") != active.key:
                continue
            if other.state.name == "RUNNING":
                return True
            record = other.user_attrs.get("record")
            if other.state.is_finished() and record and _is_final(other):
                self._copy(active, other)
                return True
        active.twin = None
        return False

    def _follow(self, active: Active) -> None:
        self._judge(active)  # of a trial that is adopted this may be all there is to do
        outcome = active.work.poll()
        if outcome is None:
            return
        self._judge(active)
        if active.pruned is not None:
            outcome = Outcome("pruned", outcome.book, f"behind at step {active.pruned}")
        elif outcome.state == "stopped":  # by nobody of us, again and again
            outcome = dataclasses.replace(outcome, state="failed")
        self._tell(active, outcome)

    def _judge(self, active: Active) -> None:
        """Reports validations in their order, until one is behind."""
        if len(self.space.objectives) > 1:
            return
        for step, value in active.work.validations():
            if active.pruned is not None or step in active.reported:
                continue
            self._report(active, step, value)
            if self.judges(step) and self._is_behind(active, step):
                active.pruned = step
                active.work.stop()

    def _report(self, active: Active, step: int, value: float) -> None:
        stored = self.store.storage.get_trial(active.trial._trial_id)
        if step not in stored.intermediate_values:
            active.trial.report(value, step)
        active.reported.add(step)

    def _is_behind(self, active: Active, step: int) -> bool:
        return sampling.is_behind(self.study, active.number, step, self.space)

    # ---- ending ----

    def _tell(self, active: Active, outcome: Outcome) -> None:
        data = set(outcome.book.data.values())
        if data and data != set(self.store.digests):
            raise StateError(
                f"trial {active.number} was trained on other data than the search: "
                f"remove '{active.work.folder}', and give the same command again"
            )
        values = [outcome.book.metrics.get(m) for m in active.work.job.metrics]
        book = dataclasses.replace(
            outcome.book,
            name=name_of(active.number),
            state=outcome.state,
            space=self.space.name,
            message=outcome.message or outcome.book.message,
        )
        if outcome.state == "pruned" and active.work.folder.exists():
            book.save(active.work.folder)
        self._settle(active, book, values)

    def _copy(self, active: Active, other: Any) -> None:
        """Tells a trial what an equal one found."""
        record = {**other.user_attrs["record"], "name": name_of(active.number)}
        for step, value in other.intermediate_values.items():
            active.trial.report(value, step)
        active.trial.set_user_attr("cached", other.number)
        book = book_of(record)
        values = list(other.values) if other.state.name == "COMPLETE" else []
        self._settle(active, book, values)

    def _settle(self, active: Active, book: books.Trial, values: list[Any]) -> None:
        """Tells Optuna, if nobody did before."""
        if not active.work.lease.held():
            self._lose(active)
            return
        found = sampling.optuna()
        state = getattr(found.trial.TrialState, _TOLD.get(book.state, "FAIL"))
        if book.state == "diverged" and None in values:
            state = found.trial.TrialState.FAIL
        told = {"values": values} if state.name == "COMPLETE" else {}
        facts = dataclasses.asdict(dataclasses.replace(book, curve=()))
        self.study.sampler = found.samplers.RandomSampler(seed=0)
        try:
            active.trial.set_user_attr("record", facts)
            active.trial.set_user_attr("state", book.state)
            active.trial.set_user_attr("message", book.message)
            self.study.tell(active.number, state=state, **told)
        except (found.exceptions.UpdateFinishedTrialError, ValueError) as problem:
            if not self.store.storage.get_trial(
                active.trial._trial_id
            ).state.is_finished():
                raise StateError(f"trial {active.number}: {problem}") from problem
        self._changed = True
        self._drop(active)
        self._show(active, book)

    def _show(self, active: Active, book: books.Trial) -> None:
        trials = self.study.get_trials(deepcopy=False)
        self._count.add(sum(t.state.is_finished() for t in trials) - self._count.done)
        told = trials[active.number]
        words = [f"trial {active.number}: {book.state}"]
        if "cached" in told.user_attrs:
            words[0] += f", as trial {told.user_attrs['cached']} (equal, not trained)"
        if active.pruned is not None:
            words.append(f"at step {active.pruned}")
        if told.values:
            names = active.work.job.metrics
            words += [f"{n}={v:.6g}" for n, v in zip(names, told.values)]
        if book.state == "failed":
            words.append(book.message)
        words += [f"{n}={short(v)}" for n, v in active.work.job.parameters.items()]
        self._say(" ".join(words))


def _counted(trials: Sequence[Any]) -> list[Any]:
    """Trials that were begun; not those finished later on, which were counted."""
    return [
        t
        for t in trials
        if t.state.name != "WAITING" and "finishes" not in t.user_attrs
    ]


def _is_final(trial: Any) -> bool:
    """Would the same training end the same way?"""
    return (
        bool(trial.state.name != "FAIL") or trial.user_attrs.get("state") == "diverged"
    )


def _core_seconds(trial: Any) -> float:
    record = trial.user_attrs.get("record") or {}
    if "cached" in trial.user_attrs:
        return 0.0
    return float(record.get("resources", {}).get("core_seconds", 0.0))
