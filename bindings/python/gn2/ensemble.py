# SPDX-License-Identifier: Apache-2.0
"""Several models on the same jets: the mean of what they find, and how far apart."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from ._events import flat_events
from ._foreign import is_awkward
from ._views import JetsView
from .config import ConfigLike
from .errors import InvalidArgument, ShapeError
from .model import Model
from .scores import NO_CLASSES, EventScores, Scores
from .tagger import Tagger

if TYPE_CHECKING:
    from .dataset import Dataset


def _digest(model: Model) -> str:
    return hashlib.sha256(model.save_bytes()).hexdigest()


class Ensemble:
    """Runs several models on jets. One thread at a time, as each :class:`Tagger`.

    Args:
        models: two or more: :class:`Model`, paths of ``.gn2`` files or taggers.
        config, threads, strict: as of :class:`Tagger`, for those that are no taggers.

    The models classify jets into the same classes, which are matched by name, whatever
    their order, and define the same discriminants. Their inputs and all else may
    differ. The first gives the order of the classes and the name.

    Raises:
        InvalidArgument: they do not fit together, or one is there twice; it says which.
    """

    def __init__(
        self,
        models: Iterable[Model | Tagger | str | os.PathLike[str]],
        config: ConfigLike = None,
        *,
        threads: int | None = None,
        strict: bool = False,
    ) -> None:
        if isinstance(models, (Model, Tagger, str, os.PathLike)):
            raise InvalidArgument("an ensemble is made of a list of models")
        given = list(models)
        asked = config is not None or threads is not None or strict
        if asked and any(isinstance(one, Tagger) for one in given):
            raise InvalidArgument(
                "config, threads and strict have no effect on a Tagger: make it so"
            )
        if len(given) < 2:
            raise InvalidArgument(f"an ensemble has 2 models or more, not {len(given)}")
        #: one a model
        self.taggers: tuple[Tagger, ...] = tuple(
            (
                one
                if isinstance(one, Tagger)
                else Tagger(one, config, threads=threads, strict=strict)
            )
            for one in given
        )
        self._refuse_twins(given)
        self._order = [self._columns(k) for k in range(len(given))]
        inputs = [t.model.inputs for t in self.taggers]
        #: refuses what has no names, where it would be other columns to each model
        self._named: JetsView | None = None
        if any(list(one.items()) != list(inputs[0].items()) for one in inputs):
            view = self._named = JetsView(inputs[0], binds=False, strict=False)
            view.want = {k: want._replace(named=True) for k, want in view.want.items()}

    def _refuse_twins(self, given: Sequence[Any]) -> None:
        """Of two that find the same there is no spread, and of more a mean that counts
        one twice. Taggers of one model may differ by their options."""
        seen: dict[Any, int] = {}
        for k, (one, tagger) in enumerate(zip(given, self.taggers)):
            key = tagger if isinstance(one, Tagger) else _digest(tagger.model)
            if seen.setdefault(key, k) != k:
                raise InvalidArgument(
                    f"models {seen[key]} and {k} of the ensemble are the same: give "
                    "each once"
                )

    def _columns(self, k: int) -> list[int]:
        """Columns of model k's probabilities in the order of the first's classes."""
        first, other = self.taggers[0]._names, self.taggers[k]._names
        if not other.classes:
            raise InvalidArgument(f"model {k} of the ensemble: {NO_CLASSES}")
        if set(first.classes) != set(other.classes):
            raise InvalidArgument(
                f"model {k} of the ensemble has the classes "
                f"{', '.join(other.classes)}, the first {', '.join(first.classes)}: "
                "they must be the same"
            )
        mine, its = first.definitions(), other.definitions()
        for name in dict.fromkeys((*mine, *its)):
            if mine.get(name) != its.get(name):
                raise InvalidArgument(
                    f"model {k} of the ensemble has {name} = {its.get(name, 'none')}, "
                    f"the first {mine.get(name, 'none')}: give "
                    f"discriminant.{name}.signal and .fractions, which go before what "
                    "models say"
                )
        return [other.classes.index(name) for name in first.classes]

    @property
    def model(self) -> Model:
        """The first model: name, order of classes and discriminants are its own."""
        return self.taggers[0].model

    @property
    def names(self) -> list[str]:
        """ "NAME sha256:DIGEST" of each model, the digest that of its ``.gn2`` file."""
        return [
            f"{t.model.metadata('model.name')} sha256:{_digest(t.model)}"
            for t in self.taggers
        ]

    def tag(self, jets: Any, tracks: Any = None, *, valid: Any = None) -> Scores:
        """Tags jets with each model, see :meth:`Tagger.tag`; inputs by name where the
        models take different ones, or in another order.

        Returns:
            :class:`Scores`: the probabilities are the means over the models, computed
            in double; ``spread`` (B, classes) is their standard deviation, divided by
            models - 1 (ddof = 1). Discriminants are those of the means. Of jets by
            event :class:`EventScores`, with the spread in ``flat``.

        Raises:
            InvalidArgument: columns without names, which are others to each model.
        """
        if self._named is not None:
            try:
                self._named.fill(*self._flat(jets, tracks), valid)
            finally:
                self._named.rows = []
        return self.mean([t.tag(jets, tracks, valid=valid) for t in self.taggers])

    __call__ = tag

    def _flat(self, jets: Any, tracks: Any) -> tuple[Any, Any]:
        """Jets by event, one after another."""
        assert self._named is not None
        if type(jets) is np.ndarray or not is_awkward(jets):
            return jets, tracks
        return flat_events(jets, tracks, self._named.want)[:2]

    def tag_batches(self, datasets: Sequence[Dataset]) -> Iterator[Scores]:
        """Tags the same jets of a file, batch by batch.

        Args:
            datasets: one a model, opened with its config, ``data.sampling =
                sequential`` and the same ``data.batch_size``.
        """
        if len(datasets) != len(self.taggers):
            raise InvalidArgument(
                f"{len(datasets)} datasets, the ensemble has {len(self.taggers)} models"
            )
        batches = (t.tag_batches(data) for t, data in zip(self.taggers, datasets))
        for found in zip_longest(*batches):
            counts = [0 if scores is None else len(scores) for scores in found]
            if len(set(counts)) > 1:
                raise ShapeError(f"the models' batches are of {counts} jets")
            yield self.mean(found)

    def mean(self, found: Sequence[Scores]) -> Scores:
        """The scores of the ensemble, of those of each of its models in their order.

        Raises:
            InvalidArgument, ShapeError: they are not one a model, or of other jets.
        """
        if len(found) != len(self.taggers):
            raise InvalidArgument(
                f"{len(found)} scores, the ensemble has {len(self.taggers)} models"
            )
        flat = [s.flat if isinstance(s, EventScores) else s for s in found]
        counts = [len(scores) for scores in flat]
        if len(set(counts)) > 1:
            raise ShapeError(f"the models' scores are of {counts} jets")
        for k, (scores, tagger) in enumerate(zip(flat, self.taggers)):
            if scores._names.classes != tagger._names.classes:
                raise InvalidArgument(f"scores {k} are not of model {k}: other classes")
        p = np.stack(
            [s.probabilities[:, order] for s, order in zip(flat, self._order)]
        ).astype(np.float64)
        scores = Scores(p.mean(0).astype(np.float32), self.taggers[0]._names)
        scores.spread = p.std(0, ddof=1).astype(np.float32)
        first = found[0]
        return first.again(scores) if isinstance(first, EventScores) else scores

    def __len__(self) -> int:
        return len(self.taggers)

    def __repr__(self) -> str:
        return f"gn2.Ensemble({len(self)} models, {', '.join(self.model.classes)})"
