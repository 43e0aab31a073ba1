# SPDX-License-Identifier: Apache-2.0
"""What a tagger found: probabilities, discriminants, further outputs."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import address
from ._events import by_event
from ._ffi import lib, text
from ._foreign import unmasked
from .config import Config
from .errors import InvalidArgument, NotFound
from .tasks import FLAVOUR_TASK, Task, aliases, flavour_of, read

FORMS = {"log": 0, "ratio": 1}
#: short names of the usual classes, and what they are called in tables and pictures
USUAL = {"b": "b", "c": "c", "u": "light", "tau": "tau"}
LIGHT = "u"
NO_CLASSES = "the model does not classify jets; see Tagger.outputs for what it has"


def short_name(class_name: str) -> str:
    """ "b" for "bjets": what stands behind ``p`` in names of scores."""
    return class_name[:-4] if class_name.endswith("jets") else class_name


def readable(class_name: str) -> str:
    """ "light" for "ujets"."""
    return USUAL.get(short_name(class_name), short_name(class_name))


def discriminant(
    probabilities: ArrayLike,
    signal: int,
    fractions: ArrayLike,
    form: str = "log",
) -> NDArray[np.float32]:
    """D = log(p_signal / Σ f_k p_k) over the other classes, computed in double.

    Args:
        probabilities: (B, classes), each ≥ 0.
        signal: index of the signal class.
        fractions: (classes) weights ≥ 0, at most 1 in all; that of the signal is
            ignored.
        form: "log", or "ratio" for the ratio itself.

    Returns:
        (B) float32, always finite: a zero counts as the smallest normal float.
    """
    p = np.ascontiguousarray(unmasked(probabilities, "probabilities"), np.float32)
    weights = np.ascontiguousarray(fractions, np.float64)
    if p.ndim != 2 or weights.shape != p.shape[1:]:
        raise InvalidArgument(
            f"probabilities {p.shape} and fractions {weights.shape} must be "
            "(B, classes) and (classes)"
        )
    if form not in FORMS:
        raise InvalidArgument(f"form {form!r}, must be one of {list(FORMS)}")
    out = np.empty(len(p), np.float32)
    lib.gn2_discriminant(
        address(p), *p.shape, signal, address(weights), FORMS[form], address(out)
    )
    return out


class Rule(NamedTuple):
    """A discriminant as the library defines it."""

    signal: int
    fractions: tuple[float, ...]  #: weight of each class
    rest: int  #: class that got what the others left of 1; -1 = none
    form: str


def discriminant_options(config: Config) -> dict[str, Any]:
    """The keys ``discriminant.*`` of a config."""
    return {k: v for k, v in config.items() if k.startswith("discriminant.")}


def _rules(classes: Sequence[str], options: Mapping[str, Any]) -> dict[str, Rule]:
    """Discriminants of these classes by name, from the keys ``discriminant.*``."""
    with Config(options) as config:
        # classes named without "jets" mean the usual ones in the keys discriminant.*
        config["model.classes"] = [f"{n}jets" if n in USUAL else n for n in classes]
        keys = [key.split(".") for key in config if key.startswith("discriminant.")]
        names = dict.fromkeys(key[1] for key in keys if len(key) == 3)
        found = {name: _rule(config, name, len(classes)) for name in names}
    return {name: rule for name, rule in found.items() if rule is not None}


def _rule(config: Config, name: str, classes: int) -> Rule | None:
    weights = np.zeros(classes)
    signal, rest, form = ctypes.c_int64(), ctypes.c_int64(), ctypes.c_int32()
    try:
        with config._guard as handle:
            lib.gn2_discriminant_get(
                handle,
                text(name, "discriminant"),
                address(weights),
                classes,
                ctypes.byref(signal),
                ctypes.byref(rest),
                ctypes.byref(form),
            )
    except NotFound:
        return None
    forms = {number: word for word, number in FORMS.items()}
    numbers = tuple(float(w) for w in weights)
    return Rule(signal.value, numbers, rest.value, forms[form.value])


def rules_of(model: Any) -> dict[str, Rule]:
    """Discriminants of a :class:`gn2.Model` by name."""
    return _rules(model.classes, discriminant_options(model.config))


def check_discriminants(given: Mapping[str, Any], names: Names) -> None:
    """Refuses options of discriminants that are not there, and fractions that a
    discriminant does not have, of a class that is none or is its signal, or because it
    has a list of them."""
    for key, value in given.items():
        name, _, what = key.removeprefix("discriminant.").partition(".")
        if not what:
            if not names.rules:
                raise NotFound(f"{key} has no effect: there are no discriminants")
            continue  # the form of all of them
        if name not in names.rules:
            there = ", ".join(names.rules) or "none"
            raise NotFound(f"{key} has no effect: the discriminants are {there}")
        rule = names.rules[name]
        fractions = dict(zip(names.short, rule.fractions))
        if what.startswith("f_") and fractions.get(what[2:]) != float(value):
            told = ", ".join(
                f"{c}:{f:g}" for c, f in zip(names.classes, rule.fractions)
            )
            raise InvalidArgument(
                f"{key} = {value} has no effect: {name} has the signal "
                f"{names.classes[rule.signal]} and the fractions {told}"
            )


class Names:
    """Class names of a model and its discriminants; shared by all scores."""

    def __init__(
        self,
        model_name: str,
        classes: tuple[str, ...],
        options: Mapping[str, Any],
        tasks: Mapping[str, Task] | None = None,
    ) -> None:
        self.model = model_name
        self.classes = classes
        self.short = tuple(short_name(name) for name in classes)
        self.rules = _rules(classes, options) if classes else {}
        self.aliases = aliases(tasks or {})
        #: full names of the probabilities
        self.flavour = _flavour_names(tasks or {})

    def facts(self) -> dict[str, Any]:
        """All that it is, as JSON takes it; :meth:`of` makes it again."""
        return {
            "model": self.model,
            "classes": list(self.classes),
            "rules": {name: list(rule) for name, rule in self.rules.items()},
            "aliases": self.aliases,
            "flavour": sorted(self.flavour),
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Names:
        """What :meth:`facts` told."""
        found = cls(facts["model"], tuple(facts["classes"]), {})
        found.rules = {
            name: Rule(signal, tuple(fractions), rest, form)
            for name, (signal, fractions, rest, form) in facts["rules"].items()
        }
        found.aliases = dict(facts["aliases"])
        found.flavour = set(facts["flavour"])
        return found

    def index(self, name: str) -> int:
        """Index of a class by "bjets", "b", "pb" or "light"."""
        name = LIGHT if name == "light" else name
        for names in (self.classes, self.short):
            if name in names:
                return names.index(name)
        if name[:1] == "p" and name[1:].lstrip("_") in self.short:
            return self.short.index(name[1:].lstrip("_"))
        if not self.classes:
            raise NotFound(f"no '{name}': {NO_CLASSES}")
        raise NotFound(f"no class '{name}'; the model has {', '.join(self.classes)}")

    def rule(self, signal: str) -> Rule:
        """The discriminant of a name ("D_b") or of a class; without one, all to light.

        Of several with one signal it is the one named after the class, or the first.
        """
        if signal in self.rules:
            return self.rules[signal]
        index = self.index(signal)
        own = self.rules.get(f"D_{self.short[index]}")
        same = [rule for rule in (own, *self.rules.values()) if rule is not None]
        for rule in same:
            if rule.signal == index:
                return rule
        light = self.short.index(LIGHT) if LIGHT in self.short else -1
        rest = light if light != index else -1
        weights = [float(k == rest) for k in range(len(self.short))]
        return Rule(index, tuple(weights), rest, "log")

    def definitions(self) -> dict[str, Any]:
        """Discriminants by name, whatever the order of the classes."""
        return {
            name: (
                self.classes[rule.signal],
                dict(sorted(zip(self.classes, rule.fractions))),
                rule.form,
            )
            for name, rule in self.rules.items()
        }

    def weights(self, rule: Rule, given: Mapping[str, float]) -> list[float]:
        """Weights of all classes: given, else the rule's; one class gets the rest."""
        weights = list(rule.fractions)
        for name, value in given.items():
            if name[:2] != "f_" or name[2:] not in self.short:
                allowed = ", ".join(f"f_{s}" for s in self.short)
                raise NotFound(f"no fraction '{name}'; there are {allowed}")
            if self.short.index(name[2:]) == rule.signal:
                raise InvalidArgument(
                    f"{name} = {value} has no effect: {name[2:]} is the signal of this "
                    "discriminant, and fractions are those of the other classes"
                )
            weights[self.short.index(name[2:])] = float(value)
        weights[rule.signal] = 0.0
        if given and rule.rest >= 0 and f"f_{self.short[rule.rest]}" not in given:
            weights[rule.rest] = 0.0
            weights[rule.rest] = max(0.0, 1.0 - sum(weights))
        if not any(weights):
            short = self.short[rule.signal]
            raise InvalidArgument(
                f"no discriminant has '{short}' as its signal; give f_… of a class"
            )
        return weights


def names_of(config: Config) -> Names:
    """Classes and discriminants of a model that is made so."""
    given: Any = config["model.classes"]
    classes = given if flavour_of(read(config)) else ()
    title = str(config["model.name"])
    return Names(title, tuple(classes), discriminant_options(config))


def _flavour_names(tasks: Mapping[str, Task]) -> set[str]:
    flavour = flavour_of(tasks)
    own = {flavour.full(), flavour.output()} if flavour else set()
    return own if FLAVOUR_TASK in tasks else own | {"jets.probabilities"}


class Scores:
    """Scores of the jets of a call.

    ``scores["b"]`` is the probability to be a b-jet, ``scores.discriminant("b")`` the
    b-tagging discriminant, ``scores["tracks.origin"]`` an output that was asked for,
    by any name of it. As an array (``np.asarray(scores)``) it is :attr:`probabilities`.
    """

    __slots__ = (
        "outputs",
        "offsets",
        "spread",
        "_p",
        "_count",
        "_names",
        "_full",
        "_ends",
    )

    #: further outputs by the name they were asked for
    outputs: dict[str, NDArray[Any]]
    #: (B + 1) first row of each jet in outputs of ragged constituents of the first
    #: type, else None
    offsets: NDArray[np.int64] | None
    #: (B, classes) standard deviation of the probabilities over the models of an
    #: :class:`gn2.Ensemble`, else None
    spread: NDArray[np.float32] | None

    def __init__(self, probabilities: Any, names: Names, count: int = 0) -> None:
        self._p = probabilities
        self._count = count if probabilities is None else len(probabilities)
        self._names = names
        self.outputs = {}
        self.offsets = None
        self.spread = None
        self._full: dict[str, str] = {}  # name asked for, by the output's shortest
        self._ends: dict[str, Any] = {}  # first rows, by the name asked for

    def add(self, asked: str, full: str, values: Any, ends: Any = None) -> None:
        """Notes an output; ``ends`` are the first rows of each jet, if ragged."""
        self.outputs[asked] = values
        self._full[self._names.aliases.get(full, full)] = asked
        self._ends[asked] = ends

    def select(self, keep: Any) -> Scores:
        """Probabilities and spread of some of the jets; other outputs are left out."""
        count = int(np.count_nonzero(keep))
        p = None if self._p is None else self._p[keep]
        chosen = Scores(p, self._names, count)
        chosen.spread = None if self.spread is None else self.spread[keep]
        return chosen

    def keep(self) -> None:
        """Copies what lies in memory of the library."""
        if self.offsets is not None:
            self.offsets = self.offsets.copy()
        copies = {
            name: None if e is None else e.copy() for name, e in self._ends.items()
        }
        self._ends = copies

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(B, classes) float32.

        Raises:
            NotFound: the model does not classify jets.
        """
        if self._p is None:
            raise NotFound(f"no probabilities: {NO_CLASSES}")
        p: NDArray[np.float32] = self._p
        return p

    @property
    def has_probabilities(self) -> bool:
        """Does the model classify jets?"""
        return self._p is not None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the columns of :attr:`probabilities`."""
        return self._names.classes

    def __len__(self) -> int:
        return self._count

    def _asked(self, name: str) -> str | None:
        """The name an output was asked for, from any name of it."""
        if name in self.outputs:
            return name
        full = self._names.aliases.get(name, name)
        if full in self._full:
            return self._full[full]
        ends = [f for f in self._full if f.partition(".")[2] == name]
        return self._full[ends[0]] if len(ends) == 1 else None

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Probability of a class ("b", "bjets", "pb"), or an output by name."""
        if not isinstance(name, str):
            raise TypeError("scores are looked up by name; see .probabilities for rows")
        asked = self._asked(name)
        if asked is not None:
            return self.outputs[asked]
        if name in self._names.flavour:
            return self.probabilities
        if "." in name:
            raise NotFound(
                f"no output '{name}'; ask for it: tag(…, outputs=['{name}'])"
            )
        index = self._names.index(name)
        column: NDArray[Any] = self.probabilities[:, index]
        return column

    def __getattr__(self, name: str) -> NDArray[Any]:
        if not name.startswith("_"):
            asked = self._asked(name)
            if asked is not None:
                return self.outputs[asked]
        raise AttributeError(
            f"no output '{name}'; ask for it: tag(…, outputs=['{name}'])"
        )

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        if dtype is None and not copy:
            return self.probabilities
        return self.probabilities.astype(dtype or np.float32)

    def discriminant(
        self, signal: str = "b", *, form: str | None = None, **fractions: float
    ) -> NDArray[np.float32]:
        """D = log(p_signal / Σ f_k p_k), e.g. ``discriminant("b", f_c=0.2, f_tau=0)``.

        Args:
            signal: class, e.g. "b", "c", "tau", or a discriminant, e.g. "D_hbb".
            form: "log" or "ratio"; None: as stored in the model.
            fractions: ``f_<class>``; those not given are the model's, and light jets
                (or the class that the model says) get what is left of 1.

        Returns:
            (B) float32, always finite.
        """
        if self._p is None:
            raise NotFound(f"no discriminants: {NO_CLASSES}")
        rule = self._names.rule(signal)
        weights = self._names.weights(rule, fractions)
        return discriminant(self.probabilities, rule.signal, weights, form or rule.form)

    def structured(self, prefix: str | None = None) -> NDArray[Any]:
        """A structured array (B,) with ``GN2_pb`` … and ``GN2_Db`` …."""
        prefix = self._names.model if prefix is None else prefix
        columns = {
            f"{prefix}_p{short}": self.probabilities[:, i]
            for i, short in enumerate(self._names.short)
        }
        for name in self._names.rules:
            columns[f"{prefix}_{name.replace('_', '', 1)}"] = self.discriminant(name)
        out = np.empty(len(self), [(name, "f4") for name in columns])
        for name, values in columns.items():
            out[name] = values
        return out

    def split(self, name: str) -> list[NDArray[Any]]:
        """An output of constituents or of pairs as a list of one array a jet."""
        ends = self._ends.get(self._asked(name) or "")
        if ends is None:
            return list(self[name])
        return np.split(self[name], ends[1:-1])

    def __repr__(self) -> str:
        more: Iterable[str] = self.outputs
        extra = f", outputs: {', '.join(more)}" if self.outputs else ""
        classes = ", ".join(self.classes) or "no classes"
        return f"gn2.Scores({len(self)} jets, {classes}{extra})"


class EventScores(Scores):
    """Scores of jets that were given by event: each array is awkward, events × jets, or
    events × jets × constituents. :attr:`flat` has those of the jets one after another;
    so do ``offsets``, ``select`` and ``np.asarray(scores)``.
    """

    __slots__ = ("flat", "_events")

    #: the same without events
    flat: Scores

    def __init__(self, flat: Scores, events: Any) -> None:
        super().__init__(flat._p, flat._names, flat._count)
        self.flat, self._events = flat, events
        self.offsets = flat.offsets
        for name, values in flat.outputs.items():
            self.outputs[name] = by_event(values, flat._ends[name], events)
        self._full, self._ends = flat._full, flat._ends

    def again(self, flat: Scores) -> EventScores:
        """Other scores of the same jets, by event."""
        return EventScores(flat, self._events)

    @property
    def probabilities(self) -> Any:
        """Events × jets × classes, float32."""
        return by_event(self.flat.probabilities, None, self._events)

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, name: str) -> Any:
        """Probability of a class ("b", "bjets", "pb"), or an output by name."""
        asked = self._asked(name) if isinstance(name, str) else None
        if asked is not None:
            return self.outputs[asked]
        return by_event(self.flat[name], None, self._events)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self.flat.__array__(dtype, copy)

    def discriminant(
        self, signal: str = "b", *, form: str | None = None, **fractions: float
    ) -> Any:
        """As :meth:`Scores.discriminant`, events × jets."""
        flat = self.flat.discriminant(signal, form=form, **fractions)
        return by_event(flat, None, self._events)

    def structured(self, prefix: str | None = None) -> Any:
        """Records with ``GN2_pb`` … and ``GN2_Db`` …, events × jets."""
        return by_event(self.flat.structured(prefix), None, self._events)

    def split(self, name: str) -> list[Any]:
        """An output as a list of one array an event."""
        return list(self[name])

    def __repr__(self) -> str:
        return f"gn2.EventScores({len(self)} events of {self.flat!r})"
