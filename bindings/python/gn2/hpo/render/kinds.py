# SPDX-License-Identifier: Apache-2.0
"""What a trial is on a cluster: the table of kinds, each with the object it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..space import Space
from . import pod
from .pod import Object

#: home of the user of the image
HOME = "/var/lib/gn2"
SSH = f"{HOME}/.ssh"
PORT = 2222
#: where the operators put the list of hosts
HOSTS = "/etc/mpi/hostfile"
RUNTIME_API = "trainer.kubeflow.org/v1alpha1"


@dataclass(frozen=True)
class Kind:
    """A row of the table."""

    name: str
    #: space and command -> the trial
    make: Callable[[Space, list[str]], Object]
    #: name of the container that runs the trial program
    container: str
    success: str
    failure: str
    #: labels of its pod, where Katib's default is wrong
    labels: dict[str, str] = field(default_factory=dict)
    #: does the trial program start mpirun?
    launches: bool = False
    #: objects that must be there before
    before: Callable[[Space], list[Object]] = lambda _: []


def _condition(name: str) -> str:
    """Of Katib: how a trial's end is known."""
    return f'status.conditions.#(type=="{name}")#|#(status=="True")#'


def launcher(space: Space) -> str:
    """How ranks are started: hosts are named, for Open MPI 5 knows no other way."""
    cluster = space.kubernetes
    ranks = cluster.nodes * cluster.slots
    return f"mpirun --hostfile {HOSTS} -n {ranks}"


def _job(space: Space, command: list[str]) -> Object:
    name = JOB.container
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": 2,
            "podFailurePolicy": pod.failure_policy(name),
            "template": pod.template(space, [pod.container(space, name, command)]),
        },
    }


def _sshd(space: Space, name: str) -> Object:
    found = pod.container(space, name, ["/usr/sbin/sshd"])
    found["args"] = ["-De", "-f", f"{HOME}/sshd_config"]
    probe = {"tcpSocket": {"port": PORT}, "initialDelaySeconds": 2}
    found["readinessProbe"] = probe
    return found


def _mpijob(space: Space, command: list[str]) -> Object:
    cluster = space.kubernetes
    # the launcher computes too: it is the first of the nodes
    start = pod.container(space, MPIJOB.container, command)
    replicas: Object = {
        "Launcher": {"replicas": 1, "template": pod.template(space, [start])}
    }
    if cluster.nodes > 1:
        worker = pod.template(space, [_sshd(space, "mpi-worker")])
        replicas["Worker"] = {"replicas": cluster.nodes - 1, "template": worker}
    return {
        "apiVersion": "kubeflow.org/v2beta1",
        "kind": "MPIJob",
        "spec": {
            "slotsPerWorker": cluster.slots,
            "runLauncherAsWorker": True,
            "sshAuthMountPath": SSH,
            "launcherCreationPolicy": "WaitForWorkersReady",
            "mpiImplementation": "OpenMPI",
            "runPolicy": {"cleanPodPolicy": "Running", "backoffLimit": 2},
            "mpiReplicaSpecs": replicas,
        },
    }


def runtime_name(space: Space) -> str:
    return f"{space.name}-runtime"


def _trainjob(space: Space, command: list[str]) -> Object:
    cluster = space.kubernetes
    trainer: Object = {
        "image": cluster.image,
        "command": command,
        "numNodes": cluster.nodes,
        "resourcesPerNode": pod.resources(space),
    }
    if cluster.nodes * cluster.slots > 1:
        trainer["numProcPerNode"] = cluster.slots
    return {
        "apiVersion": RUNTIME_API,
        "kind": "TrainJob",
        "spec": {
            "runtimeRef": {
                "apiGroup": RUNTIME_API.partition("/")[0],
                "kind": "TrainingRuntime",
                "name": runtime_name(space),
            },
            "trainer": trainer,
        },
    }


def _replicated(name: str, template: Object, **more: object) -> Object:
    step = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    return {
        "name": name,
        **more,
        "template": {
            "metadata": {"labels": step} if name == "launcher" or not more else {},
            "spec": {"backoffLimit": 2, "template": template},
        },
    }


def runtime(space: Space) -> list[Object]:
    """The TrainingRuntime that a TrainJob refers to; its containers are all `node`."""
    cluster = space.kubernetes
    main = pod.template(space, [pod.container(space, "node", ["gn2"])])
    if cluster.nodes * cluster.slots > 1:
        worker = pod.template(space, [_sshd(space, "node")])
        nodes = [
            {"name": "node", "template": {"spec": {"template": worker}}},
            _replicated(
                "launcher", main, dependsOn=[{"name": "node", "status": "Ready"}]
            ),
        ]
        policy: Object = {
            "numNodes": cluster.nodes,
            "mpi": {
                "numProcPerNode": cluster.slots,
                "mpiImplementation": "OpenMPI",
                "sshAuthMountPath": SSH,
                "runLauncherAsNode": True,
            },
        }
        jobs: Object = {
            "network": {"publishNotReadyAddresses": True},
            "successPolicy": {
                "operator": "All",
                "targetReplicatedJobs": ["launcher"],
            },
            "replicatedJobs": nodes,
        }
    else:
        policy = {"numNodes": 1}
        jobs = {"replicatedJobs": [_replicated("node", main)]}
    meta = pod.metadata(space, runtime_name(space))
    framework = "mpi" if "mpi" in policy else "gn2"
    meta["labels"]["trainer.kubeflow.org/framework"] = framework
    spec = {"mlPolicy": policy, "template": {"spec": jobs}}
    found = {"apiVersion": RUNTIME_API, "kind": "TrainingRuntime"}
    return [{**found, "metadata": meta, "spec": spec}]


JOB = Kind("job", _job, "trial", _condition("Complete"), _condition("Failed"))
MPIJOB = Kind(
    "mpijob",
    _mpijob,
    "mpi-launcher",
    _condition("Succeeded"),
    _condition("Failed"),
    {"training.kubeflow.org/job-role": "launcher"},
    launches=True,
)
TRAINJOB = Kind(
    "trainjob",
    _trainjob,
    "node",
    _condition("Complete"),
    _condition("Failed"),
    before=runtime,
)
KINDS = {kind.name: kind for kind in (JOB, MPIJOB, TRAINJOB)}


def primary_labels(kind: Kind, space: Space) -> dict[str, str]:
    """Labels of the pod whose metrics are read, empty where the default is right."""
    if kind is not TRAINJOB:
        return kind.labels
    several = space.kubernetes.nodes * space.kubernetes.slots > 1
    name = "launcher" if several else "node"
    return {"jobset.sigs.k8s.io/replicatedjob-name": name}


def launches(kind: Kind, space: Space) -> bool:
    """Does the trial program start mpirun?"""
    several = space.kubernetes.nodes * space.kubernetes.slots > 1
    return kind.launches or (kind is TRAINJOB and several)
