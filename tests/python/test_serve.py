# SPDX-License-Identifier: Apache-2.0
"""`gn2 serve` as a process, asked over HTTP and gRPC.

GN2_TRITON_PYTHON names an interpreter that has clients of others, if this one has not:
a process can have only one copy of the protocol's messages.
"""

import hashlib
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, SMALL, Sample
from prometheus import promtool
from serving import LENGTH, Server, binary, changed, jet, message, need_packages
from serving import one_jet, read, rpc_words, running, whole

import gn2

need_packages()

NORM = {"norm.jets.mean": [1, 2], "norm.jets.std": [2, 4]}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    out = tmp_path_factory.mktemp("serve") / "best.gn2"
    gn2.Model({**SMALL, **NORM}).save(out)
    return out


@pytest.fixture(scope="module")
def server(path):
    words = [*rpc_words(), "--max-body", 1, "--drain", 0, "--timeout", 2]
    with running(f"{path}=m", *words) as found:
        yield found


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
    body, head = binary(jet(given, 2), parameters={"binary_data_output": True})
    status, headers, body = server.ask("/v2/models/m/infer", body, head)
    size = int(headers[LENGTH])
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


SAMPLE = ROOT / "examples" / "data"


@pytest.fixture(scope="module")
def sample():
    """(model normalised by the training sample, arrays of the test sample)"""
    pytest.importorskip("h5py", reason="needs the package h5py")
    with gn2.Dataset(SAMPLE / "jets_train.h5") as train:
        model = gn2.Model(train.setup({**train.config, **SMALL}))
    return model, vars(read(SAMPLE / "jets_test.h5", model))


def drifting(page, model):
    """Inputs that the alarm of doc/serving.md is raised for."""
    figures = {"gn2_input_mean": 0, "gn2_input_width": 1}
    found = [
        (key[3], key[1])  # labels in the order of their names: input, model, object
        for key, value in page.items()
        if key[0] in figures and key[2] == model and abs(value - figures[key[0]]) > 0.1
    ]
    return set(found)


def test_metrics_show_a_wrong_column(sample, tmp_path):
    model, arrays = sample
    path = tmp_path / "m.gn2"
    model.save(path)
    inputs = [(k, n) for k, names in model.inputs.items() for n in names]
    wrong = {f"wrong{i}": inputs[i] for i in (0, 1, 2, 7, 20)}
    words = [f"{path}={name}" for name in ("good", *wrong)]
    server = Server(*words, "--drain", 0)
    server.infer(changed(), "nobody")
    for name in ("good", *wrong):
        given = dict(arrays)
        if name in wrong:
            kind, column = wrong[name]
            scale = np.ones(len(model.inputs[kind]), "f4")
            scale[model.inputs[kind].index(column)] = 1.2
            given[kind] = given[kind] * scale
        body, head = binary(given)
        assert server.ask(f"/v2/models/{name}/infer", body, head)[0] == 200
    page = server.metrics()
    for kind, column in inputs:
        where = (column, "good", kind)
        assert abs(page[("gn2_input_mean", *where)]) < 0.05
        assert page[("gn2_input_nonfinite_ratio", *where)] == 0
        assert page[("gn2_input_far_ratio", *where)] == 0
    assert drifting(page, "good") == set()
    for name, (kind, column) in wrong.items():
        assert drifting(page, name) == {(kind, column)}
    jets = len(arrays["jets"])
    assert page[("gn2_input_rows", "good", "tracks")] == len(arrays["tracks"])
    assert page[("gn2_jets_total", "good")] == page[("gn2_input_rows", "good", "jets")]
    shares = [v for k, v in page.items() if k[0] == "gn2_flavour_ratio"]
    assert abs(sum(shares) - 1 - len(wrong)) < 1e-9
    assert page[("gn2_jets_total", "good")] == jets
    assert ("gn2_discriminant_quantile", "D_b", "good", "0.5") in page
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert page[("gn2_model_info", "good", digest)] == 1
    assert page[("gn2_requests_total", "not found", "http")] == 1
    assert page[("gn2_requests_total", "ok", "http")] == 1 + len(wrong)
    assert server.stop() == 0


def test_metrics_of_values_that_are_refused(path):
    names = gn2.Model.load(path).inputs["jets"]
    server = Server(f"{path}=m", "--drain", 0)
    jets = np.ones((10, 2), "f4")
    for row, value in ((3, np.nan), (5, np.inf), (6, 1e20)):
        given = jets.copy()
        given[row, 1] = value
        arrays = {"jets": given, "tracks": np.zeros((0, 19), "f4")}
        body, head = binary(arrays | {"offsets": np.zeros(11, "i8")})
        status, _, text = server.ask("/v2/models/m/infer", body, head)
        assert status == 400 and f"jet {row}: '{names[1]}'" in json.loads(text)["error"]
    page = server.metrics()
    assert page[("gn2_input_nonfinite_ratio", names[1], "m", "jets")] == 2 / 30
    assert page[("gn2_input_far_ratio", names[1], "m", "jets")] == 1 / 30
    assert page[("gn2_input_mean", names[1], "m", "jets")] == (1 - 2) / 4  # NORM
    assert page[("gn2_input_nonfinite_ratio", names[0], "m", "jets")] == 0
    assert page[("gn2_refused_jets_total", "m")] == 30
    assert ("gn2_jets_total", "m") not in page
    assert server.stop() == 0


def test_promtool_takes_the_page(server):
    assert server.infer(changed())[0] == 200
    assert server.infer(changed(data=[1e30, 1]))[0] == 400
    text = server.ask("/metrics")[2].decode()
    assert "\ngn2_refused_jets_total{" in text and "\ngn2_discriminant_q" in text
    promtool("check", "metrics", text=text)


def test_options_as_of_gn2_tag(path, given):
    """What the model says is other where the command says so."""
    bad = given.jets[:1].copy()
    bad[0, 1] = np.nan
    words = ["input.non_finite=default", "discriminant.D_b.f_c=0.3"]
    server = Server(f"{path}=m", *words, "--drain", 0)
    offsets = np.zeros(2, "i8")
    arrays = {"jets": bad, "tracks": np.zeros((0, 19), "f4"), "offsets": offsets}
    body, head = binary(arrays, outputs=[{"name": "D_b"}])
    status, _, text = server.ask("/v2/models/m/infer", body, head)
    own = gn2.Model.load(path)
    config = own.config
    config.update({"input.non_finite": "default", "discriminant.D_b.f_c": 0.3})
    model = gn2.Model(config)
    for name in own.params:
        model[name] = own[name]
    with gn2.Tagger(model) as tagger:
        wanted = tagger.tag(bad, (arrays["tracks"], offsets), outputs="D_b")["D_b"]
    assert status == 200
    assert np.float32(json.loads(text)["outputs"][0]["data"][0]) == wanted[0]
    assert server.metrics()[("gn2_input_nonfinite_ratio", "eta_btagJes", "m", "jets")]
    assert server.stop() == 0


@pytest.fixture(scope="module")
def stub(server):
    """(messages, calls) of gRPC."""
    port = server.need_rpc()
    import grpc
    from open_inference.grpc import protocol, service

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield protocol, service.GRPCInferenceServiceStub(channel)


@pytest.mark.parametrize("raw", [True, False])
def test_jets_over_grpc(stub, given, scores, raw):
    pb, calls = stub
    for b in range(4):
        found = calls.ModelInfer(message(pb, jet(given, b), raw, id="7"))
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
    bad = message(pb, jet(given, 0))
    bad.raw_input_contents[0] = b"123"
    few = message(pb, jet(given, 0))
    del few.raw_input_contents[1]
    far = message(pb, jet(given, 0))
    far.inputs[1].shape[:] = [2**62, 19]
    text = message(pb, jet(given, 0), raw=False)
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
            data = message(pb, jet(given, 0)).SerializeToString()[:-size]
            for wrong in (data, rng.bytes(size)):
                with pytest.raises(grpc.RpcError) as caught:
                    call(wrong)
                assert caught.value.code().name in ("INVALID_ARGUMENT", "NOT_FOUND")
    with socket.create_connection(("127.0.0.1", server.rpc)) as link:
        link.sendall(b"no HTTP/2\r\n\r\n")
    assert calls.ModelInfer(message(pb, jet(given, 0), id="7")).id == "7"


@pytest.mark.parametrize("way", ["http", "json", "grpc", "athena", "openapi"])
def test_clients_of_others(server, given, scores, tmp_path, way):
    python = os.environ.get("GN2_TRITON_PYTHON", sys.executable)
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    modules = {"openapi": "open_inference.openapi", "http": "tritonclient.http"}
    modules["json"] = modules["http"]
    probe = [python, "-c", f"import {modules.get(way, 'tritonclient.grpc')}"]
    if server.rpc is None or subprocess.run(probe, stderr=-3, env=clean).returncode:
        pytest.skip(
            "needs the packages gn2[serve], tritonclient[http,grpc] and "
            "open-inference-openapi, the last two of GN2_TRITON_PYTHON"
        )
    source, out = tmp_path / "jets.npz", tmp_path / "found.npz"
    np.savez(source, jets=given.jets, tracks=given.tracks, offsets=given.offsets)
    script = pathlib.Path(__file__).with_name("triton_client.py")
    urls = [f"127.0.0.1:{port}" for port in (server.http, server.rpc)]
    command = [python, script, way, source, *urls, "m", out]
    subprocess.run(command, check=True, env=clean)
    with np.load(out) as found:
        names = ("GN2_pb", "GN2_pc", "GN2_pu", "GN2_ptau")
        p = np.stack([found[name] for name in names], 1)
        assert (p == scores.probabilities).all()
        assert (found["GN2_TrackOrigin"] == scores["origin"].argmax(1)).all()
        assert (found["GN2_VertexIndex"] == scores["vertex"]).all()
        if way not in ("athena", "openapi"):
            assert (found["batch.probabilities"] == scores.probabilities).all()
            assert (found["batch.D_b"] == scores["D_b"]).all()


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


def test_a_file_that_is_no_model_is_named(tmp_path, capsys):
    from gn2.cli import main

    need_packages()
    path = tmp_path / "jets.h5"
    path.write_bytes(b"no model")
    assert main(["serve", str(path)]) == 1
    assert f"{path}': not a .gn2 file" in capsys.readouterr().err
