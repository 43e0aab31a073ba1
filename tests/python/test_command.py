# SPDX-License-Identifier: Apache-2.0
"""The command gn2: what it writes, refuses, and how it ends."""

import csv
import json
import os
import shutil
import re
import signal
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from conftest import ROOT

import gn2
from gn2.cli import COMMANDS, main
from gn2.cli.container import contents
from gn2.cli.rundir import Recorder, RunDirectory
from gn2.config import keys

DATA = ROOT / "examples" / "data"
SMALL = [
    "model.embed_dim=16",
    "model.init_hidden=16",
    "model.num_layers=1",
    "model.num_heads=2",
    "data.batch_size=100",
    "data.max_jets=1000",
    "schedule.max=1e-3",
]
TRAIN, VAL = str(DATA / "jets_train.h5"), str(DATA / "jets_val.h5")


@pytest.fixture(autouse=True)
def with_files():
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")


def fit(out, *more):
    return ["fit", TRAIN, "-v", VAL, "-o", str(out), "-q", "--no-report", *SMALL, *more]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    out = tmp_path_factory.mktemp("fit") / "run"
    assert main(fit(out, "train.epochs=2")) == 0
    return out


def rows(out, name="metrics.csv"):
    with open(out / name, newline="") as file:
        return list(csv.DictReader(file))


def test_help_of_every_command(capsys):
    for name, text, _ in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([*name.split(), "--help"])
        assert end.value.code == 0
        assert len(capsys.readouterr().out) > 200, name
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for name, text, _ in COMMANDS:
        assert name.split()[0] in shown


def test_a_run_directory(run):
    assert json.loads((run / "run.json").read_text())["state"] == "done"
    table = rows(run)
    assert [row["event"] for row in table].count("step") == 20
    epochs = [row for row in table if row["event"] == "epoch"]
    assert len(epochs) == 2 and float(epochs[1]["val_auc_b_light"]) > 0
    config = gn2.Config(run / "config.txt")
    assert config["model.embed_dim"] == 16 and len(config["norm.tracks.mean"]) == 19
    losses = [float(row["val_loss"]) for row in epochs]
    best = ["best.gn2", "model.gn2"] if losses[1] < losses[0] else ["model.gn2"]
    for name in best:
        state = gn2.Model.load(run / name).state_dict()
        last = gn2.Model.load(run / "checkpoint.gn2").state_dict()
        assert all((state[n] == last[n]).all() for n in last)


def test_the_log_is_what_katib_reads(run):
    # the default filter of Katib's collector
    pattern = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)", re.ASCII)
    lines = (run / "metrics.log").read_text().splitlines()
    assert len(lines) == 2
    for line, row in zip(lines, [r for r in rows(run) if r["event"] == "epoch"]):
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ", line)
        found = {m[1]: float(m[2]) for m in pattern.finditer(line)}
        assert found["val_loss"] == pytest.approx(float(row["val_loss"]), rel=1e-8)
        assert {"train_loss", "epoch", "step"} <= set(found)


def test_a_run_is_not_overwritten(run, capsys):
    before = (run / "model.gn2").read_bytes()
    assert main(fit(run)) == 1
    assert "--resume" in capsys.readouterr().err
    assert (run / "model.gn2").read_bytes() == before


def test_force_starts_over(tmp_path):
    out = tmp_path / "run"
    assert main(fit(out, "train.epochs=1")) == 0
    assert main(fit(out, "train.epochs=1", "--force")) == 0
    assert [row["event"] for row in rows(out)].count("epoch") == 1


def numbers(row, name):
    return {k: float(row[k]) for k in row if k not in ("step", "kind", "name")}[name]


def test_a_probed_run_has_a_table_and_the_same_weights(run, tmp_path):
    out = tmp_path / "run"
    assert main(fit(out, "train.epochs=2", "--probe", "20,0,1")) == 0
    model, table = gn2.Model.load(out / "model.gn2"), rows(out, "probe.csv")
    state, plain = model.state_dict(), gn2.Model.load(run / "model.gn2").state_dict()
    assert all((state[name] == plain[name]).all() for name in plain)
    by_step = {s: [r for r in table if r["step"] == s] for s in ("0", "1", "20")}
    assert [r["step"] for r in table] == [s for s in by_step for _ in by_step[s]]
    for s, part in by_step.items():
        tensors = [r for r in part if r["kind"] == "tensor"]
        assert [r["name"] for r in tensors] == list(state)
        assert {r["kind"] for r in part} == {"module", "tensor"}
        changes = [numbers(r, "change_rms") for r in part]
        assert (max(changes) == 0) == (s == "0")
        for r in tensors:
            known = [numbers(r, n) > 0 for n in ("gradient_rms", "update_rms")]
            assert known == [s != "0"] * 2
    last = {r["name"]: r for r in by_step["20"]}
    for name, values in state.items():
        want = abs(values.astype(float)).max()
        assert numbers(last[name], "max_abs") == pytest.approx(want, rel=1e-8)


def test_the_probed_batch_is_the_first_of_the_validation_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    out = tmp_path / "run"
    assert main(fit(out, "train.epochs=1", "--probe", "10")) == 0
    with h5py.File(VAL, locking=False) as file:
        jets, tracks = file["jets"][:100], file["tracks"][:100]
    tagger = gn2.Tagger(out / "model.gn2")
    logits = tagger.tag(jets, tracks, outputs=["logits"]).logits.astype(float)
    row = {r["name"]: r for r in rows(out, "probe.csv")}["jets_classification"]
    assert int(row["count"]) == logits.size
    assert numbers(row, "mean_abs") == pytest.approx(abs(logits).mean(), rel=1e-8)


@pytest.mark.parametrize("with_model", [False, True])
def test_a_resumed_run_keeps_and_goes_on_with_its_probes(run, tmp_path, with_model):
    out, whole = tmp_path / "run", tmp_path / "whole"
    words = ["schedule.steps=20", "--probe", "0,5,13"]
    if with_model:
        words += ["-m", str(run / "best.gn2")]
    assert main(fit(whole, "train.epochs=2", *words)) == 0
    assert main(fit(out, "train.epochs=1", *words)) == 0
    table = (out / "probe.csv").read_text()
    # a row of a step behind the checkpoint, which will be done again
    (out / "probe.csv").write_text(table + table.splitlines()[-1].replace("5,", "13,"))
    resume = ["fit", "--resume", "-o", str(out), "-q", "--no-report"]
    assert main([*resume, "train.epochs=2"]) == 0
    assert (out / "probe.csv").read_text() == (whole / "probe.csv").read_text()
    assert {r["step"] for r in rows(out, "probe.csv")} == {"0", "5", "13"}


def test_what_is_set_and_what_is_left_of_a_probe(tmp_path):
    out = tmp_path / "run"
    words = ["train.epochs=1", "--probe", "1"]
    assert main(fit(out, *words, "train.probe_updates=no")) == 0
    table = rows(out, "probe.csv")
    assert {r["update_rms"] for r in table} == {"nan"}
    assert {r["gradient_rms"] for r in table if r["kind"] == "tensor"} != {"nan"}
    assert gn2.Config(out / "config.txt")["train.probe_updates"] == "no"
    assert main(fit(out, "train.epochs=1", "--force")) == 0
    assert not (out / "probe.csv").exists()


def test_a_run_stopped_at_the_end_of_an_epoch_keeps_its_last_row(run, tmp_path):
    out = RunDirectory(str(tmp_path))
    (tmp_path / "metrics.csv").write_bytes((run / "metrics.csv").read_bytes())
    stats = gn2.StepStats(10, 0, 0, 0.0, {}, 0.0, 0.0, 0.0)
    recorder = Recorder(out, True, gn2.Model.load(run / "model.gn2"))
    recorder(gn2.Progress("epoch", 0, 2, 10, 20, 0.0, stats, None))
    recorder.close()
    steps = [int(r["step"]) for r in rows(tmp_path) if r["event"] == "step"]
    assert steps == list(range(1, 11))


def start(out, *more):
    command = [sys.executable, "-m", "gn2", *fit(out, *more)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number, status", [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_leaves_a_checkpoint_that_goes_on_to_the_bit(tmp_path, number, status):
    out, whole = tmp_path / "run", tmp_path / "whole"
    process = start(out, "train.epochs=3", "data.max_jets=-1")
    table = out / "metrics.csv"  # there when the first step is done
    end = time.monotonic() + 120
    while not table.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(getattr(signal, number))
    said = process.communicate(timeout=60)[1]
    assert process.returncode == status, said
    assert "--resume" in said
    assert json.loads((out / "run.json").read_text())["state"] == "stopped"
    assert main(["fit", "--resume", "-o", str(out), "-q", "--no-report"]) == 0
    assert main(fit(whole, "train.epochs=3", "data.max_jets=-1")) == 0
    a, b = (gn2.Model.load(p / "model.gn2").state_dict() for p in (out, whole))
    assert all((a[name] == b[name]).all() for name in a)
    steps = [int(r["step"]) for r in rows(out) if r["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert len(rows(out)) == len(rows(whole))


def test_scores_are_those_of_the_library(run, tmp_path):
    h5py = pytest.importorskip("h5py")
    out = tmp_path / "scores.h5"
    words = ["tag", str(run / "best.gn2"), VAL, "-o", str(out), "-t", "-j", "1"]
    assert main(words) == 0
    assert main(words) == 1
    assert main([*words, "--force"]) == 0
    with h5py.File(VAL, locking=False) as file:
        jets, tracks = file["jets"][:], file["tracks"][:]
    tagger = gn2.Tagger(run / "best.gn2")
    want = tagger.tag(jets, tracks, outputs=["origin", "vertex"])
    with h5py.File(out) as file:
        got, constituents = file["jets"][:], file["tracks"][:]
    assert (got["GN2_pb"] == want["b"]).all()
    for name in ("b", "c", "tau"):
        assert (got[f"GN2_D{name}"] == want.discriminant(name)).all()
    assert (got["flavour_label"] == jets["flavour_label"]).all()
    valid = tracks["valid"].astype(bool)
    assert (constituents["VertexIndex"] == want.vertex).all()
    assert (constituents["GN2_pFromB"][valid] == want.origin[valid][:, 3]).all()
    assert (constituents["mask"] == ~valid).all()


def test_a_discriminant_of_ones_own(run, tmp_path, capsys):
    h5py = pytest.importorskip("h5py")
    out = tmp_path / "scores.h5"
    words = ["tag", str(run / "best.gn2"), VAL, "-o", str(out), "-j", "1"]
    words += ["discriminant.D_light.signal=ujets"]
    fractions = "discriminant.D_light.fractions="
    assert main([*words, fractions + "bjets:0.75,cjets:0.5"]) == 1
    assert "fractions sum to 1.25, more than 1" in capsys.readouterr().err
    assert main([*words, fractions + "bjets:0.25,cjets:0.5"]) == 0
    with h5py.File(out) as file:
        got = file["jets"][:]
    p = np.stack([got[f"GN2_p{c}"] for c in ("b", "c", "u", "tau")], 1)
    want = gn2.discriminant(p, 2, [0.25, 0.5, 0, 0])
    assert (got["GN2_Dlight"] == want).all()


def test_several_files_go_into_a_folder(run, tmp_path, capsys):
    h5py = pytest.importorskip("h5py")
    for name in ("b.h5", "a.h5"):
        shutil.copy(VAL, tmp_path / name)
    words = ["tag", str(run / "best.gn2"), "-j", "1", "data.max_jets=100", "-o"]
    pattern, out = str(tmp_path / "?.h5"), tmp_path / "out" / "scores"
    assert main([*words, str(out), pattern, VAL]) == 0
    assert sorted(os.listdir(out)) == ["a.h5", "b.h5", os.path.basename(VAL)]
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert main([*words, str(tmp_path / "one.h5"), VAL]) == 0
    with h5py.File(tmp_path / "one.h5") as one:
        for name in os.listdir(out):
            with h5py.File(out / name) as file:
                assert (file["jets"][:] == one["jets"][:]).all()
    capsys.readouterr()
    for inputs, said in (
        ([pattern], "exists; --force"),
        ([str(tmp_path / "x*.h5")], "no file fits this pattern"),
        ([VAL, VAL], "2 inputs are called"),
    ):
        assert main([*words, str(out), *inputs]) == 1
        assert said in capsys.readouterr().err
    assert main([*words, str(tmp_path), str(tmp_path / "a.h5"), "-f"]) == 1
    assert "is the input itself" in capsys.readouterr().err


def test_options_of_tag_take_effect(run, tmp_path, capsys):
    h5py = pytest.importorskip("h5py")
    out = tmp_path / "scores.h5"
    words = ["tag", str(run / "best.gn2"), VAL, "-o", str(out), "-j", "1", "-f"]
    words += ["discriminant.D_b.f_c=0.05", "discriminant.D_b.f_tau=0.3"]
    words += ["discriminant.form=ratio", "model.name=Mine", "data.max_jets=150"]
    assert main(words) == 0
    with h5py.File(out) as file:
        got = file["jets"][:]
    p = np.stack([got[f"Mine_p{c}"] for c in ("b", "c", "u", "tau")], 1)
    want = gn2.discriminant(p, 0, [0, 0.05, 0.65, 0.3], "ratio")
    assert len(got) == 150 and (got["Mine_Db"] == want).all()
    with h5py.File(VAL, locking=False) as file:
        jets, tracks = file["jets"][:150], file["tracks"][:150]
    assert (p == gn2.Tagger(run / "best.gn2").tag(jets, tracks).probabilities).all()


@pytest.mark.parametrize("command", ["tag", "evaluate"])
@pytest.mark.parametrize(
    "setting", ["data.sampling=jets", "optim.eps=1e-3", "norm.jets.mean=1,2"]
)
def test_options_without_effect_are_refused(run, tmp_path, capsys, command, setting):
    words = {"tag": [VAL, "-o", str(tmp_path / "s.h5")], "evaluate": ["-d", VAL]}
    assert main([command, str(run / "best.gn2"), *words[command], setting]) == 1
    assert "has no effect here" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_evaluate_with_other_fractions(run, capsys):
    words = ["evaluate", str(run / "model.gn2"), "-d", VAL, "--json", "-j", "1"]
    found = []
    for more in (
        [],
        ["discriminant.D_b.f_c=0.9"],
        ["task.jets_classification.weight=2"],
    ):
        assert main([*words, *more]) == 0
        found.append(json.loads(capsys.readouterr().out))
    base, fractions, weighted = found
    assert fractions["loss"] == base["loss"]
    assert fractions["auc_b_c"] != base["auc_b_c"]
    assert weighted["loss"] > base["loss"]
    assert weighted["auc_b_c"] == base["auc_b_c"]


def test_evaluate(run, capsys):
    words = ["evaluate", str(run / "model.gn2"), "-d", VAL, "--json", "-j", "1"]
    assert main([*words, "data.batch_size=100"]) == 0
    found = json.loads(capsys.readouterr().out)
    last = [row for row in rows(run) if row["event"] == "epoch"][-1]
    assert found["loss"] == pytest.approx(float(last["val_loss"]), rel=1e-8)
    assert main([*words[:-3], "-j", "1"]) == 0
    assert "light rejection at 77% of D_b" in capsys.readouterr().out


def test_inspect(run, capsys):
    names = ["best.gn2", "checkpoint.gn2"]
    assert main(["inspect", *(str(run / name) for name in names)]) == 0
    shown = capsys.readouterr().out
    assert "model.embed_dim = 16" in shown and "checkpoint, " in shown
    assert "trainer." in shown
    found = contents(str(run / "best.gn2"))
    model = gn2.Model.load(run / "best.gn2")
    assert {t.name: t.shape for t in found.tensors} == {
        n: p.shape for n, p in model.params.items()
    }
    assert main(["inspect", __file__]) == 1
    pytest.importorskip("h5py")
    assert main(["inspect", VAL]) == 0
    shown = capsys.readouterr().out
    assert "pt_btagJes" in shown and "█" in shown


def test_a_damaged_file_is_refused(run, tmp_path, capsys):
    data = bytearray((run / "best.gn2").read_bytes())
    data[60] ^= 1
    for name, damaged in (
        ("flipped", data),
        ("short", data[:30]),
        ("cut", data[:5000]),
    ):
        path = tmp_path / name
        path.write_bytes(bytes(damaged))
        assert main(["inspect", str(path)]) == 1
        assert name in capsys.readouterr().err


def test_text_of_a_file_is_utf8(tmp_path, capsys):
    """Its lines end at a line feed, whatever else a value holds."""
    path = tmp_path / "x.gn2"
    options = [word.split("=") for word in SMALL if word.startswith("model.")]
    gn2.Model({**dict(options), "model.name": "a\u2028b\u03bc"}).save(path)
    assert contents(str(path)).keys["model.name"] == "a\u2028b\u03bc"
    data = path.read_bytes()
    at = data.index("\u03bc".encode())
    bad = bytearray(data.replace("\u03bc".encode(), b"\xff\xfe"))
    size = struct.unpack_from("<I", bad, 24)[0]
    struct.pack_into("<I", bad, 32, zlib.crc32(bad[40 : 40 + size]))
    struct.pack_into("<I", bad, 36, zlib.crc32(bad[:36]))
    path.write_bytes(bad)
    assert main(["inspect", str(path)]) == 1
    message = f"the text of 'model.name' is not UTF-8: byte 0xff at {at} of the file"
    assert f"'{path}': {message}" in capsys.readouterr().err


def test_config_and_params(run, tmp_path, capsys):
    assert main(["config", "--names"]) == 0
    assert capsys.readouterr().out.split() == list(keys())
    assert main(["config", "beta1"]) == 0
    assert "schedule.beta1_max = 0.95" in capsys.readouterr().out
    assert main(["config", "no such thing"]) == 1
    path = tmp_path / "c.txt"
    assert main(["config", "-w", str(path), "model.embed_dim=24"]) == 0
    assert gn2.Config(path)["model.embed_dim"] == 24
    assert main(["config", "-w", str(path)]) == 1
    capsys.readouterr()
    assert main(["params", "--csv", str(run / "best.gn2")]) == 0
    table = list(csv.reader(capsys.readouterr().out.splitlines()))
    model = gn2.Model.load(run / "best.gn2")
    assert [row[0] for row in table[1:]] == list(model.params)
    assert main(["params", "model.parametrization=mup", "model.embed_dim=128"]) == 0
    assert "hidden" in capsys.readouterr().out


def test_a_name_of_other_bytes_is_an_error_of_ours(tmp_path, capsys):
    out = os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")
    assert main(fit(out, "train.epochs=1")) == 1
    assert "is no text in UTF-8" in capsys.readouterr().err


def test_a_closed_pipe_is_no_failure():
    done = subprocess.run(
        f"{sys.executable} -m gn2 config | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[-1] == "0" and not done.stderr


def test_a_file_may_be_called_like_an_option(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(run / "best.gn2", "epochs=5")
    assert main(["params", "epochs=5"]) == 0
