# SPDX-License-Identifier: Apache-2.0
"""The exchanges of one step by several ranks, as ``lib/group`` and
``lib/train/ranks.c`` make them, and how long they take on a network of two numbers.

A test counts what the library really sends and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: bytes of a rank's word of agreement, of the losses of a shard, of a weight
WORD, LOSSES, WEIGHT = 40, 128, 4
#: weights that a tensor's place is a multiple of
ALIGN = 16
#: parts that the transports cut a message into at most, bytes of one at least
PARTS, LEAST = 4, 1 << 20


def arena(counts: Iterable[int]) -> int:
    """Numbers of a gradient, in the order of its tensors, with what lies between."""
    end = 0
    for count in counts:
        end = -(-end // ALIGN) * ALIGN + count
    return end


class Exchange(NamedTuple):
    """With a peer, in bytes."""

    peer: int
    sent: int
    received: int
    added: int = 0  #: of those received, to what the rank has itself


class Network(NamedTuple):
    """Time of an exchange: ``latency + bytes of the longer way / bandwidth``, or longer
    where what has come is added while more is on its way."""

    latency: float  #: s
    bandwidth: float  #: bytes/s, each way

    @classmethod
    def of(cls, microseconds: float, gigabits: float) -> Network:
        return cls(1e-6 * microseconds, 1e9 / 8 * gigabits)

    @property
    def gigabits(self) -> float:
        return self.bandwidth * 8e-9

    def time(self, exchange: Exchange, adding: float = 0.0) -> float:
        """Seconds.

        Args:
            adding: seconds a byte that is added.
        """
        moving = max(exchange.sent, exchange.received) / self.bandwidth
        if not exchange.added:
            return self.latency + moving
        part = min(max(exchange.added / PARTS, LEAST) / exchange.added, 1.0)
        summing = adding * exchange.added
        # the last part is added after all have come, all parts after the first has
        return self.latency + max(moving + part * summing, part * moving + summing)


def _distances(ranks: int) -> list[int]:
    """1, 2, 4 … below the number of ranks."""
    return [1 << k for k in range((ranks - 1).bit_length())]


def _is_power(ranks: int) -> bool:
    return ranks & (ranks - 1) == 0


def gather(me: int, ranks: int, size: int) -> list[Exchange]:
    """``size`` bytes of every rank to all."""
    if _is_power(ranks):
        return [Exchange(me ^ d, d * size, d * size) for d in _distances(ranks)]
    found: list[Exchange] = []
    for d in _distances(ranks):
        if me % (2 * d) == d:
            found.append(Exchange(me - d, min(d, ranks - me) * size, 0))
            break
        if me + d < ranks:
            found.append(Exchange(me + d, 0, min(d, ranks - me - d) * size))
    return found + spread(me, ranks, ranks * size)


def spread(me: int, ranks: int, size: int) -> list[Exchange]:
    """``size`` bytes of rank 0 to all."""
    found: list[Exchange] = []
    for d in _distances(ranks):
        if me < d and me + d < ranks:
            found.append(Exchange(me + d, size, 0))
        elif d <= me < 2 * d:
            found.append(Exchange(me - d, 0, size))
    return found


def _halves(me: int, ranks: int, count: int) -> list[Exchange]:
    """The sum of ``count`` numbers by halves at growing distance, then back."""
    down, back = [], []
    for d in _distances(ranks):
        lower = count // 2
        mine, theirs = (count - lower, lower) if me & d else (lower, count - lower)
        size = mine * WEIGHT
        down.append(Exchange(me ^ d, theirs * WEIGHT, size, added=size))
        back.append(Exchange(me ^ d, mine * WEIGHT, theirs * WEIGHT))
        count = mine
    return down + back[::-1]


def _down(me: int, ranks: int, size: int) -> list[Exchange]:
    """A sum of ``size`` bytes down the tree to rank 0."""
    found: list[Exchange] = []
    for d in _distances(ranks):
        if me % (2 * d) == d:
            return [*found, Exchange(me - d, size, 0)]
        if me + d < ranks:
            found.append(Exchange(me + d, 0, size, added=size))
    return found


def of_step(me: int, ranks: int, weights: int, shards: int) -> list[Exchange]:
    """All exchanges of a rank in one step: agreement, losses, gradient.

    Args:
        weights: numbers in the gradient (:func:`arena`).
        shards: ``train.shards``.
    """
    if ranks == 1:
        return []
    found = gather(me, ranks, WORD) + gather(me, ranks, shards // ranks * LOSSES)
    if _is_power(ranks):
        return found + _halves(me, ranks, weights)
    size = weights * WEIGHT
    return found + _down(me, ranks, size) + spread(me, ranks, size)


def duration(
    plans: Sequence[list[Exchange]], network: Network, adding: float = 0.0
) -> float:
    """Seconds until the last rank has made its exchanges, all beginning at once; an
    exchange begins when both are there.

    Args:
        adding: seconds a byte that is added.

    Raises:
        ValueError: two ranks wait for each other for ever.
    """
    clock = [0.0] * len(plans)
    done = [0] * len(plans)
    left = sum(len(plan) for plan in plans)
    while left:
        before = left
        for me, plan in enumerate(plans):
            while done[me] < len(plan):
                exchange = plan[done[me]]
                peer = exchange.peer
                theirs = plans[peer]
                if done[peer] == len(theirs) or theirs[done[peer]].peer != me:
                    break
                start = max(clock[me], clock[peer])
                spent = max(
                    network.time(exchange, adding),
                    network.time(theirs[done[peer]], adding),
                )
                clock[me] = clock[peer] = start + spent
                done[me] += 1
                done[peer] += 1
                left -= 2
        if left == before:
            raise ValueError("ranks wait for each other")
    return max(clock)


def plans_of(ranks: int, weights: int, shards: int) -> list[list[Exchange]]:
    """:func:`of_step` of every rank."""
    return [of_step(me, ranks, weights, shards) for me in range(ranks)]
