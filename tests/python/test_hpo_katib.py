# SPDX-License-Identifier: Apache-2.0
"""Rendered Experiments, from the service's suggestions to the last answer, without a
cluster. GN2_KATIB_SUGGESTION=host:port names a real service instead of the stand-in."""

import json
import os
import pathlib
import sys

import pytest

yaml = pytest.importorskip("yaml")
pytest.importorskip("grpc")

ROOT = pathlib.Path(__file__).resolve().parents[2]
HARNESS = ROOT / "tests/katib"
sys.path.insert(0, str(HARNESS))
import stubs  # noqa: E402

try:
    stubs.load()
except ImportError as problem:
    pytest.skip(f"no stubs of Katib: {problem}", allow_module_level=True)

import driver  # noqa: E402
import standin  # noqa: E402
from google.protobuf import json_format  # noqa: E402
from gn2 import cli  # noqa: E402
from gn2.hpo import katib_trials, reader, render  # noqa: E402

DATA = ROOT / "examples/data"
FAKE = [sys.executable, str(HARNESS / "fake_trial.py")]
REAL = [sys.executable, "-m", "gn2"]
REALS = """
  rate: {key: schedule.max, type: real, min: 1e-4, max: 0.1, scale: log}
  warm: {key: schedule.pct_start, type: real, min: 0.01, max: 0.5}
"""
CELLS = """
  start: {key: schedule.initial, type: choice, values: [1e-7, 1e-5]}
  rate: {key: schedule.max, type: choice, values: [1e-4, 1e-3, 1e-2]}
"""
SPACE = """\
gn2_space: 1
name: rates
algorithm: {{name: {algorithm}}}
pruning: {pruning}
parameters: {parameters}
options: {{model.embed_dim: 16, model.num_heads: 2, model.num_layers: 1,
          data.batch_size: 100}}
data: {{train: [jets_train.h5], val: [jets_val.h5]}}
budget: {{steps: 10, validate_steps: 1}}
trials: {trials}
kubernetes:
  image: registry/gn2:1.0
  parallel: 3
  failures: {failures}
  volumes:
  - {{name: data, mount: /data, persistentVolumeClaim: {{claimName: a}}}}
  - {{name: output, mount: /output, persistentVolumeClaim: {{claimName: b}}}}
"""


@pytest.fixture
def service():
    made = []

    def make(fault="", after=0):
        made.append(standin.serve(standin.Service(fault, after)))
        return made[-1][1]

    yield make
    for server, _ in made:
        server.stop(0)


def experiment(algorithm="random", pruning="none", parameters=REALS, **more):
    trials, failures = more.pop("trials", 12), more.pop("failures", 3)
    text = SPACE.format(
        algorithm=algorithm,
        pruning=pruning,
        parameters=parameters,
        trials=trials,
        failures=failures,
    )
    return render.objects(reader.load("space.yaml", text), "katib")


def run(objects, address, folder, program=FAKE, **more):
    found = driver.Driver(objects, address, folder, DATA, program, **more)
    return found.run()


def values(trials):
    return [tuple(a["value"] for a in trial.assignments) for trial in trials]


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_an_experiment_succeeds(service, tmp_path, algorithm):
    address = os.environ.get("GN2_KATIB_SUGGESTION") or service()
    trials = run(experiment(algorithm), address, tmp_path)
    assert [trial.condition for trial in trials] == ["SUCCEEDED"] * 12
    assert len(set(values(trials))) == 12
    for trial in trials:
        assert [s.name for s in trial.samples].count("val_loss") == 10
        assert trial.observation[0]["value"] == trial.samples[-1].value


def test_a_grid_is_seen_whole(service, tmp_path):
    trials = run(experiment("grid", parameters=CELLS), service(), tmp_path)
    assert len(trials) == 6 and len(set(values(trials))) == 6


def test_behind_trials_are_ended(service, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_PAUSE", "0.1")
    address = service()
    objects = experiment(pruning="{name: median, startup: 3}", trials=12)
    trials = run(objects, address, tmp_path, stopping=address)
    conditions = [trial.condition for trial in trials]
    assert set(conditions) == {"SUCCEEDED", "EARLYSTOPPED"}
    for trial in trials:
        steps = [s.name for s in trial.samples].count("val_loss")
        # the rule holds from half of the steps on
        assert steps == 10 if trial.condition == "SUCCEEDED" else 5 <= steps <= 10


@pytest.mark.parametrize(
    "fault, words",
    [
        ("too few", "2 suggestions instead of 3"),
        ("too many", "4 suggestions instead of 3"),
        ("error", "could not convert string to float"),
        ("other names", "rate_"),
        ("silence", "DEADLINE_EXCEEDED"),
    ],
)
def test_a_service_that_answers_badly_ends_it_with_the_reason(
    service, tmp_path, fault, words
):
    with pytest.raises(driver.ExperimentFailed, match=words):
        run(experiment(), service(fault), tmp_path, timeout=1.5)


def test_trials_twice_are_seen(service, tmp_path):
    trials = run(experiment(), service("duplicates"), tmp_path)
    assert len(set(values(trials))) < 12


@pytest.mark.parametrize(
    "mode, condition", [("empty", "METRICSUNAVAILABLE"), ("fail", "FAILED")]
)
def test_failures_are_kept_apart(service, tmp_path, monkeypatch, mode, condition):
    monkeypatch.setenv("FAKE_TRIAL", mode)
    objects = experiment(trials=3, failures=3)
    trials = run(objects, service(), tmp_path)
    assert [trial.condition for trial in trials] == [condition] * 3


def test_more_failures_than_allowed_end_it(service, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_TRIAL", "fail")
    with pytest.raises(driver.ExperimentFailed, match="trials failed"):
        run(experiment(trials=12, failures=2), service(), tmp_path)


def test_exported_trials_are_those_of_the_report(service, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    address, text = service(), SPACE.format(
        algorithm="sobol", pruning="none", parameters=REALS, trials=16, failures=3
    )
    space = tmp_path / "space.yaml"
    space.write_text(text, encoding="utf-8")
    objects = render.objects(reader.load(space), "katib")
    trials = run(objects, address, tmp_path / "pods")
    export, page = tmp_path / "trials.yaml", tmp_path / "search.html"
    items = [trial.exported("rates") for trial in trials]
    export.write_text(yaml.safe_dump({"kind": "List", "items": items}), "utf-8")
    found = katib_trials.load(export, reader.load(space))
    assert {t.name for t in found} == {trial.name for trial in trials}
    by_name = {trial.name: trial for trial in trials}
    for row in found:
        drawn = {a["name"]: a["value"] for a in by_name[row.name].assignments}
        assert float(row.parameters["rate"]) == 2.0 ** float(drawn["log2_rate"])
        assert row.options["schedule.max"] == row.parameters["rate"]
        assert row.metrics["val_loss"] == float(by_name[row.name].samples[-1].value)
    words = ["hpo", "import", str(export), "--space", str(space), "-o", str(page)]
    assert cli.main(words) == 0
    assert "trials: 16 (16 done)" in capsys.readouterr().out
    best = min(found, key=lambda row: row.metrics["val_loss"])
    assert best.name in page.read_text("utf-8")
    assert cli.main(words) == 1


# ---- against what Katib's own services answered ----


def recorded(shared):
    path = shared / "golden/katib/katib_services.jsonl"
    if not path.is_file():
        pytest.skip("no recorded answers of Katib")
    text = path.read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == 46
    # hyperband is never rendered
    return [row for row in rows if "hyperband" not in row["label"]]


def test_the_stand_in_answers_as_the_services_did(shared, service):
    messages, services = stubs.load()
    import grpc

    for row in recorded(shared):
        stub = services.SuggestionStub(grpc.insecure_channel(service()))
        kind = getattr(messages, f"{row['call']}Request")
        request = json_format.ParseDict(row["request"], kind())
        try:
            reply = getattr(stub, row["call"])(request, timeout=10)
        except grpc.RpcError as problem:
            assert problem.code().name == row["error"]["code"], row["label"]
            assert problem.details() == row["error"]["details"], row["label"]
            continue
        assert not row.get("error"), row["label"]
        found = json_format.MessageToDict(reply, preserving_proto_field_name=True)
        assert form(found) == form(row["reply"]), row["label"]


def form(reply):
    """Names of the assignments of each suggestion."""
    rows = reply.get("parameter_assignments", [])
    return [[a["name"] for a in row["assignments"]] for row in rows]


def places(value, path=""):
    """Names of all fields that are set."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from places(inner, path)
    else:
        yield path


def test_requests_have_the_fields_of_the_controllers(shared, tmp_path):
    server = standin.Service()
    made, address = standin.serve(server)
    try:
        run(experiment("tpe"), address, tmp_path)
    finally:
        made.stop(0)
    last = json_format.MessageToDict(
        server.requests[-1], preserving_proto_field_name=True
    )
    golden = [
        row["request"]
        for row in recorded(shared)
        if "multivariate-tpe" in row["label"] and row["call"] == "GetSuggestions"
    ][-1]
    missing = set(places(golden)) - set(places(last))
    assert not {place for place in missing if not place.endswith(".list")}
