# SPDX-License-Identifier: Apache-2.0
"""The queue of the service: company, limits of waiting, who leaves."""

import asyncio
import threading
import time

import numpy as np
import pytest
from conftest import Sample
from serving import batch, jet, kind
from serving import path  # noqa: F401  fixture

import gn2
from gn2.serve import Gather, Limits, Problem, Service
from gn2.serve.calls import ALONE
from gn2.serve.protocol import Call, Given


@pytest.fixture(scope="module")
def given(path):
    counts = np.random.default_rng(2).integers(0, 20, 40)
    return Sample(gn2.Model.load(path).inputs, counts)


def raw(name, values):
    return Given(name, kind(values), values.shape, values.tobytes())


def single(given, b, outputs=()):
    return Call("m", "", "", [raw(n, v) for n, v in jet(given, b).items()], outputs)


def several(given, begin, end, outputs=()):
    arrays = batch(given, begin, end)
    return Call("m", "", "", [raw(n, v) for n, v in arrays.items()], outputs)


class Stopped(Service):
    """A service that begins when it is told to, so that calls wait together."""

    def __init__(self, path, **words):
        self.go, self.runs = threading.Event(), []
        super().__init__([(path, "m")], interval=0, **words)

    def _answer(self, jobs):
        self.go.wait()
        super()._answer(jobs)

    def tag(self, asked):
        self.runs.append(sum(len(one.jets.jets) for one in asked))
        return super().tag(asked)


def ask(service, calls, size=100):
    """The outputs, or problems, of calls that wait at the same time."""

    async def work():
        futures = [service.answer(lambda c=c: c, lambda a: a, size) for c in calls]
        service.go.set()
        return await asyncio.gather(*futures, return_exceptions=True)

    try:
        return asyncio.run(work())
    finally:
        service.close()


def same(found, wanted):
    assert list(found.outputs) == list(wanted.outputs)
    for name, values in wanted.outputs.items():
        assert found.outputs[name].dtype == values.dtype
        assert found.outputs[name].tobytes() == values.tobytes()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("jets", [1, 7, 64])
def test_company_changes_no_bit(path, given, threads, jets):
    calls = [single(given, b) for b in range(30)]
    calls += [single(given, b, ("GN2_VertexIndex", "GN2_pb")) for b in range(9)]
    calls += [several(given, b, b + 3) for b in range(0, 30, 3)]
    calls += [several(given, b, b + 2, ("D_b", "origin", "embedding")) for b in (5, 1)]
    order = np.random.default_rng(4).permutation(len(calls))
    calls = [calls[k] for k in order]
    service = Stopped(path, threads=threads, gather=Gather(jets))
    found = ask(service, calls)
    alone = [service.infer(call) for call in calls]
    for one, wanted in zip(found, alone):
        same(one, wanted)
    runs = service.runs[: -len(calls)]
    assert max(runs) <= max(jets, 3) and sum(runs) == sum(service.runs) / 2
    assert len(runs) == len(calls) if jets == 1 else len(runs) < len(calls)


@pytest.mark.parametrize("gather", [Gather(1), Gather(64), Gather(20, 1e-3)])
def test_threads_and_event_loops_at_the_same_time(path, given, gather):
    """As gRPC and HTTP ask: each gets its own answer, and nobody waits for ever."""
    calls = [single(given, b) for b in range(40)] + [several(given, 3, 9)]
    service = Service([(path, "m")], threads=2, gather=gather, interval=0)
    alone, found = [service.infer(call) for call in calls], []

    def thread(seed):
        for k in np.random.default_rng(seed).permutation(len(calls)):
            size = ALONE + 1 if k == 40 else 100
            found.append((k, service.run(lambda c=calls[k]: c, lambda a: a, size)))

    async def loop():
        for k in range(len(calls)):
            some = [service.answer(lambda c=c: c, lambda a: a, 9) for c in calls[:k]]
            found.extend(enumerate(await asyncio.gather(*some)))

    threads = [threading.Thread(target=thread, args=(k,)) for k in range(8)]
    for one in threads:
        one.start()
    asyncio.run(loop())
    for one in threads:
        one.join(30)
    assert not any(one.is_alive() for one in threads)
    service.close()
    assert len(found) == 8 * len(calls) + 40 * 41 // 2 and service.calls.count == 0
    for k, answer in found:
        same(answer, alone[k])


def test_threads_that_ask_wrongly_or_too_many(path, given):
    service = Stopped(path, threads=1, limits=Limits(queue=3))
    good, told = single(given, 0), []

    def ask_once(call, left=bool):
        try:
            told.append(service.run(lambda: call, lambda a: "ok", 9, left))
        except Problem as problem:
            told.append(problem.kind)

    bad = good._replace(model="x")
    given_to = [(good,), (bad,), (good, lambda: True)]
    threads = [threading.Thread(target=ask_once, args=words) for words in given_to]
    for one in threads:
        one.start()
    while service.calls.count < 3:
        time.sleep(0.001)
    ask_once(good)
    assert told == ["unavailable"]
    service.go.set()
    for one in threads:
        one.join(30)
    assert sorted(map(str, told[1:])) == ["None", "not found", "ok"]
    ask_once(good)
    assert told[-1] == "ok"
    service.close()
    ask_once(good)
    assert told[-1] == "unavailable"


def test_the_end_while_threads_wait(path, given):
    """Who waits is answered, and close() returns."""
    service, told = Stopped(path, threads=2), []

    def ask_once():
        told.append(service.run(lambda: single(given, 0), lambda a: "ok", 9))

    threads = [threading.Thread(target=ask_once, daemon=True) for _ in range(5)]
    for one in threads:
        one.start()
    while service.calls.count < 5:
        time.sleep(0.001)
    threads.append(threading.Thread(target=service.close, daemon=True))
    threads[-1].start()
    time.sleep(0.05)
    service.go.set()
    for one in threads:
        one.join(10)
    assert not any(one.is_alive() for one in threads) and told == ["ok"] * 5


def test_who_asks_wrongly_asks_alone(path, given):
    """A call that fails in company does not make others fail, nor names their jets."""
    calls = [single(given, b) for b in range(12)]
    bad = given.jets[5:6].copy()
    bad[0, 1] = np.nan
    calls[5] = calls[5]._replace(inputs=[raw("jet_features", bad), calls[5].inputs[1]])
    calls[7] = calls[7]._replace(outputs=("GN2_px",))
    calls[9] = calls[9]._replace(model="x")
    service = Stopped(path, threads=1, gather=Gather(64))
    found = ask(service, calls)
    for k, one in enumerate(found):
        if k in (5, 7, 9):
            assert isinstance(one, Problem)
        else:
            same(one, service.infer(calls[k]))
    assert "jet 0: 'eta_btagJes' is nan" in str(found[5])
    assert "'GN2_px' for model 'm'" in str(found[7])
    assert found[9].kind == "not found"


def test_large_calls_go_alone(path, given):
    service = Stopped(path, threads=1, gather=Gather(64))
    calls = [several(given, 0, 2) for _ in range(6)]
    ask(service, calls, ALONE + 1)
    assert service.runs == [2] * 6


def test_waiting_for_company(path, given):
    """With a time to wait, calls that come one after another go together."""
    service = Stopped(path, threads=1, gather=Gather(64, 0.2))
    service.go.set()

    async def work():
        futures = []
        for b in range(10):
            futures.append(service.answer(lambda b=b: single(given, b), list, 100))
            await asyncio.sleep(0.002)
        await asyncio.gather(*futures)

    asyncio.run(work())
    service.close()
    assert service.runs == [10]


def test_nobody_waits_in_a_full_queue(path, given):
    service = Stopped(path, threads=1, limits=Limits(queue=2))

    async def work():
        call = single(given, 0)
        first = service.answer(lambda: call, list, 9)
        second = service.answer(lambda: call, list, 9)
        with pytest.raises(Problem, match="2 calls wait or run") as caught:
            service.answer(lambda: call, list, 9)
        assert caught.value.kind == "unavailable"
        service.go.set()
        await asyncio.gather(first, second)
        await service.answer(lambda: call, list, 9)
        service.close()
        with pytest.raises(Problem, match="leaving") as caught:
            service.answer(lambda: call, list, 9)
        assert caught.value.kind == "unavailable"

    asyncio.run(work())


def test_who_waited_too_long_is_told_so(path, given):
    service = Stopped(path, threads=1, limits=Limits(seconds=0.05))

    async def work():
        futures = [
            service.answer(lambda: single(given, 0), list, ALONE + 1) for _ in range(2)
        ]
        await asyncio.sleep(0.1)
        service.go.set()
        return await asyncio.gather(*futures, return_exceptions=True)

    for found in asyncio.run(work()):
        assert found.kind == "unavailable"
        assert "for a processor, the limit is 0.05 s" in str(found)
    service.close()


def test_who_left_is_not_answered(path, given):
    service, read = Stopped(path, threads=1), []

    async def work():
        futures = [
            service.answer(
                lambda k=k: read.append(k) or single(given, k), list, ALONE + 1
            )
            for k in range(4)
        ]
        await asyncio.sleep(0.05)  # the first is taken
        futures[2].cancel()
        service.go.set()
        await asyncio.gather(*futures, return_exceptions=True)

    asyncio.run(work())
    service.close()
    assert read == [0, 1, 3]


def test_bytes_that_are_held(path):
    service = Service([(path, "m")], Limits(held=100), interval=0)
    service.hold(60)
    with pytest.raises(Problem, match="60 bytes, 41 more are beyond the limit of 100"):
        service.hold(41)
    service.release(60)
    service.hold(100)
    service.close()


def test_a_defect_is_an_error_of_its_calls_alone(path, given):
    service = Stopped(path, threads=1, gather=Gather(64))

    def fail(_answer):
        raise ZeroDivisionError

    async def work():
        futures = [
            service.answer(lambda b=b: single(given, b), fail if b == 2 else list, 9)
            for b in range(5)
        ]
        service.go.set()
        return await asyncio.gather(*futures, return_exceptions=True)

    found = asyncio.run(work())
    service.close()
    assert [isinstance(f, ZeroDivisionError) for f in found] == [
        k == 2 for k in range(5)
    ]
