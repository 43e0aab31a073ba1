# SPDX-License-Identifier: Apache-2.0
"""Files of models with any tasks and constituent types: ONNX Runtime gives what the
library and the formulas give, and the import gives back the same bytes."""

import dataclasses
import hashlib

import numpy as np
import onnx_reference as reference
import pytest
import task_models as models

import gn2
from gn2.onnx import athena, exporter, importer

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
COUNTS = [0, 1, 2, 30, *range(3, 24, 4)]  # constituents of the jets
ROUNDING = 2e-6  # float32 against double, on values of order one

# Of the graph of a model of all zeros but the names: a change of the exporter that
# changes files of GN2 changes it. Made of the exporter before it knew other tasks.
GRAPHS = {
    "current": ({}, "bd0404961a1c0c52d1a2fdb9a344f643ef25765c189a8679a2a50b509f9db17a"),
    "legacy": (
        {
            "model.encoder": "legacy",
            "model.final_norm_pos": "pre",
            "model.num_registers": 0,
        },
        "1be18597b5993464b6d9de4cad181f460ba106e4646720dfe01db3adfcb3ac32",
    ),
    "two types": (
        {"model.constituents": ["tracks", "flows"], "inputs.flows": models.FLOWS},
        "04bf8ee2d3fbcd9456f77b803e483ef52d10b3af3958404abbd7f96fa2455aaa",
    ),
    "another order": (
        {"model.tasks": ["track_vertexing", "jets_classification", "track_origin"]},
        "97e48ffac5e0a6c6190297c3ac60d5eac2486c0202c07a71cdeadeb8e1f6b081",
    ),
}
OUTPUTS = {
    "GN2X": ["phbb", "phcc", "ptop", "pqcd", "TrackOrigin", "VertexIndex"],
    "more tasks": [
        *("pb", "pc", "pu", "ptau", "FlowType"),
        *(f"jet_charge_p{c}" for c in ("minus", "zero", "plus")),
        *("TrackType", "FlowVertexing"),
    ],
    "renamed": ["pb", "pc", "pu", "ptau", "OriginOfFlow"],
    "no jets": ["FlowType"],
    "regressions": [
        *("pb", "pc", "pu", "ptau", "pt_truth", "TrackType", "FlowType"),
        *("e_truth", "share"),
    ],
    "values alone": ["mass", "width"],
    "spread": [
        *("pb", "pc", "pu", "ptau", "pt_truth", "pt_truth_stddev"),
        *("d0_truth", "d0_truth_stddev", "z0_truth", "z0_truth_stddev"),
    ],
}


@pytest.fixture(params=models.MODELS)
def case(request, tmp_path):
    """Name, model, path of its file, names of the outputs."""
    model = models.random_model(models.MODELS[request.param])
    path = tmp_path / "x.onnx"
    return request.param, model, path, exporter.export(model, path)


def graph_hash(options, folder):
    model = gn2.Model({**models.SMALL, **options})
    for name, param in model.params.items():
        model[name] = np.zeros(param.shape)
    exporter.export(model, folder / "x.onnx")
    graph = onnx.load(folder / "x.onnx").graph
    return hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()


@pytest.mark.parametrize("name", GRAPHS)
def test_files_of_gn2_are_what_they_were(name, tmp_path):
    options, wanted = GRAPHS[name]
    assert graph_hash(options, tmp_path) == wanted


def test_outputs_have_the_names_athena_reads(case):
    name, model, path, outputs = case
    prefix = model.metadata("model.name")
    assert outputs == [f"{prefix}_{rest}" for rest in OUTPUTS[name]]
    assert [output.name for output in onnx.load(path).graph.output] == outputs
    inputs = [tensor.name for tensor in onnx.load(path).graph.input]
    assert inputs == ["jet_features", "track_features", "flow_features"]
    broken = athena.violations(path)
    assert not [b for b in broken if not str(b).startswith("variable_names")], broken


def expected(task, rows, suffix):
    """What the file says, of what the tagger finds of the jets: {name: values}."""
    if task.regresses:
        if task.on_jets:
            found = np.stack([np.atleast_1d(r) for r in rows])
        else:
            found = np.concatenate([r[:, None] if r.ndim < 2 else r for r in rows])
        return {f"{t}{suffix}": found[:, k] for k, t in enumerate(task.targets)}
    if not task.classifies:
        return {exporter.athena_name(task): np.concatenate(rows).astype(np.int8)}
    if not task.on_jets:
        return {exporter.athena_name(task): np.concatenate(rows).argmax(1)}
    short = [gn2.scores.short_name(c) for c in task.classes]
    start = "p" if task.flavour else f"{task.name}_p"
    return {f"{start}{c}": np.stack(rows)[:, k] for k, c in enumerate(short)}


def agree(found, wanted, sure):
    assert wanted.std() > 1e-3  # jets differ: agreement means much
    if found.dtype == np.int8:
        assert np.array_equal(found[sure], wanted[sure])
        return
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < ROUNDING * max(1, np.abs(wanted).max())


def clear(rows):
    """Where the most probable class leads by more than rounding."""
    if rows[0].ndim < 2:
        return ...
    top = np.sort(np.concatenate(rows), axis=1)
    return top[:, -1] - top[:, -2] > 10 * ROUNDING


def compare(model, path, outputs, jets, parts, read=None):
    """ONNX Runtime, library, formulas; ``read``: jets and parts that formulas read."""
    found = reference.run(reference.session(path), jets, parts)
    exact = reference.Reference(model)
    exact = [exact.outputs(jet, of) for jet, of in zip(*(read or (jets, parts)))]
    wanted = [(t, s) for t in model.tasks.values() for s in t.suffixes]
    wanted = [(task, suffix) for task, suffix in wanted if suffix != "_logits"]
    with gn2.Tagger(model) as tagger:
        names = [task.output(suffix) for task, suffix in wanted]
        ours = tagger.tag(jets, models.ragged(parts), outputs=names)
    seen = set()
    for task, suffix in wanted:
        name = task.output(suffix)
        for rows in ([e[name] for e in exact], ours.split(name)):
            for end, values in expected(task, rows, suffix).items():
                name = f"{model.metadata('model.name')}_{end}"
                seen.add(name)
                agree(found[name], values, clear(rows) if task.classifies else ...)
    assert seen == set(outputs)


def test_onnx_runtime_gives_what_formulas_and_library_give(case):
    _, model, path, outputs = case
    compare(model, path, outputs, *models.jets_of(model, COUNTS))


def spoiled(values, default, seed):
    """One value in ten is none; and what is read in their place."""
    rng = np.random.default_rng(seed)
    lost = rng.random(values.shape) < 0.1
    bad = rng.choice(np.float32([np.nan, np.inf, -np.inf]), values.shape)
    return np.where(lost, bad, values), np.where(lost, np.float32(default), values)


@pytest.mark.parametrize("name", ["more tasks", "regressions", "spread"])
def test_values_that_are_not_finite_are_replaced_in_the_file(name, tmp_path):
    """Before they are normalised, and where targets are divided by them."""
    defaults = {"jets": [0.5, -0.25], "tracks": [0.0] * 5, "flows": [0.3, -1.5, 2.0]}
    options = {
        "input.non_finite": "default",
        "input.defaults.jets": defaults["jets"],
        "input.defaults.flows": defaults["flows"],
        "norm.jets.mean": [0.2, 0.1],
        "norm.jets.std": [2.0, 0.5],
        "norm.flows.mean": [0.1, 0.2, 0.3],
    }
    model = models.random_model({**models.MODELS[name], **options})
    outputs = exporter.export(model, tmp_path / "x.onnx")
    broken = athena.violations(tmp_path / "x.onnx")
    assert not [b for b in broken if not str(b).startswith("variable_names")], broken
    jets, parts = models.jets_of(model, COUNTS)
    jets, plain = spoiled(jets, defaults["jets"], 0)
    assert np.isnan(jets).any() and np.isinf(jets).any()
    both = [
        {k: spoiled(v, defaults[k], i) for k, v in of.items()}
        for i, of in enumerate(parts)
    ]
    parts, others = (
        [{k: v[side] for k, v in of.items()} for of in both] for side in (0, 1)
    )
    compare(model, tmp_path / "x.onnx", outputs, jets, parts, (plain, others))
    model.save(tmp_path / "a.gn2")
    importer.load(tmp_path / "x.onnx").save(tmp_path / "b.gn2")
    assert (tmp_path / "a.gn2").read_bytes() == (tmp_path / "b.gn2").read_bytes()


def test_round_trip_gives_the_same_bytes(case, tmp_path):
    _, model, path, _ = case
    model.save(tmp_path / "a.gn2")
    importer.load(path).save(tmp_path / "b.gn2")
    assert (tmp_path / "a.gn2").read_bytes() == (tmp_path / "b.gn2").read_bytes()


def test_some_of_the_tasks(tmp_path):
    model = models.random_model(models.MORE)
    outputs = exporter.export(model, tmp_path / "x.onnx", tasks="track_type")
    assert outputs == [
        f"GN3_{name}" for name in ("pb", "pc", "pu", "ptau", "TrackType")
    ]
    back = importer.load(tmp_path / "x.onnx")
    assert list(back.tasks) == ["jets_classification", "track_type"]
    for mine, theirs in (("0", "1"), ("1", "3")):
        of = [n for n in back.params if n.startswith(f"tasks.{mine}.")]
        assert of
        for name in of:
            was = name.replace(f"tasks.{mine}.", f"tasks.{theirs}.")
            assert np.array_equal(back[name], model[was]), name


def refuse(model, folder, words):
    with pytest.raises(gn2.Unsupported, match=words):
        exporter.export(model, folder / "x.onnx")
    assert not (folder / "x.onnx").exists()


@pytest.mark.parametrize(
    "name", ["encoder.layers.0.attn.gain", "encoder.layers.0.dense.fn.gate", "M.gate"]
)
def test_tensors_without_a_node_are_refused(name, tmp_path, monkeypatch):
    """A layer that only the library has must not be left out in silence, nor a square
    map be taken for one more of a perceptron."""
    model = models.random_model({**models.VALUES, "model.ffn_hidden": 16})
    name = name.replace("M.", model.tasks["mass"].prefix)
    columns = 2 if "tasks" in name else 16
    own = {f"{name}.weight": np.eye(columns), f"{name}.bias": np.zeros(columns)}
    more = {**model.state_dict(), **own}
    monkeypatch.setattr(gn2.Model, "state_dict", lambda self: more)
    refuse(model, tmp_path, f"{name}.weight")


def test_kinds_of_tasks_without_nodes_are_refused(tmp_path, monkeypatch):
    """A regression whose outputs are not its logits must not be written as if."""
    model = models.random_model(models.VALUES)
    mass = dataclasses.replace(model.tasks["mass"], kind="poisson_regression")
    model.tasks["mass"] = mass
    monkeypatch.setattr(gn2.tasks.Task, "regresses", True)
    refuse(model, tmp_path, "'mass': ONNX files have no poisson_regression")


def test_factors_of_the_forward_pass_are_those_of_the_file(tmp_path, monkeypatch):
    """And not what the parametrisation would make of its sizes today."""
    model = models.random_model(models.VALUES)
    own, factors = model.metadata, {"scale.attention": "0.625", "scale.readout": "3"}
    monkeypatch.setattr(gn2.Model, "metadata", lambda _, k: factors.get(k) or own(k))
    exporter.export(model, tmp_path / "x.onnx")
    graph = onnx.load(tmp_path / "x.onnx").graph
    scale = next(t for t in graph.initializer if t.name == "attention.scale")
    assert onnx.numpy_helper.to_array(scale) == 0.625
    read = next(n for n in graph.node if "encoder.read" in n.output)
    assert [a.f for a in read.attribute if a.name == "alpha"] == [3.0]


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        (models.BARE, {"tasks": []}, "no task to export; there are flow_type"),
        (models.BARE, {"rename": {"pu": "pl"}}, "does not classify jets"),
        (models.BARE, {"combine": [("m", [(1.0, "pb")])]}, "does not classify jets"),
        (
            {
                **models.BARE,
                "model.tasks": ["flow_type", "FlowType"],
                **{
                    k.replace("flow_t", "FlowT"): v for k, v in models.FLOW_TYPE.items()
                },
            },
            {},
            "two outputs of one name",
        ),
        (
            {
                **models.FLOW_TYPE,
                **models.BARE,
                "model.constituents": ["flows", "flowx"],
            }
            | {"inputs.flowx": ["d0"]},
            {},
            "two inputs of one name: jet_features, flow_features, flow_features",
        ),
    ],
)
def test_errors_name_what_is_wrong(options, arguments, message, tmp_path):
    model = gn2.Model({**models.SMALL, **options})
    with pytest.raises(gn2.InvalidArgument, match=message):
        exporter.export(model, tmp_path / "x.onnx", **arguments)
    assert not list(tmp_path.iterdir())
