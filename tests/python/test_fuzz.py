# SPDX-License-Identifier: Apache-2.0
"""Random arguments to every public method: exceptions, never a crash. In a process of
its own, so that a crash is a failure and not the end of the tests."""

import os
import pathlib
import subprocess
import sys

import pytest

SECONDS = 8


@pytest.mark.parametrize("seed", [1, 2])
def test_random_arguments_never_crash(seed, tmp_path):
    worker = pathlib.Path(__file__).with_name("fuzz_worker.py")
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", worker, str(seed), str(SECONDS)],
        capture_output=True,
        text=True,
        timeout=SECONDS * 15,
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    calls, failed = map(int, done.stdout.split()[-2:])
    # both outcomes must occur, or the fuzzer tests nothing
    assert calls > 300 and 0 < failed < calls, done.stdout
