# SPDX-License-Identifier: Apache-2.0
"""How a client speaks to a server of the Open Inference Protocol: HTTP by the standard
library with tensors as bytes, gRPC by grpcio. Without patience: what is to be tried
again is :class:`Unavailable`.
"""

from __future__ import annotations

import functools
import http.client
import io
import json
import math
import os
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, Union
from urllib.parse import quote, urlsplit

import numpy as np

from ._protocol import DTYPES, LENGTH, SERVICE, datatype
from .errors import InvalidArgument, NotFound, RemoteError

#: transport and port, by the beginning of a URL
SCHEMES = {
    "http": ("http", 8000),
    "https": ("http", 443),
    "grpc": ("grpc", 8001),
    "grpcs": ("grpc", 443),
}
Arrays = Mapping[str, Any]
PART = 1 << 18  #: bytes of an answer that are read at a time
MOST = 4 << 30  #: bytes of an answer


class Unavailable(Exception):
    """Not now: the server has no room, is not there yet, or leaves."""


class Late(Exception):
    """There was no answer in time."""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise Late
    return left


def _array(word: str, shape: Sequence[int], data: bytes) -> Any:
    """A tensor of an answer, which may not be written."""
    kind = np.dtype(DTYPES[word])
    sizes = all(type(n) is int and n >= 0 for n in shape)
    if not sizes or len(data) != math.prod(shape) * kind.itemsize:
        what = f"{list(shape)!r:.80}"
        raise RemoteError(f"the answer has {len(data)} bytes for {word} {what}")
    return np.frombuffer(data, kind).reshape(shape)


class _Kept:
    """A link that is opened when it is needed, and kept; a child process opens its own
    and leaves the parent's alone."""

    _link: Any = None
    _process = 0

    def _open(self) -> Any:
        raise NotImplementedError

    def _opened(self) -> Any:
        if self._link is None or self._process != os.getpid():
            self._link, self._process = self._open(), os.getpid()
        return self._link

    def close(self) -> None:
        if self._link is not None and self._process == os.getpid():
            self._link.close()
        self._link = None


class _Timed(io.RawIOBase):
    """Bytes of a socket until a moment, however slowly they come."""

    def __init__(self, raw: Any, link: Any, deadline: float) -> None:
        self._raw, self._link, self._deadline = raw, link, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        self._link.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that is there before a moment, or :class:`Late`."""

    def __init__(self, deadline: float, link: Any, *given: Any, **words: Any) -> None:
        super().__init__(link, *given, **words)
        self.fp: Any = io.BufferedReader(_Timed(self.fp.detach(), link, deadline), PART)


def _body(answer: http.client.HTTPResponse) -> bytes:
    """What came: a length that is told is not trusted with memory."""
    parts, size = [], 0
    while part := answer.read(PART):
        parts.append(part)
        size += len(part)
        if size > MOST:
            answer.close()
            raise http.client.HTTPException(f"an answer of more than {MOST >> 30} GiB")
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(parts)


class Http(_Kept):
    """A connection of HTTP."""

    def __init__(self, host: str, port: int, tls: bool, headers: Any) -> None:
        self._place, self._tls, self._headers = (host, port), tls, dict(headers)

    def _open(self) -> Any:
        if self._tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(*self._place, context=context)
        return http.client.HTTPConnection(*self._place)

    def _connected(self, seconds: float) -> Any:
        link = self._opened()
        link.timeout = seconds
        if link.sock is not None:
            link.sock.settimeout(seconds)
        return link

    def _ask(
        self, path: str, body: bytes | None, length: int, deadline: float
    ) -> tuple[Any, bytes]:
        """Headers and body of an answer."""
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/octet-stream"
            headers[LENGTH] = str(length)
        try:
            link = self._connected(_left(deadline))
            link.response_class = functools.partial(_Response, deadline)
            link.request("GET" if body is None else "POST", path, body, headers)
            answer = link.getresponse()
            data = _body(answer)
        except (Late, socket.timeout):  # TimeoutError since Python 3.10
            self.close()
            raise Late from None
        except (ConnectionError, http.client.HTTPException) as problem:
            self.close()
            text = str(problem) or type(problem).__name__
            raise Unavailable(text) from problem
        except OSError as problem:  # no such host, a certificate
            self.close()
            raise RemoteError(str(problem)) from problem
        _check(answer.status, data)
        return answer.headers, data

    def metadata(self, model: str, deadline: float) -> dict[str, Any]:
        """What the server says of a model."""
        path = f"/v2/models/{quote(model, safe='')}"
        return _parsed(self._ask(path, None, 0, deadline)[1])

    def infer(
        self, model: str, inputs: Arrays, outputs: Sequence[str], deadline: float
    ) -> dict[str, Any]:
        """The outputs by name."""
        blocks = [
            {
                "name": name,
                "datatype": datatype(array),
                "shape": list(array.shape),
                "parameters": {"binary_data_size": array.nbytes},
            }
            for name, array in inputs.items()
        ]
        binary = {"binary_data": True}
        asked = [{"name": name, "parameters": binary} for name in outputs]
        text = json.dumps({"inputs": blocks, "outputs": asked}).encode()
        body = b"".join([text, *(array.tobytes() for array in inputs.values())])
        path = f"/v2/models/{quote(model, safe='')}/infer"
        headers, data = self._ask(path, body, len(text), deadline)
        word = headers.get(LENGTH, str(len(data)))
        if not (word.isascii() and word.isdecimal() and len(word) < 19):
            raise RemoteError(f"the answer has {LENGTH}: {word!r:.80}")
        size = int(word)
        try:
            return _outputs(_parsed(data[:size])["outputs"], data[size:])
        except (AttributeError, LookupError, TypeError, ValueError):
            raise RemoteError(f"the answer is no call's: {data[:80]!r}") from None


def _outputs(blocks: Any, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    start = 0
    for block in blocks:
        size = block["parameters"]["binary_data_size"]
        if type(size) is not int or not 0 <= size <= len(data) - start:
            raise RemoteError(f"the answer lacks bytes: {size!r:.80} from {start}")
        if block["name"] in found:
            raise RemoteError(f"the answer has {block['name']} twice")
        part = data[start : start + size]
        found[block["name"]] = _array(block["datatype"], block["shape"], part)
        start += size
    if start != len(data):
        raise RemoteError(f"the answer has {len(data) - start} bytes too many")
    return found


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RemoteError(f"the answer is no JSON object: {data[:80]!r}")
    return found


def _check(status: int, data: bytes) -> None:
    if status == 200:
        return
    try:
        text = str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = data[:200].decode("utf-8", "replace")
    if status == 503:
        raise Unavailable(text)
    if status == 404:
        raise NotFound(text)
    if status in (400, 413):
        raise InvalidArgument(text)
    raise RemoteError(f"status {status}: {text}")


class Grpc(_Kept):
    """A channel of grpcio; messages are those of open-inference-grpc."""

    def __init__(self, host: str, port: int, tls: bool, headers: Any) -> None:
        try:
            import grpc
            from open_inference.grpc import protocol
        except ImportError as problem:
            raise RemoteError(
                f"grpc:// needs grpcio and open-inference-grpc ({problem}): pip "
                "install 'gn2[serve]'; http:// needs nothing"
            ) from None
        self._grpc, self._pb = grpc, protocol
        self._where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._tls = tls
        self._headers = [(name.lower(), value) for name, value in headers.items()]

    def _open(self) -> Any:
        # tried again at once: how long to wait is the caller's to say
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        if self._tls:
            proof = self._grpc.ssl_channel_credentials()
            return self._grpc.secure_channel(self._where, proof, options)
        return self._grpc.insecure_channel(self._where, options)

    def _call(self, name: str, message: Any, deadline: float) -> Any:
        call = self._opened().unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=lambda one: one.SerializeToString(),
            response_deserializer=getattr(self._pb, f"{name}Response").FromString,
        )
        try:
            return call(message, timeout=_left(deadline), metadata=self._headers)
        except self._grpc.RpcError as problem:
            raise self._problem(problem.code(), problem.details() or "") from None

    def _problem(self, code: Any, text: str) -> Exception:
        codes = self._grpc.StatusCode
        if code == codes.UNAVAILABLE:
            return Unavailable(text)
        if code == codes.DEADLINE_EXCEEDED:
            return Late()
        if code == codes.NOT_FOUND:
            return NotFound(text)
        if code in (codes.INVALID_ARGUMENT, codes.RESOURCE_EXHAUSTED):
            return InvalidArgument(text)
        return RemoteError(f"status {code.name}: {text}")

    def metadata(self, model: str, deadline: float) -> dict[str, Any]:
        """What the server says of a model."""
        message = self._pb.ModelMetadataRequest(name=model)
        found = self._call("ModelMetadata", message, deadline)
        outputs = [
            {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
            for one in found.outputs
        ]
        return {"properties": dict(found.properties), "outputs": outputs}

    def infer(
        self, model: str, inputs: Arrays, outputs: Sequence[str], deadline: float
    ) -> dict[str, Any]:
        """The outputs by name."""
        message = self._pb.ModelInferRequest(model_name=model)
        for name, array in inputs.items():
            message.inputs.add(name=name, datatype=datatype(array), shape=array.shape)
            message.raw_input_contents.append(array.tobytes())
        for name in outputs:
            message.outputs.add(name=name)
        answer = self._call("ModelInfer", message, deadline)
        blocks, parts = list(answer.outputs), list(answer.raw_output_contents)
        names = {one.name for one in blocks}
        known = all(one.datatype in DTYPES for one in blocks)
        if not known or not len(names) == len(blocks) == len(parts):
            raise RemoteError(
                f"the answer has {len(blocks)} outputs, {len(names)} names and "
                f"{len(parts)} tensors"
            )
        return {
            one.name: _array(one.datatype, one.shape, part)
            for one, part in zip(blocks, parts)
        }


def connect(url: str, headers: Mapping[str, str]) -> Union[Http, Grpc]:
    """What speaks to a URL; nothing is sent yet.

    Raises:
        InvalidArgument: it is no URL of a server.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        kind, usual = SCHEMES[parts.scheme]
        host, port = parts.hostname or "", parts.port or usual
    except (KeyError, ValueError) as problem:
        raise InvalidArgument(f"{url!r}: {_FORM} ({problem})") from None
    if not host or parts.path not in ("", "/") or parts.query or parts.username:
        raise InvalidArgument(f"{url!r}: {_FORM}")
    tls = parts.scheme.endswith("s")
    if kind == "http":
        return Http(host, port, tls, headers)
    return Grpc(host, port, tls, headers)


_FORM = "no URL of a server, as http://host:8000 or grpc://host:8001"
