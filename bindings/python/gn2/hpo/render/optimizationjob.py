# SPDX-License-Identifier: Apache-2.0
"""Trainer's OptimizationJob (v1alpha1) of a search: trials are TrainJobs, parameters
come by the environment, as KUBEFLOW_TRAINER_OPT_<NAME>."""

from __future__ import annotations

import os

from ...errors import InvalidArgument
from ..engines import trials
from ..parameter import Parameter
from ..space import Space
from . import kinds, pod
from .pod import Object


def _search_space(parameter: Parameter, grid: bool) -> Object:
    cells = parameter.cells()
    listed = grid or parameter.kind == "choice"
    if cells is not None and (listed or parameter.step is not None):
        return {"categorical": {"choices": [parameter.text(v) for v in cells]}}
    row = {
        "min": parameter.text(parameter.low),
        "max": parameter.text(parameter.high),
        "type": "Int" if parameter.kind == "integer" else "Float",
    }
    return {"logUniform" if parameter.log else "uniform": row}


#: the TrainJob's name, a label of its pods: the folder of the trial is the same when a
#: pod comes again. (Of a pod's own variables the cluster fills none into a command.)
TRIAL = {
    "name": "GN2_TRIAL",
    "valueFrom": {
        "fieldRef": {"fieldPath": "metadata.labels['jobset.sigs.k8s.io/jobset-name']"}
    },
}


def command(space: Space) -> list[str]:
    """The trial program; no shell reads it. There is no collector: what the search
    knows of a trial is the status that the trial tells Trainer's server."""
    folder = os.path.join(space.kubernetes.output, f"$({TRIAL['name']})")
    words = ["gn2", "hpo", "trial", pod.SPACE, "-o", folder, "--log", "trainjob"]
    launcher = kinds.launcher(kinds.TRAINJOB, space)
    return [*words, "--launch", launcher] if launcher else words


def objects(space: Space, kind: str) -> list[Object]:
    """The OptimizationJob and the runtime of its TrainJobs."""
    if kind not in ("", kinds.TRAINJOB.name):
        raise InvalidArgument(f"trials are {kinds.TRAINJOB.name}s, not {kind!r}")
    if space.kubernetes.nodes > 1:
        raise InvalidArgument(
            f"kubernetes.nodes = {space.kubernetes.nodes}: rank 0, which has the "
            "figures, may be in a pod that may not tell them to Trainer; take one node "
            "(slots are ranks in it), or --engine katib --kind trainjob"
        )
    job = kinds.TRAINJOB.make(space, command(space))
    job["spec"]["trainer"]["env"] = [TRIAL]
    search: Object = (
        {"grid": {}}
        if space.algorithm.grid
        else {"random": {"seed": space.algorithm_seed}}
    )
    spec: Object = {
        "objectives": [
            {
                "metric": space.objective.metric,
                "direction": space.objective.direction.capitalize(),
            }
        ],
        "searchAlgorithm": search,
        "numTrials": trials(space),
        "parallelTrials": space.kubernetes.parallel,
        "parameters": [
            {"name": p.name, "searchSpace": _search_space(p, space.algorithm.grid)}
            for p in space.parameters
        ],
        "trainJobTemplate": {"spec": job["spec"]},
    }
    found = {
        "apiVersion": kinds.RUNTIME_API,
        "kind": "OptimizationJob",
        "metadata": pod.metadata(space, space.name),
        "spec": spec,
    }
    return [*kinds.runtime(space), found]
