# SPDX-License-Identifier: Apache-2.0
"""Tasks of a model by name, as its options ``model.tasks`` and ``task.NAME.*`` say.

    for task in gn2.Model.load("gn2.gn2").tasks.values():
        print(task.name, task.kind, task.object, task.output())

GN2's own three tasks have names that stand here and nowhere else in this package:
their outputs have short names, and Athena its own words for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .errors import Unsupported

CLASSIFICATION, VERTEXING = "classification", "vertexing"
REGRESSION, GAUSSIAN = "regression", "gaussian_regression"
KINDS = (CLASSIFICATION, VERTEXING, REGRESSION, GAUSSIAN)
JETS, PAIRS = "jets", "pairs"


class Standard(NamedTuple):
    """What GN2's own tasks are called elsewhere."""

    kind: str
    on_jets: bool
    short: dict[str, str]  #: suffix of an output: its short name; {} is the object
    athena: str  #: of an output with one value a constituent; "": there is none
    noun: str  #: in titles and axes
    label: str  #: of its labels, in batches
    loss: str  #: what follows ``loss_`` in tables
    figures: dict[str, str]  #: of merit, in tables


STANDARD = {
    "jets_classification": Standard(
        CLASSIFICATION,
        True,
        {"": "{}.probabilities", "_logits": "{}.logits"},
        "",
        "flavour",
        "flavour",
        "jets",
        {"accuracy": "accuracy"},
    ),
    "track_origin": Standard(
        CLASSIFICATION,
        False,
        {"": "{}.origin", "_logits": "{}.origin_logits"},
        "TrackOrigin",
        "origin",
        "origin",
        "origin",
        {"accuracy": "origin_accuracy"},
    ),
    "track_vertexing": Standard(
        VERTEXING,
        False,
        {"": "{}.vertex", "_logits": "pairs.logits"},
        "VertexIndex",
        "vertex",
        "vertex",
        "vertex",
        {"pair_efficiency": "pair_efficiency", "pair_purity": "pair_purity"},
    ),
}
FLAVOUR_TASK, ORIGIN_TASK, VERTEX_TASK = STANDARD
WEIGHTS = ".sample_weight"  #: follows a task's name where labels are weights

#: figures of merit of a kind
FIGURES = {
    CLASSIFICATION: ("accuracy",),
    VERTEXING: ("pair_efficiency", "pair_purity"),
    REGRESSION: ("mae", "rmse", "bias"),
    GAUSSIAN: ("mae", "rmse", "bias", "pull_rms"),
}


def loss_name(task: str) -> str:
    """Column of a task's loss: ``loss_jets``, ``loss_NAME``."""
    own = STANDARD.get(task)
    return f"loss_{own.loss if own else task}"


def figure_name(task: str, figure: str) -> str:
    """Column of a task's figure: ``accuracy``, ``NAME_rmse``."""
    own = STANDARD.get(task)
    known = own.figures.get(figure) if own else None
    return known or f"{task}_{figure}"


@dataclass(frozen=True)
class Task:
    """A task: what its head predicts, and of what."""

    name: str
    number: int  #: place in ``model.tasks``
    kind: str  #: one of :data:`KINDS`
    object: str = JETS  #: "jets", or a constituent type
    label: str = ""  #: field with the truth of a classification or vertexing
    weight: float = 1.0  #: of its loss
    hidden: tuple[int, ...] = ()  #: sizes of the head's hidden layers
    flavour: bool = False  #: is this the one that classifies into ``model.classes``?
    classes: tuple[str, ...] = ()  #: of a classification
    class_weights: tuple[float, ...] = ()  #: in the loss; empty: 1
    targets: tuple[str, ...] = ()  #: fields a regression predicts
    denominators: tuple[str, ...] = ()  #: fields the targets are divided by
    mean: tuple[float, ...] = ()  #: of the targets (or ratios); empty: 0
    std: tuple[float, ...] = ()  #: of the targets (or ratios); empty: 1
    loss: str = ""  #: of a regression

    @property
    def on_jets(self) -> bool:
        """One row a jet?"""
        return self.object == JETS

    @property
    def standard(self) -> Standard | None:
        """Its other names, if it is one of GN2's own: by name, kind and object."""
        own = STANDARD.get(self.name)
        if own and (own.kind, own.on_jets) == (self.kind, self.on_jets):
            return own
        return None

    @property
    def classifies(self) -> bool:
        """Are its outputs probabilities of classes?"""
        return self.kind == CLASSIFICATION

    @property
    def regresses(self) -> bool:
        """Are its outputs values in the units of the targets?"""
        return self.kind in (REGRESSION, GAUSSIAN)

    @property
    def label_name(self) -> str:
        """Of its labels in batches: "flavour", "origin", "vertex", or its name."""
        own = STANDARD.get(self.name)
        return own.label if own else self.name

    @property
    def label_columns(self) -> int:
        """Numbers a label has."""
        return len(self.targets) if self.regresses else 1

    @property
    def prefix(self) -> str:
        """What its tensors' names begin with."""
        return f"tasks.{self.number}.net.net."

    @property
    def columns(self) -> int:
        """Numbers its head gives a row."""
        if self.kind == VERTEXING:
            return 1
        if self.kind == GAUSSIAN:
            return 2 * len(self.targets)
        return len(self.classes) if self.classifies else len(self.targets)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Its outputs are ``OBJECT.NAME`` and one of these."""
        if self.kind == GAUSSIAN:
            return "", "_stddev"
        return ("",) if self.regresses else ("", "_logits")

    def full(self, suffix: str = "") -> str:
        """``OBJECT.NAME`` and the suffix."""
        pairs = self.kind == VERTEXING and suffix == "_logits"
        return f"{PAIRS if pairs else self.object}.{self.name}{suffix}"

    def output(self, suffix: str = "") -> str:
        """The shortest name of an output that the library knows."""
        own = self.standard
        return own.short[suffix].format(self.object) if own else self.full(suffix)

    @property
    def noun(self) -> str:
        """What it finds, in words: "origin", "flow type"."""
        own = self.standard
        return own.noun if own else self.name.replace("_", " ")

    def scaling(self) -> Iterator[tuple[str, float, float, str]]:
        """Target, mean, spread and denominator ("" none) of each value."""
        for k, target in enumerate(self.targets):
            mean = self.mean[k] if self.mean else 0.0
            std = self.std[k] if self.std else 1.0
            yield target, mean, std, self.denominators[k] if self.denominators else ""

    def __str__(self) -> str:
        """One line: name, kind, object, classes or targets."""
        words = f"{self.name}: {self.kind} of {self.object}"
        if self.classifies:
            words += f" into {', '.join(self.classes)}"
        if self.regresses:
            words += f": {', '.join(_target(*row) for row in self.scaling())}"
        return f"{words}; label {self.label}" if self.label else words


def _target(name: str, mean: float, std: float, denominator: str) -> str:
    whole = f"{name} / {denominator}" if denominator else name
    return whole if (mean, std) == (0.0, 1.0) else f"({whole} - {mean:g}) / {std:g}"


def read(config: Any) -> dict[str, Task]:
    """The tasks of a config (a :class:`gn2.Config`), in the order of the model."""
    found: dict[str, Task] = {}
    flavour = False
    for number, name in enumerate(config["model.tasks"]):
        task = _read(config, str(name), number, flavour)
        flavour = flavour or task.flavour
        found[task.name] = task
    return found


def _read(config: Any, name: str, number: int, has_flavour: bool) -> Task:
    def get(option: str, default: Any = "") -> Any:
        return config.get(f"task.{name}.{option}", default)

    kind, where = str(get("kind")), str(get("object", JETS))
    if kind not in KINDS:
        raise Unsupported(
            f"task.{name}.kind = {kind}: this package knows {', '.join(KINDS)}"
        )
    first = kind == CLASSIFICATION and where == JETS and not has_flavour
    return Task(
        name,
        number,
        kind,
        where,
        str(get("label")),
        float(get("weight", 1.0)),
        tuple(int(size) for size in get("hidden", ())),
        first,
        tuple(config["model.classes"] if first else get("classes", ())),
        tuple(get("class_weights", ())),
        tuple(get("targets", ())),
        tuple(get("target_denominators", ())),
        tuple(get("target_mean", ())),
        tuple(get("target_std", ())),
        str(get("loss")),
    )


def flavour_of(tasks: Mapping[str, Task]) -> Task | None:
    """The task that classifies jets into ``model.classes``, if there is one."""
    return next((task for task in tasks.values() if task.flavour), None)


def aliases(tasks: Mapping[str, Task]) -> dict[str, str]:
    """Short names of outputs by the names made of the tasks'."""
    of = ((task, suffix) for task in tasks.values() for suffix in task.suffixes)
    names = {task.full(suffix): task.output(suffix) for task, suffix in of}
    return {full: short for full, short in names.items() if full != short}
