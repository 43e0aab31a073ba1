# SPDX-License-Identifier: Apache-2.0
"""Tags all jets of an HDF5 file and writes their scores as salt does: the fields of
/jets asked for, then <name>_p<class>, <name>_Db and what else the model says of jets;
with --tracks also origin probabilities, VertexIndex and mask in /tracks.

    gn2 tag run/best.gn2 jets_test.h5 -o scores.h5
    gn2 tag run/best.gn2 ttbar_*.h5 zprime_*.h5 -o scores     a file of scores for each
    gn2 tag run/best.gn2 jets_test.h5 --outputs jets.embedding,jets.D_b_gradient
    gn2 tag one.gn2 jets_test.h5 --model two.gn2 --model three.gn2    an ensemble

Several files, or a pattern, go into a folder, each under its own name. Any other output
of a tagger is written beside the scores where --outputs names it: as NAME_embedding_0,
NAME_embedding_1, …, NAME_Db_gradient_INPUT, NAME_pb_logit; an attribute of the dataset,
called as the output, lists its fields. An ensemble gives the mean of the models'
probabilities, its discriminants, and as NAME_pb_spread the standard deviation over the
models (ddof = 1); the attribute 'ensemble' of the file names them.

    gn2 tag run/best.gn2 ttbar_*.h5 -o scores --part 3/100    a job of an array
    gn2 tag run/best.gn2 ttbar_*.h5 -o scores --join          when all are done

Part I of N, from 0, is a range of the jets of all inputs. It is written into the folder
OUT.parts, whole or not at all; one that is there is not made again. --join checks that
all are there, of this model, these options and these inputs, and writes the files that
one run writes. See doc/farm.md.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .. import Config, Dataset, Ensemble, Model, Scores, ScoreWriter, Tagger
from .._progress import Count
from ..score_writer import outputs_of
from . import common, tag_parts
from .common import Failure

#: options that have an effect
TAKEN = (
    *common.OF_THE_MODEL,
    "input.unit_check",
    "model.name",
    *common.OF_READING,
    "tagger.*",
    "compute.*",
    "scores.*",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a .gn2 file")
    common.options(parser)
    parser.add_argument("input", nargs="+", help="HDF5 files with jets, or patterns")
    parser.add_argument(
        "-o",
        "--out",
        help="score file (scores.h5); of several inputs, or of a folder that is there "
        "or ends in '/', the folder (scores), where each goes under its name",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.add_argument("-t", "--tracks", action="store_true", help="write /tracks too")
    parser.add_argument(
        "--outputs",
        action="append",
        metavar="NAMES",
        help="further outputs to write, by name and separated by commas; 'list' shows "
        "what the model has",
    )
    parser.add_argument(
        "--model",
        dest="others",
        action="append",
        default=[],
        metavar="OTHER",
        help="a further .gn2 file for an ensemble; several times for several",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--part",
        type=_part,
        metavar="I/N",
        help="tag part I, from 0, of N; N alone: I is what an Indexed Job sets, "
        f"{tag_parts.INDEX}",
    )
    what.add_argument("--join", action="store_true", help="join the parts")
    common.threads(parser)
    common.force(parser)


def _part(word: str) -> tuple[int, int]:
    try:
        return tag_parts.numbers(word)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def files_of_scores(paths: list[str], out: str | None) -> list[str]:
    """The score file of each input."""
    folder = out is not None and (os.path.isdir(out) or out.endswith("/"))
    if len(paths) == 1 and not folder:
        return ["scores.h5" if out is None else out]
    names = [os.path.basename(path) for path in paths]
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise Failure(f"{count} inputs are called '{name}'")
    return [os.path.join("scores" if out is None else out, name) for name in names]


def _plan(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Inputs and their outputs, checked before the first is tagged."""
    paths = common.files_of(args.input)
    plan = list(zip(paths, files_of_scores(paths, args.out)))
    read = common.there(*paths, args.model, *args.others)
    for _, out in plan:  # a part replaces none of them
        common.replaced(out, args.force or args.part is not None, *read)
    return plan


def _refuse_selection(args: argparse.Namespace) -> None:
    if any(key == "data.selection" for key, _ in args.settings):
        raise Failure(
            "data.selection: scores have a row for every jet of their input; choose "
            "rows of both afterwards"
        )


def _names(args: argparse.Namespace) -> list[str]:
    """What --outputs asks for."""
    words = ",".join(args.outputs or ()).split(",")
    return list(dict.fromkeys(word.strip() for word in words if word.strip()))


def _check(args: argparse.Namespace) -> None:
    """Refuses what has no effect or is said twice, one way and another."""
    given = dict(args.settings)
    if args.tracks and given.get("scores.write_tracks", "yes") != "yes":
        raise Failure(
            f"--tracks and scores.write_tracks={given['scores.write_tracks']} "
            "contradict each other: leave one out"
        )
    if args.outputs and "scores.outputs" in given:
        raise Failure("--outputs and scores.outputs are the same: give one")
    if args.outputs and not _names(args):
        raise Failure("--outputs names none; 'list' shows what the model has")
    if "scores.models" in given:
        raise Failure("scores.models has no effect here: --model adds a model")


def _show(tagger: Tagger) -> int:
    """The table of --outputs list."""
    for name, one in tagger.outputs.items():
        kind = "score" if name in tagger.score_names else ""
        kind = "not in files" if one.rows == "pair" else kind
        rows = "jet" if one.rows == "jet" else f"{one.rows} of {one.object}"
        print(f"{name:32} a {rows:22} {one.columns:>5} {one.dtype.__name__:8} {kind}")
    return 0


def run(args: argparse.Namespace) -> int:
    _refuse_selection(args)
    _check(args)
    names = _names(args)
    plan = [] if names == ["list"] else _plan(args)
    model, config = _model(args, args.model)
    if args.tracks:
        config["scores.write_tracks"] = "yes"
    tagger = Tagger(model, config)
    if names == ["list"]:
        return _show(tagger)
    if names:
        config["scores.outputs"] = [tagger.describe(name).name for name in names]
    work = _ensemble(args, tagger, config) if args.others else _single(tagger, config)
    if args.part is not None:
        return _write_part(args, plan, work)
    parts = _parts(args, plan, work) if args.join else None
    for number, (path, out) in enumerate(plan):
        if os.path.dirname(out):
            os.makedirs(os.path.dirname(out), exist_ok=True)
        start = time.perf_counter()
        if parts is None:
            jets = _tag(args, (path, out), work)
        else:
            jets = _write(args, (path, out), work, tag_parts.outputs(parts, number))
        seconds = time.perf_counter() - start
        print(f"gn2: {jets:,} jets in {seconds:.1f} s to {out}", file=sys.stderr)
    return 0


def _model(args: argparse.Namespace, path: str) -> tuple[Model, Config]:
    return common.model_for(path, args, TAKEN, "tagger.threads")


class _Work(NamedTuple):
    """Who tags, reads and writes."""

    configs: list[Config]  #: a dataset each
    model: Model | Ensemble
    tagger: Tagger  #: the first
    batches: Callable[[Sequence[Dataset]], Iterator[Scores]]
    #: of jets and constituents, for each model
    scores: Callable[[Sequence[tag_parts.Inputs]], Scores]


def _single(tagger: Tagger, config: Config) -> _Work:
    tracks = config["scores.write_tracks"] == "yes"
    names: Any = config["scores.outputs"]
    asked = [tagger.describe(name).name for name in names]
    usual = (n for n in tagger.score_names if tracks or n.startswith("jets."))
    outputs = list(dict.fromkeys((*usual, *asked)))
    return _Work(
        [config],
        tagger.model,
        tagger,
        lambda data: tagger.tag_batches(data[0], outputs),
        lambda inputs: tagger.tag(*inputs[0], outputs=outputs),
    )


def _ensemble(args: argparse.Namespace, tagger: Tagger, config: Config) -> _Work:
    """The taggers of an ensemble, which read the same jets as the first."""
    if config["scores.write_tracks"] == "yes" or config["scores.outputs"]:
        raise Failure(
            "an ensemble has probabilities of jets and their discriminants alone: "
            "--tracks and --outputs go without --model"
        )
    taggers, configs = [tagger], [config]
    for path in args.others:
        model, own = _model(args, path)
        own.update({k: v for k, v in config.items() if k.startswith("data.")})
        taggers.append(Tagger(model, own))
        configs.append(own)
    ensemble = Ensemble(taggers)
    _refuse_twins([args.model, *args.others], ensemble.names)
    return _Work(
        configs,
        ensemble,
        tagger,
        ensemble.tag_batches,
        lambda inputs: ensemble.mean([t.tag(*own) for t, own in zip(taggers, inputs)]),
    )


def _refuse_twins(paths: Sequence[str], names: Sequence[str]) -> None:
    """With options the same for all, equal models find the same: of two there would be
    no spread, and of more a mean that counts one twice."""
    first: dict[str, str] = {}
    for path, name in zip(paths, names):
        digest = name.rpartition(" ")[2]
        if digest in first:
            raise Failure(
                f"'{first[digest]}' and '{path}' of the ensemble are the same model: "
                "leave one out"
            )
        first[digest] = path


def _tag(args: argparse.Namespace, files: tuple[str, str], work: _Work) -> int:
    with contextlib.ExitStack() as stack:
        data = [stack.enter_context(Dataset(files[0], one)) for one in work.configs]
        found = ((scores, len(scores)) for scores in work.batches(data))
        jets = _write(args, files, work, found, data[0].info.jet_count)
    return jets


def _write(
    args: argparse.Namespace,
    files: tuple[str, str],
    work: _Work,
    found: Iterable[tuple[Any, int]],
    total: int = 0,
) -> int:
    """Writes the score file of an input.

    Args:
        found: outputs, and how many jets they are of.
        total: jets, where it is known.
    """
    path, out = files
    bar = Count(total, "jet", os.path.basename(path), args.quiet)
    with ScoreWriter(out, path, work.model, work.configs[0]) as writer, bar:
        for outputs, count in found:
            writer.add(outputs, count)
            bar.add(count)
    return bar.done


# ---- parts ----


def _run(
    args: argparse.Namespace, plan: list[tuple[str, str]], work: _Work
) -> tag_parts.Run:
    out = plan[0][1] if len(plan) == 1 else os.path.dirname(plan[0][1])
    models, inputs = [args.model, *args.others], [path for path, _ in plan]
    return tag_parts.describe(models, inputs, work.configs, out, quiet=args.quiet)


def _write_part(
    args: argparse.Namespace, plan: list[tuple[str, str]], work: _Work
) -> int:
    run = _run(args, plan, work)
    part = run.part(*args.part)
    if not args.force and tag_parts.is_there(run, part):
        print(f"gn2: {part} is there already: {part.path}", file=sys.stderr)
        return 0
    _check_writing(run, part, work)
    start = time.perf_counter()
    with Count(part.jets, "jet", str(part), args.quiet) as bar:
        tag_parts.write(
            run, part, lambda one: outputs_of(work.scores(one), work.tagger), bar
        )
    seconds = time.perf_counter() - start
    text = f"{part}, {part.jets:,} jets in {seconds:.1f} s to {part.path}"
    print(f"gn2: {text}", file=sys.stderr)
    return 0


def _check_writing(run: tag_parts.Run, part: tag_parts.Part, work: _Work) -> None:
    """What a score file cannot be of is refused now, not when parts are joined."""
    with tempfile.TemporaryDirectory() as folder:
        for span in part.ranges:
            path, out = run.inputs[span.file], os.path.join(folder, "scores.h5")
            ScoreWriter(out, path, work.model, work.configs[0]).close()


def _parts(
    args: argparse.Namespace, plan: list[tuple[str, str]], work: _Work
) -> list[Any]:
    """All parts, checked."""
    found = tag_parts.load(_run(args, plan, work))
    machines = tag_parts.machines(found)
    if len(machines) > 1:
        print(
            f"gn2: parts were tagged by unlike machines ({'; '.join(machines)}): their "
            "scores are equal to rounding, not to the bit; compute.isa=avx2 for all "
            "parts makes them so",
            file=sys.stderr,
        )
    return found
