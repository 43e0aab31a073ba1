# SPDX-License-Identifier: Apache-2.0
"""What the studies are made of: statistics, keys of runs, the store."""

from dataclasses import replace

import numpy as np
import pytest

from gn2 import errors
from gn2.study import bench, coordcheck, fits, lr, width
from gn2.study.store import Store
from gn2.study.task import Task, canonical, digest
from gn2.study.worker import curve, smoothed

# ---- statistics ----

#: 97.5 % quantiles of Student's t by degrees of freedom, from printed tables
T_TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 10: 2.228, 18: 2.101, 100: 1.984}


@pytest.mark.parametrize("freedom, expected", T_TABLE.items())
def test_the_quantiles_of_student(freedom, expected):
    assert fits.t_quantile(freedom) == pytest.approx(expected, rel=0.01)


def test_a_slope_and_how_often_its_interval_holds_it():
    exact = fits.slope([1, 2, 3, 4], np.array([[3, 0], [5, 2], [7, 4], [9, 6]]))
    assert exact == pytest.approx((2, 0), abs=1e-12)
    rng, x = np.random.default_rng(1), np.array([6.0, 7, 8, 9])
    held = 0
    for _ in range(1000):
        # starts differ by far more than the scatter about their lines
        y = 0.3 * x[:, None] + rng.normal(0, 3, 5) + rng.normal(0, 0.2, (4, 5))
        found = fits.slope(x, y)
        held += abs(found.value - 0.3) < found.error
    # 950 expected, standard deviation 7
    assert 915 < held < 985


def test_no_slope_of_sizes_that_are_zero_or_not_finite():
    y = np.ones((3, 2))
    assert fits.slope([1, 2, 3], y).value == 0
    y[1, 0] = -np.inf
    assert np.isnan(fits.slope([1, 2, 3], y).value)
    assert np.isnan(fits.slope([1, 1, 1], np.ones((3, 2))).value)


X = np.arange(-11.0, -4)


def bowl(low, noise=0.0, starts=3):
    rng = np.random.default_rng(2)
    return ((X - low) ** 2 * 0.05 + 2.5)[:, None] + rng.normal(0, noise, (7, starts))


@pytest.mark.parametrize("low", [-8.0, -7.6, -6.5])
def test_the_optimum_of_a_parabola_is_its_lowest_point(low):
    found = fits.optimum(X, bowl(low))
    assert found.log2_rate == pytest.approx(low, abs=1e-9)
    assert found.loss == pytest.approx(2.5, abs=1e-9)
    assert found.low == pytest.approx(found.high)


def test_the_interval_of_an_optimum_grows_with_the_scatter():
    spans = []
    for noise in (0.002, 0.02):
        found = fits.optimum(X, bowl(-7.7, noise))
        assert found.low <= found.log2_rate <= found.high
        spans.append(found.high - found.low)
    assert spans[1] > 4 * spans[0] > 0


def test_one_start_has_no_interval_and_no_verdict():
    places = [fits.optimum(X, bowl(low, 0.01, starts=1)) for low in (-6.5, -7, -7.5)]
    for place, low in zip(places, (-6.5, -7, -7.5)):
        assert abs(place.log2_rate - low) < 0.5
        assert np.isnan(place.low) and np.isnan(place.high)
    value, *interval = fits.drift([64, 128, 256], places)
    assert value < 0 and np.isnan(interval).all()
    words = lr.drift_words(value, *interval)
    assert "no interval from one start" in words and "95 %" not in words
    assert "falls" not in words and "rises" not in words
    line = fits.slope([1, 2, 3, 4], np.array([[1.0], [2.1], [2.9], [4]]))
    assert line.value == pytest.approx(1, abs=0.05) and np.isnan(line.error)
    of = coordcheck.Line("sp", "adamw", 1, 1, "m", "x", np.ones((4, 1)), line)
    assert not coordcheck.moves(of) and not coordcheck.still(of)
    lost = of._replace(slope=fits.Slope(np.nan, np.nan))
    assert coordcheck.moves(lost) and not coordcheck.still(lost)


def test_an_optimum_at_the_edge_stays_there():
    assert fits.optimum(X, bowl(-13)).log2_rate == -11
    assert fits.optimum(X, bowl(0)).log2_rate == -5


def test_rates_that_diverged_are_left_out_of_an_optimum():
    losses = bowl(-7.6)
    losses[-2:, 0] = np.nan
    assert fits.optimum(X, losses).log2_rate == pytest.approx(-7.6)
    losses[2:, 0] = np.nan
    assert fits.optimum(X, losses) is None


def test_a_drift():
    places = [fits.optimum(X, bowl(low, 0.002)) for low in (-6.5, -7, -7.5)]
    value, low, high = fits.drift([64, 128, 256], places)
    assert low < -0.5 < high and value == pytest.approx(-0.5, abs=0.1)


def test_rank_correlation_of_settings():
    assert fits.rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert fits.rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    # ties share their mean rank: ranks 1 2.5 2.5 4 against 1 2 3 4
    tied = fits.rank_correlation([1, 2, 2, 4], [1, 2, 3, 4])
    assert tied == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert fits.rank_correlation([1, 2, 3], [1, 2, np.nan]) == pytest.approx(1)


def test_curves_are_means_over_blocks():
    losses = [float(n) for n in range(25)]
    assert curve(losses) == [(10, 4.5), (20, 14.5), (25, 22.0)]
    assert smoothed(losses) == {"first_loss": 4.5, "train_loss": 23.5}
    assert np.isnan(smoothed([])["train_loss"])


# ---- what is compared ----


@pytest.mark.parametrize("form", ["sp", "mup", "other"])
def test_a_study_of_one_parametrisation_names_that_one(form):
    assert bench._forms([("model.parametrization", form)]) == (form,)
    assert bench._forms([("model.num_layers", "2")]) == ("sp", "mup")
    assert bench.name_of(form) == {"sp": "SP", "mup": "μP"}.get(form, form)


def test_options_that_a_study_varies_are_refused():
    for key in ("model.embed_dim", "model.seed", "schedule.max"):
        with pytest.raises(errors.InvalidArgument, match=f"{key} = 3"):
            bench._forms([(key, "3")])


def test_width_gives_no_firm_verdict_of_one_start():
    rising, falling = np.array([[2.0], [2.1]]), np.array([[2.1], [2.0]])
    for losses in (rising, falling):
        words = list(width._words([8, 16], "mup", losses))
        assert "one start does not tell" in words[-1]
    two = np.array([[2.1, 2.1], [2.0, 2.001]])
    assert "one start" not in " ".join(width._words([8, 16], "mup", two))


# ---- keys ----


def options(**more):
    found = {
        "model.embed_dim": 32,
        "model.num_heads": 8,
        "model.parametrization": "mup",
        "model.base_width": 64,
        "schedule.max": 2.0**-8,
    }
    return {**found, **{name.replace("__", "."): v for name, v in more.items()}}


def task(path, **more):
    return Task("fit", canonical(options(**more)), (str(path),), ())


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "jets.h5"
    path.write_bytes(b"jets")
    return path


def test_mup_at_its_base_width_is_the_standard_run():
    sp = canonical(options(model__parametrization="sp", model__embed_dim=64))
    assert canonical(options(model__embed_dim=64)) == sp
    assert not any(name.startswith("model.base") for name, _ in sp)
    assert canonical(options()) != canonical(options(model__parametrization="sp"))
    for name in ("model__zero_readout", "model__zero_query"):
        assert canonical(options(model__embed_dim=64, **{name: True})) != sp
    assert canonical(options(model__embed_dim=64, model__base_heads=4)) != sp
    assert canonical(options(model__embed_dim=64, model__base_heads=8)) == sp


def test_a_key_tells_runs_apart_by_options_and_content(data, tmp_path):
    key = task(data).key
    assert task(data).key == key
    assert task(data, schedule__max=2.0**-7).key != key
    assert replace(task(data), val_jets=5).key != key
    assert replace(task(data), probe_steps=(0, 3)).key != key
    elsewhere = tmp_path / "other.h5"
    elsewhere.write_bytes(b"jets")
    assert task(elsewhere).key == key
    elsewhere.write_bytes(b"JETS")
    assert task(elsewhere).key != key
    assert digest(str(elsewhere)) != digest(str(data))


def test_numbers_in_keys_are_exact():
    found = dict(
        canonical({"a": 2.0**-8, "b": 1e-7, "c": 1.0, "d": True, "e": [1, 2]})
    )
    assert found == {"a": "0.00390625", "b": "1e-07", "c": "1", "d": "yes", "e": "1,2"}


# ---- the store ----


def found(loss=2.5, state="done"):
    return {
        "state": state,
        "message": 'a, "quoted" message',
        "steps": 20,
        "figures": {"train_loss": loss, "first_loss": 5.0, "val_loss": loss + 0.1},
        "curve": [(10, 4.0), (20, loss)],
        "probes": [(0, "layer0", 1.0, 0.0)],
    }


def test_runs_are_kept(data, tmp_path):
    one, other = task(data), task(data, schedule__max=0.5)
    with Store(tmp_path / "runs") as store:
        assert store.find(one) is None
        store.add(one, found())
        store.add(other, found(state="diverged"))
    with Store(tmp_path / "runs") as again:
        run = again.find(one)
        assert (run["val_loss"], run.steps, run.diverged) == (2.6, 20, False)
        assert np.isnan(run["core_seconds"])
        assert again.find(other).diverged
        steps, losses = again.curve(run)
        assert list(steps) == [10, 20] and list(losses) == [4.0, 2.5]
        assert again.probes(run) == {(0, "layer0"): (1.0, 0.0)}


def test_a_run_that_did_not_learn_counts_as_diverged(data, tmp_path):
    with Store(tmp_path / "runs") as store:
        store.add(task(data), found(loss=5.5))
        assert store.find(task(data)).diverged


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_what_was_cut_short_is_done_again(data, tmp_path, cut):
    folder, one, other = tmp_path / "runs", task(data), task(data, schedule__max=0.5)
    with Store(folder) as store:
        store.add(one, found())
        store.add(other, found())
    for name in ("runs.csv", "curves.csv"):
        with open(folder / name, "rb+") as file:
            file.truncate(len(file.read()) - cut)
    with Store(folder) as store:
        assert store.find(one) is not None and store.find(other) is None
        store.add(other, found(loss=3.0))
    with Store(folder) as store:
        assert store.find(other)["train_loss"] == 3.0
        assert list(store.curve(store.find(other))[1]) == [4.0, 3.0]
        assert list(store.curve(store.find(one))[1]) == [4.0, 2.5]


def test_one_study_at_a_time(tmp_path):
    with Store(tmp_path):
        with pytest.raises(errors.StateError, match="another study"):
            with Store(tmp_path):
                pass
    with Store(tmp_path):
        pass


def test_files_of_another_form_are_refused(tmp_path):
    (tmp_path / "runs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(errors.StateError, match="columns"):
        Store(tmp_path)
