# SPDX-License-Identifier: Apache-2.0
"""gn2-mpirun: which mpirun gets which words, and which hosts are waited for."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

from gn2.cli import mpirun
from gn2.cli.common import NotAsked

HERE = socket.gethostname()
OPENMPI = "mpirun (Open MPI) 4.1.4"
MPICH = "HYDRA build details:"
TELL = """\
#!{python}
import json, os, sys
if sys.argv[1:] == ["--version"]:
    print({version!r})
else:
    words = sys.argv[1:]
    lists = [open(w).read() for w in words if "gn2-hosts-" in w]
    print(json.dumps([words, dict(os.environ), lists]))
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Runs the command with a program in place of mpirun; what that was told."""
    for name in (*mpirun.NAMED, "GN2_EXPECT_RANKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def call(version, *words):
        program = tmp_path / "mpirun"
        text = TELL.format(python=sys.executable, version=version)
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
        words = ["-m", "gn2.cli.mpirun", "--mpirun", str(program), *map(str, words)]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        if done.returncode:
            return done.returncode, done.stderr
        return json.loads(done.stdout)

    return call


def listed(tmp_path, text):
    path = tmp_path / "hostfile"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text, slots",
    [
        ("a slots=2\nb slots=2\n", {"a": 2, "b": 2}),  # mpi-operator, Trainer: Open MPI
        ("a.n.svc:2\nb.n.svc:1\n", {"a.n.svc": 2, "b.n.svc": 1}),  # MPICH
        ("# all\na\n\nb max-slots=4 slots = 3 # c\na\n", {"a": 2, "b": 3}),
    ],
)
def test_lists_of_hosts(text, slots, tmp_path):
    assert mpirun.read(listed(tmp_path, text)) == slots


def test_an_empty_list_is_refused(start, tmp_path):
    status, said = start(OPENMPI, "--hostfile", listed(tmp_path, "#\n"), "true")
    assert status == 2 and "names no host" in said


def test_open_mpi_of_either_age_is_told_of_hosts(start, tmp_path, monkeypatch):
    path = listed(tmp_path, "localhost:2\n")  # MPICH's form is turned into its own
    monkeypatch.setenv("OMPI_MCA_orte_default_hostfile", str(path))
    monkeypatch.setenv("SECRET_OF_MINE", "1")
    for version in (OPENMPI, "prterun (PRRTE) 3", "mpirun.openmpi (OpenRTE) 4.1.4"):
        words, env, lists = start(version, "-x", "SECRET_*", "gn2", "fit", "a=b", "-n")
        assert words[0] == "--hostfile" and lists == [f"{HERE} slots=2\n"]
        assert words[2:6] == ["-n", "2", "--bind-to", "none"]
        assert words[-4:] == ["gn2", "fit", "a=b", "-n"]
        carried = words[6:-4]
        assert set(carried[::2]) == {"-x"}
        assert {"PATH", "PYTHONPATH", "SECRET_OF_MINE"} <= set(carried[1::2])
        assert {"GN2_EXPECT_RANKS", "GN2_EXPECT_HOSTS"} <= set(carried[1::2])
        assert (env["GN2_EXPECT_RANKS"], env["GN2_EXPECT_HOSTS"]) == ("2", "1")
        for name in (
            "PRTE_MCA_prte_default_hostfile",
            "OMPI_MCA_orte_default_hostfile",
        ):
            assert env[name] == words[1]
        for name in ("PRTE_MCA_plm_ssh_args", "OMPI_MCA_plm_rsh_args"):
            assert env[name] == "-o ConnectionAttempts=10"


def test_mpich_is_told_of_hosts(start, tmp_path, monkeypatch):
    path = listed(tmp_path, "localhost slots=4\n")
    monkeypatch.setenv("HYDRA_HOST_FILE", str(path))
    words, env, lists = start(MPICH, "-n", "3", "--", "gn2", "fit")
    assert words == ["-f", env["HYDRA_HOST_FILE"], "-n", "3", "gn2", "fit"]
    assert lists == [f"{HERE}:4\n"]


def test_without_a_list_ranks_are_here(start):
    if os.path.exists(mpirun.USUAL):
        pytest.skip(f"{mpirun.USUAL} is there")
    words, env, _ = start(MPICH, "-n", "4", "gn2")
    assert words == ["-n", "4", "gn2"] and env["GN2_EXPECT_HOSTS"] == "1"
    status, said = start(MPICH, "-n", "4", "--expect-hosts", "2", "gn2")
    assert status == 2 and "4 ranks fill 1: no list of hosts" in said


def test_a_list_that_does_not_fit_is_refused(start, tmp_path):
    path = listed(tmp_path, "localhost slots=2\n")
    words = ("--hostfile", path, "--wait", "0")
    status, said = start(OPENMPI, *words, "-n", "3", "gn2")
    assert status == 2 and f"-n 3, but '{path}' has 2 slots on 1 hosts" in said
    status, said = start(OPENMPI, *words, "--expect-hosts", "2", "gn2")
    assert status == 2 and "--expect-hosts 2, but 2 ranks fill 1 of the hosts" in said
    status, said = start("mpirun of another", *words, "gn2")
    assert status == 2 and "neither of Open MPI nor of MPICH" in said
    status, said = start(OPENMPI, "--hostfile", tmp_path / "none", "gn2")
    assert status == 1 and "none" in said


@pytest.mark.parametrize(
    "words", [("-n", "-2"), ("-n=1.5",), ("--expect-hosts=-1",), ("--wait", "nan")]
)
def test_numbers_that_are_none_are_refused(start, words):
    status, said = start(OPENMPI, *words, "gn2")
    assert status == 2 and f"argument {words[0].partition('=')[0]}: " in said


def test_ranks_fill_hosts():
    hosts = {"a": 2, "b": 2, "c": 4}
    found = [mpirun.used(hosts, ranks, "x") for ranks in range(1, 9)]
    assert found == [1, 1, 2, 2, 3, 3, 3, 3]
    with pytest.raises(NotAsked, match="-n 9, but 'x' has 8 slots on 3 hosts"):
        mpirun.used(hosts, 9, "x")


def test_this_host_is_first(monkeypatch):
    monkeypatch.setattr(mpirun, "addresses", {"a": ["203.0.113.1"]}.get)
    assert not mpirun.is_here("a")
    hosts = {"a": ["203.0.113.1"], "me": ["127.0.0.1"], "b": ["203.0.113.2"]}
    monkeypatch.setattr(mpirun, "addresses", hosts.get)
    # by the name that MPICH knows it by
    found = mpirun.here_first(dict.fromkeys(hosts, 1))
    assert list(found) == [HERE, "a", "b"]
    assert list(mpirun.here_first({"b": 1, "a": 2})) == ["b", "a"]


class Host:
    """Something that takes connections on a port, from its open() on."""

    def __init__(self, greeting):
        self.greeting = greeting
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def open(self):
        self.socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            with link:
                link.sendall(self.greeting)


@pytest.fixture
def elsewhere(monkeypatch):
    """Hosts that are not here, each at a port."""
    found = {}
    monkeypatch.setattr(mpirun, "is_here", lambda host: not mpirun.addresses(host))
    monkeypatch.setattr(mpirun, "addresses", lambda _: ["127.0.0.1"])
    monkeypatch.setattr(mpirun, "port_of", lambda host: found[host].port)
    monkeypatch.setattr(
        mpirun.socket, "create_connection", _to_here(socket.create_connection)
    )
    yield found
    for host in found.values():
        host.socket.close()


def _to_here(connect):
    return lambda place, timeout: connect(("127.0.0.1", place[1]), timeout)


def test_a_host_that_comes_late_is_waited_for(elsewhere):
    late = elsewhere["late"] = Host(b"SSH-2.0-none\r\n")
    timer = threading.Timer(1.5, late.open)
    timer.start()
    mpirun.wait(["late"], 30.0)
    assert not timer.is_alive()


def test_hosts_that_do_not_answer_are_named(elsewhere):
    elsewhere["shut"] = Host(b"")
    proxy = elsewhere["proxy"] = Host(b"HTTP/1.1 503")
    good = elsewhere["good"] = Host(b"SSH-2.0-none\r\n")
    proxy.open()
    good.open()
    with pytest.raises(mpirun.Failure) as failure:
        mpirun.wait(["shut", "good", "proxy"], 0.0)
    said = str(failure.value).splitlines()
    assert said[1].startswith(f"  shut: no answer on port {elsewhere['shut'].port} (")
    assert said[2] == f"  proxy: port {proxy.port} is none of ssh" and len(said) == 4


def test_a_name_that_does_not_resolve_is_told(start, tmp_path):
    path = listed(tmp_path, "localhost slots=1\ngn2-worker-0.invalid slots=1\n")
    status, said = start(OPENMPI, "--hostfile", path, "--wait", "0", "gn2")
    assert status == 1 and "  gn2-worker-0.invalid: does not resolve (" in said


def test_port_is_that_of_ssh(tmp_path, monkeypatch):
    program = tmp_path / "ssh"
    program.write_text('#!/bin/sh\necho "host $2"\necho "port 2222"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert mpirun.port_of("a") == 2222


def test_the_command_is_installed():
    text = pathlib.Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    assert 'gn2-mpirun = "gn2.cli.mpirun:main"' in text


SLURM = {"JOB_ID": "7", "NTASKS": "4", "PROCID": "3", "JOB_NUM_NODES": "2"}
SLURM.update(CPUS_PER_TASK="2", JOB_NODELIST="n[1-2]")


@pytest.mark.parametrize("start", ["srun", "mpirun", "torch"])
def test_the_job_for_slurm(start, tmp_path):
    """examples/batch/fit.slurm with programs in place of Slurm's."""
    programs = {
        "scontrol": "echo n1; echo n2",
        "mpirun": 'echo mpirun "$@"',
        # runs what it is given, as one rank of it
        "srun": 'echo srun "$1"; shift; "$@"',
        "gn2": 'echo gn2 "$@"; echo $RANK $WORLD_SIZE $MASTER_ADDR $MASTER_PORT',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    out = tmp_path / "run"
    env = {f"SLURM_{key}": value for key, value in SLURM.items()}
    env.update(PATH=f"{tmp_path}:{os.environ['PATH']}", GN2_OUT=str(out))
    script = pathlib.Path(__file__).parents[2] / "examples/batch/fit.slurm"

    def said():
        words = ["sh", script, "a.h5", "-v", "b.h5", "train.epochs=2"]
        done = subprocess.run(
            words, env={**env, "GN2_START": start}, stdout=subprocess.PIPE, text=True
        )
        assert done.returncode == 0
        return done.stdout

    text = said()
    expected = "--expect-ranks 4 --expect-hosts 2"
    if start == "torch":
        assert f"gn2 fit --group torch {expected} a.h5 -v b.h5 train.epochs=2" in text
        assert "3 4 n1 20007" in text
    else:
        assert f"gn2 fit {expected} a.h5 -v b.h5 train.epochs=2 -o {out}" in text
    begin = "mpirun -n 4 --bind-to none gn2" if start == "mpirun" else "srun --kill-on"
    assert text.startswith(begin)
    out.mkdir()
    (out / "checkpoint.gn2").write_text("")
    assert f"{expected} --resume -o {out}\n" in said()
