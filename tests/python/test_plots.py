# SPDX-License-Identifier: Apache-2.0
"""Pictures: labels with units, legends beside the curves, figures in the curves; the
report: all sections, all pictures in it, nothing fetched from elsewhere."""

import argparse
import re
import types

import numpy as np
import pytest

import gn2
from gn2 import metrics

pytest.importorskip("matplotlib", reason="python3-matplotlib is not installed")

from gn2 import plots, report  # noqa: E402
from gn2.cli import plot as plot_command  # noqa: E402
from gn2.plots import history  # noqa: E402
from gn2.plots.pictures import Content  # noqa: E402
from gn2.report import page  # noqa: E402
from gn2.metrics.sample import Tracks  # noqa: E402

ORIGINS = "Pileup Fake Primary FromB FromBC FromC FromTau OtherSecondary".split()


def tagged(name="new", seed=1, jets=1500, sharp=1.5):
    """Jets whose probabilities know something of the truth."""
    rng = np.random.default_rng(seed)
    flavour = rng.integers(-1, 4, jets)
    logits = rng.normal(size=(jets, 4))
    logits[np.arange(jets), flavour] += sharp * (flavour >= 0)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    counts = rng.integers(0, 12, jets)
    total = int(counts.sum())
    origin = rng.integers(-1, 8, total)
    of = rng.normal(size=(total, 8))
    of[np.arange(total), origin] += 2 * (origin >= 0)
    origin_p = np.exp(of) / np.exp(of).sum(1, keepdims=True)
    vertex, found = rng.integers(-2, 3, total), rng.integers(0, 3, total)
    tracks = Tracks(counts, tuple(ORIGINS), origin, origin_p, vertex, found)
    pt = rng.uniform(20e3, 500e3, jets)
    more = {"pt": pt, "n_tracks": counts, "tracks": tracks}
    return plots.from_arrays(p, flavour, name=name, **more)


@pytest.fixture(scope="module")
def pair():
    return [tagged(), tagged("old", seed=1, sharp=1.2)]


class Step(types.SimpleNamespace):
    def flat(self):
        return vars(self)


def step(i, losses=(1.0, 0.5, 1.5)):
    jets, origin, vertex = losses
    return Step(
        step=i,
        loss=jets + origin + vertex,
        loss_jets=jets / i,
        loss_origin=origin,
        loss_vertex=vertex,
        learning_rate=1e-3 / i,
        gradient_norm=2.0 + i % 3,
    )


def validation(i):
    names = "loss loss_jets loss_origin loss_vertex accuracy auc_b_light auc_b_c "
    names += "origin_accuracy rejection_light_77 rejection_c_77 rejection_tau_77"
    figures = {f"val_{n}": 0.5 + 0.1 * i for n in names.split()}
    return types.SimpleNamespace(flat=lambda: figures)


def progress(event, i):
    val = validation(i) if event != "step" else None
    return types.SimpleNamespace(event=event, step=i, stats=step(i), validation=val)


def events():
    for i in range(1, 41):
        yield progress("step", i)
        if i % 20 == 0 or i % 16 == 0:
            yield progress("epoch" if i % 20 == 0 else "validation", i)


DRAWN = {
    "roc": lambda a, b: plots.roc([a, b]),
    "roc of one": lambda a, b: plots.roc(a, signal="c", lowest=0.2, f_b=0.3),
    "discriminant": lambda a, b: plots.discriminant([a, b]),
    "efficiency pt": lambda a, b: plots.efficiency([a, b], "pt"),
    "efficiency n": lambda a, b: plots.efficiency(a, "n_tracks"),
    "confusion": lambda a, b: plots.confusion(a),
    "calibration": lambda a, b: plots.calibration(a),
    "origin": lambda a, b: plots.origin_roc(a),
    "origin confusion": lambda a, b: plots.origin_confusion(a),
    "vertexing": lambda a, b: plots.vertexing([a, b]),
}
LABELS = {
    "roc": ("b-jet efficiency", "Rejection = 1 / efficiency", "light\nratio"),
    "roc of one": ("c-jet efficiency", "Rejection = 1 / efficiency"),
    "discriminant": ("$D_\\mathrm{b}$", "Share of jets / "),
    "efficiency pt": ("[GeV]", "b-jet efficiency", "Mistag efficiency"),
    "efficiency n": ("Tracks in the jet", "b-jet efficiency", "Mistag efficiency"),
    "confusion": ("Predicted flavour", "True flavour"),
    "calibration": ("Predicted probability", "Share of jets of the class"),
    "origin": ("Share of other tracks accepted", "tracks of the origin"),
    "origin confusion": ("Predicted origin", "True origin"),
    "vertexing": ("[GeV]", "Pair efficiency", "Pair purity"),
}
LEGENDS = {
    "roc": {"new", "old"},
    "roc of one": {"new"},
    "discriminant": {"b-jets", "c-jets", "light-jets", "tau-jets", "new", "old"},
    "efficiency pt": {"b-jets", "c-jets", "light-jets", "tau-jets", "new", "old"},
    "efficiency n": {"b-jets", "c-jets", "light-jets", "tau-jets"},
    "calibration": {"b-jets", "c-jets", "light-jets", "tau-jets"},
    "vertexing": {"new", "old"},
}


def legends(figure):
    kind = plots.style.mpl.legend.Legend
    return [
        (a, c) for a in figure.axes for c in a.get_children() if isinstance(c, kind)
    ]


def check_layout(figure):
    """All texts on the picture; legends on no axes and on no other legend."""
    figure.canvas.draw()
    boxes = [legend.get_window_extent() for _, legend in legends(figure)]
    for box in boxes:
        for axes in figure.axes:
            inside = axes.get_window_extent()
            assert not (box.shrunk(0.98, 0.9).overlaps(inside)), "legend covers axes"
        assert figure.bbox.x1 >= box.x1 and box.y1 <= figure.bbox.y1 + 1
    for i, box in enumerate(boxes):
        for other in boxes[:i]:
            assert not box.shrunk(1, 0.6).overlaps(other.shrunk(1, 0.6))
    for axes in figure.axes:
        for label in (axes.xaxis.label, axes.yaxis.label):
            box = label.get_window_extent()
            if label.get_text() and label.get_visible():
                assert box.x0 >= -1 and box.y0 >= -1
                assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        assert axes.get_window_extent().width > 0.3 * figure.bbox.width


@pytest.mark.parametrize("name", DRAWN)
def test_labels_legends_and_layout(name, pair):
    figure = DRAWN[name](*pair)
    texts = [t for a in figure.axes for t in (a.get_xlabel(), a.get_ylabel())]
    for wanted in LABELS[name]:
        assert any(wanted in t for t in texts), (wanted, texts)
    found = {t.get_text() for _, legend in legends(figure) for t in legend.get_texts()}
    assert LEGENDS.get(name, found) == found
    check_layout(figure)


def test_names_too_long_for_a_row_stand_below_each_other():
    long = "a tagger whose name somebody made much too long"
    both = [tagged(long), tagged(long + ", second")]
    for draw in (plots.roc, plots.discriminant, plots.efficiency, plots.vertexing):
        check_layout(draw(both))


def test_no_two_flavours_look_alike_without_colour():
    looks = list(plots.style.FLAVOURS.values())
    assert len({str(x.line) for x in looks}) == len({x.marker for x in looks}) == 4
    origins = {(str(x.line)) for x in plots.style.SEVERAL}
    assert len(origins) == len(plots.style.SEVERAL) == len(ORIGINS)


def test_curve_is_the_rejection_counted(pair):
    sample = pair[0]
    axes = plots.roc(sample).axes[0]
    d, flavour = sample.discriminant("b"), sample.flavour
    for line, k in zip(axes.lines, (2, 3, 1)):
        for e, value in list(zip(*line.get_data()))[::10]:
            ordered = np.sort(d[flavour == 0])
            cut = ordered[min(int(np.floor((1 - e) * len(ordered))), len(ordered) - 1)]
            passed = np.sum(d[flavour == k] >= cut)
            assert passed >= 3
            assert value == pytest.approx(np.sum(flavour == k) / passed, rel=1e-12)


def test_where_hardly_a_jet_passes_there_is_no_curve():
    d = np.linspace(-5, 5, 1000)
    p = np.stack([np.exp(d), np.zeros(1000), np.ones(1000), np.zeros(1000)], 1)
    p /= p.sum(1, keepdims=True)
    flavour = np.where(np.arange(1000) < 500, 2, 0)
    flavour[[998, 990, 980]] = 2  # three light jets among the b-jets of highest D
    line = plots.roc(plots.from_arrays(p, flavour), lowest=0.01).axes[0].lines[0]
    cuts = [metrics.cut_at(d[flavour == 0], e) for e in line.get_xdata()]
    passing = np.array([np.sum(d[flavour == 2] >= cut) for cut in cuts])
    assert set(passing) == {1, 2, 3}
    assert np.array_equal(np.isnan(line.get_ydata()), passing < 3)


def test_reference_of_ratios_is_the_last(pair):
    panels = plots.roc(pair).axes[1:]
    assert len(panels) == 3
    for axes in panels:
        assert np.nanmax(np.abs(axes.lines[1].get_ydata() - 1)) == 0
        assert np.nanmax(np.abs(axes.lines[0].get_ydata() - 1)) > 0


def test_discriminant_is_that_of_the_library(pair):
    sample = pair[0]
    p = sample.probabilities.astype(float)
    wanted = np.log(p[:, 0] / (0.15 * p[:, 1] + 0.05 * p[:, 3] + 0.8 * p[:, 2]))
    got = sample.discriminant("b", f_c=0.15, f_tau=0.05)
    assert np.abs(got - wanted).max() < 1e-5


def test_selection_keeps_jets_and_their_tracks(pair):
    sample, keep = pair[0], pair[0].pt < 100e3
    part = sample.select(keep)
    assert len(part.scores) == keep.sum() and (part.pt < 100e3).all()
    jet_of_row = np.repeat(np.arange(len(keep)), sample.tracks.counts)
    assert np.array_equal(part.tracks.vertex, sample.tracks.vertex[keep[jet_of_row]])
    assert part.pairs().true.sum() == sample.pairs().true[keep].sum()


def test_what_is_missing_is_said(pair):
    bare = plots.from_arrays(pair[0].probabilities, pair[0].flavour)
    for draw, word in (
        (lambda: plots.efficiency(bare, "pt"), "pt"),
        (lambda: plots.efficiency(bare, "eta"), "eta"),
        (lambda: plots.vertexing(bare), "vertices"),
        (lambda: plots.origin_roc(bare), "origins"),
        (lambda: plots.roc([]), "taggers"),
        (lambda: plots.roc(bare.select(bare.flavour == 0)), "others"),
    ):
        with pytest.raises(gn2.InvalidArgument, match=word):
            draw()
    with pytest.raises(gn2.ShapeError):
        plots.from_arrays(pair[0].probabilities, pair[0].flavour[1:])
    with pytest.raises(gn2.InvalidArgument, match="NaN"):
        plots.from_arrays([[np.nan, 0, 0, 1]], [0])
    assert bare.n_tracks is None and plots.confusion(bare).axes


# ---- training curves ----


def write_csv(path):
    names = ["event", *vars(step(1)), *validation(0).flat()]
    rows = [",".join(names)]
    for p in events():
        row = {"event": p.event, **vars(p.stats)}
        row.update(p.validation.flat() if p.validation else {})
        rows.append(",".join(str(row.get(n, "")) for n in names))
    path.write_text("\n".join(rows) + "\n")
    return path


def test_curves_of_file_history_and_live_are_the_same(tmp_path):
    happened = list(events())
    found = {p.step: p.validation for p in happened if p.validation}
    noted = types.SimpleNamespace(
        steps=[p.stats for p in happened if p.event == "step"],
        validation=[*found.values()],
        validation_steps=[*found],
    )
    live = plots.Live(tmp_path / "live.png", seconds=1e9)
    for p in (*happened, progress("early stop", 40)):
        live(p)
    of_file = history.read(write_csv(tmp_path / "metrics.csv"))
    for other in (live, noted):
        curves = history.read(other)
        for mine, wanted in zip(curves, of_file):
            assert set(mine) == set(wanted)
            for name in wanted:
                assert np.allclose(mine[name], wanted[name], rtol=1e-12), name
    assert list(of_file.validation["step"]) == [16, 20, 32, 40]
    assert list(of_file.steps["step"]) == [*range(1, 41)]
    assert (tmp_path / "live.png").read_bytes().startswith(b"\x89PNG")


def test_training_shows_all_panels(tmp_path):
    figure = plots.training(write_csv(tmp_path / "metrics.csv"), title="a run")
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == [
        "Loss",
        "Loss × task weight",
        "Learning rate",
        "Gradient norm",
        "AUC of D_b",
        "Rejection at 77 % of D_b",
        "Accuracy",
    ]
    assert all(axes.get_xlabel() == "Step" for axes in figure.axes)
    points = figure.axes[0].lines[-1]
    assert list(points.get_xdata()) == [16, 20, 32, 40]
    check_layout(figure)


def test_tasks_that_are_off_are_not_drawn():
    live = plots.Live()
    for i in range(1, 20):
        p = progress("step", i)
        p.stats = step(i, (1.0, 0.0, 0.0))
        live(p)
    figure = plots.training(live)
    labels = [t.get_text() for _, x in legends(figure) for t in x.get_texts()]
    assert "jets" in labels and "vertex" not in labels and "origin" not in labels
    assert len(figure.axes) == 4


def test_a_file_without_steps_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(gn2.FormatError, match="step"):
        plots.training(path)
    with pytest.raises(gn2.InvalidArgument, match="int"):
        plots.training(3)


def test_users_style_is_left_alone(pair):
    mpl = plots.style.mpl
    before = dict(mpl.rcParams)
    plots.confusion(pair[0])
    assert dict(mpl.rcParams) == before


# ---- the report ----


def sections(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def check_page(text):
    """One file: every address is in it."""
    for address in re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^"\s)>]+)', text):
        assert address.startswith(("data:image/png;base64,", "#")), address[:60]
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert "<script" not in text
    for target in re.findall(r'href="#(.*?)"', text):
        assert f'id="{target}"' in text


def test_report_holds_everything(tmp_path, pair):
    csv = write_csv(tmp_path / "metrics.csv")
    path = plots.report(
        pair, tmp_path / "report.html", curves=csv, config="a = <b>", title="T & T"
    )
    text = open(path, encoding="utf-8").read()
    drawn = plots.pictures(Content(pair))
    wanted = ["Summary", *(p.section for p in drawn)]
    assert sections(text) == [*dict.fromkeys(wanted), "Options", "Definitions"]
    assert {"Discriminant D_b", "Discriminant D_c", "Discriminant D_tau"} < set(wanted)
    for picture in drawn:
        assert f'<figure id="{picture.name}">' in text
    assert text.count("<img") == len(drawn) and "not drawn" not in text
    assert text.count("<th>tau efficiency</th>") == 2
    assert "a = &lt;b&gt;" in text and "<title>T &amp; T</title>" in text
    check_page(text)
    assert [p.name for p in tmp_path.iterdir()].count("report.html") == 1


def test_tables_hold_the_figures(pair):
    sample = pair[0]
    d = sample.discriminant("b")
    text = report.working_points(pair)
    found = metrics.roc(d[sample.of("b")], d[sample.of("c")], [0.77])
    digits = 1 if found.error[0] > 0.5 else 2
    wanted = f"{found.rejection[0]:.{digits}f} ± {found.error[0]:.{digits}f}"
    assert f"<td>{wanted}</td>" in text
    assert f"<td>{found.cut[0]:.4f}</td>" in text
    area = metrics.auc(d[sample.of("b")], d[sample.of("light")])
    assert f"<td>{area.value:.4f} ± {area.error:.4f}</td>" in report.summary(pair)


def test_report_of_little_says_what_is_missing(tmp_path, pair):
    bare = plots.from_arrays(pair[0].probabilities, pair[0].flavour, name="<bare>")
    text = open(plots.report(bare, tmp_path / "r.html"), encoding="utf-8").read()
    for name in ("training", "efficiency_pt", "origin_roc", "vertexing"):
        assert f'<p class="none">{name}: not drawn: ' in text
    assert "&lt;bare&gt;" in text and "<bare>" not in text
    check_page(text)


# ---- files ----


@pytest.fixture(scope="module")
def files(tmp_path_factory, model):
    """Example jets, a small model, its scores, and a directory as of a fit."""
    h5py = pytest.importorskip("h5py", reason="python3-h5py is not installed")
    from conftest import ROOT

    data = ROOT / "examples" / "data" / "jets_test.h5"
    run = tmp_path_factory.mktemp("runs") / "run"
    run.mkdir()
    model.save(run / "best.gn2")
    (run / "run.json").write_text('{"train": [], "val": ["%s"]}' % data)
    (run / "config.txt").write_text("model.embed_dim = 16\n")
    write_csv(run / "metrics.csv")
    sample = plots.from_model(model, data, max_jets=500)
    scores = run.parent / "scores.h5"
    with h5py.File(scores, "w") as f, h5py.File(data) as d:
        table = np.zeros(500, [(f"GN2_p{k}", "f4") for k in ("b", "c", "u", "tau")])
        for i, name in enumerate(table.dtype.names):
            table[name] = sample.probabilities[:, i]
        f["jets"] = table
        valid = d["tracks"]["valid"][:500]
        kinds = [(f"GN2_p{o}", "f4") for o in ORIGINS] + [("VertexIndex", "i8")]
        rows = np.zeros(valid.shape, kinds)
        for i, o in enumerate(ORIGINS):
            rows[f"GN2_p{o}"][valid] = sample.tracks.origin_p[:, i]
        rows["VertexIndex"][valid] = sample.tracks.vertex_found
        f["tracks"] = rows
    return types.SimpleNamespace(data=data, run=run, scores=scores, sample=sample)


def test_model_and_score_file_say_the_same(files):
    a = files.sample
    b = plots.from_scores(files.scores, files.data, max_jets=500)
    assert a.classes == b.classes == ("b", "c", "light", "tau")
    for name in ("probabilities", "flavour", "pt", "n_tracks"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    for name in ("counts", "origin", "origin_p", "vertex", "vertex_found"):
        assert np.array_equal(getattr(a.tracks, name), getattr(b.tracks, name)), name
    assert a.tracks.origins == b.tracks.origins == tuple(ORIGINS)
    assert np.array_equal(a.discriminant("b"), b.discriminant("b"))


def test_truth_is_that_of_the_file(files):
    import h5py

    with h5py.File(files.data) as f:
        jets, tracks = f["jets"][:500], f["tracks"][:500]
    ids = np.array([5, 4, 0, 15])[files.sample.flavour]
    assert np.array_equal(ids, jets["HadronConeExclTruthLabelID"])
    assert np.array_equal(files.sample.n_tracks, tracks["valid"].sum(1))
    wanted = tracks["ftagTruthOriginLabel"][tracks["valid"]]
    assert np.array_equal(files.sample.tracks.origin, wanted)


def test_scores_of_other_jets_are_refused(files):
    with pytest.raises(gn2.ShapeError, match="500"):
        plots.from_scores(files.scores, files.data)
    with pytest.raises(gn2.FormatError, match="_pb"):
        plots.from_scores(files.data)


def test_report_of_a_run(files):
    path = plots.report(str(files.run), max_jets=400, compare=[])
    assert path == str(files.run / "report.html")
    text = open(path, encoding="utf-8").read()
    check_page(text)
    assert "model.embed_dim = 16" in text and "400 (" in text
    assert str(files.run.parent) not in text  # names, no folders
    assert "not drawn" not in text


def test_run_without_jets_still_has_its_curves(tmp_path):
    write_csv(tmp_path / "metrics.csv")
    content = report.read(tmp_path)
    assert content.samples == [] and content.curves is not None
    text = page.page(content)
    assert '<figure id="training">' in text and "no tagged jets" in text


def test_command_knows_all_pictures():
    assert plot_command.NAMES == tuple(p.name for p in plots.PICTURES)


def command(words):
    parser = argparse.ArgumentParser()
    plot_command.arguments(parser)
    return plot_command.run(parser.parse_args([str(w) for w in words]))


def test_command_draws_a_run(files, capsys):
    assert command([files.run, "-n", 400]) == 0
    written = capsys.readouterr().out.split()
    assert written[-1].endswith("report.html")
    names = {w.rsplit("/", 1)[1] for w in written[:-1]}
    assert {f"{p.name}.png" for p in plots.PICTURES} < names
    assert {"roc_b.png", "roc_tau.png", "efficiency_pt.png"} < names


def test_command_compares_models_and_score_files(files, tmp_path, capsys):
    best = files.run / "best.gn2"
    words = [f"a={best}", f"b={files.scores}", "-d", files.data, "-n", 500]
    assert command([*words, "-o", tmp_path, "--only", "roc_b", "--format", "pdf"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "roc_b.pdf")]
    assert (tmp_path / "roc_b.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(gn2.InvalidArgument, match="training"):
        command([*words, "-o", tmp_path, "--only", "training"])
    with pytest.raises(gn2.InvalidArgument, match="--data"):
        command([best, "-o", tmp_path])
