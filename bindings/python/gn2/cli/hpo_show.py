# SPDX-License-Identifier: Apache-2.0
"""Shows the trials of a search of `gn2 hpo run`: a line each, and the best.

    gn2 hpo show space.yaml -o search
    gn2 hpo show space.yaml -o search --json > trials.jsonl
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib

from ..hpo import reader, rows
from ..hpo.space import Space


def place(parser: argparse.ArgumentParser) -> None:
    """Adds which search it is."""
    parser.add_argument("space", metavar="SPACE", help="space file (YAML)")
    parser.add_argument("-o", "--out", metavar="DIR", help="its folder (its name)")
    parser.add_argument("--store", metavar="URL", help="its store (sqlite in DIR)")


def arguments(parser: argparse.ArgumentParser) -> None:
    place(parser)
    parser.add_argument("--json", action="store_true", help="a JSON object a trial")


def search_of(args: argparse.Namespace) -> tuple[Space, pathlib.Path]:
    """The space, and the folder of the search."""
    space = reader.load(args.space)
    return space, pathlib.Path(args.out or space.name)


def run(args: argparse.Namespace) -> None:
    space, folder = search_of(args)
    found = rows.trials(space, args.store, folder)
    if args.json:
        for row in found:
            print(json.dumps(dataclasses.asdict(row), allow_nan=False))
        return
    names = [o.metric for o in space.objectives]
    print("trial state", *names, *(p.name for p in space.parameters))
    for row in found:
        values = [f"{value:.6g}" for value in row.values] or ["-"] * len(names)
        given = [rows.short(text) for text in row.parameters.values()]
        state = row.state if row.cached is None else f"{row.state}={row.cached}"
        print(f"{row.number:5d} {state:9s}", *values, *given)
    print(rows.summary(space, found))
