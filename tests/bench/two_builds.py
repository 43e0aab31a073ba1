#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a change costs: two builds of libgn2 in turns, and the ratio of their times.

    two_builds.py OLD NEW [--file JETS.h5] [--rounds N] [--seconds S]
                  [--set key=value]... [--pieces tag,one,read,train]

OLD and NEW are SOURCE:BUILD, the folders of a checkout and of its meson build. A round
is a process that holds NEW and OLD twice, and tells them a piece of work in all orders
in turn (two_builds.c, turns.c), S seconds a piece: a clock that drifts and a busy
machine hit all alike; the time is the processor time of the piece. Where a side has its
memory moves its times for as long as the process lives: a round counts as one figure,
the median of its turns. Told are the median over the rounds and its 95 % interval by
bootstrap: of new/old, and of old/old, which shows what the machine can tell apart.
"""
import argparse
import os
import pathlib
import random
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SAMPLES = 2000  # of the bootstrap


def compile_c(output, source, *flags):
    subprocess.run(["cc", "-O2", "-o", output, HERE / source, *flags], check=True)
    return output


def build(place, output):
    """turns.c against the headers and the library of SOURCE:BUILD."""
    source, _, folder = place.partition(":")
    source, library = pathlib.Path(source), pathlib.Path(folder or source) / "lib/abi"
    include = [f"-I{source / 'include'}", f"-I{library.parents[1] / 'include'}"]
    link = [f"-L{library}", "-lgn2", f"-Wl,-rpath,{library.resolve()}"]
    return compile_c(output, "turns.c", "-shared", "-fPIC", *include, *link)


def one_round(command, shift, seconds, rest):
    """Both ratios of each piece, by a process of this round alone."""
    text = subprocess.run(
        [command, str(shift), str(seconds), *rest],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    words = [line.split() for line in text.splitlines()]
    return {piece: [float(x) for x in ratios] for piece, *ratios in words}


def interval(ratios):
    """Median and its 95 % interval."""
    rng = random.Random(1)
    medians = sorted(
        statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(SAMPLES)
    )
    return statistics.median(ratios), medians[SAMPLES // 40], medians[-SAMPLES // 40]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--file")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--pieces", default="tag,one,read,train")
    args = parser.parse_args()
    shared = pathlib.Path(os.environ.get("GN2_SHARED", HERE.parents[2] / "shared"))
    file = args.file or str(shared / "data" / "jets_test.h5")
    one = ["tagger.threads=1", "train.threads=1", "data.prefetch=0"]
    with tempfile.TemporaryDirectory() as folder:
        command = compile_c(f"{folder}/two_builds", "two_builds.c", "-ldl")
        old = build(args.old, f"{folder}/old.so")
        sides = (old, build(args.new, f"{folder}/new.so"), old)
        rest = [args.pieces, *sides, file, *one, *args.set]
        rounds = [one_round(command, i, args.seconds, rest) for i in range(args.rounds)]
    for piece in rounds[0]:
        for name, column in zip(
            ("new/old", "old/old"), zip(*(r[piece] for r in rounds))
        ):
            median, low, high = interval(column)
            print(f"{piece:6} {name} {median:.4f} ({low:.4f} to {high:.4f})")


if __name__ == "__main__":
    main()
