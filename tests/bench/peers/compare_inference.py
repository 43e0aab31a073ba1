#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tagging with libgn2 against ONNX Runtime and PyTorch, same jets, same weights.

The sides take turns in one run (ROUNDS rounds); figures are medians of the rounds.
  one    one jet a call, one thread, Athena's session options, real and fixed n
  event  20 jets: one call of libgn2 against twenty calls of ONNX Runtime
  batch  libgn2 (any order) against an export of ours with dynamic batch and mask
         (sorted by n, batch 100) and PyTorch (sorted, batch 250), 1 and 2 threads
  bf16   tagger.weights = bf16 against f32: |dp| and rejections
ONNX Runtime is timed through its Python binding and nothing is subtracted; libgn2 in
a loop in C and through ctypes, both printed. Weights: salt's exports at widths 64 and
256, at others the random start of libgn2. Needs the environment of setup.sh.

usage: compare_inference.py [--widths 64,256] [--parts one,event,batch,bf16] …
"""
import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import accuracy
import peer_jets

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(ROOT / "bindings/python")]
TASKS = ("flavour", "all")
FIXED = (0, 1, 2, 10, 40)
SALT = {64: "salt_model/gn2_w64.onnx", 256: "onnx/gn2_w256.onnx"}
FLAVOUR = ["GN2_pb", "GN2_pc", "GN2_pu", "GN2_ptau"]


def median_of(rounds, place=0):
    return statistics.median(r[place] for r in rounds)


class Network:
    """One width: its weights as a .gn2 file and as graphs of one jet a call."""

    def __init__(self, args, width, folder):
        import gn2_weights as source

        self.width, self.folder = width, folder
        salt = args.shared / SALT.get(width, SALT[64])
        self.weights = source.read_onnx(salt)
        if width not in SALT:
            self.weights = source.random_weights(width, self.weights)
        self.path = f"{folder}/w{width}.gn2"
        source.make_model(self.weights).save(self.path)
        self.one = self.cut(salt) if width in SALT else self.own()

    def cut(self, salt):
        """salt's graph, for flavour without the heads nobody asked for."""
        import onnx

        flavour = f"{self.folder}/w{self.width}_flavour.onnx"
        onnx.utils.extract_model(
            str(salt), flavour, ["jet_features", "track_features"], FLAVOUR
        )
        return {"flavour": flavour, "all": str(salt)}

    def own(self):
        return {tasks: self.batched(tasks) for tasks in TASKS}

    def batched(self, tasks):
        import gn2_torch

        path = f"{self.folder}/w{self.width}_{tasks}_batched.onnx"
        if not os.path.exists(path):
            gn2_torch.export(self.weights, tasks == "all", path)
        return path


# ---- agreement ----


def same_partition(a, b):
    """Whether two labellings of tracks make the same groups."""
    return np.array_equal(a[:, None] == a, b[:, None] == b)


def agreement(sides, graph, sample, count=200):
    """Scores of libgn2 in one call against one-jet calls of the peer."""
    p, origin, vertex = sides.score(sample)
    worst = wrong = tracks = groups = 0
    for i in range(min(count, len(sample.tracks))):
        out = graph.run(graph.feed(sample.jets[i : i + 1], sample.tracks[i]))
        rows = slice(sample.offsets[i], sample.offsets[i + 1])
        peer = np.ravel(np.array(out[:4])) if len(out) > 3 else np.ravel(out[0])
        worst = max(worst, float(np.abs(peer - p[i]).max()))
        if len(out) != 6:
            continue
        wrong += int((origin[rows].argmax(-1) != out[4]).sum())
        tracks += len(out[4])
        groups += not same_partition(vertex[rows, 0], np.asarray(out[5]))
    return worst, wrong, tracks, groups


def print_agreement(net, sides, sample, count=200):
    import inference_sides as s

    worst, wrong, tracks, groups = agreement(sides, s.OneJet(net.one["all"]), sample)
    print(
        f"  agreement with ONNX Runtime on {min(count, len(sample.tracks))} jets: "
        f"|dp| <= {worst:.1e}",
        end="",
    )
    if tracks:
        print(
            f", origin differs for {wrong} of {tracks} tracks, vertices for {groups} "
            "jets",
            end="",
        )
    print(flush=True)


# ---- one jet ----


def line(what, peer, ours):
    """ours: name → microseconds."""
    print(f"  {what:26s} ONNX Runtime {peer:8.1f} us", end="")
    for name, us in ours.items():
        print(f"   {name} {us:8.1f} us = {peer / us:5.2f} x", end="")
    print(flush=True)


def one_jet(args, net, sample, programs, sides):
    import inference_sides as s

    for tasks in TASKS:
        graph = s.OneJet(net.one[tasks])
        feeds, calls = graph.feeds(sample), sides.calls(sample, tasks)
        graph.times(feeds[:50]), sides.times(calls[:50])
        rounds = {k: [] for k in ("peer", "C f32", "C bf16", "ctypes f32")}
        for _ in range(args.rounds):
            rounds["peer"].append(s.quantiles(graph.times(feeds)))
            rounds["C f32"].append(programs["f32"].turn(f"one {tasks}"))
            rounds["C bf16"].append(programs["bf16"].turn(f"one {tasks}"))
            rounds["ctypes f32"].append(s.quantiles(sides.times(calls)))
        for place, name in enumerate(("p50", "p99")):
            figures = {k: median_of(r, place) for k, r in rounds.items()}
            line(f"one jet, {tasks}, {name}", figures.pop("peer"), figures)
        fixed_jet(args, sample, graph, programs, tasks)


def fixed_jet(args, sample, graph, programs, tasks):
    import inference_sides as s

    for n in FIXED:
        feeds = [graph.feed(*sample.fixed(n))] * 60
        rounds = {k: [] for k in ("peer", "C f32", "C bf16")}
        for _ in range(args.rounds):
            rounds["peer"].append(s.quantiles(graph.times(feeds)))
            for precision in ("f32", "bf16"):
                rounds[f"C {precision}"].append(
                    programs[precision].turn(f"fixed {tasks} {n}")
                )
        figures = {k: median_of(r) for k, r in rounds.items()}
        line(f"  n = {n}, {tasks}", figures.pop("peer"), figures)


def event(args, net, sample, programs):
    import inference_sides as s

    for tasks in TASKS:
        graph = s.OneJet(net.one[tasks])
        rounds = {k: [] for k in ("peer", "C f32", "C bf16")}
        feeds = graph.feeds(sample)
        graph.times(feeds[:50])
        for _ in range(args.rounds):
            seconds = graph.times(feeds)
            calls = [sum(seconds[i : i + 20]) for i in range(0, len(seconds) - 19, 20)]
            rounds["peer"].append(s.quantiles(calls))
            for precision in ("f32", "bf16"):
                rounds[f"C {precision}"].append(
                    programs[precision].turn(f"event {tasks}")
                )
        figures = {k: median_of(r) for k, r in rounds.items()}
        line(f"event of 20, {tasks}", figures.pop("peer"), figures)


# ---- batches ----


def torch_runner(args, net, sample, tasks):
    """A pass over all jets, in PyTorch: eager, or compiled on request."""
    import gn2_torch
    import inference_sides as s
    import torch

    module = gn2_torch.GN2(net.weights, tasks == "all").eval()
    if args.compile:
        module = torch.compile(module, dynamic=True)
    data = [
        {k: torch.tensor(v) for k, v in batch.items()}
        for batch in peer_jets.padded(sample, 250, "sorted")[0]
    ]

    def run():
        with torch.inference_mode():
            for batch in data:
                module(**batch)

    return run


def batch_runners(args, net, sample, tasks, threads):
    import inference_sides as s

    graph = s.session(net.batched(tasks), threads, athena=False)
    data = peer_jets.padded(sample, 100, "sorted")[0]

    def run():
        for feed in data:
            graph.run(None, feed)

    return {
        "ONNX Runtime, batch 100": run,
        "torch.compile, batch 250"
        if args.compile
        else "PyTorch eager, batch 250": torch_runner(args, net, sample, tasks),
    }


def check_batched(net, sample, sides):
    """Scores of the batched export against libgn2."""
    import inference_sides as s

    batches, index = peer_jets.padded(sample, 100, "sorted")
    graph = s.session(net.batched("all"), 1, athena=False)
    p = np.concatenate([graph.run(["p"], feed)[0] for feed in batches])
    ours = sides.score(sample)[0][index]
    print(f"  batched export against libgn2: |dp| <= {np.abs(p - ours).max():.1e}")


def seconds_of(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def batch(args, net, sample, program, threads):
    import torch

    torch.set_num_threads(threads)
    jets = len(sample.tracks)
    for tasks in TASKS:
        runners = batch_runners(args, net, sample, tasks, threads)
        rates = {name: [] for name in ("libgn2", *runners)}
        for run in runners.values():
            run()  # warm
        for _ in range(args.rounds):
            rates["libgn2"].append(1e6 * jets / program.turn(f"batch {tasks}")[0])
            for name, run in runners.items():
                rates[name].append(jets / seconds_of(run))
        ours = statistics.median(rates.pop("libgn2"))
        print(f"  batch, {tasks}, {threads} threads: libgn2 {ours:8.0f} jets/s", end="")
        for name, values in rates.items():
            rate = statistics.median(values)
            print(f"   {name} {rate:8.0f} = {ours / rate:5.2f} x", end="")
        print(flush=True)


# ---- reduced precision ----


def reduced(args, net):
    import inference_sides as s

    sample = peer_jets.Sample(args.file, args.precision_jets)
    sides = {k: s.Ctypes(net.path, {"tagger.weights": k}) for k in ("f32", "bf16")}
    p = {k: side.score(sample, "flavour")[0] for k, side in sides.items()}
    print(f"  bf16 against f32, {accuracy.distances(p['bf16'], p['f32'])}")
    for line in accuracy.moves(p["bf16"], p["f32"], sample.labels):
        print(f"    {line}", flush=True)


# ---- all of it ----


def compare(args, width, folder):
    import inference_sides as s

    net = Network(args, width, folder)
    print(
        f"width {width}, {args.jets} jets, {args.rounds} rounds, "
        f"{'weights of salt' if width in SALT else 'random weights'}"
    )
    sample = peer_jets.Sample(args.file, args.jets)
    sides = s.Ctypes(net.path, None)
    print_agreement(net, sides, sample)
    programs = {
        name: s.Program(args, net.path, 1, name, args.jets) for name in ("f32", "bf16")
    }
    if "one" in args.parts:
        one_jet(args, net, sample, programs, sides)
    if "event" in args.parts:
        event(args, net, sample, programs)
    if "batch" in args.parts:
        check_batched(net, sample, sides)
        batch(args, net, sample, programs["f32"], 1)
        both = s.Program(args, net.path, 2, "f32", args.jets)
        batch(args, net, sample, both, 2)
        both.close()
    if "bf16" in args.parts and width == 64:
        reduced(args, net)
    for program in programs.values():
        program.close()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--widths", default="64,256")
    parser.add_argument("--parts", default="one,event,batch,bf16")
    parser.add_argument("--jets", type=int, default=2000)
    parser.add_argument("--precision-jets", type=int, default=50000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    args = parser.parse_args()
    args.file = str(args.shared / "data/jets_test.h5")
    args.bench = str(args.build / "tests/bench/bench_infer")
    args.parts = args.parts.split(",")
    os.environ.setdefault("GN2_LIBRARY", str(args.build / "lib/abi/libgn2.so"))
    with tempfile.TemporaryDirectory() as folder:
        for width in map(int, args.widths.split(",")):
            compare(args, width, folder)


if __name__ == "__main__":
    main()
