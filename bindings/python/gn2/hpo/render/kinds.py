# SPDX-License-Identifier: Apache-2.0
"""What a trial is on a cluster: the table of kinds, each with the object it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..experiment import RETRIES
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
#: of the launcher: the operators tell Open MPI 4 where its hosts are, but not 5, which
#: would start all ranks beside itself; copies between processes are refused in pods
MPI_ENVIRONMENT = {
    "PRTE_MCA_prte_default_hostfile": HOSTS,
    "PRTE_MCA_plm_ssh_args": "-o ConnectionAttempts=10",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}


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
    #: objects that must be there before
    before: Callable[[Space], list[Object]] = lambda _: []


def _condition(name: str) -> str:
    """Of Katib: how a trial's end is known."""
    return f'status.conditions.#(type=="{name}")#|#(status=="True")#'


def ranks(space: Space) -> int:
    return space.kubernetes.nodes * space.kubernetes.slots


def launcher(kind: Kind, space: Space) -> str:
    """How ranks are started; empty: the trial is one process.

    By gn2-mpirun: it waits for the hosts, names them as each MPI wants it, and ranks on
    fewer of them do not train.
    """
    alone = kind is TRAINJOB and space.kubernetes.nodes == 1  # no operator's hosts
    if kind is JOB or (alone and ranks(space) == 1):
        return ""
    hosts = "" if alone else f"--hostfile {HOSTS} "
    expected = f"--expect-hosts {space.kubernetes.nodes}"
    return f"gn2-mpirun {hosts}-n {ranks(space)} {expected}"


def _with_mpi(template: Object) -> Object:
    """A pod whose ranks share memory; a container runtime gives 64 MB of it."""
    spec = template["spec"]
    spec["volumes"].append({"name": pod.SHARED, "emptyDir": {"medium": "Memory"}})
    for item in spec["containers"]:
        item["volumeMounts"].append({"name": pod.SHARED, "mountPath": "/dev/shm"})
    return template


def _main(space: Space, name: str, command: list[str]) -> Object:
    """The container that starts ranks."""
    found = pod.container(space, name, command)
    rows = [{"name": k, "value": v} for k, v in MPI_ENVIRONMENT.items()]
    return {**found, "env": rows}


def _job(space: Space, command: list[str]) -> Object:
    name = JOB.container
    pod.one_process(space, "a Job")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": RETRIES,
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
    cluster, name = space.kubernetes, MPIJOB.container
    # The launcher computes too: it is the first line of the operator's hostfile, so
    # rank 0 runs in its pod. Katib lets no pod of a trial come up that has no container
    # of the primary's name: workers have it too.
    roles = [("Launcher", 1, _main(space, name, command))]
    if cluster.nodes > 1:
        roles.append(("Worker", cluster.nodes - 1, _sshd(space, name)))
    replicas: Object = {
        role: {
            "replicas": count,
            "restartPolicy": "Never",  # what the template says is not looked at
            "template": _with_mpi(pod.template(space, [item])),
        }
        for role, count, item in roles
    }
    return {
        "apiVersion": "kubeflow.org/v2beta1",
        "kind": "MPIJob",
        "spec": {
            "slotsPerWorker": cluster.slots,
            "runLauncherAsWorker": True,
            "sshAuthMountPath": SSH,
            "launcherCreationPolicy": "WaitForWorkersReady",
            "mpiImplementation": "OpenMPI",
            "runPolicy": {"cleanPodPolicy": "Running", "backoffLimit": RETRIES},
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
    if cluster.nodes > 1:
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
    """The replicated job that runs the trial program."""
    step = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    job: Object = {
        "backoffLimit": RETRIES,
        "podFailurePolicy": pod.failure_policy("node"),
        "template": template,
    }
    inner = {"metadata": {"labels": step}, "spec": job}
    return {"name": name, **more, "template": inner}


def _over_hosts(space: Space) -> tuple[Object, Object]:
    """(policy, set of jobs) of a runtime for trials in several pods.

    The hostfile has hosts in the order of the replicated jobs. That cannot be turned
    round, for the launcher waits for the nodes, and so comes behind them: rank 0 runs
    in the first node, not in the launcher, whose metrics file is read; --launch writes
    that from rank 0's lines.
    """
    cluster = space.kubernetes
    worker = _with_mpi(pod.template(space, [_sshd(space, "node")]))
    main = _with_mpi(pod.template(space, [_main(space, "node", ["gn2"])]))
    ready = {"dependsOn": [{"name": "node", "status": "Ready"}]}
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
        "successPolicy": {"operator": "All", "targetReplicatedJobs": ["launcher"]},
        "replicatedJobs": [
            {"name": "node", "template": {"spec": {"template": worker}}},
            _replicated("launcher", main, **ready),
        ],
    }
    return policy, jobs


def runtime(space: Space) -> list[Object]:
    """The TrainingRuntime that a TrainJob refers to; its containers are all `node`."""
    if space.kubernetes.nodes > 1:
        policy, jobs = _over_hosts(space)
    else:
        main = pod.template(space, [pod.container(space, "node", ["gn2"])])
        if ranks(space) > 1:
            main = _with_mpi(main)
        policy, jobs = {"numNodes": 1}, {"replicatedJobs": [_replicated("node", main)]}
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
    "trial",
    _condition("Succeeded"),
    _condition("Failed"),
    {"training.kubeflow.org/job-role": "launcher"},
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
    name = "launcher" if space.kubernetes.nodes > 1 else "node"
    return {"jobset.sigs.k8s.io/replicatedjob-name": name}
