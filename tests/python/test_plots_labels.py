# SPDX-License-Identifier: Apache-2.0
"""Pictures of classes of any name, of every discriminant, with whose they are and of
which tagger; jets without a score or a class are told apart."""

import dataclasses

import numpy as np
import pytest

import gn2
from gn2.scores import Names, Scores, discriminant_options

pytest.importorskip("matplotlib", reason="python3-matplotlib is not installed")

from gn2 import plots, report  # noqa: E402
from gn2.plots import flavours  # noqa: E402
from gn2.plots.pictures import Content  # noqa: E402

BOOSTED = {
    "discriminant.D_hbb.signal": "hbb",
    "discriminant.D_hbb.fractions": ["hcc:0.1", "top:0.2", "qcd:rest"],
    "discriminant.D_hcc.signal": "hcc",
    "discriminant.D_hcc.fractions": ["hbb:0.3", "qcd:rest"],
}


def tagged(classes, options=None, jets=900, seed=3):
    """Jets of these classes and of none; their scores know something of it."""
    rng = np.random.default_rng(seed)
    flavour = rng.integers(-1, len(classes), jets)
    p = rng.random((jets, len(classes))) + np.eye(len(classes) + 1)[flavour, :-1] / 2
    p = (p / p.sum(1, keepdims=True)).astype("f4")
    rules = discriminant_options(gn2.Config(options or {}))
    scores = Scores(p, Names("GN2", tuple(classes), rules))
    pt, count = rng.uniform(20e3, 200e3, jets), rng.integers(0, 9, jets)
    return plots.from_arrays(scores, flavour, name="new", pt=pt, n_tracks=count)


def texts(figure):
    return [t.get_text() for t in figure.findobj(plots.style.mpl.text.Text)]


def drawn(sample):
    """Names of pictures of the jets; all can be drawn."""
    of_jets = ("Discriminant", "Flavours")
    found = plots.pictures(Content([sample]))
    found = [p for p in found if p.section.startswith(of_jets)]
    return {p.name: p.draw(Content([sample])) for p in found}


def test_a_model_without_tau():
    found = drawn(tagged(["bjets", "cjets", "ujets"]))
    assert "roc_b" in found and "roc_c" in found and "roc_tau" not in found
    shown = texts(found["roc_b"])
    assert "c-jets" in shown and "light-jets" in shown and "tau-jets" not in shown


def test_a_model_without_b_shows_each_of_its_discriminants():
    sample = tagged(["hbb", "hcc", "top", "qcd"], BOOSTED)
    found = drawn(sample)
    kinds = ("roc", "discriminant", "efficiency_pt", "efficiency_n_tracks")
    assert {f"{k}_{s}" for k in kinds for s in ("hbb", "hcc")} < set(found)
    nouns = {way.plural for way in flavours.shown(sample).values()}
    assert nouns <= set(texts(found["discriminant_hbb"])) and "QCD" in nouns
    text = report.working_points([sample], "D_hcc")
    assert "<th>qcd rejection</th>" in text and "<td>AUC</td>" in text
    assert "AUC hbb–top" in report.summary([sample])


def test_classes_nobody_knows_have_a_look_and_their_name():
    classes = ["ghostbjets", "bjets", *(f"kind{k}" for k in range(8)), "oddjets"]
    ways = list(flavours.shown(tagged(classes)).values())
    assert len({way.color for way in ways}) == len(classes)
    assert len({str(way.line) for way in ways[:8]}) == 8
    assert [w.plural for w in ways[:3]] == ["ghost b-jets", "b-jets", "kind0"]
    assert ways[-1].plural == "odd-jets"
    assert ways == list(flavours.shown(tagged(classes, seed=5)).values())
    shares = plots.confusion(tagged(classes))
    assert {"ghost b", "kind7", "odd"} < set(texts(shares))


def test_a_label_is_on_every_figure_made_inside_and_on_no_other():
    sample = tagged(["bjets", "cjets", "ujets"])
    for draw in (plots.roc, plots.discriminant, plots.confusion, plots.calibration):
        with plots.style.label("ATLAS Simulation Internal", "√s = 13.6 TeV"):
            found = texts(draw(sample))
        assert {"ATLAS", "Simulation Internal", "√s = 13.6 TeV"} < set(found)
        assert not {"ATLAS", "√s = 13.6 TeV"} & set(texts(draw(sample)))


def test_a_figure_says_which_tagger_it_shows():
    facts = {"model": "best.gn2", "network": "μP, width 256"}
    sample = dataclasses.replace(tagged(["bjets", "cjets", "ujets"]), facts=facts)
    name = "new (best.gn2, μP, width 256)"
    for draw in (plots.roc, plots.discriminant, plots.efficiency, plots.confusion):
        assert any(name in t for t in texts(draw(sample))), draw
    other = dataclasses.replace(sample, name="old")
    assert {name, name.replace("new", "old")} < set(texts(plots.roc([sample, other])))


def test_the_network_of_a_model_is_named(model):
    from gn2.metrics import files

    assert files.described(model) == "SP, width 16"


def test_a_tagger_without_the_discriminant_is_left_out():
    one = tagged(["hbb", "hcc", "top", "qcd"], BOOSTED)
    two = dataclasses.replace(tagged(["bjets", "cjets", "ujets"]), name="old")
    assert "old" not in texts(plots.roc([one, two], signal="D_hbb"))
    with pytest.raises(gn2.NotFound, match="hbb"):
        plots.roc([two, one], signal="D_hbb")


def test_jets_without_score_or_class_do_not_count_as_tagged(tmp_path):
    h5py = pytest.importorskip("h5py", reason="python3-h5py is not installed")
    jets = np.zeros(60, [("GN2_pb", "f4"), ("GN2_pc", "f4"), ("GN2_pu", "f4")])
    for k, name in enumerate(jets.dtype.names):
        jets[name] = 0.2 + 0.1 * k
    jets[7] = (np.nan,) * 3
    jets[50:] = 0  # never written
    truth = np.zeros(60, [("flavour_label", "i4")])
    truth["flavour_label"] = np.arange(60) % 4
    with h5py.File(tmp_path / "s.h5", "w") as s, h5py.File(tmp_path / "d.h5", "w") as d:
        s["jets"], d["jets"] = jets, truth
        d["jets"].attrs["flavour_label"] = ["bjets", "cjets", "ujets", "taujets"]
    sample = plots.from_scores(tmp_path / "s.h5", tmp_path / "d.h5")
    assert len(sample.scores) == 49 == len(sample.flavour)
    text = report.summary([sample])
    assert "of no class" in text and "49 (" in text
    assert "11 without a score left out" in text
    with h5py.File(tmp_path / "s.h5", "r+") as s:
        jets["GN2_pc"][3] = np.nan
        s["jets"][:] = jets
    with pytest.raises(gn2.InvalidArgument, match="jet 3"):
        plots.from_scores(tmp_path / "s.h5", tmp_path / "d.h5")


def test_discriminants_of_score_files_can_be_told(tmp_path):
    h5py = pytest.importorskip("h5py", reason="python3-h5py is not installed")
    jets = np.zeros(4, [("X_phbb", "f4"), ("X_pqcd", "f4"), ("flavour_label", "i4")])
    jets["X_phbb"], jets["X_pqcd"] = 0.75, 0.25
    with h5py.File(tmp_path / "s.h5", "w") as s:
        s["jets"] = jets
        s["jets"].attrs["flavour_label"] = ["hbb", "qcd"]
    told = {"discriminant.D_hbb.signal": "hbb", "discriminant.D_hbb.fractions": "qcd:1"}
    sample = plots.from_scores(tmp_path / "s.h5", discriminants=told)
    assert sample.discriminants() == {"D_hbb": "hbb"}
    assert sample.discriminant("D_hbb")[0] == pytest.approx(np.log(3))
    assert plots.from_scores(tmp_path / "s.h5").discriminants() == {}


def test_evaluate_tells_every_discriminant_and_no_class_there_is_not():
    from gn2.cli import evaluate
    from gn2.training_stats import Metrics

    figures = {"jets_classification.accuracy": 0.5}
    for name, others in (("D_b", ("cjets", "ujets")), ("D_c", ("bjets", "ujets"))):
        figures[f"{name}.cut_77"] = 0.1
        for other in others:
            figures[f"{name}.auc_{other}"] = 0.8
            figures[f"{name}.rejection_77_{other}"] = 9.0
    nan = np.full((4, 3), np.nan)
    losses = {"jets_classification": 1.0}
    found = Metrics(10, 1.0, losses, figures, 0.8, 0.7, np.zeros(4), nan)
    told = found.flat("")
    assert "rejection_light_77" in told and "D_c_rejection_77_bjets" in told
    assert not any("tau" in name for name in told)
    assert evaluate._words("D_c_rejection_77_bjets") == "b rejection at 77% of D_c"
    assert evaluate._words("rejection_light_77") == "light rejection at 77% of D_b"
    assert evaluate._number(float("nan")) == "-"


@pytest.mark.parametrize(
    "classes",
    [
        ["$\\frac$jets", "cjets", "ujets", "$x$"],
        ["b$jets", "c$jets", "ujets", "x^{_"],
        ["<script>", "c%sjets%", "α_β^γ jets", "_odd"],
    ],
)
def test_a_name_is_no_formula_and_none_is_left_out_of_a_legend(classes):
    sample = tagged(classes)
    ways = plots.flavours.shown(sample)
    for name, way in ways.items():
        assert way.plural.replace(r"\$", "$").strip().startswith(name)
    figures = drawn(sample)  # an unfinished \frac cannot be drawn
    for name in ways:
        assert any(name in t.replace(r"\$", "$") for t in texts(figures["confusion"]))
    for figure in figures.values():
        for text in texts(figure):
            bare = text.replace(r"\$", "")
            assert "$x$" not in bare and "frac$" not in bare
    handles = plots.taggers.flavour_handles(ways, "lines")
    assert not any(h.get_label().startswith("_") for h in handles)
