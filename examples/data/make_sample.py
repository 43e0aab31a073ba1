#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cuts the sample beside this script out of the full Pythia files, with its dicts.

make_sample.py FOLDER_OF_THE_FULL_FILES [OUTPUT_FOLDER]

The first jets of each file, so the same input gives the same sample. Needs h5py.
"""
import pathlib
import sys

import h5py
import numpy as np

COUNTS = {"train": 9000, "val": 1500, "test": 2500}
JET_FIELDS = [
    "pt_btagJes",
    "eta_btagJes",
    "pt",
    "eta",
    "HadronConeExclTruthLabelID",
    "flavour_label",
    "process",
]
LEFT_OUT = {"leptonID"}  # of the tracks: neither input nor label
SLOTS_A_CHUNK = (100, 40)


def cut(source, target, count):
    with h5py.File(source) as full, h5py.File(target, "w", libver="earliest") as part:
        names = {
            "jets": JET_FIELDS,
            "tracks": [n for n in full["tracks"].dtype.names if n not in LEFT_OUT],
        }
        for dataset, fields in names.items():
            rows = full[dataset][:count]
            table = np.empty(rows.shape, [(n, rows.dtype[n]) for n in fields])
            for name in fields:
                table[name] = rows[name]
            chunks = SLOTS_A_CHUNK if dataset == "tracks" else (1000,)
            out = part.create_dataset(
                dataset,
                data=table,
                chunks=chunks,
                compression="gzip",
                compression_opts=9,
                shuffle=True,
                track_times=False,
            )
            for name, value in full[dataset].attrs.items():
                out.attrs[name] = value


def number(value):
    return repr(float(value))


def write_norm(path, jets, tracks, valid):
    lines = []
    for dataset, rows, names in [
        ("jets", jets, ["eta_btagJes", "pt_btagJes"]),
        (
            "tracks",
            tracks[valid],
            sorted(
                n for n in tracks.dtype.names if not n.startswith(("ftag", "valid"))
            ),
        ),
    ]:
        lines.append(f"{dataset}:")
        for name in names:
            values = rows[name].astype("f8")
            lines.append(f"  {name}:")
            lines.append(f"    mean: {number(np.nanmean(values))}")
            lines.append(f"    std: {number(np.nanstd(values))}")
    path.write_text("\n".join(lines) + "\n")


def weights(labels):
    counts = np.bincount(labels)
    return [round(float(counts.max() / n), 2) for n in counts]


def write_classes(path, jets, tracks, valid):
    path.write_text(
        "jets:\n"
        f"  flavour_label: {weights(jets['flavour_label'])}\n"
        "tracks:\n"
        f"  ftagTruthOriginLabel: {weights(tracks['ftagTruthOriginLabel'][valid])}\n"
    )


def main():
    source = pathlib.Path(sys.argv[1])
    here = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else __file__)
    target = here if here.is_dir() else here.parent
    for name, count in COUNTS.items():
        cut(source / f"jets_{name}.h5", target / f"jets_{name}.h5", count)
    with h5py.File(target / "jets_train.h5") as train:
        jets, tracks = train["jets"][:], train["tracks"][:]
    valid = tracks["valid"]
    write_norm(target / "norm_dict.yaml", jets, tracks, valid)
    write_classes(target / "class_dict.yaml", jets, tracks, valid)


if __name__ == "__main__":
    main()
