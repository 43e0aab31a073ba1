# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol, version 2, without a transport.

A transport makes a :class:`Call` of a request; :func:`arrays` makes NumPy arrays of it,
checked against what the model takes. Bytes of HTTP are read by :func:`read_http` and
written by :func:`write_http`. Whatever is wrong is a :class:`Problem`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._protocol import DTYPES, LENGTH, datatype

VERSION = "1"  #: the one version every model has
LONGEST = 2000  #: characters of a message: in gRPC it is a header

INVALID, TOO_LARGE, NOT_FOUND = "invalid", "too large", "not found"
UNAVAILABLE, INTERNAL, UNSUPPORTED = "unavailable", "internal", "unsupported"
TOO_SLOW = "too slow"


class Problem(Exception):
    """A request cannot be answered; the message is for whoever sent it."""

    def __init__(self, message: str, kind: str = INVALID) -> None:
        # names of the request in it may be long, and no text at all (a lone surrogate)
        text = message if len(message) <= LONGEST else f"{message[:LONGEST]} …"
        super().__init__(text.encode("utf-8", "backslashreplace").decode())
        self.kind = kind


class Tensor(NamedTuple):
    """An input or output as metadata describes it; −1 is any number."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Given(NamedTuple):
    """An input of a call: bytes, or (nested) numbers."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any


class Call(NamedTuple):
    """A request to infer."""

    model: str
    version: str
    id: str
    inputs: Sequence[Given]
    outputs: Sequence[str]  #: asked for; none: what the model answers when not asked


class Answer(NamedTuple):
    """What a call found."""

    model: str
    id: str
    outputs: Mapping[str, NDArray[Any]]


# ---- tensors ----


def arrays(call: Call, wanted: Sequence[Tensor]) -> dict[str, NDArray[Any]]:
    """The inputs of a call by name, each of the type and shape wanted."""
    specs = {tensor.name: tensor for tensor in wanted}
    found: dict[str, NDArray[Any]] = {}
    for given in call.inputs:
        if given.name not in specs:
            raise Problem(
                f"unexpected inference input '{given.name}' for model '{call.model}'; "
                f"it takes {', '.join(specs)}"
            )
        if given.name in found:
            raise Problem(f"input '{given.name}' is given twice")
        try:
            found[given.name] = _array(given, specs[given.name], call.model)
        except Problem as problem:
            raise _of_request(call, str(problem)) from None
    missing = [name for name in specs if name not in found]
    if missing:
        raise _of_request(
            call,
            f"expected {len(specs)} inputs but got {len(found)} inputs for model "
            f"'{call.model}'. Got input(s) {_quoted(found)}, but missing required "
            f"input(s) {_quoted(missing)}. Please provide all required input(s).",
        )
    return found


def _of_request(call: Call, message: str) -> Problem:
    """As Triton says it of a request."""
    return Problem(f"[request id: {call.id or '<id_unknown>'}] {message}")


def _quoted(names: Iterable[str]) -> str:
    return f"[{','.join(repr(name) for name in names)}]"


def _dims(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _array(given: Given, want: Tensor, model: str) -> NDArray[Any]:
    what = f"input '{given.name}'"
    if given.datatype != want.datatype:
        raise Problem(
            f"inference {what} data-type is '{given.datatype}', but model '{model}' "
            f"expects '{want.datatype}'"
        )
    fits = len(given.shape) == len(want.shape) and all(
        n >= 0 and w in (-1, n) for n, w in zip(given.shape, want.shape)
    )
    if not fits:
        raise Problem(
            f"unexpected shape for {what} for model '{model}'. Expected "
            f"{_dims(want.shape)}, got {_dims(given.shape)}."
        )
    count = math.prod(given.shape)  # of Python's integers: it cannot overflow
    kind = np.dtype(DTYPES[want.datatype])
    if isinstance(given.data, (bytes, memoryview)):
        if len(given.data) != count * kind.itemsize:
            raise Problem(
                f"{what}: {len(given.data)} bytes, its shape {list(given.shape)} needs "
                f"{count * kind.itemsize}"
            )
        return np.frombuffer(given.data, kind).reshape(given.shape)
    return _numbers(given.data, kind, count, what).reshape(given.shape)


def _numbers(data: Any, kind: Any, count: int, what: str) -> NDArray[Any]:
    """Numbers of JSON or of a message, flat or nested, as an array of one axis."""
    try:
        raw = np.asarray(data)
    except ValueError:
        raise Problem(f"{what}: its data is nested unevenly") from None
    if raw.size != count:
        raise Problem(f"{what}: {raw.size} values, its shape needs {count}")
    if count and raw.dtype.kind not in ("iu" if kind.kind == "i" else "iuf"):
        noun = "integers" if kind.kind == "i" else "numbers"
        raise Problem(f"{what}: its data must be {noun}")
    raw = raw.reshape(-1)
    with np.errstate(over="ignore"):
        out: NDArray[Any] = raw.astype(kind)
    if kind.kind == "i" and raw.dtype != kind and not (out == raw).all():
        raise Problem(f"{what}: values beyond those of its type")
    if kind.kind == "f" and raw.dtype != kind:
        lost = np.isinf(out)
        if lost.any():
            raise Problem(f"{what}: {raw[lost][0]} is beyond FP32")
    return out


# ---- HTTP ----


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as problem:
        raise Problem(f"failed to parse the request JSON: {problem}") from None
    if not isinstance(found, dict):
        raise Problem("the request must be a JSON object")
    return found


def _of(kind: type, block: Any, key: str, default: Any = None) -> Any:
    """A member of an object, of a type; what is missing is the default, if any."""
    found = block.get(key, default) if isinstance(block, dict) else None
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        name = {dict: "object", list: "list", str: "string", int: "number"}.get(kind)
        raise Problem(f"'{key}' of the request must be a {name or kind.__name__}")
    return found


class _Bytes:
    """The tensors behind the JSON, one after another."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.used = data, 0

    def take(self, count: int, name: str) -> memoryview:
        left = len(self.data) - self.used
        if not 0 <= count <= left:
            raise Problem(
                f"input '{name}': binary_data_size is {count}, {left} bytes are left"
            )
        self.used += count
        return self.data[self.used - count : self.used]


def _given(block: Any, rest: _Bytes) -> Given:
    name = _of(str, block, "name")
    shape = _of(list, block, "shape")
    if any(type(n) is not int for n in shape):
        raise Problem(f"input '{name}': its shape must be a list of integers")
    parameters = _of(dict, block, "parameters", {})
    data: Any
    if "binary_data_size" in parameters:
        if "data" in block:
            raise Problem(f"input '{name}' has both 'data' and binary data")
        data = rest.take(_of(int, parameters, "binary_data_size"), name)
    else:
        data = _of(list, block, "data")
    return Given(name, _of(str, block, "datatype"), tuple(shape), data)


class HttpCall(NamedTuple):
    """A call, and which of its outputs are wanted as bytes."""

    call: Call
    binary: frozenset[str]
    all_binary: bool


def read_http(body: bytes, length: str | None, model: str, version: str) -> HttpCall:
    """A request over HTTP.

    Args:
        length: the header Inference-Header-Content-Length, if there is one.
    """
    end = len(body)
    if length is not None:
        # isdecimal takes digits of other scripts too, which no header has
        if not (length.isascii() and length.isdecimal()) or len(length) > 18:
            raise Problem(f"{LENGTH}: {length!r} is no length")
        end = int(length)
        if end > len(body):
            raise Problem(f"{LENGTH} is {end}, the body has {len(body)} bytes")
    block = _parsed(bytes(body[:end]))
    rest = _Bytes(memoryview(body)[end:])
    inputs = [_given(one, rest) for one in _of(list, block, "inputs")]
    if rest.used != len(rest.data):
        raise Problem(
            f"{len(rest.data)} bytes follow the JSON, the inputs take {rest.used}"
        )
    parameters = _of(dict, block, "parameters", {})
    asked = _of(list, block, "outputs", [])
    names = [_of(str, one, "name") for one in asked]
    wishes = [_of(dict, one, "parameters", {}).get("binary_data") for one in asked]
    usual = parameters.get("binary_data_output") is True
    binary = {
        n for n, wish in zip(names, wishes) if (usual if wish is None else wish is True)
    }
    call = Call(model, version, _of(str, block, "id", ""), inputs, names)
    return HttpCall(call, frozenset(binary), usual and not names)


def write_http(asked: HttpCall, answer: Answer) -> tuple[bytes, int | None]:
    """The body of an answer, and how long its JSON is if bytes follow it."""
    blocks, tail = [], []
    for name, array in answer.outputs.items():
        block: dict[str, Any] = {
            "name": name,
            "datatype": datatype(array),
            "shape": list(array.shape),
        }
        if asked.all_binary or name in asked.binary:
            tail.append(np.ascontiguousarray(array).tobytes())
            block["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            block["data"] = array.reshape(-1).tolist()
        blocks.append(block)
    found: dict[str, Any] = {"model_name": answer.model, "model_version": VERSION}
    if answer.id:
        found["id"] = answer.id
    try:
        text = json.dumps({**found, "outputs": blocks}, allow_nan=False).encode()
    except ValueError:
        raise Problem(
            "an output has NaN or infinity, which JSON has no word for: ask for it "
            "with binary_data"
        ) from None
    return b"".join([text, *tail]), len(text) if tail else None


def described(tensors: Iterable[Tensor]) -> list[dict[str, Any]]:
    """Tensors as metadata in JSON has them."""
    return [
        {"name": t.name, "datatype": t.datatype, "shape": list(t.shape)}
        for t in tensors
    ]
