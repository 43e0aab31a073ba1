# SPDX-License-Identifier: Apache-2.0
"""A harness, no scheduler: does with an Experiment what Katib's controllers do, on this
machine, to test the contract of Experiment, trial program and metrics.

It fills requests to a suggestion service as Katib's controller does, puts values into
the trial's template, runs the command as the webhook rewrites it (joined by spaces, in
sh), reads metrics as the collector does, and answers, until the Experiment is done.
"""

import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import uuid

import grpc
from google.protobuf import json_format

import stubs
from gn2.hpo import collector

TOKEN = re.compile(r"\$\{trialParameters\.([^}]*)\}")
TIMEOUT = 60.0  #: seconds of a call, Katib's own
DONE = ("SUCCEEDED", "FAILED", "EARLYSTOPPED", "METRICSUNAVAILABLE", "KILLED")
TYPES = {"double": "DOUBLE", "int": "INT", "discrete": "DISCRETE"}
TYPES["categorical"] = "CATEGORICAL"
DISTRIBUTIONS = {"uniform": "UNIFORM", "logUniform": "LOG_UNIFORM"}


class ExperimentFailed(Exception):
    """The Experiment ended without success; the message says why."""


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def settings(rows):
    return [{"name": r["name"], "value": r["value"]} for r in rows or []]


def experiment_fields(item):
    """The Experiment as the controller sends it."""
    spec = item["spec"]
    objective = spec["objective"]
    parameters = []
    for row in spec["parameters"]:
        feasible = dict(row["feasibleSpace"])
        if "distribution" in feasible:
            feasible["distribution"] = DISTRIBUTIONS[feasible["distribution"]]
        parameters.append(
            {
                "name": row["name"],
                "parameter_type": TYPES[row["parameterType"]],
                "feasible_space": feasible,
            }
        )
    fields = {
        "parameter_specs": {"parameters": parameters},
        "objective": {
            "type": objective["type"].upper(),
            "objective_metric_name": objective["objectiveMetricName"],
            "additional_metric_names": objective.get("additionalMetricNames", []),
        },
        "algorithm": {
            "algorithm_name": spec["algorithm"]["algorithmName"],
            "algorithm_settings": settings(spec["algorithm"].get("algorithmSettings")),
        },
        "parallel_trial_count": spec["parallelTrialCount"],
        "max_trial_count": spec["maxTrialCount"],
    }
    if "earlyStopping" in spec:
        stopping = spec["earlyStopping"]
        fields["early_stopping"] = {
            "algorithm_name": stopping["algorithmName"],
            "algorithm_settings": settings(stopping.get("algorithmSettings")),
        }
    return {"name": item["metadata"]["name"], "spec": fields}


class Trial:
    """One trial: its assignments, its process, what was read of it."""

    def __init__(self, name, assignments, rules):
        self.name, self.assignments, self.rules = name, assignments, rules
        self.condition = "CREATED"
        self.observation = []  # {name, value}
        self.samples = []
        self.started = now()
        self.ended = ""

    def fields(self, objective):
        status = {"condition": self.condition, "start_time": self.started}
        if self.ended:
            status["completion_time"] = self.ended
        if self.observation:
            status["observation"] = {"metrics": self.observation}
        return {
            "name": self.name,
            "spec": {
                "objective": objective,
                "parameter_assignments": {"assignments": self.assignments},
            },
            "status": status,
        }

    def exported(self, experiment):
        """As `kubectl get trial -o yaml` shows it."""
        words = {"SUCCEEDED": "Succeeded", "FAILED": "Failed"}
        words.update(
            EARLYSTOPPED="EarlyStopped", METRICSUNAVAILABLE="MetricsUnavailable"
        )
        rows = [
            {**row, "latest": row["value"], "min": row["value"], "max": row["value"]}
            for row in self.observation
        ]
        return {
            "apiVersion": "kubeflow.org/v1beta1",
            "kind": "Trial",
            "metadata": {
                "name": self.name,
                "labels": {"katib.kubeflow.org/experiment": experiment},
            },
            "spec": {"parameterAssignments": self.assignments},
            "status": {
                "startTime": self.started,
                "completionTime": self.ended,
                "conditions": [
                    {"type": "Created", "status": "True"},
                    {"type": "Running", "status": "False"},
                    {"type": words[self.condition], "status": "True"},
                ],
                "observation": {"metrics": rows},
            },
        }


class Pod:
    """Folders of this machine where those of a pod are."""

    def __init__(self, folder, places):
        self.folder = pathlib.Path(folder)
        self.places = dict(places)  # folder in the pod -> folder here

    def local(self, text):
        for there, here in self.places.items():
            text = re.sub(rf"(?<![\w/]){re.escape(there)}(?=/|$|\")", str(here), text)
        return text


class Driver:
    """An Experiment, with the service that suggests its trials.

    Args:
        objects: of the rendered file: ConfigMap and Experiment.
        address: of the suggestion service, host:port.
        folder: for what pods write.
        data: folder with the data files.
        program: words that stand for the command ``gn2``.
        stopping: address of the early stopping service.
        timeout: seconds of a call.
    """

    def __init__(self, objects, address, folder, data, program, **more):
        self.folder = pathlib.Path(folder)
        by_kind = {item["kind"]: item for item in objects}
        self.item = by_kind["Experiment"]
        self.spec = self.item["spec"]
        self.fields = experiment_fields(self.item)
        self.program, self.data = list(program), pathlib.Path(data)
        self.timeout = more.pop("timeout", TIMEOUT)
        self.messages, services = stubs.load()
        self.suggestion = services.SuggestionStub(grpc.insecure_channel(address))
        stopping = more.pop("stopping", None)
        self.stopping = None
        if stopping:
            self.stopping = services.EarlyStoppingStub(grpc.insecure_channel(stopping))
        assert not more, more
        self.trials = []
        self.threads = []
        for name in ("output", "gn2"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        text = by_kind["ConfigMap"]["data"]["space.yaml"]
        text = Pod(self.folder, {"/data": self.data}).local(text)
        (self.folder / "gn2" / "space.yaml").write_text(text, encoding="utf-8")

    # ---- what the controller does ----

    def call(self, method, kind, fields):
        request = json_format.ParseDict(fields, getattr(self.messages, kind)())
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as problem:
            raise ExperimentFailed(
                f"{kind}: {problem.code().name}: {problem.details()}"
            ) from None

    def validate(self):
        request = {"experiment": self.fields}
        method = self.suggestion.ValidateAlgorithmSettings
        try:
            self.call(method, "ValidateAlgorithmSettingsRequest", request)
        except ExperimentFailed as problem:
            if "UNIMPLEMENTED" not in str(problem):
                raise

    def finished(self):
        return [trial for trial in self.trials if trial.condition in DONE]

    def run(self):
        """Until the Experiment is done; returns its trials.

        Raises:
            ExperimentFailed: a service answers badly, or too many trials failed.
        """
        self.validate()
        try:
            while len(self.finished()) < self.spec["maxTrialCount"]:
                self.check_failures()
                active = len(self.trials) - len(self.finished())
                left = self.spec["maxTrialCount"] - len(self.trials)
                count = min(self.spec["parallelTrialCount"] - active, left)
                if count > 0:
                    self.start(self.suggestions(count))
                time.sleep(0.05)
            self.check_failures()
        finally:
            for trial in self.trials:
                if trial.condition == "RUNNING":
                    self.kill(trial)
            for thread in self.threads:
                thread.join()
        return self.trials

    def check_failures(self):
        failed = [t for t in self.trials if t.condition == "FAILED"]
        if len(failed) > self.spec.get("maxFailedTrialCount", 0):
            raise ExperimentFailed(f"{len(failed)} trials failed: {failed[-1].name}")

    def known(self):
        """All trials but those without metrics, in the order of their creation."""
        objective = self.fields["spec"]["objective"]
        return [
            trial.fields(objective)
            for trial in self.trials
            if trial.condition != "METRICSUNAVAILABLE"
            and not (trial.condition == "EARLYSTOPPED" and not trial.observation)
        ]

    def suggestions(self, count):
        total = len(self.trials) + count
        request = {
            "experiment": self.fields,
            "trials": self.known(),
            "current_request_number": count,
            "total_request_number": total,
        }
        method = self.suggestion.GetSuggestions
        reply = self.call(method, "GetSuggestionsRequest", request)
        found = json_format.MessageToDict(reply, preserving_proto_field_name=True)
        rows = found.get("parameter_assignments", [])
        if len(rows) != count:
            raise ExperimentFailed(f"{len(rows)} suggestions instead of {count}")
        names = sorted(row["name"] for row in self.spec["parameters"])
        for row in rows:
            given = sorted(a["name"] for a in row.get("assignments", []))
            if given != names:
                raise ExperimentFailed(f"assignments of {given} instead of {names}")
        if found.get("algorithm", {}).get("algorithm_settings"):
            echoed = found["algorithm"]["algorithm_settings"]
            self.fields["spec"]["algorithm"]["algorithm_settings"] = echoed
        return [row["assignments"] for row in rows]

    def rules(self):
        if self.stopping is None:
            return []
        request = {"experiment": self.fields, "trials": self.known()}
        method = self.stopping.GetEarlyStoppingRules
        reply = self.call(method, "GetEarlyStoppingRulesRequest", request)
        found = json_format.MessageToDict(reply, preserving_proto_field_name=True)
        return found.get("early_stopping_rules", [])

    def start(self, suggested):
        rules = self.rules()
        for assignments in suggested:
            name = f"{self.item['metadata']['name']}-{uuid.uuid4().hex[:8]}"
            trial = Trial(name, assignments, rules)
            trial.condition = "RUNNING"
            self.trials.append(trial)
            thread = threading.Thread(target=self.execute, args=(trial,), daemon=True)
            self.threads.append(thread)
            thread.start()

    # ---- what webhook, pod and collector do ----

    def words(self, trial):
        template = self.spec["trialTemplate"]
        values = {row["name"]: row["value"] for row in trial.assignments}
        values["trialName"] = trial.name
        names = {p["name"]: p["reference"] for p in template["trialParameters"]}

        def value(match):
            reference = names[match[1]]
            return values.get(reference, trial.name)

        text = TOKEN.sub(value, json.dumps(template["trialSpec"]))
        for item in self.containers(json.loads(text)):
            if item["name"] == template["primaryContainerName"]:
                return item["command"] + item.get("args", [])
        raise ExperimentFailed("no primary container")

    def containers(self, value):
        if isinstance(value, dict):
            yield from value.get("containers", [])
            for inner in value.values():
                yield from self.containers(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from self.containers(inner)

    def execute(self, trial):
        folder = self.folder / trial.name
        folder.mkdir()
        places = {
            "/gn2": self.folder / "gn2",
            "/katib": folder,
            "/data": self.data,
            "/output": self.folder / "output",
        }
        pod = Pod(folder, places)
        words = [pod.local(word) for word in self.words(trial)]
        assert words[0] == "gn2", words
        # unquoted, as the webhook does it
        line = " ".join([*self.program, *words[1:]])
        line += f" && echo completed > {folder}/$$.pid"
        with open(folder / "output.txt", "wb") as output:
            process = subprocess.Popen(
                ["sh", "-c", line],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            trial.process = process
            where = self.spec["metricsCollectorSpec"]["source"]["fileSystemPath"]
            stopped = self.watch(trial, pathlib.Path(pod.local(where["path"])))
        self.collect(trial, pathlib.Path(pod.local(where["path"])), where["format"])
        trial.ended = now()
        completed = (folder / f"{process.pid}.pid").exists()
        if stopped:
            fields = {"trial_name": trial.name}
            self.call(self.stopping.SetTrialStatus, "SetTrialStatusRequest", fields)
            trial.condition = "EARLYSTOPPED"
        elif process.returncode or not completed:
            trial.condition = "FAILED"
        elif any(row["value"] == collector.UNAVAILABLE for row in trial.observation):
            trial.condition = "METRICSUNAVAILABLE"
        else:
            trial.condition = "SUCCEEDED"

    def watch(self, trial, path):
        """Waits for the end; ends the trial where a rule says so."""
        objective = self.spec["objective"]["objectiveMetricName"]
        while trial.process.poll() is None:
            time.sleep(0.05)
            if trial.rules and path.exists():
                lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
                whole = "".join(line for line in lines if line.endswith("\n"))
                found = [
                    float(s.value)
                    for s in collector.collect(whole, [objective])
                    if s.value != collector.UNAVAILABLE
                ]
                if any(is_behind(rule, found) for rule in trial.rules):
                    self.kill(trial)
                    return True
        return False

    @staticmethod
    def kill(trial):
        """SIGTERM for the one child of sh, as the sidecar does."""
        children = pathlib.Path(f"/proc/{trial.process.pid}/task/{trial.process.pid}")
        try:
            found = (children / "children").read_text(encoding="ascii").split()
        except FileNotFoundError:
            return
        assert len(found) <= 1, found
        for child in found:
            os.kill(int(child), signal.SIGTERM)
        trial.process.wait(timeout=30)

    def collect(self, trial, path, form):
        objective = self.spec["objective"]
        names = [objective["objectiveMetricName"]]
        names += objective.get("additionalMetricNames", [])
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        trial.samples = collector.collect(text, names, form)
        strategies = {s["name"]: s["value"] for s in objective["metricStrategies"]}
        for name in names:
            values = [s.value for s in trial.samples if s.name == name]
            if values:
                value = chosen(values, strategies[name])
                trial.observation.append({"name": name, "value": value})


def is_behind(rule, values):
    """Does a rule end a trial with these objectives?"""
    start = int(rule.get("start_step", 0))
    if len(values) < max(1, start):
        return False
    limit = float(rule["value"])
    return {
        "LESS": values[-1] < limit,
        "GREATER": values[-1] > limit,
        "EQUAL": values[-1] == limit,
    }[rule["comparison"]]


def chosen(values, strategy):
    if strategy == "latest":
        return values[-1]
    return (min if strategy == "min" else max)(values, key=float)
