# SPDX-License-Identifier: Apache-2.0
"""`mpirun -n R gn2 fit` makes the files of `gn2 fit`, or nothing at all."""

import hashlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from runs import VAL, fit, resume, with_files  # noqa: F401

import gn2
from gn2.cli import main
from gn2.group import _load

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mpi"))
from mpis import ALLOW  # noqa: E402

OPTIONS = ["-v", VAL, "train.epochs=2", "model.dropout_ffn=0.1", "train.threads=1"]
WIDE = ["model.embed_dim=256", "model.num_layers=3", "train.epochs=1"]
WIDE += ["train.threads=1", "data.max_jets=60", "data.batch_size=30"]
FILES = ("model.gn2", "checkpoint.gn2", "best.gn2")


def command(ranks, words):
    """What runs the command with so many ranks, and its environment."""
    if shutil.which("mpirun") is None:
        pytest.skip("no mpirun")
    try:
        _load()
    except gn2.Unsupported:
        pytest.skip("built without MPI")
    words = ["mpirun", "-n", str(ranks), sys.executable, "-m", "gn2", *words]
    return words, {**os.environ, **ALLOW}


def mpirun(ranks, words):
    """Runs it; (status, what was said)."""
    words, env = command(ranks, words)
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def digests(folder):
    return {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in FILES}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    assert main(fit(out, *OPTIONS)) == 0
    return out


@pytest.mark.parametrize("ranks", [2, 4])
def test_files_are_those_of_one_process(ranks, alone, tmp_path):
    out = tmp_path / "run"
    status, said = mpirun(ranks, fit(out, *OPTIONS, "--expect-ranks", str(ranks)))
    assert status == 0, said
    assert digests(out) == digests(alone)
    assert said.count(" step=5 ") == 1  # one rank tells
    # a run that is there is refused by rank 0, and the others do not wait for it
    status, said = mpirun(ranks, fit(out, *OPTIONS))
    assert status != 0 and said.count("holds a run already") == 1
    assert digests(out) == digests(alone)


def test_messages_in_parts_bring_the_bits_of_one_process(tmp_path):
    """Of a mebibyte each: half of the weights are more than two."""
    options = ["-v", VAL, *WIDE]
    assert main(fit(tmp_path / "alone", *options)) == 0
    model = gn2.Model.load(str(tmp_path / "alone" / "model.gn2"))
    assert sum(t.count for t in model.params.values()) * 4 / 2 > 2 << 20
    status, said = mpirun(2, fit(tmp_path / "run", *options))
    assert status == 0, said
    assert digests(tmp_path / "run") == digests(tmp_path / "alone")


def children(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()]


def test_a_run_that_lost_a_rank_goes_on_with_others(tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "run"
    options = ["train.epochs=20", "train.threads=1", "train.checkpoint_steps=5"]
    assert main(fit(whole, *options)) == 0
    words, env = command(2, fit(out, *options))
    job = subprocess.Popen(words, env=env, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (out / "checkpoint.gn2").exists() and time.monotonic() < until:
        assert job.poll() is None
        time.sleep(0.02)
    os.kill(children(job.pid)[-1], signal.SIGKILL)
    assert job.wait(60) != 0
    assert not (out / "model.gn2").exists()
    status, said = mpirun(4, resume(out))
    assert status == 0, said
    assert (out / "model.gn2").read_bytes() == (whole / "model.gn2").read_bytes()


def test_ranks_that_break_the_rule_are_refused(tmp_path):
    status, said = mpirun(3, fit(tmp_path / "run", *OPTIONS))
    assert status != 0 and "take 1, 2, 4, 8 ranks" in said


@pytest.mark.parametrize("name", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"])
def test_ranks_that_cannot_meet_do_not_train(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(name, "4")
    monkeypatch.setenv("GN2_MPI_LIBRARY", str(tmp_path / "none.so"))
    out = tmp_path / "run"
    assert main(fit(out)) == 1
    assert "libgn2_mpi cannot be loaded" in capsys.readouterr().err
    assert not out.exists()


def test_the_number_of_ranks_is_held_to(tmp_path, capsys, monkeypatch):
    assert main(fit(tmp_path / "run", "--expect-ranks", "2")) == 2
    assert "--expect-ranks 2, but there are 1" in capsys.readouterr().err
    monkeypatch.setenv("GN2_EXPECT_RANKS", "4")
    assert main(fit(tmp_path / "run")) == 2
    assert "--expect-ranks 4, but there are 1" in capsys.readouterr().err
    monkeypatch.setenv("GN2_EXPECT_RANKS", "four")
    assert main(fit(tmp_path / "run")) == 1
    assert "GN2_EXPECT_RANKS = 'four' is no number" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_number_of_hosts_is_held_to(tmp_path, capsys):
    """All ranks on one host, as Open MPI 5 starts them without a list it reads."""
    here = socket.gethostname()
    assert main(fit(tmp_path / "run", "--expect-hosts", "2")) == 2
    assert f"  {here}: rank 0\n" in capsys.readouterr().err
    status, said = mpirun(2, fit(tmp_path / "run", *OPTIONS, "--expect-hosts", "2"))
    assert status == 2
    assert said.count("--expect-hosts 2, but ranks are on 1:") == 1
    assert f"  {here}: rank 0, 1\n" in said and "PRTE_MCA_prte_default" in said
    assert not (tmp_path / "run").exists()
    status, said = mpirun(2, fit(tmp_path / "run", *OPTIONS, "--expect-hosts", "1"))
    assert status == 0, said


def on_hosts(names, words):
    """The command with a rank on each host; a host is a namespace that has its name."""
    if subprocess.run(["unshare", "--uts", "true"], check=False).returncode:
        pytest.skip("no namespaces: not root")
    start, env = command(1, words)
    found = start[:1]
    for name in names:
        script = f'hostname {name} && exec "$@"'
        found += ["-n", "1", "unshare", "--uts", "sh", "-c", script, "sh", *start[3:]]
        found.append(":")
    return subprocess.run(
        found[:-1], env=env, capture_output=True, text=True, timeout=300
    )


def test_hosts_are_told_from_each_other(alone, tmp_path):
    words = fit(tmp_path / "run", *OPTIONS, "--expect-hosts")
    done = on_hosts(["one", "two", "one", "two"], [*words, "3"])
    assert done.returncode == 2
    for line in ("3, but ranks are on 2:", "  one: rank 0, 2\n", "  two: rank 1, 3\n"):
        assert line in done.stderr
    done = on_hosts(["one", "two", "one", "two"], [*words, "2"])
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "run") == digests(alone)


def test_a_group_knows_its_hosts():
    words, env = command(2, [])
    lines = (
        "import gn2; group = gn2.Group.mpi()",
        "said = f'{group.rank} {group.hosts()} {group.texts(chr(233), 1)}'",
        "print(said + chr(10), end='')",  # one write, which no other rank splits
    )
    words = [*words[:-2], "-c", "\n".join(lines)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    here = socket.gethostname()
    said = f"{[here, here]} {[chr(0xFFFD)] * 2}"
    assert sorted(done.stdout.splitlines()) == [f"0 {said}", f"1 {said}"], done.stderr


TRIAL = f"""\
gn2_space: 1
parameters:
  rate: {{key: schedule.max, type: real, min: 1e-4, max: 1, scale: log}}
options: {{model.embed_dim: 16, model.init_hidden: 16, model.num_layers: 1,
          model.num_heads: 2, data.batch_size: 100, train.threads: 1}}
data: {{train: [{VAL}], val: [{VAL}]}}
budget: {{steps: 6, validate_steps: 3}}
"""


def test_a_trial_of_a_search_is_trained_by_all_ranks(tmp_path):
    """With --launch; the trial program here tells what rank 0 does there."""
    pytest.importorskip("yaml")
    _, env = command(2, [])
    space = tmp_path / "space.yaml"
    space.write_text(TRIAL, encoding="utf-8")

    def trial(out, rate, *more):
        words = ["hpo", "trial", str(space), "-o", str(tmp_path / out), "-q", *more]
        words = [sys.executable, "-m", "gn2", *words, f"rate={rate}"]
        done = subprocess.run(
            words, env=env, capture_output=True, text=True, timeout=120
        )
        return done.returncode, done.stderr

    launch = ("--launch", "mpirun -n 2")
    assert trial("alone", 0.01) == (0, "")
    status, said = trial("both", 0.01, *launch)
    assert status == 0, said
    for name in ("model.gn2", "checkpoint.gn2"):
        one, two = ((tmp_path / out / name).read_bytes() for out in ("alone", "both"))
        assert one == two, name
    assert "rank 0 trains alone" not in said
    assert trial("both", 0.01, *launch)[0] == 0  # it has ended: nobody waits
    status, said = trial("both", 0.02, *launch)
    assert status == 2 and "holds another trial" in said
    assert trial("wild", 1, *launch)[0] == 0  # whether it diverges or not
