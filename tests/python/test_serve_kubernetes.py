# SPDX-License-Identifier: Apache-2.0
"""examples/serve/kubernetes: objects are as their schemas say, fit together, and name
commands and metrics that there are; dashboards are those made now."""

import argparse
import importlib.util
import json
import pathlib
import re

import pytest

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

from gn2 import cli  # noqa: E402
from gn2.monitor.table import METRICS  # noqa: E402

from k8s_fields import FIELDS, in_schema, problems  # noqa: E402
from k8s_schemas import kubectl, schemas  # noqa: E402, F401
from prometheus import promtool  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples/serve/kubernetes"
PLACES = ("base", "kserve", "tag")
FILES = sorted(path for place in PLACES for path in (FOLDER / place).glob("*.yaml"))


def objects(text):
    return [item for item in yaml.safe_load_all(text) if item]


def in_files(*kinds):
    for path in FILES:
        for item in objects(path.read_text(encoding="utf-8")):
            if item["kind"] in kinds:
                yield item


def checked(schemas, item):
    """Its kind. Prometheus' operator publishes no schema with the others: the table."""
    if item["kind"] in FIELDS:
        assert not problems(item)
    if schemas.has(item["kind"]):
        schemas.check(item)
    else:
        assert item["kind"] == "ServiceMonitor"
    return item["kind"]


@pytest.mark.parametrize("place", PLACES)
def test_kustomizations_build_what_the_schemas_take(schemas, place):
    found = objects(kubectl("kustomize", str(FOLDER / place)))
    kinds = sorted(checked(schemas, item) for item in found)
    assert kinds == sorted(
        {
            "base": [
                *["ConfigMap", "Deployment", "Deployment", "HorizontalPodAutoscaler"],
                *["PersistentVolumeClaim", "PodDisruptionBudget", "Service", "Service"],
                *["Service", "ServiceMonitor"],
            ],
            "kserve": ["InferenceService"],
            "tag": ["Job", "Job"],
        }[place]
    )


#: (file, text, text with a typo)
TYPOS = [
    ("base/serve.yaml", "readinessProbe", "readynessProbe"),
    ("base/serve.yaml", "containerPort: 8000", "containerPort: http"),
    ("base/serve.yaml", "maxSurge", "maxSurges"),
    ("base/serve.yaml", "appProtocol", "appProtokol"),
    ("base/scale.yaml", "averageUtilization", "averageUtilisation"),
    ("base/scale.yaml", "stabilizationWindowSeconds: 300", "stabilizationWindow: 300"),
    ("base/scale.yaml", "maxReplicas: 8", "maxReplicas: eight"),
    ("base/scale.yaml", "maxUnavailable", "maxUnavailabel"),
    ("base/monitor.yaml", "mountPath", "mountpath"),
    ("base/monitor.yaml", "replicas: 1", "replicas: one"),
    ("base/monitor.yaml", "claimName", "claim"),
    ("base/volumes.yaml", "accessModes", "accessMode"),
    ("base/volumes.yaml", "storage: 1Gi", "storage: [1Gi]"),
    ("base/volumes.yaml", "resources", "resource"),
    ("base/scrape.yaml", "interval: 15s", "interval: 15 s"),
    ("base/scrape.yaml", "scrapeTimeout", "scrapeTimeOut"),
    ("base/scrape.yaml", "matchLabels", "matchLabel"),
    ("base/scrape.yaml", "endpoints:", "endpoint:"),
    ("base/scrape.yaml", "coreos.com/v1", "coreos.com/v1beta1"),
    ("base/scrape.yaml", "port: http", "port: 8000"),
    ("kserve/inferenceservice.yaml", "minReplicas", "minReplica"),
    ("kserve/inferenceservice.yaml", "kserve.io/v1beta1", "kserve.io/v1"),
    ("kserve/inferenceservice.yaml", "claimName", "claim"),
    ("kserve/inferenceservice.yaml", "containers:", "container:"),
    ("kserve/inferenceservice.yaml", "scaleMetric: cpu", "scaleMetric: jets"),
    ("kserve/inferenceservice.yaml", "volumeMounts", "volumeMount"),
    ("kserve/inferenceservice.yaml", "predictor:", "predict:"),
    ("tag/tag.yaml", "completionMode: Indexed", "completionMode: [Indexed]"),
    ("tag/tag.yaml", "backoffLimitPerIndex", "backofLimitPerIndex"),
    ("tag/tag.yaml", "onExitCodes", "onExitCode"),
    ("tag/join.yaml", "backoffLimit: 50", "backoffLimit: many"),
    ("tag/join.yaml", "restartPolicy", "restart"),
    ("tag/join.yaml", "fsGroupChangePolicy", "fsGroupPolicy"),
]


def typo(name, old, new):
    """Objects of a file with a typo."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert old in text
    return objects(text.replace(old, new))


def of_operators(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    return any(item.get("kind") in FIELDS for item in objects(text))


@pytest.mark.parametrize("name, old, new", TYPOS)
def test_typos_are_caught(schemas, name, old, new):
    items = typo(name, old, new)
    if not all(schemas.has(item["kind"]) for item in items):
        assert of_operators(name)  # by the table, below
        return
    with pytest.raises(Exception) as failure:
        for item in items:
            schemas.check(item)
    told = f"{type(failure.value).__name__}: {failure.value}"
    assert "Validation" in told or "has no version" in told


@pytest.mark.parametrize("name, old, new", [t for t in TYPOS if of_operators(t[0])])
def test_typos_are_caught_without_schemas(name, old, new):
    assert any(problems(item) for item in typo(name, old, new))


@pytest.mark.parametrize("kind", FIELDS)
def test_fields_are_those_of_the_operators(kind):
    (item,) = in_files(kind)
    assert not problems(item)
    for end in item["spec"].get("endpoints", ()):
        # the operator refuses the object otherwise
        assert int(end["scrapeTimeout"][:-1]) <= int(end["interval"][:-1])
        assert end["scrapeTimeout"][-1] == end["interval"][-1] == "s"


@pytest.mark.parametrize("kind", FIELDS)
def test_fields_are_in_the_schemas(schemas, kind):
    (item,) = in_files(kind)
    schema = schemas.crd(kind, item["apiVersion"].rpartition("/")[2])
    for words in FIELDS[kind]:
        if words.split()[0] != "metadata":
            assert in_schema(words, schema), words


def test_every_file_has_typos():
    counts = {str(path.relative_to(FOLDER)): 0 for path in FILES}
    for name, _, _ in TYPOS:
        counts[name] += 1
    few = [n for n, c in counts.items() if c < 3 and "kustomization" not in n]
    assert not few


def pods(item):
    spec = item["spec"]
    return spec["predictor"] if "predictor" in spec else spec["template"]["spec"]


def test_commands_are_those_of_gn2(monkeypatch):
    """Every word is taken by its parser; ports are those of the container."""
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "19")
    parser, seen = cli.parser(), []
    for item in in_files("Deployment", "InferenceService", "Job"):
        (box,) = pods(item)["containers"]
        words = [*box["command"], *box.get("args", [])]
        args = parser.parse_args(words[1:])
        assert words[0] == "gn2" and isinstance(args, argparse.Namespace)
        ports = [args.__dict__[n] for n in ("http", "grpc", "port") if n in args]
        declared = [port["containerPort"] for port in box.get("ports", [])]
        assert [port for port in ports if port] == declared
        if declared:
            assert args.host == "0.0.0.0"
        mounts = {m["mountPath"] for m in box["volumeMounts"]}
        paths = [w for w in words if w.startswith("/")]
        assert paths and all(f"/{path.split('/')[1]}" in mounts for path in paths)
        grace = pods(item).get("terminationGracePeriodSeconds", 30)
        assert grace > getattr(args, "drain", 0) + getattr(args, "timeout", 0)
        seen.append(
            (words[1], getattr(args, "part", None), getattr(args, "join", None))
        )
    assert seen.count(("tag", (19, 20), False)) == seen.count(("tag", None, True)) == 1


def test_parts_are_as_many_as_pods_and_joined_by_the_same_words():
    tag, join = sorted(in_files("Job"), key=lambda job: len(job["metadata"]["name"]))
    boxes = [pods(job)["containers"][0] for job in (tag, join)]
    assert boxes[0]["command"] == boxes[1]["command"]
    assert boxes[0]["args"] == ["--part", str(tag["spec"]["completions"])]
    assert boxes[1]["args"][0] == "--join"


def test_selectors_find_pods_and_services():
    deployments = {d["metadata"]["name"]: d for d in in_files("Deployment")}
    services = list(in_files("Service"))
    for service in services:
        (found,) = (
            d
            for d in deployments.values()
            if service["spec"]["selector"].items()
            <= d["spec"]["template"]["metadata"]["labels"].items()
        )
        (box,) = pods(found)["containers"]
        names = {port["name"] for port in box["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    (scaled,) = in_files("HorizontalPodAutoscaler")
    assert scaled["spec"]["scaleTargetRef"]["name"] in deployments
    (scrape,) = in_files("ServiceMonitor")
    wanted = scrape["spec"]["selector"]["matchLabels"].items()
    chosen = [s for s in services if wanted <= s["metadata"]["labels"].items()]
    assert len(chosen) == 2
    (end,) = scrape["spec"]["endpoints"]
    assert all(end["port"] in {p["name"] for p in s["spec"]["ports"]} for s in chosen)
    claims = {c["metadata"]["name"] for c in in_files("PersistentVolumeClaim")}
    volumes = ROOT / "examples/kubeflow/base/volumes.yaml"
    claims |= {
        c["metadata"]["name"] for c in objects(volumes.read_text(encoding="utf-8"))
    }
    for item in in_files("Deployment", "InferenceService", "Job"):
        for volume in pods(item)["volumes"]:
            assert volume["persistentVolumeClaim"]["claimName"] in claims


# ---- dashboards ----


def made():
    spec = importlib.util.spec_from_file_location(
        "dashboards", FOLDER / "dashboards.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DASHBOARDS = ("service.json", "training.json")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_shipped_dashboards_are_made_now(name):
    text = (FOLDER / "base" / name).read_text(encoding="utf-8")
    assert text == made().text(name)
    found = json.loads(text)
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    places = [tuple(panel["gridPos"].values()) for panel in found["panels"]]
    assert len(set(places)) == len(places)
    (source,) = found["templating"]["list"]
    assert f"${{{source['name']}}}" in text and source["type"] == "datasource"


def queries(name):
    """(expression, legend) of all panels."""
    found = json.loads((FOLDER / "base" / name).read_text(encoding="utf-8"))
    return [
        (t["expr"], t["legendFormat"]) for p in found["panels"] for t in p["targets"]
    ]


#: samples of a family; …_created, when it was first counted, are left to themselves
SUFFIXES = {
    "counter": ["_total"],
    "info": ["_info"],
    "gauge": [""],
    "histogram": ["_bucket", "_sum", "_count"],
}


def served():
    """{sample's name: (its family's, labels)} of the server's page."""
    pytest.importorskip("prometheus_client", reason="needs prometheus-client")
    from gn2.serve.watch import Watch

    found = {}
    watch = Watch()
    for collector in list(watch.registry._collector_to_names):
        for family in collector.collect():
            labels = getattr(family, "_labelnames", None) or getattr(
                collector, "_labelnames", ()
            )
            more = {"info": ("sha256",), "histogram": ("le",)}.get(family.type, ())
            for suffix in SUFFIXES[family.type]:
                found[family.name + suffix] = family.name, {*labels, *more}
    return found


def known_of(name):
    """The same of what a dashboard shows."""
    if name == "service.json":
        return served()
    return {m.name: (m.name, set(m.labels)) for m in METRICS.values()}


#: metrics that no dashboard shows, and why
NOT_SHOWN = {
    "process_virtual_memory_bytes": "addresses, of which most are never memory",
}


#: that Prometheus adds to everything
TARGET = {"job", "instance", "pod", "namespace", "service"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_queries_name_metrics_and_labels_that_there_are(name):
    known = known_of(name)
    seen = set()
    for expression, legend in queries(name):
        plain = re.sub(r'"[^"]*"', '""', expression)
        metrics = set(re.findall(r"\b(?:gn2|process)_\w+", plain))
        assert metrics and metrics <= set(known), (expression, metrics - set(known))
        labels = set.union(*(known[metric][1] for metric in metrics)) | TARGET
        asked = set(re.findall(r"(\w+)(?:=~|!=|=)\"", plain))
        for group in re.findall(r"\b(?:by|on) ?\(([^)]*)\)", plain):
            asked |= set(group.replace(" ", "").split(","))
        asked |= set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert asked <= labels, (expression, asked - labels)
        seen |= {known[metric][0] for metric in metrics}
    assert {family for family, _ in known.values()} - seen == {
        family for family, _ in known.values() if family in NOT_SHOWN
    }


def test_doc_has_the_metrics_of_the_service():
    text = (ROOT / "doc/serving.md").read_text(encoding="utf-8")
    for sample, (family, labels) in served().items():
        names = {family, sample} if sample.startswith("gn2_") else {"process_…"}
        assert any(f"`{name}" in text for name in names), sample


def alarms():
    """Queries that the docs name."""
    for name in ("serving", "farm"):
        text = (ROOT / f"doc/{name}.md").read_text(encoding="utf-8")
        found = re.findall(r"`([^`]*)`|^    (.*)$", text, flags=re.M)
        for query in (" ".join((a or b).split()) for a, b in found):
            if re.search(r"gn2_\w+.* (==|!=|>|<) ", query):
                yield query


def test_queries_are_taken_by_promtool(tmp_path):
    told = list(alarms())
    assert len(told) == 4
    shown = [text for name in DASHBOARDS for text, _ in queries(name)]
    rules = [
        {"record": f"r{k}", "expr": text.replace("$__rate_interval", "1m")}
        for k, text in enumerate(shown + told)
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    promtool("check", "rules", path)
