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
    assert table.dtype.names == ("GN2_pb", "GN2_pc", "GN2_pu", "GN2_ptau", "GN2_Db")
    assert (np.asarray(scores) == scores.probabilities).all()
    assert len(scores) == 6 and "6 jets" in repr(scores)
    with pytest.raises(KeyError, match="bjets"):
        scores["strange"]
    with pytest.raises(AttributeError, match="outputs="):
        scores.origin
