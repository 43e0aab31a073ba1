# SPDX-License-Identifier: Apache-2.0
"""`gn2 fit` keeps its word: options that are given, a folder of its own, going on with
what was begun, and an end when it is asked for."""

import csv
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from runs import QUIET, SMALL, TRAIN, VAL, done, fit, resume, with_files  # noqa: F401

import gn2
from gn2._lock import FolderLock
from gn2.cli import main
from gn2.cli.container import contents


def state(out):
    return json.loads((out / "run.json").read_text())["state"]


def weights(path):
    return gn2.Model.load(path).state_dict()


def same(a, b):
    return all((a[name] == b[name]).all() for name in a)


# ---- options ----


def test_given_values_are_used_and_said(tmp_path, capsys):
    out = tmp_path / "run"
    given = ["norm.tracks.std=" + ",".join(["2"] * 19)]
    given += ["task.track_origin.class_weights=1,2,3,4,5,6,7,8"]
    assert main(fit(out, "train.epochs=1", *given)) == 0
    said = capsys.readouterr().err
    for path in (out / "model.gn2", out / "checkpoint.gn2"):
        config = gn2.Model.load(path).config
        assert config["norm.tracks.std"] == [2.0] * 19
        assert config["task.track_origin.class_weights"] == [*range(1, 9)]
        assert len(config["norm.tracks.mean"]) == 19  # of the data
        assert config["provenance.given"].split(",") == [
            "norm.tracks.std",
            "task.track_origin.class_weights",
        ]
    assert "norm.tracks.std" in said and "class_weights" in said


@pytest.mark.parametrize(
    "words, said",
    [
        (["schedule.max=1e-4"], ["schedule.max is 0.0005, not 0.0001"]),
        (["data.batch_size=50"], ["data.batch_size is 100, not 50"]),
        (["train.epochs=3"], ["train.epochs is 1, not 3", "schedule.steps is 0"]),
        (["model.dropout_ffn=0.5", "data.seed=1"], ["dropout_ffn", "data.seed"]),
        (["tagger.threads=2"], ["tagger.threads"]),
        (["-m", "other.gn2"], ["other.gn2"]),
        (["train.threads=2"], ["no step is left", "1 of 1 epochs"]),
        ([], ["no step is left"]),
    ],
)
def test_what_a_finished_run_is_told_is_not_lost(done, capsys, words, said):
    before = {p.name: p.read_bytes() for p in done.iterdir()}
    assert main(resume(done, *words)) == 1
    told = capsys.readouterr().err
    assert all(word in told for word in said), told
    assert before == {p.name: p.read_bytes() for p in done.iterdir()}


def test_a_file_of_options_counts_when_going_on(done, tmp_path, capsys):
    path = tmp_path / "c.txt"
    path.write_text("optim.weight_decay = 0.5\n")
    assert main(resume(done, "-c", str(path))) == 1
    assert "optim.weight_decay is 1e-05, not 0.5" in capsys.readouterr().err


def test_a_run_with_steps_of_its_own_can_be_made_longer(tmp_path):
    long, short = tmp_path / "long", tmp_path / "short"
    steps = "schedule.steps=10"
    assert main(fit(long, steps, "train.epochs=2")) == 0
    assert main(fit(short, steps, "train.epochs=1")) == 0
    assert main(resume(short, "train.epochs=2", "train.threads=1")) == 0
    assert same(weights(long / "model.gn2"), weights(short / "model.gn2"))
    assert gn2.Config(short / "config.txt")["train.epochs"] == 2


def test_auto_is_settled_when_a_run_begins(tmp_path):
    out = tmp_path / "run"
    words = ["train.precision=auto", "schedule.steps=10"]
    assert main(fit(out, *words, "train.epochs=1")) == 0
    settled = gn2.Config(out / "config.txt")["train.precision"]
    assert settled in ("f32", "bf16")
    kept = contents(str(out / "checkpoint.gn2")).keys
    assert kept["trainer.option.train.precision"] == settled
    assert main(resume(out, words[0], "train.epochs=2")) == 0
    assert gn2.Config(out / "config.txt")["train.precision"] == settled


@pytest.mark.parametrize(
    "word",
    [
        "model.embed_dim=32",
        "model.tasks=jets_classification",
        "task.jets_classification.class_weights=1,1,1,1",
        "norm.jets.mean=0,0",
        "discriminant.D_x.signal=cjets",
        "data.class_weights=no",
        "train.checkpoint=elsewhere.gn2",
        "scores.half_precision=yes",
        "provenance.data=mine",
    ],
)
def test_options_that_would_do_nothing_are_refused(done, tmp_path, capsys, word):
    out = tmp_path / "run"
    words = [w for w in fit(out, "train.epochs=1") if not w.startswith("model.")]
    assert main([*words, "-m", str(done / "model.gn2"), word]) == 1
    assert word.split("=")[0] in capsys.readouterr().err
    assert not out.exists()


def test_the_config_of_a_warm_start_is_the_models(done, tmp_path):
    out = tmp_path / "run"
    words = [w for w in fit(out, "train.epochs=1") if not w.startswith("model.")]
    whole = ["-c", str(done / "config.txt"), "model.dropout_ffn=0.1"]
    assert main([*words, "-m", str(done / "model.gn2"), *whole]) == 0
    config, model = gn2.Config(out / "config.txt"), gn2.Model.load(done / "model.gn2")
    for key in model.config:
        if key.startswith(("model.", "norm.", "task.", "inputs.", "provenance.")):
            if key != "model.dropout_ffn":
                assert config[key] == model.config[key], key


def test_what_fits_of_a_model_is_taken_over(done, tmp_path, capsys):
    out = tmp_path / "run"
    words = [w for w in fit(out, "train.epochs=1") if not w.startswith("model.")]
    words += ["schedule.max=0", "schedule.initial=0", "schedule.end=0"]
    words += ["-m", str(done / "model.gn2"), "--finetune"]
    words += ["model.tasks=jets_classification,r", "task.r.kind=regression"]
    words += ["task.r.targets=eta_btagJes", "task.jets_classification.hidden=4"]
    words += ["task.jets_classification.class_weights="]
    assert main(words) == 0
    said = capsys.readouterr().err
    old, new = weights(done / "model.gn2"), weights(out / "model.gn2")
    for name in new:
        taken = name in old and old[name].shape == new[name].shape
        assert taken == (f" {name}" not in said.replace(",", " "))
        assert not taken or (old[name] == new[name]).all()
    a, b = (gn2.Model.load(p / "model.gn2").config for p in (done, out))
    assert a["norm.tracks.mean"] == b["norm.tracks.mean"]
    assert len(b["task.jets_classification.class_weights"]) == 4
    assert main(fit(tmp_path / "no", "--finetune")) == 1
    assert "-m" in capsys.readouterr().err


def test_a_run_that_cannot_begin_leaves_the_old_one(done, tmp_path):
    out = tmp_path / "run"
    assert main(fit(out, "train.epochs=1")) == 0
    before = sorted(os.listdir(out))
    assert main(fit(out, "--force", "model.num_heads=3")) == 1
    assert sorted(os.listdir(out)) == before and state(out) == "done"


# ---- one at a time ----

HOLD = """
import pathlib, sys
from gn2._lock import FolderLock
lock = FolderLock(pathlib.Path(sys.argv[1]))
lock.take()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("words", [["--force"], [], ["--resume"]])
def test_a_folder_at_work_is_refused_and_its_holder_named(done, capsys, words):
    command = [sys.executable, "-c", HOLD, str(done)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "held\n"
        before = (done / "model.gn2").read_bytes()
        call = resume(done) if "--resume" in words else fit(done, *words)
        assert main(call) == 1
        told = capsys.readouterr().err
        assert f"process {other.pid} on {socket.gethostname()}" in told
        other.kill()  # leaves its file
    assert (done / "lock").exists()
    assert (done / "model.gn2").read_bytes() == before
    lock = FolderLock(done)
    lock.take()  # stale
    lock.release()
    assert not (done / "lock").exists()


def test_without_flock_the_named_process_counts(tmp_path, monkeypatch):
    def without(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", without)
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
    )
    here = socket.gethostname()
    for pid, host, held in (
        (int(gone.stdout), here, False),
        (os.getppid(), here, True),
        (int(gone.stdout), "elsewhere", True),
    ):
        (tmp_path / "lock").write_text(json.dumps({"pid": pid, "host": host}))
        lock = FolderLock(tmp_path)
        if held:
            with pytest.raises(gn2.StateError, match=f"process {pid} on {host}"):
                lock.take()
        else:
            lock.take()
            lock.release()


def test_a_failed_run_gives_its_folder_back(tmp_path):
    out = tmp_path / "run"
    wild = ["optim.name=sgd", "schedule.max=1e3", "schedule.initial=1e3"]
    assert main(fit(out, *wild)) == 1
    assert state(out) == "failed" and not (out / "lock").exists()
    assert not (out / "model.gn2").exists()
    assert main(fit(out, "--force", "train.epochs=1")) == 0


# ---- asked to stop ----


def wait_for(path, process):
    end = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)


def test_a_validation_is_left_when_asked_and_made_up_for(tmp_path):
    out, whole = tmp_path / "run", tmp_path / "whole"
    many = [word for _ in range(12) for word in ("-v", VAL)]
    words = ["train.epochs=1", "train.threads=1", "model.embed_dim=64"]
    command = [sys.executable, "-m", "gn2", *fit(out, *words, *many)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(out / "checkpoint.gn2", process)  # written before the validation
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert time.monotonic() - begin < 10
    assert process.returncode == 143 and state(out) == "stopped", told
    assert not (out / "model.gn2").exists()
    assert main(resume(out)) == 0
    with open(out / "metrics.csv", newline="") as file:
        events = [row["event"] for row in csv.DictReader(file)]
    assert events == ["step"] * 5 + ["epoch"] and state(out) == "done"
    assert main(fit(whole, *words)) == 0
    assert same(weights(out / "model.gn2"), weights(whole / "model.gn2"))
    assert (out / "best.gn2").exists()


def test_a_run_stopped_between_its_last_step_and_its_model(tmp_path):
    out = tmp_path / "run"
    assert main(fit(out, "train.epochs=1")) == 0
    model = (out / "model.gn2").read_bytes()
    facts = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**facts, "state": "stopped"}))
    (out / "model.gn2").unlink()
    assert main(resume(out)) == 0
    assert (out / "model.gn2").read_bytes() == model and state(out) == "done"


def test_ctrl_c_is_heard_within_an_evaluation():
    jets = np.tile(np.array([[1e5, 0.5], [5e4, -1]], "f4"), (100_000, 1))
    options = {
        "model.tasks": ["jets_classification"],
        "model.num_heads": 2,
        "model.embed_dim": 128,
        "train.threads": 1,
        "norm.jets.std": [1e5, 1],
    }
    data = gn2.Dataset.from_arrays(jets, None, np.arange(200_000) % 4, options)
    trainer = gn2.Trainer(gn2.Model(options))
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        trainer.evaluate(data)
    assert time.monotonic() - begin < 10
    few = gn2.Dataset.from_arrays(jets[:1000], None, np.arange(1000) % 4, options)
    assert trainer.evaluate(few).jets == 1000  # it is over


# ---- early stopping ----


def test_a_run_ends_when_its_losses_do_not_fall(tmp_path, capsys):
    out = tmp_path / "run"
    words = ["schedule.name=constant", "schedule.max=0", "train.epochs=20"]
    words += ["train.early_stopping=2", "-v", VAL]
    assert main(fit(out, *words)) == 0
    assert "train.early_stopping" in capsys.readouterr().err
    with open(out / "metrics.csv", newline="") as file:
        events = [row["event"] for row in csv.DictReader(file)]
    assert events.count("epoch") == 3 and state(out) == "done"
    assert main(resume(out)) == 1
    assert "2 validations" in capsys.readouterr().err
    assert main(fit(tmp_path / "no", "train.early_stopping=2")) == 1
    assert "validation data" in capsys.readouterr().err


def test_what_a_command_reads_is_not_its_output(tmp_path, capsys):
    model = str(tmp_path / "m.gn2")
    gn2.Model(dict(o.split("=") for o in SMALL[:4])).save(model)
    before = pathlib.Path(model).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for words in (
        ["tag", model, VAL, "-o", model, "-f", "-q"],
        ["tag", model, VAL, "-o", str(pipe), "-f", "-q"],
        ["export", "onnx", model, "-o", model, "-f"],
    ):
        assert main(words) == 1
        said = capsys.readouterr().err
        assert "input itself" in said or "no regular file" in said
    assert pathlib.Path(model).read_bytes() == before
    assert pipe.is_fifo()


def test_finetuning_does_not_turn_names_round(tmp_path, capsys):
    model = str(tmp_path / "m.gn2")
    gn2.Model(dict(o.split("=") for o in SMALL[:4])).save(model)
    for option in (
        "model.classes=ujets,cjets,bjets,taujets",
        "inputs.jets=eta_btagJes,pt_btagJes",
    ):
        words = ["fit", TRAIN, "-m", model, "--finetune", "-q", "--no-report", option]
        assert main([*words, "-o", str(tmp_path / "run")]) == 1
        assert "tensors go by position" in capsys.readouterr().err
    assert not (tmp_path / "run" / "model.gn2").exists()


def test_other_files_do_not_go_on(done, capsys):
    for words in (["-v", VAL], [VAL]):
        assert main(resume(done, *words)) == 1
        assert "began with" in capsys.readouterr().err


def test_force_spares_the_model_it_begins_with(done, capsys):
    model = str(done / "model.gn2")
    assert main(["fit", TRAIN, "-m", model, "-o", str(done), "-f", *QUIET]) == 1
    assert "choose another folder" in capsys.readouterr().err
    assert pathlib.Path(model).exists()
