# SPDX-License-Identifier: Apache-2.0
"""The samplers of a search on a table in place of training: validation losses of the
schedule study under doc/studies, over initial and maximum learning rate, looked up by
linear interpolation of the logarithms. GN2_TEST_STUDIES sets the number of studies."""

import collections
import csv
import math
import os

import numpy as np
import pytest
from conftest import ROOT

pytest.importorskip("yaml")
optuna = pytest.importorskip("optuna")

from gn2.hpo import reader, sampling  # noqa: E402

STUDIES = int(os.environ.get("GN2_TEST_STUDIES", "12"))
TRIALS = 20
SPACE = """\
gn2_space: 1
name: table
algorithm: {{name: {algorithm}, seed: {seed}}}
parameters:
  initial: {{key: schedule.initial, type: real, min: 1e-7, max: 1e-3, scale: log}}
  maximum: {{key: schedule.max, type: real, min: 3e-4, max: 1e-1, scale: log}}
data: {{train: [a.h5], val: [b.h5]}}
budget: {{steps: 10, validate_steps: 1}}
trials: {trials}
"""


@pytest.fixture(scope="module")
def table():
    """(log initial, log maximum, loss) at width 64, the base; what diverged has that of
    the worst that did not, as a penalty is bounded."""
    found = collections.defaultdict(list)
    with open(ROOT / "doc/studies/schedule.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["form"] == "sp" and row["width"] == "64":
                place = float(row["initial"]), float(row["max"])
                loss = float(row["val_loss"]) if row["state"] == "done" else math.nan
                found[place].append(loss)
    worst = max(v for values in found.values() for v in values if v == v)
    x = sorted({math.log(a) for a, _ in found})
    y = sorted({math.log(b) for _, b in found})
    grid = np.full((len(x), len(y)), worst)
    for (a, b), values in found.items():
        loss = np.mean([worst if v != v else v for v in values])
        grid[x.index(math.log(a)), y.index(math.log(b))] = loss
    return x, y, grid


def loss_of(table, values):
    x, y, grid = table
    a, b = math.log(values["initial"]), math.log(values["maximum"])
    lines = [np.interp(b, y, row) for row in grid]
    return float(np.interp(a, x, lines))


def study(table, algorithm, seed, trials=TRIALS):
    """Losses and values of a search, asked as the engine asks."""
    text = SPACE.format(algorithm=algorithm, seed=seed, trials=trials)
    space = reader.load("table.yaml", text)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found, losses, drawn = optuna.create_study(), [], []
    for _ in range(trials):
        asked = found._storage.create_new_trial(found._study_id)
        trial, values = sampling.ask(found, asked, space)
        losses.append(loss_of(table, values))
        drawn.append(values)
        found.tell(trial.number, losses[-1])
    return losses, drawn


def test_tpe_is_no_worse_than_random(table):
    best = {
        name: np.array([min(study(table, name, seed)[0]) for seed in range(STUDIES)])
        for name in ("tpe", "random")
    }
    difference = best["tpe"] - best["random"]
    error = difference.std(ddof=1) / math.sqrt(STUDIES)
    print(f"tpe - random after {TRIALS}: {difference.mean():.5f} ± {error:.5f}")
    assert difference.mean() <= 2 * error


@pytest.mark.parametrize("algorithm", ["random", "sobol", "tpe"])
def test_log_scales_are_drawn_as_logarithms(table, algorithm):
    """Half of the first draws lie below the geometric mean of the ends."""
    count = 8 if algorithm == "tpe" else 16  # TPE begins at random
    places = [
        math.log(values["maximum"] / 3e-4) / math.log(1e-1 / 3e-4)
        for seed in range(6)
        for values in study(table, algorithm, seed, count)[1]
    ]
    assert 0 <= min(places) and max(places) <= 1
    share = np.mean(np.array(places) < 0.5)
    assert abs(share - 0.5) < 2.6 * 0.5 / math.sqrt(len(places))


@pytest.mark.filterwarnings("error::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("algorithm", ["random", "tpe", "sobol", "cmaes"])
def test_nothing_is_drawn_twice(table, algorithm):
    for module in {"cmaes": ["cmaes"], "sobol": ["scipy"]}.get(algorithm, []):
        pytest.importorskip(module)
    _, drawn = study(table, algorithm, 1, 32)
    assert len({tuple(values.values()) for values in drawn}) == 32
