# SPDX-License-Identifier: Apache-2.0
"""Small models and jets for all tests."""

import os
import pathlib

import numpy as np
import pytest

import gn2

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = {
    "model.embed_dim": 16,
    "model.init_hidden": [16],
    "model.num_layers": 2,
    "model.num_heads": 2,
    "model.out_dim": 16,
}


@pytest.fixture(scope="session")
def shared():
    """The folder of data and reference models."""
    path = pathlib.Path(os.environ.get("GN2_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip("no shared data")
    return path


@pytest.fixture(scope="session")
def model():
    return gn2.Model(SMALL)


@pytest.fixture
def tagger(model):
    with gn2.Tagger(model) as tagger:
        yield tagger


class Sample:
    """Random jets in all forms the binding takes."""

    def __init__(self, inputs, counts, seed=1):
        rng = np.random.default_rng(seed)
        self.jet_names, self.track_names = inputs["jets"], inputs["tracks"]
        self.counts = np.asarray(counts)
        total = int(self.counts.sum())
        self.offsets = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        self.jets = rng.normal(size=(len(counts), 2)).astype(np.float32)
        self.tracks = rng.normal(size=(total, 19)).astype(np.float32)

    @property
    def ragged(self):
        return self.tracks, self.offsets

    def split(self, rows=None):
        rows = self.tracks if rows is None else rows
        return np.split(rows, self.offsets[1:-1])

    def records(self, kind="f4", names=None, values=None):
        names = self.track_names if names is None else names
        values = self.tracks if values is None else values
        out = np.zeros(len(values), [(name, kind) for name in names])
        for i, name in enumerate(names):
            out[name] = values[:, i]
        return out

    def padded(self, slots=None):
        slots = slots or int(self.counts.max(initial=1))
        data = np.full((len(self.counts), slots, 19), np.nan, np.float32)
        valid = np.zeros((len(self.counts), slots), bool)
        for b, rows in enumerate(self.split()):
            data[b, : len(rows)], valid[b, : len(rows)] = rows, True
        return data, valid


@pytest.fixture
def sample(model):
    return Sample(model.inputs, [3, 0, 7, 1, 12, 2])


@pytest.fixture
def plain(tagger, sample):
    """What plain arrays give."""
    return tagger.tag(sample.jets, sample.ragged).probabilities
