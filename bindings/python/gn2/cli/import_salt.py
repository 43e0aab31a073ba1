# SPDX-License-Identifier: Apache-2.0
"""Makes a model of a checkpoint of salt, with the config.yaml beside it. No code of the
checkpoint is executed.

    gn2 import salt epoch=003.ckpt -o gn2.gn2
"""

from __future__ import annotations

import argparse

from . import common


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the Lightning checkpoint (.ckpt)")
    parser.add_argument("-c", "--config", metavar="FILE", help="salt's config.yaml")
    parser.add_argument("-o", "--out", required=True, help="the .gn2 file")
    parser.add_argument("--name", help="name of the model; default: the file's")
    parser.add_argument(
        "--classes",
        type=lambda text: text.split(","),
        metavar="NAME,NAME…",
        help="jet classes in the order of the outputs, where the config has none",
    )
    common.force(parser)


def run(args: argparse.Namespace) -> int:
    importer = common.need("gn2.salt", "PyYAML", "importing salt's checkpoints")
    common.output(args.out, args.force, *common.there(args.file))
    importer.load(
        args.file, config=args.config, name=args.name, classes=args.classes
    ).save(args.out)
    return 0
