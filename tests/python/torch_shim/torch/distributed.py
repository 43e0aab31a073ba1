# SPDX-License-Identifier: Apache-2.0
"""Messages between processes over sockets in the folder SHIM_FOLDER.

As gloo does it: all pairs are connected at the beginning, messages are under way while
the caller does something else, a connection that ends fails what waits for it.
"""

import os
import queue
import socket
import threading
import time


class group:
    WORLD = "world"


_pairs = {}


def is_available():
    return True


def is_initialized():
    return bool(_pairs)


class _Work:
    def __init__(self, memory):
        self.memory, self.problem = memory, None
        self.done = threading.Event()

    def wait(self, timeout):
        if not self.done.wait(timeout.total_seconds()):
            raise RuntimeError("timed out\nwith a trace")
        if self.problem:
            raise RuntimeError(self.problem)


class _Pair:
    """A connection, and a thread for each of its ways."""

    def __init__(self, connection):
        self.connection = connection
        self.ways = {}
        for way in (self._send, self._receive):
            self.ways[way] = queue.Queue()
            threading.Thread(target=self._serve, args=(way,), daemon=True).start()

    def _serve(self, way):
        problem = None
        while True:
            work = self.ways[way].get()
            try:
                way(work.memory)
            except OSError as found:
                problem = problem or str(found)
            work.problem = problem
            work.done.set()

    def _send(self, memory):
        self.connection.sendall(memory)

    def _receive(self, memory):
        while memory:
            count = self.connection.recv_into(memory)
            if not count:
                raise OSError("connection closed by peer\nwith a trace")
            memory = memory[count:]


def _path(rank):
    return os.path.join(os.environ["SHIM_FOLDER"], str(rank))


def _connect(rank, until):
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(_path(rank))
            return connection
        except OSError:
            connection.close()
            if time.monotonic() > until:
                raise RuntimeError(f"rank {rank} did not come") from None
            time.sleep(0.01)


def init_process_group(backend, init_method, rank, world_size, timeout):
    assert backend == "gloo" and init_method.startswith("tcp://")
    until = time.monotonic() + timeout.total_seconds()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(_path(rank))
        door.listen()
        door.settimeout(timeout.total_seconds())
        for peer in range(rank):
            connection = _connect(peer, until)
            connection.sendall(bytes([rank]))
            _pairs[peer] = _Pair(connection)
        for _ in range(rank + 1, world_size):
            connection, _ = door.accept()
            connection.setblocking(True)
            _pairs[connection.recv(1)[0]] = _Pair(connection)


def isend(tensor, peer, group):
    work = _Work(tensor)
    _pairs[peer].ways[_pairs[peer]._send].put(work)
    return work


def irecv(tensor, peer, group):
    work = _Work(tensor)
    _pairs[peer].ways[_pairs[peer]._receive].put(work)
    return work


def destroy_process_group(group):
    for pair in _pairs.values():
        try:
            pair.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    _pairs.clear()
