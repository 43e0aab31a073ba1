# SPDX-License-Identifier: Apache-2.0
"""The command ``gn2 plot``; matplotlib is imported when there is something to draw."""

from __future__ import annotations

import argparse
import os

from typing import TYPE_CHECKING, Any

from .errors import Error, InvalidArgument

if TYPE_CHECKING:
    from .report import Content

#: of report.PICTURES
NAMES = (
    "training",
    "roc_b",
    "roc_c",
    "discriminant_b",
    "discriminant_c",
    "efficiency_pt",
    "efficiency_n_tracks",
    "confusion",
    "calibration",
    "origin_roc",
    "origin_confusion",
    "vertexing",
)
#: jets that are tagged for pictures, the first of the file
MAX_JETS = 50_000


def add_plot_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``gn2 plot``."""
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
        choices=NAMES,
        metavar="NAME",
        help=f"one picture, no report; several times for several: {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--format", default="png", choices=("png", "pdf", "svg"), help="(png)"
    )
    parser.add_argument("--metrics", metavar="FILE", help="metrics.csv of a training")
    parser.add_argument(
        "-n",
        "--max-jets",
        type=int,
        default=MAX_JETS,
        metavar="N",
        help=f"use the first N jets; 0: all ({MAX_JETS})",
    )
    parser.add_argument(
        "-j", "--threads", type=int, default=0, metavar="N", help="0 (default): all"
    )


def _content(args: argparse.Namespace) -> Content:
    from .report import Content
    from .report_run import read, tagger

    first, *others = args.source
    if os.path.isdir(first):
        content = read(
            first,
            data=args.data,
            compare=others,
            max_jets=args.max_jets,
            threads=args.threads,
        )
    else:
        limits: dict[str, Any] = {"max_jets": args.max_jets, "threads": args.threads}
        samples = [tagger(word, args.data, **limits) for word in args.source]
        content = Content(samples, title="GN2: " + ", ".join(s.name for s in samples))
    if args.metrics:
        from . import plots_training

        content = content._replace(curves=plots_training.read(args.metrics))
    return content


def run_plot(args: argparse.Namespace) -> int:
    """Runs ``gn2 plot``: prints the names of what it wrote.

    Pictures that cannot be drawn are left out, unless asked for with ``--only``.
    """
    from .plots_style import save
    from .report import PICTURES, write

    content = _content(args)
    at_home = os.path.isdir(args.source[0])
    out = args.out or (args.source[0] if at_home else "pictures")
    pictures = os.path.join(out, "pictures") if at_home and not args.out else out
    os.makedirs(pictures, exist_ok=True)
    for picture in PICTURES:
        if args.only and picture.name not in args.only:
            continue
        try:
            figure = picture.draw(content)
        except Error as problem:
            if args.only:
                raise InvalidArgument(f"picture '{picture.name}': {problem}") from None
            continue
        path = os.path.join(pictures, f"{picture.name}.{args.format}")
        save(figure, path)
        print(path)
    if not args.only:
        print(write(content, os.path.join(out, "report.html")))
    return 0
