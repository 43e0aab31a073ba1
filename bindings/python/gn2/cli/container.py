# SPDX-License-Identifier: Apache-2.0
"""Reads the table of contents of a `.gn2` file (doc/format.md), not the tensors: the
library loads models, this shows what else is there, such as a checkpoint's state."""

from __future__ import annotations

import struct
import zlib
from typing import Any, BinaryIO, NamedTuple

from ..errors import FormatError

MAGIC = b"\x89GN2\r\n\x1a\n"
DTYPES = {1: "float32", 2: "float64", 3: "int64", 4: "uint8"}
_PREFIX = struct.Struct("<8sIIQIIII")
_RECORD = struct.Struct("<IIIIQQII")
_HEADER_MOST = 16 << 20
_NAME_MOST = 255


class Tensor(NamedTuple):
    """A record of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    stored: int


class Contents(NamedTuple):
    """Keys and tensors of a file."""

    keys: dict[str, str]
    tensors: list[Tensor]


def is_gn2(path: str) -> bool:
    """Whether a file begins as a `.gn2` file does."""
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _read(file: BinaryIO, count: int, path: str) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise FormatError(f"'{path}' is cut off at byte {file.tell()}")
    return data


def _record(file: BinaryIO, path: str) -> Tensor:
    fixed: tuple[Any, ...] = _RECORD.unpack(_read(file, _RECORD.size, path))
    length, dtype, rank, _, size, stored = fixed[:6]
    if length > _NAME_MOST or rank > 8 or dtype not in DTYPES:
        raise FormatError(f"'{path}': bad record before byte {file.tell()}")
    axes = struct.unpack(f"<{rank}Q", _read(file, 8 * rank, path))
    name = _read(file, length + 1, path)[:-1].decode("ascii", "replace")
    file.seek(4 + stored, 1)
    return Tensor(name, DTYPES[dtype], axes, size, stored)


def _keys(header: bytes, path: str) -> dict[str, str]:
    """Keys and values; lines end at a line feed alone, whatever else values hold."""
    try:
        lines = header.decode("utf-8").split("\n")
    except UnicodeDecodeError as problem:
        line = header[header.rfind(b"\n", 0, problem.start) + 1 :]
        key = line.split(b" = ", 1)[0][:_NAME_MOST].decode("ascii", "replace")
        at = _PREFIX.size + problem.start
        raise FormatError(
            f"'{path}': the text of {key!r} is not UTF-8: byte "
            f"{header[problem.start]:#04x} at {at} of the file"
        ) from None
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


def contents(path: str) -> Contents:
    """Keys and tensors of a `.gn2` file.

    Raises:
        FormatError: it is not one, or is corrupt.
    """
    with open(path, "rb") as file:
        magic, version, _, _, length, count, crc, _ = _PREFIX.unpack(
            _read(file, _PREFIX.size, path)
        )
        if magic != MAGIC or version != 1 or length > _HEADER_MOST:
            raise FormatError(f"'{path}' is no .gn2 file of container version 1")
        header = _read(file, length, path)
        if zlib.crc32(header) != crc:
            raise FormatError(f"'{path}': the header is corrupt")
        keys = _keys(header, path)
        tensors = [_record(file, path) for _ in range(count)]
    return Contents(keys, tensors)
