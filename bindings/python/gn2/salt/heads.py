# SPDX-License-Identifier: Apache-2.0
"""Tasks of salt's config, as options of ours.

ClassificationTask, VertexingTask, RegressionTask and GaussianRegressionTask of any name
and input. A name that is none, or not a task's own, becomes that of GN2's task of the
kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..errors import FormatError, NotFound
from ..tasks import CLASSIFICATION, GAUSSIAN, JETS, REGRESSION, STANDARD, VERTEXING

State = dict[str, NDArray[Any]]
KINDS = {
    "ClassificationTask": CLASSIFICATION,
    "VertexingTask": VERTEXING,
    "RegressionTask": REGRESSION,
    "GaussianRegressionTask": GAUSSIAN,
}
#: Losses by torch's names, and our words for them; "": there is no other.
LOSSES = {
    REGRESSION: {"L1Loss": "l1", "MSELoss": "mse", "HuberLoss": "huber"},
    GAUSSIAN: {"GaussianNLLLoss": ""},
}
_ORIGIN_FIELD = "ftagTruthOriginLabel"


# ---- salt's config ----


def dig(tree: Any, path: str, default: Any = None) -> Any:
    """``tree["a"]["b"]`` for "a.b"; looks into ``init_args`` on the way."""
    for word in path.split("."):
        if isinstance(tree, Mapping) and "init_args" in tree and word not in tree:
            tree = tree["init_args"]
        if not isinstance(tree, Mapping) or word not in tree:
            return default
        tree = tree[word]
    return tree


class Task(NamedTuple):
    """A head as salt's config describes it."""

    name: str  #: our name of it
    kind: str
    object: str  #: "jets", or a constituent type
    flavour: bool  #: the jets' first classification
    args: Mapping[str, Any]
    place: int  #: among the tasks

    @property
    def key(self) -> str:
        """What its options begin with."""
        return f"task.{self.name}"


def tasks_of(modules: Any, global_object: str) -> list[Task]:
    """The heads, each with a name of its own: salt's, or where that is none, GN2's."""
    given = [str(dig(task, "name") or "") for task in modules]
    found: list[Task] = []
    for place, (module, name) in enumerate(zip(modules, given)):
        kind = _kind(module, place)
        args = module.get("init_args") or {}
        where = args.get("input_name")
        where = JETS if where == global_object else str(where)
        if not re.fullmatch(r"\w+", name) or given.count(name) > 1:
            name = _standard(kind, where == JETS, place)
        if name in [task.name for task in found]:
            raise FormatError(f"task {place} needs a name of its own, not {name!r}")
        flavour = kind == CLASSIFICATION and where == JETS
        flavour = flavour and not any(task.flavour for task in found)
        found.append(Task(name, kind, where, flavour, args, place))
    return found


def _kind(module: Any, place: int) -> str:
    name = str(module.get("class_path", "")).rpartition(".")[2]
    if name not in KINDS:
        raise FormatError(
            f"task {place} is a {name}: those of a model here are {', '.join(KINDS)}"
        )
    return KINDS[name]


def _standard(kind: str, on_jets: bool, place: int) -> str:
    for name, own in STANDARD.items():
        if (own.kind, own.on_jets) == (kind, on_jets):
            return name
    raise FormatError(f"task {place}, a {kind}, has no name of its own")


# ---- options ----


def linear_layers(weights: Mapping[str, Any], prefix: str) -> dict[int, Any]:
    """Weights of the linear layers of a Dense by their index among its modules."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.weight")
    found = {int(m[1]): weights[k] for k in weights if (m := pattern.fullmatch(k))}
    if not found:
        raise NotFound(f"tensors '{prefix}*.weight' are missing")
    return dict(sorted(found.items()))


def hidden_sizes(weights: Mapping[str, Any], prefix: str) -> list[int]:
    return [len(weight) for weight in linear_layers(weights, prefix).values()][:-1]


def options_of(
    tasks: list[Task], weights: State, state: State, classes: Iterable[str] | None
) -> dict[str, Any]:
    options: dict[str, Any] = {"model.tasks": [task.name for task in tasks]}
    for task in tasks:
        layers = linear_layers(weights, f"tasks.{task.place}.net.net.")
        count = len(list(layers.values())[-1])
        options |= _unlike_default(task)
        options[f"{task.key}.hidden"] = hidden_sizes(
            weights, f"tasks.{task.place}.net.net."
        )
        options[f"{task.key}.weight"] = float(task.args.get("weight", 1.0))
        for word in ("label", "sample_weight"):
            if isinstance(task.args.get(word), str):
                options[f"{task.key}.{word}"] = task.args[word]
        if task.kind == CLASSIFICATION:
            options[f"{task.key}.class_weights"] = _class_weights(task, state)
            options |= _class_options(task, count, classes)
        elif task.kind == VERTEXING:
            options |= _vertexing_options(task, tasks)
        else:
            options |= _regression_options(task)
    return options


def _unlike_default(task: Task) -> dict[str, Any]:
    """Kind and object, where the name alone does not say so."""
    said = {f"{task.key}.kind": task.kind, f"{task.key}.object": task.object}
    with Config() as defaults:
        return {key: value for key, value in said.items() if defaults[key] != value}


def _class_weights(task: Task, state: State) -> list[float]:
    """From the checkpoint; an ONNX file has them in its config only."""
    buffer = state.get(f"model.tasks.{task.place}.loss.weight")
    if buffer is not None:
        return list(buffer.astype(np.float64).tolist())
    listed = dig(task.args, "loss.weight")
    return [float(value) for value in listed] if isinstance(listed, list) else []


def _class_options(
    task: Task, count: int, classes: Iterable[str] | None
) -> dict[str, Any]:
    named = list(task.args.get("class_names") or ())
    if task.flavour:
        names = list(named or classes or ())
        if len(names) != count:
            raise NotFound(
                f"names of {count} jet classes wanted, found {names}: give classes="
            )
        return {"model.classes": names}
    key = f"{task.key}.classes"
    with Config() as defaults:
        usual: Any = defaults[key]
    if not named and len(usual) == count:  # the eight ATLAS origins
        return {}
    word = STANDARD[task.name].noun if task.name in STANDARD else "class"
    return {key: named or [f"{word}{k}" for k in range(count)]}


def _vertexing_options(task: Task, tasks: list[Task]) -> dict[str, Any]:
    """Whose labels weigh the pairs: those of the field that salt reads for it."""
    for other in tasks:
        same = other.object == task.object and other.kind == CLASSIFICATION
        if same and other.args.get("label") == _ORIGIN_FIELD:
            with Config() as defaults:
                if defaults[f"{task.key}.origin_task"] != other.name:
                    return {f"{task.key}.origin_task": other.name}
    return {}


# ---- regressions ----


def _strings(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else [str(word) for word in given or ()]


def _numbers(given: Any) -> list[float]:
    given = given if isinstance(given, (list, tuple)) else [given]
    return [float(value) for value in given]


def _regression_options(task: Task) -> dict[str, Any]:
    targets = _strings(task.args.get("targets"))
    if task.args.get("scaler") is not None:
        raise FormatError(
            f"task {task.name!r}: a scaler changes targets by functions of its own, "
            "which a model here has none of; norm_params or target_denominators do"
        )
    if _strings(task.args.get("custom_output_names")) not in ([], targets):
        raise FormatError(
            f"task {task.name!r}: custom_output_names: outputs have the targets' names"
        )
    options: dict[str, Any] = {f"{task.key}.targets": targets}
    if task.args.get("target_denominators"):
        below = _strings(task.args["target_denominators"])
        options[f"{task.key}.target_denominators"] = below
    norm = task.args.get("norm_params") or {}
    for word in ("mean", "std"):
        if norm.get(word) is not None:
            options[f"{task.key}.target_{word}"] = _numbers(norm[word])
    return options | _loss_options(task)


def _loss_options(task: Task) -> dict[str, Any]:
    loss = task.args.get("loss")
    path = loss.get("class_path") if isinstance(loss, Mapping) else loss
    name = str(path or "").rpartition(".")[2]
    known = LOSSES[task.kind]
    if name not in known:
        raise FormatError(
            f"task {task.name!r}: loss {name or 'none'}: a {task.kind} here has "
            f"{', '.join(known)}"
        )
    for word in ("delta", "beta"):
        if dig(loss, f"init_args.{word}", 1.0) != 1:
            value = dig(loss, f"init_args.{word}")
            raise FormatError(
                f"task {task.name!r}: {name}: {word} = {value}, must be 1"
            )
    return {f"{task.key}.loss": known[name]} if known[name] else {}
