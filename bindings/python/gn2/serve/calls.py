# SPDX-License-Identifier: Apache-2.0
"""Calls that wait, and the threads that answer them.

As many run at a time as there are processors. Who gets a place takes what waits, in the
order of arrival: one call or, where asked to, several small ones, which then go
together. A call that has a thread of its own (:class:`Blocking`, gRPC) runs there, so
that nobody is woken but who waits; others (:class:`Awaited`, HTTP) in threads of ours.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .protocol import UNAVAILABLE, Problem

ALONE = 1 << 16  #: bytes beyond which a call does not go with others


class Gather(NamedTuple):
    """How calls go together."""

    jets: int = 1  #: of several calls; 1: every call alone
    seconds: float = 0.0  #: to wait for others, besides those that wait already


class Job:
    """A call until it is answered.

    Args:
        read: makes the call of what came.
        write: makes what is sent of the answer.
        size: bytes that came.
    """

    def __init__(
        self, read: Callable[[], Any], write: Callable[[Any], Any], size: int
    ) -> None:
        self.read, self.write, self.size = read, write, size
        self.since = time.perf_counter()
        self.found: Any = None
        self.problem: Exception | None = None

    def left(self) -> bool:
        """Has who asked left?"""
        return False


class Awaited(Job):
    """A call of an event loop: its future will have the answer."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def left(self) -> bool:
        return self.future.cancelled()

    def settle(self) -> None:
        """In the event loop."""
        if self.future.done():
            return
        if self.problem is not None:
            self.future.set_exception(self.problem)
        else:
            self.future.set_result(self.found)


class Blocking(Job):
    """A call of a thread, which waits for the answer, or for its turn to find it."""

    def __init__(self, *given: Any, left: Callable[[], bool]) -> None:
        super().__init__(*given)
        self._left = left
        self.company: list[Job] = []  #: it is its turn, with these
        self.wait = threading.Lock()
        self.wait.acquire()

    def left(self) -> bool:
        return self._left()


class Calls:
    """The queue, and the places to run.

    Args:
        places: calls, or gatherings of calls, that run at a time.
        limit: calls that wait or run; more are refused.
        answer: sets ``found`` or ``problem`` of each job.
    """

    def __init__(
        self,
        places: int,
        limit: int,
        gather: Gather,
        answer: Callable[[Sequence[Job]], None],
    ) -> None:
        self.limit, self.gather, self._answer = limit, gather, answer
        self.count = 0  #: that wait or run
        self._free = places
        self._waiting: deque[Job] = deque()
        lock = threading.Lock()
        #: of threads of ours without work, and of those that wait for company
        self._more, self._came = threading.Condition(lock), threading.Condition(lock)
        self._gathering, self._closed = 0, False
        self._threads = [
            threading.Thread(target=self._work, name=f"gn2-serve-{k}", daemon=True)
            for k in range(places)
        ]
        for thread in self._threads:
            thread.start()

    def check_room(self) -> None:
        """Refuses a call that would be refused, before it is read."""
        if self._closed:
            raise Problem("the server is leaving", UNAVAILABLE)
        if self.count >= self.limit:
            raise Problem(
                f"Exceeds maximum queue size: {self.count} calls wait or run, no more "
                "are taken; try later",
                UNAVAILABLE,
            )

    def put(self, job: Job) -> None:
        """It waits, and runs when it is its turn.

        Raises:
            Problem: too many wait already.
        """
        with self._more:
            self.check_room()
            self.count += 1
            self._waiting.append(job)
            if self._gathering:
                self._came.notify()
            else:
                self._call_next()

    def run(self, job: Blocking) -> Any:
        """What is sent of its answer, when it is there.

        Raises:
            Problem: it cannot be answered, or too many wait already.
        """
        self.put(job)
        job.wait.acquire()
        if job.company:
            self._run(job.company)
            with self._more:
                self._call_next()
        if job.problem is not None:
            raise job.problem
        return job.found

    def close(self) -> None:
        """Waits for what is there; nothing is taken afterwards."""
        with self._more:
            self._closed = True
            self._call_next()
        for thread in self._threads:
            thread.join()

    # ---- in the threads ----

    def _work(self) -> None:
        while jobs := self._take():
            self._run(jobs)

    def _run(self, jobs: list[Job]) -> None:
        if self.gather.seconds and jobs[0].size <= ALONE:
            self._wait_for_company(jobs)
        asked = [job for job in jobs if not job.left()]  # who left is not answered
        try:
            self._answer(asked)
        except Exception as problem:
            for job in asked:
                job.problem = job.problem or problem
        with self._more:
            self.count -= len(jobs)
            self._free += 1
        _hand_out(jobs)

    def _take(self) -> list[Job]:
        """The next job of an event loop and its company; none: it is over."""
        with self._more:
            while True:
                if self._free and self._waiting:
                    if not isinstance(self._waiting[0], Blocking):
                        self._free -= 1
                        jobs = self._with_company(self._waiting.popleft())
                        self._call_next()
                        return jobs
                    self._call_next()
                elif self._closed and not self._waiting:
                    return []
                else:
                    self._more.wait()

    def _call_next(self) -> None:
        """Whose turn it is, if there is a place; all of ours when it is over."""
        while self._free and self._waiting:
            if not isinstance(self._waiting[0], Blocking):
                self._more.notify()
                return
            self._free -= 1
            job = self._waiting.popleft()
            assert isinstance(job, Blocking)
            job.company = self._with_company(job)
            job.wait.release()
        if self._closed and not self._waiting:
            self._more.notify_all()

    def _with_company(self, first: Job) -> list[Job]:
        jobs = [first]
        if first.size > ALONE:
            return jobs
        # what waits is shared with the places that are free
        most = min(self.gather.jets, 1 + len(self._waiting) // (1 + self._free))
        while len(jobs) < most and self._waiting and self._waiting[0].size <= ALONE:
            jobs.append(self._waiting.popleft())
        return jobs

    def _wait_for_company(self, jobs: list[Job]) -> None:
        end = time.perf_counter() + self.gather.seconds
        with self._more:
            self._gathering += 1
            while len(jobs) < self.gather.jets:
                left = end - time.perf_counter()
                if left <= 0 or (self._waiting and self._waiting[0].size > ALONE):
                    break
                if self._waiting:
                    jobs.append(self._waiting.popleft())
                else:
                    self._came.wait(left)
            self._gathering -= 1
            self._call_next()


def _hand_out(jobs: Sequence[Job]) -> None:
    """Wakes who waits; an event loop once for all of its own."""
    awaited = []
    for job in jobs:
        if isinstance(job, Blocking):
            if not job.company:  # else it is this thread
                job.wait.release()
        else:
            assert isinstance(job, Awaited)
            awaited.append(job)
    if awaited:
        try:
            awaited[0].future.get_loop().call_soon_threadsafe(_settle, awaited)
        except RuntimeError:
            pass  # the loop has ended, and with it who asked


def _settle(jobs: Sequence[Awaited]) -> None:
    for job in jobs:
        job.settle()
