# SPDX-License-Identifier: Apache-2.0
"""What a server says of a model, and what it answers, checked before it is used: it may
be no server of ours, or a damaged one, and none of what it says is to become a number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ._protocol import DTYPES, FACTS, SERVED
from .errors import NotFound, RemoteError
from .scores import FORMS, Names
from .tagger import full_name

_FOREIGN = "the server does not say what gn2.Remote has to know"
_REMEDY = "it must be `gn2 serve` of this version"
#: what comes of values of other types and lengths than are taken for granted
_WRONG = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Output(NamedTuple):
    """An output, as the server describes it."""

    wire: str  #: its name in calls
    object: str
    rows: str  #: "jet" or "constituent"
    dtype: Any
    shape: tuple[int, ...]  #: of a row; -1: any number


def _is(kind: type, *values: Any) -> None:
    for value in values:
        if type(value) is not kind:
            raise TypeError(f"{value!r:.80} is no {kind.__name__}")


def _must(true: bool, what: str) -> None:
    if not true:
        raise ValueError(what)


class Known:
    """What the server says of the model."""

    def __init__(self, served: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        facts = json.loads(found["properties"][FACTS])
        self.digest: str = served["sha256"]
        self.limits = {name: served["limits"][name] for name in _LIMITS}
        _is(int, *self.limits.values())
        _must(min(self.limits.values()) > 0, f"limits {self.limits}")
        self.inputs = {name: tuple(names) for name, names in facts["inputs"].items()}
        _is(str, *(name for names in self.inputs.values() for name in names))
        _must("jets" in self.inputs, "no input 'jets'")
        tensors = {one["name"]: one for one in found["outputs"]}
        self.outputs = {
            name: self._output(one, tensors) for name, one in facts["outputs"].items()
        }
        self.usual: list[str] = list(facts["usual"])
        _is(str, *self.usual)
        self.names = _names(facts["names"])
        self.flavour: str | None = facts["flavour"]
        if self.flavour is not None:
            own = self.outputs[self.flavour]
            classes = (len(self.names.classes),)
            _must(own.rows == "jet" and own.dtype == "<f4", f"{self.flavour} {own}")
            _must(own.shape == classes, f"{self.flavour}: {own.shape}, {classes}")

    def _output(self, given: Any, tensors: Mapping[str, Any]) -> Output:
        wire, of, rows = given
        tensor = tensors[wire]
        kind, shape = DTYPES[tensor["datatype"]], tuple(tensor["shape"])[1:]
        _is(int, *shape)
        _must(of in (*self.inputs, "pairs"), f"{wire} is of {of!r:.80}")
        _must(rows in ("jet", "constituent"), f"{wire} has a row a {rows!r:.80}")
        _must(rows == "jet" or of in self.inputs, f"{wire} is of {of!r:.80}")
        return Output(wire, of, rows, np.dtype(kind), shape)

    def output(self, name: str) -> tuple[str, Output]:
        """Full name and description of an output, of any name of it."""
        objects, aliases = (*self.inputs, "pairs"), self.names.aliases
        full = full_name(name, self.outputs, objects, aliases)
        if full not in self.outputs:
            short = ", ".join(one.wire for one in self.outputs.values())
            raise NotFound(f"no output '{name}' is served; there are {short}")
        return full, self.outputs[full]

    def check(self, found: Mapping[str, Any], rows: Mapping[str, int]) -> None:
        """That the tensors of an answer are what they are described as.

        Args:
            rows: jets and constituents of the request, by object.

        Raises:
            RemoteError: they are not.
        """
        own = self.outputs[self.flavour] if self.flavour is not None else None
        for one in self.outputs.values():
            if one.wire not in found:
                continue
            values = found[one.wire]
            count = rows["jets" if one.rows == "jet" else one.object]
            shape = (count, *one.shape)
            fits = len(shape) == values.ndim and all(
                n in (-1, m) for n, m in zip(shape, values.shape)
            )
            if values.dtype != one.dtype or not fits:
                raise RemoteError(
                    f"the answer has {one.wire} of {values.dtype} {values.shape}, "
                    f"{one.dtype} {shape} was asked for"
                )
            good = values.dtype.kind == "i" or np.isfinite(values).all()
            if good and one is own:
                good = bool(((values >= 0) & (values <= 1)).all())
            if not good:
                raise RemoteError(f"the answer has no numbers for {one.wire}")


_LIMITS = ("jets", "tracks", "body")


def _names(facts: Mapping[str, Any]) -> Names:
    found = Names.of(facts)
    words = (*found.classes, *found.rules, *found.aliases, *found.aliases.values())
    _is(str, found.model, *words, *found.flavour)
    classes = len(found.classes)
    for name, rule in found.rules.items():
        _is(int, rule.signal, rule.rest)
        good = 0 <= rule.signal < classes and -1 <= rule.rest < classes
        good = good and len(rule.fractions) == classes and rule.form in FORMS
        good = good and all(math.isfinite(f) and f >= 0 for f in rule.fractions)
        _must(good, f"discriminant {name} {list(rule)}")
    return found


def served_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Which model is served, of its metadata.

    Raises:
        RemoteError: they do not tell.
    """
    try:
        served = json.loads(found["properties"][SERVED])
        _is(str, served["sha256"])
        return dict(served)
    except (*_WRONG, RecursionError) as problem:
        raise _foreign(problem) from None


def known_of(served: Mapping[str, Any], found: Mapping[str, Any]) -> Known:
    """All that is known of the model, of its metadata.

    Raises:
        RemoteError: something is missing, or cannot be.
    """
    try:
        return Known(served, found)
    except (*_WRONG, RecursionError) as problem:
        raise _foreign(problem) from None


def _foreign(problem: Exception) -> RemoteError:
    why = f"no {problem}" if type(problem) is KeyError else str(problem)
    return RemoteError(f"{_FOREIGN} ({why:.200}): {_REMEDY}")
