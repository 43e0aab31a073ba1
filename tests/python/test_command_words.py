# SPDX-License-Identifier: Apache-2.0
"""Words of the command line that no command can take: refused, and what is said."""

import os

import pytest
from conftest import ROOT

import gn2
from gn2.cli import COMMANDS, main, parser

DATA = ROOT / "examples" / "data"
TRAIN, VAL = str(DATA / "jets_train.h5"), str(DATA / "jets_val.h5")


@pytest.fixture(autouse=True)
def with_files():
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")


@pytest.mark.parametrize(
    "words, status, said",
    [
        (["fit"], 1, "no training files"),
        (["fit", "none.h5", "-o", "r"], 1, "none.h5"),
        (["fit", TRAIN, "-o", "r", "model.embed_dimm=3"], 1, "model.embed_dim"),
        (["fit", TRAIN, "-o", "r", "model.embed_dim=x"], 1, "model.embed_dim"),
        (["fit", "--resume", "-o", "r"], 1, "no run to resume"),
        (["tag", "none.gn2", VAL], 1, "none.gn2"),
        (["evaluate", "none.gn2", "-d", VAL], 1, "none.gn2"),
        (["inspect", "none"], 1, "none"),
        (["inspect", "model.embed_dim=3", "none"], 2, "no options"),
        (["fly"], 2, "invalid choice"),
        ([], 2, "required"),
        (["fit", "--speed", "7"], 2, "unrecognized"),
        (["fit", TRAIN, "--probe", "1,x"], 2, "no list of steps"),
        (["fit", TRAIN, "--probe=-1,2"], 2, "no step -1"),
        # of a variable that is not set: not as if the words were not there
        (["fit", TRAIN, "-o", "r", "-m", ""], 2, "-m/--model: an empty word"),
        (["fit", TRAIN, "-o", ""], 2, "-o/--out: an empty word"),
        (["fit", TRAIN, "-o", "r", "-v", VAL, "-v", ""], 2, "-v/--val: an empty"),
        (["fit", TRAIN, "-o", "r", "-c", ""], 2, "-c/--config: an empty word"),
        (["tag", "", VAL], 2, "model: an empty word"),
        (["hpo", "run", "s.yaml", "--store", ""], 2, "--store: an empty word"),
        (["hpo", "import", "t.yaml", "--space", ""], 2, "--space: an empty word"),
        (["hpo", "trial", "s.yaml", "-o", "r", "--keep", ""], 2, "--keep: an empty"),
        (["hpo", "run", "s.yaml", "--program", " "], 2, "names no program"),
        (["hpo", "trial", "s.yaml", "-o", "r", "--launch", "'x"], 2, "quotation"),
        (["importance", "m", "-d", VAL, "-o", "no/x"], 1, "there is no folder 'no'"),
        (["tag", "m", VAL, "-j", 20 * "9"], 2, "20 digits: 18 at most"),
        (["plot", "r", "-n", "-5"], 2, "-5' is not a whole number"),
        (["serve", "m", "-j", "-4"], 2, "-4' is not a whole number"),
        (["monitor", "r", "--textfile", ""], 2, "--textfile: an empty word"),
    ],
)
def test_wrong_use(words, status, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        found = main(words)
    except SystemExit as end:
        found = end.code
    assert found == status
    assert said in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_no_command_takes_an_empty_word():
    """But for what is empty where it is not given: --label, --sample."""
    top = parser()
    for name, *_ in COMMANDS:
        sub = top
        for word in name.split():
            (group,) = (a for a in sub._actions if isinstance(a.choices, dict))
            sub = group.choices[word]
        for action in sub._actions:
            checked = action in sub.get_default("words")
            assert checked or action.default == "", (name, action.dest)


@pytest.mark.parametrize(
    "words, said",
    [
        (["fit", "epochs=5"], "did you mean train.epochs=5?"),
        (["fit", TRAIN, "embed_dim=64"], "did you mean model.embed_dim=64?"),
        (["tag", "m.gn2", VAL, "batchsize=7"], "did you mean data.batch_size=7?"),
        (["params", "what=1"], "'what=1' is neither a file nor an option"),
        (["study", "lr", TRAIN, "layers=1"], "is neither a file nor an option"),
    ],
)
def test_a_word_that_is_neither_file_nor_option(words, said, capsys):
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "neither a file nor an option" in told and said in told


def test_a_file_may_have_a_name(tmp_path, capsys):
    """As `gn2 plot NAME=MODEL` takes it; what is in it is another matter."""
    path = tmp_path / "some.gn2"
    path.write_bytes(b"no model")
    assert main(["plot", f"best={path}", "-d", TRAIN, "-o", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "neither a file nor an option" not in said and "some.gn2" in said
