# SPDX-License-Identifier: Apache-2.0
"""The sides that compare_inference.py lets take turns: ONNX Runtime, PyTorch, libgn2
in a C program, libgn2 through ctypes. All see the same jets of the same file."""
import ctypes
import os
import subprocess
import time

import numpy as np

import gn2
from gn2 import _ffi


def quantiles(seconds):
    """p50, p99, mean in microseconds."""
    us = 1e6 * np.asarray(seconds)
    return float(np.median(us)), float(np.quantile(us, 0.99)), float(us.mean())


# ---- ONNX Runtime ----


def session(model, threads, athena):
    """model: path or bytes. athena: the options of Athena's SaltModel."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    if athena:
        options.graph_optimization_level = (
            ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        )
        options.enable_cpu_mem_arena = False
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OneJet:
    """A graph of one jet a call: salt's own, or ours with a batch of one."""

    def __init__(self, model, threads=1):
        self.session = session(model, threads, athena=True)
        self.names = [i.name for i in self.session.get_inputs()]

    def feed(self, jets, tracks):
        if "pad" in self.names:
            return {
                "jets": jets,
                "tracks": tracks[None],
                "pad": np.zeros((1, len(tracks)), bool),
            }
        return {"jet_features": jets, "track_features": tracks}

    def run(self, feed):
        return self.session.run(None, feed)

    def times(self, feeds):
        seconds = []
        for feed in feeds:
            start = time.perf_counter()
            self.session.run(None, feed)
            seconds.append(time.perf_counter() - start)
        return seconds

    def feeds(self, sample):
        return [
            self.feed(sample.jets[i : i + 1], t) for i, t in enumerate(sample.tracks)
        ]


# ---- libgn2 ----


class Program:
    """bench_infer in another process, one turn a line: nothing of Python in it."""

    def __init__(self, args, model, threads, precision, count):
        self.process = subprocess.Popen(
            [
                args.bench,
                "-f",
                args.file,
                "-m",
                model,
                "-t",
                str(threads),
                "-p",
                precision,
                "-n",
                str(count),
                "turns",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError("bench_infer failed")

    def turn(self, what):
        """p50, p99, mean in microseconds of a call."""
        print(what, file=self.process.stdin, flush=True)
        return tuple(float(x) for x in self.process.stdout.readline().split())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ctypes:
    """The C interface called from Python, with the structs made beforehand, as the
    feeds of ONNX Runtime are."""

    OUTPUTS = ("jets.probabilities", "tracks.origin", "tracks.vertex")

    def __init__(self, path, config):
        self.tagger = gn2.Tagger(gn2.Model.load(path), config)
        with self.tagger._guard as handle:
            self.handle = handle
        self.keep = []

    def outputs(self, rows, tracks, tasks):
        names = self.OUTPUTS if tasks == "all" else self.OUTPUTS[:1]
        array, held = (_ffi.Output * len(names))(), []
        for slot, name in zip(array, names):
            number = ctypes.c_int32()
            gn2._functions.gn2_tagger_output(
                self.handle, name.encode(), ctypes.byref(number)
            )
            columns = gn2._functions.gn2_tagger_output_columns(self.handle, number)
            size = rows if name.startswith("jets") else tracks
            data = np.zeros((size, columns), "i4" if name.endswith("vertex") else "f4")
            slot.struct_size, slot.id = ctypes.sizeof(_ffi.Output), number.value
            slot.data, slot.capacity = data.ctypes.data, size
            held.append(data)
        return array, held

    def call(self, jets, tracks, offsets, tasks):
        """Arguments of gn2_tagger_run, and the arrays it fills."""
        sequence = _ffi.Sequence(data=tracks.ctypes.data, offsets=offsets.ctypes.data)
        c = _ffi.Jets(
            sequence_count=1,
            count=len(jets),
            features=jets.ctypes.data,
            sequences=ctypes.pointer(sequence),
        )
        array, held = self.outputs(len(jets), max(1, len(tracks)), tasks)
        self.keep.append((jets, tracks, offsets, sequence, c, array, held))
        return (self.handle, ctypes.byref(c), array, len(array)), held

    def one(self, jets, tracks, tasks):
        return self.call(jets, tracks, np.array([0, len(tracks)], np.int64), tasks)

    def calls(self, sample, tasks):
        return [
            self.one(sample.jets[i : i + 1], t, tasks)[0]
            for i, t in enumerate(sample.tracks)
        ]

    def times(self, calls):
        run, seconds = gn2._functions.gn2_tagger_run, []
        for arguments in calls:
            start = time.perf_counter()
            run(*arguments)
            seconds.append(time.perf_counter() - start)
        return seconds

    def score(self, sample, tasks="all"):
        """All jets in one call → list of arrays in the order of OUTPUTS."""
        arguments, held = self.call(sample.jets, sample.all, sample.offsets, tasks)
        gn2._functions.gn2_tagger_run(*arguments)
        return held
