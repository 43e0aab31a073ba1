# SPDX-License-Identifier: Apache-2.0
"""Models that change and a server that leaves, under load: no answer is lost. Signals
that come again.

GN2_TEST_SWAPS=100 changes the model so many times (3).
"""

import http.client
import json
import os
import signal
import threading
import time

import numpy as np
import pytest
from conftest import SMALL
from serving import Server, binary, changed, message, need_packages, probabilities
from serving import replace, rpc_words

import gn2

need_packages()

from gn2.serve import run  # noqa: E402

BODY = json.dumps(changed())
SWAPS = int(os.environ.get("GN2_TEST_SWAPS", 3))


def over_http(server, keep):
    """Asks again and again, whatever /v2/health/ready says, until nobody is there.

    Yields the answers; a connection that is reset, or closed without an answer to what
    was sent, is an exception.
    """
    link = None
    while True:
        if link is None:
            link = http.client.HTTPConnection("127.0.0.1", server.http, timeout=30)
            try:
                link.connect()
            except ConnectionRefusedError:
                return
        link.request("POST", "/v2/models/m/infer", BODY)
        answer = link.getresponse()
        found = json.loads(answer.read())
        assert answer.status == 200, found
        p = [o["data"][0] for o in found["outputs"][:4]]
        yield np.array(p, "f4").tobytes()
        if not keep or answer.will_close:
            link.close()
            link = None


def over_grpc(server):
    import grpc
    from open_inference.grpc import protocol as pb
    from open_inference.grpc import service

    asked = message(
        pb,
        {
            block["name"]: np.array(block["data"], "f4").reshape(block["shape"])
            for block in changed()["inputs"]
        },
    )
    options = [("grpc.use_local_subchannel_pool", 1)]
    where = f"127.0.0.1:{server.rpc}"
    with grpc.insecure_channel(where, options) as channel:
        call = service.GRPCInferenceServiceStub(channel).ModelInfer
        while True:
            try:
                found = call(asked)
            except grpc.RpcError as problem:
                # told to go, or nobody to connect to: no answer is lost
                assert problem.code() == grpc.StatusCode.UNAVAILABLE, problem
                told = problem.details()
                assert "leaving" in told or "connect" in told, problem
                return
            yield b"".join(found.raw_output_contents[:4])


class Load:
    """Threads that ask, and what they found."""

    def __init__(self, *asking):
        self.found, self.problems = set(), []
        self.counts = [0] * len(asking)
        self.threads = [
            threading.Thread(target=self._work, args=(k, one), daemon=True)
            for k, one in enumerate(asking)
        ]
        for thread in self.threads:
            thread.start()

    def _work(self, k, asking):
        try:
            for answer in asking:
                self.found.add(answer)
                self.counts[k] += 1
        except Exception as problem:
            self.problems.append(repr(problem))

    def join(self):
        for thread in self.threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self.threads)
        assert not self.problems and all(self.counts), self.problems


def loaded(server):
    asking = [over_http(server, k % 2) for k in range(6)]
    if server.rpc is not None:
        asking += [over_grpc(server) for _ in range(2)]
    return Load(*asking)


def test_models_change_under_load(tmp_path):
    """Every answer is that of one of the two models, and none is lost."""
    path, models = tmp_path / "m.gn2", []
    for seed in (1, 2):
        models.append(gn2.Model({**SMALL, "model.seed": seed}).save_bytes())
    wanted = {probabilities(gn2.Model.load(m), [[1, 2.5]]) for m in models}
    replace(path, models[0])
    server = Server(f"{path}=m", *rpc_words(), "--drain", 0, "--look", 0.05)
    load = loaded(server)

    def wait(text, count):
        deadline = time.monotonic() + 20
        while sum(text in line for line in server.log) < count:
            assert time.monotonic() < deadline, server.log
            time.sleep(0.01)

    for k in range(1, SWAPS + 1):
        replace(path, models[k % 2])
        wait("took up", k)
    assert server.metrics()[("gn2_model_stale", "m")] == 0
    other = gn2.Model({**SMALL, "inputs.jets": ["eta_btagJes", "pt_btagJes"]})
    for k, bad in enumerate((models[0][:-100], b"no model", other.save_bytes())):
        replace(path, bad)
        wait("stays", k + 1)
        assert server.metrics()[("gn2_model_stale", "m")] == 1
    assert "its inputs are jets: eta_btagJes, pt_btagJes" in server.log[-1]
    page = server.metrics()
    assert page[("gn2_model_loads_total", "m", "used")] == SWAPS + 1
    assert page[("gn2_model_loads_total", "m", "kept")] == 3
    replace(path, models[0])
    wait("took up", SWAPS + 1)
    assert server.metrics()[("gn2_model_stale", "m")] == 0
    assert server.stop() == 0
    load.join()
    assert load.found == wanted


@pytest.mark.parametrize("drain", [0, 1])
def test_no_answer_is_lost_when_the_server_leaves(tmp_path, drain):
    """Clients that ask on until nobody is there to connect to."""
    path = tmp_path / "m.gn2"
    gn2.Model(SMALL).save(path)
    server = Server(f"{path}=m", *rpc_words(), "--drain", drain)
    load = loaded(server)
    idle = http.client.HTTPConnection("127.0.0.1", server.http, timeout=30)
    idle.connect()
    time.sleep(0.5)
    server.process.send_signal(signal.SIGTERM)
    if drain:
        time.sleep(0.3)
        assert server.ask("/v2/health/ready")[0] == 503
        status, headers, _ = server.ask("/v2/health/live")
        assert status == 200 and headers["Connection"] == "close"
    assert server.process.wait(30) == 0
    load.join()
    assert load.found == {probabilities(str(path), [[1, 2.5]])}
    assert not [line for line in server.log if "Traceback" in line]


def slow(jets):
    """Tensors of jets with as many tracks as may be, about 20 ms each."""
    return {
        "jets": np.zeros((jets, 2), "f4"),
        "tracks": np.zeros((1000 * jets, 19), "f4"),
        "offsets": np.arange(jets + 1) * 1000,
    }


class At(threading.Thread):
    """A call at work, its answer or exception, and when that came."""

    def __init__(self, server, ask, given):
        super().__init__(daemon=True)
        self.server, self.ask, self.given = server, ask, given
        self.answer = self.problem = self.time = None
        self.start()

    def run(self):
        try:
            self.answer = self.ask(self.server, self.given)
        except Exception as problem:
            self.problem = problem
        self.time = time.monotonic()


def one_over_http(server, given):
    body, headers = binary(given, outputs=[{"name": "probabilities"}])
    status, _, found = server.ask("/v2/models/m/infer", body, headers)
    assert status == 200, found
    return np.array(json.loads(found)["outputs"][0]["data"], "f4").tobytes()


def one_over_grpc(server, given):
    import grpc
    from open_inference.grpc import protocol as pb
    from open_inference.grpc import service

    asked = message(pb, given)
    asked.outputs.add(name="probabilities")
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.rpc}", options) as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        return stub.ModelInfer(asked).raw_output_contents[0]


def at_work(server, jets):
    """Calls that have begun, over each front end."""
    asking = [one_over_http] + ([one_over_grpc] if server.rpc is not None else [])
    calls = [At(server, ask, slow(jets)) for ask in asking]
    while server.metrics()[("gn2_queue_seconds_count",)] < len(calls):
        assert any(call.is_alive() for call in calls)
    return calls


def signalled(server, count):
    """Signals that are seen one by one: the kernel makes one of equal ones."""
    server.process.send_signal(signal.SIGTERM)
    while server.ask("/v2/health/ready")[0] == 200:
        time.sleep(0.01)
    for k in range(count - 1):
        time.sleep(0.1 * k)
        server.process.send_signal(signal.SIGTERM)
    return time.monotonic()


def test_a_second_signal_waits_for_calls_at_work_alone(tmp_path):
    """Not for --drain, nor for who is connected and asks nothing."""
    path = tmp_path / "m.gn2"
    gn2.Model(SMALL).save(path)
    jets = 16
    for _ in range(8):  # until the calls are longer than the signals, and not too long
        server = Server(f"{path}=m", *rpc_words(), "--drain", 60, "--threads", 2)
        idle = server.connect()
        calls = at_work(server, jets)
        signals = signalled(server, 2)
        status = server.process.wait(30)
        for call in calls:
            call.join(30)
        idle.close()
        if status:
            assert status == 143 and "not answered" in server.log[-1], server.log
            jets //= 2
        elif min(call.time for call in calls) < signals:
            jets *= 2
        else:
            break
    else:
        pytest.fail(f"no calls of the right length, at last {jets} jets")
    given = slow(jets)
    wanted = probabilities(
        str(path), given["jets"], (given["tracks"], given["offsets"])
    )
    for call in calls:
        assert call.problem is None and call.answer == wanted


@pytest.mark.parametrize("signals", [2, 3])
def test_calls_that_take_longer_are_given_up(tmp_path, signals):
    """After a moment, or at the third signal: the log and the status say so."""
    path = tmp_path / "m.gn2"
    gn2.Model(SMALL).save(path)
    server = Server(f"{path}=m", "--drain", 60, "--threads", 2)
    (call,) = at_work(server, 800)
    begin = signalled(server, signals)
    assert server.process.wait(60) == 143
    assert (time.monotonic() - begin < run.MOMENT) == (signals == 3)
    call.join(30)
    assert call.answer is None and isinstance(call.problem, ConnectionError)
    assert "left at a signal, 1 calls are not answered" in server.log[-1]
