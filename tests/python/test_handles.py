# SPDX-License-Identifier: Apache-2.0
"""Ownership, threads, loading of the library."""

import copy
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import SMALL

import gn2


def test_close_is_idempotent_and_a_closed_object_says_so(model, sample):
    with gn2.Tagger(model) as tagger:
        pass
    tagger.close()
    assert tagger.closed
    with pytest.raises(gn2.StateError, match="Tagger is closed"):
        tagger.tag(sample.jets, sample.ragged)
    config = gn2.Config()
    config.close()
    with pytest.raises(gn2.StateError, match="Config is closed"):
        config["model.embed_dim"]
    assert "closed" in repr(config) and "closed" in repr(tagger)


def test_objects_may_be_closed_in_any_order(sample):
    model = gn2.Model(SMALL)
    tagger = gn2.Tagger(model)
    before = tagger.tag(sample.jets, sample.ragged).probabilities
    model.close()
    after = tagger.tag(sample.jets, sample.ragged).probabilities
    assert (before == after).all()
    with pytest.raises(gn2.StateError, match="Model is closed"):
        gn2.Tagger(model)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
}


@pytest.mark.parametrize("how", COPIES)
def test_copies_are_equal_and_apart(model, sample, how):
    config = gn2.Config({"model.embed_dim": 24, "discriminant.D_x.signal": "taujets"})
    again = COPIES[how](config)
    assert again.items() == config.items()
    again["model.embed_dim"] = 32
    assert config["model.embed_dim"] == 24
    other = COPIES[how](model)
    assert other.save_bytes() == model.save_bytes()
    name = next(iter(model.params))
    other[name] = np.zeros(model.params[name].shape)  # although a tagger uses the first
    assert (model[name] != 0).any()


@pytest.mark.parametrize("how", COPIES)
def test_copies_of_a_tagger_give_its_scores(model, sample, how):
    options = {"discriminant.D_x.signal": "taujets", "tagger.threads": 1}
    tagger = gn2.Tagger(model, options, strict=True)
    tagger.tag(sample.jets, (sample.records()[::-1].copy(), sample.offsets))  # bound
    expected = tagger.tag(sample.jets, sample.ragged, outputs=["D_x", "origin"])
    again = COPIES[how](tagger)
    scores = COPIES[how](
        again.tag(sample.jets, sample.ragged, outputs=["D_x", "origin"])
    )
    assert (scores.probabilities == expected.probabilities).all()
    assert (scores["D_x"] == expected["D_x"]).all()
    assert (scores.origin == expected.origin).all()
    assert (scores.discriminant("D_x") == expected["D_x"]).all()
    with pytest.raises(gn2.CopyRefused):
        again.tag(sample.jets.astype(np.float64), sample.ragged)


def test_processes_of_their_own_tag(model, sample):
    tagger = gn2.Tagger(model, threads=1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        scores = pool.apply(tagger.tag, (sample.jets, sample.ragged))
    expected = tagger.tag(sample.jets, sample.ragged).probabilities
    assert (scores.probabilities == expected).all()


def test_what_cannot_be_copied_says_what_to_do(model, sample):
    options = {"data.batch_size": 6}
    dataset = gn2.Dataset.from_arrays(
        sample.jets, sample.ragged, np.zeros(6, int), options
    )
    trainer = gn2.Trainer(model, {"schedule.steps": 1})
    for thing, words in ((dataset, "paths"), (trainer, "where it is used")):
        for how in COPIES.values():
            with pytest.raises(TypeError, match=words):
                how(thing)
    tagger = gn2.Tagger(model)
    tagger.close()
    with pytest.raises(gn2.StateError, match="closed"):
        pickle.dumps(tagger)


def test_dropped_objects_free_their_memory():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def once():
        gn2.Tagger(gn2.Model({"model.embed_dim": 128}))

    for _ in range(5):
        once()
    gc.collect()
    start = resident()
    for _ in range(40):
        once()
    gc.collect()
    # one model of this size holds more than 3 MB
    assert resident() - start < 10e6


def test_two_threads_at_once_raise(model):
    tagger = gn2.Tagger(model)
    jets = np.zeros((20000, 2), np.float32)
    tracks = np.zeros((100000, 19), np.float32), np.arange(20001, dtype=np.int64) * 5
    running, refused = threading.Event(), []

    def work():
        running.set()
        tagger.tag(jets, tracks)

    thread = threading.Thread(target=work)
    thread.start()
    running.wait()
    while thread.is_alive() and not refused:
        try:
            tagger.tag(jets[:1], None)
        except gn2.BusyError as problem:
            refused.append(str(problem))
    if thread.is_alive():
        with pytest.raises(gn2.BusyError):
            tagger.close()
    thread.join()
    assert refused and "another thread" in refused[0]
    tagger.tag(jets[:1], None)  # and is usable again


def test_many_taggers_on_one_model(model, sample):
    expected = gn2.Tagger(model).tag(sample.jets, sample.ragged).probabilities
    wrong = []

    def work():
        tagger = gn2.Tagger(model)
        for _ in range(50):
            got = tagger.tag(sample.jets, sample.ragged).probabilities
            wrong.append(not (got == expected).all())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 200 and not any(wrong)


def run_python(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=60,
    )


def test_a_missing_library_lists_what_was_tried(tmp_path):
    done = run_python("import gn2", GN2_LIBRARY=str(tmp_path / "libgn2.so.0"))
    assert done.returncode == 1
    assert "LibraryError" in done.stderr and "$GN2_LIBRARY" in done.stderr
    assert str(tmp_path / "libgn2.so.0") in done.stderr


def test_without_the_variable_every_candidate_is_listed():
    code = "import gn2._lib as l; print([o for o, _ in l.candidates()])"
    done = run_python(code, GN2_LIBRARY=os.environ["GN2_LIBRARY"])
    assert done.stdout.strip() == "['$GN2_LIBRARY']"
    code = "import os; del os.environ['GN2_LIBRARY']; " + code.replace(
        "import gn2._lib as l",
        "import importlib.util as u, sys, types; p = types.ModuleType('gn2'); "
        f"p.__path__ = [{os.path.dirname(gn2.__file__)!r}]; sys.modules['gn2'] = p; "
        "import gn2._lib as l",
    )
    found = run_python(code).stdout
    assert "beside the package" in found and "loader path" in found


@pytest.mark.parametrize(
    "source, reason",
    [
        ("int gn2_abi_version(void) { return 77; }", "ABI version 77"),
        ("int other(void) { return 0; }", "not libgn2"),
    ],
)
def test_a_wrong_library_is_refused(tmp_path, source, reason):
    path = tmp_path / "libgn2.so.0"
    (tmp_path / "fake.c").write_text(source)
    command = ["cc", "-shared", "-o", path, tmp_path / "fake.c"]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    done = run_python("import gn2", GN2_LIBRARY=str(path))
    assert done.returncode == 1 and reason in done.stderr


def test_version_and_features():
    assert gn2.__version__.count(".") == 2
    assert {"isa", "onednn", "hdf5"} <= set(gn2.features())
