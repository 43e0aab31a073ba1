# SPDX-License-Identifier: Apache-2.0
"""A plain indexed Job: every pod is a worker of ``gn2 hpo run`` on one store."""

from __future__ import annotations

import os

from ...errors import InvalidArgument
from ..engines import trials
from ..space import Space
from . import pod
from .pod import Object

NAME = "worker"
#: seconds after which a Job that has ended is taken away
KEPT = 7 * 24 * 3600


def command(space: Space) -> list[str]:
    """A worker; it goes on with what a pod before it left."""
    cluster = space.kubernetes
    folder = os.path.join(cluster.output, space.name)
    store = cluster.store or f"journal:{folder}/study.log"
    words = ["gn2", "hpo", "run", pod.SPACE, "-n", str(trials(space)), "-j", "1"]
    return [*words, "--store", store, "-o", folder]


def objects(space: Space, kind: str) -> list[Object]:
    """The Job."""
    if kind not in ("", "job"):
        raise InvalidArgument(f"workers are pods of a Job, not {kind!r}")
    pod.one_process(space, "a Job")
    count = space.kubernetes.parallel
    worker = pod.container(space, NAME, command(space))
    spec: Object = {
        "completionMode": "Indexed",
        "completions": count,
        "parallelism": count,
        "backoffLimit": 6,
        "ttlSecondsAfterFinished": KEPT,
        "podFailurePolicy": pod.failure_policy(NAME),
        "template": pod.template(space, [worker]),
    }
    return [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": pod.metadata(space, space.name),
            "spec": spec,
        }
    ]
