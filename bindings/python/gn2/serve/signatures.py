# SPDX-License-Identifier: Apache-2.0
"""What a model is asked and what it answers.

:class:`OneJet` is the ONNX file's way, which Athena's client speaks: names, order and
types are those of :mod:`gn2.onnx.exporter`, told by the exporter itself.
:class:`Batch` takes any number of jets, for analyses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Union

import numpy as np
from numpy.typing import NDArray

from .._protocol import FACTS, facts_of, offsets_names
from ..model import Model
from ..onnx.exporter import describe
from ..onnx.graph import input_name
from ..tagger import Tagger
from ..tasks import JETS, Task
from .protocol import Problem, Tensor

Arrays = Mapping[str, NDArray[Any]]


class Jets(NamedTuple):
    """Jets as a tagger takes them."""

    jets: NDArray[Any]
    tracks: dict[str, tuple[NDArray[Any], NDArray[Any]]]  #: rows and offsets, by type

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each object."""
        own = {name: len(values) for name, (values, _) in self.tracks.items()}
        return {JETS: len(self.jets), **own}


class Found(NamedTuple):
    """What a signature found."""

    outputs: dict[str, NDArray[Any]]
    probabilities: NDArray[Any] | None  #: (B, classes), for those who watch


def joined(parts: Sequence[Jets]) -> Jets:
    """The jets of several calls, one after another."""
    if len(parts) == 1:
        return parts[0]
    tracks = {}
    for name in parts[0].tracks:
        values = [part.tracks[name][0] for part in parts]
        ends = np.cumsum([0, *map(len, values)])
        offsets = [part.tracks[name][1][:-1] + k for part, k in zip(parts, ends)]
        tracks[name] = (np.concatenate(values), np.concatenate([*offsets, ends[-1:]]))
    return Jets(np.concatenate([part.jets for part in parts]), tracks)


def split(
    outputs: Mapping[str, NDArray[Any]], rows: Mapping[str, str], parts: Sequence[Jets]
) -> list[dict[str, NDArray[Any]]]:
    """What was found of joined jets, by the calls they are of.

    Args:
        rows: the object of which an output has a row each, by output.
    """
    if len(parts) == 1:
        return [dict(outputs)]
    begin = dict.fromkeys(parts[0].rows, 0)
    found = []
    for part in parts:
        end = {name: begin[name] + count for name, count in part.rows.items()}
        own = {n: v[begin[rows[n]] : end[rows[n]]] for n, v in outputs.items()}
        found.append(own)
        begin = end
    return found


def chosen(asked: Sequence[str], signature: Signature, model: str) -> list[str]:
    """The outputs of a call, each once."""
    known = signature.rows
    for name in asked:
        if name not in known:
            raise Problem(
                f"unexpected inference output '{name}' for model '{model}'; it has "
                f"{', '.join(known)}"
            )
    return list(dict.fromkeys(asked or signature.usual))


# ---- one jet ----


class _Column(NamedTuple):
    """Where an output of the ONNX file comes from."""

    output: str  #: of the tagger; "" = the probabilities of the jet
    object: str  #: of which it has a row each
    tensor: Tensor
    of: Callable[[NDArray[Any]], Any]


class _Recorder:
    """Takes the place of the ONNX graph where the exporter declares its outputs."""

    def __init__(self, model: Model) -> None:
        self.tasks = model.tasks
        self.made: dict[str, _Column] = {}

    def _add(self, name: str, output: str, kind: str, task: Task, of: Any) -> str:
        rows = 1 if task.on_jets else -1
        tensor = Tensor(name, kind, (rows,))
        self.made[name] = _Column(output, task.object, tensor, of)
        return name

    def probability(self, task: str, index: int, name: str) -> str:
        one = self.tasks[task]
        return self._add(
            name,
            "" if one.flavour else one.output(),
            "FP32",
            one,
            lambda values: values[:, index],
        )

    def value(self, task: str, result: str, index: int, name: str) -> str:
        one = self.tasks[task]
        output = one.output(result[len(task) :])
        return self._add(
            name, output, "FP32", one, lambda v: v if v.ndim == 1 else v[:, index]
        )

    def per_track(self, task: str, name: str) -> str:
        one: Task = self.tasks[task]
        of = _most_probable if one.classifies else _as_int8
        return self._add(name, one.output(), "INT8", one, of)


def _most_probable(values: NDArray[Any]) -> Any:
    return values.argmax(axis=1).astype(np.int8)


def _as_int8(values: NDArray[Any]) -> Any:
    return values.astype(np.int8)


class OneJet:
    """One jet a call: ``jet_features`` (1, F) and ``track_features`` (n, F), n ≥ 0."""

    def __init__(self, model: Model) -> None:
        recorder = _Recorder(model)
        self.usual, config = describe(model, recorder)
        self.properties = {"gnn_config": json.dumps(config)}
        self._made = recorder.made
        self._types = {input_name(name): name for name in model.constituents}
        self.inputs = [
            Tensor("jet_features", "FP32", (1, len(model.inputs["jets"]))),
            *(
                Tensor(tensor, "FP32", (-1, len(model.inputs[name])))
                for tensor, name in self._types.items()
            ),
        ]
        self.outputs = [self._made[name].tensor for name in self.usual]
        self.rows = {name: self._made[name].object for name in self.usual}

    def jets(self, arrays: Arrays) -> Jets:
        tracks = {
            name: (arrays[tensor], np.array([0, len(arrays[tensor])], np.int64))
            for tensor, name in self._types.items()
        }
        return Jets(arrays["jet_features"], tracks)

    def run(self, tagger: Tagger, jets: Jets, names: Sequence[str]) -> Found:
        columns = {name: self._made[name] for name in names}
        outputs = list(dict.fromkeys(c.output for c in columns.values() if c.output))
        scores = tagger.tag(jets.jets, jets.tracks, outputs=outputs)
        p: Any = scores.probabilities if scores.has_probabilities else None
        found = {
            name: np.ascontiguousarray(c.of(scores[c.output] if c.output else p))
            for name, c in columns.items()
        }
        return Found(found, p)


# ---- many jets ----


class Batch:
    """Many jets a call: ``jets`` (B, F), ``tracks`` (T, F), ``offsets`` (B + 1).

    Jet b owns rows offsets[b] … offsets[b+1]−1 of the tracks. A model with several
    constituent types has ``NAME`` and ``NAME_offsets`` for each.
    """

    def __init__(self, tagger: Tagger) -> None:
        model = tagger.model
        self.properties = {FACTS: json.dumps(facts_of(tagger))}
        self._types = offsets_names(model.constituents)
        self.inputs = [Tensor("jets", "FP32", (-1, len(model.inputs["jets"])))]
        for name, offsets in self._types.items():
            columns = len(model.inputs[name])
            self.inputs.append(Tensor(name, "FP32", (-1, columns)))
            self.inputs.append(Tensor(offsets, "INT64", (-1,)))
        # pairs grow as the square of what a request holds
        known = [
            name for name in tagger.output_names if tagger.describe(name).rows != "pair"
        ]
        own = [task.output() for task in model.tasks.values()]
        self.usual = ["probabilities"] if model.flavour else own
        known = list(dict.fromkeys([*self.usual, *known]))
        self.outputs = [self._tensor(tagger, name) for name in known]
        self.rows = {name: tagger.describe(name).object for name in known}
        self._flavour = model.flavour is not None

    @staticmethod
    def _tensor(tagger: Tagger, name: str) -> Tensor:
        one = tagger.describe(name)
        kind = "INT32" if one.dtype is np.int32 else "FP32"
        return Tensor(name, kind, (-1,) if one.flat else (-1, one.columns))

    def jets(self, arrays: Arrays) -> Jets:
        tracks = {name: (arrays[name], arrays[o]) for name, o in self._types.items()}
        return Jets(arrays["jets"], tracks)

    def run(self, tagger: Tagger, jets: Jets, names: Sequence[str]) -> Found:
        own = "probabilities" if self._flavour else None
        scores = tagger.tag(
            jets.jets, jets.tracks, outputs=[name for name in names if name != own]
        )
        p: Any = scores.probabilities if scores.has_probabilities else None
        return Found({n: p if n == own else scores[n] for n in names}, p)


Signature = Union[OneJet, Batch]
