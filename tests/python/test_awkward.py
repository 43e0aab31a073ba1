# SPDX-License-Identifier: Apache-2.0
"""Awkward arrays: jets with their constituents, grouped by event or not, give the bits
of plain arrays; what is missing, does not fit or is not computed is refused."""

import numpy as np
import pytest

import gn2


def awkward_of(sample):
    ak = pytest.importorskip("awkward")
    jets = ak.zip({n: sample.jets[:, i] for i, n in enumerate(sample.jet_names)})
    columns = {n: sample.tracks[:, i] for i, n in enumerate(sample.track_names)}
    return ak, jets, ak.unflatten(ak.zip(columns), sample.counts)


EVENTS = [2, 0, 4]


def nestings(ak, jets, tracks):
    """Forms of jets by event, with their tracks."""
    inside = ak.with_field(jets, tracks, "tracks")
    yield ak.unflatten(jets, EVENTS), ak.unflatten(tracks, EVENTS)
    yield ak.unflatten(jets, EVENTS), {"tracks": ak.unflatten(tracks, EVENTS)}
    yield ak.unflatten(inside, EVENTS), None
    lists = {n: ak.unflatten(inside[n], EVENTS) for n in inside.fields}
    yield ak.Array(lists), None
    inner = lists.pop("tracks")
    yield ak.Array(lists), ak.Array({n: inner[n] for n in inner.fields})
    inside["tracks"] = ak.zip({n: tracks[n] for n in tracks.fields}, depth_limit=1)
    yield ak.unflatten(inside, EVENTS), None


def test_jets_by_event_give_scores_by_event(tagger, sample):
    ak, jets, tracks = awkward_of(sample)
    asked = ["D_b", "origin", "pairs", "embedding"]
    flat = tagger.tag(jets, tracks, outputs=asked)
    rows = {"D_b": None, "embedding": None, "origin": sample.counts}
    rows["pairs"] = sample.counts * (sample.counts - 1)
    for form, (nested, inner) in enumerate(nestings(ak, jets, tracks)):
        scores = tagger.tag(nested, inner, outputs=asked)
        assert len(scores) == 3 and "3 events" in repr(scores)
        for name in asked:
            got = scores[name]
            assert ak.num(got).tolist() == EVENTS, (form, name)
            if rows[name] is not None:
                got = ak.flatten(got)
                assert ak.num(got).tolist() == rows[name].tolist(), (form, name)
            assert (ak.flatten(got).to_numpy() == flat[name]).all(), (form, name)
        for got, wanted in [
            (scores["b"], flat["b"]),
            (scores.D_b, flat.D_b),
            (scores.probabilities, flat.probabilities),
            (scores.discriminant("c"), flat.discriminant("c")),
        ]:
            assert ak.num(got).tolist() == EVENTS
            assert (ak.flatten(got).to_numpy() == wanted).all()
        assert scores.structured().fields == list(flat.structured().dtype.names)
        assert (np.asarray(scores) == flat.probabilities).all()


def test_events_without_jets(tagger, sample):
    ak, jets, tracks = awkward_of(sample)
    for events in (np.zeros(n, int) for n in (0, 2)):
        nested = ak.unflatten(jets[:0], events), ak.unflatten(tracks[:0], events)
        scores = tagger.tag(*nested, outputs="origin")
        assert scores["b"].tolist() == scores["origin"].tolist() == [[]] * len(events)
    alone = tagger.tag(ak.unflatten(jets, EVENTS))  # jets that have no tracks
    assert (ak.flatten(alone["b"]).to_numpy() == tagger.tag(jets)["b"]).all()


def test_tracks_inside_flat_jets_are_theirs(tagger, sample, plain):
    ak, jets, tracks = awkward_of(sample)
    scores = tagger.tag(ak.with_field(jets, tracks, "tracks"))
    assert (scores.probabilities == plain).all()
    counts = ak.with_field(jets, sample.counts, "tracks")  # a number, no tracks
    assert (tagger.tag(counts, tracks).probabilities == plain).all()
    assert (tagger.tag(counts)["b"] == tagger.tag(jets)["b"]).all()


def test_arrays_of_packages_on_awkward(tagger, sample, plain):
    ak, jets, tracks = awkward_of(sample)
    kind = type("Momentum4D", (ak.Array,), {"__module__": "vector.backends"})
    got = tagger.tag(kind(jets), kind(tracks)).probabilities
    assert (got == plain).all()


def test_events_that_do_not_fit_are_refused(tagger, sample):
    ak, jets, tracks = awkward_of(sample)
    nested, inner = ak.unflatten(jets, EVENTS), ak.unflatten(tracks, EVENTS)
    for form, words in [
        (ak.unflatten(tracks, [2, 1, 3]), "tracks: 1 jets in event 1, which has 0"),
        (ak.unflatten(tracks, [2, 4]), "tracks: 2 events, jets have 3"),
        (tracks, "2 axes.*must have 3"),
        (sample.ragged, "tracks: a tuple.*events × jets × constituents"),
        (ak.mask(inner, [True, False, True]), r"tracks.*\[1\] is masked"),
    ]:
        with pytest.raises(gn2.Error, match=words):
            tagger.tag(nested, form)
    with pytest.raises(gn2.NotFound, match="flows"):
        tagger.tag(nested, {"flows": inner})
    with pytest.raises(gn2.InvalidArgument, match="valid"):
        tagger.tag(nested, inner, valid=np.ones((6, 12)))
    with pytest.raises(gn2.ShapeError, match="grouped by event.*flatten"):
        tagger.tag(jets, inner)
    with pytest.raises(gn2.ShapeError, match="2 axes too many"):
        tagger.tag(ak.unflatten(nested, [3]), inner)
    with pytest.raises(gn2.Error, match="awkward array of records"):
        tagger.tag({n: nested[n] for n in sample.jet_names}, inner)
    with pytest.raises(gn2.CopyRefused):
        gn2.Tagger(tagger.model, strict=True).tag(nested, inner)


def test_none_among_jets_by_event_is_refused_with_a_way(tagger, sample, plain):
    ak, jets, tracks = awkward_of(sample)
    keep = np.arange(6) != 3
    inner = ak.unflatten(tracks, EVENTS)
    pt = ak.with_field(jets, ak.mask(jets.pt_btagJes, keep), "pt_btagJes")
    holed = [ak.unflatten(ak.mask(jets, keep), EVENTS), ak.unflatten(pt, EVENTS)]
    for given in holed:
        with pytest.raises(gn2.InvalidArgument, match="pt_btagJes of jet 1 of event 2"):
            tagger.tag(given, inner)
        there = ~ak.is_none(given.pt_btagJes, axis=1)  # as the message says
        b = tagger.tag(given[there], inner[there])["b"]
        assert (ak.flatten(b).to_numpy() == plain[keep, 0]).all()
    with pytest.raises(gn2.InvalidArgument, match=r"jets by event.*\[2\] is masked"):
        tagger.tag(ak.mask(ak.unflatten(jets, EVENTS), [True, True, False]), inner)


class Plan:
    """What dask_awkward has before it is computed."""

    fields = ("pt",)

    def __dask_graph__(self):
        raise RuntimeError("nothing is to be computed")

    def __array__(self, *_arguments, **_options):
        raise NotImplementedError


def test_plans_of_arrays_are_refused(tagger, sample):
    for given in [
        (Plan(), sample.ragged),
        (sample.jets, Plan()),
        (sample.jets, (Plan(), sample.offsets)),
        ({"pt": Plan(), "eta": sample.jets[:, 1]}, sample.ragged),
    ]:
        with pytest.raises(gn2.InvalidArgument, match="Plan is not computed yet"):
            tagger.tag(*given)


def test_missing_values_of_awkward_arrays_are_refused(tagger, sample):
    ak, jets, tracks = awkward_of(sample)
    hole = ak.mask(jets, np.arange(6) != 3)
    with pytest.raises(gn2.InvalidArgument, match=r"\[3\] is masked"):
        tagger.tag(hole, tracks)
    with pytest.raises(gn2.InvalidArgument, match=r"number of rows.*\[3\]"):
        tagger.tag(jets, ak.mask(tracks, np.arange(6) != 3))
    with pytest.raises(gn2.InvalidArgument, match="masked"):
        tagger.tag(jets, ak.mask(tracks, tracks.d0 != tracks.d0[2, 1]))
    with pytest.raises(gn2.InvalidArgument, match="valid"):
        tagger.tag(jets, tracks, valid=np.ones((6, 12)))
