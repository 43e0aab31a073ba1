# SPDX-License-Identifier: Apache-2.0
"""What becomes of a training by ranks that loses one of them.

    lost.py BUILD [--mpi NAME=CC,RUN …] [-o FOLDER]

A rank is killed, stopped (SIGSTOP), exits, or raises an exception in a callback: mpirun
must end within the deadline and with a status, no rank be left, and the last checkpoint
go on by 4, 2 and 1 ranks to the weights of an undisturbed run. Prints a table in
Markdown; the status is 1 where something is not so. Takes minutes: it is no part of the
test suite.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import mpis

DEADLINE = 10  # seconds of group.timeout
AT = 13  # step after which a rank is lost
EVERY = 5  # steps between checkpoints
OPTIONS = {
    "model.embed_dim": 32,
    "model.init_hidden": 32,
    "model.dropout_ffn": 0.1,
    "data.batch_size": 40,
    "data.max_jets": 1200,
    "train.epochs": 1,
    "train.threads": 1,
    "train.checkpoint_steps": EVERY,
}


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


def leave():
    os._exit(3)


def raise_it():
    raise RuntimeError("of the callback")


LOSSES = {"kill -9": kill, "SIGSTOP": stop, "exit": leave, "exception": raise_it}


# ---- a rank ----


def rank_main(folder, loss):
    """Trains in `folder`, going on where it stands; the last rank is lost."""
    import gn2

    group = gn2.Group.mpi() if gn2.group.launched() > 1 else None
    rank = group.rank if group else 0
    (folder / f"pid-{rank}").write_text(str(os.getpid()))
    checkpoint = folder / "checkpoint.gn2"
    config = gn2.Config({**OPTIONS, "train.checkpoint": str(checkpoint)})
    if loss:
        config["group.timeout"] = DEADLINE
    data = gn2.Dataset(mpis.DATA / "jets_train.h5", config)
    data.setup(config)
    trainer = gn2.Trainer(gn2.Model(config), config, group=group)
    if checkpoint.exists():
        trainer.load_checkpoint(checkpoint)

    def lose(progress):
        if loss and progress.step == AT and rank == group.size - 1:
            LOSSES[loss]()

    history = trainer.fit(data, callback=lose, progress=False)
    if rank == 0 and not history.stopped:
        trainer.snapshot().save(folder / "model.gn2")


# ---- the script ----


def command(folder, loss=""):
    return [os.path.abspath(__file__), "--rank", folder, loss]


def left(folder):
    """Ranks that are still there."""
    found = []
    for file in folder.glob("pid-*"):
        status = pathlib.Path(f"/proc/{file.read_text()}/cmdline")
        if status.exists() and b"lost.py" in status.read_bytes():
            found.append(file.name)
    return found


def lose(mpi, ranks, loss, folder):
    """(what is wrong, seconds, status)"""
    start = time.monotonic()
    job = subprocess.Popen(
        mpi.words(ranks, command(folder, loss)),
        env=mpi.env,
        stdout=subprocess.DEVNULL,
        stderr=open(folder / "stderr", "w"),
    )
    begun = None
    try:
        while job.poll() is None and time.monotonic() - start < 300:
            if begun is None and (folder / "checkpoint.gn2").exists():
                begun = time.monotonic()
            time.sleep(0.05)
    finally:
        if job.poll() is None:
            job.kill()
    spent = time.monotonic() - (begun or start)
    time.sleep(0.5)
    wrong = []
    if job.returncode == 0:
        wrong.append("status 0")
    if left(folder):
        wrong.append(f"left: {left(folder)}")
    if (folder / "model.gn2").exists():
        wrong.append("a model all the same")
    return ", ".join(wrong), spent, job.returncode


def goes_on(mpi, ranks, folder, out, model):
    """Is the last checkpoint taken to the end by so many ranks, to the same weights?"""
    shutil.copytree(folder, out)
    words = command(out)
    words = mpi.words(ranks, words) if ranks > 1 else mpis.alone(words)
    done = subprocess.run(
        words, env=mpi.env, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        return f"FAILED: {done.stderr[-200:]!r}"
    return "same" if (out / "model.gn2").read_bytes() == model else "NOT THE SAME"


def main():
    args = mpis.parser(__doc__).parse_args()
    bad = 0
    with mpis.folder_of(args) as folder:
        found = mpis.all_of(args, folder)
        whole = folder / "whole"
        whole.mkdir()
        subprocess.run(mpis.alone(command(whole)), env=found[0].env, check=True)
        model = (whole / "model.gn2").read_bytes()
        print("| MPI | lost by | status | s | gone on by 4, 2, 1 | wrong |")
        print("|---|---|---|---|---|---|")
        for mpi in found:
            for loss in LOSSES:
                out = folder / f"{mpi.name}-{loss.replace(' ', '')}"
                out.mkdir()
                wrong, spent, status = lose(mpi, 4, loss, out)
                how = [
                    goes_on(mpi, n, out, folder / f"{out.name}-{n}", model)
                    for n in (4, 2, 1)
                ]
                bad += bool(wrong) + sum(h != "same" for h in how)
                print(
                    f"| {mpi.version} | {loss} | {status} | {spent:.1f} "
                    f"| {', '.join(how)} | {wrong or 'nothing'} |",
                    flush=True,
                )
    sys.exit(bad > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        rank_main(pathlib.Path(sys.argv[2]), sys.argv[3] if sys.argv[3:] else "")
    else:
        main()
