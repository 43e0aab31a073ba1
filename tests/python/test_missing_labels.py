# SPDX-License-Identifier: Apache-2.0
"""Labels and weights that are not there: no number is made of them, and where a run
needs them it is refused before it begins."""

import json

import numpy as np
import pytest
from conftest import ROOT

import gn2
from gn2.cli import main
from gn2.metrics.importance import importance

DATA = ROOT / "examples" / "data"
TRAIN, VAL = str(DATA / "jets_train.h5"), str(DATA / "jets_val.h5")
JETS = 60
MODEL = {
    "model.embed_dim": 8,
    "model.init_hidden": [8],
    "model.num_layers": 1,
    "model.num_heads": 2,
    "inputs.jets": ["pt", "eta"],
    "inputs.tracks": ["d0", "z0"],
    "data.batch_size": 20,
    "schedule.max": 1e-2,
    "schedule.steps": 10,
    "train.epochs": 2,
    "train.threads": 1,
}
WEIGHTED = {**MODEL, "task.track_origin.sample_weight": "w"}


def labels():
    rng = np.random.default_rng(3)
    return {
        "flavour": rng.integers(0, 4, JETS),
        "origin": rng.integers(0, 8, 2 * JETS),
        "vertex": np.repeat(np.arange(JETS), 2),
    }


def arrays(truth, config=None):
    rng = np.random.default_rng(4)
    tracks = rng.normal(0, 1, (2 * JETS, 2)), np.arange(0, 2 * JETS + 1, 2)
    jets = rng.normal(0, 1, (JETS, 2))
    return gn2.Dataset.from_arrays(jets, tracks, truth, config or MODEL)


def trainer(options=None):
    options = options or MODEL
    return gn2.Trainer(gn2.Model(options), options)


def without(name, rows=slice(None)):
    """Labels of which some, or all, are none."""
    truth = labels()
    truth[name][rows] = -1
    return truth


@pytest.fixture
def files():
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    return pytest.importorskip("h5py")


@pytest.fixture
def lacking(files, tmp_path):
    """The validation jets without the origins of the tracks."""
    path = tmp_path / "lacking.h5"
    with files.File(VAL, locking=False) as old, files.File(path, "w") as new:
        for name, data in old.items():
            keep = [n for n in data.dtype.names if n != "ftagTruthOriginLabel"]
            new[name] = data[:300][keep]
            for key, value in data.attrs.items():
                new[name].attrs[key] = value
    return str(path)


# ---- losses ----


@pytest.mark.parametrize(
    "name, task", [("origin", "track_origin"), ("vertex", "track_vertexing")]
)
def test_a_loss_without_a_label_is_unknown(name, task):
    whole = trainer().evaluate(arrays(labels()))
    absent = {n: v for n, v in labels().items() if n != name}
    assert whole.loss == pytest.approx(sum(whole.losses.values()), rel=1e-12)
    for truth in (absent, without(name)):
        found = trainer().evaluate(arrays(truth))
        assert np.isnan(found.losses[task]) and np.isnan(found.loss)
        assert (
            found.losses["jets_classification"] == whole.losses["jets_classification"]
        )


def test_pairs_that_weigh_by_origins_need_them():
    absent = {n: v for n, v in labels().items() if n != "origin"}
    found = trainer().evaluate(arrays(absent))
    assert np.isnan(found.losses["track_vertexing"])
    assert np.isfinite(found["track_vertexing.pair_efficiency"])
    for key, value in (("pair_weights", "none"), ("origin_task", "")):
        free = trainer({**MODEL, f"task.track_vertexing.{key}": value})
        assert np.isfinite(free.evaluate(arrays(absent)).losses["track_vertexing"])


def test_batches_without_a_label_do_not_count():
    ordered = {**MODEL, "data.sampling": "sequential"}
    some = trainer().evaluate(arrays(without("origin", slice(40, None)), ordered))
    first = trainer().evaluate(arrays(labels(), {**ordered, "data.max_jets": 20}))
    assert some.losses["track_origin"] == first.losses["track_origin"]
    assert np.isfinite(some.loss)


def test_losses_of_tasks_a_model_lacks_are_unknown():
    one = {**MODEL, "model.tasks": ["jets_classification"]}
    found = trainer(one).evaluate(arrays(labels()["flavour"], one))
    assert found.loss == found.loss_jets
    assert np.isnan(found.loss_origin) and np.isnan(found.loss_vertex)


def test_importance_goes_by_the_labels_there_are():
    model = gn2.Model(MODEL)
    found = importance(model, arrays(without("origin")), repeats=1, threads=1)
    whole = importance(model, arrays(labels()), repeats=1, threads=1)
    assert found.unlabelled == ("track_origin",) and whole.unlabelled == ()
    assert "loss_origin" not in found.nominal
    sums = [found.nominal[f"loss_{name}"] for name in ("jets", "vertex")]
    assert found.nominal["loss"] == pytest.approx(sum(sums), rel=1e-12)
    with pytest.raises(gn2.InvalidArgument, match="no labels of any task"):
        importance(model, arrays(None), repeats=1, threads=1)


def test_evaluate_says_what_it_does_not_know(lacking, tmp_path, capsys):
    model = str(tmp_path / "m.gn2")
    gn2.Model({n: v for n, v in MODEL.items() if n.startswith("model.")}).save(model)
    assert main(["evaluate", model, "-d", lacking]) == 0
    out, said = capsys.readouterr()
    assert "for the loss of track_origin, track_vertexing; the total" in said
    assert ["loss", "-"] in [line.split() for line in out.splitlines()]
    assert main(["evaluate", model, "-d", lacking, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["loss"] is None and row["loss_origin"] is None and row["loss_jets"] > 0


# ---- runs ----


def test_a_run_needs_labels_of_all_tasks():
    absent = arrays({n: v for n, v in labels().items() if n != "origin"})
    for data, what in (((arrays(labels()), absent), "validation"), ([absent], "train")):
        with pytest.raises(gn2.InvalidArgument) as problem:
            one = trainer()
            one.fit(*data, progress=False)
        said = str(problem.value)
        assert what in said and "'track_origin'" in said and "model.tasks" in said
        assert one.history.steps == []


def test_a_validation_needs_a_label_of_every_task():
    one = trainer()
    with pytest.raises(gn2.InvalidArgument, match="loss of task 'track_origin'"):
        one.fit(arrays(labels()), arrays(without("origin")), progress=False)
    assert one.history.validation == []


def test_files_without_a_label_are_named(lacking, tmp_path, capsys):
    words = ["-o", str(tmp_path / "run"), "-q", "--no-report", "data.max_jets=100"]
    words += ["data.batch_size=50"]
    assert main(["fit", TRAIN, "-v", lacking, *words, "model.embed_dim=16"]) == 1
    said = capsys.readouterr().err
    for word in ("lacking.h5", "'tracks'", "ftagTruthOriginLabel", "track_origin"):
        assert word in said, said
    # the remedy
    rest = "model.tasks=jets_classification,track_vertexing"
    given = [*words, "-f", "model.embed_dim=16", "task.track_vertexing.origin_task="]
    assert main(["fit", TRAIN, "-v", lacking, *given, rest, "train.epochs=1"]) == 0


# ---- weights ----


def test_weights_of_rows_are_not_done_without():
    truth = labels()
    with pytest.raises(gn2.NotFound, match="track_origin.sample_weight"):
        arrays(truth, WEIGHTED)
    weights = {"origin.sample_weight": np.full(2 * JETS, 0.5)}
    whole = arrays({**truth, **weights}, WEIGHTED)
    assert arrays(None, WEIGHTED).info.jet_count == JETS  # for tagging
    batch = next(whole.batches())
    one = trainer(WEIGHTED)
    bare = {n: v for n, v in batch.labels.items() if "weight" not in n}
    with pytest.raises(gn2.InvalidArgument, match="track_origin.sample_weight"):
        one.step(batch.jets, batch.tracks, bare)
    assert one.step(*batch).step == 1
