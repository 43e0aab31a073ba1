# SPDX-License-Identifier: Apache-2.0
"""Doxygen understands every comment of the public headers and misses none.

run_doxygen.py DOXYFILE
"""
import shutil
import subprocess
import sys

SKIP = 77


def main():
    if not shutil.which("doxygen"):
        print("skipped: doxygen is not installed")
        sys.exit(SKIP)
    done = subprocess.run(["doxygen", sys.argv[1]], capture_output=True, text=True)
    print(done.stdout + done.stderr)
    sys.exit(done.returncode != 0 or "warning:" in done.stderr)


main()
