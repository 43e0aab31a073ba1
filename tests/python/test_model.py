# SPDX-License-Identifier: Apache-2.0
"""Models: files, names, weights."""

import numpy as np
import pytest
from conftest import SMALL

import gn2


def test_names(model):
    assert model.classes == ("bjets", "cjets", "ujets", "taujets")
    assert model.constituents == ("tracks",)
    assert model.inputs["jets"] == ("pt_btagJes", "eta_btagJes")
    assert len(model.inputs["tracks"]) == 19
    assert model.metadata("model.embed_dim") == "16"
    with pytest.raises(KeyError):
        model.metadata("model.nothing")


def test_the_config_of_a_model_makes_the_same_model(model):
    again = gn2.Model(model.config)
    assert list(again.params) == list(model.params)
    assert all((again[name] == model[name]).all() for name in model.params)


def test_files_and_bytes(model, tmp_path):
    path = tmp_path / "é.gn2"
    model.save(path)
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes())):
        again = gn2.Model.load(source)
        assert all((again[n] == model[n]).all() for n in model.params)


@pytest.mark.parametrize(
    "data", [b"", b"not a model", b"\x89GN2\r\n\x1a\n" + bytes(40)]
)
def test_bad_bytes(data):
    with pytest.raises(gn2.FormatError):
        gn2.Model.load(data)


def test_missing_file(tmp_path):
    with pytest.raises((gn2.FileError, gn2.NotFound), match="none.gn2"):
        gn2.Model.load(tmp_path / "none.gn2")


def test_weights_are_copies_and_can_be_set():
    model = gn2.Model(SMALL)
    name, info = next((n, i) for n, i in model.params.items() if len(i.shape) == 2)
    values = model[name]
    assert values.shape == info.shape and values.dtype == np.float32
    model[name] = values + 1
    assert (model[name] == values + 1).all()
    with pytest.raises(gn2.ShapeError, match=name):
        model[name] = values.ravel()
    with pytest.raises(gn2.NumericError):
        model[name] = np.full(info.shape, np.nan)
    with pytest.raises(KeyError):
        model["nothing"] = values
    with pytest.raises(KeyError):
        model["nothing"]
    with gn2.Tagger(model), pytest.raises(gn2.BusyError):
        model[name] = values


def test_state_dict(model):
    state = model.state_dict()
    assert sum(a.size for a in state.values()) == model.size
    assert {i.role for i in model.params.values()} <= set(
        ("finite", "input", "hidden", "output", "bias")
    )


def test_bad_config_names_the_key():
    with pytest.raises(gn2.InvalidArgument, match="num_heads"):
        gn2.Model({"model.embed_dim": 16, "model.num_heads": 3})
