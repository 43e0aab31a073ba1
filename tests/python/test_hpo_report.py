# SPDX-License-Identifier: Apache-2.0
"""The report of a search, and its pictures."""

import dataclasses
import math
import os
import random
import warnings

import pytest

pytest.importorskip("yaml")
pytest.importorskip("matplotlib")

from gn2 import StateError  # noqa: E402
from gn2.cli import main  # noqa: E402
from gn2.hpo import books, pictures, report  # noqa: E402
from gn2.hpo.space import Objective  # noqa: E402


def trial(index, state="done", **more):
    stream = random.Random(index)
    rate = 10 ** stream.uniform(-4, -1)
    loss = 0.9 + 0.05 * (math.log10(rate) + 2.5) ** 2
    curve = tuple((10 * i, loss + 1 / i) for i in range(1, 6))
    return books.Trial(
        name=f"trial-{index:04}",
        state=state,
        parameters={"rate": repr(rate), "order": stream.choice(["jets", "none"])},
        metrics={} if state == "failed" else {"val_loss": loss},
        curve=() if state == "failed" else curve,
        resources={"core_seconds": 8.0, "peak_memory_bytes": 1e8},
        message="full disk" if state == "failed" else "",
        space="rates",
        **more,
    )


@pytest.fixture
def trials():
    found = [trial(i) for i in range(12)]
    found += [trial(12, "pruned"), trial(13, "diverged"), trial(14, "failed")]
    return [*found, trial(15, "failed"), dataclasses.replace(found[3], name="again")]


def test_everything_is_drawn(trials):
    pytest.importorskip("optuna")
    search = report.search_of(trials)
    for _, draw, _ in pictures.PICTURES:
        assert draw(search).axes


def test_axes_are_made_of_values(trials):
    rate, order = report.search_of(trials).axes
    assert rate.log and not rate.choices
    assert order.choices == ("jets", "none")


def test_the_best_is_the_best(trials):
    search = report.search_of(trials)
    least = min(search.counted(), key=search.value)
    assert search.best() is least
    assert report.best_rows(search)[1][0][0] == least.name
    up = report.search_of(trials, objective=Objective("val_loss", "maximize"))
    assert up.best() is max(up.counted(), key=up.value)


def test_importance_finds_the_parameter_that_matters(trials):
    pytest.importorskip("optuna")
    more = [trial(i) for i in range(100, 160)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of Optuna: nobody can do anything about it
        shares = pictures.importances(report.search_of([*trials, *more]))
    assert list(shares)[0] == "rate" and shares["rate"] > 0.8


def test_duplicates_and_failures_are_told(trials, tmp_path):
    search = report.search_of(trials)
    assert [row[1] for row in report.duplicates(search)] == ["trial-0003, again"]
    assert ["failed", "full disk", "2", "trial-0014, trial-0015"] in report.failures(
        search
    )
    path = report.write(search, tmp_path / "search.html", note="gn2_space: <1>")
    text = open(path, encoding="utf-8").read()
    assert "Failures by cause" in text and "full disk" in text
    assert "gn2_space: &lt;1&gt;" in text
    assert "http://" not in text and "https://" not in text


def test_what_cannot_be_drawn_is_said(tmp_path):
    search = report.search_of([trial(0, "failed")])
    for _, draw, _ in pictures.PICTURES[:1]:
        with pytest.raises(StateError, match="no trial is done"):
            draw(search)
    text = open(report.write(search, tmp_path / "s.html"), encoding="utf-8").read()
    assert "not drawn: no trial is done" in text


def test_books_are_kept_whole(tmp_path, trials):
    trials[0].save(tmp_path)
    assert books.load(tmp_path) == trials[0]
    (tmp_path / books.NAME).write_text('{"gn2_trial": 2}', encoding="utf-8")
    with pytest.raises(ValueError, match="update gn2"):
        books.load(tmp_path)
    (tmp_path / books.NAME).write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="no trial of gn2"):
        books.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "\xff",
        "[" * 100_000,
        "null",
        '{"items": null}',
        '{"items": [{"kind": "Trial", "spec": {"parameterAssignments": null}}]}',
        '{"items": [{"kind": "Trial", "spec": {"parameterAssignments": [3]}}]}',
        '{"items": [{"kind": "Trial", "status": {"conditions": null}}]}',
        '{"items": [{"kind": "Trial", "status": {"observation": {"metrics": [{"latest":'
        " null}]}}}]}",
        '{"items": [{"kind": "Trial", "spec": {"parameterAssignments": [{"name":'
        ' "log2_a", "value": "1e9"}]}}]}',
    ],
)
def test_what_is_no_export_is_an_error_of_ours(tmp_path, capsys, text):
    path = tmp_path / "trials.json"
    path.write_bytes(text.encode("latin-1"))
    assert main(["hpo", "import", str(path), "-o", str(tmp_path / "x.html")]) == 1
    assert "trials.json' " in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["trials.json"]
