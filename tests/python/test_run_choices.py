# SPDX-License-Identifier: Apache-2.0
"""`gn2 fit` and `gn2 evaluate`: which jets, which files, what a folder holds, and that
the statistics of the data can be stopped."""

import csv
import json
import os
import shutil
import signal

import pytest
from runs import QUIET, SMALL, TRAIN, VAL, done, fit, resume, with_files  # noqa: F401

import gn2
from gn2.cli import main
from gn2.cli.container import contents


# ---- which jets, which files ----

CHOSEN = "eta_btagJes > 0.5 && HadronConeExclTruthLabelID != 15"


def mask(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:
        jets = file["jets"][:]
    return (jets["eta_btagJes"] > 0.5) & (jets["HadronConeExclTruthLabelID"] != 15)


def test_a_selection_is_of_training_and_validation(tmp_path, capsys):
    """A run has as many steps, and its validation is that of the chosen jets."""
    out, here = tmp_path / "run", mask(TRAIN).sum()
    words = ["train.epochs=1", "data.max_jets=-1", f"data.selection={CHOSEN}"]
    words += ["data.class_weights=no", "-v", VAL]
    assert main(fit(out, *words, "--probe", "1")) == 0
    said = capsys.readouterr().err
    assert f"{here:,} training jets: {CHOSEN}" in said
    assert f"{mask(VAL).sum():,} validation jets: {CHOSEN}" in said
    rows = list(csv.DictReader(open(out / "metrics.csv")))
    assert sum(row["event"] == "step" for row in rows) == here // 100
    words = ["evaluate", str(out / "model.gn2"), "-d", VAL, "--json"]
    words += ["data.batch_size=100"]
    assert main([*words, f"data.selection={CHOSEN}"]) == 0
    chosen = json.loads(capsys.readouterr().out)
    end = [float(row["val_loss"]) for row in rows if row["val_loss"]][-1]
    assert chosen["loss"] == pytest.approx(end, rel=1e-6)
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["loss"] != chosen["loss"]
    assert main(resume(out, "data.selection=eta_btagJes > 0")) == 1
    assert f"data.selection is {CHOSEN}, not eta" in capsys.readouterr().err
    assert main(resume(out, f"data.selection={CHOSEN}")) == 1
    assert "no step is left" in capsys.readouterr().err


def test_a_selection_cannot_be_of_scores(done, tmp_path, capsys):
    out = tmp_path / "s.h5"
    words = ["tag", str(done / "model.gn2"), VAL, "-o", str(out)]
    assert main([*words, "data.selection=eta_btagJes > 0"]) == 1
    assert "a row for every jet" in capsys.readouterr().err and not out.exists()


def test_a_probe_takes_what_there_is_of_a_batch(tmp_path):
    words = ["train.epochs=1", "--probe", "0", "-v", VAL]
    words += ["data.class_weights=no", "data.selection=abs(eta_btagJes) < 0.05"]
    words += ["data.max_jets=-1"]
    h5py = pytest.importorskip("h5py")
    with h5py.File(VAL) as file:
        assert 0 < (abs(file["jets"]["eta_btagJes"]) < 0.05).sum() < 100
    assert main(fit(tmp_path / "run", *words)) == 0


def test_files_of_a_run_may_be_patterns(tmp_path, capsys):
    names = ["b.h5", "a.h5", "c.x"]
    for name in names:
        (tmp_path / name).symlink_to(VAL)
    out, pattern = tmp_path / "run", str(tmp_path / "*.h5")
    words = ["-o", str(out), *QUIET, *SMALL, "train.epochs=1"]
    assert main(["fit", pattern, *words, "-v", str(tmp_path / "[b]*")]) == 0
    facts = json.loads((out / "run.json").read_text())
    assert facts["train"] == [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]
    assert facts["val"] == [str(tmp_path / "b.h5")]
    again = ["fit", "--resume", "-o", str(out), *QUIET]
    assert main([*again, pattern]) == 1  # the same files: it is at its end
    assert "no step is left" in capsys.readouterr().err
    (tmp_path / "c.h5").symlink_to(VAL)
    assert main([*again, pattern]) == 1
    assert "began with train files a.h5, b.h5, not a.h5, b.h5, c.h5" in (
        capsys.readouterr().err
    )
    for given in ([str(tmp_path / "*.none")], [VAL, "-v", str(tmp_path / "*.none")]):
        assert main(["fit", *given, "-o", str(tmp_path / "no"), *QUIET]) == 1
        assert "*.none': no file fits this pattern" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_files_of_an_evaluation_may_be_patterns(done, tmp_path, capsys):
    for name in ("a.h5", "b.h5"):
        (tmp_path / name).symlink_to(VAL)
    words = ["evaluate", str(done / "model.gn2"), "--json", "-d"]
    found = []
    both = [str(tmp_path / "a.h5"), "-d", str(tmp_path / "b.h5")]
    for given in ([str(tmp_path / "*.h5")], both):
        assert main([*words, *given]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    assert main([*words, str(tmp_path / "*.none")]) == 1
    assert "no file fits this pattern" in capsys.readouterr().err


# ---- what a folder holds ----


def shards_of(out):
    """As config.txt and checkpoint have them."""
    shards = gn2.Config(out / "config.txt")["train.shards"]
    found = contents(str(out / "checkpoint.gn2")).keys
    assert (
        found["trainer.shards"] == found["trainer.option.train.shards"] == str(shards)
    )
    return shards


def test_shards_are_settled_by_the_data_before_the_run(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(TRAIN) as file:
        tokens = 50 * (1 + file["tracks"]["valid"][:500].sum() / 500)
    named, one, two = (tmp_path / name for name in ("named", "one", "two"))
    asked = ["train.epochs=2", "train.shards=0", "data.batch_size=50"]
    assert main(fit(one, *asked, "train.threads=1")) == 0
    shards = shards_of(one)
    assert 64 * shards <= tokens < 128 * shards
    assert shards != 8  # the default
    assert main(fit(two, *asked, "train.threads=2")) == 0
    assert main(fit(named, *asked, f"train.shards={shards}")) == 0
    for out in (two, named):
        assert (out / "model.gn2").read_bytes() == (one / "model.gn2").read_bytes()


def test_a_run_goes_on_with_the_shards_it_settled(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    asked = ["train.shards=0", "schedule.steps=20", "data.batch_size=50"]
    assert main(fit(whole, *asked, "train.epochs=2")) == 0
    assert main(fit(parts, *asked, "train.epochs=1")) == 0
    assert main(resume(parts, "train.epochs=2", "train.threads=1")) == 0
    assert shards_of(parts) == shards_of(whole) != 8
    assert (parts / "model.gn2").read_bytes() == (whole / "model.gn2").read_bytes()


def test_a_model_to_begin_with_leaves_shards_to_the_data(done, tmp_path):
    out, other = tmp_path / "run", tmp_path / "other"
    words = [w for w in fit(out) if not w.startswith("model.")]
    words += ["-m", str(done / "model.gn2"), "data.batch_size=50", "train.shards=0"]
    assert main(words) == 0
    assert main(fit(other, "data.batch_size=50", "train.shards=0")) == 0
    assert shards_of(out) == shards_of(other) != 8


@pytest.mark.parametrize(
    "key, value",
    [
        ("optim.weight_decay", "0.25"),
        ("schedule.max", "0.125"),
        ("data.seed", "77"),
        ("model.dropout_ffn", "0.5"),
        ("task.track_origin.weight", "0.25"),
        ("train.epochs", "9"),
    ],
)
def test_a_config_edited_by_hand_is_not_gone_on_with(
    done, tmp_path, capsys, key, value
):
    out = tmp_path / "run"
    shutil.copytree(done, out)
    config = gn2.Config(out / "config.txt")
    had = config[key]
    config.set_text(key, value)
    config.save(out / "config.txt")
    assert main(resume(out)) == 1
    said = capsys.readouterr().err
    assert f"{key} is {value}, in checkpoint.gn2 {had:g}" in said


def test_what_may_change_may_be_edited(done, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(done, out)
    config = gn2.Config(out / "config.txt")
    config["train.threads"] = 2
    config.save(out / "config.txt")
    assert main(resume(out)) == 1
    assert "no step is left" in capsys.readouterr().err


def test_a_run_without_a_checkpoint_is_not_gone_on_with(done, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(done, out)
    (out / "checkpoint.gn2").unlink()
    assert main(resume(out)) == 1
    said = capsys.readouterr().err
    for word in ("nothing", "saved yet", "--force", "train.checkpoint_steps"):
        assert word in said, said
    assert main(fit(out, "train.epochs=1", "--force")) == 0  # the remedy


def test_probes_that_no_step_will_see_are_refused(done, tmp_path, capsys):
    assert main(resume(done, "--probe", "0,2")) == 1
    said = capsys.readouterr().err
    assert "--probe 0,2" in said and "at step 5" in said
    assert main(fit(tmp_path / "run", "train.epochs=1", "--probe", "0,5,6")) == 1
    assert "--probe 6: the last step of the run is 5" in capsys.readouterr().err


# ---- statistics of the data ----


def test_a_setup_stops_when_asked():
    data = gn2.Dataset(TRAIN)
    data.request_stop()
    config = gn2.Config()
    with pytest.raises(gn2.Cancelled, match="0 of 9000 jets"):
        data.setup(config)
    assert config["norm.jets.mean"] == []
    assert len(data.setup(config)["norm.jets.mean"]) == 2  # it is over
    data.close()
    with pytest.raises(gn2.StateError):
        data.request_stop()


def test_sigterm_is_heard_within_the_statistics(tmp_path, monkeypatch, capsys):
    """It comes at the first step of the call, and nothing is written."""
    setup = gn2.dataset.lib.gn2_dataset_setup

    def late(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return setup(*arguments)

    monkeypatch.setattr(gn2.dataset.lib, "gn2_dataset_setup", late)
    assert main(fit(tmp_path / "run")) == 143
    assert "terminated" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
