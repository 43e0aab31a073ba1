# SPDX-License-Identifier: Apache-2.0
"""Writes the objects of Kubernetes that run a search, as YAML.

--engine katib makes an Experiment whose trials are of --kind job, mpijob or trainjob;
optimizationjob makes Trainer's OptimizationJob; job a plain indexed Job whose pods
share one store of Optuna. A ConfigMap with the space file comes first. What the engine
cannot do is refused, with the line of the space file.

    gn2 hpo render rates.yaml --engine katib | kubectl apply -f -
"""

from __future__ import annotations

import argparse
import sys

from .._lines import replacing
from ..hpo import reader, render
from ..hpo.render.kinds import KINDS
from . import common


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("space", metavar="SPACE", help="space file")
    parser.add_argument(
        "--engine", choices=list(render.ENGINES), default="katib", help="(katib)"
    )
    parser.add_argument(
        "--kind", choices=list(KINDS), default="", help="what a trial is (job)"
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="file (standard output)")
    common.force(parser)


def run(args: argparse.Namespace) -> None:
    space = reader.load(args.space)
    text = render.text(render.objects(space, args.engine, args.kind))
    if args.out is None:
        sys.stdout.write(text)
        return
    with replacing(common.output(args.out, args.force, args.space)) as file:
        file.write(text)
