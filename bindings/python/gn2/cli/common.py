# SPDX-License-Identifier: Apache-2.0
"""What several subcommands share: KEY=VALUE words, optional packages, output files."""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import glob
import importlib
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .. import Config, Dataset, Model
from ..config import keys, replace_shares
from ..scores import check_discriminants, names_of


class Terminated(BaseException):
    """SIGTERM."""


class Failure(Exception):
    """The command cannot do what it is asked; the message says why."""

    status = 1  # of the command


class NotAsked(Failure):
    """It was started otherwise than it was asked to be: trying again is of no use."""

    status = 2


_SETTING = re.compile(r"([A-Za-z_]\w*(?:\.\w+)+)=(.*)", re.S)


def options(parser: argparse.ArgumentParser) -> None:
    """Says that the command takes KEY=VALUE words: anywhere, as args.settings."""
    parser.set_defaults(takes_settings=True, settings=[])


def split(given: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Plain words, and (key, value) of those that set an option."""
    plain: list[str] = []
    settings: list[tuple[str, str]] = []
    for word in given:
        match = _SETTING.fullmatch(word)
        if match and not os.path.exists(word):
            settings.append((match[1], match[2]))
        else:
            plain.append(word)
    return plain, settings


#: like a setting, but no option is called so: they have a dot
_UNDOTTED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.S)


def check_words(words: Iterable[Any]) -> None:
    """Refuses, among the names of files, what was meant to be an option."""
    for word in words:
        match = _UNDOTTED.fullmatch(word) if isinstance(word, str) else None
        if match is None or os.path.exists(word) or os.path.exists(match[2]):
            continue  # no NAME=VALUE, or the [NAME=]FILE that some commands take
        ends = {key.rpartition(".")[2]: key for key in reversed(keys())}
        near = difflib.get_close_matches(match[1], ends, 1, cutoff=0.75)
        hint = f"; did you mean {ends[near[0]]}={match[2]}?" if near else ""
        raise Failure(
            f"'{word}' is neither a file nor an option (`gn2 config` lists them){hint}"
        )


def apply(config: Config, settings: Sequence[tuple[str, str]]) -> Config:
    """Sets options; a bad one ends the command."""
    replace_shares(config, [key for key, _ in settings])
    for key, value in settings:
        config.set_text(key, value)
    return config


#: a model's own options that may be others when it runs, weights as they are
OF_THE_MODEL = ("discriminant.*", "input.non_finite", "input.defaults.*")
#: how jets are read, whatever is made of them
OF_READING = (
    "data.batch_size",
    "data.max_jets",
    "data.prefetch",
    "data.read_threads",
    "data.dataset.*",
)
#: the same where not every jet is needed
OF_CHOOSING = (*OF_READING, "data.selection")


def check_taken(settings: Sequence[tuple[str, str]], taken: Sequence[str]) -> None:
    """Refuses options that would have no effect.

    Args:
        taken: patterns of those that have one.
    """
    for key, _ in settings:
        if not any(fnmatch.fnmatchcase(key, pattern) for pattern in taken):
            raise Failure(
                f"{key} has no effect here; this command takes {', '.join(taken)}"
            )


#: keys of an object, jets or a constituent type
OF_OBJECTS = (
    "inputs.*",
    "norm.*.mean",
    "norm.*.std",
    "input.defaults.*",
    "data.dataset.*",
)


def check_objects(keys: Collection[str], config: Config) -> None:
    """Refuses options of constituents and discriminants that the model does not
    have."""
    types: Any = config["model.constituents"]
    for key in keys:
        if any(fnmatch.fnmatchcase(key, pattern) for pattern in OF_OBJECTS):
            name = key.removesuffix(".mean").removesuffix(".std").rpartition(".")[2]
            if name not in ("jets", *types):
                raise Failure(
                    f"{key}: there are no {name}; model.constituents: {','.join(types)}"
                )
    given = {key: config[key] for key in keys if key.startswith("discriminant.")}
    if given:
        check_discriminants(given, names_of(config))


def adapted(model: Model, config: Config, settings: Sequence[tuple[str, str]]) -> Model:
    """The model with what the settings change of it, else as it is.

    What the library reads of the model and not of the options of a run, as fractions
    of discriminants, takes effect so.
    """
    before, ours = model.config, ("discriminant.", "input.", "model.", "task.")
    asked = [key for key, _ in settings if key.startswith(ours)]
    if all(config[key] == before.get(key) for key in asked):
        return model
    other = Model(config)
    mine = {name: p.shape for name, p in model.params.items()}
    wanted = {name: p.shape for name, p in other.params.items()}
    for name in {**mine, **wanted}:
        if mine.get(name) != wanted.get(name):
            raise Failure(
                f"{', '.join(asked)}: the model is not made so: tensor '{name}' has "
                f"shape {mine.get(name)}, {wanted.get(name)} is needed"
            )
        other[name] = model[name]
    return other


def model_for(
    path: str, args: argparse.Namespace, taken: Sequence[str], threads: str
) -> tuple[Model, Config]:
    """A model and the config of a command that runs it on jets in the order of files.

    Args:
        taken: patterns of options that have an effect in the command.
        threads: the option that --threads sets.
    """
    if args.threads and threads in dict(args.settings):
        raise Failure(f"--threads and {threads} are the same: give one")
    model = Model.load(path)
    config = model.config
    config.update({"data.sampling": "sequential", threads: args.threads})
    apply(config, args.settings)
    check_taken(args.settings, taken)
    check_objects([key for key, _ in args.settings], config)
    return adapted(model, config, args.settings), config


def need(module: str, package: str, purpose: str) -> Any:
    """An optional module."""
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise Failure(
            f"{purpose} needs {package} ({problem}); pip install {package}"
        ) from None


def there(*paths: str) -> list[str]:
    """Those that exist; what does not is told of when it is opened."""
    return [path for path in paths if os.path.exists(path)]


def files_of(words: Sequence[str]) -> list[str]:
    """Files, and those a pattern stands for where no file is called so."""
    found: list[str] = []
    for word in words:
        named = [word] if os.path.exists(word) else sorted(glob.glob(word))
        if not named and glob.has_magic(word):
            raise Failure(f"'{word}': no file fits this pattern")
        found += named or [word]  # a file that is not there is named when it is opened
    return found


def say_selected(data: Dataset, what: str) -> None:
    """How many jets there are, where it is not all."""
    selection = data.config["data.selection"]
    if selection:
        print(f"gn2: {data.info.jet_count:,} {what} jets: {selection}", file=sys.stderr)


def output(path: str, force: bool, *read: str) -> str:
    """Refuses, before the work, to overwrite unless asked to, what is no file, or is
    read, and what lies in no folder.

    Args:
        read: files the command reads.
    """
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise Failure(f"'{path}': there is no folder '{folder}'")
    return replaced(path, force, *read)


def replaced(path: str, force: bool, *read: str) -> str:
    """The same for what may lie in a folder that is yet to be made."""
    if not path:
        raise Failure("the name of the output is empty")
    if not os.path.exists(path):
        return path
    if not os.path.isfile(path):
        raise Failure(f"'{path}' is no regular file: it would be replaced")
    for other in read:
        if os.path.samefile(path, other):
            raise Failure(f"'{path}' is the input itself")
    if not force:
        raise Failure(f"'{path}' exists; --force overwrites it")
    return path


def json_line(row: Mapping[str, Any]) -> str:
    """A JSON object; JSON has no NaN and no infinity: null."""

    def value(given: Any) -> Any:
        finite = not isinstance(given, float) or math.isfinite(given)
        return given if finite else None

    return json.dumps({name: value(given) for name, given in row.items()})


def say_unlabelled(model: str, tasks: Sequence[str], then: str) -> None:
    """Tells of losses that are not known."""
    lost = f"the data has no label for the loss of {', '.join(tasks)}"
    print(f"gn2: {model}: {lost}; {then}", file=sys.stderr)


def natural(word: str) -> int:
    """Type of an argument: a whole number from 0."""
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"'{word}' is not a whole number from 0")
    if len(word) > 18:
        raise argparse.ArgumentTypeError(f"{len(word)} digits: 18 at most")
    return int(word)


def positive(word: str) -> int:
    """Type of an argument: a whole number from 1."""
    if not natural(word):
        raise argparse.ArgumentTypeError("0 is too small: at least 1")
    return int(word)


def seconds(word: str) -> float:
    """Type of an argument: seconds, from 0 to a million."""
    try:
        found = float(word)
    except ValueError:
        found = math.nan
    if not 0 <= found <= 1e6:
        raise argparse.ArgumentTypeError(f"{word!r}: seconds wanted, 0 to 1e6")
    return found


def port(word: str) -> int:
    """Type of an argument: a port to listen on; 0: any that is free."""
    if not word.isdecimal() or int(word) > 65535:
        raise argparse.ArgumentTypeError(f"{word!r} is no port, 0 to 65535 wanted")
    return int(word)


def program(word: str) -> list[str]:
    """Type of an argument: words of a command."""
    try:
        found = shlex.split(word)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{word!r}: {problem}") from None
    if not found:
        raise argparse.ArgumentTypeError(f"{word!r} names no program")
    return found


def host(parser: argparse.ArgumentParser) -> None:
    """Adds --host."""
    text = "default %(default)s; 0.0.0.0: all"
    parser.add_argument("--host", default="127.0.0.1", help=text)


def force(parser: argparse.ArgumentParser) -> None:
    """Adds --force."""
    parser.add_argument("-f", "--force", action="store_true", help="overwrite")


def labelled_data(parser: argparse.ArgumentParser) -> None:
    """Adds --data."""
    parser.add_argument(
        "-d",
        "--data",
        action="append",
        required=True,
        metavar="FILE",
        help="HDF5 file with labelled jets, or a pattern; several times for several",
    )


def threads(parser: argparse.ArgumentParser) -> None:
    """Adds --threads."""
    parser.add_argument(
        "-j",
        "--threads",
        type=natural,
        default=0,
        metavar="N",
        help="threads; 0 (default): the processors this process may use",
    )


def label_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --label and --sample: what stands at the top of all figures."""
    add = parser.add_argument
    add(
        "--label",
        default="",
        metavar="TEXT",
        help="experiment, on every figure: 'ATLAS Simulation Internal'",
    )
    add("--sample", default="", metavar="TEXT", help="a line below it: energy, process")


def labelled(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Figures made inside show what --label and --sample say."""
    if not args.label and not args.sample:
        return nullcontext()
    style = need("gn2.plots.style", "matplotlib", "--label")
    found: AbstractContextManager[None] = style.label(args.label, args.sample)
    return found
