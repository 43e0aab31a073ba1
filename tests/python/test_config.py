# SPDX-License-Identifier: Apache-2.0
"""Options: types, tables, files, errors."""

import numpy as np
import pytest

import gn2
from gn2.config import keys


def test_defaults_are_those_of_the_table():
    config = gn2.Config()
    for key, row in keys().items():
        if "*" in key:
            continue
        other = gn2.Config()
        other.set_text(key, row.default)
        assert config[key] == other[key], key


@pytest.mark.parametrize(
    "key, value",
    [
        ("model.embed_dim", 64),
        ("schedule.max", 1e-3),
        ("model.name", "Größe"),
        ("model.classes", ["bjets", "cjets"]),
        ("norm.tracks.mean", [0.5, -1.25]),
        ("model.init_hidden", []),
        ("inputs.flows", ["pt"]),
    ],
)
def test_values_come_back(key, value):
    config = gn2.Config({key: value})
    assert config[key] == value


def test_numpy_scalars_and_arrays_are_values():
    config = gn2.Config(
        {"model.embed_dim": np.int16(32), "schedule.max": np.float32(0.5)}
    )
    config["norm.jets.mean"] = np.array([1, 2], np.int8)
    assert (config["model.embed_dim"], config["schedule.max"]) == (32, 0.5)
    assert config["norm.jets.mean"] == [1.0, 2.0]


def test_text_sets_any_type():
    config = gn2.Config({"model.embed_dim": "32", "model.classes": "a,b"})
    assert (config["model.embed_dim"], config["model.classes"]) == (32, ["a", "b"])


@pytest.mark.parametrize(
    "key, value, kind",
    [
        ("model.embed_dimm", 3, gn2.NotFound),
        ("model.embed_dim", -1, gn2.InvalidArgument),
        ("model.embed_dim", 2.5, TypeError),
        ("model.embed_dim", 2**70, OverflowError),
        ("model.embed_dim", None, TypeError),
        ("schedule.max", float("nan"), gn2.InvalidArgument),
        ("schedule.name", "twocycle", ValueError),
        ("model.name", "a\0b", ValueError),
        ("model.classes", [1, 2], TypeError),
        (3, 3, TypeError),
    ],
)
def test_wrong_values_raise(key, value, kind):
    config = gn2.Config()
    with pytest.raises(kind):
        config[key] = value


def test_an_unknown_key_suggests_the_nearest():
    with pytest.raises(KeyError, match="model.embed_dim"):
        gn2.Config({"model.embed_dimm": 3})
    assert "model.embed_dimm" not in gn2.Config()


def test_files_and_copies(tmp_path):
    config = gn2.Config({"model.embed_dim": 48, "norm.tracks.std": [1.0] * 19})
    config.save(tmp_path / "c.txt")
    again = gn2.Config(tmp_path / "c.txt")
    assert again.items() == config.items()
    copy = config.copy()
    copy["model.embed_dim"] = 16
    assert config["model.embed_dim"] == 48
    with pytest.raises(gn2.NotFound, match="absent.txt"):
        gn2.Config(tmp_path / "absent.txt")


def test_repr_shows_what_differs():
    assert "'model.embed_dim': 48" in repr(gn2.Config({"model.embed_dim": 48}))
    assert repr(gn2.Config()) == "gn2.Config({})"
