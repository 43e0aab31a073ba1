# SPDX-License-Identifier: Apache-2.0
"""The protocol over HTTP, by starlette and uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .._protocol import LENGTH
from .connection import CALL, CYCLE, LINGER
from .protocol import INTERNAL, INVALID, NOT_FOUND, TOO_LARGE, TOO_SLOW
from .protocol import UNAVAILABLE, UNSUPPORTED, Answer, Call, HttpCall, Problem
from .protocol import read_http, write_http
from .service import Service

logger = logging.getLogger("gn2.serve")
CODES = {
    INVALID: 400,
    NOT_FOUND: 404,
    TOO_SLOW: 408,
    TOO_LARGE: 413,
    UNSUPPORTED: 415,
    INTERNAL: 500,
    UNAVAILABLE: 503,
}
Handler = Callable[[Request], Awaitable[Response]]


def _error(message: str, code: int) -> Response:
    headers = {"Retry-After": "1"} if code == 503 else None
    return JSONResponse({"error": message}, code, headers)


async def _http_error(_request: Request, problem: Any) -> Response:
    """Of a path or method that is not there."""
    return _error(str(problem.detail), problem.status_code)


class Front:
    """The answers to the paths of the protocol."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def app(self) -> Starlette:
        """The application, for uvicorn or another server."""
        routes = [
            Route("/v2", self.server, methods=["GET"]),
            Route("/v2/health/live", self.live, methods=["GET"]),
            Route("/v2/health/ready", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            routes += [
                Route(model, self._told(self.metadata), methods=["GET"]),
                Route(f"{model}/ready", self._told(self.model_ready), methods=["GET"]),
                Route(f"{model}/infer", self.infer, methods=["POST"]),
            ]
        found = Starlette(
            routes=routes, exception_handlers={HTTPException: _http_error}
        )
        found.router.redirect_slashes = False
        return found

    @staticmethod
    def _told(handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as problem:
                return _error(str(problem), CODES[problem.kind])

        return answer

    async def server(self, _request: Request) -> Response:
        return JSONResponse(self.service.server_metadata())

    async def live(self, _request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, _request: Request) -> Response:
        ready = self.service.ready()
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def metrics(self, _request: Request) -> Response:
        watch = self.service.watch
        if watch is None:
            return _error("metrics are off", 404)
        text, kind = await asyncio.to_thread(watch.page)  # sums over many jets
        return Response(text, headers={"Content-Type": kind})

    async def metadata(self, request: Request) -> Response:
        return JSONResponse(self.service.metadata(*_named(request)))

    async def model_ready(self, request: Request) -> Response:
        name, version = _named(request)
        ready = self.service.ready(name, version)
        return JSONResponse({"name": name, "ready": ready}, 200 if ready else 503)

    # ---- infer ----

    async def infer(self, request: Request) -> Response:
        kind, taken, watch = INTERNAL, Taken(self.service), self.service.watch
        try:
            response = await self._infer(request, taken)
            kind = "ok"
        except Problem as problem:
            kind = problem.kind
            response = _error(str(problem), CODES[kind])
        except ClientDisconnect:
            kind = "left"
            response = _error("the client left", 400)  # nobody reads it
        except asyncio.CancelledError:
            kind = "left"
            raise
        except Exception:
            logger.exception("a call failed")
            response = _error("internal error, see the server's log", 500)
        finally:
            taken.release()
            if watch:
                watch.outcome("http", kind)
        return response

    async def _infer(self, request: Request, taken: Taken) -> Response:
        name, version = _named(request)
        try:
            self.service.find(name, version)
            self.service.calls.check_room()  # both before a body is read
            body = await self._body(request, taken)
        except Problem as problem:
            if problem.kind != TOO_SLOW and "Expect" not in request.headers:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(taken.discard(request), LINGER)
            raise
        asked = Asked(body, request.headers.get(LENGTH), name, version)
        future = self.service.answer(asked.read, asked.write, len(body))
        request.scope[CALL] = future
        try:
            data, json_bytes = await future
        except asyncio.CancelledError:
            if request.scope[CYCLE].disconnected:
                raise ClientDisconnect from None
            raise
        if json_bytes is None:
            return Response(data, media_type="application/json")
        headers = {LENGTH: str(json_bytes)}
        return Response(data, headers=headers, media_type="application/octet-stream")

    async def _body(self, request: Request, taken: Taken) -> bytes:
        coding = request.headers.get("Content-Encoding", "identity")
        if coding != "identity":
            raise Problem(f"Content-Encoding {coding} is not taken", UNSUPPORTED)
        limit = self.service.limits
        said = request.headers.get("Content-Length", "")
        if said.isdecimal() and int(said) > limit.body:
            raise Problem(f"{said} bytes, the limit is {limit.body}", TOO_LARGE)
        if not request.scope[CYCLE].more_body:  # it is there
            return await taken.read(request)
        try:
            return await asyncio.wait_for(taken.read(request), limit.seconds)
        except asyncio.TimeoutError:
            raise Problem(
                f"the request did not come within {limit.seconds:g} s", TOO_SLOW
            ) from None


class Asked:
    """A call as it is read and answered, in a thread of the service."""

    def __init__(self, *given: Any) -> None:
        self._given = given
        self._call: HttpCall

    def read(self) -> Call:
        self._call = read_http(*self._given)
        return self._call.call

    def write(self, answer: Answer) -> tuple[bytes, int | None]:
        return write_http(self._call, answer)


class Taken:
    """The bytes of a request that are there."""

    def __init__(self, service: Service) -> None:
        self.service, self.size = service, 0
        self.more = True  #: does the client still send?

    async def read(self, request: Request) -> bytes:
        parts, limit = [], self.service.limits.body
        while self.more:
            part = await self._next(request)
            self.service.hold(len(part))
            self.size += len(part)
            if self.size > limit:
                raise Problem(f"more than {limit} bytes, which is the limit", TOO_LARGE)
            parts.append(part)
        return b"".join(parts)

    async def discard(self, request: Request) -> None:
        """Reads on: who is sending does not look at the answer, and loses it if the
        connection is closed meanwhile."""
        while self.more:
            await self._next(request)

    async def _next(self, request: Request) -> bytes:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self.more = message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    def release(self) -> None:
        self.service.release(self.size)


def _named(request: Request) -> tuple[str, str]:
    return request.path_params["model"], request.path_params.get("version", "")
