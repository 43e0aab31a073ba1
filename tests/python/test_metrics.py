# SPDX-License-Identifier: Apache-2.0
"""Figures of merit against loops over jets and pairs."""

import math

import numpy as np
import pytest

import gn2
from gn2 import errors, metrics
from gn2.metrics import clusters, sample

RNG = np.random.default_rng(5)
# Values with ties: cuts and areas must count equal scores right.
SIGNAL = np.round(RNG.normal(1, 1, 400), 2)
OTHER = np.round(RNG.normal(0, 1, 700), 2)


def test_cut_is_the_element_the_library_takes():
    for n in (1, 2, 7, 10, 400):
        ordered = sorted(SIGNAL[:n])
        for e in (0.5, 0.65, 0.7, 0.77, 0.85, 0.9, 1.0):
            assert metrics.cut_at(SIGNAL[:n], e) == ordered[math.floor((1 - e) * n)]


def test_cut_keeps_at_least_the_share_asked_for():
    for e in (0.65, 0.7, 0.77, 0.85):
        assert np.mean(SIGNAL >= metrics.cut_at(SIGNAL, e)) >= e


def test_cut_without_signal_is_nan_and_bad_arguments_are_refused():
    assert np.isnan(metrics.cut_at([], 0.7))
    for bad in (0, -0.1, 1.1):
        with pytest.raises(errors.InvalidArgument):
            metrics.cut_at(SIGNAL, bad)
    with pytest.raises(errors.InvalidArgument, match="NaN"):
        metrics.cut_at([1, np.nan], 0.5)
    with pytest.raises(errors.ShapeError):
        metrics.cut_at([[1.0]], 0.5)


P = np.full((4, 4), 0.25)
LOST = {
    "AUC": lambda x: metrics.auc(x[:, 0], [0.5]),
    "AUC of a background": lambda x: metrics.auc([0.5], x[:, 0]),
    "a cut": lambda x: metrics.cut_at(x[:, 0], 0.7),
    "rejections": lambda x: metrics.rejections(x[:, 0], [0, 1, 0, 1], 0),
    "cross entropy": lambda x: metrics.cross_entropy(x, [0, 1, 2, 3]),
    "a calibration": lambda x: metrics.calibration(x[:, 0], [0, 1, 0, 1]),
    "a sample": lambda x: sample.from_arrays(x, [0, 1, 2, 3]),
    "a discriminant": lambda x: gn2.discriminant(x, 0, [0, 0.2, 0.8, 0]),
}


@pytest.mark.parametrize("what", LOST)
def test_no_figure_is_made_of_what_is_not_known(what):
    LOST[what](P)
    with pytest.raises(errors.Error, match="(?i)NaN"):
        LOST[what](np.where(np.arange(16).reshape(4, 4) == 8, np.nan, P))
    with pytest.raises(errors.InvalidArgument, match="masked"):
        LOST[what](np.ma.MaskedArray(P, mask=np.arange(16).reshape(4, 4) == 8))


def test_classes_are_whole_numbers_or_none():
    hidden = np.ma.MaskedArray([0, 1, 2], mask=[0, 1, 0])
    assert (metrics.confusion(hidden, [0, 1, 2], 3) == np.diag([1, 0, 1])).all()
    assert (metrics.confusion([0.0, 2.0], [0, 1], 3).sum(1) == [1, 0, 1]).all()
    for bad in ([0, np.nan, 1], [0, 0.5, 1]):
        with pytest.raises(errors.InvalidArgument, match="whole numbers"):
            metrics.confusion(bad, [0, 1, 2], 3)
    with pytest.raises(errors.InvalidArgument, match="no prediction"):
        metrics.confusion([0, 1, 2], [0, -1, 2], 3)
    with pytest.raises(errors.ShapeError):
        metrics.confusion([0, 1, 2], [0], 3)


def test_rejection_and_error_by_counting():
    grid = np.linspace(0.3, 1, 29)
    curve = metrics.roc(SIGNAL, OTHER, grid)
    for i, e in enumerate(grid):
        cut = sorted(SIGNAL)[math.floor((1 - e) * len(SIGNAL))]
        passed = sum(1 for x in OTHER if x >= cut)
        share = passed / len(OTHER)
        assert curve.cut[i] == cut
        assert curve.rejection[i] == pytest.approx(1 / share, rel=1e-14)
        spread = math.sqrt(share * (1 - share) / len(OTHER))
        assert curve.error[i] == pytest.approx(
            spread / share**2, rel=1e-12, abs=1e-12
        )


def test_rejection_of_what_never_passes_is_infinite():
    curve = metrics.roc([5.0, 6.0], [0.0, 1.0], [0.5, 1.0])
    assert np.isinf(curve.rejection).all() and np.isinf(curve.error).all()
    assert np.isnan(metrics.roc([5.0], [], [0.5]).rejection).all()


def test_rejections_look_at_every_other_flavour():
    d = np.concatenate([SIGNAL, OTHER])
    flavour = np.concatenate([np.zeros(400), np.arange(700) % 3]).astype(int)
    flavour[-5:] = -1
    found = metrics.rejections(d, flavour, 0, [0.77])
    assert sorted(found) == [1, 2]
    cut = metrics.cut_at(d[flavour == 0], 0.77)
    for k, curve in found.items():
        share = np.mean(d[flavour == k] >= cut)
        assert curve.rejection[0] == pytest.approx(1 / share, rel=1e-14)


def test_area_counts_pairs_and_half_of_ties():
    wins = sum((a > b) + 0.5 * (a == b) for a in SIGNAL for b in OTHER)
    area = metrics.auc(SIGNAL, OTHER)
    assert area.value == wins / len(SIGNAL) / len(OTHER)
    a, n, m = area.value, len(SIGNAL), len(OTHER)
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    spread = a * (1 - a) + (n - 1) * (q1 - a * a) + (m - 1) * (q2 - a * a)
    assert area.error == pytest.approx(math.sqrt(spread / n / m), rel=1e-12)
    assert np.isnan(metrics.auc([], OTHER).value)


def test_area_is_that_under_the_points():
    false, true = metrics.roc_points(SIGNAL, OTHER)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    trapezes = np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2)
    assert trapezes == pytest.approx(metrics.auc(SIGNAL, OTHER).value, rel=1e-12)


def test_shares_in_bins():
    x, passed = RNG.uniform(0, 10, 500), RNG.random(500) < 0.4
    x[0] = 10.0  # the upper edge belongs to the last bin
    edges = [0, 1, 2.5, 7, 10, 20]
    found = metrics.binned(passed, x, edges)
    for i, (low, high) in enumerate(zip(edges, edges[1:])):
        inside = (x >= low) & (x < high)
        if high == 20:
            inside |= x == high
        assert found.count[i] == inside.sum()
        if inside.any():
            share = passed[inside].mean()
            assert found.value[i] == pytest.approx(share, rel=1e-14)
            spread = math.sqrt(share * (1 - share) / inside.sum())
            assert found.error[i] == pytest.approx(spread, rel=1e-12)
    assert np.isnan(metrics.binned([True], [50], [0, 1]).value[0])
    with pytest.raises(errors.ShapeError):
        metrics.binned([True], [1, 2], [0, 1])


def test_confusion_counts_and_leaves_out_unknown_truth():
    truth, found = RNG.integers(-1, 4, 300), RNG.integers(0, 4, 300)
    counts = metrics.confusion(truth, found, 4)
    for t in range(4):
        for f in range(4):
            assert counts[t, f] == np.sum((truth == t) & (found == f))
    known = truth >= 0
    right = np.mean(truth[known] == found[known])
    assert metrics.accuracy(counts).value == pytest.approx(right, rel=1e-14)
    each = [np.mean(found[truth == t] == t) for t in range(4)]
    assert metrics.balanced_accuracy(counts) == pytest.approx(np.mean(each), rel=1e-14)
    with pytest.raises(errors.InvalidArgument):
        metrics.confusion([4], [0], 4)


def test_cross_entropy_with_and_without_weights():
    p = RNG.dirichlet([1, 1, 1], 50)
    truth = RNG.integers(-1, 3, 50)
    rows = [(-math.log(p[i, t]), [1, 2, 5][t]) for i, t in enumerate(truth) if t >= 0]
    plain = sum(loss for loss, _ in rows) / len(rows)
    heavy = sum(loss * w for loss, w in rows) / sum(w for _, w in rows)
    assert metrics.cross_entropy(p, truth).value == pytest.approx(plain, rel=1e-12)
    weighted = metrics.cross_entropy(p, truth, [1, 2, 5])
    assert weighted.value == pytest.approx(heavy, rel=1e-12)
    assert np.isnan(metrics.cross_entropy(p, np.full(50, -1)).value)


def test_calibration_of_a_true_probability_is_on_the_diagonal():
    p = RNG.random(200_000)
    found = metrics.calibration(p, RNG.random(200_000) < p)
    # five standard deviations in each of ten bins
    assert (np.abs(found.observed - found.predicted) < 5 * found.error).all()
    assert found.count.sum() == 200_000
    tilted = metrics.calibration(p, RNG.random(200_000) < p**2)
    assert tilted.ece == pytest.approx(1 / 6, abs=0.01)  # ∫ p − p² dp


def test_calibration_weighs_jets():
    p, hit = np.full(4, 0.55), np.array([True, False, False, False])
    found = metrics.calibration(p, hit, 10, [3.0, 1, 1, 1])
    assert found.observed[5] == pytest.approx(0.5)
    assert found.error[5] == pytest.approx(math.sqrt(0.25 * 12) / 6)


def test_pairs_against_loops():
    counts = RNG.integers(0, 9, 60)
    total = counts.sum()
    truth, found = RNG.integers(-2, 3, total), RNG.integers(0, 3, total)
    among = RNG.random(total) < 0.7
    for use in (None, among):
        pairs = metrics.pair_counts(counts, truth, found, use)
        first = 0
        for jet, n in enumerate(counts):
            true = both = hits = 0
            for i in range(first, first + n):
                for j in range(i + 1, first + n):
                    if use is not None and not (use[i] and use[j]):
                        continue
                    same = truth[i] == truth[j] and truth[i] >= 0
                    true += same
                    hits += found[i] == found[j]
                    both += same and found[i] == found[j]
            first += n
            assert (pairs.true[jet], pairs.found[jet], pairs.both[jet]) == (
                true,
                hits,
                both,
            )
    whole = metrics.vertexing(metrics.pair_counts(counts, truth, found))
    assert 0 < whole["efficiency"].value < 1 and 0 < whole["purity"].value < 1
    with pytest.raises(errors.ShapeError):
        metrics.pair_counts(counts, truth[1:], found[1:])


def test_pairs_in_pieces_are_the_same(monkeypatch):
    counts = np.full(50, 6)
    truth, found = RNG.integers(-1, 3, 300), RNG.integers(0, 3, 300)
    whole = metrics.pair_counts(counts, truth, found)
    monkeypatch.setattr(metrics.figures, "_PAIRS", 40)
    pieces = metrics.pair_counts(counts, truth, found)
    for a, b in zip(whole, pieces):
        assert np.array_equal(a, b)


# ---- several of a jet ----


def test_pairs_that_are_all_alike_in_a_jet_have_the_error_of_jets():
    """All 10 pairs of a jet are found or none: 400 draws, not 4000."""
    jets, each, share = 400, 10, 0.3
    found = (np.arange(jets) < share * jets) * each
    pairs = metrics.PairCounts(np.full(jets, each), np.full(jets, each), found)
    of = metrics.vertexing(pairs)["efficiency"]
    wanted = math.sqrt(share * (1 - share) / jets)
    assert of.value == pytest.approx(share)
    # a spread of 200 replicas is known to 5 %, here to four of those
    assert of.error == pytest.approx(wanted, rel=0.2)
    assert of.error > 2.5 * math.sqrt(share * (1 - share) / jets / each)
    assert metrics.vertexing(pairs)["efficiency"] == of  # from a fixed seed
    halves = metrics.ratio_binned(found, pairs.true, np.arange(jets), [0, 200, 400])
    assert halves.value == pytest.approx([0.6, 0])
    assert halves.error[0] == pytest.approx(math.sqrt(0.24 / 200), rel=0.2)
    assert list(halves.count) == [200, 200]


def test_tracks_that_are_all_alike_in_a_jet_have_the_error_of_jets():
    jets, each = 300, 8
    right = RNG.random(jets) < 0.6
    truth = np.where(RNG.random(jets * each) < 0.1, -1, 1)
    of = clusters.accuracy(truth, np.repeat(right, each), np.full(jets, each))
    share = right.mean()
    assert of.error == pytest.approx(math.sqrt(share * (1 - share) / jets), rel=0.2)
    one = clusters.accuracy([1, 1], [1, 0], [2])
    assert one.value == 0.5 and math.isnan(one.error)


def test_an_area_of_repeated_scores_has_the_error_of_the_jets():
    n, m, each = 150, 200, 6
    pos, neg = RNG.normal(1, 1, n), RNG.normal(0, 1, m)
    alone = clusters.auc(pos, neg, (np.arange(n), np.arange(n, n + m)))
    jets = np.repeat(np.arange(n), each), np.repeat(np.arange(n, n + m), each)
    of = clusters.auc(np.repeat(pos, each), np.repeat(neg, each), jets)
    assert of.value == pytest.approx(metrics.auc(pos, neg).value)
    assert of.error == pytest.approx(alone.error)
    assert of.error == pytest.approx(metrics.auc(pos, neg).error, rel=0.1)


def test_a_resolution_of_repeated_rows_has_the_error_of_the_jets():
    jets, each = 500, 5
    ratio = RNG.normal(1, 0.2, jets)
    rows, x = np.repeat(ratio, each), np.zeros(jets * each)
    of = clusters.resolution(rows, x, [-1, 1], np.full(jets, each))
    normal = metrics.resolution(ratio, np.zeros(jets), [-1, 1])
    assert of.bias_error[0] == pytest.approx(normal.bias_error[0], rel=0.35)
    assert of.width_error[0] == pytest.approx(normal.width_error[0], rel=0.5)
    assert of.bias[0] == pytest.approx(normal.bias[0], abs=0.01)
