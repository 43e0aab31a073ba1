# SPDX-License-Identifier: Apache-2.0
"""`pip wheel .`, then its repaired form, each installed into an empty environment that
sees no other libgn2, train, tag and answer as command. 77 when offline.

wheel.py SOURCE_ROOT
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import venv

SCRIPT = """
import numpy as np
import gn2
assert "site-packages" in gn2.library_path, gn2.library_path
rng = np.random.default_rng(1)
jets = rng.normal(size=(200, 2)).astype("f4")
offsets = np.arange(201) * 3
tracks = rng.normal(size=(600, 19)).astype("f4")
labels = {"flavour": np.arange(200) % 4}
options = {"model.embed_dim": 16, "model.init_hidden": [16], "train.epochs": 1,
           "data.batch_size": 50, "model.tasks": ["jets_classification"]}
data = gn2.Dataset.from_arrays(jets, (tracks, offsets), labels, options)
trainer = gn2.Trainer(gn2.Model(data.setup()))
trainer.fit(data, progress=False)
scores = gn2.Tagger(trainer.model).tag(jets, (tracks, offsets))
assert np.isfinite(scores.discriminant("b")).all()
import sys
if gn2.features()["hdf5"] != "none":
    file = gn2.Dataset(sys.argv[1], {"data.max_jets": 1000})
    assert file.info.jet_count == 1000
if gn2.features()["onednn"] != "none":
    gn2.Tagger(trainer.model, {"compute.gemm": "onednn"})
if len(sys.argv) > 2:  # repaired: oneDNN and HDF5 are the wheel's own
    paths = {line.split()[-1] for line in open("/proc/self/maps")}
    mine = [path for path in paths if "libdnnl" in path or "libhdf5" in path]
    assert mine and all("gn2.libs" in path for path in mine), mine
print("trained and tagged with", gn2.library_path)
"""


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, **options
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def online(python):
    done = subprocess.run(
        [
            python,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "-d",
            tempfile.gettempdir(),
            "meson-python",
        ],
        capture_output=True,
        cwd=tempfile.gettempdir(),
    )
    return done.returncode == 0


def environment(folder):
    venv.create(folder, with_pip=True)
    return folder / "bin"


def try_out(wheel, root, folder, *more):
    place = environment(folder)
    run(place / "python", "-m", "pip", "install", "-q", wheel)
    # nothing of the source tree, of the build or of the user's environment
    clean = {"PATH": f"{place}:/usr/bin:/bin", "HOME": str(folder)}
    data = root / "examples" / "data" / "jets_train.h5"
    print(
        run(place / "python", "-c", SCRIPT, data, *more, env=clean, cwd=folder).strip()
    )
    print(run(place / "gn2", "--version", env=clean, cwd=folder).strip())
    run(place / "gn2", "config", "--names", env=clean, cwd=folder)


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        builder = environment(folder / "build") / "python"
        if not online(builder):
            print("skipped: no package index to fetch meson-python and numpy from")
            return 77
        command = [builder, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder]
        run(*command, root)
        wheel = next(folder.glob("gn2-*.whl"))
        try_out(wheel, root, folder / "plain")
        check = root / "bindings" / "python" / "check_wheel.py"
        before = subprocess.run([sys.executable, check, wheel], capture_output=True)
        print(before.stdout.decode())
        assert before.returncode == 1 and b"libdnnl" in before.stdout
        if shutil.which("patchelf") is None:
            print("no patchelf: the repaired wheel is not tested")
            return 0
        print(run(sys.executable, check, "--repair", wheel))
        wheel = next(folder.glob("gn2-*-py3-none-*.whl"))
        try_out(wheel, root, folder / "repaired", "repaired")
    return 0


sys.exit(main())
