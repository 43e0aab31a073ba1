# SPDX-License-Identifier: Apache-2.0
"""/metrics of the service: what Prometheus asks for, requests and physics.

Of the physics, a window of the last jets of each model: mean and width of every input
in units of the model's own normalisation (0 and 1 where jets are as those it was
trained on), shares of values that are not finite or too far, of the flavours, quantiles
of the discriminants. It is computed when the page is asked for, or the window is full.
Jets that are refused for their values are among the inputs, not among the scores.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from .._constants import NORMALISED_MAX
from ..scores import Scores, short_name
from .signatures import Jets

WINDOW = 10_000  #: jets of half a window
PENDING = 10_000  #: rows after which sums are made, lest bodies stay in memory
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SECONDS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10)
SIZES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 100_000)


class Sums:
    """Of the inputs of an object, in units of the normalisation."""

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self.bad, self.far = np.zeros((2, columns), np.int64)
        self.sums = np.zeros((2, columns))  #: of z and of z²

    def add(self, values: NDArray[Any], mean: Any, std: Any) -> None:
        z = (values.astype(np.float64) - mean) / std
        with np.errstate(invalid="ignore"):
            good = np.abs(z) <= NORMALISED_MAX  # not so of NaN
        self.rows += len(z)
        if not good.all():
            bad = ~np.isfinite(z)
            self.bad += bad.sum(0)
            self.far += (~good & ~bad).sum(0)
            z[~good] = 0.0
        self.sums += z.sum(0), np.square(z).sum(0)

    def __add__(self, other: Sums) -> Sums:
        out = Sums(len(self.bad))
        out.rows, out.sums = self.rows + other.rows, self.sums + other.sums
        out.bad, out.far = self.bad + other.bad, self.far + other.far
        return out

    def figures(self) -> tuple[Any, ...]:
        """Of each input: mean, width, and the shares of values that are not finite and
        that are too far; NaN: no rows."""
        rows = np.float64(self.rows)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean, square = self.sums / (rows - self.bad - self.far)
            width = np.sqrt(np.maximum(square - mean**2, 0.0))
            return mean, width, self.bad / rows, self.far / rows


class Half:
    """Sums over jets of one model."""

    def __init__(self, inputs: dict[str, tuple[str, ...]]) -> None:
        self.jets = 0
        self.sums = {name: Sums(len(columns)) for name, columns in inputs.items()}
        self.probabilities: list[NDArray[Any]] = []


class Window:
    """The last jets of a model: two halves, of which the older is dropped."""

    def __init__(self, loaded: Any) -> None:
        self.loaded, self.inputs = loaded, loaded.model.inputs
        self.halves = [Half(self.inputs), Half(self.inputs)]
        self.pending: list[tuple[Jets, Any]] = []
        self.waiting = 0

    def add(self, jets: Jets, probabilities: Any) -> None:
        self.pending.append((jets, probabilities))
        self.waiting += len(jets.jets) + sum(len(r) for r, _ in jets.tracks.values())
        if self.waiting >= PENDING:
            self.flush()

    def flush(self) -> None:
        if not self.pending:
            return
        if self.halves[1].jets >= WINDOW:
            self.halves = [self.halves[1], Half(self.inputs)]
        half, pending = self.halves[1], self.pending
        self.pending, self.waiting = [], 0
        for name, sums in half.sums.items():
            parts = [
                j.jets if name == "jets" else j.tracks[name][0] for j, _ in pending
            ]
            sums.add(np.concatenate(parts), *self.loaded.norm[name])
        half.jets += sum(len(j.jets) for j, _ in pending)
        found = [p for _, p in pending if p is not None]
        if found:
            half.probabilities.append(np.concatenate(found))

    def sums(self) -> dict[str, Sums]:
        older, newer = self.halves
        return {name: older.sums[name] + newer.sums[name] for name in self.inputs}

    def scores(self) -> Scores | None:
        """Of the jets of the window; None: there are none."""
        found = [p for half in self.halves for p in half.probabilities]
        if not found:
            return None
        return Scores(np.concatenate(found), self.loaded.names)


class Watch:
    """Is told of calls by the service, and writes the page."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._windows: dict[str, Window] = {}
        take = {"registry": self.registry}
        self._requests = Counter(
            "gn2_requests", "Calls to infer", ["transport", "outcome"], **take
        )
        self._jets = Counter("gn2_jets", "Jets tagged", ["model"], **take)
        self._queue = Histogram(
            "gn2_queue_seconds", "Time to wait for a thread", buckets=SECONDS, **take
        )
        self._network = Histogram(
            "gn2_network_seconds",
            "Time in the network",
            ["model"],
            buckets=SECONDS,
            **take,
        )
        self._sizes = Histogram(
            "gn2_batch_jets",
            "Jets that went through the network together",
            ["model"],
            buckets=SIZES,
            **take,
        )
        self._refused = Counter(
            "gn2_refused_jets",
            "Jets of calls that the library refused for their values",
            ["model"],
            **take,
        )
        self._loads = Counter(
            "gn2_model_loads",
            "Files of a model that were taken up (used) or not (kept: the old one)",
            ["model", "outcome"],
            **take,
        )
        self._stale = Gauge(
            "gn2_model_stale",
            "1 while the file of a model cannot be used and the old one is served",
            ["model"],
            **take,
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    # ---- what the service says ----

    def outcome(self, transport: str, kind: str) -> None:
        self._requests.labels(transport, kind).inc()

    def waited(self, seconds: float) -> None:
        self._queue.observe(seconds)

    def loaded(self, name: str, loaded: Any) -> None:
        """A model is served from now on."""
        self._loads.labels(name, "used").inc()
        self._stale.labels(name).set(0)
        with self._lock:
            self._windows[name] = Window(loaded)

    def kept(self, name: str) -> None:
        """The file of a model was replaced by one that cannot be used."""
        self._loads.labels(name, "kept").inc()
        self._stale.labels(name).set(1)

    def refused(self, name: str, loaded: Any, jets: Jets) -> None:
        """The library refused the values of a call: they count among the inputs."""
        self._refused.labels(name).inc(len(jets.jets))
        self._add(name, loaded, jets, None)

    def tagged(
        self, name: str, loaded: Any, jets: Jets, p: Any, seconds: float
    ) -> None:
        count = len(jets.jets)
        self._jets.labels(name).inc(count)
        self._network.labels(name).observe(seconds)
        self._sizes.labels(name).observe(count)
        self._add(name, loaded, jets, p)

    def _add(self, name: str, loaded: Any, jets: Jets, p: Any) -> None:
        with self._lock:
            window = self._windows.get(name)
            if window is not None and window.loaded is loaded:
                window.add(jets, p)

    # ---- the page ----

    def page(self) -> tuple[bytes, str]:
        """The text for Prometheus and its type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Any]:
        """As prometheus_client asks its collectors."""
        model = InfoMetricFamily("gn2_model", "Served model", labels=["model"])
        input_labels = ["model", "object", "input"]
        inputs = [
            GaugeMetricFamily(f"gn2_input_{word}", text, labels=input_labels)
            for word, text in (
                ("mean", "Mean of an input in units of its normalisation, usually 0"),
                ("width", "Width of an input in units of its normalisation, usually 1"),
                ("nonfinite_ratio", "Share of values of an input that are NaN or Inf"),
                ("far_ratio", "Share of values too far from the mean, so refused"),
            )
        ]
        rows = GaugeMetricFamily(
            "gn2_input_rows", "Rows that the figures are of", labels=input_labels[:2]
        )
        flavours = GaugeMetricFamily(
            "gn2_flavour_ratio",
            "Share of jets whose most probable flavour it is",
            labels=["model", "flavour"],
        )
        quantiles = GaugeMetricFamily(
            "gn2_discriminant_quantile",
            "Value of a discriminant below which a share of the jets lies",
            # promtool: a label "quantile" is that of summaries
            labels=["model", "discriminant", "share"],
        )
        with self._lock:
            for name, window in self._windows.items():
                window.flush()
                digest = {"sha256": window.loaded.digest}
                model.add_metric([name], digest)
                _add_inputs(name, window, inputs, rows)
                _add_scores(name, window.scores(), flavours, quantiles)
        yield from (model, rows, *inputs, flavours, quantiles)


def _add_inputs(name: str, window: Window, families: list[Any], rows: Any) -> None:
    for kind, sums in window.sums().items():
        rows.add_metric([name, kind], sums.rows)
        for family, values in zip(families, sums.figures()):
            for column, value in zip(window.inputs[kind], values):
                if np.isfinite(value):  # nothing came yet: no figure
                    family.add_metric([name, kind, column], value)


def _add_scores(name: str, scores: Scores | None, shares: Any, quantiles: Any) -> None:
    if scores is None or not len(scores):
        return
    p = scores.probabilities
    counts = np.bincount(p.argmax(1), minlength=p.shape[1])
    for flavour, count in zip(scores.classes, counts):
        shares.add_metric([name, short_name(flavour)], count / len(p))
    for rule in scores._names.rules:
        found = np.quantile(scores.discriminant(rule), QUANTILES)
        for q, value in zip(QUANTILES, found):
            quantiles.add_metric([name, rule, str(q)], float(value))
