# SPDX-License-Identifier: Apache-2.0
"""Tells Prometheus of trainings and searches, by their files: loss, rate, jets/s,
trials by state, the best value, core seconds, energy where known. See doc/farm.md.

    gn2 monitor run search                    http://127.0.0.1:9105/metrics
    gn2 monitor /data/runs --port 9200 --host 0.0.0.0
    gn2 monitor '/data/runs/*' --textfile /var/lib/node_exporter/gn2.prom

PATH is a run directory, the folder of a search, a folder of such folders, or a pattern;
those that appear later are found. The trainings themselves are not asked anything. With
--textfile the file of a node exporter's collector is written every --interval seconds,
whole or not at all; --interval 0 writes it once. SIGTERM ends it with status 0.
"""

from __future__ import annotations

import argparse
import glob
import os
import sys
import threading
from typing import Any

from . import common
from .common import Failure, Terminated


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="runs, searches, or folders of them")
    add("--store", metavar="URL", help="store of the search, where not in its folder")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--port",
        type=common.port,
        default=9105,
        metavar="PORT",
        help="of http, default %(default)s",
    )
    where.add_argument(
        "--textfile", metavar="FILE", help="write this, *.prom, serve nothing"
    )
    common.host(parser)
    add(
        "--interval",
        type=common.seconds,
        default=15.0,
        metavar="S",
        help="seconds between two writings of FILE (%(default)s); 0: once",
    )


def run(args: argparse.Namespace) -> int:
    client = common.need("prometheus_client", "'gn2[serve]'", "gn2 monitor")
    from ..monitor.exporter import Exporter

    exporter = Exporter(args.paths, args.store)
    for path in args.paths:
        if not glob.glob(path) and not os.path.exists(path):
            print(f"gn2: '{path}' is not there yet", file=sys.stderr)
    try:
        if args.textfile:
            _write(client, exporter, args)
        else:
            _serve(client, exporter, args)
    except Terminated:
        pass  # as asked
    return 0


def _write(client: Any, exporter: Any, args: argparse.Namespace) -> None:
    if not args.textfile.endswith(".prom"):  # of the others none is read
        raise Failure(
            f"--textfile {args.textfile}: the node exporter reads files that end in "
            ".prom; it would be replaced"
        )
    common.output(args.textfile, force=True)
    wait = threading.Event()
    while True:
        client.write_to_textfile(args.textfile, exporter.registry)
        if not args.interval:
            return
        wait.wait(args.interval)


def _serve(client: Any, exporter: Any, args: argparse.Namespace) -> None:
    try:
        server, thread = client.start_http_server(
            args.port, args.host, exporter.registry
        )
    except OSError as problem:
        raise Failure(f"cannot listen on {args.host}:{args.port}: {problem}") from None
    try:
        port = server.server_port
        print(f"gn2: http://{args.host}:{port}/metrics", file=sys.stderr, flush=True)
        thread.join()
    finally:
        server.shutdown()
        server.server_close()
