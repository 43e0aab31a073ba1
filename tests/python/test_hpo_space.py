# SPDX-License-Identifier: Apache-2.0
"""The space file: what it says, and what is wrong with it."""

import json
import pathlib

import pytest

yaml = pytest.importorskip("yaml")

import gn2.hpo  # noqa: E402
from gn2 import InvalidArgument  # noqa: E402
from gn2.hpo import engines, reader  # noqa: E402
from gn2.hpo.algorithms import ALGORITHMS, ENGINES, REFUSED  # noqa: E402
from gn2.hpo.document import Document, SpaceError, read  # noqa: E402

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples/hpo"
GOOD = {
    "gn2_space": 1,
    "name": "a",
    "parameters": {
        "rate": {
            "key": "schedule.max",
            "type": "real",
            "min": "1e-4",
            "max": 0.1,
            "scale": "log",
        },
        "layers": {
            "key": "model.num_layers",
            "type": "integer",
            "min": 2,
            "max": 6,
            "step": 2,
        },
        "sampling": {
            "keys": ["data.sampling"],
            "type": "choice",
            "values": ["jets", "sequential"],
        },
        "drop": {
            "keys": ["model.dropout_ffn"],
            "type": "real",
            "min": 0,
            "max": 0.3,
            "step": 0.1,
        },
    },
    "options": {"model.embed_dim": 32},
    "data": {"train": ["a.h5"], "val": "b.h5"},
    "budget": {"steps": 40, "validate_steps": 10},
}


def changed(*changes):
    """GOOD with values at dotted places; ... takes one out."""
    found = json.loads(json.dumps(GOOD))
    for place, value in changes:
        *path, last = place.split("/")
        inner = found
        for word in path:
            inner = inner.setdefault(word, {})
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
    return found


def load(value):
    return reader.load("dir/space.yaml", yaml.safe_dump(value, sort_keys=False))


def test_says_what_it_says():
    space = load(GOOD)
    values = space.values(
        {"log2_rate": "-5", "layers": "4", "sampling": "jets", "drop": "0.2"}
    )
    assert values == {"rate": 2.0**-5, "layers": 4, "sampling": "jets", "drop": 0.2}
    settings = space.settings(values)
    assert settings["schedule.max"] == "0.03125"
    assert settings["model.num_layers"] == "4"
    assert settings["schedule.steps"] == "40"
    assert settings["data.seed"] == settings["train.seed"] == "42"
    assert settings["model.embed_dim"] == "32"
    assert space.train == ("dir/a.h5",) and space.val == ("dir/b.h5",)
    assert [len(p.cells() or ()) for p in space.parameters] == [0, 3, 2, 4]


VALUES = {"rate": "1e-3", "layers": "4", "sampling": "jets", "drop": "0.2"}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"rate": "1"}, "rate = 1 is not within 0.0001 … 0.1"),
        ({"rate": "nan"}, "no number"),
        ({"rate": "fast"}, "'fast' is no number"),
        ({"layers": "3"}, "steps of 2 from 2"),
        ({"layers": "4.5"}, "steps of 2"),
        ({"drop": "0.25"}, "steps of 0.1 from 0"),
        ({"sampling": "none"}, "none of jets, sequential"),
        ({"log2_rate": "-5"}, "given twice"),
        ({"log2_layers": "2"}, "'log2_layers' is no parameter"),
        ({"rat": "1"}, "did you mean rate"),
        ({"drop": None}, "no value of drop"),
    ],
)
def test_values_are_refused(change, words):
    given = {name: text for name, text in {**VALUES, **change}.items() if text}
    with pytest.raises(InvalidArgument, match=words):
        load(GOOD).values(given)


def test_rounding_is_no_reason_to_refuse():
    space = load(GOOD)
    rate = space.values({**VALUES, "rate": repr(0.1 * (1 + 1e-12))})["rate"]
    assert rate == 0.1
    assert space.values({**VALUES, "layers": "4.0"})["layers"] == 4


RATE = "parameters/rate"
#: (changes, words of the message, does the schema know it too?)
WRONG = [
    ([("budget", ...)], "no 'budget'", True),
    ([("data", ...)], "no 'data'", True),
    ([("gn2_space", 2)], "is 2, not 1", True),
    ([("nam", "x")], "did you mean name", True),
    ([("name", "GN2")], "a letter first", True),
    ([("budget/steps", 0)], "whole number from 1", True),
    ([("budget/steps", ...)], "budget.steps: is not given", True),
    ([("objective/direction", "up")], "none of minimize, maximize", True),
    ([("objective/metric", "val/loss")], "letters, digits, _ and - only", True),
    ([("algorithm/name", "pbt")], "OneCycle", True),
    ([("algorithm/name", "bayes")], "none of random, grid", True),
    ([("pruning/name", "hyperband")], "from scratch", True),
    ([("pruning/name", "median"), ("pruning/from", 1.5)], "no share", True),
    ([(f"{RATE}/key", "schedule.maxx")], "did you mean 'schedule.max'", False),
    ([(f"{RATE}/key", ...)], "needs `key` or `keys`", True),
    ([(f"{RATE}/key", "train.epochs")], "set by budget.steps", False),
    ([(f"{RATE}/type", "float")], "none of real, integer, choice", True),
    ([(f"{RATE}/min", ...)], "no finite number", True),
    ([(f"{RATE}/min", 0)], "no logarithm", False),
    ([(f"{RATE}/min", 1)], "not below", False),
    ([(f"{RATE}/max", -1), (f"{RATE}/min", -2)], "logarithm", False),
    ([(f"{RATE}/scale", "log10")], "none of linear, log", True),
    ([(f"{RATE}/values", [1])], "is of type choice", True),
    ([("parameters/sampling/min", 1)], "`values` only", True),
    ([("parameters/sampling/values", ["jets", "jets"])], "one value twice", True),
    ([("parameters/sampling/values", ["jets", "tracks"])], "tracks", False),
    ([("parameters/layers/max", 2.5)], "whole numbers", False),
    ([("parameters/Rate", GOOD["parameters"]["rate"])], "also of rate", False),
    ([("parameters/ra.te", GOOD["parameters"]["rate"])], "letters, digits", True),
    ([("parameters/layers/when", "x")], "is not known", True),
    ([("options/train.epochs", 3)], "use budget.steps", False),
    ([("options/schedule.max", 3)], "is searched as rate", False),
    ([("options/model.embed_dim", "wide")], "not an integer", False),
    ([("kubernetes/paralel", 3)], "did you mean parallel", True),
    ([("kubernetes/volumes", [{"name": "a"}])], "no `mount`", True),
]


@pytest.mark.parametrize("changes, words, in_schema", WRONG)
def test_what_is_wrong_is_told_with_its_line(changes, words, in_schema):
    with pytest.raises(SpaceError) as failure:
        load(changed(*changes))
    assert words in str(failure.value)
    assert all(p.where.startswith("dir/space.yaml:") for p in failure.value.problems)


def test_schema_agrees():
    jsonschema = pytest.importorskip("jsonschema")
    path = pathlib.Path(gn2.hpo.__file__).with_name("space.schema.json")
    schema = json.loads(path.read_text(encoding="utf-8"))
    check = jsonschema.Draft202012Validator(schema)
    for example in EXAMPLES.glob("*.yaml"):
        check.validate(yaml.safe_load(example.read_text(encoding="utf-8")))
    check.validate(GOOD)
    for changes, words, in_schema in WRONG:
        assert check.is_valid(changed(*changes)) != in_schema, words


def test_lines_are_those_of_the_file():
    text = "gn2_space: 1\nparameters:\n  a: {key: x}\n  b: 1\n  a: 2\n"
    with pytest.raises(SpaceError, match=r"s.yaml:5: parameters.a: is there twice"):
        reader.load("s.yaml", text)
    with pytest.raises(SpaceError, match=r"s.yaml:2: no YAML"):
        reader.load("s.yaml", "gn2_space: 1\n  {a: [")
    with pytest.raises(SpaceError, match="refers to itself"):
        reader.load("s.yaml", "a: &x\n  b: *x\n")


def engine_problems(engine, *changes):
    space = load(changed(*changes))
    return "\n".join(map(str, engines.problems(space, engine)))


@pytest.mark.parametrize(
    "engine, changes, words",
    [
        ("optuna", [], ""),
        ("optimizationjob", [("kubernetes/image", "x")], "does not do tpe"),
        ("katib", [], "no `image`"),
        ("optuna", [("algorithm/name", "cmaes")], "cmaes takes no choices"),
        ("optuna", [("algorithm/name", "sobol")], "sobol takes no choices"),
        ("optuna", [("algorithm/name", "grid")], "needs parameters with an end"),
        ("katib", [("algorithm/name", "gp")], "linear"),
        ("katib", [("pruning/name", "asha")], "does not do asha"),
        ("katib", [("kubernetes/parallel", 50)], "parallel = 50 is above trials = 30"),
        (
            "optuna",
            [("pruning/name", "median"), ("pruning/from", 0.9)],
            "no validation between 0.9",
        ),
        (
            "katib",
            [("objective", [{"metric": "a"}, {"metric": "b"}])],
            "takes one objective",
        ),
        (
            "optuna",
            [
                ("algorithm/name", "sobol"),
                ("parameters/sampling", ...),
                ("trials", 30),
            ],
            "32 trials are run",
        ),
        (
            "katib",
            [("algorithm/name", "grid"), (RATE, ...), ("trials", 25)],
            "the grid has 24 cells, trials is 25",
        ),
        (
            "optimizationjob",
            [
                ("algorithm/name", "random"),
                ("kubernetes/image", "x"),
                ("trials", 101),
            ],
            "takes 100 trials at most",
        ),
    ],
)
def test_engines(engine, changes, words):
    found = engine_problems(engine, *changes)
    assert words in found and bool(words) == bool(found)


def test_every_row_of_the_table_is_complete():
    for name, row in ALGORITHMS.items():
        assert name == row.name and row.optuna
        assert row.why or all(row.named(engine) for engine in ENGINES)
    assert not set(REFUSED) & set(ALGORITHMS)


def places(value, path=()):
    yield path
    pairs = value.items() if isinstance(value, dict) else ()
    pairs = enumerate(value) if isinstance(value, list) else pairs
    for key, inner in pairs:
        yield from places(inner, (*path, key))


ODD = [None, True, -1, 10**400, "", "nan", "1e400", [], {}, [[]], [None], {1: 2}]
ODD += [{"name": ["tpe"]}, float("inf"), "2026-13-45", "a\nb", 2**63, [{}]]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
def test_any_value_at_any_place_is_taken_or_refused(odd, monkeypatch):
    """And never raises something else: each of these did, somewhere. YAML is read once
    a value, which is the same at every place; it takes four fifths of the time."""
    assert read("x.yaml", yaml.safe_dump({"a": [odd]})).value == {"a": [odd]}
    whole = {**GOOD, "pruning": {"name": "asha", "rungs": [0.5]}}
    whole["algorithm"] = {"name": "random", "seed": 1}
    whole["kubernetes"] = {"image": "r/g:1", "volumes": [{"name": "d", "mount": "/d"}]}
    for path in list(places(whole)):
        document = json.loads(json.dumps(whole))
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        if path:
            inner[path[-1]] = odd
        made = Document("space.yaml", document if path else odd, {})
        monkeypatch.setattr(reader, "read", lambda *_, made=made: made)
        try:
            space = reader.load("space.yaml")
        except SpaceError:
            continue
        for engine in ENGINES:
            engines.problems(space, engine)


@pytest.mark.parametrize(
    "data, said",
    [
        (b"\xff\xfe", "no text in UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"a: " + b"9" * 6000, "no 'parameters'"),
        (b"a: 2026-13-45", "no 'parameters'"),
        (b"- a", "is no mapping"),
    ],
)
def test_what_is_no_space_is_refused(tmp_path, data, said):
    path = tmp_path / "s.yaml"
    path.write_bytes(data)
    with pytest.raises(SpaceError, match=said):
        reader.load(path)


@pytest.mark.parametrize(
    "row, said",
    [
        (
            {"key": "schedule.max", "type": "real", "min": 0, "max": 1, "step": 1e-12},
            "",
        ),
        ({"key": "data.max_jets", "type": "integer", "min": 1, "max": 10**12}, ""),
        ({"key": "data.max_jets", "type": "integer", "min": 1, "max": 90_000}, "cells"),
    ],
)
def test_a_grid_has_an_end(row, said):
    """It was written out, and took all memory before it was refused."""
    places = [("algorithm", {"name": "grid"}), ("parameters", {"many": row})]
    places.append(("trials", 10**9))
    found = "\n".join(map(str, engines.problems(load(changed(*places)), "optuna")))
    assert (said or "values, a grid takes 100000") in found
