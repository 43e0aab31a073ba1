# SPDX-License-Identifier: Apache-2.0
"""Further actions of fuzz_worker.py: datasets and trainers."""

import random

import numpy as np
from conftest import SMALL, Sample

import gn2

MODEL = gn2.Model(SMALL)
OPTIONS = {"train.threads": 1, "schedule.steps": 3, "train.epochs": 1}


def actions(anything):
    def sample():
        s = Sample(MODEL.inputs, np.random.randint(0, 5, 4), random.randrange(100))
        n = len(s.tracks)
        labels = {"flavour": np.zeros(4, int), "origin": np.zeros(n, int)}
        labels["vertex"] = np.random.randint(-2, 3, n)
        return [s.jets, s.ragged, labels]

    def spoiled():
        arguments = sample()
        if random.random() < 0.8:
            arguments[random.randrange(3)] = anything()
        if random.random() < 0.3 and isinstance(arguments[2], dict):
            arguments[2] = {
                **arguments[2],
                random.choice("flavour origin".split()): anything(),
            }
        return arguments

    def step():
        with gn2.Trainer(MODEL, OPTIONS) as trainer:
            trainer.step(*spoiled())
            trainer.probe(*spoiled()[:2])

    def dataset():
        options = {"data.batch_size": random.choice([1, 3, 100, anything()])}
        data = gn2.Dataset.from_arrays(*spoiled(), options)
        list(data)
        data.reset(anything(), anything())
        data.setup(anything())

    def fit():
        data = gn2.Dataset.from_arrays(*spoiled(), {"data.batch_size": 2})
        with gn2.Trainer(MODEL, {**OPTIONS, "schedule.steps": 0}) as trainer:
            callback = random.choice([(), lambda p: anything(), anything()])
            trainer.fit(
                data,
                random.choice([None, anything()]),
                progress=False,
                callback=callback,
            )

    def files():
        random.choice([gn2.Dataset, gn2.Trainer])(anything())
        gn2.ScoreWriter(anything(), anything(), MODEL)

    return [step, dataset, fit, files]
