# SPDX-License-Identifier: Apache-2.0
"""Trains a tagger on HDF5 files in the layout of ATLAS's dumpers.

Everything goes into a run directory: config.txt, run.json, metrics.csv, metrics.log,
checkpoint.gn2, best.gn2 (least validation loss) and model.gn2 (at the end). One line of
name=value words an epoch, and a validation inside one (train.validate_steps=N: every N
steps), goes to metrics.log and stdout, the progress bar to stderr. Ctrl-C and SIGTERM
stop after the step under way and leave a checkpoint; --resume goes on, to the bit, with
the options the run has. train.threads, train.checkpoint_steps, group.timeout,
data.prefetch and data.read_threads may change, train.epochs where schedule.steps is
set, and train.validate_steps where train.early_stopping is 0. A folder has one fit at a
time.
metrics.csv has a row a step, validation and epoch, written at once, so that it is whole
when the process is killed.

--probe 0,1,10 writes probe.csv: at these steps (0 = before the first) the first batch
of the validation files, else of the training files, is sent through the network, and
every module and tensor gets a row with the fields of gn2.Probe: size, change since the
start, dead units, gradient, update. It does not change the run. It sets
train.probe_updates=yes unless an option says otherwise.

Files may be patterns in quotes, 'jets_*.h5': what they stand for, sorted, is in
run.json. data.selection, as 'pt_btagJes > 20000 && abs(eta_btagJes) < 2.5', chooses
jets for training, validation and the pictures of the report alike.

-m FILE starts with a model, which settles all of its own options. With --finetune they
may be others: tensors of the same name and shape are taken over, the rest start at
random; the model's normalisation and class weights stay unless they are set anew
(empty: made of the data).

mpirun -n 4 gn2 fit … trains with four ranks, which must be 1 or divide train.shards
so that each has a power of two of them; model.gn2 is that of one process, to the bit.
Every rank reads the files, rank 0 writes. Without MPI, --group torch takes the
processes that torchrun, Kubeflow's runtime of torch or an indexed Job starts.

    gn2 fit jets_train.h5 -v jets_val.h5 -o run model.embed_dim=64 train.epochs=10
    gn2 fit --resume -o run
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .. import Config, Dataset, Error, Group, Model, Trainer, __version__, features
from ..errors import StateError
from ..hpo.identity import data_digest
from ..training_stats import Progress
from . import common, probing, ranks, resume
from .common import Failure, Terminated
from .rundir import Recorder, RunDirectory, columns_of


def arguments(parser: argparse.ArgumentParser) -> None:
    common.options(parser)
    parser.add_argument(
        "train",
        nargs="*",
        help="HDF5 files with training jets, or patterns: 'jets_*.h5'",
    )
    parser.add_argument(
        "-v",
        "--val",
        action="append",
        default=[],
        metavar="FILE",
        help="validation jets, or a pattern; several times for several files",
    )
    parser.add_argument("-o", "--out", default="run", help="run directory (run)")
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="options as `key = value` lines"
    )
    parser.add_argument(
        "-m",
        "--model",
        metavar="FILE",
        help="start from the weights and normalisation of this model",
    )
    parser.add_argument(
        "-r", "--resume", action="store_true", help="go on with the run in OUT"
    )
    parser.add_argument(
        "--finetune",
        action="store_true",
        help="with -m: take the tensors that fit; its options may be changed",
    )
    common.force(parser)
    parser.add_argument(
        "--probe",
        type=probing.steps,
        default=[],
        metavar="STEPS",
        help="write probe.csv, statistics of every module and tensor at these steps",
    )
    ranks.arguments(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    parser.add_argument(
        "--no-report", action="store_true", help="no pictures at the end"
    )


class Fit:
    """A run: files, options, objects."""

    def __init__(
        self, args: argparse.Namespace, directory: RunDirectory | None = None
    ) -> None:
        self.args = args
        self.run = directory or RunDirectory(args.out)
        self.leads = not isinstance(self.run, ranks.Onlooker)
        self.settings = args.settings
        self.facts: dict[str, Any] = {
            "train": common.files_of(args.train),
            "val": common.files_of(args.val),
            "model": args.model,
            "finetune": args.finetune,
            "probe": args.probe,
            "version": __version__,
            "features": features(),
            "state": "running",
        }
        self.unfinished = False  #: all its steps may be done, but not what follows
        try:
            if args.resume:
                self._reopen()
            else:
                self._create()
        except BaseException:
            self.run.abandon()
            raise

    def _create(self) -> None:
        if not self.facts["train"]:
            raise Failure("no training files given; see gn2 fit --help")
        if self.args.finetune and not self.args.model:
            raise Failure("--finetune needs a model to start with: -m FILE")
        self.run.refuse(self.args.force)
        self.run.spare(self.args.model)
        start = Model.load(self.args.model) if self.args.model else None
        self.config = start.config if start else Config()
        self._ask()
        if start is not None:
            resume.keep_provenance(start.config, self.config)
            if not self.args.finetune:
                resume.check_start(start.config, self.config)
        self.run.begin(self.args.force)
        self._open_data()
        self._identify()
        self._check_probes(0)
        model = self._start(start)
        self._settle_shards()
        self.config["train.checkpoint"] = self.run["checkpoint.gn2"]
        self.trainer = Trainer(model, self.config)
        self.config["train.precision"] = self.trainer.precision
        columns_of(model)  # refuses names that would be lost
        self.run.empty()
        self._note()

    def _start(self, given: Model | None) -> Model:
        if given is not None and not self.args.finetune:
            return given
        self.train.setup(self.config)
        self._say_given()
        model = Model(self.config)
        if given is not None:
            print(f"gn2: {resume.take_over(given, model)}", file=sys.stderr)
        return model

    def _settle_shards(self) -> None:
        """``train.shards`` = 0 where a model needs nothing else of the data."""
        if self.config["train.shards"] == 0:
            found = self.train.setup(self.config.copy())
            self.config["train.shards"] = found["train.shards"]

    def _note(self) -> None:
        """What the run is, in its folder."""
        if not self.leads:
            return
        self.config.save(self.run["config.txt"])
        self.run.write(self.facts)

    def _ask(self) -> None:
        """What the user wants, over what there is."""
        settled = None if self.args.finetune else self.args.model
        resume.check_used([key for key, _ in self.settings], settled)
        self._keep_updates()
        if self.args.config:
            self.config.load(self.args.config)
        common.apply(self.config, self.settings)
        common.check_objects([key for key, _ in self.settings], self.config)

    def _say_given(self) -> None:
        given = self.config["provenance.given"]
        if given:
            say = f"gn2: as given, not made of the data: {given}"
            print(say, file=sys.stderr)

    def _reopen(self) -> None:
        if self.args.force or self.args.finetune:
            word = "--force" if self.args.force else "--finetune"
            raise Failure(f"--resume and {word} contradict each other")
        self.run.check()
        self.run.lock.take()
        self.run.make_log()
        old = self.run.read()
        checkpoint = self.run["checkpoint.gn2"]
        resume.check_saved(self.args.out, checkpoint)
        self.unfinished = old.get("state") != "done"
        if self.args.model not in (None, old.get("model")):
            raise Failure(
                f"the run in '{self.args.out}' began with the model "
                f"{old.get('model')}, not {self.args.model}"
            )
        for name in ("train", "val", "model", "probe", "finetune"):
            self.facts[name] = self.facts[name] or old.get(name)
        resume.check_files(old, self.facts, self.args.out)
        before = Config(self.run["config.txt"])
        resume.check_unedited(before, self.args.out, checkpoint)
        self.config = before.copy()
        self._ask()
        self.config["train.checkpoint"] = before["train.checkpoint"]
        resume.keep_provenance(before, self.config)
        if self.config["train.precision"] == "auto":  # settled when the run began
            self.config["train.precision"] = before["train.precision"]
        resume.check_resume(before, self.config, self.args.out)
        self.config["train.checkpoint"] = checkpoint
        self._open_data()
        self._identify()
        resume.check_content(old, self.facts, self.args.out)
        self._check_probes(resume.done_steps(checkpoint))
        self.trainer = Trainer(self._start_again(), self.config)
        self.trainer.load_checkpoint(checkpoint)

    def _start_again(self) -> Model:
        """The start of a run that is resumed; only a probe asks for its weights."""
        if self.facts["probe"] and self.facts["model"] and not self.facts["finetune"]:
            return Model.load(self.facts["model"])
        return Model(self.config)

    def _keep_updates(self) -> None:
        """Asked for by --probe, before options of the user."""
        if self.args.probe:
            self.config["train.probe_updates"] = "yes"

    def _check_probes(self, done: int) -> None:
        # with schedule.steps a run may get more epochs later
        steps: Any = self.config["schedule.steps"]
        steps = steps or self.config["train.epochs"] * len(self.train)
        path = self.run["probe.csv"] if self.args.resume else ""
        probing.check_steps(self.args.probe, path, done, steps)

    def _prober(self) -> probing.Prober | None:
        if not self.facts["probe"]:
            return None
        batch = probing.first_batch(self.train if self.val is None else self.val)
        prober = probing.Prober(self.run, self.trainer, batch, self.facts["probe"])
        if not self.args.resume:
            prober.start()
        return prober

    def _identify(self) -> None:
        """Notes what the files hold: a path may lead to others from another folder. The
        library compares those of ranks, so that one rank alone reads them for it."""
        if self.leads:
            files = (*self.facts["train"], *self.facts["val"])
            self.facts["data"] = [data_digest(path) for path in files]

    def _open_data(self) -> None:
        shown = self.leads and not self.args.quiet
        self.train = Dataset(self.facts["train"], self.config, progress=shown)
        common.say_selected(self.train, "training")
        self.val = None
        if self.facts["val"]:
            options = self.config.copy()
            # every validation jet, in the order of the file
            options["data.sampling"] = "sequential"
            options["data.max_jets"] = -1
            self.val = Dataset(self.facts["val"], options, progress=shown)
            common.say_selected(self.val, "validation")

    def _recorder(self) -> Recorder:
        return Recorder(self.run, self.args.resume, self.trainer.model)

    def follow(self) -> int:
        """Trains with rank 0, which tells of it."""
        try:
            history = self.trainer.fit(self.train, self.val)
        except StateError:
            return 0 if self.unfinished else 1
        except Error:
            return 1
        finally:
            self._close_data()
        return 1 if history.stopped else 0

    def go(self) -> int:
        recorder = self._recorder()
        with self._noted(recorder):
            self._train(recorder, self._prober())
            if self.trainer.group is not None and self.trainer.history.stopped:
                self._finish("stopped")
                raise Failure("stopped: another rank was asked to")
            self.trainer.snapshot().save(self.run["model.gn2"])
        self._finish("done")
        return 0

    @contextlib.contextmanager
    def _noted(self, recorder: Recorder) -> Iterator[None]:
        """A run that failed, be it on a full disk, is not said to be running."""
        try:
            yield
        except (Error, OSError):
            if recorder.started or not self.args.resume:
                with contextlib.suppress(OSError):  # the disk is still full
                    self._finish("failed")
            raise

    def _train(self, recorder: Recorder, prober: probing.Prober | None) -> None:
        def keep_best(progress: Progress) -> None:
            found = progress.validation
            if progress.event == "early stop":
                print(f"gn2: {_early(progress, self.config)}", file=sys.stderr)
            elif found is not None and recorder.note_loss(found.loss):
                self.trainer.snapshot().save(self.run["best.gn2"])

        def note_going_on(_progress: Progress) -> None:
            if self.args.resume and not recorder.started:
                self._note()

        probers = [prober] if prober else []
        try:
            self.trainer.fit(
                self.train,
                self.val,
                progress=not self.args.quiet,
                callback=[note_going_on, recorder, *probers, keep_best],
            )
        except (KeyboardInterrupt, Terminated):
            self._finish("stopped")
            if os.path.exists(self.run["checkpoint.gn2"]):
                print(f"gn2: stopped; {self._goes_on()} goes on", file=sys.stderr)
            raise
        except StateError:
            # stopped between its last step and its model
            if not self.unfinished or recorder.started:
                raise
        finally:
            recorder.close()
            if prober:
                prober.close()
            self._close_data()

    def _goes_on(self) -> str:
        return f"`gn2 fit --resume -o {self.args.out}`"

    def _close_data(self) -> None:
        """Lets go of the files: the pictures may read them by another HDF5."""
        self.train.close()
        if self.val is not None:
            self.val.close()

    def _finish(self, state: str) -> None:
        self.facts["state"] = state
        self.run.write(self.facts)


def _report(path: str) -> None:
    """Pictures are a bonus: without matplotlib there are none, and no failure."""
    try:
        from ..report import report

        print(f"gn2: report: {report(path)}", file=sys.stderr)
    except (ImportError, Error) as problem:
        print(f"gn2: no report ({problem})", file=sys.stderr)


def _early(progress: Progress, config: Config) -> str:
    return (
        f"{config['train.early_stopping']} validations without a smaller loss "
        f"(train.early_stopping): ended at step {progress.step}, epoch "
        f"{progress.epoch}; best.gn2 is the best model"
    )


Made = TypeVar("Made", bound=Fit)


def begin(make: Callable[[], Made], group: Group | None) -> Made:
    """The fit of this rank: every rank is ready, or none begins."""
    fit = None
    problem: Exception | None = None
    try:
        fit = make()
    except (Error, Failure, OSError) as found:
        problem = found
    try:
        ranks.agree(group, problem)
        assert fit is not None
        if group is not None:
            fit.trainer.join(group)
    except BaseException:
        if fit is not None:
            fit.run.abandon()
        raise
    return fit


def run(args: argparse.Namespace) -> int:
    group = ranks.group(args.expect_ranks, args.expect_hosts, args.group)

    def make() -> Fit:
        return Fit(args, ranks.directory(args.out, group))

    if not ranks.leads(group):
        with ranks.silent(group), contextlib.suppress(Error):  # rank 0 says the same
            return begin(make, group).follow()
        return 1
    fit = begin(make, group)
    try:
        status = fit.go()
        if not args.no_report:
            _report(args.out)
    finally:
        fit.run.lock.release()
    return status
