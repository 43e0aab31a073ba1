# SPDX-License-Identifier: Apache-2.0
"""Makes the report of a search of trials that Katib ran.

    kubectl get trials -l katib.kubeflow.org/experiment=gn2-rates -o yaml > trials.yaml
    gn2 hpo import trials.yaml --space rates.yaml -o search.html

With the space file logarithms become values, options are known, and axes are as they
were searched; without it they are made of the values that were drawn.
"""

from __future__ import annotations

import argparse

from ..hpo import katib_trials, reader
from ..hpo.space import Objective
from . import common, hpo_words


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trials", metavar="FILE", help="trials in YAML or JSON")
    parser.add_argument("--space", metavar="SPACE", help="space file of the search")
    parser.add_argument(
        "--metric", metavar="NAME", help="the objective, without --space (val_loss)"
    )
    parser.add_argument(
        "--maximize", action="store_true", help="it is made large, without --space"
    )
    hpo_words.report_output(parser)


def run(args: argparse.Namespace) -> None:
    if args.space and (args.metric or args.maximize):
        raise common.Failure("--metric and --maximize are known of --space")
    space = reader.load(args.space) if args.space else None
    direction = "maximize" if args.maximize else "minimize"
    objective = None if space else Objective(args.metric or "val_loss", direction)
    trials = katib_trials.load(args.trials, space)
    read = [args.trials, *([args.space] if args.space else [])]
    path = common.output(args.report, args.force, *read)
    hpo_words.report(trials, space, objective, path)
