# SPDX-License-Identifier: Apache-2.0
"""A trial that is stopped, killed, damaged or launched: the same command makes the same
bits."""

import dataclasses
import os
import shutil
import signal
import stat
import time

import pytest
from hpo_trials import lines_of, same, start, told, wait_for, words
from hpo_trials import done, few, plain, space  # noqa: F401  fixtures

from gn2.cli import main, trial_run
from gn2.hpo import books, launch

# ---- stopped, killed, gone on with ----


@pytest.mark.parametrize("number, status", [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_leaves_a_checkpoint(space, done, tmp_path, number, status):
    out, file = tmp_path / "t", tmp_path / "pod" / "metrics.log"
    process = start(space, out, "--metrics-file", str(file))
    wait_for(lambda: lines_of(file) > 0, process)
    process.send_signal(getattr(signal, number))
    said = process.communicate(timeout=60)[1]
    assert process.returncode == status, said
    assert books.load(out).state == "stopped" and (out / "checkpoint.gn2").exists()
    file.unlink()  # another pod has a new one
    assert main(words(space, out, "--metrics-file", str(file))) == 0
    assert same(out, done)
    assert file.read_bytes() == (out / "metrics.log").read_bytes()
    a, b = told(out / "metrics.log"), told(done / "metrics.log")
    assert a[:-1] == b[:-1]
    assert books.load(out).curve == books.load(done).curve
    assert books.load(out).metrics["val_loss"] == books.load(done).metrics["val_loss"]


KILLED = """
import os, signal
from gn2 import _lines
from gn2.hpo.books import Trial
left = {left}
def dying(method):
    def call(*words):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*words)
    return call
_lines.Lines.add, Trial.save = dying(_lines.Lines.add), dying(Trial.save)
"""


def test_killed_between_its_model_and_its_end(space, done, tmp_path):
    """run.json said done, trial.json did not: no command could end it any more."""
    out = tmp_path / "out"
    shutil.copytree(done, out)
    trial = books.load(out)
    dataclasses.replace(trial, state="running", ended="").save(out)
    assert main(words(space, out)) == 0
    assert books.load(out).state == "done"
    assert books.load(out).metrics["val_loss"] == trial.metrics["val_loss"]
    assert (out / "model.gn2").read_bytes() == (done / "model.gn2").read_bytes()


@pytest.mark.parametrize("left", [3, 14, 29])
def test_killed_at_any_write_it_goes_on_to_the_same_bits(space, done, tmp_path, left):
    out = tmp_path / "t"
    process = start(space, out, before=KILLED.format(left=left))
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert main(words(space, out)) == 0
    assert same(out, done)
    assert told(out / "metrics.log")[:-1] == told(done / "metrics.log")[:-1]
    trial, want = books.load(out), books.load(done)
    assert trial.state == "done" and trial.curve == want.curve
    costs = {*trial.resources, "diverged"}
    assert {n: v for n, v in trial.metrics.items() if n not in costs} == {
        n: v for n, v in want.metrics.items() if n not in costs
    }


HANGS = """
import ctypes, gn2, gn2.cli.trial_run
def hang(*words):
    open({sign!r}, "w").close()
    lock = ctypes.create_string_buffer(64)
    take = ctypes.CDLL(None).pthread_mutex_lock
    take(lock), take(lock)  # a signal does not end it
gn2.{what} = hang
gn2.cli.trial_run.STOP_WITHIN = 0.5
"""


@pytest.mark.parametrize("what", ["Dataset.setup", "Trainer.evaluate"])
def test_a_signal_ends_it_in_time_whatever_it_is_at(space, done, tmp_path, what):
    out, sign = tmp_path / "t", tmp_path / "hangs"
    process = start(space, out, before=HANGS.format(what=what, sign=str(sign)))
    wait_for(sign.exists, process)
    assert (out / "metrics.log").read_bytes() == b""  # whoever waits for it finds it
    process.terminate()
    begin = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 143 and time.monotonic() - begin < 10
    assert books.load(out).state == "stopped"
    assert main(words(space, out)) == 0 and same(out, done)


def test_the_time_to_stop_is_enough():
    assert trial_run.STOP_WITHIN < launch.STOP_WITHIN < 10


@pytest.mark.parametrize(
    "name, size", [("checkpoint.gn2", 999), ("run.json", 0), ("config.txt", 99)]
)
def test_what_is_damaged_is_made_again(space, done, tmp_path, capsys, name, size):
    out = tmp_path / "t"
    process = start(space, out, before=KILLED.format(left=12))
    process.communicate(timeout=60)
    os.truncate(out / name, size)
    assert main(words(space, out)) == 0
    assert "begins again" in capsys.readouterr().err
    assert same(out, done)
    assert told(out / "metrics.log")[:-1] == told(done / "metrics.log")[:-1]


def test_a_trial_is_one_processes(space, tmp_path, capsys):
    out, sign = tmp_path / "t", tmp_path / "hangs"
    what = HANGS.format(what="Dataset.setup", sign=str(sign))
    process = start(space, out, before=what)
    wait_for(sign.exists, process)
    before = (out / "trial.json").read_bytes()
    assert main(words(space, out)) == 1
    assert f"process {process.pid}" in capsys.readouterr().err
    assert (out / "trial.json").read_bytes() == before
    process.kill()
    process.communicate()


# ---- launched ----

LAUNCHER = """#!/usr/bin/env python3
# runs COPIES of what follows, each with its rank, and brings their output together
import os, signal, subprocess, sys
copies, command = int(sys.argv[1]), sys.argv[2:]
envs = [{**os.environ, "OMPI_COMM_WORLD_RANK": str(i)} for i in range(copies)]
ranks = [subprocess.Popen(command, env=env) for env in envs]
stopped = []
def stop(number, frame):
    stopped.append(number)
    for rank in ranks:
        rank.send_signal(number)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
print("launcher: started", flush=True)
found = [rank.wait() for rank in ranks]
sys.exit(1 if stopped else max(abs(status) for status in found))  # as Open MPI does
"""


@pytest.fixture
def launcher(tmp_path):
    path = tmp_path / "launch er"
    path.write_text(LAUNCHER)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"'{path}' 2"


def test_a_launched_trial(space, done, launcher, tmp_path, capfd):
    out, file, kept = tmp_path / "t", tmp_path / "pod" / "m.log", tmp_path / "kept"
    more = ["--metrics-file", str(file), "--launch", launcher, "--keep", str(kept)]
    assert main(words(space, out, *more)) == 0
    said = capfd.readouterr()
    assert "launcher: started" in said.err and "rank 1" in said.err
    assert same(out, done) and same(kept / "t", done)
    assert file.read_bytes() == (out / "metrics.log").read_bytes()
    assert told(file)[:-2] == told(done / "metrics.log")[:-2]
    assert "core_seconds" not in books.load(out).resources
    file.unlink()
    assert main(words(space, out, *more)) == 0  # again: told whole
    assert file.read_bytes() == (out / "metrics.log").read_bytes()


def test_how_a_launched_trial_ends(space, launcher, tmp_path, capfd):
    fail = ["--launch", launcher, "--on-divergence", "fail"]
    given = ["rate=1e3", "layers=1"]
    assert main(words(space, tmp_path / "a", *fail, given=given)) == 3
    assert main(words(space, tmp_path / "a", *fail)) == 2  # another trial's folder
    assert "holds another trial" in capfd.readouterr().err
    assert main(words(space, tmp_path / "b", *fail, given=["rate=1"])) == 2
    assert not (tmp_path / "b").exists()
    assert main(words(space, tmp_path / "b", "--launch", "/bin/true")) == 1
    assert "is that folder shared" in capfd.readouterr().err
    assert main(words(space, tmp_path / "b", "--launch", "/no/mpirun")) == 1
    assert main(words(space, tmp_path / "b", "--rank")) == 2
    assert "OMPI_COMM_WORLD_RANK" in capfd.readouterr().err


def test_a_launched_trial_is_stopped_with_its_launcher(space, done, launcher, tmp_path):
    out, file = tmp_path / "t", tmp_path / "pod" / "m.log"
    more = ["--metrics-file", str(file), "--launch", launcher]
    process = start(space, out, *more)
    wait_for(lambda: lines_of(file) > 0, process)
    process.terminate()
    begin = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 143 and time.monotonic() - begin < 10
    assert books.load(out).state == "stopped" and not (out / "lock").exists()
    assert main(words(space, out, *more)) == 0
    assert same(out, done)
    assert told(file)[:-2] == told(done / "metrics.log")[:-2]
