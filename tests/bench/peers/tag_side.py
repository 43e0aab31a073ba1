# SPDX-License-Identifier: Apache-2.0
"""One peer that tags, in a process of its own: a graph or weights, an engine, a number
of threads.

usage: tag_side.py --engine ort|openvino|jax --model FILE --file JETS.h5 --jets N
                   [--threads T] [--callers C] [--precision f32|bf16] [--all]
                   [--sizes 25,100] [--static] [--athena]

Lines on stdin: "one" answers with p50 of a call of one jet in µs; "batch SIZE" with
jets/s of a pass over all jets, sorted by multiplicity and padded in batches; "score
FILE" saves the probabilities (jets, 4). Everything a call needs is made, and every
shape compiled, before "ready". Callers share the batches, each calling from a thread of
its own.
"""
import argparse
import concurrent.futures
import sys
import time

import numpy as np

import peer_jets


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--file", required=True)
    parser.add_argument("--jets", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--callers", type=int, default=1)
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--athena", action="store_true")
    parser.add_argument("--static", action="store_true")
    parser.add_argument("--sizes", default="")
    args = parser.parse_args()
    args.sizes = [int(x) for x in args.sizes.split(",") if x]
    return args


# ---- engines: names of the inputs, and a function feed → outputs a caller ----


class OnnxRuntime:
    """One session; Athena's options on request, else the defaults, which are faster."""

    def __init__(self, args):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = args.threads
        options.inter_op_num_threads, options.log_severity_level = 1, 4
        if args.athena:
            level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            options.graph_optimization_level = level
            options.enable_cpu_mem_arena = False
        providers = ["CPUExecutionProvider"]
        self.session = ort.InferenceSession(args.model, options, providers=providers)
        self.names = [i.name for i in self.session.get_inputs()]

    def caller(self):
        return lambda feed: self.session.run(None, feed)


class OpenVino:
    """One model for any shape, whose weights stay in cache, or, static, one compiled
    for each shape, quicker while all of them do."""

    def __init__(self, args):
        import openvino

        self.core, self.path = openvino.Core(), args.model
        self.static = args.static
        self.config = {
            "INFERENCE_NUM_THREADS": args.threads * args.callers,
            "NUM_STREAMS": args.callers,
            "INFERENCE_PRECISION_HINT": args.precision,
        }
        self.models = {}
        model = self.core.read_model(args.model)
        self.names = [i.get_any_name() for i in model.inputs]

    def compiled(self, feed):
        shapes = {k: list(v.shape) for k, v in feed.items()}
        key = str(shapes) if self.static else ""
        if key not in self.models:
            model = self.core.read_model(self.path)
            if self.static:
                model.reshape(shapes)
            self.models[key] = self.core.compile_model(model, "CPU", self.config)
        return self.models[key]

    def caller(self):
        requests = {}

        def run(feed):
            compiled = self.compiled(feed)
            if id(compiled) not in requests:
                requests[id(compiled)] = compiled.create_infer_request()
            request = requests[id(compiled)]
            return list(
                request.infer(feed, share_inputs=True, share_outputs=True).values()
            )

        return run


class Jax:
    """A jitted function, compiled for every shape."""

    names = ["jets", "tracks", "valid"]

    def __init__(self, args):
        import jax_flags

        jax_flags.set_threads(args.threads)
        import jax
        import jax_gn2

        p, norm = jax_gn2.parameters(dict(np.load(args.model)))
        self.tag = jax.jit(lambda feed: jax_gn2.tag(p, norm, feed, args.all))

    def caller(self):
        return lambda feed: [np.asarray(x) for x in self.tag(feed)]


ENGINES = {"ort": OnnxRuntime, "openvino": OpenVino, "jax": Jax}


# ---- what is asked ----


class Side:
    def __init__(self, args):
        self.sample = peer_jets.Sample(args.file, args.jets)
        self.engine = ENGINES[args.engine](args)
        self.run = [self.engine.caller() for _ in range(args.callers)]
        self.pool = concurrent.futures.ThreadPoolExecutor(args.callers)
        self.batches, self.singles = {}, []
        for size in args.sizes:
            feeds, self.order = peer_jets.padded(self.sample, size, "sorted")
            self.batches[size] = [self.feed(**f) for f in feeds]
        if not args.sizes:
            self.singles = list(self.jets_alone())
        self.warm()

    def feed(self, jets, tracks, pad):
        every = {"jets": jets, "tracks": tracks, "pad": pad, "valid": ~pad}
        return {k: np.ascontiguousarray(every[k]) for k in self.engine.names}

    def jets_alone(self):
        """Feeds of one jet each; jets without tracks are left out: not every engine
        knows arrays of size 0."""
        names = self.engine.names
        for i, tracks in enumerate(self.sample.tracks):
            jets, pad = self.sample.jets[i : i + 1], np.zeros((1, len(tracks)), bool)
            if len(tracks) and "pad" in names:
                yield self.feed(jets, tracks[None], pad)
            elif len(tracks):
                yield dict(zip(names, (jets, tracks)))

    def warm(self):
        for feeds in self.batches.values():
            for run in self.run:
                list(map(run, feeds))
        list(map(self.run[0], self.singles))

    def one(self):
        seconds, run = [], self.run[0]
        for feed in self.singles:
            start = time.perf_counter()
            run(feed)
            seconds.append(time.perf_counter() - start)
        return 1e6 * float(np.median(seconds))

    def share(self, k, feeds):
        for feed in feeds[k :: len(self.run)]:
            self.run[k](feed)

    def batch(self, size):
        feeds = self.batches[size]
        start = time.perf_counter()
        if len(self.run) == 1:
            self.share(0, feeds)
        else:
            parts = range(len(self.run))
            list(self.pool.map(lambda k: self.share(k, feeds), parts))
        return len(self.sample.tracks) / (time.perf_counter() - start)

    def score(self, path):
        p = np.full((len(self.sample.tracks), 4), np.nan)
        if self.singles:
            index = [i for i, t in enumerate(self.sample.tracks) if len(t)]
            p[index] = [four(self.run[0](feed)) for feed in self.singles]
        else:
            size = min(self.batches)  # fed in the same order whatever the size
            p[self.order] = np.concatenate(
                [np.array(self.run[0](feed)[0]) for feed in self.batches[size]]
            )
        np.save(path, p)
        return len(p)


def four(outputs):
    """Probabilities of one jet: one array of four, or four outputs."""
    outputs = outputs[:1] if np.size(outputs[0]) == 4 else outputs[:4]
    return np.array(outputs).ravel()  # a copy: the next call may write there


def main():
    side = Side(arguments())
    print("ready", flush=True)
    for line in sys.stdin:
        what, *rest = line.split()
        answers = {"one": side.one, "batch": side.batch, "score": side.score}
        rest = [int(x) if what == "batch" else x for x in rest]
        print(answers[what](*rest), flush=True)


if __name__ == "__main__":
    main()
