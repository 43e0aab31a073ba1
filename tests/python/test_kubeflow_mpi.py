# SPDX-License-Identifier: Apache-2.0
"""examples/kubeflow/mpi: objects as their schemas say, typos caught; what their pods
run is what the commands take, on as many ranks and hosts as the objects have."""

import json
import os
import pathlib
import subprocess

import pytest

yaml = pytest.importorskip("yaml")

import gn2  # noqa: E402
from gn2.cli import common, mpirun  # noqa: E402
from gn2.cli import parser as gn2_parser  # noqa: E402
from gn2.hpo.document import read_all  # noqa: E402
from gn2.hpo.render import kinds, pod  # noqa: E402

from k8s_schemas import kubectl, schemas  # noqa: E402, F401

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "examples/kubeflow/mpi"
PLACES = {
    "mpijob": ["MPIJob"],
    "torch": ["TrainJob"],
    "trainjob": ["ClusterTrainingRuntime", "TrainJob"],
}


def objects(place):
    """By kind."""
    text = kubectl("kustomize", str(FOLDER / place))
    return {d.value["kind"]: d.value for d in read_all(f"{place}.yaml", text)}


def test_every_folder_is_looked_at():
    assert sorted(p.name for p in FOLDER.iterdir() if p.is_dir()) == sorted(PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_as_the_schemas_say(schemas, place):
    found = objects(place)
    assert sorted(found) == PLACES[place]
    rules = sum(schemas.check(item) for item in found.values())
    assert rules > 0 or place == "mpijob"


TYPOS = [
    ("mpijob", "slotsPerWorker", "slotPerWorker"),
    ("mpijob", '"OpenMPI"', '"LAM"'),
    ("mpijob", '"backoffLimit": 4', '"backoffLimit": "four"'),
    ("mpijob", "readinessProbe", "readynessProbe"),
    ("mpijob", '"mountPath": "/data"', '"mountpath": "/data"'),
    ("trainjob", "numProcPerNode", "numProcsPerNode"),
    ("trainjob", '"OpenMPI"', '"MPICH"'),
    ("trainjob", "runLauncherAsNode", "runLauncherAsWorker"),
    ("trainjob", "targetReplicatedJobs", "targetReplicatedJob"),
    ("trainjob", '"onExitCodes"', '"onExitCode"'),
    ("trainjob", '"name": "gn2-mpi"}, "trainer"', '"nam": "gn2-mpi"}, "trainer"'),
    ("torch", '"numNodes": 4', '"numNodes": "4"'),
    ("torch", "runtimePatches", "runtimePatch"),
    ("torch", '"manager"', '"owner"'),
    ("torch", '"securityContext": {"allow', '"securitycontext": {"allow'),
]


@pytest.mark.parametrize("place, old, new", TYPOS)
def test_typos_are_caught(schemas, place, old, new):
    text = json.dumps(objects(place), sort_keys=True)
    assert old in text
    with pytest.raises(
        Exception, match="(?i)not valid|unexpected|not of type|required|not one of"
    ):
        for item in json.loads(text.replace(old, new)).values():
            schemas.check(item)


def pods(place):
    """(role, template) of all pods of a folder."""
    for kind, item in objects(place).items():
        if kind == "MPIJob":
            for role, spec in item["spec"]["mpiReplicaSpecs"].items():
                yield role.lower(), spec["template"]
        templates = [item["spec"].get("template")]
        for patch in item["spec"].get("runtimePatches", ()):
            templates.append(patch["trainingRuntimeSpec"]["template"])
        for found in filter(None, templates):
            for job in found["spec"]["replicatedJobs"]:
                yield job["name"], job["template"]["spec"]["template"]


@pytest.mark.parametrize("place", PLACES)
def test_pods_are_as_those_of_searches(place):
    for role, template in pods(place):
        spec = template["spec"]
        (container,) = spec["containers"]
        rights = container["securityContext"]
        assert (rights["runAsUser"], rights["readOnlyRootFilesystem"]) == (1000, True)
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
        mounts = {m["mountPath"] for m in container["volumeMounts"]}
        assert mounts == {"/data", "/output", "/tmp", "/dev/shm"}
        assert spec["terminationGracePeriodSeconds"] == pod.GRACE
        if role == "launcher":
            rows = {row["name"]: row["value"] for row in container["env"]}
            assert rows == kinds.MPI_ENVIRONMENT
        elif place != "torch":
            assert container["args"] == ["-De", "-f", f"{kinds.HOME}/sshd_config"]
            assert container["readinessProbe"]["tcpSocket"]["port"] == kinds.PORT
    keys = [
        v for k, v in walk(list(objects(place).values())) if k == "sshAuthMountPath"
    ]
    assert keys == ([] if place == "torch" else [kinds.SSH])


def walk(value):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield key, item
        if isinstance(item, (dict, list)):
            yield from walk(item)


def command(place):
    """(what starts the training, ranks, hosts)"""
    found = objects(place)
    if place == "mpijob":
        spec = found["MPIJob"]["spec"]
        roles = spec["mpiReplicaSpecs"]
        hosts = sum(role["replicas"] for role in roles.values())
        (main,) = roles["Launcher"]["template"]["spec"]["containers"]
        return main["command"], hosts * spec["slotsPerWorker"], hosts
    trainer = found["TrainJob"]["spec"]["trainer"]
    hosts = trainer["numNodes"]
    return trainer["command"], hosts * trainer["numProcPerNode"], hosts


@pytest.fixture
def told(tmp_path):
    """Runs a command where programs keep what they are told; (words, environment)."""
    for name in ("gn2", "gn2-mpirun"):
        program = tmp_path / name
        keep = f'printf "%s\\n" {name} "$@" >{tmp_path}/words; env >{tmp_path}/env'
        program.write_text(f"#!/bin/sh\n{keep}\n", encoding="utf-8")
        program.chmod(0o755)

    def call(words, **more):
        words = [word.replace("/output/run", str(tmp_path / "run")) for word in words]
        env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **more}
        subprocess.run(words, env=env, check=True)
        files = (tmp_path / "words", tmp_path / "env")
        return [path.read_text(encoding="utf-8").splitlines() for path in files]

    return call


def is_a_fit(words):
    """The command takes them, and the library the options."""
    plain, settings = common.split(words)
    args = gn2_parser().parse_args(plain)
    config = gn2.Config()
    for key, value in settings:
        config.set_text(key, value)
    return args, config


@pytest.mark.parametrize("place", ["mpijob", "trainjob"])
def test_launchers_start_the_ranks_that_are_there(place, told, tmp_path):
    given, ranks, hosts = command(place)
    (program, *words), _ = told(given)
    assert program == "gn2-mpirun"
    args = mpirun.parser().parse_args(words)
    assert (args.n, args.expect_hosts, args.hostfile) == (ranks, hosts, kinds.HOSTS)
    assert args.command[0] == "gn2"
    fit, config = is_a_fit(args.command[1:])
    assert fit.force and not fit.resume and fit.out == str(tmp_path / "run")
    shards = config["train.shards"] / ranks
    assert shards in (1, 2, 4, 8) and config["group.timeout"] > 0
    (tmp_path / "run").mkdir()
    (tmp_path / "run/checkpoint.gn2").write_text("")
    (program, *words), _ = told(given)
    fit, _ = is_a_fit(mpirun.parser().parse_args(words).command[1:])
    assert fit.resume and not fit.force


def test_pods_of_torch_know_their_rank(told):
    given, ranks, hosts = command("torch")
    names = {
        "NODE_RANK": "3",
        "NNODES": "4",
        "MASTER_ADDR": "a",
        "MASTER_PORT": "29400",
    }
    words, lines = told(given, **{f"PET_{k}": v for k, v in names.items()})
    assert words[:4] == ["gn2", "fit", "--group", "torch"]
    assert words[4:8] == ["--expect-ranks", str(ranks), "--expect-hosts", str(hosts)]
    for line in ("RANK=3", "WORLD_SIZE=4", "MASTER_ADDR=a", "MASTER_PORT=29400"):
        assert line in lines
