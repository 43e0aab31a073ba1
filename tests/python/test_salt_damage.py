# SPDX-License-Identifier: Apache-2.0
"""Small checkpoints take little time and memory, whatever they claim."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest
from test_salt_import import write  # noqa: F401  (a fixture)

import gn2
from gn2 import salt
from gn2.salt import checkpoint, importer


def small(code, path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", code)
        file.writestr("x/data/0", bytes(64))
    return path


def nest(first, pair, depth=60):
    """`first`, then `pair` of it, then of that, and so on: 2^depth in few bytes."""
    code = first + b"q\x00"
    for i in range(depth):
        code += pair % {b"i": b"h%c" % i} + b"q%c" % (i + 1)
    return code


PAIRS = nest(b"K\x01", b"%(i)b%(i)b\x86")
LISTS = nest(b"]", b"](%(i)b%(i)be")
TEXT = b"X\x10\x00\x00\x00hyper_parameters"
ORDERED = b"ccollections\nOrderedDict\n"
STORAGE, FLOATS = b"(X\x07\x00\x00\x00storage", b"ctorch\nFloatStorage\n"
EXPLODING = {
    "a key": b"}" + PAIRS + b"K\x01s.",
    "keys": b"}(K\x01K\x02" + PAIRS + b"K\x01u.",
    "a key of a new dictionary": b"(" + PAIRS + b"K\x01d.",
    "an item of a set": b"\x8f(" + PAIRS + b"\x90.",
    "an item of a frozen set": b"(" + PAIRS + b"\x91.",
    "a key of an ordered one": ORDERED + b"](" + PAIRS + b"K\x01\x86e\x85R.",
    "the kind of a storage": STORAGE + PAIRS + b"K\x01K\x01K\x01tQ.",
    "the key of a storage": STORAGE + FLOATS + PAIRS + b"K\x01K\x01tQ.",
    "settings": b"}" + TEXT + PAIRS + b"s.",
    "settings of lists": b"}" + TEXT + LISTS + b"s.",
    "bytes": b"\x96" + (1 << 38).to_bytes(8, "little") + b"xxx.",
    "a long number": b"\x8b" + (1 << 30).to_bytes(4, "little") + b"x.",
    "a text": b"\x8d" + (1 << 60).to_bytes(8, "little") + b"x.",
}  # fmt: skip


@pytest.mark.parametrize("case", EXPLODING)
def test_small_pickles_take_little_time_and_memory(case, tmp_path):
    path = small(EXPLODING[case], tmp_path / "x.ckpt")
    code = f"""if True:
        import resource, gn2
        from gn2 import salt
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        try: salt.load({str(path)!r})
        except gn2.FormatError as error: print(error)"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert str(path) in done.stdout or "checkpoint" in done.stdout, done.stderr
    assert "MemoryError" not in done.stdout


@pytest.mark.parametrize("shape", [(1 << 17, 1 << 17), (1 << 40,), (4, 1 << 20)])
def test_a_view_is_no_larger_than_its_storage(shape, write, tmp_path):
    path = tmp_path / "x.ckpt"
    storage = checkpoint.Storage(checkpoint.Archive(write({})), "FloatStorage", "0", 16)
    with pytest.raises(gn2.FormatError, match="repeats the 16 numbers"):
        checkpoint.Tensor(storage, 0, shape, (0,) * len(shape)).array()
    assert not path.stat().st_size > 1 << 16


def test_repeated_bytes_of_a_zip_are_refused(write):
    """Records of the directory that all point to the same bytes."""
    path = write({"a": np.zeros(4096, "f4")})
    archive = checkpoint.Archive(path)
    record = archive._records["x/data/0"]
    archive._records |= {f"x/data/{k}": record for k in range(9)}
    with pytest.raises(gn2.FormatError, match="share the bytes"):
        for k in range(9):
            archive.data(str(k))


@pytest.mark.parametrize("name", [b"\xfa\xfa", b"\xff\xfe"])
def test_names_of_a_zip_that_are_no_text(tmp_path, name):
    path = tmp_path / "x.ckpt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/\u00e4.pkl", b"")
    path.write_bytes(path.read_bytes().replace("\u00e4".encode(), name))
    with pytest.raises(gn2.FormatError, match="x.ckpt: not a zip"):
        salt.load(path)


def test_values_that_hold_one_another(tmp_path):
    checkpoint.check_reach({"a": [1, (2, 3)], "b": {"c": []}}, "x")
    loop = []
    loop.append(loop)
    checkpoint.check_reach(loop, "x")
    deep = []
    for _ in range(100000):
        deep = [deep]
    checkpoint.check_reach(deep, "x")
    pytest.importorskip("yaml")
    laughs = "a0: &a0 [1, 1]\n" + "".join(
        f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40)
    )
    (tmp_path / "x.yaml").write_text(laughs)
    with pytest.raises(gn2.FormatError, match="x.yaml: more than 1,000,000 values"):
        importer.read_yaml(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_text("a: 2001-99-99")
    with pytest.raises(gn2.FormatError, match="x.yaml"):
        importer.read_yaml(tmp_path / "x.yaml")
