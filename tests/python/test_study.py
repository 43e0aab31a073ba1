# SPDX-License-Identifier: Apache-2.0
"""gn2 study: every study in a tiny form, from the command to table, figure, verdict."""

import csv
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT

import gn2
from gn2.cli import main
from gn2.study import coordcheck, worker

DATA = ROOT / "examples" / "data"
TRAIN, VAL = str(DATA / "jets_train.h5"), str(DATA / "jets_val.h5")
SIZES = ["model.init_hidden=16", "model.num_layers=1", "model.num_heads=2"]
PLAN = ["--widths=8,16", "--base-width=8", "--seeds=2", "--batch=50"]
TRAINING = [*PLAN, "-v", VAL, "--jets=1000", "--val-jets=500"]
RATES = ["--rates=0.001,0.004,0.016"]
#: one of every optimiser, of whatever size
ONE_RATE = {"adamw": "1e-3", "sgd": "0.1"}
EACH_ONE = [f"--{name}={ONE_RATE.get(name, '1e-3')}" for name in coordcheck.OPTIMIZERS]
STUDIES = {
    "lr": [*TRAINING, *RATES],
    "transfer": [*TRAINING, *RATES],
    "width": [*TRAINING, *RATES],
    "schedule": [
        *TRAINING,
        "--initial=1e-5,1e-2",
        "--max=1e-3,1e-2",
        "--widest-initial=1e-5",
        "--widest-max=1e-3,1e-2",
    ],
    "coordcheck": [*PLAN, "--jets=1000", *EACH_ONE, "--steps=0,2"],
}
#: runs that the study adds to those of the ones before it
NEW = {
    # widths × rates × starts × forms, less the base width's, which the forms share
    "lr": 18,
    "transfer": 0,
    "width": 0,
    # 3 cells of the base width and 2 of the other for each form; μP's second start at
    # two maximum rates, and SP's at the one of them that is chosen
    "schedule": 10,
    # optimisers × widths × starts × forms
    "coordcheck": 8 * len(coordcheck.OPTIMIZERS),
}


@pytest.fixture(autouse=True)
def with_files():
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")


def command(name, out, *more):
    return ["study", name, TRAIN, "-o", str(out), *STUDIES[name], *SIZES, *more]


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


@pytest.mark.parametrize("name", STUDIES)
def test_a_study(name, folder, capsys):
    """One after the other in one folder, so that they share their runs."""
    table = folder / "runs.csv"
    there = len(rows(table)) if table.exists() else 0
    assert main(command(name, folder)) == 0
    shown = capsys.readouterr()
    verdict = (folder / f"{name}.txt").read_text()
    assert shown.out == verdict and "SP" in verdict and "μP" in verdict
    assert len(rows(table)) == there + NEW[name]
    assert rows(folder / f"{name}.csv")
    if importlib.util.find_spec("matplotlib"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    # again: nothing is left to do, and the same comes out
    before = (folder / f"{name}.csv").read_bytes()
    assert main(command(name, folder)) == 0
    again = capsys.readouterr()
    assert again.out == verdict and (folder / f"{name}.csv").read_bytes() == before
    assert len(rows(table)) == there + NEW[name]


#: a study of 9 runs
FEW = ["--seeds=1"]


def test_a_study_that_was_killed_goes_on(tmp_path, capsys):
    words = [sys.executable, "-m", "gn2", *command("lr", tmp_path, *FEW, "-j", "1")]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    table, end = tmp_path / "runs.csv", time.monotonic() + 120
    while time.monotonic() < end and not (table.exists() and len(rows(table)) >= 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(rows(table))
    assert 2 <= done < 9
    assert main(command("lr", tmp_path, *FEW)) == 0
    assert f"9 runs, {done} of them kept" in capsys.readouterr().err
    kept = [row["key"] for row in rows(table)]
    assert len(kept) == len(set(kept)) == 9


def test_a_run_does_not_depend_on_who_else_runs(tmp_path):
    figures = []
    for workers in ("1", "3"):
        out = tmp_path / workers
        assert main(command("lr", out, *FEW, "-j", workers)) == 0
        found = rows(out / "runs.csv")
        figures.append({row["key"]: (row["val_loss"], row["steps"]) for row in found})
    assert figures[0] == figures[1]


TINY = {
    "model.embed_dim": "16",
    "model.init_hidden": "16",
    "model.num_heads": "2",
    "model.num_layers": "1",
    "data.batch_size": "50",
    "data.max_jets": "400",
    "optim.weight_decay": "1",
    "train.threads": "1",
}


def asked(kind, train, rate):
    rates = {f"schedule.{name}": rate for name in ("initial", "max", "end")}
    return {
        "kind": kind,
        "options": {**TINY, **rates},
        "train": [str(train)],
        "val": [],
        "val_jets": -1,
        "probe_steps": [0, 30],
    }


@pytest.mark.parametrize("run", [worker.fit, worker.coordinates])
def test_bad_data_are_no_divergence(run, tmp_path):
    found = run(asked(run.__name__, DATA / "jets_train.h5", "1e3"))
    assert found["state"] == "diverged" and "not finite" in found["message"]
    path = shutil.copy(DATA / "jets_train.h5", tmp_path)
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "r+") as file:
        jets = file["jets"][:]
        jets["pt_btagJes"][:] = np.nan
        file["jets"][:] = jets
    with pytest.raises(gn2.NumericError, match="pt_btagJes"):
        run(asked(run.__name__, path, "1e-3"))


def test_ctrl_c_stops_the_workers(tmp_path):
    words = [sys.executable, "-m", "gn2", *command("lr", tmp_path)]
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    table, end = tmp_path / "runs.csv", time.monotonic() + 120
    while time.monotonic() < end and not table.exists():
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)  # to the command alone, not its workers
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    left = subprocess.run(
        ["pgrep", "-s", str(process.pid)], capture_output=True, text=True
    )
    assert left.stdout == ""


@pytest.mark.parametrize(
    "more, says",
    [
        (["model.num_heads=3"], "must divide"),
        (["model.no_such=1"], "model.no_such"),
        (["--widths=16", "--base-width=0"], "model.base_width"),
    ],
)
def test_what_cannot_run_is_said(tmp_path, capsys, more, says):
    assert main(command("lr", tmp_path, *more)) == 1
    assert says in capsys.readouterr().err


def test_studies_that_train_need_validation_jets(tmp_path, capsys):
    words = ["study", "lr", TRAIN, "-o", str(tmp_path), *PLAN, *RATES]
    assert main(words) == 1
    assert "-v" in capsys.readouterr().err


def test_conclusions_from_what_there_is(tmp_path, capsys):
    assert main(command("lr", tmp_path, "--no-runs")) == 1
    assert "no run of this study" in capsys.readouterr().err
    assert not (tmp_path / "runs.csv").exists()
    assert main(command("lr", tmp_path, *FEW, "--widths=8")) == 0
    capsys.readouterr()
    assert main(command("transfer", tmp_path, *FEW, "--no-runs")) == 0
    assert "9 runs, 3 of them kept" in capsys.readouterr().err


def test_one_start_gives_no_intervals(tmp_path, capsys):
    small = ["model.num_layers=1", "--rates=0.001,0.004,0.016,0.03"]
    for name in ("lr", "transfer", "width"):
        words = ["study", name, TRAIN, "-o", str(tmp_path), *TRAINING, *SIZES, *small]
        assert main([*words, *FEW, "-j", "1"]) == 0
        shown = capsys.readouterr().out
        assert "one start" in shown and "nan" not in shown
        assert "95 %" not in shown and "noise and" not in shown
        assert "rises" not in shown and "falls" not in shown


# ---- what is committed ----

STORE = ROOT / "doc" / "studies"


@pytest.mark.parametrize("name", STUDIES)
def test_the_committed_results_are_those_of_the_committed_runs(
    name, shared, tmp_path, capsys
):
    shutil.copytree(STORE, tmp_path, dirs_exist_ok=True)
    data = shared / "data"
    words = ["study", name, str(data / "jets_train.h5"), "-o", str(tmp_path)]
    words += ["-v", str(data / "jets_val.h5"), "--no-runs"]
    if name == "coordcheck":  # optimisers that were added later have no runs there
        known = {row["optimizer"] for row in rows(STORE / "coordcheck.csv")}
        words += [f"--{o}=" for o in coordcheck.OPTIMIZERS if o not in known]
    assert main(words) == 0
    kept, wanted = re.search(r"(\d+) runs, (\d+) of", capsys.readouterr().err).groups()
    assert kept == wanted
    pairs = list(zip(rows(tmp_path / f"{name}.csv"), rows(STORE / f"{name}.csv")))
    assert len(pairs) == len(rows(STORE / f"{name}.csv"))
    for again, before in pairs:
        assert again.keys() == before.keys()
        for column, value in before.items():
            assert again[column] == value or float(again[column]) == pytest.approx(
                float(value), rel=1e-4
            )
