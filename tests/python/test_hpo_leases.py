# SPDX-License-Identifier: Apache-2.0
"""Leases on trials and the journal, on one host and between hosts: of all who may be at
work on a trial one is, whoever is killed or frozen."""

import os
import re
import signal
import subprocess
import time

import pytest

pytest.importorskip("yaml", reason="needs PyYAML")
pytest.importorskip("optuna", "4.4", reason="needs Optuna 4.4 or newer")

import gn2
from gn2.hpo import after, crew, derive, engine, reader, store
from gn2.hpo.lease import Leases
from hpo_searches import PROGRAM, journal, kill_study, run, space_in, wait_for

#: a host of its own: a name, and another boot of another kernel, of which flock() is
#: not asked
HOST = """\
hostname "$0" && mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"
"""


def on_host(name, folder, words):
    """A command on a made-up host."""
    if not name:
        return words
    kernel = folder / f"{name}.id"
    kernel.write_text(f"{name}\n")
    alone = ["unshare", "--uts", "--mount", "--propagation", "private"]
    alone += ["sh", "-c", HOST, name, str(kernel)]
    if subprocess.run([*alone, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("may not make namespaces: needs root")
    return [*alone, *words]


@pytest.fixture
def search(tmp_path):
    """(space file, folder, command of a worker) of one trial, leases of a second."""
    space = kill_study.space_in(tmp_path, trials=1)
    out = tmp_path / "out"
    words = kill_study.command(space, out, "--store", journal(out), "--lease", "1")
    return space, out, words


def begin(out, words):
    """A worker that has begun the trial; its processes."""
    worker = kill_study.start(words, STAND_IN_PAUSE="0.15")
    wait_for(lambda: (out / "trials/0000/metrics.log").exists())
    return worker, kill_study.children(worker.pid)


def told(space, out):
    """What was told of the trial, by the second who had it and by no other."""
    rows = engine.trials(reader.load(space), journal(out), out)
    assert [row.state for row in rows] == ["done"]
    assert (out / "leases/0000.2").exists() and not (out / "leases/0000.3").exists()
    return rows


HOSTS = pytest.mark.parametrize("hosts", [("", ""), ("one", "other")], ids=["1", "2"])


@HOSTS
@pytest.mark.parametrize("child_too", [False, True])
def test_a_frozen_worker_loses_its_trial_and_does_not_tell_it(
    search, tmp_path, child_too, hosts
):
    space, out, words = search
    first, second = (on_host(host, tmp_path, words) for host in hosts)
    frozen, children = begin(out, first)
    family = [frozen.pid, *(children if child_too else [])]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    other = kill_study.start(second)
    assert other.wait(60) == 0, other.stderr.read()
    rows = told(space, out)
    for pid in family:
        os.kill(pid, signal.SIGCONT)
    assert frozen.wait(60) == 0, frozen.stderr.read()
    assert told(space, out) == rows
    # the one that was at work in the folder was never joined there
    assert (out / "trials/0000.2").exists() == child_too


def test_the_trial_of_a_host_that_is_gone_goes_on_elsewhere(search, tmp_path):
    space, out, words = search
    lost, _ = begin(out, on_host("one", tmp_path, words))
    kill_study.kill(lost, everything=True)
    other = kill_study.start(on_host("other", tmp_path, words))
    assert other.wait(60) == 0, other.stderr.read()
    told(space, out)
    # a lock of that host would not be seen here; what is there is kept from it
    assert (out / "trials/0000.2/model.gn2").exists()
    assert int((out / "trials/0000.2/trained").read_text()) < 12


def test_a_search_that_moves_to_another_host_goes_on_with_the_trial_it_left(tmp_path):
    space = kill_study.space_in(tmp_path, trials=6)
    calm, _ = run(reader.load(space), tmp_path / "calm")
    out = tmp_path / "out"
    words = kill_study.command(space, out, "--store", journal(out))  # lease: 3 s
    lost = kill_study.start(on_host("one", tmp_path, words), STAND_IN_PAUSE="0.1")
    wait_for(lambda: (out / "trials/0002/metrics.log").exists())
    kill_study.kill(lost, everything=True)
    other = on_host("other", tmp_path, words)
    found = subprocess.run(other, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert re.search(
        r"waiting for trial 2: process \d+ on host one has its lease.* at \d\d:\d\d:",
        found.stdout + found.stderr,
    )
    rows = engine.trials(reader.load(space), journal(out), out)
    for row, same in zip(rows, calm, strict=True):
        assert row.parameters == same.parameters and row.values == same.values


def test_a_worker_beside_one_that_lives_does_not_wait_for_it(tmp_path):
    space = kill_study.space_in(tmp_path, trials=3)
    out = tmp_path / "out"
    words = kill_study.command(space, out, "--store", journal(out), "--lease", "900")
    one = kill_study.start(on_host("one", tmp_path, words), STAND_IN_PAUSE="0.5")
    wait_for(lambda: (out / "trials/0000/metrics.log").exists())
    other = kill_study.start(on_host("other", tmp_path, words))
    wait_for(lambda: (out / "trials/0001/metrics.log").exists())
    for worker in (one, other):
        assert worker.wait(60) == 0, worker.stderr.read()
    rows = engine.trials(reader.load(space), journal(out), out)
    assert [row.state for row in rows] == ["done"] * 3


# ---- leases ----


def test_a_lease_is_one_holders_until_that_is_gone(tmp_path):
    ours, theirs = Leases(tmp_path, 0.4), Leases(tmp_path, 0.4)
    lease = ours.take("a")
    assert lease.held() and theirs.take("a") is None and theirs.take("b")
    lease.release()
    second = theirs.take("a")
    assert second.held() and ours.take("a") is None
    second.release()


def test_between_hosts_silence_counts_and_not_the_clock(tmp_path):
    ours, theirs = Leases(tmp_path, 0.4), Leases(tmp_path, 0.4)
    theirs._kernel = "another"
    lease = ours.take("a")
    assert theirs.take("a") is None
    holder = theirs.holder("a")
    assert holder.unknown and 0 < holder.left <= 0.4
    assert (holder.host, holder.pid) == (os.uname().nodename, os.getpid())
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        assert lease.renew() and theirs.take("a") is None
        time.sleep(0.1)
    os.utime(tmp_path / "a.1", (0, 0))  # a clock that is far behind says nothing
    assert theirs.take("a") is None
    assert not theirs.holder("a").unknown and theirs.holder("b") is None
    time.sleep(0.5)
    second = theirs.take("a")
    assert second.held() and not lease.held() and not lease.renew()


def test_what_is_waited_for_after_a_search_is_said(tmp_path, capsys):
    space = space_in(tmp_path, trials=1)
    plan = engine.Plan(tmp_path / "out", program=PROGRAM, lease=30)
    theirs = Leases(tmp_path / "out/leases", 4.0)
    theirs._kernel = "another"
    lease = theirs.take("0003-1")  # and is not heard of any more
    file = derive.write(space, plan.folder)
    job = crew.Job("0003-1", file, {"rate": "0.1", "decay": "0.2"}, ("val_loss",))
    found = after.complete([job], plan, "confirm")
    assert found["0003-1"].state == "done" and not lease.held()
    said = "".join(capsys.readouterr())
    who = f"process {os.getpid()} on host {os.uname().nodename} has its lease"
    assert f"waiting for training 0003-1: {who}" in said


def test_a_lease_without_flock_ends_by_silence(tmp_path, monkeypatch):
    monkeypatch.setattr("gn2.hpo.lease.try_flock", lambda file: None)
    ours, theirs = Leases(tmp_path, 0.3), Leases(tmp_path, 0.3)
    assert ours.take("a") and theirs.take("a") is None
    time.sleep(0.4)
    assert theirs.take("a")


def test_a_lease_whose_making_was_cut_off_ends_by_silence(tmp_path):
    leases = Leases(tmp_path, 0.3)
    (tmp_path / "a.1").touch()  # killed before the record was written
    assert leases.take("a") is None
    time.sleep(0.4)
    lease = leases.take("a")
    assert lease.held() and leases.take("a") is None
    lease.release()
    assert leases.take("a")


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "symlink", refuse)
    space = space_in(tmp_path, trials=2)
    rows, _ = run(space, tmp_path / "out", store=journal(tmp_path / "out"))
    assert [row.state for row in rows] == ["done"] * 2


def test_a_writer_of_a_journal_that_was_frozen_writes_at_its_end(tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_bytes(b'{"a":1}\n')
    scan = max

    def freeze(*numbers):  # others lose patience, take the lock, and write
        path.write_bytes(path.read_bytes() + b'{"b":2}\n')
        return scan(*numbers)

    monkeypatch.setattr(store, "max", freeze, raising=False)
    store._append(str(path), b'{"c":3}\n')
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n{"c":3}\n'


def test_sqlite_on_a_network_file_system_is_refused(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    line = "36 35 98:0 / {} rw - {} x rw\n"
    text = line.format("/", "ext4") + line.format(tmp_path, "fuse.eosxd")
    mounts.write_text(text + line.format(tmp_path / "home", "xfs"))
    monkeypatch.setattr(store, "MOUNTS", str(mounts))
    space = space_in(tmp_path, trials=1)
    with pytest.raises(gn2.Error, match=r"fuse\.eosxd.*journal:FILE"):
        run(space, tmp_path / "out")
    assert store.kind_of_mount(tmp_path / "home/x") == "xfs"
    assert not store.is_network("fuse.fuse-overlayfs") and store.is_network("nfs4")
    rows, _ = run(space, tmp_path / "out", store=journal(tmp_path / "out"))
    assert len(rows) == 1
