# SPDX-License-Identifier: Apache-2.0
"""The protocol over gRPC, by grpcio and the messages of ``open-inference-grpc``.

They hold the same messages as tritonclient's, so that a process can have only one of
the two: clients run in a process of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from open_inference.grpc import protocol as pb

from .._protocol import SERVICE, datatype
from .protocol import INTERNAL, INVALID, NOT_FOUND, TOO_LARGE, UNAVAILABLE, UNSUPPORTED
from .protocol import VERSION, Answer, Call, Given, Problem
from .service import Service

logger = logging.getLogger("gn2.serve")
CODES = {
    INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    UNSUPPORTED: grpc.StatusCode.INVALID_ARGUMENT,
    INTERNAL: grpc.StatusCode.INTERNAL,
    UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
#: field of a message's contents, by datatype
CONTENTS = {
    "FP32": "fp32_contents",
    "INT64": "int64_contents",
    "INT32": "int_contents",
    "INT8": "int_contents",
}


def read(request: Any) -> Call:
    """A call of a ModelInferRequest."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise Problem(
            f"{len(request.inputs)} inputs, {len(raw)} raw_input_contents: as many "
            "are wanted, or none"
        )
    given = [
        Given(
            one.name,
            one.datatype,
            tuple(one.shape),
            raw[k] if raw else _contents(one),
        )
        for k, one in enumerate(request.inputs)
    ]
    if raw and any(one.HasField("contents") for one in request.inputs):
        raise Problem("contents and raw_input_contents: one of them is wanted")
    names = [one.name for one in request.outputs]
    return Call(request.model_name, request.model_version, request.id, given, names)


def _contents(one: Any) -> Any:
    field = CONTENTS.get(one.datatype)
    # of a type that no input has: refused where types are checked
    values = getattr(one.contents, field) if field else ()
    return np.array(values, np.float32 if one.datatype == "FP32" else np.int64)


def write(answer: Answer) -> bytes:
    """A ModelInferResponse, its tensors as they lie in memory."""
    out = pb.ModelInferResponse(
        model_name=answer.model, model_version=VERSION, id=answer.id
    )
    for name, array in answer.outputs.items():
        out.outputs.add(name=name, datatype=datatype(array), shape=array.shape)
        out.raw_output_contents.append(np.ascontiguousarray(array).tobytes())
    data: bytes = out.SerializeToString()
    return data


def _parsed(name: str, data: bytes) -> Any:
    """A request as a message: grpcio's own way writes a traceback for every bad one."""
    try:
        return getattr(pb, f"{name}Request").FromString(data)
    except DecodeError as problem:
        raise Problem(f"the request is no {name}Request: {problem}") from None


class Front:
    """The calls of the protocol, each of a request's bytes."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def handlers(self) -> Any:
        """What a server is given."""
        named = {
            "ServerLive": self.live,
            "ServerReady": self.ready,
            "ServerMetadata": self.server,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.metadata,
        }
        calls = {name: _told(name, answer) for name, answer in named.items()}
        calls["ModelInfer"] = self.infer
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {n: grpc.unary_unary_rpc_method_handler(call) for n, call in calls.items()},
        )

    def live(self, _asked: Any) -> Any:
        return pb.ServerLiveResponse(live=True)

    def ready(self, _asked: Any) -> Any:
        return pb.ServerReadyResponse(ready=self.service.ready())

    def server(self, _asked: Any) -> Any:
        return pb.ServerMetadataResponse(**self.service.server_metadata())

    def model_ready(self, asked: Any) -> Any:
        ready = self.service.ready(asked.name, asked.version)
        return pb.ModelReadyResponse(ready=ready)

    def metadata(self, asked: Any) -> Any:
        found = self.service.metadata(asked.name, asked.version)
        return pb.ModelMetadataResponse(**found)

    def infer(self, data: bytes, context: Any) -> Any:
        kind, held, service = INTERNAL, 0, self.service
        try:
            if service.leaving:
                raise Problem("the server is leaving: ask another", UNAVAILABLE)
            service.hold(len(data))
            held = len(data)
            found = service.run(
                lambda: read(_parsed("ModelInfer", data)),
                write,
                held,
                lambda: not context.is_active(),
            )
            kind = "ok" if found is not None else "left"
            return found or b""
        except Problem as problem:
            kind, told = problem.kind, str(problem)
        except Exception:
            logger.exception("a call failed")
            told = "internal error, see the server's log"
        finally:
            service.release(held)
            if service.watch:
                service.watch.outcome("grpc", kind)
        context.abort(CODES[kind], told)


def _told(name: str, answer: Callable[[Any], Any]) -> Any:
    def call(data: bytes, context: Any) -> Any:
        try:
            return answer(_parsed(name, data)).SerializeToString()
        except Problem as problem:
            context.abort(CODES[problem.kind], str(problem))

    return call


def start(service: Service, host: str, port: int) -> tuple[Any, int]:
    """A server that runs, and its port.

    It has a thread for every call that waits, and some more, in which calls beyond the
    limit are refused.
    """
    options = [
        ("grpc.max_receive_message_length", service.limits.body),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),
    ]
    threads = ThreadPoolExecutor(service.limits.queue + 8, "gn2-grpc")
    server = grpc.server(threads, options=options)
    server.add_generic_rpc_handlers((Front(service).handlers(),))
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(where)
    except RuntimeError as problem:
        raise OSError(f"gRPC cannot listen on {where}: {problem}") from None
    server.start()
    return server, bound
