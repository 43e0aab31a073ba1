# SPDX-License-Identifier: Apache-2.0
"""Searches for hyper-parameters with Optuna: on this machine, or on many hosts that
share a store and a folder.

The same command goes on with a search that was stopped or killed, to the same end: with
one worker every trial has the parameters and values of a search that nobody disturbed.
Several workers: -j, or the command several times, with the same -o and --store.
On another host it first waits until the worker that was killed has lost its trial
(--lease), says so, and goes on with that trial.

A store is sqlite in DIR, journal:FILE on a shared file system, or a database. A trial
that was ended early (pruned) is run to its end by --finish.

    gn2 hpo run space.yaml -n 30 -j 2 -o search
    gn2 hpo run space.yaml -o /shared/search --store journal:/shared/search/journal.log
    gn2 hpo run space.yaml -o search --finish 7
"""

from __future__ import annotations

import argparse
import dataclasses

from ..hpo import after, engine, rows
from . import common, hpo_plan


def arguments(parser: argparse.ArgumentParser) -> None:
    hpo_plan.arguments(parser)
    add = parser.add_argument
    add(
        "-n",
        "--trials",
        type=common.positive,
        metavar="N",
        help="trials in all, those that are done included (as the space says)",
    )
    add(
        "--hours",
        type=hpo_plan.seconds,
        metavar="H",
        help="stop after so long; trials under way keep their checkpoint",
    )
    add(
        "--core-hours",
        type=hpo_plan.seconds,
        metavar="H",
        help="stop when all trials together took so long",
    )
    add(
        "--failures",
        type=common.natural,
        metavar="N",
        help="stop when more trials failed (kubernetes.failures of the space: 3)",
    )
    add(
        "--on-divergence",
        choices=("penalty", "fail"),
        default="penalty",
        help="tell a trial that diverged as one that learnt nothing (penalty), or as "
        "failed",
    )
    add(
        "--finish",
        type=common.natural,
        metavar="TRIAL",
        help="run this pruned trial to its end, and nothing else",
    )


def run(args: argparse.Namespace) -> int:
    space, plan = hpo_plan.read(args)
    plan = dataclasses.replace(
        plan,
        trials=args.trials,
        hours=args.hours,
        core_hours=args.core_hours,
        failures=args.failures,
        arguments=("--on-divergence", args.on_divergence),
    )
    if args.finish is not None:
        print(after.finish(space, plan, args.finish))
        return 0
    search = engine.Search(space, plan)
    try:
        search.run()
    except (KeyboardInterrupt, common.Terminated):
        print(f"stopped: the same command goes on in '{plan.folder}'", flush=True)
        raise
    if search.limit:
        print(f"{search.limit}: the same command goes on in '{plan.folder}'")
    found = rows.trials(space, plan.store, plan.folder)
    print(rows.summary(space, found))
    if found and all(row.state == "failed" for row in found):
        causes = "; ".join(sorted({row.message for row in found})[:3])
        raise common.Failure(f"every trial failed: {causes}")
    return 0
