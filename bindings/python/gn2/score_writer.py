# SPDX-License-Identifier: Apache-2.0
"""Scores to HDF5. As in ``include/gn2/dataset.h``."""

from __future__ import annotations

import copy
import ctypes
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _ffi
from ._arrays import address
from ._ffi import lib, text
from ._foreign import unmasked
from ._handle import Owner, make, path_bytes
from .config import ConfigLike, as_config
from .ensemble import Ensemble
from .errors import InvalidArgument, ShapeError
from .model import Model
from .scores import Scores
from .tagger import Tagger

SPREAD = "_spread"  #: follows the name of the probabilities, of what ensembles have


def outputs_of(scores: Scores, tagger: Tagger) -> dict[str, Any]:
    """The arrays of scores by the full names of their outputs, probabilities once, as
    :meth:`ScoreWriter.add` takes them."""
    given = {tagger.describe(n).name: v for n, v in scores.outputs.items()}
    flavour = tagger._flavour or ""
    if scores.has_probabilities and not given.keys() & scores._names.flavour:
        given[flavour] = scores.probabilities
    if scores.spread is not None:
        given[flavour + SPREAD] = scores.spread
    return given


class ScoreWriter(Owner):
    """Writes scores beside the fields of the input file, as salt does.

    A context manager: leaving it without an exception finishes the file, else what was
    written is removed. An existing file is replaced only at the end.

    Args:
        path: score file.
        input: the HDF5 file that is tagged.
        model: gives names and shapes. Of an :class:`Ensemble` the fields are those of
            its first model, and ``NAME_pb_spread`` …; the attribute ``ensemble`` of
            the file names all.
        config: ``scores.*``, ``data.dataset.*`` and ``data.unwritten``. Other outputs
            than scores, as "jets.embedding", are written where they are given; of
            constituents, where ``scores.outputs`` names one of theirs, or
            ``scores.write_tracks`` is "yes" and they have scores.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        input: str | os.PathLike[str],
        model: Model | Ensemble,
        config: ConfigLike = None,
    ) -> None:
        models = model.names if isinstance(model, Ensemble) else []
        model = model.model if isinstance(model, Ensemble) else model
        options = as_config(config, base=model.config).copy()
        options["scores.models"] = models
        with model._guard as m, options._guard as c:
            handle = make(
                _ffi.ScoreWriter,
                lib.gn2_score_writer_create,
                path_bytes(path),
                path_bytes(input),
                m,
                c,
            )
        super().__init__(handle, lib.gn2_score_writer_free)
        self._tagger = Tagger(model, options, threads=1)  # knows the outputs' shapes
        self._of_models = len(models)

    def add(
        self, scores: Scores | Mapping[str, Any] | Any, count: int | None = None
    ) -> None:
        """Appends the scores of the next jets, in file order.

        Args:
            scores: what a tagger found, or arrays by name of the output, as
                :meth:`Tagger.tag` takes names: (B, …) of jets; of constituents
                (B, slots, …), or (N, …) of the valid ones alone. The same outputs in
                every call. One array alone, (B, classes), is the probabilities of the
                jets.
            count: number of jets B, where no output of jets tells it.

        Discriminants that are not given are computed from the probabilities.
        """
        if isinstance(scores, Scores):
            if count not in (None, len(scores)):
                raise ShapeError(f"count = {count}, the scores are of {len(scores)}")
            count = len(scores)
            scores = self._outputs_of(scores)
        elif not isinstance(scores, Mapping):
            scores = {self._tagger._flavour or "jets.probabilities": scores}
        c = (_ffi.Score * max(1, len(scores)))()
        keep = [self._fill(slot, name, scores[name]) for slot, name in zip(c, scores)]
        jets = [slot.rows for slot in c if (slot.output or b"").startswith(b"jets.")]
        if count is None and not jets:
            raise InvalidArgument("no output of the jets: count is wanted")
        with self._guard as handle:
            number = jets[0] if count is None else count
            lib.gn2_score_writer_add_outputs(handle, number, c, len(scores))
        del keep

    def _outputs_of(self, scores: Scores) -> dict[str, Any]:
        if scores.spread is not None and not self._of_models:
            raise InvalidArgument(
                "scores of an ensemble: make the ScoreWriter with the gn2.Ensemble, "
                "not with one of its models"
            )
        return outputs_of(scores, self._tagger)

    def _spread(self) -> Any:
        """The output that only files of ensembles have, as long as probabilities."""
        output = copy.copy(self._tagger.describe(self._tagger._flavour or ""))
        output.name += SPREAD
        return output

    def _describe(self, name: str) -> Any:
        spread = self._spread() if self._of_models else None
        if spread is not None and name == spread.name:
            return spread
        return self._tagger.describe(name)

    def _fill(self, slot: Any, name: str, values: Any) -> Any:
        """Points a struct at an array, which is returned to be kept alive."""
        output = self._describe(name)
        array = np.ascontiguousarray(unmasked(values, name), output.dtype)
        flat = output.columns == 1 and array.shape[-1:] != (1,)
        if not flat and array.shape[-1:] != (output.columns,):
            raise ShapeError(f"{name} {array.shape}, must be (…, {output.columns})")
        slot.struct_size = ctypes.sizeof(_ffi.Score)
        slot.output = text(output.name, "output")
        slot.data, slot.rows = address(array), array.size // output.columns
        slot.columns, slot.type = output.columns, output.type
        return array

    def finish(self) -> None:
        """Finishes and renames the file."""
        with self._guard as handle:
            lib.gn2_score_writer_close(handle)
        self.close()

    def __exit__(self, *raised: object) -> None:
        if raised[:1] == (None,) and not self.closed:
            self.finish()
        self.close()
