# SPDX-License-Identifier: Apache-2.0
"""What may be asked of a training that goes on, or that begins with a model.

A run that goes on gives the same bits as one that was not stopped, so an option may
change only if it does not change them: those of ``config.FREE``, ``train.epochs`` where
the schedule does not depend on it, and ``train.validate_steps`` where no early stopping
counts the validations.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from .. import Config, Model
from ..config import FREE
from ..trainer import fixed_by_model
from .common import Failure
from .container import contents

#: beginnings of keys that a training does not read: other commands do
UNUSED = ("tagger.", "scores.")
#: what the library finds out
FILLED = ("library", "data", "jets", "given", "steps")
#: what tells how normalisation and class weights are made, which a model has already
SETUP = ("data.norm_dict", "data.class_dict", "data.class_weights", "data.norm_jets")

#: what a checkpoint has recorded: beginnings of the model's keys, and of the run's,
#: which stand behind OPTION
OF_MODEL = ("model.", "inputs.", "norm.", "task.", "input.", "discriminant.")
OF_RUN = ("optim.", "schedule.", "train.", "data.", "compute.", "model.dropout_")
OPTION = "trainer.option."


def shown(config: Config, key: str) -> str:
    """A value as it is written on the command line."""
    value = config[key]
    items = value if isinstance(value, list) else [value]
    return ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in items)


def changed(old: Config, new: Config) -> list[str]:
    """Keys whose values differ."""
    keys = dict.fromkeys([*old, *new])
    return [key for key in keys if old.get(key) != new.get(key)]


def _depends_on_epochs(config: Config) -> bool:
    return config["schedule.steps"] == 0 and config["schedule.name"] != "constant"


def _may_change(config: Config) -> list[str]:
    """What the run of a config may be told otherwise when it goes on."""
    free = list(FREE)
    if config["train.early_stopping"] == 0:
        free.append("train.validate_steps")
    if not _depends_on_epochs(config):
        free.append("train.epochs")
    return free


def _difference(key: str, old: Config, new: Config) -> str:
    text = f"{key} is {shown(old, key)}, not {shown(new, key)}"
    if key == "train.epochs":
        text += " (the schedule's length with it, since schedule.steps is 0)"
    return text


def done_steps(checkpoint: str) -> int:
    """Steps behind a checkpoint."""
    return int(contents(checkpoint).keys.get("trainer.step", 0))


def check_saved(folder: str, checkpoint: str) -> None:
    """Refuses to go on with a run that left nothing to go on with."""
    if not os.path.exists(checkpoint):
        raise Failure(
            f"nothing of the run in '{folder}' was saved yet: it ended before its "
            "first checkpoint. gn2 fit with its files and --force starts over; "
            "train.checkpoint_steps=N saves every N steps, not after epochs alone"
        )


def _recorded(checkpoint: str) -> tuple[Config, tuple[str, ...]]:
    """The options a checkpoint was made with, and beginnings of the keys it knows."""
    config, found = Config(), contents(checkpoint).keys
    begins: tuple[str, ...] = OF_MODEL
    for key, value in found.items():
        if key.startswith(OF_MODEL) and not key.startswith(OF_RUN):
            config.set_text(key, value)
    for key, value in found.items():  # older files have none
        if key.startswith(OPTION):
            config.set_text(key.removeprefix(OPTION), value)
            begins = (*OF_MODEL, *OF_RUN)
    return config, begins


def check_unedited(config: Config, folder: str, checkpoint: str) -> None:
    """Refuses a config.txt that is not the one its checkpoint was made with."""
    recorded, begins = _recorded(checkpoint)
    skipped = () if OF_RUN[0] in begins else OF_RUN
    wrong = [
        f"{key} is {shown(config, key)}, in checkpoint.gn2 {shown(recorded, key)}"
        for key in changed(recorded, config)
        if key.startswith(begins) and not key.startswith(skipped)
        if key not in (*_may_change(recorded), "train.checkpoint") and "*" not in key
        # an older version's; what it came to is the checkpoint's
        if (key, config[key]) != ("train.precision", "auto")
    ]
    if wrong:
        raise Failure(
            f"config.txt in '{folder}' is not what the run began with: "
            f"{'; '.join(wrong)}. Put it back; a new run may begin with the weights: -m"
        )


def check_resume(old: Config, new: Config, folder: str) -> None:
    """Refuses changes that would not give the run that was begun."""
    free = _may_change(old)
    wrong = [_difference(k, old, new) for k in changed(old, new) if k not in free]
    if wrong:
        raise Failure(
            f"the run in '{folder}' cannot go on with other options: "
            f"{'; '.join(wrong)}. These may change: {', '.join(free)}. "
            "A new run may begin with its weights: -m"
        )


def check_start(model: Config, asked: Config) -> None:
    """Refuses options that a model to start with has settled otherwise."""
    wrong = [
        f"{key} is {shown(model, key)}, not {shown(asked, key)}"
        for key in changed(model, asked)
        if fixed_by_model(key) or key.startswith("discriminant.")
    ]
    if wrong:
        raise Failure(
            f"options that the model of -m fixes: {'; '.join(wrong)}. "
            "Leave them out, or train without -m"
        )


def keep_provenance(own: Config, config: Config) -> None:
    """What a file of options tells of the origin of another run is not for this one."""
    for key in (*own, *config):
        if key.startswith("provenance.") and "*" not in key:
            config[key] = own.get(key, "")


def _is_order(key: str) -> bool:
    """Does the option list what columns or rows of tensors are about?"""
    of_task = key.startswith("task.") and key.endswith((".classes", ".targets"))
    lists = ("model.classes", "model.constituents", "model.tasks")
    return of_task or key in lists or (key.startswith("inputs.") and "*" not in key)


def _moved(old: Any, new: Any) -> bool:
    """Has a name another place, where there are as many? A new name may have one."""
    if not isinstance(old, list) or len(old) != len(new):
        return False
    return any(a != b and a in new for a, b in zip(old, new))


def check_files(old: dict[str, Any], new: dict[str, Any], folder: str) -> None:
    """Refuses other files, or another order, than those the run began with."""
    for what in ("train", "val"):
        had, has = ([os.path.basename(f) for f in d[what]] for d in (old, new))
        if had != has:
            raise Failure(
                f"the run in '{folder}' began with {what} files {', '.join(had)}, not "
                f"{', '.join(has)}: leave them out, or begin a new run with -m"
            )


def check_content(old: dict[str, Any], new: dict[str, Any], folder: str) -> None:
    """Refuses files of the same names with other jets."""
    before = old.get("data")
    if (
        before is None or "data" not in new
    ):  # of an earlier version; a rank that follows
        return
    files = (*new["train"], *new["val"])
    wrong = [f for f, a, b in zip(files, before, new["data"]) if a != b]
    if wrong:
        names = ", ".join(map(os.path.abspath, wrong))
        raise Failure(
            f"the run in '{folder}' began with files of other content: {names}; give "
            "those, by their paths, or begin a new run with -m"
        )


def take_over(old: Model, new: Model) -> str:
    """Copies the tensors of the same name and shape; says which do not fit."""
    fit = [n for n, p in new.params.items() if n in old.params]
    fit = [n for n in fit if old.params[n].shape == new.params[n].shape]
    for key in changed(old.config, new.config):
        if _is_order(key) and _moved(old.config.get(key), new.config[key]):
            raise Failure(
                f"{key} is {shown(old.config, key)} in the model of -m, asked for is "
                f"{shown(new.config, key)}: tensors go by position, give the same order"
            )
    for name in fit:
        new[name] = old[name]
    if not fit:
        raise Failure("no tensor of the model of -m fits the one that is asked for")
    text = f"{len(fit)} of {len(new.params)} tensors are those of the model of -m"
    rest = [name for name in new.params if name not in fit]
    return text + (f"; at random: {', '.join(rest)}" if rest else "")


def check_used(keys: Iterable[str], model: str | None) -> None:
    """Refuses options on the command line that a training does not read, or not one
    that begins with a model."""
    for key in keys:
        if key == "train.checkpoint":
            raise Failure(
                f"{key}: a run keeps its checkpoint in its folder, checkpoint.gn2"
            )
        if key.startswith(UNUSED):
            raise Failure(f"{key}: gn2 fit does not use it")
        if key in [f"provenance.{name}" for name in FILLED]:
            raise Failure(f"{key}: the library fills it in")
        if model is not None and key in SETUP:
            raise Failure(f"{key}: the model of -m has normalisation and class weights")
