# SPDX-License-Identifier: Apache-2.0
"""What `gn2 fit` writes while it runs: metrics.csv and metrics.log are whole at any
moment, and those of a run that goes on are those of one that was never stopped."""

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from runs import QUIET, TRAIN, VAL, resume, with_files  # noqa: F401

import gn2
from gn2.cli import fit as fit_command
from gn2 import _lines as lines
from gn2.cli import main
from gn2.cli.common import Failure
from gn2.cli.rundir import columns_of
from gn2.hpo.collector import PATTERN
from gn2.hpo.contract import line, name_of

#: two epochs of six steps: validations at 4, 6, 8 and 12
OPTIONS = [
    "model.embed_dim=8",
    "model.init_hidden=8",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.dropout_ffn=0.1",
    "data.batch_size=50",
    "data.max_jets=300",
    "schedule.steps=12",
    "train.epochs=2",
    "train.validate_steps=4",
    "train.threads=1",
]


def fit(out, *more):
    return ["fit", TRAIN, "-v", VAL, "-o", str(out), *QUIET, *OPTIONS, *more]


def table(out):
    """metrics.csv without the times."""
    with open(out / "metrics.csv", newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


def log(out):
    """metrics.log without the times."""
    return [line.split(" ", 1)[1] for line in open(out / "metrics.log")]


def numbers(line):
    """What Katib's collector reads of a line, by its usual filter."""
    return {m[1]: float(m[2]) for m in re.finditer(PATTERN, line, re.ASCII)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody stops; what it said is in the file "said"."""
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    out = tmp_path_factory.mktemp("whole") / "run"
    command = [sys.executable, "-m", "gn2", *fit(out)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    (out / "said").write_text(said.stdout)
    return out


def assert_same(a, b):
    assert table(a) == table(b) and log(a) == log(b)
    for name in ("model.gn2", "best.gn2"):
        one, two = (gn2.Model.load(p / name) for p in (a, b))
        assert one.config["provenance.steps"] == two.config["provenance.steps"]
        assert all((one[n] == two[n]).all() for n in one.params)


# ---- validations inside an epoch ----


def test_a_validation_inside_an_epoch_has_a_row_and_a_line(whole):
    rows = [r for r in table(whole) if r["event"] != "step"]
    events = [(r["event"], r["epoch"], int(r["step"])) for r in rows]
    at = [("validation", 4), ("epoch", 6), ("validation", 8), ("epoch", 12)]
    assert events == [(event, str((s - 1) // 6), s) for event, s in at]
    assert (whole / "said").read_text() == (whole / "metrics.log").read_text()
    found = [numbers(line) for line in log(whole)]
    for row, line in zip(rows, found):
        assert line["step"] == int(row["step"])
        for name in (n for n in row if n.startswith("val_")):
            if name in line:
                assert row[name] == f"{line[name]:.9g}"
            else:
                assert row[name] in ("nan", "inf")
    losses = {int(r["step"]): float(r["val_loss"]) for r in rows}
    best = gn2.Model.load(whole / "best.gn2").config
    assert int(best["provenance.steps"]) == min(losses, key=losses.get)


def test_the_mean_of_a_line_is_over_the_steps_since_the_one_before(whole):
    steps = [float(r["loss"]) for r in table(whole) if r["event"] == "step"]
    for line, (first, end) in zip(log(whole), [(0, 4), (4, 6), (6, 8), (8, 12)]):
        mean = sum(steps[first:end]) / (end - first)
        assert numbers(line)["train_loss"] == pytest.approx(mean, rel=1e-8)


def test_early_stopping_and_the_best_model_follow_those_inside(tmp_path, capsys):
    out = tmp_path / "run"
    stuck = ["schedule.name=constant", "schedule.max=0", "train.early_stopping=2"]
    assert main(fit(out, *stuck)) == 0
    assert "ended at step 8, epoch 1" in capsys.readouterr().err
    rows = [r for r in table(out) if r["event"] != "step"]
    assert [r["step"] for r in rows] == ["4", "6", "8"]
    models = [gn2.Model.load(out / n) for n in ("best.gn2", "model.gn2")]
    assert [m.config["provenance.steps"] for m in models] == ["4", "8"]


def test_places_may_change_where_nothing_counts_them(whole, tmp_path, capsys):
    assert main(resume(whole, "train.validate_steps=5")) == 1
    assert "no step is left" in capsys.readouterr().err
    out = tmp_path / "run"
    assert main(fit(out, "train.epochs=1", "train.early_stopping=9")) == 0
    assert main(resume(out, "train.validate_steps=5", "train.epochs=2")) == 1
    said = capsys.readouterr().err
    assert "train.validate_steps is 4, not 5" in said
    assert "train.validate_steps" not in said.partition("may change")[2]


# ---- a log that is read while it grows ----


def test_there_is_a_log_before_the_data_are_opened(tmp_path, monkeypatch, capsys):
    seen, out = [], tmp_path / "deep" / "run"

    def slow(*_, **__):
        seen.append((out / "metrics.log").read_text())
        raise Failure("no such data")

    with monkeypatch.context() as patch:
        patch.setattr(fit_command, "Dataset", slow)
        assert main(fit(out)) == 1
    assert seen == [""]
    assert os.listdir(tmp_path) == []  # nothing is left of a run that never began


def test_a_log_without_a_line_is_no_run_and_one_that_is_emptied_stays(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    path = out / "metrics.log"
    path.touch()
    short = ["train.epochs=1", "train.validate_steps=0", "data.max_jets=50"]
    with open(path) as reader:
        assert main(fit(out, *short)) == 0
        assert len(reader.readlines()) == 1
        assert main(fit(out, *short, "--force")) == 0
        assert os.path.samestat(os.fstat(reader.fileno()), os.stat(path))
    assert len(path.read_text().splitlines()) == 1


def test_every_line_is_one_write(tmp_path, monkeypatch):
    written = []
    write = os.write

    def noted(file, data):
        written.append(bytes(data))
        return write(file, data)

    monkeypatch.setattr(os, "write", noted)
    out = tmp_path / "run"
    assert main(fit(out, "train.epochs=1")) == 0
    texts = [(out / name).read_bytes() for name in ("metrics.log", "metrics.csv")]
    parts = [line for text in texts for line in text.splitlines(True)]
    parts.remove(texts[1].splitlines(True)[0])  # the header, whole before it is there
    assert all(part in written for part in parts)
    assert all(data.count(b"\n") == 1 for data in written if data in parts)


def test_a_part_of_a_line_is_taken_back(tmp_path, monkeypatch):
    file = lines.Lines(str(tmp_path / "log"))
    file.add("val_loss=0.5\n")
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda f, data: write(f, data[:11]))
        with pytest.raises(OSError, match="No space left"):
            file.add("val_loss=0.25\n")
    file.add("val_loss=0.125\n")
    file.close()
    assert (tmp_path / "log").read_text() == "val_loss=0.5\nval_loss=0.125\n"


def test_a_line_has_a_time_and_names_and_numbers_that_are_read():
    values = {"val_loss": 1 / 3, "a.val_loss": 2.0, "bad": float("nan"), "jets": 7}
    found = line({**values, "worse": float("inf"), "é/x-y": 1e-300})
    stamp, rest = found.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", stamp)
    assert rest == "val_loss=0.333333333 a_val_loss=2 jets=7 __x-y=1e-300\n"
    assert numbers(rest)["val_loss"] == 0.333333333


def test_two_columns_of_one_name_are_refused():
    tasks = ["jets_classification", "jets"]
    options = {"model.tasks": tasks, "task.jets.kind": "regression"}
    model = gn2.Model({**options, "task.jets.targets": ["pt_btagJes"]})
    with pytest.raises(Failure, match="'loss_jets'"):
        columns_of(model)
    names = columns_of(gn2.Model({"model.tasks": tasks[:1]}))
    assert [name_of(name) for name in names] == list(names)


# ---- killed, and gone on with ----


def spoil(out, more):
    """As a process leaves a run that was killed behind its checkpoint."""
    with open(out / "metrics.csv", "a", newline="") as file:
        file.write(more[0] + more[0][:40])
    with open(out / "metrics.log", "a") as file:
        file.write(more[1] + more[1][:60])


def test_what_is_behind_the_checkpoint_or_cut_short_is_done_again(
    whole, tmp_path, capsys
):
    out = tmp_path / "run"
    assert main(fit(out, "train.epochs=1")) == 0
    begun = (out / "metrics.log").read_text()
    lacking = [p.read_bytes() for p in (whole / "metrics.csv", whole / "metrics.log")]
    spoil(out, [text.splitlines(True)[-1].decode() for text in lacking])
    capsys.readouterr()
    with open(out / "metrics.log") as reader:
        assert main(resume(out, "train.epochs=2")) == 0
        assert reader.read().startswith(begun)  # the same file
    said = capsys.readouterr()
    assert said.out == (out / "metrics.log").read_text()[len(begun) :]
    assert "lacks" not in said.err
    assert_same(out, whole)


def test_rows_that_are_missing_are_told_of(whole, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(fit(out, "train.epochs=1")) == 0
    path = out / "metrics.csv"
    rows = path.read_text().splitlines(True)
    path.write_text("".join([*rows[:3], *rows[5:6], *rows[5:]]))  # 3, 4; 4's twice
    capsys.readouterr()
    assert main(resume(out, "train.epochs=2")) == 0
    assert "lacks rows of the run: 2 steps (3 … 4)" in capsys.readouterr().err
    kept = [
        r
        for r in table(whole)
        if (r["event"], r["step"]) not in {("step", "3"), ("step", "4")}
    ]
    assert table(out) == kept


KILLED = """
import os, signal, sys
from gn2 import _lines as lines
from gn2.cli import main
left, add = int(sys.argv[1]), lines.Lines.add
def add_and_die(self, text):
    global left
    add(self, text)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
lines.Lines.add = add_and_die
main(sys.argv[2:])
"""


# the row of the validation at 4, not yet its line; the line of the first epoch
@pytest.mark.parametrize("writes, done", [(5, 4), (10, 6)])
def test_a_killed_process_leaves_what_it_told(whole, tmp_path, writes, done):
    out = tmp_path / "run"
    words = [str(writes), *fit(out, "train.checkpoint_steps=1")]
    end = subprocess.run([sys.executable, "-c", KILLED, *words], check=False)
    assert end.returncode == -signal.SIGKILL
    told = (out / "metrics.log").read_text()
    assert told.count("\n") == (2 if done == 6 else 0)
    steps = [int(r["step"]) for r in table(out) if r["event"] == "step"]
    assert steps == [*range(1, done + 1)]
    assert main(resume(out)) == 0
    assert_same(out, whole)


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_named_and_the_run_is_not_said_to_go_on(
    tmp_path, monkeypatch, capsys
):
    """write() of an open file does not say which; run.json said "running" for ever."""
    out = tmp_path / "run"
    monkeypatch.setattr(lines.os, "write", full)
    assert main(fit(out)) == 1
    assert "No space left on device: '" in capsys.readouterr().err
    assert json.loads((out / "run.json").read_text())["state"] == "failed"
    assert not list(out.glob("*.tmp*"))


def test_a_file_that_is_not_written_leaves_no_part(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("before")
    with pytest.raises(OSError, match="No space left on device: '.*a'"):
        with lines.replacing(path) as file:
            file.write("a part")
            full()
    monkeypatch.setattr(lines.os, "replace", full)
    with pytest.raises(OSError, match="'.*a'"):
        lines.replace(str(path), "other")
    assert os.listdir(tmp_path) == ["a"] and path.read_text() == "before"


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b"{}", b'{"train": "x"}'],
)
def test_a_damaged_record_of_a_run_is_named(whole, tmp_path, capsys, data):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run/run.json").write_bytes(data)
    for words in (["fit", "--resume", "-o"], ["plot"]):
        assert main([*words, str(tmp_path / "run")]) == 1
        assert "run.json' is no record of a run: " in capsys.readouterr().err


def test_a_run_goes_on_with_the_jets_it_began_with(tmp_path, monkeypatch, capsys):
    """A path that is not absolute leads to others from another folder."""
    for place, source in (("a", TRAIN), ("b", VAL)):
        (tmp_path / place).mkdir()
        shutil.copy(source, tmp_path / place / "jets.h5")
    words = ["fit", "jets.h5", "-v", VAL, "-o", "../run", *QUIET, *OPTIONS]
    words.append("train.epochs=1")
    monkeypatch.chdir(tmp_path / "a")
    assert main(words) == 0
    monkeypatch.chdir(tmp_path / "b")
    again = ["fit", "--resume", "-o", "../run", *QUIET, "train.epochs=2"]
    capsys.readouterr()
    assert main(again) == 1
    assert "files of other content: " in capsys.readouterr().err
    shutil.copy(tmp_path / "a/jets.h5", tmp_path / "b/jets.h5")  # moved: the same
    assert main(again) == 0
