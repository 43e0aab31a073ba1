# SPDX-License-Identifier: Apache-2.0
"""What the studies share: their tasks, runs and files.

A study is a module with ``DEFAULTS``, ``SMALL`` (what --small changes), ``ARGUMENTS``
(what it can be told), ``tasks(bench)`` and ``conclude(bench)``, which writes a table
and a figure and returns the verdict. It may have ``SETS`` and ``UNUSED``: options that
it sets itself, and those that change nothing in it.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import importlib
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import __version__
from .._lines import replacing
from ..errors import InvalidArgument, StateError
from .fits import Floats
from .plan import plans
from .pool import results
from .store import Run, Store
from .task import Task, canonical

FORMS = ("sp", "mup")
LABELS = {"sp": "SP", "mup": "μP"}
FORM = "model.parametrization"
#: options that a study sets in every run by itself, and what tells it which values
OWN = {
    "model.embed_dim": "--widths",
    "model.base_width": "--base-width",
    "model.seed": "--seeds",
    "data.batch_size": "--batch",
    "data.max_jets": "--jets",
    "schedule.max": "the study's learning rates",
    "schedule.initial": "the study's learning rates",
}


def name_of(form: str) -> str:
    """A parametrisation in words and headings."""
    return LABELS.get(form, form)


#: what all runs of the studies have in common; KEY=VALUE words change it
OPTIONS: dict[str, object] = {
    # the multiplier of the read-out needs the norm before it (doc/parametrisation.md)
    "model.final_norm_pos": "pre",
    "model.num_heads": 8,
    "train.epochs": 1,
    # one thread a worker: one shard is the least work, and the bits are fixed
    "train.threads": 1,
    "train.shards": 1,
}
#: of studies that train: OneCycle, all of it in proportion to the largest rate
ONECYCLE: dict[str, object] = {"schedule.name": "onecycle", "schedule.pct_start": 0.1}
DIV_INITIAL, DIV_END = 25, 1000
#: patterns of what every study sets, and by what it is told; its own are its ``SETS``
SETS = {
    "model.embed_dim": "--widths",
    "model.base_width": "--base-width",
    "model.seed": "--seeds",
    "data.batch_size": "--batch",
    "data.max_jets": "--jets",
    "model.parametrization": "it compares them",
    **{f"schedule.{name}": "by learning rates" for name in ("initial", "max", "end")},
}
#: what changes no run of a study; its own are its ``UNUSED``
UNUSED = (
    "tagger.*",
    "scores.*",
    "provenance.*",
    "model.name",
    "train.checkpoint",
    "train.checkpoint_steps",
    "train.early_stopping",
    "train.probe_updates",
)


def check_settings(settings: Iterable[tuple[str, str]], study: Any) -> None:
    """Refuses options that a study would overrule or not use."""
    unused = (*UNUSED, *getattr(study, "UNUSED", ()))
    for key, _ in settings:
        for pattern, by in {**SETS, **getattr(study, "SETS", {})}.items():
            if by and fnmatch.fnmatchcase(key, pattern):
                raise InvalidArgument(f"{key}: this study sets it: {by}")
        if any(fnmatch.fnmatchcase(key, p) for p in unused):
            raise InvalidArgument(f"{key}: no run of this study uses it")


class Bench:
    """A study under way: its plan, its runs, its files."""

    def __init__(self, args: argparse.Namespace, study: Any, store: Store) -> None:
        check_settings(args.settings, study)
        plan = plans(study.DEFAULTS, study.SMALL)[args.small]
        given = {n: v for n, v in vars(args).items() if v is not None}
        self.plan = argparse.Namespace(**{**plan, **given})
        self.forms = _forms(self.plan.settings)
        self.name: str = study.__name__.rpartition(".")[2]
        self.store = store

    # ---- tasks ----

    def options(self, width: int, form: str, seed: int) -> dict[str, object]:
        """Options of a run, without its schedule."""
        plan = self.plan
        return {
            **OPTIONS,
            "model.embed_dim": width,
            FORM: form,
            "model.base_width": plan.base_width,
            "model.seed": seed,
            "data.batch_size": plan.batch,
            "data.max_jets": plan.jets,
        }

    def task(self, options: dict[str, object]) -> Task:
        """A training over the jets, with the user's options on top."""
        if not self.plan.val:
            raise InvalidArgument("no validation jets given; name them with -v")
        options = {**options, **dict(self.plan.settings)}
        files = tuple(self.plan.train), tuple(self.plan.val)
        return Task("fit", canonical(options), *files, self.plan.val_jets)

    def training(self, width: int, form: str, seed: int, rate: float) -> Task:
        """A training whose schedule is in proportion to its largest rate."""
        options = self.options(width, form, seed)
        options.update(ONECYCLE)
        options["schedule.initial"] = rate / DIV_INITIAL
        options["schedule.max"] = rate
        options["schedule.end"] = rate / DIV_END
        return self.task(options)

    @property
    def seeds(self) -> range:
        return range(1, self.plan.seeds + 1)

    # ---- runs ----

    def run(self, tasks: Iterable[Task]) -> None:
        """Does what is not done yet, small ones first."""
        wanted = {task.key: task for task in tasks}
        todo = sorted(
            (task for task in wanted.values() if not self.store.find(task)),
            key=lambda task: task.cost,
        )
        kept = len(wanted) - len(todo)
        self._say(f"{len(wanted)} runs, {kept} of them kept from before")
        if self.plan.no_runs:
            return
        start = time.monotonic()
        for number, (task, found) in enumerate(results(todo, self.plan.workers), 1):
            self.store.add(task, found)
            spent = time.monotonic() - start
            self._say(f"{number}/{len(todo)} {_line(task, found)}; {spent:.0f} s")

    def find(self, task: Task) -> Run | None:
        """The run of a task; None while there is none."""
        return self.store.find(task)

    def losses(
        self, width: int, form: str, figure: str = "val_loss", rates: Any = None
    ) -> Floats:
        """A figure of :meth:`training` by (rate, start); NaN where it diverged or is
        not done."""
        rates = self.plan.rates if rates is None else rates
        out = np.full((len(rates), len(self.seeds)), np.nan)
        for i, rate in enumerate(rates):
            for k, seed in enumerate(self.seeds):
                run = self.find(self.training(width, form, seed, rate))
                if run is not None and not run.diverged:
                    out[i, k] = run[figure]
        return out

    def runs(self, tasks: Iterable[Task]) -> list[Run]:
        """Those of the tasks that are finished."""
        return [run for run in map(self.find, tasks) if run is not None]

    def _say(self, text: str) -> None:
        print(f"gn2 study {self.name}: {text}", file=sys.stderr, flush=True)

    # ---- files ----

    def path(self, ending: str) -> str:
        """A file of the study."""
        return str(self.store.path / f"{self.name}{ending}")

    def title(self) -> str:
        """What was trained, for figures and verdicts."""
        plan = self.plan
        return (
            f"{plan.jets:,} jets once, batches of {plan.batch}, "
            f"{plan.seeds} start{'s' if plan.seeds > 1 else ''}, base width "
            f"{plan.base_width}, gn2 {__version__}"
        )

    def draw(self, name: str, *arguments: Any) -> None:
        """Writes the study's figure, made by ``module.function`` of this package; a
        word on standard error where there is no matplotlib."""
        module, function = name.split(".")
        try:
            found = importlib.import_module(f"{__package__}.{module}")
        except ImportError as problem:
            self._say(f"no figure: {problem}")
            return
        figure = getattr(found, function)(*arguments)
        found.style.save(figure, self.path(".png"), dpi=110)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Writes the study's CSV, whole or not at all."""
        with replacing(self.path(".csv")) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for row in rows:
                writer.writerow([_cell(value) for value in row])


def _forms(settings: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The parametrisations compared: the one that is asked for, else both.

    Options that would make all runs of a study one and the same are refused.
    """
    given = dict(settings)
    for key, instead in OWN.items():
        if key in given:
            raise InvalidArgument(
                f"{key} = {given[key]}: a study varies or names it itself; give "
                f"{instead}"
            )
    return (given[FORM],) if FORM in given else FORMS


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return str(value)


def _line(task: Task, found: dict[str, Any]) -> str:
    form, width = task[FORM], task["model.embed_dim"]
    rate, seed = float(task["schedule.max"]), task["model.seed"]
    loss = found["figures"].get("val_loss", found["figures"]["train_loss"])
    what = f"loss {loss:.4f}" if found["state"] == "done" else found["state"]
    return f"{form} width {width}, rate {rate:.3g}, seed {seed}: {what}"


def conduct(args: argparse.Namespace, study: Any) -> str:
    """Does the runs of a study that are missing, and concludes: its verdict."""
    with Store(args.out) as store:
        bench = Bench(args, study, store)
        bench.run(study.tasks(bench))
        if not bench.runs(study.tasks(bench)):
            raise StateError(f"no run of this study is in '{args.out}'")
        verdict: str = study.conclude(bench)
        with open(bench.path(".txt"), "w", encoding="utf-8") as file:
            file.write(verdict + "\n")
    return verdict
