# SPDX-License-Identifier: Apache-2.0
"""Models, calls and threads behind a transport.

A call runs in one of as many threads as there are processors; libgn2 is called without
the interpreter's lock. A jet's scores do not depend on other jets, nor on threads, so
neither on who else asks: small calls that wait at the same time may go together.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _processors, errors
from .._ffi import lib
from .._limits import Limits
from .._protocol import BATCH, SERVED
from .calls import Awaited, Blocking, Calls, Gather, Job
from .models import Loaded, Prepare, Served, as_it_is
from .protocol import INTERNAL, INVALID, NOT_FOUND, TOO_LARGE, UNAVAILABLE, VERSION
from .protocol import Answer, Call, Problem, arrays, described
from .signatures import Found, Jets, Signature, chosen, joined, split

logger = logging.getLogger("gn2.serve")

PLATFORM = "libgn2"

#: kind of a problem, by the library's error; all others are the server's fault
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (errors.OutOfMemory, UNAVAILABLE),
    (errors.NumericError, INVALID),
    (errors.InvalidArgument, INVALID),
    (errors.ShapeError, INVALID),
    (errors.NotFound, INVALID),
)


class _Asked(NamedTuple):
    """A call that was checked."""

    call: Call
    name: str  #: of the model
    loaded: Loaded
    signature: Signature
    jets: Jets
    outputs: tuple[str, ...]


class _Run(NamedTuple):
    """Calls that go through the network together."""

    jobs: list[Job]
    asked: list[_Asked]


class Service:
    """Answers calls of the protocol; a transport hands them in.

    Args:
        models: (path, name) of each; an empty name: what the model says.
        limits: what a client may ask.
        prepare: makes of a model that was read the one that is served, and the options
            of its taggers, as :class:`gn2.Tagger` takes them.
        threads: calls that run at a time; 0 = processors this process may use.
        gather: how small calls go together.
        watch: is told of every call (:class:`gn2.serve.watch.Watch`), or None.
        interval: seconds between looks at the files; 0 = never.
    """

    def __init__(
        self,
        models: Iterable[tuple[str, str]],
        limits: Limits = Limits(),
        *,
        prepare: Prepare = as_it_is,
        threads: int = 0,
        gather: Gather = Gather(),
        watch: Any = None,
        interval: float = 1.0,
    ) -> None:
        self.limits, self.watch = limits, watch
        self.draining = False  #: not ready, all is answered
        self.leaving = False  #: connections that stay are told to go
        self._lock, self._held = threading.Lock(), 0
        threads = threads or _processors.count()
        self.models: dict[str, Served] = {}
        for path, name in models:
            load = lambda data: Loaded(data, prepare, threads)  # noqa: E731
            self._add(Served(path, name, load, watch))
        self.calls = Calls(threads, limits.queue, gather, self._answer)
        self._stop = threading.Event()
        if interval:
            look = threading.Thread(target=self._look, args=(interval,), daemon=True)
            look.start()

    def _add(self, served: Served) -> None:
        taken = {n for name in self.models for n in (name, name + BATCH)}
        for name in (served.name, served.name + BATCH):
            if name in taken:
                raise errors.InvalidArgument(
                    f"two models are called '{name}': give {served.path}=NAME"
                )
        self.models[served.name] = served

    def _look(self, interval: float) -> None:
        while not self._stop.wait(interval):
            for served in self.models.values():
                served.renew()

    def close(self) -> None:
        """Waits for what runs; nothing is answered afterwards."""
        self.draining = True
        self._stop.set()
        self.calls.close()

    # ---- what there is ----

    def find(self, name: str, version: str = "") -> tuple[Served, bool]:
        """What a name stands for, and whether it takes batches alone."""
        served = self.models.get(name)
        only_batch = served is None and name.endswith(BATCH)
        if only_batch:
            served = self.models.get(name[: -len(BATCH)])
        if served is None:
            raise Problem(
                f"Request for unknown model: '{name}' is not found", NOT_FOUND
            )
        if version not in ("", VERSION):
            raise Problem(
                f"Request for unknown model: '{name}' version {version} is not found",
                NOT_FOUND,
            )
        return served, only_batch

    def server_metadata(self) -> dict[str, Any]:
        return {
            "name": "gn2",
            "version": str(lib.gn2_version().decode()),
            "extensions": ["binary_tensor_data"],
        }

    def metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Of a model, as JSON has it."""
        served, only_batch = self.find(name, version)
        loaded = served.loaded
        signature: Signature = loaded.batch if only_batch else loaded.one
        return {
            "name": name,
            "versions": [VERSION],
            "platform": PLATFORM,
            "inputs": described(signature.inputs),
            "outputs": described(signature.outputs),
            "properties": {
                **signature.properties,
                **(self._served(loaded) if only_batch else {}),
            },
        }

    def _served(self, loaded: Loaded) -> dict[str, str]:
        """Property for clients that cut their batches and name their model."""
        facts = {"sha256": loaded.digest, "limits": self.limits._asdict()}
        return {SERVED: json.dumps(facts)}

    def ready(self, name: str | None = None, version: str = "") -> bool:
        """Are calls (of a model) taken?"""
        if name is not None:
            self.find(name, version)
        return not self.draining

    # ---- calls, as they come ----

    def hold(self, size: int) -> None:
        """Counts bytes of a request that are there; :meth:`release` when it ends."""
        with self._lock:
            if self._held + size <= self.limits.held:
                self._held += size
                return
        raise Problem(
            f"requests that are there have {self._held} bytes, {size} more are beyond "
            f"the limit of {self.limits.held}; try later",
            UNAVAILABLE,
        )

    def release(self, size: int) -> None:
        with self._lock:
            self._held -= size

    def answer(
        self, read: Callable[[], Call], write: Callable[[Answer], Any], size: int
    ) -> asyncio.Future[Any]:
        """What `write` will make of the answer to what `read` reads, of so many bytes.

        Cancelled, it is not answered if that has not begun.

        Raises:
            Problem: too many wait already. The future raises what else is wrong.
        """
        job = Awaited(read, write, size)
        self.calls.put(job)
        return job.future

    def run(
        self,
        read: Callable[[], Call],
        write: Callable[[Answer], Any],
        size: int,
        left: Callable[[], bool] = bool,
    ) -> Any:
        """The same for a thread that waits; `left` tells if who asked has left."""
        return self.calls.run(Blocking(read, write, size, left=left))

    # ---- calls, in a thread ----

    def _answer(self, jobs: Sequence[Job]) -> None:
        now, gather = time.perf_counter(), self.calls.gather
        runs: list[_Run] = []
        latest: dict[Any, tuple[_Run, int]] = {}  #: and the jets it has
        for job in jobs:
            try:
                self._check_waited(now - job.since)
                one = self.check(job.read())
            except Exception as problem:
                job.problem = problem
                continue
            key = (id(one.loaded), id(one.signature), one.outputs)
            run, count = latest.get(key, (None, 0))
            count += len(one.jets.jets)
            if run is None or count > gather.jets:
                run, count = _Run([], []), len(one.jets.jets)
                runs.append(run)
            latest[key] = run, count
            run.jobs.append(job)
            run.asked.append(one)
        for run in runs:
            self._run(run)

    def _check_waited(self, seconds: float) -> None:
        if self.watch:
            self.watch.waited(seconds)
        if seconds > self.limits.seconds:
            raise Problem(
                f"waited {seconds:.1f} s for a processor, the limit is "
                f"{self.limits.seconds:g} s",
                UNAVAILABLE,
            )

    def check(self, call: Call) -> _Asked:
        """A call with its jets, as its model takes them."""
        served, only_batch = self.find(call.model, call.version)
        loaded = served.loaded
        whole = only_batch or any(given.name == "jets" for given in call.inputs)
        signature: Signature = loaded.batch if whole else loaded.one
        jets = signature.jets(arrays(call, signature.inputs))
        self._check_size(jets)
        outputs = chosen(call.outputs, signature, call.model)
        return _Asked(call, served.name, loaded, signature, jets, tuple(outputs))

    def _run(self, run: _Run) -> None:
        try:
            found = self.tag(run.asked)
        except Exception as problem:
            if len(run.jobs) == 1:
                run.jobs[0].problem = problem
                return
            for job, one in zip(run.jobs, run.asked):  # one of them is to blame
                self._run(_Run([job], [one]))
            return
        for job, one, outputs in zip(run.jobs, run.asked, found):
            try:
                job.found = job.write(Answer(one.call.model, one.call.id, outputs))
            except Exception as problem:
                job.problem = problem

    def tag(self, asked: Sequence[_Asked]) -> list[dict[str, Any]]:
        """The outputs of calls of the same kind, each to its own."""
        first, parts = asked[0], [one.jets for one in asked]
        name, loaded, signature = first.name, first.loaded, first.signature
        jets, start = joined(parts), time.perf_counter()
        try:
            found: Found = loaded.run(
                lambda tagger: signature.run(tagger, jets, first.outputs),
                len(jets.jets),
            )
        except errors.Error as problem:
            kind = _kind(problem)
            if len(asked) == 1:  # else each is run again
                if kind == INTERNAL:
                    logger.error("%s: %s", name, problem)
                elif self.watch and isinstance(problem, errors.NumericError):
                    self.watch.refused(name, loaded, jets)
            raise Problem(str(problem), kind) from problem
        if self.watch:
            seconds = time.perf_counter() - start
            self.watch.tagged(name, loaded, jets, found.probabilities, seconds)
        return split(found.outputs, signature.rows, parts)

    def infer(self, call: Call) -> Answer:
        """Answers a call, in this thread."""
        return Answer(call.model, call.id, self.tag([self.check(call)])[0])

    def _check_size(self, jets: Jets) -> None:
        limits, count = self.limits, len(jets.jets)
        _limit("jets", count, "call", limits.jets)
        for name, (rows, offsets) in jets.tracks.items():
            _limit(name, len(rows), "call", limits.tracks)
            _check_offsets(name, offsets, count, len(rows))
            most = int(np.diff(offsets).max(initial=0))
            _limit(name, most, "jet", limits.jet_tracks)


def _kind(problem: errors.Error) -> str:
    """Of a problem of the library: whose fault is it?"""
    if isinstance(problem, errors.NumericError) and problem.of_network:
        return INTERNAL  # nothing the client sent is wrong, or can be changed
    return next(
        (kind for error, kind in _KINDS if isinstance(problem, error)), INTERNAL
    )


def _limit(what: str, count: int, where: str, limit: int) -> None:
    if count > limit:
        raise Problem(f"{count} {what} in a {where}, the limit is {limit}", TOO_LARGE)


def _check_offsets(name: str, offsets: Any, jets: int, rows: int) -> None:
    if len(offsets) != jets + 1:
        raise Problem(
            f"{name}: {len(offsets)} offsets, {jets} jets need {jets + 1}: the first "
            "row of each jet, then the number of rows"
        )
    if offsets[0] != 0 or offsets[-1] != rows:
        raise Problem(
            f"{name}: offsets go from {offsets[0]} to {offsets[-1]}, must go from 0 to "
            f"{rows}, the number of rows"
        )
    # compared, not subtracted: differences of hostile numbers overflow
    falls = np.flatnonzero(offsets[1:] < offsets[:-1])
    if len(falls):
        b = int(falls[0])
        raise Problem(f"{name}: offsets fall after jet {b}, {offsets[b : b + 2]}")
    # from 0 to rows and never falling: each lies between
