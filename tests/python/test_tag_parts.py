# SPDX-License-Identifier: Apache-2.0
"""`gn2 tag --part` and `--join`: the joined file is that of one run, and what does not
fit together is refused."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT, SMALL

import gn2
from gn2.cli import main

h5py = pytest.importorskip("h5py")

COUNTS = (130, 1, 251)  # jets of the files
SLOTS = 6
SMALL_BATCHES = ["data.batch_size=40", "-q", "-j", "1"]


def write_input(path, model, count, seed):
    """Jets with holes between their tracks, and a column of bytes."""
    rng = np.random.default_rng(seed)
    names = model.inputs
    kind = [(n, "f4") for n in names["jets"]] + [("note", "S4"), ("event", "i8")]
    jets = np.zeros(count, kind)
    for name in names["jets"]:
        jets[name] = rng.normal(size=count)
    jets["note"], jets["event"] = b"abcd", rng.integers(0, 10**12, count)
    tracks = np.zeros(
        (count, SLOTS), [(n, "f4") for n in names["tracks"]] + [("valid", "?")]
    )
    for name in names["tracks"]:
        tracks[name] = rng.normal(size=(count, SLOTS))
    tracks["valid"] = rng.random((count, SLOTS)) < 0.5
    tracks["valid"][::7] = False
    tracks["valid"][3::11] = True
    with h5py.File(path, "w") as file:
        file["jets"], file["tracks"] = jets, tracks


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, another one, and inputs."""
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    folder = tmp_path_factory.mktemp("parts")
    for seed in (1, 2):
        gn2.Model({**SMALL, "model.seed": seed}).save(folder / f"m{seed}.gn2")
    with gn2.Model.load(folder / "m1.gn2") as model:
        for k, count in enumerate(COUNTS):
            write_input(folder / f"in{k}.h5", model, count, k)
    return folder


def inputs(place):
    return [str(place / f"in{k}.h5") for k in range(len(COUNTS))]


def tag(place, out, *more, model="m1.gn2", files=None):
    words = ["tag", str(place / model), *(files or inputs(place)), "-o", str(out)]
    return main([*words, *SMALL_BATCHES, *map(str, more)])


def content(path):
    """All that HDF5 knows of a file, but for where it lies in it."""
    found = {}

    def note(name, item):
        found[name] = attributes(item)
        if isinstance(item, h5py.Dataset):
            kind = (
                item.dtype,
                item.shape,
                item.maxshape,
                item.chunks,
                item.compression,
            )
            how = (item.compression_opts, item.shuffle, item.fillvalue)
            found[name] += [kind, str(how), item[()].tobytes()]

    with h5py.File(path) as file:
        found["/"] = attributes(file)
        file.visititems(note)
    return found


def attributes(item):
    return [
        (
            name,
            value.dtype if hasattr(value, "dtype") else None,
            np.array(value).tolist(),
        )
        for name, value in sorted(item.attrs.items())
    ]


def same(one, other):
    names = sorted(os.listdir(one))
    assert names == sorted(os.listdir(other)) and names
    for name in names:
        assert content(one / name) == content(other / name), name


COPIES = ["scores.jet_fields=*", "scores.track_fields=*"]
CASES = {
    "tracks": ["-t", "--outputs", "embedding,D_b_gradient", *COPIES],
    "half": ["-t", "scores.half_precision=yes", *COPIES],
    "few": ["data.max_jets=1"],
}


@pytest.mark.parametrize("case", [*CASES, "ensemble"])
def test_joined_is_what_one_run_writes(place, tmp_path, case):
    words = CASES.get(case, ["--model", place / "m2.gn2"])
    assert tag(place, tmp_path / "whole", *words) == 0
    count = 7 if case == "tracks" else 3
    parts = list(range(count))
    random.Random(case).shuffle(parts)
    for part in parts:
        assert tag(place, tmp_path / "out", *words, "--part", f"{part}/{count}") == 0
    assert tag(place, tmp_path / "out", *words, "--join") == 0
    same(tmp_path / "whole", tmp_path / "out")


def test_one_input_and_more_parts_than_jets(place, tmp_path):
    (one,) = files = inputs(place)[1:2]
    assert tag(place, tmp_path / "whole.h5", files=files) == 0
    for part in range(3):
        words = ("--part", f"{part}/3")
        assert tag(place, tmp_path / "out.h5", *words, files=files) == 0
    assert sorted(os.listdir(tmp_path / "out.h5.parts")) == [
        f"{part:05d}-of-00003.part" for part in range(3)
    ]
    assert tag(place, tmp_path / "out.h5", "--join", files=files) == 0
    assert content(tmp_path / "whole.h5") == content(tmp_path / "out.h5")


def test_killed_at_random(place, tmp_path):
    """Seven parts in any order, SIGKILL and SIGTERM: what is there is whole."""
    rng = random.Random(5)
    fork = multiprocessing.get_context("fork")
    left, kills, statuses = set(range(7)), 8, set()
    while left:
        part = rng.choice(sorted(left))
        words = (place, tmp_path / "out", "-t", "--part", f"{part}/7")
        process = fork.Process(target=lambda: sys.exit(tag(*words)))
        process.start()
        if kills:
            time.sleep(rng.uniform(0.005, 0.05))
            os.kill(process.pid, (signal.SIGKILL, signal.SIGTERM)[kills % 2])
            kills -= 1
        process.join(60)
        statuses.add(process.exitcode)
        there = (tmp_path / f"out.parts/{part:05d}-of-00007.part").exists()
        assert there or process.exitcode in (-9, -15, 143)
        left -= {part} if there else set()
    assert statuses - {0}, "none was killed in time"
    assert tag(place, tmp_path / "out", "-t", "--join") == 0
    assert tag(place, tmp_path / "whole", "-t") == 0
    same(tmp_path / "whole", tmp_path / "out")


@pytest.fixture
def copies(place, tmp_path):
    """Inputs of one's own, and their parts."""
    for path in inputs(place):
        shutil.copy(path, tmp_path)
    for name in ("m1.gn2", "m2.gn2"):
        shutil.copy(place / name, tmp_path)
    for part in range(3):
        assert tag(tmp_path, tmp_path / "out", "--part", f"{part}/3") == 0
    return tmp_path


def test_a_second_run_does_what_is_missing(copies, capsys):
    folder = copies / "out.parts"
    paths = sorted(folder.iterdir())
    before = [path.stat().st_mtime_ns for path in paths]
    paths[1].unlink()
    os.utime(copies / "in0.h5")  # by content it is the same
    capsys.readouterr()
    for part in range(3):
        assert tag(copies, copies / "out", "--part", f"{part}/3") == 0
    assert capsys.readouterr().err.count("is there already") == 2
    after = [path.stat().st_mtime_ns for path in paths]
    assert [a == b for a, b in zip(before, after)] == [True, False, True]


def test_what_cannot_be_written_is_refused_at_once(place, tmp_path, capsys):
    for words, message in (
        (["--outputs", "pairs"], "'pairs.logits' has no place in score files"),
        (["scores.jet_fields=mass"], "no field 'mass'"),
        (["scores.track_fields=d0"], "scores.track_fields = d0 has no effect"),
    ):
        assert tag(place, tmp_path / "out", *words, "--part", "0/3") == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out.parts").exists()


def change(path, name="event"):
    with h5py.File(path, "r+") as file:
        jets = file["jets"][()]
        jets[name][-1] = 3
        file["jets"][...] = jets


def refused(copies, capsys, *more, **which):
    capsys.readouterr()
    assert tag(copies, copies / "out", *more, **which) == 1
    assert not (copies / "out").exists()
    return capsys.readouterr().err


def test_what_does_not_fit_is_named(copies, capsys):
    def join(*more, **which):
        return refused(copies, capsys, "--join", *more, **which)

    assert "model 1 (sha256) is" in join(model="m2.gn2")
    text = refused(copies, capsys, "--part", "1/3", model="m2.gn2")
    assert "of another tagging" in text and "--part 1/3 --force" in text
    assert "discriminant.D_b.f_c is 0.2, here 0.3" in join("discriminant.D_b.f_c=0.3")
    assert "scores.write_tracks is no, here yes" in join("-t")
    files = inputs(copies)
    assert "input 0 is in0.h5, 130 jets, here in1.h5" in join(files=files[::-1][1:])
    middle = copies / "out.parts/00001-of-00003.part"
    middle.rename(copies / "kept")
    assert "1 of 3 parts are missing: 1; run --part 1/3" in join()
    shutil.copy(copies / "out.parts/00000-of-00003.part", middle)
    assert "it is part 0 of 3" in join()
    middle.write_bytes((copies / "kept").read_bytes()[:-30])
    assert "is no part of a tagging" in join()
    data = bytearray((copies / "kept").read_bytes())
    data[200] ^= 1
    middle.write_bytes(data)
    assert "is damaged" in join() and "--part 1/3 --force" in join()
    shutil.copy(copies / "kept", middle.with_name("00001-of-00004.part"))
    assert "has parts of 3 and of 4" in join()
    shutil.rmtree(middle.parent)
    assert "has no parts to join" in join()


def test_a_changed_input(copies, capsys):
    """What was tagged has to be what is there; other columns are read anew."""
    change(copies / "in2.h5")
    assert tag(copies, copies / "out", "--join") == 0
    assert tag(copies, copies / "whole") == 0
    same(copies / "whole", copies / "out")
    shutil.rmtree(copies / "out")
    change(copies / "in2.h5", gn2.Model.load(copies / "m1.gn2").inputs["jets"][0])
    text = refused(copies, capsys, "--join")
    assert "00002-of-00003.part" in text and "in2.h5' has now" in text
    assert refused(copies, capsys, "--part", "2/3").count("--part 2/3 --force") == 1
    assert tag(copies, copies / "out", "--part", "2/3", "--force") == 0
    assert tag(copies, copies / "out", "--join") == 0
    assert tag(copies, copies / "whole", "--force") == 0
    same(copies / "whole", copies / "out")


@pytest.mark.parametrize(
    "word, message",
    [
        ("7/7", "parts are numbered 0 to 6"),
        ("-1/7", "expected one argument"),
        ("x/7", "I/N is wanted"),
        ("1/0", "I/N is wanted"),
        ("7", "JOB_COMPLETION_INDEX, which is not set"),
        ("0/100000", "100000 parts: 99999 at most"),
        ("0/" + 5000 * "9", "--part"),
    ],
)
def test_numbers_that_are_none(place, tmp_path, capsys, monkeypatch, word, message):
    monkeypatch.delenv("JOB_COMPLETION_INDEX", raising=False)
    with pytest.raises(SystemExit) as ended:
        tag(place, tmp_path / "out", "--part", word)
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_the_number_of_a_pod(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "2")
    assert tag(place, tmp_path / "out", "--part", "3") == 0
    assert os.listdir(tmp_path / "out.parts") == ["00002-of-00003.part"]
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "two")
    with pytest.raises(SystemExit):
        tag(place, tmp_path / "out", "--part", "3")
    assert "JOB_COMPLETION_INDEX = 'two' is no whole" in capsys.readouterr().err


def test_many_parts_that_are_missing(place, tmp_path, capsys):
    """Are told in a line; what has a longer number is no part."""
    assert tag(place, tmp_path / "out", "--part", "0/99999") == 0
    (tmp_path / "out.parts" / "00000-of-999999999999.part").touch()
    capsys.readouterr()
    assert tag(place, tmp_path / "out", "--join") == 1
    said = capsys.readouterr().err
    assert "99998 of 99999 parts are missing: 1, 2, " in said and len(said) < 400


def test_a_part_that_is_no_file(place, tmp_path, capsys):
    """Opening a FIFO waits for a writer, for ever."""
    (tmp_path / "out.parts").mkdir()
    os.mkfifo(tmp_path / "out.parts" / "00000-of-00001.part")
    for word in (["--part", "0/1"], ["--join"]):
        assert tag(place, tmp_path / "out", *word) == 1
        assert "00000-of-00001.part' is no regular file" in capsys.readouterr().err


def test_scripts_for_batch_systems(tmp_path):
    """The words they hand on; those of the array are the parts'."""
    folder = ROOT / "examples/batch"
    program = tmp_path / "gn2"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    clean = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_SUBMIT_DIR": str(folder)}

    def said(script, *words, **more):
        command = ["sh", str(folder / script), *words]
        done = subprocess.run(command, capture_output=True, text=True, env=clean | more)
        return done.stdout.split()

    start = ["tag", "best.gn2", "data/*.h5", "-o", "scores/", "-q"]
    assert said("tag.sh", "--join", GN2_SCORES="x") == [*start[:4], "x", "-q", "--join"]
    assert said("tag.slurm", "--join") == [*start, "--join"]
    words = said("tag.slurm", "-t", SLURM_ARRAY_TASK_ID="7")
    assert words == [*start, "--part", "7/100", "-t"]
    text = (folder / "tag.sub").read_text(encoding="utf-8")
    assert "--part $(Process)/$(PARTS)" in text and "queue $(PARTS)" in text
