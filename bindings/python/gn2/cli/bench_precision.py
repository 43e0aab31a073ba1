# SPDX-License-Identifier: Apache-2.0
"""Whether bf16 outruns f32 on this model of processor: a row for the table that decides
what `auto` means (lib/kernels/processors.c).

    gn2 bench precision --cpu 3

One thread, random jets of 9 tracks on the average, random weights; both precisions
take turns (f32, bf16, bf16, f32), and the processor time of the turns is compared by
medians.
To be run where nothing else runs. The row says from which width on batches, and
training steps, gain a tenth or more; whoever sends it in gives the figures above it.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import Config, Model, Tagger, Trainer
from .common import Failure, natural, positive

#: f32 over bf16 in time that is worth other bits
GAIN = 1.1
PRECISIONS = ("f32", "bf16")
KINDS = ("one jet", "batch", "training")
#: jets, their tracks, labels
Sample = tuple[Any, Any, Any]


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-w", "--width", action="append", type=int, help="model.embed_dim (64, 256)")
    add("-r", "--rounds", type=positive, default=9, help="rounds of four turns (9)")
    add("--cpu", type=natural, help="processor to stay on")


def run(args: argparse.Namespace) -> int:
    if args.cpu is not None:
        _stay_on(args.cpu)
    if min(args.width or [8]) < 8:
        raise Failure("--width must be 8 or more")
    found: dict[str, list[tuple[int, float]]] = {kind: [] for kind in KINDS}
    print(f"{'width':>5}  {'':8}  {'f32 ms':>9}  {'bf16 ms':>9}  f32/bf16  rounds")
    for width in args.width or [64, 256]:
        for kind, calls in _calls(width).items():
            pairs = _in_turns(calls, args.rounds)
            ratios = sorted(f32 / bf16 for f32, bf16 in pairs)
            found[kind].append((width, statistics.median(ratios)))
            print(_line(width, kind, pairs, ratios))
    print(_row(found["batch"], found["training"]))
    return 0


def _stay_on(cpu: int) -> None:
    mine = sorted(os.sched_getaffinity(0))
    if cpu not in mine:
        raise Failure(f"--cpu {cpu}: this process has {', '.join(map(str, mine))}")
    os.sched_setaffinity(0, {cpu})


def _line(
    width: int, kind: str, pairs: list[tuple[float, float]], ratios: list[float]
) -> str:
    times = "  ".join(f"{1e3 * statistics.median(t):9.3f}" for t in zip(*pairs))
    every = " ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"{width:5}  {kind:8}  {times}  {statistics.median(ratios):8.2f}  {every}"


def _jets(count: int) -> Sample:
    rng = np.random.default_rng(1)
    counts = np.minimum(rng.poisson(9, count), 40)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    jets = rng.normal(size=(count, 2)).astype(np.float32)
    tracks = rng.normal(size=(int(offsets[-1]), 19)).astype(np.float32)
    labels = {
        "flavour": rng.integers(0, 4, count).astype(np.int32),
        "origin": rng.integers(0, 7, len(tracks)).astype(np.int32),
        "vertex": rng.integers(0, 3, len(tracks)).astype(np.int32),
    }
    return jets, (tracks, offsets), labels


def _calls(width: int) -> dict[str, dict[str, Callable[[], Any]]]:
    """What is timed, by kind and precision."""
    config = Config()
    config["model.embed_dim"] = width
    config["schedule.steps"] = 1000000
    model = Model(config)
    out: dict[str, dict[str, Callable[[], Any]]] = {kind: {} for kind in KINDS}
    for precision in PRECISIONS:
        tagger = Tagger(model, {"tagger.precision": precision})
        trainer = Trainer(
            model,
            {
                "train.precision": precision,
                "train.threads": 1,
                "schedule.steps": 1000000,
            },
        )
        out["one jet"][precision] = partial(_tag, tagger, _jets(1), 20)
        out["batch"][precision] = partial(_tag, tagger, _jets(200), 1)
        out["training"][precision] = partial(trainer.step, *_jets(100))
    return out


def _tag(tagger: Tagger, sample: Sample, times: int) -> None:
    for _ in range(times):
        tagger.tag(*sample[:2])


def _in_turns(
    calls: dict[str, Callable[[], Any]], rounds: int
) -> list[tuple[float, float]]:
    """Processor time of f32 and bf16 in every round."""
    pairs = []
    for call in calls.values():
        call()
    for _ in range(rounds):
        spent = dict.fromkeys(PRECISIONS, 0.0)
        for precision in (*PRECISIONS, *reversed(PRECISIONS)):
            start = time.process_time()
            calls[precision]()
            spent[precision] += (time.process_time() - start) / 2
        pairs.append((spent["f32"], spent["bf16"]))
    return pairs


def _row(batch: list[tuple[int, float]], training: list[tuple[int, float]]) -> str:
    facts = _facts()
    kind = "AMX" if "amx_bf16" in facts["flags"].split() else "AVX512"
    widths = f"{_least(batch)}, {_least(training)}"
    name = facts["vendor_id"], facts["cpu family"], facts["model"]
    return (
        f"{facts['model name']}; DOTS: 1 where `bf16 dots` of bench_product outruns "
        f"its `bf16`, else 0\n"
        f'{{"{name[0]}", {name[1]}, {name[2]}, {name[2]}, GN2_BF16_{kind}, DOTS, '
        f"{widths}}},"
    )


def _least(ratios: list[tuple[int, float]]) -> int:
    """The least width from which all gain; 0: the widest does not."""
    least = 0
    for width, ratio in sorted(ratios, reverse=True):
        if ratio < GAIN:
            break
        least = width
    return least


def _facts() -> dict[str, str]:
    """Of the first processor, as Linux tells them."""
    text = pathlib.Path("/proc/cpuinfo").read_text("utf-8")
    rows = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in rows}
