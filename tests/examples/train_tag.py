# SPDX-License-Identifier: Apache-2.0
"""The programs `train` and `tag` on the sample of jets: what a user sees of them.

train_tag.py TRAIN TAG SAMPLE_FOLDER
"""
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

TRAIN, TAG = sys.argv[1:3]
SAMPLE = pathlib.Path(sys.argv[3])
JETS = {part: str(SAMPLE / f"jets_{part}.h5") for part in ("train", "val", "test")}
SMALL = [
    "model.embed_dim=16",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.out_dim=16",
    "model.init_hidden=16",
    "data.batch_size=100",
    "data.max_jets=600",
    "schedule.max=2e-3",
]


def run(*command, status=0):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, (command, done.returncode, done.stderr)
    return done


def says(text, *words):
    for word in words:
        assert word in text, f"'{word}' is not in: {text}"


def help_tells_everything(program):
    text = run(program, "--help").stdout
    says(text, "usage:", "KEY=VALUE", "--keys", "Exit status", "--config")
    keys = run(program, "--keys").stdout
    says(keys, "model.embed_dim=256", "schedule.max=5e-4", "tagger.threads=")
    says(run(program, "--version").stdout, "libgn2")


def wrong_command_lines_exit_with_2():
    for command in (
        [TRAIN],
        [TRAIN, "--frobnicate"],
        [TRAIN, "--output"],
        [TRAIN, "--epochs", "many", "a.h5"],
        [TAG],
        [TAG, "model.gn2"],
        [TAG, "-n", "-1", "a", "b"],
        [TAG, "a", "b", "c"],
    ):
        says(run(*command, status=2).stderr, "--help")


def failures_exit_with_1_and_name_the_cause(folder):
    says(run(TRAIN, str(folder / "none.h5"), status=1).stderr, "none.h5")
    says(
        run(TRAIN, JETS["train"], "model.embed_dam=3", status=1).stderr,
        "model.embed_dam",
        "model.embed_dim",
    )
    says(run(TRAIN, JETS["train"], "model.num_heads=7", status=1).stderr, "num_heads")
    (folder / "bad.conf").write_text("model.embed_dim = 64\nmodel.num_layers = x\n")
    says(
        run(TRAIN, "-c", str(folder / "bad.conf"), JETS["train"], status=1).stderr,
        "bad.conf",
        "2",
    )
    (folder / "bad.gn2").write_bytes(b"no model at all")
    says(run(TAG, str(folder / "bad.gn2"), JETS["test"], status=1).stderr, "bad.gn2")


def trains(folder):
    """Returns the model; the config file and the command line both count."""
    model = folder / "model.gn2"
    (folder / "run.conf").write_text("train.epochs = 9\nmodel.name = Small\n")
    done = run(
        TRAIN,
        JETS["train"],
        "-v",
        JETS["val"],
        "-c",
        str(folder / "run.conf"),
        "-o",
        str(model),
        "-e",
        "2",
        *SMALL,
    )
    rows = re.findall(r"^ +\d+( +\d+\.\d+){8}$", done.stdout, re.M)
    assert len(rows) == 2, done.stdout
    says(done.stdout, "b-efficiency", "77 %", str(model))
    says(done.stderr, "600 jets", "epoch 2/2", "lr ", "jets/s", "vertex")
    assert "\r" not in done.stderr  # no terminal
    return model


def tags(folder, model):
    scores = folder / "scores.h5"
    done = run(TAG, "-n", "3", "-o", str(scores), str(model), JETS["test"])
    jets = re.findall(
        r"^jet (\d+): .*p_b (\S+).*p_c (\S+).*p_u (\S+).*p_tau (\S+)"
        r".*D_b (\S+).*\((\w+)\)$",
        done.stdout,
        re.M,
    )
    assert [int(j[0]) for j in jets] == [0, 1, 2], done.stdout
    for jet in jets:
        assert abs(sum(map(float, jet[1:5])) - 1) < 4.5e-4  # four digits each
    table = re.findall(r"^ +(\d+) % +(\S+) +(\S+) +(\S+) +(\S+)$", done.stdout, re.M)
    assert [int(row[0]) for row in table] == [65, 70, 77, 85], done.stdout
    for column in (1, 2, 3, 4):  # the looser the cut, the more passes
        values = [float(row[column]) for row in table]
        assert values == sorted(values, reverse=True), done.stdout
    head = scores.read_bytes()[:8]
    assert head == b"\x89HDF\r\n\x1a\n", head


def stops_and_goes_on(folder):
    """A run stopped by Ctrl-C and resumed gives the scores of one that was not."""
    whole, parts = folder / "whole.gn2", folder / "parts.gn2"
    command = [
        TRAIN,
        JETS["train"],
        "-e",
        "4",
        "-v",
        JETS["val"],
        *SMALL,
        "data.max_jets=9000",
    ]
    run(*command, "-o", str(whole))
    process = subprocess.Popen(
        [*command, "-o", str(parts)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()  # the head of the table: an epoch is over
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, (process.returncode, errors)
    checkpoint = str(parts) + ".ckpt"
    says(errors, "stopped", checkpoint)
    assert not parts.exists()
    run(*command, "-o", str(parts), "--resume", checkpoint)
    results = [
        run(TAG, "-n", "100", str(m), JETS["test"]).stdout for m in (whole, parts)
    ]
    assert results[0] == results[1]


def main():
    if not pathlib.Path(JETS["train"]).exists():
        print(f"skipped: no jets in {SAMPLE}")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for program in (TRAIN, TAG):
            help_tells_everything(program)
        wrong_command_lines_exit_with_2()
        failures_exit_with_1_and_name_the_cause(folder)
        tags(folder, trains(folder))
        stops_and_goes_on(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
