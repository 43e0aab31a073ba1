# SPDX-License-Identifier: Apache-2.0
"""A small space, the trial program as a call and as a process, a strict reader of what
it tells."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest
from conftest import ROOT

h5py = pytest.importorskip("h5py")
yaml = pytest.importorskip("yaml")

import gn2  # noqa: E402
from gn2.cli import main  # noqa: E402
from gn2.hpo import launch  # noqa: E402

DATA = ROOT / "examples" / "data"
SPACE = {
    "gn2_space": 1,
    "name": "small",
    "objective": {"metric": "val_loss"},
    "parameters": {
        "rate": {
            "key": "schedule.max",
            "type": "real",
            "min": 1e-5,
            "max": 1e3,
            "scale": "log",
        },
        "layers": {"key": "model.num_layers", "type": "integer", "min": 1, "max": 2},
    },
    "options": {
        "model.embed_dim": 16,
        "model.init_hidden": 16,
        "model.num_heads": 2,
        "data.batch_size": 50,
        "data.max_jets": 400,
        "train.threads": 1,
        "train.checkpoint_steps": 3,
    },
    "data": {"train": [str(DATA / "jets_train.h5")]},
    "budget": {"steps": 14, "validate_steps": 4},
}
GIVEN = ["rate=1e-3", "layers=1"]


def some_jets(path, source, count):
    """A file with the first jets of another."""
    with h5py.File(source, locking=False) as old, h5py.File(path, "w") as new:
        for name in ("jets", "tracks"):
            made = new.create_dataset(name, data=old[name][:count])
            made.attrs.update(old[name].attrs)


@pytest.fixture(scope="session", autouse=True)
def few(tmp_path_factory):
    """Validation takes most of the time: few jets are enough."""
    path = tmp_path_factory.mktemp("data") / "val.h5"
    some_jets(path, DATA / "jets_val.h5", 150)
    SPACE["data"]["val"] = [str(path)]


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    for name in list(os.environ):
        if name.startswith(("KUBEFLOW_", "KATIB_")) or name in launch.RANKS:
            monkeypatch.delenv(name)


def write(path, **changes):
    """A space file; a section is changed by a mapping, else replaced."""
    space = json.loads(json.dumps(SPACE))
    for name, value in changes.items():
        if isinstance(space.get(name), dict) and isinstance(value, dict):
            space[name].update(value)
        else:
            space[name] = value
    path.write_text(yaml.safe_dump(space))
    return path


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    return write(tmp_path_factory.mktemp("space") / "space.yaml")


def words(space, out, *more, given=GIVEN):
    return ["hpo", "trial", str(space), "-o", str(out), "-q", *more, *given]


def start(space, out, *more, given=GIVEN, before="", env=None):
    """The program as a process; `before` is Python that runs first in it."""
    code = (
        f"{before}\nimport sys\nfrom gn2.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *words(space, out, *more, given=given)]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    )


@pytest.fixture(scope="module")
def done(space, tmp_path_factory):
    """A trial that nothing disturbed."""
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    out = tmp_path_factory.mktemp("done") / "trial"
    assert main(words(space, out)) == 0
    return out


TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
NUMBER = r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]\d\d+)?"
LINE = re.compile(rf"({TIME})(( [A-Za-z0-9_-]+={NUMBER})+)")


def told(path):
    """Lines of a metrics file as mappings; each rule of the contract is checked."""
    data = pathlib.Path(path).read_bytes()
    assert data.endswith(b"\n") and b"\r" not in data
    found, times = [], []
    for line in data.decode("ascii").splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        pairs = [word.split("=") for word in match[2].split()]
        assert len(dict(pairs)) == len(pairs), line
        times.append(match[1])
        found.append({name: float(value) for name, value in pairs})
    assert times == sorted(times)
    steps = [int(row["step"]) for row in found if "step" in row]
    assert steps == sorted(set(steps))
    return found


def same(a, b):
    a, b = (gn2.Model.load(p / "model.gn2").state_dict() for p in (a, b))
    return all((a[name] == b[name]).all() for name in a)


def wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def lines_of(path):
    return path.read_text().count("\n") if path.exists() else -1
