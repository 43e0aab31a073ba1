# SPDX-License-Identifier: Apache-2.0
"""Kills a search again and again and compares it with one that nobody disturbed.

    kill_study.py [--kills 20] [--store journal|URL] [--workers 1] [--real SPACE]
    database.sh postgresql kill_study.py …

The other search is in sqlite, this one in sqlite, a journal or a database without a
study. With one worker the trials must be the same, bit for bit: parameters, values,
validations and model files. With several every trial must have been told once and none
be left. By default trials are those of the stand-in tests/python/hpo_program.py; with
--real they are trainings. Kills come at random moments of a worker's life and, every
other time, at a write to the store: asking, reporting, telling.
"""
import argparse
import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-S", str(ROOT / "tests/python/hpo_program.py"))
SPACE = """\
gn2_space: 1
name: killed
algorithm: {name: %s, seed: 3}
pruning: {name: median, startup: 3}
parameters:
  rate: {key: schedule.max, type: real, min: 1e-4, max: 1, scale: log}
  decay: {key: optim.weight_decay, type: real, min: 0.1, max: 0.5}
data: {train: [a.h5], val: [b.h5]}
budget: {steps: 12, validate_steps: 2}
trials: %d
"""
#: kills itself at write N to the store, before or after it is done
WORKER = """\
import os, signal, sys
import optuna
writes = ["create_new_trial"]
writes += ["set_trial_" + n for n in ("param", "user_attr", "intermediate_value")]
writes += ["set_trial_system_attr", "set_trial_state_values"]
left = [int(os.environ.get("KILL_AT_WRITE", "-1"))]
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def counted(write):
    def call(self, *args, **kinds):
        left[0] -= 1
        if left[0] == 0 and os.environ.get("KILL_BEFORE"):
            die()
        found = write(self, *args, **kinds)
        if left[0] == 0:
            die()
        return found
    return call
for kind in (optuna.storages.RDBStorage, optuna.storages.JournalStorage):
    for name in writes:
        setattr(kind, name, counted(getattr(kind, name)))
from gn2.cli import main
sys.exit(main(sys.argv[1:]))
"""


def space_in(folder, algorithm="tpe", trials=11, text=SPACE):
    """A space file with data of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a.h5", "b.h5"):
        (folder / name).write_text(name)
    path = folder / "space.yaml"
    path.write_text(text % (algorithm, trials))
    return path


def command(space, out, *words, program=" ".join(PROGRAM)):
    """Starts a worker."""
    more = ["--program", program] if program else []
    words = ["hpo", "run", str(space), "-o", str(out), "--lease", "3", *words, *more]
    return [sys.executable, "-c", WORKER, *words]


def start(words, **environment):
    """A worker in a session of its own."""
    return subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )


def kill(worker, everything=False):
    """Ends a worker as a crash would; its trials are told to stop, or crash as well."""
    with contextlib.suppress(ProcessLookupError):
        if everything:
            for child in children(worker.pid):
                os.kill(child, signal.SIGKILL)
        os.kill(worker.pid, signal.SIGKILL)
    worker.wait()


def children(pid):
    """Of a process."""
    with contextlib.suppress(OSError):
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]
    return []


def disturbed(words, kills, draw, seconds, workers=1):
    """Runs a search to its end with so many kills; returns those that hit."""
    hits = 0
    crew = [None] * workers
    while True:
        for i, worker in enumerate(crew):
            if worker is None or (worker.poll() not in (None, 0)):
                at = {}
                if hits < kills and draw.random() < 0.5:
                    at = {"KILL_AT_WRITE": str(draw.randrange(1, 40))}
                    at["KILL_BEFORE"] = draw.choice(("", "yes"))
                if worker is not None:
                    assert worker.returncode == -signal.SIGKILL, worker.stderr.read()
                    hits += 1
                crew[i] = start(words, **(at if hits < kills else {}))
        if all(worker.poll() == 0 for worker in crew):
            return hits
        end = time.monotonic() + draw.uniform(0.2, seconds)
        while time.monotonic() < end and any(w.poll() is None for w in crew):
            time.sleep(0.02)
        victim = draw.choice(crew)
        if hits < kills and victim.poll() is None:
            kill(victim, draw.random() < 0.5)


def books(space, out, store=None):
    """What stands in the store, without times and places."""
    from gn2.hpo import engine, reader

    rows = engine.trials(reader.load(space), store, pathlib.Path(out))
    return [
        (r.number, r.state, dict(r.parameters), r.values, r.curve, r.cached)
        for r in rows
    ]


def models(out, rows):
    """Contents of the models of trials that were run to their end; one that was pruned
    may have been at its end by then, or not."""
    names = [f"{row[0]:04d}" for row in rows if row[1] == "done"]
    return [
        (pathlib.Path(out) / "trials" / n / "model.gn2").read_bytes() for n in names
    ]


def compare(space, whole, out, workers, store=None):
    """Raises AssertionError where two searches differ."""
    a, b = books(space, whole), books(space, out, store)
    if workers == 1:
        assert a == b, [(x, y) for x, y in zip(a, b) if x != y] or (len(a), len(b))
        assert models(whole, a) == models(out, b)
    assert [row[0] for row in b] == list(range(len(a))), "a trial is missing"
    assert all(row[1] in ("done", "pruned", "cached") for row in b), b


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    usual = os.environ.get("STORE", "sqlite")  # of database.sh
    parser.add_argument("--store", default=usual, help="sqlite, journal or a URL")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--algorithm", default="tpe")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0, help="between kills")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--real", type=pathlib.Path, help="space file of trainings")
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gn2-kills-"))
    os.environ.setdefault("STAND_IN_PAUSE", "0.02")
    program = "" if args.real else " ".join(PROGRAM)
    space = args.real or space_in(folder, args.algorithm, args.trials)
    words = ["-n", str(args.trials)]
    log = folder / "out" / "journal.log"
    known = {"sqlite": None, "journal": f"journal:{log}"}
    store = known.get(args.store, args.store)
    whole = start(command(space, folder / "whole", *words, program=program))
    assert whole.wait() == 0, whole.stderr.read()
    (folder / "out").mkdir()
    words += ["--store", store] if store else []
    draw = random.Random(args.seed)
    line = command(space, folder / "out", *words, program=program)
    hits = disturbed(line, args.kills, draw, args.seconds, args.workers)
    compare(space, folder / "whole", folder / "out", args.workers, store)
    states = [row[1] for row in books(space, folder / "out", store)]
    print(
        f"{hits} kills, {len(states)} trials, {states.count('pruned')} pruned: as they"
    )
    print("should be; the same as undisturbed" if args.workers == 1 else "none left")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
