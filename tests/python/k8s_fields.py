# SPDX-License-Identifier: Apache-2.0
"""Fields of objects whose schemas come with operators, not with Kubernetes: those that
our files use, written down from the operators' API references (Prometheus' operator
0.93, monitoring.coreos.com/v1: ServiceMonitorSpec, Endpoint; KServe 0.20,
serving.kserve.io/v1beta1: InferenceServiceSpec, PredictorSpec, ComponentExtensionSpec,
and the PodSpec in it). So they are checked where no schema is at hand.
"""

import re

TEXT, COUNT, FLAG = r".+", int, bool
NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
DURATION = r"0|(?=.)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?"
QUANTITY = r"\d+(\.\d+)?(m|[kMGTPE]i?)?"

_TOP = {"kind": TEXT, "metadata name": NAME, "metadata labels *": TEXT}
_BOX = "spec predictor containers []"
#: {kind: {words of a path: what is there}}; `[]` any item, `*` any key; a pattern, a
#: type, or the only words that are taken
FIELDS = {
    "ServiceMonitor": {
        **_TOP,
        "apiVersion": {"monitoring.coreos.com/v1"},
        "spec selector matchLabels *": TEXT,
        "spec endpoints [] port": TEXT,
        "spec endpoints [] path": r"/.*",
        "spec endpoints [] interval": DURATION,
        "spec endpoints [] scrapeTimeout": DURATION,
    },
    "InferenceService": {
        **_TOP,
        "apiVersion": {"serving.kserve.io/v1beta1"},
        "metadata annotations *": TEXT,
        "spec predictor minReplicas": COUNT,
        "spec predictor maxReplicas": COUNT,
        "spec predictor scaleMetric": {"cpu", "memory", "concurrency", "rps"},
        "spec predictor scaleTarget": COUNT,
        "spec predictor terminationGracePeriodSeconds": COUNT,
        "spec predictor securityContext seccompProfile type": TEXT,
        f"{_BOX} name": NAME,
        f"{_BOX} image": TEXT,
        f"{_BOX} command []": TEXT,
        f"{_BOX} args []": TEXT,
        f"{_BOX} env [] name": TEXT,
        f"{_BOX} env [] value": TEXT,
        f"{_BOX} ports [] name": NAME,
        f"{_BOX} ports [] containerPort": COUNT,
        f"{_BOX} ports [] protocol": {"TCP", "UDP", "SCTP"},
        f"{_BOX} readinessProbe httpGet path": r"/.*",
        f"{_BOX} readinessProbe httpGet port": COUNT,
        f"{_BOX} readinessProbe periodSeconds": COUNT,
        f"{_BOX} readinessProbe failureThreshold": COUNT,
        f"{_BOX} livenessProbe httpGet path": r"/.*",
        f"{_BOX} livenessProbe httpGet port": COUNT,
        f"{_BOX} livenessProbe failureThreshold": COUNT,
        f"{_BOX} resources requests *": QUANTITY,
        f"{_BOX} resources limits *": QUANTITY,
        f"{_BOX} securityContext runAsNonRoot": FLAG,
        f"{_BOX} securityContext runAsUser": COUNT,
        f"{_BOX} securityContext runAsGroup": COUNT,
        f"{_BOX} securityContext readOnlyRootFilesystem": FLAG,
        f"{_BOX} securityContext allowPrivilegeEscalation": FLAG,
        f"{_BOX} securityContext capabilities drop []": TEXT,
        f"{_BOX} volumeMounts [] name": NAME,
        f"{_BOX} volumeMounts [] mountPath": r"/.*",
        f"{_BOX} volumeMounts [] readOnly": FLAG,
        "spec predictor volumes [] name": NAME,
        "spec predictor volumes [] persistentVolumeClaim claimName": NAME,
        "spec predictor volumes [] persistentVolumeClaim readOnly": FLAG,
    },
}
#: paths without which an operator takes nothing, or would find nothing
REQUIRED = {
    "ServiceMonitor": ("spec selector matchLabels *", "spec endpoints [] port"),
    "InferenceService": (f"{_BOX} name", f"{_BOX} image"),
}


def leaves(value, path=()):
    """(path, value) of all that is neither a mapping nor a list."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for item in value:
            yield from leaves(item, (*path, "[]"))
    else:
        yield path, value


def _row(path, fields):
    for words in fields:
        parts = words.split()
        if len(parts) == len(path) and all(
            word in ("*", part) for word, part in zip(parts, path)
        ):
            return words
    return None


def _fits(value, wanted):
    if isinstance(wanted, set):
        return value in wanted
    if isinstance(wanted, str):
        return isinstance(value, str) and re.fullmatch(wanted, value) is not None
    return type(value) is wanted


def problems(item):
    """What is wrong with an object of these kinds, a line each."""
    fields, seen, found = FIELDS[item["kind"]], set(), []
    for path, value in leaves(item):
        words = _row(path, fields)
        seen.add(words)
        if words is None:
            found.append(f"{' '.join(map(str, path))}: no such field")
        elif not _fits(value, fields[words]):
            found.append(f"{words}: {value!r}")
    return found + [f"{w}: is missing" for w in REQUIRED[item["kind"]] if w not in seen]


def in_schema(words, schema):
    """Does a schema know a path, as what the table says?"""
    *parents, last = words.split()
    for word in [*parents, last]:
        if word == "[]":
            schema = schema.get("items")
        elif isinstance(schema.get("additionalProperties"), dict):
            schema = schema["additionalProperties"]
        else:
            schema = schema.get("properties", {}).get(word)
        if schema is None:
            return False
    return True
