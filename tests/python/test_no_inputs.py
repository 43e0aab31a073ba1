# SPDX-License-Identifier: Apache-2.0
"""Objects that a model reads nothing of: any form says how many there are."""

import numpy as np
import pytest
from conftest import SMALL

import gn2

JETS = np.array([(5e4, 0.1), (3e4, 0.2)], [("pt", "f4"), ("eta", "f8")])
TRACKS = np.zeros((2, 3), [("d0", "f4"), ("valid", "?")])
TRACKS["valid"] = [[1, 1, 0], [1, 0, 0]]
ROWS = TRACKS[TRACKS["valid"]]  # 2 and 1
NONE = np.zeros((3, 0), np.float32)
#: as few columns as the model has inputs
PLAIN = {"jets": np.zeros((2, 0), np.float32), "tracks": (NONE, [0, 2, 3])}


def scores(name, given, strict=False):
    model = gn2.Model({**SMALL, f"inputs.{name}": []})
    other = {
        "jets": np.array([[5e4, 0.1], [3e4, 0.2]], np.float32),
        "tracks": (np.full((3, 19), 0.1, np.float32), np.array([0, 2, 3])),
    }
    call = {**other, name: given}
    outputs = ["jets.embedding", "tracks.origin"]
    with gn2.Tagger(model, strict=strict) as tagger:
        found = tagger.tag(call["jets"], call["tracks"], outputs=outputs)
        rows = np.concatenate(found.split(outputs[1]))
        padded = len(rows) == TRACKS.size
        return [found[outputs[0]], rows[TRACKS["valid"].ravel()] if padded else rows]


def awkward_of(records):
    return pytest.importorskip("awkward").Array(records)


def frame_of(records):
    return pytest.importorskip("pandas").DataFrame(records)


JET_FORMS = {
    "records": lambda: JETS,
    "some records": lambda: np.repeat(JETS, 2)[::2],
    "masked": lambda: np.ma.masked_array(JETS, mask=[(1, 0), (0, 0)]),
    "columns": lambda: {"pt": [5e4, 3e4]},
    "frame": lambda: frame_of(JETS),
    "awkward": lambda: awkward_of(JETS),
}
TRACK_FORMS = {
    "padded": lambda: TRACKS,
    "some padded": lambda: np.repeat(TRACKS, 2, axis=1)[:, ::2],
    "masked": lambda: np.ma.masked_array(
        TRACKS[["d0"]], mask=[[(not v,) for v in of] for of in TRACKS["valid"]]
    ),
    "ragged": lambda: (ROWS, [0, 2, 3]),
    "columns": lambda: ({"d0": ROWS["d0"]}, [0, 2, 3]),
    "list": lambda: [ROWS[:2], ROWS[2:]],
    "list of plain": lambda: [NONE[:2], NONE[2:]],
    "awkward": lambda: awkward_of([[{"d0": 1.0}, {"d0": 2.0}], [{"d0": 3.0}]]),
}
FORMS = {("jets", form): make for form, make in JET_FORMS.items()}
FORMS |= {("tracks", form): make for form, make in TRACK_FORMS.items()}


@pytest.mark.parametrize("case", FORMS, ids=" ".join)
def test_rows_of_any_form_count(case):
    found, wanted = scores(case[0], FORMS[case]()), scores(case[0], PLAIN[case[0]])
    for one, other in zip(found, wanted):
        assert one.shape == other.shape
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", ["jets", "tracks"])
def test_nothing_is_copied_of_what_is_not_read(name):
    scores(name, {"jets": JETS, "tracks": TRACKS}[name], strict=True)


def test_types_without_inputs_among_others():
    """A type of constituents that the config names, and no inputs of it."""
    types = {"model.constituents": ["tracks", "flows"]}
    flows = np.zeros((2, 3), [("x", "f4")])
    jets = np.array([[5e4, 0.1], [3e4, 0.2]], np.float32)
    with gn2.Tagger(gn2.Model({**SMALL, **types})) as tagger:
        found = [
            tagger.tag(jets, {"flows": of}).probabilities
            for of in (flows, np.zeros((2, 3, 0), np.float32), None)
        ]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@pytest.mark.parametrize(
    ("jets", "words"),
    [
        ({}, "jets: the model has no inputs of them"),
        ({"pt": 5e4}, r"column 'pt' has shape \(\)"),
        (np.stack([JETS, JETS]), "structured array of shape"),
        (np.ma.masked_array(np.stack([JETS, JETS]), mask=True), "structured array"),
    ],
)
def test_what_does_not_say_how_many_is_refused(jets, words):
    with pytest.raises(gn2.ShapeError, match=words):
        scores("jets", jets)


@pytest.mark.parametrize("shape", [(2, 0), (2, 0, 3)])
def test_rows_of_no_columns_are_no_tracks(tagger, shape):
    """Of a model that has inputs: there is nothing to read."""
    rows = [np.zeros(shape, np.float32)] * 2
    jets = np.array([[5e4, 0.1], [3e4, 0.2]], np.float32)
    with pytest.raises(gn2.ShapeError, match="tracks"):
        tagger.tag(jets, rows)
