# SPDX-License-Identifier: Apache-2.0
"""Tasks of any name and kind: what a model says of them, and the tagger's outputs."""

import pathlib
import re

import numpy as np
import onnx_reference as reference
import pytest
import task_models as models

import gn2
from gn2 import tasks
from gn2.cli import main

ROUNDING = 2e-6  # float32 against double, on probabilities and values of order one


@pytest.fixture(params=models.MODELS)
def kind(request):
    return models.random_model(models.MODELS[request.param])


def test_kinds_are_those_of_the_library():
    """Both ways: a kind of lib/net/tasks.c is in gn2/tasks.py, with its figures."""
    options = {"model.tasks": ["x"], "task.x.kind": "nothing"}
    with pytest.raises(gn2.InvalidArgument) as refused:
        gn2.Model(options)
    known = re.findall(r"[a-z_]+", str(refused.value).rpartition("one of")[2])
    assert sorted(known) == sorted(tasks.KINDS)
    assert sorted(tasks.FIGURES) == sorted(tasks.KINDS)


def test_other_kinds_are_not_taken_for_one_of_these():
    config = {"model.tasks": ["x"], "task.x.kind": "ranking"}
    with pytest.raises(gn2.Unsupported, match="task.x.kind = ranking: .*regression"):
        tasks.read(config)


def test_only_the_kind_that_gn2_has_gets_the_short_names():
    """A classification called track_vertexing is no vertexing to anybody."""
    options = {
        "model.tasks": ["jets_classification", "track_vertexing"],
        "task.track_vertexing.kind": "classification",
        "task.track_vertexing.label": "ftagTruthOriginLabel",
        "task.track_vertexing.classes": ["pileup", "fake", "primary"],
    }
    model = gn2.Model({**models.SMALL, **options})
    task = model.tasks["track_vertexing"]
    assert task.output() == "tracks.track_vertexing" and not task.standard
    assert task.output("_logits") == "tracks.track_vertexing_logits"
    assert {task.output(), task.output("_logits")} <= set(gn2.Tagger(model).outputs)
    assert model.tasks["jets_classification"].output() == "jets.probabilities"


def test_tasks_are_as_the_options_say():
    found = gn2.Model({**models.SMALL, **models.MORE}).tasks
    assert list(found) == models.MORE["model.tasks"]
    assert [t.number for t in found.values()] == [0, 1, 2, 3, 4]
    charge, types = found["jet_charge"], found["track_type"]
    assert found["jets_classification"].classes == (
        "bjets",
        "cjets",
        "ujets",
        "taujets",
    )
    assert [t.flavour for t in found.values()] == [False, True, False, False, False]
    assert charge.on_jets and charge.classes == ("minus", "zero", "plus")
    assert charge.hidden == (8,) and charge.weight == 1
    # the first classification of jets is into model.classes, whatever its name
    (quark, _) = gn2.Model({**models.SMALL, **models.RENAMED}).tasks.values()
    assert quark.flavour and quark.classes == found["jets_classification"].classes
    assert types.object == "tracks" and types.weight == 0.25
    assert types.classes == ("hadron", "electron", "muon", "none")
    assert found["flow_vertexing"].columns == 1
    assert found["flow_type"].label == "flow_type_label"
    assert str(found["flow_type"]) == (
        "flow_type: classification of flows into charged, photon, neutral; "
        "label flow_type_label"
    )


def test_columns_are_those_of_the_heads(kind):
    for task in kind.tasks.values():
        last = [n for n in kind.params if n.startswith(task.prefix)][-1]
        assert kind.params[last].shape == (task.columns,)


def test_the_tagger_lists_what_the_tasks_say(kind):
    with gn2.Tagger(kind) as tagger:
        for task in kind.tasks.values():
            for suffix in task.suffixes:
                of = tagger.outputs[task.output(suffix)]
                # of a gaussian regression mean and spread are two outputs
                columns = task.columns // (2 if task.kind == tasks.GAUSSIAN else 1)
                assert (of.object, of.columns) == (task.object, columns)
        names = tagger.output_names
        assert len(set(names)) == len(names)


def test_every_output_is_what_the_formulas_say(kind):
    jets, parts = models.jets_of(kind, [0, 1, 7, 12])
    exact = [reference.Reference(kind).outputs(j, p) for j, p in zip(jets, parts)]
    with gn2.Tagger(kind) as tagger:
        scores = tagger.tag(jets, models.ragged(parts), outputs=list(exact[0]))
    for name in exact[0]:
        rows = [e[name] for e in exact]
        wanted = np.stack(rows) if name.startswith("jets.") else np.concatenate(rows)
        assert wanted.std() > 1e-3, name
        if scores[name].dtype == np.int32:
            assert np.array_equal(scores[name], wanted), name
            continue
        error = np.abs(scores[name] - wanted).max() / max(1, np.abs(wanted).max())
        assert error < ROUNDING, name
        if not name.startswith("jets."):
            for mine, of in zip(scores.split(name), rows, strict=True):
                assert mine.shape == of.shape, name


def test_outputs_have_all_their_names(kind):
    jets, parts = models.jets_of(kind, [3, 4])
    with gn2.Tagger(kind) as tagger:
        for task in kind.tasks.values():
            scores = tagger.tag(jets, models.ragged(parts), outputs=[task.name])
            for name in (task.full(), task.output(), task.name):
                assert scores[name] is scores.outputs[task.name], name
            short = task.output().partition(".")[2]
            assert getattr(scores, task.name) is scores.outputs[task.name]
            if short != "probabilities":
                assert getattr(scores, short) is scores.outputs[task.name]


def test_probabilities_whatever_the_name_of_the_task():
    model = models.random_model(models.RENAMED)
    jets, parts = models.jets_of(model, [3, 0, 4])
    with gn2.Tagger(model) as tagger:
        scores = tagger.tag(jets, models.ragged(parts))
        own = tagger.tag(jets, models.ragged(parts), outputs="quark")
    assert np.array_equal(scores.probabilities, own["jets.quark"])
    assert np.array_equal(scores["jets.quark"], scores.probabilities)
    assert np.array_equal(scores["jets.probabilities"], scores.probabilities)
    assert np.array_equal(scores["b"], scores.probabilities[:, 0])


def test_other_classes_have_their_own_discriminants():
    model = models.random_model(models.GN2X)
    jets, parts = models.jets_of(model, [3, 0, 4])
    with gn2.Tagger(model) as tagger:
        scores = tagger.tag(jets, models.ragged(parts), outputs="D_hbb")
    p = scores.probabilities.astype(float)
    wanted = np.log(p[:, 0] / (p[:, 1:] @ [0.02, 0.25, 0.73]))
    assert np.abs(scores["D_hbb"] - wanted).max() < 1e-5
    assert np.array_equal(scores["D_hbb"], scores.discriminant("hbb"))
    with pytest.raises(gn2.NotFound, match="'b'; the model has hbb, hcc, top, qcd"):
        scores.discriminant("b")


def test_models_that_do_not_classify_jets_say_so():
    model = models.random_model(models.BARE)
    jets, parts = models.jets_of(model, [3, 0, 4])
    with gn2.Tagger(model) as tagger:
        scores = tagger.tag(jets, models.ragged(parts))
    assert model.flavour is None and scores.classes == () and len(scores) == 3
    assert not scores.has_probabilities and "no classes" in repr(scores)
    assert list(scores.outputs) == ["flows.flow_type"]
    assert scores["flow_type"].shape == (3 + 2 + 0 + 4 + 2, 3)
    for ask in (
        lambda: scores.probabilities,
        lambda: scores["b"],
        lambda: scores["jets.probabilities"],
        lambda: scores.discriminant("b"),
        lambda: np.asarray(scores),
    ):
        with pytest.raises(gn2.NotFound, match="does not classify jets"):
            ask()
    with pytest.raises(gn2.NotFound, match="ask for it"):
        scores["flows.attention"]


def test_inspect_shows_the_tasks(tmp_path, capsys):
    models.random_model(models.MORE).save(tmp_path / "a.gn2")
    assert main(["inspect", str(tmp_path / "a.gn2")]) == 0
    out = capsys.readouterr().out
    for task in gn2.Model.load(tmp_path / "a.gn2").tasks.values():
        assert f"  task {task}\n" in out


def test_names_of_standard_tasks_stand_in_one_module():
    """Everything else goes by the table of tasks."""
    package = pathlib.Path(tasks.__file__).parent
    words = re.compile("|".join(tasks.STANDARD))
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if words.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"tasks.py"}
