# SPDX-License-Identifier: Apache-2.0
"""The command ``gn2``: one table of subcommands, one place for exit statuses.

A row names a module with ``arguments(parser)`` and ``run(args) -> int | None``, or with
``command(word)`` that makes such a thing of the word behind the colon.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from .. import Error, __version__, features
from . import common, console
from .common import Failure, Terminated

#: (words, what it does, module)
COMMANDS = (
    ("fit", "train a tagger on HDF5 files", "gn2.cli.fit"),
    ("tag", "write the scores of a tagger to an HDF5 file", "gn2.cli.tag"),
    ("serve", "answer requests for scores, HTTP and gRPC", "gn2.cli.serve"),
    ("monitor", "tell Prometheus of trainings and searches", "gn2.cli.monitor"),
    ("evaluate", "losses, AUC and rejections of models", "gn2.cli.evaluate"),
    ("importance", "what a model loses without an input", "gn2.cli.importance"),
    ("plot", "pictures and report.html of a run", "gn2.cli.plot"),
    ("inspect", "what is in a model, checkpoint or HDF5 file", "gn2.cli.inspect"),
    (
        "study coordcheck",
        "sizes of activations over widths",
        "gn2.cli.study:coordcheck",
    ),
    ("study lr", "best learning rate over widths", "gn2.cli.study:lr"),
    ("study ranks", "what several machines would give", "gn2.cli.study_ranks"),
    ("study schedule", "initial × maximum learning rate", "gn2.cli.study:schedule"),
    (
        "study transfer",
        "cost of a setting tuned on a narrow network",
        "gn2.cli.study:transfer",
    ),
    ("study width", "whether wider is always better", "gn2.cli.study:width"),
    ("hpo trial", "one trial of a search, for every engine", "gn2.cli.hpo_trial"),
    ("hpo check", "what is wrong with a space or an Experiment", "gn2.cli.hpo_check"),
    ("hpo render", "objects of Kubernetes for a search", "gn2.cli.hpo_render"),
    ("hpo import", "report of trials that Katib ran", "gn2.cli.hpo_import"),
    ("hpo export", "tell TensorBoard or MLflow of trials", "gn2.cli.hpo_export"),
    ("hpo run", "search for hyper-parameters with Optuna", "gn2.cli.hpo_run"),
    ("hpo show", "trials of a search, a line each", "gn2.cli.hpo_show"),
    ("hpo report", "report of a search, one HTML file", "gn2.cli.hpo_report"),
    ("hpo confirm", "the best trials again, fresh seeds", "gn2.cli.hpo_confirm"),
    ("hpo transfer", "train the target with the result", "gn2.cli.hpo_transfer"),
    ("params", "table of the tensors and their parametrisation", "gn2.cli.params"),
    ("config", "all options with type, default and meaning", "gn2.cli.config"),
    (
        "bench precision",
        "whether bf16 outruns f32 on this processor",
        "gn2.cli.bench_precision",
    ),
    ("export onnx", "write the ONNX file Athena loads", "gn2.cli.export_onnx"),
    ("import salt", "make a model of salt's checkpoint", "gn2.cli.import_salt"),
    ("import onnx", "make a model of an ONNX file", "gn2.cli.import_onnx"),
)
GROUPS = {
    "bench": "measure the machine",
    "export": "write a model in another format",
    "import": "read a model of another program",
    "hpo": "search for hyper-parameters, here or on Kubeflow",
    "study": "show what a parametrisation does, by many short trainings",
}
EPILOG = """\
KEY=VALUE sets an option of the library, e.g. model.embed_dim=64; `gn2 config` lists
them. Exit status: 0 done, 1 failed (message on stderr), 2 wrong command line or
ranks (--expect-ranks, --expect-hosts), 130 interrupted, 143 terminated.
"""


def _terminate(_number: int, _frame: Any) -> None:
    raise Terminated


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    top = argparse.ArgumentParser(
        prog="gn2",
        description="Trains and runs GN2, the jet flavour tagger, on CPUs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words = " ".join(f"{name}={value}" for name, value in features().items())
    top.add_argument(
        "--version", action="version", version=f"gn2 {__version__} {words}"
    )
    top.set_defaults(takes_settings=False, takes_parameters=False)
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    groups: dict[str, Any] = {}
    for name, text, module in COMMANDS:
        group, _, word = name.rpartition(" ")
        place = commands if not group else _group(groups, commands, group)
        _add(place, word, text, _command(module))
    return top


def _command(where: str) -> Any:
    name, colon, word = where.partition(":")
    module = importlib.import_module(name)
    return module.command(word) if colon else module


def _group(groups: dict[str, Any], commands: Any, name: str) -> Any:
    if name not in groups:
        sub = commands.add_parser(
            name, help=GROUPS[name], description=GROUPS[name].capitalize() + "."
        )
        groups[name] = sub.add_subparsers(metavar="WHAT", required=True)
    return groups[name]


def _add(place: Any, word: str, text: str, module: Any) -> None:
    sub = place.add_parser(
        word,
        help=text,
        description=module.__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.arguments(sub)
    sub.set_defaults(run=module.run)
    if sub.get_default("takes_parameters"):
        sub.usage = f"{sub.format_usage()[7:].rstrip()} NAME=VALUE ..."
    if sub.get_default("takes_settings"):
        sub.usage = f"{sub.format_usage()[7:].rstrip()} [KEY=VALUE ...]"
    # named before what a command says of files that are not there
    files = [action.dest for action in sub._actions if not action.option_strings]
    sub.set_defaults(files=files if sub.get_default("takes_settings") else [])
    # may not be empty; those whose default is may
    words = [action for action in sub._actions if action.default != ""]
    sub.set_defaults(words=words)


def _empty(args: argparse.Namespace) -> str:
    """An argument that is an empty word, as of a variable that is not set in a script;
    it would be taken for one that is not given."""
    for action in args.words:
        given = getattr(args, action.dest, None)
        if "" in (given if isinstance(given, list) else [given]):
            return "/".join(action.option_strings) or action.metavar or action.dest
    return ""


def _say(message: object) -> None:
    print(f"gn2: {message}", file=sys.stderr)


def _check_files(args: argparse.Namespace) -> None:
    for name in args.files:
        given = getattr(args, name)
        common.check_words(given if isinstance(given, list) else [given])


def _checked(args: argparse.Namespace) -> int:
    try:
        _check_files(args)
        status = int(args.run(args) or 0)
        sys.stdout.flush()  # a closed pipe shows here, not when Python ends
        return status
    except KeyboardInterrupt:
        _say("interrupted")
        return 128 + signal.SIGINT
    except Terminated:
        _say("terminated")
        return 128 + signal.SIGTERM
    except BrokenPipeError:
        # whoever reads has enough; keep Python from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Failure as problem:
        _say(problem)
        return problem.status
    except (Error, OSError) as problem:
        _say(problem)
        return 1


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    with console.lenient():
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    logging.basicConfig(format="gn2: %(message)s", level=logging.WARNING)
    words, settings = common.split(sys.argv[1:] if argv is None else argv)
    top = parser()
    args, rest = top.parse_known_args(words)
    if rest and (not args.takes_parameters or any(w[:1] == "-" for w in rest)):
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    args.parameters = rest
    args.settings = settings
    if settings and not args.takes_settings:
        top.error(f"this command takes no options like {settings[0][0]}=…")
    empty = _empty(args)
    if empty:
        top.error(f"argument {empty}: an empty word; leave it out, or give one")
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return _checked(args)
    finally:
        signal.signal(signal.SIGTERM, before)
