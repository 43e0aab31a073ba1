# SPDX-License-Identifier: Apache-2.0
"""Writes a model as the ONNX file Athena loads, as salt exports it.

gn2 export onnx run/best.gn2 -o gn2.onnx
"""

from __future__ import annotations

import argparse

from .. import Model
from . import common


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
    common.force(parser)


def run(args: argparse.Namespace) -> int:
    exporter = common.need("gn2.onnx_export", "onnx", "exporting ONNX")
    common.output(args.out, args.force)
    exporter.export(Model.load(args.model), args.out, tasks=args.task)
    return 0
