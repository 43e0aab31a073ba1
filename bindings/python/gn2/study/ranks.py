# SPDX-License-Identifier: Apache-2.0
"""What would several machines give? Measures on this one what a rank computes, fits the
time of a message where there are ranks to send them, and predicts steps and efficiency
of 1 … 64 ranks.

    gn2 study ranks jets_train.h5 -o studies
    mpirun -n 2 gn2 study ranks jets_train.h5 -o studies

A rank is measured alone: its own shards, what every rank does for the whole batch
(planning, counting, comparing) and for all weights (adding, updating), in a group whose
other ranks answer at once with what they were sent. The seconds of its step are fitted
by ``update + adding · S/R + jets · (planning + computing / R)``; reading is measured by
itself and added, as if nothing were read meanwhile. Exchanges are those that the
library makes, each ``latency + bytes / bandwidth``, or what adding takes that comes in,
if that is longer: it is done while more is on its way. Nothing else is sent while
something is computed. With one thread a rank (train.threads, 1 here) seconds are the
processor's.

Started as several ranks (mpirun, or --group torch), the messages between the first two
are timed, and latency and bandwidth of that transport join the networks.
"""

from __future__ import annotations

import csv
import ctypes
import importlib
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import _ffi
from .._lines import replacing
from ..config import Config
from ..dataset import Dataset
from ..errors import InvalidArgument
from ..group import Group
from ..model import Model
from ..trainer import Trainer
from .exchanges import Network, arena, duration, plans_of

GOAL = 0.8  #: efficiency that is asked for
#: sizes of the messages that are timed
SIZES = (8, 1 << 12, 1 << 16, 1 << 19, 1 << 22, 1 << 24)
COLUMNS = (
    *("width", "batch", "ranks", "network", "latency_us", "gigabits"),
    *("computing_ms", "planning_ms", "weights_ms", "reading_ms", "exchanges_ms"),
    *("step_ms", "jets_per_s", "efficiency"),
)


# ---- one rank ----


class Echo:
    """The other ranks of a group: each answers at once with what it was sent.

    Args:
        clock: by which a rank's seconds are measured.
    """

    def __init__(
        self, ranks: int, clock: Callable[[], float] = time.process_time
    ) -> None:
        self.seconds = 0.0  #: spent in here, which are no rank's
        self.adding = 0.0  #: of the rank, to take in what came
        self.sent = 0  #: bytes
        self.added = 0  #: bytes
        self._clock = clock
        self._transport = _ffi.Transport(
            rank=0,
            size=ranks,
            exchange=_ffi.ExchangeFn(self._exchange),
            exchange_parts=_ffi.ExchangePartsFn(self._exchange_parts),
        )
        self.group = Group._over(self._transport)

    def _exchange(
        self, _user: Any, _peer: int, out: Any, sent: int, into: Any, received: int
    ) -> int:
        start = self._clock()
        if out and into:
            ctypes.memmove(into, out, min(sent, received))
        self.sent += sent
        self.seconds += self._clock() - start
        return 0

    def _exchange_parts(self, *given: Any) -> int:
        *message, arrived, context = given
        self._exchange(*message)
        received = message[-1]
        start = self._clock()
        arrived(context, received)
        self.adding += self._clock() - start
        self.added += received
        return 0


@dataclass(frozen=True)
class Point:
    """A measured step of one rank of so many."""

    ranks: int
    batch: int
    seconds: float  #: but for the time of the others, and to add what they send
    summing: float = 0.0  #: to add a byte of it


@dataclass(frozen=True)
class Cost:
    """Seconds of one width, by :func:`fit_cost`."""

    update: float  #: of all weights
    adding: float  #: a shard of one's own
    planning: float  #: a jet, on every rank
    computing: float  #: a jet, shared out
    shards: int
    weights: int
    reading: float = 0.0  #: a jet
    summing: float = 0.0  #: a byte that comes in to be added
    worst: float = 0.0  #: largest deviation of a measured step, as a share

    def parts(self, ranks: int, batch: int) -> tuple[float, float, float, float]:
        """Seconds of a step: computing, planning, what weights cost, reading."""
        return (
            self.computing * batch / ranks,
            self.planning * batch,
            self.update + self.adding * self.shards / ranks,
            self.reading * batch,
        )


def fit_cost(points: Sequence[Point], shards: int, weights: int) -> Cost:
    """Least squares of relative deviations; what would come out below 0 is 0."""
    rows = np.array(
        [[1.0, shards / p.ranks, p.batch, p.batch / p.ranks] for p in points]
    )
    seconds = np.array([p.seconds for p in points])
    scaled, goal = rows / seconds[:, None], np.ones(len(points))
    size = np.abs(scaled).max(0)
    left = list(range(rows.shape[1]))
    found = np.zeros(rows.shape[1])
    while left:
        part = np.linalg.lstsq(scaled[:, left] / size[left], goal, rcond=None)[0]
        if (part >= 0).all():
            found[left] = part / size[left]
            break
        left.pop(int(np.argmin(part)))
    worst = float(np.abs(scaled @ found - 1).max())
    update, adding, planning, computing = map(float, found)
    return Cost(*(update, adding, planning, computing), shards, weights, worst=worst)


class Rank:
    """Measures the steps of a rank.

    Args:
        files: of training jets.
        options: of every training.
    """

    def __init__(self, files: Sequence[str], options: Mapping[str, Any]) -> None:
        self.files, self.options = files, options
        threads = int(options["train.threads"])
        self._clock = time.process_time if threads == 1 else time.perf_counter

    def reading(self, batch: int) -> float:
        """Seconds a jet, of all jets once."""
        config = Config({**self.options, "data.batch_size": batch})
        with Dataset(self.files, config) as data:
            start = time.process_time()
            jets = sum(len(found[0]) for found in data)
            return (time.process_time() - start) / max(jets, 1)

    def measure(self, width: int, batch: int, ranks: int, steps: int) -> Point:
        """The median of some steps on one batch."""
        config = Config(
            {
                **self.options,
                "model.embed_dim": width,
                "data.batch_size": batch,
                "data.max_jets": batch,
            }
        )
        others = Echo(ranks, self._clock)
        found = []
        with Dataset(self.files, config) as data:
            data.setup(config)
            given = next(iter(data))
            group = others.group if ranks > 1 else None
            with Trainer(Model(config), config, group=group) as trainer:
                for _ in range(steps + 1):  # the first one makes room
                    away = others.seconds + others.adding
                    start = self._clock()
                    trainer.step(*given)
                    spent = self._clock() - start
                    found.append(spent - (others.seconds + others.adding - away))
        summing = others.adding / max(others.added, 1)
        return Point(ranks, batch, statistics.median(found[1:]), summing)

    def cost(self, width: int, batches: Sequence[int], ranks: Sequence[int],
             steps: int, say: Callable[[str], Any]) -> Cost:  # fmt: skip
        """What a width costs."""
        points = []
        for batch in batches:
            for size in ranks:
                point = self.measure(width, batch, size, steps)
                points.append(point)
                say(f"width {width}, batch {batch}, 1 of {size}: "
                    f"{1e3 * point.seconds:.1f} ms")  # fmt: skip
        model = Model(Config({**self.options, "model.embed_dim": width}))
        weights = arena(tensor.count for tensor in model.params.values())
        found = fit_cost(points, int(self.options["train.shards"]), weights)
        summing = [point.summing for point in points if point.ranks > 1]
        return replace(found, summing=statistics.median(summing or [0.0]))


# ---- the network ----


def _off(found: Network, seconds: Mapping[int, float], rounds: int) -> float:
    """Sum of the relative deviations of broadcasts."""
    expected = {
        size: rounds * (2 * found.latency + size / found.bandwidth) for size in seconds
    }
    return sum(abs(expected[size] / seconds[size] - 1) for size in seconds)


def fit_network(seconds: Mapping[int, float], rounds: int) -> Network:
    """Of the time of a broadcast by its bytes: an agreement, then the bytes, each in so
    many rounds of exchanges.

    The least sum of relative deviations, which a line through two of the points has: a
    size that something disturbed moves it little, as squares would not.
    """
    lines = []
    for (a, first), (b, second) in itertools.combinations(sorted(seconds.items()), 2):
        each = max((second - first) / (b - a) / rounds, 1e-13)
        latency = max((first / rounds - a * each) / 2, 1e-9)
        lines.append(Network(latency, 1 / each))
    return min(lines, key=lambda line: _off(line, seconds, rounds))


def time_messages(group: Group, sizes: Sequence[int] = SIZES) -> dict[int, float]:
    """Seconds of a broadcast by its bytes, there and back, the sizes in turn; a call of
    all ranks."""
    found: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(20):
        for size in [size for size in sizes if turn < 5 or size <= 1 << 20]:
            data = bytes(size)
            start = time.perf_counter()
            group.broadcast(data, 0)
            group.broadcast(data, 1)
            found[size].append((time.perf_counter() - start) / 2)
    return {size: statistics.median(spent) for size, spent in found.items()}


# ---- predictions ----


def seconds_of(cost: Cost, ranks: int, batch: int, network: Network) -> float:
    """Seconds of a step."""
    plans = plans_of(ranks, cost.weights, cost.shards)
    return sum(cost.parts(ranks, batch)) + duration(plans, network, cost.summing)


def efficiency(cost: Cost, ranks: int, batch: int, network: Network) -> float:
    """Jets a second over those of as many ranks without each other."""
    alone = sum(cost.parts(1, batch))
    return alone / (ranks * seconds_of(cost, ranks, batch, network))


def least(good: Callable[[float], bool], low: float, high: float) -> float | None:
    """The least number within a percent from which on something is so; None: it is
    not at the highest either."""
    if not good(high):
        return None
    if good(low):
        return low
    while high > 1.01 * low:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if good(middle) else (middle, high)
    return high


def batch_for(cost: Cost, ranks: int, network: Network) -> float | None:
    """Jets a batch from which on the efficiency is :data:`GOAL`."""

    def good(batch: float) -> bool:
        return efficiency(cost, ranks, round(batch), network) >= GOAL

    return least(good, 100, 1e6)


def gigabits_for(cost: Cost, ranks: int, batch: int, latency: float) -> float | None:
    """Gb/s from which on the efficiency is :data:`GOAL`."""

    def good(gigabits: float) -> bool:
        network = Network.of(1e6 * latency, gigabits)
        return efficiency(cost, ranks, batch, network) >= GOAL

    return least(good, 1e-3, 1e4)


def check_ranks(ranks: Iterable[int], shards: int) -> None:
    """Refuses numbers of ranks that cannot share the shards."""
    for size in ranks:
        each = shards // size if size > 0 and shards % size == 0 else 0
        if size != 1 and (each == 0 or each & (each - 1)):
            raise InvalidArgument(
                f"{size} ranks cannot share train.shards = {shards}: give other "
                "--ranks, or train.shards"
            )


@dataclass(frozen=True)
class Study:
    """What was found."""

    costs: Mapping[int, Cost]  #: by width
    networks: Mapping[str, Network]
    ranks: Sequence[int]
    batches: Sequence[int]
    title: str

    def rows(self) -> Iterable[tuple[Any, ...]]:
        """Of the table, :data:`COLUMNS`."""
        for width, cost in self.costs.items():
            for name, network in self.networks.items():
                for batch in self.batches:
                    for ranks in self.ranks:
                        yield (
                            *(width, batch, ranks, name),
                            *(1e6 * network.latency, network.gigabits),
                            *self._figures(cost, network, batch, ranks),
                        )

    def _figures(
        self, cost: Cost, network: Network, batch: int, ranks: int
    ) -> tuple[float, ...]:
        parts = cost.parts(ranks, batch)
        step = seconds_of(cost, ranks, batch, network)
        ms = [1e3 * s for s in (*parts, step - sum(parts), step)]
        return (*ms, batch / step, efficiency(cost, ranks, batch, network))

    def verdict(self) -> str:
        """In words."""
        return "\n".join([self.title, *self._costs(), *self._answers(), *WARNING])

    def _costs(self) -> Iterable[str]:
        for width, cost in self.costs.items():
            yield (
                f"width {width}: {1e3 * cost.computing:.3g} ms a jet shared out; on "
                f"every rank {1e3 * cost.planning:.3g} ms a jet planned, "
                f"{1e3 * cost.reading:.3g} read, {1e3 * cost.update:.3g} ms a step for "
                f"{cost.weights:,} weights, {1e3 * cost.adding:.3g} a shard, "
                f"{1e9 * cost.summing:.3g} a MB that comes in; measured "
                f"steps deviate by up to {100 * cost.worst:.0f} %"
            )

    def _answers(self) -> Iterable[str]:
        for width, cost in self.costs.items():
            for ranks in [r for r in self.ranks if r > 1]:
                batches = ", ".join(
                    f"{name}: {_jets(batch_for(cost, ranks, network))}"
                    for name, network in self.networks.items()
                )
                yield f"width {width}, {ranks} ranks: 80 % from a batch of {batches}"
            for batch in (self.batches[0], self.batches[-1]):
                needed = self._links(cost, batch)
                yield f"width {width}, batch {batch}: 80 % needs {needed}"

    def _links(self, cost: Cost, batch: int) -> str:
        latency = next(iter(self.networks.values())).latency
        return ", ".join(
            f"{_gigabits(gigabits_for(cost, ranks, batch, latency))} for {ranks} ranks"
            for ranks in self.ranks
            if ranks > 1
        )


#: below every verdict
WARNING = (
    "A larger batch is another training: fewer steps an epoch, another best learning",
    "rate, which μP does not transfer over the batch. What it costs is not told here.",
)


def _jets(batch: float | None) -> str:
    return "none" if batch is None else f"{batch:.0f}"


def _gigabits(value: float | None) -> str:
    return "no network" if value is None else f"{value:.2g} Gb/s"


# ---- the study ----


def write(study: Study, folder: str, say: Callable[[str], Any]) -> str:
    """Table, verdict and figure; the verdict."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "ranks")
    with replacing(f"{path}.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in study.rows():
            writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in row])
    verdict = study.verdict()
    with replacing(f"{path}.txt") as file:
        file.write(verdict + "\n")
    try:
        # the pictures know this module
        pictures = importlib.import_module(f"{__package__}.pictures_ranks")
    except ImportError as problem:
        say(f"no figure: {problem}")
    else:
        figure = pictures.efficiencies(study)
        pictures.style.save(figure, f"{path}.png", dpi=110)
    return verdict


def say(text: str) -> None:
    print(f"gn2 study ranks: {text}", file=sys.stderr, flush=True)
