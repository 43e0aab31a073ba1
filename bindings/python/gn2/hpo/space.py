# SPDX-License-Identifier: Apache-2.0
"""The space file: what is searched, on which data, for how long, and how (YAML).

    gn2_space: 1
    name: gn2-rates                 # of the study and of Katib's Experiment
    objective: {metric: val_loss, direction: minimize}
    algorithm: {name: tpe, seed: 1}
    pruning: {name: median, from: 0.5}
    parameters:
      max_rate: {key: schedule.max, type: real, min: 1e-4, max: 1e-1, scale: log}
      layers:   {key: model.num_layers, type: integer, min: 2, max: 6}
      rate0:    {key: schedule.initial, type: choice, values: [1e-7, 1e-5]}
    options: {model.embed_dim: 64, model.parametrization: mup}
    data: {train: [jets_train.h5], val: [jets_val.h5]}
    budget: {steps: 200, validate_steps: 20}
    seed: 42
    trials: 30
    transfer: {model.embed_dim: 256}
    kubernetes: {image: registry/gn2:1.0, cpu: 2, memory: 4Gi, parallel: 3}

``doc/hpo.md`` explains every key; ``space.schema.json`` is its JSON Schema.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidArgument
from .algorithms import Algorithm
from .document import Document
from .parameter import LOG2, Parameter, Value

SEEDS = ("model.seed", "train.seed", "data.seed")
#: options that the search sets itself, and where they come from
SETTLED = {
    "schedule.steps": "budget.steps",
    "train.validate_steps": "budget.validate_steps",
    "train.epochs": "budget.steps",
    **dict.fromkeys(SEEDS, "seed"),
}


@dataclass(frozen=True)
class Objective:
    """A figure that is made small or large."""

    metric: str  #: of the metrics file, e.g. ``val_loss``
    direction: str = "minimize"

    @property
    def minimize(self) -> bool:
        return self.direction == "minimize"


@dataclass(frozen=True)
class Pruning:
    """Ending of trials that are behind."""

    name: str  #: of the table of algorithms
    begin: float = 0.5  #: share of the steps before which none is ended (``from``)
    startup: int = 5  #: trials before any is ended
    rungs: tuple[float, ...] = (0.5, 0.75)  #: asha: shares at which trials are compared


@dataclass(frozen=True)
class Kubernetes:
    """What rendered objects say of the cluster."""

    image: str = ""
    namespace: str = ""
    cpu: str = "2"
    memory: str = "4Gi"
    parallel: int = 2
    failures: int = 3
    volumes: tuple[Mapping[str, Any], ...] = ()  #: {name, mount, and a source}
    data: str = "/data"  #: folder in the pods with the data files, by their names
    output: str = "/output"  #: folder in the pods for what trials write
    store: str = ""  #: of engine job; empty: a journal in ``output``
    nodes: int = 1  #: of MPIJob and TrainJob
    slots: int = 1  #: ranks a node


def cells(parameters: Sequence[Parameter]) -> int | None:
    """Number of different trials of parameters; None where there is no end of them."""
    counts = [parameter.cells() for parameter in parameters]
    if any(values is None for values in counts):
        return None
    return math.prod(len(values) for values in counts if values is not None)


@dataclass(frozen=True)
class Space:
    """A search."""

    path: str  #: of the file
    name: str
    objectives: tuple[Objective, ...]
    parameters: tuple[Parameter, ...]
    algorithm: Algorithm
    algorithm_seed: int
    pruning: Pruning | None
    options: Mapping[str, str]  #: fixed, as text
    train: tuple[str, ...]  #: HDF5 files; relative ones lie beside the file
    val: tuple[str, ...]
    steps: int
    validate_steps: int
    seed: int  #: of start, dropout and order of jets, the same for all trials
    trials: int
    transfer: Mapping[str, str]  #: options of the target
    kubernetes: Kubernetes
    document: Document  #: for messages with lines

    def __getitem__(self, name: str) -> Parameter:
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(name)

    @property
    def objective(self) -> Objective:
        """The first."""
        return self.objectives[0]

    def values(self, given: Mapping[str, str]) -> dict[str, Value]:
        """Values of all parameters, of text; ``log2_NAME`` stands for NAME's logarithm.

        Raises:
            InvalidArgument: a parameter is unknown, missing, twice or out of range.
        """
        found: dict[str, Value] = {}
        for word, text in given.items():
            name = self._named(word)
            if name in found:
                raise InvalidArgument(f"{name} is given twice, as {LOG2}{name} too")
            found[name] = self._value(self[name], word, text)
        missing = [p.name for p in self.parameters if p.name not in found]
        if missing:
            raise InvalidArgument(f"no value of {', '.join(missing)}")
        return {p.name: found[p.name] for p in self.parameters}

    def _named(self, word: str) -> str:
        names = [parameter.name for parameter in self.parameters]
        if word in names:
            return word
        plain = word[len(LOG2) :] if word.startswith(LOG2) else ""
        if plain in names and self[plain].log:
            return plain
        near = difflib.get_close_matches(word, names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InvalidArgument(
            f"'{word}' is no parameter; there are {', '.join(names)}{hint}"
        )

    @staticmethod
    def _value(parameter: Parameter, word: str, text: str) -> Value:
        if word == parameter.name:
            return parameter.parse(text)
        try:
            return parameter.checked(2.0 ** float(text), f"2^{text}")
        except (ValueError, OverflowError):
            raise InvalidArgument(f"{word} = {text!r} is no logarithm") from None

    def settings(self, values: Mapping[str, Value]) -> dict[str, str]:
        """All options of a trial, as text, sorted by name."""
        found = dict(self.options)
        for parameter in self.parameters:
            text = parameter.text(values[parameter.name])
            found.update(dict.fromkeys(parameter.keys, text))
        found["schedule.steps"] = str(self.steps)
        found["train.validate_steps"] = str(self.validate_steps)
        found.update(dict.fromkeys(SEEDS, str(self.seed)))
        return dict(sorted(found.items()))

    def cells(self) -> int | None:
        """Number of different trials; None where there is no end of them."""
        return cells(self.parameters)
