# SPDX-License-Identifier: Apache-2.0
"""What Prometheus' own program says of metrics, queries and rules."""

import shutil
import subprocess

import pytest


def promtool(*words, text=None):
    """Nothing is to be said; a warning of style has a status of its own."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool (Debian: prometheus)")
    done = subprocess.run(
        [program, *map(str, words)], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
