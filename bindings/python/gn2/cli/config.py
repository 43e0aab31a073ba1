# SPDX-License-Identifier: Apache-2.0
"""All options of the library with type, default, bounds and meaning.

gn2 config                          all
gn2 config schedule                 those whose name or meaning has the word
gn2 config --write my.txt model.embed_dim=64    a file to edit
"""

from __future__ import annotations

import argparse
import math
import textwrap

from .. import Config
from ..config import Key, keys
from . import common
from .common import Failure


def arguments(parser: argparse.ArgumentParser) -> None:
    common.options(parser)
    parser.add_argument("word", nargs="*", help="words to look for")
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="show the values of a file"
    )
    parser.add_argument("-w", "--write", metavar="FILE", help="write all values")
    parser.add_argument("-n", "--names", action="store_true", help="names only")
    common.force(parser)


def _bounds(key: Key) -> str:
    if key.choices:
        return " | ".join(key.choices)
    low = f"{key.min:g} ≤ " if math.isfinite(key.min) else ""
    high = f" ≤ {key.max:g}" if math.isfinite(key.max) else ""
    return f"{low}value{high}" if low or high else ""


def _show(key: Key, value: str) -> None:
    print(f"{key.key} = {value}")
    details = f"[{key.type}{'; ' if _bounds(key) else ''}{_bounds(key)}]"
    for line in textwrap.wrap(f"{key.doc} {details}", 80):
        print(f"        {line}")


def _value(config: Config | None, key: Key) -> str:
    if config is None or "*" in key.key:
        return key.default
    value = config[key.key]
    if isinstance(value, list):
        return ",".join(f"{v:g}" if isinstance(v, float) else v for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def run(args: argparse.Namespace) -> int:
    words, settings = args.word, args.settings
    config = common.apply(Config(args.config), settings)
    if args.write:
        config.save(common.output(args.write, args.force))
        return 0
    found = [
        key
        for key in keys().values()
        if all(word.lower() in f"{key.key} {key.doc}".lower() for word in words)
    ]
    if not found:
        raise Failure(f"no option has {' and '.join(words)} in its name or meaning")
    for key in found:
        if args.names:
            print(key.key)
        else:
            _show(key, _value(config if args.config or settings else None, key))
    return 0
