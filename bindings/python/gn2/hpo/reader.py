# SPDX-License-Identifier: Apache-2.0
"""Reads a space file; finds all that is wrong with it, with lines."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .. import Config
from ..errors import Error
from ..study.task import text as option_text
from . import algorithms
from .document import Document, Path, read
from .parameter import KINDS, LOG2, NAME, SCALES, Parameter
from .space import SETTLED, Kubernetes, Objective, Pruning, Space, cells

VERSION = 1
#: whole numbers are below
MOST = 1 << 53
#: names that Katib takes for an Experiment
STUDY_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
#: names of metrics that Katib's collector reads
METRIC_NAME = re.compile(r"[A-Za-z0-9_-]+")
DIRECTIONS = ("minimize", "maximize")

_PARAMETER = ("key", "keys", "type", "min", "max", "scale", "step", "values")
_TOP = (
    "gn2_space",
    "name",
    "objective",
    "algorithm",
    "pruning",
    "parameters",
    "options",
    "data",
    "budget",
    "seed",
    "trials",
    "transfer",
    "kubernetes",
)
_EXAMPLES = {
    "gn2_space": "gn2_space: 1",
    "parameters": "parameters: {rate: {key: schedule.max, type: real, min: 1e-4, "
    "max: 1e-1, scale: log}}",
    "data": "data: {train: [jets_train.h5], val: [jets_val.h5]}",
    "budget": "budget: {steps: 200, validate_steps: 20}",
    "kubernetes": "volumes: [{name: data, mount: /data, "
    "persistentVolumeClaim: {claimName: jets}}]",
}


def _word(value: Any) -> str:
    """A word, if it is one, for tables of words."""
    return value if isinstance(value, str) else shown(value)


def _example(path: Path) -> str:
    return _EXAMPLES.get(str(path[0]) if path else "", "")


def load(path: str | os.PathLike[str], text: str | None = None) -> Space:
    """Reads a space file.

    Args:
        text: its content, if it is at hand; ``path`` is its name then.

    Raises:
        SpaceError: with every problem found, its line and what to do.
        OSError: the file cannot be read.
    """
    document = read(path, text)
    reader = _Reader(document)
    space = reader.space()
    document.check()
    assert space is not None
    return space


def shown(value: Any) -> str:
    """A value as a message has it."""
    text = repr(value) if not isinstance(value, int) or value < MOST else "it"
    return text if len(text) <= 80 else f"{text[:77]}…"


class _Reader:
    """Makes a Space of a document; notes what is wrong with it there."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.refuse = document.refuse

    # ---- values of a kind ----

    def mapping(self, path: Path, value: Any, known: Sequence[str]) -> dict[str, Any]:
        """A mapping with none but known keys; {} where there is none."""
        if not isinstance(value, dict):
            if value is not None:
                self.refuse(path, f"{value!r} is no mapping", _example(path))
            return {}
        for key in value:
            if known and key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean {near[0]}?" if near else "leave it out"
                self.refuse(
                    (*path, key), f"is not known; there are {', '.join(known)}", hint
                )
        return value

    def number(self, path: Path, value: Any, default: float | None = None) -> float:
        """A finite number; 1e-3, which YAML takes for a word, is one."""
        if value is None and default is not None:
            return default
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not math.isfinite(found):
            self.refuse(path, f"{shown(value)} is no finite number")
            return default or 1.0
        return found

    def whole(self, path: Path, value: Any, least: int, default: int | None) -> int:
        """A whole number from ``least``."""
        if value is None and default is None:
            self.refuse(path, "is not given", f"a whole number from {least}")
            return least
        number = self.number(path, value, default)
        if number != int(number) or not least <= number < MOST:
            most = "" if number < MOST else " to 2^53"
            self.refuse(
                path, f"{shown(value)} is not a whole number from {least}{most}"
            )
            return default if default is not None else least
        return int(number)

    def word(self, path: Path, value: Any, allowed: Sequence[str], default: str) -> str:
        """One of a closed set of words."""
        if value is None and default:
            return default
        if value not in allowed:
            self.refuse(path, f"{value!r} is none of {', '.join(allowed)}")
            return allowed[0]
        return str(value)

    def files(self, path: Path, value: Any) -> tuple[str, ...]:
        items = value if isinstance(value, list) else [value]
        top = self.document.value
        if not (isinstance(top, dict) and top.get("data")):
            return ()  # which is told as such
        if not items or not all(isinstance(item, str) and item for item in items):
            self.refuse(path, f"{value!r} is no list of files", "data: {train: [A.h5]}")
            return ()
        folder = os.path.dirname(self.document.name)
        return tuple(os.path.join(folder, item) for item in items)

    # ---- sections ----

    def space(self) -> Space | None:
        top = self.mapping((), self.document.value, _TOP)
        for key in ("gn2_space", "parameters", "data", "budget"):
            if key not in top:
                self.refuse((), f"no '{key}'", _example((key,)))
        if top.get("gn2_space", VERSION) != VERSION:
            self.refuse(
                ("gn2_space",), f"is {top['gn2_space']!r}, not {VERSION}", "update gn2"
            )
        parameters = self.parameters(top.get("parameters"))
        data = self.mapping(("data",), top.get("data"), ("train", "val"))
        budget = self.mapping(
            ("budget",), top.get("budget"), ("steps", "validate_steps")
        )
        steps = self.whole(("budget", "steps"), budget.get("steps"), 1, None)
        algorithm, seed = self.algorithm(top.get("algorithm"))
        options = self.options(("options",), top.get("options"), parameters)
        usual = (cells(parameters) if algorithm.grid else None) or 30
        return Space(
            path=self.document.name,
            name=self.name(top.get("name")),
            objectives=self.objectives(top.get("objective")),
            parameters=parameters,
            algorithm=algorithm,
            algorithm_seed=seed,
            pruning=self.pruning(top.get("pruning")),
            options=options,
            train=self.files(("data", "train"), data.get("train")),
            val=self.files(("data", "val"), data.get("val")),
            steps=steps,
            validate_steps=self.whole(
                ("budget", "validate_steps"),
                budget.get("validate_steps"),
                0,
                max(1, steps // 10),
            ),
            seed=self.whole(("seed",), top.get("seed"), 0, 42),
            trials=self.whole(("trials",), top.get("trials"), 1, usual),
            transfer=self.options(("transfer",), top.get("transfer"), ()),
            kubernetes=self.kubernetes(top.get("kubernetes")),
            document=self.document,
        )

    def name(self, value: Any) -> str:
        if value is None:
            stem = os.path.splitext(os.path.basename(self.document.name))[0]
            value = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "gn2"
        if not STUDY_NAME.fullmatch(str(value)):
            self.refuse(
                ("name",),
                f"{value!r}: Katib takes a-z, 0-9 and -, a letter first, up to 40",
                "name: gn2-rates",
            )
        return str(value)

    def objectives(self, value: Any) -> tuple[Objective, ...]:
        items = value if isinstance(value, list) else [value or {}]
        if not 1 <= len(items) <= 2:
            self.refuse(("objective",), f"{len(items)} objectives, not one or two")
        found = []
        for i, item in enumerate(items[:2]):
            path: Path = ("objective", i) if isinstance(value, list) else ("objective",)
            row = self.mapping(path, item, ("metric", "direction"))
            metric = str(row.get("metric", "val_loss"))
            if not METRIC_NAME.fullmatch(metric):
                self.refuse(
                    (*path, "metric"),
                    f"{metric!r}: Katib reads letters, digits, _ and - only",
                    "names as in metrics.log, such as val_loss",
                )
            direction = self.word(
                (*path, "direction"), row.get("direction"), DIRECTIONS, "minimize"
            )
            found.append(Objective(metric, direction))
        if len({o.metric for o in found}) < len(found):
            self.refuse(("objective",), "one metric twice")
        return tuple(found)

    def algorithm(self, value: Any) -> tuple[algorithms.Algorithm, int]:
        row = self.mapping(("algorithm",), value, ("name", "seed"))
        samplers = [a.name for a in algorithms.ALGORITHMS.values() if not a.prunes]
        name = _word(row.get("name", "tpe"))
        seed = self.whole(("algorithm", "seed"), row.get("seed"), 0, 1)
        if name in algorithms.REFUSED:
            self.refuse(
                ("algorithm", "name"), f"{name}: {algorithms.REFUSED[name]}", ""
            )
            name = "tpe"
        name = self.word(("algorithm", "name"), name, samplers, "tpe")
        return algorithms.ALGORITHMS[name], seed

    def pruning(self, value: Any) -> Pruning | None:
        if value in (None, False, "none"):
            return None
        row = self.mapping(("pruning",), value, ("name", "from", "startup", "rungs"))
        pruners = [a.name for a in algorithms.ALGORITHMS.values() if a.prunes]
        given = _word(row.get("name"))
        if given in algorithms.REFUSED:
            why = algorithms.REFUSED[given]
            self.refuse(("pruning", "name"), f"{given}: {why}")
            return None
        name = self.word(("pruning", "name"), row.get("name"), pruners, "")
        begin = self.number(("pruning", "from"), row.get("from"), 0.5)
        rungs = row.get("rungs", [0.5, 0.75])
        if not isinstance(rungs, list) or not rungs:
            self.refuse(("pruning", "rungs"), f"{shown(rungs)} is no list of shares")
            rungs = [0.5, 0.75]
        shares = [
            self.number(("pruning", "rungs", i), share) for i, share in enumerate(rungs)
        ]
        for path, share in ((("from",), begin), *((("rungs",), s) for s in shares)):
            if not 0 < share < 1:
                self.refuse(("pruning", *path), f"{share:g} is no share of the steps")
        if "rungs" in row and sorted(set(shares)) != shares:
            self.refuse(("pruning", "rungs"), "must rise")
        startup = self.whole(("pruning", "startup"), row.get("startup"), 1, 5)
        return Pruning(name, begin, startup, tuple(shares))

    def options(
        self, path: Path, value: Any, parameters: Sequence[Parameter]
    ) -> dict[str, str]:
        searched = {key: p.name for p in parameters for key in p.keys}
        found = {}
        for key, given in self.mapping(path, value, ()).items():
            inner = (*path, key)
            if key in SETTLED and path == ("options",):
                self.refuse(inner, "is set by the search", f"use {SETTLED[key]}")
            elif key in searched:
                self.refuse(inner, f"is searched as {searched[key]}", "leave it out")
            else:
                found[str(key)] = option_text(given)
                self.option(inner, str(key), found[str(key)])
        return found

    def option(self, path: Path, key: str, text: str) -> bool:
        """That the library takes an option."""
        try:
            with Config() as config:
                config.set_text(key, text)
        except Error as problem:
            self.refuse(path, str(problem))
            return False
        return True

    # ---- parameters ----

    def parameters(self, value: Any) -> tuple[Parameter, ...]:
        path: Path = ("parameters",)
        rows = self.mapping(path, value, ())
        if value is not None and not rows:
            self.refuse(path, "there is none", _example(path))
        found: list[Parameter] = []
        for name, row in rows.items():
            parameter = self.parameter((*path, name), str(name), row)
            if parameter is not None:
                found.append(parameter)
        self.apart(path, found)
        return tuple(found)

    def apart(self, path: Path, found: Sequence[Parameter]) -> None:
        """That no two parameters are one, in options or in the environment."""
        seen: dict[str, str] = {}
        for parameter in found:
            words = (*parameter.keys, parameter.name.upper())
            words += ((LOG2 + parameter.name).upper(),) if parameter.log else ()
            for word in words:
                if seen.setdefault(word, parameter.name) != parameter.name:
                    self.refuse(
                        (*path, parameter.name),
                        f"{word} is also of {seen[word]}",
                        "choose another name or key",
                    )

    def parameter(self, path: Path, name: str, value: Any) -> Parameter | None:
        row = self.mapping(path, value, _PARAMETER)
        before = len(self.document.problems)
        if not NAME.fullmatch(name):
            self.refuse(
                path, "letters, digits and _ only, a letter first, up to 40 characters"
            )
        if any(word in row for word in ("when", "condition", "if")):
            self.refuse(path, "parameters with a condition: Katib has none")
        kind = self.word((*path, "type"), row.get("type"), KINDS, "")
        keys = self.keys(path, row)
        made = self.choice if kind == "choice" else self.range
        parameter = made(path, Parameter(name, keys, kind), row)
        if len(self.document.problems) > before:
            return None
        return parameter if self.tried(path, parameter) else None

    def keys(self, path: Path, row: Mapping[str, Any]) -> tuple[str, ...]:
        if ("key" in row) == ("keys" in row):
            self.refuse(path, "needs `key` or `keys`", "key: schedule.max")
            return ()
        given = row.get("keys", row.get("key"))
        items = given if isinstance(given, list) else [given]
        for key in map(str, items):
            if key in SETTLED:
                self.refuse(path, f"{key} is set by {SETTLED[key]} in every trial")
        if not items or len({str(i) for i in items}) < len(items):
            self.refuse(path, f"keys {given!r}: none, or one twice")
        return tuple(map(str, items))

    def choice(self, path: Path, start: Parameter, row: dict[str, Any]) -> Parameter:
        values = row.get("values")
        for key in ("min", "max", "step", "scale"):
            if key in row:
                self.refuse((*path, key), "a choice has `values` only")
        if not isinstance(values, list) or not values:
            self.refuse((*path, "values"), "no list of values", "values: [1e-4, 1e-3]")
            return start
        texts = tuple(option_text(value) for value in values)
        if len(set(texts)) < len(texts):
            self.refuse((*path, "values"), "one value twice", "keep one")
        for value in texts:
            if set(value) & set("'\"\\$`\n"):
                self.refuse((*path, "values"), f"{value!r}: sh would change it")
        return dataclasses.replace(start, values=texts)

    def range(self, path: Path, start: Parameter, row: dict[str, Any]) -> Parameter:
        if "values" in row:
            self.refuse((*path, "values"), "is of type choice", "use min and max")
        low, high = (self.number((*path, k), row.get(k)) for k in ("min", "max"))
        scale = self.word((*path, "scale"), row.get("scale"), SCALES, "linear")
        step = None
        if "step" in row:
            step = self.number((*path, "step"), row["step"])
        if not low < high:
            self.refuse(path, f"min {low:g} is not below max {high:g}")
        if scale == "log" and low <= 0:
            self.refuse((*path, "min"), f"{low:g} has no logarithm", "min > 0")
        if scale == "log" and step is not None:
            self.refuse((*path, "step"), "a log scale has none", "use a choice")
        if step is not None and not 0 < step <= high - low:
            self.refuse((*path, "step"), f"{step:g} is not between 0 and max - min")
        if start.kind == "integer" and any(x != int(x) for x in (low, high, step or 1)):
            self.refuse(path, "min, max and step of an integer are whole numbers")
        return dataclasses.replace(start, low=low, high=high, scale=scale, step=step)

    def tried(self, path: Path, parameter: Parameter) -> bool:
        """That the library takes the ends of the range, or every choice."""
        ends = parameter.values or (
            parameter.text(parameter.low),
            parameter.text(parameter.high),
        )
        return all(
            self.option(path, key, end) for key in parameter.keys for end in ends
        )

    # ---- cluster ----

    def kubernetes(self, value: Any) -> Kubernetes:
        names = [field.name for field in dataclasses.fields(Kubernetes)]
        row = self.mapping(("kubernetes",), value, names)
        usual = Kubernetes()
        found: dict[str, Any] = {}
        for name, given in row.items():
            path, kind = ("kubernetes", name), type(getattr(usual, str(name), None))
            if kind is int:
                found[name] = self.whole(path, given, 1, getattr(usual, name))
            elif kind is str:
                found[name] = str(given)
            elif kind is tuple:
                found[name] = self.volumes(path, given)
        return dataclasses.replace(usual, **found)

    def volumes(self, path: Path, value: Any) -> tuple[Mapping[str, Any], ...]:
        if not isinstance(value, list):
            self.refuse(path, f"{value!r} is no list of volumes")
            return ()
        for i, item in enumerate(value):
            row = self.mapping((*path, i), item, ())
            for key in ("name", "mount"):
                if not isinstance(row.get(key), str):
                    self.refuse((*path, i), f"no `{key}`", _example(("kubernetes",)))
        return tuple(value)
