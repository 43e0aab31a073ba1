# SPDX-License-Identifier: Apache-2.0
"""Pictures and report of models with other classes and tasks: what they show is what
NumPy says of the outputs of the tagger."""

import numpy as np
import pytest
import task_models as models

import gn2
from gn2 import metrics

pytest.importorskip("matplotlib", reason="python3-matplotlib is not installed")
h5py = pytest.importorskip("h5py", reason="python3-h5py is not installed")

from gn2 import plots, report  # noqa: E402
from gn2.report import page  # noqa: E402

JETS, SLOTS = 600, 6


def table(rng, shape, columns, whole):
    rows = np.zeros(shape, [(n, "f4") for n in columns] + [(n, "i4") for n in whole])
    for name in columns:
        rows[name] = rng.normal(size=shape)
    for name, count in whole.items():
        rows[name] = rng.integers(-1 if count > 2 else 0, count, shape)
    return rows


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Jets with the truth of all tasks."""
    rng, path = np.random.default_rng(2), tmp_path_factory.mktemp("data") / "jets.h5"
    inputs = gn2.Model({**models.SMALL, **models.TWO_TYPES}).inputs
    jets = table(rng, JETS, [*inputs["jets"], "mass", "width", "pt_truth"], {})
    jets["pt_btagJes"] = rng.uniform(20e3, 500e3, JETS)
    jets["pt_truth"] = jets["pt_btagJes"] * rng.uniform(0.5, 1.5, JETS)
    jets["mass"][::7] = np.nan
    whole = {"ftagTruthOriginLabel": 8, "ftagTruthVertexIndex": 3, "type": 4}
    tracks = table(
        rng,
        (JETS, SLOTS),
        [*inputs["tracks"], "d0_truth", "z0_truth"],
        {**whole, "valid": 2},
    )
    flows = table(
        rng,
        (JETS, SLOTS),
        [*models.FLOWS, "e_truth", "share"],
        {"flow_type_label": 3, "valid": 2},
    )
    flavour = rng.integers(0, 4, JETS).astype("i4")
    full = np.zeros(JETS, [*jets.dtype.descr, ("flavour_label", "i4")])
    for name in jets.dtype.names:
        full[name] = jets[name]
    full["flavour_label"] = flavour
    with h5py.File(path, "w") as file:
        file["jets"], file["tracks"], file["flows"] = full, tracks, flows
    return path


def tagged(data, options, **more):
    norm = {"norm.jets.mean": [250e3, 0.0], "norm.jets.std": [150e3, 1.0]}
    model = models.random_model({**options, **more, **norm})
    return model, plots.from_model(model, data, name="new")


def outputs_of(model, data, name):
    with h5py.File(data) as file, gn2.Tagger(model) as tagger:
        tables = {k: file[k][:] for k in ("jets", "tracks", "flows")}
        jets = tables.pop("jets")
        return tagger.tag(jets, tables, outputs=[name])[name], jets, tables


def test_constituents_of_any_type(data):
    model, sample = tagged(data, models.GN3, **{"task.track_type.label": "type"})
    assert list(sample.tasks) == ["jet_pt", "track_type", "flow_type", "flow_energy"]
    p, _, tables = outputs_of(model, data, "flows.flow_type")
    valid = tables["flows"]["valid"] != 0
    of = sample.tasks["flow_type"]
    assert np.array_equal(of.found, p[valid])
    assert np.array_equal(of.truth, tables["flows"]["flow_type_label"][valid])
    assert np.array_equal(of.counts, valid.sum(1))
    shares = plots.confusion(sample, "flow_type").axes[0].images[0].get_array()
    wanted = metrics.confusion(of.truth, of.found.argmax(1), 3)
    assert np.allclose(shares, wanted / wanted.sum(1, keepdims=True))
    figure = plots.class_roc(sample, "track_type")
    assert len(figure.axes[0].lines) == 4
    assert "flows" not in figure.axes[0].get_xlabel()


def test_response_and_resolution_are_those_of_the_values(data):
    model, sample = tagged(data, models.GN3)
    values, jets, _ = outputs_of(model, data, "jets.jet_pt")
    ratio = values / jets["pt_truth"].astype(float)
    of = sample.tasks["jet_pt"]
    assert np.allclose(metrics.response(of.found[:, 0], of.truth[:, 0]), ratio)
    edges = np.array([20e3, 200e3, 700e3])
    found = metrics.resolution(ratio, jets["pt_truth"], edges)
    for k in range(2):
        inside = ratio[np.searchsorted(edges, jets["pt_truth"], "right") == k + 1]
        low, middle, high = np.quantile(inside, [0.16, 0.5, 0.84])
        assert found.bias[k] == pytest.approx(middle - 1)
        assert found.width[k] == pytest.approx((high - low) / 2)
        assert found.count[k] == len(inside)
    (axes,) = plots.response(sample, "jet_pt").axes
    assert "pt_truth" in axes.get_xlabel()
    for against, word in (("target", "True pt_truth"), ("pt", "[GeV]")):
        figure = plots.resolution(sample, "jet_pt", against)
        assert word in figure.axes[1].get_xlabel()
        assert len(figure.axes[0].containers) == 1


def test_rows_without_a_target_do_not_count(data):
    _, sample = tagged(data, models.VALUES)
    of = sample.tasks["mass"]
    known = np.isfinite(metrics.response(of.found[:, 0], of.truth[:, 0]))
    assert known.sum() == JETS - len(range(0, JETS, 7))
    assert len(plots.response(sample, "mass").axes) == 2


def test_pulls_of_a_known_spread():
    rng = np.random.default_rng(0)
    true, stddev = rng.normal(size=4000), np.full(4000, 2.0)
    pulls = metrics.pull(true + 2 * rng.normal(size=4000), true, stddev)
    assert abs(pulls.std() - 1) < 0.05 and abs(pulls.mean()) < 0.05


def test_selection_keeps_what_tasks_found(data):
    _, sample = tagged(data, models.GN3)
    keep = sample.pt < 200e3
    part = sample.select(keep)
    of, was = part.tasks["flow_energy"], sample.tasks["flow_energy"]
    rows = np.repeat(keep, was.counts)
    assert np.array_equal(of.found, was.found[rows]) and of.counts.sum() == rows.sum()
    assert len(part.tasks["jet_pt"].found) == keep.sum()


def test_report_of_boosted_jets(data, tmp_path):
    """Own classes, own discriminant, none of b."""
    _, sample = tagged(data, models.GN2X)
    names = [p.name for p in plots.pictures(report_content([sample]))]
    assert "roc_hbb" in names and "roc_b" not in names
    text = open(plots.report(sample, tmp_path / "r.html"), encoding="utf-8").read()
    for name in ("roc_hbb", "discriminant_hbb", "confusion", "origin_roc", "vertexing"):
        assert f'<figure id="{name}">' in text
    assert "AUC hbb–qcd" in text and "<th>qcd rejection</th>" in text
    assert '"none">roc' not in text


def report_content(samples):
    from gn2.plots.pictures import Content

    return Content(samples)


@pytest.mark.parametrize("name", [n for n in models.MODELS if n != "more tasks"])
def test_every_picture_of_a_task_is_drawn(name, data, tmp_path, monkeypatch):
    """In a report that has no others."""
    options = {"task.track_type.label": "type"} if name == "regressions" else {}
    _, sample = tagged(data, models.MODELS[name], **options)
    drawn = plots.pictures(report_content([sample]))
    drawn = [p for p in drawn if p.section.startswith("Task ")]
    monkeypatch.setattr(page, "pictures", lambda content: drawn)
    path = plots.report(sample, tmp_path / "r.html")
    text = open(path, encoding="utf-8").read()
    for picture in drawn:
        assert f'<figure id="{picture.name}">' in text, picture.name
    for task in sample.tasks.values():
        assert f"Task {task.task.noun}" in text


def test_what_is_missing_is_said(data):
    _, sample = tagged(data, models.VALUES)
    for draw, word in (
        (lambda: plots.response(sample, "pt"), "no regression 'pt'"),
        (lambda: plots.pull(sample, "mass"), "predicts no spread"),
        (lambda: plots.resolution(sample, "mass", "eta"), "no axis 'eta'"),
        (lambda: plots.resolution(sample, "mass", target="x"), "no target 'x'"),
        (lambda: plots.class_roc(sample, "mass"), "no classification 'mass'"),
    ):
        with pytest.raises(gn2.InvalidArgument, match=word):
            draw()
    with pytest.raises(gn2.NotFound, match="does not classify jets"):
        plots.confusion(sample)
