# SPDX-License-Identifier: Apache-2.0
"""Writes a model as the ONNX file Athena loads, as salt exports it.

    gn2 export onnx run/best.gn2 -o gn2.onnx
    gn2 export onnx best.gn2 -o gn2.onnx --name GN2v9 --rename pu:plight \\
        --combine light,plight,0.5*ptau
"""

from __future__ import annotations

import argparse

import sys

from .. import Model
from . import common
from .common import Failure


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a .gn2 file")
    parser.add_argument("-o", "--out", required=True, help="the ONNX file")
    parser.add_argument(
        "-t",
        "--task",
        action="append",
        metavar="TASK",
        help="task to export, several times for several; default: all of the model",
    )
    parser.add_argument("--name", help="prefix of the outputs; default: the model's")
    parser.add_argument(
        "--selection",
        default="r22default",
        help="Athena's track selection, part of the sequence's name (%(default)s)",
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="OLD:NEW",
        help="another name of a probability, e.g. pu:plight",
    )
    parser.add_argument(
        "--combine",
        action="append",
        default=[],
        metavar="NAME,FACTOR*OUTPUT,…",
        help="a further output, sum of factor × probability, e.g. cu,pc,0.5*pu",
    )
    common.force(parser)


def _renamed(text: str) -> tuple[str, str]:
    old, colon, new = text.partition(":")
    if not (old and colon and new):
        raise Failure(f"--rename {text}: OLD:NEW wanted")
    return old, new


def _combined(text: str) -> tuple[str, list[tuple[float, str]]]:
    name, *terms = text.split(",")
    found = []
    for term in terms:
        factor, star, output = term.rpartition("*")
        try:
            found.append((float(factor) if star else 1.0, output))
        except ValueError:
            raise Failure(f"--combine {text}: {factor!r} is no number") from None
    return name, found


def run(args: argparse.Namespace) -> int:
    onnx = common.need("gn2.onnx", "onnx", "exporting ONNX")
    common.output(args.out, args.force, *common.there(args.model))
    onnx.export(
        Model.load(args.model),
        args.out,
        tasks=args.task,
        name=args.name,
        selection=args.selection,
        rename=dict(map(_renamed, args.rename)),
        combine=list(map(_combined, args.combine)),
    )
    for broken in onnx.violations(args.out):
        print(f"warning: Athena will refuse the file: {broken}", file=sys.stderr)
    return 0
