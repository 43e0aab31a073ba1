# SPDX-License-Identifier: Apache-2.0
"""Figures of `gn2 serve` as found on this machine: server and clients share it.

    serve_load.py MODEL JETS.h5 [SECONDS] [OPTION OF gn2 serve …]

One jet a call at 1, 8 and 64 clients (threads of a process), batches of 1000 at 1 and
2, over gRPC (raw contents) and HTTP (binary tensors, for batches also JSON). Requests
are made beforehand. Beside them Tagger.tag in this process and `gn2 tag`.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import h5py
import numpy as np
from open_inference.grpc import protocol as pb

import gn2
from gn2._names import resolve

CLIENTS, BATCH, COUNT = (1, 8, 64), 1000, 5000
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def read(path, model, count=COUNT):
    with h5py.File(path) as file:
        jets, tracks = file["jets"][:count], file["tracks"][:count]
    valid = tracks["valid"].astype(bool)
    ends = np.concatenate([[0], np.cumsum(valid.sum(1))]).astype("i8")
    return columns(jets, model, "jets"), columns(tracks[valid], model, "tracks"), ends


def columns(table, model, kind):
    names = resolve(model.inputs[kind], table.dtype.names, kind)
    return np.stack([table[name] for name in names], -1).astype("f4")


def one(data, b):
    jets, tracks, ends = data
    rows = tracks[ends[b] : ends[b + 1]]
    return {"jet_features": jets[b : b + 1], "track_features": rows}


def many(data, b):
    jets, tracks, ends = data
    own = ends[b : b + BATCH + 1]
    return {
        "jets": jets[b : b + BATCH],
        "tracks": tracks[own[0] : own[-1]],
        "offsets": own - own[0],
    }


def described(name, values):
    kind = "INT64" if values.dtype.kind == "i" else "FP32"
    return {"name": name, "datatype": kind, "shape": list(values.shape)}


# ---- requests as bytes, and who sends them ----


def http_request(tensors, binary=True):
    blocks = [described(n, v) for n, v in tensors.items()]
    text, head, tail = {"inputs": blocks}, "", b""
    for block, values in zip(blocks, tensors.values()):
        if binary:
            block["parameters"] = {"binary_data_size": values.nbytes}
            tail += values.tobytes()
        else:
            block["data"] = values.reshape(-1).tolist()
    if binary:
        text["parameters"] = {"binary_data_output": True}
    body = json.dumps(text).encode()
    if binary:
        head = f"Inference-Header-Content-Length: {len(body)}\r\n"
    body += tail
    head = f"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n{head}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def json_request(tensors):
    return http_request(tensors, binary=False)


def grpc_request(tensors):
    message = pb.ModelInferRequest(model_name="m")
    for name, values in tensors.items():
        message.inputs.add(**described(name, values))
        message.raw_input_contents.append(values.tobytes())
    return message.SerializeToString()


def over_http(port):
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(request):
        link.sendall(request)
        answer = link.recv(1 << 16)
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += link.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 200"), answer[:300]
        left = int(LENGTH.search(answer)[1]) - (len(answer) - end - 4)
        while left > 0:
            left -= len(link.recv(1 << 20))

    return ask


def over_grpc(port):
    size = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", size)
    return channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")


def load(make, port, requests, clients, seconds):
    """(calls a second, median and 99 % of their milliseconds)"""
    found, end = [], time.perf_counter() + seconds

    def work(b):
        ask = make(port)
        while (start := time.perf_counter()) < end:
            ask(requests[b % len(requests)])
            found.append(time.perf_counter() - start)
            b += clients

    threads = [threading.Thread(target=work, args=(k,)) for k in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(found) / (time.perf_counter() - start)
    return rate, *np.quantile(found, [0.5, 0.99]) * 1000


# ---- the library beside it ----


def alone(model, inputs, seconds, threads):
    """Jets a second of Tagger.tag."""
    with gn2.Tagger(model, threads=threads) as tagger:
        count, done, start = 0, 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            rows = list(inputs[count % len(inputs)].values())
            ends = rows[2] if len(rows) > 2 else np.array([0, len(rows[1])])
            tagger.tag(rows[0], (rows[1], ends))
            count, done = count + 1, done + len(rows[0])
        return done / (time.perf_counter() - start)


def gn2_tag(path, source):
    """Jets a second that `gn2 tag` tells, from file to file."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "gn2", "tag", path, source, "-q"]
        command += ["-o", f"{folder}/scores.h5"]
        done = subprocess.run(command, stderr=-1, text=True, check=True)
    jets, seconds = re.search(r"([\d,]+) jets in ([\d.]+) s", done.stderr).groups()
    return int(jets.replace(",", "")) / float(seconds)


class Server:
    """The command; its ports, and processor time."""

    def __init__(self, path, words):
        command = [sys.executable, "-m", "gn2", "serve", f"{path}=m", "--drain", "0"]
        command += ["--http", "0", "--grpc", "0", *words]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.ports = {}
        while len(self.ports) < 2:
            line = self.process.stderr.readline()
            found = re.search(r"(HTTP|gRPC) on .*?:(\d+)", line)
            self.ports.update({found[1]: int(found[2])} if found else {})

    def seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            words = file.read().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait()


WAYS = (
    ("gRPC", "gRPC", over_grpc, grpc_request),
    ("HTTP", "HTTP", over_http, http_request),
    ("JSON", "HTTP", over_http, json_request),
)


def main():
    path, source, *words = sys.argv[1:]
    seconds = float(words.pop(0)) if words and words[0][0] != "-" else 5.0
    model = gn2.Model.load(path)
    data = read(source, model)
    singles = [one(data, b) for b in range(len(data[0]))]
    batches = [many(data, b) for b in range(0, len(data[0]) - BATCH + 1, BATCH)]
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    print(f"gn2 tag: {gn2_tag(path, source):.0f} jets/s")
    server = Server(path, words)
    try:
        for inputs, counts in ((singles, CLIENTS), (batches, (1, 2))):
            jets = len(next(iter(inputs[0].values())))
            for threads in (1, 0):
                rate = alone(model, inputs, seconds, threads)
                print(
                    f"{jets:5} jets, Tagger.tag, threads={threads}: {rate:.0f} jets/s"
                )
            for way, port, make, request in WAYS[: 2 if jets == 1 else 3]:
                requests = [request(tensors) for tensors in inputs]
                for clients in counts:
                    before = server.seconds()
                    rate, *times = load(
                        make, server.ports[port], requests, clients, seconds
                    )
                    own = (server.seconds() - before) / (rate * jets * seconds) * 1000
                    print(
                        f"{jets:5} jets, {way}, {clients:2} clients: {rate * jets:.0f} "
                        f"jets/s, p50 {times[0]:.1f} ms, p99 {times[1]:.1f} ms, "
                        f"server {own:.2f} ms of processor a jet",
                        flush=True,
                    )
    finally:
        server.stop()
    print(f"load average after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
