# SPDX-License-Identifier: Apache-2.0
"""Small searches with a stand-in for the trial program, for the tests of the engine."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hpo"))

import kill_study

from gn2.hpo import engine, reader
from gn2.hpo.engine import Plan

PROGRAM = kill_study.PROGRAM
CHOICES = """\
gn2_space: 1
name: cells
algorithm: {name: %s, seed: 1}
parameters:
  rate: {key: schedule.max, type: choice, values: [0.001, 0.01]}
  layers: {key: model.num_layers, type: integer, min: 2, max: 4}
data: {train: [a.h5], val: [b.h5]}
budget: {steps: 4, validate_steps: 2}
trials: %d
transfer: {model.embed_dim: 256, schedule.steps: 6}
"""


def space_in(folder, **given):
    return reader.load(kill_study.space_in(folder, **given))


def run(space, out, **given):
    """A search in this process; its rows."""
    plan = Plan(pathlib.Path(out), program=PROGRAM, quiet=True, lease=2.0, **given)
    search = engine.Search(space, plan)
    search.run()
    return engine.trials(space, given.get("store"), plan.folder), search


def journal(out):
    out.mkdir(parents=True, exist_ok=True)
    return f"journal:{out / 'journal.log'}"


def trained(out):
    """How often each folder was trained, and how many steps in all."""
    files = sorted(pathlib.Path(out).glob("trials/*/trained"))
    return {file.parent.name: file.read_text().split() for file in files}


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
