# SPDX-License-Identifier: Apache-2.0
"""A tagger that is served elsewhere, by ``gn2 serve``: see doc/serving.md."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from . import _wire
from ._arrays import Rows, numbers_of, offsets_of
from ._events import flat_events
from ._foreign import is_awkward
from ._protocol import BATCH, offsets_names
from ._served import Known, known_of, served_of
from ._views import JetsView
from .errors import InvalidArgument, NumericError, RemoteError, StateError
from .scores import EventScores, Scores

T = TypeVar("T")
HEAD = 1 << 16  #: bytes of a request that are no tensors, at most
NONE = np.iinfo(np.int32).min  #: a whole number of a slot where nothing is
SWAPS = 5  #: times that a model may be replaced during a call


class Remote:
    """A tagger that is served elsewhere, by ``gn2 serve``; :meth:`tag` takes and gives
    what :meth:`gn2.Tagger.tag` does, to the bit.

    Args:
        url: ``http://host:8000``, or ``grpc://host:8001`` (needs ``gn2[serve]``);
            ``https://`` and ``grpcs://`` where a proxy ends TLS.
        model: name under which it is served.
        timeout: seconds that a request may take, all tries together.
        batch: jets a request; what the server allows goes before.
        headers: more headers of every request, as ``{"Authorization": "Bearer …"}``.

    A request is tried again, after ever longer pauses, where the server is not there or
    says that it has no room (503, UNAVAILABLE), and not else. Nothing is sent before it
    is needed. A context manager; pickled, it takes along how to reach the server, not
    the connection. Threads wait for each other: give each its own.
    """

    def __init__(
        self,
        url: str,
        model: str = "GN2",
        *,
        timeout: float = 60.0,
        batch: int = 10_000,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not timeout > 0:
            raise InvalidArgument(f"timeout = {timeout}, must be above 0 s")
        if batch < 1:
            raise InvalidArgument(f"batch = {batch}, must be at least 1 jet")
        self.url, self.name, self.timeout, self.batch = url, model, timeout, batch
        self._headers = dict(headers or {})
        self._wire = _wire.connect(url, self._headers)
        self._lock = threading.Lock()
        self._known: Known | None = None
        self._view: JetsView
        self._closed = False

    def close(self) -> None:
        """Closes the connection. Later calls raise :class:`gn2.StateError`."""
        with self._lock:
            self._closed = True
            self._wire.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        if self._closed:
            raise StateError("this Remote is closed")
        words = self.url, self.name, self.timeout, self.batch, self._headers
        return _again, words

    def __repr__(self) -> str:
        return f"gn2.Remote({self.url!r}, {self.name!r})"

    # ---- tagging ----

    def tag(
        self,
        jets: Any,
        tracks: Any = None,
        *,
        valid: Any = None,
        outputs: str | Sequence[str] = (),
    ) -> Scores:
        """Tags jets, see :meth:`gn2.Tagger.tag`; there is no "pairs".

        Raises:
            NotFound: no such model, input or output.
            NumericError, InvalidArgument: the server refuses the values; it counts jets
                from the first of the request, and the message says which that is.
            RemoteError: the server cannot be reached, there is no answer in time, or
                what it says is not what it should be.
        """
        with self._lock:
            if self._closed:
                raise StateError("this Remote is closed")
            for _ in range(SWAPS):
                known = self._learn() if self._known is None else self._known
                scores = self._tag(known, (jets, tracks, valid), outputs)
                # of one model, the one whose classes and fractions are known?
                if self._learn().digest == known.digest:
                    return scores
        raise StateError(
            f"{self.url}: the model '{self.name}' was replaced {SWAPS} times meanwhile"
        )

    __call__ = tag

    def _learn(self) -> Known:
        """What the server says of the model now."""
        found = self._patiently(
            lambda until: self._wire.metadata(self.name + BATCH, until)
        )
        try:
            served, known = served_of(found), self._known
            if known is None or known.digest != served["sha256"]:
                self._known = known = known_of(served, found)
                self._view = JetsView(known.inputs, binds=False, strict=False)
        except RemoteError as problem:
            raise RemoteError(f"{self.url}: {problem}") from None
        return known

    def _tag(self, known: Known, given: Any, outputs: Any) -> Scores:
        jets, tracks, valid = given
        view, events = self._view, None
        if type(jets) is not np.ndarray and is_awkward(jets):
            jets, tracks, events = flat_events(jets, tracks, view.want)
        count = view.fill(jets, tracks, valid)
        try:
            call = _Call(view, known, outputs)
            parts = [
                self._infer(call, first, end)
                for first, end in call.ranges(count, self.batch)
            ]
            scores = call.scores(count, parts)
        finally:
            view.release()
        return scores if events is None else EventScores(scores, events)

    def _infer(self, call: _Call, first: int, end: int) -> dict[str, Any]:
        tensors = call.tensors(first, end)
        try:
            found = self._patiently(
                lambda until: self._wire.infer(
                    self.name + BATCH, tensors, call.wanted, until
                )
            )
        except InvalidArgument as problem:
            finite = all(np.isfinite(values).all() for values in tensors.values())
            kind = InvalidArgument if finite else NumericError
            text = f"{self.url}, of jets {first} to {end - 1}: {problem}"
            raise kind(text) from None
        missing = [name for name in call.wanted if name not in found]
        if missing:
            raise RemoteError(f"{self.url}: the answer lacks {', '.join(missing)}")
        try:
            call.known.check(found, call.rows(first, end))
        except RemoteError as problem:
            raise RemoteError(f"{self.url}: {problem}") from None
        return found

    def _patiently(self, work: Callable[[float], T]) -> T:
        """What comes of a request, which is given its deadline."""
        start, pause, tries = time.monotonic(), 0.05, 0
        until = start + self.timeout
        while True:
            tries += 1
            try:
                return work(until)
            except _wire.Unavailable as problem:
                wait = pause * random.uniform(0.5, 1.0)
                if time.monotonic() + wait >= until:
                    raise RemoteError(
                        f"{self.url}: {problem}; tried {tries} times in "
                        f"{self.timeout:g} s"
                    ) from None
                time.sleep(wait)
                pause = min(2 * pause, 5.0)
            except _wire.Late:
                raise RemoteError(
                    f"{self.url}: there was no answer in time within {self.timeout:g} s"
                ) from None
            except RemoteError as problem:
                raise RemoteError(f"{self.url}: {problem}") from None


def _again(url: str, model: str, timeout: float, batch: int, headers: Any) -> Remote:
    return Remote(url, model, timeout=timeout, batch=batch, headers=headers)


class _Packed(NamedTuple):
    """Constituents of a type without padding."""

    values: Any  #: (N, F)
    offsets: Any  #: (B + 1)
    used: Any  #: (B, slots) where padded: which slots they are of; else None


def _packed(rows: Rows, jets: int, width: int) -> _Packed:
    values = numbers_of(rows.table, width)
    if rows.offsets is not None:
        return _Packed(values, rows.offsets, None)
    used = rows.used(jets)
    if rows.valid is not None:
        values = values[used.reshape(-1)]
    return _Packed(values, offsets_of(rows.counts(jets)), used)


class _Call:
    """A call of :meth:`Remote.tag`: its tensors, and its scores made of answers."""

    def __init__(self, view: JetsView, known: Known, outputs: Any) -> None:
        asked = [outputs] if isinstance(outputs, str) else list(outputs)
        if not asked and known.flavour is None:
            asked = known.usual
        self.known = known
        self.asked = [(name, *known.output(name)) for name in asked]
        wanted = [one.wire for _, _, one in self.asked]
        if known.flavour is not None:
            wanted.insert(0, known.outputs[known.flavour].wire)
        self.wanted: list[str] = list(dict.fromkeys(wanted))
        count, sizes = view.jets.rows, {k: len(v) for k, v in known.inputs.items()}
        self.jets = numbers_of(view.jets, sizes["jets"])
        self.ragged = {
            name: _packed(rows, count, sizes[name])
            for name, rows in zip(view.objects, view.rows)
        }

    def ranges(self, count: int, batch: int) -> Iterator[tuple[int, int]]:
        """First jets and ends of requests that the server takes."""
        limits, first = self.known.limits, 0
        # bytes of the jets before: features, an offset a type, and constituents
        size = (4 * self.jets.shape[1] + 8 * len(self.ragged)) * np.arange(count + 1)
        for values, offsets, _ in self.ragged.values():
            size += 4 * values.shape[1] * offsets
        while True:
            end = min(count, first + batch, first + limits["jets"])
            tops = [(size, max(0, limits["body"] - HEAD))]
            tops += [(rows.offsets, limits["tracks"]) for rows in self.ragged.values()]
            for before, most in tops:
                fit = int(np.searchsorted(before, before[first] + most, "right")) - 1
                end = min(end, max(fit, first + 1))  # of one jet the server tells
            yield first, end
            if end >= count:
                return
            first = end

    def tensors(self, first: int, end: int) -> dict[str, Any]:
        """Of some of the jets."""
        found = {"jets": self._floats(self.jets[first:end])}
        ends = offsets_names(self.ragged)
        for name, (values, offsets, _) in self.ragged.items():
            low, high = int(offsets[first]), int(offsets[end])
            found[name] = self._floats(values[low:high])
            found[ends[name]] = np.asarray(offsets[first : end + 1] - low, "<i8")
        return found

    def rows(self, first: int, end: int) -> dict[str, int]:
        """Jets and constituents of some of the jets."""
        of = {n: int(p.offsets[end] - p.offsets[first]) for n, p in self.ragged.items()}
        return {"jets": end - first, **of}

    @staticmethod
    def _floats(values: Any) -> Any:
        return np.ascontiguousarray(values, "<f4")

    def scores(self, count: int, parts: Sequence[Mapping[str, Any]]) -> Scores:
        """What a tagger gives."""
        found = {n: np.concatenate([part[n] for part in parts]) for n in self.wanted}
        known = self.known
        if known.flavour is None:
            scores = Scores(None, known.names, count)
        else:
            own = known.outputs[known.flavour].wire
            scores = Scores(found[own], known.names)
        first = next(iter(self.ragged.values()), None)
        if self.asked and first is not None and first.used is None:
            scores.offsets = first.offsets
        for name, full, one in self.asked:
            values, ends = found[one.wire], None
            if one.rows == "constituent":
                rows = self.ragged[one.object]
                ends = rows.offsets if rows.used is None else None
                values = values if rows.used is None else _in_slots(values, rows)
            scores.add(name, full, values, ends)
        return scores


def _in_slots(values: Any, rows: _Packed) -> Any:
    """Rows of valid constituents where they lie among all slots; whole numbers are
    those of constituents of the jet, which count slots then."""
    integer = values.dtype.kind == "i"
    shape = (*rows.used.shape, *values.shape[1:])
    out = np.full(shape, NONE if integer else 0, values.dtype)
    if integer and len(values):
        slot = np.nonzero(rows.used)[1]
        first = np.repeat(rows.offsets[:-1], np.diff(rows.offsets))
        first = first.reshape(-1, *[1] * (values.ndim - 1))
        values = np.where(values >= 0, slot[first + np.maximum(values, 0)], values)
    out[rows.used] = values
    return out
