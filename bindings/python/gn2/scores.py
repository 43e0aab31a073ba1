# SPDX-License-Identifier: Apache-2.0
"""What a tagger found: probabilities, discriminants, further outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import address
from ._ffi import lib
from .errors import InvalidArgument, NotFound

FORMS = {"log": 0, "ratio": 1}
LIGHT = "u"


def short_name(class_name: str) -> str:
    """ "b" for "bjets": what stands behind ``p`` in names of scores."""
    return class_name[:-4] if class_name.endswith("jets") else class_name


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
        fractions: (classes) weights ≥ 0; that of the signal is ignored.
        form: "log", or "ratio" for the ratio itself.

    Returns:
        (B) float32, always finite: a zero counts as the smallest normal float.
    """
    p = np.ascontiguousarray(probabilities, np.float32)
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


class Names:
    """Class names of a model and the fractions stored in it; shared by all scores."""

    def __init__(
        self, model_name: str, classes: tuple[str, ...], options: Mapping[str, Any]
    ) -> None:
        self.model = model_name
        self.classes = classes
        self.short = tuple(short_name(name) for name in classes)
        self.options = options  # the keys discriminant.*

    def index(self, name: str) -> int:
        """Index of a class by "bjets", "b", "pb" or "light"."""
        name = LIGHT if name == "light" else name
        for names in (self.classes, self.short):
            if name in names:
                return names.index(name)
        if name[:1] == "p" and name[1:].lstrip("_") in self.short:
            return self.short.index(name[1:].lstrip("_"))
        raise NotFound(f"no class '{name}'; the model has {', '.join(self.classes)}")

    def fractions(self, signal: int, given: Mapping[str, float]) -> list[float]:
        """Weights of all classes: given, else the model's; light gets the rest."""
        for name in given:
            if name[:2] != "f_" or name[2:] not in self.short:
                allowed = ", ".join(f"f_{s}" for s in self.short)
                raise NotFound(f"no fraction '{name}'; there are {allowed}")
        prefix = f"discriminant.D_{self.short[signal]}.f_"
        weights: list[float] = []
        for short in self.short:
            stored = self.options.get(prefix + short, 0.0)
            weights.append(float(given.get(f"f_{short}", stored)))
        weights[signal] = 0.0
        if LIGHT in self.short and f"f_{LIGHT}" not in given:
            light = self.short.index(LIGHT)
            if light != signal:
                weights[light] = self._rest(prefix, given, signal)
        if not any(weights):
            raise InvalidArgument(
                f"D_{self.short[signal]} has no stored fractions; give f_… of a class"
            )
        return weights

    def _rest(self, prefix: str, given: Mapping[str, float], signal: int) -> float:
        # a fraction of a class the model lacks counts too, as in the library
        stored = {
            key[len(prefix) - 2 :]: value
            for key, value in self.options.items()
            if key.startswith(prefix)
        }
        used = {**stored, **given}
        used.pop(f"f_{self.short[signal]}", None)
        rest = 1.0 - float(sum(used.values()))
        if rest < -1e-9:
            raise InvalidArgument(f"fractions {dict(used)} sum to more than 1")
        return max(rest, 0.0)


class Scores:
    """Scores of the jets of a call.

    ``scores["b"]`` is the probability to be a b-jet, ``scores.discriminant("b")`` the
    b-tagging discriminant, ``scores["tracks.origin"]`` an output that was asked for.
    As an array (``np.asarray(scores)``) it is :attr:`probabilities`.
    """

    __slots__ = ("probabilities", "outputs", "offsets", "_names")

    #: (B, classes) float32
    probabilities: NDArray[np.float32]
    #: further outputs by the name they were asked for
    outputs: dict[str, NDArray[Any]]
    #: (B + 1) first row of each jet in outputs of ragged constituents, else None
    offsets: NDArray[np.int64] | None

    def __init__(self, probabilities: Any, names: Names) -> None:
        self.probabilities = probabilities
        self._names = names
        self.outputs = {}
        self.offsets = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the columns of :attr:`probabilities`."""
        return self._names.classes

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Probability of a class ("b", "bjets", "pb"), or an output by name."""
        if not isinstance(name, str):
            raise TypeError("scores are looked up by name; see .probabilities for rows")
        if name in self.outputs:
            return self.outputs[name]
        column: NDArray[Any] = self.probabilities[:, self._names.index(name)]
        return column

    def __getattr__(self, name: str) -> NDArray[Any]:
        outputs: dict[str, NDArray[Any]] = object.__getattribute__(self, "outputs")
        if name in outputs:
            return outputs[name]
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
            signal: class, e.g. "b", "c", "tau".
            form: "log" or "ratio"; None: as stored in the model.
            fractions: ``f_<class>``; those not given are the model's, and light jets
                get what is left of 1.

        Returns:
            (B) float32, always finite.
        """
        index = self._names.index(signal)
        if form is None:
            form = str(self._names.options.get("discriminant.form", "log"))
        weights = self._names.fractions(index, fractions)
        return discriminant(self.probabilities, index, weights, form)

    def structured(self, prefix: str | None = None) -> NDArray[Any]:
        """A structured array (B,) with ``GN2_pb`` … and ``GN2_Db``."""
        prefix = self._names.model if prefix is None else prefix
        names = [f"{prefix}_p{short}" for short in self._names.short]
        out = np.empty(len(self), [(name, "f4") for name in [*names, f"{prefix}_Db"]])
        for i, name in enumerate(names):
            out[name] = self.probabilities[:, i]
        out[f"{prefix}_Db"] = self.discriminant("b")
        return out

    def split(self, name: str) -> list[NDArray[Any]]:
        """An output of ragged constituents as a list of one array a jet."""
        if self.offsets is None:
            return list(self[name])
        return np.split(self[name], self.offsets[1:-1])

    def __repr__(self) -> str:
        more: Iterable[str] = self.outputs
        extra = f", outputs: {', '.join(more)}" if self.outputs else ""
        return f"gn2.Scores({len(self)} jets, {', '.join(self.classes)}{extra})"
