# SPDX-License-Identifier: Apache-2.0
"""Shows what is in a model, a checkpoint or an HDF5 file; of HDF5 files also a
histogram in text of every field (needs h5py).

    gn2 inspect run/best.gn2
    gn2 inspect jets_train.h5
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from .. import Config, Model, Tagger
from ..tasks import read
from . import common
from .common import Failure
from .container import Contents, contents, is_gn2

HDF5 = b"\x89HDF\r\n\x1a\n"
BARS = "▁▂▃▄▅▆▇█"
BINS = 24
MAKING = ("model.", "inputs.", "task.", "discriminant.")
ABOUT = ("model.", "inputs.", "task.", "discriminant.", "provenance.", "trainer.")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="+", help="a .gn2 or HDF5 file")
    parser.add_argument("-a", "--all", action="store_true", help="every key and tensor")
    parser.add_argument(
        "-n",
        "--rows",
        type=common.natural,
        default=20000,
        metavar="N",
        help="rows of an HDF5 dataset the histograms are made of (20000)",
    )


def histogram(values: Any) -> str:
    """One line of blocks from the least to the largest value, heights linear."""
    counts, _ = np.histogram(values, BINS)
    top = counts.max() if counts.size else 0
    if not top:
        return ""
    scaled = np.ceil(counts / top * len(BARS)).astype(int)
    return "".join(" " if n == 0 else BARS[n - 1] for n in scaled)


# ---- .gn2 ----


def _model(path: str, args: argparse.Namespace) -> None:
    found = contents(path)
    weights = [t for t in found.tensors if not t.name.startswith("trainer.")]
    count = sum(int(np.prod(t.shape)) for t in weights)
    kind = found.keys.get("kind", "file")
    print(f"{path}: {kind}, {len(weights)} tensors, {count:,} weights")
    for key, value in found.keys.items():
        if args.all or (key.startswith(ABOUT) and value):
            shown = value if args.all or len(value) <= 60 else value[:57] + "…"
            print(f"  {key} = {shown}")
    _made(found)
    if args.all or kind == "checkpoint":
        _tensors(found, args)


def _made(found: Contents) -> None:
    """What a model of this kind finds."""
    config = Config()
    for key, value in found.keys.items():
        if key.startswith(MAKING) and key in config:
            config.set_text(key, value)
    for task in read(config).values():
        print(f"  task {task}")
    for output in Tagger(Model(config)).outputs.values():
        rows = "jet" if output.rows == "jet" else f"{output.rows} of {output.object}"
        print(f"  output {output.name}: {output.columns} a {rows}")


def _tensors(found: Contents, args: argparse.Namespace) -> None:
    for tensor in found.tensors:
        if args.all or tensor.name.startswith("trainer."):
            shape = "×".join(map(str, tensor.shape)) or "scalar"
            print(f"  {tensor.name}: {tensor.dtype} {shape}, {tensor.stored:,} bytes")


# ---- HDF5 ----


def _field(name: str, values: Any) -> None:
    kind = values.dtype
    if kind.kind not in "fiub":
        print(f"  {name:42} {str(kind):9}")
        return
    numbers = values.astype(np.float64).reshape(-1)
    finite = numbers[np.isfinite(numbers)]
    lost = numbers.size - finite.size
    odd = f"  {lost:,} not finite" if lost else ""
    if not finite.size:
        print(f"  {name:42} {str(kind):9}{odd}")
        return
    low, mean, high = finite.min(), finite.mean(), finite.max()
    print(
        f"  {name:42} {str(kind):9} {low:>11.4g} {mean:>11.4g} {high:>11.4g}  "
        f"{histogram(finite)}{odd}"
    )


def _dataset(name: str, data: Any, rows: int) -> None:
    shape = "×".join(map(str, data.shape))
    print(f"{name}: {shape} {data.dtype if not data.dtype.names else 'records'}")
    for key, value in data.attrs.items():
        print(f"  @{key} = {value}")
    part = data[:rows] if data.shape else data[()]
    names = data.dtype.names
    if not names:
        return
    if "valid" in names:
        part = part[part["valid"].astype(bool)]
    elif "mask" in names:  # of score files: true where padded
        part = part[~part["mask"].astype(bool)]
    print(f"  {'':42} {'type':9} {'least':>11} {'mean':>11} {'largest':>11}")
    for field in names:
        _field(field, part[field])


def _hdf5(path: str, args: argparse.Namespace) -> None:
    h5py = common.need("h5py", "h5py", "reading HDF5 files in Python")
    with h5py.File(path, locking=False) as file:
        print(f"{path}: HDF5")
        for key, value in file.attrs.items():
            print(f"  @{key} = {value}")
        found: list[tuple[str, Any]] = []
        file.visititems(lambda name, item: found.append((name, item)))
        for name, item in found:
            if hasattr(item, "dtype"):
                _dataset(name, item, args.rows)


def _starts_with(path: str, magic: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def run(args: argparse.Namespace) -> int:
    for path in args.file:
        if is_gn2(path):
            _model(path, args)
        elif _starts_with(path, HDF5):
            _hdf5(path, args)
        else:
            raise Failure(f"'{path}' is neither a .gn2 nor an HDF5 file")
    return 0
