# SPDX-License-Identifier: Apache-2.0
"""Training steps of libgn2, PyTorch and JAX in turns, on the same weights and jets."""
import os
import statistics
import subprocess
from pathlib import Path

import gn2
from peer_table import Table
from turns import Side, rounds, skipped

HERE = Path(__file__).resolve().parent
PRECISIONS = ("f32", "bf16", "auto")
# freed memory is kept, which PyTorch gains by
KEEP = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "500000000",
}


def preload(folder):
    """(path, None) of the library that makes MKL take AVX-512, or (None, reason)."""
    with open("/proc/cpuinfo") as file:
        about = file.read()
    if "AuthenticAMD" not in about or "avx512f" not in about:
        return None, "not an AMD with AVX-512: MKL chooses well by itself"
    path = f"{folder}/mkl_avx512.so"
    command = [os.environ.get("CC", "cc").split()[-1], "-shared", "-fPIC", "-o", path]
    try:
        subprocess.run([*command, str(HERE / "mkl_avx512.c")], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return None, str(error)
    return path, None


def ours(args, graphs, threads, precision):
    command = [args.build / "tests/bench/bench_train", "-m", graphs.path("model.gn2")]
    command += ["-f", args.data / "jets_train.h5", "-t", threads, "-b", args.batch]
    command += ["turns", "data.sampling=sequential", f"train.precision={precision}"]
    return Side(command, threads)


def torch(args, graphs, threads, precision, env):
    command = [args.python, HERE / "train_torch.py", graphs.path("weights.npz")]
    command += [args.data, threads, args.batch, args.buckets, precision]
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(args.cache)}
    return Side(command, threads, KEEP | cache | env, pin="ready")


def jax(args, graphs, threads):
    command = [args.python, HERE / "train_jax.py", graphs.path("weights.npz")]
    command += [args.data, threads, args.batch, args.buckets]
    return Side(command, threads, KEEP)


def make_sides(args, graphs, threads):
    """name → side. What one PyTorch has compiled the next finds in the cache."""
    sides = {p: ours(args, graphs, threads, p) for p in PRECISIONS}
    library, reason = preload(args.folder)
    env = {"LD_PRELOAD": library} if library else {}
    beside = ", MKL AVX-512" if library else ""
    name = f"torch {args.versions['torch']} torch.compile"
    sides[f"{name} f32"] = torch(args, graphs, threads, "f32", {})
    sides[f"JAX {args.versions['jax']} jit f32"] = jax(args, graphs, threads)
    for side in sides.values():
        side.ready()
    sides[f"{name} bf16 autocast{beside}"] = torch(args, graphs, threads, "bf16", env)
    sides[f"{name} f32, MKL AVX-512"] = (
        torch(args, graphs, threads, "f32", env) if library else skipped(reason)
    )
    for side in sides.values():
        side.ready()
    return sides


def compare(args, graphs, threads, steps):
    """A table of jets/s."""
    title = f"training, width {graphs.width}, batch {args.batch}, {threads} thread(s)"
    table = Table(title, "jets/s")
    sides = make_sides(args, graphs, threads)
    losses = {name: side.ask("losses") for name, side in sides.items()}
    rounds(sides, "1", 1)  # warm
    seconds = rounds(sides, str(steps), args.rounds)
    for name, side in sides.items():
        if name in seconds:
            far = f"losses differ by {difference(losses[name], losses['f32']):.1e}"
            rate = args.batch / statistics.median(seconds[name])
            table.rate(
                name, rate, f"{picked(graphs)}, {far}" if name == "auto" else far
            )
        else:
            table.skip(name, side.reason)
        side.close()
    return table


def picked(graphs):
    """What auto comes to."""
    model = gn2.Model.load(graphs.path("model.gn2"))
    return gn2.Trainer(model, {"train.precision": "auto"}).precision


def difference(losses, reference):
    """The largest relative one."""
    return max((abs(a - b) / abs(b) for a, b in zip(losses, reference)), default=0)
