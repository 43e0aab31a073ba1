#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libgn2 against the strongest peers we could build, all in one run.

  train     torch.compile (f32 with MKL as it is and with its AVX-512 path, bf16
            autocast) and JAX, both on buckets of fixed shape; batch 500
  one       one jet a call: ONNX Runtime on salt's graph (what Athena runs today) and on
            our graph of one jet (the best it could run), f32 and int8; OpenVINO
  batch     ONNX Runtime f32 and int8; OpenVINO f32 and bf16 and JAX, with a model a
            shape; jets sorted by multiplicity; one processor, two threads of a call,
            two callers of one thread each
  accuracy  what every inexact mode does to probabilities and rejections (width 64)

Each side is a process that does a round when told to; they take turns, pinned;
figures are medians over rounds. The agreement with libgn2 in f32 stands in each row.
What is not installed has a row that says so. Ends with today's ratios beside the goals.
The first run compiles PyTorch's training steps, some minutes that are kept
(--cache); after that it all takes about twenty-five minutes.
Run it with the Python of setup.sh's FOLDER/newest.

usage: all_peers.py --build BUILD [--stock FOLDER/bin/python] [--quick] …
"""
import argparse
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(ROOT / "bindings/python")]
PACKAGES = ("torch", "jax", "onnxruntime", "openvino")
VERSION = "import importlib.metadata as m; print(m.version('onnxruntime'))"
STEPS = {64: 4, 256: 1}  # of a side in one turn
QUICK = {
    "widths": "64",
    "threads": "2",
    "jets": 200,
    "rounds": 1,
    "buckets": 1,
    "sizes": "100",
    "accuracy_jets": 2000,
}


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--stock", help="Python with the ONNX Runtime of Athena")
    parser.add_argument("--cache", type=Path, default=Path(sys.prefix) / "compiled")
    parser.add_argument("--parts", default="train,one,batch,accuracy")
    parser.add_argument("--widths", default="64,256")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--tasks", default="flavour,all", help="of one jet")
    parser.add_argument("--batch-tasks", default="flavour", help="of batches")
    parser.add_argument("--sizes", default="25,100", help="of the peers' batches")
    parser.add_argument("--batch", type=int, default=500, help="of training")
    parser.add_argument("--buckets", type=int, default=6)
    parser.add_argument("--jets", type=int, default=2000)
    parser.add_argument("--accuracy-jets", type=int, default=50000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run: its figures mean little"
    )
    args = parser.parse_args()
    if args.quick:
        vars(args).update(QUICK)
    return args


def version(package):
    try:
        return importlib.metadata.version(package).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def complete(args):
    """What follows from the arguments."""
    args.data, args.file = args.shared / "data", args.shared / "data/jets_test.h5"
    args.python = sys.executable
    args.versions = {name: version(name) for name in PACKAGES}
    args.stock_version = "of Athena"
    if args.stock:
        out = subprocess.run(
            [args.stock, "-c", VERSION], capture_output=True, text=True
        )
        args.stock_version = out.stdout.strip() or args.stock_version
    for name in ("parts", "tasks", "batch_tasks"):
        setattr(args, name, getattr(args, name).split(","))
    for name in ("widths", "threads"):
        setattr(args, name, [int(x) for x in getattr(args, name).split(",")])


def print_machine(args):
    with open("/proc/cpuinfo") as file:
        lines = [line for line in file if line.startswith("model name")]
    model = lines[0].split(":")[1].strip() if lines else "unknown processor"
    packages = ", ".join(f"{k} {v}" for k, v in args.versions.items())
    print(f"{model}, {len(os.sched_getaffinity(0))} processors of this process")
    print(f"{packages}; stock ONNX Runtime {args.stock_version}")
    print(
        f"{args.rounds} rounds, load {' '.join(map('{:.1f}'.format, os.getloadavg()))}"
    )


def measure(args, graphs, sample):
    """key → table, in the order of the parts; each is printed when it is there."""
    import peer_tagging
    import peer_training

    width = graphs.width
    if "train" in args.parts:
        for threads in args.threads:
            steps = STEPS.get(width, 1)
            table = peer_training.compare(args, graphs, threads, steps)
            yield ("train", width, threads), table
    if "one" in args.parts:
        for tasks in args.tasks:
            table = peer_tagging.one_jet(args, graphs, tasks, sample)
            yield ("one", width, tasks), table
    if "batch" in args.parts:
        for tasks in args.batch_tasks:
            for count in args.threads:
                table = peer_tagging.batches(args, graphs, tasks, sample, count)
                yield ("batch", width, tasks, count), table
    if "accuracy" in args.parts and width == 64:
        peer_tagging.print_accuracy(args, graphs)


def main():
    args, tables, start = parse(), {}, time.monotonic()
    complete(args)
    os.environ.setdefault("GN2_LIBRARY", str(args.build / "lib/abi/libgn2.so"))
    import graphs
    import peer_jets
    import peer_table

    print_machine(args)
    sample = peer_jets.Sample(args.file, args.jets)
    with tempfile.TemporaryDirectory() as args.folder:
        for width in args.widths:
            files = graphs.Graphs(args.shared, width, args.folder)
            for key, table in measure(args, files, sample):
                table.print()
                tables[key] = table
    peer_table.print_goals(tables)
    print(f"\n{(time.monotonic() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
