# SPDX-License-Identifier: Apache-2.0
"""Training batches in buckets of fixed shape, for compilers that want one: the jets of
a batch sorted by multiplicity and cut into buckets, each padded to its longest jet. All
batches have the same buckets, chosen for the least padded work. Losses are sums of
terms times weights made here, so that padding has weight 0."""
import functools
import math

import h5py
import numpy as np
import yaml

from peer_jets import JETS, TRACKS

BATCHES = 8  # held in memory, as bench_train holds them
HEAVY, FAKE = (3, 4, 5), 1  # origins: from b, b → c, c; made of hits of several tracks
TASK_WEIGHTS = (1.0, 0.5, 1.5)  # of the jets', tracks' and pairs' losses


def class_weights(data):
    """Of flavours and of origins, as lists."""
    with open(f"{data}/class_dict.yaml") as file:
        weights = yaml.safe_load(file)
    return (
        weights["jets"]["flavour_label"],
        weights["tracks"]["ftagTruthOriginLabel"],
    )


def read(path, count):
    """The first jets: name → array; slots that are not in use hold 0 and labels -1."""
    with h5py.File(path) as file:
        jets, tracks = file["jets"][:count], file["tracks"][:count]
    valid = tracks["valid"].astype(bool)
    values = np.stack([tracks[k] for k in TRACKS], -1).astype("f4")
    return {
        "jets": np.stack([jets[k] for k in JETS], 1).astype("f4"),
        "tracks": np.where(valid[..., None], values, np.float32(0)),
        "valid": valid,
        "flavour": jets["flavour_label"].astype("i8"),
        "origin": np.where(valid, tracks["ftagTruthOriginLabel"], -1).astype("i8"),
        "vertex": np.where(valid, tracks["ftagTruthVertexIndex"], -1).astype("i8"),
    }


# ---- shapes ----


def work(width, length):
    """Multiply-adds of a jet padded to a length; attention, of small products, counts
    three times."""
    token = 21 * 256 + 256 * width + 32 * width**2 + 128 * width + 5 * 128**2
    pair = 128 * 64 + 64 * 32 + 32
    return (length + 1) * token + length**2 * (pair + 3 * 4 * 2 * width)


def plan(longest, count, cost):
    """(first, last, length) of `count` buckets of least cost; longest: multiplicity of
    the jet at each place, ascending."""
    lengths, jets = np.unique(longest, return_counts=True)
    ends = [0, *map(int, np.cumsum(jets))]

    @functools.cache
    def cheapest(last, left):
        if last == 0:
            return 0, ()
        if left == 0:
            return math.inf, ()
        length = int(lengths[last - 1])
        return min(
            (before + (ends[last] - ends[first]) * cost(length), (*buckets, first))
            for first in range(last)
            for before, buckets in [cheapest(first, left - 1)]
        )

    starts = [*cheapest(len(lengths), count)[1], len(lengths)]
    return [(ends[a], ends[b], int(lengths[b - 1])) for a, b in zip(starts, starts[1:])]


# ---- weights of the terms ----


def pair_targets(vertex, origin, valid):
    """Of ordered pairs (B, T, T): whether both are of one vertex; salt's weights."""
    here = valid[:, :, None] & valid[:, None] & ~np.eye(valid.shape[1], dtype=bool)
    same = (vertex[:, :, None] == vertex[:, None]) & (vertex >= 0)[:, None] & here
    heavy, fake = np.isin(origin, HEAVY), origin == FAKE
    either = heavy | fake
    weight = 1 + (either[:, :, None] & either[:, None])
    return same, np.where(here & ~(fake[:, :, None] & fake[:, None]), weight, 0)


def bucket(data, rows, length, flavours, origins):
    """One bucket, its weights not yet divided by the sums of the batch."""
    at = {k: v[rows, :length] for k, v in data.items() if v.shape[1:]}
    at["jets"], at["flavour"] = data["jets"][rows], data["flavour"][rows]
    same, pair = pair_targets(at.pop("vertex"), at["origin"], at["valid"])
    at["same"], at["pair_weight"] = same.astype("f4"), pair
    at["jet_weight"] = flavours[at["flavour"]]
    known = np.maximum(at["origin"], 0)
    at["track_weight"] = np.where(at["origin"] >= 0, origins[known], 0)
    at["origin"] = known
    return at


def normalise(buckets):
    """Weights over what their losses are divided by, times those of the tasks."""
    by = {"jet_weight": "jet_weight", "track_weight": "track_weight"}
    by["pair_weight"] = "same"
    for (name, divisor), task in zip(by.items(), TASK_WEIGHTS):
        total = max(sum(float(b[divisor].sum()) for b in buckets), 1e-9)
        for b in buckets:
            b[name] = (b[name] * task / total).astype("f4")


def batches(data, width, size, count):
    """BATCHES lists of buckets from the first jets of the training file."""
    jets = read(f"{data}/jets_train.h5", BATCHES * size)
    lengths = jets["valid"].sum(1).reshape(BATCHES, size)
    order = np.argsort(lengths, 1, kind="stable")
    longest = np.take_along_axis(lengths, order, 1).max(0)
    shapes = plan(np.maximum(longest, 1), count, functools.partial(work, width))
    flavours, origins = map(np.array, class_weights(data))
    out = []
    for i, rows in enumerate(order + size * np.arange(BATCHES)[:, None]):
        out.append(
            [bucket(jets, rows[a:b], n, flavours, origins) for a, b, n in shapes]
        )
        normalise(out[i])
    return out
