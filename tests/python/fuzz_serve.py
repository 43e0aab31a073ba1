# SPDX-License-Identifier: Apache-2.0
"""Requests at random to both front ends of `gn2 serve`.

    fuzz_serve.py SEED SECONDS [HTTP_PORT GRPC_PORT PID]

Without ports it starts a server. What comes back must be an answer or an error of the
protocol, never a defect; among them right calls are asked, whose answers must stay the
same to the bit. Prints how often each code came, and the server's memory and files.
"""

import collections
import http.client
import json
import os
import pathlib
import random
import socket
import sys
import tempfile
import time

import numpy as np
from conftest import SMALL
from serving import LENGTH, Server, kind, message, tensor

import gn2

SEED, SECONDS = int(sys.argv[1]), float(sys.argv[2])
R = random.Random(SEED)
WAIT = 20  #: seconds for any answer
MODEL = "/v2/models/m"
ODD = [
    *(
        None,
        True,
        False,
        -1,
        0,
        1,
        2,
        3,
        2**31,
        2**63,
        -(2**63),
        2**64,
        10**400,
    ),
    *(1e308, 1e39, -0.0, "", "x", "FP32", "INT64", "BYTES", [], {}, [[]]),
    *([[1, 2], [3]], [None], {"a": 1}, "\ud800", "\0", [1, [2]], [True, 2.5]),
    *([2**63, 1.5], [1e5, 0.1, "3"]),
]
KEYS = ["parameters", "data", "shape", "outputs", "id", "name", "datatype", "inputs"]
KEYS += ["binary_data_size", "binary_data", "binary_data_output"]
OUTPUTS = ["GN2_pb", "GN2_VertexIndex", "D_b", "probabilities", "embedding", "origin"]
GOOD_HTTP = {200, 400, 404, 405, 408, 411, 413, 414, 415, 431, 501, 503, 505}
GOOD_GRPC = {
    *("OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "UNAVAILABLE"),
    *("RESOURCE_EXHAUSTED", "CANCELLED"),
}


def tensors():
    """Right inputs: one jet, or several."""
    rows = R.choice([0, 1, 3, 40])
    if R.random() < 0.5:
        shapes = {"jet_features": (1, 2), "track_features": (rows, 19)}
    else:
        shapes = {"jets": (2, 2), "tracks": (rows, 19)}
    found = {n: np.full(s, R.choice([0, 0.5, 1e5]), "f4") for n, s in shapes.items()}
    if "jets" in found:
        found["offsets"] = np.array([0, R.randrange(rows + 1), rows], "i8")
    return found


def mutated(x, depth=0):
    """A structure of JSON with some of it replaced, dropped or added."""
    if R.random() < 0.06:
        return R.choice(ODD)
    if isinstance(x, dict):
        out = {k: mutated(v, depth + 1) for k, v in x.items()}
        if out and R.random() < 0.05:
            out.pop(R.choice(list(out)))
        if R.random() < 0.05:
            out[R.choice(KEYS)] = R.choice(ODD)
        return out
    if isinstance(x, list) and len(x) < 20:
        out = [mutated(v, depth + 1) for v in x]
        return out + [R.choice(ODD)] if R.random() < 0.05 else out
    return x


def damaged(data):
    """Bytes with some of them others, gone or doubled."""
    out = bytearray(data)
    for _ in range(R.choice([1, 1, 3, 10])):
        if not out:
            break
        at = R.randrange(len(out))
        what = R.random()
        if what < 0.6:
            out[at] = R.randrange(256)
        elif what < 0.8:
            del out[at : at + R.randrange(1, 30)]
        else:
            out[at:at] = out[at : at + R.randrange(1, 30)]
    return bytes(out)


def request():
    """(JSON, bytes behind it) of a call to infer, right so far."""
    blocks, tail = [], []
    for name, values in tensors().items():
        block = {"name": name, "datatype": kind(values), "shape": list(values.shape)}
        if R.random() < 0.5:
            block["data"] = values.tolist()
        else:
            block["parameters"] = {"binary_data_size": values.nbytes}
            tail.append(values.tobytes())
        blocks.append(block)
    text = {"inputs": blocks}
    if R.random() < 0.4:
        wish = {"binary_data": R.random() < 0.5}
        names = R.sample(OUTPUTS, R.choice([1, 2]))
        text["outputs"] = [{"name": n, "parameters": wish} for n in names]
    if R.random() < 0.3:
        text["parameters"] = {"binary_data_output": True}
    return text, b"".join(tail)


def body():
    """(body, headers) with none to several faults."""
    text, tail = request()
    for _ in range(R.choice([0, 1, 1, 2])):
        text = mutated(text)
    data = json.dumps(text).encode("utf-8", "surrogatepass")
    headers = {}
    if tail or R.random() < 0.1:
        headers[LENGTH] = str(len(data))
    if R.random() < 0.1:
        odd = [len(data) + 9, 0, -1, "", "x", "9" * 40, "1e3", " 3 "]
        headers[LENGTH] = str(R.choice(odd))
    if R.random() < 0.1:
        tail = damaged(tail)
    if R.random() < 0.1:
        data = damaged(data)
    if R.random() < 0.05:
        name = R.choice(["Content-Type", "Content-Encoding", "Accept", "X-" + "a" * 99])
        headers[name] = R.choice(["gzip", "identity", "x" * 5000, "*/*"])
    return data + tail, headers


def head(data, headers):
    lines = [f"POST {path()} HTTP/1.1", "Host: x"]
    lines += [f"{k}: {v}" for k, v in headers.items()]
    lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join([*lines, "", ""]).encode()


def path():
    if R.random() < 0.8:
        return f"{MODEL}{R.choice(['', '', '/versions/1', '_batch'])}/infer"
    parts = ["v2", "models", "m", "infer", "versions", "1", "health", "ready", "%00"]
    parts += ["metrics", "..", "%ff", "\x7f", "a" * 300, "", "m_batch", "?x=1"]
    return "/" + "/".join(R.choice(parts) for _ in range(R.randrange(6)))


# ---- front ends: each returns a code ----


class Http:
    def __init__(self, port):
        self.port = port

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT)

    def answered(self, text, method="POST"):
        """The code of the first answer to bytes; none: hung up without."""
        with self.connect() as link:
            try:
                link.sendall(text)
                answer = http.client.HTTPResponse(link, method=method)
                answer.begin()
                answer.read()
            except (ConnectionError, http.client.BadStatusLine):
                return "closed"
            return answer.status

    def structured(self):
        data, headers = body()
        return self.answered(head(data, headers) + data)

    def other_path(self):
        method = R.choice(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "x y"])
        text = f"{method} {path()} HTTP/1.{R.choice([0, 1])}\r\nHost: x\r\n\r\n"
        return self.answered(text.encode("latin1"), method)

    def raw(self):
        """Faults in the request line, headers and lengths."""
        data, headers = body()
        text = head(data, headers)
        if R.random() < 0.5:
            text = damaged(text)
        if R.random() < 0.3:
            chunk = R.choice(
                [b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"-1\r\n", b"0\r\n\r\n"]
            )
            text = text.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nX")
            data = chunk
        with self.connect() as link:
            # what may be half a request: hang up, and see what came
            link.sendall(text + data)
            link.shutdown(socket.SHUT_WR)
            try:
                first = link.recv(20)
            except ConnectionError:
                return "closed"
            return int(first.split()[1]) if first else "closed"

    def leaving(self):
        data, headers = body()
        text = head(data, headers) + data
        with self.connect() as link:
            link.sendall(text[: R.randrange(len(text) + 1)])
        return "left"

    def pipelined(self):
        data, headers = body()
        text = head(data, headers) + data
        return self.answered(text * R.choice([2, 3, 10]))


class Grpc:
    def __init__(self, port):
        import grpc
        from open_inference.grpc import protocol

        self.grpc, self.pb, self.port = grpc, protocol, port
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def call(self, data, name="ModelInfer", timeout=WAIT):
        method = self.channel.unary_unary(f"/inference.GRPCInferenceService/{name}")
        try:
            method(data, timeout=timeout)
        except self.grpc.RpcError as problem:
            return problem.code().name
        return "OK"

    def message(self):
        words = {"id": R.choice(["", "7", "é"]), "raw": R.random() < 0.5}
        out = message(self.pb, tensors(), **words)
        if R.random() < 0.4:
            out.outputs.add(name=R.choice(OUTPUTS))
        return out

    def changed(self):
        """A message with faults in its fields."""
        out = self.message()
        one = R.choice(out.inputs)
        what = R.randrange(9)
        if what == 0:
            one.shape[:] = [
                R.choice([-1, 0, 1, 2**31, 2**62, -(2**63)]) for _ in "ab"
            ]
        elif what == 1:
            one.datatype = R.choice(["BYTES", "FP16", "INT8", "", "x" * 1000])
        elif what == 2:
            one.name = R.choice(["", "x", "jets", "track_features"])
        elif what == 3 and out.raw_input_contents:
            k = R.randrange(len(out.raw_input_contents))
            out.raw_input_contents[k] = damaged(out.raw_input_contents[k])
        elif what == 4:
            out.raw_input_contents.append(b"1234")
        elif what == 5:
            one.contents.bytes_contents.append(b"x")
        elif what == 6:
            out.model_version = R.choice(["1", "2", "x", "-1"])
        elif what == 7:
            out.outputs.add(name=R.choice(["x", "", "pairs"]))
        else:
            del out.inputs[R.randrange(len(out.inputs))]
        return self.call(out.SerializeToString())

    def bytes(self):
        return self.call(damaged(self.message().SerializeToString()))

    def other_method(self):
        names = ["ServerLive", "ModelReady", "ModelMetadata", "ServerMetadata", "x"]
        name = R.choice([*names, "ModelStreamInfer", "RepositoryIndex"])
        return self.call(R.randbytes(R.randrange(20)), name)

    def leaving(self):
        return self.call(self.message().SerializeToString(), timeout=1e-3) and "left"

    def raw(self):
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT) as link:
            try:
                link.sendall(R.choice([b"", preface]) + R.randbytes(R.randrange(200)))
            except ConnectionError:
                pass
        return "left"


def right(ends):
    """Answers to right calls, as bytes."""
    found = []
    jet, tracks = np.full((1, 2), 0.5, "f4"), np.full((3, 19), 0.25, "f4")
    given = {"jet_features": jet, "track_features": tracks}
    for end in ends:
        if isinstance(end, Http):
            blocks = [tensor(*pair) for pair in given.items()]
            link = http.client.HTTPConnection("127.0.0.1", end.port, timeout=WAIT)
            link.request("POST", f"{MODEL}/infer", json.dumps({"inputs": blocks}))
            outputs = json.loads(link.getresponse().read())["outputs"]
            link.close()
            found.append(np.array([o["data"][0] for o in outputs[:4]], "f4").tobytes())
        else:
            method = end.channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                response_deserializer=end.pb.ModelInferResponse.FromString,
            )
            asked = message(end.pb, given).SerializeToString()
            answer = method(asked, timeout=WAIT)
            found.append(b"".join(answer.raw_output_contents[:4]))
    return found


def state(pid):
    """(MiB of memory, open files) of the server."""
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20, len(os.listdir(f"/proc/{pid}/fd"))


def run(ports, pid):
    ends = [Http(ports[0])] + ([Grpc(ports[1])] if ports[1] else [])
    attacks = [
        getattr(end, name)
        for end in ends
        for name in vars(type(end))
        if name
        in ("structured", "other_path", "raw", "leaving", "pipelined")
        + ("changed", "bytes", "other_method")
    ]
    wanted, codes = right(ends), collections.Counter()
    begin, end = state(pid), time.monotonic() + SECONDS
    tell, bad = time.monotonic() + 60, []
    while time.monotonic() < end and not bad:
        attack = R.choice(attacks)
        where = type(attack.__self__).__name__
        code = attack()
        codes[f"{where} {code}"] += 1
        known = GOOD_HTTP if where == "Http" else GOOD_GRPC
        if code not in known | {"closed", "left"}:
            bad.append(f"{where}.{attack.__name__}: {code}")
        if sum(codes.values()) % 200 == 0 and right(ends) != wanted:
            bad.append("the answer to a right call has changed")
        if time.monotonic() > tell:
            tell += 60
            print(sum(codes.values()), *state(pid), flush=True)
    if right(ends) != wanted:
        bad.append("the answer to a right call has changed")
    print(dict(sorted(codes.items())), "MiB and files:", begin, state(pid), *bad)
    return bool(bad)


def main():
    if len(sys.argv) > 3:
        http_port, grpc_port, pid = map(int, sys.argv[3:])
        return run((http_port, grpc_port), pid)
    with tempfile.TemporaryDirectory() as folder:
        gn2.Model(SMALL).save(f"{folder}/m.gn2")
        server = Server(f"{folder}/m.gn2=m", "--grpc", 0, "--max-body", 1)
        bad = run((server.http, server.rpc), server.process.pid)
        bad |= server.stop() != 0
        traced = [line for line in server.log if "Traceback" in line]
        if traced:
            print("".join(server.log[-60:]))
        return bad or bool(traced)


if __name__ == "__main__":
    sys.exit(main())
