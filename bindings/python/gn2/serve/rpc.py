# SPDX-License-Identifier: Apache-2.0
"""The protocol over gRPC, by grpcio and the messages of ``open-inference-grpc``.

They hold the same messages as tritonclient's, so that a process can have only one of
the two: clients run in a process of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import numpy as np
from google.protobuf.message import DecodeError
from open_inference.grpc import protocol as pb

from .protocol import INTERNAL, INVALID, NOT_FOUND, TOO_LARGE, UNAVAILABLE, UNSUPPORTED
from .protocol import VERSION, Answer, Call, Given, Problem, datatype
from .service import Service

logger = logging.getLogger("gn2.serve")
SERVICE = "inference.GRPCInferenceService"
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


def write(answer: Answer) -> Any:
    """A ModelInferResponse, its tensors as bytes."""
    out = pb.ModelInferResponse(
        model_name=answer.model, model_version=VERSION, id=answer.id
    )
    for name, array in answer.outputs.items():
        out.outputs.add(name=name, datatype=datatype(array), shape=array.shape)
        out.raw_output_contents.append(np.ascontiguousarray(array).tobytes())
    return out


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
            name: grpc.unary_unary_rpc_method_handler(
                self._told(name, answer),
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, answer in (
                ("ServerLive", self.live),
                ("ServerReady", self.ready),
                ("ServerMetadata", self.server),
                ("ModelReady", self.model_ready),
                ("ModelMetadata", self.metadata),
                ("ModelInfer", self.infer),
            )
        }
        return grpc.method_handlers_generic_handler(SERVICE, named)

    @staticmethod
    def _told(name: str, answer: Callable[[str, bytes], Awaitable[Any]]) -> Any:
        async def call(data: bytes, context: Any) -> Any:
            try:
                return await answer(name, data)
            except Problem as problem:
                await context.abort(CODES[problem.kind], str(problem))

        return call

    async def live(self, name: str, data: bytes) -> Any:
        _parsed(name, data)
        return pb.ServerLiveResponse(live=True)

    async def ready(self, name: str, data: bytes) -> Any:
        _parsed(name, data)
        return pb.ServerReadyResponse(ready=self.service.ready())

    async def server(self, name: str, data: bytes) -> Any:
        _parsed(name, data)
        return pb.ServerMetadataResponse(**self.service.server_metadata())

    async def model_ready(self, name: str, data: bytes) -> Any:
        asked = _parsed(name, data)
        ready = self.service.ready(asked.name, asked.version)
        return pb.ModelReadyResponse(ready=ready)

    async def metadata(self, name: str, data: bytes) -> Any:
        asked = _parsed(name, data)
        found = self.service.metadata(asked.name, asked.version)
        return pb.ModelMetadataResponse(**found)

    async def infer(self, name: str, data: bytes) -> Any:
        kind = INTERNAL

        def work() -> Any:
            return write(self.service.infer(read(_parsed(name, data))))

        try:
            found = await asyncio.wrap_future(self.service.submit(work))
            kind = "ok"
            return found
        except Problem as problem:
            kind = problem.kind
            raise
        except asyncio.CancelledError:
            kind = "left"
            raise
        except Exception:
            logger.exception("a call failed")
            raise Problem("internal error, see the server's log", INTERNAL) from None
        finally:
            if self.service.watch:
                self.service.watch.outcome("grpc", kind)


async def start(service: Service, host: str, port: int) -> tuple[Any, int]:
    """A server that runs, and its port."""
    options = [
        ("grpc.max_receive_message_length", service.limits.body),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((Front(service).handlers(),))
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(where)
    except RuntimeError as problem:
        raise OSError(f"gRPC cannot listen on {where}: {problem}") from None
    await server.start()
    return server, bound
