# SPDX-License-Identifier: Apache-2.0
"""The service without a transport: calls, their answers, and what is no call."""

import ast
import json
import os
import re
import sys

import numpy as np
import pytest
from conftest import ROOT, SMALL, Sample
from serving import JET, NONE, changed, one_jet, replace, tensor, whole
from serving import path  # noqa: F401  fixture

import gn2
from gn2 import _processors, cli
from gn2.cli import serve
from gn2.serve import Limits, Problem, Service
from gn2.serve.protocol import Answer, Call, HttpCall, read_http, write_http

COUNTS = [3, 0, 7, 1, 40, 2]


@pytest.fixture(scope="module")
def service(path):
    limits = Limits(jets=50, tracks=100, jet_tracks=60)
    found = Service([(str(path), "m")], limits, threads=2, interval=0)
    yield found
    found.close()


@pytest.fixture(scope="module")
def given(path):
    return Sample(gn2.Model.load(path).inputs, COUNTS)


def ask(service, block, name="m", length=None, tail=b""):
    """The answer to a body, as JSON and bytes behind it."""
    body = block if isinstance(block, bytes) else json.dumps(block).encode() + tail
    asked = read_http(body, length, name, "")
    return write_http(asked, service.infer(asked.call))


def outputs(answer):
    return {o["name"]: o for o in json.loads(answer[0])["outputs"]}


def test_one_jet_is_what_the_tagger_finds_in_company(service, given, path):
    scores = gn2.Tagger(str(path)).tag(
        given.jets, given.ragged, outputs=["origin", "vertex"]
    )
    origins = given.split(scores["origin"].argmax(1))
    vertices = given.split(scores["vertex"])
    for b in range(len(COUNTS)):
        found = outputs(ask(service, {"inputs": one_jet(given, b)}))
        assert list(found) == [
            *(f"GN2_p{c}" for c in ("b", "c", "u", "tau")),
            "GN2_TrackOrigin",
            "GN2_VertexIndex",
        ]
        p = [found[n]["data"][0] for n in list(found)[:4]]
        assert (np.array(p, "f4") == scores.probabilities[b]).all()
        assert found["GN2_TrackOrigin"]["data"] == origins[b].tolist()
        assert found["GN2_VertexIndex"]["data"] == vertices[b].tolist()
        assert found["GN2_VertexIndex"]["datatype"] == "INT8"


def test_names_and_types_are_those_of_the_onnx_file(service, path, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    from gn2.onnx import export

    export(str(path), tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    graph = proto.graph
    words = {onnx.TensorProto.FLOAT: "FP32", onnx.TensorProto.INT8: "INT8"}
    found = service.metadata("m")
    assert found["properties"] == {p.key: p.value for p in proto.metadata_props}
    for ours, theirs in (
        (found["inputs"], graph.input),
        (found["outputs"], graph.output),
    ):
        assert [o["name"] for o in ours] == [t.name for t in theirs]
        kinds = [words[t.type.tensor_type.elem_type] for t in theirs]
        assert [o["datatype"] for o in ours] == kinds


def test_a_batch_and_outputs_on_request(service, given, path):
    scores = gn2.Tagger(str(path)).tag(given.jets, given.ragged, outputs=["D_b"])
    found = outputs(ask(service, {"inputs": whole(given)}))
    assert list(found) == ["probabilities"] and found["probabilities"]["shape"] == [
        6,
        4,
    ]
    p = np.array(found["probabilities"]["data"], "f4").reshape(6, 4)
    assert (p == scores.probabilities).all()
    block = {"inputs": whole(given), "outputs": [{"name": "D_b"}], "id": "q"}
    answer = ask(service, block, "m_batch")
    assert json.loads(answer[0])["id"] == "q"
    found = outputs(answer)
    assert (np.array(found["D_b"]["data"], "f4") == scores["D_b"]).all()


def test_bytes_both_ways(service, given):
    plain = outputs(ask(service, {"inputs": one_jet(given, 4)}))
    blocks, tail = [], b""
    for block in one_jet(given, 4):
        data = np.array(block.pop("data"), "<f4").tobytes()
        blocks.append({**block, "parameters": {"binary_data_size": len(data)}})
        tail += data
    names = ["GN2_VertexIndex", "GN2_pb"]
    asked = [{"name": n, "parameters": {"binary_data": n != "GN2_pb"}} for n in names]
    text = {"inputs": blocks, "outputs": asked}
    length = str(len(json.dumps(text)))
    body, size = ask(service, text, length=length, tail=tail)
    found = outputs((body[:size], None))
    assert list(found) == names and found["GN2_pb"]["data"] == plain["GN2_pb"]["data"]
    assert found["GN2_VertexIndex"]["parameters"] == {"binary_data_size": 40}
    assert list(np.frombuffer(body[size:], "i1")) == plain["GN2_VertexIndex"]["data"]
    text = {"inputs": blocks, "parameters": {"binary_data_output": True}}
    body, size = ask(service, text, length=str(len(json.dumps(text))), tail=tail)
    assert len(body) - size == 4 * 4 + 40 + 40


def batch(jets, rows, offsets):
    return {
        "inputs": [
            tensor("jets", np.zeros((jets, 2))),
            tensor("tracks", np.zeros((rows, 19))),
            {"name": "offsets", "datatype": "INT64", "shape": [len(offsets)]}
            | {"data": offsets},
        ]
    }


WRONG = {
    "no JSON": (b"{", "parse"),
    "no UTF-8": (b'{"inputs": "\xff"}', "parse"),
    "depth": (b"[" * 100_000, "parse"),
    "NaN": (b'{"inputs": [NaN]}', "NaN"),
    "long number": (b'{"inputs": ' + b"9" * 5000 + b"}", "parse"),
    "no object": (b"[]", "object"),
    "no inputs": ({}, "inputs"),
    "inputs of text": ({"inputs": "x"}, "inputs"),
    "input of text": ({"inputs": ["x"]}, "name"),
    "no name": ({"inputs": [{}]}, "name"),
    "no tracks": (
        {"inputs": [JET], "id": "9"},
        r"^\[request id: 9\] expected 2 inputs but got 1 inputs for model 'm'. Got "
        r"input\(s\) \['jet_features'\], but missing required input\(s\) "
        r"\['track_features'\]. Please provide all required input\(s\).$",
    ),
    "twice": ({"inputs": [JET, JET]}, "twice"),
    "unknown": ({"inputs": [{**JET, "name": "x"}]}, "unexpected inference input 'x'"),
    "type": (changed(datatype="FP64"), "'FP64', but model 'm' expects 'FP32'"),
    "no text": (changed(name="\ud800"), "input '.ud800' for model"),
    "long name": (changed(name="x" * 10**6), "^.{2000} …$"),
    "type of number": (changed(datatype=3), "datatype"),
    "rank": (changed(shape=[2]), r"Expected \[1,2\], got \[2\]"),
    "two jets": (changed(shape=[2, 2], data=[1] * 4), "Expected"),
    "negative": (changed(shape=[-1, 2]), "Expected"),
    "shape of text": (changed(shape=["1", 2]), "integers"),
    "shape of truth": (changed(shape=[True, 2]), "integers"),
    "few": (changed(data=[1]), "1 values, its shape needs 2"),
    "uneven": (changed(data=[[1], [2, 3]]), "unevenly"),
    "text": (changed(data=["1", "2"]), "must be numbers"),
    "null": (changed(data=[1, None]), "must be numbers"),
    "data no list": (changed(data=1), "data"),
    "beyond FP32": (changed(data=[1e300, 0]), "beyond FP32"),
    "infinite": (b'{"inputs": [1e999]}', "name"),
    "lying size": (
        {"inputs": [{**JET, "data": None, "parameters": {"binary_data_size": 8}}]},
        "both",
    ),
    "no bytes": (
        {
            "inputs": [
                {k: v for k, v in JET.items() if k != "data"}
                | {"parameters": {"binary_data_size": 8}}
            ]
        },
        "0 bytes are left",
    ),
    "output": (
        {**changed(), "outputs": [{"name": "x"}]},
        "unexpected inference output",
    ),
    "overflow": (
        {"inputs": [JET, {**NONE, "shape": [2**62, 19]}]},
        f"its shape needs {2**62 * 19}",
    ),
    "great shape": (changed(shape=[10**40, 2]), "Expected"),
    "far": (changed(data=[1e38, 0]), "standard deviations"),
    "offsets fall": (batch(3, 4, [0, 3, 2, 4]), "fall after jet 1"),
    "offsets wrap": (batch(3, 4, [0, 2**62, -(2**62), 4]), "fall after jet 1"),
    "few offsets": (batch(3, 4, [0, 4]), "3 jets need 4"),
    "offsets end": (batch(1, 4, [0, 3]), "must go from 0 to 4"),
    "offsets begin": (batch(1, 4, [1, 4]), "must go from 0 to 4"),
    "offsets of parts": (batch(1, 4, [0, 4.0]), "integers"),
    "offsets beyond": (batch(1, 4, [2**63, 2**63]), "beyond"),
    "jets": (batch(51, 0, [0] * 52), "51 jets in a call, the limit is 50"),
    "tracks": (batch(2, 101, [0, 50, 101]), "101 tracks in a call"),
    "a jet's tracks": (batch(1, 61, [0, 61]), "61 tracks in a jet, the limit is 60"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_call_is_told_of(service, name):
    block, words = WRONG[name]
    with pytest.raises(Problem, match=words) as caught:
        ask(service, block)
    assert caught.value.kind in ("invalid", "too large")
    assert ask(service, changed())  # and the next is answered


def test_headers_that_lie(service):
    text = json.dumps(changed()).encode()
    for length in ("x", "-1", "1e3", "9" * 30, str(len(text) + 1), "٣"):
        with pytest.raises(Problem, match="Inference-Header-Content-Length"):
            ask(service, text, length=length)
    with pytest.raises(Problem, match="3 bytes follow the JSON, the inputs take 0"):
        ask(service, text + b"xyz", length=str(len(text)))


def test_values_that_json_has_no_word_for():
    answer = Answer("m", "", {"D_b": np.array([1, np.inf], "f4")})
    for binary in (set(), {"D_b"}):
        asked = HttpCall(Call("m", "", "", [], ["D_b"]), frozenset(binary), False)
        if binary:
            body, size = write_http(asked, answer)
            assert np.frombuffer(body[size:], "<f4")[1] == np.inf
        else:
            with pytest.raises(Problem, match="ask for it with binary_data"):
                write_http(asked, answer)


def test_names_and_versions(service):
    assert service.metadata("m", "1") == service.metadata("m")
    for name, version in (("x", ""), ("m", "2"), ("m_batch_batch", ""), ("_batch", "")):
        with pytest.raises(Problem, match="is not found") as caught:
            service.find(name, version)
        assert caught.value.kind == "not found"


def test_what_the_network_makes_of_good_values_is_no_fault_of_the_client(
    tmp_path, caplog
):
    model = gn2.Model(SMALL)
    model["init_nets.0.net.net.0.weight"] = np.full_like(
        model["init_nets.0.net.net.0.weight"], 3e38
    )
    model.save(tmp_path / "m.gn2")
    found = Service([(str(tmp_path / "m.gn2"), "m")], Limits(), threads=1, interval=0)
    track = {**NONE, "shape": [1, 19], "data": [1.0] * 19}
    for pt, kind in ((1.0, "internal"), (1e38, "invalid")):
        caplog.clear()
        with pytest.raises(Problem) as caught:
            ask(found, {"inputs": [{**JET, "data": [pt, 0]}, track]})
        assert caught.value.kind == kind
        logged = "m: jet 0: what the network makes of it is not finite" in caplog.text
        assert logged == (kind == "internal")
    found.close()


def test_a_new_file_is_taken_up_and_a_broken_one_not(tmp_path, caplog):
    path = tmp_path / "m.gn2"
    models = [gn2.Model({**SMALL, "model.seed": s}).save_bytes() for s in (1, 2)]
    replace(path, models[0])
    service = Service([(str(path), "m")], threads=1, interval=0)
    served = service.models["m"]
    answers = [ask(service, changed())]
    assert not served.renew()
    replace(path, models[1])
    assert served.renew()
    answers.append(ask(service, changed()))
    assert answers[0] != answers[1]
    replace(path, models[0][:-100])
    assert not served.renew() and not served.renew()
    told = [r.message for r in caplog.records if "stays" in r.message]
    assert len(told) == 1 and str(path) in told[0]
    os.unlink(path)
    assert not served.renew()
    assert ask(service, changed()) == answers[1]
    replace(path, models[0])
    assert served.renew()
    assert ask(service, changed()) == answers[0]
    service.close()


def test_two_models_of_one_name_are_refused(path):
    with pytest.raises(gn2.InvalidArgument, match="two models are called 'GN2'"):
        Service([(str(path), ""), (str(path), "")], interval=0)


def test_processors_by_quota(tmp_path):
    place = tmp_path / "fs/pod/box"
    place.mkdir(parents=True)
    listed = tmp_path / "cgroup"
    listed.write_text("0::/pod/box\n")

    def found():
        return _processors.count(str(tmp_path / "fs"), str(listed))

    assert found() == len(os.sched_getaffinity(0))
    (place / "cpu.max").write_text("max 100000\n")
    assert found() == len(os.sched_getaffinity(0))
    (place.parent / "cpu.max").write_text("50000 100000\n")
    assert found() == 1
    listed.write_text("4:cpu,cpuacct:/pod\n")
    (tmp_path / "fs/cpu,cpuacct/pod").mkdir(parents=True)
    (tmp_path / "fs/cpu,cpuacct/pod/cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "fs/cpu,cpuacct/pod/cpu.cfs_period_us").write_text("100000\n")
    assert found() == 1


def test_limits_of_the_command():
    """Its defaults are those of Limits and of the doc; each option sets one."""
    parser = cli.parser()
    usual = serve._limits(parser.parse_args(["serve", "m.gn2"]))
    assert usual == Limits()
    text = (ROOT / "doc/serving.md").read_text(encoding="utf-8")
    for name, size, unit, _ in serve._LIMITS:
        option = f"--max-{name.replace('_', '-')}"
        value = f"{getattr(usual, name) // size}"
        shown = f"{int(value):,}" if len(value) > 4 else value
        assert f"| `{option}` | {shown}{unit} |" in text, option
        found = serve._limits(parser.parse_args(["serve", "m.gn2", option, "7"]))
        assert found == usual._replace(**{name: 7 * size})
    assert f"| `--timeout` | {usual.seconds:g} s |" in text
    assert set(Limits._fields) == {name for name, *_ in serve._LIMITS} | {"seconds"}


def test_packages_that_are_imported_are_asked_for():
    """By gn2[serve], each by its own name: others may not ask for it."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (block,) = re.findall(r"^serve = \[(.*?)^\]", text, flags=re.M | re.S)
    asked = set(re.findall(r'"([-\w]+)>=', block))
    names = {
        "google": "protobuf",
        "grpc": "grpcio",
        "open_inference": "open-inference-grpc",
        "prometheus_client": "prometheus-client",
    }
    files = (ROOT / "bindings/python/gn2/serve").glob("*.py")
    found = set()
    for tree in (ast.parse(path.read_text(encoding="utf-8")) for path in files):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    found -= {"numpy", *sys.stdlib_module_names}
    assert {names.get(name, name) for name in found} == asked
