# SPDX-License-Identifier: Apache-2.0
"""What a dataset makes of the content of files: it is what h5py reads, or refused."""

import functools

import numpy as np
import pytest
from conftest import SMALL

import gn2

h5py = pytest.importorskip("h5py")

JETS, SLOTS = 30, 4
NORMS = ("mean", "std")
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


def typed(path, field, kind):
    """A file in which a field of the tracks has a type of HDF5's own."""
    jets, tracks = records()
    names = tracks.dtype.names
    size = sum(tracks.dtype[n].itemsize for n in names) + 16
    record, offset = h5py.h5t.create(h5py.h5t.COMPOUND, size), 0
    for name in names:
        own = h5py.h5t.py_create(tracks.dtype[name], logical=True)
        own = kind if name == field else own
        record.insert(name.encode(), offset, own)
        offset += own.get_size()
    with h5py.File(path, "w") as file:
        file["jets"] = jets
        file["jets"].attrs["flavour_label"] = CLASSES
        space = h5py.h5s.create_simple(tracks.shape)
        made = h5py.h5d.create(file.id, b"tracks", record, space)
        made.write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.zeros(tracks.shape, "V%d" % size), record
        )
    return path


def enum(base):
    kind = h5py.h5t.enum_create(base)
    kind.enum_insert(b"EMPTY", 0)
    kind.enum_insert(b"TRACK", 1)
    return kind


@pytest.mark.parametrize("base", [h5py.h5t.STD_I8LE, h5py.h5t.STD_U16LE], ids=str)
def test_an_enum_is_its_numbers(path, base):
    assert len(read(typed(path, "valid", enum(base)))[1]) == 0


def of_size(kind, size):
    kind = kind.copy()
    kind.set_size(size)
    return kind


STRANGE = {
    "enum": enum(h5py.h5t.STD_I16BE),
    "bits": h5py.h5t.STD_B8LE,
    "wide": of_size(h5py.h5t.STD_I64LE, 16),
    "long double": h5py.h5t.NATIVE_LDOUBLE,
}


@pytest.mark.parametrize("field", ["valid", "d0", "ftagTruthOriginLabel"])
@pytest.mark.parametrize("kind", STRANGE.values(), ids=STRANGE)
def test_types_that_would_be_cut_are_refused_by_name(path, kind, field):
    refused(typed(path, field, kind), "'tracks'", f"'{field}'", "not a number")


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


@functools.cache
def tagger():
    norm = {f"norm.{o}.{k}": [1.0, 1.0] for o in ("jets", "tracks") for k in NORMS}
    return gn2.Tagger(gn2.Model({**SMALL, **OPTIONS, **norm}))


def tagged(path):
    with gn2.Dataset(path, OPTIONS) as data:
        scores = [s.probabilities for s in tagger().tag_batches(data)]
    return np.concatenate(scores)


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
    def tag(*records):
        return tagged(write(path, *records))

    right = tag(*records())
    assert (tag(*strange(change)) == right).all()
    refused(write(path, *strange(change)), "jets.h5")


# ---- rows that were never written ----


def chunked(slots=SLOTS, **more):
    return lambda name: {"chunks": (5,) if name == "jets" else (5, slots), **more}


def make(path, rows, storage):
    with h5py.File(path, "w") as file:
        for name, values in zip(("jets", "tracks"), records()):
            options = storage(name)
            made = file.create_dataset(name, values.shape, values.dtype, **options)
            written = rows.get(name, JETS)
            if written:
                made[:written] = values[:written]
        file["jets"].attrs["flavour_label"] = CLASSES
    return path


STORAGE = {
    "chunks": chunked(),
    "gzip": chunked(compression="gzip", shuffle=True),
    "across": chunked(slots=3, compression="gzip"),
    "contiguous": lambda name: {},
}


@pytest.mark.parametrize("storage", STORAGE.values(), ids=STORAGE)
def test_written_files_have_no_gaps(path, storage):
    make(path, {}, storage)
    jets, tracks = records()
    got = read(path)
    assert (got[0][:, 0] == jets["pt_btagJes"]).all()
    assert (got[1][:, 0] == tracks["d0"][tracks["valid"]]).all()
    with gn2.Dataset(path, {**OPTIONS, "data.unwritten": "keep"}) as data:
        assert data.info.unwritten == 0


@pytest.mark.parametrize("name", ["jets", "tracks"])
@pytest.mark.parametrize("kind", ["chunks", "gzip", "across"])
def test_chunks_never_made_are_refused(path, kind, name):
    make(path, {name: 10}, STORAGE[kind])
    where = (f"'{name}'", "rows 10 to 29 of 30")
    refused(path, "jets.h5", *where, "data.max_jets = 10")
    with pytest.raises(gn2.FormatError, match="data.unwritten = keep"):
        gn2.Dataset(path, OPTIONS)  # before anything is read
    jets, tracks = records()
    got = read(path, **{"data.max_jets": 10})
    assert (got[0][:, 0] == jets["pt_btagJes"][:10]).all()
    kept = read(path, **{"data.unwritten": "keep"})
    assert len(kept[0]) == JETS and (kept[0][10:] == 0).all() == (name == "jets")
    with gn2.Dataset(path, {**OPTIONS, "data.unwritten": "keep"}) as data:
        assert data.info.unwritten == 20


@pytest.mark.parametrize("kind", ["chunks", "gzip", "contiguous"])
def test_the_rest_of_a_chunk_is_refused(path, kind):
    make(path, {"jets": 27}, STORAGE[kind])
    refused(path, "jets.h5", "'jets'", "row 27", "never written")
    assert len(read(path, **{"data.max_jets": 27})[0]) == 27
    assert (read(path, **{"data.unwritten": "keep"})[0][27:] == 0).all()


def test_a_dataset_without_storage_is_refused(path):
    make(path, {"tracks": 0}, STORAGE["contiguous"])
    refused(path, "'tracks'", "rows 0 to 29 of 30")


def test_a_fill_value_of_its_own_is_known(path):
    jets, tracks = records()
    fill = np.array((-9.0, np.nan, -1), jets.dtype)
    with h5py.File(path, "w") as file:
        made = file.create_dataset("jets", jets.shape, jets.dtype, fillvalue=fill)
        made[:20] = jets[:20]
        file["tracks"] = tracks
    refused(path, "'jets'", "row 20", "never written")


def test_zeros_that_were_written_are_jets(path):
    jets, tracks = records({"eventNumber": "i8"})
    for name in ("pt_btagJes", "eta_btagJes", "flavour_label"):
        jets[name][8] = 0
    jets["eventNumber"] = 77
    assert (read(write(path, jets, tracks))[0][8] == 0).all()


def test_lists_tell_zeros_that_were_written_too(path):
    jets, tracks = records({"hits": h5py.vlen_dtype("i4")})
    for name in ("pt_btagJes", "eta_btagJes", "flavour_label"):
        jets[name][8:10] = 0
    for row in range(JETS):
        jets["hits"][row] = np.arange(row != 9, dtype="i4")  # row 9: as if not written
    with h5py.File(path, "w") as file:
        file.create_dataset("jets", data=jets, chunks=(10,), compression="gzip")
        file["tracks"] = tracks
    assert (read(path, **{"data.max_jets": 9})[0][8] == 0).all()
    refused(path, "'jets'", "row 9", "never written")


# ---- virtual datasets ----


def virtual(path, sources, rows=None, where=None, part=None):
    """A file of jets of others, all or a part, one after another or at places given."""
    where = where or [slice(i * JETS, (i + 1) * JETS) for i in range(len(sources))]
    with h5py.File(path, "w") as file:
        for name, values in zip(("jets", "tracks"), records()):
            shape = (rows or JETS * len(sources), *values.shape[1:])
            layout = h5py.VirtualLayout(shape, values.dtype)
            for source, place in zip(sources, where):
                given = h5py.VirtualSource(source, name, values.shape)
                layout[place] = given[part] if part else given
            file.create_virtual_dataset(name, layout)
        file["jets"].attrs["flavour_label"] = CLASSES
    return path


def without(values, name):
    """Records without a field."""
    rest = [n for n in values.dtype.names if n != name]
    out = np.zeros(values.shape, [(n, values.dtype[n]) for n in rest])
    for n in rest:
        out[n] = values[n]
    return out


@pytest.fixture
def pair(tmp_path):
    paths = [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]
    for one in paths:
        write(one, *records())
    return paths


def test_sources_come_one_after_another(path, pair):
    got, want = read(virtual(path, pair)), read(pair)
    assert all((a == b).all() for a, b in zip(got[:2], want[:2]))
    assert (got[2]["flavour"] == want[2]["flavour"]).all()
    even = [slice(0, 2 * JETS, 2), slice(1, 2 * JETS, 2)]
    mixed = read(virtual(path, pair, where=even))
    assert (mixed[0] == np.repeat(want[0][:JETS], 2, axis=0)).all()


@pytest.mark.parametrize("field", ["d0", "valid", "z0SinTheta"])
def test_a_source_without_a_field_is_named(path, pair, field):
    virtual(path, pair)
    jets, tracks = records()
    write(pair[1], jets, without(tracks, field))
    refused(path, "jets.h5", "'tracks'", "b.h5", f"'{field}'")


def test_a_source_without_labels_can_be_tagged(path, pair):
    virtual(path, pair)
    jets, tracks = records()
    write(pair[1], without(jets, "flavour_label"), tracks)
    refused(path, "b.h5", "'flavour_label'")
    assert len(tagged(path)) == 2 * JETS


def test_gaps_between_sources_are_refused(path, pair):
    apart = [slice(0, JETS), slice(JETS + 5, 2 * JETS + 5)]
    virtual(path, pair, 2 * JETS + 8, apart)
    refused(path, "'jets'", "rows 30 to 34 of 68", "data.max_jets = 30")
    with gn2.Dataset(path, {**OPTIONS, "data.unwritten": "keep"}) as data:
        assert data.info.unwritten == 8
    assert len(read(path, **{"data.max_jets": 30})[0]) == 30


def test_what_a_source_never_wrote_is_a_gap(path, pair, tmp_path):
    middle = str(tmp_path / "middle.h5")
    make(pair[1], {"tracks": 10}, STORAGE["gzip"])
    refused(virtual(path, pair), "'tracks'", "rows 40 to 59 of 60")
    virtual(middle, pair)  # virtual itself, and a source of the next
    with h5py.File(path, "w") as file:
        for name in ("jets", "tracks"):
            shape = (2 * JETS, *records()[name == "tracks"].shape[1:])
            kind = records()[name == "tracks"].dtype
            layout = h5py.VirtualLayout(shape, kind)
            layout[:] = h5py.VirtualSource(middle, name, shape)
            file.create_virtual_dataset(name, layout)
    refused(path, "'tracks'", "rows 40 to 59 of 60")


def test_a_source_that_has_become_shorter_is_a_gap(path, pair):
    virtual(path, pair)
    jets, tracks = records()
    write(pair[0], jets[:12], tracks[:12])
    refused(path, "'jets'", "takes 30 records", "a.h5", "has 12")
    virtual(path, pair, part=slice(0, 20), where=[slice(0, 20), slice(20, 40)])
    refused(path, "'jets'", "rows 12 to 19 of 60")


def test_a_virtual_dataset_of_itself_is_refused(path):
    virtual(path, ["jets.h5"])
    refused(path, "jets.h5", "its own source")


# ---- score files ----


def write_scores(path, out, **options):
    jets, tracks = JETS, JETS * SLOTS
    flat = {"jets.probabilities": np.full((jets, 4), 0.25, np.float32)}
    flat["tracks.origin"] = np.full((tracks, 8), 0.125, np.float32)
    config = {"scores.write_tracks": "yes", "scores.track_fields": "d0", **options}
    with gn2.ScoreWriter(out, path, tagger().model, config) as writer:
        writer.add(flat)


def test_score_files_need_rows_that_were_written_and_flags(path, tmp_path):
    out = str(tmp_path / "scores.h5")
    jets, tracks = records((), {"valid": "f4"})
    write_scores(write(path, jets, tracks), out)
    tracks["valid"][4, 1] = 0.5
    with pytest.raises(gn2.FormatError, match="row 4, slot 1: flag 0.5"):
        write_scores(write(path, jets, tracks), out)
    make(path, {"tracks": 10}, STORAGE["gzip"])
    with pytest.raises(gn2.FormatError, match="'tracks': rows 10 to 29"):
        write_scores(path, out)
    write_scores(path, out, **{"data.unwritten": "keep"})


@pytest.mark.parametrize("object, field", [("jets", "pt_btagJes"), ("tracks", "d0")])
def test_a_number_too_large_is_no_missing_one(path, object, field):
    """Whatever input.non_finite says; NaN and Inf are for that option."""
    lenient = {"input.non_finite": "default"}
    for value in ("1e300", "inf", "nan"):
        kinds = {field: "f8"}
        jets, tracks = records(*((kinds, ()) if object == "jets" else ((), kinds)))
        tracks["valid"][7, 1] = True
        if object == "jets":
            jets[field][7] = float(value)
        else:
            tracks[field][7, 1] = float(value)
        write(path, jets, tracks)
        if value != "1e300":
            assert np.isfinite(read(path, **lenient)[0]).all()
            continue
        said = rf"'{object}', field '{field}', row 7.*1e\+300 is beyond"
        for options in (lenient, {}):
            with pytest.raises(gn2.NumericError, match=said):
                read(path, **options)
        with gn2.Dataset(path, {**OPTIONS, "data.class_weights": "no"}) as data:
            with pytest.raises(gn2.NumericError, match=said):
                data.setup()
