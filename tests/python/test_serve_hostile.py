# SPDX-License-Identifier: Apache-2.0
"""Clients that lie, send without end, do not read, leave, or are very many."""

import json
import pathlib
import socket
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from serving import HEAD, changed, need_packages, posted, probabilities, rpc_words
from serving import path  # noqa: F401  fixture
from serving import running, tensor

need_packages()

LIMIT = 2 << 20  #: bytes of a body


@pytest.fixture(scope="module")
def server(path):
    words = [*rpc_words(), "--max-body", LIMIT >> 20, "--drain", 0, "--timeout", 2]
    with running(f"{path}=m", *words) as found:
        yield found


@pytest.fixture(autouse=True)
def unharmed(server, path):
    """After each test the next is answered, and no file is left open."""
    before = server.files()
    yield
    status, found = server.infer(changed())
    p = np.array([o["data"][0] for o in found["outputs"][:4]], "f4")
    assert status == 200 and p.tobytes() == probabilities(str(path), [[1, 2.5]])
    deadline = time.monotonic() + 10
    while server.files() > before + 2:
        assert time.monotonic() < deadline, (server.files(), before)
        time.sleep(0.05)


def test_no_http(server):
    assert b" 400 " in server.send(b"\0\1\2\r\n\r\n")
    assert b" 400 " in server.send(HEAD + b"Content-Length: x\r\n\r\n")
    head = b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: "
    assert b" 200 " in server.send(head + b"a" * 30_000 + b"\r\n\r\n")
    try:
        assert b" 400 " in server.send(head + b"a" * 200_000)
    except ConnectionError:
        pass  # it hung up while we sent


def test_lengths_of_many_digits(server):
    """From 4301 on Python makes no number of them; h11 before 0.16 hung up."""
    close = HEAD + b"Connection: close\r\n"
    for digits in (20, 4300, 4301, 60_000):
        said = server.send(close + b"Content-Length: " + b"9" * digits + b"\r\n\r\n")
        assert said[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 413 "), (digits, said[:99])


def test_bodies_that_are_too_long(server):
    close = HEAD + b"Connection: close\r\n"
    said = server.send(close + b"Content-Length: 99999999999\r\n\r\n")
    assert b" 413 " in said
    # the answer is seen though the client is sending meanwhile
    body = b"x" * (3 * LIMIT)
    for size in (len(body), None):
        chunks = iter([body[:LIMIT], body[LIMIT:]]) if size is None else body
        status, _, text = server.ask("/v2/models/m/infer", chunks)
        assert status == 413 and "limit" in json.loads(text)["error"]
    assert server.ask("/v2/models/x/infer", body)[0] == 404


def test_bodies_that_never_end(server):
    late = server.send(HEAD + b"Connection: close\r\nContent-Length: 9\r\n\r\n{}")
    assert b" 408 " in late and b"did not come within 2 s" in late
    with server.connect() as link:  # too long, and on and on
        link.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError):
            for _ in range(10_000):
                link.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                time.sleep(0.01)
    with server.connect() as link:  # one byte after another
        link.sendall(HEAD + b"Content-Length: 100\r\n\r\n")
        link.settimeout(0.1)
        for _ in range(100):
            link.sendall(b" ")
            try:
                assert b" 408 " in link.recv(1000)
                break
            except TimeoutError:
                pass
        else:
            pytest.fail("no answer")


def test_clients_that_leave(server):
    reset, asked = struct.pack("ii", 1, 0), posted(json.dumps(changed()).encode())
    for k in range(100):
        with server.connect() as link:
            link.sendall(asked[: None if k % 2 else -9])
            if k % 3:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)


def test_clients_that_do_not_read(server):
    """They are disconnected after the time for it, and their answers forgotten."""
    jets = 5000
    tensors = [
        tensor("jets", np.zeros((jets, 2), "f4")),
        tensor("tracks", np.zeros((0, 19), "f4")),
        tensor("offsets", np.zeros(jets + 1, "i8")),
    ]
    names = ["embedding", "D_b_gradient", "logits", "probabilities"]
    block = {"inputs": tensors, "outputs": [{"name": n} for n in names]}
    asked = posted(json.dumps(block).encode())
    links, before = [], server.files()
    for _ in range(3):
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", server.http))
        link.sendall(asked)
        links.append(link)
    time.sleep(0.2)
    assert server.infer(changed())[0] == 200
    deadline = time.monotonic() + 10
    while server.files() > before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for link in links:
        link.close()


def test_a_thousand_connections(server):
    count = 1000
    links = [server.connect() for _ in range(count)]
    asked = posted(json.dumps(changed()).encode())
    for link in links[:200]:  # begun
        link.sendall(asked[:30])
    for link in links[200:400]:  # all of them at once
        link.sendall(asked)
    codes = [link.recv(65536).split()[1] for link in links[200:400]]
    assert set(codes) <= {b"200", b"503"} and b"200" in codes
    assert server.infer(changed())[0] == 200
    for link in links:
        link.close()


def test_connections_of_grpc(server):
    port = server.need_rpc()
    import grpc
    from open_inference.grpc import protocol as pb
    from open_inference.grpc import service

    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    links = []
    for text in (b"no HTTP/2\r\n\r\n", preface, preface + bytes(range(256)), b""):
        for _ in range(20):
            link = socket.create_connection(("127.0.0.1", port))
            link.sendall(text)
            links.append(link)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(pb.ServerLiveRequest(), timeout=20).live
        big = pb.ModelInferRequest(model_name="m")
        big.raw_input_contents.append(b"x" * (LIMIT + 1))
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(big)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        futures = [
            stub.ModelInfer.future(pb.ModelInferRequest(model_name="m"))
            for _ in range(100)
        ]
        for future in futures:
            future.cancel()
        assert stub.ServerLive(pb.ServerLiveRequest(), timeout=20).live
    for link in links:
        link.close()


def test_requests_at_random(server):
    script = pathlib.Path(__file__).with_name("fuzz_serve.py")
    ports = [str(server.http), str(server.rpc or 0), str(server.process.pid)]
    done = subprocess.run(
        [sys.executable, script, "1", "120", *ports], stdout=-1, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout
