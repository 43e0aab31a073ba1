# SPDX-License-Identifier: Apache-2.0
"""Tags all jets of an HDF5 file and writes their scores as salt does: the fields of
/jets asked for, then <name>_p<class>, <name>_Db and what else the model says of jets;
with --tracks also origin probabilities, VertexIndex and mask in /tracks.

    gn2 tag run/best.gn2 jets_test.h5 -o scores.h5
"""

from __future__ import annotations

import argparse
import sys
import time

from .. import Config, Dataset, Model, ScoreWriter, Tagger
from . import common


#: options that have an effect
TAKEN = (
    *common.OF_THE_MODEL,
    "model.name",
    "data.batch_size",
    "data.max_jets",
    "data.prefetch",
    "data.dataset.*",
    "tagger.*",
    "compute.*",
    "scores.*",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a .gn2 file")
    common.options(parser)
    parser.add_argument("input", help="HDF5 file with jets")
    parser.add_argument(
        "-o", "--out", default="scores.h5", help="score file (scores.h5)"
    )
    parser.add_argument("-t", "--tracks", action="store_true", help="write /tracks too")
    common.threads(parser)
    common.force(parser)


def run(args: argparse.Namespace) -> int:
    common.output(args.out, args.force)
    model = Model.load(args.model)
    config = model.config
    config["data.sampling"] = "sequential"
    config["tagger.threads"] = args.threads
    common.apply(config, args.settings)
    common.check_taken(args.settings, TAKEN)
    model = common.adapted(model, config, args.settings)
    if args.tracks:
        config["scores.write_tracks"] = "yes"
    start = time.perf_counter()
    jets = _tag(args, args.input, model, config)
    seconds = time.perf_counter() - start
    print(f"gn2: {jets:,} jets in {seconds:.1f} s to {args.out}", file=sys.stderr)
    return 0


def _tag(args: argparse.Namespace, path: str, model: Model, config: Config) -> int:
    tagger, done = Tagger(model, config), 0
    outputs = [n for n in tagger.score_names if args.tracks or n.startswith("jets.")]
    data = Dataset(path, config)
    with data, ScoreWriter(args.out, path, model, config) as writer:
        for scores in tagger.tag_batches(data, outputs):
            writer.add(scores)
            done += len(scores)
    return done
