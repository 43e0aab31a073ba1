# SPDX-License-Identifier: Apache-2.0
"""Makes a model of an ONNX file of GN2, exported by salt or by `gn2 export onnx`.

gn2 import onnx network.onnx -o gn2.gn2
"""

from __future__ import annotations

import argparse

from . import common


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the ONNX file")
    parser.add_argument("-o", "--out", required=True, help="the .gn2 file")
    parser.add_argument("--name", help="name of the model; default: the file's")
    common.force(parser)


def run(args: argparse.Namespace) -> int:
    importer = common.need("gn2.onnx", "onnx", "importing ONNX")
    common.output(args.out, args.force, *common.there(args.file))
    importer.load(args.file, name=args.name).save(args.out)
    return 0
