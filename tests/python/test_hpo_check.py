# SPDX-License-Identifier: Apache-2.0
"""`gn2 hpo check`: metrics files as Katib's collector reads them, and Experiments."""

import json
import os
import pathlib

import pytest

yaml = pytest.importorskip("yaml")

from gn2 import FormatError, cli  # noqa: E402
from gn2.hpo import collector, experiment  # noqa: E402
from gn2.hpo.document import read  # noqa: E402

SPACE = pathlib.Path(__file__).parents[2] / "examples/hpo/rates.yaml"
TIME = "2026-11-28T15:00:00Z"


def test_collector_reads_as_katibs(shared):
    path = shared / "golden/katib/katib_collector.json"
    if not path.is_file():
        pytest.skip(f"no recorded answers of Katib: {path.name}")
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert len(rows) == 39
    for row in rows:
        given = row["Text"], row["Metrics"], row["Format"]
        if "Error" in row:
            with pytest.raises(FormatError):
                collector.collect(*given)
        else:
            assert [list(s) for s in collector.collect(*given)] == row["Log"], given


def found(text, form="TEXT"):
    problems = collector.problems("f", text, ["val_loss"], form)
    return "\n".join(map(str, problems))


@pytest.mark.parametrize(
    "text, form",
    [
        (f"{TIME} step=1 val_loss=0.5\n{TIME} step=2 val_loss=-5e-05\n", "TEXT"),
        (f'{{"timestamp": "{TIME}", "val_loss": "0.5", "step": "1"}}\n', "JSON"),
    ],
)
def test_a_good_file(text, form):
    assert found(text, form) == ""


@pytest.mark.parametrize(
    "text, words",
    [
        ("val_loss=0.5\n", "'val_loss=0.5' is no time"),
        (f"{TIME} val_loss=nan\n", "val_loss=nan: '' is read"),
        (f"{TIME} val_loss=-inf\n", "'-' is read"),
        (f"{TIME} val_loss=0,5\n", "'0' is read"),
        (f"{TIME} val_loss=5.e-3\n", "'5' is read"),
        (f"{TIME} val_loss=1e400\n", "beyond a double"),
        (f"{TIME} val_loss = 0.5\n", "no spaces around ="),
        (f"{TIME} train.val_loss=0.5\n", "val_loss is read"),
        (f"{TIME} val_loss=0.5\n{TIME} val_loss=0.", "f:2: the last line has no end"),
        (f"{TIME} loss=0.5\n", "val_loss never appears"),
        ("", "val_loss never appears"),
        (f"{TIME} val_loss=1 val_loss=2\n", "is there twice"),
        (f"{TIME} step=2 val_loss=1\n{TIME} step=2 val_loss=1\n", "step 2 comes after"),
    ],
)
def test_each_rule_broken_once(text, words):
    assert words in found(text)


@pytest.mark.parametrize(
    "row, words",
    [
        ({"timestamp": TIME, "val_loss": 0.5}, "is no string and is passed over"),
        ({"timestamp": 1764342000.5, "val_loss": "0.5"}, "is no time"),
        ({"timestamp": TIME, "val_loss": "nan"}, "'nan' is stored"),
    ],
)
def test_each_rule_of_json(row, words):
    assert words in found(json.dumps(row) + "\n", "JSON")
    assert "file is lost" in found(json.dumps(row) + '\n{"a\n', "JSON")


EXPERIMENT = """\
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {name: rates}
spec:
  objective:
    type: minimize
    objectiveMetricName: val_loss
    metricStrategies: [{name: val_loss, value: latest}]
  algorithm: {algorithmName: multivariate-tpe}
  parallelTrialCount: 3
  maxTrialCount: 12
  maxFailedTrialCount: 3
  parameters:
  - name: rate
    parameterType: double
    feasibleSpace: {min: "1e-4", max: "0.1", distribution: logUniform}
  - name: layers
    parameterType: int
    feasibleSpace: {min: "2", max: "6"}
  metricsCollectorSpec:
    collector: {kind: File}
    source: {fileSystemPath: {path: /katib/metrics.log, kind: File, format: TEXT}}
  trialTemplate:
    primaryContainerName: trial
    trialParameters:
    - {name: rate, reference: rate}
    - {name: layers, reference: layers}
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        podFailurePolicy: {rules: []}
        template:
          spec:
            containers:
            - name: trial
              image: registry/gn2:1.0
              command: [gn2, "rate=${trialParameters.rate}",
                        "layers=${trialParameters.layers}"]
"""


def problems(text):
    found = experiment.problems(read("e.yaml", text))
    return "\n".join(str(problem) for problem in found)


def test_a_good_experiment():
    assert problems(EXPERIMENT) == ""


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("parallelTrialCount", "paralellTrialCount", "did you mean parallelTrialCount"),
        ('min: "1e-4"', "min: 0.0001", "0.0001 is no string"),
        ("name: rates", "name: GN2_rates", "a letter first"),
        ("type: minimize", "type: minimise", "neither minimize nor maximize"),
        ("TrialCount: 3\n  max", "TrialCount: 30\n  max", "30 is above maxTrialCount"),
        ("multivariate-tpe", "tpe", "same trial again"),
        ("multivariate-tpe", "tpe2", "is not known"),
        ("multivariate-tpe", "cmaes", "takes logUniform for uniform"),
        ("multivariate-tpe", "cmaes", "needs two doubles"),
        ("multivariate-tpe", "grid", "grid needs the step"),
        ('max: "6"', 'max: "2"', "is not below"),
        ("name: layers\n    p", "name: rate\n    p", "rate is there twice"),
        ("kind: File}", "kind: StdOut}", "run again by sh"),
        ("path: /katib", "path: katib", "not absolute"),
        ("reference: layers", "reference: layer", "did you mean layers"),
        ("trialParameters.rate}", "trialParameters.rat}", "rat is no trialParameter"),
        ("trialParameters.rate}", "trialParameters.rat}", "rate is not used"),
        ("primaryContainerName: trial", "primaryContainerName: t", "none is named 't'"),
        ("command:", "args:", "no `command`"),
        ("kind: Job", "kind: MPIJob", "primaryPodLabels are wrong for MPIJob"),
        ("kind: Job\n", "kind: Job\n      metadata: {name: a}\n", "given by Katib"),
        ("podFailurePolicy: {rules: []}", "backoffLimit: 2", "2 and 3 are tried again"),
        ("kind: Job", "kind: MPIJob", "has no podFailurePolicy, it would be dropped"),
        ("kind: Job", "kind: MPIJob", "tried again, 6 times"),
    ],
)
def test_each_rule_of_the_webhook(old, new, words):
    assert EXPERIMENT.count(old) >= 1
    text = EXPERIMENT.replace(old, new, 1)
    assert words in problems(text)
    assert problems(text).startswith("e.yaml:")


def test_command(tmp_path, capsys):
    good, bad, log = (tmp_path / name for name in ("good.yaml", "bad.yaml", "m.log"))
    good.write_text(EXPERIMENT, encoding="utf-8")
    bad.write_text(EXPERIMENT.replace("rate}", "rat}"), encoding="utf-8")
    log.write_text(f"{TIME} step=1 val_loss=0.5\n", encoding="utf-8")
    assert cli.main(["hpo", "check", str(SPACE), "--engine", "katib"]) == 0
    assert cli.main(["hpo", "check", "--experiment", str(good)]) == 0
    assert cli.main(["hpo", "check", str(SPACE), "--metrics", str(log)]) == 0
    assert "0 wrong" in capsys.readouterr().out
    assert cli.main(["hpo", "check", "--experiment", str(bad)]) == 1
    assert cli.main(["hpo", "check", str(SPACE), "--engine", "optimizationjob"]) == 1
    assert "does not do tpe" in capsys.readouterr().out
    assert cli.main(["hpo", "check", "--experiment", str(SPACE)]) == 1
    assert cli.main(["hpo", "check"]) == 1
    assert cli.main(["hpo", "check", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in capsys.readouterr().err


def test_what_has_no_end_is_refused_and_pipes_are_read(tmp_path, capsys):
    for words in (["/dev/zero"], ["--experiment", "/dev/zero"]):
        assert cli.main(["hpo", "check", *words]) == 1
        assert "/dev/zero: holds more than 1 MiB" in capsys.readouterr().out
    assert cli.main(["hpo", "check", "--metrics", "/dev/zero"]) == 1
    assert "/dev/zero: holds more than 64 MiB" in capsys.readouterr().out
    log = tmp_path / "m.log"
    log.write_text("val_loss" * 100_000 + "\n", encoding="utf-8")
    assert cli.main(["hpo", "check", "--metrics", str(log)]) == 1
    assert "m.log:1: a line of 800000 characters" in capsys.readouterr().out
    read, write = os.pipe()
    os.write(write, f"{TIME} step=1 val_loss=0.5\n".encode())
    os.close(write)
    assert cli.main(["hpo", "check", "--metrics", f"/dev/fd/{read}"]) == 0
    os.close(read)
