# SPDX-License-Identifier: Apache-2.0
"""Figures of every discriminant of a model, whichever it is: in metrics.csv, `gn2
evaluate`, `gn2 importance` and the curves of a training; and no option of a
discriminant without an effect."""

import csv
import json

import numpy as np
import pytest
from conftest import ROOT, SMALL

import gn2
from gn2._figure_names import listed, of_column, of_figure
from gn2.cli import main
from gn2.cli.rundir import columns_of

VAL = str(ROOT / "examples" / "data" / "jets_val.h5")
ASKED = ["data.max_jets=300", "data.batch_size=100"]
CLASSES = ["bjets", "cjets", "ujets", "taujets"]
BOOSTED = {
    "model.classes": ["hbb", "hcc", "qcd"],
    "discriminant.D_hbb.signal": "hbb",
    "discriminant.D_hbb.fractions": ["hcc:0.1", "qcd:rest"],
    "discriminant.D_hcc.signal": "hcc",
    "discriminant.D_hcc.fractions": ["qcd:1"],
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    if gn2.features()["hdf5"] == "none":
        pytest.skip("built without HDF5")
    path = tmp_path_factory.mktemp("model") / "m.gn2"
    own = {"signal": "ujets", "fractions": ["cjets:0.5", "bjets:rest"]}
    own = {f"discriminant.D_x.{key}": value for key, value in own.items()}
    gn2.Model({**SMALL, **own}).save(path)
    return str(path)


def told(capsys, *words):
    """What a command says of a model in JSON, and in its table."""
    assert main([*words, "--json"]) == 0, capsys.readouterr().err
    of_json = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main([*words]) == 0
    return of_json, capsys.readouterr().out


def of(name, figures):
    """Those of a discriminant, and all others."""
    mine = {k for k in figures if (f := of_column(k)) and f.discriminant == name}
    return {k: figures[k] for k in mine}, {
        k: v for k, v in figures.items() if k not in mine
    }


# ---- names ----


@pytest.mark.parametrize("name", ["D_b", "D_c", "D_hbb", "D_auc_x", "D_cut_1"])
@pytest.mark.parametrize("others", [("ujets", "cjets", "taujets"), ("q_2", "auc")])
def test_a_name_is_read_as_it_is_written(name, others):
    names = list(listed(name, others))
    assert len({n.column for n in names}) == len(names) == len(others) * 5 + 4
    for one in names:
        assert of_column(one.column) == of_figure(one.figure) == one


def test_figures_of_b_tagging_have_their_names_still():
    names = {n.column for n in listed("D_b", CLASSES[1:])}
    usual = {f"cut_{p}" for p in (65, 70, 77, 85)} | {"auc_b_light", "auc_b_c"}
    for p in (65, 70, 77, 85):
        usual |= {f"rejection_{of}_{p}" for of in ("light", "c", "tau")}
    assert names == usual | {"D_b_auc_taujets"}
    assert of_column("accuracy") is of_column("loss_D_b") is of_figure("D_b.f") is None


@pytest.mark.parametrize("options", [{}, BOOSTED], ids=["usual", "boosted"])
def test_columns_of_a_run_are_the_figures_of_the_library(options):
    own = {"model.tasks": ["jets_classification"], "inputs.tracks": ["d0"]}
    model = gn2.Model({**SMALL, **options, **own, "input.unit_check": "off"})
    rng = np.random.default_rng(3)
    jets = rng.normal(size=(200, 2)).astype("f4")
    truth = {"flavour": rng.integers(0, len(model.classes), 200).astype("i4")}
    config = {**model.config, "data.batch_size": 100}
    tracks = jets[:, :1].copy(), np.arange(201)
    data = gn2.Dataset.from_arrays(jets, tracks, truth, config)
    with gn2.Trainer(model) as trainer:
        found = trainer.evaluate(data)
    columns = columns_of(model)
    flat = found.flat()
    assert set(flat) == {name for name in columns if name.startswith("val_")}
    assert len(flat) == 3 + len(found.figures)  # jets, loss, loss_jets


# ---- commands ----


@pytest.mark.parametrize(
    "name, setting",
    [
        ("D_b", "discriminant.D_b.f_c=0.9"),
        ("D_c", "discriminant.D_c.f_b=0.9"),
        ("D_tau", "discriminant.D_tau.fractions=bjets:0.9"),
        ("D_c", "discriminant.D_c.signal=ujets"),
        ("D_x", "discriminant.D_x.fractions=cjets:1"),
        ("D_new", "discriminant.D_new.signal=taujets"),
    ],
)
def test_evaluate_shows_what_is_asked_of_any(path, capsys, name, setting):
    words = ["evaluate", path, "-d", VAL, "-j", "1", *ASKED]
    (plain,), table = told(capsys, *words)
    (found,), changed = told(capsys, *words, setting)
    mine, others = of(name, found)
    before, same = of(name, plain)
    assert mine != before and others == same and changed != table
    rejected = [f for f in mine if "rejection" in f]
    assert len(rejected) == 12
    for word in rejected:
        assert of_column(word).words in changed


def test_importance_shows_what_is_asked_of_any(path, tmp_path, capsys):
    words = ["importance", path, "-d", VAL, "-n", "300", "-r", "1", "-j", "1"]
    words += ["data.batch_size=100"]
    pytest.importorskip("matplotlib")
    plain, table = told(capsys, *words)
    setting = "discriminant.D_tau.fractions=bjets:0.9"
    found, changed = told(capsys, *words, setting, "-f", "-o", str(tmp_path / "imp"))
    assert table != changed
    columns = csv.DictReader((tmp_path / "imp.csv").open()).fieldnames
    for discriminant in ("D_b", "D_c", "D_tau", "D_x"):
        others = [c for c in CLASSES if c != {"D_x": "ujets"}.get(discriminant)]
        names = [n.column for n in listed(discriminant, others)]
        there = [n for n in names if n in columns]
        assert any("rejection" in n for n in there), discriminant
        assert all(n in changed for n in there if "rejection" in n and "77" in n)
    split = [(of("D_tau", a), of("D_tau", b)) for a, b in zip(plain, found)]
    assert all(same == others for (_, same), (_, others) in split)
    assert any(before != mine for (before, _), (mine, _) in split)


NONE = "has no effect"


@pytest.mark.parametrize(
    "setting, words",
    [
        ("discriminant.D_b.f_tau=0.1", ["D_b has the signal bjets", "cjets:0.2"]),
        ("discriminant.D_tau.f_b=0.1", ["the discriminants are D_b, D_c"]),
        ("discriminant.D_c.f_b=0.7", ["beside", "discriminant.D_c.fractions"]),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "importance", "tag", "plot", "fit"])
def test_what_a_discriminant_does_not_have_is_refused(
    tmp_path, capsys, command, setting, words
):
    """The model has no tau, and D_c a list of fractions."""
    if command == "plot":
        pytest.importorskip("matplotlib")
    own = {"model.classes": CLASSES[:3], "discriminant.D_c.fractions": ["bjets:0.1"]}
    path = str(tmp_path / "m.gn2")
    gn2.Model({**SMALL, **own}).save(path)
    asked = {
        "evaluate": [path, "-d", VAL],
        "importance": [path, "-d", VAL],
        "tag": [path, VAL, "-o", str(tmp_path / "s.h5")],
        "plot": [path, "-d", VAL, "-n", "50", "-o", str(tmp_path / "out")],
        "fit": [VAL, "-m", path, "--finetune", "-o", str(tmp_path / "run")],
    }
    assert main([command, *asked[command], setting]) == 1
    said = capsys.readouterr().err
    assert all(word in said for word in [setting.split("=")[0], NONE, *words]), said
    assert [p.name for p in tmp_path.iterdir()] == ["m.gn2"]


# ---- curves ----


def written(path, classes, rules):
    """metrics.csv of a run of such discriminants, and its figures."""
    figures = {}
    for name, signal in rules.items():
        for one in listed(name, [c for c in classes if c != signal]):
            figures[f"val_{one.column}"] = np.array([3.0, 4.0]) + len(figures)
    figures["val_accuracy"] = figures["val_hits_accuracy"] = np.array([0.5, 0.75])
    rows = ["event,step,loss,val_loss," + ",".join(figures)]
    for i, values in enumerate(zip(*figures.values())):
        rows.append(f"step,{i + 1},1,,{',' * (len(figures) - 1)}")
        rows.append(f"epoch,{i + 1},1,2,{','.join(map(str, values))}")
    path.write_text("\n".join(rows) + "\n")
    return figures


@pytest.mark.parametrize(
    "classes, rules",
    [
        (CLASSES, {"D_b": "bjets", "D_c": "cjets", "D_x": "ujets"}),
        (CLASSES[:3], {"D_c": "cjets"}),
        (["hbb", "hcc", "qcd"], {"D_hbb": "hbb", "D_hcc": "hcc"}),
    ],
)
def test_curves_show_every_discriminant(tmp_path, classes, rules):
    pytest.importorskip("matplotlib")
    from gn2 import plots

    figures = written(tmp_path / "metrics.csv", classes, rules)
    axes = plots.training(tmp_path / "metrics.csv").axes
    panels = {one.get_ylabel(): one for one in axes}
    titles = [(f"AUC of {n}", f"Rejection at 77 % of {n}") for n in rules]
    assert list(panels)[-2 * len(rules) - 1 :] == [
        *(title for both in titles for title in both),
        "Accuracy",
    ]
    colors = {}
    for name, signal in rules.items():
        for title, what in zip(titles[list(rules).index(name)], ("auc", "rejection")):
            lines = {line.get_label(): line for line in panels[title].lines}
            others = [c for c in classes if c != signal]
            assert set(lines) == {plots.readable(c) for c in others}
            for one in listed(name, others):
                if one.what == what and one.point in ("", "77"):
                    line = lines[plots.readable(one.other)]
                    wanted = figures[f"val_{one.column}"]
                    assert list(line.get_ydata()) == list(wanted)
                    color = line.get_color()
                    assert colors.setdefault(one.other, color) == color
    accuracies = {line.get_label() for line in panels["Accuracy"].lines}
    assert accuracies == {"jets", "hits"}
