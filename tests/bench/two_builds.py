#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a change costs: two builds of libgn2 in turns, and the ratio of their times.

    two_builds.py OLD NEW [--file JETS.h5] [--turns N] [--set key=value]...
                  [--pieces tag,one,read,train]

OLD and NEW are SOURCE:BUILD, the folders of a checkout and of its meson build. A
process of each stays up and does a piece of work when told (turns.c): old, new, new,
old, so that a clock that drifts, a warm cache and a busy machine hit both alike; the
time is the processor time of the piece. Figures are new/old: the median over the turns
and its 95 % interval by bootstrap; the same for the old build against a second process
of itself, which shows what the machine can tell apart.
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


class Side:
    """One build at work."""

    def __init__(self, place, folder, arguments):
        source, _, build = place.partition(":")
        source, build = pathlib.Path(source), pathlib.Path(build or source) / "lib/abi"
        program = pathlib.Path(folder) / f"turns{len(os.listdir(folder))}"
        subprocess.run(
            ["cc", "-O2", "-o", program, HERE / "turns.c", f"-I{source / 'include'}"]
            + [f"-I{build.parents[1] / 'include'}", f"-L{build}", "-lgn2"]
            + [f"-Wl,-rpath,{build.resolve()}"],
            check=True,
        )
        self.process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def work(self, piece):
        """Seconds of processor time."""
        self.process.stdin.write(piece + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"two_builds: {self.process.args[0]} has ended")
        return float(answer)


def turns(old, new, piece, count):
    """new/old of `count` rounds of old, new, new, old."""
    ratios = []
    for _ in range(count):
        times = [side.work(piece) for side in (old, new, new, old)]
        ratios.append((times[1] + times[2]) / (times[0] + times[3]))
    return ratios


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
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--pieces", default="tag,one,read,train")
    args = parser.parse_args()
    shared = pathlib.Path(os.environ.get("GN2_SHARED", HERE.parents[2] / "shared"))
    file = args.file or str(shared / "data" / "jets_test.h5")
    one = ["tagger.threads=1", "train.threads=1", "data.prefetch=0"]
    with tempfile.TemporaryDirectory() as folder:
        places = (args.old, args.new, args.old)
        old, new, again = (Side(p, folder, [file, *one, *args.set]) for p in places)
        for piece in args.pieces.split(","):
            for side in (old, new, again):
                side.work(piece)  # warms up
            for name, other in (("new/old", new), ("old/old", again)):
                median, low, high = interval(turns(old, other, piece, args.turns))
                print(
                    f"{piece:6} {name} {median:.4f} ({low:.4f} to {high:.4f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
