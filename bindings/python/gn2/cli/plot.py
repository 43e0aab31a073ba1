# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of a run directory, or of models and score files, and gathers them
in one report.html.

gn2 plot run                                     pictures of a fit
gn2 plot run -d jets_test.h5 old=old.gn2         against another model
gn2 plot new=new.h5 salt=salt.h5 -d jets_test.h5 -o pictures --only roc_b
gn2 plot run --label "ATLAS Simulation Internal" --sample "√s = 13.6 TeV"

There are pictures of every discriminant of the first tagger. Those of score files are
the library's where their classes are b, c, u and tau; others are told by options, as in
discriminant.D_hbb.signal=hbb discriminant.D_hbb.fractions=qcd:rest

The jets are those that data.selection of the run chooses, which the pictures say with
their number; data.selection= on the command line is of all jets, and
data.selection='pt_btagJes > 50000' of others, also where there is no run.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import Error, InvalidArgument
from ..metrics.files import MAX_JETS
from ..scores import Names, check_discriminants
from . import common

if TYPE_CHECKING:
    from ..plots.pictures import Content

#: of gn2.plots.PICTURES, which needs matplotlib
NAMES = (
    "training",
    "confusion",
    "calibration",
    "origin_roc",
    "origin_confusion",
    "vertexing",
)
#: options that have an effect
TAKEN = ("discriminant.*", "data.selection")


def arguments(parser: argparse.ArgumentParser) -> None:
    common.options(parser)
    parser.add_argument(
        "source",
        nargs="+",
        metavar="[NAME=]SOURCE",
        help="run directory (first), .gn2 model, or score file; the last of several is "
        "the reference of ratios",
    )
    parser.add_argument(
        "-d",
        "--data",
        metavar="FILE",
        help="HDF5 file with labelled jets, those the score files are of (default: the "
        "validation jets of the run)",
    )
    parser.add_argument(
        "-o",
        "--out",
        metavar="DIR",
        help="where to (default: the run directory, else pictures)",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help=f"one picture, no report; several times for several: {', '.join(NAMES)}; "
        "by discriminant D_x of the model: roc_x, discriminant_x, efficiency_pt_x, "
        "efficiency_n_tracks_x (of D_b efficiency_pt, efficiency_n_tracks); by task: "
        "TASK_roc, TASK_confusion, TASK_response, TASK_TARGET_target, TASK_TARGET_pt, "
        "TASK_pull",
    )
    parser.add_argument(
        "--format", default="png", choices=("png", "pdf", "svg"), help="(png)"
    )
    parser.add_argument("--metrics", metavar="FILE", help="metrics.csv of a training")
    parser.add_argument(
        "-n",
        "--max-jets",
        type=common.natural,
        default=MAX_JETS,
        metavar="N",
        help=f"use the first N jets; 0: all ({MAX_JETS})",
    )
    parser.add_argument(
        "-j",
        "--threads",
        type=common.natural,
        default=0,
        metavar="N",
        help="0 (default): all",
    )
    common.label_arguments(parser)


def _content(args: argparse.Namespace) -> Content:
    from ..plots.pictures import Content
    from ..report import read, tagger

    first, *others = args.source
    limits: dict[str, Any] = {"max_jets": args.max_jets, "threads": args.threads}
    given = dict(args.settings)
    selection = given.pop("data.selection", None)
    limits["discriminants"], limits["selection"] = given, selection
    if os.path.isdir(first):
        content = read(first, data=args.data, compare=others, **limits)
    else:
        limits["selection"] = selection or ""
        samples = [tagger(word, args.data, **limits) for word in args.source]
        content = Content(samples, title="GN2: " + ", ".join(s.name for s in samples))
    if args.metrics:
        from ..plots import history

        content = content._replace(curves=history.read(args.metrics))
    known = content.samples[0].scores._names if content.samples else Names("", (), {})
    check_discriminants(given, known)
    if selection is not None and not content.samples:
        raise InvalidArgument("data.selection has no effect: there are no tagged jets")
    return content


def _check_names(asked: Iterable[str], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            raise InvalidArgument(f"no picture '{name}'; there are {', '.join(known)}")


def run(args: argparse.Namespace) -> int:
    """Prints the names of what it wrote.

    Pictures that cannot be drawn are left out, unless asked for with ``--only``.
    """
    common.need("gn2.plots", "matplotlib", "drawing pictures")
    common.check_taken(args.settings, TAKEN)
    with common.labelled(args):
        return _draw(args)


def _draw(args: argparse.Namespace) -> int:
    from ..plots import pictures as pictures_of
    from ..plots import save
    from ..report import write

    content = _content(args)
    at_home = os.path.isdir(args.source[0])
    out = args.out or (args.source[0] if at_home else "pictures")
    pictures = os.path.join(out, "pictures") if at_home and not args.out else out
    known = pictures_of(content)
    _check_names(args.only or (), [picture.name for picture in known])
    os.makedirs(pictures, exist_ok=True)
    drawn = {}
    for picture in known:
        if args.only and picture.name not in args.only:
            continue
        try:
            figure = picture.draw(content)
        except Error as problem:
            if args.only:
                raise InvalidArgument(f"picture '{picture.name}': {problem}") from None
            continue
        drawn[picture.name] = figure
        path = os.path.join(pictures, f"{picture.name}.{args.format}")
        save(figure, path)
        print(path)
    if not args.only:
        content = content._replace(drawn=drawn)
        print(write(content, os.path.join(out, "report.html")))
    return 0
