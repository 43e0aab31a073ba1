# SPDX-License-Identifier: Apache-2.0
"""Training: steps, fits, callbacks, interrupts, checkpoints."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import SMALL, Sample

import gn2

OPTIONS = {
    "train.epochs": 3,
    "data.batch_size": 50,
    "schedule.max": 1e-2,
    "train.threads": 1,
    "train.shards": 2,
}


def toy(model, jets=400, seed=1):
    """Jets whose class is the sign pattern of their two variables."""
    rng = np.random.default_rng(seed)
    sample = Sample(model.inputs, rng.integers(0, 5, jets), seed)
    flavour = 2 * (sample.jets[:, 0] > 0) + (sample.jets[:, 1] > 0)
    total = len(sample.tracks)
    origin = np.where(sample.tracks[:, 0] > 0, 3, 2)
    vertex = rng.integers(0, 2, total)
    return sample, {"flavour": flavour, "origin": origin, "vertex": vertex}


@pytest.fixture
def data(model):
    sample, labels = toy(model)
    other, truth = toy(model, 200, 2)
    return (
        gn2.Dataset.from_arrays(sample.jets, sample.ragged, labels, OPTIONS),
        gn2.Dataset.from_arrays(other.jets, other.ragged, truth, OPTIONS),
    )


@pytest.fixture
def trainer(model):
    with gn2.Trainer(model, OPTIONS) as trainer:
        yield trainer


def weights(trainer):
    return np.concatenate([a.ravel() for a in trainer.model.state_dict().values()])


def test_a_fit_learns(trainer, data):
    before = trainer.evaluate(data[1])
    history = trainer.fit(*data, progress=False)
    assert len(history.steps) == 24 and len(history.validation) == 3
    assert history["step"].tolist() == list(range(1, 25))
    # better than before, and than equal probabilities for all classes
    assert history.validation[-1].loss < before.loss
    assert history.validation[-1].loss_jets < np.log(4)
    assert history["val_loss"][-1] == history.validation[-1].loss
    assert not history.stopped and "24 steps" in repr(history)
    after = trainer.evaluate(data[1])
    assert after.loss == history.validation[-1].loss
    assert after.rejection.shape == (4, 3) and after.cut.shape == (4,)
    assert "val_rejection_light_77" in after.flat()


def test_steps_on_arrays_in_all_forms_are_the_same(model):
    sample, labels = toy(model, 60)
    data, valid = sample.padded()
    wide = {n: np.full(valid.shape, -1, np.int8) for n in ("origin", "vertex")}
    for name, values in wide.items():
        values[valid] = labels[name]
    lists = {n: np.split(labels[n], sample.offsets[1:-1]) for n in wide}
    forms = [
        (sample.jets, sample.ragged, labels, None),
        (
            sample.records("f8", sample.jet_names, sample.jets),
            (sample.records("f8"), sample.offsets),
            labels,
            None,
        ),
        (sample.jets, sample.split(), {**labels, **lists}, None),
        (sample.jets, data, {**labels, **wide}, valid),
    ]
    results = []
    for jets, tracks, truth, mask in forms:
        with gn2.Trainer(model, {**OPTIONS, "schedule.steps": 2}) as trainer:
            stats = trainer.step(jets, tracks, truth, valid=mask)
            assert (stats.step, stats.jets) == (1, 60)
            results.append((stats.loss, weights(trainer).tobytes()))
    assert len(set(results)) == 1


def test_a_batch_of_a_dataset_is_a_step(model, data):
    with gn2.Trainer(model, {**OPTIONS, "schedule.steps": 1}) as trainer:
        batch = next(iter(data[0]))
        assert np.isfinite(trainer.step(*batch).loss)
        with pytest.raises(gn2.StateError):
            trainer.step(*batch)


def test_bad_steps_leave_the_weights(model):
    sample, labels = toy(model, 60)
    trainer = gn2.Trainer(model, {**OPTIONS, "schedule.steps": 5})
    before = weights(trainer)
    bad = sample.jets.copy()
    bad[3, 1] = np.nan
    for arguments, kind in [
        ((bad, sample.ragged, labels), gn2.NumericError),
        ((sample.jets, sample.ragged, labels["flavour"] + 9), gn2.Error),
        ((sample.jets, sample.ragged, labels["flavour"][1:]), gn2.ShapeError),
        ((sample.jets[:, :1], sample.ragged, labels), gn2.ShapeError),
    ]:
        with pytest.raises(kind):
            trainer.step(*arguments)
    assert (weights(trainer) == before).all()


def test_bad_data_are_told_from_a_network_that_diverges(model):
    sample, labels = toy(model, 60)
    rates = {f"schedule.{name}": 1e3 for name in ("initial", "max", "end")}
    rates.update({"schedule.steps": 30, "optim.weight_decay": 1})
    trainer = gn2.Trainer(model, {**OPTIONS, **rates})
    bad = sample.jets.copy()
    bad[3, 1] = np.nan
    with pytest.raises(gn2.NumericError, match="jet 3") as raised:
        trainer.step(bad, sample.ragged, labels)
    assert raised.value.of_network is False
    with pytest.raises(gn2.NumericError) as raised:
        for _ in range(30):
            trainer.step(sample.jets, sample.ragged, labels)
    assert raised.value.of_network is True


def test_a_history_has_validations_inside_epochs_at_their_steps(model, trainer, data):
    events = []
    with gn2.Trainer(model, {**OPTIONS, "train.validate_steps": 6}) as other:
        history = other.fit(
            *data, progress=False, callback=lambda p: events.append((p.event, p.step))
        )
        assert history.validation_steps == [6, 8, 12, 16, 18, 24]  # epochs of 8
        inside = [("validation", step) for step in (6, 12, 18)]
        assert [e for e in events if e[0] == "validation"] == inside
        assert len(history["val_loss"]) == 6 and events[-1] == ("epoch", 24)
        trainer.fit(*data, progress=False)
        assert (weights(other) == weights(trainer)).all()
        assert (
            trainer.history["val_loss"].tolist()
            == history["val_loss"][[1, 3, 5]].tolist()
        )


def test_callbacks_see_every_event_and_can_stop(trainer, data):
    events = []

    def note(progress):
        events.append((progress.event, progress.step))
        return progress.step == 10

    history = trainer.fit(*data, progress=False, callback=note)
    assert history.stopped and events[-1] == ("step", 10)
    assert events.count(("epoch", 8)) == 1 and len(history.steps) == 10
    rest = trainer.fit(*data, progress=False)
    assert rest.steps[0].step == 11 and not rest.stopped


def test_what_a_callback_raises_comes_out(trainer, data):
    class Mine(Exception):
        pass

    def fail(progress):
        if progress.step == 3:
            raise Mine("third step")

    with pytest.raises(Mine, match="third step"):
        trainer.fit(*data, progress=False, callback=fail)
    assert len(trainer.history.steps) == 3
    trainer.fit(*data, progress=False)
    assert trainer.history.steps[0].step == 4


def test_callbacks_may_save_but_not_step_or_close(trainer, data, tmp_path):
    refused = []

    def act(progress):
        if progress.event == "epoch":
            trainer.save_checkpoint(tmp_path / "c.gn2")
            assert trainer.model.size
        for action in (trainer.close, data[0].close, data[1].close):
            with pytest.raises((gn2.StateError, gn2.BusyError)):
                action()
            refused.append(action)
        with pytest.raises((gn2.StateError, gn2.BusyError)):
            trainer.fit(*data)

    trainer.fit(*data, progress=False, callback=act)
    assert refused and (tmp_path / "c.gn2").exists()


def test_stop_from_another_thread(trainer, data, tmp_path):
    going = threading.Event()
    stopper = threading.Thread(target=lambda: (going.wait(), trainer.request_stop()))
    stopper.start()

    def slow(progress):
        going.set()
        stopper.join()

    path = tmp_path / "stopped.gn2"
    history = trainer.fit(*data, progress=False, callback=slow, checkpoint=path)
    assert history.stopped and len(history.steps) == 1 and path.exists()


def test_a_checkpoint_goes_on_to_the_bit(model, data, tmp_path):
    whole = gn2.Trainer(model, OPTIONS)
    whole.fit(*data, progress=False)
    path = tmp_path / "c.gn2"
    first = gn2.Trainer(model, OPTIONS)
    first.fit(*data, progress=False, checkpoint=path, callback=lambda p: p.step == 11)
    second = gn2.Trainer(model, OPTIONS)
    second.load_checkpoint(path)
    second.fit(*data, progress=False)
    assert second.history.steps[0].step == 12
    assert (weights(second) == weights(whole)).all()


INTERRUPTED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import gn2
from conftest import SMALL
from test_trainer import OPTIONS, toy, weights

model = gn2.Model(SMALL)
sample, labels = toy(model)
data = gn2.Dataset.from_arrays(sample.jets, sample.ragged, labels, OPTIONS)
trainer = gn2.Trainer(model, OPTIONS)

def interrupt(progress):
    if progress.step == 5:
        os.kill(os.getpid(), signal.SIGINT)

try:
    trainer.fit(data, progress=False, callback=interrupt, checkpoint="c.gn2")
except KeyboardInterrupt:
    steps = len(trainer.history.steps)
    other = gn2.Trainer(model, OPTIONS)
    other.load_checkpoint("c.gn2")
    assert (weights(other) == weights(trainer)).all()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print("interrupted", steps, trainer.fit(data, progress=False).steps[0].step)
"""


def test_ctrl_c_stops_with_a_checkpoint(tmp_path):
    here = os.path.dirname(__file__)
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(tests=here)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.stdout.split() == ["interrupted", "5", "6"], done.stderr


def test_signals_without_a_python_handler_are_left_alone(trainer, data):
    before = signal.getsignal(signal.SIGTERM)
    trainer.fit(data[0], progress=False, callback=lambda p: True)
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_threads_at_once_raise(trainer, data):
    refused = []

    def other():
        try:
            trainer.evaluate(data[1])
        except gn2.BusyError as problem:
            refused.append(problem)

    def start(progress):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return True

    trainer.fit(data[0], progress=False, callback=start)
    assert len(refused) == 1


@pytest.mark.parametrize("where", ["terminal", "file", "terminal without tqdm"])
def test_the_bar(trainer, data, capsys, monkeypatch, where):
    if where == "terminal":
        pytest.importorskip("tqdm")
    if where == "terminal without tqdm":
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: where != "file")
    trainer.fit(*data)
    shown = capsys.readouterr().err
    assert ("\r" in shown) == (where == "terminal")
    assert (
        "epoch 3/3" in shown and f"{trainer.history.validation[-1].loss:.4f}" in shown
    )


def rms(x):
    return np.sqrt(np.mean(np.square(x, dtype=float)))


def probes_of(trainer, batch):
    return {p.name: p for p in trainer.probe(*batch[:2])}


def test_a_probe_tells_of_every_module_and_tensor(model, data):
    trainer = gn2.Trainer(model, {**OPTIONS, "train.probe_updates": "yes"})
    batch = next(iter(data[0]))
    first = probes_of(trainer, batch)
    tensors = [n for n, p in first.items() if p.kind == "tensor"]
    assert tensors == list(model.params) == list(first)[-len(tensors) :]
    for p in first.values():
        assert p.mean_abs <= p.rms * (1 + 1e-12) <= p.max_abs * (1 + 1e-6)
        assert p.change_mean_abs == p.change_rms == 0
        assert np.isnan(p.gradient_rms) and np.isnan(p.update_rms)
        before_relu = p.name.startswith(("init_pre", "ffn_pre"))
        assert np.isnan(p.dead_share) != before_relu
    trainer.fit(data[0], progress=False, callback=lambda p: p.step == 4)
    before = trainer.model.state_dict()
    trainer.fit(data[0], progress=False, callback=lambda p: True)
    after, start = trainer.model.state_dict(), model.state_dict()
    for name, p in probes_of(trainer, batch).items():
        if p.kind == "module":
            assert np.isnan(p.gradient_rms) and np.isnan(p.update_rms)
            continue
        assert p.count == after[name].size and p.gradient_rms > 0
        now = after[name].astype(float)
        assert p.rms == pytest.approx(rms(now), rel=1e-12)
        assert p.change_rms == pytest.approx(rms(now - start[name]), rel=1e-12)
        assert p.update_rms == pytest.approx(rms(now - before[name]), rel=1e-12)


def test_changes_of_logits_are_those_between_two_taggers(model, trainer, data):
    batch = next(iter(data[0]))
    trainer.fit(data[0], progress=False, callback=lambda p: p.step == 3)
    now, start = (
        gn2.Tagger(m).tag(*batch[:2], outputs=["logits"]).logits.astype(float)
        for m in (trainer.model, model)
    )
    p = probes_of(trainer, batch)["jets_classification"]
    assert p.mean_abs == pytest.approx(np.abs(now).mean(), rel=1e-12)
    assert p.change_mean_abs == pytest.approx(np.abs(now - start).mean(), rel=1e-12)
    assert p.change_rms == pytest.approx(rms(now - start), rel=1e-12) and p.change_rms


@pytest.mark.parametrize("electrons", [0, 2])
def test_constituent_types_are_one_module(electrons):
    names = {"tracks": ["a", "b", "c"], "electrons": ["d"]}
    options = {f"inputs.{name}": inputs for name, inputs in names.items()}
    model = gn2.Model({**SMALL, **options, "model.constituents": list(names)})
    rng = np.random.default_rng(3)
    jets, counts = rng.normal(size=(2, 2)), {"tracks": 1, "electrons": electrons}
    parts = {n: rng.normal(size=(2 * counts[n], len(names[n]))) for n in names}
    offsets = {n: np.arange(3) * counts[n] for n in names}
    rows = {n: (parts[n], offsets[n]) for n in names}
    p = {p.name: p for p in gn2.Trainer(model, OPTIONS).probe(jets, rows)}
    state, values = list(model.state_dict().items()), []
    for i, n in enumerate(names):
        found = [a for k, a in state if k.startswith(f"init_nets.{i}.")]
        x = np.hstack([np.repeat(jets, counts[n], axis=0), parts[n]])
        values.append(x.astype(np.float32) @ found[0].T + found[1])
    flat = np.concatenate([v.ravel() for v in values])
    assert p["init_pre"].count == flat.size == p["init"].count
    assert p["init_pre"].mean_abs == pytest.approx(np.abs(flat).mean(), rel=1e-5)
    dead = np.concatenate([(v <= 0).all(axis=0) for v in values if len(v)])
    assert p["init_pre"].dead_share == dead.mean() and 0 < dead.mean() < 1


def test_a_callback_may_probe_and_training_goes_on_the_same(model, trainer, data):
    batch = next(iter(data[1]))
    found = {}

    def look(progress):
        logits = probes_of(trainer, batch)["jets_classification"]
        found[progress.event, progress.step] = logits

    trainer.fit(*data, progress=False, callback=look)
    assert len(found) == 24 + 3
    assert found["epoch", 24][:8] == found["step", 24][:8]  # the others are NaN
    assert found["step", 24].change_rms > found["step", 1].change_rms > 0
    plain = gn2.Trainer(model, OPTIONS)
    plain.fit(*data, progress=False)
    assert (weights(plain) == weights(trainer)).all()


def test_another_thread_may_not_probe_during_a_fit(trainer, data):
    batch = next(iter(data[1]))
    refused = []

    def other():
        with pytest.raises(gn2.BusyError):
            trainer.probe(*batch[:2])
        refused.append(True)

    def start(progress):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return True

    trainer.fit(data[0], progress=False, callback=start)
    assert refused == [True]


def test_what_a_probe_refuses(trainer, data):
    jets, tracks, _ = next(iter(data[0]))
    with pytest.raises(gn2.InvalidArgument, match="needs jets"):
        trainer.probe(jets[:0], (tracks.values[:0], tracks.offsets[:1]))
    jets[3, 1] = np.nan
    with pytest.raises(gn2.NumericError, match="jet 3"):
        trainer.probe(jets, tracks)
    assert trainer.memory > 0


def test_a_closed_trainer_says_so(model, data):
    trainer = gn2.Trainer(model, OPTIONS)
    trainer.close()
    trainer.close()
    for call in (trainer.request_stop, trainer.snapshot, lambda: trainer.fit(*data)):
        with pytest.raises(gn2.StateError, match="Trainer is closed"):
            call()
    with pytest.raises(gn2.StateError, match="Dataset is closed"):
        data[0].close()
        gn2.Trainer(model, OPTIONS).fit(*data)
