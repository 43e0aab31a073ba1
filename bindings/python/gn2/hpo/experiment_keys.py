# SPDX-License-Identifier: Apache-2.0
"""The keys of a Katib Experiment (v1beta1), and which values are strings.

The API server takes any key and passes over those it does not know.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from .document import Document, Path, walk

#: known keys by place; "*" is any index. What is not here is not looked into
KEYS: dict[Path, tuple[str, ...]] = {
    (): ("apiVersion", "kind", "metadata", "spec", "status"),
    ("spec",): (
        "parameters",
        "objective",
        "algorithm",
        "earlyStopping",
        "trialTemplate",
        "parallelTrialCount",
        "maxTrialCount",
        "maxFailedTrialCount",
        "metricsCollectorSpec",
        "nasConfig",
        "resumePolicy",
    ),
    ("spec", "objective"): (
        "type",
        "goal",
        "objectiveMetricName",
        "additionalMetricNames",
        "metricStrategies",
    ),
    ("spec", "objective", "metricStrategies", "*"): ("name", "value"),
    ("spec", "algorithm"): ("algorithmName", "algorithmSettings"),
    ("spec", "algorithm", "algorithmSettings", "*"): ("name", "value"),
    ("spec", "earlyStopping"): ("algorithmName", "algorithmSettings"),
    ("spec", "earlyStopping", "algorithmSettings", "*"): ("name", "value"),
    ("spec", "parameters", "*"): ("name", "parameterType", "feasibleSpace"),
    ("spec", "parameters", "*", "feasibleSpace"): (
        "min",
        "max",
        "list",
        "step",
        "distribution",
    ),
    ("spec", "trialTemplate"): (
        "retain",
        "trialSpec",
        "configMap",
        "trialParameters",
        "primaryPodLabels",
        "primaryContainerName",
        "successCondition",
        "failureCondition",
    ),
    ("spec", "trialTemplate", "trialParameters", "*"): (
        "name",
        "description",
        "reference",
    ),
    ("spec", "metricsCollectorSpec"): ("source", "collector"),
    ("spec", "metricsCollectorSpec", "collector"): ("kind", "customCollector"),
    ("spec", "metricsCollectorSpec", "source"): (
        "httpGet",
        "fileSystemPath",
        "filter",
    ),
    ("spec", "metricsCollectorSpec", "source", "fileSystemPath"): (
        "path",
        "kind",
        "format",
    ),
    ("spec", "metricsCollectorSpec", "source", "filter"): ("metricsFormat",),
}
#: where a value must be a string: 0.1 without quotes is refused by the server
STRINGS = (
    ("spec", "parameters", "*", "feasibleSpace", "min"),
    ("spec", "parameters", "*", "feasibleSpace", "max"),
    ("spec", "parameters", "*", "feasibleSpace", "step"),
    ("spec", "parameters", "*", "feasibleSpace", "list", "*"),
    ("spec", "algorithm", "algorithmSettings", "*", "value"),
    ("spec", "earlyStopping", "algorithmSettings", "*", "value"),
)


def findings(document: Document) -> Iterator[tuple[Path, str, str]]:
    """(place, what, remedy) of keys that would be passed over, and of numbers where
    strings must be."""
    for path, value in walk(document.value):
        place = tuple("*" if isinstance(p, int) else p for p in path)
        if place in STRINGS and not isinstance(value, str):
            yield path, f"{value!r} is no string", f'"{value}"'
        known = KEYS.get(place)
        if known is None or value is None:
            continue
        if not isinstance(value, dict):
            yield path, f"{value!r} is no mapping", ""
            continue
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean {near[0]}?" if near else ""
                yield (*path, key), "is not known and would be passed over", hint
