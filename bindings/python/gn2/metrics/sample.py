# SPDX-License-Identifier: Apache-2.0
"""Tagged jets with their truth: what ``plots`` and ``report`` draw, from arrays; those
of files are made in ``files``, the figures in ``figures``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..config import Config
from ..errors import InvalidArgument, NotFound, ShapeError
from ..scores import Names, Scores, discriminant_options, readable
from . import figures as metrics
from .found import Found

HEAVY = ("FromB", "FromBC", "FromC")  #: origins of heavy flavour


@dataclass
class Tracks:
    """Constituents, jet by jet; what is not known is None."""

    counts: NDArray[np.int64]  #: (T) of the first T jets
    origins: tuple[str, ...] = ()  #: names of the classes
    origin: NDArray[np.int64] | None = None  #: (N) truth; negative = none
    origin_p: NDArray[np.float32] | None = None  #: (N, origins)
    vertex: NDArray[np.int64] | None = None  #: (N) truth; negative = in none
    vertex_found: NDArray[np.int64] | None = None  #: (N)

    def __post_init__(self) -> None:
        rows = int(np.sum(self.counts))
        for name in ("origin", "origin_p", "vertex", "vertex_found"):
            value = getattr(self, name)
            if value is not None and len(value) != rows:
                raise ShapeError(f"{name}: {len(value)} rows for {rows} constituents")

    def is_origin(self, *names: str) -> NDArray[np.bool_]:
        """(N) whether the true origin is one of these."""
        indices = [self.origins.index(n) for n in names if n in self.origins]
        return np.isin(np.asarray(self.origin), indices)


@dataclass
class Tagged:
    """Jets, their true flavours and what a tagger says of them."""

    name: str  #: in legends
    scores: Scores
    flavour: NDArray[np.int64]  #: (B) index into classes; negative = other
    pt: NDArray[np.float64] | None = None  #: (B) MeV
    n_tracks: NDArray[np.int64] | None = None  #: (B)
    tracks: Tracks | None = None
    class_weights: tuple[float, ...] = ()  #: of the training, if known
    facts: Mapping[str, str] = field(default_factory=dict)  #: for the report
    #: what further tasks found, by name
    tasks: Mapping[str, Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what in ("flavour", "pt", "n_tracks"):
            value = getattr(self, what)
            if value is not None and len(value) != len(self.scores):
                raise ShapeError(
                    f"{self.name}: {len(value)} of {what} for {len(self.scores)} jets"
                )
        known = self.scores.has_probabilities
        if known and not np.isfinite(self.probabilities).all():
            raise InvalidArgument(f"{self.name}: a probability is NaN or infinite")

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(B, classes)"""
        return self.scores.probabilities

    @property
    def classes(self) -> tuple[str, ...]:
        """Short names: b, c, light, tau."""
        return tuple(readable(name) for name in self.scores.classes)

    @property
    def title(self) -> str:
        """Which tagger it is: name, file, parametrisation and width, if known."""
        file = self.facts.get("model", self.facts.get("scores"))
        known = [w for w in (file, self.facts.get("network")) if w]
        return f"{self.name} ({', '.join(known)})" if known else self.name

    @property
    def chosen(self) -> str:
        """How many of how many jets these are, and which; nothing if it is all."""
        selection = self.facts.get("selection")
        if not selection:
            return ""
        total = self.facts["jets before it"]
        return f"{len(self.scores):,} of {total} jets: {selection}"

    def discriminants(self) -> dict[str, str]:
        """Class that is the signal of each discriminant the tagger has, by its name."""
        rules = self.scores._names.rules
        return {name: self.classes[rule.signal] for name, rule in rules.items()}

    def signal_of(self, name: str) -> str:
        """The signal class of a discriminant, or the class itself."""
        return self.discriminants().get(name) or self.classes[self.index(name)]

    def index(self, flavour: str) -> int:
        """Index of a class by a name of it."""
        names = self.classes
        if flavour in names:
            return names.index(flavour)
        if flavour in self.scores.classes:
            return self.scores.classes.index(flavour)
        raise NotFound(f"no class '{flavour}'; {self.name} has {', '.join(names)}")

    def present(self) -> tuple[str, ...]:
        """Classes of which there are jets."""
        return tuple(n for i, n in enumerate(self.classes) if (self.flavour == i).any())

    def of(self, flavour: str) -> NDArray[np.bool_]:
        """(B) whether the jet is of a class."""
        mask: NDArray[np.bool_] = self.flavour == self.index(flavour)
        return mask

    def discriminant(self, signal: str = "b", **fractions: Any) -> Any:
        """(B) as :meth:`Scores.discriminant`."""
        return self.scores.discriminant(signal, **fractions)

    def select(self, mask: ArrayLike, name: str | None = None) -> Tagged:
        """Some of the jets, e.g. a range of pT or a process."""
        keep = np.asarray(mask, bool)
        if keep.shape != (len(self.scores),):
            raise ShapeError(f"mask {keep.shape} for {len(self.scores)} jets")
        return Tagged(
            name or self.name,
            self.scores.select(keep),
            self.flavour[keep],
            None if self.pt is None else self.pt[keep],
            None if self.n_tracks is None else self.n_tracks[keep],
            None if self.tracks is None else _select_tracks(self.tracks, keep),
            self.class_weights,
            self.facts,
            {name: of.select(keep) for name, of in self.tasks.items()},
        )

    def pairs(self) -> metrics.PairCounts | None:
        """Vertex pairs of the jets that have tracks here."""
        t = self.tracks
        if t is None or t.vertex is None or t.vertex_found is None:
            return None
        return metrics.pair_counts(t.counts, t.vertex, t.vertex_found)


def _select_tracks(tracks: Tracks, keep: Any) -> Tracks:
    jets = keep[: len(tracks.counts)]
    rows = np.repeat(jets, tracks.counts)
    columns = (tracks.origin, tracks.origin_p, tracks.vertex, tracks.vertex_found)
    cut = [None if column is None else column[rows] for column in columns]
    return Tracks(tracks.counts[jets], tracks.origins, *cut)


# ---- from arrays ----


def from_arrays(
    probabilities: Any,
    flavour: ArrayLike,
    *,
    classes: Sequence[str] = ("bjets", "cjets", "ujets", "taujets"),
    name: str = "GN2",
    pt: ArrayLike | None = None,
    n_tracks: ArrayLike | None = None,
    tracks: Tracks | None = None,
) -> Tagged:
    """Tagged jets from arrays.

    Args:
        probabilities: (B, classes), or :class:`gn2.Scores`.
        flavour: (B) index into the classes; negative = other.
        classes: names of the columns, not used for Scores.
        pt: (B) MeV.
        n_tracks: (B).
    """
    scores = probabilities
    if not isinstance(scores, Scores):
        p = np.ascontiguousarray(metrics.probabilities_of(probabilities), np.float32)
        if p.ndim != 2 or p.shape[1] != len(classes):
            raise ShapeError(f"probabilities {p.shape}, must be (B, {len(classes)})")
        scores = Scores(p, Names(name, tuple(classes), discriminant_options(Config())))
    return Tagged(
        name,
        scores,
        metrics.class_indices(flavour),
        None if pt is None else np.asarray(pt, np.float64),
        None if n_tracks is None else np.asarray(n_tracks, np.int64),
        tracks,
    )
