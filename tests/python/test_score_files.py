# SPDX-License-Identifier: Apache-2.0
"""What score files keep of their input, how precisely, and where they may not go."""

import logging
import os

import numpy as np
import pytest
from conftest import SMALL

import gn2

h5py = pytest.importorskip("h5py")

ROWS, SLOTS = 40, 5


def write_input(path):
    rng = np.random.default_rng(2)
    jets = np.zeros(
        ROWS,
        [
            ("pt_btagJes", "f4"),
            ("eta_btagJes", "f4"),
            ("mass", "f8"),
            ("huge", "f8"),
            ("time", "f8"),
            ("old", "f2"),
            ("eventNumber", "i8"),
            ("process", "S8"),
            ("weights", "f4", 3),
        ],
    )
    jets["pt_btagJes"] = rng.uniform(2e4, 1e6, ROWS)
    jets["eta_btagJes"] = rng.normal(size=ROWS)
    jets["eta_btagJes"][3] = np.inf  # it was not finite before
    jets["mass"] = np.pi * 1e3
    jets["mass"][ROWS - 1] = 65520  # the last of all, the first that is too large
    jets["huge"] = 1e300
    jets["time"] = 1 + 2.0**-40
    jets["old"] = 0.1
    tracks = np.zeros((ROWS, SLOTS), [("d0", "f4"), ("valid", "?")])
    tracks["valid"][:, :2] = True
    tracks["d0"][7, 1] = -7e4
    with h5py.File(path, "w") as file:
        file["jets"], file["tracks"] = jets, tracks
    return jets, tracks


@pytest.fixture
def files(tmp_path):
    jets, tracks = write_input(tmp_path / "in.h5")
    return tmp_path / "in.h5", tmp_path / "out.h5", jets, tracks


P = np.full((ROWS, 4), 0.25, np.float32)


def written(path, input, model, options, scores=None):
    with gn2.ScoreWriter(path, input, model, options) as writer:
        writer.add({"jets.probabilities": P, **(scores or {})})
    with h5py.File(path) as file:
        return file["jets"][:]


def test_every_real_keeps_its_precision(files, model, caplog):
    input, out, jets, _ = files
    with caplog.at_level(logging.WARNING, "gn2"):
        got = written(out, input, model, {})
    for name in ("pt_btagJes", "mass", "huge", "time", "eventNumber"):
        assert got.dtype[name] == jets.dtype[name]
        assert (got[name] == jets[name]).all()
    assert got.dtype["old"] == "f4" and (got["old"] == jets["old"].astype("f4")).all()
    assert not caplog.messages


def test_what_is_of_fixed_size_is_copied_to_the_bit(tmp_path, model, caplog):
    rng = np.random.default_rng(4)
    inner = np.dtype([("x", ">f4"), ("word", "S3")])
    any_length = h5py.string_dtype()
    more = [("run", "S6"), ("note", any_length), ("cov", ">f8", (2, 3)), ("own", inner)]
    jets = np.zeros(ROWS, [(n, "f4") for n in model.inputs["jets"]] + more)
    jets["note"] = "x"
    jets["run"] = [b"r%d" % i for i in range(ROWS)]
    jets["cov"] = rng.normal(size=(ROWS, 2, 3))
    jets["own"]["x"], jets["own"]["word"] = np.nan, b"a\0b"
    tracks = np.zeros((ROWS, SLOTS), [("d0", "f4"), ("hits", "u1", 5), ("valid", "?")])
    tracks["hits"] = rng.integers(0, 255, (ROWS, SLOTS, 5))
    input, out = tmp_path / "in.h5", tmp_path / "out.h5"
    with h5py.File(input, "w") as file:
        file["jets"] = jets
        file.create_dataset("tracks", data=tracks, compression="gzip")
    options = {"scores.write_tracks": "yes", "scores.track_fields": "*"}
    origin = np.full((ROWS, SLOTS, 8), 0.125, np.float32)
    with caplog.at_level(logging.WARNING, "gn2"):
        got = written(out, input, model, options, {"tracks.origin": origin})
    for name in ("run", "cov", "own"):
        assert got.dtype[name] == jets.dtype[name]
        assert got[name].tobytes() == jets[name].tobytes()
    with h5py.File(out) as file:
        assert (file["tracks"]["hits"] == tracks["hits"]).all()
    (line,) = caplog.messages
    assert "'jets': 1 of 6 fields are of any length" in line
    assert line.endswith(": note")
    with pytest.raises(gn2.FormatError, match="'note' is of any length"):
        gn2.ScoreWriter(out, input, model, {"scores.jet_fields": ["note"]})
    config = {"inputs.jets": ["cov"], "scores.jet_fields": "*"}
    with pytest.raises(gn2.FormatError, match="'cov' is not a number"):
        gn2.Dataset(input, config)


def test_half_precision_widens_what_it_cannot_hold(files, model, caplog):
    input, out, jets, _ = files
    with caplog.at_level(logging.INFO, "gn2"):
        got = written(out, input, model, {"scores.half_precision": "yes"})
    sizes = {"pt_btagJes": 4, "eta_btagJes": 2, "mass": 4, "huge": 8, "time": 2}
    sizes |= {"old": 2, "GN2_pb": 2, "GN2_Db": 2}
    for name, size in sizes.items():
        assert got.dtype[name].itemsize == size, name
        if name in jets.dtype.names:
            assert (got[name] == jets[name].astype(f"f{size}")).all()
            assert (np.isfinite(got[name]) == np.isfinite(jets[name])).all()
    assert any(m.endswith(": pt_btagJes, mass, huge") for m in caplog.messages)


def test_half_precision_of_constituents(files, tmp_path):
    input, out, _, tracks = files
    model = gn2.Model(SMALL)
    options = {
        "scores.half_precision": "yes",
        "scores.write_tracks": "yes",
        "scores.track_fields": ["d0"],
    }
    scores = {"tracks.origin": np.full((ROWS, SLOTS, 8), 0.125, np.float32)}
    written(out, input, model, options, scores)
    with h5py.File(out) as file:
        assert file["tracks"].dtype["d0"] == "f4"
        assert (file["tracks"]["d0"] == tracks["d0"]).all()
        assert file["tracks"].dtype["GN2_pFromB"] == "f2"


def test_a_score_that_would_be_infinite_is_refused(files, model):
    input, out, *_ = files
    d = np.zeros(ROWS, np.float32)
    d[11] = 65519.99
    d[12] = np.inf  # it is so already
    got = written(out, input, model, {"scores.half_precision": "yes"}, {"jets.D_b": d})
    assert got["GN2_Db"][11] == 65504 and np.isinf(got["GN2_Db"][12])
    d[31] = -65520
    with pytest.raises(gn2.NumericError, match="'jets.D_b', jet 31 .*-65520") as raised:
        written(out, input, model, {"scores.half_precision": "yes"}, {"jets.D_b": d})
    assert "scores.half_precision to no" in str(raised.value)
    got = written(out, input, model, {}, {"jets.D_b": d})
    assert got["GN2_Db"][31] == -65520


def test_what_a_regression_finds_keeps_32_bits(files):
    input, out, *_ = files
    model = gn2.Model(
        {
            **SMALL,
            "model.tasks": ["jets_classification", "mass"],
            "task.mass.kind": "regression",
            "task.mass.object": "jets",
            "task.mass.targets": ["truth_mass"],
        }
    )
    mass = np.full((ROWS, 1), 125e3, np.float32)
    got = written(
        out, input, model, {"scores.half_precision": "yes"}, {"jets.mass": mass}
    )
    assert (got["GN2_truth_mass"] == 125e3).all()


@pytest.mark.parametrize("way", ["path", "other path", "symbolic link", "hard link"])
def test_the_input_is_never_the_output(files, model, tmp_path, way):
    input, *_ = files
    out = {"path": input, "other path": tmp_path / "." / "x" / ".." / "in.h5"}.get(way)
    (tmp_path / "x").mkdir()
    if way == "symbolic link":
        out = tmp_path / "link.h5"
        out.symlink_to("in.h5")
    if way == "hard link":
        out = tmp_path / "link.h5"
        os.link(input, out)
    before = input.read_bytes()
    with pytest.raises(gn2.InvalidArgument, match="not written over their input"):
        gn2.ScoreWriter(out, input, model)
    assert input.read_bytes() == before


def test_a_folder_is_refused_before_anything_is_tagged(files, model, tmp_path):
    with pytest.raises(gn2.FileError, match="it is a folder"):
        gn2.ScoreWriter(tmp_path, files[0], model)
