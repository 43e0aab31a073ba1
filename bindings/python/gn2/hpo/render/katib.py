# SPDX-License-Identifier: Apache-2.0
"""Katib's Experiment (v1beta1) of a search."""

from __future__ import annotations

import math
import os
import shlex

from ...errors import InvalidArgument
from ..algorithms import ALGORITHMS
from ..engines import trials
from ..parameter import LOG2, Parameter
from ..space import Space
from . import kinds, pod
from .pod import Object

#: figures kept beside the objective, by their names in the metrics file
FIGURES = ("diverged", "wall_seconds", "core_seconds", "peak_memory_bytes")
#: samplers whose service takes a seed, and its name
SEEDED = ("random", "multivariate-tpe", "bayesianoptimization", "cmaes")
SEED = "random_state"


def rendered_name(parameter: Parameter, space: Space) -> str:
    """Its name in the Experiment: the logarithm where the service ignores scales."""
    hidden = parameter.log and not space.algorithm.log_in_katib
    return LOG2 + parameter.name if hidden else parameter.name


def _parameter(parameter: Parameter, space: Space) -> Object:
    name = rendered_name(parameter, space)
    cells = parameter.cells()
    feasible: Object
    if parameter.kind == "choice" and not space.algorithm.grid:
        kind, feasible = "categorical", {"list": list(parameter.values)}
    elif cells is not None and (space.algorithm.grid or parameter.kind != "integer"):
        kind, feasible = "discrete", {"list": [parameter.text(v) for v in cells]}
    elif name != parameter.name:
        kind = "double"
        ends = (math.log2(parameter.low), math.log2(parameter.high))
        feasible = {"min": repr(ends[0]), "max": repr(ends[1])}
    else:
        return {"name": name, **_range(parameter)}
    return {"name": name, "parameterType": kind, "feasibleSpace": feasible}


def _range(parameter: Parameter) -> Object:
    feasible = {
        "min": parameter.text(parameter.low),
        "max": parameter.text(parameter.high),
        "distribution": "logUniform" if parameter.log else "uniform",
    }
    if parameter.step is not None:
        feasible["step"] = parameter.text(parameter.step)
    return {
        "parameterType": "int" if parameter.kind == "integer" else "double",
        "feasibleSpace": feasible,
    }


def _algorithm(space: Space) -> Object:
    name = space.algorithm.katib
    found: Object = {"algorithmName": name}
    if name in SEEDED:
        setting = {"name": SEED, "value": str(space.algorithm_seed)}
        found["algorithmSettings"] = [setting]
    return found


def _stopping(space: Space) -> Object:
    assert space.pruning is not None
    first = math.ceil(space.pruning.begin * space.steps / space.validate_steps)
    settings = {
        "min_trials_required": str(space.pruning.startup),
        "start_step": str(max(1, first)),
    }
    return {
        "algorithmName": ALGORITHMS[space.pruning.name].katib,
        "algorithmSettings": [{"name": k, "value": v} for k, v in settings.items()],
    }


def _objective(space: Space) -> Object:
    name = space.objective.metric
    others = [figure for figure in FIGURES if figure != name]
    latest = [{"name": metric, "value": "latest"} for metric in (name, *others)]
    return {
        "type": space.objective.direction,
        "objectiveMetricName": name,
        "additionalMetricNames": others,
        "metricStrategies": latest,
    }


def command(space: Space, kind: kinds.Kind) -> list[str]:
    """The trial program, values as Katib's tokens. Katib joins the words by spaces and
    gives them to sh: what means something to sh is quoted."""
    folder = os.path.join(space.kubernetes.output, "${trialParameters.trialName}")
    words = ["gn2", "hpo", "trial", pod.SPACE, "-o", folder]
    words += ["--metrics-file", pod.METRICS]
    launcher = kinds.launcher(kind, space)
    if launcher:
        words += ["--launch", shlex.quote(launcher)]
    return [*words, *(_word(parameter, space) for parameter in space.parameters)]


def _word(parameter: Parameter, space: Space) -> str:
    name = rendered_name(parameter, space)
    word = f"{name}=${{trialParameters.{name}}}"
    plain = all(shlex.quote(value) == value for value in parameter.values)
    return word if plain else f"'{word}'"


def _template(space: Space, kind: kinds.Kind) -> Object:
    names = [rendered_name(parameter, space) for parameter in space.parameters]
    found: Object = {
        "primaryContainerName": kind.container,
        "successCondition": kind.success,
        "failureCondition": kind.failure,
        "trialParameters": [
            {"name": "trialName", "reference": "${trialSpec.Name}"},
            *({"name": name, "reference": name} for name in names),
        ],
        "trialSpec": kind.make(space, command(space, kind)),
    }
    labels = kinds.primary_labels(kind, space)
    if labels:
        found["primaryPodLabels"] = dict(labels)
    return found


def objects(space: Space, name: str) -> list[Object]:
    """The Experiment, and what its trials refer to."""
    kind = kinds.KINDS.get(name or "job")
    if kind is None:
        known = ", ".join(kinds.KINDS)
        raise InvalidArgument(f"kind {name!r} is none of {known}")
    path = {"path": pod.METRICS, "kind": "File", "format": "TEXT"}
    spec: Object = {
        "objective": _objective(space),
        "algorithm": _algorithm(space),
        "parallelTrialCount": space.kubernetes.parallel,
        "maxTrialCount": trials(space),
        "maxFailedTrialCount": space.kubernetes.failures,
        "resumePolicy": "Never",
        "parameters": [_parameter(p, space) for p in space.parameters],
        "metricsCollectorSpec": {
            "collector": {"kind": "File"},
            "source": {"fileSystemPath": path},
        },
        "trialTemplate": _template(space, kind),
    }
    if space.pruning is not None:
        spec["earlyStopping"] = _stopping(space)
    experiment = {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": pod.metadata(space, space.name),
        "spec": spec,
    }
    return [*kind.before(space), experiment]
