# SPDX-License-Identifier: Apache-2.0
"""Batches from arrays and files; score files."""

from functools import partial

import numpy as np
import pytest
from conftest import SMALL, Sample

import gn2
from gn2 import _ffi


def arrays(model, jets=50, seed=3):
    rng = np.random.default_rng(seed)
    sample = Sample(model.inputs, rng.integers(0, 6, jets), seed)
    total = len(sample.tracks)
    labels = {
        "flavour": rng.integers(0, 4, jets),
        "origin": rng.integers(0, 8, total),
        "vertex": rng.integers(0, 3, total),
    }
    return sample, labels


SEQUENTIAL = {"data.sampling": "sequential", "data.batch_size": 20}


def joined(dataset):
    batches = list(dataset)
    jets = np.concatenate([b.jets for b in batches])
    tracks = np.concatenate([b.tracks.values for b in batches])
    return jets, tracks, batches


def test_arrays_come_back_in_order(model):
    sample, labels = arrays(model)
    dataset = gn2.Dataset.from_arrays(sample.jets, sample.ragged, labels, SEQUENTIAL)
    assert dataset.info.jet_count == 50 and dataset.info.has_labels
    jets, tracks, batches = joined(dataset)
    assert (jets == sample.jets).all() and (tracks == sample.tracks).all()
    assert len(batches) == len(dataset) == 3
    for name, values in labels.items():
        got = np.concatenate([b.labels[name] for b in batches])
        assert (got == values).all(), name


def test_padded_records_and_float64_are_taken_too(model):
    sample, labels = arrays(model)
    data, valid = sample.padded()
    wide = {name: np.full(valid.shape, -1) for name in ("origin", "vertex")}
    for name, values in wide.items():
        values[valid] = labels[name]
    padded = gn2.Dataset.from_arrays(
        sample.jets.astype(np.float64),
        data,
        {**labels, **wide},
        SEQUENTIAL,
        valid=valid,
    )
    jets, tracks, batches = joined(padded)
    assert (jets == sample.jets).all() and (tracks == sample.tracks).all()
    got = np.concatenate([b.labels["vertex"] for b in batches])
    assert (got == labels["vertex"]).all()


def test_the_arrays_live_as_long_as_the_dataset(model):
    sample, labels = arrays(model)
    expected = sample.tracks.copy()
    dataset = gn2.Dataset.from_arrays(
        sample.jets.astype("f8"), sample.split(), labels, SEQUENTIAL
    )
    del sample
    assert (joined(dataset)[1] == expected).all()


def test_setup_fills_normalisation(model):
    sample, labels = arrays(model, 400)
    dataset = gn2.Dataset.from_arrays(sample.jets, sample.ragged, labels, SEQUENTIAL)
    config = dataset.setup(SMALL)
    assert config["model.embed_dim"] == 16
    np.testing.assert_allclose(
        config["norm.tracks.mean"], sample.tracks.mean(axis=0, dtype="f8"), atol=1e-6
    )
    assert (
        "norm.tracks.mean" not in dataset.config
        or not dataset.config["norm.tracks.mean"]
    )


@pytest.mark.parametrize(
    "labels, kind",
    [
        (np.zeros(49, int), gn2.ShapeError),
        (np.zeros(50), gn2.InvalidArgument),
        (np.full(50, 2**40), gn2.InvalidArgument),
        ({"flavor": np.zeros(50, int)}, gn2.NotFound),
        ({"flavour": np.zeros(50, int), "origin": np.zeros(3, int)}, gn2.ShapeError),
    ],
)
def test_bad_labels(model, labels, kind):
    sample, _ = arrays(model)
    with pytest.raises(kind, match="label"):
        gn2.Dataset.from_arrays(sample.jets, sample.ragged, labels, SEQUENTIAL)


def test_a_label_out_of_range_is_named(model):
    sample, labels = arrays(model)
    labels["flavour"][7] = 9
    with pytest.raises(gn2.FormatError, match="row 7.*9"):
        list(gn2.Dataset.from_arrays(sample.jets, sample.ragged, labels, SEQUENTIAL))


# ---- files ----

# few jets: not every origin occurs, so it can have no weight
FILE = {**SEQUENTIAL, "data.class_weights": "no"}


def with_hdf5():
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")


def test_a_file_holds_what_h5py_reads(shared):
    with_hdf5()
    h5py = pytest.importorskip("h5py")
    path = shared / "data" / "jets_val.h5"
    options = {**SEQUENTIAL, "data.max_jets": 200}
    jets, tracks, batches = joined(gn2.Dataset(path, options))
    with h5py.File(path) as file:
        rows, constituents = file["jets"][:200], file["tracks"][:200]
    assert (jets[:, 0] == rows["pt_btagJes"]).all()
    inside = constituents[constituents["valid"]]
    assert (tracks[:, 0] == inside["d0"].astype("f4")).all()
    got = np.concatenate([b.labels["origin"] for b in batches])
    assert (got == inside["ftagTruthOriginLabel"]).all()


def test_records_of_h5py_are_tagged_by_name(shared):
    with_hdf5()
    h5py = pytest.importorskip("h5py")
    path = shared / "data" / "jets_val.h5"
    with h5py.File(path) as file:
        jets, tracks = file["jets"][:200], file["tracks"][:200]
    dataset = gn2.Dataset(path, {**FILE, "data.max_jets": 200})
    tagger = gn2.Tagger(gn2.Model(dataset.setup(SMALL)))
    by_name = tagger.tag(jets, tracks)
    batches = [s.probabilities for s in tagger.tag_batches(dataset)]
    assert (np.concatenate(batches) == by_name.probabilities).all()


def test_errors_name_the_file(tmp_path):
    with_hdf5()
    with pytest.raises(gn2.Error, match="none.h5"):
        gn2.Dataset(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(gn2.Error, match="text.h5"):
        gn2.Dataset([tmp_path / "text.h5"])
    with pytest.raises(ValueError):
        gn2.Dataset([])


def test_score_files(shared, tmp_path):
    with_hdf5()
    h5py = pytest.importorskip("h5py")
    path = shared / "data" / "jets_val.h5"
    dataset = gn2.Dataset(path, {**FILE, "data.max_jets": 100})
    model = gn2.Model(dataset.setup(SMALL))
    scores = list(gn2.Tagger(model).tag_batches(dataset, "D_b"))
    out = tmp_path / "scores.h5"
    with gn2.ScoreWriter(out, path, model) as writer:
        for part in scores:
            writer.add(part)
        with pytest.raises(gn2.ShapeError, match="probabilities"):
            writer.add({"jets.probabilities": np.zeros((3, 5))})
        with pytest.raises(gn2.InvalidArgument, match="count"):
            writer.add({"origin": np.zeros((3, 8))})
        with pytest.raises(gn2.NotFound, match="jets.mass"):
            writer.add({"jets.mass": np.zeros(3)})
    with h5py.File(out) as file:
        pb = file["jets"]["GN2_pb"][:100]
    assert (pb == np.concatenate([part["b"] for part in scores])).all()
    with pytest.raises(RuntimeError, match="mine"):
        with gn2.ScoreWriter(tmp_path / "no.h5", path, model):
            raise RuntimeError("mine")
    assert [p.name for p in tmp_path.iterdir()] == ["scores.h5"]


def jets_of(path):
    with pytest.importorskip("h5py").File(path, locking=False) as file:
        return file["jets"][()]


def test_probabilities_alone_are_scores(shared, tmp_path):
    """A plain array in Python, the short form of C: the same file as by outputs."""
    with_hdf5()
    path = shared / "data" / "jets_val.h5"
    dataset = gn2.Dataset(path, {**FILE, "data.max_jets": 100})
    model = gn2.Model(dataset.setup(SMALL))
    scores = next(gn2.Tagger(model).tag_batches(dataset))
    p = scores.probabilities
    for name, given in (("named", {"jets.probabilities": p}), ("array", p)):
        with gn2.ScoreWriter(tmp_path / name, path, model) as writer:
            writer.add(given)
    writer = gn2.ScoreWriter(tmp_path / "short", path, model)
    with writer._guard as handle:
        short = partial(_ffi.lib.gn2_score_writer_add, handle)
        short(len(p), p.ctypes.data, None, None, None)
        with pytest.raises(gn2.InvalidArgument, match="no scores"):
            short(len(p), None, None, None, None)
        with pytest.raises(gn2.InvalidArgument, match="count = -1"):
            short(-1, p.ctypes.data, None, None, None)
    writer.finish()
    assert (jets_of(tmp_path / "array") == jets_of(tmp_path / "named")).all()
    assert (jets_of(tmp_path / "short") == jets_of(tmp_path / "named")).all()
    assert (jets_of(tmp_path / "named")["GN2_pb"][:100] == p[:, 0]).all()
