# SPDX-License-Identifier: Apache-2.0
"""Objects of Kubernetes: as their schemas say, and as the search is meant."""

import json
import math
import shlex

import pytest

yaml = pytest.importorskip("yaml")

from gn2 import InvalidArgument, cli  # noqa: E402
from gn2.hpo import algorithms, experiment, reader, render  # noqa: E402
from gn2.hpo.document import SpaceError, read_all  # noqa: E402
from gn2.cli import mpirun  # noqa: E402
from gn2.hpo.render import kinds, pod  # noqa: E402
from gn2.hpo.render.kinds import KINDS  # noqa: E402

from k8s_schemas import jsonschema, schemas  # noqa: E402, F401

REALS = """
  rate: {key: schedule.max, type: real, min: 1e-4, max: 0.1, scale: log}
  start: {key: schedule.initial, type: real, min: 1e-7, max: 1e-5, scale: log}
"""
MIXED = """
  rate: {key: schedule.max, type: real, min: 1e-4, max: 0.1, scale: log}
  warm: {key: schedule.pct_start, type: real, min: 0.01, max: 0.5}
  drop: {key: model.dropout_ffn, type: real, min: 0, max: 0.3, step: 0.1}
  layers: {key: model.num_layers, type: integer, min: 2, max: 6, step: 2}
  order: {key: data.sampling, type: choice, values: [jets, sequential]}
"""
CELLS = """
  start: {key: schedule.initial, type: choice, values: [1e-7, 1e-5]}
  rate: {key: schedule.max, type: choice, values: [1e-4, 1e-3, 1e-2]}
"""
#: parameters an algorithm can do, and the number of its trials
PARAMETERS = {"grid": (CELLS, 6), "cmaes": (REALS, 12), "sobol": (REALS, 16)}
PARAMETERS["gp"] = (REALS, 12)
SPACE = """\
gn2_space: 1
name: rates
algorithm: {{name: {algorithm}, seed: 7}}
pruning: {pruning}
parameters: {parameters}
data: {{train: [jets_train.h5], val: [jets_val.h5]}}
budget: {{steps: 100, validate_steps: 10}}
trials: {trials}
kubernetes:
  image: registry/gn2:1.0
  nodes: {nodes}
  slots: {nodes}
  volumes:
  - {{name: data, mount: /data, persistentVolumeClaim: {{claimName: a}}}}
  - {{name: output, mount: /output, persistentVolumeClaim: {{claimName: b}}}}
"""


def space(algorithm="tpe", pruning="none", nodes=1, parameters=None):
    usual, trials = PARAMETERS.get(algorithm, (MIXED, 12))
    text = SPACE.format(
        algorithm=algorithm,
        pruning="{name: median}" if pruning == "median" else pruning,
        parameters=parameters or usual,
        trials=trials,
        nodes=nodes,
    )
    return reader.load("space.yaml", text)


def objects(found):
    """Through the text, as a cluster gets them."""
    return [document.value for document in read_all("r.yaml", render.text(found))]


def of_kind(found, kind):
    (item,) = (item for item in found if item["kind"] == kind)
    return item


#: what may be trials in several pods
MPI = [("katib", "mpijob"), ("katib", "trainjob")]
#: the kind of engines that have one only
OTHER = {"optimizationjob": "trainjob", "job": "job"}
CASES = [
    (engine, kind, row.name, nodes)
    for row in algorithms.ALGORITHMS.values()
    for engine, (_, table) in render.ENGINES.items()
    for kind in (KINDS if engine == "katib" else [OTHER[engine]])
    for nodes in ([1, 2] if row.name == "random" and (engine, kind) in MPI else [1])
    if row.named(table) and not row.prunes
]


@pytest.mark.parametrize("engine, kind, algorithm, nodes", CASES)
def test_as_the_schemas_say(schemas, engine, kind, algorithm, nodes):
    pruning = "median" if engine == "katib" else "none"
    given = space(algorithm, pruning, nodes)
    found = objects(render.objects(given, engine, kind))
    for item in found:
        schemas.check(item)
    if engine == "katib":
        text = render.text(render.objects(given, engine, kind))
        documents = read_all("r.yaml", text)
        lint = [
            p
            for d in documents
            if experiment.is_experiment(d)
            for p in experiment.problems(d)
        ]
        assert not lint, "\n".join(map(str, lint))


#: (engine, kind of trial, text, text with a typo)
TYPOS = [
    ("katib", "job", "parallelTrialCount", "paralellTrialCount"),
    ("katib", "job", "objectiveMetricName", "objectiveMetric"),
    ("katib", "job", "min: '0.0001'", "min: 0.0001"),
    ("katib", "job", "restartPolicy", "restartPolicies"),
    ("katib", "job", "podFailurePolicy", "podFailurePolicies"),
    ("katib", "job", "mountPath: /data", "mountPath: [/data]"),
    ("katib", "mpijob", "slotsPerWorker: 2", "slotsPerWorker: two"),
    ("katib", "mpijob", "mpiImplementation: OpenMPI", "mpiImplementation: LAM"),
    ("katib", "mpijob", "runPolicy", "runPolicies"),
    ("katib", "trainjob", "numNodes", "numNode"),
    ("katib", "trainjob", "numProcPerNode: 2", "numProcPerNode: {}"),
    ("katib", "trainjob", "mlPolicy", "mlPolicies"),
    ("optimizationjob", "", "numTrials", "numTrial"),
    ("optimizationjob", "", "direction: Minimize", "direction: minimize"),
    ("optimizationjob", "", "parallelTrials: 2", "parallelTrials: 20"),
    ("optimizationjob", "", "min: '0.0001'", "min: '0'"),
    ("job", "", "completionMode", "completionModes"),
    ("job", "", "backoffLimit: 6", "backoffLimit: six"),
    ("job", "", "containerName: worker", "container: worker"),
]


@pytest.mark.parametrize("engine, kind, old, new", TYPOS)
def test_typos_are_caught(schemas, engine, kind, old, new):
    algorithm = "random" if engine == "optimizationjob" else "tpe"
    nodes = 2 if (engine, kind) in MPI else 1
    text = render.text(render.objects(space(algorithm, nodes=nodes), engine, kind))
    assert old in text
    documents = read_all("r.yaml", text.replace(old, new))
    with pytest.raises(Exception) as failure:
        for document in documents:
            schemas.check(document.value)
    assert "Validation" in type(failure.value).__name__ or isinstance(
        failure.value, (AssertionError, jsonschema.ValidationError)
    )


def katib(**more):
    kind = more.pop("kind", "job")
    found = objects(render.objects(space(**more), "katib", kind))
    return of_kind(found, "Experiment")["spec"]


def parameters(spec):
    return {row["name"]: row for row in spec["parameters"]}


def test_log_scales_are_kept_or_rendered_as_logarithms():
    rate = parameters(katib())["rate"]
    assert rate["parameterType"] == "double"
    assert rate["feasibleSpace"]["distribution"] == "logUniform"
    for algorithm in ("cmaes", "sobol"):
        found = parameters(katib(algorithm=algorithm))["log2_rate"]["feasibleSpace"]
        assert "distribution" not in found
        assert float(found["min"]) == math.log2(1e-4)
        assert float(found["max"]) == math.log2(0.1)


def test_values_that_reach_the_trial_program_are_values_of_the_space():
    """What a service may draw, through tokens and words, and back."""
    for algorithm in ("random", "grid", "tpe", "cmaes", "sobol", "gp"):
        given = space(algorithm)
        drawn = {}
        for name, row in parameters(katib(algorithm=algorithm)).items():
            feasible = row["feasibleSpace"]
            drawn[name] = feasible.get("list", [feasible.get("max")])[-1]
        values = given.values(drawn)
        assert set(values) == {p.name for p in given.parameters}


def test_the_command_is_a_list_with_every_parameter():
    spec = katib()["trialTemplate"]
    trial = spec["trialSpec"]["spec"]["template"]["spec"]
    command = trial["containers"][0]["command"]
    assert command[:4] == ["gn2", "hpo", "trial", pod.SPACE]
    assert "rate=${trialParameters.rate}" in command
    assert "/output/${trialParameters.trialName}" in command
    assert trial["terminationGracePeriodSeconds"] > 10
    found = trial["containers"][0]["resources"]
    assert found["requests"] == found["limits"]


def test_words_survive_the_shell():
    """Katib joins the command by spaces and gives it to sh."""
    order = "{key: data.sampling, type: choice, values: [jets, sequential]}"
    inputs = "{key: inputs.jets, type: choice, values: ['pt', 'pt, eta']}"
    given = space(nodes=2, parameters=MIXED.replace(order, inputs))
    found = objects(render.objects(given, "katib", "mpijob"))
    spec = of_kind(found, "Experiment")["spec"]["trialTemplate"]["trialSpec"]["spec"]
    start = spec["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]
    text = " ".join(start["command"]).replace("${trialParameters.order}", "pt, eta")
    words = shlex.split(text)
    assert words[words.index("--launch") + 1].startswith("gn2-mpirun --hostfile")
    assert "order=pt, eta" in words


@pytest.mark.parametrize(
    "kind, container, label",
    [
        ("job", "trial", None),
        ("mpijob", "trial", "training.kubeflow.org/job-role"),
        ("trainjob", "node", "jobset.sigs.k8s.io/replicatedjob-name"),
    ],
)
def test_metrics_are_read_where_they_are_written(kind, container, label):
    nodes = 2 if ("katib", kind) in MPI else 1
    spec = katib(kind=kind, nodes=nodes)["trialTemplate"]
    assert spec["primaryContainerName"] == container
    labels = spec.get("primaryPodLabels", {})
    assert list(labels) == ([label] if label else [])
    assert set(labels.values()) <= {"launcher"}


def test_early_stopping_begins_where_the_space_says():
    found = katib(pruning="median")["earlyStopping"]
    settings = {row["name"]: row["value"] for row in found["algorithmSettings"]}
    assert settings == {"min_trials_required": "5", "start_step": "5"}


def test_the_space_of_the_pods_is_the_space():
    given = space()
    item = of_kind(objects(render.objects(given, "katib")), "ConfigMap")
    inner = reader.load("s.yaml", item["data"]["space.yaml"])
    assert inner.train == ("/data/jets_train.h5",)
    assert inner.parameters == given.parameters
    assert json.loads(item["data"]["space.yaml"])["budget"]["steps"] == 100


def test_what_an_engine_cannot_do_is_refused():
    with pytest.raises(SpaceError, match="space.yaml:3: algorithm: optimizationjob"):
        render.objects(space("tpe"), "optimizationjob")
    with pytest.raises(SpaceError, match="linear"):
        render.objects(space("gp", parameters=MIXED), "katib")
    with pytest.raises(InvalidArgument, match="pods of a Job"):
        render.objects(space(), "job", "mpijob")
    with pytest.raises(InvalidArgument, match="none of katib"):
        render.objects(space(), "ray")
    for engine in ("katib", "job"):
        with pytest.raises(
            InvalidArgument, match="nodes = 2, slots = 2, .*one process"
        ):
            render.objects(space(nodes=2), engine)
    bare = SPACE.format(
        algorithm="tpe", pruning="none", parameters=MIXED, trials=12, nodes=1
    )
    bare = bare[: bare.index("  volumes")].replace("image", "# image")
    with pytest.raises(SpaceError) as failure:
        render.objects(reader.load("s.yaml", bare + "  cpu: 1\n"), "job")
    assert "no `image`" in str(failure.value)
    assert "data = /data is on no volume" in str(failure.value)


def test_command(tmp_path, capsys):
    path, out = tmp_path / "space.yaml", tmp_path / "out.yaml"
    path.write_text(
        SPACE.format(
            algorithm="tpe", pruning="none", parameters=MIXED, trials=12, nodes=1
        ),
        encoding="utf-8",
    )
    assert cli.main(["hpo", "render", str(path), "-o", str(out)]) == 0
    assert cli.main(["hpo", "check", "--experiment", str(out)]) == 0
    assert cli.main(["hpo", "render", str(path), "-o", str(out)]) == 1
    assert "--force" in capsys.readouterr().err
    assert cli.main(["hpo", "render", str(path), "--engine", "job"]) == 0
    assert "kind: Job" in capsys.readouterr().out


def pods(value):
    """Templates of pods in an object, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("spec"), dict) and "containers" in value["spec"]:
            yield value
        for inner in value.values():
            yield from pods(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pods(inner)


def every_pod():
    for engine, kind, algorithm, nodes in CASES:
        if algorithm == "random":
            for item in objects(
                render.objects(space("random", nodes=nodes), engine, kind)
            ):
                yield from ((engine, kind, nodes, pod) for pod in pods(item))


def test_pods_may_do_no_more_than_they_need():
    """As the restricted profile of pod security says, and somewhat more."""
    seen = 0
    for *_, item in every_pod():
        spec = item["spec"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
        assert spec["automountServiceAccountToken"] is False
        assert spec["restartPolicy"] == "Never"
        assert item["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
        names = {volume["name"] for volume in spec["volumes"]}
        assert len(names) == len(spec["volumes"])
        for container in spec["containers"]:
            rights = container["securityContext"]
            assert rights["runAsNonRoot"] and rights["readOnlyRootFilesystem"]
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["capabilities"] == {"drop": ["ALL"]}
            paths = [mount["mountPath"] for mount in container["volumeMounts"]]
            assert len(set(paths)) == len(paths) and "/tmp" in paths
            assert {mount["name"] for mount in container["volumeMounts"]} <= names
        seen += 1
    assert seen == 9


def test_katib_finds_its_container_in_every_pod_of_a_trial():
    for kind in KINDS:
        nodes = 2 if ("katib", kind) in MPI else 1
        spec = katib(kind=kind, nodes=nodes, algorithm="random")["trialTemplate"]
        for item in pods(spec["trialSpec"]):
            names = [container["name"] for container in item["spec"]["containers"]]
            assert spec["primaryContainerName"] in names
    text = render.text(render.objects(space(nodes=2), "katib", "mpijob"))
    worker = text.index(" Worker:\n")
    other = text[:worker] + text[worker:].replace("- name: trial\n", "- name: w\n")
    (found,) = (d for d in read_all("r.yaml", other) if experiment.is_experiment(d))
    (problem,) = experiment.problems(found)
    assert "none is named 'trial'" in str(problem)


@pytest.mark.parametrize("kind", ["mpijob", "trainjob"])
def test_ranks_have_hosts_memory_and_open_mpi_5(kind):
    found = objects(render.objects(space("random", nodes=2), "katib", kind))
    templates = [pod for item in found for pod in pods(item)]
    assert len(templates) == 2
    words = []
    for item in templates:
        (container,) = item["spec"]["containers"]
        mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
        (shared,) = (
            v for v in item["spec"]["volumes"] if v["name"] == mounts["/dev/shm"]
        )
        assert shared["emptyDir"] == {"medium": "Memory"}
        words += [row["name"] for row in container.get("env", [])]
    assert "PRTE_MCA_prte_default_hostfile" in words
    # these are the operators': Trainer refuses a TrainJob that has them
    assert not [word for word in words if "orte" in word or "plm_rsh" in word]
    text = json.dumps(found)
    words = "gn2-mpirun --hostfile /etc/mpi/hostfile -n 4 --expect-hosts 2"
    assert words in text


def test_launchers_are_words_that_gn2_mpirun_takes():
    for kind in ("mpijob", "trainjob"):
        text = kinds.launcher(KINDS[kind], space("random", nodes=2))
        program, *words = shlex.split(text)
        args = mpirun.parser().parse_args([*words, "python3", "-m", "gn2", "-n"])
        assert (program, args.hostfile) == ("gn2-mpirun", kinds.HOSTS)
        assert (args.n, args.expect_hosts) == (4, 2)
        assert args.command == ["python3", "-m", "gn2", "-n"]


def test_launcher_of_one_node():
    text = SPACE.format(
        algorithm="random", pruning="none", parameters=MIXED, trials=12, nodes=1
    )
    given = reader.load("s.yaml", text.replace("slots: 1", "slots: 3"))
    found = objects(render.objects(given, "katib", "mpijob"))
    spec = of_kind(found, "Experiment")["spec"]["trialTemplate"]["trialSpec"]["spec"]
    assert list(spec["mpiReplicaSpecs"]) == ["Launcher"]
    assert spec["mpiReplicaSpecs"]["Launcher"]["restartPolicy"] == "Never"
    found = objects(render.objects(given, "katib", "trainjob"))
    # Trainer would start a second pod for a policy of MPI
    assert "mpi" not in of_kind(found, "TrainingRuntime")["spec"]["mlPolicy"]
    assert "gn2-mpirun -n 3 --expect-hosts 1" in json.dumps(found)


def test_trials_of_an_optimizationjob_keep_their_folder_and_tell():
    found = objects(render.objects(space("random"), "optimizationjob"))
    job = of_kind(found, "OptimizationJob")["spec"]["trainJobTemplate"]
    trainer = job["spec"]["trainer"]
    command = trainer["command"]
    (row,) = trainer["env"]
    assert f"/output/$({row['name']})" in command
    path = row["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['jobset.sigs.k8s.io/jobset-name']"
    assert command[-2:] == ["--log", "trainjob"] and "--metrics-file" not in command
    with pytest.raises(InvalidArgument, match="nodes = 2: rank 0"):
        render.objects(space("random", nodes=2), "optimizationjob")


def test_volumes_that_are_in_the_way():
    text = SPACE.format(
        algorithm="tpe", pruning="none", parameters=MIXED, trials=12, nodes=1
    )
    for old, new, what in (
        ("mount: /data", "mount: /tmp", "/tmp hides"),
        ("name: data", "name: gn2-tmp", "gn2-tmp is a volume of ours"),
        ("name: data", "name: output", "two volumes have name output"),
        ("mount: /data", "mount: /output", "two volumes have mount /output"),
    ):
        with pytest.raises(SpaceError, match=what):
            render.objects(reader.load("s.yaml", text.replace(old, new, 1)), "katib")
