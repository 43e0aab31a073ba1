# SPDX-License-Identifier: Apache-2.0
"""Reads what ``torch.save`` wrote (a zip with a pickle) without running any of it.

Every class or function the pickle names becomes a stand-in of this file: nothing is
imported, so nothing of the checkpoint or of other packages can run. Tensors are read
when asked for. Not for files before torch 1.6, which are no zip.
"""

from __future__ import annotations

import io
import pathlib
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import FileError, FormatError

#: numpy types of torch's storages; bfloat16 is widened by hand.
DTYPES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class Storage(NamedTuple):
    """A record of the zip that holds numbers."""

    archive: Archive
    kind: str
    key: str
    length: int

    def array(self) -> NDArray[Any]:
        """(length) numbers, in the byte order of this machine."""
        dtype = np.dtype(DTYPES[self.kind]).newbyteorder(self.archive.order)
        data = self.archive.read(f"data/{self.key}")
        if len(data) < self.length * dtype.itemsize:
            raise FormatError(
                f"{self.archive.path}: storage {self.key} has {len(data)} bytes, "
                f"{self.length} numbers of {dtype.itemsize} expected"
            )
        values = np.frombuffer(data, dtype, self.length).astype(dtype.newbyteorder("="))
        if self.kind == "BFloat16Storage":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values


class Tensor(NamedTuple):
    """A view of a storage; :meth:`array` reads it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> NDArray[Any]:
        """A copy of the numbers, contiguous."""
        ends = [(n - 1) * s for n, s in zip(self.shape, self.strides)]
        empty = 0 in self.shape
        last = self.offset + (0 if empty else sum(ends))
        numbers = (self.offset, *self.shape, *self.strides)
        if min(numbers) < 0 or (not empty and last >= self.storage.length):
            raise FormatError(
                f"{self.storage.archive.path}: a tensor of shape {self.shape} leaves "
                f"its storage {self.storage.key} of {self.storage.length} numbers"
            )
        if empty:
            return np.zeros(self.shape, np.float32)
        flat = self.storage.array()[self.offset :]
        steps = [s * flat.itemsize for s in self.strides]
        return np.lib.stride_tricks.as_strided(flat, self.shape, steps).copy()


class StandIn:
    """Takes the place of any object that is not read; keeps nothing, does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Pickle fills lists with it."""

    def extend(self, values: Any) -> None:
        """Pickle fills lists with it."""

    def add(self, value: Any) -> None:
        """Pickle fills sets with it."""


class Mapping(OrderedDict):  # type: ignore[type-arg]
    """An ordered dictionary; extra state of its pickled self is dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    sound = isinstance(storage, Storage) and isinstance(offset, int)
    parts = (shape, strides)
    sound = sound and all(
        isinstance(p, tuple) and len(p) < 9 and all(type(n) is int for n in p)
        for p in parts
    )
    if not sound or len(shape) != len(strides):
        raise FormatError("checkpoint: a tensor is described wrongly")
    return Tensor(storage, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


class Call:
    """A function the pickle may call, and do nothing else with."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        pass


#: What is read; all else is stood in for.
READ = {
    ("collections", "OrderedDict"): Mapping,
    ("torch._utils", "_rebuild_tensor_v2"): Call(_tensor),
    ("torch._utils", "_rebuild_parameter"): Call(_parameter),
    ("lightning.fabric.utilities.data", "AttributeDict"): Mapping,
    ("pytorch_lightning.utilities.parsing", "AttributeDict"): Mapping,
    ("lightning_fabric.utilities.data", "AttributeDict"): Mapping,
}


class Unpickler(pickle._Unpickler):
    """Builds plain containers, tensors and stand-ins; imports nothing.

    The one written in Python: that in C would allocate a memo as large as a damaged
    index says.
    """

    def __init__(self, archive: Archive, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin-1")
        self.archive = archive

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; never the object itself."""
        if (module, name) in READ:
            return READ[module, name]
        if module in ("torch", "torch.storage") and name in DTYPES:
            return name
        return type(name, (StandIn,), {})

    def get_extension(self, code: int) -> None:
        """Objects registered with copyreg are real ones: refused."""
        raise FormatError(f"{self.archive.path}: extension {code} in the pickle")

    def persistent_load(self, pid: Any) -> Storage:
        """A storage, named by what torch writes in its place."""
        sound = isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"
        if not sound or pid[1] not in DTYPES or type(pid[4]) is not int:
            raise FormatError(f"{self.archive.path}: storage of an unknown kind")
        return Storage(self.archive, pid[1], str(pid[2]), pid[4])


class Archive:
    """The zip; torch stores, it never deflates, so sizes are those of the file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as file:
                self._records = {r.filename: r for r in file.infolist()}
        except OSError as error:
            raise FileError(f"{path}: {error.strerror}") from error
        except zipfile.BadZipFile as error:
            raise FormatError(
                f"{path}: not a zip, so no checkpoint of torch ≥ 1.6"
            ) from (error)
        found = [name for name in self._records if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise FormatError(f"{path}: no data.pkl in the zip, no checkpoint of torch")
        self._root = found[0][: -len("data.pkl")]
        self.order = self._byte_order()

    def _byte_order(self) -> Literal["<", ">"]:
        if self._root + "byteorder" not in self._records:
            return "<"  # torch before 2.1 does not say; all there was
        return ">" if self.read("byteorder").strip() == b"big" else "<"

    def read(self, name: str) -> bytes:
        """Bytes of a record."""
        record = self._records.get(self._root + name)
        if record is None:
            raise FormatError(f"{self.path}: record {name!r} is missing")
        if record.compress_type != zipfile.ZIP_STORED:
            raise FormatError(f"{self.path}: record {name!r} is compressed")
        try:
            with zipfile.ZipFile(self.path) as file:
                return file.read(record)
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
            raise FormatError(f"{self.path}: record {name!r}: {error}") from error


def read_checkpoint(path: pathlib.Path) -> dict[str, Any]:
    """The dictionary a checkpoint holds; tensors as :class:`Tensor`.

    Raises:
        FileError: it cannot be opened.
        FormatError: not a checkpoint, or damaged.
    """
    archive = Archive(path)
    data = archive.read("data.pkl")
    try:
        content = Unpickler(archive, data).load()
    except FormatError:
        raise
    except Exception as error:  # whatever a damaged pickle leads to
        raise FormatError(f"{path}: damaged pickle: {error}") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path}: holds no dictionary, so no checkpoint of Lightning")
    return content
