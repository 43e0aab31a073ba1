# SPDX-License-Identifier: Apache-2.0
"""Thousands of files on a slow storage: while they are opened a signal is heard, and it
can be seen how far it is."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
import test_ranks as ranks
from runs import QUIET, SMALL, TRAIN, done, with_files  # noqa: F401

import gn2
from gn2 import _progress

h5py = pytest.importorskip("h5py")

FILES = 3000  # of 20 ms each: a minute
SOON = 10.0  # seconds from a signal to the end


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A library to preload: see slow_open.c."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler, or no LD_PRELOAD")
    source = pathlib.Path(__file__).with_name("slow_open.c")
    library = tmp_path_factory.mktemp("slow") / "slow_open.so"
    words = ["-shared", "-fPIC", "-O1", str(source), "-o", str(library), "-ldl"]
    subprocess.run([compiler, *words], check=True)
    return library


@pytest.fixture(scope="module")
def links(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for number in range(FILES):
        (folder / f"slow_{number:04}.h5").symlink_to(TRAIN)
    return folder


class Command:
    """``gn2 …`` that is at work on slow files."""

    def __init__(self, slow, folder, words, env=None):
        self.openings = folder / "openings"
        self.openings.write_bytes(b"")
        program = [] if env else [sys.executable, "-m", "gn2"]
        env = {**(env or os.environ), "LD_PRELOAD": str(slow)}
        env["GN2_TEST_OPENINGS"] = str(self.openings)
        self.process = subprocess.Popen(
            [*program, *map(str, words)],
            env=env,
            cwd=folder,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, count):
        until = time.monotonic() + 120
        while os.path.getsize(self.openings) < count:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)

    def end(self, number):
        """Exit status, seconds, what was said."""
        start = time.monotonic()
        self.process.send_signal(number)
        try:
            said = self.process.communicate(timeout=SOON)[1]
        finally:
            self.process.kill()
        return self.process.returncode, time.monotonic() - start, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("what", ["fit", "val", "evaluate", "importance"])
def test_a_signal_ends_a_command_that_opens_files(
    slow, links, done, tmp_path, what, number  # noqa: F811
):
    pattern = str(links / "slow_*.h5")
    model = str(done / "model.gn2")
    fit = ["fit", "-o", tmp_path / "run", *QUIET, *SMALL]
    words = {
        "fit": [*fit, pattern],
        "val": [*fit, TRAIN, "-v", pattern],
        "evaluate": ["evaluate", model, "-d", pattern],
        "importance": ["importance", model, "-d", pattern, "-o", tmp_path / "i"],
    }
    before = sorted(tmp_path.iterdir())
    command = Command(slow, tmp_path, words[what])
    command.wait_for(50)
    status, seconds, said = command.end(number)
    assert status == 128 + number, said
    assert ("terminated" if number == signal.SIGTERM else "interrupted") in said
    assert "Traceback" not in said and "ignored" not in said
    assert os.path.getsize(command.openings) < FILES  # it was at it
    assert seconds < SOON
    assert sorted(tmp_path.iterdir()) == [*before, command.openings]


@pytest.mark.parametrize("words", [[], ["--part", "1/3"]])
def test_a_signal_ends_tagging_of_many_files(
    slow, links, done, tmp_path, words  # noqa: F811
):
    model = str(done / "model.gn2")
    out = tmp_path / "scores"
    command = Command(
        slow,
        tmp_path,
        ["tag", model, links / "slow_*.h5", "-o", f"{out}/", "-q", *words],
    )
    command.wait_for(20)
    status, _, said = command.end(signal.SIGTERM)
    assert status == 143, said
    assert os.path.getsize(command.openings) < FILES
    left = list(out.iterdir()) if out.exists() else []
    assert all(path.name.endswith(".h5") for path in left)
    assert len(left) < FILES
    jets = {len(h5py.File(path)["jets"]) for path in left}
    assert jets <= {len(h5py.File(TRAIN)["jets"])}


def test_a_signal_ends_a_study_whose_runs_open_files(slow, links, tmp_path):
    out = tmp_path / "studies"
    command = Command(
        slow,
        tmp_path,
        ["study", "lr", "--small", links / "slow_*.h5", "-v", TRAIN, "-o", out],
    )
    command.wait_for(50)
    status, _, said = command.end(signal.SIGTERM)
    assert status == 143, said
    opened = os.path.getsize(command.openings)
    time.sleep(1)
    assert os.path.getsize(command.openings) == opened < FILES  # no run is left behind


def test_a_signal_ends_ranks_that_compare_files(slow, links, tmp_path):
    """Behind the opening every rank samples every file, for the ranks to compare."""
    pattern = str(links / "slow_00*.h5")
    run = tmp_path / "run"
    more = ["train.shards=2", "data.max_jets=1000"]
    words, env = ranks.command(2, ["fit", "-o", run, *QUIET, *SMALL, *more, pattern])
    command = Command(slow, tmp_path, words, env)
    while not (run / "run.json").exists():  # all is open, and the fit begins
        assert command.process.poll() is None, command.process.communicate()
        time.sleep(0.02)
    begin = os.path.getsize(command.openings)
    command.wait_for(begin + 10)
    status, seconds, said = command.end(signal.SIGTERM)
    assert status != 0 and "terminated" in said and "Traceback" not in said
    assert os.path.getsize(command.openings) < begin + 150  # 200, and 100 of reports
    assert seconds < SOON


# ---- in Python ----


def test_a_signal_while_a_score_file_is_created_leaves_none(
    done, tmp_path, monkeypatch  # noqa: F811
):
    lib = gn2.score_writer.lib
    create = lib.gn2_score_writer_create

    def interrupted(*arguments):
        create(*arguments)
        assert len(os.listdir(tmp_path)) == 1  # the temporary file
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(lib, "gn2_score_writer_create", interrupted)
    model = gn2.Model.load(done / "model.gn2")
    with pytest.raises(KeyboardInterrupt):
        gn2.ScoreWriter(tmp_path / "scores.h5", TRAIN, model)
    assert os.listdir(tmp_path) == []


class FakeBar:
    """What tqdm is asked for; ``step`` is called at every update."""

    made: list = []

    def __init__(self, step=lambda bar: None):
        self.step = step

    def __call__(self, total, unit, desc, **_more):
        bar = FakeBar(self.step)
        bar.total, bar.unit, bar.desc, bar.n, bar.closed = total, unit, desc, 0, False
        FakeBar.made.append(bar)
        return bar

    def update(self, count):
        self.n += count
        self.step(self)

    def close(self):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    FakeBar.made = []
    monkeypatch.setattr(_progress, "SOON", 0.0)
    monkeypatch.setattr(_progress, "_tqdm", lambda: FakeBar())
    return FakeBar.made


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_the_opening_shows_how_far_it_is(links, bars):
    paths = sorted(links.iterdir())[:20]
    options = {"data.selection": "pt_btagJes > 50000"}
    with gn2.Dataset(paths, options, progress=True) as data:
        jets = data.info.jet_count
    files, chosen = bars
    assert (files.unit, files.total, files.n, files.closed) == ("file", 20, 20, True)
    assert chosen.unit == "jet" and chosen.n == chosen.total > jets > 0
    assert chosen.closed


def test_what_does_not_take_long_shows_nothing(links, monkeypatch):
    FakeBar.made = []
    monkeypatch.setattr(_progress, "SOON", 1e6)
    monkeypatch.setattr(_progress, "_tqdm", lambda: FakeBar())
    gn2.Dataset(sorted(links.iterdir())[:20], progress=True).close()
    assert FakeBar.made == []


def test_nothing_is_shown_unless_asked_for(links, bars):
    gn2.Dataset(sorted(links.iterdir())[:20]).close()
    assert bars == []


def test_ctrl_c_closes_what_is_open(links, bars, monkeypatch):
    def interrupt(bar):
        if bar.n == 7:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(_progress, "_tqdm", lambda: FakeBar(interrupt))
    before = open_descriptors()
    with pytest.raises(KeyboardInterrupt):
        gn2.Dataset(sorted(links.iterdir())[:20], progress=True)
    assert bars[0].n <= 8 and bars[0].closed
    assert open_descriptors() == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_does_not_raise_still_ends_it(links, bars, monkeypatch):
    heard = []
    old = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        step = lambda bar: signal.raise_signal(signal.SIGINT)  # noqa: E731
        monkeypatch.setattr(_progress, "_tqdm", lambda: FakeBar(step))
        with pytest.raises(gn2.Cancelled, match="of 20 files"):
            gn2.Dataset(sorted(links.iterdir())[:20], progress=True)
    finally:
        signal.signal(signal.SIGINT, old)
    assert heard == [1]


def test_what_a_bar_raises_is_raised(links, bars, monkeypatch):
    def fail(_bar):
        raise OSError("no terminal")

    monkeypatch.setattr(_progress, "_tqdm", lambda: FakeBar(fail))
    before = open_descriptors()
    with pytest.raises(OSError, match="no terminal"):
        gn2.Dataset(sorted(links.iterdir())[:20], progress=True)
    assert open_descriptors() == before
