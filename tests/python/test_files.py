# SPDX-License-Identifier: Apache-2.0
"""What a dataset makes of the content of files: it is what h5py reads, or refused."""

import numpy as np
import pytest
from conftest import SMALL

import gn2

h5py = pytest.importorskip("h5py")

JETS, SLOTS = 30, 4
CLASSES = ["bjets", "cjets", "ujets", "taujets"]
OPTIONS = {
    "inputs.jets": ["pt_btagJes", "eta_btagJes"],
    "inputs.tracks": ["d0", "z0SinTheta"],
    "data.sampling": "sequential",
    "data.batch_size": 8,
    "data.prefetch": 0,
}


def records(jet_types=(), track_types=()):
    """Jets and tracks, some fields of other types."""
    rng = np.random.default_rng(4)
    jet_kinds = {"pt_btagJes": "f4", "eta_btagJes": "f4", "flavour_label": "i4"}
    track_kinds = {"d0": "f4", "z0SinTheta": "f4", "valid": "?"}
    track_kinds.update({"ftagTruthOriginLabel": "i1", "ftagTruthVertexIndex": "i2"})
    jet_kinds.update(jet_types)
    track_kinds.update(track_types)
    jets = np.zeros(JETS, list(jet_kinds.items()))
    tracks = np.zeros((JETS, SLOTS), list(track_kinds.items()))
    jets["pt_btagJes"] = rng.uniform(20e3, 50e3, JETS)
    jets["eta_btagJes"] = rng.uniform(-2.5, 2.5, JETS)
    jets["flavour_label"] = np.arange(JETS) % 4
    for name in ("d0", "z0SinTheta"):
        tracks[name] = rng.normal(size=tracks.shape)
    tracks["valid"] = np.arange(SLOTS) < rng.integers(0, SLOTS + 1, JETS)[:, None]
    tracks["ftagTruthOriginLabel"] = rng.integers(0, 8, tracks.shape)
    return jets, tracks


def write(path, jets, tracks, names=CLASSES):
    with h5py.File(path, "w") as file:
        file["jets"], file["tracks"] = jets, tracks
        if names is not None:
            file["jets"].attrs["flavour_label"] = names
    return path


def read(paths, **options):
    """Jets, valid tracks, and labels of a dataset."""
    with gn2.Dataset(paths, {**OPTIONS, **options}) as data:
        batches = list(data)
    jets = np.concatenate([b.jets for b in batches])
    tracks = np.concatenate([b.tracks.values for b in batches])
    names = batches[0].labels
    labels = {n: np.concatenate([b.labels[n] for b in batches]) for n in names}
    return jets, tracks, labels


def refused(paths, *words, **options):
    with pytest.raises(gn2.Error) as error:
        read(paths, **options)
    for word in words:
        assert word in str(error.value), (word, str(error.value))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "jets.h5")


# ---- labels and flags ----


@pytest.mark.parametrize("kind", ["f2", "f4", ">f4", "f8", "i1", ">i2", "u4", "u8"])
def test_whole_numbers_of_any_type_are_labels(path, kind):
    jets, tracks = records({"flavour_label": kind}, {"ftagTruthOriginLabel": kind})
    labels = read(write(path, jets, tracks))[2]
    assert (labels["flavour"] == np.arange(JETS) % 4).all()
    wanted = tracks["ftagTruthOriginLabel"][tracks["valid"]]
    assert (labels["origin"] == wanted).all()


@pytest.mark.parametrize(
    "kind, value",
    [("f2", 0.5), ("f4", -0.5), (">f8", 1.7), ("f4", np.nan), ("f8", np.inf)]
    + [("f8", 2.0**63), ("u8", 2**64 - 1), ("i8", -(2**63)), (">u8", 2**63)],
)
def test_what_is_no_whole_number_is_no_label(path, kind, value):
    jets, tracks = records({"flavour_label": kind})
    jets["flavour_label"][17] = value
    refused(write(path, jets, tracks), "jets.h5", "'flavour_label'", "row 17")
    jets, tracks = records((), {"ftagTruthVertexIndex": kind})
    tracks["valid"][11] = True
    tracks["ftagTruthVertexIndex"][11, 2] = value
    refused(write(path, jets, tracks), "'ftagTruthVertexIndex'", "row 11", "slot 2")


@pytest.mark.parametrize("kind", ["?", "i1", "u1", ">i2", "f2", "f4", ">f8"])
def test_flags_of_any_type_are_read(path, kind):
    jets, tracks = records((), {"valid": kind})
    wanted = tracks["d0"][tracks["valid"] == 1]
    assert (read(write(path, jets, tracks))[1][:, 0] == wanted).all()


@pytest.mark.parametrize(
    "kind, value",
    [("f4", 0.5), ("f2", np.nan), (">f8", -0.25), ("i1", -1), ("u1", 2), (">u8", 9)],
)
def test_a_flag_is_0_or_1(path, kind, value):
    jets, tracks = records((), {"valid": kind})
    tracks["valid"][7, 3] = value
    refused(write(path, jets, tracks), "'tracks'", "'valid'", "row 7", "slot 3")


def test_labels_that_are_no_numbers_are_refused_by_name(path):
    jets, tracks = records({"flavour_label": "S6"})
    write(path, jets, tracks, names=None)
    refused(path, "'flavour_label'", "not a number")


# ---- several files ----


def test_all_files_name_the_classes_or_none(tmp_path):
    a, b, c = (str(tmp_path / f"{name}.h5") for name in "abc")
    jets, tracks = records()
    write(a, jets, tracks, ["taujets", "bjets", "cjets", "ujets"])
    write(b, jets, tracks, None)
    write(c, jets, tracks, ["ujets", "cjets", "bjets", "taujets"])
    refused([a, b], "b.h5", "flavour_label", "a.h5")
    refused([b, c], "b.h5", "flavour_label", "c.h5")
    first, second = np.split(read([a, c])[2]["flavour"], 2)
    assert (first == np.array([3, 0, 1, 2])[np.arange(JETS) % 4]).all()
    assert (second == np.array([2, 1, 0, 3])[np.arange(JETS) % 4]).all()
    assert (read([b, b])[2]["flavour"] == np.tile(jets["flavour_label"], 2)).all()


def test_a_label_that_some_files_lack_is_named(tmp_path):
    a, b = str(tmp_path / "a.h5"), str(tmp_path / "b.h5")
    jets, tracks = records()
    write(a, jets, tracks)
    write(b, jets[["pt_btagJes", "eta_btagJes"]], tracks)
    refused([a, b], "b.h5", "'flavour_label'", "a.h5")
    assert "flavour" not in read([b, b])[2]


def test_weights_that_are_asked_for_must_be_there(path):
    jets, tracks = records()
    wanted = {"task.jets_classification.sample_weight": "w"}
    refused(write(path, jets, tracks), "jets.h5", "'w'", **wanted)
    jets, tracks = records({"w": ">f8"})
    jets["w"] = 1.5
    got = read(write(path, jets, tracks), **wanted)[2]
    assert (got["flavour.sample_weight"] == 1.5).all()


# ---- tagging ----


def strange(change):
    jets, tracks = records({"flavour_label": "f4"})
    names = CLASSES
    if change == "flavour":
        jets["flavour_label"][5] = 0.5
    elif change == "origin":
        tracks["ftagTruthOriginLabel"] = 100
    else:
        names = change
    return jets, tracks, names


@pytest.mark.parametrize(
    "change", ["flavour", "origin", ["a", "b", "c", "d"], [], list(map(str, range(99)))]
)
def test_labels_do_not_matter_for_tagging(path, change):
    norm = {f"norm.jets.{k}": [1.0, 1.0] for k in ("mean", "std")}
    norm.update({f"norm.tracks.{k}": [1.0, 1.0] for k in ("mean", "std")})
    tagger = gn2.Tagger(gn2.Model({**SMALL, **OPTIONS, **norm}))

    def tag(*records):
        with gn2.Dataset(write(path, *records), OPTIONS) as data:
            scores = [s.probabilities for s in tagger.tag_batches(data)]
        return np.concatenate(scores)

    right = tag(*records())
    assert (tag(*strange(change)) == right).all()
    refused(write(path, *strange(change)), "jets.h5")
