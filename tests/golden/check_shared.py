# SPDX-License-Identifier: Apache-2.0
"""Runs golden_check over every golden file of GN2_SHARED.

check_shared.py GOLDEN_CHECK
"""
import os
import pathlib
import subprocess
import sys

SKIP = 77


def main(check):
    folder = pathlib.Path(os.environ.get("GN2_SHARED", "")) / "golden"
    files = sorted(folder.glob("*.h5"))
    if not files:
        print(f"skipped: no golden files in GN2_SHARED/golden ({folder})")
        return SKIP
    return subprocess.run([check, *files], check=False).returncode


sys.exit(main(sys.argv[1]))
