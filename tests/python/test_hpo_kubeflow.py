# SPDX-License-Identifier: Apache-2.0
"""examples/kubeflow and doc/hpo.md: shipped objects are those rendered now, overlays
build, and all are as their schemas say; image, SDK and doc say what the code says."""

import dataclasses
import fnmatch
import json
import os
import pathlib

import pytest

yaml = pytest.importorskip("yaml")

import gn2.hpo  # noqa: E402
from gn2.hpo import algorithms, experiment, reader, render, space  # noqa: E402
from gn2.hpo.document import read_all  # noqa: E402
from gn2.hpo.render import kinds, pod  # noqa: E402

from k8s_schemas import BUILT_IN, kubectl, schemas  # noqa: E402, F401

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples/kubeflow"
SEARCHES = sorted(FOLDER.glob("*.yaml"))


def built(place):
    """Objects of a kustomization."""
    return read_all(f"{place}.yaml", kubectl("kustomize", str(FOLDER / place)))


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_shipped_objects_are_rendered_now(path):
    shipped = read_all(FOLDER / "base" / path.name)
    now = render.text(render.objects(reader.load(path), "katib"))
    assert [d.value for d in shipped] == [d.value for d in read_all("now", now)]


@pytest.mark.parametrize("place", ["base", "overlays/cern"])
def test_kustomizations_build_what_the_schemas_take(schemas, place):
    found = []
    for document in built(place):
        found.append(document.value["kind"])
        assert found[-1] in (*BUILT_IN, "Experiment")
        schemas.check(document.value)
        if experiment.is_experiment(document):
            assert not experiment.problems(document)
    assert found.count("Experiment") == len(SEARCHES) == 2
    assert ("PersistentVolumeClaim" in found) == (place == "base")


def test_pod_for_copies(schemas):
    (document,) = read_all(FOLDER / "base/copy.yaml")
    schemas.check(document.value)
    claims = {
        d.value["metadata"]["name"] for d in read_all(FOLDER / "base/volumes.yaml")
    }
    volumes = document.value["spec"]["volumes"]
    assert {v["persistentVolumeClaim"]["claimName"] for v in volumes} == claims


def test_overlay_puts_eos_and_a_ticket_into_every_trial(schemas):
    """In its pods, volumes and init containers too, a typo is caught."""
    trials = [d.value for d in built("overlays/cern") if experiment.is_experiment(d)]
    for trial in trials:
        job = trial["spec"]["trialTemplate"]["trialSpec"]
        spec = job["spec"]["template"]["spec"]
        volumes = {v["name"]: v for v in spec["volumes"]}
        assert {"data", "output", "secret", "ticket", *pod.OWN_VOLUMES[:2]} == set(
            volumes
        )
        assert all("hostPath" in volumes[name] for name in ("data", "output"))
        (main,), (before,) = spec["containers"], spec["initContainers"]
        assert main["env"][0]["name"] == "KRB5CCNAME"
        assert before["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        for old, new in (
            ('"hostPath"', '"hostpath"'),
            ('"initContainers"', '"initContainer"'),
            ('"secretName"', '"secret"'),
            ('"mountPath": "/ticket"', '"mountPath": 1'),
        ):
            text = json.dumps(trial)
            assert old in text
            with pytest.raises(
                Exception, match="(?i)invalid|unexpected|not of type|valid"
            ):
                schemas.check(json.loads(text.replace(old, new)))


def test_image_is_what_pods_need():
    """User, home and port of the image are those of rendered objects."""
    recipe = (FOLDER / "Containerfile").read_text(encoding="utf-8")
    daemon = (FOLDER / "sshd_config").read_text(encoding="utf-8").splitlines()
    client = (FOLDER / "ssh_config").read_text(encoding="utf-8")
    user = f"{pod.USER}:{pod.USER}"
    assert f"USER {user}" in recipe and f"--chown={user}" in recipe
    assert f"HOME={kinds.HOME} " in recipe and f"{kinds.HOME}/sshd_config" in recipe
    assert {f"Port {kinds.PORT}", f"HostKey {kinds.SSH}/id_rsa"} <= set(daemon)
    assert "StrictModes no" in daemon and "PidFile none" in daemon  # read-only root
    assert f"Port {kinds.PORT}" in client and "StrictHostKeyChecking no" in client
    # of what the image is built of, nothing that meson reads is left out
    left_out = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    for name in ("include", "lib", "bindings/python", "doc", "doc/meson.build"):
        assert not [line for line in left_out if fnmatch.fnmatch(name, line)]
    images = {reader.load(path).kubernetes.image for path in SEARCHES}
    assert len(images) == 1 and images.pop().startswith("registry.example.org/")


def test_function_for_the_sdk(tmp_path):
    """It gets a dictionary or keywords, and its text stands alone."""
    text = (FOLDER / "sdk.py").read_text(encoding="utf-8")
    start, end = text.index("def trial("), text.index("def local_runtime(")
    names = {}
    exec(compile(text[start:end], "trial.py", "exec"), names)
    program, out = tmp_path / "program", tmp_path / "words"
    program.write_text(f'#!/bin/sh\necho "$@" >>"{out}"\nexit ${{STATUS:-0}}\n')
    program.chmod(0o755)
    given = {"program": str(program), "space": "s.yaml", "out": "o", "rate": "1e-3"}
    names["trial"](given)
    names["trial"](**given)
    assert out.read_text() == "hpo trial s.yaml -q -o o rate=1e-3\n" * 2
    assert given["space"] == "s.yaml"
    program.write_text("#!/bin/sh\nexit 2\n")
    with pytest.raises(SystemExit) as ended:
        names["trial"](given)
    assert ended.value.code == 2


def test_doc_has_the_table_of_algorithms():
    text = (ROOT / "doc/hpo.md").read_text(encoding="utf-8")
    for row in algorithms.ALGORITHMS.values():
        cells = [f"`{n}`" if n else "–" for n in map(row.named, algorithms.ENGINES)]
        if row.grid:
            cells[0] = "every cell once"
        line = "| ".join(f"{cell} " for cell in ("", f"`{row.name}`", *cells, row.why))
        assert f"{line.strip()} |".replace("  ", " ") in text
    for name in algorithms.REFUSED:
        assert name in text


def test_doc_has_every_key_of_the_space_file():
    text = (ROOT / "doc/hpo.md").read_text(encoding="utf-8")
    path = pathlib.Path(gn2.hpo.__file__).with_name("space.schema.json")
    schema = json.loads(path.read_text(encoding="utf-8"))
    keys = [*schema["properties"], *schema["$defs"]["parameter"]["properties"]]
    keys += [field.name for field in dataclasses.fields(space.Kubernetes)]
    keys += [f"budget.{key}" for key in schema["properties"]["budget"]["properties"]]
    pruning = schema["properties"]["pruning"]["anyOf"][1]["properties"]
    keys += [f"pruning.{key}" for key in pruning if key != "name"]
    plain = {"budget", "kubernetes"}  # they have rows of their own keys
    missing = [key for key in keys if key not in plain and f"`{key}`" not in text]
    assert not missing


@pytest.mark.parametrize(
    "engine, kind", [("katib", k) for k in kinds.KINDS] + [("job", "")]
)
def test_a_cluster_takes_rendered_objects(engine, kind):
    """GN2_TEST_KUBECONFIG: its server checks them, and keeps nothing."""
    config = os.environ.get("GN2_TEST_KUBECONFIG")
    if not config:
        pytest.skip("no cluster: GN2_TEST_KUBECONFIG is not set")
    text = render.text(render.objects(reader.load(SEARCHES[0]), engine, kind))
    words = ("apply", "--dry-run=server", "--kubeconfig", config, "-f", "-")
    kubectl(*words, input=text)
