# SPDX-License-Identifier: Apache-2.0
"""Permutation importance: an input that means nothing costs nothing, to the bit."""

import csv
import json

import numpy as np
import pytest
from conftest import ROOT, SMALL

import gn2
from gn2.cli import main
from gn2.metrics.importance import importance

INPUTS = ("pt_btagJes", "eta_btagJes")


def sample(jets=400, seed=5, constant=False):
    """The flavour is the sign of eta; pT is noise, d0 too, or it is constant."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(jets, 2)).astype("f4")
    tracks = rng.normal(size=(3 * jets, 1)).astype("f4")
    tracks[:] = 1 if constant else tracks
    flavour = (values[:, 1] > 0).astype(np.int32)
    return values, (tracks, np.arange(jets + 1) * 3), {"flavour": flavour}


@pytest.fixture(scope="module")
def trained():
    options = {
        **SMALL,
        "model.classes": ["bjets", "ujets"],
        "model.tasks": ["jets_classification"],
        "inputs.jets": INPUTS,
        "inputs.tracks": ["d0"],
        "train.epochs": 20,
        "data.batch_size": 50,
    }
    dataset = gn2.Dataset.from_arrays(*sample(), options)
    trainer = gn2.Trainer(gn2.Model(dataset.setup()))
    trainer.fit(dataset, progress=False)
    return trainer.model, dataset


def test_what_the_flavour_depends_on_is_found(trained):
    model, varied = trained
    told = []
    dataset = gn2.Dataset.from_arrays(*sample(constant=True), varied.config)
    found = importance(model, dataset, progress=lambda *done: told.append(done))
    first = found.inputs[0]
    assert (first.object, first.input) == ("jets", "eta_btagJes")
    change = first.change(found.nominal)
    assert change.value > 0.5 and 0 < change.error < change.value / 5
    assert first.change(found.nominal, "accuracy").value < -0.3
    constant = next(one for one in found.inputs if one.object == "tracks")
    assert constant.change(found.nominal) == (0, 0)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_sample_as_it_is_gives_what_evaluate_gives(trained):
    model, dataset = trained
    found = importance(model, dataset, repeats=1)
    options = dataset.config.copy()
    options["data.sampling"] = "sequential"
    with gn2.Trainer(model) as trainer:
        right = trainer.evaluate(gn2.Dataset.from_arrays(*sample(), options)).flat("")
    assert found.nominal.items() <= right.items() and len(found.nominal) > 3
    assert all(np.isnan(one.figures["loss"].error) for one in found.inputs)


def test_the_same_seed_gives_the_same_to_the_bit(trained):
    one, two, other = (importance(*trained, repeats=2, seed=s) for s in (7, 7, 8))
    assert repr(one) == repr(two)  # where one is inf the change is NaN
    assert repr(one.inputs) != repr(other.inputs)


def test_what_cannot_be_is_refused(trained):
    model, dataset = trained
    with pytest.raises(gn2.InvalidArgument, match="repeats = 0"):
        importance(model, dataset, repeats=0)
    jets, tracks, _ = sample(50)
    without = gn2.Dataset.from_arrays(jets, tracks, None, dataset.config)
    with pytest.raises(gn2.Error, match="label"):
        importance(model, without)


def test_the_command(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    path, model = str(ROOT / "examples/data/jets_test.h5"), str(tmp_path / "m.gn2")
    data = gn2.Dataset(path, {"data.max_jets": 1000})
    gn2.Model(data.setup(SMALL)).save(model)
    words = ["importance", model, "-d", path, "-n", "200", "-r", "1"]
    assert main([*words, "-o", str(tmp_path / "imp"), "data.batch_size=100"]) == 0
    assert "tracks.d0 " in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "imp.csv").open()))
    assert len(rows) == 21 and (tmp_path / "imp.png").stat().st_size > 5000
    assert main([*words, "-o", str(tmp_path / "imp"), "data.batch_size=100"]) == 1
    assert "exists; --force" in capsys.readouterr().err
    assert main([*words, "--json", "data.batch_size=100"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["input"] for line in lines} == {row["input"] for row in rows}
    with pytest.raises(SystemExit):
        main([*words, "-r", "0"])
