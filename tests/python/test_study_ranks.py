# SPDX-License-Identifier: Apache-2.0
"""gn2 study ranks: counts what the library moves, and reckons with it as it says."""

import csv
import ctypes
import importlib.util
import queue
import threading

import numpy as np
import pytest
from conftest import ROOT

import gn2
from gn2 import _ffi
from gn2.cli import main
from gn2.study import exchanges, ranks
from gn2.study.exchanges import Exchange, Network

OPTIONS = {
    "model.embed_dim": 16,
    "model.init_hidden": 16,
    "model.num_layers": 1,
    "model.num_heads": 2,
    "norm.jets.mean": [0, 0],
    "norm.jets.std": [1, 1],
    "model.tasks": ["jets_classification"],
    "schedule.steps": 100,
    "train.threads": 1,
}


# ---- what is moved ----


class World:
    """Ranks that are threads; each notes its exchanges."""

    def __init__(self, size):
        self.size = size
        self.queues = {(a, b): queue.Queue() for a in range(size) for b in range(size)}
        self.seen = [[] for _ in range(size)]

    def group(self, me):
        def move(exchange, out, into):
            try:
                self.seen[me].append(exchange)
                peer, sent, received, _ = exchange
                if sent:
                    self.queues[me, peer].put(ctypes.string_at(out, sent))
                if received:
                    data = self.queues[peer, me].get(timeout=30)
                    assert len(data) == received
                    ctypes.memmove(into, data, received)
                return 0
            except Exception:  # no exception may leave through C
                return -3

        def whole(_user, peer, out, sent, into, received):
            return move(Exchange(peer, sent, received), out, into)

        def in_parts(_user, peer, out, sent, into, received, arrived, context):
            status = move(Exchange(peer, sent, received, received), out, into)
            if status == 0 and received:
                arrived(context, received)
            return status

        transport = _ffi.Transport(
            rank=me,
            size=self.size,
            exchange=_ffi.ExchangeFn(whole),
            exchange_parts=_ffi.ExchangePartsFn(in_parts),
        )
        return gn2.Group._over(transport)


def batch(jets=40):
    rng = np.random.default_rng(1)
    features = rng.standard_normal((jets, 2), np.float32)
    tracks = rng.standard_normal((jets, 3, 19), np.float32)
    return features, tracks, {"jets_classification": np.arange(jets) % 4}


def step(world, me, options, found):
    config = gn2.Config(options)  # one a thread
    trainer = gn2.Trainer(gn2.Model(config), config, group=world.group(me))
    world.seen[me].clear()
    found[me] = trainer.step(*batch()).loss
    trainer.close()


@pytest.mark.parametrize("size, shards", [(2, 8), (4, 8), (8, 8), (3, 12), (6, 12)])
def test_the_exchanges_of_a_step_are_those_of_the_library(size, shards):
    options = {**OPTIONS, "train.shards": shards}
    weights = exchanges.arena(t.count for t in gn2.Model(options).params.values())
    world, found = World(size), {}
    threads = [
        threading.Thread(target=step, args=(world, me, options, found))
        for me in range(size)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(set(found.values())) == 1 and len(found) == size
    for me in range(size):
        assert world.seen[me] == exchanges.of_step(me, size, weights, shards)


def test_one_rank_is_measured_with_the_bytes_of_all():
    config = gn2.Config({**OPTIONS, "train.shards": 64})
    weights = exchanges.arena(t.count for t in gn2.Model(config).params.values())
    echo = ranks.Echo(16)
    trainer = gn2.Trainer(gn2.Model(config), config, group=echo.group)
    echo.sent = 0
    trainer.step(*batch())
    trainer.close()
    plan = exchanges.of_step(0, 16, weights, 64)
    assert echo.sent == sum(exchange.sent for exchange in plan)
    assert echo.added == sum(exchange.added for exchange in plan)
    assert echo.adding > 0


# ---- how long it takes ----

SLOW = Network(1e-3, 1e6)  # 1 ms, 1 MB/s


def test_a_network_is_told_by_microseconds_and_gigabits():
    network = Network.of(30, 10)
    assert network.time(Exchange(1, 1250, 10)) == pytest.approx(31e-6)
    assert network.gigabits == pytest.approx(10)


def test_halves_cost_what_they_are_said_to():
    """2 log₂ R exchanges that move 2 (1 − 1/R) of the weights, and the small ones."""
    for size in (2, 4, 8, 16):
        rounds, weights, shards = size.bit_length() - 1, 64000, 64
        plans = exchanges.plans_of(size, weights, shards)
        words = (size - 1) * exchanges.WORD
        losses = (size - 1) * shards // size * exchanges.LOSSES
        gradient = 2 * weights * 4 * (size - 1) // size
        seconds = 4 * rounds * 1e-3 + (words + losses + gradient) / 1e6
        assert exchanges.duration(plans, SLOW) == pytest.approx(seconds)


def test_adding_is_hidden_behind_what_is_on_its_way():
    """But for a part of it, or the wire but for a part of that."""
    size = 4 << 20
    network, moving = Network(1e-3, 1e9), size / 1e9
    exchange = Exchange(1, size, size, added=size)
    whole = network.time(exchange, 0.0)
    assert whole == pytest.approx(1e-3 + moving)
    # parts of 1 MiB
    fast = network.time(exchange, 0.5e-9)
    assert fast == pytest.approx(whole + 0.5 * moving / 4)
    slow = network.time(exchange, 2e-9)
    assert slow == pytest.approx(1e-3 + 2 * moving + moving / 4)
    # one part: nothing is
    small = Exchange(1, 1000, 1000, added=1000)
    assert network.time(small, 1e-9) == pytest.approx(1e-3 + 2e-6)
    plans = exchanges.plans_of(2, 2 << 20, 64)
    more = exchanges.duration(plans, network, 1e-9) - exchanges.duration(plans, network)
    assert more == pytest.approx((1 << 20) * 1e-9)


def test_three_ranks_take_turns():
    """Down: 1 to 0, then 2 to 0; back: 0 to 1, then 0 to 2. No two at once."""
    plans = [[Exchange(1, 0, 1000), Exchange(2, 0, 1000)],
             [Exchange(0, 1000, 0)], [Exchange(0, 1000, 0)]]  # fmt: skip
    assert exchanges.duration(plans, SLOW) == pytest.approx(4e-3)
    assert exchanges._down(0, 3, 1000) == [e._replace(added=1000) for e in plans[0]]
    assert exchanges._down(2, 3, 1000) == plans[2]


def test_ranks_that_wait_for_each_other_are_found():
    with pytest.raises(ValueError):
        exchanges.duration([[Exchange(1, 1, 1)], []], SLOW)


TRUE = ranks.Cost(2e-3, 1e-4, 1e-6, 1e-4, shards=64, weights=1000000)


def points(cost, noise=0.0):
    return [
        ranks.Point(r, b, sum(cost.parts(r, b)) * (1 + noise * (-1) ** r))
        for r in (1, 8, 64)
        for b in (250, 1000)
    ]


def test_costs_are_found_again():
    found = ranks.fit_cost(points(TRUE), 64, 1000000)
    for name in ("update", "adding", "planning", "computing"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=1e-6)
    assert found.worst < 1e-9
    assert ranks.fit_cost(points(TRUE, 0.1), 64, 1).worst > 0.01


def test_no_cost_is_below_nothing():
    falling = [ranks.Point(p.ranks, p.batch, p.seconds - 1e-5 * p.ranks)
               for p in points(TRUE)]  # fmt: skip
    found = ranks.fit_cost(falling, 64, 1)
    assert min(found.update, found.adding, found.planning, found.computing) >= 0


def test_a_network_is_found_again_from_broadcasts():
    times = {size: 3 * (2 * 5e-5 + size / 1e8) for size in ranks.SIZES}
    found = ranks.fit_network(times, rounds=3)
    assert found.latency == pytest.approx(5e-5)
    assert found.bandwidth == pytest.approx(1e8)


def test_a_size_that_was_disturbed_does_not_move_the_network():
    times = {size: 2 * (2 * 5e-5 + size / 1e8) for size in ranks.SIZES}
    for size in ranks.SIZES:
        found = ranks.fit_network({**times, size: 1.6 * times[size]}, rounds=2)
        assert found.latency == pytest.approx(5e-5)
        assert found.bandwidth == pytest.approx(1e8)


def test_all_sizes_are_timed_on_all_ranks():
    world, found = World(2), [{}, {}]

    def rank(me):
        found[me] = ranks.time_messages(world.group(me), (8, 1 << 21))

    threads = [threading.Thread(target=rank, args=(me,)) for me in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(min(times.values()) > 0 for times in found)
    assert [list(times) for times in found] == [[8, 1 << 21]] * 2
    # each there and back, with an agreement before
    assert len(world.seen[0]) == 2 * 2 * (20 + 5)


def test_what_gives_eighty_percent_does_so_just():
    network = Network.of(30, 10)
    size = ranks.batch_for(TRUE, 4, network)
    found = ranks.efficiency(TRUE, 4, round(size), network)
    assert found == pytest.approx(0.8, abs=5e-3)
    gigabits = ranks.gigabits_for(TRUE, 4, 4000, 30e-6)
    fast = Network.of(30, gigabits)
    assert ranks.efficiency(TRUE, 4, 4000, fast) == pytest.approx(0.8, abs=5e-3)
    # a percent of each jet on every rank: 64 ranks cannot
    assert ranks.batch_for(TRUE, 64, network) is None
    assert ranks.gigabits_for(TRUE, 64, 8000, 30e-6) is None


def test_one_rank_has_the_efficiency_one():
    assert ranks.efficiency(TRUE, 1, 1000, SLOW) == 1


# ---- the command ----

JETS = str(ROOT / "examples" / "data" / "jets_train.h5")
WORDS = ["study", "ranks", JETS, "--widths=16,32", "--measure=50,200", "--steps=1"]
WORDS += ["--ranks=2,4", "--batches=500,1000", "--bandwidth=1,10", "train.shards=8"]
WORDS += ["model.init_hidden=16", "model.num_layers=1", "model.num_heads=2"]
WORDS += ["data.max_jets=-1"]


def test_the_study(tmp_path, capsys):
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    assert main([*WORDS[:-1], "-o", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said == (tmp_path / "ranks.txt").read_text(encoding="utf-8")
    assert "A larger batch is another training" in said
    with open(tmp_path / "ranks.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2 * 3
    for row in rows:
        parts = [float(v) for k, v in row.items() if k.endswith("_ms")]
        assert sum(parts[:-1]) == pytest.approx(parts[-1], rel=1e-4)
        assert float(row["computing_ms"]) > 0 and float(row["reading_ms"]) > 0
        one = row["ranks"] == "1"
        assert one == (float(row["exchanges_ms"]) < 1e-9)
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "ranks.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "more, says",
    [
        (["--ranks=3"], "3 ranks cannot share train.shards = 8"),
        (["--ranks=1"], "--ranks: one at least above 1"),
        (["--measure=100"], "--measure: two batches at least"),
        (["--measure=100,10000"], "there are only 9000 jets"),
        (["--bandwidth=0"], "--bandwidth: numbers above 0"),
        (["--bandwidth=nan"], "--bandwidth: numbers above 0"),
        (["--latency=inf"], "--latency: above 0"),
        ([WORDS[-1]], "data.max_jets: this study sets it"),
    ],
)
def test_what_cannot_be_studied_is_said(tmp_path, capsys, more, says):
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    assert main([*WORDS[:-1], "-o", str(tmp_path), *more]) == 1
    assert says in capsys.readouterr().err
