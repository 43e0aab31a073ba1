# SPDX-License-Identifier: Apache-2.0
"""Options by name, as in ``include/gn2/config.h``."""

from __future__ import annotations

import ctypes
import functools
import operator
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Union

import numpy as np

from . import _ffi
from ._ffi import lib, names, text
from ._foreign import unmasked
from ._handle import Owner, make, path_bytes
from .errors import NotFound

Value = Union[int, float, str, "list[str]", "list[float]"]
#: options that change no bit of a training, whatever the others say
FREE = (
    "train.threads",
    "train.checkpoint_steps",
    "train.probe_updates",
    "data.prefetch",
    "data.read_threads",
    "group.timeout",
)
TYPES = {1: "int", 2: "float", 3: "str", 4: "list of str", 5: "list of float"}


class Key(NamedTuple):
    """What the library's table says of a key."""

    key: str  #: name; ``*`` stands for one object's name
    type: str  #: "int", "float", "str", "list of str" or "list of float"
    default: str  #: default as text
    doc: str  #: one line: meaning, unit, special values
    min: float  #: least value of a number, -inf if none
    max: float  #: largest value of a number, inf if none
    choices: tuple[str, ...]  #: closed set of strings, empty if open


def _row(index: int) -> Key:
    info = _ffi.ConfigInfo()
    lib.gn2_config_describe(index, ctypes.byref(info))
    choices = info.choices.decode().split("|") if info.choices else ()
    return Key(
        info.key.decode(),
        TYPES.get(info.type, "unknown"),
        info.default_text.decode(),
        info.doc.decode(),
        info.min,
        info.max,
        tuple(choices),
    )


@functools.lru_cache(maxsize=None)
def keys() -> dict[str, Key]:
    """The table of all keys, in its order."""
    rows = (_row(i) for i in range(lib.gn2_config_count()))
    return {row.key: row for row in rows}


def _matches(pattern: str, key: str) -> bool:
    left, right = pattern.split("."), key.split(".")
    return len(left) == len(right) and all(a in ("*", b) for a, b in zip(left, right))


@functools.lru_cache(maxsize=4096)
def _type_of(key: str) -> str:
    table = keys()
    if key in table:
        return table[key].type
    for row in table.values():
        if "*" in row.key and _matches(row.key, key):
            return row.type
    return "unknown"  # the library will say so, and suggest the nearest


class Config(Owner):
    """A set of options; every key has its default at first.

    >>> config = gn2.Config({"model.embed_dim": 64, "schedule.max": 1e-3})
    >>> config["model.num_layers"]
    4

    Args:
        values: keys to set: a mapping, another Config, or a file of
            ``key = value`` lines.

    Raises:
        NotFound: no such key; the message suggests the nearest one.
        InvalidArgument: wrong type or out of bounds.
    """

    def __init__(
        self, values: Config | Mapping[str, Any] | str | os.PathLike[str] | None = None
    ) -> None:
        super().__init__(make(_ffi.Config, lib.gn2_config_create), lib.gn2_config_free)
        if isinstance(values, (str, os.PathLike)):
            self.load(values)
        elif values is not None:
            self.update(values)

    def __setitem__(self, key: str, value: Any) -> None:
        kind = _type_of(key) if isinstance(key, str) else "unknown"
        name = text(key, "key")
        with self._guard as handle:
            if isinstance(value, str) and kind != "str":
                lib.gn2_config_set_text(handle, name, text(value, key))
            elif kind == "unknown":
                lib.gn2_config_set_text(handle, name, b"")
            else:
                _SETTERS[kind](handle, name, value)

    def __getitem__(self, key: str) -> Value:
        name = text(key, "key")
        kind = _type_of(key)
        with self._guard as handle:
            # an unknown key fails in the library, with a suggestion
            value: Value = _GETTERS.get(kind, _get_int)(handle, name)
            return value

    def __contains__(self, key: object) -> bool:
        try:
            self[key]  # type: ignore[index]
        except (NotFound, TypeError, ValueError):
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        """Keys with a value: all plain ones, then those set for a name."""
        with self._guard as handle:
            found: list[str] = []
            while (key := lib.gn2_config_key_name(handle, len(found))) is not None:
                found.append(key.decode())
        yield from found

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> list[str]:
        """Keys with a value; see also :func:`gn2.config.keys`."""
        return list(self)

    def items(self) -> list[tuple[str, Value]]:
        """(key, value) of all keys."""
        return [(key, self[key]) for key in self]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or ``default`` when there is no such key."""
        return self[key] if key in self else default

    def update(self, values: Config | Mapping[str, Any]) -> None:
        """Sets keys; an exception leaves those before it set."""
        for key, value in values.items():
            self[key] = value

    def set_text(self, key: str, value: str) -> None:
        """Sets a key of any type from text: "256", "1e-3", "bjets,cjets"."""
        with self._guard as handle:
            lib.gn2_config_set_text(handle, text(key, "key"), text(value, key))

    @classmethod
    def _adopt(cls, handle: Any) -> Config:
        config = cls.__new__(cls)
        Owner.__init__(config, handle, lib.gn2_config_free)
        return config

    def copy(self) -> Config:
        """A config of its own with the same values."""
        with self._guard as handle:
            return Config._adopt(make(_ffi.Config, lib.gn2_config_copy, handle))

    def __reduce__(self) -> Any:
        return type(self), (dict(self.items()),)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Reads ``key = value`` lines over the present values, all or nothing."""
        with self._guard as handle:
            lib.gn2_config_load(handle, path_bytes(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes every key with its value, atomically."""
        with self._guard as handle:
            lib.gn2_config_save(handle, path_bytes(path))

    def __repr__(self) -> str:
        if self.closed:
            return "gn2.Config(closed)"
        table = keys()
        with Config() as defaults:
            changed = {
                key: value
                for key, value in self.items()
                if key not in table or value != defaults[key]
            }
        return f"gn2.Config({changed})"


def _set_int(handle: Any, key: bytes, value: Any) -> None:
    number = operator.index(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError(f"{key.decode()}: {number} does not fit into 64 bits")
    lib.gn2_config_set_i64(handle, key, number)


def _set_float(handle: Any, key: bytes, value: Any) -> None:
    lib.gn2_config_set_f64(handle, key, float(value))


def _set_str(handle: Any, key: bytes, value: Any) -> None:
    lib.gn2_config_set_str(handle, key, text(value, key.decode()))


def _set_strs(handle: Any, key: bytes, value: Any) -> None:
    items = list(value)
    lib.gn2_config_set_list(handle, key, names(items, key.decode()), len(items))


def _set_floats(handle: Any, key: bytes, value: Any) -> None:
    value = unmasked(value, key.decode())
    numbers = np.ascontiguousarray(value, dtype=np.float64).reshape(-1)
    lib.gn2_config_set_f64_list(handle, key, numbers.ctypes.data, numbers.size)


def _get_int(handle: Any, key: bytes) -> int:
    value = ctypes.c_int64()
    lib.gn2_config_get_i64(handle, key, ctypes.byref(value))
    return value.value


def _get_float(handle: Any, key: bytes) -> float:
    value = ctypes.c_double()
    lib.gn2_config_get_f64(handle, key, ctypes.addressof(value))
    return value.value


def _get_str(handle: Any, key: bytes) -> str:
    value = ctypes.c_char_p()
    lib.gn2_config_get_str(handle, key, ctypes.byref(value))
    return (value.value or b"").decode("utf-8", "replace")


def _count(handle: Any, key: bytes) -> int:
    count = ctypes.c_size_t()
    lib.gn2_config_get_count(handle, key, ctypes.byref(count))
    return count.value


def _get_strs(handle: Any, key: bytes) -> list[str]:
    items = []
    for index in range(_count(handle, key)):
        value = ctypes.c_char_p()
        lib.gn2_config_get_item(handle, key, index, ctypes.byref(value))
        items.append((value.value or b"").decode("utf-8", "replace"))
    return items


def _get_floats(handle: Any, key: bytes) -> list[float]:
    numbers = np.empty(_count(handle, key))
    lib.gn2_config_get_f64_list(handle, key, numbers.ctypes.data, numbers.size)
    return list(numbers.tolist())


_SETTERS = {
    "int": _set_int,
    "float": _set_float,
    "str": _set_str,
    "list of str": _set_strs,
    "list of float": _set_floats,
}
_GETTERS: dict[str, Any] = {
    "int": _get_int,
    "float": _get_float,
    "str": _get_str,
    "list of str": _get_strs,
    "list of float": _get_floats,
}

ConfigLike = Union[Config, "Mapping[str, Any]", str, "os.PathLike[str]", None]


def as_config(values: ConfigLike, base: Config | None = None) -> Config:
    """``values`` as a Config: itself, or its keys over those of ``base``."""
    if isinstance(values, Config):
        return values
    config = base.copy() if base is not None else Config()
    if isinstance(values, (str, os.PathLike)):
        config.load(values)
    elif values is not None:
        config.update(values)
    return config


def replace_shares(config: Config, asked: Iterable[str]) -> None:
    """Takes back the fractions ``f_…`` of a discriminant whose list of them is asked
    for in their place."""
    shares = tuple(
        key.removesuffix("fractions") + "f_"
        for key in asked
        if key.endswith(".fractions")
    )
    with Config() as usual:
        for key in usual:
            if key.startswith(shares):
                config[key] = usual[key]
