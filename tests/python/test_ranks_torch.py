# SPDX-License-Identifier: Apache-2.0
"""`gn2 fit --group torch`: the files of one process, or nothing at all.

With torch where it is installed, and everywhere with what stands for the part of it
that is used (torch_shim): bytes between processes over sockets.
"""

import contextlib
import hashlib
import importlib.util
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from runs import VAL, fit, with_files  # noqa: F401

import gn2
from gn2 import _gloo
from gn2.cli import main

SHIM = pathlib.Path(__file__).parent / "torch_shim"
OPTIONS = ["-v", VAL, "train.epochs=2", "model.dropout_ffn=0.1", "train.threads=1"]
FILES = ("model.gn2", "checkpoint.gn2", "best.gn2")
VARIABLES = [
    "RANK WORLD_SIZE MASTER_ADDR MASTER_PORT",
    "PET_NODE_RANK PET_NNODES PET_MASTER_ADDR PET_MASTER_PORT",
    "JOB_COMPLETION_INDEX WORLD_SIZE MASTER_ADDR MASTER_PORT",
]


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in {name for names in VARIABLES for name in names.split()}:
        monkeypatch.delenv(name, raising=False)


# ---- who is started ----


@pytest.mark.parametrize("names", VARIABLES)
def test_the_environment_says_who_is_who(names):
    rank, size, address, port = names.split()
    told = {rank: "1", size: "4", address: "head"}
    assert _gloo.place_of(told) == (1, 4, "head", 29500)
    assert _gloo.place_of({**told, port: "7"}) == (1, 4, "head", 7)
    assert _gloo.told(told) == (size, 4)


GOOD = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "head"}


@pytest.mark.parametrize(
    "change, says",
    [
        ({"WORLD_SIZE": ""}, "set WORLD_SIZE or PET_NNODES"),
        ({"RANK": ""}, "set RANK or PET_NODE_RANK or JOB_COMPLETION_INDEX"),
        ({"MASTER_ADDR": ""}, "set MASTER_ADDR or PET_MASTER_ADDR"),
        ({"RANK": "2"}, "rank 2 of 2: RANK counts from 0"),
        ({"WORLD_SIZE": "0"}, "rank 1 of 0"),
        ({"RANK": "-1"}, "RANK = '-1'"),
        ({"RANK": "¹"}, "RANK = '¹'"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT = 70000"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT = 'http'"),
    ],
)
def test_what_is_missing_is_named(change, says):
    with pytest.raises(gn2.InvalidArgument, match=says):
        _gloo.place_of({**GOOD, **change})


def test_one_process_needs_no_address():
    assert _gloo.place_of({"RANK": "0", "WORLD_SIZE": "1"})[:2] == (0, 1)


@pytest.mark.parametrize("name", ["WORLD_SIZE", "PET_NNODES"])
def test_processes_that_were_not_told_to_meet_do_not_train(
    name, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "run"
    monkeypatch.setenv(name, "2")
    assert main(fit(out, *OPTIONS)) == 1
    said = capsys.readouterr().err
    assert f"{name} = 2" in said and "add --group torch" in said
    assert not out.exists()


def test_mpirun_is_heard_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setenv("GN2_MPI_LIBRARY", str(tmp_path / "none.so"))
    assert main(fit(tmp_path / "run", *OPTIONS)) == 1
    assert "libgn2_mpi cannot be loaded" in capsys.readouterr().err


def test_without_torch_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(fit(tmp_path / "run", *OPTIONS, "--group", "torch")) == 1
    assert "pip install torch" in capsys.readouterr().err


# ---- processes ----


@pytest.fixture(params=["shim", "torch"])
def kind(request, tmp_path, monkeypatch):
    """Which torch the processes have."""
    if request.param == "torch" and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    if request.param == "shim":
        path = os.pathsep.join([str(SHIM), os.environ.get("PYTHONPATH", "")])
        monkeypatch.setenv("PYTHONPATH", path)
    return request.param


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def start(ranks, words, tmp_path):
    """Processes, each told who it is."""
    folder = tmp_path / f"shim-{time.monotonic_ns()}"
    folder.mkdir()
    told = {
        "WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
        "SHIM_FOLDER": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, **told, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(ranks)
    ]


def end(jobs, within=240):
    """(status, output) of each; whoever is left then is killed, and its status -9."""
    until = time.monotonic() + within
    for job in jobs:
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.wait(max(0.0, until - time.monotonic()))
    for job in jobs:
        if job.poll() is None:
            job.kill()
    return [(job.wait(), job.stdout.read()) for job in jobs]


def by_torch(words):
    return ["-m", "gn2", *words, "--group", "torch"]


def digests(folder):
    return {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in FILES}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    assert main(fit(out, *OPTIONS)) == 0
    return out


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_files_are_those_of_one_process(ranks, kind, alone, tmp_path):
    out = tmp_path / "run"
    words = by_torch(fit(out, *OPTIONS, "--expect-ranks", str(ranks)))
    found = end(start(ranks, words, tmp_path))
    assert [status for status, _ in found] == [0] * ranks, found
    assert digests(out) == digests(alone)
    assert "".join(said for _, said in found).count(" step=5 ") == 1


def test_ranks_that_break_the_rule_are_refused(kind, tmp_path):
    found = end(start(3, by_torch(fit(tmp_path / "run", *OPTIONS)), tmp_path))
    assert all(status == 1 for status, _ in found), found
    assert "take 1, 2, 4, 8 ranks" in found[0][1]


LONG = ["train.epochs=50", "train.threads=1", "train.checkpoint_steps=5"]


@pytest.mark.parametrize(
    "number, within, says",
    [
        (signal.SIGKILL, 30, "rank 3 has gone"),
        (signal.SIGSTOP, 40, "rank 3 said nothing for 8 s"),
    ],
)
def test_a_lost_rank_ends_all(kind, number, within, says, tmp_path):
    out = tmp_path / "run"
    words = by_torch(fit(out, *LONG, "group.timeout=8"))
    jobs = start(4, words, tmp_path)
    until = time.monotonic() + 240  # torch takes its time on a busy machine
    while not (out / "checkpoint.gn2").exists() and time.monotonic() < until:
        assert [job.poll() for job in jobs] == [None] * 4, end(jobs, 1)
        time.sleep(0.02)
    jobs[3].send_signal(number)
    found = end(jobs[:3], within)
    end(jobs[3:], 0)
    assert all(status == 1 for status, _ in found), found
    assert any(says in said for _, said in found), found
    assert not (out / "model.gn2").exists()


def test_who_does_not_come_is_waited_for_until_the_deadline(kind, tmp_path):
    program = "import gn2; gn2.Group.torch(timeout=2)"
    late = start(2, ["-c", program], tmp_path)
    late[1].kill()
    status, said = end(late, 60)[0]
    assert status == 1 and "RemoteError: rank 0 of 2 does not meet the others" in said


SIZES = """\
import ctypes
from gn2 import _gloo
link = _gloo.meet(20)
memory = ctypes.create_string_buffer(64)
here = ctypes.addressof(memory)
if link.place.rank == 0:
    print(link._exchange(None, 1, here, 8, None, 0), link.why)
else:
    print(link._exchange(None, 0, None, 0, here, 16), link.why)
"""


def test_a_message_of_another_size_is_refused(kind, tmp_path):
    found = end(start(2, ["-c", SIZES], tmp_path), 60)
    assert "-4 rank 0 sends 8 bytes, not 16" in found[1][1], found


BIG = """\
import ctypes, sys
from gn2 import _gloo
link = _gloo.meet(20)
me, size = link.place.rank, 8 << 20  # more than a socket holds
out, into = (ctypes.create_string_buffer(n) for n in (size, size + me))
ctypes.memset(out, 65 + me, size)
for _ in range(3):
    status = link._exchange(None, 1 - me, ctypes.addressof(out), size,
                            ctypes.addressof(into), size)
    assert status == 0, link.why
assert into.raw[:size] == bytes([66 - me]) * size
"""


def test_both_send_more_than_is_taken_at_once(kind, tmp_path):
    found = end(start(2, ["-c", BIG], tmp_path), 60)
    assert [status for status, _ in found] == [0, 0], found


PARTS = """\
import ctypes
from gn2 import _gloo
link = _gloo.meet(20)
me, size = link.place.rank, 8 << 20
out, into = (ctypes.create_string_buffer(size) for _ in range(2))
ctypes.memset(out, 65 + me, size)
seen = []
def arrived(_context, there):
    assert into.raw[:there] == bytes([66 - me]) * there
    seen.append(there)
status = link._exchange_parts(None, 1 - me, ctypes.addressof(out), size,
                              ctypes.addressof(into), size, arrived, None)
assert status == 0, link.why
assert seen == [2 << 20, 4 << 20, 6 << 20, 8 << 20], seen
"""


def test_a_long_message_is_told_of_part_by_part(kind, tmp_path):
    found = end(start(2, ["-c", PARTS], tmp_path), 60)
    assert [status for status, _ in found] == [0, 0], found


INTERRUPTED = """\
import os, signal, sys, threading
import gn2
group = gn2.Group.torch(timeout=30)
if group.rank == 0:
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    group.broadcast(b"1", 1)
else:
    import time
    time.sleep(3)
    group.broadcast(b"1", 1)
"""


def test_ctrl_c_is_not_taken_for_an_exchange_that_went_well(kind, tmp_path):
    found = end(start(2, ["-c", INTERRUPTED], tmp_path), 60)
    assert found[0][0] != 0 and found[0][1].strip().endswith("KeyboardInterrupt"), found
    assert found[1][0] == 1 and "rank 0 has gone" in found[1][1]
