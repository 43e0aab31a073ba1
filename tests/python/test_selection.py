# SPDX-License-Identifier: Apache-2.0
"""data.selection chooses what a NumPy mask does, from any file, and changes no jet."""

import ctypes
import logging

import numpy as np
import pytest
from conftest import ROOT

import gn2
from gn2._ffi import lib

h5py = pytest.importorskip("h5py")

VAL = str(ROOT / "examples" / "data" / "jets_val.h5")
TRAIN = str(ROOT / "examples" / "data" / "jets_train.h5")
OPTIONS = {"data.sampling": "sequential", "data.batch_size": 200}

SELECTIONS = {
    "pt_btagJes > 50000": lambda j: j["pt_btagJes"] > 50000,
    "abs(eta) < 1.2 and process == 1": lambda j: (abs(j["eta"]) < 1.2)
    & (j["process"] == 1),
    "pt >= 5e4 && abs(eta_btagJes) <= 2.1 && HadronConeExclTruthLabelID != 15": (
        lambda j: (j["pt"] >= 5e4)
        & (abs(j["eta_btagJes"]) <= 2.1)
        & (j["HadronConeExclTruthLabelID"] != 15)
    ),
    "eta<-2||eta>2&&process==0||flavour_label==3": lambda j: (j["eta"] < -2)
    | ((j["eta"] > 2) & (j["process"] == 0))
    | (j["flavour_label"] == 3),
    "pt_btagJes > 0": lambda j: j["pt_btagJes"] > 0,
}


@pytest.fixture(autouse=True)
def with_files():
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")


def everything(paths, options):
    """All batches as one: jets, rows of tracks by jet, labels."""
    batches = list(gn2.Dataset(paths, {**OPTIONS, **options}))
    jets = np.concatenate([b.jets for b in batches])
    tracks = [t for b in batches for t in np.split(b.tracks[0], b.tracks[1][1:-1])]
    labels = [np.concatenate([b.labels[n] for b in batches]) for n in batches[0].labels]
    return jets, tracks, labels


def same(found, whole, rows):
    """Are these jets those rows of all, to the bit?"""
    counts = np.array([len(t) for t in whole[1]])
    of_tracks = np.isin(np.repeat(np.arange(len(counts)), counts), rows)
    assert found[0].tobytes() == whole[0][rows].tobytes()
    assert len(found[1]) == len(rows)
    for a, row in zip(found[1], rows):
        assert a.tobytes() == whole[1][row].tobytes()
    for a, b in zip(found[2], whole[2]):
        keep = rows if len(b) == len(counts) else of_tracks
        assert a.tobytes() == b[keep].tobytes()


@pytest.mark.parametrize("text", SELECTIONS)
def test_jets_are_those_of_a_mask(text):
    with h5py.File(VAL) as file:
        rows = np.flatnonzero(SELECTIONS[text](file["jets"][:]))
    assert 0 < len(rows) <= 1500
    whole = everything(VAL, {})
    same(everything(VAL, {"data.selection": text}), whole, rows)
    assert (gn2.Dataset(VAL, {**OPTIONS, "data.selection": text}).rows == rows).all()
    options = {"data.selection": text, "data.max_jets": min(30, len(rows))}
    same(everything(VAL, options), whole, rows[: options["data.max_jets"]])
    options.update({"data.sampling": "jets", "data.batch_size": 15})
    assert (gn2.Dataset(VAL, options).rows == rows[: options["data.max_jets"]]).all()


def test_norms_and_class_weights_are_of_the_chosen():
    text = "eta_btagJes > 0.5 && HadronConeExclTruthLabelID != 5"
    options = {"model.classes": ["cjets", "ujets", "taujets"], "data.selection": text}
    with h5py.File(TRAIN) as file:
        jets = file["jets"][:]
    kept = jets[(jets["eta"] > 0.5) & (jets["HadronConeExclTruthLabelID"] != 5)]
    with gn2.Dataset(TRAIN, options) as data:
        config = data.setup()
    pt = kept["pt_btagJes"].astype(float)
    assert np.isclose(config["norm.jets.mean"][0], pt.mean(), rtol=1e-9)
    assert np.isclose(config["norm.jets.std"][0], pt.std(), rtol=1e-9)
    counts = np.bincount(kept["flavour_label"])[1:]
    weights = config["task.jets_classification.class_weights"]
    assert np.allclose(weights, np.round(counts.max() / counts, 2))
    assert f"({len(kept)} jets" in config["provenance.data"]
    whole = gn2.Dataset(TRAIN).setup()
    assert config["provenance.data"][-17:] != whole["provenance.data"][-17:]


# ---- files of all sorts ----

KINDS = [">f4", "<f8", ">f8", "<f2", "<i8", ">i2", "<u8", ">u4", "i1", "?"]
SLOT = np.dtype([("d0", "f4"), ("valid", "?")])
SMALL = {
    **OPTIONS,
    "data.batch_size": 7,
    "inputs.jets": ["pt_btagJes"],
    "inputs.tracks": ["d0"],
    "model.tasks": ["jets_classification"],
}


def made(path, jets, **layout):
    with h5py.File(path, "w") as file:
        file.create_dataset("jets", data=jets, **layout)
        slots = np.zeros((len(jets), 3), SLOT)
        slots["valid"][:, :2] = True
        slots["d0"][:, :2] = jets["pt_btagJes"][:, None]
        file.create_dataset("tracks", data=slots)
    return str(path)


def pts(paths, text, **options):
    data = gn2.Dataset(paths, {**SMALL, "data.selection": text, **options})
    batches = list(data)
    for batch in batches:
        assert (batch.tracks[0][:, 0] == np.repeat(batch.jets[:, 0], 2)).all()
    return np.concatenate([b.jets[:, 0] for b in batches])


@pytest.mark.parametrize("kind", KINDS)
def test_fields_of_every_type_are_compared(tmp_path, kind):
    jets = np.zeros(100, [("other", "f8"), ("pt_btagJes", "<f4"), ("x", kind)])
    jets["pt_btagJes"] = np.arange(1, 101)
    jets["x"] = np.arange(100) % 5 / 10 if kind[-2:-1] == "f" else np.arange(100) % 5
    limit = 0.3 if kind[-2:-1] == "f" else 1
    path = made(tmp_path / "j.h5", jets, chunks=(9,))
    for text, mask in (
        (f"x == {limit}", jets["x"] == np.array(limit, jets["x"].dtype)),
        (
            f"x < {limit} or pt > 90.5",
            (jets["x"] < limit) | (jets["pt_btagJes"] > 90.5),
        ),
        ("x != 0", jets["x"] != 0),
    ):
        assert (pts(path, text) == jets["pt_btagJes"][mask]).all(), text


def test_nan_is_never_chosen_and_counted(tmp_path, caplog):
    jets = np.zeros(20, [("pt_btagJes", "f4"), ("x", "f4")])
    jets["pt_btagJes"] = np.arange(20)
    jets["x"][::4] = np.nan
    jets["x"][1] = np.inf
    path = made(tmp_path / "j.h5", jets)
    rows = np.flatnonzero(~np.isnan(jets["x"]))
    for text in ("x < 1 || x >= 1", "x != 7", "x == 0 or pt_btagJes >= 0 or x > 5"):
        with caplog.at_level(logging.INFO, "gn2"):
            assert (pts(path, text) == rows).all()
        assert "chooses 15 of the 20 jets" in caplog.text
        assert "5 have NaN" in caplog.text and text in caplog.text
        assert caplog.records[-1].levelno == logging.WARNING
        caplog.clear()
    assert (pts(path, "x > 1e38") == [1]).all()


def test_jets_that_are_not_chosen_may_hold_anything(tmp_path):
    jets = np.zeros(30, [("pt_btagJes", "f4"), ("flavour_label", "i4"), ("n", "i4")])
    jets["n"] = jets["pt_btagJes"] = np.arange(30)
    jets["pt_btagJes"][10] = np.nan
    jets["flavour_label"] = 1
    jets["flavour_label"][11] = 99
    path = made(tmp_path / "j.h5", jets)
    for text in ("n < 40", "n != 10"):
        with pytest.raises(gn2.Error, match="row 1[01]"):
            pts(path, text)
    assert (pts(path, "n < 10 || n > 11") == np.delete(np.arange(30.0), [10, 11])).all()


def test_several_and_virtual_files(tmp_path):
    jets = np.zeros(50, [("pt_btagJes", "f4"), ("flavour_label", "i4")])
    jets["pt_btagJes"] = np.arange(50)
    jets["flavour_label"] = 1
    part = made(tmp_path / "part.h5", jets, chunks=(8,))
    whole = tmp_path / "whole.h5"
    with h5py.File(whole, "w", libver="latest") as file:
        for name, tail, kind in (("jets", (), jets.dtype), ("tracks", (3,), SLOT)):
            layout = h5py.VirtualLayout((100, *tail), kind)
            for first in (50, 0):
                source = h5py.VirtualSource(part, name, (50, *tail))
                layout[first : first + 50] = source
            file.create_virtual_dataset(name, layout)
    text = "pt > 46 || pt < 2"
    rows = [0, 1, 47, 48, 49]
    assert (pts(str(whole), text) == [*rows, *rows]).all()
    paths = [part, str(whole), part]
    assert (pts(paths, text) == rows * 4).all()
    where = gn2.Dataset(paths, {**SMALL, "data.selection": text}).rows
    assert (where == np.add.outer(np.arange(4) * 50, rows).ravel()).all()
    where = gn2.Dataset(paths, {**SMALL, "data.max_jets": 60}).rows
    assert (where == np.arange(60)).all()
    assert (pts([part, part], text, **{"data.max_jets": 7}) == [*rows, 0, 1]).all()


def test_rows_that_were_never_written_are_not_chosen_among(tmp_path):
    path = tmp_path / "j.h5"
    kind = np.dtype([("pt_btagJes", "f4"), ("flavour_label", "i4")])
    with h5py.File(path, "w") as file:
        jets = file.create_dataset("jets", (60,), kind, chunks=(20,))
        values = np.zeros(20, kind)
        values["pt_btagJes"] = np.arange(1, 21)
        jets[:20] = values
        file["tracks"] = np.zeros((60, 3), SLOT)
    options = {**SMALL, "data.selection": "pt > 15"}
    with pytest.raises(gn2.FormatError, match="rows 20 to 59.*data.max_jets = 5 stops"):
        gn2.Dataset(path, options)
    assert gn2.Dataset(path, {**options, "data.max_jets": 5}).info.jet_count == 5
    options["data.unwritten"] = "keep"
    info = gn2.Dataset(path, options).info
    assert (info.jet_count, info.unwritten) == (5, 0)
    options["data.selection"] = "pt < 3"
    info = gn2.Dataset(path, options).info
    assert (info.jet_count, info.unwritten) == (42, 40)


@pytest.mark.parametrize(
    "text, words",
    [
        ("ptt_btagJes > 5", ["has no field 'ptt_btagJes'", "'pt_btagJes'", VAL]),
        ("pt_btagJes > 5 && pt = 7", ["character 22", "write =="]),
        ("pt_btagJes > 1e9", ["none of the 1500 jets", VAL, "MeV"]),
    ],
)
def test_a_selection_that_cannot_be_is_refused(text, words):
    with pytest.raises(gn2.Error) as problem:
        gn2.Dataset(VAL, {"data.selection": text})
    assert all(word in str(problem.value) for word in ["data.selection", *words])


def test_text_cannot_be_compared(tmp_path):
    jets = np.zeros(9, [("pt_btagJes", "f4"), ("name", "S4")])
    path = made(tmp_path / "j.h5", jets)
    with pytest.raises(gn2.FormatError, match="'name' is not a number"):
        gn2.Dataset(path, {**SMALL, "data.selection": "name == 1"})


def test_rows_are_written_where_there_is_place_for_all(model, sample):
    data = gn2.Dataset.from_arrays(
        sample.jets, sample.ragged, config={"data.batch_size": 1}
    )
    count = data.info.jet_count
    assert (data.rows == np.arange(count)).all()
    place = np.full(count + 1, -7)
    numbers = place.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
    with data._guard as handle:
        for wrong in (count - 1, count + 1):
            with pytest.raises(gn2.InvalidArgument, match=f"has {count} jets"):
                lib.gn2_dataset_rows(handle, numbers, wrong)
    assert (place == -7).all()


def test_arrays_have_no_selection(model, sample):
    with pytest.raises(gn2.InvalidArgument, match="data.selection.*rows"):
        gn2.Dataset.from_arrays(
            sample.jets, sample.ragged, config={"data.selection": "pt > 5"}
        )


def test_scores_of_chosen_jets_are_the_same(model):
    text = "abs(eta) < 1"
    with h5py.File(VAL) as file:
        rows = np.flatnonzero(abs(file["jets"]["eta"]) < 1)
    with gn2.Tagger(model) as tagger:
        of = [
            np.concatenate([s.probabilities for s in tagger.tag_batches(data)])
            for data in (
                gn2.Dataset(VAL, OPTIONS),
                gn2.Dataset(VAL, {**OPTIONS, "data.selection": text}),
            )
        ]
    assert of[1].tobytes() == of[0][rows].tobytes()
