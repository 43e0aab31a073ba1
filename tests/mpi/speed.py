# SPDX-License-Identifier: Apache-2.0
"""Two ranks with a thread each against one process with two threads, on one machine.

    speed.py BUILD [--mpi NAME=CC,RUN …] [--steps N]

Steps of 1000 jets of the sample at width 256, in memory; of each the median. What ranks
do beside computing is measured by itself: joining, an agreement (with 8 bytes behind
it), all weights sent to the other rank, which is about what a step moves. Prints a
table in Markdown and the load of the machine; the status is 1 below 0.9 of the jets/s
of one process, or where an agreement takes more than 1 % of a step. An idle machine is
needed.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import mpis

JETS = 1000
OPTIONS = {
    "model.embed_dim": 256,
    "data.batch_size": JETS,
    "data.max_jets": JETS,
    "schedule.steps": 100000,
}


def median(call, count):
    found = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def rank_main(out, threads, steps):
    import gn2

    group = gn2.Group.mpi() if gn2.group.launched() > 1 else None
    config = gn2.Config({**OPTIONS, "train.threads": threads})
    data = gn2.Dataset(mpis.DATA / "jets_train.h5", config)
    data.setup(config)
    trainer = gn2.Trainer(gn2.Model(config), config)
    found = {"reading a batch": median(lambda: next(iter(data)), 5)}
    batch = next(iter(data))
    if group:
        found["joining"] = median(lambda: trainer.join(group), 1)
        found["agreeing"] = median(lambda: group.broadcast(b"\0" * 8), 200)
        weights = b"\0" * (4 * sum(t.count for t in trainer.snapshot().params.values()))
        found["weights to the other"] = median(lambda: group.broadcast(weights), 9)
    step = lambda: trainer.step(*batch)  # noqa: E731
    median(step, 2)
    found["step"] = median(step, steps)
    if not group or group.rank == 0:
        out.write_text(json.dumps(found))


def measure(words, env, out):
    subprocess.run(words, env=env, check=True, timeout=3600)
    return json.loads(out.read_text())


def main():
    parser = mpis.parser(__doc__)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    bad = 0
    with mpis.folder_of(args) as folder:
        out = folder / "found.json"
        script = [os.path.abspath(__file__), "--rank", out]
        found = mpis.all_of(args, folder)
        alone = measure(mpis.alone([*script, 2, args.steps]), found[0].env, out)
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        print(f"one process, 2 threads: {JETS / alone['step']:.0f} jets/s")
        for mpi in found:
            two = measure(mpi.words(2, [*script, 1, args.steps]), mpi.env, out)
            share = alone["step"] / two["step"]
            bad += share < 0.9 or two["agreeing"] > 0.01 * two["step"]
            print(
                f"2 ranks, {mpi.version}: {JETS / two['step']:.0f} jets/s, {share:.2f}"
            )
            print("| part | ms |\n|---|---|")
            for name, seconds in two.items():
                print(f"| {name} | {1e3 * seconds:.3f} |")
    sys.exit(bad > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        rank_main(pathlib.Path(sys.argv[2]), *map(int, sys.argv[3:5]))
    else:
        main()
