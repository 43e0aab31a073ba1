# SPDX-License-Identifier: Apache-2.0
"""Tagging by libgn2, ONNX Runtime, OpenVINO and JAX in turns: one jet a call, batches,
and what inexact arithmetic does to the physics."""
import os
import tempfile
from pathlib import Path

import numpy as np

import accuracy
import gn2
import inference_sides
import peer_jets
from peer_table import Table, print_rows
from turns import Side, rounds, skipped

HERE = Path(__file__).resolve().parent
OURS = {  # name → options of the tagger
    "f32": {},
    "weights": {"tagger.weights": "bf16"},
    "bf16": {"tagger.precision": "bf16"},
    "auto": {"tagger.precision": "auto"},
}


class Setting:
    """What a table is measured at."""

    def __init__(self, args, graphs, tasks, sample):
        self.args, self.graphs, self.tasks = args, graphs, tasks
        self.sample, self.reference = sample, scores(graphs, {}, sample)

    def far(self, p):
        """The largest difference; jets that a side leaves out do not count."""
        if p is None:
            return ""
        return f"Δp ≤ {np.nanmax(np.abs(p - self.reference)):.1e}"

    def picked(self):
        """What auto comes to."""
        path = self.graphs.path("model.gn2")
        return gn2.Tagger(gn2.Model.load(path), OURS["auto"]).precision


def scores(graphs, options, sample):
    side = inference_sides.Ctypes(graphs.path("model.gn2"), options)
    return side.score(sample, "flavour")[0]


def notes_of_ours(setting):
    """What auto comes to, and the agreement."""
    notes = {}
    for name, options in OURS.items():
        far = setting.far(scores(setting.graphs, options, setting.sample))
        notes[name] = far if name != "auto" else f"{setting.picked()}, {far}"
    return notes


# ---- sides ----


def ours(setting, options, threads):
    args = setting.args
    weights = options.get("tagger.weights", "f32")
    others = [f"{k}={v}" for k, v in options.items() if k != "tagger.weights"]
    command = [args.build / "tests/bench/bench_infer", "-f", args.file, "-t", threads]
    command += ["-m", setting.graphs.path("model.gn2"), "-p", weights]
    return Side([*command, "-n", args.jets, "turns", *others], threads)


def peer(setting, engine, model, *more, threads=1, callers=1, python=None):
    """A side, or one that says why there is no such graph; model: without arguments,
    gives the path."""
    args = setting.args
    try:
        path = model()
    except ImportError as error:
        return skipped(f"no graph: {error}")
    command = [python or args.python, HERE / "tag_side.py", "--engine", engine]
    command += [
        "--model",
        path,
        "--file",
        args.file,
        "--jets",
        len(setting.sample.jets),
    ]
    command += ["--threads", threads, "--callers", callers, *more]
    if setting.tasks == "all":
        command.append("--all")
    return Side(command, threads * callers)


def agreement(setting, side):
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        if not side.ask(f"score {file.name}"):
            return None
        return np.load(file.name)


def finish(setting, table, sides):
    """Rows for the sides that are not there; all of them end."""
    for name, side in sides.items():
        if side.reason is not None:
            table.skip(name, side.reason)
        side.close()


# ---- one jet a call ----


def stock(setting):
    """What Athena runs today: salt's graph in the ONNX Runtime it has."""
    python, model = setting.args.stock, setting.graphs.of("salt", setting.tasks)
    if python is None:
        return skipped("no environment of setup.sh with it (--stock)")
    return peer(setting, "ort", lambda: model, "--athena", python=python)


def one_jet_peers(setting):
    args, of, tasks = setting.args, setting.graphs.of, setting.tasks
    ort = f"ONNX Runtime {args.versions['onnxruntime']}"
    vino = f"OpenVINO {args.versions['openvino']}"
    salt, one = lambda: of("salt", tasks), lambda: of("one", tasks)
    int8 = lambda: of("one", tasks, int8=True)
    batch = lambda: of("batch", tasks)  # its masks matter less than one shape a model
    bf16 = ("--precision", "bf16")
    return {
        f"ONNX Runtime {args.stock_version}, salt's graph": stock(setting),
        f"{ort}, salt's graph": peer(setting, "ort", salt, "--athena"),
        f"{ort}, one-jet graph, f32": peer(setting, "ort", one),
        f"{ort}, one-jet graph, int8": peer(setting, "ort", int8),
        f"{vino}, one-jet graph, f32": peer(setting, "openvino", one),
        f"{vino}, one-jet graph, bf16": peer(setting, "openvino", one, *bf16),
        f"{vino}, model a length, f32": peer(setting, "openvino", batch, "--static"),
        f"{vino}, model a length, bf16": peer(
            setting, "openvino", batch, "--static", *bf16
        ),
    }


def one_jet(args, graphs, tasks, sample):
    setting = Setting(args, graphs, tasks, sample)
    table = Table(f"one jet, width {graphs.width}, {tasks}, 1 thread, p50", "us")
    mine = {name: ours(setting, options, 1) for name, options in OURS.items()}
    peers = one_jet_peers(setting)
    for side in (*mine.values(), *peers.values()):
        side.ready()
    notes = notes_of_ours(setting)
    for name, side in peers.items():
        notes[name] = setting.far(agreement(setting, side))
    times = {}
    for _ in range(args.rounds):
        for sides, line in ((mine, f"one {tasks}"), (peers, "one")):
            for name, answer in rounds(sides, line, 1).items():
                times.setdefault(name, []).append(answer[0])
    for name, us in times.items():
        table.rate(name, 1e6 / float(np.median(us)), notes[name])
    finish(setting, table, mine | peers)
    return table


# ---- batches ----

MODES = {"1 thread": (1, 1), "2 threads": (2, 1), "2 callers": (1, 2)}


def engines(setting):
    """name → arguments of peer()."""
    args, tasks, of = setting.args, setting.tasks, setting.graphs.of
    ort = f"ONNX Runtime {args.versions['onnxruntime']}"
    vino = f"OpenVINO {args.versions['openvino']}"
    batch = lambda: of("batch", tasks)
    sizes, bf16 = ("--sizes", args.sizes), ("--precision", "bf16")
    return {
        f"{ort} f32": ("ort", batch, *sizes),
        f"{ort} int8": ("ort", lambda: of("batch", tasks, int8=True), *sizes),
        f"{vino} f32": ("openvino", batch, "--static", *sizes),
        f"{vino} bf16": ("openvino", batch, "--static", *bf16, *sizes),
        f"JAX {args.versions['jax']} jit f32": (
            "jax",
            lambda: setting.graphs.path("weights.npz"),
            *sizes,
        ),
    }


def batches(args, graphs, tasks, sample, processors):
    """A table for one or two processors."""
    setting = Setting(args, graphs, tasks, sample)
    title = f"batches of {args.jets} jets, width {graphs.width}, {tasks}"
    table = Table(f"{title}, {processors} processor(s)", "jets/s")
    mine = {name: ours(setting, options, processors) for name, options in OURS.items()}
    peers = {
        f"{name}, {mode}": peer(setting, *what, threads=threads, callers=callers)
        for mode, (threads, callers) in MODES.items()
        if threads * callers == processors
        for name, what in engines(setting).items()
    }
    for side in (*mine.values(), *peers.values()):
        side.ready()
    time_batches(setting, table, mine, peers)
    finish(setting, table, mine | peers)
    return table


def time_batches(setting, table, mine, peers):
    args, rates, notes = setting.args, {}, notes_of_ours(setting)
    for name, side in peers.items():
        notes[name] = setting.far(agreement(setting, side))
    for _ in range(args.rounds):
        for name, answer in rounds(mine, f"batch {setting.tasks}", 1).items():
            rates.setdefault((name, None), []).append(1e6 * args.jets / answer[0])
        for size in args.sizes.split(","):
            for name, answer in rounds(peers, f"batch {size}", 1).items():
                rates.setdefault((name, size), []).append(answer[0])
    for (name, size), values in rates.items():
        full = f"{name}, batch {size}" if size else name
        table.rate(full, float(np.median(values)), notes[name])


# ---- accuracy ----


def inexact_peers(setting):
    args, of = setting.args, setting.graphs.of
    ort, vino = args.versions["onnxruntime"], args.versions["openvino"]
    batch, int8 = lambda: of("batch", "flavour"), lambda: of("batch", "flavour", True)
    one, sizes = lambda: of("one", "flavour", True), ("--static", "--sizes", "100")
    bf16 = ("--precision", "bf16")
    return {
        f"ONNX Runtime {ort} int8, batch 100": peer(setting, "ort", int8, *sizes),
        f"ONNX Runtime {ort} int8, one jet": peer(setting, "ort", one),
        f"OpenVINO {vino} bf16": peer(setting, "openvino", batch, *bf16, *sizes),
    }


def accuracy_row(setting, name, p):
    known = ~np.isnan(p).any(1)
    p, labels = p[known], setting.sample.labels[known]
    far = " / ".join(f"{d:.1e}" for d in accuracy.spread(p, setting.reference[known]))
    both = [accuracy.rejections(p, labels, e) for e in accuracy.EFFICIENCIES]
    return [name, far, *(f"{light:.2f} / {c:.3f}" for light, c in both)]


def print_accuracy(args, graphs):
    sample = peer_jets.Sample(args.file, args.accuracy_jets)
    setting = Setting(args, graphs, "flavour", sample)
    rows = [
        accuracy_row(setting, f"libgn2 {name}", scores(graphs, options, sample))
        for name, options in OURS.items()
    ]
    for name, side in inexact_peers(setting).items():
        side.ready()
        p = agreement(setting, side)
        blank = [""] * len(accuracy.EFFICIENCIES)
        none = [name, f"skipped: {side.reason}", *blank]
        rows.append(none if p is None else accuracy_row(setting, name, p))
        side.close()
    title = f"accuracy, width {graphs.width}, salt's weights, {len(sample.labels)} jets"
    print(f"\n**{title}**; against libgn2 f32, and rejections of light / c jets:\n")
    far = "largest Δp of a jet: median / 99 % / largest"
    print_rows(["", far, *(f"{e:.0%}" for e in accuracy.EFFICIENCIES)], rows)
