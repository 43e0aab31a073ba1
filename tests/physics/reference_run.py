#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does libgn2 learn as much as the reference? Trains it as salt was trained.

Width 64 on the first 176,000 jets of jets_train.h5, batches of 500 in salt's order
(contiguous, permuted), 3 epochs, AdamW, OneCycle 1e-7 → 1e-3 → 1e-5 with 10 % warm-up,
weight decay 1e-5, torch's initialisation, class weights of class_dict.yaml. Then tags
jets_test.h5 and compares the mean over the seeds with what counts as equal to the
reference (data/README.md). Takes a few minutes a seed on two cores.

usage: reference_run.py DATA [--build BUILD] [--seeds 1,2] [--out FOLDER] [--write FILE]

DATA: folder with jets_{train,val,test}.h5, norm_dict.yaml and class_dict.yaml. --write
puts the table into a Markdown file.
"""
import argparse
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = """model.embed_dim=64 model.init=torch data.batch_size=500
data.sampling=batches data.max_jets=176000 schedule.initial=1e-7 schedule.max=1e-3
schedule.end=1e-5 schedule.pct_start=0.1 optim.weight_decay=1e-5""".split()
# what counts as equal: figure, bound, direction
EQUAL = [
    ("validation jet loss", 0.760, "≤"),
    ("validation total", 2.64, "≤"),
    ("light rejection at 77 %", 62, "≥"),
    ("c rejection at 77 %", 4.5, "≥"),
    ("tau rejection at 77 %", 7.5, "≥"),
    ("AUC b–light", 0.958, "≥"),
    ("origin accuracy", 0.670, "≥"),
    ("pair efficiency", 0.85, "≥"),
    ("pair purity", 0.72, "≥"),
]
SALT = [0.7480, 2.5997, 73.4, 4.67, 8.8, 0.9610, 0.682, 0.864, 0.737]


def train(args, seed):
    """Trains one seed; validation losses (total, jets) after the last epoch."""
    model = args.out / f"reference_seed{seed}.gn2"
    val = args.out / "val.h5"
    if not val.exists():  # the reference's losses are over the first 10,000 jets
        with h5py.File(args.data / "jets_val.h5") as source, h5py.File(
            val, "w"
        ) as target:
            for name in ("jets", "tracks"):
                target[name] = source[name][:10000]
            target["jets"].attrs["flavour_label"] = source["jets"].attrs[
                "flavour_label"
            ]
    table = subprocess.run(
        [
            args.build / "examples/train",
            args.data / "jets_train.h5",
            "--quiet",
            "--val",
            val,
            "--epochs",
            "3",
            "--output",
            model,
            *OPTIONS,
            f"data.norm_dict={args.data}/norm_dict.yaml",
            f"data.class_dict={args.data}/class_dict.yaml",
            f"model.seed={seed}",
            f"data.seed={seed}",
        ],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    ).stdout
    print(table, flush=True)
    return model, table


def auc(signal, background):
    """Area under the ROC curve; ties count half."""
    values, index, count = np.unique(
        np.concatenate([signal, background]), return_inverse=True, return_counts=True
    )
    rank = (np.cumsum(count) - (count - 1) / 2)[index]
    n, m = len(signal), len(background)
    return (rank[:n].sum() - n * (n + 1) / 2) / (n * m)


def pairs(valid, truth, found):
    """Efficiency and purity of unordered pairs in one vertex."""
    i, j = np.triu_indices(valid.shape[1], 1)
    true = seen = both = 0
    for start in range(0, len(valid), 2000):
        part = slice(start, start + 2000)
        ok = valid[part][:, i] & valid[part][:, j]
        t, f = truth[part], found[part]
        t = ok & (t[:, i] == t[:, j]) & (t[:, i] >= 0)
        f = ok & (f[:, i] == f[:, j])
        true, seen, both = true + t.sum(), seen + f.sum(), both + (t & f).sum()
    return both / true, both / seen


def score(args, path):
    """Figures on the ttbar part of the test jets, in the order of EQUAL from 2 on."""
    os.environ.setdefault("GN2_LIBRARY", str(args.build / "lib/abi/libgn2.so"))
    sys.path.insert(0, str(ROOT / "bindings/python"))
    import gn2

    with h5py.File(args.data / "jets_test.h5") as file:
        jets, tracks = file["jets"][:], file["tracks"][:]
    keep = (
        (jets["process"] == 0)
        & (jets["pt_btagJes"] > 20e3)
        & (jets["pt_btagJes"] < 250e3)
    )
    jets, tracks = jets[keep], tracks[keep]
    tagger = gn2.Tagger(gn2.Model.load(path), threads=2)
    scores = tagger.tag(jets, tracks, outputs=["D_b", "origin", "vertex"])
    flavour, d_b = jets["flavour_label"], scores["D_b"]
    cut = np.sort(d_b[flavour == 0])[int(np.floor(0.23 * (flavour == 0).sum()))]
    rejection = [1 / np.mean(d_b[flavour == k] >= cut) for k in (2, 1, 3)]
    valid = tracks["valid"].astype(bool)
    origin = tracks["ftagTruthOriginLabel"]
    known = valid & (origin >= 0)
    right = np.mean(scores["origin"].argmax(-1)[known] == origin[known])
    vertex = pairs(valid, tracks["ftagTruthVertexIndex"], scores["vertex"])
    return [*rejection, auc(d_b[flavour == 0], d_b[flavour == 2]), right, *vertex]


def validation(table):
    """(jet loss, total) of the last epoch in train's table."""
    lines = [line.split() for line in table.split("b-efficiency")[0].splitlines()]
    header = next(line for line in lines if line[:1] == ["epoch"])
    row = [line for line in lines if line and line[0].isdigit()][-1]
    return [float(row[header.index("jets")]), float(row[header.index("loss")])]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--out", type=Path, default=Path("physics"))
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    args.build, args.data = args.build.resolve(), args.data.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    seeds, rows = args.seeds.split(","), []
    for seed in seeds:
        model, table = train(args, seed)
        rows.append(validation(table) + score(args, model))
    mean = np.mean(rows, axis=0)
    lines = [
        "| figure | salt | "
        + " | ".join(f"seed {s}" for s in seeds)
        + " | mean | equal if | |",
        "|---" * (len(seeds) + 5) + "|",
    ]
    failed = 0
    for k, (name, bound, sense) in enumerate(EQUAL):
        good = mean[k] <= bound if sense == "≤" else mean[k] >= bound
        failed += not good
        cells = " | ".join(f"{row[k]:.4g}" for row in rows)
        lines.append(
            f"| {name} | {SALT[k]:.4g} | {cells} | {mean[k]:.4g} | "
            f"{sense} {bound:g} | {'yes' if good else 'NO'} |"
        )
    print("\n".join(lines))
    if args.write:
        args.write.write_text("\n".join(lines) + "\n")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
