#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training step of libgn2 against salt and against the strongest PyTorch, in one run.

The three sides take turns (ROUNDS rounds), on the same jets and batch size; each
figure is the median of its rounds. salt runs with glibc told to keep freed memory,
which doubles its speed, and with threads pinned. Needs the environment of setup.sh.

usage: compare_training.py [--python ENV/bin/python] [--data FOLDER] [--bench FILE]
                           [--widths 64,256] [--threads 2] [--rounds 5]
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
STEPS = {64: 3, 256: 2}  # of a peer in one turn
LINE = re.compile(r": (\d+) jets/s, .* = ([\d.]+) % of the peak")
KEEP = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "500000000",
    "OMP_PROC_BIND": "true",
}


class Peer:
    """A salt process that takes steps when told to."""

    def __init__(self, args, width, variant):
        self.width, self.batch = width, args.batch
        self.process = subprocess.Popen(
            [
                args.python,
                HERE / "salt_train.py",
                args.data,
                str(width),
                str(args.threads),
                str(args.batch),
                variant,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | KEEP | {"OMP_NUM_THREADS": str(args.threads)},
        )
        while self.process.stdout.readline().strip() != "ready":
            if self.process.poll() is not None:
                sys.exit(f"salt_train.py {variant} failed")
        self.turn()  # warm

    def turn(self):
        print(STEPS.get(self.width, 2), file=self.process.stdin, flush=True)
        seconds = [float(s) for s in self.process.stdout.readline().split()]
        return self.batch / statistics.median(seconds)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def libgn2(args, width):
    """jets/s and share of the peak (%) of one run of bench_train."""
    out = subprocess.run(
        [
            args.bench,
            "-f",
            f"{args.data}/jets_train.h5",
            "-w",
            str(width),
            "-t",
            str(args.threads),
            "-b",
            str(args.batch),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rate, peak = LINE.search(out).groups()
    return float(rate), float(peak)


def compare(args, width):
    peers = {name: Peer(args, width, name) for name in ("stock", "packed")}
    ours, share, rates = [], [], {name: [] for name in peers}
    for _ in range(args.rounds):
        rate, peak = libgn2(args, width)
        ours.append(rate)
        share.append(peak)
        for name, peer in peers.items():
            rates[name].append(peer.turn())
    for peer in peers.values():
        peer.close()
    mine = statistics.median(ours)
    print(
        f"width {width}, batch {args.batch}, {args.threads} threads, f32, "
        f"{args.rounds} rounds:"
    )
    print(
        f"  libgn2                 {mine:8.0f} jets/s "
        f"[{min(ours):.0f}, {max(ours):.0f}], "
        f"{statistics.median(share):.1f} % of the FMA peak"
    )
    for name, title in (("stock", "salt, best stock"), ("packed", "PyTorch, packed")):
        rate = statistics.median(rates[name])
        print(
            f"  {title:20s}   {rate:8.0f} jets/s "
            f"[{min(rates[name]):.0f}, {max(rates[name]):.0f}]: "
            f"libgn2 is {mine / rate:.2f} times as fast",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--bench", default=str(ROOT / "build/tests/bench/bench_train"))
    parser.add_argument("--widths", default="64,256")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for width in map(int, args.widths.split(",")):
        compare(args, width)


if __name__ == "__main__":
    main()
