# SPDX-License-Identifier: Apache-2.0
"""A dataset meets a model by name: order and extras do not matter, gaps are refused."""

import numpy as np
import pytest

import gn2

N = 60
JETS, TRACKS, FLOWS = ["pt", "eta"], ["d0", "z0", "phi"], ["x", "y"]
CLASSES = ["bjets", "cjets", "ujets"]
ORIGINS = ["here", "there", "nowhere"]
TARGETS = ["mass", "energy"]
MODEL = {
    "model.embed_dim": 8,
    "model.num_heads": 2,
    "model.num_layers": 1,
    "model.init_hidden": [8],
    "model.out_dim": 8,
    "model.constituents": ["tracks", "flows"],
    "model.classes": CLASSES,
    "inputs.jets": JETS,
    "inputs.tracks": TRACKS,
    "inputs.flows": FLOWS,
    "norm.jets.mean": [1.0, 0.5],
    "norm.jets.std": [2.0, 3.0],
    "model.tasks": ["jets_classification", "origin_of", "regressed"],
    "task.jets_classification.hidden": [8],
    "task.jets_classification.class_weights": [1, 2, 3],
    "task.origin_of.kind": "classification",
    "task.origin_of.object": "flows",
    "task.origin_of.classes": ORIGINS,
    "task.origin_of.label": "origin_label",
    "task.regressed.kind": "regression",
    "task.regressed.targets": TARGETS,
    "data.batch_size": 20,
    "data.prefetch": 0,
    "train.epochs": 2,
    "train.threads": 1,
    "schedule.max": 1e-2,
}


def columns():
    """Every column by name, and the constituents' offsets."""
    r = np.random.default_rng(5)
    counts = {"tracks": r.integers(0, 4, N), "flows": r.integers(0, 5, N)}
    rows = {"jets": N, **{k: c.sum() for k, c in counts.items()}}
    names = {
        "jets": [*JETS, "mass", "energy", "spare"],
        "tracks": [*TRACKS, "more"],
        "flows": FLOWS,
    }
    found = {k: {n: r.normal(size=rows[k]) for n in names[k]} for k in names}
    found["class"] = r.choice([*CLASSES], N)
    found["origin"] = r.choice([*ORIGINS, ""], rows["flows"])  # "": not labelled
    offsets = {k: np.concatenate([[0], np.cumsum(c)]) for k, c in counts.items()}
    return found, offsets


def dataset(**changed):
    """The same jets, laid out as the options say."""
    options = {**MODEL, **{k.replace("__", "."): v for k, v in changed.items()}}
    tasks = ["", *options["model.tasks"]]
    unused = [k for k in options if k[:5] == "task." and k.split(".")[1] not in tasks]
    origins = [*options["task.origin_of.classes"], ""]
    for key in unused:
        del options[key]
    found, offsets = columns()
    of = {
        k: np.stack([found[k][n] for n in options[f"inputs.{k}"]], 1).astype("f4")
        for k in ("jets", *options["model.constituents"])
    }
    classes = list(options["model.classes"])
    origin = np.array([origins.index(n) for n in found["origin"]])
    labels = {
        "flavour": [classes.index(n) for n in found["class"]],
        "origin_of": np.where(origin == len(origins) - 1, -1, origin),
        "regressed": np.stack(
            [found["jets"][n] for n in options["task.regressed.targets"]], 1
        ).astype("f4"),
    }
    labels = {
        k: labels[k] for k in labels if k in ("flavour",) or k in options["model.tasks"]
    }
    parts = {k: (of[k], offsets[k]) for k in options["model.constituents"]}
    return gn2.Dataset.from_arrays(of["jets"], parts, labels, options)


def turned():
    return dataset(
        inputs__jets=["spare", "eta", "pt"],
        inputs__tracks=["phi", "more", "d0", "z0"],
        inputs__flows=["y", "x"],
        model__constituents=["flows", "tracks"],
        model__classes=["ujets", "bjets", "cjets"],
        model__tasks=["regressed", "origin_of", "jets_classification"],
        task__origin_of__classes=["nowhere", "there", "here"],
        task__regressed__targets=["energy", "spare", "mass"],
        norm__jets__mean=[],
        norm__jets__std=[],
        task__jets_classification__class_weights=[],
    )


def test_a_dataset_laid_out_otherwise_is_the_same_dataset():
    model = gn2.Model(MODEL)
    plain, other = gn2.Trainer(model), gn2.Trainer(model)
    a, b = plain.evaluate(dataset()), other.evaluate(turned())
    assert a.loss == b.loss and a.losses == b.losses
    assert {k: str(v) for k, v in a.figures.items()} == {
        k: str(v) for k, v in b.figures.items()
    }
    plain.fit(dataset(), dataset(), progress=False)
    other.fit(turned(), turned(), progress=False)
    assert plain.history.steps == other.history.steps
    assert plain.history.validation[1].loss == other.history.validation[1].loss
    one, two = plain.model.state_dict(), other.model.state_dict()
    assert all((one[name] == two[name]).all() for name in one)


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("inputs.jets", ["pt", "spare"], ["'eta'", "pt eta", "pt spare"]),
        ("inputs.tracks", ["d0", "phi"], ["'z0'", "d0 z0 phi", "d0 phi"]),
        ("model.constituents", ["tracks"], ["'flows'", "tracks flows"]),
        ("model.classes", [*CLASSES, "taujets"], ["'taujets'", "bjets cjets ujets"]),
        ("task.origin_of.classes", [*ORIGINS, "else"], ["'else'", "here there"]),
        ("task.regressed.targets", ["energy"], ["'mass'", "mass energy"]),
    ],
)
def test_gaps_are_refused_with_both_lists(key, value, said):
    changed = {key: value}
    if key == "model.constituents":
        changed["model.tasks"] = ["jets_classification", "regressed"]
    if key in ("inputs.jets", "model.classes"):  # lists of the same length
        changed.update({"norm.jets.mean": [], "norm.jets.std": []})
        changed["task.jets_classification.class_weights"] = []
    data = dataset(**{k.replace(".", "__"): v for k, v in changed.items()})
    trainer = gn2.Trainer(gn2.Model(MODEL))
    for call in (
        lambda: trainer.evaluate(data),
        lambda: trainer.fit(data, progress=False),
        lambda: trainer.fit(dataset(), data, progress=False),
    ):
        with pytest.raises(gn2.InvalidArgument) as problem:
            call()
        assert key in str(problem.value)
        assert all(word in str(problem.value) for word in said), str(problem.value)
    assert trainer.history.steps == []


def test_fewer_classes_are_enough():
    two = dataset(**{"model__classes": CLASSES})
    trainer = gn2.Trainer(
        gn2.Model(
            {
                **MODEL,
                "model.classes": [*CLASSES, "x"],
                "task.jets_classification.class_weights": [],
            }
        )
    )
    assert trainer.evaluate(two).jets == N


def test_weights_the_model_wants_are_not_done_without():
    wants = {**MODEL, "task.regressed.sample_weight": "w"}
    trainer = gn2.Trainer(gn2.Model(wants))
    with pytest.raises(gn2.InvalidArgument, match="task.regressed.sample_weight"):
        trainer.evaluate(dataset())


REGRESSION = {
    **{k: v for k, v in MODEL.items() if k[:5] != "task."},
    "model.tasks": ["k"],
    "task.k.kind": "regression",
    "task.k.targets": ["mass"],
}


def plain_dataset(options, labels):
    """The jets as in MODEL, with these labels."""
    found, offsets = columns()
    of = {
        k: np.stack([found[k][n] for n in MODEL[f"inputs.{k}"]], 1).astype("f4")
        for k in offsets
    }
    jets = np.stack([found["jets"][n] for n in JETS], 1).astype("f4")
    parts = {k: (of[k], offsets[k]) for k in offsets}
    return gn2.Dataset.from_arrays(jets, parts, labels, options)


CLASSIFICATION = {
    **{k: v for k, v in REGRESSION.items() if k[:5] != "task."},
    "task.k.kind": "classification",
    "task.k.classes": ["a", "b"],
}


@pytest.mark.parametrize(
    "options, said",
    [
        ({**REGRESSION, "task.k.object": "tracks"}, "regression of tracks"),
        (CLASSIFICATION, "classification of jets"),
    ],
)
def test_a_task_of_one_name_is_one_task(options, said):
    data = plain_dataset(REGRESSION, {"k": np.ones((N, 1), "f4")})
    assert np.isfinite(gn2.Trainer(gn2.Model(REGRESSION)).evaluate(data).loss)
    trainer = gn2.Trainer(gn2.Model(options))
    with pytest.raises(gn2.InvalidArgument, match=f"'k' is a {said} in the model and"):
        trainer.evaluate(data)


def test_labels_of_arrays_need_no_field():
    options = {**CLASSIFICATION, "task.k.object": "tracks"}
    rows = columns()[1]["tracks"][-1]
    data = plain_dataset(options, {"k": np.zeros(rows, "i4")})
    assert gn2.Trainer(gn2.Model(options)).evaluate(data).jets == N


def test_what_replaces_nan_is_the_models():
    replaced = {
        **REGRESSION,
        "input.non_finite": "default",
        "input.defaults.jets": [3.0, 0.5],
    }
    labels = {"k": np.ones((N, 1), "f4")}
    trainer = gn2.Trainer(gn2.Model(replaced))
    assert trainer.evaluate(plain_dataset(replaced, labels)).jets == N
    assert trainer.evaluate(plain_dataset(REGRESSION, labels)).jets == N  # it refuses
    other = {**replaced, "input.defaults.jets": [3.0, 0.0]}
    with pytest.raises(gn2.InvalidArgument, match="defaults.jets: 'eta' is 0.5 in the"):
        trainer.evaluate(plain_dataset(other, labels))
    with pytest.raises(gn2.InvalidArgument, match="non_finite is 'error' in the model"):
        gn2.Trainer(gn2.Model(REGRESSION)).evaluate(plain_dataset(replaced, labels))


def test_what_replaces_nan_may_itself_be_an_input():
    far = {
        **REGRESSION,
        "input.non_finite": "default",
        "input.defaults.jets": [0, 1e20],
    }
    with pytest.raises(gn2.InvalidArgument, match="defaults.jets: 1e.20 of 'eta' is"):
        gn2.Model(far)


def test_one_dataset_for_both():
    one, two = gn2.Trainer(gn2.Model(MODEL)), gn2.Trainer(gn2.Model(MODEL))
    data = dataset()
    one.fit(data, data, progress=False)
    two.fit(dataset(), dataset(), progress=False)
    assert one.history.steps == two.history.steps
    assert [m.loss for m in one.history.validation] == [
        m.loss for m in two.history.validation
    ]


def test_a_callback_that_wants_the_dataset_is_told_so():
    trainer, data = gn2.Trainer(gn2.Model(MODEL)), dataset()
    with pytest.raises(gn2.BusyError, match="the call that this one lies in"):
        trainer.fit(data, progress=False, callback=lambda _: data.reset())


@pytest.mark.parametrize(
    "key, value",
    [
        ("model.embed_dim", 16),
        ("model.seed", 43),
        ("inputs.jets", ["eta", "pt"]),
        ("norm.jets.mean", [0, 0]),
        ("task.regressed.weight", 2.0),
        ("task.jets_classification.class_weights", [1, 1, 1]),
        ("optim.decay_scaling", "none"),
        ("input.non_finite", "default"),
        ("discriminant.form", "ratio"),
    ],
)
def test_options_the_model_fixes_are_refused(key, value):
    model = gn2.Model(MODEL)
    with pytest.raises(gn2.InvalidArgument, match=key):
        gn2.Trainer(model, {key: value})
    with pytest.raises(gn2.InvalidArgument, match=key):
        gn2.Trainer(model, gn2.Config({**MODEL, key: value}))
    gn2.Trainer(model, {key: model.config[key], "model.dropout_ffn": 0.1})
    gn2.Trainer(model, gn2.Config())  # it says nothing


def test_discriminants_of_the_trainer_are_measured():
    trainer = gn2.Trainer(gn2.Model(MODEL), {"discriminant.D_x.signal": "cjets"})
    assert "D_x.auc_bjets" in trainer.evaluate(dataset()).figures
