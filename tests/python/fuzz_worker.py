# SPDX-License-Identifier: Apache-2.0
"""fuzz_worker.py SEED SECONDS: prints the number of calls and of exceptions."""

import random
import sys
import time

import fuzz_training
import numpy as np
from conftest import SMALL, Sample

import gn2
from gn2.config import keys

random.seed(int(sys.argv[1]))
END = time.monotonic() + float(sys.argv[2])
MODEL = gn2.Model(SMALL)
KEYS = [key.replace("*", "tracks") for key in keys()]


def array():
    shape = random.choice(
        [(), (0,), (3,), (4, 2), (4, 19), (2, 3, 19), (0, 19), (7, 0)]
    )
    kind = random.choice("f4 f8 f2 i1 i8 u4 ? c8 S3 U2 M8[s] O >f4 >i8".split())
    data = np.zeros(shape, kind)
    if data.dtype.kind in "fiu" and data.size:
        data.flat[0] = random.choice([0, 1, 100])
    if data.ndim and random.random() < 0.3:
        data = data[:: random.choice([-1, 2])]
    if data.ndim and data.dtype.kind == "f" and random.random() < 0.2:
        data = np.broadcast_to(data[..., :1], data.shape)
    return data


def records():
    names = list(random.choice([MODEL.inputs["jets"], MODEL.inputs["tracks"], ["a"]]))
    random.shuffle(names)
    kinds = [
        (name, random.choice(["f4", "f8", "i2", "S2", "(2,)f4"])) for name in names
    ]
    align = random.random() < 0.5
    return np.zeros(random.choice([0, 4, (4, 3)]), np.dtype(kinds, align=align))


def good():
    s = Sample(MODEL.inputs, np.random.randint(0, 5, 4), random.randrange(100))
    data, valid = s.padded()
    return random.choice(
        [s.jets, s.ragged, data, valid, s.records(), s.split(), s.offsets]
    )


def scalar():
    return random.choice(
        [
            None,
            0,
            1,
            -1,
            2**31,
            2**63,
            -(2**63),
            2**70,
            0.5,
            float("nan"),
            float("inf"),
            True,
            "",
            "b",
            "jets",
            "origin",
            "tracks.origin",
            "a\0b",
            "\ud800",
            b"x",
            "x" * 5000,
            object(),
            MODEL,
            gn2,
            int,
            lambda: 0,
            [],
            {},
            (),
            "{",
            "{0}",
        ]
    )


def anything():
    pick = random.choice([array, records, good, scalar, scalar, key])
    value = pick()
    wrap = random.random()
    if wrap < 0.1:
        return (value, array())
    if wrap < 0.2:
        return [value, value]
    if wrap < 0.3:
        return {random.choice(["tracks", "d0", "jets", "flavour"]): value}
    return value


def key():
    return random.choice(KEYS)


def number():
    return random.choice([0, 1, 4, -1, 10**4, 2**40, anything()])


def set_option():
    config = gn2.Config()
    config[key()] = anything()
    config[key()]
    config.get(anything())


def tag():
    with gn2.Tagger(MODEL, strict=random.random() < 0.2) as tagger:
        for _ in range(5):
            jets, tracks = anything(), anything()
            if random.random() < 0.7:
                s = Sample(MODEL.inputs, np.random.randint(0, 5, 4), 1)
                jets = random.choice([s.jets, jets])
                tracks = random.choice([s.ragged, (s.tracks, array()), tracks])
            outputs = random.choice([(), "origin", tagger.output_names, anything()])
            try:
                tagger.tag(
                    jets,
                    tracks,
                    valid=random.choice([None, anything()]),
                    outputs=outputs,
                ).discriminant()
            finally:
                tagger.tag(s_jets, s_ragged)


def make():
    options = {key(): anything() for _ in range(random.randrange(4))}
    # sizes stay small: this is about types and bounds, not about memory
    gn2.Model({**options, **SMALL})
    gn2.Tagger(MODEL, options, threads=random.choice([None, 1, scalar()]))


def weights():
    model = gn2.Model(SMALL)
    name = random.choice([*model.params, anything()])
    model[name] = anything()
    model[name]


def other():
    function = random.choice(
        [
            gn2.Model.load,
            MODEL.metadata,
            gn2.Config,
            gn2.Config().load,
            gn2.Model,
            MODEL.__getitem__,
            gn2.Tagger,
        ]
    )
    function(anything())


def scores():
    gn2.discriminant(anything(), number(), anything(), random.choice(["log", scalar()]))


SAMPLE = Sample(MODEL.inputs, [1, 2, 0, 4])
s_jets, s_ragged = SAMPLE.jets, SAMPLE.ragged
ACTIONS = [set_option, tag, tag, tag, make, weights, other, scores]
ACTIONS += fuzz_training.actions(anything)


def main():
    calls = failed = 0
    while time.monotonic() < END:
        calls += 1
        try:
            random.choice(ACTIONS)()
        except Exception:
            failed += 1
    print(calls, failed)


main()
