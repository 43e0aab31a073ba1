# SPDX-License-Identifier: Apache-2.0
"""Runs pytest on files of this folder; 77 with the reason when something is missing.

run.py LIBRARY FILE...

GN2_TEST_PYTHON names an interpreter to use instead, e.g. of a virtual environment
that has the optional packages (onnx, onnxruntime).
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

# pytest's status when all files skipped themselves
NOTHING_COLLECTED = 5
NEEDED = {"numpy": "python3-numpy", "pytest": "python3-pytest"}


def main():
    wanted = os.environ.get("GN2_TEST_PYTHON", sys.executable)
    if wanted != sys.executable:
        os.execv(wanted, [wanted, *sys.argv])
    library, *names = sys.argv[1:]
    lost = [p for m, p in NEEDED.items() if importlib.util.find_spec(m) is None]
    if lost:
        print(f"skipped: {sys.executable} lacks {', '.join(lost)}")
        return 77
    here = pathlib.Path(__file__).resolve().parent
    package = here.parents[1] / "bindings" / "python"
    env = {
        **os.environ,
        "GN2_LIBRARY": os.path.abspath(library),
        "PYTHONPATH": str(package),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    command += [f"--rootdir={here}"]
    status = subprocess.run(
        [*command, *(here / name for name in names)], env=env
    ).returncode
    return 77 if status == NOTHING_COLLECTED else status


sys.exit(main())
