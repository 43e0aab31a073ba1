# SPDX-License-Identifier: Apache-2.0
"""`gn2 serve` as a process, and what it is asked, for the tests of the service."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from conftest import SMALL

import gn2
from gn2._names import resolve

HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n"
LENGTH = "Inference-Header-Content-Length"
JET = {"name": "jet_features", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}
NONE = {"name": "track_features", "datatype": "FP32", "shape": [0, 19], "data": []}


def need_packages():
    """For files of tests that cannot do without."""
    for name in ("starlette", "uvicorn", "prometheus_client"):
        pytest.importorskip(name, reason=f"needs the package {name}: gn2[serve]")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The file of a small model."""
    out = tmp_path_factory.mktemp("serve") / "best.gn2"
    gn2.Model(SMALL).save(out)
    return out


# ---- what is asked ----


def read(file, model, count=None):
    """Sample's arrays, of the first jets of a file."""
    import h5py

    with h5py.File(file) as opened:
        jets, tracks = opened["jets"][:count], opened["tracks"][:count]
    valid = tracks["valid"].astype(bool)
    found = {"jets": jets, "tracks": tracks[valid]}
    for name, table in found.items():
        columns = resolve(model.inputs[name], table.dtype.names, name)
        found[name] = np.stack([table[column] for column in columns], -1).astype("f4")
    offsets = np.cumsum([0, *valid.sum(1)])
    return types.SimpleNamespace(**found, offsets=offsets)


def kind(values):
    """The protocol's word for a type."""
    return {"f": "FP32", "i": "INT64"}[values.dtype.kind]


def changed(**words):
    """A jet without tracks, its tensor changed."""
    return {"inputs": [{**JET, **words}, NONE]}


def tensor(name, values, **changes):
    values = np.asarray(values)
    block = {"name": name, "datatype": kind(values), "shape": list(values.shape)}
    return {**block, "data": values.tolist(), **changes}


def jet(sample, b):
    """Arrays of one jet by the names of the protocol, of Sample's."""
    own = sample.offsets[b : b + 2]
    return {
        "jet_features": sample.jets[b : b + 1],
        "track_features": sample.tracks[own[0] : own[1]],
    }


def batch(sample, begin, end):
    """The same of several."""
    own = sample.offsets[begin : end + 1]
    return {
        "jets": sample.jets[begin:end],
        "tracks": sample.tracks[own[0] : own[-1]],
        "offsets": own - own[0],
    }


def one_jet(sample, b):
    return [tensor(*pair) for pair in jet(sample, b).items()]


def whole(sample):
    return [tensor(*pair) for pair in batch(sample, 0, len(sample.jets)).items()]


def binary(arrays, **more):
    """(body, headers) of a request whose tensors are bytes behind the JSON."""
    blocks = [
        {k: v for k, v in tensor(name, values).items() if k != "data"}
        | {"parameters": {"binary_data_size": values.nbytes}}
        for name, values in arrays.items()
    ]
    text = json.dumps({"inputs": blocks, **more}).encode()
    body = b"".join([text, *(values.tobytes() for values in arrays.values())])
    return body, {LENGTH: str(len(text))}


def posted(body, headers={}):
    """A request of HTTP to infer, as bytes."""
    headers = {**headers, "Content-Length": len(body)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return HEAD + f"{lines}\r\n".encode() + body


def message(pb, arrays, raw=True, **fields):
    """A ModelInferRequest, of messages that come with `pb`."""
    out = pb.ModelInferRequest(model_name="m", **fields)
    for name, values in arrays.items():
        one = out.inputs.add(name=name, datatype=kind(values), shape=values.shape)
        if raw:
            out.raw_input_contents.append(values.tobytes())
        elif values.dtype.kind == "i":
            one.contents.int64_contents.extend(values.reshape(-1).tolist())
        else:
            one.contents.fp32_contents.extend(values.reshape(-1).tolist())
    return out


# ---- who is asked ----


def replace(path, data):
    scratch = path.with_suffix(".new")
    scratch.write_bytes(data)
    os.replace(scratch, path)


def rpc_words():
    """Words of the command that make it listen to gRPC, if it can."""
    try:
        import grpc  # noqa: F401
        import open_inference.grpc  # noqa: F401
    except ImportError:
        return []
    return ["--grpc", 0]


class Server:
    """The command, and where it listens."""

    def __init__(self, *words):
        command = [sys.executable, "-m", "gn2", "serve", "--http", "0"]
        self.process = subprocess.Popen(
            [*command, *map(str, words)], stderr=subprocess.PIPE, text=True
        )
        self.log, self.rpc, self.http = [], None, None
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"(HTTP|gRPC) on 127.0.0.1:(\d+)", line)
            if found and found[1] == "HTTP":
                self.http = int(found[2])
                break
            if found:
                self.rpc = int(found[2])
        assert self.http, "".join(self.log)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)

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

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.http), timeout=30)

    def send(self, text):
        """Bytes as they are; what comes back until the server hangs up."""
        with self.connect() as link:
            link.sendall(text)
            parts = []
            while part := link.recv(65536):
                parts.append(part)
        return b"".join(parts)

    def metrics(self):
        """{(name, values of labels by their names): value}"""
        from prometheus_client.parser import text_string_to_metric_families as parse

        status, _, body = self.ask("/metrics")
        assert status == 200
        found = {}
        for family in parse(body.decode()):
            for s in family.samples:
                found[(s.name, *(v for _, v in sorted(s.labels.items())))] = s.value
        return found

    def need_rpc(self):
        """The port of gRPC."""
        if self.rpc is None:
            pytest.skip("needs the packages grpcio and open-inference-grpc: gn2[serve]")
        return self.rpc

    def files(self):
        """Open files of the process."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def running(*words):
    """A server, which must end well."""
    found = Server(*words)
    yield found
    assert found.stop() == 0, "".join(found.log)
    assert not [line for line in found.log if "Traceback" in line]


def probabilities(model, jets, tracks=None):
    """Bytes of the scores of jets."""
    with gn2.Tagger(model) as tagger:
        return tagger.tag(np.asarray(jets, "f4"), tracks).probabilities.tobytes()
