# SPDX-License-Identifier: Apache-2.0
"""Pictures of a run are of the jets that its data.selection chooses, and say so; what
they show is what NumPy makes of those rows."""

import json

import numpy as np
import pytest
from conftest import ROOT, SMALL

import gn2
from gn2 import metrics
from gn2.cli import main

h5py = pytest.importorskip("h5py")
pytest.importorskip("matplotlib")

from gn2 import plots, report  # noqa: E402

VAL = str(ROOT / "examples" / "data" / "jets_val.h5")
TEXT = "pt_btagJes > 40000 && abs(eta) < 1.5"
OTHER = "process == 1"


def mask(jets, text=TEXT):
    if text == OTHER:
        return jets["process"] == 1
    return (jets["pt_btagJes"] > 40000) & (abs(jets["eta_btagJes"]) < 1.5)


@pytest.fixture(scope="module")
def jets():
    with h5py.File(VAL) as file:
        return file["jets"][:]


def made(folder, **options):
    """The directory of a run, as far as pictures read it."""
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    folder.mkdir()
    model = gn2.Model(SMALL)
    model.save(folder / "best.gn2")
    gn2.Config({**model.config, **options}).save(folder / "config.txt")
    (folder / "run.json").write_text(json.dumps({"train": [VAL], "val": [VAL]}))
    return str(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("r") / "run", **{"data.selection": TEXT})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All jets, by a run without a selection."""
    content = report.read(made(tmp_path_factory.mktemp("w") / "run"))
    return content.samples[0]


@pytest.fixture(scope="module")
def scores(run, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("s") / "s.h5")
    assert main(["tag", f"{run}/best.gn2", VAL, "-o", path, "--tracks"]) == 0
    return path


def texts(figure):
    found = figure.findobj(plots.style.mpl.text.Text)
    return " ".join(t.get_text() for t in found).replace("\n", " ")


def same(found, whole, keep):
    """Is a sample that of some rows of the whole one, to the bit?"""
    assert found.probabilities.tobytes() == whole.probabilities[keep].tobytes()
    for name in ("flavour", "pt", "n_tracks"):
        assert (getattr(found, name) == getattr(whole, name)[keep]).all(), name
    of_tracks = np.repeat(keep, whole.tracks.counts)
    assert (found.tracks.counts == whole.tracks.counts[keep]).all()
    for name in ("origin", "origin_p", "vertex", "vertex_found"):
        mine, all_of = getattr(found.tracks, name), getattr(whole.tracks, name)
        assert mine.tobytes() == all_of[of_tracks].tobytes(), name


def test_jets_are_those_of_a_mask(run, whole, jets):
    keep = mask(jets)
    assert 100 < keep.sum() < 1400 and len(whole.flavour) == len(jets)
    found = report.read(run).samples[0]
    same(found, whole, keep)
    assert found.chosen == f"{keep.sum():,} of 1,500 jets: {TEXT}"


def test_figures_are_those_of_numpy(run, whole, jets):
    keep = mask(jets)
    keep = keep & (jets["flavour_label"] >= 0)
    d = whole.discriminant("D_b")[keep]
    is_b = whole.flavour[keep] == 0
    content = report.read(run)
    cut = np.sort(d[is_b])[int(0.23 * is_b.sum())]
    c_jets = d[whole.flavour[keep] == 1]
    wanted = len(c_jets) / (c_jets >= cut).sum()
    table = report.working_points(content.samples, "D_b")
    row = table.partition("77 %")[2].split("</td>")
    assert row[1] == f"<td>{cut:.4f}"
    rejections = metrics.rejections(d, whole.flavour[keep], 0)
    assert rejections[1].rejection[2] == pytest.approx(wanted)
    assert any(row[2].startswith(f"<td>{wanted:.{k}f} ±") for k in range(3))


def test_without_a_selection_all_is_as_before(whole, jets):
    plain = plots.from_model(gn2.Model(SMALL), VAL, max_jets=report.run.MAX_JETS)
    same(plain, whole, np.ones(len(jets), bool))
    assert plain.chosen == whole.chosen == ""
    assert "1,500 jets" not in texts(plots.roc(whole))


def test_every_picture_says_of_which_jets_it_is(run, tmp_path, jets):
    said = report.read(run).samples[0].chosen
    content = report.read(run)
    for picture in plots.pictures(content):
        if picture.name != "training":
            assert said in texts(picture.draw(content)), picture.name
    two = content.samples * 2
    for draw in (plots.roc, plots.discriminant, plots.efficiency, plots.vertexing):
        assert said in texts(draw(two)) and said in texts(draw(two, title="mine"))
    page = open(plots.report(content.samples, tmp_path / "r.html")).read()
    assert said.replace("&", "&amp;").replace(">", "&gt;").replace("<", "&lt;") in page


@pytest.mark.parametrize("given, text", [("", None), (OTHER, OTHER)])
def test_the_command_line_goes_before_the_run(
    run, whole, jets, monkeypatch, given, text
):
    from gn2.cli import plot

    seen = []
    draw = plot._content
    monkeypatch.setattr(
        plot, "_content", lambda args: seen.append(draw(args)) or seen[0]
    )
    words = ["plot", run, "--only", "roc_b", f"data.selection={given}"]
    assert main(words) == 0
    keep = np.ones(len(jets), bool) if text is None else mask(jets, text)
    same(seen[0].samples[0], whole, keep)
    assert (seen[0].samples[0].chosen == "") == (text is None)


def test_a_limit_counts_chosen_jets(run, whole, jets):
    found = report.read(run, max_jets=70).samples[0]
    rows = np.flatnonzero(mask(jets))
    keep = np.isin(np.arange(len(jets)), rows[:70])
    same(found, whole, keep)
    assert found.chosen.startswith("70 of 1,500 jets: ")
    assert f"the first 70 of {len(rows):,}" in found.chosen


def test_score_files_are_of_the_same_jets(run, scores, whole, jets):
    content = report.read(run, data=VAL, compare=[scores])
    found = content.samples[1]
    keep = mask(jets)
    assert np.allclose(found.probabilities, whole.probabilities[keep], atol=1e-7)
    for name in ("flavour", "pt", "n_tracks"):
        assert (getattr(found, name) == getattr(whole, name)[keep]).all(), name
    of_tracks = np.repeat(keep, whole.tracks.counts)
    assert (found.tracks.vertex_found == whole.tracks.vertex_found[of_tracks]).all()
    assert found.chosen == content.samples[0].chosen


def test_score_files_of_other_jets_are_refused(run, scores, tmp_path, jets, capsys):
    keep = mask(jets)
    for name, rows in (("chosen", keep), ("fewer", np.arange(1500) < 1499)):
        path = tmp_path / f"{name}.h5"
        with h5py.File(scores) as old, h5py.File(path, "w") as new:
            new["jets"] = old["jets"][:][rows]
        with pytest.raises(
            gn2.ShapeError, match=f"{rows.sum()} jets scored.*have 1500"
        ):
            report.read(run, data=VAL, compare=[str(path)])
        assert main(["plot", run, str(path), "-d", VAL, "-o", str(tmp_path)]) == 1
        assert "gn2 tag" in capsys.readouterr().err


def test_pictures_without_a_run_take_a_selection(run, scores, whole, jets, tmp_path):
    keep, model = mask(jets, OTHER), f"{run}/best.gn2"
    same(plots.from_model(model, VAL, selection=OTHER), whole, keep)
    words = ["plot", model, scores, "-d", VAL, "-o", str(tmp_path), "--only", "roc_b"]
    assert main([*words, f"data.selection={OTHER}"]) == 0
    found = plots.from_scores(scores, VAL, selection=OTHER)
    assert (found.flavour == whole.flavour[keep]).all()


@pytest.mark.parametrize(
    "text, words",
    [
        ("pt_btagJes >", ["data.selection", "ends too early"]),
        ("ptt > 5", ["data.selection", "no field 'ptt'"]),
        ("pt_btagJes > 1e9", ["chooses none of the 1500 jets"]),
    ],
)
def test_what_cannot_be_selected_is_refused(run, tmp_path, capsys, text, words):
    command = ["plot", run, "-o", str(tmp_path / "out"), f"data.selection={text}"]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert not (tmp_path / "out").exists()


def test_data_without_a_field_of_the_selection_of_a_run(tmp_path, capsys):
    folder, path = (
        made(tmp_path / "run", **{"data.selection": OTHER}),
        tmp_path / "d.h5",
    )
    with h5py.File(VAL) as old, h5py.File(path, "w") as new:
        jets = old["jets"][:200]
        names = [name for name in jets.dtype.names if name != "process"]
        new["jets"] = np.rec.fromarrays([jets[n] for n in names], names=names)
        new["jets"].attrs.update(old["jets"].attrs)
        new["tracks"] = old["tracks"][:200]
    words = ["plot", folder, "-d", str(path), "-o", str(tmp_path), "--only", "roc_b"]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "no field 'process'" in said and "data.selection= (empty)" in said
    assert main([*words, "data.selection="]) == 0


def test_a_selection_of_no_jets_is_refused(tmp_path, capsys):
    folder = tmp_path / "run"
    made(folder)
    (folder / "run.json").write_text(json.dumps({"train": [VAL], "val": []}))
    assert main(["plot", str(folder), f"data.selection={TEXT}"]) == 1
    assert "data.selection has no effect" in capsys.readouterr().err


def test_tables_of_any_name_and_length(tmp_path, jets):
    """Blocks of rows are read where jets are chosen only; scores of tracks may end
    before the jets do."""
    from gn2.metrics import chosen

    path, number = tmp_path / "j.h5", np.arange(25_000)
    with h5py.File(path, "w") as file:
        rows = np.zeros(len(number), [("n", "i8"), ("flavour_label", "i4")])
        rows["n"] = number
        file["mine"] = rows
        slots = np.zeros((len(number), 2), [("d0", "f4"), ("valid", "?")])
        slots["d0"] = number[:, None]
        file["parts"] = slots
        file["short"] = slots[:12_000]
    found = chosen.choose(
        path, "n < 3 || n > 9998 && n < 10002 || n == 24999", 0, "mine"
    )
    wanted = [0, 1, 2, 9999, 10000, 10001, 24999]
    with h5py.File(path) as file:
        assert list(found.read(file, "mine")["n"]) == wanted
        assert list(found.read(file, "short")["d0"][:, 1]) == wanted[:-1]
        assert found.read(file, "none") is None
    assert found.facts["jets before it"] == "25,000"


def test_of_several_files_it_is_said_which(tmp_path):
    folder = tmp_path / "run"
    made(folder)
    val = [str(tmp_path / "gone.h5"), VAL, VAL]
    (folder / "run.json").write_text(json.dumps({"train": [VAL], "val": val}))
    jets = report.read(folder, max_jets=10).samples[0].facts["jets"]
    assert jets.endswith("jets_val.h5, one of the run's 3 files of validation")
    jets = report.read(folder, data=VAL, max_jets=10).samples[0].facts["jets"]
    assert jets.endswith("jets_val.h5")
