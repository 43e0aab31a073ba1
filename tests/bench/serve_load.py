# SPDX-License-Identifier: Apache-2.0
"""Figures of `gn2 serve` as found on this machine: server and clients share it.

    serve_load.py MODEL JETS.h5 [SECONDS] [OPTION OF gn2 serve …]

One jet a call at 1, 8 and 64 clients (threads of a process), batches of 1000 at 1 and
2, over gRPC (raw contents) and HTTP (binary tensors, for batches also JSON). Requests
are made beforehand. Beside them Tagger.tag in this process and `gn2 tag`.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import numpy as np
from open_inference.grpc import protocol as pb

import gn2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))
import serving  # noqa: E402

CLIENTS, BATCH, COUNT = (1, 8, 64), 1000, 5000
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


# ---- requests as bytes, and who sends them ----


def http_request(tensors):
    wish = {"binary_data_output": True}
    return serving.posted(*serving.binary(tensors, parameters=wish))


def json_request(tensors):
    blocks = [
        serving.tensor(name, values, data=values.reshape(-1).tolist())
        for name, values in tensors.items()
    ]
    return serving.posted(json.dumps({"inputs": blocks}).encode())


def grpc_request(tensors):
    return serving.message(pb, tensors).SerializeToString()


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


def processor(pid):
    """Seconds of a process."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


WAYS = (
    ("gRPC", "gRPC", over_grpc, grpc_request),
    ("HTTP", "HTTP", over_http, http_request),
    ("JSON", "HTTP", over_http, json_request),
)


def main():
    path, source, *words = sys.argv[1:]
    seconds = float(words.pop(0)) if words and words[0][0] != "-" else 5.0
    model = gn2.Model.load(path)
    data = serving.read(source, model, COUNT)
    count = len(data.jets)
    singles = [serving.jet(data, b) for b in range(count)]
    starts = range(0, count - BATCH + 1, BATCH)
    batches = [serving.batch(data, b, b + BATCH) for b in starts]
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    print(f"gn2 tag: {gn2_tag(path, source):.0f} jets/s")
    server = serving.Server(f"{path}=m", "--drain", 0, "--grpc", 0, *words)
    ports, pid = {"gRPC": server.rpc, "HTTP": server.http}, server.process.pid
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
                    before = processor(pid)
                    rate, *times = load(make, ports[port], requests, clients, seconds)
                    own = (processor(pid) - before) / (rate * jets * seconds) * 1000
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
