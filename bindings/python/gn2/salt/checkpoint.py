# SPDX-License-Identifier: Apache-2.0
"""Reads what ``torch.save`` wrote (a zip with a pickle) without running any of it.

Every class or function the pickle names becomes a stand-in of this file: nothing is
imported, so nothing of the checkpoint or of other packages can run. Tensors are read
when asked for. Not for files before torch 1.6, which are no zip.

Whatever a file claims, reading it takes time and memory in proportion to its size: a
key is a text or a number, since a tuple that holds one twice, and that one another,
takes 2^n steps to hash; a view has no more numbers than its storage; records that share
bytes are refused.
"""

from __future__ import annotations

import io
import math
import pathlib
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

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


#: most numbers of a tensor that says some of its storage again
REPEATED = 1 << 16
#: most values that may be reached from what is read, each counted as often as it is
REACHED = 1_000_000


class Storage(NamedTuple):
    """A record of the zip that holds numbers."""

    archive: Archive
    kind: str
    key: str
    length: int

    def array(self) -> NDArray[Any]:
        """(length) numbers, in the byte order of this machine."""
        dtype = np.dtype(DTYPES[self.kind]).newbyteorder(self.archive.order)
        data = self.archive.data(self.key)
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
        if math.prod(self.shape) > max(self.storage.length, REPEATED):
            raise FormatError(
                f"{self.storage.archive.path}: a tensor of shape {self.shape} repeats "
                f"the {self.storage.length} numbers of its storage {self.storage.key}"
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


def _key(key: Any) -> Any:
    """A key of a dictionary or item of a set, if it is hashed in one step."""
    if type(key) in (str, bytes, int, float, bool, type(None)):
        return key
    if isinstance(key, StandIn):
        return key
    raise FormatError(
        f"checkpoint: a key of a dictionary is a {type(key).__name__}, must be a text "
        "or a number"
    )


class Mapping(OrderedDict):  # type: ignore[type-arg]
    """An ordered dictionary; extra state of its pickled self is dropped."""

    def __init__(self, items: Any = ()) -> None:
        super().__init__()
        pairs = items.items() if isinstance(items, dict) else items
        for key, value in pairs:
            self[_key(key)] = value

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


_PYTHONS: Any = pickle._Unpickler


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

    # what pickle has of an opcode, behind a look at the keys on the stack
    dispatch: ClassVar[Any] = dict(_PYTHONS.dispatch)
    stack: list[Any]

    def load_setitem(self) -> None:
        """key value → dictionary."""
        _key(self.stack[-2])
        _PYTHONS.load_setitem(self)

    def load_setitems(self) -> None:
        """MARK key value key value … → dictionary."""
        self._check(self.stack[::2])
        _PYTHONS.load_setitems(self)

    def load_dict(self) -> None:
        """MARK key value … → a new dictionary."""
        self._check(self.stack[::2])
        _PYTHONS.load_dict(self)

    def load_items(self) -> None:
        """MARK item … → a set."""
        self._check(self.stack)
        _PYTHONS.load_additems(self)

    def load_frozenset(self) -> None:
        """MARK item … → a new set."""
        self._check(self.stack)
        _PYTHONS.load_frozenset(self)

    def load_bytearray(self) -> None:
        """Would make room for as many bytes as it says; torch writes none."""
        raise FormatError(f"{self.archive.path}: an array of bytes in the pickle")

    @staticmethod
    def _check(keys: Any) -> None:
        for key in keys:
            _key(key)

    for _code, _load in (
        (pickle.SETITEM, load_setitem),
        (pickle.SETITEMS, load_setitems),
        (pickle.DICT, load_dict),
        (pickle.ADDITEMS, load_items),
        (pickle.FROZENSET, load_frozenset),
        (pickle.BYTEARRAY8, load_bytearray),
    ):
        dispatch[_code[0]] = _load

    def get_extension(self, code: int) -> None:
        """Objects registered with copyreg are real ones: refused."""
        raise FormatError(f"{self.archive.path}: extension {code} in the pickle")

    def persistent_load(self, pid: Any) -> Storage:
        """A storage, named by what torch writes in its place."""
        sound = isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"
        sound = sound and [type(word) for word in pid[1:3]] == [str, str]
        if not sound or pid[1] not in DTYPES or type(pid[4]) is not int:
            raise FormatError(f"{self.archive.path}: storage of an unknown kind")
        return Storage(self.archive, pid[1], str(pid[2]), pid[4])


class Archive:
    """The zip; torch stores, it never deflates, so sizes are those of the file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        try:
            self._size = path.stat().st_size
            self._file = zipfile.ZipFile(path)
            self._records = {r.filename: r for r in self._file.infolist()}
        except OSError as error:
            raise FileError(f"{path}: {error.strerror}") from error
        except Exception as error:  # whatever a damaged directory leads to
            raise FormatError(
                f"{path}: not a zip, so no checkpoint of torch ≥ 1.6 ({error})"
            ) from error
        found = [name for name in self._records if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise FormatError(f"{path}: no data.pkl in the zip, no checkpoint of torch")
        self._root = found[0][: -len("data.pkl")]
        self._data: dict[str, bytes] = {}
        self._held = 0
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
            return self._file.read(record)
        except Exception as error:  # whatever damage leads to
            raise FormatError(f"{self.path}: record {name!r}: {error}") from error

    def data(self, key: str) -> bytes:
        """Bytes of a storage, read once."""
        if key not in self._data:
            self._data[key] = self.read(f"data/{key}")
            self._held += len(self._data[key])
            if self._held > self._size:
                raise FormatError(f"{self.path}: records share the bytes of others")
        return self._data[key]


def check_reach(tree: Any, what: str) -> None:
    """Refuses values of which few are written, and very many are reached.

    A list that holds one twice, and that one another twice, and so on, is read in no
    time and never shown, compared or copied.
    """
    sizes: dict[int, int] = {}
    stack = [tree]
    while stack:
        node = stack[-1]
        inner = list(_inner(node))
        if id(node) not in sizes:
            sizes[id(node)] = 0  # on its way: counts nothing within itself
            stack += [value for value in inner if id(value) not in sizes]
            continue
        stack.pop()
        if sizes[id(node)] == 0:
            sizes[id(node)] = 1 + sum(sizes[id(value)] for value in inner)
        if sizes[id(node)] > REACHED:
            raise FormatError(f"{what}: more than {REACHED:,} values in one another")


def _inner(node: Any) -> Any:
    if isinstance(node, dict):
        return node.values()
    return node if type(node) in (list, tuple, set, frozenset) else ()


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
        raise FormatError(f"{path}: damaged pickle ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path}: holds no dictionary, so no checkpoint of Lightning")
    check_reach(content.get("hyper_parameters"), f"{path}: hyper_parameters")
    return content
