# SPDX-License-Identifier: Apache-2.0
"""Discriminants and the forms of scores."""

import numpy as np
import pytest

import gn2


@pytest.fixture
def scores(tagger, sample):
    return tagger.tag(sample.jets, sample.ragged, outputs=["D_b", "D_c", "D_tau"])


def by_hand(scores, signal, **f):
    p = {n: scores[n].astype(np.float64) for n in ("b", "c", "u", "tau")}
    others = sum(f[f"f_{n}"] * p[n] for n in p if n != signal)
    return np.log(p[signal] / others)


def test_default_discriminants_are_the_librarys(scores):
    for signal in ("b", "c", "tau"):
        assert (scores.discriminant(signal) == scores[f"D_{signal}"]).all()


def test_the_signals_own_fraction_is_refused(scores):
    with pytest.raises(gn2.InvalidArgument, match="f_b = 0.1 .*b is the signal"):
        scores.discriminant("b", f_b=0.1, f_c=0.2)
    scores.discriminant("c", f_b=0.1)


def test_one_number_of_threads(model):
    with pytest.raises(
        gn2.InvalidArgument, match="threads = 2, and tagger.threads = 3"
    ):
        gn2.Tagger(model, {"tagger.threads": 3}, threads=2)


def test_fractions_are_given_by_name_and_light_gets_the_rest(scores):
    got = scores.discriminant("b", f_c=0.3, f_tau=0.05)
    want = by_hand(scores, "b", f_c=0.3, f_tau=0.05, f_u=0.65)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    got = scores.discriminant("b", f_c=0.3)  # f_tau stays the model's
    want = by_hand(scores, "b", f_c=0.3, f_tau=0.01, f_u=0.69)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    got = scores.discriminant("light", f_b=0.5, f_c=0.5)
    want = by_hand(scores, "u", f_b=0.5, f_c=0.5, f_tau=0)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_the_ratio(scores):
    ratio = scores.discriminant("b", form="ratio", f_tau=0)
    log = scores.discriminant("b", f_tau=0)
    np.testing.assert_allclose(np.log(ratio), log, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "arguments, fractions, kind",
    [
        (("z",), {}, KeyError),
        (("b",), {"f_z": 0.1}, KeyError),
        (("b",), {"f_c": 0.9, "f_tau": 0.2}, ValueError),
        (("b",), {"f_c": -0.1}, ValueError),
        (("b",), {"form": "root"}, ValueError),
        (("u",), {}, ValueError),
    ],
)
def test_wrong_requests(scores, arguments, fractions, kind):
    with pytest.raises(kind):
        scores.discriminant(*arguments, **fractions)


def test_zero_probabilities_give_finite_values():
    d = gn2.discriminant([[0, 0, 1, 0], [1, 0, 0, 0]], 0, [0, 0.2, 0.79, 0.01])
    assert np.isfinite(d).all() and d[0] < -80 and d[1] > 80


def test_columns_and_records(scores):
    for name in ("b", "bjets", "pb", "p_b"):
        assert (scores[name] == scores.probabilities[:, 0]).all()
    assert (scores["light"] == scores["ujets"]).all()
    table = scores.structured()
    names = ("GN2_pb", "GN2_pc", "GN2_pu", "GN2_ptau", "GN2_Db", "GN2_Dc", "GN2_Dtau")
    assert table.dtype.names == names
    assert (table["GN2_Dtau"] == scores["D_tau"]).all()
    assert (np.asarray(scores) == scores.probabilities).all()
    assert len(scores) == 6 and "6 jets" in repr(scores)
    with pytest.raises(KeyError, match="bjets"):
        scores["strange"]
    with pytest.raises(AttributeError, match="outputs="):
        scores.origin


# ---- discriminants of any signal class ----

HIGGS = ("hbb", "hcc", "top", "qcd")
D_HBB = {
    "discriminant.D_hbb.signal": "hbb",
    "discriminant.D_hbb.fractions": "hcc:0.02,top:0.25,qcd:rest",
}
SMALL = {"model.embed_dim": 32, "model.num_layers": 1, "model.init_hidden": [32]}


def model_of(classes, **options):
    named = {key.replace("__", "."): value for key, value in options.items()}
    return gn2.Model({**SMALL, "model.classes": list(classes), **named})


def test_a_model_without_the_usual_classes_has_no_discriminant(sample):
    tagger = gn2.Tagger(model_of(HIGGS))
    scores = tagger.tag(sample.jets, sample.ragged)
    assert not [name for name in tagger.output_names if name.startswith("D_")]
    assert scores.structured().dtype.names == tuple(f"GN2_p{c}" for c in HIGGS)
    for request in ({}, {"form": "log"}):
        with pytest.raises(ValueError, match="'hbb'"):
            scores.discriminant("hbb", **request)
    got = scores.discriminant("hbb", f_hcc=0.25, f_qcd=0.75)
    p = {name: scores[name].astype(np.float64) for name in HIGGS}
    want = np.log(p["hbb"] / (0.25 * p["hcc"] + 0.75 * p["qcd"]))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("where", ["model", "tagger"])
def test_any_class_may_be_the_signal(sample, tmp_path, where):
    model = gn2.Model(
        {**SMALL, "model.classes": HIGGS, **(D_HBB if where == "model" else {})}
    )
    model.save(tmp_path / "m.gn2")
    model = gn2.Model.load(tmp_path / "m.gn2")
    tagger = gn2.Tagger(model, D_HBB if where == "tagger" else None)
    assert "D_hbb" in tagger.output_names
    scores = tagger.tag(sample.jets, sample.ragged, outputs=["D_hbb", "jets.D_hbb"])
    assert (scores.D_hbb == scores["jets.D_hbb"]).all()
    for name in ("hbb", "D_hbb"):
        assert (scores.discriminant(name) == scores.D_hbb).all()
    assert (scores.structured()["GN2_Dhbb"] == scores.D_hbb).all()
    got = scores.discriminant("hbb", f_top=0.5)  # qcd gets what is left
    p = {name: scores[name].astype(np.float64) for name in HIGGS}
    others = 0.02 * p["hcc"] + 0.5 * p["top"] + 0.48 * p["qcd"]
    np.testing.assert_allclose(got, np.log(p["hbb"] / others), rtol=1e-6, atol=1e-6)


def test_light_gets_the_fraction_of_a_class_that_is_not_there(sample):
    tagger = gn2.Tagger(model_of(["bjets", "cjets", "ujets"]))
    scores = tagger.tag(sample.jets, sample.ragged, outputs=["D_b", "D_c"])
    assert (scores.discriminant("b") == scores.D_b).all()
    b, c, u = scores.probabilities.astype(np.float64).T
    want = np.log(b / (0.2 * c + 0.8 * u))
    np.testing.assert_allclose(scores.D_b, want, rtol=1e-6, atol=1e-6)
    again = scores.discriminant("b", f_c=0.2)
    np.testing.assert_allclose(again, want, rtol=1e-6, atol=1e-6)


def test_sums_above_one_are_refused_alike(scores, tagger):
    words = r"fractions sum to 1\.25, more than 1"
    both = {"discriminant.D_b.fractions": "cjets:0.5,taujets:0.75"}
    old = {"discriminant.D_b.f_c": 0.5, "discriminant.D_b.f_tau": 0.75}
    with pytest.raises(gn2.InvalidArgument, match=words):
        scores.discriminant("b", f_c=0.5, f_tau=0.75)
    with pytest.raises(gn2.InvalidArgument, match=words):
        gn2.discriminant(scores.probabilities, 0, [0, 0.5, 0, 0.75])
    for options in (both, old):
        with pytest.raises(gn2.InvalidArgument, match=words):
            gn2.Model({**SMALL, **options})
    with pytest.raises(gn2.InvalidArgument, match=words):
        gn2.Tagger(tagger.model, both)


def test_copies_keep_what_is_defined(tmp_path):
    config = gn2.Config({**D_HBB, "model.classes": HIGGS})
    config.save(tmp_path / "c.txt")
    model = gn2.Model({**SMALL, "model.classes": HIGGS, **D_HBB})
    for copy in (config.copy(), gn2.Config(tmp_path / "c.txt"), model.config):
        assert copy["discriminant.D_hbb.signal"] == "hbb"
        assert "discriminant.D_hbb.fractions" in list(copy)


@pytest.mark.parametrize(
    "asked", [{"discriminant.form": "ratio"}, {"input.non_finite": "default"}]
)
def test_what_the_model_decides_is_not_asked_of_a_tagger(model, asked):
    with pytest.raises(gn2.InvalidArgument, match="takes it from the model"):
        gn2.Tagger(model, asked)
    key = next(iter(asked))
    gn2.Tagger(model, {key: model.config[key]})  # what it is anyway
    gn2.Tagger(gn2.Model({**model.config, **asked}), asked)


@pytest.mark.parametrize(
    "key, value",
    [
        ("model.classes", ["bjets", "cjets", "ujets"]),
        ("norm.jets.mean", [1.0, 2.0]),
        ("task.foo.weight", 2.0),
        ("train.epochs", 7),
    ],
)
def test_what_has_no_effect_on_a_tagger_is_refused(model, key, value):
    with pytest.raises(gn2.InvalidArgument, match=key):
        gn2.Tagger(model, {key: value})
    if key != "train.epochs":  # which may be of a program's own config
        with pytest.raises(gn2.InvalidArgument, match=key):
            gn2.Tagger(model, gn2.Config({key: value}))
    for whole in (model.config, dict(model.config.items()), gn2.Config()):
        gn2.Tagger(model, whole)
    mixed = gn2.Model({**model.config, "discriminant.D_b.fractions": ["cjets:0.1"]})
    with pytest.raises(gn2.InvalidArgument, match="D_b.f_c .*D_b.fractions is set"):
        gn2.Tagger(mixed, {"discriminant.D_b.f_c": 0.3})
    three = gn2.Model({**model.config, "model.classes": ["bjets", "cjets", "ujets"]})
    with pytest.raises(gn2.InvalidArgument, match="the model has no taujets"):
        gn2.Tagger(three, {"discriminant.D_b.f_tau": 0.3})
