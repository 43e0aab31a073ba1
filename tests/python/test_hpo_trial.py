# SPDX-License-Identifier: Apache-2.0
"""The trial program: what it refuses, what it tells, when it says that it diverged,
what it keeps."""

import csv
import dataclasses
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from hpo_trials import GIVEN, SPACE, TIME, h5py, same, some_jets, told, words, write
from hpo_trials import done, few, plain, space  # noqa: F401  fixtures

import gn2
import gn2.hpo.loggers
from gn2.cli import main
from gn2.hpo import books, contract, identity

# ---- refusals ----


@pytest.mark.parametrize(
    "given, environment, said",
    [
        (["rate=1e-3"], {}, "no value of layers"),
        ([*GIVEN, "rat=1"], {}, "did you mean rate?"),
        ([*GIVEN, "rate=1e-3"], {}, "rate is given twice"),
        ([*GIVEN, "log2_rate=-9"], {}, "rate is given twice"),
        (["rate=1e-9", "layers=1"], {}, "rate = 1e-9 is not within"),
        (["rate=nan", "layers=1"], {}, "no number"),
        (["rate=1e-3", "layers=1.5"], {}, "layers = 1.5"),
        ([*GIVEN, "layers"], {}, "'layers' is no NAME=VALUE"),
        (GIVEN, {"RATE": "1e-3"}, "as KUBEFLOW_TRAINER_OPT_RATE"),
        (GIVEN, {"DEPTH": "3"}, "'DEPTH' is no parameter"),
        ([], {"RATE": "2", "LAYERS": "9"}, "layers = 9 is not within"),
    ],
)
def test_values_are_refused_before_anything_is_made(
    space, tmp_path, monkeypatch, capsys, given, environment, said
):
    for name, value in environment.items():
        monkeypatch.setenv(f"KUBEFLOW_TRAINER_OPT_{name}", value)
    monkeypatch.setattr(gn2.Dataset, "__init__", None)  # not opened
    assert main(words(space, tmp_path / "t", given=given)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    "name", ["WORLD_SIZE", "PET_NNODES", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]
)
def test_one_of_several_processes_is_refused(
    space, tmp_path, monkeypatch, capsys, name
):
    """Each would train the trial by itself, in one folder. The remedy is known here."""
    monkeypatch.setenv(name, "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    by_mpi = name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
    for more in [[]] if by_mpi else [[], ["--rank"]]:
        assert main([*words(space, tmp_path / "t", given=GIVEN), *more]) == 2
        said = capsys.readouterr().err
        assert "start the trial once, with --launch" in said and "--group" not in said
        assert name in said or "MPI has started 2" in said
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"options": {"model.embed_dim": 15}}, "num_heads"),
        ({"options": {"schedule.name": "constant"}}, "has no end"),
        ({"options": {"train.early_stopping": 3}}, "train.early_stopping"),
        ({"options": {"train.checkpoint": "c.gn2"}}, "train.checkpoint"),
        ({"options": {"inputs.flows": "pt"}}, "there are no flows"),
        ({"data": {"val": []}}, "val"),
        ({"objective": {"metric": "val_luck"}}, "val_luck"),
        ({"data": {"train": [str(ROOT / "README.md")]}}, "README.md"),
        ({"gn2_space": 2}, "gn2_space"),
    ],
)
def test_what_can_never_work_says_so(tmp_path, capsys, changes, said):
    path = write(tmp_path / "s.yaml", **changes)
    assert main(words(path, tmp_path / "t")) == 2
    assert said in capsys.readouterr().err
    assert main(words(tmp_path / "none.yaml", tmp_path / "t")) == 2


def test_what_may_work_later_says_so(space, tmp_path, capsys):
    path = write(tmp_path / "s.yaml", data={"train": [str(tmp_path / "later.h5")]})
    assert main(words(path, tmp_path / "t")) == 1
    assert "later.h5" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()  # it may be any trial's yet
    with pytest.raises(SystemExit) as end:
        main(words(space, tmp_path / "t", "--on-divergence", "hope"))
    assert end.value.code == 2


def test_the_folder_of_another_trial_is_refused(space, done, tmp_path, capsys):
    before = {p.name: p.read_bytes() for p in done.iterdir()}
    assert main(words(space, done, given=["rate=2e-3", "layers=1"])) == 2
    assert "schedule.max is 0.001, not 0.002" in capsys.readouterr().err
    other = write(tmp_path / "s.yaml", data={"val": SPACE["data"]["train"]})
    assert main(words(other, done)) == 2
    assert "content of the data" in capsys.readouterr().err
    assert before == {p.name: p.read_bytes() for p in done.iterdir()}
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    assert main(words(space, run)) == 2
    assert "holds a run that is no trial" in capsys.readouterr().err
    assert os.listdir(run) == ["run.json"]


def test_values_of_the_environment(space, done, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBEFLOW_TRAINER_OPT_LOG2_RATE", repr(float(np.log2(1e-3))))
    monkeypatch.setenv("KUBEFLOW_TRAINER_OPT_LAYERS", "1")
    out = tmp_path / "t"
    assert main(words(space, out, given=[])) == 0
    # a value that went through a logarithm may end one bit off: another training
    rate = float(books.load(out).parameters["rate"])
    assert rate == pytest.approx(1e-3, rel=1e-12)
    assert same(out, done) == (rate == 1e-3)


# ---- what is told ----


def test_an_undisturbed_trial(done):
    rows = told(done / "metrics.log")
    assert [row.get("step") for row in rows] == [4, 8, 12, 14, None]
    assert all("val_loss" in row for row in rows[:-1])
    trial = books.load(done)
    assert trial.state == "done" and rows[-1]["diverged"] == 0
    assert trial.parameters == {"rate": "0.001", "layers": "1"}
    assert trial.options["schedule.steps"] == "14" and trial.name == "trial"
    assert [s for s, _ in trial.curve] == [4, 8, 12, 14]
    assert trial.curve[-1][1] == pytest.approx(rows[-2]["val_loss"], rel=1e-8)
    assert trial.metrics["val_loss"] < trial.metrics["untrained_val_loss"]
    assert {"wall_seconds", "core_seconds", "jets_per_second"} <= set(trial.resources)
    assert trial.resources["peak_memory_bytes"] > 1e6
    assert trial.version == gn2.__version__ and trial.ended > trial.started
    with open(done / "metrics.csv", newline="") as file:
        steps = [row["event"] for row in csv.DictReader(file)].count("step")
    assert steps == 14  # eight batches an epoch


def test_reports_are_evenly_spaced(tmp_path):
    """An epoch ends at step 8, where the budget has no validation."""
    budget = {"validate_steps": 6}
    path, out = write(tmp_path / "s.yaml", budget=budget), tmp_path / "t"
    assert main(words(path, out)) == 0
    rows = told(out / "metrics.log")
    assert [row["step"] for row in rows if "val_loss" in row] == [6, 12, 14]
    assert [row["step"] for row in rows[:-1]] == [6, 8, 12, 14]


def test_a_digest_is_of_what_counts(done, tmp_path):
    trial = books.load(done)
    config = identity.config_of(trial.options)
    data = list(trial.data.values())
    key = identity.config_digest(config, data)
    assert key == trial.config
    config["train.threads"] = 2
    config["schedule.max"] = "1.0e-3"
    assert identity.config_digest(config, data) == key
    config["train.seed"] = 43
    assert identity.config_digest(config, data) != key
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(identity.WHOLE + 5)
    before = identity.data_digest(str(large))
    with open(large, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    assert before.startswith("sampled-") and identity.data_digest(str(large)) != before


def test_the_metrics_file_follows_the_folders(space, done, tmp_path):
    """Both forms; a new file of a trial that is done has all of it."""
    text, objects = tmp_path / "m" / "a.log", tmp_path / "b.log"
    text.parent.mkdir()
    text.write_text("2026-11-29T02:06:28Z step=15 val_loss=4.98\n")  # another's
    assert main(words(space, done, "--metrics-file", str(text))) == 0
    more = ["--metrics-file", str(objects), "--metrics-format", "json"]
    assert main(words(space, done, *more)) == 0
    assert text.read_bytes() == (done / "metrics.log").read_bytes()
    rows = [json.loads(line) for line in objects.read_text().splitlines()]
    for row, want in zip(rows, told(text)):
        assert re.fullmatch(TIME, row.pop("timestamp"))
        assert all(isinstance(value, str) for value in row.values())
        assert {name: float(value) for name, value in row.items()} == want
    own = ["--metrics-file", str(done / "metrics.log"), "--metrics-format", "json"]
    assert main(words(space, done, *own)) == 2


def test_a_line_is_whole_and_finite():
    figures = {"a.b c": 1 / 3, "no": float("nan"), "inf": float("inf"), "n": 7}
    line = contract.line(figures)
    assert re.fullmatch(TIME + r" a_b_c=0\.333333333 n=7\n", line)
    assert contract.read(line).keys() == {"timestamp", "a_b_c", "n"}
    for bad in (line[:-1], "x=1\n", line.replace("7", "nan"), line.replace(" n", "n")):
        assert contract.read(bad) is None or bad.count("=") == 1


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path):
    path = tmp_path / "m"
    file = contract.MetricsFile(str(path))
    line = contract.line({"a": 1})
    file.add(line)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(line) + 9, limits[1]))
    try:
        with pytest.raises(OSError):
            file.add(line)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_text() == line


def test_one_write_a_line(tmp_path, monkeypatch):
    written = []
    write_one = os.write
    monkeypatch.setattr(os, "write", lambda f, d: written.append(d) or write_one(f, d))
    file = contract.MetricsFile(str(tmp_path / "m"), "json")
    file.add(contract.line({"loss": 0.5, "step": 3}))
    assert len(written) == 1 and json.loads(written[0])["loss"] == "0.5"
    file.close()


def test_a_trial_without_room_says_so_and_goes_on_later(space, done, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    size = (done / "model.gn2").stat().st_size
    asked = [sys.executable, "-m", "gn2", *words(space, tmp_path / "t")]
    found = subprocess.run(asked, preexec_fn=limit, capture_output=True, text=True)
    assert found.returncode == 4, found.stderr
    assert "checkpoint.gn2" in found.stderr and "File too large" in found.stderr
    assert main(words(space, tmp_path / "t")) == 0
    assert same(tmp_path / "t", done)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_what_is_no_room(number):
    no_room = number != errno.EACCES
    assert contract.is_no_room(OSError(number, "words")) == no_room
    quoted = gn2.FileError(f"t/model.gn2: {os.strerror(number)}")
    assert contract.is_no_room(quoted) == no_room


# ---- divergence ----


@pytest.fixture(scope="module")
def bad(space, tmp_path_factory):
    """A trial whose weights are lost."""
    out = tmp_path_factory.mktemp("bad") / "trial"
    assert main(words(space, out, given=["rate=1e3", "layers=1"])) == 0
    return out


def test_a_trial_that_diverges_is_told_as_untrained(space, bad, tmp_path):
    trial, rows = books.load(bad), told(bad / "metrics.log")
    assert trial.state == "diverged" and trial.message
    untrained = trial.metrics["untrained_val_loss"]
    assert rows[-1]["diverged"] == 1
    assert rows[-1]["val_loss"] == pytest.approx(untrained, rel=1e-8)
    assert all(row["val_loss"] <= untrained * (1 + 1e-8) for row in rows)
    # the same figure as the network has with the same seed and no step
    config = gn2.Config(bad / "config.txt")
    options = config.copy()
    options.update({"data.sampling": "sequential", "data.max_jets": -1})
    with gn2.Dataset(SPACE["data"]["val"], options) as val:
        with gn2.Trainer(gn2.Model(config), config) as trainer:
            assert trainer.evaluate(val).loss == untrained


def test_a_trial_that_diverges_may_fail(space, bad, tmp_path, capsys):
    out, given = tmp_path / "t", ["rate=1e3", "layers=1"]
    assert main(words(space, out, "--on-divergence", "fail", given=given)) == 3
    rows = told(out / "metrics.log")
    assert rows[-1]["diverged"] == 1 and "val_loss" not in rows[-1]
    assert books.load(out).state == "diverged"
    # asked again, it says the same without training, or what is asked for now
    begin = (out / "metrics.csv").stat().st_mtime_ns
    assert main(words(space, out, "--on-divergence", "fail", given=given)) == 3
    assert main(words(space, out, given=given)) == 0
    assert told(out / "metrics.log")[-1]["val_loss"] == pytest.approx(
        told(bad / "metrics.log")[-1]["val_loss"]
    )
    assert (out / "metrics.csv").stat().st_mtime_ns == begin


def test_no_better_than_untrained_is_divergence(tmp_path):
    """Finite all the time, but nothing is learnt."""
    still = {"options": {"schedule.initial": 0, "schedule.end": 0, "schedule.max": 0}}
    rate = {"key": "optim.weight_decay", "type": "real", "min": 0, "max": 1}
    still["parameters"] = {"rate": rate}
    path = write(tmp_path / "s.yaml", **still)
    assert main(words(path, tmp_path / "t")) == 0
    trial = books.load(tmp_path / "t")
    assert trial.state == "diverged" and "at the start" in trial.message
    assert trial.metrics["val_loss"] == trial.metrics["untrained_val_loss"]


def jets_with_nan(folder):
    """Of the first 400 jets of the sample, number 333."""
    path = folder / "jets.h5"
    some_jets(path, SPACE["data"]["train"][0], 400)
    with h5py.File(path, "r+") as file:
        jets = file["jets"][:]
        jets["pt_btagJes"][333] = np.nan
        file["jets"][:] = jets
    return path


def test_bad_data_is_no_divergence(tmp_path, capsys):
    path = jets_with_nan(tmp_path)
    space = write(tmp_path / "s.yaml", data={"train": [str(path)]})
    assert main(words(space, tmp_path / "t")) == 2
    assert "333" in capsys.readouterr().err
    assert books.load(tmp_path / "t").state == "failed"


def test_what_a_message_says_tells_no_divergence(tmp_path, monkeypatch):
    """Its words may change; who is at fault is told beside them."""
    monkeypatch.setattr(gn2._ffi, "last_error", lambda: "the loss is not finite")
    path = jets_with_nan(tmp_path)
    other = write(tmp_path / "s.yaml", data={"train": [str(path)]})
    assert main(words(other, tmp_path / "a")) == 2
    monkeypatch.setattr(gn2._ffi, "last_error", lambda: "other words")
    lost = {"schedule.initial": 1e3, "schedule.end": 1e3, "optim.weight_decay": 1}
    other = write(tmp_path / "s.yaml", options=lost)
    assert main(words(other, tmp_path / "b", given=["rate=1e3", "layers=1"])) == 0
    trial = books.load(tmp_path / "b")
    assert (trial.state, trial.message) == ("diverged", "other words")


# ---- kept ----


def test_what_is_kept(space, done, tmp_path, monkeypatch):
    monkeypatch.setenv("KATIB_TRIAL_NAME", "gn2-abc")
    where = tmp_path / "kept"
    assert main(words(space, tmp_path / "t", "--keep", str(where))) == 0
    names = ["best.gn2", "model.gn2", "trial.json"]
    assert os.listdir(where) == ["gn2-abc"]
    assert sorted(os.listdir(where / "gn2-abc")) == names
    assert books.load(where / "gn2-abc").state == "done" and same(
        where / "gn2-abc", done
    )
    # asked again, it replaces what is there, and nothing else
    (where / "gn2-abc" / "model.gn2").unlink()
    assert main(words(space, tmp_path / "t", "--keep", str(where))) == 0
    assert sorted(os.listdir(where / "gn2-abc")) == names
    assert os.listdir(where) == ["gn2-abc"]
    assert main(words(space, done, "--name", "../x")) == 2


def test_what_cannot_be_kept_does_not_undo_a_trial(space, done, tmp_path, capsys):
    """It is refused before the training; and what comes later leaves the trial done."""
    file, out = tmp_path / "file", tmp_path / "out"
    file.touch()
    assert main(words(space, out, "--keep", str(file))) == 1
    assert not (out / "checkpoint.gn2").exists()
    shutil.copytree(done, out, dirs_exist_ok=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / ".out.new").touch()  # in the way
    trial = books.load(out)
    dataclasses.replace(trial, state="running", ended="").save(out)
    assert main(words(space, out, "--keep", str(tmp_path / "kept"))) == 1
    assert books.load(out).state == "done"
    for name in (".", ".."):
        assert main(words(space, out, "--name", name)) == 2
        assert "the name of a folder" in capsys.readouterr().err


def test_a_metrics_file_empties_nothing_else(space, done, tmp_path, capsys):
    path = tmp_path / "jets.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    for form in ("text", "json"):
        more = ["--metrics-file", str(path), "--metrics-format", form]
        assert main(words(space, tmp_path / "out", *more)) == 2
        assert "jets.h5' is no metrics file" in capsys.readouterr().err
    assert path.read_bytes() == b"\x89HDF\r\n\x1a\n"
    for form in ("text", "json"):  # one of ours may be written again
        path = tmp_path / f"metrics.{form}"
        more = ["--metrics-file", str(path), "--metrics-format", form]
        for _ in range(2):
            assert main(words(space, done, *more)) == 0


def test_loggers_are_told_and_cannot_disturb(
    space, done, tmp_path, monkeypatch, capsys
):
    calls = []

    class Notes:
        def __init__(self, place, folder):
            calls.append(place)

        def begin(self, trial, steps):
            calls.append((trial.state, steps))

        def log(self, step, figures):
            calls.append((step, figures["val_loss"]))
            if step == 8:
                raise OSError("gone")

        def end(self, trial):
            calls.append(trial.state)

    made = lambda word, folder: Notes(word.partition(":")[2], folder)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(gn2.hpo.loggers, "make", made)
        assert main(words(space, tmp_path / "t", "--log", "notes:here")) == 0
    curve = list(books.load(tmp_path / "t").curve)
    assert calls == ["here", ("running", 14), *curve, "done"]
    assert (
        "notes:here: 1 calls came to nothing (OSError: gone)" in capsys.readouterr().err
    )
    assert same(tmp_path / "t", done)
    assert main(words(space, tmp_path / "no", "--log", "telegraph")) == 2
    assert not (tmp_path / "no").exists()
