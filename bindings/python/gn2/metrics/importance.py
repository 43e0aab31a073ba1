# SPDX-License-Identifier: Apache-2.0
"""Permutation importance: how much worse a model gets when one input means nothing.

The values of an input are dealt anew among all jets, or all constituents of a type, of
a sample; all else stays. What is lost is what the model had from it that no other input
tells it as well: of two inputs that say the same, both look unimportant. L. Breiman,
Machine Learning 45 (2001) 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..dataset import Batch, Dataset
from ..errors import InvalidArgument
from ..model import Model
from ..trainer import Trainer
from ..training_stats import Metrics
from .figures import Ratio

Figures = dict[str, float]


class Importance(NamedTuple):
    """What a model loses without an input."""

    object: str  #: "jets" or a constituent type
    input: str
    figures: dict[str, Ratio]  #: with the input dealt anew: mean, error of the mean

    def change(self, nominal: Figures, figure: str = "loss") -> Ratio:
        """Of a figure, against the sample as it is."""
        found = self.figures[figure]
        return Ratio(found.value - nominal[figure], found.error)


class Importances(NamedTuple):
    """Of all inputs, the most important first."""

    #: as :meth:`gn2.training_stats.Metrics.flat` names them; those that there are
    nominal: Figures
    inputs: list[Importance]
    repeats: int
    #: tasks of which no row has a label: ``loss`` is the sum of the others' losses
    unlabelled: tuple[str, ...] = ()


class _Sample:
    """Jets of a dataset as arrays, whose columns can be dealt anew."""

    def __init__(self, dataset: Dataset, jets: int) -> None:
        self.columns, self.config = dataset.inputs, dataset.config.copy()
        self.config.update({"data.sampling": "sequential", "data.max_jets": -1})
        self.config["data.selection"] = ""  # these are those
        batches = list(_first(dataset, jets))
        if not batches:
            raise InvalidArgument("the dataset has no jets")
        self.values = {"jets": np.concatenate([b.jets for b in batches])}
        self.offsets: dict[str, Any] = {}
        for name in list(self.columns)[1:]:
            parts = [_part(batch, name) for batch in batches]
            self.values[name] = np.concatenate([p.values for p in parts])
            counts = np.concatenate([np.diff(p.offsets) for p in parts])
            self.offsets[name] = np.concatenate([[0], np.cumsum(counts)])
        names = batches[0].labels
        self.labels = {n: np.concatenate([b.labels[n] for b in batches]) for n in names}

    def dataset(self, object: str, column: int, order: Any) -> Dataset:
        """With rows of a column in another order."""
        values = dict(self.values)
        values[object] = values[object].copy()
        values[object][:, column] = values[object][order, column]
        tracks = {n: (values[n], ends) for n, ends in self.offsets.items()}
        one = tracks[next(iter(tracks))] if len(tracks) == 1 else tracks
        return Dataset.from_arrays(values["jets"], one, self.labels, self.config)


def _part(batch: Batch, name: str) -> Any:
    return batch.tracks[name] if isinstance(batch.tracks, dict) else batch.tracks


def _first(dataset: Dataset, jets: int) -> Iterator[Batch]:
    """Whole batches until there are so many jets."""
    seen = 0
    for batch in dataset.batches():
        yield batch
        seen += len(batch.jets)
        if jets and seen >= jets:
            return


def _evaluated(trainer: Trainer, dataset: Dataset) -> Metrics:
    with dataset:
        return trainer.evaluate(dataset)


def _figures(found: Metrics) -> Figures:
    """Those that are known. Dealing an input anew takes no label away, so the sum of
    the tasks with labels can be compared."""
    figures = {**found.flat(""), "loss": sum(_known(found))}
    del figures["jets"]
    return {name: value for name, value in figures.items() if not np.isnan(value)}


def _known(found: Metrics) -> list[float]:
    return [loss for loss in found.losses.values() if not np.isnan(loss)]


def _mean(rounds: list[Figures], names: Figures) -> dict[str, Ratio]:
    found = {}
    for name in names:
        values = np.array([figures.get(name, np.nan) for figures in rounds])
        many = len(values) > 1 and np.isfinite(values).all()
        spread = values.std(ddof=1) / np.sqrt(len(values)) if many else np.nan
        found[name] = Ratio(float(values.mean()), float(spread))
    return found


def importance(
    model: Model,
    dataset: Dataset,
    *,
    jets: int = 0,
    repeats: int = 3,
    seed: int = 1,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Importances:
    """Permutation importance of every input of a model.

    Args:
        model: it is not changed.
        dataset: jets with labels, opened with the model's config.
        jets: look at the first so many, to whole batches; 0: all. They are held in
            memory, twice.
        repeats: deals an input, at least 1; with one no error is known (NaN).
        seed: of the deals, the same for every input.
        threads: 0: the processors this process may use.
        progress: called with (inputs done, inputs).

    Returns:
        :class:`Importances`, by the loss that is lost.
    """
    if repeats < 1:
        raise InvalidArgument(f"repeats = {repeats}: at least 1")
    sample = _Sample(dataset, jets)
    total = sum(len(names) for names in sample.columns.values())
    found: list[Importance] = []
    with Trainer(model, {"train.threads": threads}) as trainer:
        nothing = np.arange(len(sample.values["jets"]))
        plain = _evaluated(trainer, sample.dataset("jets", 0, nothing))
        nominal = _figures(plain)
        if not _known(plain):
            raise InvalidArgument("the sample has no labelled row of any task")
        for object, names in sample.columns.items():
            deals = np.random.default_rng(seed)
            rows = len(sample.values[object])
            orders = [deals.permutation(rows) for _ in range(repeats)]
            for column, name in enumerate(names):
                rounds = [
                    _figures(_evaluated(trainer, sample.dataset(object, column, order)))
                    for order in orders
                ]
                found.append(Importance(object, name, _mean(rounds, nominal)))
                if progress is not None:
                    progress(len(found), total)
    without = tuple(name for name, loss in plain.losses.items() if np.isnan(loss))
    found.sort(key=_loss, reverse=True)
    return Importances(nominal, found, repeats, without)


def _loss(one: Importance) -> float:
    return float(one.figures["loss"].value)
