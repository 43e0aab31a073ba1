# SPDX-License-Identifier: Apache-2.0
"""Trains the same model by several processes over torch.distributed, comparing bits.

    gloo.py BUILD [-o FOLDER] [--steps N] [--only WORD] [--ranks N,N]

The cases of matrix.py by `gn2 fit --group torch`, against one process that knows of no
group. The Python that runs this needs torch. Prints a table in Markdown; the status is
1 where anything differs. Takes minutes: it is no part of the test suite.
"""

import os
import pathlib
import socket
import subprocess
import sys
import time

import matrix
import mpis


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def together(words, ranks, env, folder):
    """(digest or what went wrong, seconds)"""
    start = time.monotonic()
    env = {
        **env,
        "WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
    }
    said = [open(f"{folder}-rank{rank}", "w+") for rank in range(ranks)]
    jobs = [
        subprocess.Popen(
            mpis.alone([*words, "--group", "torch"]),
            env={**env, "RANK": str(rank)},
            stdout=said[rank],
            stderr=said[rank],
        )
        for rank in range(ranks)
    ]
    status = [job.wait(1800) for job in jobs]
    spent = time.monotonic() - start
    if any(status):
        said[0].seek(0)
        return f"failed {status}: {said[0].read().strip()[-200:]}", spent
    return matrix.result_of(folder), spent


def main():
    parser = mpis.parser(__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", default="", help="cases with this word")
    parser.add_argument("--ranks", default="", help="only these numbers of ranks")
    args = parser.parse_args()
    import torch

    env = {
        **os.environ,
        "GN2_LIBRARY": str(pathlib.Path(args.build).resolve() / "lib/abi/libgn2.so"),
        "PYTHONPATH": str(mpis.ROOT / "bindings" / "python"),
        "OMP_NUM_THREADS": "1",
    }
    wanted = [int(word) for word in args.ranks.split(",") if word]
    bad = 0
    with mpis.folder_of(args) as folder:
        print(f"torch {torch.__version__}, {args.steps} steps")
        print("\n| case | ranks | SHA-256 | the same | s |\n|---|---|---|---|---|")
        for number, case in enumerate(matrix.CASES):
            if args.only not in case:
                continue
            options, sizes, threads = matrix.CASES[case]
            given = {**matrix.COMMON, "schedule.steps": args.steps, **options}
            out = folder / f"{number}-alone"
            words = mpis.fit_words(out, {**given, "train.threads": 1})
            alone, spent = matrix.fit(mpis.alone(words), env, out)
            print(f"| {case} | no group | {alone[:80]} | | {spent:.0f} |", flush=True)
            for ranks in [n for n in sizes if not wanted or n in wanted]:
                out = folder / f"{number}-{ranks}"
                words = mpis.fit_words(out, {**given, "train.threads": threads})
                digest, spent = together(words, ranks, env, out)
                same = digest == alone and len(digest) == 64
                bad += not same
                print(
                    f"| {case} | {ranks} | {digest[:12] if same else digest} "
                    f"| {'yes' if same else 'NO'} | {spent:.0f} |",
                    flush=True,
                )
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
