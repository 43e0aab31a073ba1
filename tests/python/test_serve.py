# SPDX-License-Identifier: Apache-2.0
"""`gn2 serve` as a process, asked over HTTP and gRPC.

GN2_TRITON_PYTHON names an interpreter that has tritonclient, if this one has not.
"""

import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import SMALL, Sample
from test_serve_protocol import changed, one_jet, replace, tensor, whole

import gn2

for name in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(name, reason=f"needs the package {name}: gn2[serve]")

NORM = {"norm.jets.mean": [1, 2], "norm.jets.std": [2, 4]}


class Server:
    """The command, and where it listens."""

    def __init__(self, *words):
        command = [
            sys.executable,
            "-m",
            "gn2",
            "serve",
            "--http",
            "0",
            *map(str, words),
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log, self.rpc = [], None
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"(HTTP|gRPC) on 127.0.0.1:(\d+)", line)
            if found and found[1] == "HTTP":
                self.http = int(found[2])
                break
            if found:
                self.rpc = int(found[2])
        else:
            pytest.fail("".join(self.log))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        self.log += self.process.stderr

    def ask(self, path, body=None, headers={}):
        """(status, headers, body)"""
        link = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        body = json.dumps(body) if isinstance(body, dict) else body
        link.request("GET" if body is None else "POST", path, body, headers)
        answer = link.getresponse()
        found = answer.status, answer.headers, answer.read()
        link.close()
        return found

    def infer(self, block, model="m"):
        status, _, body = self.ask(f"/v2/models/{model}/infer", block)
        return status, json.loads(body)

    def send(self, text):
        """Bytes as they are; what comes back until the server hangs up."""
        with socket.create_connection(("127.0.0.1", self.http), timeout=30) as link:
            link.sendall(text)
            parts = []
            while part := link.recv(65536):
                parts.append(part)
        return b"".join(parts)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        return status


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    out = tmp_path_factory.mktemp("serve") / "best.gn2"
    gn2.Model({**SMALL, **NORM}).save(out)
    return out


@pytest.fixture(scope="module")
def server(path):
    has_grpc = all(map(_there, ("grpc", "open_inference.grpc")))
    words = ["--grpc", "0"] if has_grpc else []
    found = Server(f"{path}=m", *words, "--max-body", 1, "--drain", 0, "--timeout", 2)
    yield found
    assert found.stop() == 0, "".join(found.log)
    assert not [line for line in found.log if "Traceback" in line]


def _there(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True


@pytest.fixture(scope="module")
def given(path):
    return Sample(gn2.Model.load(path).inputs, [3, 0, 40, 1])


@pytest.fixture(scope="module")
def scores(path, given):
    with gn2.Tagger(str(path)) as tagger:
        return tagger.tag(given.jets, given.ragged, outputs=["origin", "vertex", "D_b"])


def test_health_and_metadata(server):
    for path in ("/v2/health/live", "/v2/health/ready", "/v2", "/v2/models/m/ready"):
        assert server.ask(path)[0] == 200
    plain = json.loads(server.ask("/v2/models/m")[2])
    assert json.loads(server.ask("/v2/models/m/versions/1")[2]) == plain
    assert plain["inputs"][0] == {
        "name": "jet_features",
        "datatype": "FP32",
        "shape": [1, 2],
    }
    assert server.ask("/v2/models/m/versions/1/ready")[0] == 200
    for path in ("/v2/models/x", "/v2/models/x/ready", "/v2/models/m/versions/7", "/x"):
        status, _, body = server.ask(path)
        assert status == 404 and "error" in json.loads(body)
    assert server.ask("/v2/models/m/infer")[0] == 405


def test_jets_over_http(server, given, scores):
    for b in range(4):
        status, found = server.infer({"inputs": one_jet(given, b), "id": str(b)})
        assert status == 200 and found["id"] == str(b)
        p = [o["data"][0] for o in found["outputs"][:4]]
        assert (np.array(p, "f4") == scores.probabilities[b]).all()
    status, found = server.infer({"inputs": whole(given)}, "m/versions/1")
    p = np.array(found["outputs"][0]["data"], "f4")
    assert (p.reshape(4, 4) == scores.probabilities).all()


def test_bytes_over_http(server, given, scores):
    rows = given.split()[2]
    blocks = [
        {k: v for k, v in tensor(n, a).items() if k != "data"}
        | {"parameters": {"binary_data_size": a.nbytes}}
        for n, a in (("jet_features", given.jets[2:3]), ("track_features", rows))
    ]
    text = json.dumps({"inputs": blocks, "parameters": {"binary_data_output": True}})
    status, headers, body = server.ask(
        "/v2/models/m/infer",
        text.encode() + given.jets[2:3].tobytes() + rows.tobytes(),
        {"Inference-Header-Content-Length": str(len(text))},
    )
    size = int(headers["Inference-Header-Content-Length"])
    assert status == 200
    assert (
        np.frombuffer(body[size : size + 16], "<f4") == scores.probabilities[2]
    ).all()


def test_errors_over_http(server):
    status, found = server.infer(changed(shape=[1, 3]))
    assert status == 400 and "unexpected shape" in found["error"]
    assert server.infer(changed(), "x")[0] == 404
    assert server.infer("x" * (1 << 20) + "x")[0] == 413
    path, coded = "/v2/models/m/infer", {"Content-Encoding": "gzip"}
    assert server.ask(path, "x", coded)[0] == 415
    # a body whose length nobody says
    assert server.ask(path, iter([b"x" * 700_000] * 2))[0] == 413
    assert server.infer(changed())[0] == 200


HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n"


def test_clients_that_lie_and_leave(server):
    assert b" 400 " in server.send(b"\0\1\2\r\n\r\n")
    assert b" 400 " in server.send(HEAD + b"Content-Length: x\r\n\r\n")
    assert b" 413 " in server.send(
        HEAD + b"Connection: close\r\nContent-Length: 99999999999\r\n\r\n"
    )
    # longer than what comes: after the time for it
    late = server.send(HEAD + b"Connection: close\r\nContent-Length: 9\r\n\r\n{}")
    assert b" 400 " in late and b"did not come within 2 s" in late
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", server.http)) as link:
            link.sendall(HEAD + b"Content-Length: 50\r\n\r\n{")
    idle = [socket.create_connection(("127.0.0.1", server.http)) for _ in range(200)]
    assert server.infer(changed())[0] == 200
    for link in idle:
        link.close()


def metrics(server):
    from prometheus_client.parser import text_string_to_metric_families as parse

    status, headers, body = server.ask("/metrics")
    assert status == 200
    found = {}
    for family in parse(body.decode()):
        for s in family.samples:
            found[(s.name, *(v for _, v in sorted(s.labels.items())))] = s.value
    return found


def test_metrics_show_a_wrong_column(path):
    names = gn2.Model.load(path).inputs["jets"]
    z = np.random.default_rng(3).normal(size=(4000, 2))
    server = Server(f"{path}=good", f"{path}=bad", "--drain", 0)
    server.infer(changed(), "nobody")
    for model, scale in (("good", [1, 1]), ("bad", [1, 1.2])):
        jets = (z * scale * NORM["norm.jets.std"] + NORM["norm.jets.mean"]).astype("f4")
        given = [
            tensor("jets", jets),
            tensor("tracks", np.zeros((0, 19), "f4")),
            tensor("offsets", np.zeros(4001, "i8")),
        ]
        assert server.infer({"inputs": given}, model)[0] == 200
        page = metrics(server)
        for k, name in enumerate(names):
            where = (name, model, "jets")
            seen = z[:, k] * scale[k]
            assert abs(page[("gn2_input_mean", *where)] - seen.mean()) < 1e-4
            assert abs(page[("gn2_input_width", *where)] - seen.std()) < 1e-4
            assert page[("gn2_input_nonfinite_ratio", *where)] == 0
        shares = [v for k, v in page.items() if k[0] == "gn2_flavour_ratio"]
        assert abs(sum(shares) - 1 - (model == "bad")) < 1e-9
        assert page[("gn2_jets_total", model)] == 4000
        assert ("gn2_discriminant_quantile", "D_b", model, "0.5") in page
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert page[("gn2_model_info", "bad", digest)] == 1
    assert page[("gn2_requests_total", "not found", "http")] == 1
    assert page[("gn2_requests_total", "ok", "http")] == 2
    assert server.stop() == 0


def test_models_change_and_the_server_leaves_under_load(tmp_path):
    """Every answer is that of one of the two models, and none is lost."""
    path, models = tmp_path / "m.gn2", []
    for seed in (1, 2):
        models.append(gn2.Model({**SMALL, "model.seed": seed}).save_bytes())
    wanted = set()
    for data in models:
        with gn2.Tagger(gn2.Model.load(data)) as tagger:
            jets = np.array([[1, 2.5]], "f4")
            wanted.add(tagger.tag(jets).probabilities.tobytes())
    replace(path, models[0])
    server = Server(f"{path}=m", "--drain", 3)
    found, left = [], []

    def client():
        while server.ask("/v2/health/ready")[0] == 200:
            status, answer = server.infer(changed())
            assert status == 200
            p = [o["data"][0] for o in answer["outputs"][:4]]
            found.append(np.array(p, "f4").tobytes())
        left.append(1)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for k in range(1, 4):
        replace(path, models[k % 2])
        count = sum("took up" in line for line in server.log)
        deadline = time.monotonic() + 20
        while sum("took up" in line for line in server.log) == count:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    replace(path, b"no model")
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.ask("/v2/health/ready")[0] == 503
    assert server.ask("/v2/health/live")[0] == 200
    assert server.process.wait(30) == 0
    for thread in threads:
        thread.join(30)
    assert set(found) == wanted and len(left) == len(threads)


@pytest.fixture(scope="module")
def stub(server):
    """(messages, calls) of gRPC."""
    if server.rpc is None:
        pytest.skip("needs the packages grpcio and open-inference-grpc: gn2[serve]")
    import grpc
    from open_inference.grpc import protocol, service

    with grpc.insecure_channel(f"127.0.0.1:{server.rpc}") as channel:
        yield protocol, service.GRPCInferenceServiceStub(channel)


def message(pb, sample, b, raw):
    rows = sample.split()[b]
    out = pb.ModelInferRequest(model_name="m", id="7")
    named = (("jet_features", sample.jets[b : b + 1]), ("track_features", rows))
    for name, values in named:
        one = out.inputs.add(name=name, datatype="FP32", shape=values.shape)
        if raw:
            out.raw_input_contents.append(values.tobytes())
        else:
            one.contents.fp32_contents.extend(values.reshape(-1).tolist())
    return out


@pytest.mark.parametrize("raw", [True, False])
def test_jets_over_grpc(stub, given, scores, raw):
    pb, calls = stub
    for b in range(4):
        found = calls.ModelInfer(message(pb, given, b, raw))
        assert found.id == "7" and [o.name for o in found.outputs][0] == "GN2_pb"
        p = b"".join(found.raw_output_contents[:4])
        assert p == scores.probabilities[b].tobytes()
        vertices = np.frombuffer(found.raw_output_contents[5], "i1")
        assert (vertices == given.split(scores["vertex"])[b]).all()


def test_states_and_errors_over_grpc(stub, given):
    import grpc

    pb, calls = stub
    assert calls.ServerLive(pb.ServerLiveRequest()).live
    assert calls.ServerReady(pb.ServerReadyRequest()).ready
    assert calls.ModelReady(pb.ModelReadyRequest(name="m", version="1")).ready
    assert calls.ServerMetadata(pb.ServerMetadataRequest()).name == "gn2"
    found = calls.ModelMetadata(pb.ModelMetadataRequest(name="m"))
    assert [list(t.shape) for t in found.inputs] == [[1, 2], [-1, 19]]
    bad = message(pb, given, 0, True)
    bad.raw_input_contents[0] = b"123"
    few = message(pb, given, 0, True)
    del few.raw_input_contents[1]
    far = message(pb, given, 0, True)
    far.inputs[1].shape[:] = [2**62, 19]
    text = message(pb, given, 0, False)
    text.inputs[0].datatype = "BYTES"
    for wrong in (bad, few, far, text):
        with pytest.raises(grpc.RpcError) as caught:
            calls.ModelInfer(wrong)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        calls.ModelInfer(pb.ModelInferRequest(model_name="x"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert "unknown model: 'x'" in caught.value.details()


def test_bytes_that_are_no_message(server, stub, given):
    import grpc

    pb, calls = stub
    rng = np.random.default_rng(5)
    with grpc.insecure_channel(f"127.0.0.1:{server.rpc}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for size in range(1, 60):
            data = message(pb, given, 0, True).SerializeToString()[:-size]
            for wrong in (data, rng.bytes(size)):
                with pytest.raises(grpc.RpcError) as caught:
                    call(wrong)
                assert caught.value.code().name in ("INVALID_ARGUMENT", "NOT_FOUND")
    with socket.create_connection(("127.0.0.1", server.rpc)) as link:
        link.sendall(b"no HTTP/2\r\n\r\n")
    assert calls.ModelInfer(message(pb, given, 0, True)).id == "7"


def test_tritonclient(server, given, scores, tmp_path):
    python = os.environ.get("GN2_TRITON_PYTHON", sys.executable)
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    probe = [python, "-c", "import tritonclient.http, tritonclient.grpc"]
    if server.rpc is None or subprocess.run(probe, stderr=-3, env=clean).returncode:
        pytest.skip("needs the packages tritonclient[http,grpc] and gn2[serve]")
    source, out = tmp_path / "jets.npz", tmp_path / "found.npz"
    np.savez(source, jets=given.jets, tracks=given.tracks, offsets=given.offsets)
    script = pathlib.Path(__file__).with_name("triton_client.py")
    urls = [f"127.0.0.1:{port}" for port in (server.http, server.rpc)]
    subprocess.run([python, script, source, *urls, "m", out], check=True, env=clean)
    with np.load(out) as found:
        for kind in ("http", "grpc"):
            names = ("GN2_pb", "GN2_pc", "GN2_pu", "GN2_ptau")
            p = np.stack([found[f"{kind}.{name}"] for name in names], 1)
            assert (p == scores.probabilities).all()
            assert (found[f"{kind}.probabilities"] == scores.probabilities).all()
            assert (found[f"{kind}.D_b"] == scores["D_b"]).all()
            origin = scores["origin"].argmax(1)
            assert (found[f"{kind}.GN2_TrackOrigin"] == origin).all()
            assert (found[f"{kind}.GN2_VertexIndex"] == scores["vertex"]).all()


@pytest.mark.parametrize(
    "words, told",
    [
        ([], "no model"),
        (["nowhere.gn2"], "nowhere.gn2"),
        (["{path}=a/b"], "no '/'"),
        (["{path}", "train.epochs=3"], "no effect"),
    ],
)
def test_what_is_no_service(path, words, told):
    words = [word.format(path=path) for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "gn2", "serve", "--http", "0", *words],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert (
        done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr
    )


def test_a_port_that_is_taken(path, server):
    command = [sys.executable, "-m", "gn2", "serve", path, "--http", str(server.http)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "in use" in done.stderr
