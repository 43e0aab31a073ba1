# SPDX-License-Identifier: Apache-2.0
"""A server from start to end: ports, signals, leaving."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from typing import Any, NamedTuple

import uvicorn

from .service import Service
from .web import Front

logger = logging.getLogger("gn2.serve")


class Ports(NamedTuple):
    """Where to listen; None: not at all, 0: any free port."""

    host: str = "127.0.0.1"
    http: int = 8000
    grpc: int | None = None


class _Server(uvicorn.Server):  # type: ignore[misc]
    """SIGTERM and SIGINT: not ready at once, `drain` seconds later no new calls."""

    service: Service
    drain: float

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self.service.draining:  # said twice: do not wait
            self.should_exit = True
            return
        self.service.draining = True
        loop = self.loop
        loop.call_soon_threadsafe(loop.call_later, self.drain, self._leave)

    def _leave(self) -> None:
        self.should_exit = True


def serve(service: Service, ports: Ports, drain: float = 1.0) -> None:
    """Answers until SIGTERM or SIGINT; returns when the last call is answered."""
    try:
        asyncio.run(_serve(service, ports, drain))
    finally:
        service.close()


def _listening(ports: Ports) -> socket.socket:
    family = socket.AF_INET6 if ":" in ports.host else socket.AF_INET
    found = socket.create_server((ports.host, ports.http), family=family, backlog=1024)
    # inherited by connections; asyncio sets it for sockets of another making alone, and
    # without it the body of an answer waits 40 ms for the acknowledgement of its head
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


async def _serve(service: Service, ports: Ports, drain: float) -> None:
    config = uvicorn.Config(
        Front(service).app(),
        host=ports.host,
        port=ports.http,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=math.ceil(service.limits.seconds),
    )
    server = _Server(config)
    server.service, server.drain = service, drain
    server.loop = asyncio.get_running_loop()
    sockets = [_listening(ports)]
    remote = None
    try:
        if ports.grpc is not None:
            from .rpc import start

            remote, port = await start(service, ports.host, ports.grpc)
            logger.info("gRPC on %s:%d", ports.host, port)
        port = sockets[0].getsockname()[1]
        names = ", ".join(service.models)
        logger.info("HTTP on %s:%d: %s", ports.host, port, names)
        await server.serve(sockets)
    finally:
        if remote is not None:
            await remote.stop(service.limits.seconds)
