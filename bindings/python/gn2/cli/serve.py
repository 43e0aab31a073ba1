# SPDX-License-Identifier: Apache-2.0
"""Serves taggers by the Open Inference Protocol (version 2), as Triton does: HTTP, and
with --grpc also gRPC. Each model takes one jet a call, as Athena's client sends it, and
whole batches (jets, tracks, offsets); /metrics is for Prometheus. See doc/serving.md.

    gn2 serve run/best.gn2
    gn2 serve best.gn2=GN2v01 other.gn2=GN2v02 --http 8000 --grpc 8001

It listens on the loopback interface unless --host says otherwise, and knows neither TLS
nor tokens: a proxy does. SIGTERM: it says that it is not ready, answers what has begun,
and leaves with status 0; a second one gives calls at work two seconds, a third none. A
file replaced by rename is taken up.
"""

from __future__ import annotations

import argparse
import logging
import os
from typing import Any

from .. import Config, Model
from .._limits import Limits
from . import common
from .common import Failure

#: options that have an effect
TAKEN = (*common.OF_THE_MODEL, "tagger.weights", "tagger.precision")


def arguments(parser: argparse.ArgumentParser) -> None:
    common.options(parser)
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL[=NAME]", help=".gn2 files, and names")
    add(
        "--http",
        type=common.port,
        default=8000,
        metavar="PORT",
        help="default %(default)s",
    )
    add("--grpc", type=common.port, metavar="PORT", help="also gRPC, e.g. 8001")
    common.host(parser)
    limits = parser.add_argument_group("limits on a request")
    usual = Limits()
    for name, size, unit, text in _LIMITS:
        limits.add_argument(
            f"--max-{name.replace('_', '-')}",
            type=common.positive,
            default=getattr(usual, name) // size,
            metavar="N",
            help=f"{text} (%(default)s{unit})",
        )
    add(
        "--timeout",
        type=common.seconds,
        default=usual.seconds,
        metavar="S",
        help="seconds a request may take to come, and to wait (%(default)s)",
    )
    add(
        "--gather",
        type=common.positive,
        default=1,
        metavar="JETS",
        help="small calls that wait go together up to so many jets; 1: each by itself "
        "(%(default)s)",
    )
    add(
        "--gather-wait",
        type=_wait,
        default=0,
        metavar="US",
        help="microseconds to wait for others to go together with (%(default)s)",
    )
    add(
        "--look",
        type=common.seconds,
        default=1.0,
        metavar="S",
        help="seconds between looks for replaced files; 0: never (%(default)s)",
    )
    add(
        "--drain",
        type=common.seconds,
        default=1.0,
        metavar="S",
        help="seconds between 'not ready' and the end of listening (%(default)s)",
    )
    common.threads(parser)


MIB = 1 << 20
#: (field of Limits, what its option counts in, the word for that, what)
_LIMITS = (
    ("body", MIB, " MiB", "size"),
    ("jets", 1, "", "jets"),
    ("tracks", 1, "", "constituents of a type"),
    ("jet_tracks", 1, "", "constituents of a type in a jet"),
    ("queue", 1, "", "requests that wait or run"),
    ("held", MIB, " MiB", "size of all requests that are there"),
)


def _limits(args: argparse.Namespace) -> Limits:
    given = {n: getattr(args, f"max_{n}") * size for n, size, _, _ in _LIMITS}
    return Limits(seconds=args.timeout, **given)


def _wait(text: str) -> int:
    if not text.isdecimal() or int(text) > 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r}: 0 to 1000000 wanted")
    return int(text)


def _models(args: argparse.Namespace) -> tuple[list[tuple[str, str]], list[Any]]:
    """(file, name) of each, and options; "best.gn2=NAME" looks like an option."""
    found, settings = [], []
    for word in args.models:
        path, _, name = (word, "", "") if os.path.exists(word) else word.rpartition("=")
        found.append((path or name, name if path and path != word else ""))
    for key, value in args.settings:
        if os.path.exists(key) or key.endswith(".gn2"):
            found.append((key, value))
        else:
            settings.append((key, value))
    return found, settings


def run(args: argparse.Namespace) -> int:
    models, settings = _models(args)
    if not models:
        raise Failure("no model: gn2 serve MODEL[=NAME] …")
    for path, name in models:
        if "/" in name:
            raise Failure(f"{path}={name}: a name has no '/'")
    common.check_taken(settings, TAKEN)
    modules = {
        name: common.need(f"gn2.serve.{name}", "'gn2[serve]'", "serving")
        for name in ("run", "watch", *(["rpc"] if args.grpc is not None else []))
    }
    from ..serve import Gather, Service

    logging.getLogger("gn2.serve").setLevel(logging.INFO)
    service = Service(
        models,
        _limits(args),
        prepare=lambda model: _prepared(model, settings),
        threads=args.threads,
        gather=Gather(args.gather, args.gather_wait * 1e-6),
        watch=modules["watch"].Watch(),
        interval=args.look,
    )
    ports = modules["run"].Ports(args.host, args.http, args.grpc)
    modules["run"].serve(service, ports, args.drain)
    return 0


def _prepared(model: Model, settings: list[Any]) -> tuple[Model, Config]:
    """The model and the options of its taggers, as `gn2 tag` has them."""
    config = common.apply(model.config, settings)
    common.check_objects([key for key, _ in settings], config)
    return common.adapted(model, config, settings), config
