# SPDX-License-Identifier: Apache-2.0
"""Figures of `gn2 serve` as found on this machine: server and clients share it.

    serve_load.py MODEL JETS.h5 [SECONDS]

One jet a call at 1, 8 and 64 clients (threads of a process), batches of 1000, over HTTP
(binary tensors) and gRPC (raw contents); beside them Tagger.tag in this process.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time

import grpc
import h5py
import numpy as np
from open_inference.grpc import protocol as pb
from open_inference.grpc import service

import gn2

CLIENTS, BATCH = (1, 8, 64), 1000


def read(path, model, count=5000):
    with h5py.File(path) as file:
        jets, tracks = file["jets"][:count], file["tracks"][:count]
    valid = tracks["valid"].astype(bool)
    ends = np.concatenate([[0], np.cumsum(valid.sum(1))]).astype("i8")
    columns = [
        np.stack([table[name] for name in model.inputs[kind]], -1).astype("f4")
        for kind, table in (("jets", jets), ("tracks", tracks))
    ]
    return columns[0], columns[1][valid], ends


def one(data, b):
    jets, tracks, ends = data
    rows = tracks[ends[b] : ends[b + 1]]
    return {"jet_features": jets[b : b + 1], "track_features": rows}


def many(data, b):
    jets, tracks, ends = data
    begin = b * BATCH % (len(jets) - BATCH + 1)
    own = ends[begin : begin + BATCH + 1]
    rows = tracks[own[0] : own[-1]]
    return {
        "jets": jets[begin : begin + BATCH],
        "tracks": rows,
        "offsets": own - own[0],
    }


def kind(values):
    return "INT64" if values.dtype.kind == "i" else "FP32"


def over_http(port):
    link = http.client.HTTPConnection("127.0.0.1", port)

    def ask(tensors):
        blocks = [
            {"name": n, "datatype": kind(v), "shape": v.shape}
            | {"parameters": {"binary_data_size": v.nbytes}}
            for n, v in tensors.items()
        ]
        text = {"inputs": blocks, "parameters": {"binary_data_output": True}}
        body = json.dumps(text).encode()
        head = {"Inference-Header-Content-Length": str(len(body))}
        body = b"".join([body, *(v.tobytes() for v in tensors.values())])
        link.request("POST", "/v2/models/m/infer", body, head)
        answer = link.getresponse()
        answer.read()
        assert answer.status == 200

    return ask


def over_grpc(port):
    size = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", size)
    call = service.GRPCInferenceServiceStub(channel).ModelInfer

    def ask(tensors):
        message = pb.ModelInferRequest(model_name="m")
        for name, values in tensors.items():
            message.inputs.add(name=name, datatype=kind(values), shape=values.shape)
            message.raw_input_contents.append(values.tobytes())
        call(message)

    return ask


def load(make, port, take, clients, seconds):
    """(calls a second, median and 99 % of their milliseconds)"""
    found, end = [], time.perf_counter() + seconds

    def work(first):
        ask, b = make(port), first
        while (start := time.perf_counter()) < end:
            ask(take(b))
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


def alone(model, take, jets, seconds, threads):
    """Jets a second of Tagger.tag."""
    with gn2.Tagger(model, threads=threads) as tagger:
        count, start = 0, time.perf_counter()
        while time.perf_counter() < start + seconds:
            rows = list(take(count).values())
            ends = rows[2] if len(rows) > 2 else np.array([0, len(rows[1])])
            tagger.tag(rows[0], (rows[1], ends))
            count += 1
        return count * jets / (time.perf_counter() - start)


def main():
    path, source = sys.argv[1:3]
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 5.0
    model = gn2.Model.load(path)
    data = read(source, model)
    command = [sys.executable, "-m", "gn2", "serve", f"{path}=m"]
    command += ["--http", "0", "--grpc", "0", "--drain", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    ports = {}
    while len(ports) < 2:
        found = re.search(r"(HTTP|gRPC) on .*?:(\d+)", server.stderr.readline())
        ports.update({found[1]: int(found[2])} if found else {})
    ways = {"HTTP": over_http, "gRPC": over_grpc}
    singles, batches = (lambda b: one(data, b % 5000)), (lambda b: many(data, b))
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    try:
        for take, jets, counts in ((singles, 1, CLIENTS), (batches, BATCH, (1, 2))):
            for threads in (1, 0):
                rate = alone(model, take, jets, seconds, threads)
                print(
                    f"{jets:5} jets, Tagger.tag, threads={threads}: {rate:8.0f} jets/s"
                )
            for way, make in ways.items():
                for clients in counts:
                    rate, p50, p99 = load(make, ports[way], take, clients, seconds)
                    what = f"{jets:5} jets, {way}, {clients:2} clients"
                    times = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
                    print(f"{what}: {rate * jets:8.0f} jets/s, {times}", flush=True)
    finally:
        server.terminate()
        server.wait()
    print(f"load average after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
