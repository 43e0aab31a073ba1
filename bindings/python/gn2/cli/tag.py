# SPDX-License-Identifier: Apache-2.0
"""Tags all jets of an HDF5 file and writes their scores as salt does: the fields of
/jets asked for, then <name>_p<class>, <name>_Db and what else the model says of jets;
with --tracks also origin probabilities, VertexIndex and mask in /tracks.

    gn2 tag run/best.gn2 jets_test.h5 -o scores.h5
    gn2 tag run/best.gn2 ttbar_*.h5 zprime_*.h5 -o scores     a file of scores for each

Several files, or a pattern, go into a folder, each under its own name.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from .. import Config, Dataset, ScoreWriter, Tagger
from .._progress import Count
from . import common
from .common import Failure

#: options that have an effect
TAKEN = (
    *common.OF_THE_MODEL,
    "input.unit_check",
    "model.name",
    *common.OF_READING,
    "tagger.*",
    "compute.*",
    "scores.*",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a .gn2 file")
    common.options(parser)
    parser.add_argument("input", nargs="+", help="HDF5 files with jets, or patterns")
    parser.add_argument(
        "-o",
        "--out",
        help="score file (scores.h5); of several inputs, or of a folder that is there "
        "or ends in '/', the folder (scores), where each goes under its name",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.add_argument("-t", "--tracks", action="store_true", help="write /tracks too")
    common.threads(parser)
    common.force(parser)


def outputs_of(paths: list[str], out: str | None) -> list[str]:
    """The score file of each input."""
    folder = out is not None and (os.path.isdir(out) or out.endswith("/"))
    if len(paths) == 1 and not folder:
        return ["scores.h5" if out is None else out]
    names = [os.path.basename(path) for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise Failure(f"{names.count(name)} inputs are called '{name}'")
    return [os.path.join("scores" if out is None else out, name) for name in names]


def _plan(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Inputs and their outputs, checked before the first is tagged."""
    paths = common.files_of(args.input)
    plan = list(zip(paths, outputs_of(paths, args.out)))
    read = common.there(*paths, args.model)
    for _, out in plan:
        common.output(out, args.force, *read)
    return plan


def _refuse_selection(args: argparse.Namespace) -> None:
    if any(key == "data.selection" for key, _ in args.settings):
        raise Failure(
            "data.selection: scores have a row for every jet of their input; choose "
            "rows of both afterwards"
        )


def run(args: argparse.Namespace) -> int:
    _refuse_selection(args)
    plan = _plan(args)
    model, config = common.model_for(args.model, args, TAKEN, "tagger.threads")
    if args.tracks:
        config["scores.write_tracks"] = "yes"
    tagger = Tagger(model, config)
    for path, out in plan:
        if os.path.dirname(out):
            os.makedirs(os.path.dirname(out), exist_ok=True)
        start = time.perf_counter()
        jets = _tag(args, (path, out), tagger, config)
        seconds = time.perf_counter() - start
        print(f"gn2: {jets:,} jets in {seconds:.1f} s to {out}", file=sys.stderr)
    return 0


def _tag(
    args: argparse.Namespace, files: tuple[str, str], tagger: Tagger, config: Config
) -> int:
    path, out = files
    outputs = [n for n in tagger.score_names if args.tracks or n.startswith("jets.")]
    with Dataset(path, config) as data:
        bar = Count(data.info.jet_count, "jet", os.path.basename(path), args.quiet)
        with ScoreWriter(out, path, tagger.model, config) as writer, bar:
            for scores in tagger.tag_batches(data, outputs):
                writer.add(scores)
                bar.add(len(scores))
    return bar.done
