#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tags jets in NumPy arrays through ctypes alone.

The package `gn2` in bindings/python does this and more; here is how little it takes.
"""
import argparse
import ctypes as c
import sys

try:
    import numpy as np
except ImportError:
    print("skipped: this Python has no NumPy")
    sys.exit(77)


class Sequence(c.Structure):
    _fields_ = [
        ("size", c.c_uint32),
        ("flags", c.c_uint32),
        ("data", c.c_void_p),
        ("row_stride", c.c_int64),
        ("offsets", c.c_void_p),
        ("valid", c.c_void_p),
        ("slots", c.c_int64),
        ("reserved", c.c_uint64 * 4),
    ]


class Jets(c.Structure):
    _fields_ = [
        ("size", c.c_uint32),
        ("sequence_count", c.c_uint32),
        ("count", c.c_int64),
        ("features", c.c_void_p),
        ("row_stride", c.c_int64),
        ("sequences", c.POINTER(Sequence)),
        ("sequence_stride", c.c_int64),
        ("reserved", c.c_uint64 * 4),
    ]


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("library", help="libgn2.so")
parser.add_argument("model", nargs="?", help="a .gn2 file; none: an untrained model")
args = parser.parse_args()

gn2 = c.CDLL(args.library)
gn2.gn2_last_error.restype = c.c_char_p
gn2.gn2_model_class_count.restype = c.c_size_t
gn2.gn2_model_class_count.argtypes = [c.c_void_p]


def check(status):
    if status:
        sys.exit("tag_numpy: " + gn2.gn2_last_error().decode())


model, tagger = c.c_void_p(), c.c_void_p()
if args.model:
    check(gn2.gn2_model_load(args.model.encode(), c.byref(model)))
else:
    check(gn2.gn2_model_create(None, c.byref(model)))
check(gn2.gn2_tagger_create(model, None, c.byref(tagger)))

random = np.random.default_rng(1)
features = np.array([[50e3, 0.3], [120e3, -1.7], [34e3, 2.1]], np.float32)
tracks = random.normal(size=(3, 40, 19)).astype(np.float32)  # padded to 40 slots
valid = np.arange(40) < np.array([[9], [0], [4]])
rows = Sequence(
    size=c.sizeof(Sequence), data=tracks.ctypes.data, valid=valid.ctypes.data, slots=40
)
jets = Jets(
    size=c.sizeof(Jets),
    sequence_count=1,
    count=3,
    features=features.ctypes.data,
    sequences=c.pointer(rows),
)

p = np.empty((3, gn2.gn2_model_class_count(model)), np.float32)
d_b = np.empty(3, np.float32)
check(
    gn2.gn2_tagger_flavour(
        tagger,
        c.byref(jets),
        p.ctypes.data_as(c.c_void_p),
        d_b.ctypes.data_as(c.c_void_p),
    )
)
gn2.gn2_tagger_free(tagger)
gn2.gn2_model_free(model)
assert np.allclose(p.sum(axis=1), 1, atol=1e-6)
print("probabilities:", p, "D_b:", d_b, sep="\n")
