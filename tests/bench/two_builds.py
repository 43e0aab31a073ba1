#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a change costs: two builds of libgn2 in turns, and the ratio of their times.

    two_builds.py OLD NEW [--file JETS.h5] [--rounds N] [--turns N]
                  [--set key=value]... [--pieces tag,one,read,train]

OLD and NEW are SOURCE:BUILD, the folders of a checkout and of its meson build. A
process of each and a second one of OLD stay up for a round and do a piece of work when
told (turns.c): old, new, again, again, new, old, so that a clock that drifts and a busy
machine hit all alike; the time is the processor time of the piece. Where a process has
its memory moves its times by more than a change does, for as long as it lives: a round
is a new set of processes, started in another order, and counts as one figure, the
median of its turns. Told are the median over the rounds and its 95 % interval by
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


def build(place, program):
    """turns.c against the headers and the library of SOURCE:BUILD."""
    source, _, folder = place.partition(":")
    source, library = pathlib.Path(source), pathlib.Path(folder or source) / "lib/abi"
    subprocess.run(
        ["cc", "-O2", "-o", program, HERE / "turns.c", f"-I{source / 'include'}"]
        + [f"-I{library.parents[1] / 'include'}", f"-L{library}", "-lgn2"]
        + [f"-Wl,-rpath,{library.resolve()}"],
        check=True,
    )
    return program


class Side:
    """A process of one build at work."""

    def __init__(self, program, arguments):
        self.process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def end(self):
        self.process.communicate()

    def work(self, piece):
        """Seconds of processor time."""
        self.process.stdin.write(piece + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"two_builds: {self.process.args[0]} has ended")
        return float(answer)


def turns(sides, piece, count):
    """new/old and old/old of `count` turns, the median of each."""
    old, new, again = sides
    pairs = []
    for side in sides:
        side.work(piece)  # warms up
    for _ in range(count):
        order = (old, new, again, again, new, old)
        times = [side.work(piece) for side in order]
        base = times[0] + times[5]
        pairs.append(((times[1] + times[4]) / base, (times[2] + times[3]) / base))
    return [statistics.median(column) for column in zip(*pairs)]


def one_round(programs, arguments, pieces, count, shift):
    """Both ratios of each piece, by processes of this round alone."""
    order = [(shift + i) % len(programs) for i in range(len(programs))]
    started = {i: Side(programs[i], arguments) for i in order}
    sides = [started[i] for i in range(len(programs))]
    try:
        return {piece: turns(sides, piece, count) for piece in pieces}
    finally:
        for side in sides:
            side.end()


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
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--pieces", default="tag,one,read,train")
    args = parser.parse_args()
    shared = pathlib.Path(os.environ.get("GN2_SHARED", HERE.parents[2] / "shared"))
    file = args.file or str(shared / "data" / "jets_test.h5")
    one = ["tagger.threads=1", "train.threads=1", "data.prefetch=0"]
    pieces = args.pieces.split(",")
    with tempfile.TemporaryDirectory() as folder:
        old = build(args.old, f"{folder}/old")
        programs = (old, build(args.new, f"{folder}/new"), old)
        rounds = [
            one_round(programs, [file, *one, *args.set], pieces, args.turns, i)
            for i in range(args.rounds)
        ]
    for piece in pieces:
        for name, column in zip(
            ("new/old", "old/old"), zip(*(r[piece] for r in rounds))
        ):
            median, low, high = interval(column)
            print(f"{piece:6} {name} {median:.4f} ({low:.4f} to {high:.4f})")


if __name__ == "__main__":
    main()
