# SPDX-License-Identifier: Apache-2.0
"""Checks a Katib Experiment (v1beta1), of whoever wrote it: the rules of Katib's
webhook, keys that it would pass over, and what its services do otherwise than asked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import experiment_keys
from .algorithms import ALGORITHMS
from .document import Document, Path, Problem, walk

KIND, API = "Experiment", "kubeflow.org/v1beta1"
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
TOKEN = re.compile(r"\$\{trialParameters\.([^}]*)\}")
#: as Katib's services name them
SAMPLERS: tuple[str, ...] = ("random", "grid", "tpe", "multivariate-tpe")
SAMPLERS += ("bayesianoptimization", "cmaes", "sobol", "hyperband", "pbt")
SAMPLERS += ("enas", "darts")
STOPPERS = ("medianstop",)
TYPES = ("double", "int", "discrete", "categorical")
DISTRIBUTIONS = ("uniform", "logUniform", "normal", "logNormal")
COLLECTORS = ("StdOut", "File", "TensorFlowEvent", "Custom", "None", "Push")
STRATEGIES = ("min", "max", "latest")
POLICIES = ("Never", "LongRunning", "FromVolume")
#: samplers that take a distribution for another
_IGNORE_LOG = ("cmaes", "sobol", "hyperband")

#: pods in which the metrics of a kind are written, where the default is wrong
_PRIMARY = {"MPIJob": {"training.kubeflow.org/job-role": "launcher"}}
#: retries of a Job that says nothing, and of the trials that we render
_BACKOFF, RETRIES = 6, 2


def is_experiment(document: Document) -> bool:
    """Is it an object of this kind?"""
    return isinstance(document.value, dict) and document.value.get("kind") == KIND


def problems(document: Document) -> list[Problem]:
    """All that is found, in the order of the rules."""
    return _Check(document).run()


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


class _Check:
    """The rules over one Experiment."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.spec = _dict(_dict(document.value).get("spec"))
        self.found: list[Problem] = []

    def add(
        self, path: Path, what: str, remedy: str = "", warning: bool = False
    ) -> None:
        place = self.document.place(path)
        self.found.append(Problem(place, what, remedy, warning))

    def run(self) -> list[Problem]:
        for path, what, remedy in experiment_keys.findings(self.document):
            self.add(path, what, remedy)
        self.head()
        self.counts()
        self.objective()
        self.algorithm()
        for i, row in enumerate(_items(self.spec.get("parameters"))):
            self.parameter(("spec", "parameters", i), _dict(row))
        self.names()
        self.collector()
        self.template()
        return self.found

    def head(self) -> None:
        value = _dict(self.document.value)
        for key, wanted in (("apiVersion", API), ("kind", KIND)):
            if value.get(key) != wanted:
                self.add((key,), f"is {value.get(key)!r}", wanted)
        meta = _dict(value.get("metadata"))
        name = meta.get("name", "")
        if not name and not meta.get("generateName"):
            self.add(("metadata",), "no name", "metadata: {name: gn2-rates}")
        if name and not (NAME.fullmatch(str(name)) and len(str(name)) <= 40):
            what = f"{name!r}: a-z, 0-9 and -, a letter first, up to 40"
            self.add(("metadata", "name"), what)
        for key in ("objective", "algorithm", "parameters", "trialTemplate"):
            if not self.spec.get(key) and not (
                key == "parameters" and self.spec.get("nasConfig")
            ):
                self.add(("spec",), f"no {key}")

    def counts(self) -> None:
        most = self.spec.get("maxTrialCount")
        for key in ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount"):
            given, path = self.spec.get(key), ("spec", key)
            if given is None:
                continue
            least = 0 if key == "maxFailedTrialCount" else 1
            if isinstance(given, bool) or not isinstance(given, int) or given < least:
                self.add(path, f"{given!r} is not a whole number from {least}")
            elif isinstance(most, int) and given > most:
                self.add(path, f"{given} is above maxTrialCount = {most}")
        if most is None:
            what = "no maxTrialCount: it never ends by itself"
            self.add(("spec",), what, "maxTrialCount: 30", True)
        policy = self.spec.get("resumePolicy")
        if policy is not None and policy not in POLICIES:
            self.add(
                ("spec", "resumePolicy"), f"{policy!r} is none of {', '.join(POLICIES)}"
            )

    def objective(self) -> None:
        row, path = _dict(self.spec.get("objective")), ("spec", "objective")
        if not row:
            return
        if row.get("type") not in ("minimize", "maximize"):
            what = f"{row.get('type')!r} is neither minimize nor maximize"
            self.add((*path, "type"), what)
        name = row.get("objectiveMetricName")
        if not name:
            self.add(path, "no objectiveMetricName", "objectiveMetricName: val_loss")
        others = _items(row.get("additionalMetricNames"))
        if name in others:
            what = "repeats the objective"
            self.add((*path, "additionalMetricNames"), what, "leave it out")
        for other in (name, *others):
            if other and not re.fullmatch(r"[\w|-]+", str(other), re.ASCII):
                what = f"{other!r} is never read: letters, digits, _, - and | only"
                self.add(path, what)
        strategies = _items(row.get("metricStrategies"))
        for i, strategy in enumerate(strategies):
            if _dict(strategy).get("value") not in STRATEGIES:
                self.add((*path, "metricStrategies", i), "value: min, max or latest")
        if name and name not in [_dict(s).get("name") for s in strategies]:
            what = "no strategy: trials are ranked by their best value, not the last"
            remedy = f"metricStrategies: [{{name: {name}, value: latest}}]"
            self.add(path, what, remedy, True)

    def algorithm(self) -> None:
        path: Path = ("spec", "algorithm", "algorithmName")
        name = _dict(self.spec.get("algorithm")).get("algorithmName")
        if name is not None and name not in SAMPLERS:
            near = difflib.get_close_matches(str(name), SAMPLERS, 1)
            hint = f"did you mean {near[0]}?" if near else ", ".join(SAMPLERS)
            self.add(path, f"{name!r} is not known", hint)
        if name == "tpe":
            what = "suggests the same trial again within a batch"
            self.add(path, what, "multivariate-tpe", True)
        if name == "hyperband":
            self.add(path, ALGORITHMS["asha"].why, "medianstop", True)
        stopping = self.spec.get("earlyStopping")
        stopper = _dict(stopping).get("algorithmName")
        if stopping is not None and stopper not in STOPPERS:
            where = ("spec", "earlyStopping")
            self.add(where, f"{stopper!r} is not known", "medianstop")
        reals = [
            row
            for row in _items(self.spec.get("parameters"))
            if _dict(row).get("parameterType") == "double"
        ]
        if name == "cmaes" and len(reals) < 2:
            self.add(path, "cmaes needs two doubles at least", "multivariate-tpe")
        if name == "grid":
            self.cells(path)

    def cells(self, path: Path) -> None:
        """That a grid is not asked for more than it has."""
        count = 1
        for row in _items(self.spec.get("parameters")):
            cells = _cells(_dict(row))
            if cells is None:
                return
            count *= cells
        most = self.spec.get("maxTrialCount")
        if isinstance(most, int) and most > count:
            what = f"has {count} cells, but maxTrialCount is {most}"
            self.add(path, what, f"maxTrialCount: {count}")

    def parameter(self, path: Path, row: Mapping[str, Any]) -> None:
        kind, space = row.get("parameterType"), _dict(row.get("feasibleSpace"))
        if not row.get("name"):
            self.add(path, "no name")
        if kind not in TYPES:
            self.add(path, f"parameterType {kind!r} is none of {', '.join(TYPES)}")
            return
        if kind in ("discrete", "categorical"):
            self.listed(path, space)
        else:
            self.ranged((*path, "feasibleSpace"), kind, space)

    def listed(self, path: Path, space: Mapping[str, Any]) -> None:
        values = _items(space.get("list"))
        if not values:
            self.add((*path, "feasibleSpace"), "no list", 'list: ["1e-4", "1e-3"]')
        if len(set(map(str, values))) < len(values):
            self.add((*path, "feasibleSpace"), "one value twice")
        for key in ("min", "max", "step"):
            if key in space:
                what = f"{key} has no meaning for a list"
                self.add((*path, "feasibleSpace", key), what, "leave it out")

    def ranged(self, path: Path, kind: str, space: Mapping[str, Any]) -> None:
        if "list" in space:
            what = "a range has no list"
            self.add((*path, "list"), what, "parameterType: discrete")
        numbers = {}
        for key in ("min", "max", "step"):
            if key not in space:
                continue
            try:
                text = str(space[key])
                numbers[key] = int(text) if kind == "int" else float(text)
            except ValueError:
                self.add((*path, key), f"{space[key]!r} is no {kind}")
        if not {"min", "max"} <= set(space):
            self.add(path, "needs min and max")
        elif len({"min", "max"} & set(numbers)) == 2 and not (
            numbers["min"] < numbers["max"]
        ):
            self.add(path, f"min {space['min']} is not below max {space['max']}")
        self.scale(path, kind, space, numbers)

    def scale(
        self,
        path: Path,
        kind: str,
        space: Mapping[str, Any],
        numbers: Mapping[str, float],
    ) -> None:
        """What the service makes of the distribution."""
        name = _dict(self.spec.get("algorithm")).get("algorithmName")
        given = space.get("distribution", "uniform")
        if given not in DISTRIBUTIONS:
            what = f"{given!r} is none of {', '.join(DISTRIBUTIONS)}"
            self.add((*path, "distribution"), what)
        if given == "logUniform" and numbers.get("min", 1) <= 0:
            self.add((*path, "min"), "has no logarithm", "min > 0")
        if given == "logUniform" and name in _IGNORE_LOG:
            what = f"{name} takes logUniform for uniform"
            self.add(path, what, "search the logarithm: log2_NAME of gn2 hpo trial")
        if name == "bayesianoptimization" and kind == "double":
            if given == "uniform":
                what = "bayesianoptimization takes every double on a log scale"
                self.add(path, what, "multivariate-tpe", True)
            if numbers.get("min", 1) <= 0:
                self.add((*path, "min"), "bayesianoptimization needs min > 0")
        if name == "grid" and kind == "double" and "step" not in numbers:
            self.add(path, "grid needs the step of a double", 'step: "0.1"')
        if name == "grid" and given == "logUniform":
            self.add(path, "grid is linear", "parameterType: discrete")

    def names(self) -> None:
        rows = _items(self.spec.get("parameters"))
        seen: set[str] = set()
        for i, row in enumerate(rows):
            name = str(_dict(row).get("name"))
            if name in seen:
                self.add(("spec", "parameters", i), f"{name} is there twice")
            seen.add(name)

    def collector(self) -> None:
        path: Path = ("spec", "metricsCollectorSpec")
        row = _dict(self.spec.get("metricsCollectorSpec"))
        kind = _dict(row.get("collector")).get("kind", "StdOut")
        if kind not in COLLECTORS:
            self.add((*path, "collector", "kind"), f"{kind!r} is not known", "File")
        if kind == "StdOut":
            what = "StdOut: the command is joined by spaces and run again by sh"
            self.add(path, what, "collector: {kind: File}", True)
        source = _dict(row.get("source"))
        where = _dict(source.get("fileSystemPath"))
        if kind == "File":
            self.file(path, where)
        for i, text in enumerate(
            _items(_dict(source.get("filter")).get("metricsFormat"))
        ):
            place = (*path, "source", "filter", "metricsFormat", i)
            try:
                groups = re.compile(str(text)).groups
            except re.error as problem:
                self.add(place, f"no regular expression: {problem}")
                continue
            if groups < 2:
                self.add(place, "needs two groups, name and value")
            if ";" in str(text):
                self.add(place, "is split at ';'")
            if where.get("format") == "JSON":
                self.add(place, "has no meaning for JSON", "leave it out")

    def file(self, path: Path, where: Mapping[str, Any]) -> None:
        place = (*path, "source", "fileSystemPath")
        if not str(where.get("path", "/")).startswith("/"):
            self.add((*place, "path"), f"{where['path']!r} is not absolute")
        if where.get("kind", "File") != "File":
            self.add((*place, "kind"), f"{where['kind']!r} is not File")
        if where.get("format", "TEXT") not in ("TEXT", "JSON"):
            self.add((*place, "format"), f"{where['format']!r}: TEXT or JSON")

    # ---- the trial ----

    def template(self) -> None:
        row, path = _dict(self.spec.get("trialTemplate")), ("spec", "trialTemplate")
        if not row:
            return
        if ("trialSpec" in row) == ("configMap" in row):
            self.add(path, "needs trialSpec or configMap, one of them")
        if not row.get("primaryContainerName"):
            self.add(path, "no primaryContainerName")
        trial = row.get("trialSpec")
        if not isinstance(trial, dict):
            return
        self.tokens(path, row, trial)
        self.trial((*path, "trialSpec"), row, trial)

    def tokens(
        self, path: Path, row: Mapping[str, Any], trial: Mapping[str, Any]
    ) -> None:
        """Every declared parameter is used, every used one declared."""
        declared: dict[str, int] = {}
        references: set[str] = set()
        known = {str(_dict(p).get("name")) for p in _items(self.spec.get("parameters"))}
        for i, item in enumerate(_items(row.get("trialParameters"))):
            name, reference = (str(_dict(item).get(k)) for k in ("name", "reference"))
            place = (*path, "trialParameters", i)
            if name in declared:
                self.add(place, f"{name} is there twice")
            if reference in references:
                self.add(place, f"{reference} is referred to twice")
            if reference not in known and not reference.startswith("${trialSpec."):
                near = difflib.get_close_matches(reference, sorted(known), 1)
                hint = f"did you mean {near[0]}?" if near else ""
                self.add(place, f"refers to {reference}, which is no parameter", hint)
            declared[name] = i
            references.add(reference)
        used = set()
        for place, value in walk(trial):
            for name in TOKEN.findall(value) if isinstance(value, str) else ():
                used.add(name)
                if name not in declared:
                    where = (*path, "trialSpec", *place)
                    self.add(where, f"{name} is no trialParameter")
        for name, i in declared.items():
            if name not in used:
                what = f"{name} is not used in trialSpec"
                self.add((*path, "trialParameters", i), what)
        for name in sorted(known - references):
            what = f"parameter {name} reaches no trial"
            self.add((*path, "trialParameters"), what, f"reference: {name}")

    def trial(
        self, path: Path, row: Mapping[str, Any], trial: Mapping[str, Any]
    ) -> None:
        meta = _dict(trial.get("metadata"))
        for key in ("name", "namespace"):
            if key in meta:
                what = "is given by Katib"
                self.add((*path, "metadata", key), what, "leave it out")
        for key in ("apiVersion", "kind"):
            if not trial.get(key):
                self.add(path, f"no {key}")
        kind = str(trial.get("kind"))
        labels = _dict(row.get("primaryPodLabels"))
        wanted = _PRIMARY.get(kind, {})
        if wanted and not all(labels.get(k) == v for k, v in wanted.items()):
            what = f"the default primaryPodLabels are wrong for {kind}"
            remedy = ", ".join(f"{k}: {v}" for k, v in wanted.items())
            self.add(("spec", "trialTemplate"), what, f"{{{remedy}}}")
        self.containers(path, row, trial)
        if any(p[-1:] == ("command",) and "gn2" in _items(v) for p, v in walk(trial)):
            self.retries((*path, "spec"), kind, _dict(trial.get("spec")))

    def retries(self, path: Path, kind: str, spec: Mapping[str, Any]) -> None:
        """Our trial program says by its exit status whether trying again may help."""
        policy, again = "podFailurePolicy", "exit statuses 2 and 3 are tried again"
        if kind == "Job" and policy not in spec:
            remedy = f"{policy} with FailJob for 2 and 3, as `gn2 hpo render` writes it"
            self.add(path, f"no {policy}: {again}", remedy, True)
        if kind != "MPIJob":
            return
        bound = f"runPolicy: {{backoffLimit: {RETRIES}}}"
        if policy in spec or policy in _dict(spec.get("runPolicy")):
            what = f"an MPIJob has no {policy}, it would be dropped: {again}"
            self.add(path, what, f"{bound}, which bounds that")
        limit = _dict(spec.get("runPolicy")).get("backoffLimit", _BACKOFF)
        if isinstance(limit, int) and limit > RETRIES:
            what = f"{again}, {limit} times: an MPIJob cannot tell them from others"
            self.add(path, what, bound, True)

    def containers(
        self, path: Path, row: Mapping[str, Any], trial: Mapping[str, Any]
    ) -> None:
        """Every pod needs a container of the primary's name: Katib's webhook refuses
        the others, workers of MPI too."""
        primary = row.get("primaryContainerName")
        for place, value in walk(trial):
            if not primary or not place or place[-1] != "containers":
                continue
            pod = [_dict(item) for item in _items(value)]
            names = [str(container.get("name")) for container in pod]
            if primary not in names:
                what = (
                    f"none is named {primary!r}, as primaryContainerName: Katib lets "
                )
                self.add(
                    (*path, *place),
                    f"{what}no such pod come up; there are {', '.join(names)}",
                    f"name: {primary}",
                )
            for i, container in enumerate(pod):
                command = container.get("command")
                if names[i] == primary and not isinstance(command, list):
                    what = "no `command`: Katib asks the registry for the image's"
                    remedy = "command: [gn2, hpo, trial, …]"
                    self.add((*path, *place, i), what, remedy)


def _cells(row: Mapping[str, Any]) -> int | None:
    """Values of a parameter; None if they cannot be counted."""
    space = _dict(row.get("feasibleSpace"))
    if row.get("parameterType") in ("discrete", "categorical"):
        return len(_items(space.get("list")))
    try:
        low, high = float(space["min"]), float(space["max"])
        usual = "1" if row.get("parameterType") == "int" else ""
        step = float(space.get("step", usual))
        return int((high - low) / step + 1e-9) + 1
    except (KeyError, ValueError, ZeroDivisionError):
        return None


def of_document(document: Document) -> Iterator[Problem]:
    """Problems of an Experiment; of another object, that it is none."""
    if is_experiment(document):
        yield from problems(document)
    else:
        yield Problem(document.place(()), "is no Experiment", f"kind: {KIND}")
