# SPDX-License-Identifier: Apache-2.0
"""A pod that runs the command ``gn2`` on the data of a search."""

from __future__ import annotations

import json
import os
from typing import Any

from ...errors import InvalidArgument
from ..engines import OWN_VOLUMES
from ..space import Space

Object = dict[str, Any]

#: where the space file is in a pod
SPACE = "/gn2/space.yaml"
#: where Katib's collector reads; the folder is a volume of its own
METRICS = "/katib/metrics.log"
#: seconds from SIGTERM to SIGKILL: the trial program needs up to 10
GRACE = 60
USER = 1000
#: exit statuses of the trial program after which trying again is of no use
HOPELESS = (2, 3)
#: volumes that are ours, the first before those of the space; but for the others the
#: file system of a pod is read-only
SPACE_VOLUME, SCRATCH, SHARED = OWN_VOLUMES


def labels(space: Space) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "gn2",
        "app.kubernetes.io/part-of": space.name,
        # the mesh's proxy would keep the pod alive when the trial has ended
        "sidecar.istio.io/inject": "false",
    }


def metadata(space: Space, name: str) -> Object:
    """Of an object beside others of the search."""
    found: Object = {"name": name, "labels": {"app.kubernetes.io/name": "gn2"}}
    if space.kubernetes.namespace:
        found["namespace"] = space.kubernetes.namespace
    return found


def space_map(space: Space) -> Object:
    """A ConfigMap with the space file as the pods see it: files of data are in the
    folder of the cluster, by their names."""
    facts = dict(space.document.value)
    folder = space.kubernetes.data
    facts["data"] = {
        what: [os.path.join(folder, os.path.basename(path)) for path in paths]
        for what, paths in (("train", space.train), ("val", space.val))
    }
    names = [os.path.basename(path) for path in (*space.train, *space.val)]
    if len(set(names)) < len(names):
        raise InvalidArgument(
            f"two data files of one name ({', '.join(names)}): in {folder} they would "
            "be one; rename one"
        )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(space, f"{space.name}-space"),
        # JSON is YAML, and says no number otherwise than it was read
        "data": {"space.yaml": json.dumps(facts, indent=2, ensure_ascii=False) + "\n"},
    }


def _volumes(space: Space) -> tuple[list[Object], list[Object]]:
    """(volumes, mounts)."""
    config = {"name": f"{space.name}-space"}
    volumes: list[Object] = [{"name": SPACE_VOLUME, "configMap": config}]
    mounts: list[Object] = [
        {"name": SPACE_VOLUME, "mountPath": os.path.dirname(SPACE), "readOnly": True}
    ]
    for row in space.kubernetes.volumes:
        source = {k: v for k, v in row.items() if k not in ("mount", "readOnly")}
        volumes.append(source)
        mount = {"name": row["name"], "mountPath": row["mount"]}
        mounts.append({**mount, **({"readOnly": True} if row.get("readOnly") else {})})
    volumes.append({"name": SCRATCH, "emptyDir": {}})
    mounts.append({"name": SCRATCH, "mountPath": "/tmp"})
    return volumes, mounts


def resources(space: Space) -> Object:
    """Requests = limits: nothing is throttled by a neighbour."""
    amounts = {"cpu": space.kubernetes.cpu, "memory": space.kubernetes.memory}
    return {"requests": dict(amounts), "limits": dict(amounts)}


def container(space: Space, name: str, command: list[str]) -> Object:
    """A container; what it may not do is said here and not of the pod, for Katib's
    collector, which is put beside it, may be of another user."""
    return {
        "name": name,
        "image": space.kubernetes.image,
        "command": command,
        "resources": resources(space),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _volumes(space)[1],
    }


def template(space: Space, containers: list[Object]) -> Object:
    """Template of a pod."""
    meta: Object = {
        "labels": labels(space),
        "annotations": {"sidecar.istio.io/inject": "false"},
    }
    spec: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE,
        # nothing in it talks to the cluster; variables of its services are of no use
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "fsGroup": USER,
            # else all files of a volume are visited before every trial
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        "volumes": _volumes(space)[0],
    }
    return {"metadata": meta, "spec": spec}


def one_process(space: Space, what: str) -> None:
    """Refuses ranks where there can be none."""
    cluster = space.kubernetes
    if cluster.nodes * cluster.slots > 1:
        raise InvalidArgument(
            f"kubernetes: nodes = {cluster.nodes}, slots = {cluster.slots}, but a "
            f"trial of {what} is one process: leave them out, or --engine katib with "
            "--kind mpijob or trainjob"
        )


def failure_policy(name: str) -> Object:
    """A Job's podFailurePolicy by the exit statuses of the trial program."""
    return {
        "rules": [
            {
                "action": "FailJob",
                "onExitCodes": {
                    "containerName": name,
                    "operator": "In",
                    "values": list(HOPELESS),
                },
            },
            {
                "action": "Ignore",
                "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
            },
        ]
    }
