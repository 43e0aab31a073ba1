# SPDX-License-Identifier: Apache-2.0
"""`gn2 serve` as a process, and what it is asked, for the tests of the service."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import numpy as np

import gn2

HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n"
LENGTH = "Inference-Header-Content-Length"
JET = {"name": "jet_features", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}
NONE = {"name": "track_features", "datatype": "FP32", "shape": [0, 19], "data": []}


def changed(**words):
    """A jet without tracks, its tensor changed."""
    return {"inputs": [{**JET, **words}, NONE]}


def tensor(name, values, **changes):
    values = np.asarray(values)
    kind = {"f": "FP32", "i": "INT64"}[values.dtype.kind]
    block = {"name": name, "datatype": kind, "shape": list(values.shape)}
    return {**block, "data": values.tolist(), **changes}


def one_jet(sample, b):
    rows = sample.split()[b]
    return [
        tensor("jet_features", sample.jets[b : b + 1]),
        tensor("track_features", rows),
    ]


def whole(sample):
    return [
        tensor("jets", sample.jets),
        tensor("tracks", sample.tracks),
        tensor("offsets", sample.offsets),
    ]


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


def replace(path, data):
    scratch = path.with_suffix(".new")
    scratch.write_bytes(data)
    os.replace(scratch, path)


def there(*names):
    try:
        for name in names:
            __import__(name)
    except ImportError:
        return False
    return True


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

    def files(self):
        """Open files of the process."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def probabilities(model, jets, tracks=None):
    """Bytes of the scores of jets."""
    with gn2.Tagger(model) as tagger:
        return tagger.tag(np.asarray(jets, "f4"), tracks).probabilities.tobytes()
