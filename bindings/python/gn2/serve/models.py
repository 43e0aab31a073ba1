# SPDX-License-Identifier: Apache-2.0
"""Models that are served: what is read of a file, and files that are replaced.

A file that is replaced (by rename, so that it is never half there) is taken up for
calls that begin afterwards. One that cannot be read or run, or that is not asked and
answers as the one before, changes nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..errors import FormatError, VersionError
from ..model import Model
from ..tagger import Tagger
from .signatures import Batch, OneJet

T = TypeVar("T")
logger = logging.getLogger("gn2.serve")
WIDE = 256  #: jets from which on a call may use all processors
#: a model as it is served, and the options of its taggers
Prepare = Callable[[Model], "tuple[Model, Any]"]


def as_it_is(model: Model) -> tuple[Model, Any]:
    return model, None


class Loaded:
    """A model that was read, with its taggers."""

    def __init__(self, data: bytes, prepare: Prepare, threads: int) -> None:
        self.digest = hashlib.sha256(data).hexdigest()
        self.model, self._options = prepare(Model.load(data))
        config: Any = self.model.config
        self._lock = threading.Lock()
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
        return Tagger(self.model, self._options, threads=threads)

    @property
    def asked(self) -> Any:
        """What clients know of it: inputs and outputs, in order."""
        return self.model.inputs, self.one.outputs, self.batch.outputs

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
            self.run(lambda t: self.one.run(t, self.one.jets(few), self.one.usual), 1)

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
    """A name, its file and what is loaded of it.

    Args:
        load: a model of the bytes of a file.
        watch: is told of models that are taken up and refused, or None.
    """

    def __init__(
        self, path: str, name: str, load: Callable[[bytes], Loaded], watch: Any
    ) -> None:
        self.path, self._make, self._watch = path, load, watch
        self.stamp: Any = None
        self.loaded = self._load()
        self.name = name or self.loaded.model.metadata("model.name")
        if watch:
            watch.loaded(self.name, self.loaded)

    def _load(self) -> Loaded:
        with open(self.path, "rb") as file:
            # before it is read: what comes later is seen next time
            self.stamp = _stamp(os.fstat(file.fileno()))
            data = file.read()
        try:
            return self._make(data)
        except (FormatError, VersionError) as problem:
            text = str(problem).removeprefix("buffer: ")
            raise type(problem)(f"'{self.path}': {text}") from None

    def renew(self) -> bool:
        """Takes up a file that was replaced. Did it?"""
        before = self.loaded
        try:
            stamp = _stamp(os.stat(self.path))
            if stamp == self.stamp:
                return False
            self.stamp = stamp  # tried once, whatever comes of it
            fresh = self._load()
            _check_same(before, fresh)
        except FileNotFoundError:
            return False  # between unlink and rename of who replaces it
        except Exception as problem:
            self._keep(before, problem)
            return False
        self.loaded = fresh
        if self._watch:
            self._watch.loaded(self.name, fresh)
        logger.info(
            "model %s: took up %s, sha256 %.12s, before %.12s",
            self.name,
            self.path,
            fresh.digest,
            before.digest,
        )
        return True

    def _keep(self, before: Loaded, problem: Exception) -> None:
        if self._watch:
            self._watch.kept(self.name)
        logger.error(
            "model %s: %s cannot be used, the old one (sha256 %.12s) stays: %s",
            self.name,
            self.path,
            before.digest,
            problem,
        )


def _check_same(before: Loaded, after: Loaded) -> None:
    """Who sends numbers in the order of the old inputs must not be answered."""
    words = ("inputs", "outputs", "outputs of batches")
    for word, old, new in zip(words, before.asked, after.asked):
        if old != new:
            raise ValueError(
                f"its {word} are {_listed(new)}, those of the model that is served "
                f"{_listed(old)}; serve it under another name, or start anew"
            )


def _listed(found: Any) -> str:
    if isinstance(found, dict):
        return "; ".join(f"{k}: {', '.join(names)}" for k, names in found.items())
    return ", ".join(tensor.name for tensor in found)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
