# SPDX-License-Identifier: Apache-2.0
"""`gn2 monitor`: files that grow, are cut off, damaged and gone; and what is told of
them, to Prometheus and in a file."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

pytest.importorskip("prometheus_client", reason="needs prometheus-client: gn2[serve]")
from prometheus_client import generate_latest  # noqa: E402
from prometheus_client.parser import (  # noqa: E402
    text_string_to_metric_families as parse,
)

from gn2.cli import main  # noqa: E402
from gn2.hpo.books import Trial  # noqa: E402
from gn2.monitor.exporter import Exporter  # noqa: E402
from gn2.monitor.table import METRICS  # noqa: E402

from prometheus import promtool  # noqa: E402

HEADER = "event,epoch,seconds,step,jets,loss,loss_jets,learning_rate,val_loss\n"


def told(text):
    """{name and labels but that of the folder: value}; labels are the table's."""
    found = {}
    for family in parse(text):
        assert family.documentation == METRICS[family.name].text
        for sample in family.samples:
            labels = METRICS[family.name].labels
            assert sorted(sample.labels) == sorted(labels)
            first, *others = (sample.labels[name] for name in labels)
            found[(os.path.basename(first), family.name[4:], *others)] = sample.value
    return found


def page(exporter):
    return told(generate_latest(exporter.registry).decode())


def step(number, seconds, loss=1.5):
    return f"step,0,{seconds},{number},100,{loss},{float(loss) / 2},0.01,\n"


def make_run(folder, text, state="running"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(f'{{"state": "{state}"}}')
    (folder / "metrics.csv").write_text(text)
    return folder


def test_a_run_that_grows(tmp_path):
    run = make_run(tmp_path / "a", "")
    exporter = Exporter([str(tmp_path)])
    assert page(exporter)[("a", "run_state", "running")] == 1
    with open(run / "metrics.csv", "a") as file:

        def add(text):
            file.write(text)
            file.flush()
            return page(exporter)

        assert ("a", "run_step") not in add(HEADER[:20])
        assert ("a", "run_step") not in add(HEADER[20:])
        found = add(step(1, 10) + step(2, 11.0) + step(3, 12)[:-9])
        assert found[("a", "run_step")] == 2
        assert found[("a", "run_loss", "all")] == 1.5
        assert found[("a", "run_loss", "jets")] == 0.75
        assert found[("a", "run_learning_rate")] == 0.01
        assert found[("a", "run_jets_per_second")] == 100
        assert abs(found[("a", "run_updated_seconds")] - time.time()) < 60
        assert ("a", "run_best_loss") not in found
        found = add(step(3, 12)[-9:] + "epoch,0,13,3,100,1.5,,,0.25\n")
        assert found[("a", "run_step")] == 3
        found = add("epoch,1,14,3,100,1.5,,,nan\nepoch,2,15,3,100,1.5,,,0.5\n")
        assert found[("a", "run_validation_loss", "all")] == 0.5
        assert found[("a", "run_best_loss")] == 0.25
        assert found[("a", "run_epoch")] == 2
        # another process goes on: its clock begins anew
        assert add(step(4, 1) + step(5, 3))[("a", "run_jets_per_second")] == 50


def test_a_run_that_begins_anew_and_one_that_goes(tmp_path):
    text = HEADER + "".join(step(n, n) for n in range(1, 9))
    run = make_run(tmp_path / "a", text)
    make_run(tmp_path / "b", text, "done")
    exporter = Exporter([str(tmp_path / "a"), str(tmp_path / "*"), "nowhere"])
    assert page(exporter)[("a", "run_step")] == 8
    os.truncate(run / "metrics.csv", len(HEADER) + len(step(1, 1)))
    assert page(exporter)[("a", "run_step")] == 1
    (run / "new").write_text(HEADER + step(1, 1) + step(2, 2, "nan"))
    os.replace(run / "new", run / "metrics.csv")
    found = page(exporter)
    assert found[("a", "run_step")] == 2
    assert found[("a", "run_loss", "all")] != found[("a", "run_loss", "all")]
    assert found[("b", "run_state", "done")] == 1
    (tmp_path / "b").rename(tmp_path / "c")
    assert {key[0] for key in page(exporter)} == {"a", "c"}


def test_what_cannot_be_read_does_not_hide_the_others(tmp_path, caplog):
    make_run(tmp_path / "good", HEADER + step(1, 1))
    make_run(tmp_path / "bytes", "")
    (tmp_path / "bytes/metrics.csv").write_bytes(os.urandom(5000) + b"\n")
    (tmp_path / "bytes/run.json").write_text("{")
    make_run(tmp_path / "odd", HEADER + "step,x,,7\n" + '"' + step(2, "x")[4:])
    (tmp_path / "folder/metrics.csv").mkdir(parents=True)
    (tmp_path / "folder/run.json").write_text("[]")
    (tmp_path / "search/trials/0001").mkdir(parents=True)
    (tmp_path / "search/trials/0001/trial.json").write_text("no")
    (tmp_path / "search/space-1.yaml").write_text("gn2_space: [")
    exporter = Exporter([str(tmp_path)])
    for _ in range(2):
        found = page(exporter)
        assert found[("good", "run_step")] == 1
        wrong = {key[0] for key in found if key[1] == "monitor_unreadable"}
        assert {"folder", "search"} <= wrong <= {"folder", "search", "bytes", "odd"}
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(wrong) and any("space-1.yaml" in line for line in lines)


def save(folder, state, **more):
    folder.mkdir(parents=True)
    Trial(name=folder.name, state=state, parameters={}, **more).save(folder)
    return folder


def test_trials_without_a_store(tmp_path):
    """As Katib's pods leave them on a volume."""
    place = tmp_path / "search/trials"
    cost = {"wall_seconds": 10.0, "core_seconds": 20.0, "package_joules": 500.0}
    save(place / "0000", "done", resources=cost, metrics={"val_loss": 0.5})
    save(place / "0001", "failed", resources={"wall_seconds": 1.0})
    make_run(save(place / "0002", "running"), HEADER + step(7, 1))
    save(place / "0003", "running")
    (place / "0003/trial.json").write_text('{"gn2_trial": 1}')
    exporter = Exporter([str(tmp_path / "search"), f"{place}/*"])
    found = page(exporter)
    assert generate_latest(exporter.registry).count(b"gn2_run_step{") == 1
    states = {k[2]: v for k, v in found.items() if k[1] == "search_trials"}
    assert states["done"] == states["failed"] == states["running"] == 1
    assert sum(states.values()) == 3 and states["pruned"] == 0
    assert found[("search", "search_wall_seconds")] == 11
    assert found[("search", "search_core_seconds")] == 20
    assert found[("search", "search_joules", "package")] == 500
    assert ("search", "search_joules", "dram") not in found
    assert found[("0002", "run_step")] == 7


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_search_with_a_store(tmp_path, kind):
    pytest.importorskip("yaml", reason="needs PyYAML")
    pytest.importorskip("optuna", "4.4", reason="needs Optuna 4.4 or newer")
    from hpo_searches import CHOICES, journal, run, space_in

    space = space_in(tmp_path, algorithm="random", trials=3, text=CHOICES)
    out = tmp_path / "out"
    url = journal(out) if kind == "journal" else None
    rows, _ = run(space, out, store=url)
    found = page(Exporter([str(out)]))
    states = [row.state for row in rows]
    assert found[("out", "search_trials", "done")] == states.count("done")
    assert found[("out", "search_wanted")] == 3 == len(rows)
    best = min(row.values[0] for row in rows if row.state in ("done", "cached"))
    assert found[("out", "search_best", space.objective.metric)] == best
    assert not [key for key in found if key[1] == "monitor_unreadable"]
    if url:  # a store that is elsewhere
        (out / "journal.log").rename(tmp_path / "x.log")
        elsewhere = page(Exporter([str(out)], f"journal:{tmp_path}/x.log"))
        assert elsewhere == found
        save(out / "trials/9999", "done")  # by its file, which tells no figure
        alone = page(Exporter([str(out)]))
        assert alone[("out", "search_best", space.objective.metric)] == best


def test_the_space_is_that_of_the_study(tmp_path, caplog):
    """Older and newer ones lie beside it; without a store it is not guessed."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    pytest.importorskip("optuna", "4.4", reason="needs Optuna 4.4 or newer")
    from hpo_searches import CHOICES, run, space_in

    out = tmp_path / "out"
    run(space_in(tmp_path, algorithm="random", trials=3, text=CHOICES), out)
    (own,) = out.glob("space-*.yaml")

    def beside(days, **changes):
        """Another space file, so much newer than that of the search."""
        path = out / f"space-{days}.yaml"
        value = {**yaml.safe_load(own.read_text()), **changes}
        path.write_text(yaml.safe_dump(value, sort_keys=False))
        os.utime(path, (time.time() + 86400 * days,) * 2)
        return path

    exporter = Exporter([str(out)])
    wanted = page(exporter)
    assert wanted[("out", "search_wanted")] == 3
    beside(-1, trials=50, seed=9)  # a repetition
    beside(1, trials=60, options={"model.embed_dim": 256})  # the target
    (out / "space-broken.yaml").write_text("gn2_space: [")
    assert page(exporter) == wanted
    # other data: the command was refused, its file is there
    data = {"train": [str(tmp_path / "c.h5")], "val": [str(tmp_path / "b.h5")]}
    (tmp_path / "c.h5").write_text("c")
    refused = beside(2, trials=70, data=data)
    assert page(exporter) == wanted
    # more trials of the same search: the newest says how many
    more = beside(3, trials=5)
    assert page(exporter)[("out", "search_wanted")] == 5
    more.unlink()
    assert page(exporter) == wanted and not caplog.records
    # none is: it says so
    refused.unlink()
    own.rename(tmp_path / "own.yaml")
    found = page(exporter)
    assert found[("out", "monitor_unreadable")] == 1
    text = caplog.records[-1].getMessage()
    assert "is that of the search in 'sqlite" in text and "9 in the file" in text
    # no store: trials are told, what hangs on the space is not
    (tmp_path / "own.yaml").rename(own)
    (out / "study.db").rename(tmp_path / "study.db")
    found = page(exporter)
    assert ("out", "search_wanted") not in found
    assert found[("out", "search_trials", "done")] > 0
    assert "no store tells which" in caplog.records[-1].getMessage()
    assert page(Exporter([str(out)], f"sqlite:///{tmp_path}/study.db")) == wanted


def test_the_command_answers_and_leaves(tmp_path):
    make_run(tmp_path / "a", HEADER + step(1, 1))
    command = [sys.executable, "-m", "gn2", "monitor", str(tmp_path), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    (url,) = re.findall(r"http://127\.0\.0\.1:\d+/metrics", process.stderr.readline())
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert told(answer.read().decode())[("a", "run_step")] == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert process.stderr.read() == ""


def test_a_file_for_the_node_exporter(tmp_path, capsys):
    """It is never there in part."""
    run = make_run(tmp_path / "a", HEADER + step(1, 1))
    out = tmp_path / "gn2.prom"
    words = ["monitor", str(run), "--textfile", str(out), "--interval"]
    assert main([*words, "0"]) == 0
    first = out.stat().st_ino
    assert told(out.read_text())[("a", "run_step")] == 1
    assert main([*words, "0"]) == 0 and out.stat().st_ino != first
    assert sorted(os.listdir(tmp_path)) == ["a", "gn2.prom"]
    later = ["monitor", str(tmp_path / "x*"), *words[2:], "0"]
    assert main(later) == 0 and "x*' is not there yet" in capsys.readouterr().err
    run.joinpath("x.prom").mkdir()
    for name, said in (("x.prom", "is no regular file"), ("metrics.csv", ".prom;")):
        words[3] = str(run / name)
        assert main([*words, "0"]) == 1 and said in capsys.readouterr().err
    assert (run / "metrics.csv").read_text() == HEADER + step(1, 1)
    for wrong in (["--port", "x"], ["--interval", "-1"], ["--port", "1", *words[2:4]]):
        with pytest.raises(SystemExit) as ended:
            main(["monitor", str(run), *wrong])
        assert ended.value.code == 2


def test_promtool_takes_what_is_told(tmp_path):
    cost = {"wall_seconds": 10.0, "core_seconds": 20.0, "package_joules": 500.0}
    save(tmp_path / "search/trials/0", "done", resources=cost)
    make_run(tmp_path / "run", HEADER + step(1, 1) + step(2, 2, "nan"))
    (tmp_path / "folder/metrics.csv").mkdir(parents=True)
    (tmp_path / "folder/run.json").write_text("[]")
    registry = Exporter([str(tmp_path)]).registry
    text = generate_latest(registry).decode()
    for name in ("gn2_run_loss", "gn2_search_joules", "gn2_monitor_unreadable"):
        assert f"\n{name}{{" in text
    promtool("check", "metrics", text=text)


def test_doc_has_the_table():
    root = pathlib.Path(__file__).resolve().parents[2]
    text = (root / "doc/farm.md").read_text(encoding="utf-8")
    for metric in METRICS.values():
        row = f"| `{metric.name}{{{','.join(metric.labels)}}}` | {metric.text} |"
        assert row in text, row


def test_a_textfile_is_one_of_ours(tmp_path, capsys):
    """Not the table of a run, which would be replaced."""
    table = tmp_path / "m.csv"
    table.write_text("step\n")
    assert main(["monitor", str(tmp_path), "--textfile", str(table)]) == 1
    assert "files that end in .prom" in capsys.readouterr().err
    assert table.read_text() == "step\n"
