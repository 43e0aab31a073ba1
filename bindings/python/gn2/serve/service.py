# SPDX-License-Identifier: Apache-2.0
"""Models, taggers and threads behind a transport.

A call runs in one of as many threads as there are processors; libgn2 is called without
the interpreter's lock. A jet's scores do not depend on other jets, nor on threads, so
neither on who else asks. A model file that is replaced (by rename, so that it is never
half there) is taken up for calls that begin afterwards; one that cannot be read or run
changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .. import _processors, errors
from .._ffi import lib
from ..model import Model
from ..remote import BATCH, SERVED
from ..tagger import Tagger
from .protocol import INTERNAL, INVALID, NOT_FOUND, TOO_LARGE, UNAVAILABLE, VERSION
from .protocol import Answer, Call, Problem, arrays, described
from .signatures import Batch, Jets, OneJet, Signature

T = TypeVar("T")
logger = logging.getLogger("gn2.serve")

PLATFORM = "libgn2"
WIDE = 256  #: jets from which on a call may use all processors

#: kind of a problem, by the library's error; all others are the server's fault
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (errors.OutOfMemory, UNAVAILABLE),
    (errors.NumericError, INVALID),
    (errors.InvalidArgument, INVALID),
    (errors.ShapeError, INVALID),
    (errors.NotFound, INVALID),
)


class Limits(NamedTuple):
    """What a client may ask."""

    body: int = 64 << 20  #: bytes of a request
    jets: int = 100_000  #: of a call
    tracks: int = 1_000_000  #: constituents of a call, of each type
    jet_tracks: int = 1000  #: constituents of a jet, of each type
    queue: int = 256  #: calls that wait or run
    seconds: float = 30.0  #: a call may wait, and its body may take to come


class Loaded:
    """A model that was read, with its taggers."""

    def __init__(self, data: bytes, options: Mapping[str, Any], threads: int) -> None:
        self.digest = hashlib.sha256(data).hexdigest()
        self.model = Model.load(data)
        config: Any = self.model.config
        self._options, self._lock = dict(options), threading.Lock()
        self._free = [self._tagger(1)]
        self._wide = [self._tagger(threads)] if threads > 1 else []
        self.names = self._free[0]._names  #: classes and discriminants, for Scores
        #: mean and standard deviation of every input, by object
        self.norm = {
            name: np.array(
                [
                    config[f"norm.{name}.mean"] or np.zeros(len(columns)),
                    config[f"norm.{name}.std"] or np.ones(len(columns)),
                ]
            )
            for name, columns in self.model.inputs.items()
        }
        self.one = OneJet(self.model)
        self.batch = Batch(self._free[0])
        self._try()

    def _tagger(self, threads: int) -> Tagger:
        options = {**self._options, "tagger.threads": threads}
        return Tagger(self.model, options)

    def _try(self) -> None:
        """A jet without and one with a constituent: what cannot run is not served."""
        jets = {
            t.name: np.array(self.norm[name][:1], np.float32)
            for t, name in zip(self.one.inputs, self.model.inputs)
        }
        for rows in (0, 1):
            few = {
                t.name: jets[t.name][: rows if t.shape[0] == -1 else 1]
                for t in self.one.inputs
            }
            self.run(lambda t: self.one.run(t, self.one.jets(few), ()), 1)

    def run(self, work: Callable[[Tagger], T], jets: int) -> T:
        """Calls with a tagger that nobody else has."""
        pools = [self._wide, self._free] if jets >= WIDE else [self._free]
        with self._lock:
            pool = next((p for p in pools if p), self._free)
            tagger = pool.pop() if pool else None
        if tagger is None:
            tagger = self._tagger(1)
        try:
            return work(tagger)
        finally:
            with self._lock:
                pool.append(tagger)


class Served:
    """A name, its file and what is loaded of it."""

    def __init__(self, path: str, name: str, service: Service) -> None:
        self.path, self._service = path, service
        self.stamp: Any = None
        self.loaded = self._load()
        self.name = name or self.loaded.model.metadata("model.name")
        self._tell()

    def _load(self) -> Loaded:
        with open(self.path, "rb") as file:
            # before it is read: what comes later is seen next time
            self.stamp = _stamp(os.fstat(file.fileno()))
            data = file.read()
        service = self._service
        return Loaded(data, service.options, service.threads)

    def _tell(self) -> None:
        if self._service.watch:
            self._service.watch.loaded(self.name, self.loaded)

    def renew(self) -> bool:
        """Takes up a file that was replaced. Did it?"""
        before = self.loaded
        try:
            stamp = _stamp(os.stat(self.path))
            if stamp == self.stamp:
                return False
            self.stamp = stamp  # tried once, whatever comes of it
            fresh = self._load()
        except FileNotFoundError:
            return False  # between unlink and rename of who replaces it
        except Exception as problem:
            logger.error(
                "model %s: %s cannot be used, the old one (sha256 %.12s) stays: %s",
                self.name,
                self.path,
                before.digest,
                problem,
            )
            return False
        self.loaded = fresh
        self._tell()
        logger.info(
            "model %s: took up %s, sha256 %.12s, before %.12s",
            self.name,
            self.path,
            fresh.digest,
            before.digest,
        )
        return True


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class Service:
    """Answers calls of the protocol; a transport hands them in.

    Args:
        models: (path, name) of each; an empty name: what the model says.
        limits: what a client may ask.
        options: of the taggers, as :class:`gn2.Tagger` takes them.
        threads: calls that run at a time; 0 = processors this process may use.
        watch: is told of every call (:class:`gn2.serve.watch.Watch`), or None.
        interval: seconds between looks at the files; 0 = never.
    """

    def __init__(
        self,
        models: Iterable[tuple[str, str]],
        limits: Limits = Limits(),
        *,
        options: Mapping[str, Any] = {},
        threads: int = 0,
        watch: Any = None,
        interval: float = 1.0,
    ) -> None:
        self.limits, self.watch, self.options = limits, watch, options
        self.threads = threads or _processors.count()
        self.draining = False
        self.models: dict[str, Served] = {}
        for path, name in models:
            self._add(Served(path, name, self))
        self._lock, self._calls = threading.Lock(), 0
        self._pool = ThreadPoolExecutor(self.threads, "gn2-serve")
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
        self._pool.shutdown()

    # ---- what there is ----

    def find(self, name: str, version: str = "") -> tuple[Loaded, bool]:
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
                f"Request for unknown model: '{name}' version {version} is not found; "
                f"it has version {VERSION}",
                NOT_FOUND,
            )
        return served.loaded, only_batch

    def server_metadata(self) -> dict[str, Any]:
        return {
            "name": "gn2",
            "version": str(lib.gn2_version().decode()),
            "extensions": ["binary_tensor_data"],
        }

    def metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Of a model, as JSON has it."""
        loaded, only_batch = self.find(name, version)
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

    # ---- calls ----

    def check_room(self) -> None:
        """Refuses a call that :meth:`submit` would, before it is read."""
        if self._calls >= self.limits.queue:
            raise Problem(
                f"{self._calls} calls wait or run, no more are taken; try later",
                UNAVAILABLE,
            )

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Runs in a thread of the service, in the order of arrival.

        Raises:
            Problem: too many wait already.
        """
        with self._lock:
            self.check_room()
            self._calls += 1
        try:
            future: Future[Any] = self._pool.submit(
                self._begin, work, time.perf_counter()
            )
        except RuntimeError:  # closed
            self._end()
            raise Problem("the server is leaving", UNAVAILABLE) from None
        future.add_done_callback(self._end)
        return future

    def _end(self, _future: Any = None) -> None:
        with self._lock:
            self._calls -= 1

    def _begin(self, work: Callable[[], Any], since: float) -> Any:
        waited = time.perf_counter() - since
        if self.watch:
            self.watch.waited(waited)
        if waited > self.limits.seconds:
            raise Problem(
                f"waited {waited:.1f} s for a processor, the limit is "
                f"{self.limits.seconds:g} s",
                UNAVAILABLE,
            )
        return work()

    def infer(self, call: Call) -> Answer:
        """Answers a call, in this thread."""
        loaded, only_batch = self.find(call.model, call.version)
        whole = only_batch or any(given.name == "jets" for given in call.inputs)
        signature: Signature = loaded.batch if whole else loaded.one
        jets = signature.jets(arrays(call, signature.inputs))
        self._check(jets)
        start = time.perf_counter()
        try:
            found = loaded.run(
                lambda tagger: signature.run(tagger, jets, call.outputs),
                len(jets.jets),
            )
        except errors.Error as problem:
            kinds = (kind for error, kind in _KINDS if isinstance(problem, error))
            raise Problem(str(problem), next(kinds, INTERNAL)) from problem
        if self.watch:
            seconds = time.perf_counter() - start
            name = (
                call.model if call.model in self.models else call.model[: -len(BATCH)]
            )
            self.watch.tagged(name, loaded, jets, found.probabilities, seconds)
        return Answer(call.model, call.id, found.outputs)

    def _check(self, jets: Jets) -> None:
        limits, count = self.limits, len(jets.jets)
        _limit("jets", count, "call", limits.jets)
        for name, (rows, offsets) in jets.tracks.items():
            _limit(name, len(rows), "call", limits.tracks)
            _check_offsets(name, offsets, count, len(rows))
            most = int(np.diff(offsets).max(initial=0))
            _limit(name, most, "jet", limits.jet_tracks)


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
