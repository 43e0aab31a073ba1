# SPDX-License-Identifier: Apache-2.0
"""Several models on the same jets: means, spread, discriminants and files of them."""

import hashlib
import shutil

import numpy as np
import pytest
from conftest import SMALL, Sample

import gn2
from gn2.cli import main

ORDER = ["taujets", "ujets", "bjets", "cjets"]
#: a model of other classes' order, inputs and name
OTHER = {
    **SMALL,
    "model.seed": 7,
    "model.name": "Second",
    "model.classes": ORDER,
    "inputs.tracks": ["dphi", "d0"],
}


@pytest.fixture(scope="module")
def models():
    return [gn2.Model(SMALL), gn2.Model(OTHER), gn2.Model({**SMALL, "model.seed": 9})]


def jets_of(models):
    sample = Sample(models[0].inputs, [3, 0, 5, 1])
    names = models[0].inputs["jets"]
    jets = np.zeros(4, [(name, "f4") for name in names])
    for i, name in enumerate(names):
        jets[name] = sample.jets[:, i]
    return jets, (sample.records(), sample.offsets)


def test_the_mean_is_by_class_name_and_discriminants_are_its_own(models):
    given = jets_of(models)
    found = gn2.Ensemble(models).tag(*given)
    single = [gn2.Tagger(model).tag(*given) for model in models]
    for k, name in enumerate(models[0].classes):
        p = np.stack([scores[name] for scores in single]).astype(np.float64)
        assert (found[name] == p.mean(0).astype("f4")).all()
        assert (found.spread[:, k] == p.std(0, ddof=1).astype("f4")).all()
    weights = [0.0, 0.2, 0.79, 0.01]
    want = gn2.discriminant(found.probabilities, 0, weights)
    assert np.allclose(found.discriminant("b"), want, atol=1e-6)
    assert (
        found.select([True, False, True, True]).spread == found.spread[[0, 2, 3]]
    ).all()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"model.classes": ["bjets", "cjets", "ujets"]}, "classes bjets, cjets, ujets"),
        ({"discriminant.D_b.f_c": 0.3}, "D_b = "),
        ({"model.tasks": ["track_origin"]}, "does not classify"),
    ],
)
def test_models_that_do_not_fit_together_are_refused(models, options, words):
    with pytest.raises(gn2.InvalidArgument, match="model 1 .*" + words):
        gn2.Ensemble([models[0], gn2.Model({**SMALL, **options})])


def test_what_would_have_no_effect_is_refused(models):
    with pytest.raises(gn2.InvalidArgument, match="2 models or more"):
        gn2.Ensemble(models[:1])
    with pytest.raises(gn2.InvalidArgument, match="list of models"):
        gn2.Ensemble(models[0])
    taggers = [gn2.Tagger(model) for model in models]
    with pytest.raises(gn2.InvalidArgument, match="no effect on a Tagger"):
        gn2.Ensemble(taggers, threads=2)
    assert len(gn2.Ensemble(taggers)) == 3


@pytest.fixture
def files(tmp_path, models):
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(3)
    jets = np.zeros(50, [(name, "f4") for name in models[0].inputs["jets"]])
    names = [(name, "f4") for name in models[0].inputs["tracks"]]
    tracks = np.zeros((50, 4), [*names, ("valid", "?")])
    for array in (jets, tracks):
        for name in array.dtype.names:
            array[name] = rng.normal(size=array.shape)
    tracks["valid"] = rng.random((50, 4)) < 0.6
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["jets"], file["tracks"] = jets, tracks
    for i, model in enumerate(models):
        model.save(tmp_path / f"{i}.gn2")
    return h5py, tmp_path, jets, tracks


def test_the_command_writes_means_spread_and_the_models(files, models):
    h5py, folder, jets, tracks = files
    paths = [str(folder / f"{i}.gn2") for i in range(3)]
    words = ["tag", paths[0], "--model", paths[1], "--model", paths[2]]
    out = str(folder / "out.h5")
    words += [str(folder / "in.h5"), "-q", "-o", out, "data.batch_size=13"]
    assert main(words) == 0
    want = gn2.Ensemble(models).tag(jets, tracks)
    with h5py.File(out) as file:
        got, listed = file["jets"][:], list(file.attrs["ensemble"])
        fields = list(file["jets"].attrs["jets.probabilities_spread"])
    for k, short in enumerate(("b", "c", "u", "tau")):
        assert (got[f"GN2_p{short}"] == want.probabilities[:, k]).all()
        assert fields[k] == f"GN2_p{short}_spread"
        assert (got[fields[k]] == want.spread[:, k]).all()
    assert (got["GN2_Dc"] == want.discriminant("c")).all()
    for line, path, name in zip(listed, paths, ("GN2", "Second", "GN2")):
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        assert line == f"{name} sha256:{digest}"


def test_a_model_is_in_an_ensemble_once(files, capsys):
    """Twice the same has no spread, and a weight of two in a mean."""
    _, folder, *_ = files
    shutil.copy(folder / "1.gn2", folder / "copy.gn2")
    for others in (["0.gn2"], ["1.gn2", "copy.gn2"]):
        words = ["tag", str(folder / "0.gn2"), str(folder / "in.h5"), "-q"]
        words += ["-o", str(folder / "x.h5")]
        words += [w for name in others for w in ("--model", str(folder / name))]
        assert main(words) == 1
        assert "of the ensemble are the same model" in capsys.readouterr().err
        assert not (folder / "x.h5").exists()


def test_outputs_of_one_model_are_not_an_ensembles(files, capsys):
    _, folder, *_ = files
    words = ["tag", str(folder / "0.gn2"), str(folder / "in.h5"), "-q"]
    words += ["-o", str(folder / "x.h5"), "--model", str(folder / "1.gn2")]
    for more in (["-t"], ["--outputs", "jets.embedding"]):
        assert main([*words, *more]) == 1
        assert "without --model" in capsys.readouterr().err


def test_a_writer_of_one_model_takes_no_scores_of_several(files, models):
    _, folder, jets, tracks = files
    scores = gn2.Ensemble(models).tag(jets, tracks)
    with gn2.ScoreWriter(folder / "x.h5", folder / "in.h5", models[0]) as writer:
        with pytest.raises(gn2.InvalidArgument, match="with the gn2.Ensemble"):
            writer.add(scores)
        with pytest.raises(gn2.ShapeError, match="count = 3, the scores are of 50"):
            writer.add(scores, 3)


# ---- further outputs ----


def test_outputs_are_written_by_name(files, models):
    h5py, folder, jets, tracks = files
    out = str(folder / "o.h5")
    words = ["tag", str(folder / "0.gn2"), str(folder / "in.h5"), "-q", "-o", out]
    asked = ["jets.embedding", "jets.D_c_gradient", "tracks.origin", "tracks.attention"]
    assert main([*words, "--outputs", ",".join(asked)]) == 0
    want = gn2.Tagger(models[0]).tag(jets, tracks, outputs=asked)
    with h5py.File(out) as file:
        for name in asked:
            dataset = file[name.partition(".")[0]]
            fields = dataset.attrs[name]
            got = np.stack([dataset[field] for field in fields], -1)
            assert (got == want[name].reshape(got.shape)).all(), name
        assert "GN2_Dc_gradient_pt_btagJes" in file["jets"].dtype.names
        assert "VertexIndex" not in file["tracks"].dtype.names


@pytest.mark.parametrize(
    "more, said",
    [
        (["--outputs", "jets.charm"], "jets.D_b_gradient"),
        (["--outputs", "pairs"], "ordered pair of a jet's constituents"),
        (["--outputs", ","], "names none"),
        (["--outputs", "logits", "scores.outputs=logits"], "give one"),
        (["-t", "scores.write_tracks=no"], "contradict"),
        (["scores.track_fields=d0"], "scores.write_tracks"),
        (["scores.models=a,b"], "--model"),
        (["-j", "2", "tagger.threads=1"], "give one"),
    ],
)
def test_what_is_not_written_is_refused(files, capsys, more, said):
    _, folder, *_ = files
    words = ["tag", str(folder / "0.gn2"), str(folder / "in.h5"), "-q"]
    assert main([*words, "-o", str(folder / "o.h5"), *more]) == 1
    assert said in capsys.readouterr().err
    assert not (folder / "o.h5").exists()


def test_the_list_of_outputs(files, capsys, models):
    _, folder, *_ = files
    model = str(folder / "0.gn2")
    assert main(["tag", model, str(folder / "in.h5"), "--outputs", "list"]) == 0
    said = capsys.readouterr().out
    assert main(["inspect", model]) == 0
    shown = capsys.readouterr().out
    for name in gn2.Tagger(models[0]).outputs:
        assert f"{name} " in said and f"output {name}:" in shown


def test_tracks_are_written_whichever_way_they_are_asked_for(files):
    h5py, folder, *_ = files
    out = [str(folder / name) for name in ("a.h5", "b.h5")]
    words = ["tag", str(folder / "0.gn2"), str(folder / "in.h5"), "-q", "-o"]
    assert main([*words, out[0], "-t"]) == 0
    assert main([*words, out[1], "scores.write_tracks=yes"]) == 0
    with h5py.File(out[0]) as a, h5py.File(out[1]) as b:
        assert (a["tracks"][:] == b["tracks"][:]).all()


def test_a_model_of_python_is_there_once(models):
    tagger = gn2.Tagger(models[0])
    twins = ([models[0]] * 2, [models[1], gn2.Model(SMALL), gn2.Model(SMALL)])
    for given in (*twins, [tagger, tagger]):
        with pytest.raises(gn2.InvalidArgument, match="of the ensemble are the same"):
            gn2.Ensemble(given)
    assert len(gn2.Ensemble([tagger, gn2.Tagger(models[0])])) == 2  # by other options


def test_columns_without_names_are_not_taken_in_another_order(models):
    """Each model would read them as its own: numbers, and all of them wrong."""
    names = models[0].inputs
    for name in names:
        other = {**SMALL, "model.seed": 3, f"inputs.{name}": list(names[name])[::-1]}
        ensemble = gn2.Ensemble([models[0], gn2.Model(other)])
        sample = Sample(names, [3, 0, 5, 1])
        with pytest.raises(gn2.InvalidArgument, match="give them by name"):
            ensemble.tag(sample.jets, sample.ragged)
        with pytest.raises(gn2.InvalidArgument, match="give them by name"):
            ensemble.tag(sample.jets, sample.split())
        given = jets_of(models)
        single = [t.tag(*given).probabilities for t in ensemble.taggers]
        want = np.stack(single).astype("f8").mean(0).astype("f4")
        assert (ensemble.tag(*given).probabilities == want).all()


def test_jets_by_event(models):
    """Four jets an event and four classes: an axis was taken for another."""
    awkward = pytest.importorskip("awkward")
    sample = Sample(models[0].inputs, [3, 0, 5, 1, 2, 2, 0, 4])
    rows = {
        n: awkward.unflatten(c, sample.counts)
        for n, c in zip(sample.track_names, sample.tracks.T)
    }
    columns = dict(zip(sample.jet_names, sample.jets.T))
    jets = awkward.zip({**columns, "tracks": awkward.zip(rows)}, depth_limit=1)
    ensemble = gn2.Ensemble(models)
    want = ensemble.tag(jets)
    for counts in ([4, 4], [1, 0, 7]):
        found = ensemble.tag(awkward.unflatten(jets, counts))
        assert type(found) is gn2.EventScores
        assert (found.flat.probabilities == want.probabilities).all()
        assert (found.flat.spread == want.spread).all()
        assert awkward.to_list(awkward.num(found["b"])) == counts


def test_the_mean_is_of_one_scores_a_model(models):
    given = jets_of(models)
    single = [gn2.Tagger(model).tag(*given) for model in models]
    ensemble = gn2.Ensemble(models)
    with pytest.raises(gn2.InvalidArgument, match="1 scores, the ensemble has 3"):
        ensemble.mean(single[:1])
    with pytest.raises(gn2.ShapeError, match="of .4, 2, 4. jets"):
        ensemble.mean(
            [single[0], single[1].select([1, 0, 1, 0] == np.ones(4)), single[2]]
        )
    with pytest.raises(gn2.InvalidArgument, match="scores 0 are not of model 0"):
        ensemble.mean([single[1], single[0], single[2]])


def test_what_one_tagger_refuses_the_ensemble_does(models):
    jets, (tracks, offsets) = jets_of(models)
    bad = tracks.copy()
    bad[bad.dtype.names[0]][2] = np.nan
    with pytest.raises(gn2.NumericError, match="is nan"):
        gn2.Ensemble(models).tag(jets, (bad, offsets))
    taggers = [gn2.Tagger(model) for model in models]
    ensemble = gn2.Ensemble(taggers)
    taggers[1].close()
    with pytest.raises(gn2.StateError, match="closed"):
        ensemble.tag(jets, (tracks, offsets))
