# SPDX-License-Identifier: Apache-2.0
"""Every form of input gives the same bits; wrong input gives a clear exception."""

import numpy as np
import pytest
from conftest import SMALL, Sample

import gn2

ALIAS = {
    "IP3D_signed_d0_significance": "lifetimeSignedD0Significance",
    "IP3D_signed_z0_significance": "lifetimeSignedZ0SinThetaSignificance",
}


def jet_records(sample, kind="f4", names=None):
    return sample.records(kind, names or sample.jet_names, sample.jets)


def columns(sample):
    return {n: sample.tracks[:, i] for i, n in enumerate(sample.track_names)}


def reversed_records(sample):
    names = sample.track_names[::-1]
    return sample.records("f4", names, sample.tracks[:, ::-1])


def mixed_records(sample):
    """As in a file: aliases, foreign fields, several types, padding in the record."""
    kinds = [
        (ALIAS.get(n, n), "f8" if i % 2 else "f4")
        for i, n in enumerate(sample.track_names)
    ]
    out = np.zeros(len(sample.tracks), [("odd", "u1"), *kinds, ("valid", "?")])
    out["valid"] = True
    for i, (name, _) in enumerate(kinds):
        out[name] = sample.tracks[:, i]
    return out


FORMS = {
    "offsets as int32": lambda s: (s.tracks, s.offsets.astype(np.int32)),
    "offsets as a list": lambda s: (s.tracks, s.offsets.tolist()),
    "Ragged": lambda s: gn2.Ragged(s.tracks, s.offsets),
    "float64": lambda s: (s.tracks.astype(np.float64), s.offsets),
    "big endian": lambda s: (s.tracks.astype(">f4"), s.offsets),
    "Fortran order": lambda s: (np.asfortranarray(s.tracks), s.offsets),
    "rows with gaps": lambda s: (np.hstack([s.tracks, s.tracks])[:, :19], s.offsets),
    "every second row": lambda s: (np.repeat(s.tracks, 2, 0)[::2], s.offsets),
    "backwards": lambda s: (s.tracks[::-1].copy()[::-1], s.offsets),
    "read only": lambda s: (
        np.frombuffer(s.tracks.tobytes(), "f4").reshape(-1, 19),
        s.offsets,
    ),
    "nested lists": lambda s: (s.tracks.tolist(), s.offsets),
    "list of arrays": lambda s: s.split(),
    "list of lists": lambda s: [rows.tolist() for rows in s.split()],
    "object array": lambda s: np.array([*s.split(), None], object)[:-1],
    "structured": lambda s: (s.records(), s.offsets),
    "structured, reversed": lambda s: (reversed_records(s), s.offsets),
    "structured, float64": lambda s: (s.records("f8"), s.offsets),
    "structured, mixed": lambda s: (mixed_records(s), s.offsets),
    "list of structured": lambda s: s.split(s.records()),
    "columns": lambda s: (columns(s), s.offsets),
    "by constituent": lambda s: {"tracks": s.ragged},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_tracks(tagger, sample, form):
    expected = tagger.tag(sample.jets, sample.ragged).probabilities
    got = tagger.tag(sample.jets, FORMS[form](sample)).probabilities
    assert (got == expected).all()
    assert (tagger.tag(sample.jets, sample.ragged).probabilities == expected).all()


def test_padded(tagger, sample):
    every = tagger.output_names
    expected = tagger.tag(sample.jets, sample.ragged, outputs=every)
    data, valid = sample.padded(15)
    got = tagger.tag(sample.jets, data, valid=valid, outputs=every)
    assert (got.probabilities == expected.probabilities).all()
    assert got.origin.shape == (6, 15, 8) and got.vertex.shape == (6, 15)
    assert (got.origin[valid] == expected.origin).all()
    assert (got.vertex[valid] == expected.vertex).all()
    assert (got.vertex[~valid] == np.iinfo(np.int32).min).all()
    assert (got.pairs == expected.pairs).all()
    for kind in (np.uint8, np.int64, np.float32):
        again = tagger.tag(sample.jets, data, valid=valid.astype(kind))
        assert (again.probabilities == expected.probabilities).all()
    strided = np.zeros((6, 20, 19), np.float32)
    strided[:, :15] = data
    again = tagger.tag(sample.jets, strided[:, :15], valid=valid)
    assert (again.probabilities == expected.probabilities).all()


def test_padded_records_with_a_valid_field(tagger, sample):
    data, valid = sample.padded()
    records = np.zeros(valid.shape, [*sample.records().dtype.descr, ("valid", "?")])
    for i, name in enumerate(sample.track_names):
        records[name] = data[..., i]
    records["valid"] = valid
    expected = tagger.tag(sample.jets, sample.ragged).probabilities
    assert (tagger.tag(sample.jets, records).probabilities == expected).all()


def test_forms_of_jets(tagger, sample):
    expected = tagger.tag(sample.jets, sample.ragged).probabilities
    swapped = np.zeros(6, [("eta", "f4"), ("n", "i4"), ("pt", "f4")])
    swapped["pt"], swapped["eta"] = sample.jets.T
    forms = [
        jet_records(sample),
        jet_records(sample, "f8"),
        jet_records(sample, "f4", ("pt", "eta")),
        swapped,
        sample.jets.tolist(),
        sample.jets.astype(np.float64),
        {"eta": sample.jets[:, 1], "pt": sample.jets[:, 0], "mass": np.zeros(6)},
    ]
    for form in forms:
        assert (tagger.tag(form, sample.ragged).probabilities == expected).all()


def test_an_exact_name_wins_over_an_alias(tagger, sample):
    both = np.zeros(6, [("pt", "f4"), ("pt_btagJes", "f4"), ("eta_btagJes", "f4")])
    both["pt"] = 7
    both["pt_btagJes"], both["eta_btagJes"] = sample.jets.T
    expected = tagger.tag(sample.jets, sample.ragged).probabilities
    assert (tagger.tag(both, sample.ragged).probabilities == expected).all()
    both = both.astype([(n, "f8") for n in both.dtype.names])
    assert (tagger.tag(both, sample.ragged).probabilities == expected).all()


def test_awkward_arrays(tagger, sample):
    awkward = pytest.importorskip("awkward")
    expected = tagger.tag(sample.jets, sample.ragged).probabilities
    numbers = awkward.Array([rows.tolist() for rows in sample.split()])
    flat = {n: sample.tracks[:, i] for i, n in enumerate(sample.track_names)}
    flat["extra"] = np.zeros(len(sample.tracks))
    records = awkward.unflatten(awkward.zip(flat), sample.counts)
    jets = awkward.zip({"eta": sample.jets[:, 1], "pt": sample.jets[:, 0]})
    for tracks in (records, numbers):
        got = tagger.tag(jets, tracks).probabilities
        assert (got == expected).all()


def test_jets_without_tracks(tagger, sample):
    empty = np.zeros((0, 19), np.float32), np.zeros(7, np.int64)
    expected = tagger.tag(sample.jets, empty).probabilities
    for tracks in (None, [[]] * 6, np.zeros((6, 0, 19), "f4"), {}):
        assert (tagger.tag(sample.jets, tracks).probabilities == expected).all()
    none = tagger.tag(sample.jets[:0], None, outputs=["origin", "pairs"])
    assert none.probabilities.shape == (0, 4) and none.origin.shape == (0, 8)


def test_neighbours_do_not_matter(tagger, sample):
    together = tagger.tag(sample.jets, sample.ragged).probabilities
    for b, rows in enumerate(sample.split()):
        alone = tagger.tag(sample.jets[b : b + 1], [rows]).probabilities
        assert (alone[0] == together[b]).all()


def test_results_are_the_callers(tagger, sample):
    first = tagger.tag(sample.jets, sample.ragged).probabilities
    kept = first.copy()
    tagger.tag(sample.jets * 2, sample.ragged)
    assert (first == kept).all()
    np.testing.assert_allclose(first.sum(axis=1), 1, rtol=0, atol=4 * 2**-23)


def test_splitting_outputs(tagger, sample):
    scores = tagger.tag(sample.jets, sample.ragged, outputs="origin")
    assert [len(rows) for rows in scores.split("origin")] == sample.counts.tolist()
    np.testing.assert_allclose(scores["origin"].sum(axis=1), 1, rtol=0, atol=1e-6)


BAD = {
    "a jet column is missing": (lambda s: (s.jets[:, :1], s.ragged), gn2.ShapeError),
    "jets are flat": (lambda s: (s.jets[0], s.ragged), gn2.ShapeError),
    "jets are text": (lambda s: (np.full((6, 2), "x"), s.ragged), ValueError),
    "jets are None": (lambda s: (None, s.ragged), ValueError),
    "a field is missing": (
        lambda s: (s.jets, (s.records()[["d0", "dphi"]], s.offsets)),
        gn2.NotFound,
    ),
    "a column is missing": (
        lambda s: (s.jets, (s.tracks[:, 1:], s.offsets)),
        gn2.ShapeError,
    ),
    "offsets too short": (
        lambda s: (s.jets, (s.tracks, s.offsets[1:])),
        gn2.ShapeError,
    ),
    "offsets end early": (
        lambda s: (s.jets, (s.tracks, s.offsets * 0)),
        gn2.ShapeError,
    ),
    "offsets end late": (lambda s: (s.jets, (s.tracks, s.offsets * 2)), gn2.ShapeError),
    "offsets go back": (
        lambda s: (s.jets, (s.tracks, s.offsets[[0, 3, 1, 2, 4, 5, 6]])),
        gn2.InvalidArgument,
    ),
    "offsets start late": (
        lambda s: (s.jets, (s.tracks, np.maximum(s.offsets, 1))),
        gn2.InvalidArgument,
    ),
    "offsets are floats": (lambda s: (s.jets, (s.tracks, s.offsets * 1.0)), ValueError),
    "too few items": (lambda s: (s.jets, s.split()[1:]), gn2.ShapeError),
    "ragged without offsets": (lambda s: (s.jets, s.tracks), gn2.ShapeError),
    "records without offsets": (lambda s: (s.jets, s.records()), gn2.ShapeError),
    "columns without offsets": (lambda s: (s.jets, columns(s)), (ValueError, KeyError)),
    "padded, wrong jets": (lambda s: (s.jets[1:], s.padded()[0]), gn2.ShapeError),
    "unknown constituents": (lambda s: (s.jets, {"flows": s.ragged}), gn2.NotFound),
    "complex": (lambda s: (s.jets, (s.tracks + 1j, s.offsets)), ValueError),
    "a triple": (lambda s: (s.jets, (s.tracks, s.offsets, 1)), ValueError),
    "NaN": (lambda s: (s.jets * np.nan, s.ragged), gn2.NumericError),
    "float64 beyond float32": (lambda s: (s.jets * 1e300, s.ragged), gn2.NumericError),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.filterwarnings("ignore")
def test_bad_input(tagger, sample, case):
    make, kind = BAD[case]
    with pytest.raises(kind) as caught:
        tagger.tag(*make(sample))
    assert len(str(caught.value)) > 15
    tagger.tag(sample.jets, sample.ragged)  # still usable


def test_messages_say_what_to_do(tagger, sample):
    with pytest.raises(gn2.NotFound) as caught:
        tagger.tag(sample.jets, (sample.records()[["d0", "dphi"]], sample.offsets))
    assert "missing z0SinTheta" in str(caught.value) and "given d0" in str(caught.value)
    with pytest.raises(gn2.NumericError, match="jet 2.*d0"):
        tracks = sample.tracks.copy()
        tracks[sample.offsets[2] + 1, 0] = np.nan
        tagger.tag(sample.jets, (tracks, sample.offsets))
    with pytest.raises(gn2.NotFound, match="tracks.origin"):
        tagger.tag(sample.jets, sample.ragged, outputs="orogin")
    with pytest.raises(gn2.ShapeError, match="valid of shape"):
        data, valid = sample.padded()
        tagger.tag(sample.jets, data, valid=valid[1:])


STRICT_OK = [
    "Ragged",
    "structured",
    "structured, reversed",
    "rows with gaps",
    "every second row",
    "read only",
]


@pytest.mark.parametrize("form", FORMS)
def test_strict_mode_takes_only_what_needs_no_copy(model, sample, form):
    lenient = ("offsets as int32", "offsets as a list", "by constituent")
    tagger = gn2.Tagger(model, strict=True)
    tracks = FORMS[form](sample)
    if form in STRICT_OK or form in lenient:
        tagger.tag(sample.jets, tracks)
        return
    if form == "nested lists":
        pytest.skip("a list becomes float64: covered by 'float64'")
    with pytest.raises(gn2.CopyRefused, match="strict"):
        tagger.tag(sample.jets, tracks)


def test_strict_mode_refuses_float64_jets(model, sample):
    with pytest.raises(gn2.CopyRefused, match="float64"):
        gn2.Tagger(model, strict=True).tag(sample.jets.astype("f8"), sample.ragged)


def test_no_copy_is_made(model, sample):
    """The address the library gets is that of the caller's array."""
    tagger = gn2.Tagger(model)
    view = tagger._view
    for tracks in (sample.tracks, sample.records(), reversed_records(sample)):
        view.fill(sample.jets, (tracks, sample.offsets), None)
        assert view.c.features == sample.jets.ctypes.data
        assert view.c.sequences[0].data == tracks.ctypes.data
        assert view.c.sequences[0].offsets == sample.offsets.ctypes.data


def test_options(model, sample, tmp_path):
    jets = sample.jets.copy()
    jets[1, 0] = np.nan
    lenient = gn2.Tagger(gn2.Model({**SMALL, "input.non_finite": "default"}))
    assert np.isfinite(lenient.tag(jets, sample.ragged).probabilities).all()
    model.save(tmp_path / "m.gn2")
    threads = gn2.Tagger(tmp_path / "m.gn2", threads=2)
    one = gn2.Tagger(model).tag(sample.jets, sample.ragged).probabilities
    assert (threads.tag(sample.jets, sample.ragged).probabilities == one).all()
    with pytest.raises(gn2.InvalidArgument):
        gn2.Tagger(model, threads=-1)
    size = lenient.workspace_size(10, 10)
    assert size > 0 and lenient.memory > 0


def test_random_multiplicities_in_all_layouts(model):
    tagger = gn2.Tagger(model)
    rng = np.random.default_rng(5)
    for seed in range(20):
        s = Sample(model.inputs, rng.integers(0, 45, rng.integers(1, 40)), seed)
        data, valid = s.padded()
        a = tagger.tag(s.jets, s.ragged, outputs=["origin", "vertex"])
        b = tagger.tag(s.jets, data, valid=valid, outputs=["origin", "vertex"])
        assert (a.probabilities == b.probabilities).all()
        assert (a.origin == b.origin[valid]).all()
        assert (a.vertex == b.vertex[valid]).all()


def test_gradients_have_the_shapes_of_the_inputs(tagger):
    sample = Sample(tagger.model.inputs, [2, 0, 3])
    asked = ["D_b_gradient", "tracks.D_b_gradient", "tracks.gradient"]
    scores = tagger.tag(sample.jets, sample.ragged, outputs=asked)
    plain = tagger.tag(sample.jets, sample.ragged)
    assert scores["D_b_gradient"].shape == sample.jets.shape
    assert scores["tracks.D_b_gradient"].shape == sample.tracks.shape
    assert (scores["tracks.gradient"] == scores["tracks.D_b_gradient"]).all()
    assert np.abs(scores["tracks.gradient"]).max() > 0
    assert (scores.probabilities == plain.probabilities).all()


def test_fractions_asked_of_a_tagger_are_its_own(model):
    sample = Sample(model.inputs, [2, 0, 3])
    asked = {"discriminant.D_b.f_c": 0.05, "discriminant.D_c.f_tau": 0.4}
    with gn2.Tagger(model, asked) as tagger:
        scores = tagger.tag(sample.jets, sample.ragged, outputs=["D_b", "D_c", "D_tau"])
    for name, fractions in (
        ("b", {"f_c": 0.05, "f_tau": model.config["discriminant.D_b.f_tau"]}),
        ("c", {"f_b": model.config["discriminant.D_c.f_b"], "f_tau": 0.4}),
        ("tau", {}),
    ):
        p = gn2.Tagger(model).tag(sample.jets, sample.ragged)
        right = p.discriminant(name, **fractions)
        assert np.allclose(scores[f"D_{name}"], right, atol=1e-6)
        assert np.allclose(scores.discriminant(name), right, atol=1e-6)
    with pytest.raises(gn2.InvalidArgument, match="input.non_finite"):
        gn2.Tagger(model, {"input.non_finite": "default"})
    single = gn2.Model({**SMALL, "discriminant.D_b.f_c": 0.4})
    with gn2.Tagger(single, {"discriminant.D_b.fractions": ["cjets:0.1"]}) as tagger:
        scores = tagger.tag(sample.jets, sample.ragged, outputs="D_b")
    assert np.allclose(scores.D_b, scores.discriminant("b"), atol=1e-6)
    right = scores.discriminant("b", f_c=0.1, f_tau=0)
    assert np.allclose(scores.D_b, right, atol=1e-6)


def test_without_light_jets_fractions_are_given(model):
    classes = {"model.classes": ["bjets", "cjets", "taujets"]}
    sample = Sample(model.inputs, [2, 0, 3])
    with gn2.Tagger(gn2.Model({**SMALL, **classes})) as tagger:
        assert "jets.D_b" not in tagger.outputs
        with pytest.raises(gn2.InvalidArgument, match="no discriminant has 'b'"):
            tagger.tag(sample.jets, sample.ragged).discriminant("b")
