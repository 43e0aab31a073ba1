# SPDX-License-Identifier: Apache-2.0
"""Tasks of salt of any name, kind and input come in as they are, or are refused."""

import numpy as np
import pytest
import task_models as models

import gn2
from gn2 import tasks
from gn2.salt.heads import KINDS, LOSSES
from gn2.salt.importer import model_from

CLASSES = {kind: name for name, kind in KINDS.items()}
LOSS = {(kind, own): name for kind, of in LOSSES.items() for name, own in of.items()}
LOSS[tasks.GAUSSIAN, "mse"] = "GaussianNLLLoss"  # the option is another kind's


def module_of(task):
    """A task as salt's config has it."""
    args = {
        "name": task.name,
        "input_name": task.object,
        "weight": task.weight,
        "label": task.label or None,
        "dense_config": {"hidden_layers": list(task.hidden)},
    }
    if task.classifies:
        args["class_names"] = list(task.classes)
        args["loss"] = {
            "class_path": "torch.nn.CrossEntropyLoss",
            "init_args": {"weight": list(task.class_weights) or None},
        }
    if task.regresses:
        args["targets"] = list(task.targets)
        args["target_denominators"] = list(task.denominators) or None
        norm = {"mean": list(task.mean), "std": list(task.std)}
        args["norm_params"] = norm if task.mean else None
        args["loss"] = {"class_path": f"torch.nn.{LOSS[task.kind, task.loss]}"}
    return {"class_path": f"salt.models.{CLASSES[task.kind]}", "init_args": args}


def settings(model, modules=None):
    """salt's config of a model of ours."""
    own = [module_of(task) for task in model.tasks.values()]
    network = {
        "init_nets": [{"input_name": name} for name in model.constituents],
        "tasks": {"init_args": {"modules": own if modules is None else modules}},
        "encoder": {"init_args": {"attn_kwargs": {"num_heads": 2}}},
    }
    return {
        "name": model.metadata("model.name"),
        "model": {"model": {"init_args": network}},
        "data": {"variables": {k: list(v) for k, v in model.inputs.items()}},
    }


def state_of(model):
    state = {f"model.{name}": model[name] for name in model.params}
    for name, columns in model.inputs.items():
        state[f"norm.{name}_means"] = np.zeros(len(columns), "f4")
        state[f"norm.{name}_stds"] = np.ones(len(columns), "f4")
    return state


def imported(model, modules=None):
    return model_from(state_of(model), settings(model, modules))


@pytest.mark.parametrize("name", models.MODELS)
def test_tasks_of_any_name_and_input(name):
    model = models.random_model(models.MODELS[name])
    back = imported(model)
    assert list(back.tasks) == list(model.tasks)
    for mine, theirs in zip(back.tasks.values(), model.tasks.values()):
        assert mine == theirs
    assert back.constituents == model.constituents and back.inputs == model.inputs
    for name in model.params:
        assert np.array_equal(back[name], model[name]), name


def test_class_weights_come_from_the_config():
    options = {**models.MORE, "task.track_type.class_weights": [1, 2, 3, 4]}
    back = imported(models.random_model(options))
    assert back.tasks["track_type"].class_weights == (1, 2, 3, 4)
    assert back.tasks["flow_type"].class_weights == ()


def test_names_that_are_none_become_gn2s():
    model = models.random_model(models.GN2X)
    modules = [module_of(task) for task in model.tasks.values()]
    for module, name in zip(modules, ("same", "same", None)):
        module["init_args"]["name"] = name
    assert list(imported(model, modules).tasks) == list(tasks.STANDARD)


def test_classes_without_names_are_numbered():
    model = models.random_model(models.MORE)
    modules = [module_of(task) for task in model.tasks.values()]
    modules[0]["init_args"]["class_names"] = None
    classes = imported(model, modules).tasks["flow_type"].classes
    assert classes == ("class0", "class1", "class2")


def test_pairs_are_weighed_by_the_task_that_reads_the_origins():
    """salt reads the field, whatever the task is called."""
    options = {
        "model.tasks": ["where", "secvtx"],
        "task.where.kind": "classification",
        "task.where.object": "tracks",
        "task.where.classes": [str(k) for k in range(8)],
        "task.where.label": "ftagTruthOriginLabel",
        "task.secvtx.kind": "vertexing",
        "task.secvtx.object": "tracks",
        "task.secvtx.origin_task": "where",
        **models.TWO_TYPES,
    }
    back = imported(models.random_model(options))
    assert back.config["task.secvtx.origin_task"] == "where"


def test_a_further_task_without_a_name_is_refused():
    model = models.random_model(models.MORE)
    modules = [module_of(task) for task in model.tasks.values()]
    del modules[2]["init_args"]["name"]
    with pytest.raises(gn2.FormatError, match="task 2 needs a name of its own"):
        imported(model, modules)


def regressions():
    model = models.random_model(models.GN3)
    return model, [module_of(task) for task in model.tasks.values()]


def test_one_target_may_be_a_word_and_a_number():
    model = models.random_model(
        {
            "model.tasks": ["mass"],
            "task.mass.kind": "regression",
            "task.mass.targets": ["m"],
            **models.TWO_TYPES,
        }
    )
    modules = [module_of(task) for task in model.tasks.values()]
    norm = {"mean": 3.0, "std": 2}
    modules[0]["init_args"] |= {"targets": "m", "norm_params": norm}
    task = imported(model, modules).tasks["mass"]
    assert (task.targets, task.mean, task.std) == (("m",), (3.0,), (2.0,))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scaler": {"class_path": "x"}}, "task 'jet_pt': a scaler changes"),
        ({"custom_output_names": ["pt"]}, "custom_output_names"),
        ({"loss": "torch.nn.PoissonNLLLoss"}, "loss PoissonNLLLoss: a regression here"),
        ({"loss": None}, "loss none"),
        (
            {"loss": {"class_path": "torch.nn.HuberLoss", "init_args": {"delta": 2}}},
            "delta = 2",
        ),
    ],
)
def test_what_no_regression_here_has_is_refused(change, words):
    model, modules = regressions()
    modules[1]["init_args"] |= change
    with pytest.raises(gn2.FormatError, match=words):
        imported(model, modules)
