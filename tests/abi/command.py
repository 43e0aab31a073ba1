# SPDX-License-Identifier: Apache-2.0
"""Running a command of a test: what it printed, or the end of the test."""
import subprocess
import sys


def run(*command, env=None):
    done = subprocess.run(
        [str(word) for word in command],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout
