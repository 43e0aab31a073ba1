# SPDX-License-Identifier: Apache-2.0
"""The local engine, with a stand-in for the trial program: no trial is lost, told twice
or made up, whatever is killed, frozen, full or changed."""

import contextlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("yaml", reason="needs PyYAML")
optuna = pytest.importorskip("optuna", "4.4", reason="needs Optuna 4.4 or newer")

import gn2
from gn2.cli import main
from gn2.hpo import after, engine, engines, reader, sampling, store
from gn2.hpo.engine import Plan
from gn2.hpo.render import job
from hpo_searches import CHOICES, PROGRAM, journal, kill_study, run, space_in, trained
from hpo_searches import wait_for


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nobody disturbed, in sqlite: its space file and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    space = kill_study.space_in(folder)
    run(reader.load(space), folder / "out")
    return space, folder / "out"


# ---- killed, frozen, stopped ----


def test_a_search_that_is_killed_is_as_one_that_is_not(whole, tmp_path):
    space, out = whole
    words = kill_study.command(space, tmp_path, "--store", journal(tmp_path))
    kills = int(os.environ.get("GN2_TEST_KILLS", "6"))
    hits = kill_study.disturbed(words, kills, random.Random(5), 2.0)
    assert hits
    # a journal, and the other is in sqlite
    kill_study.compare(space, out, tmp_path, 1, journal(tmp_path))
    states = [row.state for row in engine.trials(reader.load(space), None, out)]
    assert "pruned" in states


def test_two_workers_that_are_killed_tell_every_trial_once(whole, tmp_path):
    space, out = whole
    words = kill_study.command(space, tmp_path, "--store", journal(tmp_path))
    assert kill_study.disturbed(words, 4, random.Random(6), 2.0, workers=2)
    kill_study.compare(space, out, tmp_path, 2, journal(tmp_path))


def test_every_cell_of_a_grid_is_trained_once_in_spite_of_kills(tmp_path):
    space = kill_study.space_in(tmp_path, "grid", 6, CHOICES)
    out = tmp_path / "out"
    words = kill_study.command(space, out, "--store", journal(out))
    assert kill_study.disturbed(words, 3, random.Random(7), 1.5, workers=2)
    rows = engine.trials(reader.load(space), journal(out), out)
    cells = {tuple(row.parameters.values()) for row in rows}
    assert len(rows) == len(cells) == 6
    assert all(row.state == "done" for row in rows)


def test_sigterm_stops_all_and_the_same_command_goes_on(whole, tmp_path):
    space, out = whole
    words = kill_study.command(space, tmp_path, "--store", journal(tmp_path), "-q")
    worker = kill_study.start(words, STAND_IN_PAUSE="0.3")
    wait_for(lambda: (tmp_path / "trials/0000/checkpoint.gn2").exists())
    children = kill_study.children(worker.pid)
    for pid in (*children, worker.pid):
        os.kill(pid, signal.SIGTERM)
    assert worker.wait(30) == 143 and "terminated" in worker.stderr.read()
    assert children and not any(os.path.exists(f"/proc/{pid}") for pid in children)
    run(reader.load(space), tmp_path, store=journal(tmp_path))
    kill_study.compare(space, out, tmp_path, 1, journal(tmp_path))
    assert len(trained(tmp_path)["0000"]) == 1  # went on from its checkpoint


# ---- trials of a kind ----


def test_equal_trials_are_trained_once_and_marked(tmp_path):
    space = reader.load(kill_study.space_in(tmp_path, "random", 12, CHOICES))
    rows, _ = run(space, tmp_path / "out", workers=2)
    first = {}
    for row in rows:
        first.setdefault(row.key, row)
    assert len(first) <= 6 < len(rows) and len(trained(tmp_path / "out")) == len(first)
    for row in rows:
        twin = first[row.key]
        assert (row.state, row.cached) == (
            ("done", None) if row is twin else ("cached", twin.number)
        )
        assert row.values == twin.values and row.curve == twin.curve


def test_a_trial_that_waits_for_its_twin_does_not_keep_it_from_being_adopted(tmp_path):
    text = (
        CHOICES.replace("0.001, ", "")
        .replace("max: 4", "max: 3")
        .replace("type: integer, min: 2, max: 3", "type: choice, values: [2]")
    )
    space = reader.load(kill_study.space_in(tmp_path, "random", 2, text))
    lost = engine.Search(space, Plan(tmp_path / "out", program=PROGRAM, quiet=True))
    assert lost._fill()  # has trial 0, and ends while trial 1 waits for it
    timer = threading.Timer(1.5, lost.crew.active[0].lease.release)
    timer.start()
    rows, _ = run(space, tmp_path / "out")
    timer.join()
    assert [(row.state, row.cached) for row in rows] == [("done", None), ("cached", 0)]


@pytest.mark.parametrize(("status", "attempts"), [("1", 2), ("2", 1), ("3", 1)])
def test_how_a_trial_failed_is_kept(tmp_path, monkeypatch, status, attempts):
    monkeypatch.setenv("STAND_IN_FAIL", "rate=0.001")
    monkeypatch.setenv("STAND_IN_STATUS", status)
    space = reader.load(kill_study.space_in(tmp_path, "grid", 6, CHOICES))
    rows, _ = run(space, tmp_path / "out", failures=6)
    bad = [row for row in rows if row.parameters["rate"] == "0.001"]
    assert {row.state for row in bad} == {"diverged" if status == "3" else "failed"}
    assert all(not row.values for row in bad)
    assert sum(row.state == "done" for row in rows) == 3
    log = (tmp_path / "out/logs" / f"{bad[0].name}.log").read_text()
    assert log.count("was asked to fail") == attempts


def test_too_many_failures_end_the_search_with_the_causes(tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAIL", "rate=0.001")
    space = reader.load(kill_study.space_in(tmp_path, "grid", 6, CHOICES))
    with pytest.raises(gn2.StateError, match="2 trials failed.*asked to fail"):
        run(space, tmp_path / "out", failures=1)
    rows, _ = run(space, tmp_path / "out", failures=3)
    assert len(rows) == 6


def test_a_search_without_a_trial_that_ended_well_fails(tmp_path, capsys):
    """Two that failed are no more than are allowed, and nothing was found."""
    space, out = space_in(tmp_path, trials=1), tmp_path / "out"
    command = ["hpo", "run", space.path, "-o", str(out), "-q", "--program"]
    assert main([*command, "false"]) == 1
    assert "every trial failed: exit status 1" in capsys.readouterr().err
    command[4] = str(tmp_path / "other")
    assert main([*command, str(tmp_path / "none")]) == 1
    assert "none' cannot be started: No such file" in capsys.readouterr().err


def test_what_is_no_journal_stays_as_it_is(tmp_path, capsys):
    """Lines were added to it, behind its last end of line; the rest was lost."""
    space, path = space_in(tmp_path, trials=1), tmp_path / "jets.h5"
    for data in (b"text\nmore", b"\xff\n\0"):
        path.write_bytes(data)
        for word in ("run", "show"):
            command = ["hpo", word, space.path, "-o", str(tmp_path / word)]
            assert main([*command, "--store", f"journal:{path}"]) == 1
            assert "jets.h5: the file is no journal" in capsys.readouterr().err
            assert path.read_bytes() == data
    url, path = journal(tmp_path / "out"), tmp_path / "out/journal.log"
    run(space, tmp_path / "out", store=url)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:3], b"more", *lines[4:]]))
    assert main([*command, "--store", url]) == 1
    assert "is damaged" in capsys.readouterr().err


def test_limits_of_time(tmp_path):
    space = reader.load(kill_study.space_in(tmp_path, "grid", 6, CHOICES))
    rows, search = run(space, tmp_path / "out", core_hours=1.5)  # a trial says 1
    assert [row.state for row in rows] == ["done"] * 2 and "core-hours" in search.limit
    rows, search = run(space, tmp_path / "out", hours=1e-9)
    assert len(rows) == 2 and "hours are over" in search.limit
    rows, search = run(space, tmp_path / "out")
    assert len(rows) == 6 and not search.limit


def test_a_pruned_trial_is_run_to_its_end(whole, tmp_path):
    space, out = whole
    text = reader.load(space)
    number = next(
        r.number for r in engine.trials(text, None, out) if r.state == "pruned"
    )
    # a store of its own: others compare with the one of `whole`
    url = journal(tmp_path / "out")
    rows, _ = run(text, tmp_path / "out", store=url)
    plan = Plan(tmp_path / "out", url, program=PROGRAM, quiet=True)
    told = after.finish(text, plan, number)
    assert f"trial {number} to its end, as trial {len(rows)}" in told
    assert after.finish(text, plan, number).endswith(f"already, as trial {len(rows)}")
    new = engine.trials(text, url, tmp_path / "out")[-1]
    assert new.finishes == number and new.state == "done"
    assert new.parameters == rows[number].parameters
    again, _ = run(text, tmp_path / "out", store=url)
    assert len(again) == len(rows) + 1  # it does not count as a trial
    with pytest.raises(gn2.StateError, match="only a pruned one"):
        after.finish(text, plan, 0)


@pytest.mark.parametrize(
    ("written", "asked", "total", "said"),
    [
        (None, None, 6, ""),  # all cells
        (6, None, 6, ""),
        (4, None, 4, "4 trials: the grid has 6 cells"),
        (9, None, 6, "6 trials: the grid has 6 cells"),
        (4, 5, 5, "5 trials: the grid has 6 cells"),
        (4, 9, 6, "6 trials: the grid has 6 cells"),
    ],
)
def test_the_trials_of_a_grid_are_as_many_for_every_engine(
    tmp_path, written, asked, total, said
):
    line = "trials: %d\n"
    text = CHOICES if written else CHOICES.replace(line, "#" + line)
    space = reader.load(kill_study.space_in(tmp_path, "grid", written or 0, text))
    assert sampling.count(space, asked) == (total, said)
    assert engines.trials(space, asked) == total
    words = job.command(space)  # rendered
    assert asked or words[words.index("-n") + 1] == str(total)


def test_a_grid_goes_on_to_its_other_cells(tmp_path):
    space = reader.load(kill_study.space_in(tmp_path, "grid", 4, CHOICES))
    first, _ = run(space, tmp_path / "out")
    rows, _ = run(space, tmp_path / "out", trials=6)
    assert len(first) == 4 and rows[:4] == first
    assert len({tuple(row.parameters.values()) for row in rows}) == len(rows) == 6


def test_two_objectives(tmp_path):
    text = kill_study.SPACE.replace(
        "pruning: {name: median, startup: 3}",
        "objective: [{metric: val_loss}, {metric: other, direction: maximize}]",
    )
    space = reader.load(kill_study.space_in(tmp_path, "tpe", 3, text))
    rows, _ = run(space, tmp_path / "out")
    assert all(row.values == (row.metrics["val_loss"], 12.0) for row in rows)
    with pytest.raises(gn2.StateError, match="no best of two"):
        after.confirm(space, Plan(tmp_path / "out"), 1, 1)


def test_halving_decides_as_optunas_pruner():
    draw = random.Random(1)
    theirs = optuna.create_study(
        pruner=optuna.pruners.SuccessiveHalvingPruner(1, 2, 0), direction="maximize"
    )
    ours = optuna.create_study(direction="maximize")
    for _ in range(40):
        value = draw.random()
        trials = [study.ask() for study in (theirs, ours)]
        for trial in trials:
            trial.report(value, 1)
        rows = ours.get_trials()
        mine = sampling._asha(ours, rows[-1], 1, rows[:-1])
        assert mine == trials[0].should_prune()


def test_sobol_goes_by_the_number_of_the_trial(tmp_path):
    space = space_in(tmp_path, algorithm="sobol", trials=6)
    assert sampling.count(space, None)[0] == 8
    found = []
    for skip in (0, 1):  # one of them is asked twice
        study = optuna.create_study()
        ids = [study.ask()._trial_id for _ in range(8)]
        for trial_id in [*ids[:skip], *ids]:
            values = sampling.ask(study, trial_id, space)[1]
        found.append([t.params for t in study.get_trials()])
    assert found[0] == found[1] and values == found[0][-1]
    logs = sorted(params["rate"] for params in found[0])
    assert logs[3] < 1e-2 < logs[4]  # halves of 1e-4 … 1, in the logarithm


# ---- refusals ----


def test_what_the_sampler_needs_is_known_before_a_trial(tmp_path, monkeypatch):
    space = space_in(tmp_path, algorithm="cmaes")
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(gn2.Error, match="needs cmaes.*pip install cmaes"):
        run(space, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_store_of_another_search_is_refused(tmp_path):
    space = space_in(tmp_path, trials=1)
    run(space, tmp_path / "out")
    path = pathlib.Path(space.path)
    path.write_text(path.read_text().replace("max: 1,", "max: 2,"))
    with pytest.raises(gn2.StateError, match=r"rate\.high is 1\.0 there, 2\.0 in"):
        run(reader.load(path), tmp_path / "out")
    path.write_text(path.read_text().replace("max: 2,", "max: 1,") + "kubernetes: {}\n")
    rows, _ = run(reader.load(path), tmp_path / "out", trials=2)  # may differ
    assert len(rows) == 2
    with pytest.raises(gn2.StateError, match="another folder"):
        url = f"sqlite:///{tmp_path / 'out/study.db'}"
        run(reader.load(path), tmp_path / "elsewhere", store=url)


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("name: ", "objective: {direction: maximize}\nname: ", "val_loss is minimize"),
        ("name: ", "objective: {metric: val_jets}\nname: ", "val_jets is none there"),
        ("schedule.max", "schedule.initial", "keys is .'schedule.max'. there"),
        ("  rate:", "  speed:", "parameters.speed is none there"),
        ("seed: 3", "seed: 2", "algorithm.seed is 3 there"),
    ],
)
def test_another_space_does_not_name_the_values_of_a_search(
    tmp_path, capsys, old, new, said
):
    """They would stand in other columns, and the worst be the best."""
    space, out = space_in(tmp_path, trials=1), tmp_path / "out"
    run(space, out)
    (tmp_path / "a.h5").unlink()  # what was found can be shown without the data
    assert main(["hpo", "show", space.path, "-o", str(out)]) == 0
    path = pathlib.Path(space.path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    capsys.readouterr()
    for word in ("show", "report"):
        assert main(["hpo", word, space.path, "-o", str(out)]) == 1
        assert re.search(said, capsys.readouterr().err)


def test_a_folder_is_of_one_search(tmp_path):
    """Trials, leases and what was confirmed are called by numbers there."""
    space, out = space_in(tmp_path, trials=1), tmp_path / "out"
    run(space, out)
    path = pathlib.Path(space.path)
    path.write_text(path.read_text().replace(f"name: {space.name}", "name: other"))
    for url in (None, journal(tmp_path / "elsewhere")):
        with pytest.raises(gn2.StateError, match=f"of the search '{space.name}': give"):
            run(reader.load(path), out, store=url)
    with pytest.raises(gn2.StateError, match="no search 'other'"):
        engine.trials(reader.load(path), None, out)


def test_what_another_search_confirmed_is_not_transferred(tmp_path):
    space = reader.load(kill_study.space_in(tmp_path, "grid", 6, CHOICES))
    plan = Plan(tmp_path / "out", program=PROGRAM, quiet=True)
    run(space, plan.folder)
    after.confirm(space, plan, 1, 1)
    path = pathlib.Path(space.path)
    path.write_text(path.read_text().replace("seed: 1", "seed: 1}\nseed: 7 # {"))
    with pytest.raises(gn2.StateError, match="seed is 42 there, 7 in the file"):
        after.transfer(reader.load(path), plan)
    # the same folder and name, begun anew
    for place in ("study.db", "trials", "leases", "transfer"):
        found = plan.folder / place
        shutil.rmtree(found) if found.is_dir() else found.unlink(missing_ok=True)
    run(reader.load(path), plan.folder)
    with pytest.raises(gn2.StateError, match="confirm.json' is of another search"):
        after.transfer(reader.load(path), plan)


def test_data_that_changed_are_refused(tmp_path):
    space = space_in(tmp_path, trials=2)
    run(space, tmp_path / "out", trials=1)
    (tmp_path / "a.h5").write_text("other jets")
    with pytest.raises(gn2.StateError, match="data.train"):
        run(space, tmp_path / "out")
    (tmp_path / "a.h5").write_text("a.h5")
    plan = Plan(tmp_path / "out", program=PROGRAM, quiet=True)
    search = engine.Search(space, plan)
    (tmp_path / "b.h5").write_text("other jets")
    with pytest.raises(gn2.StateError, match=r"data changed.*b\.h5"):
        search.run()
    assert len(engine.trials(space, None, tmp_path / "out")) == 1


def test_a_store_that_is_locked_or_read_only_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.2)
    space = space_in(tmp_path, trials=2)
    run(space, tmp_path / "out", trials=1)
    file = tmp_path / "out/study.db"
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("begin exclusive")
        with pytest.raises(gn2.StateError, match="is locked by another program"):
            run(space, tmp_path / "out")
    with pytest.raises(gn2.StateError, match="may not be written"):
        run(space, tmp_path / "out", store=f"sqlite:///file:{file}?mode=ro&uri=true")
    rows, _ = run(space, tmp_path / "out")
    assert [row.state for row in rows] == ["done"] * 2
    with pytest.raises(gn2.Error, match="is no store"):
        run(space, tmp_path / "out", store="study.db")


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_full_disk_loses_nothing(whole, tmp_path, kind):
    space, out = whole
    url = journal(tmp_path) if kind == "journal" else None
    file = tmp_path / ("journal.log" if url else "study.db")
    words = kill_study.command(space, tmp_path, *(["--store", url] if url else []))
    run(reader.load(space), tmp_path, store=url, trials=1)
    room = file.stat().st_size + 2000  # no whole trial more

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    worker = subprocess.run(words, preexec_fn=limit, capture_output=True, text=True)
    assert worker.returncode == 1
    assert "no trial is lost" in worker.stderr
    run(reader.load(space), tmp_path, store=url)
    kill_study.compare(space, out, tmp_path, 1, url)


def test_a_trial_without_room_ends_the_search_and_is_not_told(whole, tmp_path):
    space, out = whole
    words = kill_study.command(space, tmp_path, program="sh -c 'echo words; exit 4'")
    worker = subprocess.run(words, capture_output=True, text=True)
    assert worker.returncode == 1
    assert re.search("0000 has no room .words.: .*no trial is lost", worker.stderr)
    run(reader.load(space), tmp_path)
    kill_study.compare(space, out, tmp_path, 1)


def test_a_torn_line_of_a_journal_is_taken_away(whole, tmp_path):
    space, out = whole
    url = journal(tmp_path)
    run(reader.load(space), tmp_path, store=url, trials=2)
    with open(tmp_path / "journal.log", "a") as file:
        file.write('{"op_code":6,"wor')  # a writer was killed here
    run(reader.load(space), tmp_path, store=url)
    kill_study.compare(space, out, tmp_path, 1, url)
