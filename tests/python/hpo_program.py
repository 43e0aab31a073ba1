# SPDX-License-Identifier: Apache-2.0
"""A stand-in for `gn2 hpo trial`: the same contract, a formula instead of a training.

It steps to the budget's end with a checkpoint a step, goes on from it, and stops at
SIGTERM; its files are the same however often it was stopped or killed. What else it
does is said by the environment:

STAND_IN_PAUSE   seconds a step
STAND_IN_FAIL    NAME=VALUE of parameters at which it fails
STAND_IN_STATUS  exit status then (1)
"""
import argparse
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import sys
import time


def loss_at(parameters, step, seed):
    """Falls with the steps towards what the parameters are good for."""
    words = json.dumps([sorted(parameters.items()), seed])
    noise = int(hashlib.sha256(words.encode()).hexdigest()[:6], 16) / 0xFFFFFF
    bias = 0.0
    for text in parameters.values():
        try:
            bias += (float(text) - 0.3) ** 2
        except ValueError:
            bias += 0.1 * len(text)
    return bias + 0.01 * noise + 1 / step


def write(path, text):
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(text)
    draft.replace(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("space")
    parser.add_argument("-o", dest="out", type=pathlib.Path, required=True)
    parser.add_argument("--on-divergence", default="penalty")
    parser.add_argument("words", nargs="*")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parameters = dict(word.split("=", 1) for word in args.words)
    fail = dict([os.environ.get("STAND_IN_FAIL", "none=").split("=", 1)])
    if fail.items() <= parameters.items():
        print("the stand-in was asked to fail", file=sys.stderr)
        return int(os.environ.get("STAND_IN_STATUS", "1"))
    text = pathlib.Path(args.space).read_text()
    space = {name: int(n) for name, n in re.findall(r"(\w+): '?(\d+)'?$", text, re.M)}
    args.out.mkdir(parents=True, exist_ok=True)
    lock = open(args.out / "lock", "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 1
    lock.truncate(0)
    print(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), file=lock)
    lock.flush()
    try:
        train(args.out, space, parameters)
    finally:
        (args.out / "lock").unlink()
    return 0


def train(out, space, parameters):
    checkpoint, log = out / "checkpoint.gn2", out / "metrics.log"
    losses = json.loads(checkpoint.read_text()) if checkpoint.exists() else []
    every = space["validate_steps"]
    seed = space.get("seed", 42)
    trained = 0
    for step in range(len(losses) + 1, space["steps"] + 1):
        time.sleep(float(os.environ.get("STAND_IN_PAUSE", "0")))
        losses.append(loss_at(parameters, step, seed))
        trained += 1
        if step % every == 0:
            now = datetime.datetime.now(datetime.timezone.utc)
            stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            kept = log.read_text().splitlines(True) if log.exists() else []
            kept = kept[: step // every - 1]
            line = f"{stamp} step={step} val_loss={losses[-1]:.9g} other={step}\n"
            write(log, "".join([*kept, line]))
        write(checkpoint, json.dumps(losses))
    with open(out / "trained", "a") as file:
        file.write(f"{trained}\n")
    write(out / "model.gn2", json.dumps([parameters, losses]))
    book = {
        "gn2_trial": 1,
        "name": out.name,
        "state": "done",
        "parameters": parameters,
        "metrics": {"val_loss": losses[-1], "other": float(len(losses))},
        "resources": {"core_seconds": 3600.0},
    }
    write(out / "trial.json", json.dumps(book))


if __name__ == "__main__":
    sys.exit(main())
