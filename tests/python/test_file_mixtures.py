# SPDX-License-Identifier: Apache-2.0
"""Whatever types, byte orders, chunks, filters and layouts a file has, a dataset gives
what h5py and NumPy read of it, to the bit, or refuses it."""

import os

import numpy as np
import pytest

import gn2

h5py = pytest.importorskip("h5py")
hypothesis = pytest.importorskip("hypothesis", reason="hypothesis draws the files")
st = hypothesis.strategies

CLASSES = ["bjets", "cjets", "ujets", "taujets"]
REALS = [order + kind for order in "<>" for kind in ("f2", "f4", "f8")]
INTEGERS = ["i1", "u1"] + [o + k + n for o in "<>" for k in "iu" for n in "248"]
NUMBERS = REALS + INTEGERS
FLAGS = ["?", *NUMBERS]
#: values that are exact in every type, and some that are in few
WHOLE = [0, 1, 2, 3, 7]
ODD = [-1, -2, 200, 0.5, -0.25, 1e-9, 70000, 2**31, 2**53 + 1, 2**63, -(2**40)]
ODD += [float("nan"), float("inf"), 1e300]

FILES = int(os.environ.get("GN2_TEST_FILES", "100"))


def cast(values, kind):
    """Values as a type holds them, as far as it can."""
    with np.errstate(all="ignore"):
        if np.dtype(kind).kind in "iu":
            info = np.iinfo(kind)
            whole = [int(v) if np.isfinite(v) else 0 for v in np.ravel(values)]
            fits = [min(max(v, info.min), info.max) for v in whole]
            return np.array(fits, kind).reshape(np.shape(values))
        return np.asarray(values, "f8").astype(kind)


@st.composite
def column(draw, shape, kinds, usual, odd):
    """A field: one of the types, usual values and perhaps an odd one."""
    kind = draw(st.sampled_from(kinds))
    size = int(np.prod(shape))
    values = draw(st.lists(usual, min_size=size, max_size=size))
    if size and draw(st.integers(0, 5)) == 0:
        values[draw(st.integers(0, size - 1))] = draw(odd)
    return kind, cast(np.array(values, "O").reshape(shape), kind)


def pack(fields):
    """Records of fields, in the order given."""
    shape = fields[0][2].shape
    out = np.zeros(shape, [(name, kind) for name, kind, _ in fields])
    for name, _, values in fields:
        out[name] = values
    return out


@st.composite
def tables(draw):
    """Jets and tracks as records, in any order of fields."""
    rows, slots = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    real = st.floats(-3, 3, width=16) | st.integers(-9, 9)
    odd = st.sampled_from(ODD)

    def add(name, shape, kinds, usual):
        return (name, *draw(column(shape, kinds, usual, odd)))

    jets = [add(name, (rows,), NUMBERS, real) for name in ("a", "b")]
    jets += [("event", "<i8", np.arange(1, rows + 1))]  # no jet is a fill value
    jets += [add("flavour", (rows,), NUMBERS, st.integers(-1, 3))]
    jets += [add("w", (rows,), NUMBERS, st.integers(0, 3))]
    both = (rows, slots)
    tracks = [add(name, both, NUMBERS, real) for name in ("c", "d")]
    tracks += [add("origin", both, NUMBERS, st.integers(-2, 7))]
    tracks += [add("valid", both, FLAGS, st.integers(0, 1))]
    padding = draw(st.integers(0, 12))
    tracks += [(f"p{i}", "<f8", np.ones(both)) for i in range(padding)]
    return pack(draw(st.permutations(jets))), pack(draw(st.permutations(tracks)))


@st.composite
def storages(draw):
    """Options of a dataset: chunks and filters."""
    if draw(st.booleans()):
        return {}
    chunk = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    packing = draw(st.sampled_from([{}, {"compression": "gzip"}]))
    more = {"shuffle": draw(st.booleans()), "fletcher32": draw(st.booleans())}
    return {"chunk": chunk, **packing, **more}


def store(path, jets, tracks, storage, names):
    options = dict(storage)
    chunk = options.pop("chunk", None)
    with h5py.File(path, "w") as file:
        for name, values in (("jets", jets), ("tracks", tracks)):
            chunks = None
            if chunk:
                chunks = tuple(min(c, n) for c, n in zip(chunk, values.shape))
            file.create_dataset(name, data=values, chunks=chunks, **options)
        if names is not None:
            file["jets"].attrs["flavour"] = names


def join(path, source, jets, tracks):
    """A virtual file whose halves come from a source in turns."""
    with h5py.File(path, "w") as file:
        for name, values in (("jets", jets), ("tracks", tracks)):
            layout = h5py.VirtualLayout(values.shape, values.dtype)
            given = h5py.VirtualSource(source, name, values.shape)
            half = len(values) // 2
            layout[:half], layout[half:] = given[:half], given[half:]
            if half == 0:
                layout[:] = given
            file.create_virtual_dataset(name, layout)
        with h5py.File(source, "r", locking=False) as other:
            for key, value in other["jets"].attrs.items():
                file["jets"].attrs[key] = value


class Refused(Exception):
    """The plain reading finds what may not be."""


def need(condition):
    if not condition:
        raise Refused


def whole(values, low, high):
    """Labels: whole numbers in a range, as Python's integers."""
    numbers = [v.item() for v in values]
    need(all(np.isfinite(v) and v == int(v) and low <= v <= high for v in numbers))
    return np.array([int(v) for v in numbers], np.int32)


def plainly(path, names):
    """Jets, tracks, counts and labels by h5py and NumPy."""
    with h5py.File(path, "r", locking=False) as file:
        jets, tracks = file["jets"][:], file["tracks"][:]
    flags = tracks["valid"]
    need(np.isin(flags, (0, 1)).all())
    valid = flags == 1
    with np.errstate(all="ignore"):
        a = np.stack([jets[n].astype("f4") for n in ("a", "b")], 1)
        c = np.stack([tracks[n].astype("f4")[valid] for n in ("c", "d")], 1)
        weights = jets["w"].astype("f4")
    need(np.isfinite(a).all() and np.isfinite(c).all())
    need(np.isfinite(weights).all() and (weights >= 0).all())
    flavour = whole(jets["flavour"], -1, 3)
    if names is not None:
        order = np.array([CLASSES.index(n) for n in names] + [-1], np.int32)
        flavour = order[flavour]
    labels = {"flavour": flavour, "origin": whole(tracks["origin"][valid], -2, 7)}
    return a, c, valid.sum(1), {**labels, "flavour.sample_weight": weights}


def options(draw):
    return {
        "inputs.jets": ["a", "b"],
        "inputs.tracks": ["c", "d"],
        "model.tasks": ["jets_classification", "track_origin"],
        "task.jets_classification.label": "flavour",
        "task.jets_classification.sample_weight": "w",
        "task.track_origin.label": "origin",
        "data.sampling": "sequential",
        "data.batch_size": draw(st.integers(1, 10)),
        "data.prefetch": draw(st.integers(0, 1)),
        "data.read_threads": draw(st.sampled_from([1, 2, 3, 8])),
    }


def by_library(path, config):
    with gn2.Dataset(path, config) as data:
        batches = list(data)
    return (
        np.concatenate([b.jets for b in batches]),
        np.concatenate([b.tracks.values for b in batches]),
        np.concatenate([np.diff(b.tracks.offsets) for b in batches]),
        {n: np.concatenate([b.labels[n] for b in batches]) for n in batches[0].labels},
    )


def same(a, b):
    return a.shape == b.shape and a.tobytes() == b.astype(a.dtype).tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mixtures")


@hypothesis.settings(max_examples=FILES, deadline=None, derandomize=True)
@hypothesis.given(data=st.data())
def test_any_file_is_read_as_h5py_reads_it(folder, data):
    draw = data.draw
    jets, tracks = draw(tables())
    names = draw(st.none() | st.permutations(CLASSES))
    path, source = str(folder / "jets.h5"), str(folder / "source.h5")
    virtual = draw(st.booleans())
    store(source if virtual else path, jets, tracks, draw(storages()), names)
    if virtual:
        join(path, source, jets, tracks)
    config = options(draw)
    try:
        wanted = plainly(path, names)
    except Refused:
        with pytest.raises(gn2.Error, match="jets.h5"):
            by_library(path, config)
        return
    got = by_library(path, config)
    assert all(same(a, b) for a, b in zip(got[:3], wanted[:3]))
    assert got[3].keys() == wanted[3].keys()
    assert all(same(got[3][n], wanted[3][n]) for n in wanted[3])
