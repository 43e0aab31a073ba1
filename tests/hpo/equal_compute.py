# SPDX-License-Identifier: Apache-2.0
"""Search narrow and train wide once, against a search at the wide width with the same
processor time; not in CI.

    GN2_LIBRARY=build/lib/abi/libgn2.so PYTHONPATH=bindings/python \\
        equal_compute.py OUT [--seeds 5] [--trials 30] [--steps 150] [--data DIR]

For every seed: TRIALS trials at width 64, the best three again with two fresh seeds,
one training at width 256 with the winner; then trials at width 256 until they took as
much processor time. OUT/table.csv gets a row a seed and way: loss and rejections of the
best at width 256, processor time, number of trainings. Goes on where it was.
"""

import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPACE = ROOT / "examples/hpo/rates.yaml"
#: figures of the table
FIGURES = ("val_loss", "val_rejection_light_77", "val_rejection_c_77")
COLUMNS = ("way", "seed", *FIGURES, "core_seconds", "trainings")


def space_of(args, seed, width):
    """The example's space file with other seeds, data, steps and width; validated once,
    at the end."""
    text = SPACE.read_text(encoding="utf-8")
    steps = args.steps
    changes = {
        "seed: 1}": f"seed: {seed}}}",
        "seed: 42": f"seed: {41 + seed}",
        "model.embed_dim: 64": f"model.embed_dim: {width}",
        "../data/": f"{args.data}/",
        "steps: 90, validate_steps: 15": f"steps: {steps}, validate_steps: {steps}",
        "{name: median, from: 0.5}": "none",
        "name: gn2-rates": f"name: gn2-{width}-{seed}",
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    path = args.out / f"space-{width}-{seed}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def gn2(*words):
    subprocess.run([sys.executable, "-m", "gn2", "hpo", *map(str, words)], check=True)


def trials(folder):
    """All trials under a folder that ended."""
    found = [json.loads(p.read_text()) for p in sorted(folder.rglob("trial.json"))]
    return [trial for trial in found if trial["state"] in ("done", "diverged")]


def cost(found):
    return sum(trial["resources"]["core_seconds"] for trial in found)


def row(way, seed, found):
    """Of the best of the widest."""
    wide = [t for t in found if t["options"]["model.embed_dim"] == "256"]
    best = min(wide, key=lambda t: t["metrics"]["val_loss"])
    figures = {name: best["metrics"].get(name, "") for name in FIGURES}
    core = round(cost(found), 1)
    head = {"way": way, "seed": seed, "trainings": len(found), "core_seconds": core}
    return {**head, **figures}


def narrow(seed, args):
    folder, space = args.out / f"narrow-{seed}", space_of(args, seed, 64)
    common = (space, "-o", folder, "-q")
    gn2("run", *common, "-n", args.trials, "-j", args.workers)
    gn2("confirm", *common, "--top", 3, "--seeds", 2, "-j", args.workers)
    gn2("transfer", *common)
    return row("narrow, then wide once", seed, trials(folder))


def wide(seed, args, budget):
    folder, space = args.out / f"wide-{seed}", space_of(args, seed, 256)
    count = 1
    while True:
        gn2("run", space, "-o", folder, "-q", "-n", count, "-j", 1)
        found = trials(folder)
        if cost(found) + 0.5 * cost(found) / len(found) >= budget:
            return row("wide", seed, found)
        count += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", default=str(ROOT / "examples/data"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(1, args.seeds + 1):
        rows.append(narrow(seed, args))
        rows.append(wide(seed, args, rows[-1]["core_seconds"]))
        with open(args.out / "table.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(rows)
    for way in dict.fromkeys(r["way"] for r in rows):
        losses = [float(r["val_loss"]) for r in rows if r["way"] == way]
        spread = statistics.stdev(losses) if len(losses) > 1 else float("nan")
        print(f"{way}: val_loss {statistics.mean(losses):.4f} ± {spread:.4f}")


if __name__ == "__main__":
    main()
