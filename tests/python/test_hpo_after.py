# SPDX-License-Identifier: Apache-2.0
"""After a search: the best again with fresh seeds, the target, and trials of workers
that are several."""

import json
import math
import sys

import pytest

pytest.importorskip("yaml", reason="needs PyYAML")
pytest.importorskip("optuna", "4.4", reason="needs Optuna 4.4 or newer")

import gn2
from gn2.cli import main
from gn2.hpo import after, crew, reader
from gn2.hpo.engine import Plan
from hpo_searches import CHOICES, PROGRAM, kill_study, run


def test_the_best_are_confirmed_with_fresh_seeds_and_transferred(tmp_path):
    space = reader.load(kill_study.space_in(tmp_path, "grid", 6, CHOICES))
    rows, _ = run(space, tmp_path / "out")
    plan = Plan(tmp_path / "out", program=PROGRAM, quiet=True, workers=2)
    book, said = after.transfer(space, plan)
    assert "not confirmed" in said
    found = after.confirm(space, plan, 3, 2)
    assert sorted(row.values[0] for row in rows)[:3] == sorted(r.found for r in found)
    assert [r.mean for r in found] == sorted(r.mean for r in found)
    assert all(len(set(r.values)) == 2 and r.error > 0 for r in found)
    folders = sorted(p.name for p in (tmp_path / "out/confirm").iterdir())
    assert len(folders) == 6 and all("seed42" not in name for name in folders)
    assert after.confirmed(plan.folder) == after.confirm(space, plan, 3, 2) == found
    assert all(
        len((p / "trained").read_text().split()) == 1
        for p in (tmp_path / "out/confirm").iterdir()
    )
    book, said = after.transfer(space, plan)
    assert book.parameters == found[0].parameters and "best of 3 confirmed" in said
    losses = json.loads(
        (tmp_path / "out/transfer" / book.name / "checkpoint.gn2").read_text()
    )
    assert len(losses) == 6  # the target's own budget


def test_a_seed_that_diverges_without_a_value_has_no_mean(
    tmp_path, monkeypatch, capsys
):
    """Neither a traceback nor a mean of the others; and not transferred."""
    path = kill_study.space_in(tmp_path, "grid", 6, CHOICES)
    space = reader.load(path)
    run(space, tmp_path / "out")
    plan = Plan(tmp_path / "out", program=PROGRAM, quiet=False)
    monkeypatch.setenv("STAND_IN_STATUS", "3")
    monkeypatch.setenv("STAND_IN_FAIL", "rate=0.001")
    found = after.confirm(space, plan, 6, 1)
    assert capsys.readouterr().out.count("diverged without a value") == 3
    assert [row.parameters["rate"] for row in found] == ["0.01"] * 3 + ["0.001"] * 3
    assert [row.diverged for row in found] == [0, 0, 0, 1, 1, 1]
    assert all(math.isnan(row.mean) == (k > 2) for k, row in enumerate(found))
    assert repr(after.confirmed(plan.folder)) == repr(found)
    assert "NaN" not in (tmp_path / "out/confirm.json").read_text()
    words = ["--program", " ".join(PROGRAM), "--top", "6", "--seeds", "1", "-q"]
    assert main(["hpo", "confirm", str(path), "-o", str(tmp_path / "out"), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "none (" in lines[6] and "1 of 1 diverged" in lines[6]
    assert "diverged" not in lines[1]
    monkeypatch.setenv("STAND_IN_FAIL", "rate=0.01")
    with pytest.raises(
        gn2.StateError, match="training .* diverged and has no val_loss"
    ):
        after.transfer(space, plan)


def test_a_trial_of_one_of_several_workers_is_alone(tmp_path, monkeypatch):
    """mpirun or a Job of two workers tells them, not their trials, of the other."""
    sizes = ("WORLD_SIZE", "PET_NNODES", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
    for name in sizes:
        monkeypatch.setenv(name, "2")
    code = "import os, sys; print(sorted(os.environ)); sys.exit(2)"
    plan = Plan(tmp_path / "out", program=(sys.executable, "-c", code), quiet=True)
    job = crew.Job("a", "space.yaml", {}, ("val_loss",))
    with pytest.raises(gn2.StateError, match=r"'PATH'") as raised:
        after.complete([job], plan, "confirm")
    assert not any(name in str(raised.value) for name in sizes)
