# SPDX-License-Identifier: Apache-2.0
"""Tags events of an analysis, chunk by chunk, here or by a server: one argument.

chunks.py best.gn2 jets.h5                    in this process
chunks.py http://127.0.0.1:8000 jets.h5       by `gn2 serve best.gn2`
chunks.py grpc://127.0.0.1:8001 jets.h5       the same by `--grpc 8001`

pip install awkward h5py. Chunks are awkward arrays, events × jets × tracks, as
coffea's processors get them; the body of `process` is that of a processor. Here two
jets of the file make an event.
"""

import sys

import awkward
import h5py
import numpy as np

import gn2

CUT = 1.5  #: of D_b


def process(events, tagger):
    """Number of jets, and of those that are tagged as b."""
    scores = tagger.tag(events.jets)
    tagged = scores.discriminant("b") > CUT
    return {"jets": awkward.count(tagged), "b": awkward.sum(tagged)}


def chunks(path, size=500):
    """Events of a file of the dumper."""
    with h5py.File(path) as file:
        for start in range(0, len(file["jets"]), size):
            jets = file["jets"][start : start + size]
            slots = awkward.from_numpy(file["tracks"][start : start + size])
            tracks = awkward.from_regular(slots)
            columns = {name: jets[name] for name in jets.dtype.names}
            columns["tracks"] = tracks[tracks.valid]
            records = awkward.zip(columns, depth_limit=1)
            pairs = np.full(len(jets) // 2, 2)
            yield awkward.Array(
                {"jets": awkward.unflatten(records[: 2 * len(pairs)], pairs)}
            )


def main(where, path):
    make = gn2.Remote if "://" in where else gn2.Tagger
    total = {"jets": 0, "b": 0}
    with make(where) as tagger:
        for events in chunks(path):
            for name, count in process(events, tagger).items():
                total[name] += count
    print(f"{total['jets']} jets, {total['b']} with D_b > {CUT}")
    return total


if __name__ == "__main__":
    main(*sys.argv[1:3])
