# SPDX-License-Identifier: Apache-2.0
"""Other taggers than GN2 from file to picture: boosted jets with classes of their own,
and jets with regressions beside classes of two constituent types. Trained, saved,
tagged into a score file, exported, drawn."""

import numpy as np
import pytest
import task_models as models

import gn2

h5py = pytest.importorskip("h5py", reason="python3-h5py is not installed")
from h5py import File  # noqa: E402

JETS, SLOTS, EPOCHS = 2000, 6, 8
TRAINING = {
    "train.epochs": EPOCHS,
    "schedule.max": 3e-3,
    "data.batch_size": 100,
    "norm.jets.mean": [250e3, 0.0],
    "norm.jets.std": [150e3, 1.0],
}
GN3 = {**models.GN3, "task.track_type.label": "type"}


def fields(names, shape, rng):
    rows = np.zeros(shape, [(name, "f4") for name in names])
    for name in names:
        rows[name] = rng.normal(size=shape)
    return rows


def joined(rows, **more):
    kinds = [(n, "i4" if v.dtype.kind in "bi" else "f4") for n, v in more.items()]
    out = np.zeros(rows.shape, rows.dtype.descr + kinds)
    for name in rows.dtype.names:
        out[name] = rows[name]
    for name, values in more.items():
        out[name] = values
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Jets whose truth can be told from their inputs."""
    rng, path = np.random.default_rng(2), tmp_path_factory.mktemp("data") / "jets.h5"
    inputs = gn2.Model({**models.SMALL, **models.TWO_TYPES}).inputs
    jets = fields(inputs["jets"], JETS, rng)
    tracks = fields(inputs["tracks"], (JETS, SLOTS), rng)
    flows = fields(models.FLOWS, (JETS, SLOTS), rng)
    flavour = rng.integers(0, 4, JETS)
    tracks["d0"] += 1.5 * (flavour % 2)[:, None]
    flows["deta"] += 1.5 * (flavour // 2)[:, None]
    jets["pt_btagJes"] = rng.uniform(20e3, 500e3, JETS)
    scale = 1 + 0.3 * np.tanh(jets["eta_btagJes"])
    number = np.arange(SLOTS)
    origin = np.where(tracks["d0"] > 1, 5, 2)
    tables = {
        "jets": joined(
            jets, flavour_label=flavour, pt_truth=jets["pt_btagJes"] * scale
        ),
        "tracks": joined(
            tracks,
            type=(tracks["dphi"] > 0) + 2 * (tracks["deta"] > 0),
            valid=number < rng.integers(1, SLOTS + 1, JETS)[:, None],
            ftagTruthOriginLabel=origin,
            ftagTruthVertexIndex=(origin == 5) * 1,
        ),
        "flows": joined(
            flows,
            flow_type_label=np.digitize(flows["dphi"], [-0.5, 0.5]),
            e_truth=2 + 3 * flows["d0"],
            share=0.5 + 0.1 * flows["dphi"],
            valid=number < rng.integers(1, SLOTS + 1, JETS)[:, None],
        ),
    }
    tables["flows"]["share"][::9] = np.nan
    with File(path, "w") as file:
        for name, table in tables.items():
            file[name] = table
    return path


def trained(options, data):
    options = {**models.SMALL, **options, **TRAINING}
    with gn2.Dataset(data, options) as dataset:
        with gn2.Trainer(gn2.Model(options), options) as trainer:
            history = trainer.fit(dataset, progress=False)
            return trainer.snapshot(), history, trainer.evaluate(dataset)


@pytest.fixture(scope="module")
def boosted(data):
    return trained(models.GN2X, data)


@pytest.fixture(scope="module")
def regressing(data):
    return trained(GN3, data)


def tables_of(data):
    with File(data) as file:
        return {name: file[name][:] for name in ("jets", "tracks", "flows")}


def scores_of(model, data, names):
    tables = tables_of(data)
    with gn2.Tagger(model) as tagger:
        return tagger.tag(tables.pop("jets"), tables, outputs=names)


def score_file(model, data, path):
    options = {"data.sampling": "sequential", "scores.write_tracks": "yes"}
    config = {**model.config, **options}
    with gn2.Tagger(model) as tagger, gn2.Dataset(data, config) as dataset:
        with gn2.ScoreWriter(path, data, model, options) as writer:
            for scores in tagger.tag_batches(dataset, outputs=tagger.score_names):
                writer.add(scores)
    return File(path)


def losses_fall(history, model):
    for task in model.tasks:
        losses = [of.losses[task] for of in history.steps]
        tenth = len(losses) // 10
        assert np.mean(losses[-tenth:]) < 0.95 * np.mean(losses[:tenth]), task


def test_boosted_jets_are_learnt(boosted):
    model, history, metrics = boosted
    losses_fall(history, model)
    assert model.classes == ("hbb", "hcc", "top", "qcd")
    # by chance 0.25, and a rejection of 1.3
    assert metrics["jets_classification.accuracy"] > 0.7
    assert metrics["track_origin.accuracy"] > 0.9
    assert metrics["D_hbb.rejection_77_qcd"] > 3
    assert not metrics.has_d_b and np.isnan(metrics.auc_b_light)


def test_regressions_beside_two_types_are_learnt(regressing, data):
    model, history, metrics = regressing
    losses_fall(history, model)
    assert metrics["track_type.accuracy"] > 0.9
    assert metrics["flow_type.accuracy"] > 0.9
    jets = tables_of(data)["jets"]
    unlearnt = np.sqrt(np.mean((jets["pt_truth"] - jets["pt_btagJes"]) ** 2.0))
    assert metrics["jet_pt.rmse"] < 0.7 * unlearnt
    assert abs(metrics["flow_energy.bias"]) < 0.2


@pytest.mark.parametrize("name", ["boosted", "regressing"])
def test_a_saved_model_gives_the_same_bits(name, request, data, tmp_path):
    model = request.getfixturevalue(name)[0]
    model.save(tmp_path / "m.gn2")
    again = gn2.Model.load(tmp_path / "m.gn2")
    assert list(again.tasks) == list(model.tasks)
    names = [task.output() for task in model.tasks.values()]
    one, two = (scores_of(m, data, names) for m in (model, again))
    for output in names:
        assert np.array_equal(one[output], two[output]), output


def test_scores_of_boosted_jets_lie_in_their_file(boosted, data, tmp_path):
    model = boosted[0]
    scores, tables = scores_of(model, data, ["origin"]), tables_of(data)
    with score_file(model, data, tmp_path / "s.h5") as file:
        jets, tracks = file["jets"][:], file["tracks"][:]
    for name in model.classes:
        assert np.array_equal(jets[f"GN2X_p{name}"], scores[name])
    assert np.array_equal(jets["GN2X_Dhbb"], scores.discriminant("D_hbb"))
    valid = tables["tracks"]["valid"] != 0
    found = [n for n in tracks.dtype.names if n.startswith("GN2X_p")]
    origins = np.stack([tracks[n][valid] for n in found], -1)
    assert np.array_equal(origins, scores["origin"][valid])


def test_scores_of_regressions_lie_in_their_file(regressing, data, tmp_path):
    model = regressing[0]
    names = ["jet_pt", "track_type", "flow_type", "flow_energy"]
    scores, tables = scores_of(model, data, names), tables_of(data)
    with score_file(model, data, tmp_path / "s.h5") as file:
        jets, flows = file["jets"][:], file["flows"][:]
    assert np.array_equal(jets["GN3_pt_truth"], scores["jet_pt"])
    valid = tables["flows"]["valid"] != 0
    for i, target in enumerate(("e_truth", "share")):
        column = flows[f"GN3_{target}"][valid]
        assert np.array_equal(column, scores["flow_energy"][valid][:, i])


@pytest.mark.parametrize("name", ["boosted", "regressing"])
def test_they_export_to_onnx(name, request, data, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from gn2.onnx import exporter

    model = request.getfixturevalue(name)[0]
    exporter.export(model, tmp_path / "m.onnx")
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"))
    scores, tables = scores_of(model, data, []), tables_of(data)
    for b in range(20):
        feed = feed_of(session, model, tables, b)
        found = dict(
            zip((o.name for o in session.get_outputs()), session.run(None, feed))
        )
        p = [
            v for n, v in found.items() if n.rpartition("_p")[2] in scores._names.short
        ]
        assert np.allclose(np.ravel(p), scores.probabilities[b], atol=2e-6)


def feed_of(session, model, tables, b):
    given = {}
    for put, name in zip(session.get_inputs(), ("jets", *model.constituents)):
        rows = tables[name][b : b + 1] if name == "jets" else tables[name][b]
        rows = rows if name == "jets" else rows[rows["valid"] != 0]
        given[put.name] = np.stack([rows[n] for n in model.inputs[name]], -1)
    return given


@pytest.mark.parametrize("name", ["boosted", "regressing"])
def test_they_are_drawn(name, request, data, tmp_path):
    pytest.importorskip("matplotlib", reason="python3-matplotlib is not installed")
    from gn2 import plots

    model, history, _ = request.getfixturevalue(name)
    sample = plots.from_model(model, data, name=name)
    page = plots.report(sample, tmp_path / "r.html")
    text = open(page, encoding="utf-8").read()
    wanted = {"boosted": ["roc_hbb", "confusion"], "regressing": ["roc_b"]}
    for picture in wanted[name]:
        assert f'<figure id="{picture}">' in text
    for task in sample.tasks.values():
        assert f"Task {task.task.noun}" in text


@pytest.mark.parametrize("kind", ["regression", "gaussian_regression"])
@pytest.mark.parametrize("where", ["jets", "tracks"])
def test_values_beyond_float_are_refused(kind, where):
    """Finite logits times a denominator: never Inf, and the jet is named."""
    options = {
        "model.embed_dim": 16,
        "model.num_layers": 1,
        "model.tasks": ["x"],
        "inputs.jets": ["a"],
        "inputs.tracks": ["a"],
        "norm.jets.std": [1e38],
        "norm.tracks.std": [1e38],
        "task.x.kind": kind,
        "task.x.object": where,
        "task.x.targets": ["m"],
        "task.x.target_denominators": ["a"],
    }
    model = gn2.Model(options)
    bias = [name for name in model.params if name.startswith("tasks.0")][-1]
    model[bias] = np.full(model.params[bias].shape, 5.0)
    size = np.array([1e37, 3e38], dtype=np.float32)
    jets, tracks = np.ones((2, 1)), np.ones((2, 3, 1))
    with gn2.Tagger(model) as tagger:
        assert np.isfinite(tagger.tag(jets, tracks, outputs=["x"])["x"]).all()
        (jets if where == "jets" else tracks)[...] = size.reshape(
            (2, 1) if where == "jets" else (2, 1, 1)
        )
        with pytest.raises(gn2.NumericError, match="jet 1: .*not finite"):
            tagger.tag(jets, tracks, outputs=["x"])
