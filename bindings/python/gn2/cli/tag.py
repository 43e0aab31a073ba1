# SPDX-License-Identifier: Apache-2.0
"""Tags all jets of an HDF5 file and writes their scores as salt does: the fields of
/jets asked for, then <name>_p<class> and <name>_Db; with --tracks also origin
probabilities, VertexIndex and mask in /tracks.

    gn2 tag run/best.gn2 jets_test.h5 -o scores.h5
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np

from .. import Config, Dataset, Model, ScoreWriter, Tagger
from . import common

PADDED = np.iinfo(np.int32).min


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a .gn2 file")
    common.options(parser)
    parser.add_argument("input", help="HDF5 file with jets")
    parser.add_argument(
        "-o", "--out", default="scores.h5", help="score file (scores.h5)"
    )
    parser.add_argument(
        "-t", "--tracks", action="store_true", help="write /tracks too (needs h5py)"
    )
    common.threads(parser)
    common.force(parser)


class _Valid:
    """Which slots of the file's constituents are filled."""

    def __init__(self, path: str, config: Config, name: str) -> None:
        h5py = common.need("h5py", "h5py", "--tracks")
        self.file = h5py.File(path, locking=False)
        self.data = self.file[str(config[f"data.dataset.{name}"] or name)]
        self.done = 0

    def next(self, count: int) -> Any:
        rows = self.data.fields("valid")[self.done : self.done + count]
        self.done += count
        return rows.astype(bool)


def _spread(scores: Any, valid: Any) -> dict[str, Any]:
    """Rows of valid constituents into the slots of the file."""
    origin = np.zeros((*valid.shape, scores.origin.shape[-1]), np.float32)
    origin[valid] = scores.origin
    vertex = np.full(valid.shape, PADDED, np.int32)
    # a vertex is named by its first member: its place among the valid slots
    jet = np.nonzero(valid)[0]
    slot = np.argsort(~valid, axis=1, kind="stable")
    vertex[valid] = slot[jet, scores.vertex]
    return {"origin": origin, "vertex": vertex}


def run(args: argparse.Namespace) -> int:
    common.output(args.out, args.force)
    model = Model.load(args.model)
    config = model.config
    config["data.sampling"] = "sequential"
    config["tagger.threads"] = args.threads
    common.apply(config, args.settings)
    if args.tracks:
        config["scores.write_tracks"] = "yes"
    start = time.perf_counter()
    jets = _tag(args, args.input, model, config)
    seconds = time.perf_counter() - start
    print(f"gn2: {jets:,} jets in {seconds:.1f} s to {args.out}", file=sys.stderr)
    return 0


def _tag(args: argparse.Namespace, path: str, model: Model, config: Config) -> int:
    outputs = ["D_b", *(["origin", "vertex"] if args.tracks else [])]
    tracks = model.metadata("task.track_origin.object")
    valid = _Valid(path, config, tracks) if args.tracks else None
    tagger, done = Tagger(model, config), 0
    has_d_b = "D_b" in tagger.output_names
    data = Dataset(path, config)
    with data, ScoreWriter(args.out, path, model, config) as writer:
        for scores in tagger.tag_batches(data, outputs[not has_d_b :]):
            more = _spread(scores, valid.next(len(scores))) if valid else {}
            d_b = scores.D_b if has_d_b else None
            writer.add(scores.probabilities, d_b, **more)
            done += len(scores)
    return done
