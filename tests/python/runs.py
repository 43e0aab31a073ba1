# SPDX-License-Identifier: Apache-2.0
"""Small runs of `gn2 fit`. For the tests."""

import pytest
from conftest import ROOT

import gn2
from gn2.cli import main

DATA = ROOT / "examples" / "data"
TRAIN, VAL = str(DATA / "jets_train.h5"), str(DATA / "jets_val.h5")
SMALL = [
    "model.embed_dim=16",
    "model.init_hidden=16",
    "model.num_layers=1",
    "model.num_heads=2",
    "data.batch_size=100",
    "data.max_jets=500",
]
QUIET = ["-q", "--no-report"]


@pytest.fixture(autouse=True)
def with_files():
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")


def fit(out, *more):
    return ["fit", TRAIN, "-o", str(out), *QUIET, *SMALL, *more]


def resume(out, *more):
    return ["fit", "--resume", "-o", str(out), *QUIET, *more]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run that is finished, one epoch of five steps."""
    out = tmp_path_factory.mktemp("done") / "run"
    assert main(fit(out, "train.epochs=1")) == 0
    return out
