# SPDX-License-Identifier: Apache-2.0
"""A server from start to end: ports, signals, leaving."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import resource
import socket
import threading
from typing import Any, NamedTuple

import uvicorn

from .connection import Connection
from .listen import listening, refuse_new
from .service import Service
from .web import Front

logger = logging.getLogger("gn2.serve")
KEEP_ALIVE = 60  #: seconds without a request until a connection is closed
ON_THE_WAY = 0.3  #: seconds in which who is connecting has connected
QUIET = 0.5  #: seconds without a request until one is closed when the server leaves
MOMENT = 2.0  #: seconds for calls at work after a second signal
CLOSE = (b"connection", b"close")


class Ports(NamedTuple):
    """Where to listen; None: not at all, 0: any free port."""

    host: str = "127.0.0.1"
    http: int = 8000
    grpc: int | None = None


class _Server(uvicorn.Server):  # type: ignore[misc]
    """Signals: the first is not ready at once, and takes no new calls after `drain`
    seconds; the second takes none at once and gives those at work a moment; the third
    leaves now."""

    service: Service
    drain: float
    remote: Any = None  #: the server of gRPC
    signals = 0  #: SIGTERM and SIGINT that came
    hurry: asyncio.Event  #: the second has come

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.signals += 1
        if self.signals == 1:
            self.service.draining = True
            self.loop.call_soon_threadsafe(self._begin_leaving)
            return
        self.loop.call_soon_threadsafe(self._hurry)
        # in a thread: a handler may have interrupted who writes to the log
        wait = MOMENT if self.signals == 2 else 0.0
        timer = threading.Timer(wait, self._abandon, (sig,))
        timer.daemon = True
        timer.start()

    def _abandon(self, sig: int) -> None:
        """A call cannot be stopped in the library, so that nothing is waited for."""
        count = self.service.calls.count
        logger.warning("left at a signal, %d calls are not answered", count)
        os._exit(128 + sig)

    def _begin_leaving(self) -> None:
        # every answer asks for another connection, to another server if there is one
        self.config.encoded_headers.append(CLOSE)
        self.server_state.default_headers.append(CLOSE)
        self.loop.call_later(self.drain, self._leave)

    def _leave(self) -> None:
        self.should_exit = True

    def _hurry(self) -> None:
        self.hurry.set()
        self._leave()

    async def _pause(self, seconds: float) -> None:
        """Not in a hurry."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.hurry.wait(), seconds)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.leaving = True
        await asyncio.gather(self._give_up(sockets or []), self._stop_remote())
        await super().shutdown(sockets)

    async def _stop_remote(self) -> None:
        """gRPC cancels what comes while it stops: by then new calls were refused."""
        if self.remote is not None:
            await self._pause(ON_THE_WAY + QUIET)
            stopped = self.remote.stop(self.service.limits.seconds)
            await asyncio.to_thread(stopped.wait)

    async def _give_up(self, sockets: list[socket.socket]) -> None:
        """Until nobody is connected."""
        for one in sockets:
            refuse_new(one)
        await self._pause(ON_THE_WAY)
        for server in self.servers:
            server.close()
        end = self.loop.time() + self.service.limits.seconds
        connections: set[Any] = self.server_state.connections
        while connections and self.loop.time() < end:
            since = self.loop.time() - (0 if self.hurry.is_set() else QUIET)
            for link in list(connections):
                if link.quiet and link.quiet_since < since:
                    link.shutdown()
            await asyncio.sleep(0.05)


def serve(service: Service, ports: Ports, drain: float = 1.0) -> None:
    """Answers until SIGTERM or SIGINT; returns when the last call is answered."""
    _allow_connections()
    try:
        asyncio.run(_serve(service, ports, drain))
    finally:
        service.close()


def _allow_connections() -> None:
    """As many open files as this process may have: the usual 1024 are few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(service: Service, ports: Ports, drain: float) -> None:
    config = uvicorn.Config(
        Front(service).app(),
        http=Connection,
        host=ports.host,
        port=ports.http,
        log_config=None,
        log_level="error",  # not a line for everyone who speaks no HTTP
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(service.limits.seconds),
    )
    server = _Server(config)
    server.service, server.drain = service, drain
    server.loop, server.hurry = asyncio.get_running_loop(), asyncio.Event()
    sockets = [listening(ports.host, ports.http, service.limits.seconds)]
    if ports.grpc is not None:
        from .rpc import start

        server.remote, port = start(service, ports.host, ports.grpc)
        logger.info("gRPC on %s:%d", ports.host, port)
    port = sockets[0].getsockname()[1]
    logger.info("HTTP on %s:%d: %s", ports.host, port, ", ".join(service.models))
    await server.serve(sockets)
