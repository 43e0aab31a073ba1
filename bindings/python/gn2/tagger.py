# SPDX-License-Identifier: Apache-2.0
"""Running a model on jets in NumPy arrays, as in ``include/gn2/tagger.h``."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _ffi
from ._arrays import address
from ._events import flat_events
from ._ffi import lib, names, text
from ._foreign import is_awkward
from ._handle import Owner, make
from ._views import JetsView
from .config import Config, ConfigLike, as_config, replace_shares
from .errors import InvalidArgument, StateError
from .model import Model
from .scores import EventScores, Names, Scores, discriminant_options

if TYPE_CHECKING:
    from .dataset import Dataset

_F32 = np.float32
_empty = np.empty

# Short names the rule "first object that has one" does not give.
SHORT = {"logits": "jets.logits", "pairs": "pairs.logits"}


class Output(NamedTuple):
    """An output of a tagger."""

    name: str  #: e.g. "tracks.origin"
    object: str  #: "jets", or the constituent type of the rows or pairs
    rows: str  #: one row a "jet", a "constituent" or a "pair" of them
    columns: int  #: values of a row
    dtype: Any  #: float32 or int32


_ROWS = {1: "jet", 2: "constituent", 3: "pair"}  # GN2_ROWS_*


class _Output:
    """An output as the library describes it: identifier, shape and type."""

    def __init__(self, handle: Any, index: int) -> None:
        info = _ffi.OutputInfo()
        lib.gn2_tagger_output_info(handle, index, ctypes.byref(info))
        self.id, self.sequence = int(info.id), int(info.sequence)
        self.columns, self.type = int(info.columns), int(info.type)
        self.name, self.object = info.name.decode(), info.object.decode()
        self.rows = _ROWS[info.rows]
        self.is_score = bool(info.flags & _ffi.CONSTANTS["GN2_OUTPUT_SCORE"])
        self.dtype = np.int32 if self.type == _ffi.CONSTANTS["GN2_DATA_I32"] else _F32
        self.flat = self.columns == 1 and not self.name.endswith(".embedding")

    def allocate(self, leading: tuple[int, ...]) -> Any:
        shape = leading if self.flat else (*leading, self.columns)
        return _empty(shape, self.dtype)

    def public(self) -> Output:
        return Output(self.name, self.object, self.rows, self.columns, self.dtype)


def _list(handle: Any) -> dict[str, _Output]:
    count = lib.gn2_tagger_output_count(handle)
    found = (_Output(handle, index) for index in range(count))
    return {output.name: output for output in found}


def full_name(
    asked: str,
    listed: Collection[str],
    objects: Sequence[str],
    aliases: Mapping[str, str],
) -> str:
    """The name under which an output is listed, of any that it is asked for by; one
    that is unknown as it is."""
    if not isinstance(asked, str):
        raise InvalidArgument(f"outputs are strings, not {type(asked).__name__}")
    if asked in listed or asked in SHORT:
        return SHORT.get(asked, asked)
    names = (asked, *(f"{name}.{asked}" for name in objects))
    full = (aliases.get(name, name) for name in names)
    return next((name for name in full if name in listed), asked)


class Tagger(Owner):
    """Runs a model on jets. One thread at a time; give each thread its own.

    Args:
        model: a :class:`Model` or the path of a ``.gn2`` file.
        config: options ``tagger.*``, ``discriminant.NAME.signal`` and ``.fractions``; a
            mapping is laid over the model's, and any other option in it must be as the
            model's. Of a :class:`Config` those that the model decides must be so.
        threads: threads to use; 0 = processors this process may use.
        strict: refuse input that would have to be copied or converted.

    A jet's scores never depend on the other jets of the call, to the bit. Pickled, it
    takes its model along, for multiprocessing, joblib or dask; a copy shares the model.
    """

    def __init__(
        self,
        model: Model | str | os.PathLike[str],
        config: ConfigLike = None,
        *,
        threads: int | None = None,
        strict: bool = False,
    ) -> None:
        if not isinstance(model, Model):
            model = Model.load(model)
        options = as_config(config, base=model.config)
        if config is not None and not isinstance(config, Config):
            options = _taken(model, options)
        if threads is not None:
            _check_threads(config, model.config, threads)
            options = options.copy()
            options["tagger.threads"] = threads
        with model._guard as m, options._guard as c:
            handle = make(_ffi.Tagger, lib.gn2_tagger_create, m, c)
        super().__init__(handle, lib.gn2_tagger_free)
        self._listed = _list(handle)
        self.model = model
        self._options = options.copy()
        flavour = model.flavour
        self._flavour = None if flavour is None else flavour.output()
        self._classes = len(model.classes) if flavour else 0
        self._names = Names(
            model.metadata("model.name"),
            model.classes if flavour else (),
            _discriminants(model.config, options),
            model.tasks,
        )
        self._view = JetsView(model.inputs, True, bool(strict))
        self._strict = bool(strict)
        self._bound: dict[str, tuple[str, ...] | None] = {}
        self._outputs: dict[str, _Output] = {}
        self._run_flavour = lib.gn2_tagger_flavour

    def __reduce__(self) -> Any:
        if self.closed:
            raise StateError("this Tagger is closed")
        return _again, (type(self), self.model, self._options, self._strict)

    def __deepcopy__(self, _memo: Any) -> Tagger:
        return _again(*self.__reduce__()[1])  # a model in use never changes

    # ---- tagging ----

    def tag(
        self,
        jets: Any,
        tracks: Any = None,
        *,
        valid: Any = None,
        outputs: str | Sequence[str] = (),
    ) -> Scores:
        """Tags jets.

        Args:
            jets: (B, F) array in the order of ``model.inputs["jets"]``; or by name: a
                structured array (B,), mapping of columns, data frame, Arrow table or
                awkward array, one row a jet. Awkward jets may be grouped by event,
                events × jets, and have their constituents as a field, "tracks". None
                as a jet or an event is refused. Extra columns are ignored, known
                aliases accepted. MeV.
            tracks: one of

                - ``(values, offsets)``, jet b owning rows offsets[b] … offsets[b+1]-1
                  of values (N, F) or structured (N,);
                - padded (B, slots, F) or structured (B, slots), with ``valid`` or the
                  field of that name;
                - a list of one array a jet, or an awkward array, jets × tracks; for
                  jets by event, events × jets × tracks;
                - ``{name: one of these}`` for models with several constituent types.

                mm, rad, 1/MeV. None: no jet has any.
            valid: (B, slots) of 0 and 1, for padded tracks; None: all count. A track
                that is masked (``numpy.ma``) is padding as well; other masked values
                are refused.
            outputs: further outputs: "origin", "vertex", "embedding", "pairs",
                "attention", "logits", "D_b", "D_b_gradient" (by the inputs of the
                jets; "tracks.D_b_gradient"), the name of a task, or any key of
                :attr:`outputs`. Rows are those of the input: (N, …) ragged,
                (B, slots, …) padded; pairs are (E,), ordered pairs of valid
                constituents, jet by jet. Where none are given, a model that does not
                classify jets gives what its tasks find.

        Returns:
            :class:`Scores`; of jets by event :class:`EventScores`, awkward arrays
            with the same events, of the same bits as those of the flattened jets.

        Raises:
            NotFound: an input or output is missing, named.
            ShapeError: a shape does not fit.
            NumericError: NaN, Inf or more than 1e12 standard deviations; jet,
                constituent and variable are named.
            CopyRefused: ``strict`` and the input must be copied.
            BusyError: another thread is in a call of this tagger.
        """
        with self._guard as handle:
            view, events = self._view, None
            if type(jets) is not np.ndarray and is_awkward(jets):
                jets, tracks, events = flat_events(jets, tracks, view.want)
            count = view.fill(jets, tracks, valid)
            try:
                self._bind(handle)
                scores = self._scores(count)
                if outputs or self._flavour is None:
                    self._run(handle, scores, outputs, count)
                else:
                    p = scores.probabilities
                    self._run_flavour(handle, view.pointer, address(p), None)
            finally:
                view.release()
            return scores if events is None else EventScores(scores, events)

    __call__ = tag

    def tag_batches(
        self, dataset: Dataset, outputs: str | Sequence[str] = ()
    ) -> Iterator[Scores]:
        """Tags a dataset, batch by batch, without copying it. Its labels are not
        looked at: they may be missing or of classes the model does not know.

        Args:
            dataset: open it with ``data.sampling = sequential`` for file order.
            outputs: as in :meth:`tag`.
        """
        dataset.reset()
        while True:
            with self._guard as handle, dataset._guard as d:
                raw = dataset._next(d, labelled=False)
                if raw is None:
                    return
                self._view.point(raw)
                try:
                    self._bind(handle)
                    scores = self._scores(int(raw.jets.count))
                    self._run(handle, scores, outputs, len(scores))
                    scores.keep()
                finally:
                    self._view.release()
            yield scores

    def _bind(self, handle: Any) -> None:
        """Tells the library the order of columns, if it is not the one it knows."""
        view, bound = self._view, self._bound
        if view.jets.names is not bound.get("jets"):
            self._bind_one(handle, "jets", view.jets.names)
        for name, rows in zip(view.objects, view.rows):
            if rows.table.names is not bound.get(name):
                self._bind_one(handle, name, rows.table.names)

    def _bind_one(self, handle: Any, name: str, columns: Any) -> None:
        order = columns or self.model.inputs[name]
        lib.gn2_tagger_bind(
            handle, text(name, "object"), names(order, "column"), len(order)
        )
        self._bound[name] = columns

    def _scores(self, count: int) -> Scores:
        if self._flavour is None:
            return Scores(None, self._names, count)
        return Scores(_empty((count, self._classes), _F32), self._names)

    def _run(self, handle: Any, scores: Scores, outputs: Any, count: int) -> None:
        asked = [outputs] if isinstance(outputs, str) else list(outputs)
        if not asked and self._flavour is None:
            asked = [task.output() for task in self.model.tasks.values()]
        wanted = [self._output(handle, name) for name in asked]
        arrays = [output.allocate(self._leading(output, count)) for output in wanted]
        pairs = list(zip(wanted, arrays))
        if self._flavour is not None:
            flavour = self._output(handle, self._flavour)
            pairs.insert(0, (flavour, scores.probabilities))
        c = (_ffi.Output * len(pairs))()
        for slot, (output, array) in zip(c, pairs):
            slot.struct_size = ctypes.sizeof(_ffi.Output)
            slot.id, slot.data = output.id, address(array)
            slot.type = output.type
            slot.capacity = array.size // output.columns
        lib.gn2_tagger_run(handle, self._view.pointer, c, len(pairs))
        rows = self._view.rows
        scores.offsets = rows[0].offsets if rows else None
        for name, output, array in zip(asked, wanted, arrays):
            scores.add(name, output.name, array, self._ends(output, count))

    def _output(self, handle: Any, name: str) -> _Output:
        found = self._outputs.get(name) if isinstance(name, str) else None
        if found is None:
            full, listed = self._full_name(name), self._listed
            if full not in listed:  # the library says what there is
                number = ctypes.c_int32()
                key = text(full, "output")
                lib.gn2_tagger_output(handle, key, ctypes.byref(number))
                full = list(listed)[number.value]  # by another name of the same
            found = self._outputs[name] = listed[full]
        return found

    def _leading(self, output: _Output, count: int) -> tuple[int, ...]:
        if output.rows == "jet":
            return (count,)
        rows = self._view.rows[output.sequence]
        if output.rows == "constituent":
            return rows.shape
        n = rows.counts(count).astype(np.int64)
        return (int(np.sum(n * (n - 1))),)

    def _ends(self, output: _Output, count: int) -> Any:
        """First row of each jet in an output, None where its rows are (B, …)."""
        if output.rows == "jet":
            return None
        rows = self._view.rows[output.sequence]
        if output.rows == "constituent":
            return rows.offsets
        n = rows.counts(count).astype(np.int64)
        return np.concatenate([[0], np.cumsum(n * (n - 1))])

    def _full_name(self, asked: str) -> str:
        objects = ("jets", *self.model.constituents, "pairs")
        return full_name(asked, self._listed, objects, self._names.aliases)

    # ---- what it is ----

    def describe(self, name: str) -> _Output:
        """Shape and type of an output, by short or full name."""
        with self._guard as handle:
            return self._output(handle, name)

    @property
    def score_names(self) -> tuple[str, ...]:
        """Full names of the outputs that score files have a place for."""
        return tuple(name for name, one in self._listed.items() if one.is_score)

    @property
    def outputs(self) -> dict[str, Output]:
        """All outputs by their full names, as the library lists them."""
        return {name: output.public() for name, output in self._listed.items()}

    @property
    def output_names(self) -> tuple[str, ...]:
        """The shortest names :meth:`tag` takes, one an output."""
        known = self._names.aliases
        return tuple(
            self._short_name(name) for name in self._listed if name not in known
        )

    def _short_name(self, full: str) -> str:
        names = {name: short for short, name in SHORT.items()}
        short = names.get(full, full.partition(".")[2])
        return short if self._full_name(short) == full else full

    @property
    def memory(self) -> int:
        """Bytes of scratch held now."""
        with self._guard as handle:
            return int(lib.gn2_tagger_memory(handle))

    @property
    def precision(self) -> str:
        """``f32`` or ``bf16``: what ``tagger.precision`` came to."""
        with self._guard as handle:
            return str(lib.gn2_tagger_precision(handle).decode())

    def workspace_size(self, max_jets: int, max_tracks: int) -> int:
        """Bytes of scratch after calls of so many jets and constituents a jet."""
        size = ctypes.c_size_t()
        with self._guard as handle:
            lib.gn2_tagger_workspace_size(
                handle, max_jets, max_tracks, ctypes.byref(size)
            )
        return size.value

    def __repr__(self) -> str:
        return "gn2.Tagger(closed)" if self.closed else f"gn2.Tagger({self.model!r})"


def _check_threads(config: ConfigLike, usual: Config, threads: int) -> None:
    """A mapping says what is asked, where it is not what the model says."""
    given = config.get("tagger.threads") if isinstance(config, Mapping) else None
    if given not in (None, threads, usual["tagger.threads"]):
        raise InvalidArgument(f"threads = {threads}, and tagger.threads = {given}")


#: class that a key as ``discriminant.D_b.f_c`` is about
_OF_CLASS = {"f_b": "bjets", "f_c": "cjets", "f_tau": "taujets"}


#: beginnings of keys that a tagger reads itself
_READ = ("tagger.", "compute.")


def _taken(model: Model, asked: Config) -> Config:
    """What is asked of the tagger; fractions ``f_…`` in the form that a tagger takes.

    Raises:
        InvalidArgument: it is decided by the model, or has no effect.
    """
    own, out = model.config, asked.copy()
    for key, value in asked.items():
        if key.startswith(_READ) or own.get(key) == value:
            continue
        rule, _, fraction = key.rpartition(".")
        if rule.startswith("discriminant.") and fraction in ("signal", "fractions"):
            continue
        if not rule.startswith("discriminant.") or fraction not in _OF_CLASS:
            raise InvalidArgument(
                f"{key} = {value}: a tagger takes it from the model, which says "
                f"{own.get(key)}"
            )
        if asked.get(f"{rule}.fractions"):
            raise InvalidArgument(
                f"{key} = {value} has no effect: {rule}.fractions is set"
            )
        if _OF_CLASS[fraction] not in model.classes:
            raise InvalidArgument(
                f"{key} = {value} has no effect: the model has no {_OF_CLASS[fraction]}"
            )
        out[key] = own[key]
        out[f"{rule}.fractions"] = [
            f"{name}:{asked[f'{rule}.{short}']!r}"
            for short, name in _OF_CLASS.items()
            if f"{rule}.{short}" in asked and name in model.classes
        ]
    return out


def _again(kind: type[Tagger], model: Model, options: Config, strict: bool) -> Tagger:
    return kind(model, options, strict=strict)


def _discriminants(own: Config, more: Config) -> dict[str, Any]:
    """Keys of the model's config, signals and fractions of the tagger's before them."""
    asked = {
        key: value
        for key, value in discriminant_options(more).items()
        if value and key.endswith((".signal", ".fractions"))
    }
    found = own.copy()
    replace_shares(found, asked)
    return {**discriminant_options(found), **asked}
