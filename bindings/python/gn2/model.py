# SPDX-License-Identifier: Apache-2.0
"""A GN2 network, as in ``include/gn2/model.h``."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _ffi
from ._ffi import lib, text
from ._foreign import unmasked
from ._handle import Owner, make, path_bytes
from .config import Config, ConfigLike, as_config
from .errors import ShapeError
from .tasks import Task, flavour_of, read


class Param(NamedTuple):
    """One tensor of a model; multipliers as the parametrisation sets them."""

    name: str  #: salt's state_dict name without the prefix ``model.``
    role: str  #: how it scales with the width: finite, input, hidden, output, bias
    shape: tuple[int, ...]  #: (outputs, inputs), or (length,)
    count: int  # type: ignore[assignment]  #: number of elements
    fan_in: int  #: inputs of the linear map
    fan_out: int  #: outputs of the linear map
    init_std: float  #: standard deviation of the random start
    lr_mult: float  #: factor of the learning rate
    wd_mult: float  #: factor of the weight decay
    forward_mult: float  #: factor of its output in the forward pass


def _param(info: _ffi.ParamInfo) -> Param:
    rows, columns = info.shape
    return Param(
        info.name.decode(),
        _ffi.ROLES[info.role] if 0 <= info.role < len(_ffi.ROLES) else "unknown",
        (rows, columns) if info.rank == 2 else (rows,),
        info.count,
        info.fan_in,
        info.fan_out,
        info.init_std,
        info.lr_mult,
        info.wd_mult,
        info.forward_mult,
    )


class Model(Owner):
    """A network: architecture, weights, normalisation, names, provenance.

    Immutable once a :class:`Tagger` or :class:`Trainer` uses it; then any number of
    threads may. Objects may be closed in any order. A copy, also one that is pickled,
    is a model of its own that may be changed.

    Args:
        config: options of a model with random weights: a :class:`Config`, a mapping,
            or a file of ``key = value`` lines; None for all defaults.

    Raises:
        InvalidArgument: the message names the key.
    """

    def __init__(self, config: ConfigLike = None) -> None:
        options = as_config(config)
        with options._guard as handle:
            self._own(make(_ffi.Model, lib.gn2_model_create, handle))

    def _own(self, handle: Any) -> None:
        super().__init__(handle, lib.gn2_model_free)

    @staticmethod
    def _make_lock() -> Any:
        return _Waiting()

    @classmethod
    def _adopt(cls, handle: Any) -> Model:
        model = cls.__new__(cls)
        model._own(handle)
        return model

    @classmethod
    def load(cls, source: str | os.PathLike[str] | bytes) -> Model:
        """Reads a ``.gn2`` file, or its bytes.

        Raises:
            FileError, FormatError, VersionError, ShapeError: as their names say.
        """
        if isinstance(source, (bytes, bytearray, memoryview)):
            return cls._load_bytes(bytes(source))
        path = path_bytes(source)
        return cls._adopt(make(_ffi.Model, lib.gn2_model_load, path))

    @classmethod
    def _load_bytes(cls, data: bytes) -> Model:
        buffer = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p)
        handle = make(_ffi.Model, lib.gn2_model_load_buffer, buffer, len(data))
        return cls._adopt(handle)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a ``.gn2`` file: the path holds the old file or the whole new one."""
        with self._guard as handle:
            lib.gn2_model_save(handle, path_bytes(path))

    def save_bytes(self) -> bytes:
        """The bytes of such a file, which :meth:`load` takes; equal for equal models.

        What pickling a model stores.
        """
        size = ctypes.c_size_t()
        with self._guard as handle:
            lib.gn2_model_save_buffer(handle, None, 0, ctypes.byref(size))
            data = np.empty(size.value, np.uint8)
            lib.gn2_model_save_buffer(
                handle, data.ctypes.data, data.size, ctypes.byref(size)
            )
        return data.tobytes()

    def __reduce__(self) -> Any:
        return type(self).load, (self.save_bytes(),)

    # ---- names ----

    @functools.cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the jet classes, in the order of the probabilities."""
        with self._guard as handle:
            count = lib.gn2_model_class_count(handle)
            return tuple(
                lib.gn2_model_class_name(handle, i).decode() for i in range(count)
            )

    @functools.cached_property
    def tasks(self) -> dict[str, Task]:
        """What the model predicts, by name, in the order of its heads."""
        return read(self.config)

    @property
    def flavour(self) -> Task | None:
        """The task that classifies jets into :attr:`classes`; None: there is none."""
        return flavour_of(self.tasks)

    @functools.cached_property
    def constituents(self) -> tuple[str, ...]:
        """Constituent types, e.g. ("tracks",)."""
        listed = self.metadata("model.constituents")
        return tuple(name.strip() for name in listed.split(",") if name.strip())

    @functools.cached_property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Inputs of every object, e.g. ``model.inputs["tracks"]``, in order."""
        return {name: self._inputs(name) for name in ("jets", *self.constituents)}

    def _inputs(self, name: str) -> tuple[str, ...]:
        key = text(name, "object")
        with self._guard as handle:
            count = lib.gn2_model_input_count(handle, key)
            return tuple(
                lib.gn2_model_input_name(handle, key, i).decode() for i in range(count)
            )

    def metadata(self, key: str) -> str:
        """Value of a config key the model was made with, as text; also
        ``scale.attention`` and ``scale.readout``, factors of the forward pass."""
        value = ctypes.c_char_p()
        with self._guard as handle:
            lib.gn2_model_metadata_get(handle, text(key, "key"), ctypes.byref(value))
            return (value.value or b"").decode("utf-8", "replace")

    @property
    def config(self) -> Config:
        """The options the model was made with, as a new Config."""
        with self._guard as handle:
            return Config._adopt(make(_ffi.Config, lib.gn2_model_config, handle))

    # ---- weights ----

    @functools.cached_property
    def params(self) -> Mapping[str, Param]:
        """Tensors by name, in the order of the file."""
        with self._guard as handle:
            infos = [
                self._param_info(handle, i)
                for i in range(lib.gn2_model_param_count(handle))
            ]
        return {info.name: info for info in infos}

    @staticmethod
    def _param_info(handle: Any, index: int) -> Param:
        info = _ffi.ParamInfo()
        lib.gn2_model_param_info(handle, index, ctypes.byref(info))
        return _param(info)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(info.count for info in self.params.values())

    def _shape(self, name: str) -> tuple[int, ...]:
        # the library names the nearest tensor when there is none
        return self.params[name].shape if name in self.params else (0,)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """A copy of a tensor, float32."""
        key = text(name, "tensor")
        values = np.empty(self._shape(name), np.float32)
        with self._guard as handle:
            lib.gn2_model_param_get(handle, key, values.ctypes.data, values.size)
        return values

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        """Overwrites a tensor.

        Raises:
            BusyError: a tagger or trainer uses the model already.
            ShapeError, NumericError: wrong shape; NaN or Inf.
        """
        key = text(name, "tensor")
        values = unmasked(values, f"tensor '{name}'")
        array = np.ascontiguousarray(values, dtype=np.float32)
        wanted = self._shape(name)
        if name in self.params and array.shape != wanted:
            raise ShapeError(
                f"tensor '{name}': given {array.shape}, the model needs {wanted}"
            )
        with self._guard as handle:
            lib.gn2_model_param_set(handle, key, array.ctypes.data, array.size)

    def state_dict(self) -> dict[str, NDArray[np.float32]]:
        """Copies of all tensors by name."""
        return {name: self[name] for name in self.params}

    def __repr__(self) -> str:
        if self.closed:
            return "gn2.Model(closed)"
        return (
            f"gn2.Model({self.metadata('model.name')!r}, "
            f"embed_dim={self.metadata('model.embed_dim')}, "
            f"num_layers={self.metadata('model.num_layers')}, "
            f"classes={list(self.classes)}, {self.size:,} weights)"
        )


class _Waiting:
    """A model may be used by many threads: its short calls wait for each other."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def acquire(self, _blocking: bool) -> bool:
        return self._lock.acquire()

    def release(self) -> None:
        self._lock.release()
