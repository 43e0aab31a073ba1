# SPDX-License-Identifier: Apache-2.0
"""The notebook runs from top to bottom, keeps its outputs, and they are not large."""

import base64
import os
import re
import shutil
import sys

import pytest
from conftest import ROOT

for module, package in {
    "matplotlib": "python3-matplotlib",
    "h5py": "python3-h5py",
    "nbformat": "python3-nbformat",
    "nbclient": "python3-nbclient",
    "ipykernel": "python3-ipykernel",
}.items():
    pytest.importorskip(module, reason=f"{package} is not installed")

import nbformat  # noqa: E402
from nbclient import NotebookClient  # noqa: E402

NAME = "first_tagger.ipynb"
PATH = ROOT / "examples" / "notebook" / NAME


def pictures(notebook):
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    found = [
        o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})
    ]
    return [base64.b64decode(text) for text in found]


@pytest.fixture(scope="module")
def kept():
    return nbformat.read(PATH, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook executed beside a copy of the data."""
    examples = tmp_path_factory.mktemp("examples")
    shutil.copytree(ROOT / "examples" / "data", examples / "data")
    folder = examples / "notebook"
    folder.mkdir()
    notebook = nbformat.read(PATH, as_version=4)
    # the kernel of this interpreter, whichever kernels are installed beside it
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    client.execute()
    return notebook, folder


def test_it_runs_and_leaves_model_and_report(executed):
    _, folder = executed
    assert (folder / "first_tagger.gn2").stat().st_size > 0
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "three tasks" in text and "flavour only" in text
    assert "not drawn" not in text


def test_it_shows_that_it_learned(executed):
    notebook, _ = executed
    texts = [o.get("text", "") for c in notebook.cells for o in c.get("outputs", [])]
    found = re.search(r"light +rejection at 77%: +([\d.]+)", "".join(texts))
    # a tagger that knows nothing rejects 1/0.77; the sample teaches this much for sure
    assert float(found[1]) > 5


def test_outputs_are_kept_and_as_many_as_new_ones(executed, kept):
    assert len(pictures(kept)) == len(pictures(executed[0])) >= 6
    for cell in kept.cells:
        if cell.cell_type == "code":
            assert cell.execution_count
            assert not any(o.output_type == "error" for o in cell.outputs)


def test_kept_outputs_are_small_and_tell_nothing_of_where_they_were_made(kept):
    assert PATH.stat().st_size < 1_000_000
    assert all(len(png) < 150_000 for png in pictures(kept))
    text = PATH.read_text(encoding="utf-8")
    for word in (*(f"/{top}/" for top in ("home", "work", "tmp", "root")), "Traceback"):
        assert word not in text, word
