# SPDX-License-Identifier: Apache-2.0
"""Input that is no plain array: masks count, tables go by column, the rest is refused.

Each form gives the bits of the plain one, or an error of gn2 that says what was given.
"""

import importlib.util
import warnings

import numpy as np
import pytest
from conftest import SMALL, Sample

import gn2


def masked(sample, slots=14):
    """Padded tracks whose padding is masked, with numbers below the mask."""
    data, valid = sample.padded(slots)
    mask = np.repeat(~valid[..., None], data.shape[2], 2)
    return np.ma.MaskedArray(np.nan_to_num(data, nan=0.25), mask=mask), valid


def records(sample, data):
    out = np.ma.zeros(data.shape[:2], [(n, "f4") for n in sample.track_names])
    for i, name in enumerate(sample.track_names):
        out[name] = data[..., i]
    return out


# ---- masks ----


def test_masked_tracks_are_padding(tagger, sample, plain):
    data, valid = masked(sample)
    for form in (data, data.astype("f8"), records(sample, data)):
        assert (tagger.tag(sample.jets, form).probabilities == plain).all()
    some = valid.copy()
    some[4, 5] = False
    flagged = tagger.tag(sample.jets, data.data, valid=some).probabilities
    data[4, 5] = np.ma.masked  # a mask and flags that say less
    assert (tagger.tag(sample.jets, data, valid=valid).probabilities == flagged).all()
    assert (flagged[4] != plain[4]).any()


def test_masked_flags_are_off(tagger, sample, plain):
    data, valid = masked(sample)
    for kind in (bool, np.uint8, np.float32):
        flags = np.ma.MaskedArray(np.ones(valid.shape, kind), mask=~valid)
        got = tagger.tag(sample.jets, data.data, valid=flags).probabilities
        assert (got == plain).all()


def test_an_empty_mask_masks_nothing(tagger, sample, plain):
    for mask in (np.ma.nomask, False):
        jets = np.ma.MaskedArray(sample.jets, mask=mask)
        tracks = np.ma.MaskedArray(sample.tracks, mask=mask), sample.offsets
        assert (tagger.tag(jets, tracks).probabilities == plain).all()


def holed(array, *where):
    array = np.ma.MaskedArray(array.copy())
    array[where] = np.ma.masked
    return array


LOST = {
    "a value of a jet": (lambda s: (holed(s.jets, 2, 1), s.ragged), r"jets.*\[2, 1\]"),
    "a column of jets": (
        lambda s: ({"pt": holed(s.jets[:, 0], 3), "eta": s.jets[:, 1]}, s.ragged),
        r"jets: pt.*\[3\]",
    ),
    "a ragged track": (
        lambda s: (s.jets, (holed(s.tracks, 4), s.offsets)),
        r"tracks.*\[4, 0\]",
    ),
    "part of a padded track": (
        lambda s: (s.jets, holed(masked(s)[0], 4, 2, 7)),
        "jet 4, slot 2",
    ),
    "offsets": (lambda s: (s.jets, (s.tracks, holed(s.offsets, 2))), "offsets"),
    "an item of a list": (
        lambda s: (s.jets, [r if len(r) != 7 else holed(r, 1) for r in s.split()]),
        "jet 2",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_masked_values_that_are_needed_are_refused(tagger, sample, case):
    make, words = LOST[case]
    with pytest.raises(gn2.InvalidArgument, match=words):
        tagger.tag(*make(sample))


def test_masked_labels_are_none(model, sample):
    flavour = np.ma.MaskedArray(np.arange(6) % 4, mask=[0, 0, 1, 0, 0, 0])
    origin = holed(np.arange(len(sample.tracks), dtype="u1") % 8, slice(3, 5))
    options = {"data.sampling": "sequential", "data.batch_size": 6}
    labels = {"flavour": flavour, "origin": origin}
    batch = next(
        iter(gn2.Dataset.from_arrays(sample.jets, sample.ragged, labels, options))
    )
    assert batch.labels["flavour"].tolist() == [0, 1, -1, 3, 0, 1]
    assert batch.labels["origin"][[3, 4]].tolist() == [-1, -1]
    assert (
        np.delete(batch.labels["origin"], [3, 4]) == np.delete(origin.data, [3, 4])
    ).all()
    weights = {"flavour": flavour, "flavour.sample_weight": holed(np.ones(6), 1)}
    with pytest.raises(gn2.InvalidArgument, match="masked"):
        gn2.Dataset.from_arrays(sample.jets, sample.ragged, weights, options)


def test_masks_of_weights_and_options_are_refused(sample):
    model = gn2.Model(SMALL)
    name = next(iter(model.params))
    with pytest.raises(gn2.InvalidArgument, match="masked"):
        model[name] = holed(model[name], 0)
    with pytest.raises(gn2.InvalidArgument, match="norm.jets.mean.*masked"):
        gn2.Config({"norm.jets.mean": holed(np.ones(2), 1)})
    with pytest.raises(gn2.InvalidArgument, match="masked"):
        gn2.discriminant(holed(np.full((3, 4), 0.25), 1, 1), 0, [0, 0.5, 0.5, 0])


# ---- flags ----


def test_flags_go_with_lists_of_one_length(tagger, sample, plain):
    data, valid = masked(sample)
    for form in (data.data.tolist(), list(data.data), list(records(sample, data).data)):
        assert (tagger.tag(sample.jets, form, valid=valid).probabilities == plain).all()


@pytest.mark.parametrize(
    "form",
    [
        lambda s: s.split(),
        lambda s: s.ragged,
        lambda s: None,
        lambda s: {},
    ],
)
def test_flags_are_used_or_refused(tagger, sample, form):
    valid = np.ones((6, 12), bool)
    if form(sample) == {}:
        valid = {"track": valid}
    with pytest.raises((gn2.InvalidArgument, gn2.NotFound), match="valid|track"):
        tagger.tag(sample.jets, form(sample), valid=valid)


@pytest.mark.parametrize("flag", [2, -1, 0.5, np.nan])
def test_flags_are_0_or_1(tagger, sample, flag):
    data, valid = masked(sample)
    flags = valid.astype(np.asarray(flag).dtype)
    flags[4, 3] = flag
    with pytest.raises(gn2.InvalidArgument, match="jet 4, slot 3"):
        tagger.tag(sample.jets, data.data, valid=flags)
    with pytest.raises(gn2.InvalidArgument, match="0 and 1"):
        tagger.tag(sample.jets, data.data, valid=valid.astype(str))


# ---- names ----


def test_columns_are_found_by_the_names_of_the_call(tagger, sample):
    names = [*sample.track_names, "other"]
    values = np.hstack([sample.tracks, sample.tracks[:, :1] + 1])
    rows = sample.records(names=names, values=values)
    before = tagger.tag(sample.jets, (rows, sample.offsets)).probabilities
    swapped = dict(zip([names[0], "other"], ["other", names[0]]))
    rows.dtype.names = tuple(swapped.get(n, n) for n in names)
    values[:, 0] += 1
    expected = tagger.tag(sample.jets, (values[:, :19], sample.offsets)).probabilities
    after = tagger.tag(sample.jets, (rows, sample.offsets)).probabilities
    assert (after == expected).all() and (after != before).any()


def test_a_column_is_read_by_one_input():
    both = {
        **SMALL,
        "inputs.jets": ["pt", "pt_btagJes"],
        "model.tasks": ["jets_classification"],
    }
    tagger = gn2.Tagger(gn2.Model(both))
    pt = np.ones(3)
    tagger.tag({"pt": pt, "pt_btagJes": pt})
    with pytest.raises(gn2.InvalidArgument, match="'pt' and 'pt_btagJes'"):
        tagger.tag({"pt": pt})


def test_a_field_of_a_file_is_read_by_one_input(tmp_path, sample):
    h5py = pytest.importorskip("h5py")
    path = str(tmp_path / "jets.h5")
    fields = [*((n, "f4") for n in sample.track_names), ("valid", "?")]
    with h5py.File(path, "w") as file:
        file["jets"] = np.ones(6, [("pt", "f4"), ("flavour_label", "i4")])
        file["tracks"] = np.ones((6, 2), fields)
    options = {**SMALL, "inputs.jets": ["pt_btagJes", "pt"], "data.batch_size": 6}
    with pytest.raises(gn2.InvalidArgument, match="field 'pt' of dataset 'jets'"):
        gn2.Dataset(path, options)


def test_columns_are_numbers_a_row(tagger, sample):
    wide = {"pt": np.ones((6, 2)), "eta": np.ones((6, 2))}
    with pytest.raises(gn2.ShapeError, match=r"'pt' has shape \(6, 2\)"):
        tagger.tag(wide, sample.ragged)


# ---- tables ----


def by_name(sample):
    return {n: sample.jets[:, i].copy() for i, n in enumerate(sample.jet_names)}


def tables():
    yield "pandas", "DataFrame"
    yield "polars", "DataFrame"
    yield "pyarrow", "table"


@pytest.mark.parametrize("package, make", tables())
def test_tables_go_by_column(tagger, sample, plain, package, make):
    table = getattr(pytest.importorskip(package), make)
    columns = {"mass": np.zeros(6), **dict(reversed(by_name(sample).items()))}
    assert (tagger.tag(table(columns), sample.ragged).probabilities == plain).all()
    tracks = {n: sample.tracks[:, i].copy() for i, n in enumerate(sample.track_names)}
    long = table(dict(reversed(tracks.items())))
    got = tagger.tag(table(columns), (long, sample.offsets)).probabilities
    assert (got == plain).all()
    with pytest.raises(gn2.InvalidArgument, match=r"\(table, offsets\)"):
        tagger.tag(sample.jets, long)
    pieces = [table({n: v[a:b] for n, v in reversed(tracks.items())})
              for a, b in zip(sample.offsets, sample.offsets[1:])]  # fmt: skip
    assert (tagger.tag(sample.jets, pieces).probabilities == plain).all()


@pytest.mark.parametrize("package, make", tables())
def test_missing_values_of_tables_are_refused(tagger, sample, package, make):
    table = getattr(pytest.importorskip(package), make)
    columns = {n: v.tolist() for n, v in by_name(sample).items()}
    columns["pt_btagJes"][2] = None
    with pytest.raises(gn2.Error):
        tagger.tag(table(columns), sample.ragged)


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_a_null_is_no_default(model, sample, package):
    make = {"polars": "DataFrame", "pyarrow": "table"}[package]
    table = getattr(pytest.importorskip(package), make)
    columns = {n: v.tolist() for n, v in by_name(sample).items()}
    columns["pt_btagJes"][2] = None
    lenient = gn2.Model({**model.config, "input.non_finite": "default"})
    with gn2.Tagger(lenient) as tagger:
        with pytest.raises(gn2.InvalidArgument, match="pt_btagJes: 1 values are null"):
            tagger.tag(table(columns), sample.ragged)


@pytest.mark.parametrize("form", ["plain", "columns", "records"])
def test_a_number_too_large_is_no_missing_one(model, sample, form):
    lenient = gn2.Model({**model.config, "input.non_finite": "default"})
    jets = sample.jets.astype("f8")
    jets[3, 0] = 1e300
    if form != "plain":
        names = sample.jet_names
        jets = {n: jets[:, i].copy() for i, n in enumerate(names)}
    if form == "records":
        kinds = [(n, v.dtype) for n, v in jets.items()]
        columns, jets = jets, np.zeros(len(sample.jets), kinds)
        for name, values in columns.items():
            jets[name] = values
    with gn2.Tagger(lenient) as tagger:
        with pytest.raises(gn2.NumericError, match=r"1e\+300.*beyond 32-bit"):
            tagger.tag(jets, sample.ragged)
        for name in ("inf", "nan"):  # these are for the option
            odd = sample.jets.astype("f8")
            odd[3, 0] = float(name)
            assert np.isfinite(tagger.tag(odd, sample.ragged).probabilities).all()


def test_columns_of_one_name_are_refused(tagger, sample):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        sample.jets[:, [0, 1, 0]], columns=[*sample.jet_names, "pt_btagJes"]
    )
    with pytest.raises(gn2.InvalidArgument, match="2 columns are called 'pt_btagJes'"):
        tagger.tag(frame, sample.ragged)


class Odd:
    """A table that gives nothing."""

    columns = ("pt", "eta")

    def __getitem__(self, name):
        raise RuntimeError("closed")


NONE_OF_OURS = {
    "a tuple": lambda s: ((s.jets, None), s.ragged),
    "a word": lambda s: ("jets.h5", s.ragged),
    "an object": lambda s: (object(), s.ragged),
    "a broken table": lambda s: (Odd(), s.ragged),
    "rows of two lengths": lambda s: ([[1.0, 2.0], [3.0]], s.ragged),
    "complex numbers": lambda s: (s.jets.astype(complex), s.ragged),
    "None in a list": lambda s: (s.jets, [None, *s.split()[1:]]),
    "objects in a list": lambda s: (s.jets, [object()] * 6),
    "a track without rows": lambda s: (s.jets, list(s.tracks[:6])),
    "an object as tracks": lambda s: (s.jets, object()),
    "offsets of words": lambda s: (s.jets, (s.tracks, list("abcdefg"))),
    "tracks of strings": lambda s: (s.jets, (s.tracks.astype(str), s.offsets)),
}


@pytest.mark.parametrize("case", NONE_OF_OURS)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_used_is_an_error_of_ours(tagger, sample, case):
    with pytest.raises(gn2.Error) as caught:
        tagger.tag(*NONE_OF_OURS[case](sample))
    assert len(str(caught.value)) > 15


# ---- labels ----


@pytest.mark.parametrize(
    "make",
    [
        lambda s, o: o.reshape(1, -1),
        lambda s, o: [o[:1], o[1:], *[[]] * 4],
        lambda s, o: np.split(o, s.offsets[1:-2]),
        lambda s, o: [["a"] * n for n in s.counts],
        lambda s, o: o + 0.5,
        lambda s, o: o + 2**40,
    ],
)
def test_labels_have_the_shape_of_their_rows(sample, make):
    origin = np.arange(len(sample.tracks)) % 8
    options = {"data.sampling": "sequential", "data.batch_size": 6}

    def read(given):
        labels = {"flavour": np.zeros(6, int), "origin": given}
        return next(
            iter(gn2.Dataset.from_arrays(sample.jets, sample.ragged, labels, options))
        )

    for right in (origin, sample.split(origin), sample.split(origin.tolist())):
        assert (read(right).labels["origin"] == origin).all()
    with pytest.raises(gn2.Error, match="origin"):
        read(make(sample, origin))


def test_labels_of_several_columns_say_how_many_are_expected(sample):
    options = {
        "model.tasks": ["r"],
        "task.r.kind": "regression",
        "task.r.targets": ["energy", "mass"],
        "data.batch_size": 6,
    }

    def read(given):
        labels = {"r": np.zeros(given)}
        return gn2.Dataset.from_arrays(sample.jets, sample.ragged, labels, options)

    read((6, 2))
    message = "labels 'r': 6 values for 6 rows of 2 columns, 12 expected"
    with pytest.raises(gn2.ShapeError, match=message):
        read(6)


def test_labels_of_padded_tracks_are_not_turned(model, sample):
    data, valid = masked(sample, 12)
    labels = {"origin": np.zeros((12, 6), int)}
    options = {"data.batch_size": 6}
    with pytest.raises(gn2.ShapeError, match=r"\(12, 6\)"):
        gn2.Dataset.from_arrays(sample.jets, data, labels, options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gn2.Dataset.from_arrays(
            sample.jets, data, {"origin": labels["origin"].T}, options
        )


def test_masked_scores_are_not_written(tmp_path, model, sample):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "jets.h5"
    fields = [*((n, "f4") for n in sample.track_names), ("valid", "?")]
    with h5py.File(path, "w") as file:
        file["jets"] = np.ones(6, [(n, "f4") for n in sample.jet_names])
        file["tracks"] = np.ones((6, 2), fields)
    p = np.full((6, 4), 0.25, np.float32)
    with gn2.ScoreWriter(tmp_path / "s.h5", path, model) as writer:
        with pytest.raises(gn2.InvalidArgument, match="masked"):
            writer.add({"jets.probabilities": holed(p, 2, 1)})
        writer.add({"jets.probabilities": p})


def test_a_flag_that_says_no_is_not_passed_over():
    """Forms without padding have no use for slots that are not valid."""
    model = gn2.Model({**SMALL, "inputs.tracks": ["d0", "dphi"]})
    tracks = np.zeros((2, 3), [("d0", "f4"), ("dphi", "f4"), ("valid", "?")])
    tracks["d0"] = np.arange(6).reshape(2, 3)
    tracks["valid"] = [[1, 1, 0], [1, 0, 0]]
    jets = np.ones((2, 2), "f4")
    forms = [list(tracks), (tracks.reshape(-1), np.array([0, 3, 6]))]
    if importlib.util.find_spec("awkward"):
        import awkward

        forms.append(awkward.Array(tracks))
    with gn2.Tagger(model) as tagger:
        right = tagger.tag(jets, tracks).probabilities
        for form in forms:
            with pytest.raises(
                gn2.InvalidArgument, match="'valid' is not 1 for 3 rows"
            ):
                tagger.tag(jets, form)
        kept = [row[row["valid"]] for row in tracks]
        assert (tagger.tag(jets, kept).probabilities == right).all()
